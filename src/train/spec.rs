//! The whole specification of a run, serialisable: written beside every checkpoint, so that a run can be resumed without
//! its command line. Pure data with its checks; must never open a file or touch a tensor.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::checkpoint::SavedDtype;
use super::data::synthetic::SyntheticSpec;
use super::data::{ChatTemplate, Cut, LossOn, RowPacking};
use super::schedule::LrSpec;
pub use super::trained::{LoraSpec, LoraTargets, Trained, TrainedPart};
use super::twins::TwinSpec;
use crate::attention::types::ScoreSettings;
use crate::mask::types::{MaskSettings, Op, Replacement};
use crate::settings::{Choice, choice, optional};
use crate::tensor::adamw::AdamWSettings;

/// Where the text comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSpec {
    /// Files and folders; the word `novels` alone is the bundled text.
    pub train: Vec<PathBuf>,
    /// Empty: `held_share` of the training documents.
    pub validation: Vec<PathBuf>,
    /// Column that holds the text, or the conversations, in JSON, CSV, TSV and Parquet files.
    pub column: Option<String>,
    /// Share of the documents held out where `validation` is empty.
    pub held_share: f64,
    /// Which documents those are: drawn from the whole text by this seed. Runs from before there was one hold out the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_seed: Option<u64>,
    /// How prompts, instructions and conversations become text, and which of their tokens count. Runs from before there was a
    /// choice count all of them.
    pub chat_template: ChatTemplate,
    pub loss_on: LossOn,
}

choice! {
    /// Which tokens training masks, and when that is decided.
    pub enum Arm {
        /// no masks: plain fine-tuning
        None = "none",
        /// drawn once per sequence, the same in every epoch
        Static1 = "static-1",
        /// ten patterns per sequence, in turn (BERT as shipped)
        Static10 = "static-10",
        /// by the attention of the model as it was at the start
        StaticAttn = "static-attn",
        /// drawn again in every pass (RoBERTa, MEAP)
        DynRand = "dyn-rand",
        /// what the current model reads most, in every pass (the article)
        DynAttnHigh = "dyn-attn-high",
        /// what the current model reads least
        DynAttnLow = "dyn-attn-low",
        /// rare words, without attention
        DynSalient = "dyn-salient",
        /// single pairs of query and key, at a random rate (FCM)
        /// Drawn from U(0, 2·rate).
        DynPair = "dyn-pair",
    }
}

/// What an arm ranks tokens by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RanksBy {
    /// Nothing: draws alone decide.
    Nothing,
    /// The words, without attention.
    Words,
    /// Attention of the model as it was when the run began.
    FirstModel,
    /// Attention of the model as it is now.
    CurrentModel,
}

impl Arm {
    pub fn ranks_by(self) -> RanksBy {
        match self {
            Arm::None | Arm::Static1 | Arm::Static10 | Arm::DynRand | Arm::DynPair => RanksBy::Nothing,
            Arm::DynSalient => RanksBy::Words,
            Arm::StaticAttn => RanksBy::FirstModel,
            Arm::DynAttnHigh | Arm::DynAttnLow => RanksBy::CurrentModel,
        }
    }

    /// Whether it ranks tokens by their attention scores.
    pub fn needs_scores(self) -> bool {
        matches!(self.ranks_by(), RanksBy::FirstModel | RanksBy::CurrentModel)
    }
}

choice! {
    /// Schedule of the mask rate over a run; all have the same time average.
    pub enum MaskSchedule {
        /// the same rate throughout
        Constant = "constant",
        /// from nothing to twice the rate
        RampUp = "ramp-up",
        /// from twice the rate to nothing
        Decay = "decay",
        /// up to twice the rate, and down again
        Triangle = "triangle",
        /// each sequence draws its own rate at every visit, from 0 to twice the rate
        /// Uniform, so that a model meets lightly and heavily masked text side by side. Static arms draw once.
        PerSequence = "per-sequence",
    }
}

choice! {
    /// The attention that scores are taken from.
    pub enum ScoreFrom {
        /// from the last time the sequence was trained on: no extra pass, 1 byte per token
        LastVisit = "last-visit",
        /// from an unmasked pass: one more forward pass per step
        Fresh = "fresh",
    }
}

/// The specification of an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskingSpec {
    pub arm: Arm,
    pub op: Op,
    pub replacement: Replacement,
    /// Time-averaged share of the eligible positions that is masked, in [0, 1].
    pub rate: f64,
    pub schedule: MaskSchedule,
    /// Share of the steps, at the end, that run without masks; 0 is none.
    pub cool_down: f64,
    /// Share of the sequences that run without masks, drawn at every visit; the others are masked more, so that the average
    /// rate stays.
    #[serde(default)]
    pub clean_share: f64,
    pub score_from: ScoreFrom,
    /// The explorer's exact policy ("one policy everywhere"): τ, p, protection, unit, scale, mix and polarity are
    /// taken from here where it is set; `op`, `replacement` and `rate` above then repeat its own.
    pub policy: Option<MaskSettings>,
    pub score: ScoreSettings,
    /// A policy that is learned with the model.
    pub joint: Option<JointSpec>,
}

/// What training can do to a masked position: a cache, which `evict` is about, is not there.
pub const TRAINED_OPS: &[Choice] =
    &[Op::Replace.choice(), Op::Hide.choice(), Op::Drop.choice(), Op::Skip.choice(), Op::Keep.choice()];

impl MaskingSpec {
    /// Expected share of tokens·layers that stay visible, averaged over the run.
    pub fn visible_share(&self, n_layer: usize, context: usize) -> f64 {
        if self.arm == Arm::None {
            return 1.0;
        }
        let protect = self.settings(context).protect;
        let never = (protect.last + usize::from(protect.first)).min(context);
        let eligible = 1.0 - never as f64 / context.max(1) as f64;
        let masked = self.rate * eligible;
        match self.op {
            Op::Keep => 1.0,
            // Skipped tokens still pass the first and the last layer.
            Op::Skip => 1.0 - masked * n_layer.saturating_sub(2) as f64 / n_layer.max(1) as f64,
            Op::Replace | Op::Hide | Op::Drop | Op::Evict => 1.0 - masked,
        }
    }
}

choice! {
    /// How the masking policy is learned together with the model.
    pub enum Joint {
        /// thresholds per layer, learned by gradient (LTP)
        /// Soft ones first, then hard ones.
        SoftThresholds = "soft-thresholds",
        /// masks what raises the loss most, at a fixed rate
        Adversarial = "adversarial",
        /// chooses rate, polarity and operation by what helps on clean text
        Bandit = "bandit",
    }
}

optional!(Joint, "none", "no learned policy");

/// Settings of a learned policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JointSpec {
    pub kind: Joint,
    /// λ of `CE + λ·mean(g)` for soft thresholds.
    pub lambda: f64,
    /// T of `σ((ℓ − θ)/T)`.
    pub temperature: f64,
    /// Learning rate of the policy's own parameters.
    pub learning_rate: f64,
}

impl Default for MaskingSpec {
    fn default() -> Self {
        MaskingSpec {
            arm: Arm::None,
            op: Op::Replace,
            replacement: Replacement::Mask,
            rate: 0.15,
            schedule: MaskSchedule::Constant,
            cool_down: 0.0,
            clean_share: 0.0,
            score_from: ScoreFrom::LastVisit,
            policy: None,
            score: ScoreSettings::default(),
            joint: None,
        }
    }
}

choice! {
    /// Number format of the products of a step. Weights, moments and the residual stream are f32 either way.
    pub enum Precision {
        /// as the weights
        F32 = "f32",
        /// faster; needs a GPU
        Bf16 = "bf16",
    }
}

#[allow(clippy::derivable_impls, reason = "the variants are a macro's")]
impl Default for Precision {
    fn default() -> Self {
        Precision::F32
    }
}

choice! {
    /// What a run does when a checkpoint does not fit on the disk.
    pub enum OnDiskFull {
        /// the run continues without that checkpoint
        Continue = "continue",
        /// the run ends
        Stop = "stop",
    }
}

/// Most held-out tokens that an evaluation reads unless more are asked for.
pub const MEASURED: usize = 20_000;
/// Share of the time that evaluations may take unless more is asked for.
const MEASURED_SHARE: f64 = 0.1;

/// A model from nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitSpec {
    /// A `config.json`.
    pub config: PathBuf,
    pub tokenizer: Option<PathBuf>,
}

/// The specification of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Id or folder of the model it starts from; for the record.
    pub model: String,
    /// Where it starts from random weights: the configuration, and its tokenizer where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitSpec>,
    pub data: DataSpec,
    pub trained: Trained,
    pub masking: MaskingSpec,
    /// Optimizer steps.
    pub steps: usize,
    /// Passes over the data, from which `steps` follow once it is read; 0 where the steps were given.
    #[serde(default)]
    pub epochs: f64,
    /// Seconds after which the run ends even if steps are left; the learning rate follows the clock then, so such
    /// a run does not repeat to the last bit.
    pub time_limit: Option<f64>,
    /// Sequences per forward pass.
    pub batch_size: usize,
    /// Forward passes whose gradients are averaged into one update.
    pub accumulate: usize,
    /// Tokens per sequence, at most.
    pub context: usize,
    /// How documents are put into sequences.
    #[serde(default)]
    pub packing: RowPacking,
    /// Sequences of like length share a batch.
    #[serde(default)]
    pub group_by_length: bool,
    /// Every epoch cuts the text at the same places, so that a sequence keeps its number: needed by static arms, by
    /// scores of the last visit, and by twins. Otherwise each epoch shifts the cuts.
    pub fixed_cuts: bool,
    /// Share of the sequences that begin with the end-of-text token.
    #[serde(default)]
    pub marked: f64,
    /// Sequences that are made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<SyntheticSpec>,
    pub learning_rate: LrSpec,
    pub adamw: AdamWSettings,
    #[serde(default)]
    pub precision: Precision,
    /// Blocks are computed again on the way back instead of kept (1604.06174).
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// Largest global gradient norm; 0 turns clipping off.
    pub clip: f64,
    /// Share of embeddings, attention weights and outputs of residual branches that is dropped.
    pub dropout: f64,
    /// Of initial weights, batches, masks and dropout.
    pub seed: u64,
    /// Steps between two evaluations on the validation documents; 0 evaluates only at the start and at the end.
    pub eval_every: usize,
    /// Steps between two checkpoints; 0 saves only at the end.
    pub checkpoint_every: usize,
    /// Steps between two looks at what every head reads; 0 takes none.
    #[serde(default)]
    pub heads_every: usize,
    /// Steps between two samples of text; 0 takes none.
    pub sample_every: usize,
    pub sample_prompt: String,
    /// Held-out tokens that an evaluation reads; none reads all of them, 0 as many as [`fit_validation`](Self::fit_validation)
    /// finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_tokens: Option<usize>,
    /// Evaluations without a lower validation loss after which the run ends; 0 never.
    #[serde(default)]
    pub stop_after: usize,
    /// Checkpoints kept at steps that are evenly spaced on a log scale; 0 keeps none of them.
    #[serde(default)]
    pub keep_spaced: usize,
    /// Checkpoints kept besides the best one.
    pub keep_last: usize,
    pub on_disk_full: OnDiskFull,
    /// Folder of the run.
    pub out: PathBuf,
    pub dtype: SavedDtype,
    /// Arms to compare instead of a single run; `masking.arm` is then each of them in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twins: Option<TwinSpec>,
}

impl RunSpec {
    /// How the text is cut into sequences.
    pub fn cut(&self) -> Cut {
        Cut { context: self.context, packing: self.packing }
    }

    /// Sequences a step visits.
    pub fn sequences_per_step(&self) -> usize {
        self.batch_size * self.accumulate
    }

    /// Settles the steps of a run of so many passes over `sequences`.
    pub fn fit_steps(&mut self, sequences: usize) {
        if self.epochs > 0.0 {
            let visits = (self.epochs * sequences as f64).ceil() as usize;
            self.steps = visits.div_ceil(self.sequences_per_step().max(1)).max(1);
        }
    }

    /// Evaluations that are due after `step`, the one at the end included.
    pub fn evaluations_after(&self, step: usize) -> usize {
        if step >= self.steps {
            return 0;
        }
        let every = if self.eval_every == 0 { self.steps } else { self.eval_every };
        self.steps.div_ceil(every) - step / every
    }

    /// Settles how many held-out tokens an evaluation reads, where nobody asked for a number: so many that evaluations take
    /// about a tenth of the time, and at most [`MEASURED`].
    pub fn fit_validation(&mut self) {
        if self.validation_tokens != Some(0) {
            return;
        }
        // A pass without gradients, as a share of a step: what is not trained has no backward of its own either.
        let pass = match self.trained {
            Trained::All => 0.4,
            Trained::Lora(_) => 0.6,
            Trained::LastBlocks(_) | Trained::LayerNorms => 0.9,
        };
        let passes = if self.learning_rate.gap.is_some() { 2.0 } else { 1.0 };
        let steps = self.steps as f64 * (self.sequences_per_step() * self.context) as f64;
        let evaluations = (self.evaluations_after(0) + 1) as f64;
        let fits = steps * MEASURED_SHARE / (1.0 - MEASURED_SHARE) / (pass * passes * evaluations);
        self.validation_tokens =
            Some((fits as usize).clamp(self.context + 1, MEASURED.max(self.context + 1)));
    }

    /// Whether the checkpoint of `step` is one of those kept at log-spaced steps.
    pub fn keeps(&self, step: usize) -> bool {
        let last = self.keep_spaced.saturating_sub(1).max(1) as f64;
        let at = |i: usize| (self.steps as f64).powf(i as f64 / last).round() as usize;
        step > 0 && (0..self.keep_spaced).any(|i| at(i) == step)
    }

    /// Shortens a default context to what a model takes; gives a line where it does.
    pub fn fit_context(&mut self, positions: usize) -> Option<String> {
        if self.context <= positions {
            return None;
        }
        self.context = positions;
        Some(format!("context {positions}: the model takes at most that many tokens"))
    }

    /// Checks what can be checked without model and data.
    ///
    /// # Errors
    /// The first invalid setting, with its reason.
    pub fn check(&self) -> Result<(), TrainError> {
        let refuse = |problem: String| Err(TrainError::setup(problem));
        if self.batch_size == 0 || self.accumulate == 0 || self.steps == 0 {
            return refuse("steps, batch_size and accumulate must be at least 1".to_owned());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse(format!("dropout must be at least 0 and below 1, not {}", self.dropout));
        }
        if !(0.0..=1.0).contains(&self.marked) {
            return refuse(format!("marked must be from 0 to 1: {}", self.marked));
        }
        self.trained.check()?;
        if self.masking.needs_fixed_cuts() && !self.fixed_cuts {
            return refuse("a masking arm needs fixed_cuts, so that a sequence keeps its number".to_owned());
        }
        let soft = self.masking.joint.as_ref().is_some_and(|joint| joint.kind == Joint::SoftThresholds);
        if soft && self.packing != RowPacking::Packed {
            return Err(TrainError::Setup {
                problem: format!("soft thresholds need packed rows, not {}", self.packing),
                hint: Some("set --packing packed, or another learned policy".to_owned()),
            });
        }
        self.synthetic.map_or(Ok(()), |made_up| made_up.check(self.context))?;
        self.masking.check()?;
        self.learning_rate.check()
    }
}
