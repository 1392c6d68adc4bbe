//! GPT-2's weights in memory, and its block on tensors of any device.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::config::Gpt2Options;
use super::{LN_F, WPE};
use crate::model::config::Config;
use crate::model::error::ModelError;
use crate::model::family::Tensors;
use crate::model::host::HostBlock;
use crate::model::layers::{LayerNorm, Projection};
use crate::model::network::{Attend, BlockInput, Network, Positions, WeightPart};
use crate::tensor::attention::Attention;
use crate::tensor::kernels::activation::Activation;
use crate::tensor::ops::activate;

/// One transformer block.
#[derive(Clone)]
pub struct Block {
    pub ln_1: LayerNorm,
    pub c_attn: Projection,
    pub attn_proj: Projection,
    pub ln_2: LayerNorm,
    pub c_fc: Projection,
    pub mlp_proj: Projection,
    pub activation: Activation,
}

impl Block {
    fn new(options: &Gpt2Options, tensors: &Tensors, l: usize) -> std::result::Result<Self, ModelError> {
        let norm = |name: &str| norm(options, tensors, &format!("h.{l}.{name}"));
        let projection = |name: &str| {
            let weight = tensors.get(&format!("h.{l}.{name}.weight"))?;
            let bias = tensors.get(&format!("h.{l}.{name}.bias"))?;
            Ok::<_, ModelError>(Projection::new(weight, bias))
        };
        Ok(Block {
            ln_1: norm("ln_1")?,
            c_attn: projection("attn.c_attn")?,
            attn_proj: projection("attn.c_proj")?,
            ln_2: norm("ln_2")?,
            c_fc: projection("mlp.c_fc")?,
            mlp_proj: projection("mlp.c_proj")?,
            activation: options.activation("config.json")?,
        })
    }
}

fn norm(options: &Gpt2Options, tensors: &Tensors, at: &str) -> std::result::Result<LayerNorm, ModelError> {
    Ok(LayerNorm {
        weight: tensors.get(&format!("{at}.weight"))?,
        bias: tensors.get(&format!("{at}.bias"))?,
        eps: options.layer_norm_epsilon,
    })
}

/// The weights between embeddings and output matrix.
#[derive(Clone)]
pub struct Gpt2Network {
    options: Gpt2Options,
    heads: usize,
    head_dim: usize,
    wpe: Tensor,
    blocks: Vec<Arc<Block>>,
    ln_f: LayerNorm,
}

impl Gpt2Network {
    /// Of tensors by the family's names.
    ///
    /// # Errors
    /// A tensor that is missing.
    pub fn new(config: &Config, tensors: &Tensors) -> std::result::Result<Self, ModelError> {
        let options = Gpt2Options::of(config)?;
        let block = |l: usize| Block::new(&options, tensors, l).map(Arc::new);
        Ok(Gpt2Network {
            heads: config.n_head,
            head_dim: config.head_dim(),
            wpe: tensors.get(WPE)?,
            blocks: (0..config.n_layer).map(block).collect::<std::result::Result<_, _>>()?,
            ln_f: norm(&options, tensors, LN_F)?,
            options,
        })
    }
}

impl Network for Gpt2Network {
    fn boxed(&self) -> Box<dyn Network> {
        Box::new(self.clone())
    }

    /// Tokens plus learned positions.
    fn embed(&self, tokens: Tensor, positions: Positions) -> Result<Tensor> {
        match positions {
            Positions::Counted => {
                let t = tokens.dim(candle_core::D::Minus2)?;
                tokens.broadcast_add(&self.wpe.narrow(0, 0, t)?)
            }
            Positions::Given(ids) => {
                let ids = Tensor::from_slice(ids, ids.len(), self.wpe.device())?;
                &tokens + self.wpe.index_select(&ids, 0)?.reshape(tokens.shape())?
            }
        }
    }

    fn attention(&self, layer: usize) -> Attention {
        let scale = self.options.attention_scale(self.head_dim, layer);
        Attention { heads: self.heads, scale, causal: true, bias: None, noise: None }
    }

    fn block(&self, input: &BlockInput, attend: Attend) -> Result<Tensor> {
        let (w, x) = (&self.blocks[input.layer], input.x);
        let heads = attend(w.c_attn.apply(&w.ln_1.apply(x)?)?)?;
        // The residual stream keeps its own format, whatever the branches compute in.
        let x = (x + input.drop_attention(w.attn_proj.apply(&heads)?)?.to_dtype(x.dtype())?)?;
        let hidden = activate(&w.c_fc.apply(&w.ln_2.apply(&x)?)?, w.activation)?;
        &x + input.drop_mlp(w.mlp_proj.apply(&hidden)?)?.to_dtype(x.dtype())?
    }

    fn host_block(&self, layer: usize) -> Option<Arc<dyn HostBlock>> {
        Some(self.blocks[layer].clone())
    }

    fn final_norm(&self, x: &Tensor) -> Result<Tensor> {
        self.ln_f.apply(x)
    }

    fn attention_output(&self, layer: usize) -> &Projection {
        &self.blocks[layer].attn_proj
    }

    fn parts(&mut self) -> Vec<(String, WeightPart<'_>)> {
        let mut all = vec![(WPE.to_owned(), WeightPart::Tensor(&mut self.wpe))];
        for (l, block) in self.blocks.iter_mut().enumerate() {
            let b = Arc::make_mut(block);
            for (name, norm) in [("ln_1", &mut b.ln_1), ("ln_2", &mut b.ln_2)] {
                all.push((format!("h.{l}.{name}.weight"), WeightPart::Tensor(&mut norm.weight)));
                all.push((format!("h.{l}.{name}.bias"), WeightPart::Tensor(&mut norm.bias)));
            }
            for (name, projection) in [
                ("attn.c_attn", &mut b.c_attn),
                ("attn.c_proj", &mut b.attn_proj),
                ("mlp.c_fc", &mut b.c_fc),
                ("mlp.c_proj", &mut b.mlp_proj),
            ] {
                all.push((format!("h.{l}.{name}"), WeightPart::Projection(projection)));
            }
        }
        all.push((format!("{LN_F}.weight"), WeightPart::Tensor(&mut self.ln_f.weight)));
        all.push((format!("{LN_F}.bias"), WeightPart::Tensor(&mut self.ln_f.bias)));
        all
    }
}
