//! What can be wrong with a checkpoint or an input, in sentences that name the file and the field.

use crate::tensor::device;

/// Errors of this room.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file of the checkpoint cannot be used.
    #[error("{file}: {problem}")]
    File { file: String, problem: String, hint: Option<String> },
    /// A file of the checkpoint cannot be read.
    #[error("cannot read {file}: {reason}")]
    Unreadable { file: String, reason: String },
    /// A weight is NaN or infinite.
    #[error("{file}: tensor {tensor} holds {what}, so the model cannot run")]
    NotFinite { file: String, tensor: String, what: String },
    /// The text or ids cannot be run.
    #[error("{problem}")]
    Input { problem: String, hint: Option<String> },
    /// Somebody asked for something newer.
    #[error("cancelled")]
    Cancelled,
    /// An operator failed; most often memory.
    #[error("{}", device::sentence(.0))]
    Tensor(#[from] candle_core::Error),
}

impl ModelError {
    pub fn file(file: impl Into<String>, problem: impl Into<String>) -> Self {
        ModelError::File { file: file.into(), problem: problem.into(), hint: None }
    }

    /// What the system says of a file.
    pub fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Self {
        let reason = crate::support::files::reason(error);
        ModelError::Unreadable { file: path.display().to_string(), reason }
    }

    pub fn input(problem: impl Into<String>) -> Self {
        ModelError::Input { problem: problem.into(), hint: None }
    }

    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let ModelError::File { hint, .. } | ModelError::Input { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            ModelError::File { hint, .. } | ModelError::Input { hint, .. } => hint.clone(),
            ModelError::NotFinite { .. } => Some(
                "the file is damaged or its training diverged: fetch it again, or choose an earlier checkpoint".to_owned(),
            ),
            ModelError::Tensor(e) => device::hint(e),
            ModelError::Unreadable { .. } | ModelError::Cancelled => None,
        }
    }
}
