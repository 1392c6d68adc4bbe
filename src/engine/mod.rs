//! The worker that serves the explorer: one-slot mailbox, generation numbers, reuse cache, streaming of results.
//! Runs on its own thread; knows nothing of the terminal.

pub mod background;
mod block;
pub mod calibrate;
pub mod classify;
mod complete;
pub mod explorer;
#[cfg(test)]
mod explorer_tests;
mod fingerprint;
#[cfg(test)]
mod finite_tests;
mod frame;
pub mod generate;
pub mod grid;
pub mod intervene;
mod intervening;
pub mod leak;
pub mod loaded;
pub mod loader;
pub mod mailbox;
pub mod models;
pub mod pass;
mod position;
pub mod prepare;
mod reach;
pub mod settings;
pub mod start;
pub mod trainer;
pub mod types;
pub mod window;
pub mod worker;
mod writing;
