//! A rolling window, told: how every position stood at every boundary, and what is remembered of it. Pure.

use super::types::{BoundaryRow, PositionHistory, Standing, WindowReport};
use crate::attention::calibration::Calibration;
use crate::attention::formula::formula;
use crate::mask::rolling::{Boundary, Rolling};
use crate::mask::types::{Protection, State};

/// What a window that has rolled over a text of `len` tokens has to tell.
pub fn report(rolling: &Rolling, len: usize, calibration: Option<&Calibration>) -> WindowReport {
    let mut before: Option<&Boundary> = None;
    let mut rows = Vec::with_capacity(rolling.boundaries().len());
    for boundary in rolling.boundaries() {
        rows.push(row(boundary, before));
        before = Some(boundary);
    }
    let scores = rolling.raw_scores(calibration);
    let history = rolling.history();
    let position = |i: usize| PositionHistory {
        score: scores.get(i).copied().flatten(),
        times: history.times.get(i).copied().unwrap_or(0),
        last: history.last.get(i).copied().flatten(),
        hidden: rolling
            .hidden()
            .get(i)
            .and_then(|ranges| ranges.last())
            .map(|range| (range.start.max(i as u32 + 1), Some(range.end).filter(|end| *end != u32::MAX))),
    };
    WindowReport {
        rows,
        positions: (0..len).map(position).collect(),
        formula: formula(rolling.score_settings(), rolling.score_settings().reduction),
        reencoded: Vec::new(),
    }
}

fn row(boundary: &Boundary, before: Option<&Boundary>) -> BoundaryRow {
    let masked =
        |b: &Boundary, i: usize| b.decision.positions.get(i).is_some_and(|p| p.state == State::Masked);
    let standing = boundary.decision.positions.iter().enumerate().map(|(i, at)| match at.state {
        State::Masked if before.is_some_and(|b| masked(b, i)) => Standing::Gone,
        State::Masked => Standing::Masked,
        State::Protected if at.protection == Some(Protection::Recent) => Standing::Recent,
        State::Protected => Standing::Protected,
        State::Score | State::Draw => Standing::Kept,
    });
    BoundaryRow { end: boundary.end, standing: standing.collect() }
}
