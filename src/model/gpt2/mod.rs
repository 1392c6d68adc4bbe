//! GPT-2: layer norms before attention and MLP, learned positions, matrices stored `[in, out]` (Conv1D). Everything that is
//! its own lies in this folder.

pub mod config;
mod formats;
mod host;
mod nanogpt;
mod network;
pub mod shape;

use super::config::Config;
use super::config_json::Fields;
use super::error::ModelError;
use super::family::{Conventions, Family, Import, Parameter, ParameterRole, Tensors, WeightLayout};
use super::formats::Format;
use super::network::Network;

/// The family of `model_type` `gpt2`.
pub struct Gpt2;

static CONVENTIONS: Conventions = Conventions {
    model_type: "gpt2",
    label: "GPT-2",
    examples: &["openai-community/gpt2", "distilbert/distilgpt2"],
    architecture: "GPT2LMHeadModel",
    aliases: &config::ALIASES,
    prefix: "transformer.",
    embedding: "wte.weight",
    head: "lm_head.weight",
    other_heads: &[
        ("score.", "a classifier's"),
        ("classifier.", "a classifier's"),
        ("multiple_choice_head.", "a multiple-choice head's"),
    ],
    layout: WeightLayout::InOut,
    targets: &["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj", "lm_head"],
};

/// Position embeddings.
const WPE: &str = "wpe.weight";

/// The final norm.
const LN_F: &str = "ln_f";

impl Family for Gpt2 {
    fn conventions(&self) -> &'static Conventions {
        &CONVENTIONS
    }

    fn claims(&self, fields: &Fields) -> Result<(), String> {
        config::claims(fields)
    }

    fn read(&self, fields: &Fields) -> Result<Config, String> {
        config::read(fields)
    }

    fn fields(&self, config: &Config) -> Fields {
        config::fields(config)
    }

    fn check(&self, config: &Config, file: &str) -> Result<(), ModelError> {
        config::check(config, file)
    }

    fn parameters(&self, config: &Config) -> Vec<Parameter> {
        let (d, inner) = (config.n_embd, config.n_inner);
        let mut all = Vec::new();
        let mut push = |layer: Option<usize>, name: &str, shape: &[usize], role: ParameterRole| {
            let name = layer.map_or_else(|| name.to_owned(), |layer| format!("h.{layer}.{name}"));
            all.push(Parameter { name, shape: shape.to_vec(), layer, role });
        };
        push(None, CONVENTIONS.embedding, &[config.vocab_size, d], ParameterRole::Embedding);
        push(None, WPE, &[config.n_positions, d], ParameterRole::Positions);
        for l in (0..config.n_layer).map(Some) {
            push(l, "ln_1.weight", &[d], ParameterRole::NormWeight);
            push(l, "ln_1.bias", &[d], ParameterRole::NormBias);
            push(l, "attn.c_attn.weight", &[d, 3 * d], ParameterRole::Attention);
            push(l, "attn.c_attn.bias", &[3 * d], ParameterRole::Bias);
            push(l, "attn.c_proj.weight", &[d, d], ParameterRole::AttentionOutput);
            push(l, "attn.c_proj.bias", &[d], ParameterRole::Bias);
            push(l, "ln_2.weight", &[d], ParameterRole::NormWeight);
            push(l, "ln_2.bias", &[d], ParameterRole::NormBias);
            push(l, "mlp.c_fc.weight", &[d, inner], ParameterRole::Mlp);
            push(l, "mlp.c_fc.bias", &[inner], ParameterRole::Bias);
            push(l, "mlp.c_proj.weight", &[inner, d], ParameterRole::MlpOutput);
            push(l, "mlp.c_proj.bias", &[d], ParameterRole::Bias);
        }
        push(None, "ln_f.weight", &[d], ParameterRole::NormWeight);
        push(None, "ln_f.bias", &[d], ParameterRole::NormBias);
        if !config.tie_word_embeddings {
            push(None, CONVENTIONS.head, &[config.vocab_size, d], ParameterRole::Head);
        }
        all
    }

    /// `h.N.attn.bias` and `h.N.attn.masked_bias` are causal masks of old checkpoints. A looser pattern would eat
    /// `attn.c_attn.bias`.
    fn is_buffer(&self, name: &str) -> bool {
        name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")
    }

    fn network(&self, config: &Config, tensors: &Tensors) -> Result<Box<dyn Network>, ModelError> {
        Ok(Box::new(network::Gpt2Network::new(config, tensors)?))
    }

    fn imports(&self) -> &'static [Import] {
        &[Import { file: nanogpt::FILE, load: nanogpt::load }]
    }

    fn formats(&self) -> &'static [Format] {
        formats::MODELS
    }
}
