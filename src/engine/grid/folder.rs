//! The folder of a grid: its plan, the finished cells (one file a shard), and the results once every cell is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::table::{csv, markdown};
use super::{GridPlan, GridRow};
use crate::eval::rows::{RowFile, settle_plan};
use crate::support::files::replace;
use crate::train::TrainError;

const PLAN: &str = "sweep.json";

/// Part `number` of `of`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub number: usize,
    pub of: usize,
}

impl Shard {
    pub const WHOLE: Shard = Shard { number: 1, of: 1 };

    fn has(self, cell: usize) -> bool {
        cell % self.of == self.number - 1
    }

    fn file(self) -> String {
        if self.of == 1 {
            "cells.jsonl".to_owned()
        } else {
            format!("cells-{}-of-{}.jsonl", self.number, self.of)
        }
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    /// `2/4`
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(n, of)| Some((n.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Shard { number, of }),
            _ => Err("must be a part and the number of parts, such as 2/4".to_owned()),
        }
    }
}

/// A grid on the disk.
pub struct GridFolder {
    pub plan: GridPlan,
    /// Finished cells by number, of all shards.
    pub rows: BTreeMap<usize, GridRow>,
    shard: Shard,
    file: RowFile,
    path: PathBuf,
}

impl GridFolder {
    /// Opens `path`, or makes it, to work on one shard.
    ///
    /// # Errors
    /// A folder of another grid; files that are damaged.
    pub fn open(path: &Path, plan: GridPlan, shard: Shard) -> Result<Self, TrainError> {
        settle_plan(&path.join(PLAN), &plan, |known, plan| known == plan)?;
        let own = path.join(shard.file());
        let (file, _) = RowFile::open::<GridRow>(own)?;
        Ok(GridFolder { rows: finished(path)?, plan, shard, file, path: path.to_owned() })
    }

    /// Puts the cells of several folders of one grid together in `path`.
    ///
    /// # Errors
    /// Folders of different grids, or without one.
    pub fn merged(path: &Path, parts: &[PathBuf]) -> Result<Self, TrainError> {
        let mut plan: Option<GridPlan> = None;
        let mut rows = BTreeMap::new();
        for part in parts {
            let file = part.join(PLAN);
            let text = std::fs::read_to_string(&file).map_err(TrainError::unreadable(&file))?;
            let of: GridPlan = serde_json::from_str(&text)
                .map_err(|e| TrainError::setup(format!("{} is damaged: {e}", file.display())))?;
            if plan.as_ref().is_some_and(|plan| *plan != of) {
                return Err(TrainError::Setup {
                    problem: format!(
                        "{} belongs to another sweep than {}",
                        part.display(),
                        parts[0].display()
                    ),
                    hint: Some(
                        "merge folders that were made with the same settings, model and data".to_owned(),
                    ),
                });
            }
            plan = Some(of);
            rows.extend(finished(part)?);
        }
        let plan = plan.ok_or_else(|| TrainError::setup("there are no folders to merge"))?;
        let mut folder = GridFolder::open(path, plan, Shard::WHOLE)?;
        for (cell, row) in rows {
            if !folder.rows.contains_key(&cell) {
                folder.add(&row)?;
            }
        }
        Ok(folder)
    }

    /// Numbers of the cells of this shard that are still to be computed.
    pub fn left(&self) -> Vec<usize> {
        let all = 0..self.plan.cells().len();
        all.filter(|cell| self.shard.has(*cell) && !self.rows.contains_key(cell)).collect()
    }

    /// Adds a finished cell; it is on the disk when this returns.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn add(&mut self, row: &GridRow) -> Result<(), TrainError> {
        let row = self.file.add(row)?;
        self.rows.insert(row.cell, row);
        Ok(())
    }

    /// Writes `results.json`, `results.csv` and `results.md` once every cell is there, and says whether it is.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn publish(&self) -> Result<bool, TrainError> {
        if self.rows.len() < self.plan.cells().len() {
            return Ok(false);
        }
        let rows: Vec<&GridRow> = self.rows.values().collect();
        let json = serde_json::to_string_pretty(&rows)
            .map_err(|e| TrainError::setup(format!("results cannot be written as JSON: {e}")))?;
        let files = [
            ("results.json", format!("{json}\n")),
            ("results.csv", csv(&rows)?),
            ("results.md", markdown(&self.plan, &self.rows)),
        ];
        for (name, text) in files {
            let path = self.path.join(name);
            replace(&path, text.as_bytes()).map_err(TrainError::io(&path))?;
        }
        Ok(true)
    }
}

/// The cells that any shard has finished in a folder.
fn finished(path: &Path) -> Result<BTreeMap<usize, GridRow>, TrainError> {
    let mut rows = BTreeMap::new();
    for entry in std::fs::read_dir(path).map_err(TrainError::unreadable(path))? {
        let file = entry.map_err(TrainError::unreadable(path))?.path();
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("cells") && name.ends_with(".jsonl") {
            let (_, own) = RowFile::open::<GridRow>(file)?;
            rows.extend(own.into_iter().map(|row| (row.cell, row)));
        }
    }
    Ok(rows)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
