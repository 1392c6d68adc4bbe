//! Named sets of parameter values: a preset is a complete choice of `[mask]` and `[score]`, save for the seed.
//! Data; what the values mean is the business of `mask/` and `attention/`.

use super::load::defaults;
use super::parameters;
use super::problem::ConfigError;
use super::value::Value;
use super::{Problem, Settings};

/// One preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    pub name: &'static str,
    /// One line, no full stop.
    pub doc: &'static str,
    /// What differs from the built-in defaults, as a person would type it.
    changes: &'static [(&'static str, &'static str)],
}

/// What a cache policy needs besides its name: it decides from the past, evicts, and its first boundary must lie inside
/// a short text.
macro_rules! cache_policy {
    ($name:literal, $doc:literal $(, ($key:literal, $value:literal))*) => {
        Preset {
            name: $name,
            doc: $doc,
            changes: &[
                ("mask.scope", "block"),
                ("mask.op", "evict"),
                ("mask.policy", $name),
                ("mask.window", "16"),
                ("mask.stride", "8"),
                $(($key, $value),)*
            ],
        }
    };
}

/// All presets.
pub const PRESETS: &[Preset] = &[
    Preset { name: "default", doc: "The built-in defaults, whatever your own settings say", changes: &[] },
    Preset {
        name: "article",
        doc: "The article as printed: raw attention, mean over layers and heads, self included, nothing protected",
        changes: &[
            ("score.reduction", "plain"),
            ("score.contribution", "false"),
            ("mask.scale", "raw"),
            ("mask.protect", "none"),
            ("mask.threshold", "0.9"),
            ("mask.probability", "0.5"),
            ("mask.polarity", "high"),
            ("mask.op", "replace"),
            ("mask.scope", "whole"),
        ],
    },
    Preset {
        name: "bert",
        doc: "BERT's corruption: 15 % at random, of these 80 % the mean embedding, 10 % a random token, 10 % kept",
        changes: &[
            ("mask.polarity", "random"),
            ("mask.threshold", "0.7"),
            ("mask.probability", "0.5"),
            ("mask.mix", "replace:0.8,replace/uniform:0.1,keep:0.1"),
        ],
    },
    Preset {
        name: "thrift",
        doc: "Save compute: drop the third that is read least",
        changes: &[
            ("mask.polarity", "low"),
            ("mask.op", "drop"),
            ("mask.threshold", "0.67"),
            ("mask.probability", "1"),
        ],
    },
    cache_policy!("h2o", "H2O: half the cache recent, half what all queries together read most (2306.14048)"),
    cache_policy!(
        "snapkv",
        "SnapKV: the last 16 tokens, and what they read most, pooled over 5 neighbours (2404.14469)"
    ),
    cache_policy!("tova", "TOVA: what the last query reads most (2401.06104)"),
    cache_policy!("streaming-llm", "StreamingLLM: the first 4 tokens and recent ones, no score (2309.17453)"),
    cache_policy!(
        "dms-like",
        "DMS-like: a token is judged by τ and p once, when it leaves the newest 128 (after 2506.05345)",
        ("mask.window", "160"),
        ("mask.stride", "32"),
        ("mask.polarity", "low")
    ),
    cache_policy!("recency", "Control: recent tokens only"),
    cache_policy!("random", "Control: half the cache recent, the rest at random"),
    cache_policy!("inverse", "Control: half the cache recent, the rest what the last 16 queries read least"),
    cache_policy!("snapkv-half", "SnapKV's score with half the cache recent: the default for evict"),
];

impl Preset {
    /// The preset with this name.
    pub fn find(name: &str) -> Option<Preset> {
        PRESETS.iter().copied().find(|preset| preset.name == name)
    }

    /// Every key that the preset decides, with its value.
    ///
    /// # Errors
    /// Only when the built-in `config.toml` or this file is at fault.
    pub fn values(&self) -> Result<Vec<(&'static str, Value)>, ConfigError> {
        let mut settings = defaults()?;
        for (key, text) in self.changes {
            settings.set(key, text)?;
        }
        let decided = parameters::all().iter().filter(|parameter| {
            // A preset says how to choose; which draw was made stays with the user.
            matches!(parameter.section(), "mask" | "score") && parameter.key != "mask.seed"
        });
        Ok(decided.filter_map(|parameter| Some((parameter.key, settings.get(parameter.key)?))).collect())
    }
}

impl Settings {
    /// Puts a preset's values in.
    ///
    /// # Errors
    /// As [`Preset::values`]; `self` is then unchanged.
    pub fn apply(&mut self, preset: Preset) -> Result<(), ConfigError> {
        let mut next = self.clone();
        for entry in preset.values()? {
            next.put(entry).map_err(|problem: Problem| ConfigError::from(problem))?;
        }
        *self = next;
        Ok(())
    }
}
