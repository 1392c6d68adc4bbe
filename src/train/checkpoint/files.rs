//! The files of one checkpoint folder: configuration, tokenizer, weights by Hugging Face's names.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use candle_core::Tensor;
use half::f16;
use safetensors::SafeTensors;

use super::SavedDtype;
use super::disk::{Disk, write};
use crate::model::family::{Parameter, WeightLayout};
use crate::model::{Config, ModelError, Tokenizer};
use crate::support::files::{plain, whole};
use crate::tensor::host;
use crate::train::TrainError;
use crate::train::arm::MASK_ROW;

/// The side file that keeps what the original vocabulary has no room for: the `[MASK]` row, `mask_row` `[D]`.
pub const SIDE_FILE: &str = "maskscope.safetensors";

/// What a model folder holds.
pub struct Contents<'a> {
    pub config: &'a Config,
    /// Names and shapes as in [`Config::named_parameters`].
    pub tensors: &'a HashMap<String, Tensor>,
    pub tokenizer: Option<&'a Tokenizer>,
    pub dtype: SavedDtype,
    /// The trained `[MASK]` row, `[D]`.
    pub mask_row: Option<&'a [f32]>,
    /// Facts about the run, kept as `training.json`.
    pub facts: serde_json::Value,
}

/// The `[MASK]` row beside a model in `folder`, `[width]`; `None` where it has none.
///
/// # Errors
/// A side file that is damaged, or of another width.
pub fn read_mask_row(folder: &Path, width: usize) -> Result<Option<Vec<f32>>, ModelError> {
    let path = folder.join(SIDE_FILE);
    let name = path.display().to_string();
    let bytes = match plain(&path).and_then(whole) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(ModelError::file(name, e.to_string())),
    };
    let hint = "remove it to open the model without its [MASK] row";
    let bad = |problem: String| ModelError::file(name.clone(), problem).with_hint(hint);
    let file = SafeTensors::deserialize(&bytes).map_err(|e| bad(format!("not a safetensors file: {e}")))?;
    let Ok(row) = file.tensor(MASK_ROW) else { return Ok(None) };
    if row.shape() != [width] || row.dtype() != safetensors::Dtype::F32 {
        return Err(bad(format!("{MASK_ROW} is {:?} {:?}, wanted F32 [{width}]", row.dtype(), row.shape())));
    }
    let value = |c: &[u8]| f32::from_le_bytes([c[0], c[1], c[2], c[3]]);
    Ok(Some(row.data().chunks_exact(4).map(value).collect()))
}

/// Writes a model folder's files into `folder`, which exists.
pub fn write_model(disk: &dyn Disk, folder: &Path, contents: &Contents) -> Result<(), TrainError> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        write(disk, &path, bytes).map_err(TrainError::io(&path))
    };
    put("config.json", config_json(contents.config, contents.dtype)?.as_bytes())?;
    if let Some(tokenizer) = contents.tokenizer {
        write_tokenizer(disk, folder, tokenizer)?;
    }
    put("training.json", pretty(&contents.facts)?.as_bytes())?;
    let mut named = Vec::new();
    let names = contents.config.family.conventions();
    for Parameter { name, role, .. } in contents.config.named_parameters() {
        let tensor = contents.tensors.get(&name).ok_or_else(|| {
            TrainError::setup(format!("tensor {name} is missing from the checkpoint to save"))
        })?;
        let turned = role.is_matrix() && names.layout == WeightLayout::OutIn;
        let data = if turned { Data::Transposed(tensor) } else { Data::Tensor(tensor) };
        named.push((names.full_name(&name), data));
    }
    write_tensors(disk, &folder.join("model.safetensors"), &named, contents.dtype)?;
    if let Some(row) = contents.mask_row {
        let named = [(MASK_ROW.to_owned(), Data::Values(row))];
        write_tensors(disk, &folder.join(SIDE_FILE), &named, SavedDtype::F32)?;
    }
    Ok(())
}

/// Writes the small files that a model came with into `folder`, which exists.
pub fn write_tokenizer(disk: &dyn Disk, folder: &Path, tokenizer: &Tokenizer) -> Result<(), TrainError> {
    for (name, bytes) in tokenizer.saved_files()? {
        let path = folder.join(name);
        write(disk, &path, &bytes).map_err(TrainError::io(&path))?;
    }
    Ok(())
}

/// Indented JSON.
pub fn pretty(value: &impl serde::Serialize) -> Result<String, TrainError> {
    serde_json::to_string_pretty(value).map_err(|e| TrainError::setup(format!("JSON cannot be written: {e}")))
}

fn config_json(config: &Config, dtype: SavedDtype) -> Result<String, TrainError> {
    let mut value =
        serde_json::to_value(config).map_err(|e| TrainError::setup(format!("config.json: {e}")))?;
    value["architectures"] = serde_json::json!([config.family.conventions().architecture]);
    // transformers 5 rounds the weights to what is said here; older ones read it under its old name.
    for name in ["dtype", "torch_dtype"] {
        if value.get(name).is_some() {
            value[name] = match dtype {
                SavedDtype::F32 => "float32",
                SavedDtype::F16 => "float16",
            }
            .into();
        }
    }
    pretty(&value)
}

/// What a safetensors file is filled from.
#[derive(Clone, Copy)]
pub enum Data<'a> {
    Tensor(&'a Tensor),
    /// A matrix that is written the other way round.
    Transposed(&'a Tensor),
    /// A vector.
    Values(&'a [f32]),
}

impl Data<'_> {
    fn shape(&self) -> Vec<usize> {
        match self {
            Data::Tensor(tensor) => tensor.dims().to_vec(),
            Data::Transposed(tensor) => tensor.dims().iter().rev().copied().collect(),
            Data::Values(values) => vec![values.len()],
        }
    }

    fn with<R>(&self, f: impl FnOnce(&[f32]) -> R) -> Result<R, TrainError> {
        match self {
            Data::Tensor(tensor) => Ok(host::with_slice(tensor, f)?),
            Data::Transposed(tensor) => Ok(host::with_slice(&tensor.t()?.contiguous()?, f)?),
            Data::Values(values) => Ok(f(values)),
        }
    }
}

/// Writes a safetensors file tensor by tensor, so that no second copy of the weights is ever in memory (the library's
/// writer takes a path and could not be told that the disk is full).
pub fn write_tensors(
    disk: &dyn Disk,
    path: &Path,
    tensors: &[(String, Data)],
    dtype: SavedDtype,
) -> Result<(), TrainError> {
    let (name, size) = match dtype {
        SavedDtype::F32 => ("F32", 4),
        SavedDtype::F16 => ("F16", 2),
    };
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), serde_json::json!({ "format": "pt" }));
    let mut at = 0;
    for (tensor, data) in tensors {
        let shape = data.shape();
        let end = at + shape.iter().product::<usize>() * size;
        let entry = serde_json::json!({ "dtype": name, "shape": shape, "data_offsets": [at, end] });
        header.insert(tensor.clone(), entry);
        at = end;
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    // The data starts at a multiple of 8, as readers that map the file expect.
    header.resize(header.len().next_multiple_of(8), b' ');
    let failed = |error| TrainError::io(path)(error);
    let mut file = disk.create(path).map_err(failed)?;
    let start: io::Result<()> =
        file.write_all(&(header.len() as u64).to_le_bytes()).and_then(|()| file.write_all(&header));
    start.map_err(failed)?;
    for (_, data) in tensors {
        data.with(|values| write_values(&mut *file, values, dtype))?.map_err(failed)?;
    }
    file.sync().map_err(failed)
}

fn write_values(file: &mut dyn Write, values: &[f32], dtype: SavedDtype) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4 << 14);
    for chunk in values.chunks(1 << 14) {
        bytes.clear();
        match dtype {
            SavedDtype::F32 => chunk.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes())),
            SavedDtype::F16 => {
                chunk.iter().for_each(|&v| bytes.extend_from_slice(&f16::from_f32(v).to_le_bytes()));
            }
        }
        file.write_all(&bytes)?;
    }
    Ok(())
}
