//! The model: weights by checkpoint names, and one transformer block that both the exploring and the training pass use.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use candle_core::{Device, Result, Tensor, bail};

use super::config::{Config, WeightType};
use super::error::ModelError;
use super::weight::{Side, Weight};
use crate::tensor::attention::Attention;
use crate::tensor::device::{Way, on_host, way};
use crate::tensor::dropout::{Mask, masked};
use crate::tensor::kernels::activation::Activation;
use crate::tensor::ops::{activate, layer_norm, linear};

/// Gain and bias of a layer norm.
#[derive(Clone)]
pub struct Norm {
    pub gain: Tensor,
    pub bias: Tensor,
}

/// A Conv1D: `weight` `[in, out]`, `bias` `[out]`.
#[derive(Clone)]
pub struct Projection {
    pub weight: Weight,
    pub bias: Tensor,
    /// Added to the weight, where a run adapts it (LoRA).
    pub adapter: Option<Adapter>,
}

/// A low-rank addition to a weight matrix: `scale · down · up` (2106.09685).
#[derive(Clone)]
pub struct Adapter {
    /// `[in, rank]`
    pub down: Tensor,
    /// `[rank, out]`
    pub up: Tensor,
    pub scale: f64,
}

impl Adapter {
    /// Its share of the output for rows `x` `[…, in]`.
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (inner, out) = (self.down.dim(0)?, self.up.dim(1)?);
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = out;
        }
        let low = (x.reshape(((), inner))?.matmul(&self.down)? * self.scale)?;
        low.matmul(&self.up)?.reshape(dims)
    }
}

impl Projection {
    /// `x W + b`, with the adapter's share.
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        // On a device the product runs in the weight's format (mixed precision); the CPU's kernels take f32.
        let weight = self.weight.tensor()?;
        let out = if on_host(x.device()) {
            linear(x, &weight.to_dtype(x.dtype())?, &self.bias)?
        } else {
            let bias = self.bias.to_dtype(weight.dtype())?;
            linear(&x.to_dtype(weight.dtype())?, &weight, &bias)?
        };
        match &self.adapter {
            Some(adapter) => {
                &out + adapter.apply(&x.to_dtype(adapter.down.dtype())?)?.to_dtype(out.dtype())?
            }
            None => Ok(out),
        }
    }
}

/// Dropout of one training pass: embeddings, attention weights, and the output of every residual branch (GPT-2's
/// `embd_pdrop`, `attn_pdrop` and `resid_pdrop`, all the same).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Share dropped, in [0, 1).
    pub rate: f64,
    /// Decides every draw of this pass.
    pub key: u64,
}

impl Noise {
    /// What drops elements at a site of the residual stream, where anything is dropped.
    pub(super) fn mask(self, site: usize) -> Option<Mask> {
        (self.rate > 0.0).then(|| Mask::new(self.rate, (self.key, site as u32)))
    }

    /// What drops the attention weights of a layer.
    fn attention(self, layers: usize, layer: usize) -> Option<Mask> {
        self.mask(1 + 2 * layers + layer)
    }

    /// `site` 0 is the embeddings; 1 + 2·layer attention's output, 2 + 2·layer the MLP's; the weights of attention
    /// come behind them.
    pub(crate) fn apply(noise: Option<Noise>, x: Tensor, site: usize) -> Result<Tensor> {
        match noise.and_then(|noise| noise.mask(site)) {
            Some(mask) => masked(&x, mask),
            None => Ok(x),
        }
    }
}

/// One transformer block.
#[derive(Clone)]
pub struct Block {
    pub ln_1: Norm,
    pub c_attn: Projection,
    pub attn_proj: Projection,
    pub ln_2: Norm,
    pub c_fc: Projection,
    pub mlp_proj: Projection,
}

impl Block {
    /// Whether any of its matrices carries an adapter.
    pub fn is_adapted(&self) -> bool {
        [&self.c_attn, &self.attn_proj, &self.c_fc, &self.mlp_proj].iter().any(|p| p.adapter.is_some())
    }
}

/// A GPT-2 model on one device. Cloning shares the weights.
#[derive(Clone)]
pub struct Gpt2 {
    pub config: Config,
    pub activation: Activation,
    pub wte: Weight,
    pub wpe: Tensor,
    pub blocks: Vec<Block>,
    pub ln_f: Norm,
    /// `[V, D]`; the same matrix as `wte` where the checkpoint ties them.
    pub lm_head: Weight,
    /// Dropout in force; `None` but in training passes.
    pub noise: Option<Noise>,
    pub device: Device,
    /// Set where the weights never change: what is derived from them is kept.
    pub frozen: Option<Arc<Frozen>>,
}

/// Derived from weights that never change, made when first asked for.
#[derive(Default)]
pub struct Frozen {
    /// `W_O W_Oᵀ` of every head, layer-major.
    pub(super) grams: OnceLock<Arc<Vec<Vec<f32>>>>,
}

impl Gpt2 {
    /// Builds the model from tensors named as in [`Config::expected_tensors`].
    ///
    /// # Errors
    /// When a tensor is missing; shapes are the loader's duty.
    pub fn from_tensors(
        config: &Config,
        tensors: &HashMap<String, Tensor>,
        device: &Device,
    ) -> std::result::Result<Self, ModelError> {
        let get = |name: &str| {
            tensors
                .get(name)
                .cloned()
                .ok_or_else(|| ModelError::file("weights", format!("tensor {name} is missing")))
        };
        let norm = |at: &str| {
            Ok::<_, ModelError>(Norm {
                gain: get(&format!("{at}.weight"))?,
                bias: get(&format!("{at}.bias"))?,
            })
        };
        let projection = |at: &str| {
            Ok::<_, ModelError>(Projection {
                weight: get(&format!("{at}.weight"))?.into(),
                bias: get(&format!("{at}.bias"))?,
                adapter: None,
            })
        };
        let block = |l: usize| {
            Ok::<_, ModelError>(Block {
                ln_1: norm(&format!("h.{l}.ln_1"))?,
                c_attn: projection(&format!("h.{l}.attn.c_attn"))?,
                attn_proj: projection(&format!("h.{l}.attn.c_proj"))?,
                ln_2: norm(&format!("h.{l}.ln_2"))?,
                c_fc: projection(&format!("h.{l}.mlp.c_fc"))?,
                mlp_proj: projection(&format!("h.{l}.mlp.c_proj"))?,
            })
        };
        let wte = Weight::from(get("wte.weight")?);
        let lm_head = if config.tie_word_embeddings { wte.clone() } else { get("lm_head.weight")?.into() };
        Ok(Gpt2 {
            activation: config.activation("config.json")?,
            wte,
            wpe: get("wpe.weight")?,
            blocks: (0..config.n_layer).map(block).collect::<std::result::Result<_, _>>()?,
            ln_f: norm("ln_f")?,
            lm_head,
            noise: None,
            device: device.clone(),
            frozen: None,
            config: config.clone(),
        })
    }

    /// The same model with a promise that its weights never change: on the CPU its matrices are packed for products, one
    /// after another, so that no more than one of them exists twice.
    ///
    /// # Errors
    /// Weights that are neither f32 nor bf16.
    pub fn freeze(mut self) -> Result<Self> {
        if on_host(&self.device) {
            self.change_matrices(Weight::packed)?;
        }
        self.frozen = Some(Arc::default());
        Ok(self)
    }

    /// The same model with its matrices kept as `kind`. For exploring only: what is trained starts from f32.
    ///
    /// # Errors
    /// A device that does not convert.
    pub fn with_weights(mut self, kind: WeightType) -> Result<Self> {
        if kind == WeightType::F32 {
            return Ok(self);
        }
        self.change_matrices(|weight, _| weight.rounded())?;
        if !self.config.tie_word_embeddings {
            self.wte = self.wte.rounded()?;
        }
        self.frozen = self.frozen.is_some().then(Arc::default);
        Ok(self)
    }

    /// Puts what `f` makes of every matrix that a product reads in its place. Embeddings follow the output matrix they are
    /// tied to.
    fn change_matrices(&mut self, f: impl Fn(Weight, Side) -> Result<Weight>) -> Result<()> {
        // Taken out, so that the old matrix has no other holder when `f` has made the new one.
        let take = |weight: &mut Weight| std::mem::replace(weight, Weight::Tensor(self.wpe.clone()));
        let tied = self.config.tie_word_embeddings;
        if tied {
            take(&mut self.wte);
        }
        self.lm_head = f(take(&mut self.lm_head), Side::Columns)?;
        if tied {
            self.wte = self.lm_head.clone();
        }
        for block in &mut self.blocks {
            for p in [&mut block.c_attn, &mut block.attn_proj, &mut block.c_fc, &mut block.mlp_proj] {
                p.weight = f(take(&mut p.weight), Side::Rows)?;
            }
        }
        Ok(())
    }

    /// The weights by checkpoint names, as [`Gpt2::from_tensors`] takes them; memory is shared where nothing is packed.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn tensors(&self) -> Result<HashMap<String, Tensor>> {
        let mut all = HashMap::new();
        let mut put = |name: String, tensor: &Tensor| all.insert(name, tensor.clone());
        put("wte.weight".to_owned(), &self.wte.tensor()?);
        put("wpe.weight".to_owned(), &self.wpe);
        for (l, b) in self.blocks.iter().enumerate() {
            for (name, norm) in [("ln_1", &b.ln_1), ("ln_2", &b.ln_2)] {
                put(format!("h.{l}.{name}.weight"), &norm.gain);
                put(format!("h.{l}.{name}.bias"), &norm.bias);
            }
            let projections = [
                ("attn.c_attn", &b.c_attn),
                ("attn.c_proj", &b.attn_proj),
                ("mlp.c_fc", &b.c_fc),
                ("mlp.c_proj", &b.mlp_proj),
            ];
            for (name, p) in projections {
                put(format!("h.{l}.{name}.weight"), &p.weight.tensor()?);
                put(format!("h.{l}.{name}.bias"), &p.bias);
            }
        }
        put("ln_f.weight".to_owned(), &self.ln_f.gain);
        put("ln_f.bias".to_owned(), &self.ln_f.bias);
        if !self.config.tie_word_embeddings {
            put("lm_head.weight".to_owned(), &self.lm_head.tensor()?);
        }
        Ok(all)
    }

    /// The attention rule of `layer`, without a bias.
    pub fn attention(&self, layer: usize) -> Attention {
        Attention {
            heads: self.config.n_head,
            scale: self.config.attention_scale(layer),
            causal: true,
            bias: None,
            noise: self.noise.and_then(|n| n.attention(self.config.n_layer, layer)),
        }
    }

    /// One block over residual rows `x` `[…, D]`. `attend` turns the packed projection `[…, 3D]` of these rows into
    /// the heads' output `[…, D]`; it is where caches, masks and traces come in.
    pub fn block(
        &self,
        layer: usize,
        x: &Tensor,
        attend: impl FnOnce(Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let w = &self.blocks[layer];
        let eps = self.config.layer_norm_epsilon;
        let drop = |x: Tensor, site: usize| Noise::apply(self.noise, x, site + 2 * layer);
        let heads = attend(w.c_attn.apply(&layer_norm(x, &w.ln_1.gain, &w.ln_1.bias, eps)?)?)?;
        // The residual stream keeps its own format, whatever the branches compute in.
        let x = (x + drop(w.attn_proj.apply(&heads)?, 1)?.to_dtype(x.dtype())?)?;
        let hidden = w.c_fc.apply(&layer_norm(&x, &w.ln_2.gain, &w.ln_2.bias, eps)?)?;
        &x + drop(w.mlp_proj.apply(&activate(&hidden, self.activation)?)?, 2)?.to_dtype(x.dtype())?
    }

    /// [`Gpt2::block`] with attention after `rule`: the next rows, and the packed projection `[B, T, 3D]`, which no gradient
    /// leaves. One operator on the CPU's kernels, differentiable by [`crate::tensor::gradients`] alone.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn ruled_block(&self, layer: usize, x: &Tensor, rule: Attention) -> Result<(Tensor, Tensor)> {
        if way(x.device()) == Way::Host && self.blocks[layer].is_one_operator(x.track_op()) {
            return self.host_train_block(layer, x, rule);
        }
        let mut packed = None;
        let next = self.block(layer, x, |qkv| {
            packed = Some(qkv.detach());
            rule.packed(&qkv)
        })?;
        let Some(packed) = packed else { bail!("the block did not ask for attention") };
        Ok((next, packed))
    }

    /// The final layer norm.
    pub fn final_norm(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.ln_f.gain, &self.ln_f.bias, self.config.layer_norm_epsilon)
    }

    /// The differentiable pass over a batch: `embedded` `[B, T, D]` (token plus position embeddings) to the states after
    /// `ln_f`, `[B, T, D]`. `bias` is added to every layer's scores, `[B | 1, 1, T, T]`; with `causal` off it alone
    /// decides what is visible.
    pub fn forward_batch(&self, embedded: &Tensor, bias: Option<&Tensor>, causal: bool) -> Result<Tensor> {
        let mut x = Noise::apply(self.noise, embedded.clone(), 0)?;
        for layer in 0..self.config.n_layer {
            let rule = Attention { bias: bias.cloned(), causal, ..self.attention(layer) };
            x = self.ruled_block(layer, &x, rule)?.0;
        }
        self.final_norm(&x)
    }

    /// Token plus position embeddings of `ids` `[B, T]` (row-major), `[B, T, D]`, differentiable.
    pub fn embed_batch(&self, ids: &[u32], batch: usize) -> Result<Tensor> {
        let t = ids.len() / batch.max(1);
        let tokens = self.wte.select(ids)?.reshape((batch, t, self.config.n_embd))?;
        tokens.broadcast_add(&self.wpe.narrow(0, 0, t)?)
    }
}
