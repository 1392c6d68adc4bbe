//! Messages between a run and its observer: commands in, reports out. Pure data; every report can be
//! written as one JSON line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use super::circuit::{Ablation, Circuit, HeadClock, HeadScore, HeadsReport, PASSED};
use super::raster::RasterStats;
pub use super::twins::verdict::{
    Compared, NOT_COMPARED, TwinDifference, TwinStep, TwinSummary, TwinVerdict, VerdictBasis,
};
use crate::eval::heads::HeadProfile;
use crate::mask::types::{Op, State};
use crate::settings::choice;
use crate::tensor::meter::GpuFigures;

/// Commands to a run in progress. Each takes effect between two steps.
#[derive(Clone, Debug, PartialEq)]
pub enum RunCommand {
    Pause,
    Resume,
    /// Finishes the step, evaluates, saves and ends.
    Stop,
    /// Ends as soon as possible and saves nothing: the last checkpoint stays.
    Kill,
    /// From now on the learning rate is this, whatever the schedule says; `None` goes back to the schedule.
    SetLearningRate(Option<f64>),
    /// τ of the masking policy.
    SetThreshold(f64),
    /// p of the masking policy.
    SetProbability(f64),
    /// A sample of text now.
    Sample,
    SaveNow,
    /// Evaluates on the validation documents now.
    EvaluateNow,
}

choice! {
    /// The state of a run, as shown.
    pub enum RunState {
        /// Reading data, loading weights, measuring the probe step.
        Preparing = "preparing",
        /// The plan is ready; the run waits to be started.
        Planned = "planned",
        Running = "running",
        Paused = "paused",
        /// Told to stop: finishes the step and saves.
        Stopping = "stopping",
        /// Told to stop, and saved.
        Stopped = "stopped",
        /// Every step done, and saved.
        Finished = "finished",
        /// Ended without saving, as told.
        Killed = "killed",
        Failed = "failed",
    }
}

#[allow(clippy::derivable_impls, reason = "the variants are a macro's")]
impl Default for RunState {
    fn default() -> Self {
        RunState::Preparing
    }
}

impl RunState {
    /// Whether the run has ended.
    pub fn is_over(self) -> bool {
        matches!(self, RunState::Stopped | RunState::Finished | RunState::Killed | RunState::Failed)
    }
}

choice! {
    /// A setting that can change during a run.
    pub enum Live { LearningRate = "learning-rate", Threshold = "threshold", Probability = "probability" }
}

/// A change made by hand: logged, kept in checkpoints, and replayed on resume.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveChange {
    /// The first step it counts for.
    pub step: usize,
    pub what: Live,
    /// `None`: back to the schedule.
    pub value: Option<f64>,
}

/// Seconds a step spent, by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// Batch, scores and mask decisions.
    pub masking: f64,
    pub forward: f64,
    pub backward: f64,
    pub optimizer: f64,
    pub total: f64,
}

/// What one optimizer step did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// 1 after the first update.
    pub step: usize,
    /// Nats per token over all labels that count.
    pub loss: f64,
    /// The same at masked tokens and at all others; none without masks.
    pub masked_token_loss: Option<f64>,
    pub unmasked_token_loss: Option<f64>,
    /// The mask rate that was set, and the one that resulted, of eligible positions.
    pub mask_rate: f64,
    pub realised_rate: f64,
    pub learning_rate: f64,
    /// Global L2 norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Tokens read so far, and those of them that were visible (weighed by layers under `skip`).
    pub tokens: u64,
    pub visible_tokens: f64,
    pub tokens_per_second: f64,
    pub time: StepTime,
    /// Seconds since the first step began, pauses left out; 0 in records of older versions.
    #[serde(default)]
    pub elapsed: f64,
    /// Resident memory of the process, bytes.
    pub memory: u64,
    /// Cores that the process kept busy in the last second or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<f64>,
    /// What the GPU is doing, where one is used and says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuFigures>,
    /// Seconds left, the warm-up steps of the machine left out; none while too little was measured.
    pub eta: Option<f64>,
}

/// One row of the mask raster: one pass over one sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RasterRow {
    pub step: usize,
    pub pass: u32,
    pub sequence: u32,
    /// Operation by position, where masked.
    pub ops: Vec<Option<Op>>,
    /// Scaled score by position, 0 to 255; 0 where there is none.
    pub scores: Vec<u8>,
}

/// One token of the batch pane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchToken {
    pub id: u32,
    /// As displayed, safe in a terminal.
    pub text: String,
    pub state: State,
    pub op: Option<Op>,
    pub score: Option<f64>,
    pub draw: f64,
    /// The line of reasoning, where it is known.
    pub why: String,
    /// Nats lost on predicting the *next* token from here; none where the label does not count.
    pub loss: Option<f64>,
}

/// Sequences of one step, token by token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchView {
    pub step: usize,
    pub sequences: Vec<Vec<BatchToken>>,
}

/// What a run expects before it starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub parameters: u64,
    /// Of them, those that move (LoRA's own included).
    pub trainable: u64,
    pub train_tokens: u64,
    pub train_documents: usize,
    pub validation_tokens: u64,
    pub validation_documents: usize,
    pub steps: usize,
    pub tokens_per_step: u64,
    /// Passes over the training text.
    pub epochs: f64,
    pub memory: MemoryPlan,
    /// Seconds of one measured step, its optimizer update included.
    pub step_seconds: f64,
    /// Loss of that step, before any update.
    pub probe_loss: f64,
    /// Seconds for all steps and evaluations.
    pub expected_seconds: f64,
    /// What the masking costs or assumes, in words.
    pub notes: Vec<String>,
}

/// Bytes a run is expected to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryPlan {
    pub weights: u64,
    pub gradients: u64,
    pub optimizer: u64,
    pub activations: u64,
    pub data: u64,
    pub total: u64,
    /// What the machine has free.
    pub available: u64,
    /// What the process holds before its first step: [`total`](Self::total) is expected to come on top.
    #[serde(default)]
    pub resident: u64,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub state: RunState,
    pub steps: usize,
    pub tokens: u64,
    /// Of computing from the first step on, pauses left out, earlier parts of a resumed run included.
    pub seconds: f64,
    /// Of the last step, nats per token.
    pub train_loss: f64,
    /// Nats per token on the validation documents, before the first step and after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_validation_loss: Option<f64>,
    pub validation_loss: Option<f64>,
    pub bits_per_byte: Option<f64>,
    /// Lowest validation loss and its step.
    pub best: Option<(usize, f64)>,
    pub stopped_early: bool,
    /// Why it ended before its last step by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// That it diverged, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Folder of the last checkpoint, and its step: an earlier one than `steps` where the last did not fit on the disk.
    pub checkpoint: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<usize>,
    /// Largest resident memory of the process so far, bytes, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// What the heads that copy are worth, where that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<Box<Circuit>>,
    /// Where arms were compared: the losses above are then of the first arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twins: Option<TwinSummary>,
}

impl RunSummary {
    /// Where the last step of a run is not saved: which is.
    pub fn unsaved(&self) -> Option<String> {
        if self.twins.is_some() || self.saved == Some(self.steps) {
            return None;
        }
        let saved = self.saved.map_or("nothing is saved".to_owned(), |at| format!("step {at} is saved"));
        Some(format!("step {} could not be saved for lack of space: {saved}", self.steps))
    }
}

/// What the heads of a checkpoint are like, in a line.
pub fn recorded_heads_line(heads: &[HeadProfile]) -> String {
    let named = |kind: &str| heads.iter().filter(|head| head.kind.as_deref() == Some(kind)).count();
    let counts = ["induction", "previous token", "sink"].map(|kind| format!("{} {kind}", named(kind)));
    let entropy = heads.iter().map(|head| head.plain.entropy).sum::<f64>() / heads.len().max(1) as f64;
    format!("of {} heads {}; mean entropy {entropy:.2} nats", heads.len(), counts.join(", "))
}

/// What a run reports, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Report {
    /// What is being prepared: bytes done, of how many where that is known.
    Loading {
        what: String,
        done: u64,
        total: Option<u64>,
    },
    State {
        state: RunState,
    },
    Planned(Plan),
    /// `merged` steps are summed up in this one: losses, rates and times are means over them, counters are the last.
    Step {
        #[serde(flatten)]
        report: StepReport,
        merged: usize,
    },
    /// How much of an evaluation is done.
    Evaluating {
        step: usize,
        done: usize,
        total: usize,
    },
    Evaluated {
        step: usize,
        loss: f64,
        /// None where the tokens are no text.
        bits_per_byte: Option<f64>,
        masked_loss: Option<f64>,
    },
    Saved {
        step: usize,
        path: PathBuf,
        best: bool,
    },
    /// What every head of a checkpoint that is kept at a log-spaced step reads, over held-out text.
    HeadsRecorded {
        step: usize,
        heads: Vec<HeadProfile>,
    },
    Sample {
        step: usize,
        prompt: String,
        text: String,
    },
    Changed(LiveChange),
    /// What a policy did by itself.
    Note {
        step: usize,
        message: String,
    },
    Warning {
        step: usize,
        message: String,
    },
    /// A pass over the sequence that is watched, and what its passes have in common.
    Raster {
        row: RasterRow,
        stats: RasterStats,
    },
    Batch(BatchView),
    /// What every head reads after a step, and whose scores have passed the mark so far.
    Heads(HeadsReport),
    TwinStep(TwinStep),
    TwinEvaluated {
        seed: usize,
        step: usize,
        /// Nats per token by arm, on the held-out documents.
        losses: Vec<f64>,
        differences: Vec<TwinDifference>,
    },
    /// A seed is finished; the verdicts, one for each pair of arms, rest on all finished ones.
    TwinSeed {
        seed: usize,
        /// Nats per token by arm, on the held-out documents.
        losses: Vec<f64>,
        verdicts: Vec<TwinVerdict>,
    },
    Ended(RunSummary),
    Failed {
        message: String,
        hint: Option<String>,
    },
}
