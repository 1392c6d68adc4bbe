//! Training: data, what moves, the loop, schedules, checkpoints, records. A [`session::Session`] runs it all on a thread
//! and pool of its own; knows nothing of screens.

pub mod arm;
pub mod batch;
mod bounds;
pub mod checkpoint;
pub mod circuit;
pub mod classify;
pub mod data;
mod described;
pub mod evaluate;
mod exact;
#[cfg(test)]
mod family_tests;
pub mod grow;
pub mod init;
mod look;
pub mod plan;
pub mod policy;
pub mod raster;
pub mod records;
pub mod report;
pub mod run;
pub mod runs;
pub mod sample;
pub mod schedule;
pub mod session;
pub mod settings;
pub mod spec;
pub mod trained;
pub mod trainee;
pub mod twins;
pub mod visits;

/// What can go wrong in a run, in a sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("{problem}")]
    Setup { problem: String, hint: Option<String> },
    /// A model or a data set that is not available.
    #[error("{problem}")]
    Unavailable { problem: String, hint: Option<String> },
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    #[error("{}", crate::tensor::device::sentence(.0))]
    Tensor(#[from] candle_core::Error),
    /// Told to end without saving.
    #[error("stopped without saving")]
    Killed,
    /// Loss or gradient stopped being finite.
    #[error("step {step}: {what} is not finite; the last good checkpoint is {checkpoint}")]
    Diverged { step: usize, what: &'static str, checkpoint: String },
}

impl TrainError {
    pub(crate) fn setup(problem: impl Into<String>) -> Self {
        TrainError::Setup { problem: problem.into(), hint: None }
    }

    /// A file or folder that cannot be read.
    pub(crate) fn unreadable(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| TrainError::setup(crate::support::files::unreadable(&path, &source))
    }

    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.display().to_string();
        move |source| TrainError::Io { path, source }
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            TrainError::Setup { hint, .. } | TrainError::Unavailable { hint, .. } => hint.clone(),
            TrainError::Model(e) => e.hint(),
            TrainError::Diverged { .. } => {
                Some("lower the learning rate or the gradient clipping norm (--clip)".to_owned())
            }
            TrainError::Io { source, .. } if checkpoint::disk::is_full(source) => {
                Some("make room, or keep fewer checkpoints with --keep-last".to_owned())
            }
            TrainError::Tensor(e) => crate::tensor::device::hint(e),
            TrainError::Io { .. } | TrainError::Killed => None,
        }
    }
}
