//! Slider arithmetic on a kind's bounds and steps: where a value lies on its track, what a step makes of it. Pure.

use super::kind::Kind;

/// Slider arithmetic: positions run from 0 to 1 along the track.
impl Kind {
    /// Where `x` lies on the track; `None` for kinds without one.
    pub fn fraction(&self, x: f64) -> Option<f64> {
        let (min, max, log) = self.track()?;
        let along = if log { (x.max(min) / min).ln() / (max / min).ln() } else { (x - min) / (max - min) };
        Some(along.clamp(0.0, 1.0))
    }

    /// The value under a track position, rounded to the fine step.
    pub fn at_fraction(&self, fraction: f64) -> Option<f64> {
        let (min, max, log) = self.track()?;
        let fraction = fraction.clamp(0.0, 1.0);
        let x = if log { min * (max / min).powf(fraction) } else { min + fraction * (max - min) };
        Some(self.round(x))
    }

    /// `steps` steps up (down when negative) from `x`, within the bounds.
    pub fn nudge(&self, x: f64, steps: i32, fine: bool) -> Option<f64> {
        let (min, max, log) = self.track()?;
        let step = match *self {
            Kind::Float { step, fine_step, .. } => {
                if fine {
                    fine_step
                } else {
                    step
                }
            }
            Kind::Int { step, .. } | Kind::IntOr { step, .. } => {
                if fine {
                    1.0
                } else {
                    step as f64
                }
            }
            _ => return None,
        };
        let by = step * f64::from(steps);
        if log {
            // Counted from the nearest grid point, so that as many steps back lead back to the same number.
            let decades = self.snap(x.clamp(min, max).log10()) + by;
            return Some(self.round(10f64.powf(decades).clamp(min, max)));
        }
        Some(self.round((x + by).clamp(min, max)))
    }

    /// The nearest multiple of the fine step.
    fn snap(&self, x: f64) -> f64 {
        let fine = match *self {
            Kind::Float { fine_step, .. } => fine_step,
            _ => 1.0,
        };
        // Dividing by a whole number gives the double nearest to the decimal; multiplying by 0.1 does not.
        if fine < 1.0 {
            let per_unit = (1.0 / fine).round();
            (x * per_unit).round() / per_unit
        } else {
            (x / fine).round() * fine
        }
    }

    fn track(&self) -> Option<(f64, f64, bool)> {
        match *self {
            Kind::Float { min, max, log, .. } => Some((min, max, log)),
            Kind::Int { min, max, .. } | Kind::IntOr { min, max, .. } => {
                Some((min as f64, max as f64, false))
            }
            _ => None,
        }
    }

    /// Rounds to what a person would write: on a linear track the fine step, on a logarithmic one three digits.
    fn round(&self, x: f64) -> f64 {
        match *self {
            Kind::Float { log: true, min, max, .. } => {
                let scale = 10f64.powi(2 - x.log10().floor() as i32);
                ((x * scale).round() / scale).clamp(min, max)
            }
            Kind::Float { min, max, .. } => self.snap(x).clamp(min, max),
            _ => x.round(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Kind = Kind::Float { min: 0.0, max: 1.0, step: 0.05, fine_step: 0.01, log: false };
    const RATE: Kind = Kind::Float { min: 1e-7, max: 1.0, step: 0.1, fine_step: 0.01, log: true };

    #[test]
    fn nudges_land_on_round_numbers_and_come_back() {
        let mut x = 0.7;
        for _ in 0..3 {
            x = UNIT.nudge(x, 1, false).unwrap();
        }
        assert_eq!(x, 0.85);
        for _ in 0..15 {
            x = UNIT.nudge(x, -1, true).unwrap();
        }
        assert_eq!(x, 0.7);
        assert_eq!(UNIT.nudge(0.99, 1, false), Some(1.0));
        assert_eq!(Kind::Text.nudge(1.0, 1, false), None);
    }

    #[test]
    fn log_sliders_step_by_decades() {
        let x = RATE.nudge(1e-3, 10, false).unwrap();
        assert!((x - 1e-2).abs() < 1e-12, "{x}");
        assert_eq!(RATE.nudge(1e-7, -1, false), Some(1e-7));
        let middle = RATE.fraction(1e-4).unwrap();
        assert!((middle - 3.0 / 7.0).abs() < 1e-9, "{middle}");
        let back = RATE.at_fraction(middle).unwrap();
        assert!((back - 1e-4).abs() < 1e-6, "{back}");
    }

    #[test]
    fn as_many_steps_back_lead_back() {
        let kinds =
            [UNIT, RATE, crate::config::parameters::RAW_THRESHOLD, Kind::Int { min: 0, max: 99, step: 5 }];
        for kind in kinds {
            for fine in [false, true] {
                let start = kind.nudge(kind.at_fraction(0.4).unwrap(), 1, true).unwrap();
                let mut passed = vec![start];
                // Not to the end of the track, where a step is cut short.
                while kind.fraction(passed[passed.len() - 1]).unwrap() < 0.85 {
                    passed.push(kind.nudge(passed[passed.len() - 1], 1, fine).unwrap());
                }
                assert!(passed.len() > 4, "{kind:?}");
                for pair in passed.windows(2).rev() {
                    assert_eq!(kind.nudge(pair[1], -1, fine), Some(pair[0]), "{kind:?}");
                }
                let (first, last) = (passed[0], passed[passed.len() - 1]);
                let back = kind.nudge(last, 1 - passed.len() as i32, fine);
                assert_eq!(back, Some(first), "{kind:?}: all at once");
            }
        }
    }

    #[test]
    fn every_parameter_with_a_track_holds_its_default_and_its_ends() {
        let defaults = crate::config::defaults().unwrap();
        for parameter in crate::config::parameters::all() {
            let x = match defaults.get(parameter.key) {
                Some(crate::config::Value::Float(x)) => x,
                Some(crate::config::Value::Int(n)) => n as f64,
                _ => continue,
            };
            let kind = parameter.kind;
            assert!((0.0..=1.0).contains(&kind.fraction(x).unwrap()), "{}", parameter.key);
            for end in [kind.at_fraction(0.0).unwrap(), kind.at_fraction(1.0).unwrap()] {
                assert_eq!(kind.nudge(end, 0, true), Some(end), "{}", parameter.key);
            }
            assert_eq!(kind.nudge(kind.nudge(x, 1, true).unwrap(), -1, true), Some(x), "{}", parameter.key);
        }
    }
}
