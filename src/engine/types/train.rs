//! What is asked of the trainer and what it says.

use std::path::PathBuf;

use crate::train::report;
use crate::train::runs::RunInfo;
use crate::train::spec::RunSpec;

/// Between a model's id and the step of the run whose weights are shown.
pub const FOLLOWED: &str = " · training, step ";

/// Commands to the trainer, besides the start of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainCommand {
    /// To the run in progress.
    Tell(report::RunCommand),
    /// Show the weights of the run in the explorer every so many steps; 0 stops that.
    Follow(usize),
    /// The runs in a folder.
    List(PathBuf),
    /// Losses of one run, from its records.
    Curves(PathBuf),
    /// All that one run reported, to show it again.
    Reopen(PathBuf),
    /// Prepares a run of the past to go on from its newest checkpoint; it starts when told to resume.
    GoOn(GoOn),
    /// Deletes a run and lists the folder again.
    Delete { run: PathBuf, folder: PathBuf },
    /// What a typed path may go on to.
    Complete(String),
}

/// A run that goes on, and what of its settings changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GoOn {
    pub run: PathBuf,
    /// Other steps or passes than it was planned for.
    pub steps: Option<usize>,
    pub epochs: Option<f64>,
    /// Seeds of twins.
    pub seeds: Option<usize>,
}

/// What the trainer says.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "it travels in a box")]
pub enum TrainUpdate {
    /// A run is being prepared under this spec, its folder now definite.
    Accepted {
        run: u64,
        spec: Box<RunSpec>,
    },
    /// Of the run with this number, so that late reports of an older run can be ignored.
    Report {
        run: u64,
        report: report::Report,
    },
    Runs(Vec<RunInfo>),
    Curves {
        run: PathBuf,
        /// Its steps and evaluations.
        reports: Vec<report::Report>,
    },
    /// A run of the past and what it reported.
    Reopened {
        spec: Box<RunSpec>,
        reports: Vec<report::Report>,
    },
    Completed {
        typed: String,
        offers: Vec<String>,
        problem: Option<String>,
    },
    /// Something besides a run went wrong.
    Problem {
        message: String,
        hint: Option<String>,
    },
}
