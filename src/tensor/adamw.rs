//! AdamW with decoupled weight decay (Loshchilov and Hutter, 1711.05101) in one pass over memory, with its moments
//! open, so that a run can be resumed exactly; and gradient clipping by global norm.

use std::sync::Mutex;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Result, Tensor, Var, bail};
use multiversion::multiversion;
use rayon::prelude::*;

use super::device::{Way, on_host, way};
use super::fused::{self, Update};
use super::host::{self, slice, with_slice};

/// Constants of the update.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdamWSettings {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// Applied to matrices only (two or more axes), times the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        AdamWSettings { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// One variable with its moments.
pub struct Slot {
    pub name: String,
    pub var: Var,
    pub moments: Moments,
}

/// Decayed means of a variable's gradients and of their squares, where its kernel wants them.
pub enum Moments {
    Host(Vec<f32>, Vec<f32>),
    /// Beside the variable, `[n]` each.
    Device(Tensor, Tensor),
}

impl Moments {
    fn zeros(n: usize, device: &Device) -> Result<Self> {
        if on_host(device) {
            return Ok(Moments::Host(vec![0.0; n], vec![0.0; n]));
        }
        let zeros = || Tensor::zeros(n, DType::F32, device);
        Ok(Moments::Device(zeros()?, zeros()?))
    }

    /// Both, on the host.
    pub fn values(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        match self {
            Moments::Host(first, second) => Ok((first.clone(), second.clone())),
            Moments::Device(first, second) => Ok((host::values(first)?, host::values(second)?)),
        }
    }

    /// Puts both back, where they were.
    pub fn set(&mut self, first: Vec<f32>, second: Vec<f32>) -> Result<()> {
        *self = match self {
            Moments::Host(..) => Moments::Host(first, second),
            Moments::Device(old, _) => {
                let (n, device) = (first.len(), old.device().clone());
                Moments::Device(Tensor::from_vec(first, n, &device)?, Tensor::from_vec(second, n, &device)?)
            }
        };
        Ok(())
    }
}

/// The optimiser: variables in a fixed order, their moments and the number of updates so far.
pub struct AdamW {
    pub settings: AdamWSettings,
    pub slots: Vec<Slot>,
    pub updates: u64,
}

/// What one update saw.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Global L2 norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Names of variables that got no gradient, or only zeros.
    pub without_gradient: Vec<String>,
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn update(param: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32], f: Update) {
    // One division an element: they take most of the time.
    let (correct1, correct2) = (1.0 / f.correction1, 1.0 / f.correction2);
    for (((p, &g), m), v) in param.iter_mut().zip(grad).zip(first).zip(second) {
        let g = g * f.grad_scale;
        *m = f.beta1 * *m + (1.0 - f.beta1) * g;
        *v = f.beta2 * *v + (1.0 - f.beta2) * g * g;
        let step = *m * correct1 / ((*v * correct2).sqrt() + f.eps);
        *p = *p * f.decay - f.rate * step;
    }
}

/// Elements one task updates.
const CHUNK: usize = 1 << 14;

struct Step<'a> {
    moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
    factors: Update,
}

impl InplaceOp2 for Step<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, param: &mut CpuStorage, lp: &Layout, grad: &CpuStorage, lg: &Layout) -> Result<()> {
        let grad = slice(grad, lg, self.name())?;
        let Some((from, to)) = lp.contiguous_offsets() else { bail!("adamw needs contiguous variables") };
        let param = match param {
            CpuStorage::F32(data) => &mut data[from..to],
            _ => bail!("adamw needs f32 variables"),
        };
        let mut moments = self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (first, second) = &mut *moments;
        param
            .par_chunks_mut(CHUNK)
            .zip(grad.par_chunks(CHUNK))
            .zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)))
            .for_each(|((p, g), (m, v))| update(p, g, m, v, self.factors));
        Ok(())
    }
}

impl AdamW {
    /// Fresh moments for `vars`, kept in the given order.
    ///
    /// # Errors
    /// A device without room for them.
    pub fn new(vars: Vec<(String, Var)>, settings: AdamWSettings) -> Result<Self> {
        let slot = |(name, var): (String, Var)| {
            let moments = Moments::zeros(var.as_tensor().elem_count(), var.device())?;
            Ok(Slot { name, var, moments })
        };
        Ok(AdamW { settings, slots: vars.into_iter().map(slot).collect::<Result<_>>()?, updates: 0 })
    }

    /// Squared L2 norms per variable; `None` where there is no gradient.
    fn norms(&self, grads: &GradStore) -> Result<Vec<Option<f64>>> {
        if self.slots.iter().any(|s| matches!(s.moments, Moments::Device(..))) {
            return self.device_norms(grads);
        }
        self.slots
            .iter()
            .map(|slot| match grads.get(slot.var.as_tensor()) {
                Some(g) => with_slice(g, sum_of_squares).map(Some),
                None => Ok(None),
            })
            .collect()
    }

    /// As [`AdamW::norms`] where the gradients are: all sums come to the host in one copy, since each copy waits.
    fn device_norms(&self, grads: &GradStore) -> Result<Vec<Option<f64>>> {
        let found: Vec<Option<&Tensor>> = self.slots.iter().map(|s| grads.get(s.var.as_tensor())).collect();
        let squares = |g: &Tensor| {
            let g = g.to_dtype(DType::F32)?.sqr()?;
            // Rows first: a reduction to one number is one block's work on a GPU.
            if g.rank() > 1 { g.sum(candle_core::D::Minus1)?.sum_all() } else { g.sum_all() }
        };
        let sums = found.iter().flatten().map(|g| squares(g)).collect::<Result<Vec<_>>>()?;
        let sums = if sums.is_empty() { Vec::new() } else { Tensor::stack(&sums, 0)?.to_vec1::<f32>()? };
        let mut sums = sums.into_iter().map(f64::from);
        Ok(found.into_iter().map(|g| g.and_then(|_| sums.next())).collect())
    }

    /// One update at learning rate `rate`; gradients are scaled so that their global norm is at most `clip`
    /// (0 turns clipping off).
    ///
    /// `None` when the gradient is not finite: nothing has been changed then.
    pub fn step(&mut self, grads: &GradStore, rate: f64, clip: f64) -> Result<Option<Applied>> {
        let norms = self.norms(grads)?;
        let grad_norm = norms.iter().flatten().sum::<f64>().sqrt();
        if !grad_norm.is_finite() {
            return Ok(None);
        }
        let grad_scale = if clip > 0.0 && grad_norm > clip { clip / (grad_norm + 1e-6) } else { 1.0 };
        self.updates += 1;
        let s = self.settings;
        let correction = |beta: f64| (1.0 - beta.powf(self.updates as f64)) as f32;
        let (correction1, correction2) = (correction(s.beta1), correction(s.beta2));
        let mut without_gradient = Vec::new();
        for (slot, norm) in self.slots.iter_mut().zip(&norms) {
            if norm.is_none_or(|n| n == 0.0) {
                without_gradient.push(slot.name.clone());
            }
            let Some(grad) = grads.get(slot.var.as_tensor()) else { continue };
            let decayed = slot.var.as_tensor().rank() >= 2;
            let factors = Update {
                rate: rate as f32,
                decay: if decayed { (1.0 - rate * s.weight_decay) as f32 } else { 1.0 },
                beta1: s.beta1 as f32,
                beta2: s.beta2 as f32,
                correction1,
                correction2,
                eps: s.eps as f32,
                grad_scale: grad_scale as f32,
            };
            match &mut slot.moments {
                Moments::Host(first, second) => {
                    let step = Step { moments: Mutex::new((first, second)), factors };
                    slot.var.as_tensor().inplace_op2(&grad.contiguous()?, &step)?;
                }
                Moments::Device(first, second) if way(slot.var.device()) == Way::Fused => {
                    fused::adamw(&slot.var, grad, (first, second), factors)?;
                }
                Moments::Device(first, second) => composed(&slot.var, grad, (first, second), factors)?,
            }
        }
        Ok(Some(Applied { grad_norm, without_gradient }))
    }
}

/// [`update`] in candle operators, for any device.
fn composed(var: &Var, grad: &Tensor, (first, second): (&mut Tensor, &mut Tensor), f: Update) -> Result<()> {
    let g = (grad.to_dtype(DType::F32)?.flatten_all()? * f64::from(f.grad_scale))?;
    let (beta1, beta2) = (f64::from(f.beta1), f64::from(f.beta2));
    *first = ((&*first * beta1)? + (&g * (1.0 - beta1))?)?;
    *second = ((&*second * beta2)? + (g.sqr()? * (1.0 - beta2))?)?;
    let root = ((&*second / f64::from(f.correction2))?.sqrt()? + f64::from(f.eps))?;
    let step = ((&*first / f64::from(f.correction1))? / root)?;
    let old = var.as_tensor().detach().flatten_all()?;
    let new = ((old * f64::from(f.decay))? - (step * f64::from(f.rate))?)?;
    var.set(&new.reshape(var.shape())?)
}

/// Sum of squares in f64, in a fixed order whatever the number of threads.
fn sum_of_squares(values: &[f32]) -> f64 {
    let partial: Vec<f64> = values.par_chunks(CHUNK).map(squares).collect();
    partial.iter().sum()
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn squares(values: &[f32]) -> f64 {
    const LANES: usize = 32;
    let mut lanes = [0f64; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &v)| *lane += f64::from(v) * f64::from(v));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, &v)| *lane += f64::from(v) * f64::from(v));
    lanes.iter().sum()
}
