//! The Train screen without a terminal: the form of a run, what a run has reported, run folders, and what keys do to
//! them. Pure and on the UI thread; must never wait for a run: everything asked of it goes out as an effect.

pub mod form;
pub mod runs;
pub mod series;
pub mod state;
pub mod twins;
pub mod update;

pub use form::{Form, RunRequest, RunSettings};
pub use state::{RunView, TrainState};

#[cfg(test)]
pub(crate) mod tests;
