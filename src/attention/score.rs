//! From the sums of a sweep to one number per token.

use rayon::prelude::*;

use super::calibration::Calibration;
use super::formula;
use super::sinks::{self, Sinks};
use super::source::AttentionSource;
use super::sweep::{Sweep, SweepRequest, sweep};
use super::types::{Reduction, ScoreSettings};

/// Scores of one text and what they mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// One per position, before any scaling; `None` where no query can inform it.
    pub scores: Vec<Option<f64>>,
    pub sinks: Sinks,
    /// The reduction in force: `corrected` where `distance-null` was asked for without a calibration.
    pub reduction: Reduction,
    /// The score in force in words and symbols, one line.
    pub formula: String,
}

/// Sweeps `source` and scores it.
pub fn score_source<S: AttentionSource + ?Sized>(
    source: &S,
    settings: &ScoreSettings,
    calibration: Option<&Calibration>,
) -> Scored {
    score(&sweep(source, &SweepRequest::for_score(settings)), settings, calibration)
}

/// Scores from a sweep, cheap enough for every slider move.
///
/// The sweep must [cover](Sweep::covers) the settings; a roll-out that was not swept is undefined everywhere.
pub fn score(sweep: &Sweep, settings: &ScoreSettings, calibration: Option<&Calibration>) -> Scored {
    let calibration = calibration.filter(|c| c.fits(sweep.n_layer, sweep.n_head));
    let reduction = match (settings.reduction, calibration) {
        (Reduction::DistanceNull, None) => Reduction::Corrected,
        (asked, _) => asked,
    };
    let scores = match (reduction, calibration) {
        (Reduction::DistanceNull, Some(calibration)) => null(sweep, settings, calibration),
        _ => reduced(sweep, settings, reduction),
    };
    Scored { scores, sinks: sinks::detect(sweep), reduction, formula: formula::formula(settings, reduction) }
}

/// `ℓ_i = mean_{l,h} (Σ c + κ·g0) / (Σ m_t·ḡ(t−i)/Ḡ_t + κ·g0)`, see [`super::distance_null`].
fn null(sweep: &Sweep, settings: &ScoreSettings, calibration: &Calibration) -> Vec<Option<f64>> {
    let null = calibration.null(settings.contribution, sweep.len);
    let counted = settings.subset(sweep.n_layer, sweep.n_head);
    let mut expected = vec![Vec::new(); sweep.sums.len()];
    let ready: Vec<Vec<f64>> = counted
        .par_iter()
        .map(|&lh| null.expected(lh, sweep.queries.clone(), &sweep.sums[lh].mass, &[]))
        .collect();
    for (lh, values) in counted.into_iter().zip(ready) {
        expected[lh] = values;
    }
    per_key(
        sweep,
        settings,
        |i| later_queries(sweep, i) > 0,
        mean,
        |lh, i| null.ratio(lh, received(sweep, settings, lh, i), expected[lh][i]),
    )
}

fn reduced(sweep: &Sweep, settings: &ScoreSettings, reduction: Reduction) -> Vec<Option<f64>> {
    let weight = |lh: usize, i: usize| {
        if settings.contribution { f64::from(sweep.sums[lh].norms[i]) } else { 1.0 }
    };
    let later = |i: usize| later_queries(sweep, i);
    match reduction {
        // Without a calibration there is no null to divide by; the caller has already fallen back.
        Reduction::DistanceNull | Reduction::Corrected => {
            let uniform = uniform_share(sweep);
            per_key(
                sweep,
                settings,
                |i| later(i) > 0,
                mean,
                |lh, i| received(sweep, settings, lh, i) / uniform[i],
            )
        }
        Reduction::MaxHeads => {
            let uniform = uniform_share(sweep);
            per_key(
                sweep,
                settings,
                |i| later(i) > 0,
                max,
                |lh, i| received(sweep, settings, lh, i) / uniform[i],
            )
        }
        Reduction::Sum => {
            per_key(sweep, settings, |i| later(i) > 0, mean, |lh, i| received(sweep, settings, lh, i))
        }
        Reduction::Window => per_key(
            sweep,
            settings,
            |i| window_queries(sweep, i) > 0,
            mean,
            |lh, i| sweep.sums[lh].window[i] * weight(lh, i) / window_queries(sweep, i) as f64,
        ),
        Reduction::Last => per_key(
            sweep,
            settings,
            |i| i + 1 < sweep.queries.end,
            mean,
            |lh, i| sweep.sums[lh].last[i] * weight(lh, i),
        ),
        Reduction::Plain => per_key(
            sweep,
            settings,
            |i| queries_from(sweep, i) > 0,
            mean,
            |lh, i| {
                let sums = &sweep.sums[lh];
                (sums.own[i] + sums.later[i]) * weight(lh, i) / queries_from(sweep, i) as f64
            },
        ),
        Reduction::Rollout => (0..sweep.len)
            .map(|i| sweep.rollout.as_ref().filter(|_| later(i) > 0).map(|r| r.received[i]))
            .collect(),
    }
}

/// `Σ_{t>i} c[t,i]` of one head.
fn received(sweep: &Sweep, settings: &ScoreSettings, lh: usize, i: usize) -> f64 {
    let sums = &sweep.sums[lh];
    if settings.contribution { sums.later[i] * f64::from(sums.norms[i]) } else { sums.later[i] }
}

/// How many counted queries come after key `i`.
fn later_queries(sweep: &Sweep, i: usize) -> usize {
    sweep.queries.end.saturating_sub(sweep.queries.start.max(i + 1))
}

/// How many of the last `window` queries come after key `i`.
fn window_queries(sweep: &Sweep, i: usize) -> usize {
    let end = sweep.queries.end;
    end.saturating_sub(end.saturating_sub(sweep.window).max(i + 1))
}

/// How many counted queries come after key `i` or are it.
fn queries_from(sweep: &Sweep, i: usize) -> usize {
    sweep.queries.end.saturating_sub(sweep.queries.start.max(i))
}

/// `Σ_{t>i} 1/(t+1)` over the counted queries: what uniform causal attention gives to key `i`.
pub(crate) fn uniform_share(sweep: &Sweep) -> Vec<f64> {
    let mut out = vec![0.0; sweep.len];
    let mut sum = 0.0;
    for i in (0..sweep.len).rev() {
        out[i] = sum;
        if sweep.queries.contains(&i) {
            sum += 1.0 / (i + 1) as f64;
        }
    }
    out
}

fn mean(values: &mut dyn Iterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0usize);
    for v in values {
        sum += v;
        n += 1;
    }
    sum / n as f64
}

fn max(values: &mut dyn Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, f64::max)
}

/// Combines `value(lh, i)` over the layers and heads that count, for every defined key.
fn per_key(
    sweep: &Sweep,
    settings: &ScoreSettings,
    defined: impl Fn(usize) -> bool,
    combine: fn(&mut dyn Iterator<Item = f64>) -> f64,
    value: impl Fn(usize, usize) -> f64,
) -> Vec<Option<f64>> {
    let subset = settings.subset(sweep.n_layer, sweep.n_head);
    (0..sweep.len)
        .map(|i| {
            (defined(i) && !subset.is_empty()).then(|| combine(&mut subset.iter().map(|&lh| value(lh, i))))
        })
        // A map with a NaN in it has no score rather than one that compares with nothing.
        .map(|s| s.filter(|v| v.is_finite()))
        .collect()
}

/// Mean over each position and its neighbours within `size / 2` (SnapKV pools over 5); undefined positions are left
/// out of the means and stay undefined, and at the edges fewer neighbours count.
pub fn pool_average(scores: &[Option<f64>], size: usize) -> Vec<Option<f64>> {
    let reach = size / 2;
    (0..scores.len())
        .map(|i| {
            scores[i]?;
            let near = &scores[i.saturating_sub(reach)..(i + reach + 1).min(scores.len())];
            Some(mean(&mut near.iter().flatten().copied()))
        })
        .collect()
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
