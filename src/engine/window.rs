//! A rolling window for display: the state of every position at every boundary, and its history. Pure.

use super::types::{PositionHistory, Standing};
use crate::attention::formula::formula;
use crate::mask::rolling::{Boundary, Rolling};
use crate::mask::types::{DecisionRule, Protection, State};

/// What is remembered of the first `len` rows, without their scores.
pub fn histories(rolling: &Rolling, len: usize) -> Vec<PositionHistory> {
    let history = rolling.history();
    let decided = rolling.boundaries().last().map(|b| &b.decision.positions);
    let of = rolling.heads();
    let one = |i: usize| PositionHistory {
        score: None,
        times: history.times.get(i).copied().unwrap_or(0),
        last: history.last.get(i).copied().flatten(),
        hidden: rolling
            .hidden()
            .get(i)
            .and_then(|ranges| ranges.last())
            .map(|range| (range.start.max(i as u32 + 1), Some(range.end).filter(|end| *end != u32::MAX))),
        heads: decided.and_then(|d| d.get(i)?.heads).map(|kept| (kept, of)),
    };
    (0..len).map(one).collect()
}

/// The score that decides, in words and symbols.
pub fn formula_of(rolling: &Rolling) -> String {
    formula(rolling.score_settings(), rolling.score_settings().reduction)
}

/// How each row stood at a boundary, given the one before it.
pub fn standings(boundary: &Boundary, before: Option<&Boundary>) -> Vec<Standing> {
    let of = match boundary.decision.rule {
        DecisionRule::Budget { heads, .. } => heads,
        _ => None,
    };
    let masked =
        |b: &Boundary, i: usize| b.decision.positions.get(i).is_some_and(|p| p.state == State::Masked);
    let standing = |(i, at): (usize, &crate::mask::types::PositionDecision)| match at.state {
        State::Masked if before.is_some_and(|b| masked(b, i)) => Standing::Gone,
        State::Masked => Standing::Masked,
        _ if at.heads.is_some_and(|kept| Some(kept) < of) => Standing::Partly,
        State::Protected if at.protection == Some(Protection::Recent) => Standing::Recent,
        State::Protected => Standing::Protected,
        State::Score | State::Draw => Standing::Kept,
    };
    boundary.decision.positions.iter().enumerate().map(standing).collect()
}
