//! The stand-in for the engine: what interventions do.

use std::sync::Arc;

use super::answers::unit;
use crate::engine::types::{
    Candidate, ControlRange, ExploreRequest, InterventionEffect, InterventionReport, PatchGrid, StackItem,
    Update,
};

fn effect(item: &StackItem, at: usize, controls: usize) -> InterventionEffect {
    let kl = 0.4 * unit(at as u64, 41);
    let range = |high: f64| ControlRange { n: controls, median: high / 4.0, high, covers: 0.95 };
    InterventionEffect {
        what: item.what,
        on: item.on,
        kl,
        change: -3.0 * kl,
        controls: Some([range(0.0312), range(0.21)]),
        done: controls,
        of: controls,
        note: None,
        problem: None,
    }
}

/// The effects of a request's stack.
pub fn report(r: &ExploreRequest, n: usize) -> Option<Update> {
    let asked = &r.interventions;
    if asked.list.is_empty() || n == 0 {
        return None;
    }
    let next = vec![Candidate { id: 0, display: "·the".to_owned(), p: 0.27 }];
    let effects = asked.list.iter().enumerate().map(|(at, item)| effect(item, at, asked.controls)).collect();
    let report = InterventionReport {
        effects,
        together: Some((0.3, -0.8, next)),
        problem: None,
        measure: "logit of “·the”".to_owned(),
        position: r.position.unwrap_or(n - 1),
        done: 9,
        of: 9,
    };
    Some(Update::Intervened { generation: r.generation, report: Arc::new(report) })
}

/// A grid of patches, one half of it known.
pub fn grid(generation: u64, positions: usize) -> Update {
    let cell =
        |at: usize| (at.is_multiple_of(2)).then(|| (unit(at as u64, 6), 4.0 * unit(at as u64, 7) - 2.0));
    let grid = PatchGrid {
        layers: 4,
        positions,
        cells: (0..4 * positions).map(cell).collect(),
        measure: "logit of “·the”".to_owned(),
        ends: (3.21, -1.5),
        stopped: false,
    };
    Update::PatchGrid { generation, grid: Arc::new(grid) }
}
