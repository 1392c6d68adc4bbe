//! What a run has reported, as curves: steps with a debiased moving average, evaluations, changes made by hand. Pure.

use crate::screen::widgets::plot::Axis;
use crate::tensor::meter::GpuFigures;
use crate::train::report::{LiveChange, Report, StepReport};

/// How much of a moving average each step keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smoothing(usize);

impl Smoothing {
    /// The shares one can choose from; 0 is no average at all.
    const KEEP: [f64; 5] = [0.0, 0.6, 0.9, 0.95, 0.99];

    pub fn keep(self) -> f64 {
        Self::KEEP[self.0 % Self::KEEP.len()]
    }

    pub fn next(self) -> Self {
        Smoothing((self.0 + 1) % Self::KEEP.len())
    }
}

impl Default for Smoothing {
    fn default() -> Self {
        Smoothing(3)
    }
}

/// A debiased exponential moving average (Adam's correction: divided by 1 − keepᵗ). What is no number leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub struct Average {
    keep: f64,
    sum: f64,
    /// What is missing of the weights: keepᵗ.
    missing: f64,
}

impl Average {
    pub fn new(keep: f64) -> Self {
        Average { keep, sum: 0.0, missing: 1.0 }
    }

    /// The average after `steps` more steps of this value.
    pub fn next(&mut self, value: f64, steps: usize) -> f64 {
        if value.is_finite() {
            let keep = self.keep.powi(steps.clamp(1, 10_000) as i32);
            self.sum = keep * self.sum + (1.0 - keep) * value;
            self.missing *= keep;
        }
        if self.missing < 1.0 { self.sum / (1.0 - self.missing) } else { value }
    }
}

impl Default for Average {
    fn default() -> Self {
        Average::new(Smoothing::default().keep())
    }
}

/// One reported step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub step: usize,
    /// Steps that the report stands for.
    pub merged: usize,
    pub loss: f64,
    /// Moving average of the loss.
    pub smooth: f64,
    /// Loss at masked tokens and at all others; NaN without masks.
    pub masked_token_loss: f64,
    pub unmasked_token_loss: f64,
    pub learning_rate: f64,
    pub mask_rate: f64,
    pub realised_rate: f64,
    pub grad_norm: f64,
    pub tokens: f64,
    pub tokens_per_second: f64,
    pub masking: f64,
    pub forward: f64,
    pub backward: f64,
    pub optimizer: f64,
    pub total: f64,
    /// Seconds since the first step began.
    pub elapsed: f64,
    /// Bytes.
    pub memory: f64,
    /// Cores kept busy; NaN where it was not measured.
    pub cores: f64,
    pub gpu: Option<GpuFigures>,
}

/// Everything of a run that is drawn over its steps.
#[derive(Clone, Debug, Default)]
pub struct Series {
    pub points: Vec<Point>,
    /// (step, clean loss, masked loss) on the validation documents.
    pub evaluated: Vec<(usize, f64, Option<f64>)>,
    pub changes: Vec<LiveChange>,
    average: Average,
}

impl Series {
    /// The steps and evaluations among the reports of a run.
    pub fn of(reports: &[Report], keep: f64) -> Self {
        let mut series = Series { average: Average::new(keep), ..Series::default() };
        for report in reports {
            match report {
                Report::Step { report, merged } => series.push(report, *merged),
                Report::Evaluated { step, loss, masked_loss, .. } => {
                    series.evaluated.push((*step, *loss, *masked_loss));
                }
                _ => {}
            }
        }
        series
    }

    /// Adds a report of `merged` steps.
    pub fn push(&mut self, r: &StepReport, merged: usize) {
        // Records of older versions lack the clock.
        let taken = self.last().map_or(0.0, |p| p.elapsed) + r.time.total * merged.max(1) as f64;
        self.points.push(Point {
            step: r.step,
            merged,
            loss: r.loss,
            smooth: self.average.next(r.loss, merged),
            masked_token_loss: r.masked_token_loss.unwrap_or(f64::NAN),
            unmasked_token_loss: r.unmasked_token_loss.unwrap_or(f64::NAN),
            learning_rate: r.learning_rate,
            mask_rate: r.mask_rate,
            realised_rate: r.realised_rate,
            grad_norm: r.grad_norm,
            tokens: r.tokens as f64,
            tokens_per_second: r.tokens_per_second,
            masking: r.time.masking,
            forward: r.time.forward,
            backward: r.time.backward,
            optimizer: r.time.optimizer,
            total: r.time.total,
            elapsed: if r.elapsed > 0.0 { r.elapsed } else { taken },
            memory: r.memory as f64,
            cores: r.cores.unwrap_or(f64::NAN),
            gpu: r.gpu,
        });
    }

    /// Computes the average of the loss again, with another smoothing.
    pub fn smooth(&mut self, keep: f64) {
        self.average = Average::new(keep);
        for point in &mut self.points {
            point.smooth = self.average.next(point.loss, point.merged);
        }
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

    /// Where a step is on an axis; steps before the first report are at its start.
    pub fn place(&self, axis: Axis, step: usize) -> f64 {
        if axis == Axis::Steps {
            return step as f64;
        }
        let before = self.points.partition_point(|p| p.step <= step);
        before.checked_sub(1).and_then(|i| self.points.get(i)).map_or(0.0, |p| on(axis, p))
    }

    /// The step that is nearest to a place of an axis.
    pub fn step_at(&self, axis: Axis, place: f64) -> usize {
        if axis == Axis::Steps {
            return place.max(0.0).round() as usize;
        }
        let after = self.points.partition_point(|p| on(axis, p) < place);
        let candidates = [after.checked_sub(1), Some(after)];
        let near = candidates.into_iter().flatten().filter_map(|i| self.points.get(i));
        let distance = |p: &&Point| (on(axis, p) - place).abs();
        near.min_by(|a, b| distance(a).total_cmp(&distance(b))).map_or(0, |p| p.step)
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

/// Where a point is on an axis.
pub fn on(axis: Axis, point: &Point) -> f64 {
    match axis {
        Axis::Steps => point.step as f64,
        Axis::Tokens => point.tokens,
        Axis::Time => point.elapsed,
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
    fn axes_by_tokens_and_time_find_the_step_back() {
        let mut series = Series::default();
        for step in 1..=9 {
            let mut report = StepReport { tokens: 512 * step as u64, ..report(step, 1.0) };
            report.time.total = 0.25;
            // The clock runs on during an evaluation after step 5.
            report.elapsed = 0.25 * step as f64 + if step > 5 { 3.0 } else { 0.0 };
            series.push(&report, 1);
        }
        for axis in [Axis::Steps, Axis::Tokens, Axis::Time] {
            for step in 1..=9 {
                assert_eq!(series.step_at(axis, series.place(axis, step)), step, "{axis:?}");
            }
        }
        assert_eq!(series.place(Axis::Tokens, 4), 2048.0);
        assert_eq!((series.place(Axis::Time, 5), series.place(Axis::Time, 6)), (1.25, 4.5));
        assert_eq!(series.place(Axis::Time, 0), 0.0);
    }

    #[test]
    fn records_without_a_clock_get_one_from_the_time_of_their_steps() {
        let mut series = Series::default();
        for (step, merged) in [(1, 1), (5, 4)] {
            let mut report = report(step, 1.0);
            report.time.total = 0.5;
            series.push(&report, merged);
        }
        assert_eq!(series.last().unwrap().elapsed, 2.5);
    }

    #[test]
    fn another_smoothing_gives_what_it_would_have_given_from_the_start() {
        let reports: Vec<Report> = (1..=30)
            .map(|step| Report::Step { report: report(step, (step % 7) as f64), merged: 1 + step % 3 })
            .collect();
        let mut series = Series::of(&reports, 0.95);
        let fresh = Series::of(&reports, 0.6);
        assert_ne!(series.points, fresh.points);
        series.smooth(0.6);
        let smooth = |s: &Series| s.points.iter().map(|p| p.smooth).collect::<Vec<_>>();
        assert_eq!(smooth(&series), smooth(&fresh));
        series.smooth(0.0);
        assert!(series.points.iter().all(|p| p.smooth == p.loss));
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
