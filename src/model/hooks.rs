//! What a forward pass does differently at single places: attention weights that are cut, heads that are scaled or replaced by
//! their mean, residuals and heads' outputs that come from another pass. Plain data.

use std::ops::Range;
use std::sync::Arc;

use super::config::Config;
use super::error::ModelError;
use super::input::Visibility;

/// Attention weights that are zero: of these queries on these keys. What is left of a row is renormalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeCut {
    /// `None` is every layer.
    pub layer: Option<usize>,
    /// `None` is every head of the layer.
    pub head: Option<usize>,
    pub queries: Range<usize>,
    pub keys: Range<usize>,
}

impl EdgeCut {
    fn is_in(&self, layer: usize, head: usize) -> bool {
        self.layer.is_none_or(|l| l == layer) && self.head.is_none_or(|h| h == head)
    }

    /// The first row that reads other keys.
    fn first_row(&self) -> usize {
        self.queries.start.max(self.keys.start)
    }
}

/// What takes the place of a head's output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeadOutput {
    /// The output times this factor; 0 takes the head out, 1 leaves it as it is.
    Scaled(f32),
    /// Its mean over the positions up to the query.
    Mean,
}

/// One head whose output is changed, at every position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadChange {
    pub layer: usize,
    pub head: usize,
    pub to: HeadOutput,
}

/// One row that is taken from elsewhere, of another pass as a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    pub layer: usize,
    /// A head, whose output `[head_dim]` is exchanged; `None` is the residual stream `[D]` that goes into the layer.
    pub head: Option<usize>,
    pub position: usize,
    pub values: Arc<[f32]>,
}

/// Everything that a pass does differently. Where a head is changed and patched, the patch stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hooks {
    pub cuts: Vec<EdgeCut>,
    pub heads: Vec<HeadChange>,
    pub patches: Vec<Patch>,
    /// The trace keeps the heads' outputs as they were before any change.
    pub keep_heads: bool,
}

impl Hooks {
    /// Whether the pass is a plain one.
    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty() && self.heads.is_empty() && self.patches.is_empty()
    }

    /// Whether the trace keeps the heads' outputs: somebody asked for them, or a mean over earlier positions needs them.
    pub fn keeps_heads(&self) -> bool {
        self.keep_heads || self.heads.iter().any(|change| change.to == HeadOutput::Mean)
    }

    /// The first row that differs from a plain pass's; `usize::MAX` where none does.
    pub fn first_row(&self) -> usize {
        let cuts = self.cuts.iter().map(EdgeCut::first_row);
        let heads = self.heads.iter().map(|_| 0);
        let patches = self.patches.iter().map(|patch| patch.position);
        cuts.chain(heads).chain(patches).min().unwrap_or(usize::MAX)
    }

    pub(super) fn cuts_in(&self, layer: usize) -> impl Iterator<Item = &EdgeCut> {
        self.cuts.iter().filter(move |cut| cut.layer.is_none_or(|l| l == layer))
    }

    pub(super) fn changes_heads_in(&self, layer: usize) -> bool {
        self.heads.iter().any(|change| change.layer == layer)
            || self.patches.iter().any(|patch| patch.layer == layer && patch.head.is_some())
    }

    /// Changes the heads' outputs `rows` `[n, D]` of the positions from `from` on; `before` `[from, D]` are those of earlier
    /// positions, which only a mean asks for.
    pub(super) fn change_heads(
        &self,
        (layer, head_dim, width): (usize, usize, usize),
        (before, rows): (&[f32], &mut [f32]),
        from: usize,
    ) {
        for change in self.heads.iter().filter(|change| change.layer == layer) {
            for column in change.head * head_dim..(change.head + 1) * head_dim {
                let mut sum: f64 = before.chunks(width).map(|row| f64::from(row[column])).sum();
                for (r, row) in rows.chunks_mut(width).enumerate() {
                    let x = &mut row[column];
                    match change.to {
                        // Not a product: what is infinite is taken out, too.
                        HeadOutput::Scaled(0.0) => *x = 0.0,
                        HeadOutput::Scaled(factor) => *x *= factor,
                        HeadOutput::Mean => {
                            sum += f64::from(*x);
                            *x = (sum / (from + r + 1) as f64) as f32;
                        }
                    }
                }
            }
        }
        for patch in self.patches.iter().filter(|patch| patch.layer == layer && patch.position >= from) {
            let Some(head) = patch.head else { continue };
            let at = (patch.position - from) * width + head * head_dim;
            rows[at..at + head_dim].copy_from_slice(&patch.values);
        }
    }

    /// Whether a row of the residual stream that goes into `layer` is patched from row `from` on.
    pub(super) fn patches_residual(&self, layer: usize, from: usize) -> bool {
        self.residual_patches(layer, from).next().is_some()
    }

    fn residual_patches(&self, layer: usize, from: usize) -> impl Iterator<Item = &Patch> {
        let here = move |p: &&Patch| p.layer == layer && p.head.is_none() && p.position >= from;
        self.patches.iter().filter(here)
    }

    /// Exchanges the patched rows of the residual stream `rows` `[n, D]`, the first of which is row `from`.
    pub(super) fn patch_residual(&self, layer: usize, width: usize, from: usize, rows: &mut [f32]) {
        for patch in self.residual_patches(layer, from) {
            let at = (patch.position - from) * width;
            rows[at..at + width].copy_from_slice(&patch.values);
        }
    }

    /// The same for a sequence of which only `rows` (ascending) are left.
    pub(super) fn of_rows(&self, rows: &[usize]) -> Hooks {
        let place = |at: usize| rows.partition_point(|&r| r < at);
        let span = |range: &Range<usize>| place(range.start)..place(range.end);
        let cut = |c: &EdgeCut| EdgeCut { queries: span(&c.queries), keys: span(&c.keys), ..c.clone() };
        let patch = |p: &Patch| Some(Patch { position: rows.binary_search(&p.position).ok()?, ..p.clone() });
        Hooks {
            cuts: self.cuts.iter().map(cut).filter(|c| !c.queries.is_empty() && !c.keys.is_empty()).collect(),
            heads: self.heads.clone(),
            patches: self.patches.iter().filter_map(patch).collect(),
            keep_heads: self.keep_heads,
        }
    }

    /// Refuses hooks that do not fit the model or a text of `len` tokens, and rows that would read nothing.
    ///
    /// # Errors
    /// The first fault.
    pub(super) fn check(
        &self,
        config: &Config,
        len: usize,
        visibility: &Visibility,
    ) -> Result<(), ModelError> {
        let cuts =
            self.cuts.iter().map(|c| (c.layer, c.head, c.queries.end.max(c.keys.end).saturating_sub(1)));
        let heads = self.heads.iter().map(|h| (Some(h.layer), Some(h.head), 0));
        let patches = self.patches.iter().map(|p| (Some(p.layer), p.head, p.position));
        for (layer, head, last) in cuts.chain(heads).chain(patches) {
            check_place(config, (layer, head))?;
            if last >= len {
                return Err(ModelError::input(format!(
                    "there is no position {last} in a text of {len} tokens"
                ))
                .with_hint(format!("positions run from 0 to {}", len.saturating_sub(1))));
            }
        }
        let fits =
            |p: &Patch| p.values.len() == if p.head.is_some() { config.head_dim() } else { config.n_embd };
        if !self.patches.iter().all(fits) {
            return Err(ModelError::input("a patch has another width than what it takes the place of")
                .with_hint("take it from a pass of the same model"));
        }
        self.check_rows_left(config, len, visibility)
    }

    /// Refuses cuts that leave a query nothing to read.
    fn check_rows_left(
        &self,
        config: &Config,
        len: usize,
        visibility: &Visibility,
    ) -> Result<(), ModelError> {
        // Where all heads are told the same, one stands for all.
        let apart = matches!(visibility, Visibility::ByHead(_)) || self.cuts.iter().any(|c| c.head.is_some());
        let layered =
            matches!(visibility, Visibility::ByHead(_)) || self.cuts.iter().any(|c| c.layer.is_some());
        for layer in 0..if layered { config.n_layer } else { 1 } {
            for head in 0..if apart { config.n_head } else { 1 } {
                let cuts: Vec<&EdgeCut> = self.cuts.iter().filter(|c| c.is_in(layer, head)).collect();
                let mut rows: Vec<usize> =
                    cuts.iter().flat_map(|c| c.queries.clone()).filter(|t| *t < len).collect();
                rows.sort_unstable();
                rows.dedup();
                let cut =
                    |t: usize, i: usize| cuts.iter().any(|c| c.queries.contains(&t) && c.keys.contains(&i));
                let reads = |t: usize, i: usize| {
                    visibility.visible_in(layer * config.n_head + head, len, t, i) && !cut(t, i)
                };
                if let Some(t) = rows.into_iter().find(|&t| !(0..=t).any(|i| reads(t, i))) {
                    return Err(nothing_left(t, layered.then_some(layer), apart.then_some(head)));
                }
            }
        }
        Ok(())
    }
}

fn check_place(config: &Config, (layer, head): (Option<usize>, Option<usize>)) -> Result<(), ModelError> {
    let (layers, heads) = (config.n_layer, config.n_head);
    let hint = format!("layers run from 0 to {}, heads from 0 to {}", layers - 1, heads - 1);
    match (layer, head) {
        (Some(l), _) if l >= layers => {
            Err(ModelError::input(format!("there is no layer {l} in a model of {layers}")).with_hint(hint))
        }
        (_, Some(h)) if h >= heads => {
            Err(ModelError::input(format!("there is no head {h} in layers of {heads}")).with_hint(hint))
        }
        _ => Ok(()),
    }
}

fn nothing_left(query: usize, layer: Option<usize>, head: Option<usize>) -> ModelError {
    let place = match (layer, head) {
        (Some(layer), Some(head)) => format!(" in layer {layer}, head {head}"),
        (Some(layer), None) => format!(" in layer {layer}"),
        (None, Some(head)) => format!(" in head {head}"),
        (None, None) => String::new(),
    };
    let keys =
        if query == 0 { "its only key is".to_owned() } else { format!("all its {} keys are", query + 1) };
    ModelError::input(format!("query {query} would have nothing to read{place}: {keys} blocked"))
        .with_hint(format!("leave it at least one key, e.g. its own position, {query}"))
}
