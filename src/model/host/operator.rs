//! One block of the training pass on the CPU as a single operator: forward and backward on plain slices, with every
//! parameter's gradient added straight to its sum ([`crate::tensor::gradients`]).

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::{BackwardPass, HostBlock, HostRows, Kept, parameters};
use crate::model::Model;
use crate::tensor::attention::{Attention, KeptHeads, RowScale};
use crate::tensor::dropout::Mask;
use crate::tensor::host::{slice, with_slice};
use crate::tensor::memory::written;

impl Model {
    /// [`Model::block`] on residual rows `x` `[B, T, D]`, with attention after `rule`: the next rows, and the packed projection
    /// `[B, T, 3D]` without a gradient. Differentiable once, by [`crate::tensor::gradients`].
    ///
    /// # Errors
    /// Tensors that are not f32 on the CPU.
    pub(in crate::model) fn host_train_block(
        &self,
        block: Arc<dyn HostBlock>,
        (layer, x): (usize, &Tensor),
        rule: Attention,
    ) -> Result<(Tensor, Tensor)> {
        let x = x.contiguous()?;
        let (batch, t, _) = x.dims3()?;
        // The library records an operator when an argument leads to a variable: where `x` does not, a parameter has to.
        let (moving, first) = {
            let all = parameters(&*block);
            (all.iter().find(|p| p.track_op()).map(|p| (*p).clone()), all.first().map(|p| (*p).clone()))
        };
        let recorded = x.track_op() || moving.is_some();
        let Some(anchor) = moving.or(first) else { bail!("a block without parameters") };
        let kept = Arc::new(Mutex::new(None));
        let dropout = self.dropout.map_or([None, None], |dropout| dropout.branches(layer));
        let again = self.recomputes;
        let whole = Whole { block, rule, dropout, rows: (batch, t), kept: kept.clone(), again };
        let out = x.apply_op2(&anchor, whole)?;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(qkv) = kept.as_ref().map(|kept: &KeptBlock| kept.qkv.clone()) else {
            bail!("a block left no projection behind");
        };
        if !recorded || self.recomputes {
            *kept = None;
        }
        Ok((out, qkv))
    }
}

/// What the way back needs of the way there.
struct KeptBlock {
    /// `[B, T, 3D]`
    qkv: Tensor,
    /// What made attention weights of scores, `[B, heads, T]`.
    scales: Vec<RowScale>,
    /// The family's own, as in [`HostRows::kept`].
    own: Kept,
}

/// A block as an operator on its residual rows. The second argument only stands for the parameters.
struct Whole {
    block: Arc<dyn HostBlock>,
    rule: Attention,
    dropout: [Option<Mask>; 2],
    /// Sequences and rows of each.
    rows: (usize, usize),
    kept: Arc<Mutex<Option<KeptBlock>>>,
    /// Nothing is kept: the way back begins with the way there.
    again: bool,
}

impl CustomOp2 for Whole {
    fn name(&self) -> &'static str {
        "transformer-block"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        _anchor: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (out, kept) = self.forward(slice(x, lx, self.name())?)?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let kept = match kept {
            Some(kept) => kept,
            None if self.again => with_slice(x, |rows| self.forward(rows))??.1,
            None => bail!("the gradient of this block was taken already"),
        };
        let dx =
            with_slice(x, |rows| with_slice(grad, |grad| self.backward(rows, grad, kept, x.track_op())))???;
        Ok((dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None))
    }
}

impl Whole {
    fn forward(&self, x: &[f32]) -> Result<(Vec<f32>, KeptBlock)> {
        let (batch, t) = self.rows;
        let mut rows = HostRows { x: x.to_vec(), dropout: self.dropout, kept: Some(Kept::default()) };
        let (mut packed, mut scales) = (Vec::new(), Vec::new());
        self.block.forward(&mut rows, &mut |writer| {
            // SAFETY: a writer writes every element.
            packed = unsafe { written(3 * x.len(), |to| writer.write(to)) };
            let heads = self.rule.packed_rows(&packed, self.rows)?;
            scales = heads.scales;
            Ok(heads.out)
        })?;
        let width = packed.len() / (batch * t).max(1);
        let qkv = Tensor::from_vec(packed, (batch, t, width), &candle_core::Device::Cpu)?;
        Ok((rows.x, KeptBlock { qkv, scales, own: rows.kept.unwrap_or_default() }))
    }

    /// Adds the gradients of all parameters to their sums; the gradient of `x` where it is wanted.
    fn backward(&self, x: &[f32], grad: &[f32], kept: KeptBlock, wanted: bool) -> Result<Option<Vec<f32>>> {
        let KeptBlock { qkv, scales, own } = kept;
        let back = BackwardPass { x, grad, kept: own, dropout: self.dropout, wanted };
        self.block.backward(back, &mut |out, d_heads| {
            let heads = KeptHeads { out, scales: &scales };
            with_slice(&qkv, |qkv| self.rule.packed_gradient(qkv, (heads, d_heads), self.rows))?
        })
    }
}
