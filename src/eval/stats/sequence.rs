//! Confidence *sequences* of a mean difference: they may be looked at after every value, and stopped at will.
//!
//! They invert the right-Haar Bayes factor of the t-test with a normal prior on the effect size (Gönen et al. 2005), which
//! is a test martingale for normal differences of unknown spread (Lai 1976; Grünwald, de Heide and Koolen 2024; Wang and
//! Ramdas 2310.03722). The normal mixture is that of Howard et al. 2021 (1810.08240), with the spread treated as unknown
//! instead of as a bound, because a difference of losses has no bound worth the name.

use super::{Aim, Evidence, Interval, Verdict, summary};

/// The procedure in words, to stand beside a verdict.
pub const PROCEDURE: &str = "confidence sequence over paired seeds, valid at every look";
/// Variance of the normal prior on the effect size (difference over its spread): effects of about one spread.
const PRIOR: f64 = 1.0;

/// Half of the confidence sequence's width after `n` differences, in units of their sample spread; infinite while it
/// is too early (under five values at α = 0.05).
///
/// From `√(1/k) · ((1+u)/(1+u/k))^{n/2} = 1/α` with `k = 1 + n·g` and `u = t²/(n−1)`.
pub fn half_width(n: usize, alpha: f64) -> f64 {
    if n < 2 {
        return f64::INFINITY;
    }
    let k = 1.0 + n as f64 * PRIOR;
    // ln first: k^(1/n) of small α would overflow nothing, but loses digits.
    let r = ((0.5 * k.ln() - alpha.ln()) * 2.0 / n as f64).exp();
    if r >= k {
        return f64::INFINITY;
    }
    let u = (r - 1.0) / (1.0 - r / k);
    (u * (n - 1) as f64 / n as f64).sqrt()
}

/// The confidence sequence of a mean difference.
pub fn sequence(differences: &[f64], alpha: f64) -> Interval {
    let of = summary(differences);
    let half = half_width(of.n, alpha);
    let half = if half.is_finite() { half * of.sd } else { f64::INFINITY };
    Interval { value: of.mean, low: of.mean - half, high: of.mean + half }
}

/// The verdict on losses, where lower is better.
pub fn verdict(differences: &[f64], interval: Interval, epsilon: f64, alpha: f64) -> Verdict {
    let finding = Evidence {
        value: interval.value,
        equivalent: interval.low >= -epsilon && interval.high <= epsilon,
        differs: interval.high < 0.0 || interval.low > 0.0,
    };
    Verdict::of(finding, Aim::Lower, || more(differences, epsilon, alpha))
}

/// How many more differences until the sequence leaves 0 outside or fits into ±ε, if mean and spread stay.
fn more(differences: &[f64], epsilon: f64, alpha: f64) -> Option<usize> {
    let of = summary(differences);
    if of.n < 2 || !of.sd.is_finite() {
        return None;
    }
    let room = of.mean.abs().max(epsilon - of.mean.abs());
    let fits = |n: usize| half_width(n, alpha) * of.sd <= room;
    // Widths fall with n: double until one fits, then halve the gap.
    let mut high = of.n.max(2);
    while !fits(high) {
        high = high.checked_mul(2).filter(|&n| n < 1 << 30)?;
    }
    let mut low = of.n;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { high = middle } else { low = middle }
    }
    Some(high.saturating_sub(of.n).max(1))
}
