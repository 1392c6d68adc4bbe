//! Named sets of values: a preset is a complete choice of `[mask]` and `[score]`, save for the seed.

use std::sync::LazyLock;

use super::{AllSettings, ConfigError, Row, Settings, Value, defaults};
use crate::attention::types::ScoreSettings as Score;
use crate::mask::rolling::RollingSettings as Rolling;
use crate::mask::types::MaskSettings as Mask;

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
    ($name:literal, $doc:literal $(, ($key:expr, $value:literal))*) => {
        Preset {
            name: $name,
            doc: $doc,
            changes: &[
                (Mask::scope, "block"),
                (Mask::op, "evict"),
                (Rolling::policy, $name),
                (Rolling::window, "16"),
                (Rolling::stride, "8"),
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
            (Score::reduction, "plain"),
            (Score::contribution, "false"),
            (Mask::scale, "raw"),
            (Mask::protect, "none"),
            (Mask::threshold, "0.9"),
            (Mask::probability, "0.5"),
            (Mask::polarity, "high"),
            (Mask::op, "replace"),
            (Mask::scope, "whole"),
        ],
    },
    Preset {
        name: "bert",
        doc: "BERT's corruption: 15 % at random, of these 80 % the mean embedding, 10 % a random token, 10 % kept",
        changes: &[
            (Mask::polarity, "random"),
            (Mask::threshold, "0.7"),
            (Mask::probability, "0.5"),
            (Mask::mix, "replace:0.8,replace/uniform:0.1,keep:0.1"),
        ],
    },
    Preset {
        name: "thrift",
        doc: "Save compute: drop the third that is read least",
        changes: &[
            (Mask::polarity, "low"),
            (Mask::op, "drop"),
            (Mask::threshold, "0.67"),
            (Mask::probability, "1"),
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
        (Rolling::window, "160"),
        (Rolling::stride, "32"),
        (Mask::polarity, "low")
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
        for (path, text) in self.changes {
            settings.set(path, text)?;
        }
        // A preset says how to choose; which draw was made stays with the user.
        let decided = rows().iter().filter(|row| row.path != Mask::seed);
        Ok(decided.filter_map(|row| Some((row.path, settings.get(row.path)?))).collect())
    }

    /// The built-in defaults with the preset's values.
    ///
    /// # Errors
    /// As [`Preset::values`].
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let mut settings = defaults()?;
        settings.apply(*self)?;
        Ok(settings)
    }
}

/// The rows that presets decide, and the seed.
fn rows() -> &'static [Row] {
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| [Mask::ROWS, Rolling::ROWS, Score::ROWS].concat());
    &ROWS
}

pub(super) fn row(path: &str) -> Option<&'static Row> {
    rows().iter().find(|row| row.path == path)
}

impl Settings {
    /// Puts a preset's values in.
    ///
    /// # Errors
    /// As [`Preset::values`]; `self` is then unchanged.
    pub fn apply(&mut self, preset: Preset) -> Result<(), ConfigError> {
        let mut next = self.clone();
        for (path, value) in preset.values()? {
            next.put(path, value)?;
        }
        *self = next;
        Ok(())
    }
}
