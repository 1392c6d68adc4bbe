//! Run folders as a list: the spec of each, how far it came, its curve; and their removal. Reads only what runs
//! have written; must never touch a folder that is not a run.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::TrainError;
use super::checkpoint::{folder::Folders, renamed};
use super::records::{METRICS, step_of};
use super::report::{Report, RunSummary};
use super::spec::RunSpec;

/// One run folder.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RunInfo {
    pub path: PathBuf,
    pub spec: RunSpec,
    /// `None` while it runs, or after a crash.
    pub summary: Option<RunSummary>,
    /// Steps that were recorded.
    pub steps: usize,
    pub train_loss: Option<f64>,
    pub validation_loss: Option<f64>,
    /// Steps with a checkpoint.
    pub checkpoints: Vec<usize>,
    /// Bytes on disk; hard links count once.
    pub bytes: u64,
    #[serde(skip)]
    pub modified: Option<SystemTime>,
}

impl RunInfo {
    /// How it ended; a run in progress and a crash look the same from outside.
    pub fn state(&self) -> &'static str {
        match &self.summary {
            Some(s) => s.state.name(),
            None => "unfinished",
        }
    }

    /// Reads one run folder.
    ///
    /// # Errors
    /// A folder without a readable `run.json`.
    pub fn read(path: &Path) -> Result<RunInfo, TrainError> {
        let file = path.join("run.json");
        let text = fs::read(&file).map_err(TrainError::io(&file))?;
        // A list says nothing of old names; resuming the run does.
        let (spec, _): (RunSpec, _) = renamed::read(&text)
            .map_err(|e| TrainError::setup(format!("{} cannot be read: {e}", file.display())))?;
        let mut info = RunInfo {
            path: path.to_owned(),
            spec,
            summary: None,
            steps: 0,
            train_loss: None,
            validation_loss: None,
            checkpoints: Folders::new(path).steps(),
            bytes: size(path),
            modified: fs::metadata(&file).and_then(|m| m.modified()).ok(),
        };
        for line in lines(path) {
            let number = |name: &str| line.get(name).and_then(serde_json::Value::as_f64);
            match line.get("event").and_then(serde_json::Value::as_str) {
                Some("step") => {
                    info.steps = step_of(&line).unwrap_or(info.steps);
                    info.train_loss = number("loss");
                }
                Some("twin-seed") => info.steps = info.spec.steps * number("seed").unwrap_or(0.0) as usize,
                Some("evaluated") => info.validation_loss = number("loss"),
                Some("ended") => info.summary = serde_json::from_value(line).ok(),
                _ => {}
            }
        }
        Ok(info)
    }
}

/// Lines of a run's metrics; a damaged line is left out.
fn lines(run: &Path) -> impl Iterator<Item = serde_json::Value> {
    let file = File::open(run.join(METRICS)).ok();
    let lines = file.into_iter().flat_map(|f| BufReader::new(f).split(b'\n').map_while(Result::ok));
    lines.filter_map(|line| serde_json::from_slice(&line).ok())
}

/// Runs in `folder`, and `folder` itself where it is one; newest first.
pub fn list(folder: &Path) -> Vec<RunInfo> {
    let inside = fs::read_dir(folder).into_iter().flatten().filter_map(|e| e.ok().map(|e| e.path()));
    let mut runs: Vec<RunInfo> = std::iter::once(folder.to_owned())
        .chain(inside)
        .filter(|p| p.join("run.json").is_file())
        .filter_map(|p| RunInfo::read(&p).ok())
        .collect();
    runs.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| a.path.cmp(&b.path)));
    runs
}

/// One curve: `(step, value)`.
pub type LossCurve = Vec<(usize, f64)>;

/// Training and validation losses of a run, by step.
pub fn curves(run: &Path) -> (LossCurve, LossCurve) {
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for line in lines(run) {
        let Some(step) = step_of(&line) else { continue };
        let Some(loss) = line.get("loss").and_then(serde_json::Value::as_f64) else { continue };
        match line.get("event").and_then(serde_json::Value::as_str) {
            Some("step") => train.push((step, loss)),
            Some("evaluated") => validation.push((step, loss)),
            _ => {}
        }
    }
    (train, validation)
}

/// The settings of a run and all that it reported; reports of another version are left out.
///
/// # Errors
/// A folder without a readable `run.json`.
pub fn reports(run: &Path) -> Result<(RunSpec, Vec<Report>), TrainError> {
    let RunInfo { spec, .. } = RunInfo::read(run)?;
    let all = lines(run).filter_map(|line| serde_json::from_value(line).ok());
    Ok((RunSpec { out: run.to_owned(), ..spec }, all.collect()))
}

/// Deletes a run folder.
///
/// # Errors
/// A folder that is not a run, which is left alone.
pub fn delete(run: &Path) -> Result<(), TrainError> {
    RunInfo::read(run)?;
    fs::remove_dir_all(run).map_err(TrainError::io(run))
}

fn size(path: &Path) -> u64 {
    let mut seen = std::collections::HashSet::new();
    let mut folders = vec![path.to_owned()];
    let mut total = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if first_link(&meta, &mut seen) {
                total += meta.len();
            }
        }
    }
    total
}

#[cfg(unix)]
fn first_link(meta: &fs::Metadata, seen: &mut std::collections::HashSet<(u64, u64)>) -> bool {
    use std::os::unix::fs::MetadataExt;
    seen.insert((meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
fn first_link(_: &fs::Metadata, _: &mut std::collections::HashSet<(u64, u64)>) -> bool {
    true
}
