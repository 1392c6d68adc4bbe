//! Soft thresholds (LTP, 2107.00910): in every layer but the first, the gate `g_i = σ((ℓ_i − θ_l)/T)` of a key adds
//! `log g_i` to its scores, where ℓ_i is what the key received in the layer below, over what uniform attention would
//! give it. The loss is `CE + λ·mean(g)`, so that every visible token has a price; θ learns by gradient, and the
//! gradient goes through ℓ as well. In the last part of a run the gates are hard: a key with ℓ_i ≤ θ_l is hidden from
//! later queries, as `hide` does, and θ stays.
//!
//! This pass is made of candle operators (attention over all pairs is in memory), so it is slower than the arms'.

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::PolicyLoss;
use super::adam::Adam;
use super::watch::RateWatch;
use crate::mask::types::State;
use crate::model::Model;
use crate::model::layers::Dropout;
use crate::model::network::Positions;
use crate::tensor::attention::Attention;
use crate::tensor::cross_entropy::cross_entropy;
use crate::tensor::dropout::masked;
use crate::train::TrainError;
use crate::train::arm::{Arms, At, Realised};
use crate::train::batch::Batch;
use crate::train::spec::JointSpec;

/// Share of the steps, at the end, that run with hard thresholds.
pub const HARD_SHARE: f64 = 0.2;

/// Share of the steps, at the start, in which θ leaves 0.
const SETTLING: f64 = 0.2;

/// Thresholds in training.
pub struct SoftThresholds {
    /// θ of layers 1 and up, `[L − 1]`; 0 at the start, where every gate is nearly open.
    theta: Var,
    lambda: f64,
    temperature: f64,
    learning_rate: f64,
    adam: Adam,
    /// No gradient any more.
    hard: bool,
    pub(super) watch: RateWatch,
}

/// For a checkpoint.
#[derive(Serialize, Deserialize)]
pub(super) struct SoftState {
    theta: Vec<f32>,
    adam: Adam,
    watch: RateWatch,
}

/// What one pass makes besides its states.
struct Gates {
    /// Σ g over eligible keys and layers, differentiable; `None` before the first gated layer.
    open: Option<Tensor>,
    /// Eligible keys × gated layers, and those of them at or under their threshold.
    realised: Realised,
}

/// Constants of one batch shape.
struct Planes {
    /// `[T, T]`: 0 where key ≤ query, −∞ elsewhere.
    causal: Tensor,
    /// `[T, T]`: 1 where key < query, 0 elsewhere.
    later: Tensor,
    /// `[T]`: `1 / Σ_{t>i} 1/(t+1)`; 0 for the last key, which no query informs.
    correction: Tensor,
    /// `[B, T]`: 1 where a key may be gated.
    eligible: Tensor,
}

impl SoftThresholds {
    pub(super) fn new(spec: &JointSpec, model: &Model) -> std::result::Result<Self, TrainError> {
        let layers = model.config.n_layer;
        if layers < 2 {
            return Err(TrainError::setup(
                "soft thresholds need two layers: the first one has no scores below it",
            ));
        }
        for (what, value) in [("temperature", spec.temperature), ("lambda", spec.lambda)] {
            if !(value >= 0.0 && value.is_finite()) || (what == "temperature" && value == 0.0) {
                return Err(TrainError::setup(format!(
                    "the {what} of soft thresholds must be above 0, not {value}"
                )));
            }
        }
        Ok(SoftThresholds {
            theta: Var::zeros(layers - 1, DType::F32, &model.device)?,
            lambda: spec.lambda,
            temperature: spec.temperature,
            learning_rate: spec.learning_rate,
            adam: Adam::new(layers - 1),
            hard: false,
            watch: RateWatch::default(),
        })
    }

    /// θ of layers 1 and up.
    ///
    /// # Errors
    /// A device that cannot be read.
    pub fn thresholds(&self) -> Result<Vec<f32>> {
        self.theta.to_vec1()
    }

    pub(super) fn loss(
        &mut self,
        arms: &Arms,
        model: &Model,
        batch: &Batch,
        at: At,
    ) -> std::result::Result<PolicyLoss, TrainError> {
        self.hard = at.steps > 0 && at.step as f64 >= (1.0 - HARD_SHARE) * at.steps as f64;
        let planes = self.planes(arms, model, batch)?;
        let (states, gates) = self.states(model, batch, &planes)?;
        let rows = states.reshape(((), model.config.n_embd))?;
        let ce = cross_entropy(&rows, &model.lm_head.tensor()?, &batch.targets(), true)?;
        let value = f64::from(ce.to_scalar::<f32>()?);
        // Every gate starts open, which is no degeneration yet.
        if at.step as f64 >= SETTLING * at.steps as f64 {
            self.watch.note(gates.realised.rate());
        }
        let loss = match gates.open.filter(|_| !self.hard) {
            Some(open) => (ce + (open * (self.lambda / gates.realised.eligible.max(1) as f64))?)?,
            None => ce,
        };
        let realised = gates.realised;
        Ok(PolicyLoss {
            loss,
            value,
            masked_token_loss: None,
            unmasked_token_loss: Some(value),
            realised,
            masked: None,
        })
    }

    fn planes(&self, arms: &Arms, model: &Model, batch: &Batch) -> std::result::Result<Planes, TrainError> {
        let (b, t) = (batch.visits.len(), batch.context());
        let device = &model.device;
        let plane = |cell: &dyn Fn(usize, usize) -> f32| {
            let values: Vec<f32> =
                (0..t).flat_map(|q| (0..t).map(move |k| (q, k))).map(|(q, k)| cell(q, k)).collect();
            Tensor::from_vec(values, (t, t), device)
        };
        let mut correction = vec![0f32; t];
        let mut sum = 0f64;
        for i in (0..t.saturating_sub(1)).rev() {
            sum += 1.0 / (i + 2) as f64;
            correction[i] = (1.0 / sum) as f32;
        }
        let eligible: Vec<f32> = batch
            .visits
            .iter()
            .flat_map(|visit| {
                let free = arms.protections(visit);
                (0..t).map(move |i| f32::from(u8::from(free[i] != State::Protected && i + 1 < t)))
            })
            .collect();
        Ok(Planes {
            causal: plane(&|q, k| if k <= q { 0.0 } else { f32::NEG_INFINITY })?,
            later: plane(&|q, k| f32::from(u8::from(k < q)))?,
            correction: Tensor::from_vec(correction, t, device)?,
            eligible: Tensor::from_vec(eligible, (b, t), device)?,
        })
    }

    fn states(&self, model: &Model, batch: &Batch, planes: &Planes) -> Result<(Tensor, Gates)> {
        let embedded = model.embed_batch(&batch.inputs(), batch.visits.len())?;
        let mut x = Dropout::embeddings(model.dropout, embedded)?;
        let mut gates = Gates { open: None, realised: Realised::default() };
        let mut received: Option<Tensor> = None;
        for layer in 0..model.config.n_layer {
            let log_gate = match &received {
                Some(received) => Some(self.gate(received, layer - 1, planes, &mut gates)?),
                None => None,
            };
            let rule = model.attention(layer);
            let mut seen = None;
            x = model.block((layer, Positions::Counted), &x, |qkv| {
                let (heads, below) = attend(&qkv, &rule, log_gate.as_ref(), planes)?;
                seen = Some(below);
                Ok(heads)
            })?;
            received = seen;
        }
        Ok((model.final_norm(&x)?, gates))
    }

    /// `log g` of every key, `[B, T]`; 0 where a key is protected.
    fn gate(&self, received: &Tensor, index: usize, planes: &Planes, gates: &mut Gates) -> Result<Tensor> {
        let theta = self.theta.narrow(0, index, 1)?;
        let z = (received.broadcast_sub(&theta)? / self.temperature)?;
        let closed = z.detach().le(0f32)?.to_dtype(DType::F32)?.mul(&planes.eligible)?;
        gates.realised.selected += closed.sum_all()?.to_scalar::<f32>()? as usize;
        gates.realised.eligible += planes.eligible.sum_all()?.to_scalar::<f32>()? as usize;
        if self.hard {
            let hidden = closed.eq(1f32)?;
            let none = Tensor::zeros_like(&closed)?;
            let never = Tensor::full(f32::NEG_INFINITY, closed.shape(), closed.device())?;
            return hidden.where_cond(&never, &none);
        }
        // log σ(z) = −(relu(−z) + log(1 + e^−|z|)), which neither overflows nor loses small gates.
        let small = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
        let log_gate = (z.neg()?.relu()? + small)?.neg()?;
        let open = (log_gate.exp()? * &planes.eligible)?.sum_all()?;
        gates.open = Some(match gates.open.take() {
            Some(sum) => (sum + open)?,
            None => open,
        });
        log_gate * &planes.eligible
    }

    pub(super) fn learn(&mut self, grads: &GradStore) -> std::result::Result<(), TrainError> {
        if self.hard {
            return Ok(());
        }
        let Some(grad) = grads.get(self.theta.as_tensor()) else { return Ok(()) };
        let wide = |t: &Tensor| {
            Ok::<Vec<f64>, candle_core::Error>(t.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
        };
        let mut values = wide(self.theta.as_tensor())?;
        self.adam.step(&mut values, &wide(grad)?, self.learning_rate);
        self.set(&values.iter().map(|&v| v as f32).collect::<Vec<_>>())
    }

    fn set(&self, values: &[f32]) -> std::result::Result<(), TrainError> {
        Ok(self.theta.set(&Tensor::new(values, self.theta.device())?)?)
    }

    pub(super) fn state(&self) -> Result<SoftState> {
        Ok(SoftState { theta: self.thresholds()?, adam: self.adam.clone(), watch: self.watch.clone() })
    }

    pub(super) fn restore(&mut self, state: SoftState) -> std::result::Result<(), TrainError> {
        if state.theta.len() != self.theta.elem_count() {
            return Err(TrainError::setup("the policy's state is of a model with other layers"));
        }
        (self.adam, self.watch) = (state.adam, state.watch);
        self.set(&state.theta)
    }

    #[cfg(test)]
    pub(super) fn theta(&self) -> &Var {
        &self.theta
    }
}

/// Attention over `qkv` `[B, T, 3D]` with `log_gate` `[B, T]` on its keys (itself excepted): the heads' output
/// `[B, T, D]`, and what each key received from later queries over what uniform attention would give it, `[B, T]`.
fn attend(
    qkv: &Tensor,
    rule: &Attention,
    log_gate: Option<&Tensor>,
    planes: &Planes,
) -> Result<(Tensor, Tensor)> {
    let (b, t, packed) = qkv.dims3()?;
    let (width, heads, scale) = (packed / 3, rule.heads, rule.scale);
    let part = |i: usize| {
        // Gates and sums need f32 whatever the products run in.
        let x = qkv.narrow(2, i * width, width)?.to_dtype(DType::F32)?.contiguous()?;
        x.reshape((b, t, heads, width / heads))?.transpose(1, 2)?.contiguous()
    };
    let (q, k, v) = (part(0)?, part(1)?, part(2)?);
    let mut scores = (q.matmul(&k.t()?)? * scale)?.broadcast_add(&planes.causal)?;
    if let Some(gate) = log_gate {
        // −∞ · 0 is no number, so a hard gate is chosen and not multiplied.
        let keys = gate.reshape((b, 1, 1, t))?.broadcast_as((b, 1, t, t))?;
        let later = planes.later.gt(0f32)?.broadcast_as((b, 1, t, t))?;
        let none = Tensor::zeros((b, 1, t, t), DType::F32, gate.device())?;
        scores = scores.broadcast_add(&later.where_cond(&keys, &none)?)?;
    }
    let top = scores.max_keepdim(D::Minus1)?.detach();
    let weights = scores.broadcast_sub(&top)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    let received =
        weights.broadcast_mul(&planes.later)?.sum(2)?.mean(1)?.broadcast_mul(&planes.correction)?;
    let weights = match rule.noise {
        Some(mask) => masked(&weights, mask)?,
        None => weights,
    };
    let out = weights.matmul(&v)?.transpose(1, 2)?.reshape((b, t, width))?;
    Ok((out, received))
}
