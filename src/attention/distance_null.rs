//! The distance null of one text: what each key would receive if every query spread its own attention over the keys
//! that it has as this model does on average at their distances.
//!
//! A query early in a text has few keys and gives each of them more than a query of a full calibration window does.
//! Summing ḡ alone would therefore call every early token of a short text important.

use std::ops::Range;

use super::calibration::{Calibration, bin_of, bins};

/// Pulls sums over few queries towards 1, in units of one average query.
pub const KAPPA: f64 = 8.0;

/// ḡ of every head, ready for texts of up to a given length.
#[derive(Clone, Debug)]
pub struct DistanceNull {
    heads: Vec<HeadNull>,
}

#[derive(Clone, Debug)]
struct HeadNull {
    /// Stretches of distances that share one value: `(first distance, ḡ of α, ḡ of the score's own unit)`.
    steps: Vec<Step>,
    /// κ·g0.
    smooth: f64,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    first: usize,
    alpha: f64,
    own: f64,
}

impl DistanceNull {
    /// Of α, or of the contribution α·‖W_O v‖.
    pub(super) fn new(calibration: &Calibration, contribution: bool, len: usize) -> Self {
        let bins = bins(calibration.window);
        let own = &calibration.table(contribution).gbar;
        let alpha = &calibration.table(false).gbar;
        let used = bins.iter().take_while(|first| **first < len.max(2)).count();
        let heads = alpha
            .chunks_exact(bins.len())
            .zip(own.chunks_exact(bins.len()))
            .map(|(alpha, own)| HeadNull {
                steps: (0..used)
                    .map(|b| Step { first: bins[b], alpha: f64::from(alpha[b]), own: f64::from(own[b]) })
                    .collect(),
                smooth: KAPPA * mean_over_distances(own, &bins, calibration.window),
            })
            .collect();
        DistanceNull { heads }
    }

    /// `Σ_t mass[t] · ḡ(t − i) / Ḡ_t` over the queries `t > i` of `queries`, for every key `i` below `queries.end`, with
    /// `Ḡ_t = Σ ḡ_α(t − j)` over the keys `0 < j < t` that are not `hidden`. `lh = layer · H + head`; `mass` is by position.
    pub fn expected(&self, lh: usize, queries: Range<usize>, mass: &[f64], hidden: &[bool]) -> Vec<f64> {
        let head = &self.heads[lh];
        let end = queries.end;
        // seen[n]: keys 1..n that a query may read.
        let mut seen = vec![0.0; end + 1];
        for j in 0..end {
            let counts = j > 0 && !hidden.get(j).copied().unwrap_or(false);
            seen[j + 1] = seen[j] + f64::from(u8::from(counts));
        }
        // shares[n]: Σ_{t<n} mass[t] / Ḡ_t.
        let mut shares = vec![0.0; end + 1];
        for t in 0..end {
            let average: f64 =
                head.over(t, |step, from, to| step.alpha * (seen[t + 1 - from] - seen[t + 1 - to]));
            let share = if queries.contains(&t) && average > 0.0 { mass[t] / average } else { 0.0 };
            shares[t + 1] = shares[t] + share;
        }
        let key = |i: usize| {
            head.over(end - 1 - i, |step, from, to| step.own * (shares[i + to] - shares[i + from]))
        };
        (0..end).map(key).collect()
    }

    /// `(received + κ·g0) / (expected + κ·g0)`; 1 where nothing was ever expected.
    pub fn ratio(&self, lh: usize, received: f64, expected: f64) -> f64 {
        let smooth = self.heads[lh].smooth;
        let under = expected + smooth;
        if under > 0.0 { (received + smooth) / under } else { 1.0 }
    }
}

impl HeadNull {
    /// Adds up `value(step, from, to)` over the stretches `from..to` of the distances `1..=longest`.
    fn over(&self, longest: usize, value: impl Fn(&Step, usize, usize) -> f64) -> f64 {
        let mut sum = 0.0;
        for (n, step) in self.steps.iter().enumerate() {
            if step.first > longest {
                break;
            }
            let next = self.steps.get(n + 1).map_or(usize::MAX, |next| next.first);
            sum += value(step, step.first, next.min(longest + 1));
        }
        sum
    }
}

/// g0: the mean of ḡ over the distances of a calibration window.
fn mean_over_distances(gbar: &[f32], bins: &[usize], window: usize) -> f64 {
    let longest = window.saturating_sub(1).max(1);
    let sum: f64 = (1..=longest).map(|d| f64::from(gbar[bin_of(bins, d)])).sum();
    sum / longest as f64
}

#[cfg(test)]
mod tests {
    use super::super::calibration::{CalibrationBuilder, CalibrationSource};
    use super::super::testing::random_maps;
    use super::*;
    use proptest::prelude::*;

    fn calibration() -> Calibration {
        let mut builder = CalibrationBuilder::new(1, 2, 90, 1);
        builder.add(&random_maps(1, 2, 90, 4.0, 3)).unwrap();
        builder.finish(CalibrationSource { weights: String::new(), text: String::new() }).unwrap()
    }

    /// The definition, pair by pair.
    fn plainly(
        c: &Calibration,
        contribution: bool,
        lh: usize,
        queries: Range<usize>,
        mass: &[f64],
        hidden: &[bool],
    ) -> Vec<f64> {
        let g = |contribution: bool, d: usize| c.expected(contribution, 0, lh, d);
        let mut out = vec![0.0; queries.end];
        for t in queries {
            let average: f64 = (1..t).filter(|&j| !hidden[j]).map(|j| g(false, t - j)).sum();
            if average > 0.0 {
                (0..t).for_each(|i| out[i] += mass[t] * g(contribution, t - i) / average);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn what_is_expected_is_its_definition(seed in 0u64..100, from in 0usize..120, to in 0usize..120, contribution: bool) {
            let c = calibration();
            let mut rng = crate::attention::testing::TestRng(seed);
            let mass: Vec<f64> = (0..120).map(|_| rng.unit()).collect();
            let hidden: Vec<bool> = (0..120).map(|_| rng.unit() < 0.2).collect();
            let queries = from.min(to)..from.max(to);
            let null = c.null(contribution, 120);
            for lh in 0..2 {
                let found = null.expected(lh, queries.clone(), &mass, &hidden);
                let plain = plainly(&c, contribution, lh, queries.clone(), &mass, &hidden);
                for (a, b) in found.iter().zip(&plain) {
                    prop_assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{} {}", a, b);
                }
            }
        }

        #[test]
        fn the_mass_of_a_row_is_spread_and_not_made(len in 2usize..100, seed in 0u64..50) {
            let mut rng = crate::attention::testing::TestRng(seed);
            let mass: Vec<f64> = (0..len).map(|_| rng.unit()).collect();
            let expected = calibration().null(false, len).expected(1, 0..len, &mass, &[]);
            // Queries 0 and 1 have no key between the first and themselves.
            let (spread, had): (f64, f64) = (expected[1..].iter().sum(), mass.iter().skip(2).sum());
            prop_assert!((spread - had).abs() < 1e-9 * had.max(1.0), "{} {}", spread, had);
        }
    }

    #[test]
    fn nothing_expected_is_one() {
        let null = calibration().null(false, 10);
        assert_eq!(null.expected(0, 0..0, &[], &[]), Vec::<f64>::new());
        assert_eq!(null.ratio(0, 0.0, 0.0), 1.0);
    }
}
