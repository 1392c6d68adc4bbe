//! The fast path of the CPU: a block on plain slices, with products that fold bias, activation and residual in. A family writes
//! it once ([`HostBlock`]); the exploring pass (`explore`) and the training pass (`operator`) run the same. The tensors of
//! [`super::network::Network::block`] are its plain twin.

mod explore;
mod operator;

use candle_core::{Result, Tensor};

use super::layers::Projection;
use super::layers::projection::Writer;
use super::weight::Weight;
use crate::tensor::dropout::Mask;
use crate::tensor::kernels::layer_norm::Moments;

pub(super) use explore::{Passed, Step};

/// Turns the packed projection `[n, 3D]` of the new rows into the heads' output, `[n, D]`.
pub type AttendRows<'a> = &'a mut dyn FnMut(Writer) -> Result<Vec<f32>>;

/// The gradient of the packed projection, `[n, 3D]`, for the heads' output and its gradient, both `[n, D]`.
pub type AttendBack<'a> = &'a mut dyn FnMut(&[f32], &[f32]) -> Result<Vec<f32>>;

/// A block's rows on their way through it.
pub struct HostRows {
    /// Residual stream, `[n, D]`; afterwards the next block's input.
    pub x: Vec<f32>,
    /// Of attention's output and of the MLP's.
    pub dropout: [Option<Mask>; 2],
    /// What the block's own way back will read; `None` where there is no way back.
    pub kept: Option<Kept>,
}

/// What a block's way back reads of its way there, in an order of the family's own.
#[derive(Default)]
pub struct Kept {
    pub rows: Vec<Vec<f32>>,
    pub norms: Vec<Normed>,
}

/// What a layer norm leaves behind.
pub struct Normed {
    /// Its output `[n, D]`, where the projection that reads it learns.
    pub rows: Option<Vec<f32>>,
    pub moments: Vec<Moments>,
}

/// What a block's way back starts from.
pub struct BackwardPass<'a> {
    /// The rows that went in, `[n, D]`.
    pub x: &'a [f32],
    /// The gradient of those that came out, `[n, D]`.
    pub grad: &'a [f32],
    /// As the way there left it in [`HostRows::kept`].
    pub kept: Kept,
    pub dropout: [Option<Mask>; 2],
    /// Whether the gradient of `x` is asked for.
    pub wanted: bool,
}

/// One block on plain slices of the CPU.
pub trait HostBlock: Send + Sync {
    /// Every tensor beside the projections.
    fn tensors(&self) -> Vec<&Tensor>;

    fn projections(&self) -> Vec<&Projection>;

    /// Passes rows through the block.
    ///
    /// # Errors
    /// Weights that do not lie on the CPU; those of `attend`.
    fn forward(&self, rows: &mut HostRows, attend: AttendRows) -> Result<()>;

    /// Adds the gradients of all parameters to their sums ([`crate::tensor::gradients`]); that of the rows, `[n, D]`, where it is
    /// wanted.
    ///
    /// # Errors
    /// A packed weight, which has no way back.
    fn backward(&self, back: BackwardPass, attend: AttendBack) -> Result<Option<Vec<f32>>>;
}

/// Every tensor of a block.
fn parameters(block: &dyn HostBlock) -> Vec<&Tensor> {
    let projections = block.projections().into_iter().flat_map(Projection::tensors);
    block.tensors().into_iter().chain(projections).collect()
}

/// Whether a block can run as one operator on rows that have a gradient or not: no parameter is computed from variables, which
/// only the library differentiates, and no matrix on a way back is packed for the way there.
pub(super) fn is_one_operator(block: &dyn HostBlock, differentiated: bool) -> bool {
    let packed = |p: &&Projection| differentiated && matches!(p.weight, Weight::Packed(..));
    parameters(block).into_iter().all(|p| p.is_variable() || !p.track_op())
        && !block.projections().iter().any(packed)
}
