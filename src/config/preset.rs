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
