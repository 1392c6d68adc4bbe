//! A second family for tests, as unlike the first as a small one can be: rotary positions (2104.09864) in place of learned ones,
//! RMS norms (1910.07467), queries, keys and values of separate matrices stored `[out, in]`, a gated MLP (2002.05202), no biases,
//! and no fast path of its own. It opens, is explored, trained, adapted and saved by the same code as every other.

use candle_core::{D, DType, Result, Tensor};
use serde_json::{Value, json};

use super::config::Config;
use super::config_json::{Fields, given, number, size, switch};
use super::error::ModelError;
use super::family::{Conventions, Family, Parameter, ParameterRole, Tensors, WeightLayout};
use super::layers::Projection;
use super::network::{Attend, BlockInput, Network, Positions, WeightPart};
use crate::tensor::attention::Attention;

pub(crate) struct Rotary;

static CONVENTIONS: Conventions = Conventions {
    model_type: "rotary-test",
    label: "rotary test model",
    examples: &["none"],
    architecture: "RotaryForCausalLM",
    aliases: &[],
    prefix: "model.",
    embedding: "embed_tokens.weight",
    head: "lm_head.weight",
    other_heads: &[],
    layout: WeightLayout::OutIn,
    targets: &["self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj", "lm_head"],
};

/// The projections of a block, with their roles.
const PROJECTIONS: [(&str, ParameterRole); 7] = [
    ("self_attn.q_proj", ParameterRole::Attention),
    ("self_attn.k_proj", ParameterRole::Attention),
    ("self_attn.v_proj", ParameterRole::Attention),
    ("self_attn.o_proj", ParameterRole::AttentionOutput),
    ("mlp.gate_proj", ParameterRole::Mlp),
    ("mlp.up_proj", ParameterRole::Mlp),
    ("mlp.down_proj", ParameterRole::MlpOutput),
];

impl Family for Rotary {
    fn conventions(&self) -> &'static Conventions {
        &CONVENTIONS
    }

    fn read(&self, fields: &Fields) -> std::result::Result<Config, String> {
        let theta = number(fields, "rope_theta", 1e4)?;
        Ok(Config {
            family: &Rotary,
            vocab_size: size(fields, &["vocab_size"])?,
            n_positions: size(fields, &["max_position_embeddings"])?,
            n_embd: size(fields, &["hidden_size"])?,
            n_layer: size(fields, &["num_hidden_layers"])?,
            n_head: size(fields, &["num_attention_heads"])?,
            n_inner: size(fields, &["intermediate_size"])?,
            tie_word_embeddings: switch(fields, "tie_word_embeddings", false)?,
            initializer_range: number(fields, "initializer_range", 0.02)?,
            bos_token_id: None,
            eos_token_id: None,
            own: Fields::from_iter([("rope_theta".to_owned(), Value::from(theta))]),
            other: Fields::new(),
        })
    }

    fn fields(&self, config: &Config) -> Fields {
        let sizes = json!({
            "vocab_size": config.vocab_size,
            "max_position_embeddings": config.n_positions,
            "hidden_size": config.n_embd,
            "num_hidden_layers": config.n_layer,
            "num_attention_heads": config.n_head,
            "intermediate_size": config.n_inner,
            "tie_word_embeddings": config.tie_word_embeddings,
            "initializer_range": config.initializer_range,
        });
        let own = config.own.clone().into_iter();
        sizes.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).chain(own).collect()
    }

    fn parameters(&self, config: &Config) -> Vec<Parameter> {
        let (d, inner) = (config.n_embd, config.n_inner);
        let parameter = |name: String, shape: &[usize], layer: Option<usize>, role: ParameterRole| {
            Parameter { name, shape: shape.to_vec(), layer, role }
        };
        let vocabulary = [config.vocab_size, d];
        let mut all =
            vec![parameter(CONVENTIONS.embedding.to_owned(), &vocabulary, None, ParameterRole::Embedding)];
        for layer in 0..config.n_layer {
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                let name = format!("layers.{layer}.{norm}.weight");
                all.push(parameter(name, &[d], Some(layer), ParameterRole::NormWeight));
            }
            for (name, role) in PROJECTIONS {
                let shape = match role {
                    ParameterRole::Mlp => [d, inner],
                    ParameterRole::MlpOutput => [inner, d],
                    _ => [d, d],
                };
                all.push(parameter(format!("layers.{layer}.{name}.weight"), &shape, Some(layer), role));
            }
        }
        all.push(parameter("norm.weight".to_owned(), &[d], None, ParameterRole::NormWeight));
        if !config.tie_word_embeddings {
            all.push(parameter(CONVENTIONS.head.to_owned(), &vocabulary, None, ParameterRole::Head));
        }
        all
    }

    fn network(
        &self,
        config: &Config,
        tensors: &Tensors,
    ) -> std::result::Result<Box<dyn Network>, ModelError> {
        let block = |layer: usize| {
            let projection = |name: &str| {
                let weight = tensors.get(&format!("layers.{layer}.{name}.weight"))?;
                let none = Tensor::zeros(weight.dim(1)?, DType::F32, weight.device())?;
                Ok(Projection::new(weight, none))
            };
            let all: std::result::Result<Vec<Projection>, ModelError> =
                PROJECTIONS.iter().map(|(name, _)| projection(name)).collect();
            Ok(RotaryBlock {
                norms: [
                    tensors.get(&format!("layers.{layer}.input_layernorm.weight"))?,
                    tensors.get(&format!("layers.{layer}.post_attention_layernorm.weight"))?,
                ],
                projections: all?,
            })
        };
        let blocks: std::result::Result<_, ModelError> = (0..config.n_layer).map(block).collect();
        Ok(Box::new(RotaryNetwork {
            heads: config.n_head,
            head_dim: config.head_dim(),
            theta: given(&config.own, "rope_theta").and_then(Value::as_f64).unwrap_or(1e4),
            blocks: blocks?,
            norm: tensors.get("norm.weight")?,
        }))
    }
}

#[derive(Clone)]
struct RotaryBlock {
    norms: [Tensor; 2],
    /// In the order of [`PROJECTIONS`].
    projections: Vec<Projection>,
}

#[derive(Clone)]
struct RotaryNetwork {
    heads: usize,
    head_dim: usize,
    theta: f64,
    blocks: Vec<RotaryBlock>,
    norm: Tensor,
}

/// `x / √(mean x² + 1e-6) · weight`
fn rms_norm(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + 1e-6)?.sqrt()?;
    x.broadcast_div(&scale)?.broadcast_mul(weight)
}

impl RotaryNetwork {
    /// Turns pairs of coordinates by angles that grow with the position; `x` is `[…, D]` with rows as `positions` says.
    fn turned(&self, x: &Tensor, positions: Positions) -> Result<Tensor> {
        let (d, half) = (self.head_dim, self.head_dim / 2);
        let n = x.elem_count() / (self.heads * d);
        let t = x.dim(D::Minus2)?;
        let position = |row: usize| match positions {
            Positions::Counted => (row % t) as f64,
            Positions::Given(ids) => f64::from(ids[row]),
        };
        let angles: Vec<f64> = (0..n)
            .flat_map(|row| {
                (0..half).map(move |i| position(row) / self.theta.powf(2.0 * i as f64 / d as f64))
            })
            .collect();
        let plane = |f: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|a| f(*a) as f32).collect();
            Tensor::from_vec(values, (n, 1, half), x.device())
        };
        let (cos, sin) = (plane(f64::cos)?, plane(f64::sin)?);
        let rows = x.reshape((n, self.heads, d))?;
        let (a, b) = (rows.narrow(2, 0, half)?, rows.narrow(2, half, half)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Tensor::cat(&[first, second], 2)?.reshape(x.shape())
    }
}

impl Network for RotaryNetwork {
    fn boxed(&self) -> Box<dyn Network> {
        Box::new(self.clone())
    }

    fn embed(&self, tokens: Tensor, _: Positions) -> Result<Tensor> {
        Ok(tokens)
    }

    fn attention(&self, _layer: usize) -> Attention {
        let scale = 1.0 / (self.head_dim as f64).sqrt();
        Attention { heads: self.heads, scale, causal: true, bias: None, noise: None }
    }

    fn block(&self, input: &BlockInput, attend: Attend) -> Result<Tensor> {
        let (block, x) = (&self.blocks[input.layer], input.x);
        let p = |i: usize, x: &Tensor| block.projections[i].apply(x);
        let normed = rms_norm(x, &block.norms[0])?;
        let query = self.turned(&p(0, &normed)?, input.positions)?;
        let key = self.turned(&p(1, &normed)?, input.positions)?;
        let heads = attend(Tensor::cat(&[query, key, p(2, &normed)?], D::Minus1)?)?;
        let x = (x + input.drop_attention(p(3, &heads)?)?)?;
        let normed = rms_norm(&x, &block.norms[1])?;
        let inner = (p(4, &normed)?.silu()? * p(5, &normed)?)?;
        &x + input.drop_mlp(p(6, &inner)?)?
    }

    fn final_norm(&self, x: &Tensor) -> Result<Tensor> {
        rms_norm(x, &self.norm)
    }

    fn attention_output(&self, layer: usize) -> &Projection {
        &self.blocks[layer].projections[3]
    }

    fn parts(&mut self) -> Vec<(String, WeightPart<'_>)> {
        let mut all = vec![("norm.weight".to_owned(), WeightPart::Tensor(&mut self.norm))];
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            let [first, second] = &mut block.norms;
            for (name, norm) in [("input_layernorm", first), ("post_attention_layernorm", second)] {
                all.push((format!("layers.{layer}.{name}.weight"), WeightPart::Tensor(norm)));
            }
            for ((name, _), projection) in PROJECTIONS.iter().zip(&mut block.projections) {
                all.push((format!("layers.{layer}.{name}"), WeightPart::Projection(projection)));
            }
        }
        all
    }
}

/// A small model's configuration, as a file has it.
pub(crate) fn config(n_layer: usize, vocab: usize, context: usize) -> Config {
    let json = json!({
        "model_type": CONVENTIONS.model_type, "vocab_size": vocab, "max_position_embeddings": context, "hidden_size": 16,
        "num_hidden_layers": n_layer, "num_attention_heads": 2, "intermediate_size": 20, "initializer_range": 0.2,
        "hidden_act": "silu",
    });
    Config::parse(json.to_string().as_bytes(), "config.json").unwrap()
}
