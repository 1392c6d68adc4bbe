//! The exploring pass: one sequence, with a trace, reusing every row of an earlier trace that cannot have changed.
//! In a causal model nothing left of the first changed position changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Result, Tensor};

use super::error::ModelError;
use super::hooks::{EdgeCut, Hooks};
use super::host::{Passed, Step};
use super::input::{Input, Visibility, check_rows};
use super::language_model::Model;
use super::network::Positions;
use super::stored::Stored;
use super::trace::{LayerTrace, Trace};
use crate::tensor::attention::Attention;
use crate::tensor::device::on_host;
use crate::tensor::host;

impl Input {
    /// The first row at which the two passes may differ; `min(len)` when one is a prefix of the other.
    ///
    /// Everything that decides row `t` is compared: id, position, embedding, skipping, and which keys it sees.
    pub fn shared_rows(&self, other: &Input) -> usize {
        let mut len = self.len().min(other.len());
        if self.hooks != other.hooks {
            len = len.min(self.hooks.first_row()).min(other.hooks.first_row());
        }
        let same_row = |t: usize| {
            self.ids[t] == other.ids[t]
                && self.position(t) == other.position(t)
                && match (self.replaced.get(&t), other.replaced.get(&t)) {
                    (None, None) => true,
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
                    _ => false,
                }
                && self.skipped.binary_search(&t).is_ok() == other.skipped.binary_search(&t).is_ok()
        };
        let mut shared = (0..len).find(|&t| !same_row(t)).unwrap_or(len);
        shared = shared.min(self.visibility_shared(other, shared));
        shared
    }

    /// The first query below `limit` that sees other keys in `other`.
    fn visibility_shared(&self, other: &Input, limit: usize) -> usize {
        match (&self.visibility, &other.visibility) {
            (a, b) if a == b && self.len() == other.len() => limit,
            (Visibility::Causal, Visibility::Causal) => limit,
            (a @ Visibility::Pairs(_), b) | (a, b @ Visibility::Pairs(_)) => {
                let heads = a.heads().max(b.heads());
                let differs = |t: usize, i: usize| {
                    (0..heads)
                        .any(|h| a.visible_in(h, self.len(), t, i) != b.visible_in(h, other.len(), t, i))
                };
                (0..limit).find(|&t| (0..t).any(|i| differs(t, i))).unwrap_or(limit)
            }
            (a, b) => {
                let from = |v: &Visibility, head: usize, i: usize| match v {
                    Visibility::HideFrom(f) => f[i],
                    Visibility::ByHead(heads) => heads.get(head).map_or(u32::MAX, |f| f[i]),
                    _ => u32::MAX,
                };
                // A key hidden from query h on is hidden from h' on in the other pass: queries from min(h, h') on differ.
                let heads = a.heads().max(b.heads());
                (0..heads)
                    .flat_map(|head| (0..limit).map(move |i| (head, i)))
                    .filter(|&(head, i)| from(a, head, i) != from(b, head, i))
                    .map(|(head, i)| (from(a, head, i).min(from(b, head, i)) as usize).max(i + 1))
                    .min()
                    .map_or(limit, |t| t.min(limit))
            }
        }
    }
}

/// What a pass may build on and when it must give up.
#[derive(Clone, Copy, Default)]
pub struct Reuse<'a> {
    /// Earlier traces of the same model; the one that shares most rows is used.
    pub traces: &'a [&'a Trace],
    pub cancel: Option<&'a AtomicBool>,
}

impl Model {
    /// Checks that `input` can be run, before any memory is taken for it.
    pub fn check(&self, input: &Input) -> std::result::Result<(), ModelError> {
        let c = &self.config;
        if input.is_empty() {
            return Err(ModelError::input("the text is empty: nothing to run"));
        }
        if input.len() > c.n_positions {
            let problem =
                format!("{} tokens are more than the model's context of {}", input.len(), c.n_positions);
            return Err(ModelError::input(problem)
                .with_hint("shorten the text or choose a model with a longer context"));
        }
        check_rows(&input.ids, c.vocab_size, None)?;
        if let Some(ids) = &input.position_ids
            && (ids.len() != input.len() || ids.iter().any(|&p| p as usize >= c.n_positions))
        {
            return Err(ModelError::input("position ids do not fit the context"));
        }
        let hooks = &input.hooks;
        let placed = !hooks.cuts.is_empty() || !hooks.patches.is_empty();
        if placed && !input.skipped.is_empty() {
            return Err(ModelError::input("edges cannot be cut nor rows patched where tokens skip layers")
                .with_hint("choose another operation than skip"));
        }
        hooks.check(c, input.len(), &input.visibility)
    }

    /// Runs `input`, recomputing only the rows that differ from the best trace in `reuse`.
    ///
    /// # Errors
    /// An input that does not fit the model, or [`ModelError::Cancelled`] between two blocks.
    pub fn run(&self, input: Arc<Input>, reuse: Reuse) -> std::result::Result<Trace, ModelError> {
        self.check(&input)?;
        let best = reuse
            .traces
            .iter()
            .filter(|t| t.layers.len() == self.config.n_layer)
            .filter(|t| !input.hooks.keeps_heads() || t.layers.iter().all(|l| l.heads.is_some()))
            .map(|t| (t.input.shared_rows(&input), *t))
            .max_by_key(|(shared, _)| *shared);
        match best {
            Some((shared, trace)) if shared == input.len() && trace.len() == input.len() => {
                let all = trace.layers.iter().map(|l| l.residual.len()).sum();
                Ok(Trace { computed: 0, reused: all, input, ..trace.clone() })
            }
            // At least the last row is computed, which also serves a text that became shorter.
            Some((shared, trace)) if shared > 0 => {
                let prefix = Some((trace, shared.min(input.len() - 1)));
                // Inside the pool from here on: entering it for every operator would cost more than a small one.
                rayon::scope(|_| self.run_from(input.clone(), prefix, reuse.cancel))
            }
            _ => rayon::scope(|_| self.run_from(input, None, reuse.cancel)),
        }
    }

    fn run_from(
        &self,
        input: Arc<Input>,
        prefix: Option<(&Trace, usize)>,
        cancel: Option<&AtomicBool>,
    ) -> std::result::Result<Trace, ModelError> {
        let t = input.len();
        let n_layer = self.config.n_layer;
        let keep: Option<Arc<Vec<usize>>> = (!input.skipped.is_empty() && n_layer > 2)
            .then(|| Arc::new((0..t).filter(|i| input.skipped.binary_search(i).is_err()).collect()));
        // The middle layers need a row of their own to work on: step back to the last one that is not skipped.
        let start = prefix.map_or(0, |(_, shared)| {
            keep.as_ref().map_or(shared, |rows| shared.min(rows.last().copied().unwrap_or(0)))
        });
        let mut rules = Rules::new(self, &input, keep.clone());
        let gram = match prefix {
            Some((trace, _)) => trace.gram.clone(),
            None => self.grams()?,
        };
        let mut x = self.embed_rows(&input, start)?;
        let mut layers = Vec::with_capacity(n_layer);
        let mut bypass: Option<Tensor> = None;
        let (mut computed, mut reused) = (0, 0);
        for layer in 0..n_layer {
            if cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
                return Err(ModelError::Cancelled);
            }
            let rows = if layer == 0 || layer + 1 == n_layer { None } else { keep.clone() };
            if let Some(rows) = &keep {
                if layer == 1 {
                    bypass = Some(x.clone());
                    x = gather(&x, &rows[first_row(rows, start)..], start)?;
                } else if layer + 1 == n_layer
                    && let Some(all) = bypass.take()
                {
                    x = scatter(&all, &x, &rows[first_row(rows, start)..], start)?;
                }
            }
            let from = rows.as_ref().map_or(start, |rows| first_row(rows, start));
            if input.hooks.patches_residual(layer, from) {
                let (shape, mut values) = (x.dims2()?, host::values(&x)?);
                input.hooks.patch_residual(layer, shape.1, from, &mut values);
                x = Tensor::from_vec(values, shape, &self.device)?;
            }
            let bias = rules.of(layer)?;
            let old = prefix.map(|(trace, _)| &trace.layers[layer]);
            let part = self.layer(
                layer,
                &x,
                old,
                from,
                LayerRule { bias: &bias, input: &input, rows, grams: &gram },
            )?;
            computed += x.dim(0)?;
            reused += from;
            x = part.1;
            layers.push(part.0);
        }
        let joined = |old: Option<&Tensor>, new: Tensor| join(old, &new, start);
        let hidden = joined(prefix.map(|(p, _)| &p.hidden), self.final_norm(&x)?)?;
        let last = joined(prefix.map(|(p, _)| &p.last), x)?;
        Ok(Trace {
            config: Arc::new(self.config.clone()),
            input,
            layers,
            last,
            hidden,
            computed,
            reused,
            gram,
        })
    }

    /// One layer on new rows `x`, joined to the first `from` rows of `old`.
    fn layer(
        &self,
        layer: usize,
        x: &Tensor,
        old: Option<&LayerTrace>,
        from: usize,
        rule: LayerRule,
    ) -> std::result::Result<(LayerTrace, Tensor), ModelError> {
        let base = self.attention(layer);
        let block = if on_host(x.device()) { self.network.host_block(layer) } else { None };
        if let Some(block) = block {
            let all = Attention { bias: rule.bias.clone(), ..base };
            let (n, width) = x.dims2()?;
            let h = self.config.n_head;
            let grams = &rule.grams[layer * h..(layer + 1) * h];
            let step = Step { layer, from, old, rule: all.clone(), grams, hooks: &rule.input.hooks };
            let passed = self.host_layer(&*block, host::values(x)?, &step)?;
            let Passed { x: next, residual, qkv, heads, sums } = passed;
            let trace = LayerTrace { residual, qkv, heads, rule: all, rows: rule.rows, sums };
            return Ok((trace, Tensor::from_vec(next, (n, width), x.device())?));
        }
        let stored = |pick: fn(&LayerTrace) -> &Stored| old.map(|o| pick(o).tensor()).transpose();
        let (old_residual, old_qkv) = (stored(|o| &o.residual)?, stored(|o| &o.qkv)?);
        let residual = Stored::device(join(old_residual.as_ref(), x, from)?);
        let mut kept: Option<(Tensor, Option<Tensor>)> = None;
        let hooks = &rule.input.hooks;
        let positions: Vec<u32> = match &rule.rows {
            Some(rows) => rows[from..].iter().map(|&row| rule.input.position(row)).collect(),
            None => (from..rule.input.len()).map(|row| rule.input.position(row)).collect(),
        };
        let out = self.block((layer, Positions::Given(&positions)), x, |new| {
            let qkv = join(old_qkv.as_ref(), &new, from)?;
            let sliced = match rule.bias {
                Some(full) => Some(full.narrow(2, from, full.dim(2)? - from)?.contiguous()?),
                None => None,
            };
            let heads = Attention { bias: sliced, ..base.clone() }.cached(&qkv, from)?;
            let all = match hooks.keeps_heads() {
                true => Some(join(old.and_then(|o| o.heads.as_ref()), &heads, from)?),
                false => None,
            };
            kept = Some((qkv, all.clone()));
            if !hooks.changes_heads_in(layer) {
                return Ok(heads);
            }
            let mut values = host::values(&heads)?;
            self.change_heads(hooks, (layer, from), all.as_ref(), &mut values)?;
            Tensor::from_vec(values, heads.shape(), heads.device())?.to_dtype(heads.dtype())
        })?;
        let Some((qkv, heads)) = kept else {
            return Err(ModelError::input("the block did not ask for attention"));
        };
        let rule_with_bias = Attention { bias: rule.bias.clone(), ..base };
        let qkv = Stored::device(qkv);
        Ok((
            LayerTrace { residual, qkv, heads, rule: rule_with_bias, rows: rule.rows, sums: Vec::new() },
            out,
        ))
    }

    /// The first block's input for rows `start..`, `[T − start, D]`.
    fn embed_rows(&self, input: &Input, start: usize) -> Result<Tensor> {
        let n = input.len() - start;
        let mut tokens = self.embedding.select(&input.ids[start..])?.to_dtype(DType::F32)?;
        if input.replaced.range(start..).next().is_some() {
            let width = self.config.n_embd;
            let mut values = host::values(&tokens)?;
            for (&i, row) in input.replaced.range(start..) {
                values[(i - start) * width..(i - start + 1) * width].copy_from_slice(row);
            }
            tokens = Tensor::from_vec(values, (n, width), &self.device)?;
        }
        let positions: Vec<u32> = (start..input.len()).map(|t| input.position(t)).collect();
        self.network.embed(tokens, Positions::Given(&positions))
    }

    /// Changes the heads' outputs `rows` `[n, D]` of the rows from `from` on, as `hooks` say; `all` are the outputs of all rows
    /// before any change, where they are kept.
    pub(super) fn change_heads(
        &self,
        hooks: &Hooks,
        (layer, from): (usize, usize),
        all: Option<&Tensor>,
        rows: &mut [f32],
    ) -> Result<()> {
        if !hooks.changes_heads_in(layer) {
            return Ok(());
        }
        let before = match all {
            Some(all) if from > 0 => host::values(&all.narrow(0, 0, from)?)?,
            _ => Vec::new(),
        };
        hooks.change_heads((layer, self.config.head_dim(), self.config.n_embd), (&before, rows), from);
        Ok(())
    }
}

/// The visibility of an input as additive biases, made once for all layers that share it.
struct Rules<'a> {
    model: &'a Model,
    input: &'a Input,
    /// Rows of the middle layers; `None` for all.
    middle: Option<Arc<Vec<usize>>>,
    /// Of the outer layers and of the middle ones.
    known: [Option<Option<Tensor>>; 2],
}

impl<'a> Rules<'a> {
    fn new(model: &'a Model, input: &'a Input, middle: Option<Arc<Vec<usize>>>) -> Self {
        Rules { model, input, middle, known: [None, None] }
    }

    /// The bias of one layer, `[1, 1, n, n]`, or `[1, H, n, n]` where heads are told apart; `None` when nothing is hidden.
    fn of(&mut self, layer: usize) -> Result<Option<Tensor>> {
        let inside = self.middle.is_some() && layer > 0 && layer + 1 < self.model.config.n_layer;
        let cut = self.input.hooks.cuts_in(layer).next().is_some();
        if cut || matches!(self.input.visibility, Visibility::ByHead(_)) {
            return self.bias(layer, inside);
        }
        if let Some(known) = &self.known[usize::from(inside)] {
            return Ok(known.clone());
        }
        let bias = self.bias(layer, inside)?;
        self.known[usize::from(inside)] = Some(bias.clone());
        Ok(bias)
    }

    fn bias(&self, layer: usize, inside: bool) -> Result<Option<Tensor>> {
        let visibility = &self.input.visibility;
        let cuts: Vec<&EdgeCut> = self.input.hooks.cuts_in(layer).collect();
        if *visibility == Visibility::Causal && cuts.is_empty() {
            return Ok(None);
        }
        let t = self.input.len();
        let rows = self.middle.as_ref().filter(|_| inside);
        let n = rows.map_or(t, |r| r.len());
        let at = |r: usize| rows.map_or(r, |rows| rows[r]);
        let n_head = self.model.config.n_head;
        let apart = visibility.heads() > 1 || cuts.iter().any(|cut| cut.head.is_some());
        let heads = if apart { n_head } else { 1 };
        let mut bias = vec![0f32; heads * n * n];
        for (h, plane) in bias.chunks_exact_mut(n * n).enumerate() {
            for r in 0..n {
                for c in 0..r {
                    if !visibility.visible_in(layer * n_head + h, t, at(r), at(c)) {
                        plane[r * n + c] = f32::NEG_INFINITY;
                    }
                }
            }
            // Cuts come without skipped rows, so that a row is its position.
            for cut in cuts.iter().filter(|cut| cut.head.is_none_or(|head| head == h)) {
                for t in cut.queries.clone() {
                    let keys = cut.keys.start.min(t + 1)..cut.keys.end.min(t + 1);
                    plane[t * n..][keys].fill(f32::NEG_INFINITY);
                }
            }
        }
        Tensor::from_vec(bias, (1, heads, n, n), &self.model.device).map(Some)
    }
}

/// What one layer's attention is told besides its rows.
struct LayerRule<'a> {
    bias: &'a Option<Tensor>,
    input: &'a Input,
    rows: Option<Arc<Vec<usize>>>,
    /// `W_O W_Oᵀ` of every head of the model.
    grams: &'a [Vec<f32>],
}

/// Index of the first kept row at or after position `start`.
fn first_row(rows: &[usize], start: usize) -> usize {
    rows.partition_point(|&r| r < start)
}

/// The first `from` rows of `old`, then `new`.
pub(super) fn join(old: Option<&Tensor>, new: &Tensor, from: usize) -> Result<Tensor> {
    match old {
        Some(old) if from > 0 => Tensor::cat(&[&old.narrow(0, 0, from)?, new], 0),
        _ => Ok(new.clone()),
    }
}

/// Rows of `x` at the given positions; row 0 of `x` is position `start`.
fn gather(x: &Tensor, positions: &[usize], start: usize) -> Result<Tensor> {
    let index: Vec<u32> = positions.iter().map(|&p| (p - start) as u32).collect();
    let n = index.len();
    x.index_select(&Tensor::from_vec(index, n, x.device())?, 0)
}

/// `all` with its rows at `positions` exchanged for those of `part`.
fn scatter(all: &Tensor, part: &Tensor, positions: &[usize], start: usize) -> Result<Tensor> {
    let (n, width) = all.dims2()?;
    let mut values = host::values(all)?;
    host::with_slice(part, |part| {
        for (row, &p) in part.chunks(width).zip(positions) {
            values[(p - start) * width..(p - start + 1) * width].copy_from_slice(row);
        }
    })?;
    Tensor::from_vec(values, (n, width), all.device())
}
