//! GPT-2's `config.json`: which files are of it, what its fields are called, which values stand for which. After transformers'
//! `GPT2Config` (5.23).

use serde_json::{Value, json};

use super::Gpt2;
use crate::model::config::Config;
use crate::model::config_json::{Fields, given, number, shown, size, switch, whole};
use crate::model::error::ModelError;
use crate::tensor::kernels::activation::Activation;

/// The names that every family has for GPT-2's sizes (`attribute_map`). Where a file has both, transformers goes by these.
pub const ALIASES: [&str; 4] =
    ["hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings"];

/// What only GPT-2 computes with; kept as [`Config::own`].
#[derive(Clone, Debug, PartialEq)]
pub struct Gpt2Options {
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
}

impl Gpt2Options {
    /// Those of a configuration.
    ///
    /// # Errors
    /// A configuration of another family.
    pub fn of(config: &Config) -> Result<Self, ModelError> {
        Gpt2Options::read(&config.own).map_err(|problem| ModelError::file("config.json", problem))
    }

    fn read(fields: &Fields) -> Result<Self, String> {
        let activation_function = match given(fields, "activation_function") {
            None => "gelu_new".to_owned(),
            Some(Value::String(name)) => name.clone(),
            Some(other) => return Err(format!("activation_function is {}, not a name", shown(other))),
        };
        Ok(Gpt2Options {
            n_inner: given(fields, "n_inner").map(|n| whole("n_inner", n)).transpose()?,
            activation_function,
            layer_norm_epsilon: number(fields, "layer_norm_epsilon", 1e-5)?,
            scale_attn_weights: switch(fields, "scale_attn_weights", true)?,
            scale_attn_by_inverse_layer_idx: switch(fields, "scale_attn_by_inverse_layer_idx", false)?,
            reorder_and_upcast_attn: switch(fields, "reorder_and_upcast_attn", false)?,
        })
    }

    fn fields(&self) -> Fields {
        object(json!({
            "n_inner": self.n_inner,
            "activation_function": self.activation_function,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "scale_attn_weights": self.scale_attn_weights,
            "scale_attn_by_inverse_layer_idx": self.scale_attn_by_inverse_layer_idx,
            "reorder_and_upcast_attn": self.reorder_and_upcast_attn,
        }))
    }

    /// The activation named by `activation_function`; `file` names the configuration in errors.
    ///
    /// # Errors
    /// One that is not known, or that is trained itself.
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

    /// What scores of `layer` are multiplied with, for heads of width `head_dim`.
    pub fn attention_scale(&self, head_dim: usize, layer: usize) -> f64 {
        let mut scale = 1.0;
        if self.scale_attn_weights {
            scale /= (head_dim as f64).sqrt();
        }
        if self.scale_attn_by_inverse_layer_idx {
            scale /= (layer + 1) as f64;
        }
        scale
    }
}

/// What a file without `model_type` is where it is not a GPT-2: `architectures` and the names of the sizes tell.
///
/// # Errors
/// In words that follow the file's name.
pub fn claims(fields: &Fields) -> Result<(), String> {
    let names = given(fields, "architectures").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let stranger = |name: &&Value| !name.as_str().unwrap_or_default().contains("GPT2");
    if let Some(other) = names.iter().find(stranger) {
        return Err(format!("model_type is missing and architectures has {}, not a GPT-2", shown(other)));
    }
    if fields.contains_key("afn") {
        return Err("afn in place of activation_function: this is GPT-1, not GPT-2".to_owned());
    }
    let sized = |name: &str| fields.contains_key(name);
    if names.is_empty() && !["n_layer", "n_head", "n_embd"].iter().all(|name| sized(name)) {
        return Err("model_type is missing, and so are GPT-2's fields n_layer, n_head and n_embd".to_owned());
    }
    Ok(())
}

/// Sizes and options of a file.
///
/// # Errors
/// A field, in words that follow the file's name.
pub fn read(fields: &Fields) -> Result<Config, String> {
    let options = Gpt2Options::read(fields)?;
    let (vocab_size, n_positions) = (size(fields, &["vocab_size"])?, positions(fields)?);
    let n_embd = size(fields, &["hidden_size", "n_embd"])?;
    Ok(Config {
        family: &Gpt2,
        vocab_size,
        n_positions,
        n_embd,
        n_layer: size(fields, &["num_hidden_layers", "n_layer"])?,
        n_head: size(fields, &["num_attention_heads", "n_head"])?,
        n_inner: options.n_inner.unwrap_or(4 * n_embd),
        tie_word_embeddings: switch(fields, "tie_word_embeddings", true)?,
        initializer_range: number(fields, "initializer_range", 0.02)?,
        bos_token_id: None,
        eos_token_id: None,
        own: options.fields(),
        other: Fields::new(),
    })
}

fn positions(fields: &Fields) -> Result<usize, String> {
    let names = ["max_position_embeddings", "n_positions"];
    // Its old name, often out of date beside the new ones.
    let old = given(fields, "n_ctx").filter(|_| names.iter().all(|name| given(fields, name).is_none()));
    match old {
        Some(value) => whole("n_ctx", value),
        None => size(fields, &names),
    }
}

/// Everything that [`read`] reads, under GPT-2's names.
pub fn fields(config: &Config) -> Fields {
    let mut all = object(json!({
        "vocab_size": config.vocab_size,
        "n_positions": config.n_positions,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "tie_word_embeddings": config.tie_word_embeddings,
        "initializer_range": config.initializer_range,
    }));
    all.extend(config.own.clone());
    all
}

/// Refuses what the network cannot compute with.
///
/// # Errors
/// The field.
pub fn check(config: &Config, file: &str) -> Result<(), ModelError> {
    let options = Gpt2Options::of(config)?;
    let eps = options.layer_norm_epsilon;
    if !(eps > 0.0 && eps < 1.0) {
        return Err(ModelError::file(file, format!("layer_norm_epsilon is {eps}, outside 0 to 1")));
    }
    options.activation(file).map(|_| ())
}

fn object(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}
