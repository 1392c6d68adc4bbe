//! A model in training: which of its tensors are variables, the adapters beside them, and what a checkpoint of it
//! holds. Knows nothing of batches and steps.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};

use super::TrainError;
use super::arm::{MASK_ROW, mean_embedding};
use super::init::uniform;
use super::spec::{LoraSpec, Precision, Trained};
use crate::model::family::{Parameter, ParameterRole};
use crate::model::layers::{Dropout, LowRank};
use crate::model::{Config, Model};
use crate::tensor::device::on_host;
use crate::tensor::host;

/// A model in training.
pub struct Trainee {
    /// What moves, by name, in a fixed order: checkpoint names, then adapters (`….lora_A`, `….lora_B`), then the
    /// `[MASK]` row.
    pub vars: Vec<(String, Var)>,
    /// Reads the variables; its output matrix leaves out an adapter on it (see [`Trainee::current`]).
    pub model: Model,
    /// Every checkpoint tensor, variables included; memory is shared.
    tensors: HashMap<String, Tensor>,
    lora: Option<LoraSpec>,
    /// Where the adapters are.
    sites: Vec<Site>,
    head_adapter: Option<LowRank>,
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
        for parameter in config.named_parameters() {
            let moves = moves(&parameter, trained, config);
            let name = parameter.name;
            let tensor =
                tensors.get(&name).ok_or_else(|| TrainError::setup(format!("tensor {name} is missing")))?;
            if moves {
                // Copies, so that a model that is open elsewhere does not change.
                let var = Var::from_tensor(tensor)?;
                shared.insert(name.clone(), var.as_tensor().clone());
                vars.push((name, var));
            } else {
                shared.insert(name, tensor.detach());
            }
        }
        let model = Model::from_tensors(config, &shared, device)?;
        let mut trainee = Trainee {
            vars,
            model,
            tensors: shared,
            lora: None,
            sites: Vec::new(),
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
        self.sites = sites(lora, &self.model.config)?;
        if lora.dropout > 0.0 && self.sites.iter().any(|site| site.layer.is_none()) {
            return Err(TrainError::Setup {
                problem: "LoRA dropout does not reach an adapter on the output matrix".to_owned(),
                hint: Some(
                    "leave the output matrix out of --lora-targets, or set --lora-dropout 0".to_owned(),
                ),
            });
        }
        for (at, site) in self.sites.iter().enumerate() {
            let (inner, out) = site.sizes;
            // As PEFT starts: A uniform in ±1/√in (Kaiming with a = √5), B zero, so that nothing changes at first.
            let bound = 1.0 / (inner as f64).sqrt();
            let down = Tensor::from_vec(
                uniform(inner * lora.rank, bound, seed, at as u32),
                (inner, lora.rank),
                device,
            )?;
            let down = Var::from_tensor(&down)?;
            let up = Var::zeros((lora.rank, out), DType::F32, device)?;
            let adapter =
                LowRank { down: down.as_tensor().clone(), up: up.as_tensor().clone(), scale, noise: None };
            self.vars.push((format!("{}.lora_A", site.module), down));
            self.vars.push((format!("{}.lora_B", site.module), up));
            if site.layer.is_none() {
                self.head_adapter = Some(adapter);
            } else if let Some(projection) = self.model.projection_mut(&site.module) {
                projection.adapter = Some(adapter);
            } else {
                return Err(TrainError::setup(format!("{} cannot take an adapter", site.module)));
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

    /// Adds a `[MASK]` row to the variables, starting at `row` or at the mean of all token embeddings, `[D]`.
    pub fn add_mask_row(&mut self, row: Option<Vec<f32>>) -> Result<Var, TrainError> {
        let width = self.model.config.n_embd;
        let row = match row {
            Some(row) => Tensor::from_vec(row, width, &self.model.device)?,
            None => mean_embedding(&self.model.embedding.tensor()?)?,
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
    pub fn current(&self) -> Result<Model, TrainError> {
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

    /// The same with dropout on the inputs of adapters, every draw of it decided by `key`.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn current_dropping(&self, key: u64) -> Result<Model, TrainError> {
        let mut model = self.current()?;
        let rate = self.lora.as_ref().map_or(0.0, |lora| lora.dropout);
        if rate > 0.0 {
            let (dropout, mut at) = (Dropout { rate, key }, 0);
            let layers = model.config.n_layer;
            model.change_projections(|projection| {
                if let Some(adapter) = &mut projection.adapter {
                    adapter.noise = dropout.adapter(layers, at);
                    at += 1;
                }
                Ok(())
            })?;
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

    /// Where the adapters are.
    pub fn sites(&self) -> &[Site] {
        &self.sites
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
        for Site { module, layer, .. } in &self.sites {
            let get = |part: &str| {
                self.var(&format!("{module}.{part}"))
                    .map(|v| v.as_tensor().detach())
                    .ok_or_else(|| TrainError::setup(format!("adapter {module} is missing")))
            };
            let delta = (get("lora_A")?.matmul(&get("lora_B")?)? * scale)?;
            let weight = format!("{module}.weight");
            let merged = if layer.is_none() {
                config.tie_word_embeddings = false;
                (self.model.lm_head.detach().tensor()? + delta.t()?)?
            } else {
                (&tensors[&weight] + delta)?
            };
            tensors.insert(weight, merged);
        }
        Ok((config, tensors))
    }

    /// A copy of the model as it is now, adapters merged, that later steps do not change.
    pub fn snapshot(&self) -> Result<Model, TrainError> {
        let (config, tensors) = self.merged()?;
        let copied = tensors
            .into_iter()
            .map(|(name, tensor)| Ok((name, tensor.copy()?)))
            .collect::<Result<HashMap<_, _>, candle_core::Error>>()?;
        Ok(Model::from_tensors(&config, &copied, &self.model.device)?)
    }

    /// Values of the `[MASK]` row, where there is one.
    pub fn mask_row(&self) -> Result<Option<Vec<f32>>, TrainError> {
        Ok(self.var(MASK_ROW).map(|v| host::values(v.as_tensor())).transpose()?)
    }
}

/// The model with its matrices as bf16 for products (mixed precision, 1710.03740): what is differentiated are the f32
/// variables behind them. Embeddings, layer norms and the residual stream stay f32.
fn rounded(model: &mut Model) -> Result<(), candle_core::Error> {
    model.lm_head = model.lm_head.rounded()?;
    model.change_projections(|p| {
        p.weight = p.weight.rounded()?;
        p.bias = p.bias.to_dtype(DType::BF16)?;
        Ok(())
    })
}

/// Whether a parameter is a variable under `trained`.
fn moves(parameter: &Parameter, trained: &Trained, config: &Config) -> bool {
    match trained {
        Trained::All => true,
        Trained::LayerNorms => parameter.role.is_norm(),
        Trained::Lora(_) => false,
        Trained::LastBlocks(k) => match parameter.layer {
            Some(layer) => layer + k >= config.n_layer,
            None => parameter.role.is_norm(),
        },
    }
}

/// A matrix with an adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// The parameter's name without `.weight`.
    pub module: String,
    /// What it is called in [`LoraSpec::targets`].
    pub target: &'static str,
    /// `None` for the output matrix.
    pub layer: Option<usize>,
    /// Rows in and out.
    pub sizes: (usize, usize),
}

/// Every matrix that gets an adapter, block by block, the output matrix last.
///
/// # Errors
/// A target that the model's family does not have.
pub fn sites(lora: &LoraSpec, config: &Config) -> Result<Vec<Site>, TrainError> {
    let names = config.family.conventions();
    if let Some(word) = lora.targets.unknown(names.targets) {
        return Err(TrainError::Setup {
            problem: format!("a {} has no matrix {word}", names.label),
            hint: Some(format!("it has {}", names.targets.join(", "))),
        });
    }
    let site = |p: Parameter| {
        let ends = |target: &&&str| p.module().strip_suffix(**target).is_some_and(|rest| rest.ends_with('.'));
        let target = *names.targets.iter().find(ends)?;
        let sizes = (*p.shape.first()?, *p.shape.get(1)?);
        let wanted = p.role.is_matrix() && lora.targets.contains(target, p.role);
        wanted.then(|| Site { module: p.module().to_owned(), target, layer: p.layer, sizes })
    };
    let mut all: Vec<Site> = config.named_parameters().into_iter().filter_map(site).collect();
    let head = names.head_module();
    if lora.targets.contains(head, ParameterRole::Head) {
        let sizes = (config.n_embd, config.vocab_size);
        all.push(Site { module: head.to_owned(), target: head, layer: None, sizes });
    }
    Ok(all)
}
