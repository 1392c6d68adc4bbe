//! The sizes that every family has, with the family's own fields beside them; read from and written to `config.json`.

use serde::{Deserialize, Serialize};

use super::config_json::{self, Fields};
use super::error::ModelError;
use super::family::{self, Family, Parameter};
use crate::settings::choice;

/// Upper bounds that no real checkpoint comes near; past them a file is taken for damaged.
const MAX_LAYERS: usize = 512;
const MAX_WIDTH: usize = 65_536;
const MAX_POSITIONS: usize = 1 << 20;
const MAX_VOCAB: usize = 1 << 22;

choice! {
    /// How the matrices are kept for exploring on the CPU.
    pub enum WeightType {
        /// as computed
        F32 = "f32",
        /// rounded to bf16, and so is what they are multiplied with where the processor multiplies bf16: half the memory, and faster
        Bf16 = "bf16",
    }
}

/// Sizes and options of a model. Fields of the file that this program does not use are kept, so that a saved checkpoint says
/// what the original said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Config {
    pub family: &'static dyn Family,
    pub vocab_size: usize,
    /// Context length.
    pub n_positions: usize,
    /// Width of the residual stream.
    pub n_embd: usize,
    pub n_layer: usize,
    pub n_head: usize,
    /// Width of the MLP.
    pub n_inner: usize,
    pub tie_word_embeddings: bool,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// The first of the ids where the file has a list; `None` for null, absent and negative ones. It may lie past the
    /// vocabulary.
    pub bos_token_id: Option<u32>,
    pub eos_token_id: Option<u32>,
    /// What the family alone computes with, under its names; see its folder.
    pub own: Fields,
    /// Every other field of the file, and the token ids as the file writes them.
    pub other: Fields,
}

impl Config {
    /// Reads and checks a `config.json`; `file` names it in errors. The one reader of the program: what it refuses,
    /// no folder, cache or Hub gets past.
    ///
    /// # Errors
    /// What no family opens is named as what it is; a value that makes no sense with its field.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self, ModelError> {
        let bad = |problem: String| ModelError::file(file, problem);
        let fields = config_json::fields(bytes).map_err(bad)?;
        let foreign = |problem: String| bad(problem).with_hint(family::hint());
        if let Some(problem) = config_json::shared_heads(&fields) {
            return Err(foreign(problem));
        }
        let family = family::of(&fields).map_err(foreign)?;
        if let Some(problem) = config_json::refused(&fields, family.conventions().label) {
            return Err(foreign(problem));
        }
        let config = Config::try_from(fields).map_err(bad)?;
        config.check(file)?;
        Ok(config)
    }

    /// Every id that ends a document or an answer, as the file has them: newer ones list several.
    pub fn eos_token_ids(&self) -> Vec<u32> {
        let listed = config_json::token_ids(self.other.get("eos_token_id"));
        if listed.first().copied() == self.eos_token_id {
            listed
        } else {
            self.eos_token_id.into_iter().collect()
        }
    }

    /// Refuses sizes that no model has; `file` names where they were read.
    ///
    /// # Errors
    /// The field with its bounds.
    pub fn check(&self, file: &str) -> Result<(), ModelError> {
        let bounded = |field: &str, value: usize, max: usize| {
            if value == 0 || value > max {
                return Err(ModelError::file(file, format!("{field} is {value}, outside 1 to {max}")));
            }
            Ok(())
        };
        bounded("n_layer", self.n_layer, MAX_LAYERS)?;
        bounded("n_embd", self.n_embd, MAX_WIDTH)?;
        bounded("n_head", self.n_head, self.n_embd)?;
        bounded("n_inner", self.n_inner, 16 * MAX_WIDTH)?;
        bounded("n_positions", self.n_positions, MAX_POSITIONS)?;
        bounded("vocab_size", self.vocab_size, MAX_VOCAB)?;
        if !self.n_embd.is_multiple_of(self.n_head) {
            let problem = format!("n_embd {} is not a multiple of n_head {}", self.n_embd, self.n_head);
            return Err(ModelError::file(file, problem));
        }
        self.family.check(self, file)
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.n_embd / self.n_head
    }

    /// Every tensor of the model, in the order of its checkpoints.
    pub fn named_parameters(&self) -> Vec<Parameter> {
        self.family.parameters(self)
    }

    /// Number of parameters, a tied output matrix counted once.
    pub fn parameters(&self) -> usize {
        self.named_parameters().iter().map(Parameter::elem_count).sum()
    }

    /// Multiply-adds of one row in one layer's matrices; attention's own come on top and grow with the text.
    pub fn multiply_adds_per_row(&self) -> u64 {
        let all = self.named_parameters().into_iter();
        let first = all.filter(|p| p.layer == Some(0) && p.role.is_matrix());
        first.map(|p| p.elem_count() as u64).sum()
    }
}

impl TryFrom<Fields> for Config {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let family = family::of(&fields)?;
        let mut config = family.read(&fields)?;
        let first = |name: &str| config_json::token_ids(fields.get(name)).first().copied();
        (config.bos_token_id, config.eos_token_id) = (first("bos_token_id"), first("eos_token_id"));
        let own = family.fields(&config);
        let aliases = family.conventions().aliases;
        config.other = fields;
        config.other.retain(|name, value| {
            // Switches that no computation needs, and that transformers takes only as true or false.
            let unset = value.is_null() && ["add_cross_attention", "use_cache"].contains(&name.as_str());
            !unset && name != "model_type" && !own.contains_key(name) && !aliases.contains(&name.as_str())
        });
        Ok(config)
    }
}

impl From<Config> for Fields {
    fn from(config: Config) -> Self {
        let mut all = config.family.fields(&config);
        all.insert("model_type".to_owned(), config.family.conventions().model_type.into());
        for (name, id) in [("bos_token_id", config.bos_token_id), ("eos_token_id", config.eos_token_id)] {
            // As the file wrote it, unless somebody set another; absent where it was absent.
            let written = config.other.get(name);
            if config_json::token_ids(written).first().copied() != id {
                all.insert(name.to_owned(), id.into());
            } else if let Some(value) = written {
                all.insert(name.to_owned(), value.clone());
            }
        }
        for (name, value) in config.other {
            all.entry(name).or_insert(value);
        }
        all
    }
}
