//! A snapshot's files to a model and its tokenizer, everything checked before memory is taken for it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::config::Config;
use super::error::ModelError;
use super::gpt2::Gpt2;
use super::pickle;
use super::tokenizer::Tokenizer;
use super::weights::{self, Source};

/// Largest JSON that is read as a configuration, an index or a tokenizer.
const MAX_JSON: u64 = 64 << 20;

/// Where the weights are.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightFiles {
    Safetensors(Vec<PathBuf>),
    Pickle(Vec<PathBuf>),
}

/// The files of one snapshot.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelFiles {
    Folder(PathBuf),
    Embedded { config: &'static [u8], tokenizer: &'static [u8], weights: &'static [u8] },
}

/// A loaded checkpoint.
pub struct Checkpoint {
    pub model: Gpt2,
    /// `None` where the folder has no tokenizer: ids can be run, text cannot.
    pub tokenizer: Option<Tokenizer>,
}

impl Checkpoint {
    /// Reads configuration, tokenizer and weights.
    pub fn load(files: &ModelFiles, device: &Device) -> Result<Self, ModelError> {
        let (config, tokenizer, tensors) = match files {
            ModelFiles::Embedded { config, tokenizer, weights } => {
                let config = Config::parse(config, "bundled config.json")?;
                let tokenizer = Tokenizer::from_json(tokenizer, "bundled tokenizer.json")?;
                let tensors = weights::load(&config, &[Source::Embedded(weights)], device)?;
                (config, Some(tokenizer), tensors)
            }
            ModelFiles::Folder(folder) => {
                let path = folder.join("config.json");
                let bytes = read_limited(&path)?;
                let config = Config::parse(&bytes, &path.display().to_string())?;
                let tokenizer = Tokenizer::from_folder(folder, &raw(&bytes))?;
                let tensors = read_weights(&config, &find_weights(folder)?, device)?;
                (config, tokenizer, tensors)
            }
        };
        Ok(Checkpoint { model: Gpt2::from_tensors(&config, &tensors, device)?, tokenizer })
    }
}

/// `config.json` as it is written: a tokenizer looks for fields that the model has no use for.
fn raw(config: &[u8]) -> serde_json::Value {
    serde_json::from_slice(config).unwrap_or_default()
}

/// A small file's bytes.
fn read_limited(path: &Path) -> Result<Vec<u8>, ModelError> {
    let name = path.display().to_string();
    let length =
        std::fs::metadata(path).map_err(|e| ModelError::file(&name, format!("cannot be read: {e}")))?.len();
    if length > MAX_JSON {
        return Err(ModelError::file(
            &name,
            format!("is {length} bytes long, more than {MAX_JSON} for such a file"),
        ));
    }
    std::fs::read(path).map_err(|e| ModelError::file(&name, format!("cannot be read: {e}")))
}

/// Finds the weights of a checkpoint folder: safetensors (single, then sharded), then PyTorch pickles.
pub fn find_weights(folder: &Path) -> Result<WeightFiles, ModelError> {
    for (single, index, safe) in [
        ("model.safetensors", "model.safetensors.index.json", true),
        ("pytorch_model.bin", "pytorch_model.bin.index.json", false),
    ] {
        let paths = if folder.join(single).is_file() {
            vec![folder.join(single)]
        } else if folder.join(index).is_file() {
            shards(folder, index)?
        } else {
            continue;
        };
        return Ok(if safe { WeightFiles::Safetensors(paths) } else { WeightFiles::Pickle(paths) });
    }
    Err(ModelError::file(
        folder.display().to_string(),
        "has no model.safetensors, no sharded safetensors and no pytorch_model.bin",
    ))
}

/// The shard files that an index names; they must lie in the same folder.
fn shards(folder: &Path, index: &str) -> Result<Vec<PathBuf>, ModelError> {
    let path = folder.join(index);
    let name = path.display().to_string();
    let json: serde_json::Value = serde_json::from_slice(&read_limited(&path)?)
        .map_err(|e| ModelError::file(&name, format!("not valid JSON: {e}")))?;
    let map = json
        .get("weight_map")
        .and_then(|m| m.as_object())
        .ok_or_else(|| ModelError::file(&name, "field weight_map is missing or not a map"))?;
    let mut files = BTreeSet::new();
    for (tensor, file) in map {
        let file = file.as_str().unwrap_or_default();
        if file.is_empty() || Path::new(file).components().count() != 1 || file.starts_with('.') {
            return Err(ModelError::file(
                &name,
                format!("weight_map names {file:?} for {tensor}, not a file beside it"),
            ));
        }
        files.insert(folder.join(file));
    }
    if let Some(missing) = files.iter().find(|f| !f.is_file()) {
        return Err(ModelError::file(&name, format!("shard {} is missing", missing.display())));
    }
    Ok(files.into_iter().collect())
}

fn read_weights(
    config: &Config,
    files: &WeightFiles,
    device: &Device,
) -> Result<HashMap<String, Tensor>, ModelError> {
    match files {
        WeightFiles::Safetensors(paths) => {
            let sources = paths.iter().map(|p| Source::open(p)).collect::<Result<Vec<_>, _>>()?;
            weights::load(config, &sources, device)
        }
        WeightFiles::Pickle(paths) => pickle::load(config, paths, device),
    }
}
