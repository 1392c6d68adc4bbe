//! Attention sinks: positions that take attention whatever they say (arXiv 2309.17453, 2410.10781).
//! Detected in the map in view, never assumed: small models have none.

use std::ops::Range;

use super::sweep::Sweep;

/// Mean α above this counts as a sink in one head.
pub const SINK_SHARE: f64 = 0.3;
/// More than this share of all heads must agree.
pub const SINK_HEADS: f64 = 0.25;
/// A position with fewer later queries is not judged.
pub const SINK_QUERIES: usize = 8;
/// Texts with fewer tokens are not judged.
pub const SINK_TOKENS: usize = 16;

/// What is known about sinks in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sinks {
    /// Under 16 tokens: too short to tell.
    TooShort,
    /// Positions, ascending; may be empty.
    Found(Vec<usize>),
}

impl Sinks {
    pub fn positions(&self) -> &[usize] {
        match self {
            Sinks::TooShort => &[],
            Sinks::Found(positions) => positions,
        }
    }
}

impl std::fmt::Display for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Sinks::TooShort => f.write_str("too short to tell"),
            Sinks::Found(p) if p.is_empty() => f.write_str("none found"),
            Sinks::Found(p) => {
                let list: Vec<String> = p.iter().map(usize::to_string).collect();
                write!(f, "at {}", list.join(", "))
            }
        }
    }
}

/// Looks for sinks in every head of the model, on α itself (a sink's *contribution* is often small).
pub fn detect(sweep: &Sweep) -> Sinks {
    let later: Vec<&[f64]> = sweep.sums.iter().map(|s| s.later.as_slice()).collect();
    detect_in(sweep.len, sweep.queries.clone(), &later)
}

/// The same from sums alone: `later[lh][i]` is `Σ α[t,i]` over those of `queries` with `t > i`.
pub(super) fn detect_in(len: usize, queries: Range<usize>, later: &[&[f64]]) -> Sinks {
    if len < SINK_TOKENS {
        return Sinks::TooShort;
    }
    let needed = SINK_HEADS * later.len() as f64;
    let is_sink = |i: usize| {
        let n = queries.end.saturating_sub(queries.start.max(i + 1));
        if n < SINK_QUERIES {
            return false;
        }
        let heads = later.iter().filter(|sums| sums[i] / n as f64 > SINK_SHARE).count();
        heads as f64 > needed
    };
    Sinks::Found((0..len).filter(|&i| is_sink(i)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::sweep::{SweepRequest, sweep};
    use super::super::testing::{FixedMaps, uniform_maps};
    use super::*;

    /// Uniform maps where `heads` heads give key `at` the share `share` of every later query.
    fn with_sink(len: usize, heads: usize, at: usize, share: f32) -> FixedMaps {
        let mut source = uniform_maps(2, 4, len);
        for map in source.maps.iter_mut().take(heads) {
            for t in at + 1..len {
                let row = &mut map[t * len..t * len + t + 1];
                let rest = 1.0 - row[at];
                for (i, a) in row.iter_mut().enumerate() {
                    *a = if i == at { share } else { *a / rest * (1.0 - share) };
                }
            }
        }
        source
    }

    fn found(source: &FixedMaps) -> Sinks {
        detect(&sweep(source, &SweepRequest::default()))
    }

    #[test]
    fn a_sink_needs_more_than_a_quarter_of_the_heads() {
        assert_eq!(found(&with_sink(40, 3, 0, 0.5)), Sinks::Found(vec![0]));
        assert_eq!(found(&with_sink(40, 2, 0, 0.5)), Sinks::Found(vec![]), "2 of 8 is a quarter, not more");
    }

    #[test]
    fn a_sink_needs_its_share_and_eight_later_queries() {
        assert_eq!(found(&with_sink(40, 8, 5, 0.31)), Sinks::Found(vec![5]));
        // Uniform early keys hold 1/(t+1), which is above 0.3 only for the first two queries.
        assert_eq!(found(&with_sink(40, 8, 5, 0.29)), Sinks::Found(vec![]));
        assert_eq!(found(&with_sink(40, 8, 31, 0.9)), Sinks::Found(vec![31]), "8 later queries");
        assert_eq!(found(&with_sink(40, 8, 32, 0.9)), Sinks::Found(vec![]), "7 later queries");
    }

    #[test]
    fn short_texts_are_not_judged() {
        assert_eq!(found(&with_sink(15, 8, 0, 0.9)), Sinks::TooShort);
        assert_eq!(found(&with_sink(16, 8, 0, 0.9)), Sinks::Found(vec![0]));
        assert_eq!(Sinks::TooShort.to_string(), "too short to tell");
    }

    #[test]
    fn detection_ignores_value_norms() {
        let mut source = with_sink(40, 8, 0, 0.6);
        for norms in &mut source.norms {
            norms[0] = 0.0;
        }
        assert_eq!(found(&source), Sinks::Found(vec![0]));
    }
}
