//! Checkpoints are Hugging Face folders, written aside, synced and renamed, so that a folder that exists is whole.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Tensor};
use half::f16;
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::TrainError;
use crate::model::{Config, Tokenizer};
use crate::named::named;
use crate::tensor::host;

named! {
    /// Number format of saved weights.
    SavedDtype { F32 = "f32", F16 = "f16" }
}

/// What a checkpoint folder holds.
pub struct Contents<'a> {
    pub config: &'a Config,
    /// Names as in [`Config::expected_tensors`].
    pub tensors: &'a HashMap<String, Tensor>,
    pub tokenizer: Option<&'a Tokenizer>,
    pub dtype: SavedDtype,
    /// Facts about the run, kept as `training.json`.
    pub facts: serde_json::Value,
}

/// Writes the folder `target`, replacing an older one only after the new one is whole on disk.
pub fn save(target: &Path, contents: &Contents) -> Result<(), TrainError> {
    let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(TrainError::io(parent))?;
    let name = target.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = parent.join(format!(".{name}.writing"));
    let old = parent.join(format!(".{name}.old"));
    remove(&aside)?;
    fs::create_dir_all(&aside).map_err(TrainError::io(&aside))?;
    write_synced(&aside.join("config.json"), config_json(contents.config)?.as_bytes())?;
    if let Some(tokenizer) = contents.tokenizer {
        write_synced(&aside.join("tokenizer.json"), tokenizer.to_json()?.as_bytes())?;
    }
    write_synced(&aside.join("training.json"), pretty(&contents.facts)?.as_bytes())?;
    write_synced(&aside.join("model.safetensors"), &weights(contents)?)?;
    if target.exists() {
        remove(&old)?;
        fs::rename(target, &old).map_err(TrainError::io(target))?;
    }
    fs::rename(&aside, target).map_err(TrainError::io(target))?;
    if let Ok(folder) = File::open(parent) {
        // Not every file system can sync a folder; the rename itself is already atomic.
        let _ = folder.sync_all();
    }
    remove(&old)
}

fn remove(path: &Path) -> Result<(), TrainError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(TrainError::io(path)(e)),
        _ => Ok(()),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut file = File::create(path).map_err(TrainError::io(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(TrainError::io(path))
}

fn pretty(value: &impl serde::Serialize) -> Result<String, TrainError> {
    serde_json::to_string_pretty(value).map_err(|e| TrainError::setup(format!("JSON cannot be written: {e}")))
}

fn config_json(config: &Config) -> Result<String, TrainError> {
    let mut value =
        serde_json::to_value(config).map_err(|e| TrainError::setup(format!("config.json: {e}")))?;
    value["architectures"] = serde_json::json!(["GPT2LMHeadModel"]);
    pretty(&value)
}

fn weights(contents: &Contents) -> Result<Vec<u8>, TrainError> {
    let mut data: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, shape) in contents.config.expected_tensors() {
        let tensor = contents.tensors.get(&name).ok_or_else(|| {
            TrainError::setup(format!("tensor {name} is missing from the checkpoint to save"))
        })?;
        let bytes = host::with_slice(&tensor.to_dtype(DType::F32)?, |values| match contents.dtype {
            SavedDtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            SavedDtype::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        })?;
        data.push((full_name(&name), shape, bytes));
    }
    let dtype = match contents.dtype {
        SavedDtype::F32 => Dtype::F32,
        SavedDtype::F16 => Dtype::F16,
    };
    let wrong =
        |e: safetensors::SafeTensorError| TrainError::setup(format!("weights cannot be written: {e}"));
    let views = data
        .iter()
        .map(|(name, shape, bytes)| TensorView::new(dtype, shape.clone(), bytes).map(|v| (name.clone(), v)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize(views, Some(metadata)).map_err(wrong)
}

/// Hugging Face's name: everything but the output matrix lies under `transformer.`.
fn full_name(bare: &str) -> String {
    if bare.starts_with("lm_head") { bare.to_owned() } else { format!("transformer.{bare}") }
}
