//! An adversary at a fixed rate: learns which tokens to replace so that the loss rises most, while the share of replaced
//! tokens stays what it is. Each token's logit is linear in a few features; the k = round(rate·n) largest after Gumbel
//! noise are replaced (sampling without replacement, Yellott 1977; Kool et al. 2019, 1903.06059).
//!
//! It learns from the same backward pass as the model: the gradient at a row's embedding times the way from its token
//! to the replacement is, to first order, what replacing it adds to the loss. Its step is projected onto the policies
//! of the same rate. No extra pass.

use candle_core::backprop::GradStore;
use candle_core::{DType, Var};
use serde::{Deserialize, Serialize};

use super::PolicyLoss;
use super::adam::Adam;
use super::watch::RateWatch;
use crate::mask::draw::{Draws, Stream};
use crate::mask::types::State;
use crate::model::Model;
use crate::tensor::host;
use crate::train::TrainError;
use crate::train::arm::{Arms, At, Lexicon, MaskedBatch, TokenClass};
use crate::train::batch::{Batch, Visit};

/// Salience, what attention gave it last, place in the sequence, and one for each class.
const FEATURES: usize = 3 + TokenClass::ALL.len();
/// Nats of surprisal that count as 1.
const SALIENCE: f64 = 10.0;

/// What is known of one token.
type Features = [f64; FEATURES];

fn features(lexicon: &Lexicon, visit: &Visit, scores: Option<&[u8]>) -> Vec<Features> {
    let salience = lexicon.salience(&visit.inputs);
    let len = visit.inputs.len() as f64;
    let of = |i: usize| {
        let mut out = [0.0; FEATURES];
        out[0] = salience[i] / SALIENCE;
        out[1] = scores.and_then(|s| s.get(i)).map_or(0.5, |&b| f64::from(b) / 255.0);
        out[2] = i as f64 / len;
        let class = lexicon.class(visit.inputs[i]);
        out[3 + TokenClass::ALL.iter().position(|c| *c == class).unwrap_or(0)] = 1.0;
        out
    };
    (0..visit.inputs.len()).map(of).collect()
}

/// What a backward pass is needed for.
struct Pending {
    /// Zeros added to the embeddings, `[B, T, D]`: their gradient is that of the embeddings.
    nudge: Var,
    /// From each token to its replacement, `[B · T, D]`.
    way: Vec<f32>,
    features: Vec<Vec<Features>>,
    eligible: Vec<Vec<bool>>,
}

/// An adversary in training.
pub struct Adversary {
    rate: f64,
    step: f64,
    seed: u64,
    weights: Vec<f64>,
    adam: Adam,
    pending: Vec<Pending>,
    pub(super) watch: RateWatch,
}

/// For a checkpoint.
#[derive(Serialize, Deserialize)]
pub(super) struct AdversaryState {
    weights: Vec<f64>,
    adam: Adam,
    watch: RateWatch,
}

impl Adversary {
    pub(super) fn new(rate: f64, step: f64, seed: u64) -> Self {
        Adversary {
            rate,
            step,
            seed,
            weights: vec![0.0; FEATURES],
            adam: Adam::new(FEATURES),
            pending: Vec::new(),
            watch: RateWatch::default(),
        }
    }

    /// Weight of each feature: salience, attention, place, then the classes in the order of [`TokenClass::ALL`].
    #[cfg(test)]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    fn logit(&self, features: &Features) -> f64 {
        self.weights.iter().zip(features).map(|(w, f)| w * f).sum()
    }

    /// Decides a batch: logits with Gumbel noise, the largest k per sequence.
    pub(super) fn prepare(
        &self,
        arms: &mut Arms,
        model: &Model,
        batch: &Batch,
        at: At,
    ) -> Result<(MaskedBatch, Vec<Vec<Features>>), TrainError> {
        let features: Vec<Vec<Features>> =
            batch.visits.iter().map(|v| features(arms.lexicon(), v, arms.scores_of(v.sequence))).collect();
        let scores = batch
            .visits
            .iter()
            .zip(&features)
            .map(|(visit, features)| {
                let draws = Draws { seed: self.seed, pass: visit.pass, sequence: visit.sequence };
                let gumbel = |i: usize| {
                    let unit = draws.unit(Stream::Policy, i).max(f64::MIN_POSITIVE);
                    -(-unit.ln()).ln()
                };
                features.iter().enumerate().map(|(i, f)| Some(self.logit(f) + gumbel(i))).collect()
            })
            .collect();
        let masked = arms.prepare_scored(model, batch, scores, at)?;
        Ok((masked, features))
    }

    pub(super) fn loss(
        &mut self,
        arms: &mut Arms,
        model: &Model,
        batch: &Batch,
        at: At,
    ) -> Result<PolicyLoss, TrainError> {
        let (masked, features) = self.prepare(arms, model, batch, at)?;
        let (b, t, width) = (batch.visits.len(), batch.context(), model.config.n_embd);
        let nudge = Var::zeros((b, t, width), DType::F32, &model.device)?;
        let loss = arms.masked_loss_nudged(model, &masked, Some(nudge.as_tensor()))?;
        self.watch.note(masked.realised.rate());
        let target = host::values(&arms.replacement_vector(model)?)?;
        let mut way = host::values(&model.embedding.detach().select(&batch.inputs())?)?;
        for row in way.chunks_exact_mut(width) {
            row.iter_mut().zip(&target).for_each(|(w, t)| *w = t - *w);
        }
        let eligible = masked
            .decisions
            .iter()
            .map(|d| d.positions.iter().map(|p| p.state != State::Protected).collect())
            .collect();
        self.pending.push(Pending { nudge, way, features, eligible });
        Ok(PolicyLoss {
            loss: loss.loss,
            value: loss.value,
            masked_token_loss: loss.masked_token_loss,
            unmasked_token_loss: loss.unmasked_token_loss,
            realised: masked.realised,
            masked: Some(masked),
        })
    }

    pub(super) fn learn(&mut self, grads: &GradStore) -> Result<(), TrainError> {
        let mut ascent = vec![0.0; FEATURES];
        for pending in std::mem::take(&mut self.pending) {
            let Some(grad) = grads.get(pending.nudge.as_tensor()) else { continue };
            let (_, t, width) = grad.dims3()?;
            let grad = host::values(grad)?;
            let credit: Vec<f64> = grad
                .chunks_exact(width)
                .zip(pending.way.chunks_exact(width))
                .map(|(g, w)| g.iter().zip(w).map(|(g, w)| f64::from(*g) * f64::from(*w)).sum())
                .collect();
            for (b, (features, eligible)) in pending.features.iter().zip(&pending.eligible).enumerate() {
                self.add_ascent(&mut ascent, features, eligible, &credit[b * t..(b + 1) * t]);
            }
        }
        // Adam goes down; the adversary wants up.
        let down: Vec<f64> = ascent.into_iter().map(|a| -a).collect();
        self.adam.step(&mut self.weights, &down, self.step);
        Ok(())
    }

    /// Adds the gradient of `Σ s_i·credit_i` with respect to the weights, where `s = σ(logit − b)` and b holds `Σ s` at
    /// the rate.
    fn add_ascent(&self, ascent: &mut [f64], features: &[Features], eligible: &[bool], credit: &[f64]) {
        let of: Vec<usize> = (0..features.len()).filter(|&i| eligible[i]).collect();
        let logits: Vec<f64> = of.iter().map(|&i| self.logit(&features[i])).collect();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let share = |b: f64| logits.iter().map(|l| sigmoid(l - b)).sum::<f64>() / logits.len().max(1) as f64;
        let (mut low, mut high) = (-100.0, 100.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if share(middle) > self.rate { low = middle } else { high = middle }
        }
        let slope: Vec<f64> = logits.iter().map(|l| sigmoid(l - low) * (1.0 - sigmoid(l - low))).collect();
        let total: f64 = slope.iter().sum();
        if total <= 0.0 {
            return;
        }
        let mean = of.iter().zip(&slope).map(|(&i, s)| credit[i] * s).sum::<f64>() / total;
        for (&i, s) in of.iter().zip(&slope) {
            let pull = (credit[i] - mean) * s;
            ascent.iter_mut().zip(&features[i]).for_each(|(a, f)| *a += pull * f);
        }
    }

    pub(super) fn state(&self) -> AdversaryState {
        AdversaryState { weights: self.weights.clone(), adam: self.adam.clone(), watch: self.watch.clone() }
    }

    pub(super) fn restore(&mut self, state: AdversaryState) {
        (self.weights, self.adam, self.watch) = (state.weights, state.adam, state.watch);
    }
}
