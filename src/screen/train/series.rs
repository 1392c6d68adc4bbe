//! What a run has reported, as curves: steps with a debiased moving average, evaluations, changes made by hand. Pure.

use crate::tensor::meter::GpuFigures;
use crate::train::report::{LiveChange, StepReport};

/// Share of the moving average that each step keeps.
const KEEP: f64 = 0.95;

/// One reported step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub step: usize,
    pub loss: f64,
    /// Debiased exponential moving average of the loss (Adam's correction: divided by 1 − keepᵗ).
    pub smooth: f64,
    pub learning_rate: f64,
    pub mask_rate: f64,
    pub realised_rate: f64,
    pub grad_norm: f64,
    pub tokens_per_second: f64,
    pub masking: f64,
    pub forward: f64,
    pub backward: f64,
    pub optimizer: f64,
    pub total: f64,
    /// Bytes.
    pub memory: f64,
    pub gpu: Option<GpuFigures>,
}

/// Everything of a run that is drawn over its steps.
#[derive(Clone, Debug, Default)]
pub struct Series {
    pub points: Vec<Point>,
    /// (step, clean loss, masked loss) on the validation documents.
    pub evaluated: Vec<(usize, f64, Option<f64>)>,
    pub changes: Vec<LiveChange>,
    average: f64,
    /// What is missing of the weights of the average: keepᵗ.
    missing: f64,
}

impl Series {
    /// Adds a report of `merged` steps.
    pub fn push(&mut self, r: &StepReport, merged: usize) {
        if self.points.is_empty() {
            (self.average, self.missing) = (0.0, 1.0);
        }
        if r.loss.is_finite() {
            let keep = KEEP.powi(merged.clamp(1, 10_000) as i32);
            self.average = keep * self.average + (1.0 - keep) * r.loss;
            self.missing *= keep;
        }
        let smooth = if self.missing < 1.0 { self.average / (1.0 - self.missing) } else { r.loss };
        self.points.push(Point {
            step: r.step,
            loss: r.loss,
            smooth,
            learning_rate: r.learning_rate,
            mask_rate: r.mask_rate,
            realised_rate: r.realised_rate,
            grad_norm: r.grad_norm,
            tokens_per_second: r.tokens_per_second,
            masking: r.time.masking,
            forward: r.time.forward,
            backward: r.time.backward,
            optimizer: r.time.optimizer,
            total: r.time.total,
            memory: r.memory as f64,
            gpu: r.gpu,
        });
    }

    pub fn last(&self) -> Option<&Point> {
        self.points.last()
    }

    /// First and last step that a chart shows: all of them, or the newest `tail`.
    pub fn span(&self, tail: Option<usize>) -> (usize, usize) {
        let first = self.points.first().map_or(0, |p| p.step);
        let last = self.points.last().map_or(1, |p| p.step).max(first + 1);
        let from = tail.map_or(first, |n| last.saturating_sub(n).max(first));
        (from, last)
    }

    /// The point nearest to a step.
    pub fn nearest(&self, step: usize) -> Option<&Point> {
        let after = self.points.partition_point(|p| p.step < step);
        let candidates = [after.checked_sub(1), Some(after)];
        let near = candidates.into_iter().flatten().filter_map(|i| self.points.get(i));
        near.min_by_key(|p| p.step.abs_diff(step))
    }

    /// The evaluation at or before a step.
    pub fn evaluation_at(&self, step: usize) -> Option<(usize, f64, Option<f64>)> {
        self.evaluated.iter().rev().find(|e| e.0 <= step).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(step: usize, loss: f64) -> StepReport {
        StepReport { step, loss, ..StepReport::default() }
    }

    #[test]
    fn the_average_is_unbiased_from_the_first_step_on() {
        let mut series = Series::default();
        for step in 1..=50 {
            series.push(&report(step, 4.0), 1);
            assert!((series.points[step - 1].smooth - 4.0).abs() < 1e-9);
        }
        let mut two = Series::default();
        two.push(&report(1, 2.0), 1);
        two.push(&report(2, 4.0), 1);
        let wanted = (0.05 * 4.0 + 0.95 * 0.05 * 2.0) / (1.0 - 0.95f64.powi(2));
        assert!((two.points[1].smooth - wanted).abs() < 1e-12);
    }

    #[test]
    fn merged_steps_weigh_as_much_as_single_ones() {
        let (mut single, mut merged) = (Series::default(), Series::default());
        for step in 1..=20 {
            single.push(&report(step, 3.0), 1);
        }
        single.push(&report(21, 5.0), 1);
        merged.push(&report(20, 3.0), 20);
        merged.push(&report(21, 5.0), 1);
        assert!((single.last().unwrap().smooth - merged.last().unwrap().smooth).abs() < 1e-9);
    }

    #[test]
    fn steps_are_found_by_number() {
        let mut series = Series::default();
        for step in [1, 5, 9] {
            series.push(&report(step, step as f64), 1);
        }
        assert_eq!(series.nearest(6).unwrap().step, 5);
        assert_eq!(series.nearest(100).unwrap().step, 9);
        assert_eq!(series.span(Some(4)), (5, 9));
        assert_eq!(series.span(None), (1, 9));
    }
}
