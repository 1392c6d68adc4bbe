//! maskscope: explore dynamic attention masking in GPT-2-style models, live in a terminal.
//!
//! Rooms, lowest first; a room imports only rooms above it in this list (`tests/rooms.rs` checks that).

mod named;

pub mod config;
pub mod tensor;
pub mod model;
pub mod hub;
pub mod attention;
pub mod mask;
pub mod train;
pub mod eval;
pub mod export;
pub mod engine;
pub mod app;
pub mod tui;
pub mod cli;
