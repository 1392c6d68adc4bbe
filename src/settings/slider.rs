//! Slider arithmetic on a kind's bounds and steps: where a value lies on its track, what a step makes of it. Pure.

use super::kind::Kind;
use super::value::Value;

/// Slider arithmetic: positions run from 0 to 1 along the track.
impl Kind {
    /// Where `x` lies on the track; `None` for kinds without one.
    pub fn fraction(&self, x: f64) -> Option<f64> {
        let (min, max, log) = self.track()?;
        let along = if log { (x.max(min) / min).ln() / (max / min).ln() } else { (x - min) / (max - min) };
        Some(along.clamp(0.0, 1.0))
    }

    /// Where a value lies on the track; `None` for what has none.
    pub fn place(&self, value: &Value) -> Option<f64> {
        self.fraction(as_number(value)?)
    }

    /// The value at a place on the track.
    pub fn at_place(&self, place: f64) -> Option<Value> {
        self.as_value(self.at_fraction(if place.is_finite() { place } else { 0.0 })?)
    }

    /// `value` moved by steps: numbers along their track, choices through their list and round its end, switches to and
    /// fro, lists of numbers through all, 0, 1, …; `None` for texts.
    pub fn step(&self, value: &Value, steps: i32, fine: bool) -> Option<Value> {
        let wrapped = |at: i64, len: usize| at.rem_euclid(len as i64) as usize;
        match (self, value) {
            (Kind::Choice(choices) | Kind::Terms { offers: choices, .. }, Value::Text(name)) => {
                let here = choices.iter().position(|choice| choice.name == name);
                let next = here.map_or(0, |here| wrapped(here as i64 + i64::from(steps), choices.len()));
                choices.get(next).map(|choice| Value::Text(choice.name.to_owned()))
            }
            (Kind::Bool, Value::Bool(on)) => Some(Value::Bool(*on != (steps % 2 != 0))),
            (Kind::Ints { max, .. }, Value::Ints(list)) => {
                let next = list.first().map_or(-1, |first| *first) + i64::from(steps);
                Some(Value::Ints(if next < 0 { Vec::new() } else { vec![next.min(*max)] }))
            }
            (Kind::IntOr { word, min, .. }, Value::Text(_)) => {
                Some(if steps > 0 { Value::Int(*min) } else { Value::Text((*word).to_owned()) })
            }
            (Kind::IntOr { word, min, .. }, Value::Int(n)) if *n == *min && steps < 0 => {
                Some(Value::Text((*word).to_owned()))
            }
            (_, value) => self.as_value(self.nudge(as_number(value)?, steps, fine)?),
        }
    }

    fn as_value(&self, x: f64) -> Option<Value> {
        match self {
            Kind::Float { .. } => Some(Value::Float(x)),
            Kind::Int { .. } | Kind::IntOr { .. } => Some(Value::Int(x as i64)),
            _ => None,
        }
    }

    /// The value under a track position, rounded to the fine step.
    pub fn at_fraction(&self, fraction: f64) -> Option<f64> {
        self.exactly_at(fraction).map(|x| self.round(x))
    }

    /// The value under a track position.
    pub fn exactly_at(&self, fraction: f64) -> Option<f64> {
        let (min, max, log) = self.track()?;
        let fraction = fraction.clamp(0.0, 1.0);
        Some(if log { min * (max / min).powf(fraction) } else { min + fraction * (max - min) })
    }

    /// A number brought within the bounds and onto the grid of fine steps.
    pub fn on_grid(&self, x: f64) -> Option<Value> {
        let (min, max, _) = self.track()?;
        self.as_value(self.round(if x.is_finite() { x.clamp(min, max) } else { min }))
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

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(x) => Some(*x),
        Value::Int(n) => Some(*n as f64),
        _ => None,
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

    const RAW: Kind = Kind::Float { min: 1e-4, max: 1.0, step: 0.1, fine_step: 0.02, log: true };

    #[test]
    fn as_many_steps_back_lead_back() {
        let kinds = [UNIT, RATE, RAW, Kind::Int { min: 0, max: 99, step: 5 }];
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
    fn words_and_lists_step_too() {
        let int = Kind::IntOr { word: "mean", min: 0, max: 11, step: 1 };
        let mean = Value::Text("mean".to_owned());
        assert_eq!(int.step(&mean, 1, false), Some(Value::Int(0)));
        assert_eq!(int.step(&Value::Int(0), -1, false), Some(mean));
        assert_eq!(int.step(&Value::Int(0), 1, false), Some(Value::Int(1)));
        let ints = Kind::Ints { min: 0, max: 3 };
        assert_eq!(ints.step(&Value::Ints(vec![]), 1, false), Some(Value::Ints(vec![0])));
        assert_eq!(ints.step(&Value::Ints(vec![0]), -1, false), Some(Value::Ints(vec![])));
        assert_eq!(ints.step(&Value::Ints(vec![3]), 9, false), Some(Value::Ints(vec![3])));
        assert_eq!(Kind::Bool.step(&Value::Bool(true), -1, true), Some(Value::Bool(false)));
        assert_eq!(Kind::Text.step(&Value::Text(String::new()), 1, false), None);
    }
}
