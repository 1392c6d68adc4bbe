//! What a model family is to the rest of the program: how its checkpoints look ([`Family`]) and what its weights in memory
//! compute ([`super::network::Network`]). A family is a folder beside this file and a line in [`FAMILIES`].

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::config::Config;
use super::config_json::{self, Fields};
use super::error::ModelError;
use super::formats::Format;
use super::network::Network;
use super::weights::Assembled;

/// Every family, one line each.
pub static FAMILIES: &[&dyn Family] = &[
    &super::gpt2::Gpt2,
    #[cfg(test)]
    &super::rotary::Rotary,
];

/// How a family writes its checkpoints.
#[derive(Debug)]
pub struct Conventions {
    /// `model_type` of its `config.json`.
    pub model_type: &'static str,
    /// What a person calls it.
    pub label: &'static str,
    /// Models of it on the Hub, for hints.
    pub examples: &'static [&'static str],
    /// What a saved `config.json` names under `architectures`.
    pub architecture: &'static str,
    /// Other names of the fields that [`Family::fields`] writes; they are not written again.
    pub aliases: &'static [&'static str],
    /// Stands before every name but the output matrix's.
    pub prefix: &'static str,
    /// Name of the token embeddings, `[V, D]`.
    pub embedding: &'static str,
    /// Name of the output matrix, `[V, D]`, beside the prefix.
    pub head: &'static str,
    /// What may lie beside the trunk for other tasks: the start of its names, and whose it is.
    pub other_heads: &'static [(&'static str, &'static str)],
    pub layout: WeightLayout,
    /// Ends of the module names that LoRA may adapt, as PEFT's `target_modules` match them; the output matrix last.
    pub targets: &'static [&'static str],
}

impl Conventions {
    /// The output matrix's module.
    pub fn head_module(&self) -> &'static str {
        self.head.trim_end_matches(".weight")
    }

    /// A name as a checkpoint has it.
    pub fn full_name(&self, name: &str) -> String {
        if name.starts_with(self.head_module()) { name.to_owned() } else { format!("{}{name}", self.prefix) }
    }
}

/// How the matrices of blocks lie in a checkpoint; in memory they are `[in, out]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// `[in, out]`, as transformers' `Conv1D`.
    InOut,
    /// `[out, in]`, as PyTorch's `nn.Linear`.
    OutIn,
}

/// What a parameter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterRole {
    /// Token embeddings, `[V, D]`.
    Embedding,
    /// Position embeddings, `[n_positions, D]`.
    Positions,
    NormWeight,
    NormBias,
    /// A matrix that makes queries, keys or values, `[in, out]`.
    Attention,
    /// The matrix that takes the heads' output back to the residual stream.
    AttentionOutput,
    /// A matrix into the MLP's inner rows.
    Mlp,
    /// The matrix that takes them back to the residual stream.
    MlpOutput,
    /// Bias of a projection.
    Bias,
    /// The output matrix, `[V, D]`.
    Head,
}

impl ParameterRole {
    /// Whether it is a matrix of a block.
    pub fn is_matrix(self) -> bool {
        self.is_attention() || matches!(self, ParameterRole::Mlp | ParameterRole::MlpOutput)
    }

    /// Whether it is a matrix of the attention.
    pub fn is_attention(self) -> bool {
        matches!(self, ParameterRole::Attention | ParameterRole::AttentionOutput)
    }

    /// Whether it is added up in the residual stream, layer by layer.
    pub fn is_residual(self) -> bool {
        matches!(self, ParameterRole::AttentionOutput | ParameterRole::MlpOutput)
    }

    /// Whether it belongs to a norm.
    pub fn is_norm(self) -> bool {
        matches!(self, ParameterRole::NormWeight | ParameterRole::NormBias)
    }

    /// Whether it is added and not multiplied with.
    pub fn is_bias(self) -> bool {
        matches!(self, ParameterRole::Bias | ParameterRole::NormBias)
    }
}

/// One tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Without the prefix.
    pub name: String,
    /// As it is in memory.
    pub shape: Vec<usize>,
    /// The block it belongs to.
    pub layer: Option<usize>,
    pub role: ParameterRole,
}

impl Parameter {
    /// The name without `.weight`: that of the module whose weight it is.
    pub fn module(&self) -> &str {
        self.name.strip_suffix(".weight").unwrap_or(&self.name)
    }

    /// Number of values.
    pub fn elem_count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A checkpoint of another program, in one file, that a family reads.
pub struct Import {
    /// What that program calls it.
    pub file: &'static str,
    pub load: fn(&Path, &Device) -> Result<Assembled, ModelError>,
}

/// A kind of network with its checkpoints.
pub trait Family: Send + Sync {
    fn conventions(&self) -> &'static Conventions;

    /// Whether a `config.json` without `model_type` is of this family.
    ///
    /// # Errors
    /// What it is instead, in words that follow the file's name.
    fn claims(&self, _fields: &Fields) -> Result<(), String> {
        Err("model_type is missing".to_owned())
    }

    /// The sizes and the family's own fields of a `config.json`; token ids and all other fields are filled in by the caller.
    ///
    /// # Errors
    /// A field that is missing or makes no sense, in words that follow the file's name.
    fn read(&self, fields: &Fields) -> Result<Config, String>;

    /// A configuration's fields under the family's names, without token ids and [`Config::other`].
    fn fields(&self, config: &Config) -> Fields;

    /// Refuses values that the family cannot compute with; `file` names the configuration in errors.
    ///
    /// # Errors
    /// The field.
    fn check(&self, _config: &Config, _file: &str) -> Result<(), ModelError> {
        Ok(())
    }

    /// Every tensor of a model, in the order of its checkpoints; the output matrix last, where it is not tied.
    fn parameters(&self, config: &Config) -> Vec<Parameter>;

    /// Whether a tensor of a checkpoint is not a parameter but a buffer that is computed.
    fn is_buffer(&self, _name: &str) -> bool {
        false
    }

    /// The network of tensors named as [`Family::parameters`] says.
    ///
    /// # Errors
    /// A tensor that is missing; a value that [`Family::check`] refuses.
    fn network(&self, config: &Config, tensors: &Tensors) -> Result<Box<dyn Network>, ModelError>;

    /// Checkpoints of other programs.
    fn imports(&self) -> &'static [Import] {
        &[]
    }

    /// What opens, for the reference.
    fn formats(&self) -> &'static [Format] {
        &[]
    }
}

impl PartialEq for dyn Family {
    fn eq(&self, other: &Self) -> bool {
        self.conventions().model_type == other.conventions().model_type
    }
}

impl fmt::Debug for dyn Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.conventions().model_type)
    }
}

/// Tensors by the names of parameters.
pub struct Tensors<'a>(pub &'a HashMap<String, Tensor>);

impl Tensors<'_> {
    /// The tensor of this name, shared.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, name: &str) -> Result<Tensor, ModelError> {
        let missing = || ModelError::file("weights", format!("tensor {name} is missing"));
        self.0.get(name).cloned().ok_or_else(missing)
    }
}

/// The family that a `config.json` is of.
///
/// # Errors
/// What it is instead, in words that follow the file's name.
pub fn of(fields: &Fields) -> Result<&'static dyn Family, String> {
    if let Some(kind) = config_json::text(fields, "model_type") {
        let known = |family: &&&dyn Family| family.conventions().model_type == kind;
        return FAMILIES.iter().find(known).copied().ok_or_else(|| {
            let types: Vec<String> =
                FAMILIES.iter().map(|f| format!("{:?}", f.conventions().model_type)).collect();
            format!("model_type is {kind:?}, not {}", types.join(" or "))
        });
    }
    let mut reasons = Vec::new();
    for family in FAMILIES {
        match family.claims(fields) {
            Ok(()) => return Ok(*family),
            Err(reason) => reasons.push(reason),
        }
    }
    // The first family is the one whose old files have no type.
    Err(reasons.into_iter().next().unwrap_or_default())
}

/// Which models open, as a hint.
pub fn hint() -> String {
    let each: Vec<String> = FAMILIES
        .iter()
        .map(|family| {
            let names = family.conventions();
            format!("models of the {} family work, e.g. {}", names.label, names.examples.join(" or "))
        })
        .collect();
    each.join("; ")
}

/// The checkpoints of other programs that some family reads.
pub fn imports() -> impl Iterator<Item = &'static Import> {
    FAMILIES.iter().flat_map(|family| family.imports())
}

/// Ends of all module names that LoRA may adapt in some family.
pub fn adapter_targets() -> Vec<&'static str> {
    let mut all: Vec<&str> = Vec::new();
    for target in FAMILIES.iter().flat_map(|family| family.conventions().targets) {
        if !all.contains(target) {
            all.push(target);
        }
    }
    all
}
