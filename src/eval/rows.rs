//! A file of JSON lines that only grows: results that are finished, one a line. A line is kept as it was written, and its values
//! are those that reading it gives, so that a run that was stopped and continued ends with the same bits as one that was not.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::support::files::{read_at_most, replace};
use crate::train::TrainError;

/// Larger files are not ours.
const LARGEST: u64 = 1 << 30;

/// The file and its lines.
#[derive(Debug)]
pub struct RowFile {
    path: PathBuf,
    lines: String,
}

impl RowFile {
    /// Opens a file of rows, with what it holds; a file that is not there has none.
    ///
    /// # Errors
    /// A file that cannot be read, or a damaged line.
    pub fn open<T: DeserializeOwned>(path: PathBuf) -> Result<(Self, Vec<T>), TrainError> {
        let mut file = RowFile { path, lines: String::new() };
        if !file.path.exists() {
            return Ok((file, Vec::new()));
        }
        file.lines = text(&file.path)?;
        let rows = file.lines.lines().map(|line| file.parse(line)).collect::<Result<_, _>>()?;
        Ok((file, rows))
    }

    /// Adds a row, which is on the disk when this returns, and gives it back as reading it will.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn add<T: Serialize + DeserializeOwned>(&mut self, row: &T) -> Result<T, TrainError> {
        let line = line(row)?;
        let read = self.parse(&line)?;
        self.lines.push_str(&line);
        self.lines.push('\n');
        replace(&self.path, self.lines.as_bytes()).map_err(TrainError::io(&self.path))?;
        Ok(read)
    }

    fn parse<T: DeserializeOwned>(&self, line: &str) -> Result<T, TrainError> {
        serde_json::from_str(line).map_err(|e| damaged(&self.path, &e))
    }
}

/// The description of an experiment beside its rows: the one that is there must agree with `plan`; without one, it is written.
/// `same` is told both, as reading gives them.
///
/// # Errors
/// Another experiment, as `same` sees it; a damaged file.
pub fn settle_plan<T: Serialize + DeserializeOwned>(
    path: &Path,
    plan: &T,
    same: impl FnOnce(&T, &T) -> bool,
) -> Result<(), TrainError> {
    let written = serde_json::to_string_pretty(plan).map_err(unwritable)?;
    if path.exists() {
        let read = |text: &str| serde_json::from_str::<T>(text).map_err(|e| damaged(path, &e));
        if !same(&read(&text(path)?)?, &read(&written)?) {
            let folder = path.parent().unwrap_or(path).display();
            return Err(TrainError::Setup {
                problem: format!("{folder} contains an experiment with other settings, model or data"),
                hint: Some("repeat its settings to continue it, or choose another --out folder".to_owned()),
            });
        }
    }
    replace(path, format!("{written}\n").as_bytes()).map_err(TrainError::io(path))
}

fn text(path: &Path) -> Result<String, TrainError> {
    let bytes = read_at_most(path, LARGEST).map_err(TrainError::unreadable(path))?;
    String::from_utf8(bytes).map_err(|e| damaged(path, &e))
}

fn line<T: Serialize>(row: &T) -> Result<String, TrainError> {
    serde_json::to_string(row).map_err(unwritable)
}

fn unwritable(e: serde_json::Error) -> TrainError {
    TrainError::setup(format!("results cannot be written as JSON: {e}"))
}

fn damaged(path: &Path, e: &dyn std::fmt::Display) -> TrainError {
    TrainError::Setup {
        problem: format!("{} is damaged: {e}", path.display()),
        hint: Some("choose another --out folder".to_owned()),
    }
}
