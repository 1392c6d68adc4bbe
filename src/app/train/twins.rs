//! Arms side by side as they have reported themselves: curves of the seed that runs, differences, verdicts. Pure.

use crate::train::report::{TwinDifference, TwinStep, TwinVerdict};
use crate::train::twins::TwinSpec;

/// Share of the moving average that each step keeps.
const KEEP: f64 = 0.9;

/// One arm's training losses of the seed that runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArmCurve {
    /// (step, debiased moving average of the loss).
    pub points: Vec<(usize, f64)>,
    /// (step, loss on the held-out documents).
    pub evaluated: Vec<(usize, f64)>,
    average: f64,
    missing: f64,
}

impl ArmCurve {
    fn push(&mut self, step: usize, loss: f64) {
        if self.points.is_empty() {
            (self.average, self.missing) = (0.0, 1.0);
        }
        self.average = KEEP * self.average + (1.0 - KEEP) * loss;
        self.missing *= KEEP;
        self.points.push((step, self.average / (1.0 - self.missing)));
    }
}

/// Twins on screen.
#[derive(Clone, Debug, PartialEq)]
pub struct TwinView {
    pub arms: Vec<String>,
    pub seeds: usize,
    /// Steps of one seed.
    pub steps: usize,
    /// The seed that runs, from 1, and its last step.
    pub seed: usize,
    pub step: usize,
    pub curves: Vec<ArmCurve>,
    /// By evaluation of this seed: (step, one difference for each arm after the first).
    pub differences: Vec<(usize, Vec<TwinDifference>)>,
    /// By finished seed: one difference for each arm after the first.
    pub finished: Vec<Vec<f64>>,
    pub verdicts: Vec<TwinVerdict>,
    pub tokens_per_second: f64,
}

impl TwinView {
    pub fn new(spec: &TwinSpec, steps: usize) -> Self {
        let arms = spec.names();
        TwinView {
            curves: vec![ArmCurve::default(); arms.len()],
            arms,
            seeds: spec.seeds,
            steps,
            seed: 1,
            step: 0,
            differences: Vec::new(),
            finished: Vec::new(),
            verdicts: Vec::new(),
            tokens_per_second: 0.0,
        }
    }

    /// Share of all seeds that is done.
    pub fn progress(&self) -> f64 {
        let done = (self.seed - 1) * self.steps + self.step;
        done as f64 / (self.seeds * self.steps).max(1) as f64
    }

    /// A new seed begins with empty curves; what it is worth stays in [`finished`](Self::finished).
    fn turn(&mut self, seed: usize) {
        if seed != self.seed {
            self.seed = seed;
            self.curves.fill(ArmCurve::default());
            self.differences.clear();
        }
    }

    pub fn stepped(&mut self, report: &TwinStep) {
        self.turn(report.seed);
        (self.step, self.tokens_per_second) = (report.step, report.tokens_per_second);
        for (curve, loss) in self.curves.iter_mut().zip(&report.losses) {
            curve.push(report.step, *loss);
        }
    }

    pub fn evaluated(&mut self, (seed, step): (usize, usize), losses: &[f64], of: Vec<TwinDifference>) {
        self.turn(seed);
        for (curve, loss) in self.curves.iter_mut().zip(losses) {
            curve.evaluated.push((step, *loss));
        }
        self.differences.push((step, of));
    }
}
