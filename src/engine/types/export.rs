//! What the screen and the writer of its files exchange.

use std::path::PathBuf;

/// What became of a file that the screen asked to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportOutcome {
    /// It is there, with so many bytes.
    Written { path: PathBuf, bytes: u64 },
    /// There is one of this name already, and nobody has said that it may be replaced.
    Exists { path: PathBuf },
    /// In a sentence.
    Failed { path: PathBuf, message: String },
}
