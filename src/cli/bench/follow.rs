//! `maskscope bench --follow FILE`: optimizer steps on batches that another program trains on as well, so that losses,
//! gradients and speed can be compared step by step. Writes no checkpoint.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize_to_file};
use serde::Serialize;

use crate::model::Model;
use crate::tensor::adamw::{AdamW, AdamWSettings};
use crate::tensor::cross_entropy::cross_entropy;
use crate::tensor::device;
use crate::tensor::gradients::backward;
use crate::tensor::host;
use crate::train::spec::{Precision, Trained};
use crate::train::trainee::Trainee;

/// The settings of `tests/bench/peers/torch_reference.py`.
const RATE: f64 = 1e-3;
const CLIP: f64 = 1.0;
const ADAMW: AdamWSettings = AdamWSettings { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 };

/// What following came to, one entry per step.
#[derive(Debug, Serialize)]
pub struct Followed {
    pub device: &'static str,
    pub precision: String,
    pub losses: Vec<f64>,
    /// Global norms of the gradient before clipping.
    pub norms: Vec<f64>,
    pub seconds: Vec<f64>,
    pub tokens_per_step: usize,
    /// Bytes of the GPU's memory in use after the steps, of all programs; none on the CPU.
    pub device_bytes: Option<u64>,
}

/// Batches `[steps, B, T + 1]` of ids, i32 or i64.
struct Batches {
    ids: Vec<u32>,
    steps: usize,
    batch: usize,
    row: usize,
}

impl Batches {
    fn read(path: &Path, vocab: usize) -> anyhow::Result<Self> {
        let file = std::fs::read(path)?;
        let file = SafeTensors::deserialize(&file)?;
        let view = file.tensor("ids")?;
        let (&[steps, batch, row], width) = (view.shape(), view.dtype().bitsize() / 8) else {
            bail!("ids must be [steps, batch, length + 1]");
        };
        if !matches!(view.dtype(), Dtype::I32 | Dtype::I64) || row < 2 || steps * batch == 0 {
            bail!("ids must be whole numbers, two or more in a row");
        }
        // Ids are small and not negative, so the low half of a wide one is all of it.
        let low = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let ids: Vec<u32> = view.data().chunks_exact(width).map(low).collect();
        match ids.iter().find(|&&id| id as usize >= vocab) {
            Some(id) => bail!("id {id} lies outside the vocabulary of {vocab}"),
            None => Ok(Batches { ids, steps, batch, row }),
        }
    }

    /// Inputs and targets of one step.
    fn step(&self, step: usize) -> (Vec<u32>, Vec<u32>) {
        let size = self.batch * self.row;
        let rows = || self.ids[step * size..(step + 1) * size].chunks_exact(self.row);
        let inputs = rows().flat_map(|r| &r[..self.row - 1]).copied().collect();
        (inputs, rows().flat_map(|r| &r[1..]).copied().collect())
    }
}

/// Trains a copy of the model on the batches of `path`; the first step's gradients go to `gradients`.
///
/// # Errors
/// A file that holds no batches for this model, a step that fails.
pub fn follow(
    model: Model,
    (path, gradients): (&Path, Option<&Path>),
    precision: Precision,
) -> anyhow::Result<Followed> {
    let batches = Batches::read(path, model.config.vocab_size)
        .with_context(|| format!("{} cannot be followed", path.display()))?;
    let mut trainee = super::train::trainee(model, &Trained::All)?;
    trainee.set_precision(precision)?;
    let mut adamw = AdamW::new(trainee.vars.clone(), ADAMW)?;
    let mut out = Followed {
        device: if trainee.model.device.is_cpu() { "cpu" } else { "cuda" },
        precision: precision.to_string(),
        losses: Vec::new(),
        norms: Vec::new(),
        seconds: Vec::new(),
        tokens_per_step: batches.batch * (batches.row - 1),
        device_bytes: None,
    };
    for step in 0..batches.steps {
        let (inputs, targets) = batches.step(step);
        let started = Instant::now();
        let pass = || {
            let model = trainee.current()?;
            let embedded = model.embed_batch(&inputs, batches.batch)?;
            let hidden = model.forward_batch(&embedded, None, true)?;
            let rows = hidden.reshape(((), model.config.n_embd))?;
            let loss = cross_entropy(&rows, &model.lm_head.tensor()?, &targets, true)?;
            anyhow::Ok((f64::from(loss.to_scalar::<f32>()?), backward(&loss)?))
        };
        let (loss, grads) = pass()?;
        if step == 0
            && let Some(path) = gradients
        {
            write_gradients(path, &trainee, &grads)?;
        }
        let applied = adamw.step(&grads, RATE, CLIP)?;
        // What was queued counts for this step.
        trainee.model.device.synchronize()?;
        let Some(applied) = applied else {
            bail!("the gradient of step {} is not finite", step + 1);
        };
        out.seconds.push(started.elapsed().as_secs_f64());
        out.losses.push(loss);
        out.norms.push(applied.grad_norm);
    }
    out.device_bytes = device::memory(&trainee.model.device).map(|m| m.total - m.free);
    Ok(out)
}

fn write_gradients(
    path: &Path,
    trainee: &Trainee,
    grads: &candle_core::backprop::GradStore,
) -> anyhow::Result<()> {
    let mut values = HashMap::new();
    for (name, var) in &trainee.vars {
        if let Some(grad) = grads.get(var.as_tensor()) {
            values.insert(name.as_str(), (grad.dims().to_vec(), host::values(grad)?));
        }
    }
    let views = values
        .iter()
        .map(|(name, (shape, v))| {
            TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(v)).map(|view| (*name, view))
        })
        .collect::<Result<Vec<_>, _>>()?;
    serialize_to_file(views, None, path).with_context(|| format!("{} cannot be written", path.display()))
}
