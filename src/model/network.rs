//! What a family's weights in memory can do. Trace, training, adapters and the explorer ask this trait, never a family.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::host::HostBlock;
use super::layers::{Projection, dropout};
use crate::tensor::attention::Attention;
use crate::tensor::dropout::Mask;

/// Where rows stand in their sequences.
#[derive(Clone, Copy, Debug)]
pub enum Positions<'a> {
    /// Row `t` of every sequence stands at position `t`.
    Counted,
    /// One position id per row, over all sequences.
    Given(&'a [u32]),
}

/// What a block is told of its rows.
#[derive(Clone, Copy)]
pub struct BlockInput<'a> {
    pub layer: usize,
    /// Residual stream, `[…, D]`.
    pub x: &'a Tensor,
    pub positions: Positions<'a>,
    /// Of attention's output and of the MLP's.
    pub dropout: [Option<Mask>; 2],
}

impl BlockInput<'_> {
    /// The output of attention under its dropout.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn drop_attention(&self, x: Tensor) -> Result<Tensor> {
        dropout::apply(self.dropout[0], x)
    }

    /// The output of the MLP under its dropout.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn drop_mlp(&self, x: Tensor) -> Result<Tensor> {
        dropout::apply(self.dropout[1], x)
    }
}

/// Turns the packed projection of a block's rows, query, key and value side by side `[…, 3D]`, into the heads' output `[…, D]`;
/// it is where caches, masks and traces come in.
pub type Attend<'a> = &'a mut dyn FnMut(Tensor) -> Result<Tensor>;

/// A weight of a network, to be looked at or exchanged.
pub enum WeightPart<'a> {
    /// The parameter of this name.
    Tensor(&'a mut Tensor),
    /// The parameters `NAME.weight` and `NAME.bias`, where NAME is a module of the checkpoint.
    Projection(&'a mut Projection),
}

/// Everything between the token embeddings and the output matrix, both of which belong to [`super::Model`].
pub trait Network: Send + Sync {
    /// A copy that shares the weights.
    fn boxed(&self) -> Box<dyn Network>;

    /// The first block's input for token embeddings `[…, D]`.
    ///
    /// # Errors
    /// Positions that the network has no embedding for.
    fn embed(&self, tokens: Tensor, positions: Positions) -> Result<Tensor>;

    /// The attention rule of a layer, without a bias and without dropout.
    fn attention(&self, layer: usize) -> Attention;

    /// One block: the rows that go into the next one, differentiable.
    ///
    /// # Errors
    /// Of the tensor library; those of `attend`.
    fn block(&self, input: &BlockInput, attend: Attend) -> Result<Tensor>;

    /// The block on plain slices of the CPU, where the family has written it; others run on tensors everywhere.
    fn host_block(&self, _layer: usize) -> Option<Arc<dyn HostBlock>> {
        None
    }

    /// The norm after the last block.
    ///
    /// # Errors
    /// Of the tensor library.
    fn final_norm(&self, x: &Tensor) -> Result<Tensor>;

    /// The projection that takes the heads' output back to the residual stream.
    fn attention_output(&self, layer: usize) -> &Projection;

    /// Every weight, by the names of [`super::family::Family::parameters`].
    fn parts(&mut self) -> Vec<(String, WeightPart<'_>)>;
}
