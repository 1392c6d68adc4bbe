//! Decisions, draws, windows and history, operations, presets, schedules. Knows nothing of screens.
//!
//! Pure functions of settings, scores and addressed draws; runs on whichever thread asks. Never keeps hidden state:
//! what a decision depends on is in its arguments, so the same arguments give the same mask anywhere.

pub mod apply;
mod budget;
pub mod decide;
pub mod draw;
pub mod initial;
pub mod mix;
pub mod presets;
pub mod reason;
pub mod rolling;
pub mod types;
pub mod units;
pub mod window;
