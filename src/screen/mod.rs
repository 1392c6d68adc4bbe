//! The screen: what is shown, what keys and the mouse do, and the terminal under it.
//!
//! `app` holds the state and `events` turns an event into requests; both are pure and run on the UI thread. A pane is one
//! file (or folder) in `explore/`, `train/` or `generate/`: state, keys, mouse, drawing and what it says when it is empty. `layout`
//! is a function of state and size, which drawing and handling both call. Only `terminal/` touches the terminal. The
//! engine is reached through [`Port`] and its result types, never its insides.

pub mod actions;
pub mod app;
mod changes;
mod chrome;
pub mod document;
pub mod draw;
pub mod events;
pub mod explore;
pub mod export;
pub mod general;
pub mod generate;
pub mod history;
mod inert;
pub mod keymap;
pub mod keys;
pub mod layout;
pub mod mouse;
mod news;
pub mod options;
pub mod pane;
pub mod params;
pub mod popups;
pub mod results;
mod settle;
pub mod terminal;
pub mod train;
pub mod view;
pub mod widgets;

pub use app::{App, Request};
pub use events::{Event, Meaning};
pub use options::{Look, Options};
pub use pane::Pane;
pub use terminal::{ScreenError, TerminalOptions, run};

use crate::engine::types::{Command, ExploreRequest, ModelsCommand, TrainCommand};
use crate::screen::export::parcel::Parcel;
use crate::screen::train::RunRequest;

/// The engine as the screen sees it. Calls return at once; answers come as `Update`s.
pub trait Port {
    /// Replaces any older request that has not started.
    fn explore(&self, request: ExploreRequest);
    fn command(&self, command: Command);
    /// Prepares a run and its plan; whatever is wrong with it comes as an update.
    fn plan(&self, request: RunRequest);
    fn train(&self, command: TrainCommand);
    /// The screen is being left: this is the text that was open.
    fn keep(&self, _text: &str) {}
    fn models(&self, command: ModelsCommand);
    /// Writes a file; what became of it comes as an update.
    fn export(&self, _parcel: Parcel) {}
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
