//! Safetensors files, mapped and checked before anything is copied: names with and without `transformer.`, the causal
//! buffers skipped, f32 / f16 / bf16 read as f32.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};

use super::config::Config;
use super::error::ModelError;
use crate::tensor::memory::room;

/// `h.N.attn.bias` and `h.N.attn.masked_bias` are causal-mask buffers of old checkpoints, not parameters. A looser
/// pattern would eat `attn.c_attn.bias`.
pub fn is_causal_buffer(name: &str) -> bool {
    name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")
}

/// The checkpoint's name without its optional prefix.
pub fn bare_name(name: &str) -> &str {
    name.strip_prefix("transformer.").unwrap_or(name)
}

/// A weight file's bytes: mapped from disk or embedded in the program.
pub enum Source {
    Mapped { path: PathBuf, map: memmap2::Mmap },
    Embedded(&'static [u8]),
}

impl Source {
    /// Maps a file read-only.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| ModelError::file(&name, format!("cannot be opened: {e}")))?;
        let length = file.metadata().map_or(0, |m| m.len());
        if length < 8 {
            return Err(ModelError::file(
                &name,
                format!("is {length} bytes long, too short for safetensors"),
            ));
        }
        // SAFETY: the map is read-only; a file that another program truncates meanwhile can still raise SIGBUS, which
        // is the accepted price of not copying gigabytes (as in safetensors' own loaders).
        let map = unsafe { memmap2::Mmap::map(&file) }
            .map_err(|e| ModelError::file(&name, format!("cannot be mapped: {e}")))?;
        Ok(Source::Mapped { path: path.to_owned(), map })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Source::Mapped { map, .. } => map,
            Source::Embedded(bytes) => bytes,
        }
    }

    fn name(&self) -> String {
        match self {
            Source::Mapped { path, .. } => path.display().to_string(),
            Source::Embedded(_) => "bundled model.safetensors".to_owned(),
        }
    }
}

/// Reads every tensor that `config` expects from `sources`, as f32 on `device`.
pub fn load(
    config: &Config,
    sources: &[Source],
    device: &Device,
) -> Result<HashMap<String, Tensor>, ModelError> {
    let files: Vec<(String, SafeTensors)> = sources
        .iter()
        .map(|source| {
            let name = source.name();
            let parsed = SafeTensors::deserialize(source.bytes()).map_err(|e| {
                ModelError::file(&name, format!("damaged or cut short: {e}"))
                    .with_hint("delete the file and fetch it again")
            })?;
            Ok((name, parsed))
        })
        .collect::<Result<_, ModelError>>()?;
    let mut where_is: HashMap<&str, (usize, &str)> = HashMap::new();
    for (at, (_, file)) in files.iter().enumerate() {
        for name in file.names() {
            if !is_causal_buffer(name) {
                where_is.insert(bare_name(name), (at, name));
            }
        }
    }
    let main = files.first().map_or("weights", |(name, _)| name);
    let expected = config.expected_tensors();
    check_shapes(&expected, &where_is, &files, main)?;
    // Reading is mostly waiting for pages, of the file and of new memory.
    let read = expected.into_par_iter().filter_map(|(name, shape)| {
        let &(at, full) = where_is.get(name.as_str())?;
        let (file, parsed) = &files[at];
        Some(read_tensor((file, parsed), full, shape, device).map(|tensor| (name, tensor)))
    });
    read.collect()
}

fn read_tensor(
    (file, parsed): (&str, &SafeTensors),
    full: &str,
    shape: Vec<usize>,
    device: &Device,
) -> Result<Tensor, ModelError> {
    let view = parsed.tensor(full).map_err(|e| ModelError::file(file, format!("tensor {full}: {e}")))?;
    let values = to_f32(view.dtype(), view.data()).ok_or_else(|| unsupported(file, full, view.dtype()))?;
    Ok(Tensor::from_vec(values, shape, device)?)
}

fn widened(n: usize, values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut out = room(n);
    out.extend(values);
    out
}

fn unsupported(file: &str, name: &str, dtype: Dtype) -> ModelError {
    ModelError::file(file, format!("tensor {name} has type {dtype:?}, not F32, F16 or BF16"))
}

/// All names, shapes and types, before any memory is taken.
fn check_shapes(
    expected: &[(String, Vec<usize>)],
    where_is: &HashMap<&str, (usize, &str)>,
    files: &[(String, SafeTensors)],
    main: &str,
) -> Result<(), ModelError> {
    for (name, shape) in expected {
        let Some(&(at, full)) = where_is.get(name.as_str()) else {
            return Err(ModelError::file(main, format!("tensor {name} is missing"))
                .with_hint("config.json and the weights may belong to different models"));
        };
        let (file, parsed) = &files[at];
        let view = parsed.tensor(full).map_err(|e| ModelError::file(file, format!("tensor {full}: {e}")))?;
        if view.shape() != shape {
            let problem =
                format!("tensor {full} has shape {:?}, config.json asks for {shape:?}", view.shape());
            return Err(ModelError::file(file, problem));
        }
        if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(unsupported(file, full, view.dtype()));
        }
    }
    Ok(())
}

/// Little-endian floats of any supported type as f32.
pub fn to_f32(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let pairs = || data.chunks_exact(2).map(|b| [b[0], b[1]]);
    match dtype {
        Dtype::F32 => Some(match bytemuck::try_cast_slice::<u8, f32>(data) {
            Ok(values) if cfg!(target_endian = "little") => {
                let mut out = room(values.len());
                out.extend_from_slice(values);
                out
            }
            _ => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        }),
        Dtype::F16 => Some(widened(data.len() / 2, pairs().map(|b| f16::from_le_bytes(b).to_f32()))),
        Dtype::BF16 => Some(widened(data.len() / 2, pairs().map(|b| bf16::from_le_bytes(b).to_f32()))),
        _ => None,
    }
}
