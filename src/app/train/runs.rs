//! Run folders as the screen shows them: the list, what is marked for comparison, and the curves of what is marked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::train::runs::{LossCurve, RunInfo};

/// Curves of one run, from its records.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    pub train: LossCurve,
    pub validation: LossCurve,
}

/// The list of runs.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    pub list: Vec<RunInfo>,
    /// Whether the folder was read at all.
    pub known: bool,
    pub selected: usize,
    /// Runs whose curves are laid over the chart.
    pub marked: Vec<PathBuf>,
    pub curves: BTreeMap<PathBuf, Curves>,
}

impl Runs {
    pub fn current(&self) -> Option<&RunInfo> {
        self.list.get(self.selected)
    }

    /// Takes over a fresh list; the selected run stays selected.
    pub fn take(&mut self, list: Vec<RunInfo>) {
        let was = self.current().map(|r| r.path.clone());
        self.known = true;
        self.list = list;
        let place = was.and_then(|p| self.list.iter().position(|r| r.path == p));
        self.selected = place.unwrap_or(self.selected).min(self.list.len().saturating_sub(1));
        self.marked.retain(|m| self.list.iter().any(|r| r.path == *m));
    }

    /// Marks the selected run, or takes the mark off; returns the run whose curves are to be read.
    pub fn toggle(&mut self) -> Option<PathBuf> {
        let path = self.current()?.path.clone();
        if let Some(i) = self.marked.iter().position(|m| *m == path) {
            self.marked.remove(i);
            return None;
        }
        self.marked.push(path.clone());
        Some(path)
    }
}

/// The last part of a run's path.
pub fn name(run: &Path) -> String {
    run.file_name().map_or_else(|| run.display().to_string(), |n| n.to_string_lossy().into_owned())
}
