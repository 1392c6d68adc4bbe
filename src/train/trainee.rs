//! A model in training: which of its tensors are variables, the adapters beside them, and what a checkpoint of it
//! holds. Knows nothing of batches and steps.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};

use super::TrainError;
use super::arm::{MASK_ROW, mean_embedding};
use super::init::uniform;
use super::spec::{LoraSpec, LoraTarget, Precision, Trained};
use crate::model::gpt2::Adapter;
use crate::model::{Config, Gpt2};
use crate::tensor::device::on_host;
use crate::tensor::host;

/// A model in training.
pub struct Trainee {
    /// What moves, by name, in a fixed order: checkpoint names, then adapters (`….lora_A`, `….lora_B`), then the
    /// `[MASK]` row.
    pub vars: Vec<(String, Var)>,
    /// Reads the variables; its output matrix leaves out an adapter on it (see [`Trainee::current`]).
    pub model: Gpt2,
    /// Every checkpoint tensor, variables included; memory is shared.
    tensors: HashMap<String, Tensor>,
    lora: Option<LoraSpec>,
    head_adapter: Option<Adapter>,
    precision: Precision,
}

impl Trainee {
    /// Every tensor a variable.
    pub fn new(
        config: &Config,
        tensors: &HashMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        Self::with(config, tensors, device, (&Trained::All, 0))
    }

    /// The tensors that `trained` names become variables, the others stay as they are; `seed` draws the adapters.
    ///
    /// # Errors
    /// A missing tensor, or more blocks than the model has.
    pub fn with(
        config: &Config,
        tensors: &HashMap<String, Tensor>,
        device: &Device,
        (trained, seed): (&Trained, u64),
    ) -> Result<Self, TrainError> {
        if let Trained::LastBlocks(k) = trained
            && *k > config.n_layer
        {
            let problem = format!("the model has {} blocks, fewer than the last {k}", config.n_layer);
            return Err(TrainError::setup(problem));
        }
        let mut vars = Vec::new();
        let mut shared = HashMap::new();
        for (name, _) in config.expected_tensors() {
            let tensor =
                tensors.get(&name).ok_or_else(|| TrainError::setup(format!("tensor {name} is missing")))?;
            if moves(&name, trained, config) {
                // Copies, so that a model that is open elsewhere does not change.
                let var = Var::from_tensor(tensor)?;
                shared.insert(name.clone(), var.as_tensor().clone());
                vars.push((name, var));
            } else {
                shared.insert(name, tensor.detach());
            }
        }
        let model = Gpt2::from_tensors(config, &shared, device)?;
        let mut trainee = Trainee {
            vars,
            model,
            tensors: shared,
            lora: None,
            head_adapter: None,
            precision: Precision::F32,
        };
        if let Trained::Lora(lora) = trained {
            trainee.adapt(lora, seed, device)?;
        }
        Ok(trainee)
    }

    fn adapt(&mut self, lora: &LoraSpec, seed: u64, device: &Device) -> Result<(), TrainError> {
        let scale = lora.alpha / lora.rank as f64;
        let sites = sites(lora, self.model.config.n_layer);
        for (at, (name, target, layer)) in sites.into_iter().enumerate() {
            let (inner, out) = {
                let weight = &self.tensors[&weight_name(&name, &self.model.config)];
                let (rows, cols) = weight.dims2()?;
                if target == LoraTarget::LmHead { (cols, rows) } else { (rows, cols) }
            };
            // As PEFT starts: A uniform in ±1/√in (Kaiming with a = √5), B zero, so that nothing changes at first.
            let bound = 1.0 / (inner as f64).sqrt();
            let down = Tensor::from_vec(
                uniform(inner * lora.rank, bound, seed, at as u32),
                (inner, lora.rank),
                device,
            )?;
            let down = Var::from_tensor(&down)?;
            let up = Var::zeros((lora.rank, out), DType::F32, device)?;
            let adapter = Adapter { down: down.as_tensor().clone(), up: up.as_tensor().clone(), scale };
            self.vars.push((format!("{name}.lora_A"), down));
            self.vars.push((format!("{name}.lora_B"), up));
            let Some(layer) = layer else {
                self.head_adapter = Some(adapter);
                continue;
            };
            let block = &mut self.model.blocks[layer];
            match target {
                LoraTarget::CAttn => block.c_attn.adapter = Some(adapter),
                LoraTarget::AttnProj => block.attn_proj.adapter = Some(adapter),
                LoraTarget::Fc => block.c_fc.adapter = Some(adapter),
                LoraTarget::MlpProj => block.mlp_proj.adapter = Some(adapter),
                LoraTarget::LmHead => {}
            }
        }
        self.lora = Some(lora.clone());
        Ok(())
    }

    /// In which format products run; variables stay f32.
    ///
    /// # Errors
    /// bf16 on the CPU, whose kernels take f32 alone.
    pub fn set_precision(&mut self, precision: Precision) -> Result<(), TrainError> {
        if precision == Precision::Bf16 && on_host(&self.model.device) {
            return Err(TrainError::Setup {
                problem: "training in bf16 needs a GPU, and this run is on the CPU".to_owned(),
                hint: Some("set train.precision to f32, or use --device cuda".to_owned()),
            });
        }
        self.precision = precision;
        Ok(())
    }

    /// Adds a `[MASK]` row to the variables, starting at `row` or at the mean of `wte`, `[D]`.
    pub fn add_mask_row(&mut self, row: Option<Vec<f32>>) -> Result<Var, TrainError> {
        let width = self.model.config.n_embd;
        let row = match row {
            Some(row) => Tensor::from_vec(row, width, &self.model.device)?,
            None => mean_embedding(&self.model.wte.tensor()?)?,
        };
        let var = Var::from_tensor(&row)?;
        self.vars.push((MASK_ROW.to_owned(), var.clone()));
        Ok(var)
    }

    /// The variable of this name.
    pub fn var(&self, name: &str) -> Option<&Var> {
        self.vars.iter().find(|(n, _)| n == name).map(|(_, var)| var)
    }

    /// The model of this very moment, differentiable; memory is shared.
    pub fn current(&self) -> Result<Gpt2, TrainError> {
        let mut model = self.model.clone();
        if let Some(adapter) = &self.head_adapter {
            let delta = (adapter.down.matmul(&adapter.up)?.t()? * adapter.scale)?;
            model.lm_head.change(|head| head + delta)?;
        }
        if self.precision == Precision::Bf16 {
            rounded(&mut model)?;
        }
        Ok(model)
    }

    /// What moves and what does not, without adapters, by checkpoint names; memory is shared with the variables.
    pub fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    pub fn lora(&self) -> Option<&LoraSpec> {
        self.lora.as_ref()
    }

    /// Numbers that move.
    pub fn trainable(&self) -> usize {
        self.vars.iter().map(|(_, v)| v.as_tensor().elem_count()).sum()
    }

    /// Configuration and tensors of a checkpoint, adapters merged in. Memory is shared where nothing was merged.
    pub fn merged(&self) -> Result<(Config, HashMap<String, Tensor>), TrainError> {
        let mut config = self.model.config.clone();
        let mut tensors: HashMap<String, Tensor> =
            self.tensors.iter().map(|(n, t)| (n.clone(), t.detach())).collect();
        let Some(lora) = &self.lora else { return Ok((config, tensors)) };
        let scale = lora.alpha / lora.rank as f64;
        for (name, target, _) in sites(lora, config.n_layer) {
            let get = |part: &str| {
                self.var(&format!("{name}.{part}"))
                    .map(|v| v.as_tensor().detach())
                    .ok_or_else(|| TrainError::setup(format!("adapter {name} is missing")))
            };
            let delta = (get("lora_A")?.matmul(&get("lora_B")?)? * scale)?;
            if target == LoraTarget::LmHead {
                let merged = (self.model.lm_head.detach().tensor()? + delta.t()?)?;
                config.tie_word_embeddings = false;
                tensors.insert("lm_head.weight".to_owned(), merged);
            } else {
                let weight = weight_name(&name, &config);
                let merged = (&tensors[&weight] + delta)?;
                tensors.insert(weight, merged);
            }
        }
        Ok((config, tensors))
    }

    /// A copy of the model as it is now, adapters merged, that later steps do not change.
    pub fn snapshot(&self) -> Result<Gpt2, TrainError> {
        let (config, tensors) = self.merged()?;
        let copied = tensors
            .into_iter()
            .map(|(name, tensor)| Ok((name, tensor.copy()?)))
            .collect::<Result<HashMap<_, _>, candle_core::Error>>()?;
        Ok(Gpt2::from_tensors(&config, &copied, &self.model.device)?)
    }

    /// Values of the `[MASK]` row, where there is one.
    pub fn mask_row(&self) -> Result<Option<Vec<f32>>, TrainError> {
        Ok(self.var(MASK_ROW).map(|v| host::values(v.as_tensor())).transpose()?)
    }
}

/// The model with its matrices as bf16 for products (mixed precision, 1710.03740): what is differentiated are the f32
/// variables behind them. Embeddings, layer norms and the residual stream stay f32.
fn rounded(model: &mut Gpt2) -> Result<(), candle_core::Error> {
    model.lm_head = model.lm_head.rounded()?;
    for block in &mut model.blocks {
        for p in [&mut block.c_attn, &mut block.attn_proj, &mut block.c_fc, &mut block.mlp_proj] {
            p.weight = p.weight.rounded()?;
            p.bias = p.bias.to_dtype(DType::BF16)?;
        }
    }
    Ok(())
}

/// Whether a checkpoint tensor is a variable under `trained`.
fn moves(name: &str, trained: &Trained, config: &Config) -> bool {
    match trained {
        Trained::All => true,
        Trained::LayerNorms => name.starts_with("ln_f.") || name.contains(".ln_"),
        Trained::Lora(_) => false,
        Trained::LastBlocks(k) => {
            let block =
                name.strip_prefix("h.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
            name.starts_with("ln_f.") || block.is_some_and(|l| l + k >= config.n_layer)
        }
    }
}

/// Every adapted matrix: its name without `.weight`, what it is, its layer.
pub fn sites(lora: &LoraSpec, n_layer: usize) -> Vec<(String, LoraTarget, Option<usize>)> {
    let mut all = Vec::new();
    for layer in 0..n_layer {
        for &target in LoraTarget::ALL {
            if target != LoraTarget::LmHead && lora.targets.contains(&target) {
                all.push((format!("h.{layer}.{target}"), target, Some(layer)));
            }
        }
    }
    if lora.targets.contains(&LoraTarget::LmHead) {
        all.push(("lm_head".to_owned(), LoraTarget::LmHead, None));
    }
    all
}

fn weight_name(site: &str, config: &Config) -> String {
    if site == "lm_head" && config.tie_word_embeddings {
        "wte.weight".to_owned()
    } else {
        format!("{site}.weight")
    }
}
