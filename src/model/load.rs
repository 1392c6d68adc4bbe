//! A snapshot's files to a model and its tokenizer, everything checked before memory is taken for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use candle_core::Device;

use super::adapter;
use super::config::Config;
use super::error::ModelError;
use super::family;
use super::language_model::Model;
use super::pickle;
use super::tokenizer::Tokenizer;
use super::weights::{self, Assembled, Source};
use crate::support::caught::caught;
use crate::support::files::{plain, whole};

/// Largest JSON that is read as a configuration, an index or a tokenizer.
const MAX_JSON: u64 = 64 << 20;

/// Where the weights are.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightFiles {
    Safetensors(Vec<PathBuf>),
    Pickle(Vec<PathBuf>),
}

/// What one model is read from.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelFiles {
    Folder(PathBuf),
    Embedded {
        config: &'static [u8],
        tokenizer: &'static [u8],
        weights: &'static [u8],
    },
    /// A checkpoint of another program; a tokenizer may lie beside it.
    File(PathBuf),
}

/// A loaded checkpoint.
pub struct Checkpoint {
    pub model: Model,
    /// `None` where the folder has no tokenizer: ids can be run, text cannot.
    pub tokenizer: Option<Tokenizer>,
    /// Worth a line to the person: what was ignored, what was used against expectation.
    pub notes: Vec<String>,
}

impl Checkpoint {
    /// Reads configuration, tokenizer and weights.
    ///
    /// # Errors
    /// What cannot be used, by file and field.
    pub fn load(files: &ModelFiles, device: &Device) -> Result<Self, ModelError> {
        Self::load_adapted(files, None, device)
    }

    /// As [`Checkpoint::load`], with the adapter in `adapter` added to the weights.
    ///
    /// # Errors
    /// As [`Checkpoint::load`]; an adapter that does not fit.
    pub fn load_adapted(
        files: &ModelFiles,
        adapter: Option<&Path>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        caught(|| Self::read(files, adapter, device)).unwrap_or_else(|| {
            let name = match files {
                ModelFiles::Embedded { .. } => "the bundled model".to_owned(),
                ModelFiles::Folder(path) | ModelFiles::File(path) => path.display().to_string(),
            };
            let problem = "a library failed on its files, which are probably damaged";
            Err(ModelError::file(name, problem).with_hint("fetch the files again, or choose another model"))
        })
    }

    fn read(files: &ModelFiles, adapter: Option<&Path>, device: &Device) -> Result<Self, ModelError> {
        let (assembled, mut tokenizer) = match files {
            ModelFiles::Embedded { config, tokenizer, weights } => {
                let config = Config::parse(config, "bundled config.json")?;
                let tokenizer = Tokenizer::from_json(tokenizer, "bundled tokenizer.json")?;
                (weights::load(&config, &[Source::Embedded(weights)], device)?, Some(tokenizer))
            }
            ModelFiles::Folder(folder) => {
                let path = folder.join("config.json");
                let bytes = read_limited(&path)?;
                let config = Config::parse(&bytes, &path.display().to_string())?;
                let tokenizer = Tokenizer::from_folder(folder, &raw(&bytes))?;
                (read_weights(&config, &find_weights(folder)?, device)?, tokenizer)
            }
            ModelFiles::File(file) => {
                let beside = |folder| Tokenizer::from_folder(folder, &serde_json::Value::Null);
                // The file first: what it is matters more than what lies beside it.
                let assembled = import(file, device)?;
                (assembled, file.parent().map(beside).transpose()?.flatten())
            }
        };
        let Assembled { mut config, mut tensors, notes } = assembled;
        if let Some(folder) = adapter {
            adapter::merge(folder, &mut config, &mut tensors)?;
            // An adapter that brought tokens of its own brought its tokenizer.
            let own = serde_json::to_value(&config).unwrap_or_default();
            tokenizer = Tokenizer::from_folder(folder, &own)?.or(tokenizer);
        }
        Ok(Checkpoint { model: Model::from_tensors(&config, &tensors, device)?, tokenizer, notes })
    }
}

/// Checks what a folder holds besides its weights: configuration and tokenizer.
///
/// # Errors
/// What [`Checkpoint::load`] would say of them.
pub fn judge(folder: &Path) -> Result<(), ModelError> {
    let bytes = read_limited(&folder.join("config.json"))?;
    Config::parse(&bytes, "config.json")?;
    // Where the folder lies in a cache is nothing to a person who asked for an id.
    let plain =
        |file: &str| Path::new(file).file_name().map_or_else(|| file.into(), |n| n.display().to_string());
    Tokenizer::from_folder(folder, &raw(&bytes)).map(|_| ()).map_err(|error| match error {
        ModelError::File { file, problem, hint } => ModelError::File { file: plain(&file), problem, hint },
        ModelError::Unreadable { file, reason } => ModelError::Unreadable { file: plain(&file), reason },
        other => other,
    })
}

/// `config.json` as it is written: a tokenizer looks for fields that the model has no use for.
fn raw(config: &[u8]) -> serde_json::Value {
    serde_json::from_slice(config).unwrap_or_default()
}

/// A small file's bytes.
fn read_limited(path: &Path) -> Result<Vec<u8>, ModelError> {
    let name = path.display().to_string();
    let length = std::fs::metadata(path).map_err(|e| ModelError::unreadable(path, &e))?.len();
    if length > MAX_JSON {
        return Err(ModelError::file(
            &name,
            format!("is {length} bytes long, more than {MAX_JSON} for such a file"),
        ));
    }
    plain(path).and_then(whole).map_err(|e| ModelError::unreadable(path, &e))
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
                format!("weight_map gives {file:?} for {tensor}, which is not a file in the same folder"),
            ));
        }
        files.insert(folder.join(file));
    }
    if let Some(missing) = files.iter().find(|f| !f.is_file()) {
        return Err(ModelError::file(&name, format!("shard {} is missing", missing.display())));
    }
    Ok(files.into_iter().collect())
}

/// Reads a checkpoint of another program: by its name where that is known, else as the first of them.
fn import(file: &Path, device: &Device) -> Result<Assembled, ModelError> {
    let named = |name: &str| file.file_name().is_some_and(|own| own == name);
    let found = family::imports().find(|import| named(import.file)).or_else(|| family::imports().next());
    match found {
        Some(import) => (import.load)(file, device),
        None => Err(ModelError::file(file.display().to_string(), "is a file, not a folder with a model")),
    }
}

fn read_weights(config: &Config, files: &WeightFiles, device: &Device) -> Result<Assembled, ModelError> {
    match files {
        WeightFiles::Safetensors(paths) => {
            let sources = paths.iter().map(|p| Source::open(p)).collect::<Result<Vec<_>, _>>()?;
            weights::load(config, &sources, device)
        }
        WeightFiles::Pickle(paths) => pickle::load(config, paths, device),
    }
}
