//! The screen's state and behaviour without a terminal: events, actions, undo, derived numbers.
//! Pure and single-threaded (the UI thread owns the `App`); must never import a terminal library or do any work that
//! could be waited for. Its only way out is the `Effect`s it returns, which the screen hands to a `Port`.

pub mod actions;
pub mod document;
pub mod editor;
pub mod fuzzy;
pub mod hints;
pub mod history;
pub mod keymap;
pub mod keys;
pub mod lists;
pub mod mapview;
pub mod mixing;
pub mod options;
pub mod overview;
pub mod params;
pub mod rates;
pub mod results;
pub mod state;
pub mod strip;
pub mod tour;
pub mod train;
pub mod update;
pub mod view;
pub mod why;
pub mod wrap;

pub use options::{KnownModel, Look, Options};
pub use state::{App, Effect, Pane};
pub use update::{Event, Meaning};

/// The plain data that comes from the engine, for the screen, which knows no engine.
pub mod data {
    pub use crate::engine::types::*;
    pub use crate::train::raster::RasterStats;
    pub use crate::train::report::RunCommand;
    pub use crate::train::report::{
        BatchView, Live, MemoryPlan, Plan, RasterRow, RunState, TwinDifference, TwinVerdict,
    };
    pub use crate::train::runs::RunInfo;
    pub use crate::train::settings::TrainSettings;
    pub use crate::train::spec::{Arm, Trained};
}

use crate::app::train::RunRequest;
use crate::engine::types::{Command, ExploreRequest, TrainCommand};

/// The engine as the screen sees it. Calls return at once; answers come as `Update`s.
pub trait Port {
    /// Replaces any older request that has not started.
    fn explore(&self, request: ExploreRequest);
    fn command(&self, command: Command);
    /// Prepares a run and its plan; whatever is wrong with it comes as an update.
    fn plan(&self, request: RunRequest);
    fn train(&self, command: TrainCommand);
}

#[cfg(test)]
mod mask_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
