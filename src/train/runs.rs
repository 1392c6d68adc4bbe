//! Run folders as a list: the spec of each, how far it came, its curve; and their removal. Reads only what runs
//! have written; must never touch a folder that is not a run.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::TrainError;
use super::checkpoint::{folder::Folders, renamed, state};
pub use super::described::{SpecDifference, differences};
use super::records::{METRICS, step_of};
use super::report::{Report, RunState, RunSummary, StepReport};
use super::spec::RunSpec;
use crate::support::files::{plain, read_at_most};

/// One run folder.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RunInfo {
    pub path: PathBuf,
    pub spec: RunSpec,
    /// `None` while it runs, and where it was killed, failed or crashed.
    pub summary: Option<RunSummary>,
    /// Whether it ended by being killed or by an error.
    pub cut: Option<RunState>,
    /// Steps that were recorded; of twins, those of all seeds.
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
        match (&self.summary, self.cut) {
            (Some(s), _) => s.state.name(),
            (None, Some(state)) => state.name(),
            (None, None) => "unfinished",
        }
    }

    /// The folder of its newest checkpoint.
    pub fn newest(&self) -> Option<PathBuf> {
        Some(Folders::new(&self.path).path(*self.checkpoints.last()?))
    }

    /// Whether all of it was done.
    pub fn is_whole(&self) -> bool {
        let done =
            if self.spec.twins.is_some() { self.steps } else { *self.checkpoints.last().unwrap_or(&0) };
        done >= self.planned_steps()
    }

    /// Steps of the whole run; of twins, those of all seeds.
    pub fn planned_steps(&self) -> usize {
        self.spec.steps * self.spec.twins.as_ref().map_or(1, |twins| twins.seeds)
    }

    /// Reads one run folder.
    ///
    /// # Errors
    /// A folder without a readable `run.json`.
    pub fn read(path: &Path) -> Result<RunInfo, TrainError> {
        let file = path.join("run.json");
        let text = read_at_most(&file, state::LARGEST_JSON).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => TrainError::Setup {
                problem: format!("{} is not a run folder", path.display()),
                hint: Some("maskscope runs list shows the run folders".to_owned()),
            },
            _ => TrainError::unreadable(&file)(e),
        })?;
        // A list says nothing of old names; resuming the run does.
        let (spec, _): (RunSpec, _) = renamed::read(&text)
            .map_err(|e| TrainError::setup(format!("{} cannot be read: {e}", file.display())))?;
        let mut info = RunInfo {
            path: path.to_owned(),
            spec,
            summary: None,
            cut: None,
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
                Some("twin-seed") => {
                    info.steps = info.spec.steps.saturating_mul(number("seed").unwrap_or(0.0) as usize);
                }
                Some("evaluated") => info.validation_loss = number("loss"),
                Some("state") => {
                    let state = line.get("state").cloned().and_then(|s| serde_json::from_value(s).ok());
                    info.cut = state.filter(|s| matches!(s, RunState::Killed | RunState::Failed));
                }
                Some("ended") => info.summary = serde_json::from_value(line).ok(),
                _ => {}
            }
        }
        Ok(info)
    }
}

/// Lines of a run's metrics; a damaged line is left out.
fn lines(run: &Path) -> impl Iterator<Item = serde_json::Value> {
    let file = plain(&run.join(METRICS)).ok();
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

/// Steps of a run that a chart is given at most: of a longer run, evenly spaced ones.
const CHARTED: usize = 4_096;

/// Reports of the steps and evaluations of a run, for charts. A step of a long run stands for those before it that are left
/// out. Records of older versions have what they noted.
pub fn charted(run: &Path) -> Vec<Report> {
    let (mut steps, mut evaluated) = (Vec::<Report>::new(), Vec::new());
    let (mut stride, mut seen) = (1, 0);
    for line in lines(run) {
        let Some(step) = step_of(&line) else { continue };
        let Some(loss) = line.get("loss").and_then(serde_json::Value::as_f64) else { continue };
        let event = line.get("event").and_then(serde_json::Value::as_str).map(str::to_owned);
        let report = serde_json::from_value::<Report>(line).ok();
        match event.as_deref() {
            Some("evaluated") => evaluated.push(report.unwrap_or(Report::Evaluated {
                step,
                loss,
                bits_per_byte: None,
                masked_loss: None,
            })),
            Some("step") => {
                seen += 1;
                if seen % stride != 0 {
                    continue;
                }
                let plain =
                    || Report::Step { report: StepReport { step, loss, ..StepReport::default() }, merged: 1 };
                steps.push(report.unwrap_or_else(plain));
                if steps.len() > CHARTED {
                    let mut place = 0;
                    steps.retain(|_| {
                        place += 1;
                        place % 2 == 0
                    });
                    stride *= 2;
                }
            }
            _ => {}
        }
    }
    for report in &mut steps {
        if let Report::Step { merged, .. } = report {
            *merged *= stride;
        }
    }
    steps.extend(evaluated);
    steps
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
