//! `config.json` with the checkpoint's own field names (Hugging Face's `GPT2Config`).

use serde::{Deserialize, Serialize};

use super::config_json::{self, Fields};
use super::error::ModelError;
use crate::settings::choice;
use crate::tensor::kernels::activation::Activation;

/// Upper bounds that no real checkpoint of this family comes near; past them a file is taken for damaged.
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

/// Sizes and options of a GPT-2 model; read and written by `config_json`. Fields that this program does not use are
/// kept, so that a saved checkpoint says what the original said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Config {
    pub vocab_size: usize,
    pub n_positions: usize,
    pub n_embd: usize,
    pub n_layer: usize,
    pub n_head: usize,
    /// Width of the MLP; `None` means 4 · n_embd.
    pub n_inner: Option<usize>,
    pub activation_function: String,
    pub layer_norm_epsilon: f64,
    /// Scores are divided by √(head width).
    pub scale_attn_weights: bool,
    /// Scores are also divided by (layer + 1).
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Scale before the product and upcast; the same arithmetic in f32.
    pub reorder_and_upcast_attn: bool,
    pub tie_word_embeddings: bool,
    pub initializer_range: f64,
    /// The first of the ids where the file has a list; `None` for null, absent and negative ones. It may lie past the
    /// vocabulary.
    pub bos_token_id: Option<u32>,
    pub eos_token_id: Option<u32>,
    /// Every other field of the file, and the token ids as the file writes them.
    pub other: Fields,
}

impl Config {
    /// Reads and checks a `config.json`; `file` names it in errors. The one reader of the program: what it refuses,
    /// no folder, cache or Hub gets past.
    ///
    /// # Errors
    /// What is no configuration of a GPT-2 is named as what it is; a value that makes no sense with its field.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self, ModelError> {
        let fields = config_json::fields(bytes).map_err(|problem| ModelError::file(file, problem))?;
        if let Some(found) = config_json::foreign(&fields) {
            return Err(ModelError::file(file, found).with_hint(
                "models of the GPT-2 family work, e.g. openai-community/gpt2 or distilbert/distilgpt2",
            ));
        }
        let config = Config::try_from(fields).map_err(|problem| ModelError::file(file, problem))?;
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

    fn check(&self, file: &str) -> Result<(), ModelError> {
        let bounded = |field: &str, value: usize, max: usize| {
            if value == 0 || value > max {
                return Err(ModelError::file(file, format!("{field} is {value}, outside 1 to {max}")));
            }
            Ok(())
        };
        bounded("n_layer", self.n_layer, MAX_LAYERS)?;
        bounded("n_embd", self.n_embd, MAX_WIDTH)?;
        bounded("n_head", self.n_head, self.n_embd)?;
        bounded("n_inner", self.inner(), 16 * MAX_WIDTH)?;
        bounded("n_positions", self.n_positions, MAX_POSITIONS)?;
        bounded("vocab_size", self.vocab_size, MAX_VOCAB)?;
        if !self.n_embd.is_multiple_of(self.n_head) {
            let problem = format!("n_embd {} is not a multiple of n_head {}", self.n_embd, self.n_head);
            return Err(ModelError::file(file, problem));
        }
        if !(self.layer_norm_epsilon > 0.0 && self.layer_norm_epsilon < 1.0) {
            let problem = format!("layer_norm_epsilon is {}, outside 0 to 1", self.layer_norm_epsilon);
            return Err(ModelError::file(file, problem));
        }
        self.activation(file).map(|_| ())
    }

    /// The activation named by `activation_function`.
    pub fn activation(&self, file: &str) -> Result<Activation, ModelError> {
        let name = self.activation_function.as_str();
        Activation::named(name).ok_or_else(|| {
            let problem = match name {
                "prelu" | "xielu" => {
                    format!("activation_function {name:?} has trained parameters of its own")
                }
                _ => format!("activation_function {name:?} is not known"),
            };
            let known: Vec<&str> = Activation::NAMES.iter().map(|(name, _)| *name).collect();
            ModelError::file(file, problem).with_hint(format!("known: {}", known.join(", ")))
        })
    }

    /// Width of the MLP.
    pub fn inner(&self) -> usize {
        self.n_inner.unwrap_or(4 * self.n_embd)
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.n_embd / self.n_head
    }

    /// What scores of `layer` are multiplied with.
    pub fn attention_scale(&self, layer: usize) -> f64 {
        let mut scale = 1.0;
        if self.scale_attn_weights {
            scale /= (self.head_dim() as f64).sqrt();
        }
        if self.scale_attn_by_inverse_layer_idx {
            scale /= (layer + 1) as f64;
        }
        scale
    }

    /// Number of parameters, the tied output matrix counted once.
    pub fn parameters(&self) -> usize {
        self.expected_tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Multiply-adds of one row in one layer's four matrices; attention's own come on top and grow with the text.
    pub fn multiply_adds_per_row(&self) -> u64 {
        let (d, inner) = (self.n_embd as u64, self.inner() as u64);
        4 * d * d + 2 * d * inner
    }

    /// Names (without `transformer.`) and shapes of the checkpoint's tensors; matrices are `[in, out]` (Conv1D).
    pub fn expected_tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, inner) = (self.n_embd, self.inner());
        let mut all = vec![
            ("wte.weight".to_owned(), vec![self.vocab_size, d]),
            ("wpe.weight".to_owned(), vec![self.n_positions, d]),
        ];
        for l in 0..self.n_layer {
            let mut push = |name: &str, shape: Vec<usize>| all.push((format!("h.{l}.{name}"), shape));
            push("ln_1.weight", vec![d]);
            push("ln_1.bias", vec![d]);
            push("attn.c_attn.weight", vec![d, 3 * d]);
            push("attn.c_attn.bias", vec![3 * d]);
            push("attn.c_proj.weight", vec![d, d]);
            push("attn.c_proj.bias", vec![d]);
            push("ln_2.weight", vec![d]);
            push("ln_2.bias", vec![d]);
            push("mlp.c_fc.weight", vec![d, inner]);
            push("mlp.c_fc.bias", vec![inner]);
            push("mlp.c_proj.weight", vec![inner, d]);
            push("mlp.c_proj.bias", vec![d]);
        }
        all.push(("ln_f.weight".to_owned(), vec![d]));
        all.push(("ln_f.bias".to_owned(), vec![d]));
        if !self.tie_word_embeddings {
            all.push(("lm_head.weight".to_owned(), vec![self.vocab_size, d]));
        }
        all
    }
}
