//! Adam (1412.6980) for the few numbers of a policy, on the host, with its state open for checkpoints.

use serde::{Deserialize, Serialize};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Moments of a few parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    updates: u32,
}

impl Adam {
    pub fn new(n: usize) -> Self {
        Adam { first: vec![0.0; n], second: vec![0.0; n], updates: 0 }
    }

    /// One step down the gradient; a gradient that is not finite changes nothing.
    pub fn step(&mut self, values: &mut [f64], grad: &[f64], learning_rate: f64) {
        if grad.iter().any(|g| !g.is_finite()) {
            return;
        }
        self.updates += 1;
        let correct = |beta: f64| 1.0 - beta.powf(f64::from(self.updates));
        let (c1, c2) = (correct(BETA1), correct(BETA2));
        for (((value, &g), m), v) in values.iter_mut().zip(grad).zip(&mut self.first).zip(&mut self.second) {
            *m = BETA1 * *m + (1.0 - BETA1) * g;
            *v = BETA2 * *v + (1.0 - BETA2) * g * g;
            *value -= learning_rate * (*m / c1) / ((*v / c2).sqrt() + EPSILON);
        }
    }
}
