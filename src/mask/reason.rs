//! Why each position is masked or not, and why nothing is selected, as sentences for JSON, the commands and the screen. The
//! Why pane shows the comparisons with τ and p as numbers of its own; protections and cache policies are worded here.

use super::types::{
    Decision, DecisionRule, MaskSettings, Polarity, PositionDecision, Protection, Scale, State, Unit,
};

/// Why a position has its state, e.g. `masked: score 0.93 > τ 0.70 and draw 0.12 < p 0.50`.
///
/// Numbers are printed with as many digits as it takes for the comparison to be true as printed.
pub fn reason(settings: &MaskSettings, decision: &Decision, position: usize) -> String {
    let Some(at) = decision.positions.get(position) else {
        return "no such position".to_owned();
    };
    if at.state == State::Protected {
        return protected(at);
    }
    match decision.rule {
        DecisionRule::Threshold => threshold(settings, at),
        DecisionRule::Exact { k } => exact(settings, decision, at, k),
        DecisionRule::Pattern { pattern, rate } => match at.state {
            State::Masked => format!("masked: initial pattern {pattern} at rate {rate:.2}"),
            _ => format!("not masked: outside the initial pattern {pattern} at rate {rate:.2}"),
        },
        DecisionRule::Budget { preset, budget, heads: Some(heads) } => {
            let each = format!("under {preset} every head keeps {budget} tokens for itself");
            match (at.state, at.heads) {
                (State::Masked, _) => format!("masked: {each}, and none of {heads} keeps this one"),
                (_, kept) => format!("kept: {each}, and {} of {heads} keep this one", kept.unwrap_or(heads)),
            }
        }
        DecisionRule::Budget { preset, budget, heads: None } => match (at.state, at.rank) {
            (State::Masked, Some(rank)) => {
                format!(
                    "masked: {preset} keeps {budget} tokens, and this one is number {rank} of {} from the top",
                    decision.units
                )
            }
            (State::Masked, None) => format!("masked: {preset} keeps {budget} tokens, and this one is gone"),
            (_, Some(rank)) => {
                format!(
                    "kept: {preset} keeps {budget} tokens, and this one is number {rank} of {} from the top",
                    decision.units
                )
            }
            (_, None) => format!("kept: {preset} keeps it in any case"),
        },
    }
}

/// Why a protected position is never masked, e.g. `protected: first token`.
pub fn protected(at: &PositionDecision) -> String {
    format!("protected: {}", at.protection.map_or("no reason noted", protection_name))
}

fn protection_name(protection: Protection) -> &'static str {
    match protection {
        Protection::First => "first token",
        Protection::Last => "among the last tokens",
        Protection::Sink => "attention sink",
        Protection::EndOfText => "end-of-text token",
        Protection::Pinned => "pinned",
        Protection::Unscored => "no later token reads it, so it has no score",
        Protection::Recent => "among the newest tokens of the window",
        Protection::CoolDown => "masked too recently",
    }
}

fn threshold(settings: &MaskSettings, at: &PositionDecision) -> String {
    let draw = draw_clause(settings, at);
    let score = score_clause(settings, at);
    match (at.state, settings.polarity) {
        (State::Masked, Polarity::Random) => format!("masked: {draw}"),
        (State::Masked, _) => format!("masked: {score} and {draw}"),
        (State::Score, Polarity::Low) => format!("score too high: {score}"),
        (State::Score, _) => format!("score too low: {score}"),
        (_, Polarity::Random) => format!("draw too high: {draw}"),
        _ => format!("draw too high: {draw} ({score})"),
    }
}

fn exact(settings: &MaskSettings, decision: &Decision, at: &PositionDecision, k: usize) -> String {
    let what = if decision.units == 1 { "unit" } else { "units" };
    let of = format!("exactly {k} of {} {what} are taken", decision.units);
    let draw = format!("draw {}", number(at.draw, 2));
    let score = score_clause(settings, at);
    let scored = settings.polarity != Polarity::Random;
    match at.state {
        State::Masked if scored && !past(settings, at) => {
            format!("masked: nearest to τ, {score}, because {of}")
        }
        State::Masked if scored => format!("masked: {score} and {draw} among the lowest; {of}"),
        State::Masked => format!("masked: {draw} among the lowest; {of}"),
        State::Score if settings.polarity == Polarity::Low => format!("score too high: {score}; {of}"),
        State::Score => format!("score too low: {score}; {of}"),
        _ => format!("draw too high: {draw} not among the lowest; {of}"),
    }
}

/// Whether the score is on the masked side of τ.
fn past(settings: &MaskSettings, at: &PositionDecision) -> bool {
    at.score.is_some_and(|score| match settings.polarity {
        Polarity::High => score > settings.threshold,
        Polarity::Low => score < 1.0 - settings.threshold,
        Polarity::Random => true,
    })
}

/// `score 0.93 > τ 0.70`, with what the history took off.
fn score_clause(settings: &MaskSettings, at: &PositionDecision) -> String {
    let Some(score) = at.score else { return "no score".to_owned() };
    let (bound, name) = match settings.polarity {
        Polarity::Low => (1.0 - settings.threshold, "1−τ"),
        _ => (settings.threshold, "τ"),
    };
    let name_of_score = match settings.unit {
        Unit::Token => "score",
        Unit::Word => "word score",
        Unit::Type => "type score",
    };
    let history = match at.history {
        0.0 => String::new(),
        off if off > 0.0 => format!(" (history took off {})", number(off, 2)),
        off => format!(" (history added {})", number(-off, 2)),
    };
    let (a, b) = pair(score, bound);
    let sign = match settings.polarity {
        Polarity::Low if score < bound => "<",
        Polarity::Low => "≥",
        _ if score > bound => ">",
        _ => "≤",
    };
    format!("{name_of_score} {a}{history} {sign} {name} {b}")
}

/// `draw 0.12 < p 0.50`.
fn draw_clause(settings: &MaskSettings, at: &PositionDecision) -> String {
    let (bound, name) = match settings.polarity {
        Polarity::Random => (settings.nominal_rate(), "(1−τ)·p"),
        _ => (settings.probability, "p"),
    };
    let (a, b) = pair(at.draw, bound);
    let sign = if at.draw < bound { "<" } else { "≥" };
    format!("draw {a} {sign} {name} {b}")
}

const MAX_DIGITS: usize = 17;

/// Both numbers with the fewest digits (at least 2 after the point, and 2 that say something) that keep them apart.
fn pair(a: f64, b: f64) -> (String, String) {
    let least = digits_for(a).max(digits_for(b));
    for digits in least..MAX_DIGITS {
        let (x, y) = (number(a, digits), number(b, digits));
        if a == b || x != y {
            return (x, y);
        }
    }
    (number(a, MAX_DIGITS), number(b, MAX_DIGITS))
}

fn number(value: f64, digits: usize) -> String {
    format!("{value:.digits$}")
}

/// Enough digits for two that are not leading zeros, between 2 and 8.
fn digits_for(value: f64) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 2;
    }
    (1.0 - value.abs().log10().floor()).clamp(2.0, 8.0) as usize
}

/// Why nothing is selected, or `None` when something is: `nothing selected, because …`.
pub fn nothing_selected(settings: &MaskSettings, decision: &Decision) -> Option<String> {
    if decision.selected > 0 {
        return None;
    }
    Some(format!("nothing selected, because {}", because(settings, decision)))
}

fn because(settings: &MaskSettings, decision: &Decision) -> String {
    if decision.positions.is_empty() {
        return "the text is empty".to_owned();
    }
    if decision.eligible == 0 {
        return all_protected(decision);
    }
    match decision.rule {
        DecisionRule::Exact { .. } => {
            let rate = settings.nominal_rate();
            return format!(
                "a rate of {} of {} rounds to 0",
                number(rate, 2),
                count(settings, decision.units)
            );
        }
        DecisionRule::Pattern { pattern, rate } => {
            return format!("the initial pattern {pattern} at rate {rate:.2} takes none");
        }
        DecisionRule::Budget { preset, budget, .. } => {
            return format!("{preset} keeps {budget} tokens and there are no more");
        }
        DecisionRule::Threshold => {}
    }
    let candidates = decision.positions.iter().filter(|p| p.state == State::Draw);
    let Some(lowest) = candidates.clone().min_by(|a, b| a.draw.total_cmp(&b.draw)) else {
        return none_past(settings, decision);
    };
    let mut units: Vec<usize> = candidates.map(|p| p.unit).collect();
    units.sort_unstable();
    units.dedup();
    if settings.probability == 0.0 {
        return "p is 0".to_owned();
    }
    if settings.polarity == Polarity::Random {
        let (draw, bound) = pair(lowest.draw, settings.nominal_rate());
        return format!(
            "no draw is below (1−τ)·p {bound} (the lowest of {} is {draw})",
            count(settings, units.len())
        );
    }
    let (draw, p) = pair(lowest.draw, settings.probability);
    let side = if settings.polarity == Polarity::Low { "below 1−τ" } else { "above τ" };
    format!("no draw is below p {p} ({} {side}, lowest draw {draw})", count(settings, units.len()))
}

/// No score lies past τ.
fn none_past(settings: &MaskSettings, decision: &Decision) -> String {
    let scores = decision.positions.iter().filter_map(|p| p.score);
    let raw = if decision.scale == Scale::Raw { "raw " } else { "" };
    if settings.polarity == Polarity::Low {
        let lowest = scores.fold(f64::INFINITY, f64::min);
        let (lowest, bound) = pair(lowest, 1.0 - settings.threshold);
        format!("no {raw}score is below 1−τ {bound} (the lowest is {lowest})")
    } else {
        let highest = scores.fold(f64::NEG_INFINITY, f64::max);
        let (highest, bound) = pair(highest, settings.threshold);
        format!("no {raw}score is above τ {bound} (the highest is {highest})")
    }
}

fn all_protected(decision: &Decision) -> String {
    let mut names: Vec<&str> =
        decision.positions.iter().filter_map(|p| p.protection).map(protection_name).collect();
    let n = names.len();
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name);
            true
        }
    });
    let which = match n {
        1 => "the only token is".to_owned(),
        2 => "both tokens are".to_owned(),
        n => format!("all {n} tokens are"),
    };
    format!("{which} protected ({})", names.join("; "))
}

fn count(settings: &MaskSettings, n: usize) -> String {
    let (one, many) = match settings.unit {
        Unit::Token => ("token", "tokens"),
        Unit::Word => ("word", "words"),
        Unit::Type => ("type", "types"),
    };
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
#[path = "reason_tests.rs"]
mod tests;
