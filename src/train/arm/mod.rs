//! Masking arms: from a batch of sequences to what the model runs, and the loss of it.
//!
//! Runs on the trainer's thread. A mask depends on (seed, pass, sequence, position), the sequence's tokens and its
//! scores, never on which other sequences share the batch or how many threads there are. Must never change a
//! variable, and never let a mask see a label.
//!
//! The loop calls [`Arms::new`] once, [`Arms::vars`] for its optimiser, and per micro-batch [`Arms::prepare`], then
//! [`Arms::masked_loss`]. [`Arms::memory`] and [`Arms::restore`] make a resume exact.

mod batch;
pub mod check;
mod decide;
pub mod lexicon;
mod pass;
pub mod rate;
mod scores;

use std::sync::Arc;

use candle_core::{Tensor, Var};

pub use batch::{MaskedBatch, Realised, VisitKey};
pub use check::MaskingRefusal;
pub use decide::PATTERNS;
pub use lexicon::{Lexicon, TokenClass};
pub use pass::{MaskedLoss, mean_embedding};
pub use rate::At;
pub use scores::ScoreMemory;

use super::TrainError;
use super::batch::{Batch, Visit};
use super::spec::{Arm, MaskingSpec, RanksBy, ScoreFrom};
use crate::attention::calibration::Calibration;
use crate::mask::draw::Draws;
use crate::mask::types::{MaskSettings, Op, Polarity, State};
use crate::model::Model;
use crate::tensor::cross_entropy::cross_entropy;
use batch::{BatchError, BatchParts};
use scores::{Scoring, Seen};

/// Name of the `[MASK]` row among a run's variables and in the side file of a checkpoint.
pub const MASK_ROW: &str = "mask_row";

/// What arms are made from.
pub struct ArmSetup<'a> {
    pub spec: &'a MaskingSpec,
    /// The model as the run found it: `static-attn` keeps a copy of its weights.
    pub model: &'a Model,
    /// Tokens per sequence.
    pub context: usize,
    pub lexicon: Arc<Lexicon>,
    /// Of all draws.
    pub seed: u64,
    /// For scores over the distance null; without it they are count-corrected.
    pub calibration: Option<Arc<Calibration>>,
    /// The `[MASK]` row `[D]` of an earlier run or of the loop's own; none makes a new one where it is needed.
    pub mask_row: Option<Var>,
}

/// One masking policy in force, with what it remembers.
pub struct Arms {
    spec: MaskingSpec,
    /// At the average rate; live changes move τ and p here.
    settings: MaskSettings,
    lexicon: Arc<Lexicon>,
    scoring: Scoring,
    /// The initial model, for `static-attn`.
    initial: Option<Model>,
    mask_row: Option<Var>,
    memory: ScoreMemory,
}

impl From<MaskingRefusal> for TrainError {
    fn from(refusal: MaskingRefusal) -> Self {
        TrainError::Setup { hint: refusal.hint(), problem: refusal.to_string() }
    }
}

impl From<BatchError> for TrainError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Apply(e) => TrainError::Setup { hint: e.hint(), problem: e.to_string() },
            BatchError::Tensor(e) => TrainError::Tensor(e),
        }
    }
}

impl Arms {
    /// Checks the policy and makes what it needs: a new `[MASK]` row (the mean of all token embeddings), a copy of the initial model.
    ///
    /// # Errors
    /// A [`MaskingRefusal`], as a sentence with its hint.
    pub fn new(setup: ArmSetup) -> Result<Self, TrainError> {
        let ArmSetup { spec, model, context, lexicon, seed, calibration, mask_row } = setup;
        spec.check_model(&model.config, lexicon.eot)?;
        let settings = MaskSettings { seed, ..spec.settings(context) };
        let mask_row = match mask_row {
            None if spec.needs_mask_row() => {
                Some(Var::from_tensor(&mean_embedding(&model.embedding.tensor()?)?)?)
            }
            given => given,
        };
        let initial =
            if spec.arm.ranks_by() == RanksBy::FirstModel { Some(model.detached(true)?) } else { None };
        Ok(Arms {
            scoring: Scoring { settings: spec.score.clone(), calibration },
            spec: spec.clone(),
            settings,
            lexicon,
            initial,
            mask_row,
            memory: ScoreMemory::default(),
        })
    }

    /// Variables of the policy's own, to be trained with the model: the `[MASK]` row `[D]`, where it is used.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.mask_row.iter().map(|row| (MASK_ROW.to_owned(), row.clone())).collect()
    }

    /// The settings in force at the average rate.
    pub fn settings(&self) -> &MaskSettings {
        &self.settings
    }

    /// Moves τ and p, from the next batch on.
    ///
    /// # Errors
    /// Where the schedule would need a rate above 1, or a value lies outside 0 to 1; nothing has changed then.
    pub fn set_sliders(&mut self, threshold: f64, probability: f64) -> Result<(), MaskingRefusal> {
        let settings = MaskSettings { threshold, probability, ..self.settings.clone() };
        let rate = settings.nominal_rate();
        let spec = MaskingSpec { policy: Some(settings.clone()), rate, ..self.spec.clone() };
        spec.check()?;
        (self.settings, self.spec) = (settings, spec);
        Ok(())
    }

    /// Sets rate, polarity and operation, from the next batch on: a cell of a learned policy.
    ///
    /// # Errors
    /// As [`set_sliders`](Self::set_sliders); nothing has changed then.
    pub fn set_cell(&mut self, rate: f64, polarity: Polarity, op: Op) -> Result<(), MaskingRefusal> {
        let arm = match polarity {
            Polarity::High => Arm::DynAttnHigh,
            Polarity::Low => Arm::DynAttnLow,
            Polarity::Random => Arm::DynRand,
        };
        let spec = MaskingSpec { arm, op, rate, policy: None, ..self.spec.clone() };
        spec.check()?;
        if spec.needs_mask_row() && self.mask_row.is_none() {
            return Err(MaskingRefusal::NoMaskRow);
        }
        let fresh = spec.settings(usize::MAX);
        self.settings =
            MaskSettings { seed: self.settings.seed, protect: self.settings.protect.clone(), ..fresh };
        self.spec = spec;
        Ok(())
    }

    /// What the run must keep to resume exactly, besides its variables.
    pub fn memory(&self) -> &ScoreMemory {
        &self.memory
    }

    pub fn restore(&mut self, memory: ScoreMemory) {
        self.memory = memory;
    }

    /// Where scores come from and what they cost, in a sentence; `None` for arms without scores.
    pub fn score_cost(&self) -> Option<&'static str> {
        match (self.spec.arm.ranks_by(), self.spec.score_from) {
            (RanksBy::FirstModel, _) => Some(
                "scores: the initial model, once per sequence: one forward pass at its first visit, \
                      a second copy of the weights, 1 byte a token",
            ),
            (RanksBy::CurrentModel, ScoreFrom::LastVisit) => Some(
                "scores: the sequence's last visit, as it was masked then: no extra pass, 1 byte a token; \
                      a first visit is masked at random",
            ),
            (RanksBy::CurrentModel, ScoreFrom::Fresh) => {
                Some("scores: a fresh unmasked pass: one more forward pass a step")
            }
            (RanksBy::Nothing | RanksBy::Words, _) => None,
        }
    }

    /// Decides a batch and lays out what the model runs. Reads the model only where scores need a pass.
    ///
    /// # Errors
    /// A pass that fails.
    pub fn prepare(&mut self, model: &Model, batch: &Batch, at: At) -> Result<MaskedBatch, TrainError> {
        let factor = rate::factor(self.spec.schedule, self.spec.cool_down, at);
        let settings = rate::scaled(&self.settings, factor);
        self.score(model, batch)?;
        let (mut decisions, mut draws, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for visit in &batch.visits {
            let sequence = decide::Sequence {
                ids: &visit.inputs,
                number: visit.sequence,
                visit: visit.pass,
                bytes: self.memory.bytes.get(&visit.sequence).map(Vec::as_slice),
            };
            let own = decide::draws(self.spec.arm, settings.seed, &sequence);
            let share = rate::sequence_factor(self.spec.schedule, self.spec.clean_share, own);
            let settings = rate::scaled(&settings, share);
            let arm = if settings.nominal_rate() > 0.0 { self.spec.arm } else { Arm::None };
            let decision = decide::sequence(arm, &settings, &self.lexicon, &sequence);
            if self.spec.arm == Arm::DynPair {
                pairs.push(decide::pairs(settings.nominal_rate(), &decision, own));
            }
            decisions.push(decision);
            draws.push(own);
        }
        let n_layer = model.config.n_layer;
        let (lexicon, device) = (&*self.lexicon, &model.device);
        let settings = &settings;
        Ok(MaskedBatch::new(BatchParts {
            batch,
            settings,
            lexicon,
            decisions,
            draws,
            pairs,
            n_layer,
            device,
        })?)
    }

    /// Decides a batch by given scores, highest first, exactly k of each sequence, at the rate of this step.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub(super) fn prepare_scored(
        &self,
        model: &Model,
        batch: &Batch,
        scores: Vec<Vec<Option<f64>>>,
        at: At,
    ) -> Result<MaskedBatch, TrainError> {
        let factor = rate::factor(self.spec.schedule, self.spec.cool_down, at);
        let scaled = rate::scaled(&self.settings, factor);
        let settings = MaskSettings {
            threshold: 1.0 - scaled.nominal_rate(),
            probability: 1.0,
            polarity: Polarity::High,
            exact_k: true,
            ..scaled
        };
        let (mut decisions, mut draws) = (Vec::new(), Vec::new());
        for (visit, scores) in batch.visits.iter().zip(&scores) {
            let own = Draws { seed: settings.seed, pass: visit.pass, sequence: visit.sequence };
            decisions.push(decide::scored(&settings, &self.lexicon, &visit.inputs, scores, own));
            draws.push(own);
        }
        let (n_layer, lexicon, device) = (model.config.n_layer, &*self.lexicon, &model.device);
        let (settings, pairs) = (&settings, Vec::new());
        Ok(MaskedBatch::new(BatchParts {
            batch,
            settings,
            lexicon,
            decisions,
            draws,
            pairs,
            n_layer,
            device,
        })?)
    }

    /// State of every position before any decision: protected, or not.
    pub(super) fn protections(&self, visit: &Visit) -> Vec<State> {
        let scores = vec![Some(0.0); visit.inputs.len()];
        let decision =
            decide::scored(&self.settings, &self.lexicon, &visit.inputs, &scores, Draws::default());
        decision.positions.iter().map(|p| p.state).collect()
    }

    pub(in crate::train) fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// What is remembered of a sequence: one byte a token.
    pub(super) fn scores_of(&self, sequence: u32) -> Option<&[u8]> {
        self.memory.bytes.get(&sequence).map(Vec::as_slice)
    }

    /// What a replaced token becomes where it becomes a vector, `[D]`, without a gradient.
    pub(super) fn replacement_vector(&self, model: &Model) -> Result<Tensor, TrainError> {
        match &self.mask_row {
            Some(row) => Ok(row.as_tensor().detach()),
            None => Ok(mean_embedding(&model.embedding.tensor()?)?),
        }
    }

    /// Makes the scores that this batch needs a pass for.
    fn score(&mut self, model: &Model, batch: &Batch) -> Result<(), TrainError> {
        let fresh =
            self.spec.arm.ranks_by() == RanksBy::CurrentModel && self.spec.score_from == ScoreFrom::Fresh;
        let now = if fresh { Some(model.detached(false)?) } else { None };
        for visit in &batch.visits {
            if visit.is_made_up() {
                // Its number stood for other tokens before.
                self.memory.bytes.remove(&visit.sequence);
            }
            let bytes = match (&now, &self.initial) {
                (Some(model), _) => self.scoring.fresh(model, visit.plain_input())?,
                (None, Some(initial)) if !self.memory.bytes.contains_key(&visit.sequence) => {
                    self.scoring.fresh(initial, visit.plain_input())?
                }
                _ => continue,
            };
            self.memory.bytes.insert(visit.sequence, bytes);
        }
        Ok(())
    }

    /// Runs a prepared batch and gives its loss, ready for [`crate::tensor::gradients`]. Under scores of the last visit, this is the visit
    /// that is remembered.
    ///
    /// # Errors
    /// A pass that fails.
    pub fn masked_loss(&mut self, model: &Model, batch: &MaskedBatch) -> Result<MaskedLoss, TrainError> {
        self.masked_loss_nudged(model, batch, None)
    }

    /// The same with `nudge` `[B, R, D]` added to the embeddings: zeros, whose gradient is that of the embeddings.
    pub(super) fn masked_loss_nudged(
        &mut self,
        model: &Model,
        batch: &MaskedBatch,
        nudge: Option<&Tensor>,
    ) -> Result<MaskedLoss, TrainError> {
        let states = self.states_nudged(model, batch, nudge)?;
        Ok(pass::loss(model, &states, batch, true)?)
    }

    /// The states of a prepared batch after the final norm, `[B, R, D]`, differentiable: for a head that predicts something other
    /// than the next token. Under scores of the last visit, this is the visit that is remembered.
    ///
    /// # Errors
    /// A pass that fails.
    pub fn masked_states(&mut self, model: &Model, batch: &MaskedBatch) -> Result<Tensor, TrainError> {
        self.states_nudged(model, batch, None)
    }

    fn states_nudged(
        &mut self,
        model: &Model,
        batch: &MaskedBatch,
        nudge: Option<&Tensor>,
    ) -> Result<Tensor, TrainError> {
        let remembers =
            self.spec.arm.ranks_by() == RanksBy::CurrentModel && self.spec.score_from == ScoreFrom::LastVisit;
        let mut seen = remembers.then(Seen::default);
        let row = self.mask_row.as_ref().map(Var::as_tensor);
        let mut embedded = pass::embed(model, batch, row)?;
        if let Some(nudge) = nudge {
            embedded = (embedded + nudge)?;
        }
        let states = pass::states(model, &embedded, batch, seen.as_mut())?;
        if let Some(seen) = &seen {
            self.scoring.remember(model, seen, batch, &mut self.memory)?;
        }
        Ok(states)
    }
}

/// Mean loss of a batch without masks, in nats, differentiable once: what a step costs that no arm touches.
///
/// # Errors
/// A pass that fails.
pub fn plain_loss(model: &Model, batch: &Batch) -> Result<Tensor, TrainError> {
    let rows = batch.states(model)?.reshape(((), model.config.n_embd))?;
    Ok(cross_entropy(&rows, &model.lm_head.tensor()?, &batch.targets(), true)?)
}

/// The model as evaluations need it: no gradients, no dropout; its weights are shared.
///
/// # Errors
/// None in practice.
pub fn without_gradients(model: &Model) -> Result<Model, TrainError> {
    let mut detached = model.detached(false)?;
    detached.lm_head = model.lm_head.detach();
    Ok(detached)
}

/// The losses of single tokens, for looking at: one more forward pass, no gradient, nothing remembered.
///
/// One list per sequence, by original position; `None` where a token was dropped or has no label.
///
/// # Errors
/// A pass that fails.
pub fn token_losses(
    arms: &Arms,
    model: &Model,
    batch: &MaskedBatch,
) -> Result<Vec<Vec<Option<f64>>>, TrainError> {
    let model = without_gradients(model)?;
    let row = arms.mask_row.as_ref().map(|row| row.as_tensor().detach());
    let embedded = pass::embed(&model, batch, row.as_ref())?;
    let states = pass::states(&model, &embedded, batch, None)?;
    let of = |b: usize| {
        let mut out = vec![None; batch.context];
        for (&position, loss) in batch.kept[b].iter().zip(pass::row_losses(&model, &states, batch, b)?) {
            out[position] = loss;
        }
        Ok(out)
    };
    (0..batch.batch()).map(of).collect()
}

#[cfg(test)]
mod made_up_tests;
#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod tests;
