//! What was read from a run's folder is held to the bounds of the settings that it was written from: a damaged or edited file
//! must not ask for a layer or a batch that no setting allows. Pure.

use super::TrainError;
use super::settings::{MAX_STEPS, TrainSettings};
use super::spec::RunSpec;
use crate::settings::{Section, check_numbers};

/// Checks the numbers of a spec that was read from `file`.
///
/// # Errors
/// The first one out of its bounds, with its name, its value and the bounds.
pub fn check(spec: &RunSpec, file: &str) -> Result<(), TrainError> {
    let settings = TrainSettings::of(spec);
    let mut sections: Vec<&dyn Section> = vec![&settings, &spec.masking.score];
    sections.extend(spec.masking.policy.as_ref().map(|policy| policy as &dyn Section));
    for section in sections {
        check_numbers(section).map_err(|(key, error)| TrainError::Setup {
            problem: format!("{file}: {key} {error}"),
            hint: error.hint(),
        })?;
    }
    if spec.time_limit.is_some_and(|limit| !(limit > 0.0 && limit.is_finite())) {
        return Err(TrainError::setup(format!("{file}: time_limit must be a number of seconds above 0")));
    }
    if !(0.0..1.0).contains(&spec.data.held_share) {
        let problem = format!("{file}: held_share must be at least 0 and below 1: {}", spec.data.held_share);
        return Err(TrainError::setup(problem));
    }
    Ok(())
}

/// Checks a counter of steps that was read from `file`.
///
/// # Errors
/// One that no run reaches, with its name, its value and the bound.
pub fn check_count(name: &str, value: u64, file: &str) -> Result<(), TrainError> {
    if i64::try_from(value).is_ok_and(|value| value <= MAX_STEPS) {
        return Ok(());
    }
    Err(TrainError::setup(format!("{file}: {name} must be at most {MAX_STEPS}, not {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::types::ScoreSettings;
    use crate::mask::types::MaskSettings;
    use crate::train::schedule::GapControl;
    use crate::train::spec::DataSpec;

    fn spec() -> RunSpec {
        let data = DataSpec { held_share: 0.1, ..DataSpec::default() };
        let policy = Some(MaskSettings::default());
        TrainSettings::default().spec("demo".into(), (data, "run".into()), policy, &ScoreSettings::default())
    }

    #[test]
    fn a_run_that_settings_describe_is_within_its_bounds() {
        check(&spec(), "run.json").unwrap();
        let sparse = RunSpec { eval_every: 0, checkpoint_every: 0, time_limit: Some(1.5), ..spec() };
        check(&sparse, "run.json").unwrap();
    }

    #[test]
    fn numbers_out_of_bounds_are_named_with_value_and_bounds() {
        type Change = fn(&mut RunSpec);
        let changes: [(&str, Change); 16] = [
            ("batch_size must be at most 65536, not 4294967296", |s| s.batch_size = 1 << 32),
            ("accumulate must be at most 65536", |s| s.accumulate = usize::MAX),
            ("context must be at most 65536, not 1048576", |s| s.context = 1 << 20),
            ("context must be at least 2, not 0", |s| s.context = 0),
            ("steps must be at least 1, not 0", |s| s.steps = 0),
            ("steps must be at most 1000000000", |s| s.steps = 1 << 62),
            ("eval_every must be at most", |s| s.eval_every = 1 << 40),
            ("keep_last must be at most 1000", |s| s.keep_last = 1 << 40),
            ("warmup_steps must be at most", |s| s.learning_rate.warmup = 1 << 40),
            ("learning_rate must be at most 1", |s| s.learning_rate.peak = f64::INFINITY),
            ("gap_gain must be at most 10", |s| {
                s.learning_rate.gap = Some(GapControl { target: 1.0, gain: 1e9 });
            }),
            ("beta2 must be at most", |s| s.adamw.beta2 = 2.0),
            ("window must be at most 4096", |s| s.masking.score.window = 1 << 40),
            ("threshold must be at least 0", |s| {
                s.masking.policy.as_mut().unwrap().threshold = -1.0;
            }),
            ("time_limit must be a number of seconds above 0", |s| s.time_limit = Some(-1.0)),
            ("held_share must be at least 0", |s| s.data.held_share = 7.0),
        ];
        for (what, change) in changes {
            let mut spec = spec();
            change(&mut spec);
            let problem = check(&spec, "run.json").unwrap_err().to_string();
            assert!(problem.starts_with(&format!("run.json: {what}")), "{problem}");
        }
        check_count("step", 1_000_000_000, "trainer.json").unwrap();
        let problem = check_count("step", u64::MAX, "trainer.json").unwrap_err().to_string();
        assert!(problem.contains("step must be at most 1000000000, not 18446744073709551615"), "{problem}");
    }
}
