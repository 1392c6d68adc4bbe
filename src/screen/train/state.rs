//! The state of the Train screen: the run, the charts, the runs, what is being typed. Pure.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use crate::screen::params::Path;
use crate::screen::train::metrics::MetricsView;
use crate::screen::train::runs::Runs;
use crate::screen::train::series::{Series, Smoothing};
use crate::screen::train::setup::{RunRequest, RunSettings};
use crate::screen::train::twins::TwinView;
use crate::screen::widgets::plot::Axis;
use crate::train::raster::RasterStats;
use crate::train::report::{
    BatchView, HeadsReport, Live, LiveChange, Plan, RasterRow, Report, RunState, RunSummary,
    recorded_heads_line,
};
use crate::train::spec::{Arm, RunSpec};

/// Rows of the raster that are kept.
const RASTER: usize = 400;
/// Lines of the log, and samples, that are kept.
const LINES: usize = 1000;

/// How grave a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    Said,
    Good,
    Warning,
    Bad,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub step: usize,
    pub grade: Grade,
    pub text: String,
}

/// A sample of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub step: usize,
    pub prompt: String,
    pub text: String,
}

/// One run as it has reported itself.
#[derive(Clone, Debug)]
pub struct RunView {
    pub spec: RunSpec,
    pub state: RunState,
    /// It has done, or was about to do, a step.
    pub begun: bool,
    pub plan: Option<Plan>,
    pub series: Series,
    /// The newest last.
    pub raster: VecDeque<RasterRow>,
    /// What the rows have in common.
    pub raster_stats: Option<RasterStats>,
    /// Where arms are compared instead of one run being made.
    pub twins: Option<TwinView>,
    /// What is being prepared: bytes done, of how many.
    pub loading: Option<(String, u64, Option<u64>)>,
    /// Parts of an evaluation that are done, of how many.
    pub measuring: Option<(usize, usize)>,
    pub batch: Option<BatchView>,
    /// What every head reads, where the run looks at them.
    pub heads: Option<HeadsReport>,
    pub samples: Vec<Sample>,
    pub log: Vec<Line>,
    pub saved: Option<(usize, PathBuf)>,
    pub summary: Option<RunSummary>,
    pub failure: Option<(String, Option<String>)>,
    /// Seconds left and the tokens read, of the last step.
    pub eta: Option<f64>,
    pub tokens: u64,
    /// τ and p in force, and the learning rate where it was set by hand.
    pub threshold: f64,
    pub probability: f64,
    pub learning_rate: Option<f64>,
    /// When the state was entered.
    pub since: Duration,
}

impl RunView {
    pub fn new(spec: RunSpec, now: Duration) -> Self {
        let policy = spec.masking.policy.as_ref();
        // Without a policy of its own an arm decides from its rate; the sliders then start from its average.
        let (threshold, probability) =
            policy.map_or((1.0 - spec.masking.rate, 1.0), |p| (p.threshold, p.probability));
        let twins = spec.twins.as_ref().map(|t| TwinView::new(t, spec.steps));
        RunView {
            spec,
            raster_stats: None,
            twins,
            loading: None,
            measuring: None,
            state: RunState::Preparing,
            begun: false,
            plan: None,
            series: Series::default(),
            raster: VecDeque::new(),
            batch: None,
            heads: None,
            samples: Vec::new(),
            log: Vec::new(),
            saved: None,
            summary: None,
            failure: None,
            eta: None,
            tokens: 0,
            threshold,
            probability,
            learning_rate: None,
            since: now,
        }
    }

    /// The last step that is known.
    pub fn step(&self) -> usize {
        if let Some(twins) = &self.twins {
            return twins.step;
        }
        self.series.last().map_or(0, |p| p.step)
    }

    /// Share of the run that is done.
    pub fn progress(&self) -> f64 {
        if self.state == RunState::Finished {
            return 1.0;
        }
        if let Some(twins) = &self.twins {
            return twins.progress().clamp(0.0, 1.0);
        }
        (self.step() as f64 / self.spec.steps.max(1) as f64).clamp(0.0, 1.0)
    }

    /// Steps are being done, or will be without anybody starting the run again.
    pub fn goes_on(&self) -> bool {
        matches!(self.state, RunState::Running | RunState::Paused | RunState::Stopping)
    }

    /// Has masks that move by hand; twins keep to their plan.
    pub fn masks(&self) -> bool {
        self.twins.is_none() && self.spec.masking.arm != Arm::None
    }

    /// The learning rate in force: set by hand, or of the last step.
    pub fn rate(&self) -> f64 {
        let last = self.series.last().map_or(self.spec.learning_rate.peak, |p| p.learning_rate);
        self.learning_rate.unwrap_or(last)
    }

    fn note(&mut self, step: usize, grade: Grade, text: impl Into<String>) {
        self.log.push(Line { step, grade, text: text.into() });
        if self.log.len() > LINES {
            self.log.remove(0);
        }
    }

    fn sampled(&mut self, sample: Sample) {
        self.samples.push(sample);
        if self.samples.len() > LINES {
            self.samples.remove(0);
        }
    }

    /// What twins report of an arm, an evaluation or a seed.
    fn take_twins(&mut self, report: Report) {
        self.measuring = None;
        match report {
            Report::TwinStep(report) => {
                (self.eta, self.tokens) = (report.eta, report.tokens);
                if let Some(twins) = &mut self.twins {
                    twins.stepped(&report);
                }
            }
            Report::TwinEvaluated { seed, step, losses, differences } => {
                if let Some(twins) = &mut self.twins {
                    twins.evaluated((seed, step), &losses, differences);
                }
            }
            Report::TwinSeed { seed, losses, verdicts } => {
                for verdict in &verdicts {
                    self.note(seed * self.spec.steps, Grade::Good, verdict.to_string());
                }
                if let Some(twins) = &mut self.twins {
                    twins.finished.push(losses);
                    twins.verdicts = verdicts;
                }
            }
            _ => {}
        }
    }

    /// The run failed; one that was killed is not said to have.
    fn failed(&mut self, message: String, hint: Option<String>, now: Duration) {
        if self.state != RunState::Killed {
            self.state = RunState::Failed;
            self.note(self.step(), Grade::Bad, message.clone());
            self.failure = Some((message, hint));
        }
        self.since = now;
        self.eta = None;
    }

    fn planned(&mut self, plan: Plan) {
        if self.spec.epochs > 0.0 {
            // So many passes are so many steps, now that the data is read.
            self.spec.steps = plan.steps;
            self.twins = self.spec.twins.as_ref().map(|twins| TwinView::new(twins, plan.steps));
        }
        self.plan = Some(plan);
    }

    fn ended(&mut self, summary: RunSummary, now: Duration) {
        self.state = summary.state;
        self.since = now;
        let saved = summary.saved.zip(summary.checkpoint.clone());
        self.measuring = None;
        self.saved = saved.or(self.saved.take());
        if let Some(problem) = summary.unsaved() {
            self.note(summary.steps, Grade::Bad, problem);
        }
        self.summary = Some(summary);
        self.eta = None;
    }

    /// A slider was moved, or let go.
    fn changed(&mut self, change: LiveChange) {
        let name = match change.what {
            Live::LearningRate => {
                self.learning_rate = change.value;
                "learning rate"
            }
            Live::Threshold => {
                self.threshold = change.value.unwrap_or(self.threshold);
                "τ"
            }
            Live::Probability => {
                self.probability = change.value.unwrap_or(self.probability);
                "p"
            }
        };
        let value = match (change.what, change.value) {
            (_, None) => "back to the schedule".to_owned(),
            (Live::LearningRate, Some(v)) => format!("{v:.3e}, held until it is given back to its schedule"),
            (_, Some(v)) => format!("{v:.3}"),
        };
        self.series.changes.push(change);
        self.note(change.step, Grade::Said, format!("{name} by hand: {value}"));
    }

    /// Takes in one report.
    pub fn take(&mut self, report: Report, now: Duration) {
        match report {
            Report::State { state } => {
                if state != self.state {
                    self.since = now;
                    self.note(self.step(), Grade::Said, state.name());
                }
                self.state = state;
                self.begun |= state == RunState::Running;
            }
            Report::Planned(plan) => self.planned(plan),
            Report::Step { report, merged } => {
                self.measuring = None;
                (self.eta, self.tokens) = (report.eta, report.tokens);
                self.series.push(&report, merged);
            }
            Report::Evaluating { done, total, .. } => self.measuring = Some((done, total)),
            Report::Evaluated { step, loss, bits_per_byte, masked_loss } => {
                self.measuring = None;
                self.series.evaluated.push((step, loss, masked_loss));
                let bits = bits_per_byte.map_or(String::new(), |bits| format!(", {bits:.4} bits per byte"));
                self.note(step, Grade::Said, format!("validation loss {loss:.4}{bits}"));
            }
            Report::Saved { step, path, best } => {
                let best = if best { " (the best so far)" } else { "" };
                self.note(step, Grade::Good, format!("saved{best}: {}", path.display()));
                self.saved = Some((step, path));
            }
            Report::HeadsRecorded { step, heads } => {
                self.note(step, Grade::Said, recorded_heads_line(&heads));
            }
            Report::Sample { step, prompt, text } => self.sampled(Sample { step, prompt, text }),
            Report::Changed(change) => self.changed(change),
            Report::Note { step, message } => self.note(step, Grade::Said, message),
            Report::Warning { step, message } => self.note(step, Grade::Warning, message),
            Report::Loading { what, done, total } => self.loading = Some((what, done, total)),
            Report::TwinStep(_) | Report::TwinEvaluated { .. } | Report::TwinSeed { .. } => {
                self.take_twins(report);
            }
            Report::Raster { row, stats } => {
                self.raster_stats = Some(stats);
                self.raster.push_back(row);
                if self.raster.len() > RASTER {
                    self.raster.pop_front();
                }
            }
            Report::Batch(batch) => self.batch = Some(batch),
            Report::Heads(heads) => self.heads = Some(heads),
            Report::Ended(summary) => self.ended(summary, now),
            Report::Failed { message, hint } => self.failed(message, hint, now),
        }
    }
}

/// How the charts look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChartView {
    pub log: bool,
    /// Only the newest steps.
    pub tail: bool,
    /// The step the cursor stands at.
    pub cursor: Option<usize>,
    pub axis: Axis,
    pub smoothing: Smoothing,
}

/// A value of the form being typed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Typing {
    pub field: Option<Path>,
    pub typed: String,
    pub error: Option<String>,
    /// What the path may go on to.
    pub offers: Vec<String>,
}

/// The Train screen.
#[derive(Clone, Debug)]
pub struct TrainState {
    pub field: Path,
    pub field_top: usize,
    /// A value being typed.
    pub typing: Option<Typing>,
    pub run: Option<RunView>,
    pub chart: ChartView,
    pub metrics: MetricsView,
    pub runs: Runs,
    /// Sequence of the batch that is shown.
    pub sequence: usize,
    /// Steps between two looks at the weights in the explorer; 0 is off.
    pub follow: usize,
    /// The model to go back to when following ends.
    pub followed: Option<String>,
    /// Leave as soon as the run has saved.
    pub leaving: bool,
    /// What the plan on screen was made for.
    pub planned: Option<RunRequest>,
    /// A run of the past is to go on: its plan is not the form's.
    pub goes_on: bool,
    /// The form is that of last time, which is still to be said.
    pub recalled: bool,
    /// Number of the run, as the trainer counts.
    pub number: u64,
}

impl Default for TrainState {
    fn default() -> Self {
        TrainState {
            field: RunSettings::data,
            field_top: 0,
            typing: None,
            run: None,
            chart: ChartView::default(),
            metrics: MetricsView::default(),
            runs: Runs::default(),
            sequence: 0,
            follow: 0,
            followed: None,
            leaving: false,
            planned: None,
            goes_on: false,
            recalled: false,
            number: 0,
        }
    }
}

impl TrainState {
    /// Something that quitting would cut off.
    pub fn busy(&self) -> bool {
        self.run.as_ref().is_some_and(|r| !r.state.is_over() && r.state != RunState::Planned)
    }

    /// A new run may be prepared.
    pub fn free(&self) -> bool {
        self.run.as_ref().is_none_or(|r| r.state.is_over() || r.state == RunState::Planned)
    }

    pub fn state(&self) -> Option<RunState> {
        self.run.as_ref().map(|r| r.state)
    }
}
