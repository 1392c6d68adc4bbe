//! Random interventions of the same kind: what an effect is compared with. A function of the intervention and a seed.

use crate::engine::types::{ControlRange, HeadSet, Intervention, PositionSpan};
use crate::eval::stats::quantile;
use crate::mask::draw::{Draws, Stream};

/// Share of the random interventions that a range is to cover.
const COVERS: f64 = 0.95;

/// What random interventions are drawn from.
#[derive(Clone, Copy, Debug)]
pub struct ControlSpace {
    pub n_layer: usize,
    pub n_head: usize,
    /// The token after which the next one is predicted: nothing later can matter.
    pub position: usize,
    /// First position at which the other text differs; patches before it would change nothing.
    pub differs: usize,
}

/// Up to `n` different interventions like `what`, without itself: another head for a head; other keys, in as many layers and heads,
/// for the same queries; other rows of the other text for a patch. Fewer where there are not so many.
pub fn controls(what: &Intervention, space: ControlSpace, n: usize, seed: u64) -> Vec<Intervention> {
    let mut all = like(what, space);
    all.retain(|other| other != what);
    // The written form is part of the address: each intervention has controls of its own, wherever it stands in the stack.
    let draws = Draws { sequence: address(&what.to_string()), ..Draws::new(seed) };
    let n = n.min(all.len());
    for i in 0..n {
        let other = i + draws.below(Stream::Control, i, all.len() - i);
        all.swap(i, other);
    }
    all.truncate(n);
    all
}

/// FNV-1a.
fn address(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Everything of one kind, in a fixed order.
fn like(what: &Intervention, space: ControlSpace) -> Vec<Intervention> {
    let places = |named: Option<usize>, n: usize| -> Vec<Option<usize>> {
        if named.is_some() { (0..n).map(Some).collect() } else { vec![None] }
    };
    let heads = |set: HeadSet| -> Vec<HeadSet> {
        let layers = places(set.layer, space.n_layer);
        let each = |layer: Option<usize>| {
            places(set.head, space.n_head).into_iter().map(move |head| HeadSet { layer, head })
        };
        layers.into_iter().flat_map(each).collect()
    };
    let single = |layer, head| HeadSet { layer: Some(layer), head: Some(head) };
    match *what {
        Intervention::Gate { layer, head, factor } => {
            let gate = |set: HeadSet| Some(Intervention::Gate { layer: set.layer?, head: set.head?, factor });
            heads(single(layer, head)).into_iter().filter_map(gate).collect()
        }
        Intervention::Mean { layer, head } => {
            let mean = |set: HeadSet| Some(Intervention::Mean { layer: set.layer?, head: set.head? });
            heads(single(layer, head)).into_iter().filter_map(mean).collect()
        }
        Intervention::Block { heads: set, queries, keys } => {
            let cells = cells(queries, keys, space);
            let block = |heads: HeadSet| {
                cells.iter().map(move |&(queries, keys)| Intervention::Block { heads, queries, keys })
            };
            heads(set).into_iter().flat_map(block).collect()
        }
        Intervention::Patch { layer, head, positions } => {
            let rows: Vec<Option<PositionSpan>> = match positions {
                None => vec![None],
                Some(span) => {
                    let from = (space.differs + 1).saturating_sub(span.size());
                    spans(span.size(), from, space.position).map(Some).collect()
                }
            };
            let patch = |set: HeadSet| {
                let HeadSet { layer, head } = set;
                rows.iter().map(move |&positions| Intervention::Patch { layer, head, positions })
            };
            heads(HeadSet { layer, head }).into_iter().flat_map(patch).collect()
        }
    }
}

/// Spans of this size that begin at `from` or later and end at `end` or before.
fn spans(size: usize, from: usize, end: usize) -> impl Iterator<Item = PositionSpan> {
    (from..(end + 2).saturating_sub(size)).map(move |first| PositionSpan { first, last: first + size - 1 })
}

/// Queries and keys of blocks like this one: other keys for the same queries; other queries where a block takes all keys.
fn cells(
    queries: Option<PositionSpan>,
    keys: Option<PositionSpan>,
    space: ControlSpace,
) -> Vec<(Option<PositionSpan>, Option<PositionSpan>)> {
    match (queries, keys) {
        (queries, Some(keys)) => {
            // Keys of the past stay in the past, and no row loses all of it.
            let past = queries.is_none_or(|q| keys.last < q.first);
            let end = match queries {
                None => space.position.saturating_sub(1),
                Some(q) if past => q.first.saturating_sub(1),
                Some(q) => q.last,
            };
            let whole = |k: &PositionSpan| queries.is_some_and(|q| k.first == 0 && k.last >= q.first);
            spans(keys.size(), 0, end).filter(|k| !whole(k)).map(|k| (queries, Some(k))).collect()
        }
        (Some(queries), None) => spans(queries.size(), 1, space.position).map(|q| (Some(q), None)).collect(),
        (None, None) => vec![(None, None)],
    }
}

/// The median of what controls did, and what one more of them stays at or below with probability 0.95: of `n` values in any order
/// a further one is equally likely to have any rank, so the bound is the value of rank ⌈0.95 (n + 1)⌉. Under 19 of them the
/// highest is the bound, and covers n / (n + 1). `None` of none.
pub fn range(values: &[f64]) -> Option<ControlRange> {
    let n = values.len();
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let high = *sorted.get(rank(n).checked_sub(1)?)?;
    let covers = (n as f64 / (n + 1) as f64).min(COVERS);
    Some(ControlRange { n, median: quantile(&sorted, 0.5), high, covers })
}

/// From 1.
fn rank(n: usize) -> usize {
    // A hair less, so that 0.95 · 20 is 19.
    (((COVERS * (n + 1) as f64) - 1e-9).ceil() as usize).min(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: ControlSpace = ControlSpace { n_layer: 2, n_head: 4, position: 9, differs: 3 };

    fn of(text: &str, n: usize, seed: u64) -> Vec<String> {
        let what = Intervention::parse(text).unwrap();
        controls(&what, SPACE, n, seed).iter().map(Intervention::to_string).collect()
    }

    #[test]
    fn controls_are_of_the_same_kind_all_different_and_never_the_thing_itself() {
        for (text, like, all) in [
            ("zero 1.0", "zero ", 7),
            ("gate 1.2=0.5", "gate ", 7),
            ("mean 0.1", "mean ", 7),
            ("block 7:2", "block 7:", 6),
            ("block 7:2@1", "block 7:", 7 * 2 - 1),
            ("block 7:2@1.0", "block 7:", 7 * 8 - 1),
            ("block 7:7@1.0", "block 7:", 8 * 8 - 1),
            ("block 8-9:1-3@1", "block 8-9:", 6 * 2 - 1),
            ("block all:2", "block all:", 8),
            ("block 7:all", "block ", 8),
            ("patch 5@1", "patch ", 7 * 2 - 1),
            ("patch 5@1.2", "patch ", 7 * 8 - 1),
            ("patch all@1", "patch all@", 1),
        ] {
            let most = of(text, 1000, 1);
            assert_eq!(most.len(), all, "{text}: {most:?}");
            assert!(most.iter().all(|other| other.starts_with(like) && other != text), "{text}: {most:?}");
            let different: std::collections::BTreeSet<&String> = most.iter().collect();
            assert_eq!(different.len(), all);
            let some = of(text, 3, 1);
            assert_eq!(some.len(), 3.min(all));
            assert_eq!(some, of(text, 3, 1), "the same seed gives the same");
        }
        assert_ne!(of("block 7:2@1.0", 5, 1), of("block 7:2@1.0", 5, 2));
        assert!(of("block all:all", 5, 1).is_empty());
        // The only other key of query 1 is itself: nothing of the past is left to compare with.
        assert!(of("block 1:0", 5, 1).is_empty());
    }

    #[test]
    fn every_control_is_drawn_equally_often() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..2000 {
            for other in of("zero 1.0", 3, seed) {
                *counts.entry(other).or_insert(0usize) += 1;
            }
        }
        // 2000 · 3 / 7 = 857, with a standard deviation of 22.
        assert!(counts.len() == 7 && counts.values().all(|n| (750..=960).contains(n)), "{counts:?}");
    }

    #[test]
    fn the_bound_is_the_rank_that_covers_its_share() {
        assert_eq!([1, 7, 18, 19, 20, 39, 59].map(rank), [1, 7, 18, 19, 20, 38, 57]);
        let values: Vec<f64> = (1..=39).rev().map(f64::from).collect();
        let found = range(&values).unwrap();
        assert_eq!((found.n, found.median, found.high, found.covers), (39, 20.0, 38.0, 0.95));
        assert_eq!(range(&values[..7]).map(|r| (r.high, r.covers)), Some((39.0, 0.875)));
        assert_eq!(range(&[]), None);
    }
}
