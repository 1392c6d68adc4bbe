//! The terminal side of the explorer: guard, input thread, drawing. Reaches the engine only through `app`'s port.

pub mod canvas;
pub mod colours;
pub mod draw;
mod frames;
mod guard;
mod input;
pub mod layout;
mod mouse;
pub mod panes;
mod popups;
mod run;
mod screen;
pub mod theme;

pub use run::{TerminalOptions, TuiError, run};

#[cfg(test)]
mod tests;
