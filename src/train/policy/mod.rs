//! Masking policies that are learned together with the model, each under a constraint: without one, a policy that is
//! paid for a low loss only learns to mask nothing, and one that is paid for a high loss to mask everything.
//!
//! * [`SoftThresholds`]: a price on every token that stays visible (efficiency).
//! * [`Adversary`]: the rate is fixed, only *which* tokens is learned.
//! * [`Bandit`]: chooses among given cells, paid by what an evaluation *without* masks gains.
//!
//! Runs on the trainer's thread. The loop makes one [`JointPolicy`], asks it for the loss of every batch instead of the
//! arm, tells it gradients and evaluations, and shows its [`alarm`](JointPolicy::alarm).

mod adam;
mod adversary;
mod bandit;
mod soft;
mod watch;

use candle_core::Tensor;
use candle_core::backprop::GradStore;

pub use adversary::Adversary;
pub use bandit::{Bandit, Cell};
pub use soft::SoftThresholds;
pub use watch::Degenerate;
#[cfg(test)]
use watch::RateWatch;

use super::TrainError;
use super::arm::{Arms, At, MaskedBatch, Realised};
use super::batch::Batch;
use super::spec::{Joint, JointSpec};
use crate::mask::types::Op;
use crate::model::Model;

/// What a policy says of a batch.
pub struct PolicyLoss {
    /// What to take gradients of; differentiable once.
    pub loss: Tensor,
    /// Cross-entropy in nats per token, without what the policy adds to it.
    pub value: f64,
    pub masked_token_loss: Option<f64>,
    pub unmasked_token_loss: Option<f64>,
    /// Of positions; under soft thresholds of positions times layers.
    pub realised: Realised,
    /// The batch as masked; none under soft thresholds, which decide within the pass.
    pub masked: Option<MaskedBatch>,
}

/// A policy in training.
pub enum JointPolicy {
    Soft(SoftThresholds),
    Adversarial(Adversary),
    Bandit(Bandit),
}

impl JointPolicy {
    /// # Errors
    /// A policy that does not go with the arm's operation, or with so few layers.
    pub fn new(spec: &JointSpec, arms: &Arms, model: &Model, seed: u64) -> Result<Self, TrainError> {
        if !(spec.learning_rate > 0.0 && spec.learning_rate.is_finite()) {
            return Err(TrainError::setup(format!(
                "the learning rate of a policy must be above 0, not {}",
                spec.learning_rate
            )));
        }
        match spec.kind {
            Joint::SoftThresholds => Ok(JointPolicy::Soft(SoftThresholds::new(spec, model)?)),
            Joint::Adversarial if arms.settings().op != Op::Replace => Err(TrainError::Setup {
                problem: format!(
                    "an adversary learns which tokens to replace, not to {}",
                    arms.settings().op
                ),
                hint: Some("choose the operation replace".to_owned()),
            }),
            Joint::Adversarial => Ok(JointPolicy::Adversarial(Adversary::new(
                arms.settings().nominal_rate(),
                spec.learning_rate,
                seed,
            ))),
            Joint::Bandit => Ok(JointPolicy::Bandit(Bandit::new(Bandit::usual_cells(arms), seed)?)),
        }
    }

    /// Decides and runs a batch.
    ///
    /// # Errors
    /// A pass that fails.
    pub fn loss(
        &mut self,
        arms: &mut Arms,
        model: &Model,
        batch: &Batch,
        at: At,
    ) -> Result<PolicyLoss, TrainError> {
        match self {
            JointPolicy::Soft(soft) => soft.loss(arms, model, batch, at),
            JointPolicy::Adversarial(adversary) => adversary.loss(arms, model, batch, at),
            JointPolicy::Bandit(bandit) => bandit.loss(arms, model, batch, at),
        }
    }

    /// Lets the policy learn from the gradients of its loss, once per update.
    ///
    /// # Errors
    /// A gradient that cannot be read.
    pub fn learn(&mut self, grads: &GradStore) -> Result<(), TrainError> {
        match self {
            JointPolicy::Soft(soft) => soft.learn(grads),
            JointPolicy::Adversarial(adversary) => adversary.learn(grads),
            JointPolicy::Bandit(_) => Ok(()),
        }
    }

    /// Tells the policy the loss on the validation documents, without masks. A bandit then moves the arm to the cell it
    /// returns.
    ///
    /// # Errors
    /// A cell that the arm refuses.
    pub fn evaluated(&mut self, arms: &mut Arms, clean_loss: f64) -> Result<Option<Cell>, TrainError> {
        match self {
            JointPolicy::Bandit(bandit) => {
                let cell = bandit.evaluated(clean_loss);
                arms.set_cell(cell.rate, cell.polarity, cell.op)?;
                Ok(Some(cell))
            }
            JointPolicy::Soft(_) | JointPolicy::Adversarial(_) => Ok(None),
        }
    }

    /// Whether the policy has come to mask nothing, or everything.
    pub fn alarm(&self) -> Option<Degenerate> {
        match self {
            JointPolicy::Soft(soft) => soft.watch.alarm(),
            JointPolicy::Adversarial(adversary) => adversary.watch.alarm(),
            JointPolicy::Bandit(bandit) => bandit.watch.alarm(),
        }
    }

    /// What the policy has learned, for a checkpoint.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub fn state(&self) -> Result<serde_json::Value, TrainError> {
        let wrong = |e: serde_json::Error| TrainError::setup(format!("the policy could not be saved: {e}"));
        match self {
            JointPolicy::Soft(soft) => serde_json::to_value(soft.state()?).map_err(wrong),
            JointPolicy::Adversarial(adversary) => serde_json::to_value(adversary.state()).map_err(wrong),
            JointPolicy::Bandit(bandit) => serde_json::to_value(bandit.state()).map_err(wrong),
        }
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// A state of another kind of policy, or a damaged one.
    pub fn restore(&mut self, state: serde_json::Value) -> Result<(), TrainError> {
        let wrong = |e: serde_json::Error| TrainError::setup(format!("the policy's state is damaged: {e}"));
        match self {
            JointPolicy::Soft(soft) => soft.restore(serde_json::from_value(state).map_err(wrong)?),
            JointPolicy::Adversarial(adversary) => {
                adversary.restore(serde_json::from_value(state).map_err(wrong)?);
                Ok(())
            }
            JointPolicy::Bandit(bandit) => {
                bandit.restore(serde_json::from_value(state).map_err(wrong)?);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
