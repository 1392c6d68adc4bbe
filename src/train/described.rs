//! From the spec of a run back to the settings that describe it: to hold them to their bounds, to copy them into a form, to
//! say what differs between two runs. Pure.

use super::data::synthetic::SyntheticSpec;
use super::schedule::{GapControl, LrSpec};
use super::settings::TrainSettings;
use super::spec::{LoraSpec, RunSpec, Trained, TrainedPart};
use crate::settings::{Section, Value};

impl TrainSettings {
    /// The settings that a spec comes from.
    pub fn of(spec: &RunSpec) -> Self {
        let (masking, adamw, all) = (&spec.masking, &spec.adamw, TrainSettings::default());
        // A run may leave these out; as a setting they are at least 1.
        let some = |every: usize| every.max(1);
        let joint = masking.joint.as_ref();
        let mut settings = TrainSettings {
            chat_template: spec.data.chat_template,
            loss_on: spec.data.loss_on,
            arm: masking.arm,
            op: masking.op,
            replacement: masking.replacement,
            mask_rate: masking.rate,
            mask_schedule: masking.schedule,
            mask_cool_down: masking.cool_down,
            mask_clean_share: masking.clean_share,
            score_from: masking.score_from,
            joint: joint.map(|joint| joint.kind),
            joint_lambda: joint.map_or(all.joint_lambda, |joint| joint.lambda),
            joint_temperature: joint.map_or(all.joint_temperature, |joint| joint.temperature),
            joint_learning_rate: joint.map_or(all.joint_learning_rate, |joint| joint.learning_rate),
            twins: spec.twins.clone(),
            twin_seeds: spec.twins.as_ref().map_or(all.twin_seeds, |twins| twins.seeds),
            epochs: spec.epochs,
            steps: spec.steps,
            batch_size: spec.batch_size,
            accumulate: spec.accumulate,
            context: spec.context,
            packing: spec.packing,
            group_by_length: spec.group_by_length,
            marked: spec.marked,
            dropout: spec.dropout,
            weight_decay: adamw.weight_decay,
            clip: spec.clip,
            beta1: adamw.beta1,
            beta2: adamw.beta2,
            eps: adamw.eps,
            gradient_checkpointing: spec.gradient_checkpointing,
            precision: spec.precision,
            seed: spec.seed,
            eval_every: some(spec.eval_every),
            validation_tokens: spec.validation_tokens.unwrap_or(all.validation_tokens),
            stop_after: spec.stop_after,
            checkpoint_every: some(spec.checkpoint_every),
            keep_last: some(spec.keep_last),
            keep_spaced: spec.keep_spaced,
            heads_every: spec.heads_every,
            on_disk_full: spec.on_disk_full,
            sample_every: spec.sample_every,
            sample_prompt: spec.sample_prompt.clone(),
            ..all
        };
        settings.take_trained(&spec.trained);
        settings.take_rate(&spec.learning_rate);
        settings.take_synthetic(spec.synthetic);
        settings
    }

    fn take_synthetic(&mut self, spec: Option<SyntheticSpec>) {
        let Some(SyntheticSpec { task, share, ids, least, most, context }) = spec else { return };
        (self.synthetic, self.synthetic_share) = (Some(task), share);
        (self.synthetic_ids, self.synthetic_context) = (ids, context);
        (self.synthetic_least, self.synthetic_most) = (least, most);
    }

    fn take_rate(&mut self, spec: &LrSpec) {
        let LrSpec { policy, peak, min_ratio, warmup, cycles, progress, patience, factor, gap } = *spec;
        (self.lr_policy, self.learning_rate, self.min_lr_ratio) = (policy, peak, min_ratio);
        (self.warmup_steps, self.lr_cycles, self.lr_progress) = (warmup, cycles, progress);
        (self.patience, self.lr_factor) = (patience, factor);
        if let Some(GapControl { target, gain }) = gap {
            (self.gap_target, self.gap_gain) = (target, gain);
        }
    }

    fn take_trained(&mut self, trained: &Trained) {
        self.trained = match trained {
            Trained::All => TrainedPart::All,
            Trained::LastBlocks(blocks) => {
                self.blocks = *blocks;
                TrainedPart::LastBlocks
            }
            Trained::LayerNorms => TrainedPart::LayerNorms,
            Trained::Lora(LoraSpec { rank, alpha, dropout, targets }) => {
                (self.lora_rank, self.lora_alpha, self.lora_dropout) = (*rank, *alpha, *dropout);
                self.lora_targets = targets.clone();
                TrainedPart::Lora
            }
        };
    }
}

/// A setting in which two runs differ, and its value in each.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SpecDifference {
    pub setting: String,
    pub values: [String; 2],
}

/// Every setting in which two runs differ, in the order of the form: what they start from and read, then how they train.
pub fn differences(a: &RunSpec, b: &RunSpec) -> Vec<SpecDifference> {
    let both = described(a).into_iter().zip(described(b));
    both.filter(|((_, x), (_, y))| x != y)
        .map(|((setting, x), (_, y))| SpecDifference { setting, values: [x, y] })
        .collect()
}

/// The name and value of everything that a run was told.
fn described(spec: &RunSpec) -> Vec<(String, String)> {
    let paths = |all: &[std::path::PathBuf]| {
        all.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let settings = TrainSettings::of(spec);
    let (data, policy) = (&spec.data, spec.masking.policy.as_ref());
    let explorer = policy.and_then(|policy| serde_json::to_string(policy).ok());
    let mut all = vec![
        ("model".to_owned(), spec.model.clone()),
        ("data".to_owned(), paths(&data.train)),
        ("column".to_owned(), data.column.clone().unwrap_or_default()),
        ("validation".to_owned(), paths(&data.validation)),
        ("minutes".to_owned(), spec.time_limit.map_or_else(String::new, |s| format!("{}", s / 60.0))),
        ("explorer policy".to_owned(), explorer.unwrap_or_default()),
    ];
    for row in settings.rows() {
        let value = settings.value(row).unwrap_or(Value::Text(String::new()));
        all.push((row.name().to_owned(), row.kind.show(&value)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::types::ScoreSettings;
    use crate::settings::put;
    use crate::train::spec::DataSpec;

    fn spec(settings: &TrainSettings) -> RunSpec {
        settings.spec("demo".to_owned(), (DataSpec::default(), "out".into()), None, &ScoreSettings::default())
    }

    /// Every setting moved from its default, one at a time, comes back as it was.
    #[test]
    fn a_spec_gives_the_settings_back_that_it_was_made_of() {
        let base = TrainSettings::default();
        assert_eq!(TrainSettings::of(&spec(&base)), base);
        let mut moved = 0;
        for row in base.rows() {
            let before = base.value(row).unwrap();
            let Some(value) = row.kind.step(&before, 1, false).filter(|value| *value != before) else {
                continue;
            };
            let mut settings = base.clone();
            put(&mut settings, row.path, row.kind, value.clone()).unwrap();
            // What means nothing under the others' values leaves no trace in a run.
            if settings.shown(row.path) && row.path != TrainSettings::gap_gain {
                let back = TrainSettings::of(&spec(&settings)).value(row).unwrap();
                assert_eq!(back, value, "{}", row.path);
                moved += 1;
            }
        }
        assert!(moved > 30, "{moved}");
    }

    #[test]
    fn differences_name_settings_and_values() {
        let base = TrainSettings::default();
        let other = TrainSettings { steps: 300, learning_rate: 3e-4, ..base.clone() };
        let (a, mut b) = (spec(&base), spec(&other));
        b.model = "gpt2".to_owned();
        let said: Vec<String> = differences(&a, &b)
            .into_iter()
            .map(|d| format!("{}: {} / {}", d.setting, d.values[0], d.values[1]))
            .collect();
        assert_eq!(said, ["model: demo / gpt2", "steps: 100 / 300", "learning rate: 0.001 / 3e-4"]);
        assert_eq!(differences(&a, &a), []);
    }
}
