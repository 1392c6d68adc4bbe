//! A language model of any family: token embeddings, the family's network, the output matrix.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Result, Tensor, bail};

use super::config::{Config, WeightType};
use super::error::ModelError;
use super::family::{Parameter, Tensors};
use super::host::is_one_operator;
use super::layers::{Dropout, Projection};
use super::network::{BlockInput, Network, Positions, WeightPart};
use super::weight::{Side, Weight};
use crate::tensor::attention::Attention;
use crate::tensor::device::{Way, on_host, way};
use crate::tensor::host;

/// A model on one device. Cloning shares the weights.
pub struct Model {
    pub config: Config,
    /// Token embeddings, `[V, D]`.
    pub embedding: Weight,
    pub(super) network: Box<dyn Network>,
    /// `[V, D]`; the same matrix as the embeddings where the checkpoint ties them.
    pub lm_head: Weight,
    /// Dropout in force; `None` but in training passes.
    pub dropout: Option<Dropout>,
    /// Blocks keep nothing for the way back, and are computed again there.
    pub recomputes: bool,
    pub device: Device,
    /// Set where the weights never change: what is derived from them is kept.
    frozen: Option<Arc<Frozen>>,
}

impl Clone for Model {
    fn clone(&self) -> Self {
        Model {
            config: self.config.clone(),
            embedding: self.embedding.clone(),
            network: self.network.boxed(),
            lm_head: self.lm_head.clone(),
            dropout: self.dropout,
            recomputes: self.recomputes,
            device: self.device.clone(),
            frozen: self.frozen.clone(),
        }
    }
}

/// Derived from weights that never change, made when first asked for.
#[derive(Default)]
struct Frozen {
    /// `W_O W_Oᵀ` of every head, layer-major.
    grams: OnceLock<Arc<Vec<Vec<f32>>>>,
}

impl Model {
    /// Builds the model from tensors named as in [`Config::named_parameters`].
    ///
    /// # Errors
    /// When a tensor is missing; shapes are the loader's duty.
    pub fn from_tensors(
        config: &Config,
        tensors: &HashMap<String, Tensor>,
        device: &Device,
    ) -> std::result::Result<Self, ModelError> {
        let (names, tensors) = (config.family.conventions(), Tensors(tensors));
        let embedding = Weight::from(tensors.get(names.embedding)?);
        let lm_head =
            if config.tie_word_embeddings { embedding.clone() } else { tensors.get(names.head)?.into() };
        Ok(Model {
            network: config.family.network(config, &tensors)?,
            embedding,
            lm_head,
            dropout: None,
            recomputes: false,
            device: device.clone(),
            frozen: None,
            config: config.clone(),
        })
    }

    /// The same model, for weights that never change. On the CPU its matrices are packed for products, one at a time: two
    /// copies of one matrix, not of all, are in memory at once.
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
            self.embedding = self.embedding.rounded()?;
        }
        self.frozen = self.frozen.is_some().then(Arc::default);
        Ok(self)
    }

    /// Puts what `f` makes of every matrix that a product reads in its place. Embeddings follow the output matrix they are
    /// tied to.
    fn change_matrices(&mut self, f: impl Fn(Weight, Side) -> Result<Weight>) -> Result<()> {
        let nothing = Tensor::zeros((1, 1), DType::F32, &Device::Cpu)?;
        // Taken out, so that the old matrix has no other holder when `f` has made the new one.
        let take = |weight: &mut Weight| std::mem::replace(weight, Weight::Tensor(nothing.clone()));
        let tied = self.config.tie_word_embeddings;
        if tied {
            take(&mut self.embedding);
        }
        self.lm_head = f(take(&mut self.lm_head), Side::Columns)?;
        if tied {
            self.embedding = self.lm_head.clone();
        }
        self.change_projections(|p| {
            p.weight = f(take(&mut p.weight), Side::Rows)?;
            Ok(())
        })
    }

    /// Changes every projection of the blocks.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn change_projections(&mut self, mut f: impl FnMut(&mut Projection) -> Result<()>) -> Result<()> {
        for (_, part) in self.network.parts() {
            if let WeightPart::Projection(projection) = part {
                f(projection)?;
            }
        }
        Ok(())
    }

    /// The projection of a module, by its name without the prefix.
    pub fn projection_mut(&mut self, module: &str) -> Option<&mut Projection> {
        self.network.parts().into_iter().find_map(|(name, part)| match part {
            WeightPart::Projection(projection) if name == module => Some(projection),
            _ => None,
        })
    }

    /// The model without gradients and dropout; with `copy`, its weights as they are now, whatever training does later.
    /// Otherwise it shares them. Its output matrix is the embeddings, adapters on it are left out.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn detached(&self, copy: bool) -> Result<Self> {
        let owned = |t: &Tensor| if copy { t.detach().copy() } else { Ok(t.detach()) };
        let mut out = self.with_weights_of(&owned)?;
        out.dropout = None;
        out.change_projections(|p| {
            if let Some(adapter) = &mut p.adapter {
                adapter.noise = None;
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// The same pass, dropout included, whose weights lead to no variable.
    ///
    /// # Errors
    /// Of the tensor library.
    pub(super) fn without_graph(&self) -> Result<Self> {
        self.with_weights_of(&|t: &Tensor| Ok(t.detach()))
    }

    fn with_weights_of(&self, owned: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let own = |t: &mut Tensor| -> Result<()> {
            *t = owned(t)?;
            Ok(())
        };
        let mut out = Model { recomputes: false, ..self.clone() };
        out.embedding.change(owned)?;
        out.lm_head = out.embedding.clone();
        for (_, part) in out.network.parts() {
            match part {
                WeightPart::Tensor(tensor) => own(tensor)?,
                WeightPart::Projection(p) => {
                    p.weight.change(owned)?;
                    own(&mut p.bias)?;
                    if let Some(adapter) = &mut p.adapter {
                        own(&mut adapter.down)?;
                        own(&mut adapter.up)?;
                    }
                }
            }
        }
        Ok(out)
    }

    /// Every parameter with its weight, in the order of checkpoints; memory is shared.
    pub fn named_weights(&self) -> Vec<(Parameter, Weight)> {
        let names = self.config.family.conventions();
        let mut known: HashMap<String, Weight> = HashMap::new();
        let mut network = self.network.boxed();
        for (name, part) in network.parts() {
            match part {
                WeightPart::Tensor(tensor) => {
                    known.insert(name, tensor.clone().into());
                }
                WeightPart::Projection(p) => {
                    known.insert(format!("{name}.weight"), p.weight.clone());
                    known.insert(format!("{name}.bias"), p.bias.clone().into());
                }
            }
        }
        known.insert(names.embedding.to_owned(), self.embedding.clone());
        known.insert(names.head.to_owned(), self.lm_head.clone());
        let all = self.config.named_parameters().into_iter();
        all.filter_map(|p| known.remove(&p.name).map(|weight| (p, weight))).collect()
    }

    /// The weights by checkpoint names, as [`Model::from_tensors`] takes them; memory is shared where nothing is packed.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn tensors(&self) -> Result<HashMap<String, Tensor>> {
        self.named_weights().into_iter().map(|(p, weight)| Ok((p.name, weight.tensor()?))).collect()
    }

    /// The attention rule of `layer`, without a bias.
    pub fn attention(&self, layer: usize) -> Attention {
        let noise = self.dropout.and_then(|dropout| dropout.attention(self.config.n_layer, layer));
        Attention { noise, ..self.network.attention(layer) }
    }

    /// One block over residual rows `x` `[…, D]`. `attend` turns the packed projection `[…, 3D]` of these rows into
    /// the heads' output `[…, D]`; it is where caches, masks and traces come in.
    ///
    /// # Errors
    /// Of the tensor library; those of `attend`.
    pub fn block(
        &self,
        (layer, positions): (usize, Positions),
        x: &Tensor,
        attend: impl FnOnce(Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let dropout = self.dropout.map_or([None, None], |dropout| dropout.branches(layer));
        let mut attend = Some(attend);
        let mut once = |packed| match attend.take() {
            Some(attend) => attend(packed),
            None => bail!("a block asks for attention once"),
        };
        self.network.block(&BlockInput { layer, x, positions, dropout }, &mut once)
    }

    /// [`Model::block`] with attention after `rule`: the next rows, and the packed projection `[B, T, 3D]`, which no gradient
    /// leaves. One operator on the CPU's kernels, differentiable by [`crate::tensor::gradients`] alone.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn ruled_block(
        &self,
        (layer, positions): (usize, Positions),
        x: &Tensor,
        rule: Attention,
    ) -> Result<(Tensor, Tensor)> {
        if way(x.device()) == Way::Host
            && let Some(block) = self.network.host_block(layer)
            && is_one_operator(&*block, x.track_op())
        {
            return self.host_train_block(block, (layer, x), rule);
        }
        if self.recomputes {
            return self.block_again((layer, positions), x, rule);
        }
        let mut packed = None;
        let next = self.block((layer, positions), x, |qkv| {
            packed = Some(qkv.detach());
            rule.packed(&qkv)
        })?;
        let Some(packed) = packed else { bail!("the block did not ask for attention") };
        Ok((next, packed))
    }

    /// The norm after the last block.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn final_norm(&self, x: &Tensor) -> Result<Tensor> {
        self.network.final_norm(x)
    }

    /// The projection that takes the heads' output of a layer back to the residual stream.
    pub fn attention_output(&self, layer: usize) -> &Projection {
        self.network.attention_output(layer)
    }

    /// The differentiable pass over a batch: `embedded` `[B, T, D]` (as of [`Model::embed_batch`]) to the states after the final
    /// norm, `[B, T, D]`. `bias` is added to every layer's scores, `[B | 1, 1, T, T]`; with `causal` off it alone
    /// decides what is visible. Rows stand at `positions`.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn forward_batch_at(
        &self,
        embedded: &Tensor,
        positions: Positions,
        bias: Option<&Tensor>,
        causal: bool,
    ) -> Result<Tensor> {
        let mut x = Dropout::embeddings(self.dropout, embedded.clone())?;
        for layer in 0..self.config.n_layer {
            let rule = Attention { bias: bias.cloned(), causal, ..self.attention(layer) };
            x = self.ruled_block((layer, positions), &x, rule)?.0;
        }
        self.final_norm(&x)
    }

    /// [`Model::forward_batch_at`] for sequences that start at position 0.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn forward_batch(&self, embedded: &Tensor, bias: Option<&Tensor>, causal: bool) -> Result<Tensor> {
        self.forward_batch_at(embedded, Positions::Counted, bias, causal)
    }

    /// The first block's input for token embeddings `[…, D]`.
    ///
    /// # Errors
    /// Positions past the context.
    pub fn embed(&self, tokens: Tensor, positions: Positions) -> Result<Tensor> {
        self.network.embed(tokens, positions)
    }

    /// The first block's input for `ids` `[B, T]` (row-major) of sequences that start at position 0, `[B, T, D]`, differentiable.
    ///
    /// # Errors
    /// An id without a row.
    pub fn embed_batch(&self, ids: &[u32], batch: usize) -> Result<Tensor> {
        let t = ids.len() / batch.max(1);
        let tokens = self.embedding.select(ids)?.reshape((batch, t, self.config.n_embd))?;
        self.embed(tokens, Positions::Counted)
    }

    /// `W_O W_Oᵀ` of every head, layer-major; kept where the weights never change.
    pub(super) fn grams(&self) -> Result<Arc<Vec<Vec<f32>>>> {
        let Some(frozen) = &self.frozen else { return self.output_grams().map(Arc::new) };
        if let Some(known) = frozen.grams.get() {
            return Ok(known.clone());
        }
        let grams = Arc::new(self.output_grams()?);
        Ok(frozen.grams.get_or_init(|| grams).clone())
    }

    fn output_grams(&self) -> Result<Vec<Vec<f32>>> {
        let d = self.config.head_dim();
        let mut all = Vec::with_capacity(self.config.n_layer * self.config.n_head);
        for layer in 0..self.config.n_layer {
            let weight = self.attention_output(layer).weight.tensor()?;
            for head in 0..self.config.n_head {
                let rows = weight.narrow(0, head * d, d)?.to_dtype(DType::F32)?.contiguous()?;
                all.push(host::values(&rows.matmul(&rows.t()?)?)?);
            }
        }
        Ok(all)
    }
}
