//! A block on tensors of any device that keeps nothing for its way back: it is computed again there (gradient checkpointing,
//! 1604.06174). The CPU's own operator ([`super::host`]) does the same by itself.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Storage, Tensor, Var, bail};

use super::language_model::Model;
use super::network::{Positions, WeightPart};
use crate::tensor::attention::Attention;
use crate::tensor::gradients::add_found;

impl Model {
    /// [`Model::ruled_block`] whose way there leaves no graph: the way back makes one of this block alone.
    ///
    /// # Errors
    /// Of the tensor library.
    pub(super) fn block_again(
        &self,
        (layer, positions): (usize, Positions),
        x: &Tensor,
        rule: Attention,
    ) -> Result<(Tensor, Tensor)> {
        // Its weights lead nowhere, so that nothing is kept for them.
        let bare = self.without_graph()?;
        let mut packed = None;
        let keep = |qkv: Tensor| {
            packed = Some(qkv.clone());
            rule.packed(&qkv)
        };
        let out = bare.block((layer, positions), &x.detach(), keep)?.contiguous()?;
        let Some(packed) = packed else { bail!("the block did not ask for attention") };
        let positions = match positions {
            Positions::Counted => None,
            Positions::Given(ids) => Some(ids.to_vec()),
        };
        let shape = out.shape().clone();
        let again = Again { model: self.clone(), layer, positions, rule, shape, out: Mutex::new(Some(out)) };
        // The library records an operator when an argument leads to a variable: where `x` does not, a parameter has to.
        let anchor = if x.track_op() { None } else { self.moving_in(layer) };
        Ok((x.contiguous()?.apply_op2(&anchor.unwrap_or_else(|| x.clone()), again)?, packed))
    }

    /// A tensor of a block that leads to a variable, if there is one.
    fn moving_in(&self, layer: usize) -> Option<Tensor> {
        let parameters = self.config.named_parameters();
        let here = |name: &str| {
            let own = parameters.iter().find(|p| p.name == name || p.module() == name);
            own.is_some_and(|p| p.layer == Some(layer))
        };
        let mut network = self.network.boxed();
        let parts = network.parts().into_iter().filter(|(name, _)| here(name));
        let tensors = parts.flat_map(|(_, part)| match part {
            WeightPart::Tensor(tensor) => vec![tensor.clone()],
            WeightPart::Projection(projection) => projection.tensors().into_iter().cloned().collect(),
        });
        tensors.into_iter().find(Tensor::track_op)
    }
}

/// A block as an operator on its residual rows. The second argument only stands for the parameters.
struct Again {
    model: Model,
    layer: usize,
    positions: Option<Vec<u32>>,
    rule: Attention,
    shape: Shape,
    /// What the way there has made.
    out: Mutex<Option<Tensor>>,
}

impl Again {
    fn made(&self) -> Result<Tensor> {
        match self.out.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(out) => Ok(out),
            None => bail!("a block was run twice"),
        }
    }
}

impl CustomOp2 for Again {
    fn name(&self) -> &'static str {
        "block-again"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = self.made()?;
        let (storage, layout) = out.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.try_clone(layout)?, self.shape.clone())),
            _ => bail!("the block and its rows lie on different devices"),
        }
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let out = self.made()?;
        let (storage, layout) = out.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, self.shape.clone())),
            _ => bail!("the block and its rows lie on different devices"),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let rows = Var::from_tensor(&x.detach())?;
        let positions = self.positions.as_ref().map_or(Positions::Counted, |ids| Positions::Given(ids));
        let out =
            self.model.block((self.layer, positions), rows.as_tensor(), |qkv| self.rule.packed(&qkv))?;
        // The gradient of this sum with respect to the block's output is the one that came back.
        let sum = (out * grad)?.sum_all()?;
        let mut found = sum.backward()?;
        let dx = found.remove(rows.as_tensor());
        for var in sum.sorted_nodes().into_iter().filter(|node| node.is_variable() && node.id() != rows.id())
        {
            if let Some(share) = found.remove(var) {
                add_found(var, share)?;
            }
        }
        Ok((dx.filter(|_| x.track_op()), None))
    }
}
