//! From interventions to what the forward pass is told.

use std::sync::Arc;

use crate::engine::types::{HeadSet, Intervention, PositionSpan};
use crate::model::hooks::{EdgeCut, HeadChange, HeadOutput, Hooks, Patch};
use crate::model::{ModelError, Trace};
use crate::tensor::host;

/// The hooks of several interventions at once on a text of `len` tokens; patches come from `other`, a pass that kept the heads'
/// outputs. A head with several factors takes their product.
///
/// # Errors
/// A patch without another text; blocks that lie in the future. Whether they fit the model is for the pass to say.
pub fn hooks(all: &[Intervention], len: usize, other: Option<&Trace>) -> Result<Hooks, ModelError> {
    let mut hooks = Hooks::default();
    for what in all {
        match *what {
            Intervention::Block { heads, queries, keys } => {
                let cuts = cuts(heads, (queries, keys), len);
                if cuts.is_empty() {
                    return Err(ModelError::input(format!(
                        "{what} blocks nothing: no query reads a later key"
                    ))
                    .with_hint("write the query first, then a key at or before it, e.g. 7:2"));
                }
                hooks.cuts.extend(cuts);
            }
            Intervention::Gate { factor: 1.0, .. } => {}
            Intervention::Gate { layer, head, factor } => {
                hooks.heads.push(HeadChange { layer, head, to: HeadOutput::Scaled(factor) });
            }
            Intervention::Mean { layer, head } => {
                hooks.heads.push(HeadChange { layer, head, to: HeadOutput::Mean });
            }
            Intervention::Patch { layer, head, positions } => {
                let Some(other) = other else {
                    return Err(ModelError::input("a patch needs another text to come from")
                        .with_hint("give one of as many tokens"));
                };
                hooks.patches.extend(patches(other, (layer, head), positions, len)?);
            }
        }
    }
    Ok(hooks)
}

/// The cells that a block names, as rectangles.
fn cuts(
    heads: HeadSet,
    (queries, keys): (Option<PositionSpan>, Option<PositionSpan>),
    len: usize,
) -> Vec<EdgeCut> {
    let HeadSet { layer, head } = heads;
    let cut = |queries, keys| EdgeCut { layer, head, queries, keys };
    let range = |span: PositionSpan| span.first..span.last + 1;
    match (queries, keys) {
        (Some(queries), Some(keys)) if keys.first > queries.last => Vec::new(),
        (Some(queries), Some(keys)) => vec![cut(range(queries), range(keys))],
        // A token keeps itself.
        (None, Some(keys)) => {
            range(keys).filter(|k| k + 1 < len).map(|key| cut(key + 1..len, key..key + 1)).collect()
        }
        (Some(queries), None) => {
            range(queries).filter(|q| *q > 0).map(|query| cut(query..query + 1, 0..query)).collect()
        }
        (None, None) => (1..len).map(|query| cut(query..query + 1, 0..query)).collect(),
    }
}

fn patches(
    other: &Trace,
    (layer, head): (Option<usize>, Option<usize>),
    positions: Option<PositionSpan>,
    len: usize,
) -> Result<Vec<Patch>, ModelError> {
    let config = &other.config;
    let (width, head_dim) = (config.n_embd, config.head_dim());
    let positions = positions.map_or(0..len, |span| span.first..span.last + 1);
    if positions.end > len {
        let last = len.saturating_sub(1);
        return Err(ModelError::input(format!(
            "there is no position {} in a text of {len} tokens",
            positions.end - 1
        ))
        .with_hint(format!("positions run from 0 to {last}")));
    }
    let layers = match layer {
        Some(layer) if layer >= config.n_layer => {
            let problem = format!("there is no layer {layer} in a model of {}", config.n_layer);
            return Err(
                ModelError::input(problem).with_hint(format!("layers run from 0 to {}", config.n_layer - 1))
            );
        }
        Some(layer) => layer..layer + 1,
        None => 0..config.n_layer,
    };
    if let Some(head) = head.filter(|head| *head >= config.n_head) {
        return Err(ModelError::input(format!("there is no head {head} in layers of {}", config.n_head))
            .with_hint(format!("heads run from 0 to {}", config.n_head - 1)));
    }
    let mut out = Vec::new();
    for layer in layers {
        let rows = |values: &[f32]| -> Vec<Patch> {
            let from = head.map_or(0, |head| head * head_dim);
            let wide = if head.is_some() { head_dim } else { width };
            let row = |position: usize| Arc::from(&values[position * width + from..][..wide]);
            positions.clone().map(|position| Patch { layer, head, position, values: row(position) }).collect()
        };
        let part = &other.layers[layer];
        out.extend(match (&part.heads, head) {
            (Some(heads), Some(_)) => host::with_slice(heads, rows)?,
            (None, Some(_)) => return Err(ModelError::input("the other pass kept no heads")),
            (_, None) => part.residual.with_slice(rows)?,
        });
    }
    Ok(out)
}
