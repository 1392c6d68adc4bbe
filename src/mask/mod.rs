//! Decisions, draws, windows and history, operations, presets, schedules. Knows nothing of screens.

pub mod types;
