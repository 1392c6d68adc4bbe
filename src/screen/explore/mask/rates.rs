//! Expected and realised rates, and where τ lies among the unscaled scores. Pure arithmetic on a decision.

use crate::mask::types::{Decision, DecisionRule, MaskSettings, Polarity, Scale, State};
use crate::screen::document::Document;

/// Expected share of the eligible positions that is masked.
///
/// `(1−τ)·p` under `rank` (to within p/n) and for `random`; for the other scales the share beyond τ is counted.
pub fn expected(mask: &MaskSettings, decision: Option<&Decision>) -> f64 {
    if mask.scale == Scale::Rank || mask.polarity == Polarity::Random {
        return (1.0 - mask.threshold) * mask.probability;
    }
    decision.map_or(0.0, |d| share(mask.polarity, mask.threshold, d) * mask.probability)
}

/// Share of the eligible positions whose score is on the masked side of `threshold`.
pub fn share(polarity: Polarity, threshold: f64, decision: &Decision) -> f64 {
    let scores = || decision.positions.iter().filter_map(|p| p.score);
    let n = scores().count();
    if n == 0 {
        return 0.0;
    }
    scores().filter(|s| beyond(polarity, threshold, *s)).count() as f64 / n as f64
}

/// Whether a score is on the masked side.
pub fn beyond(polarity: Polarity, threshold: f64, score: f64) -> bool {
    match polarity {
        Polarity::High => score > threshold,
        Polarity::Low => score < 1.0 - threshold,
        Polarity::Random => true,
    }
}

/// The probability at which threshold `tau` gives `rate`; `None` where no probability does.
pub fn probability_for(doc: &Document, decision: Option<&Decision>, tau: f64, rate: f64) -> Option<f64> {
    let plain = doc.mask.scale == Scale::Rank || doc.mask.polarity == Polarity::Random;
    let share = match decision {
        Some(d) if !plain => share(doc.mask.polarity, tau, d),
        _ => 1.0 - tau,
    };
    let p = rate / share;
    (p.is_finite() && p <= 1.0).then_some(p)
}

/// One bar of the score histogram: positions by what became of them, in the order masked, draw, score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bin {
    /// Positions in this bin, best known order: masked first.
    pub positions: Vec<(usize, State)>,
}

/// The distribution of the unscaled scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    pub bins: Vec<Bin>,
    pub low: f64,
    pub high: f64,
    /// Whether the axis is logarithmic.
    pub log: bool,
    /// Place of τ on the axis, 0..1; `None` when the score is ignored or nothing is eligible.
    pub line: Option<f64>,
}

/// Bins the scores of the eligible positions. `scores` are unscaled; the decision holds the scaled ones.
pub fn histogram(
    mask: &MaskSettings,
    scores: &[Option<f64>],
    decision: &Decision,
    bins: usize,
) -> Option<Histogram> {
    let points: Vec<(usize, f64, f64, State)> = decision
        .positions
        .iter()
        .enumerate()
        .filter_map(|(i, d)| {
            let raw = scores.get(i).copied().flatten().filter(|s| s.is_finite())?;
            Some((i, raw, d.score?, d.state))
        })
        .collect();
    let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    if points.is_empty() || bins == 0 {
        return None;
    }
    let log = low > 0.0 && high / low > 30.0;
    let place = |v: f64| place(v, low, high, log);
    let mut out = vec![Bin::default(); bins];
    for (i, raw, _, state) in &points {
        let bin = ((place(*raw) * bins as f64) as usize).min(bins - 1);
        out[bin].positions.push((*i, *state));
    }
    for bin in &mut out {
        bin.positions.sort_by_key(|(i, s)| (stack(*s), *i));
    }
    // A budget draws no line through the scores.
    let judged = !matches!(decision.rule, DecisionRule::Budget { .. });
    let line = if judged { boundary(mask, &points).map(place) } else { None };
    Some(Histogram { bins: out, low, high, log, line })
}

/// Masked at the bottom of a stack, then those the draw spared, then those beyond the score's reach.
fn stack(state: State) -> u8 {
    match state {
        State::Masked => 0,
        State::Draw => 1,
        State::Score => 2,
        State::Protected => 3,
    }
}

fn place(v: f64, low: f64, high: f64, log: bool) -> f64 {
    let at = |v: f64| if log { v.max(f64::MIN_POSITIVE).ln() } else { v };
    let span = at(high) - at(low);
    if span > 0.0 { ((at(v) - at(low)) / span).clamp(0.0, 1.0) } else { 0.5 }
}

/// The threshold that puts the line of τ at a place of the histogram's axis, 0..1: between the scores on its two sides.
pub fn threshold_at(
    mask: &MaskSettings,
    scores: &[Option<f64>],
    decision: &Decision,
    place: f64,
) -> Option<f64> {
    let h = histogram(mask, scores, decision, 1)?;
    let at = |v: f64| if h.log { v.max(f64::MIN_POSITIVE).ln() } else { v };
    let place = at(h.low) + place.clamp(0.0, 1.0) * (at(h.high) - at(h.low));
    let low = mask.polarity == Polarity::Low;
    if mask.scale == Scale::Raw {
        let value = if h.log { place.exp() } else { place };
        return Some(if low { 1.0 - value } else { value });
    }
    let points = || {
        let both = scores.iter().zip(&decision.positions);
        both.filter_map(|(raw, d)| Some((raw.filter(|r| r.is_finite())?, d.score?)))
    };
    let below = points().filter(|p| at(p.0) <= place).map(|p| p.1).fold(0.0, f64::max);
    let above = points().filter(|p| at(p.0) > place).map(|p| p.1).fold(1.0, f64::min);
    let threshold = (below + above) / 2.0;
    Some(if low { 1.0 - threshold } else { threshold })
}

/// τ in unscaled units: every scale keeps the order, so it lies between the last score on one side and the first on
/// the other.
fn boundary(mask: &MaskSettings, points: &[(usize, f64, f64, State)]) -> Option<f64> {
    if mask.polarity == Polarity::Random {
        return None;
    }
    if mask.scale == Scale::Raw {
        return Some(if mask.polarity == Polarity::Low { 1.0 - mask.threshold } else { mask.threshold });
    }
    let above =
        |scaled: f64| beyond(mask.polarity, mask.threshold, scaled) == (mask.polarity == Polarity::High);
    let below_max = points.iter().filter(|p| !above(p.2)).map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    let above_min = points.iter().filter(|p| above(p.2)).map(|p| p.1).fold(f64::INFINITY, f64::min);
    match (below_max.is_finite(), above_min.is_finite()) {
        (true, true) => Some((below_max + above_min) / 2.0),
        (true, false) => Some(below_max),
        (false, true) => Some(above_min),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::types::PositionDecision;
    use crate::screen::options::Options;

    fn decision(scaled: &[f64]) -> Decision {
        let positions = scaled
            .iter()
            .map(|s| PositionDecision {
                state: if *s > 0.5 { State::Masked } else { State::Score },
                protection: None,
                score: Some(*s),
                rank: Some(1),
                draw: 0.0,
                op: None,
                replacement: None,
                unit: 0,
                history: 0.0,
                heads: None,
            })
            .collect::<Vec<_>>();
        let selected = positions.iter().filter(|p| p.state == State::Masked).count();
        Decision {
            eligible: positions.len(),
            selected,
            units: positions.len(),
            positions,
            scale: Scale::Rank,
            rule: DecisionRule::Threshold,
        }
    }

    #[test]
    fn rates_follow_the_formula_or_the_count() {
        let mut mask = Options::default().mask;
        mask.threshold = 0.5;
        let d = decision(&[0.1, 0.2, 0.3, 0.9]);
        assert_eq!(expected(&mask, Some(&d)), 0.25);
        mask.scale = Scale::Raw;
        assert_eq!(expected(&mask, Some(&d)), 0.125);
        mask.polarity = Polarity::Low;
        assert_eq!(expected(&mask, Some(&d)), 0.375);
    }

    #[test]
    fn the_line_separates_candidates_from_the_rest() {
        let mut mask = Options::default().mask;
        mask.threshold = 0.5;
        let d = decision(&[0.1, 0.2, 0.8, 0.9]);
        let scores = [Some(1.0), Some(2.0), Some(4.0), Some(5.0)];
        let h = histogram(&mask, &scores, &d, 8).unwrap();
        assert_eq!(h.line, Some(0.5));
        assert_eq!(h.bins.iter().map(|b| b.positions.len()).sum::<usize>(), 4);
        assert_eq!(h.bins[7].positions, vec![(3, State::Masked)]);
    }

    #[test]
    fn the_line_goes_where_it_is_dragged() {
        let mut mask = Options::default().mask;
        let d = decision(&[0.125, 0.375, 0.625, 0.875]);
        let scores = [Some(1.0), Some(2.0), Some(4.0), Some(5.0)];
        assert_eq!(threshold_at(&mask, &scores, &d, 0.5), Some(0.5));
        assert_eq!(threshold_at(&mask, &scores, &d, 0.1), Some(0.25));
        assert_eq!(threshold_at(&mask, &scores, &d, 1.0), Some(0.9375));
        mask.polarity = Polarity::Low;
        assert_eq!(threshold_at(&mask, &scores, &d, 0.1), Some(0.75));
        mask.polarity = Polarity::High;
        mask.scale = Scale::Raw;
        assert_eq!(threshold_at(&mask, &scores, &d, 0.25), Some(2.0));
    }

    #[test]
    fn odd_scores_do_no_harm() {
        let mask = Options::default().mask;
        let d = decision(&[0.5, 0.5]);
        assert!(histogram(&mask, &[None, Some(f64::NAN)], &d, 4).is_none());
        assert!(histogram(&mask, &[Some(1.0), Some(1.0)], &d, 4).is_some());
        assert!(histogram(&mask, &[], &d, 4).is_none());
    }
}
