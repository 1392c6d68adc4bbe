//! Statistics and verdicts: rank correlation, spread, intervals, and what can be concluded from a difference.
//!
//! Two procedures end in the four verdicts of [`Verdict`]. [`PairedTest`] looks once, after a number of seeds that was fixed
//! before; [`sequence`] may be looked at after every seed. Which one was used stands beside each verdict.
//!
//! Pure; resampling is addressed by seed, so that the same numbers give the same interval anywhere.

mod paired;
pub mod power;
pub mod sequence;
mod verdict;

pub use paired::{PairedTest, PairedVerdict, holm};
pub use verdict::{Aim, Evidence, Judged, Verdict};

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::mask::draw::{Draws, Stream};

/// Resamples of a bootstrap unless told otherwise.
pub const RESAMPLES: usize = 2000;
/// Share of resamples an interval covers unless told otherwise.
pub const LEVEL: f64 = 0.95;

/// Default ε: nats per token, or points of accuracy or F1 as a fraction.
pub const EPSILON: f64 = 0.01;

/// Mean and sample standard deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// 0 when there are no values.
    pub mean: f64,
    /// With n − 1; 0 under two values.
    pub sd: f64,
    pub n: usize,
}

pub fn summary(values: &[f64]) -> Summary {
    let n = values.len();
    if n == 0 {
        return Summary::default();
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Summary { mean, sd: if n < 2 { 0.0 } else { (squares / (n - 1) as f64).sqrt() }, n }
}

/// Spearman's ρ, ties by average rank; `None` for other than two equally long lists of at least three finite values
/// that both vary.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 3 || x.iter().chain(y).any(|v| !v.is_finite()) {
        return None;
    }
    let (x, y) = (average_ranks(x), average_ranks(y));
    // Average ranks always have this mean.
    let mean = (x.len() as f64 + 1.0) / 2.0;
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(&y) {
        let (a, b) = (a - mean, b - mean);
        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// Ranks from 1; equal values share the mean of their ranks.
pub fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for class in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let shared = before as f64 + (class.len() as f64 + 1.0) / 2.0;
        for &i in class {
            ranks[i] = shared;
        }
        before += class.len();
    }
    ranks
}

/// A statistic and where it lies with the given probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    pub seed: u64,
    pub resamples: usize,
    /// In (0, 1).
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Bootstrap { seed: 0, resamples: RESAMPLES, level: LEVEL }
    }
}

impl Bootstrap {
    /// Percentile interval of `statistic` over resampled indices `0..n`; `None` without values or resamples.
    pub fn interval(&self, n: usize, statistic: impl Fn(&[usize]) -> f64) -> Option<Interval> {
        if n == 0 || self.resamples == 0 {
            return None;
        }
        let all: Vec<usize> = (0..n).collect();
        let mut values: Vec<f64> = (0..self.resamples)
            .map(|resample| {
                let draws = Draws { seed: self.seed, pass: resample as u32, ..Draws::default() };
                let picked: Vec<usize> = (0..n).map(|i| draws.below(Stream::Bootstrap, i, n)).collect();
                statistic(&picked)
            })
            .collect();
        values.sort_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        Some(Interval {
            value: statistic(&all),
            low: quantile(&values, tail),
            high: quantile(&values, 1.0 - tail),
        })
    }

    /// Interval of the mean over groups of their means, where both groups and the values within them are drawn: seeds and the
    /// documents that each was measured on. `None` without groups, or with an empty one.
    pub fn hierarchical(&self, groups: &[Vec<f64>]) -> Option<Interval> {
        if groups.is_empty() || groups.iter().any(Vec::is_empty) || self.resamples == 0 {
            return None;
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let once = |resample: usize| {
            let drawn = |slot: usize| {
                // A group that is drawn twice has its values drawn twice, too.
                let draws = Draws { seed: self.seed, pass: resample as u32, sequence: slot as u32 + 1 };
                let group = &groups[draws.below(Stream::Choice, 0, groups.len())];
                let one = |i: usize| group[draws.below(Stream::Bootstrap, i, group.len())];
                (0..group.len()).map(one).sum::<f64>() / group.len() as f64
            };
            (0..groups.len()).map(drawn).sum::<f64>() / groups.len() as f64
        };
        let mut values: Vec<f64> = (0..self.resamples).map(once).collect();
        values.sort_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        let means: Vec<f64> = groups.iter().map(|group| mean(group)).collect();
        let (low, high) = (quantile(&values, tail), quantile(&values, 1.0 - tail));
        Some(Interval { value: mean(&means), low, high })
    }

    /// Interval of the mean.
    pub fn mean(&self, values: &[f64]) -> Option<Interval> {
        self.interval(values.len(), |picked| {
            picked.iter().map(|&i| values[i]).sum::<f64>() / picked.len() as f64
        })
    }

    /// Interval of the mean of `a − b`, pair by pair; `None` for lists of different lengths.
    pub fn paired(&self, a: &[f64], b: &[f64]) -> Option<Interval> {
        if a.len() != b.len() {
            return None;
        }
        self.mean(&differences(a, b))
    }
}

fn differences(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Quantile `q` of sorted values, linear between them; NaN of none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// Student's t interval of the mean; `None` under two values.
pub fn t_interval(values: &[f64], level: f64) -> Option<Interval> {
    let Summary { mean, sd, n } = summary(values);
    let t = StudentsT::new(0.0, 1.0, n.checked_sub(1).filter(|&df| df > 0)? as f64).ok()?;
    let half = t.inverse_cdf(0.5 + level / 2.0) * sd / (n as f64).sqrt();
    Some(Interval { value: mean, low: mean - half, high: mean + half })
}

#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;
