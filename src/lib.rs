//! maskscope: explore dynamic attention masking in GPT-2-style models, live in a terminal.
//!
//! Rooms, lowest first: `support`, `settings`, `tensor`, `model`, `hub`, `attention`, `mask`, `train`, `eval`, `engine`,
//! `config`, `screen`, `cli`; a room imports only rooms before it in this list (`tests/rooms.rs` checks that).

#[cfg(all(test, unix))]
#[path = "../tests/support/pty.rs"]
mod pty;

pub mod attention;
pub mod cli;
pub mod config;
pub mod engine;
pub mod eval;
pub mod hub;
pub mod mask;
pub mod model;
pub mod screen;
pub mod settings;
pub mod support;
pub mod tensor;
pub mod train;
