//! The table of a run's settings: what stands in the form, in this order. Bounds, docs and defaults of everything that
//! is a parameter come from the parameter table; only what belongs to one run alone is described here. Pure.

use crate::config::{self, parameters};
use crate::named::named;

/// Value of `masking` that takes the explorer's settings as they are.
pub const EXPLORER: &str = "explorer";

named! {
    /// A setting of the form.
    Field {
        Data = "data",
        Column = "column",
        Validation = "validation",
        Trained = "trained",
        Blocks = "blocks",
        LoraRank = "lora_rank",
        LoraAlpha = "lora_alpha",
        LoraTargets = "lora_targets",
        Masking = "masking",
        Op = "op",
        Replacement = "replacement",
        MaskRate = "mask_rate",
        MaskSchedule = "mask_schedule",
        CoolDown = "mask_cool_down",
        ScoreFrom = "score_from",
        Joint = "joint",
        JointLambda = "joint_lambda",
        JointTemperature = "joint_temperature",
        JointRate = "joint_rate",
        Twins = "twins",
        TwinSeeds = "twin_seeds",
        Steps = "steps",
        Minutes = "minutes",
        LearningRate = "learning_rate",
        LrPolicy = "lr_policy",
        LrProgress = "lr_progress",
        Warmup = "warmup_steps",
        MinLrRatio = "min_lr_ratio",
        Patience = "patience",
        LrFactor = "lr_factor",
        GapTarget = "gap_target",
        Batch = "batch_size",
        Accumulate = "accumulate",
        Context = "context",
        Dropout = "dropout",
        WeightDecay = "weight_decay",
        Clip = "clip",
        Seed = "seed",
        EvalEvery = "eval_every",
        CheckpointEvery = "checkpoint_every",
        KeepLast = "keep_last",
        OnDiskFull = "on_disk_full",
        SampleEvery = "sample_every",
        SamplePrompt = "sample_prompt",
        Out = "out",
    }
}

/// How a setting is entered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entered {
    /// From the parameter table.
    Parameter(&'static config::Parameter),
    /// A file or folder, completed while it is typed.
    Path,
    /// Who masks what: the explorer's policy or one of the arms.
    Masking,
    /// Minutes, or nothing.
    Minutes,
    Text,
}

/// Columns of names that are short for this form alone.
const LABELS: &[(Field, &str)] = &[
    (Field::Data, "data"),
    (Field::Column, "column"),
    (Field::Validation, "validation"),
    (Field::Masking, "masking"),
    (Field::Minutes, "minutes"),
    (Field::Out, "output folder"),
    (Field::Trained, "trained"),
    (Field::Op, "operation"),
    (Field::Replacement, "with"),
    (Field::OnDiskFull, "disk full"),
];

const DOCS: &[(Field, &str)] = &[
    (
        Field::Data,
        "texts, JSON, CSV, TSV, Parquet, a folder, or datasets/owner/name of the Hub; novels is bundled, 130 KB",
    ),
    (
        Field::Column,
        "column of the text or the conversations; empty takes text, messages, or the only one there is",
    ),
    (Field::Validation, "what losses are measured on; empty holds out the last tenth of the documents"),
    (Field::Masking, "who is masked: the explorer's exact policy, nobody, or one of the training arms"),
    (Field::Minutes, "the run ends after so many minutes even if steps are left; empty sets no limit"),
    (Field::Out, "folder of the run; empty makes a new one among your runs"),
];

impl Field {
    /// Its row in the parameter table, where it has one.
    pub fn key(self) -> Option<String> {
        match self {
            Field::Data
            | Field::Column
            | Field::Validation
            | Field::Masking
            | Field::Minutes
            | Field::Out => None,
            _ => Some(format!("train.{}", self.name())),
        }
    }

    fn parameter(self) -> Option<&'static config::Parameter> {
        self.key().and_then(|k| parameters::find(&k))
    }

    pub fn entered(self) -> Entered {
        match self {
            Field::Data | Field::Validation | Field::Out => Entered::Path,
            Field::Masking => Entered::Masking,
            Field::Minutes => Entered::Minutes,
            Field::Column => Entered::Text,
            _ => self.parameter().map_or(Entered::Text, Entered::Parameter),
        }
    }

    pub fn label(self) -> &'static str {
        let own = LABELS.iter().find(|(f, _)| *f == self).map(|(_, l)| *l);
        own.or_else(|| self.parameter().map(|p| p.name)).unwrap_or(self.name())
    }

    pub fn doc(self) -> &'static str {
        let own = DOCS.iter().find(|(f, _)| *f == self).map(|(_, d)| *d);
        own.or_else(|| self.parameter().map(|p| p.doc)).unwrap_or("")
    }

    /// The names it may take, where these are few.
    pub fn choices(self) -> Vec<&'static str> {
        match self.entered() {
            Entered::Masking => {
                let arms = match parameters::find("train.arm").map(|p| p.kind) {
                    Some(config::Kind::Choice(names)) => names,
                    _ => &[],
                };
                std::iter::once(EXPLORER).chain(arms.iter().copied()).collect()
            }
            Entered::Parameter(p) => match p.kind {
                config::Kind::Choice(names) => names.to_vec(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

/// A line on one of the names a field may take.
pub fn choice_doc(field: Field, value: &str) -> &'static str {
    let docs: &[(&str, &'static str)] = match field {
        Field::Masking => ARMS,
        Field::Trained => &[
            ("all", "every weight moves"),
            ("last-blocks", "the last blocks and the final layer norm"),
            ("layer-norms", "gains and biases of the layer norms only"),
            ("lora", "low-rank adapters beside frozen matrices"),
        ],
        Field::LrPolicy => &[
            ("wsd", "warm-up, stable, then linear decay over the last fifth"),
            ("cosine", "half a cosine down to the final rate"),
            ("linear", "straight down to the final rate"),
            ("constant", "the peak rate throughout"),
            ("plateau", "cut when the clean validation loss stops falling"),
        ],
        Field::Joint => &[
            ("none", "the policy stays as it is"),
            ("soft-thresholds", "thresholds per layer, learned by gradient (LTP)"),
            ("adversarial", "masks what raises the loss most, at a fixed rate"),
            ("bandit", "chooses rate, polarity and operation by what helps on clean text"),
        ],
        Field::MaskSchedule => &[
            ("constant", "the same rate throughout"),
            ("ramp-up", "from nothing to twice the rate"),
            ("decay", "from twice the rate to nothing"),
            ("triangle", "up to twice the rate, and down again"),
        ],
        _ => &[],
    };
    docs.iter().find(|(name, _)| *name == value).map_or("", |(_, doc)| doc)
}

const ARMS: &[(&str, &str)] = &[
    (EXPLORER, "exactly what the explorer does now: τ, p, polarity, score, operation"),
    ("none", "no masks: plain fine-tuning"),
    ("static-1", "drawn once per sequence, the same in every epoch"),
    ("static-10", "ten patterns per sequence, in turn (BERT as shipped)"),
    ("static-attn", "by the attention of the model as it was at the start"),
    ("dyn-rand", "drawn anew in every pass (RoBERTa, MEAP)"),
    ("dyn-attn-high", "what the current model reads most, anew in every pass (the article)"),
    ("dyn-attn-low", "what the current model reads least"),
    ("dyn-salient", "rare words, without attention"),
    ("dyn-pair", "single pairs of query and key, at a random rate (FCM)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_name_a_doc_and_a_parameter_where_it_says_so() {
        for field in Field::ALL {
            assert!(!field.label().is_empty() && !field.doc().is_empty(), "{field}");
            if let Some(key) = field.key() {
                assert!(matches!(field.entered(), Entered::Parameter(_)), "{key} is no parameter");
            }
        }
        assert!(Field::Masking.choices().len() > 8);
    }
}
