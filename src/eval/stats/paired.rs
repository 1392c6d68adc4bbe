//! Paired seeds, looked at once: Student's t for the difference, two one-sided tests (Schuirmann 1987) for equivalence, each
//! with Holm's correction (1979) over the comparisons that were declared.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::power::{MOST, found, upper_spread};
use super::{Aim, EPSILON, Evidence, Interval, Summary, Verdict, summary, t_interval};

/// The share of tries in which a difference of 2ε shall be found, at the number of seeds that an undecided verdict names.
pub const POWER: f64 = 0.8;

/// How paired differences are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedTest {
    /// Below it a difference does not matter.
    pub epsilon: f64,
    /// Chance of any false *better* or *worse* over all comparisons together, and likewise of any false *equivalent*.
    pub alpha: f64,
    pub aim: Aim,
}

impl Default for PairedTest {
    /// Losses, at 5 %.
    fn default() -> Self {
        PairedTest { epsilon: EPSILON, alpha: 0.05, aim: Aim::Lower }
    }
}

/// One comparison, judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedVerdict {
    /// Of the mean difference, for this comparison alone; its ends are infinite under two seeds.
    pub interval: Interval,
    pub seeds: usize,
    /// Two-sided p of no difference, as it is and after Holm.
    pub p: f64,
    pub p_holm: f64,
    /// The larger p of the two one-sided tests against ±ε, after Holm.
    pub p_equivalent: f64,
    pub verdict: Verdict,
}

impl PairedTest {
    /// Judges every declared comparison, each given by its differences seed by seed.
    ///
    /// Seeds that all differ by the same number say nothing of the spread, and decide nothing.
    pub fn judge(&self, comparisons: &[Vec<f64>]) -> Vec<PairedVerdict> {
        let each = |p: fn(&Self, &Summary) -> f64| -> Vec<f64> {
            comparisons.iter().map(|d| p(self, &summary(d))).collect()
        };
        let (p, within) = (each(Self::p_difference), each(Self::p_equivalent));
        let (p_holm, p_equivalent) = (holm(&p), holm(&within));
        let one = |(i, differences): (usize, &Vec<f64>)| {
            let of = summary(differences);
            let nothing = Interval { value: of.mean, low: f64::NEG_INFINITY, high: f64::INFINITY };
            let finding = Evidence {
                value: of.mean,
                equivalent: p_equivalent[i] <= self.alpha,
                differs: p_holm[i] <= self.alpha,
            };
            PairedVerdict {
                interval: t_interval(differences, 1.0 - self.alpha).unwrap_or(nothing),
                seeds: of.n,
                p: p[i],
                p_holm: p_holm[i],
                p_equivalent: p_equivalent[i],
                verdict: Verdict::of(finding, self.aim, || self.more(&of, comparisons.len())),
            }
        };
        comparisons.iter().enumerate().map(one).collect()
    }

    /// The procedure in words, to stand beside its verdicts.
    pub fn procedure(&self, comparisons: usize) -> String {
        let holm = match comparisons {
            0 | 1 => String::new(),
            n => format!(", Holm over {n} comparisons"),
        };
        format!(
            "paired t over seeds, looked at once{holm}; equivalent: two one-sided tests against ±{}; α {}",
            self.epsilon, self.alpha
        )
    }

    fn p_difference(&self, of: &Summary) -> f64 {
        t_of(of, 0.0).map_or(1.0, |(t, law)| 2.0 * law.sf(t.abs())).min(1.0)
    }

    fn p_equivalent(&self, of: &Summary) -> f64 {
        let above = t_of(of, -self.epsilon).map_or(1.0, |(t, law)| law.sf(t));
        let below = t_of(of, self.epsilon).map_or(1.0, |(t, law)| law.cdf(t));
        above.max(below)
    }

    /// How many more seeds find a difference of 2ε in [`POWER`] of all tries, if the spread is at most its upper limit. Where
    /// there are as many already, how many find the difference that is seen, or its distance from ε.
    fn more(&self, of: &Summary, comparisons: usize) -> Option<usize> {
        let spread = upper_spread(of)?;
        let alpha = self.alpha / comparisons.max(1) as f64;
        let needed = |effect: f64| found(effect / spread, alpha, POWER);
        let asked = needed(2.0 * self.epsilon)?;
        if asked > of.n {
            return Some(asked - of.n);
        }
        let room = of.mean.abs().max(self.epsilon - of.mean.abs());
        needed(room).filter(|n| *n < MOST).map(|n| n.saturating_sub(of.n).max(1))
    }
}

/// Differences that differ by less, as a share of the largest number in sight, are equal but for rounding.
pub(super) const ROUNDING: f64 = 1e-9;

/// t of a mean against `mean`, and its law; `None` where the spread is not known.
fn t_of(of: &Summary, mean: f64) -> Option<(f64, StudentsT)> {
    let law = StudentsT::new(0.0, 1.0, of.n.checked_sub(1)? as f64).ok()?;
    (of.sd > ROUNDING * of.mean.abs().max(mean.abs()).max(ROUNDING) && of.sd.is_finite())
        .then(|| ((of.mean - mean) / (of.sd / (of.n as f64).sqrt()), law))
}

/// p-values after Holm's step-down correction, in the same order.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut out = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (k, &i) in order.iter().enumerate() {
        largest = largest.max((p.len() - k) as f64 * p[i]).min(1.0);
        out[i] = largest;
    }
    out
}
