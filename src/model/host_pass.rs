//! One transformer block of the exploring pass on the CPU: products with bias, activation and residual folded in, on plain
//! slices, with weights read where they lie. The composed path in `gpt2.rs` is its plain twin.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::forward::join;
use super::gpt2::{Block, Gpt2, Norm, Projection};
use super::input::HeadAblation;
use super::stored::Stored;
use super::trace::LayerTrace;
use super::weight::{Lent, Side};
use crate::tensor::attention::{Attention, Sums};
use crate::tensor::host::{self, Held, hold};
use crate::tensor::kernels::activation::Activation;
use crate::tensor::kernels::attention::TileSums;
use crate::tensor::kernels::{head, layer_norm};
use crate::tensor::linear::{Linear, apply, fill};
use crate::tensor::rows::{Rows, copy_to};

/// A block's weights, held for one call.
struct Weights<'a> {
    ln_1: [Held<'a>; 2],
    c_attn: (Lent<'a>, Held<'a>),
    attn_proj: (Lent<'a>, Held<'a>),
    ln_2: [Held<'a>; 2],
    c_fc: (Lent<'a>, Held<'a>),
    mlp_proj: (Lent<'a>, Held<'a>),
}

impl<'a> Weights<'a> {
    fn hold(block: &'a Block) -> Result<Self> {
        let norm = |n: &'a Norm| Ok::<_, candle_core::Error>([hold(&n.gain)?, hold(&n.bias)?]);
        let projection = |p: &'a Projection| Ok::<_, candle_core::Error>((p.weight.lend()?, hold(&p.bias)?));
        Ok(Weights {
            ln_1: norm(&block.ln_1)?,
            c_attn: projection(&block.c_attn)?,
            attn_proj: projection(&block.attn_proj)?,
            ln_2: norm(&block.ln_2)?,
            c_fc: projection(&block.c_fc)?,
            mlp_proj: projection(&block.mlp_proj)?,
        })
    }
}

fn linear<'a>(
    (weight, bias): &'a (Lent<'_>, Held<'_>),
    add: bool,
    activation: Option<Activation>,
) -> Result<Linear<'a>> {
    Ok(Linear { weight: weight.right(Side::Rows)?, bias: bias.floats()?, add, activation })
}

/// Rows that pass through the blocks, and room that is used again in each.
pub(super) struct Flow {
    /// Residual stream of the new rows, `[n, D]`.
    pub x: Vec<f32>,
    normed: Vec<f32>,
    hidden: Vec<f32>,
}

impl Flow {
    pub fn new(x: Vec<f32>) -> Self {
        Flow { x, normed: Vec::new(), hidden: Vec::new() }
    }
}

/// What one block is told besides its rows.
pub(super) struct Step<'a> {
    pub layer: usize,
    /// Rows kept of `old`; the new rows follow them.
    pub from: usize,
    pub old: Option<&'a LayerTrace>,
    /// The rule over all rows, with the visibility as its bias `[1, heads | 1, n, n]`.
    pub rule: Attention,
    /// `W_O W_Oᵀ` of the layer's heads.
    pub grams: &'a [Vec<f32>],
    /// Heads taken out, of all layers.
    pub ablated: &'a [HeadAblation],
}

/// What one block leaves behind.
pub(super) struct Passed {
    pub residual: Stored,
    pub qkv: Stored,
    /// The heads' output of all rows, `[T, D]`, before any was taken out; only where some are.
    pub heads: Option<Tensor>,
    pub sums: Vec<Arc<TileSums>>,
}

impl Gpt2 {
    /// Passes the new rows through one block: residual, packed projection and what keys received, joined to the kept rows;
    /// `flow.x` becomes the next block's input.
    pub(super) fn host_block(&self, flow: &mut Flow, step: &Step) -> Result<Passed> {
        let w = Weights::hold(&self.blocks[step.layer])?;
        let (d, inner) = (self.config.n_embd, self.config.inner());
        let n = flow.x.len() / d;
        let eps = self.config.layer_norm_epsilon as f32;
        let old = |pick: fn(&LayerTrace) -> &Stored, width: usize| match step.old {
            Some(old) if step.from > 0 => pick(old).rows(width),
            _ => Ok(Rows::empty(width)),
        };
        // SAFETY: a copy writes every element.
        let residual = unsafe { old(|o| &o.residual, d)?.grow(step.from, n, |to| copy_to(to, &flow.x)) };
        flow.normed.resize(n * d, 0.0);
        layer_norm::forward(&flow.x, w.ln_1[0].floats()?, w.ln_1[1].floats()?, eps, &mut flow.normed);
        let c_attn = linear(&w.c_attn, false, None)?;
        // SAFETY: `fill` writes every element.
        let qkv = unsafe { old(|o| &o.qkv, 3 * d)?.grow(step.from, n, |to| fill(&c_attn, &flow.normed, to)) };
        let known = step.old.filter(|_| step.from > 0).map_or(&[][..], |old| &old.sums);
        let sums = Sums { old: known, grams: step.grams };
        let (mut heads, sums) = step.rule.cached_rows(qkv.values(), d, step.from, sums)?;
        let mut kept = None;
        if !step.ablated.is_empty() {
            let new = Tensor::from_vec(heads, (n, d), &self.device)?;
            let all = join(step.old.and_then(|old| old.heads.as_ref()), &new, step.from)?;
            heads = host::values(&self.ablate(step.layer, &all, step.ablated)?.narrow(0, step.from, n)?)?;
            kept = Some(all);
        }
        apply(&linear(&w.attn_proj, true, None)?, &heads, &mut flow.x);
        layer_norm::forward(&flow.x, w.ln_2[0].floats()?, w.ln_2[1].floats()?, eps, &mut flow.normed);
        flow.hidden.resize(n * inner, 0.0);
        apply(&linear(&w.c_fc, false, Some(self.activation))?, &flow.normed, &mut flow.hidden);
        apply(&linear(&w.mlp_proj, true, None)?, &flow.hidden, &mut flow.x);
        Ok(Passed { residual: Stored::Host(residual, d), qkv: Stored::Host(qkv, 3 * d), heads: kept, sums })
    }

    /// Reads logits of rows `from..from + targets.len()` of `hidden` `[T, D]` without holding them.
    pub(super) fn host_read(
        &self,
        hidden: &Tensor,
        from: usize,
        targets: &[u32],
        wanted: &[usize],
    ) -> Result<head::Read> {
        let (vocab, d) = (self.config.vocab_size, self.config.n_embd);
        let (states, weight) = (hold(hidden)?, self.lm_head.lend()?);
        let rows = &states.floats()?[from * d..(from + targets.len()) * d];
        Ok(head::read(rows, weight.right(Side::Columns)?, (d, vocab), targets, wanted))
    }
}
