//! Why an intervention has no effect, in a sentence.

use super::{Lab, plan};
use crate::engine::types::{Intervention, PositionSpan};
use crate::model::Trace;

/// Weights under this are 0 to the prediction.
const NO_WEIGHT: f32 = 1e-6;

pub(super) fn of(lab: &Lab, what: &Intervention) -> String {
    let at = lab.position;
    match *what {
        Intervention::Gate { factor: 1.0, .. } => "a gate of 1 leaves the head as it is".to_owned(),
        Intervention::Block { queries: Some(PositionSpan { first, .. }), .. } if first > at => {
            format!("query {first} comes after position {at}, whose prediction is measured")
        }
        Intervention::Block { heads, queries: Some(queries), .. }
            if heads.layer.is_some_and(|layer| layer + 1 == lab.baseline.trace.config.n_layer)
                && !(queries.first..=queries.last).contains(&at) =>
        {
            format!("after the last layer only position {at} is read, whatever other queries read in it")
        }
        Intervention::Block { .. } => match largest(lab, what) {
            Some(weight) if weight < NO_WEIGHT => {
                format!("the blocked weights are 0 already, at most {weight:.0e}")
            }
            Some(weight) => {
                format!("weights up to {weight:.2} are blocked, and the prediction does not use them")
            }
            None => "what is blocked does not reach the prediction".to_owned(),
        },
        Intervention::Patch { positions: Some(PositionSpan { first, .. }), .. } if first > at => {
            format!("position {first} comes after position {at}, whose prediction is measured")
        }
        Intervention::Patch { positions, .. } => {
            let last = positions.map_or(at, |span| span.last);
            if lab.other.as_ref().is_some_and(|other| same_until(lab, other, last.min(at))) {
                return format!("both texts are the same up to position {}", last.min(at));
            }
            "what both texts differ by there does not reach the prediction".to_owned()
        }
        Intervention::Gate { layer, head, .. } | Intervention::Mean { layer, head } => {
            format!("what head {layer}.{head} writes does not reach the prediction at position {at}")
        }
    }
}

fn same_until(lab: &Lab, other: &Trace, last: usize) -> bool {
    let ids = &lab.baseline.trace.input.ids;
    (0..=last).all(|i| ids.get(i) == other.input.ids.get(i))
}

/// The largest weight that a block takes away, in the pass without it.
fn largest(lab: &Lab, what: &Intervention) -> Option<f32> {
    let trace = &lab.baseline.trace;
    let (n, config) = (trace.len(), &trace.config);
    let hooks = plan::hooks(&[*what], n, None).ok()?;
    let mut map = vec![0f32; n * n];
    let mut most = 0f32;
    for layer in 0..config.n_layer {
        for head in 0..config.n_head {
            let here = |part: Option<usize>, at: usize| part.is_none_or(|p| p == at);
            let cuts = hooks.cuts.iter().filter(|c| here(c.layer, layer) && here(c.head, head));
            let cuts: Vec<_> = cuts.collect();
            if cuts.is_empty() {
                continue;
            }
            trace.map_into(layer, head, &mut map).ok()?;
            for cut in cuts {
                for t in cut.queries.clone().take_while(|t| *t <= lab.position) {
                    let keys = cut.keys.start.min(t + 1)..cut.keys.end.min(t + 1);
                    most = map[t * n..][keys].iter().copied().fold(most, f32::max);
                }
            }
        }
    }
    Some(most)
}
