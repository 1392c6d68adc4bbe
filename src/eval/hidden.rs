//! What a mask costs over held-out text: the rise of the loss window by window, with intervals, and arms against each
//! other on the same windows. Pure.

use super::stats::{Bootstrap, Interval};

/// One arm over one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WindowCost {
    /// Mean rise of the loss, nats per token, over every predicted token.
    pub rise: f64,
    /// Share of the eligible positions that were masked.
    pub rate: f64,
}

/// Rise of the loss from log-probabilities of the true next tokens, position by position; `None` where a position was
/// predicted in only one of the passes. `None` where no position was predicted in both.
pub fn rise(baseline: &[Option<f32>], masked: &[Option<f32>]) -> Option<f64> {
    let pairs: Vec<f64> =
        baseline.iter().zip(masked).filter_map(|(a, b)| Some(f64::from((*a)?) - f64::from((*b)?))).collect();
    (!pairs.is_empty()).then(|| pairs.iter().sum::<f64>() / pairs.len() as f64)
}

/// The rise over positions whose own token was masked and over all others, every position counting the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RiseApart {
    /// Sum and count.
    masked: (f64, usize),
    unmasked: (f64, usize),
}

impl RiseApart {
    /// Adds a window; `at` are its masked positions, ascending.
    pub fn add(&mut self, baseline: &[Option<f32>], masked: &[Option<f32>], at: &[usize]) {
        for (i, (a, b)) in baseline.iter().zip(masked).enumerate() {
            let (Some(a), Some(b)) = (a, b) else { continue };
            let sum = if at.binary_search(&i).is_ok() { &mut self.masked } else { &mut self.unmasked };
            sum.0 += f64::from(*a) - f64::from(*b);
            sum.1 += 1;
        }
    }

    /// `None` where no such position was predicted in both passes.
    pub fn masked(&self) -> Option<f64> {
        mean(self.masked)
    }

    pub fn unmasked(&self) -> Option<f64> {
        mean(self.unmasked)
    }
}

fn mean((sum, n): (f64, usize)) -> Option<f64> {
    (n > 0).then(|| sum / n as f64)
}

/// An arm over all windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmCost {
    /// Nats per token; resampled by window.
    pub rise: Interval,
    pub rate: f64,
    pub windows: usize,
}

/// Summarises an arm; `None` without windows.
pub fn arm_cost(windows: &[WindowCost], bootstrap: &Bootstrap) -> Option<ArmCost> {
    let rises: Vec<f64> = windows.iter().map(|w| w.rise).collect();
    let rate = windows.iter().map(|w| w.rate).sum::<f64>() / windows.len().max(1) as f64;
    Some(ArmCost { rise: bootstrap.mean(&rises)?, rate, windows: windows.len() })
}

/// How much more the first arm costs than the second on the same windows.
pub fn paired(a: &[WindowCost], b: &[WindowCost], bootstrap: &Bootstrap) -> Option<Interval> {
    let rises = |arm: &[WindowCost]| arm.iter().map(|w| w.rise).collect::<Vec<f64>>();
    bootstrap.paired(&rises(a), &rises(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rise_is_the_mean_over_positions_that_both_passes_predict() {
        let base = [Some(-1.0), None, Some(-2.0), Some(-3.0)];
        let masked = [Some(-1.5), Some(-9.0), None, Some(-4.0)];
        assert_eq!(rise(&base, &masked), Some(0.75));
        assert_eq!(rise(&[None], &[Some(-1.0)]), None);
        let mut apart = RiseApart::default();
        apart.add(&base, &masked, &[1, 3]);
        assert_eq!((apart.masked(), apart.unmasked()), (Some(1.0), Some(0.5)));
        assert_eq!(RiseApart::default().masked(), None);
    }

    #[test]
    fn arms_on_the_same_windows_are_compared_pair_by_pair() {
        // Windows differ far more from each other than the arms do.
        let arm = |extra: f64| -> Vec<WindowCost> {
            (0..40).map(|i| WindowCost { rise: f64::from(i % 7) + extra, rate: 0.15 }).collect()
        };
        let bootstrap = Bootstrap::default();
        let one = arm_cost(&arm(0.1), &bootstrap).unwrap();
        assert!(one.rise.high - one.rise.low > 0.5);
        assert!((one.rate - 0.15).abs() < 1e-12 && one.windows == 40);
        let difference = paired(&arm(0.1), &arm(0.0), &bootstrap).unwrap();
        assert!(difference.low > 0.09 && difference.high < 0.11, "{difference:?}");
        assert_eq!(paired(&arm(0.1)[..3], &arm(0.0), &bootstrap), None);
        assert_eq!(arm_cost(&[], &bootstrap), None);
    }
}
