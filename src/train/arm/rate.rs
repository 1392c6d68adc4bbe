//! The mask rate over a run: schedules with one and the same time average, and how a rate becomes τ and p. Pure.

use crate::mask::draw::{Draws, Stream};
use crate::mask::types::MaskSettings;
use crate::train::spec::MaskSchedule;

/// How far a run is. A run that follows the clock gives the step that matches the time passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// 0-based.
    pub step: usize,
    pub steps: usize,
}

impl At {
    /// For passes outside a run: the rate is the average rate.
    pub const NONE: At = At { step: 0, steps: 0 };
}

impl MaskSchedule {
    /// What the average rate is multiplied with at `at` in [0, 1]; its mean over [0, 1] is 1.
    fn shape(self, at: f64) -> f64 {
        match self {
            MaskSchedule::Constant | MaskSchedule::PerSequence => 1.0,
            MaskSchedule::RampUp => 2.0 * at,
            MaskSchedule::Decay => 2.0 * (1.0 - at),
            MaskSchedule::Triangle => 2.0 * (1.0 - (2.0 * at - 1.0).abs()),
        }
    }

    /// The largest factor on the average rate, over the run and over sequences.
    pub fn peak(self) -> f64 {
        if self == MaskSchedule::Constant { 1.0 } else { 2.0 }
    }
}

/// What the average rate is multiplied with at a step. The mean over all steps is 1 to rounding, whatever the schedule:
/// steps are taken at their middles, and what a clean cool-down gives up is added to the steps before it. The
/// triangle's mean is off by at most 1/steps² where the number of masked steps is odd.
pub fn factor(schedule: MaskSchedule, cool_down: f64, at: At) -> f64 {
    if at.steps == 0 {
        return 1.0;
    }
    let masked = masked_steps(cool_down, at.steps);
    if at.step >= masked {
        return 0.0;
    }
    schedule.shape((at.step as f64 + 0.5) / masked as f64) * at.steps as f64 / masked as f64
}

/// What the rate of one visit to one sequence is multiplied with, under the address of its draws: 0 for the clean
/// sequences, and from U(0, 2) under [`MaskSchedule::PerSequence`]; its mean over visits is 1.
pub fn sequence_factor(schedule: MaskSchedule, clean_share: f64, draws: Draws) -> f64 {
    if clean_share > 0.0 && draws.unit(Stream::SequenceRate, 0) < clean_share {
        return 0.0;
    }
    let own =
        if schedule == MaskSchedule::PerSequence { 2.0 * draws.unit(Stream::SequenceRate, 1) } else { 1.0 };
    own / (1.0 - clean_share)
}

/// Steps before the cool-down; at least one.
fn masked_steps(cool_down: f64, steps: usize) -> usize {
    (steps - ((cool_down * steps as f64).round() as usize).min(steps)).max(1)
}

/// τ and p of `base`, moved so that `(1−τ)·p` is `factor` times as large: each side by √factor, so a conservative start
/// means low p *and* high τ. What one side cannot take, because neither p nor 1−τ passes 1, the other one takes.
pub fn scaled(base: &MaskSettings, factor: f64) -> MaskSettings {
    let rate = (base.nominal_rate() * factor).min(1.0);
    let root = factor.max(0.0).sqrt();
    let (mut past, mut p) = ((1.0 - base.threshold) * root, base.probability * root);
    if past > 1.0 {
        (past, p) = (1.0, rate);
    } else if p > 1.0 {
        (past, p) = (rate, 1.0);
    }
    // 1 − (1 − τ) is not τ to the last bit.
    let threshold = if factor == 1.0 { base.threshold } else { 1.0 - past };
    MaskSettings { threshold, probability: p, ..base.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_has_the_same_average() {
        for &schedule in MaskSchedule::ALL {
            for steps in [1, 2, 10, 97, 1000] {
                for cool_down in [0.0, 0.1, 0.25] {
                    let at = |step| factor(schedule, cool_down, At { step, steps });
                    let mean = (0..steps).map(at).sum::<f64>() / steps as f64;
                    let slack =
                        if schedule == MaskSchedule::Triangle && masked_steps(cool_down, steps) % 2 == 1 {
                            1.01 / (masked_steps(cool_down, steps) as f64).powi(2)
                        } else {
                            1e-9
                        };
                    assert!((mean - 1.0).abs() <= slack, "{schedule} {steps} {cool_down}: {mean}");
                }
            }
        }
        let last = At { step: 95, steps: 100 };
        assert_eq!(factor(MaskSchedule::Constant, 0.1, last), 0.0, "the cool-down is clean");
        assert!((factor(MaskSchedule::Constant, 0.1, At { step: 5, ..last }) - 1.0 / 0.9).abs() < 1e-12);
    }

    #[test]
    fn rates_of_sequences_are_uniform_and_clean_ones_as_many_as_asked_for() {
        let of = |pass, sequence| Draws { seed: 7, pass, sequence };
        for clean in [0.0, 0.3] {
            let factor = |i: u32| sequence_factor(MaskSchedule::PerSequence, clean, of(i % 4, i / 4));
            let all: Vec<f64> = (0..20_000).map(factor).collect();
            let masked: Vec<f64> = all.iter().copied().filter(|f| *f > 0.0).collect();
            let share = 1.0 - masked.len() as f64 / all.len() as f64;
            assert!((share - clean).abs() < 0.011, "{share} clean");
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            assert!((mean - 1.0).abs() < 0.02, "{mean}");
            // Twenty equal bins from 0 to the top: chi-square with 19 degrees of freedom, 43.8 at 0.1 %.
            let (top, mut bins) = (2.0 / (1.0 - clean), [0f64; 20]);
            masked.iter().for_each(|f| bins[((f / top * 20.0) as usize).min(19)] += 1.0);
            let expected = masked.len() as f64 / 20.0;
            let chi: f64 = bins.iter().map(|n| (n - expected).powi(2) / expected).sum();
            assert!(chi < 43.8 && masked.iter().all(|f| *f <= top), "{chi}");
        }
        let half = |i: u32| sequence_factor(MaskSchedule::Constant, 0.5, of(0, i));
        assert!((0..100).all(|i| half(i) == 0.0 || half(i) == 2.0), "a clean share alone doubles the rest");
        assert_eq!(sequence_factor(MaskSchedule::RampUp, 0.0, of(0, 3)), 1.0);
    }

    #[test]
    fn a_ramp_starts_with_low_p_and_high_tau_and_the_product_is_exact() {
        let base = MaskSettings { threshold: 0.7, probability: 0.5, ..MaskSettings::default() };
        for f in [0.0, 0.1, 0.5, 1.0, 1.9, 3.0, 5.0, 6.6] {
            let got = scaled(&base, f);
            assert!((got.nominal_rate() - 0.15 * f).abs() < 1e-12, "{f}: {}", got.nominal_rate());
            assert!((0.0..=1.0).contains(&got.threshold) && (0.0..=1.0).contains(&got.probability));
        }
        let low = scaled(&base, 0.25);
        assert!(low.threshold > base.threshold && low.probability < base.probability);
        assert_eq!(scaled(&base, 1.0), base);
    }
}
