//! The decision: who is protected, what score and draw each unit has, and which side of τ and p they fall on.
//! Pure; runs on whichever thread asks, on every slider move.

use crate::attention::calibration::cdf;
use crate::attention::types::{Reduction, ScoreSettings};

use super::draw::{Draws, Stream};
use super::types::{
    Decision, DecisionRule, MaskSettings, Op, Polarity, PositionDecision, Protection, Replacement, Scale,
    State,
};
use super::units;

/// What a decision is about, besides its settings. Slices are `[T]` unless said otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecisionInput<'a> {
    /// Unscaled scores of the *unmasked* pass (under scope `whole`); `None` is undefined.
    pub scores: &'a [Option<f64>],
    pub ids: &'a [u32],
    /// Detected sinks, ascending.
    pub sinks: &'a [usize],
    /// The id of the token that ends texts, where the vocabulary has one.
    pub eot: Option<u32>,
    /// Which tokens begin a word; only `unit = word` reads it.
    pub word_starts: &'a [bool],
    /// Sorted sample of ℓ for scale `calibrated`; none, or an empty one, falls back to `rank`.
    pub sample: Option<&'a [f64]>,
    /// How often each position was masked before; `None` without history.
    pub history: Option<&'a MaskHistory>,
    /// Positions a rolling window may not mask now, with the reason.
    pub barred: &'a [Option<Protection>],
    /// Address of the draws; its seed is replaced by the settings'.
    pub draws: Draws,
}

/// How often each position was masked in earlier passes or at earlier boundaries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MaskHistory {
    /// h, `[T]`.
    pub times: Vec<u32>,
    /// Pass or boundary at which it was last masked.
    pub last: Vec<Option<u32>>,
    /// λ of the correction.
    pub lambda: f64,
}

/// Weight of the history correction per λ.
pub const HISTORY_WEIGHT: f64 = 0.1;
const HISTORY_EPSILON: f64 = 1e-6;

impl MaskHistory {
    pub fn new(len: usize, lambda: f64) -> Self {
        MaskHistory { times: vec![0; len], last: vec![None; len], lambda }
    }
}

/// The score that a scale can be applied to: `raw` means literal attention, so ratios and contributions become the
/// article's mean of α.
pub fn score_in_force(scale: Scale, score: &ScoreSettings) -> ScoreSettings {
    if scale != Scale::Raw {
        return score.clone();
    }
    let reduction = match score.reduction {
        Reduction::DistanceNull | Reduction::Corrected | Reduction::MaxHeads => Reduction::Plain,
        literal @ (Reduction::Sum
        | Reduction::Window
        | Reduction::Last
        | Reduction::Rollout
        | Reduction::Plain) => literal,
    };
    ScoreSettings { reduction, contribution: false, ..score.clone() }
}

/// The bare rule on printed numbers: what any reader can recompute.
pub fn rule(polarity: Polarity, threshold: f64, probability: f64, score: f64, draw: f64) -> State {
    let (past, below) = match polarity {
        Polarity::High => (score > threshold, draw < probability),
        Polarity::Low => (score < 1.0 - threshold, draw < probability),
        Polarity::Random => (true, draw < (1.0 - threshold) * probability),
    };
    match (past, below) {
        (false, _) => State::Score,
        (true, false) => State::Draw,
        (true, true) => State::Masked,
    }
}

/// One thing that is masked or not as a whole.
struct UnitState {
    members: Vec<usize>,
    score: f64,
    history: f64,
    rank: usize,
    draw: f64,
    state: State,
}

/// Decides every position.
pub fn decide(settings: &MaskSettings, input: &DecisionInput) -> Decision {
    let draws = Draws { seed: settings.seed, ..input.draws };
    let protections = protections(settings, input);
    let eligible: Vec<bool> = protections.iter().map(Option::is_none).collect();
    let mut units = units_of(settings, input, &eligible, &draws);
    let sample = input.sample.filter(|s| !s.is_empty());
    let scale = to_scale(settings.scale, sample, &mut units);
    correct_by_history(input.history, &mut units);
    for unit in &mut units {
        unit.state = rule(settings.polarity, settings.threshold, settings.probability, unit.score, unit.draw);
    }
    let rule =
        if settings.exact_k { take_exactly(settings, scale, &mut units) } else { DecisionRule::Threshold };
    let mut positions: Vec<PositionDecision> = protections
        .iter()
        .enumerate()
        .map(|(i, &protection)| PositionDecision {
            state: State::Protected,
            protection,
            score: None,
            rank: None,
            draw: draws.unit(Stream::Decision, i),
            op: None,
            replacement: None,
            unit: i,
            history: 0.0,
            heads: None,
        })
        .collect();
    for unit in &units {
        let first = unit.members[0];
        let (op, replacement) = match unit.state {
            State::Masked => operation(settings, &draws, first),
            _ => (None, None),
        };
        for &i in &unit.members {
            positions[i] = PositionDecision {
                state: unit.state,
                protection: None,
                score: Some(unit.score),
                rank: Some(units.len() + 1 - unit.rank),
                draw: unit.draw,
                op,
                replacement,
                unit: first,
                history: unit.history,
                heads: None,
            };
        }
    }
    Decision {
        eligible: eligible.iter().filter(|e| **e).count(),
        selected: positions.iter().filter(|p| p.state == State::Masked).count(),
        units: units.len(),
        positions,
        scale,
        rule,
    }
}

/// Why each position is never masked, if so.
pub fn protections(settings: &MaskSettings, input: &DecisionInput) -> Vec<Option<Protection>> {
    let len = input.scores.len();
    let protect = &settings.protect;
    (0..len)
        .map(|i| {
            let barred = input.barred.get(i).copied().flatten();
            if settings.pinned.iter().any(|r| r.contains(&i)) {
                Some(Protection::Pinned)
            } else if protect.first && i == 0 {
                Some(Protection::First)
            } else if i + protect.last >= len {
                Some(Protection::Last)
            } else if protect.sinks && input.sinks.contains(&i) {
                Some(Protection::Sink)
            } else if protect.eot && input.eot.is_some() && input.ids.get(i).copied() == input.eot {
                Some(Protection::EndOfText)
            } else if barred.is_some() {
                barred
            } else if input.scores[i].is_none() {
                Some(Protection::Unscored)
            } else {
                None
            }
        })
        .collect()
}

/// Groups eligible positions; a unit's score is the mean over its members, its draw that of its first member.
fn units_of(
    settings: &MaskSettings,
    input: &DecisionInput,
    eligible: &[bool],
    draws: &Draws,
) -> Vec<UnitState> {
    units::group(settings.unit, eligible, input.ids, input.word_starts)
        .into_iter()
        .map(|members| {
            let sum: f64 = members.iter().filter_map(|&i| input.scores[i]).sum();
            UnitState {
                score: sum / members.len() as f64,
                history: 0.0,
                rank: 0,
                draw: draws.unit(Stream::Decision, members[0]),
                state: State::Score,
                members,
            }
        })
        .collect()
}

/// Ranks the units and brings their scores to the scale; says which scale that was.
fn to_scale(asked: Scale, sample: Option<&[f64]>, units: &mut [UnitState]) -> Scale {
    let n = units.len();
    let mut order: Vec<usize> = (0..n).collect();
    // Stable, so equal scores keep the order of positions.
    order.sort_by(|&a, &b| units[a].score.total_cmp(&units[b].score));
    for (below, &u) in order.iter().enumerate() {
        units[u].rank = below + 1;
    }
    let scale = match (asked, sample) {
        (Scale::Calibrated, None) => Scale::Rank,
        (scale, _) => scale,
    };
    for unit in units.iter_mut() {
        unit.score = match (scale, sample) {
            (Scale::Raw, _) => unit.score,
            (Scale::Calibrated, Some(sample)) => cdf(sample, unit.score),
            _ => (unit.rank as f64 - 0.5) / n as f64,
        };
    }
    scale
}

/// `A' = clip(A − 0.1·λ·(h/(h̄+ε) − 1), 0, 1)`, h̄ over the eligible units.
///
/// Where nothing eligible was ever masked there is no history to even out, and A stays: the formula would then
/// lift every score by 0.1·λ, though all positions are alike.
fn correct_by_history(history: Option<&MaskHistory>, units: &mut [UnitState]) {
    let Some(history) = history else { return };
    let times = |unit: &UnitState| {
        let sum: f64 =
            unit.members.iter().map(|&i| f64::from(history.times.get(i).copied().unwrap_or(0))).sum();
        sum / unit.members.len() as f64
    };
    let mean = units.iter().map(times).sum::<f64>() / units.len().max(1) as f64;
    if mean == 0.0 {
        return;
    }
    for unit in units.iter_mut() {
        let off = HISTORY_WEIGHT * history.lambda * (times(unit) / (mean + HISTORY_EPSILON) - 1.0);
        let corrected = (unit.score - off).clamp(0.0, 1.0);
        unit.history = unit.score - corrected;
        unit.score = corrected;
    }
}

/// Takes exactly k units: those past τ by ascending draw, then, if they do not suffice, those nearest to τ.
///
/// k is round(rate·n): the rate is `(1−τ)·p` under `rank` and `random`, and p times the share past τ elsewhere, where
/// τ fixes no share beforehand.
fn take_exactly(settings: &MaskSettings, scale: Scale, units: &mut [UnitState]) -> DecisionRule {
    let past = units.iter().filter(|u| u.state != State::Score).count();
    let matched = scale == Scale::Rank || settings.polarity == Polarity::Random;
    let share = if matched { 1.0 - settings.threshold } else { past as f64 / units.len().max(1) as f64 };
    let k = (share * settings.probability * units.len() as f64).round().max(0.0) as usize;
    let mut order: Vec<usize> = (0..units.len()).collect();
    let distance = |u: &UnitState| match settings.polarity {
        Polarity::Low => u.score,
        _ => -u.score,
    };
    order.sort_by(|&a, &b| {
        let (a, b) = (&units[a], &units[b]);
        let (far_a, far_b) = (a.state == State::Score, b.state == State::Score);
        far_a
            .cmp(&far_b)
            .then_with(|| if far_a { distance(a).total_cmp(&distance(b)) } else { a.draw.total_cmp(&b.draw) })
    });
    for (n, &u) in order.iter().enumerate() {
        if n < k {
            units[u].state = State::Masked;
        } else if units[u].state == State::Masked {
            units[u].state = State::Draw;
        }
    }
    DecisionRule::Exact { k: k.min(units.len()) }
}

/// Which operation a masked unit gets, and its replacement where that is `replace`.
pub(crate) fn operation(
    settings: &MaskSettings,
    draws: &Draws,
    position: usize,
) -> (Option<Op>, Option<Replacement>) {
    let part = settings.mix.as_ref().and_then(|mix| mix.pick(draws.unit(Stream::Op, position)));
    let (op, own) = part.map_or((settings.op, None), |p| (p.op, p.replacement));
    (Some(op), (op == Op::Replace).then(|| own.unwrap_or(settings.replacement)))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
