//! Classification under arms of masking, seed by seed: which texts a seed draws, the folder that keeps every finished run, and
//! the order of what is left to do. A folder whose program was killed goes on where it was.

mod summary;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use summary::{ArmScores, Contrast, Summarised};

use super::rows::{RowFile, settle_plan};
use crate::mask::draw::{Draws, Stream};
use crate::support::files::replace;
use crate::train::TrainError;
use crate::train::classify::ClassifierSpec;
use crate::train::spec::Arm;

const PLAN: &str = "classify.json";
const ROWS: &str = "rows.jsonl";

/// Everything that the rows of a folder depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassifyPlan {
    pub model: String,
    /// SHA-256 of its weights.
    pub weights: String,
    pub data: String,
    /// SHA-256 of the texts and their labels.
    pub texts: String,
    pub classes: Vec<String>,
    pub arms: Vec<Arm>,
    pub first_seed: u64,
    pub seeds: usize,
    /// Tokens that a seed draws to learn from, and to be judged on.
    pub tokens: usize,
    pub test_tokens: usize,
    pub epsilon: f64,
    /// `masking.arm` is each of the arms in turn.
    pub classifier: ClassifierSpec,
}

/// One finished run, or the baseline of a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassifyRow {
    pub seed: u64,
    /// None for naive Bayes.
    pub arm: Option<Arm>,
    pub accuracy: f64,
    pub macro_f1: f64,
    /// Share of the eligible tokens that was masked in training.
    pub rate: f64,
    /// Nats per text over the last pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Texts and tokens that it learned from, in one pass.
    pub texts: usize,
    pub tokens: usize,
    /// Whether each held-out text was told right.
    pub right: Vec<bool>,
}

/// A folder of rows.
pub struct ClassifyFolder {
    pub plan: ClassifyPlan,
    pub rows: Vec<ClassifyRow>,
    file: RowFile,
    path: PathBuf,
}

impl ClassifyFolder {
    /// Opens `path`, or makes it.
    ///
    /// # Errors
    /// A folder of another experiment; files that are damaged.
    pub fn open(path: &Path, plan: ClassifyPlan) -> Result<Self, TrainError> {
        // More seeds are the same experiment, and so is its file elsewhere: the rows so far stay.
        let same = |known: &ClassifyPlan, plan: &ClassifyPlan| {
            let known = ClassifyPlan { seeds: plan.seeds, data: plan.data.clone(), ..known.clone() };
            known == *plan
        };
        settle_plan(&path.join(PLAN), &plan, same)?;
        let (file, rows) = RowFile::open(path.join(ROWS))?;
        Ok(ClassifyFolder { plan, rows, file, path: path.to_owned() })
    }

    /// The seeds in order.
    pub fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let (first, n) = (self.plan.first_seed, self.plan.seeds as u64);
        (0..n).map(move |k| first.wrapping_add(k))
    }

    /// What is still to be done under a seed, naive Bayes (none) first.
    pub fn left(&self, seed: u64) -> Vec<Option<Arm>> {
        let all = std::iter::once(None).chain(self.plan.arms.iter().copied().map(Some));
        all.filter(|arm| !self.rows.iter().any(|row| row.seed == seed && row.arm == *arm)).collect()
    }

    /// Adds a finished row; it is on the disk when this returns.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn add(&mut self, row: &ClassifyRow) -> Result<(), TrainError> {
        let row = self.file.add(row)?;
        self.rows.push(row);
        Ok(())
    }

    /// Writes a file of results into the folder.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn write(&self, name: &str, text: &str) -> Result<(), TrainError> {
        let path = self.path.join(name);
        replace(&path, text.as_bytes()).map_err(TrainError::io(&path))
    }
}

/// A stratified draw: places in `labels` of texts whose `lengths` sum to at most `tokens`, every class in proportion.
///
/// Each class is shuffled by `seed`; then texts are taken by how far they stand in their class.
pub fn stratified(labels: &[u32], lengths: &[usize], tokens: usize, seed: u64) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |most| *most as usize + 1);
    let mut queue: Vec<(f64, u32, usize)> = Vec::with_capacity(labels.len());
    for class in 0..classes as u32 {
        let draws = Draws { sequence: class, ..Draws::new(seed) };
        let mut own: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == class).collect();
        for i in (1..own.len()).rev() {
            own.swap(i, draws.below(Stream::Split, i, i + 1));
        }
        let n = own.len() as f64;
        queue.extend(own.into_iter().enumerate().map(|(at, i)| ((at as f64 + 0.5) / n, class, i)));
    }
    queue.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut sum = 0;
    let fits = |(.., i): &(f64, u32, usize)| {
        sum += lengths[*i];
        sum <= tokens
    };
    queue.into_iter().take_while(fits).map(|(.., i)| i).collect()
}

#[cfg(test)]
mod tests;
