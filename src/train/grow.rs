//! The recipe that grows a copying circuit: a small GPT-2 from random weights, on repeats of random tokens alone, with a look at
//! every head every ten steps. Pure.

use std::path::PathBuf;

use super::TrainError;
use super::data::synthetic::SyntheticTask;
use super::schedule::LrPolicy;
use super::settings::TrainSettings;
use super::spec::{DataSpec, RunSpec};
use crate::attention::types::ScoreSettings;
use crate::model::Config;

/// What a grown run says it starts from.
pub const FROM: &str = "grow induction";
/// Steps that were enough for every seed that was tried.
pub const STEPS: usize = 400;

/// Two layers of four heads. Large initial weights: at 0.02 nothing is copied in 400 steps.
const CONFIG: &str = r#"{"model_type": "gpt2", "vocab_size": 512, "n_positions": 64, "n_embd": 64, "n_layer": 2,
    "n_head": 4, "initializer_range": 0.06}"#;

/// The shape of the model.
///
/// # Errors
/// None that a test does not find.
pub fn config() -> Result<Config, TrainError> {
    Ok(Config::parse(CONFIG.as_bytes(), "the recipe")?)
}

/// The run. Large batches and a period of its own for each sequence: with fixed halves a head learns to look a fixed number of
/// tokens back, and copies without any circuit.
pub fn spec(seed: u64, steps: usize, out: PathBuf) -> RunSpec {
    let settings = TrainSettings {
        synthetic: Some(SyntheticTask::Repeats),
        synthetic_share: 1.0,
        synthetic_least: 8,
        synthetic_most: 32,
        heads_every: 10,
        steps,
        batch_size: 128,
        context: 64,
        learning_rate: 4e-3,
        lr_policy: LrPolicy::Wsd,
        min_lr_ratio: 0.0,
        warmup_steps: 30,
        weight_decay: 0.01,
        eval_every: 50,
        checkpoint_every: 100,
        seed,
        ..TrainSettings::default()
    };
    settings.spec(FROM.to_owned(), (DataSpec::default(), out), None, &ScoreSettings::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_is_a_run_that_can_be_made() {
        let config = config().unwrap();
        assert_eq!((config.n_layer, config.n_head, config.n_embd, config.vocab_size), (2, 4, 64, 512));
        assert_eq!(config.initializer_range, 0.06);
        assert_eq!(config.parameters(), 136_960);
        let spec = spec(7, STEPS, "out".into());
        spec.check().unwrap();
        assert_eq!((spec.seed, spec.sequences_per_step(), spec.context), (7, 128, 64));
        assert!(spec.synthetic.unwrap().is_alone() && spec.data.train.is_empty());
        assert_eq!((spec.adamw.beta2, spec.adamw.weight_decay, spec.clip), (0.95, 0.01, 1.0));
    }
}
