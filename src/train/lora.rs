//! Low-rank adapters as a run's settings name them. Pure.

use serde::{Deserialize, Serialize};

use crate::model::family::{ParameterRole, adapter_targets};
use crate::settings::{Kind, text_setting};

/// Low-rank adaptation (2106.09685): `W + alpha/rank · A B`, with `A` random and `B` zero at the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSpec {
    pub rank: usize,
    pub alpha: f64,
    /// Matrices that get an adapter, in every block.
    pub targets: LoraTargets,
}

/// The matrices that get an adapter. Text form: `attention`, `all` (every matrix of the blocks), or a list of modules, named as
/// PEFT's `target_modules` match them; which there are depends on the model's family. Where the output matrix is tied to
/// the embeddings, only the output gets an adapter, and a merged checkpoint holds an output matrix of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraTargets(Vec<String>);

/// Words that stand for several matrices.
const GROUPS: &[&str] = &["attention", "all"];

impl LoraTargets {
    /// The matrices of the attention.
    pub fn attention() -> Self {
        LoraTargets(vec!["attention".to_owned()])
    }

    /// Modules by the ends of their names.
    pub fn modules(names: &[&str]) -> Self {
        LoraTargets(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a matrix of a block that ends in `target` is meant.
    pub fn contains(&self, target: &str, role: ParameterRole) -> bool {
        let has = |word: &str| self.0.iter().any(|own| own == word);
        has(target) || role.is_matrix() && has("all") || role.is_attention() && has("attention")
    }

    /// The first word that no matrix of a family with these targets answers to.
    pub fn unknown(&self, targets: &[&str]) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|word| !GROUPS.contains(word) && !targets.contains(word))
    }
}

impl std::str::FromStr for LoraTargets {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if GROUPS.contains(&text) {
            return Ok(LoraTargets::modules(&[text]));
        }
        let known = adapter_targets();
        let named = LoraTargets(text.split(',').map(|name| name.trim().to_owned()).collect());
        if let Some(word) = named.unknown(&known) {
            return Err(format!("{word} is not one of {}", known.join(", ")));
        }
        Ok(LoraTargets(
            known.into_iter().filter(|t| named.0.iter().any(|n| n == t)).map(str::to_owned).collect(),
        ))
    }
}

impl std::fmt::Display for LoraTargets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

text_setting!(LoraTargets, Kind::terms(GROUPS, adapter_targets, &[]));
