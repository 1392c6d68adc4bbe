//! Typed settings: what the other rooms are given. One struct per section of `config.toml`, one field per parameter.
//! Choices are their names (`"rank"`), valid by construction; whoever owns the enum parses them.
//! Pure data; must never read a file or the environment (that is `load.rs`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::parameters::{self, KEYS_SECTION};
use super::value::Value;

/// Every setting, valid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub model: Model,
    pub explore: Explore,
    pub mask: Mask,
    pub score: Score,
    pub hub: Hub,
    pub ui: Ui,
    pub compute: Compute,
    pub train: Train,
    /// Action name → keys; over the built-in bindings.
    pub keys: BTreeMap<String, Vec<String>>,
}

/// `[model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub id: String,
    pub revision: String,
    pub hub_id: String,
    pub device: String,
}

/// `[explore]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explore {
    pub text: String,
    /// `None` is the mean over layers.
    #[serde(with = "mean")]
    pub layer: Option<usize>,
    /// `None` is the mean over heads.
    #[serde(with = "mean")]
    pub head: Option<usize>,
    pub map: String,
    pub top: usize,
    pub rerolls: usize,
    pub color_scale: String,
}

/// `[mask]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// τ in [0, 1].
    pub threshold: f64,
    /// p in [0, 1].
    pub probability: f64,
    /// At most 2⁵³ − 1.
    pub seed: u64,
    pub polarity: String,
    pub scale: String,
    pub op: String,
    pub replacement: String,
    pub drop_positions: String,
    /// `default`, `none`, or a list such as `first,last:4`.
    pub protect: String,
    pub scope: String,
    pub unit: String,
    pub exact_k: bool,
    /// Tokens.
    pub window: usize,
    /// Tokens.
    pub stride: usize,
    /// ρ in [0, 1].
    pub decay: f64,
    /// λ; 0 is off.
    pub history: f64,
    /// Window boundaries.
    pub cool_down: usize,
    pub policy: String,
    /// Share of the tokens read so far, in (0, 1].
    pub budget: f64,
    pub per_head: bool,
    /// Tokens.
    pub recent: usize,
    pub sticky: bool,
    pub initial: String,
    /// Empty: `op` alone.
    pub mix: String,
}

/// `[score]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    pub reduction: String,
    pub contribution: bool,
    /// Queries.
    pub window: usize,
    /// Empty means all.
    pub layers: Vec<usize>,
    /// Empty means all.
    pub heads: Vec<usize>,
}

/// `[hub]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// `None`: the public Hub.
    #[serde(with = "empty_is_none")]
    pub endpoint: Option<String>,
    /// `None`: the folder that Python's `huggingface_hub` uses.
    #[serde(with = "empty_is_none")]
    pub cache: Option<PathBuf>,
    pub offline: bool,
    pub refresh: bool,
    /// Seconds.
    pub stall_seconds: u64,
}

/// `[ui]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ui {
    pub theme: String,
    pub color: String,
    pub ascii: bool,
    pub mouse: bool,
    pub tour: bool,
    /// Frames per second.
    pub input_fps: u32,
    /// Frames per second.
    pub background_fps: u32,
}

/// `[compute]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compute {
    /// `None` is auto.
    #[serde(with = "auto")]
    pub threads_explorer: Option<usize>,
    /// `None` is auto.
    #[serde(with = "auto")]
    pub threads_trainer: Option<usize>,
    pub weights: String,
}

/// `[train]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    pub steps: usize,
    /// Sequences per forward pass.
    pub batch_size: usize,
    /// Forward passes per optimizer step.
    pub accumulate: usize,
    /// Tokens per sequence.
    pub context: usize,
    pub learning_rate: f64,
    pub min_lr_ratio: f64,
    pub lr_policy: String,
    pub lr_progress: String,
    /// Evaluations.
    pub patience: usize,
    pub lr_factor: f64,
    /// Nats per token; 0 is off.
    pub gap_target: f64,
    pub gap_gain: f64,
    pub warmup_steps: usize,
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// f32 or bf16: products of a step; weights stay f32.
    pub precision: String,
    /// 0 is no clipping.
    pub clip: f64,
    pub dropout: f64,
    pub trained: String,
    pub blocks: usize,
    pub lora_rank: usize,
    pub lora_alpha: f64,
    /// `attention`, `all`, or a list of matrices.
    pub lora_targets: String,
    pub arm: String,
    pub op: String,
    pub replacement: String,
    pub mask_rate: f64,
    pub mask_schedule: String,
    pub mask_cool_down: f64,
    pub score_from: String,
    pub joint: String,
    pub joint_lambda: f64,
    pub joint_temperature: f64,
    pub joint_rate: f64,
    pub seed: u64,
    /// Steps.
    pub eval_every: usize,
    /// Steps.
    pub checkpoint_every: usize,
    pub keep_last: usize,
    pub on_disk_full: String,
    /// Steps; 0 takes none.
    pub sample_every: usize,
    pub sample_prompt: String,
    /// `ARM[:OP],ARM[:OP]…`; empty makes a single run.
    pub twins: String,
    pub twin_seeds: usize,
}

/// A value that fits its parameter but not the field: a fault of this room, reported instead of panicking.
#[derive(Debug, thiserror::Error)]
#[error("settings cannot hold these values: {0}")]
pub struct SettingsError(String);

impl Settings {
    /// From one checked value per parameter, and the key bindings.
    pub(super) fn from_values<'a>(
        values: impl IntoIterator<Item = (&'a str, &'a Value)>,
        keys: &BTreeMap<String, Vec<String>>,
    ) -> Result<Settings, SettingsError> {
        let mut table = toml::Table::new();
        for (key, value) in values {
            let (section, field) = key.split_once('.').unwrap_or(("", key));
            let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
            if let Some(section) = section.as_table_mut() {
                section.insert(field.to_owned(), value.to_toml());
            }
        }
        let bindings =
            keys.iter().map(|(action, keys)| (action.clone(), Value::Texts(keys.clone()).to_toml()));
        table.insert(KEYS_SECTION.to_owned(), bindings.collect::<toml::Table>().into());
        Settings::deserialize(table).map_err(|error| SettingsError(error.message().to_owned()))
    }

    fn to_table(&self) -> toml::Table {
        // Fails only for whole numbers beyond TOML's 64 signed bits, which no parameter allows.
        toml::Table::try_from(self).unwrap_or_default()
    }

    /// The value of one parameter, or of one binding (`keys.quit`).
    pub fn get(&self, key: &str) -> Option<Value> {
        lookup(&self.to_table(), key)
    }

    /// Replaces one parameter's value, or one binding, by text that a person typed in.
    ///
    /// # Errors
    /// An unknown key, or a value out of its bounds; `self` is then unchanged.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), super::Problem> {
        self.put(super::load::parse_typed(key, text)?)
    }

    /// Puts in values that are already checked, such as those of a [`super::Preset`].
    pub(super) fn put(&mut self, (key, value): (&str, Value)) -> Result<(), super::Problem> {
        if let (Some(action), Value::Texts(keys)) = (binding(key), &value) {
            self.keys.insert(action.to_owned(), keys.clone());
            return Ok(());
        }
        let mut table = self.to_table();
        if let Some((section, field)) = key.split_once('.')
            && let Some(section) = table.get_mut(section).and_then(toml::Value::as_table_mut)
        {
            section.insert(field.to_owned(), value.to_toml());
        }
        *self =
            Settings::deserialize(table).map_err(|error| super::Problem::internal(key, error.message()))?;
        Ok(())
    }

    /// What differs from `base`, in the order of `config.toml`; bindings last. This is what saving writes.
    pub fn changed_since(&self, base: &Settings) -> Vec<(String, Value)> {
        let (ours, theirs) = (self.to_table(), base.to_table());
        let keys = parameters::all().iter().map(|parameter| parameter.key.to_owned());
        let bindings = self.keys.keys().map(|action| format!("{KEYS_SECTION}.{action}"));
        keys.chain(bindings)
            .filter_map(|key| {
                let value = lookup(&ours, &key)?;
                (lookup(&theirs, &key).as_ref() != Some(&value)).then_some((key, value))
            })
            .collect()
    }
}

/// The action that `keys.action` binds.
pub(super) fn binding(key: &str) -> Option<&str> {
    key.strip_prefix(KEYS_SECTION)?.strip_prefix('.').filter(|action| !action.is_empty())
}

fn lookup(table: &toml::Table, key: &str) -> Option<Value> {
    let (section, field) = key.split_once('.')?;
    let value = Value::from_toml(table.get(section)?.get(field)?)?;
    // An empty array says nothing of its type; the table does.
    let kind = parameters::find(key).map_or(super::kind::Kind::Texts, |parameter| parameter.kind);
    kind.check(value).ok()
}

/// `None` is written as one fixed word.
macro_rules! word_or_number {
    ($name:ident) => {
        mod $name {
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            #[derive(Deserialize)]
            #[serde(untagged)]
            enum Written {
                Number(usize),
                Word(String),
            }

            pub fn serialize<S: Serializer>(number: &Option<usize>, s: S) -> Result<S::Ok, S::Error> {
                match number {
                    Some(number) => number.serialize(s),
                    None => stringify!($name).serialize(s),
                }
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<usize>, D::Error> {
                match Written::deserialize(d)? {
                    Written::Number(number) => Ok(Some(number)),
                    Written::Word(word) if word == stringify!($name) => Ok(None),
                    Written::Word(word) => Err(serde::de::Error::custom(format!(
                        concat!("must be a whole number or ", stringify!($name), ": {}"),
                        word
                    ))),
                }
            }
        }
    };
}
word_or_number!(mean);
word_or_number!(auto);

/// TOML has no null: an empty text means not set.
mod empty_is_none {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(value: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(s),
            None => "".serialize(s),
        }
    }

    pub fn deserialize<'de, T: From<String>, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
        let text = String::deserialize(d)?;
        Ok((!text.is_empty()).then(|| T::from(text)))
    }
}
