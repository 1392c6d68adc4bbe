//! One block of the exploring pass on the CPU: new rows pass through it, joined to the rows that an earlier trace kept.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::{HostBlock, HostRows};
use crate::model::Model;
use crate::model::forward::join;
use crate::model::hooks::Hooks;
use crate::model::stored::Stored;
use crate::model::trace::LayerTrace;
use crate::tensor::attention::{Attention, Sums};
use crate::tensor::kernels::attention::TileSums;
use crate::tensor::rows::{Rows, copy_to};

/// What one block is told besides its rows.
pub(in crate::model) struct Step<'a> {
    pub layer: usize,
    /// Rows kept of `old`; the new rows follow them.
    pub from: usize,
    pub old: Option<&'a LayerTrace>,
    /// The rule over all rows, with the visibility as its bias `[1, heads | 1, n, n]`.
    pub rule: Attention,
    /// `W_O W_Oᵀ` of the layer's heads.
    pub grams: &'a [Vec<f32>],
    pub hooks: &'a Hooks,
}

/// What one block leaves behind.
pub(in crate::model) struct Passed {
    /// The next block's input, `[n, D]`.
    pub x: Vec<f32>,
    pub residual: Stored,
    pub qkv: Stored,
    /// The heads' output of all rows, `[T, D]`, before any change; only where it is to be kept.
    pub heads: Option<Tensor>,
    pub sums: Vec<Arc<TileSums>>,
}

impl Model {
    /// Passes the new rows `x` `[n, D]` through one block: residual, packed projection and what keys received, joined to the kept
    /// rows.
    pub(in crate::model) fn host_layer(
        &self,
        block: &dyn HostBlock,
        x: Vec<f32>,
        step: &Step,
    ) -> Result<Passed> {
        let d = self.config.n_embd;
        let n = x.len() / d;
        let old = |pick: fn(&LayerTrace) -> &Stored, width: usize| match step.old {
            Some(old) if step.from > 0 => pick(old).rows(width),
            _ => Ok(Rows::empty(width)),
        };
        // SAFETY: a copy writes every element.
        let residual = unsafe { old(|o| &o.residual, d)?.grow(step.from, n, |to| copy_to(to, &x)) };
        let old_qkv = old(|o| &o.qkv, 3 * d)?;
        let mut rows = HostRows { x, dropout: [None, None], kept: None };
        let (mut qkv, mut kept, mut sums) = (Rows::empty(3 * d), None, Vec::new());
        block.forward(&mut rows, &mut |writer| {
            // SAFETY: a writer writes every element.
            qkv = unsafe { old_qkv.grow(step.from, n, |to| writer.write(to)) };
            let known = step.old.filter(|_| step.from > 0).map_or(&[][..], |old| &old.sums);
            let known = Sums { old: known, grams: step.grams };
            let (mut heads, received) = step.rule.cached_rows(qkv.values(), d, step.from, known)?;
            sums = received;
            if step.hooks.keeps_heads() {
                let new = Tensor::from_slice(&heads, (n, d), &self.device)?;
                kept = Some(join(step.old.and_then(|old| old.heads.as_ref()), &new, step.from)?);
            }
            self.change_heads(step.hooks, (step.layer, step.from), kept.as_ref(), &mut heads)?;
            Ok(heads)
        })?;
        Ok(Passed {
            x: rows.x,
            residual: Stored::Host(residual, d),
            qkv: Stored::Host(qkv, 3 * d),
            heads: kept,
            sums,
        })
    }
}
