//! A checkpoint's weights as tensors of the model. [`assemble`] serves every format; safetensors files are mapped, their
//! f32, f16, bf16 and f64 read as f32.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};

use super::config::Config;
use super::error::ModelError;
use super::finite;
use super::names::{self, Offer, Origin, Place};
use crate::support::files::plain;
use crate::tensor::memory::room;

/// A checkpoint's tensors, in whatever format.
pub trait Store: Sync {
    /// The file to name in messages.
    fn file(&self) -> String;

    /// What it holds; the number of an offer is its place here.
    fn offers(&self) -> Vec<Offer>;

    /// Whether the numbers of an offer can be read, told before any is.
    ///
    /// # Errors
    /// A type that is not a float, or a tensor that its file does not hold whole.
    fn check(&self, at: usize) -> Result<(), ModelError>;

    /// The numbers of an offer, row-major.
    ///
    /// # Errors
    /// Those of [`Store::check`]; a damaged file.
    fn read(&self, at: usize) -> Result<Vec<f32>, ModelError>;

    /// The file that an offer lies in, to name in messages.
    fn file_of(&self, at: usize) -> String;

    /// Whether two offers hold the same numbers, where that is told without reading them as floats.
    fn same(&self, _a: usize, _b: usize) -> Option<bool> {
        None
    }
}

/// What was read of a checkpoint.
pub struct Assembled {
    /// As `config` asks for, with `tie_word_embeddings` as the weights have it.
    pub config: Config,
    pub tensors: HashMap<String, Tensor>,
    /// Worth a line to the person.
    pub notes: Vec<String>,
}

/// Reads every tensor that `config` expects, as f32 on `device`. Names, shapes and types are checked before any memory
/// is taken.
///
/// # Errors
/// A tensor that is missing, of another shape or type, or damaged; one with a value that is NaN or infinite.
pub fn assemble(
    config: &Config,
    store: &impl Store,
    device: &Device,
    without_biases: bool,
) -> Result<Assembled, ModelError> {
    let offers = store.offers();
    let fit = names::fit(config, &offers, &store.file(), without_biases)?;
    let offered = |place: &Place| match place.origin {
        Origin::Offer { at, .. } => Some(at),
        Origin::Zeros => None,
    };
    let rival = fit.rival.map(|(_, head)| head);
    fit.places.iter().filter_map(offered).chain(rival).try_for_each(|at| store.check(at))?;
    let (mut config, mut notes, mut places) = (config.clone(), fit.notes, fit.places);
    if let Some((embedding, head)) = fit.rival
        && !is_same(store, embedding, head)?
    {
        let name = config.family.conventions().head;
        notes.push(format!(
            "{name} differs from the embeddings, although tie_word_embeddings is not false: it is used as it is"
        ));
        config.tie_word_embeddings = false;
        let shape = vec![config.vocab_size, config.n_embd];
        places.push(Place {
            name: name.to_owned(),
            shape,
            origin: Origin::Offer { at: head, turned: false },
        });
    }
    // Reading is mostly waiting for pages, of the file and of new memory.
    let tensors =
        places.into_par_iter().map(|place| tensor(store, place, device)).collect::<Result<_, _>>()?;
    Ok(Assembled { config, tensors, notes })
}

fn is_same(store: &impl Store, a: usize, b: usize) -> Result<bool, ModelError> {
    match store.same(a, b) {
        Some(same) => Ok(same),
        None => Ok(store.read(a)? == store.read(b)?),
    }
}

fn tensor(store: &impl Store, place: Place, device: &Device) -> Result<(String, Tensor), ModelError> {
    let Place { name, shape, origin } = place;
    let tensor = match origin {
        Origin::Zeros => Tensor::zeros(shape, candle_core::DType::F32, device)?,
        Origin::Offer { at, turned: false } => {
            Tensor::from_vec(numbers(store, at, &name, &shape)?, shape, device)?
        }
        Origin::Offer { at, turned: true } => {
            let stored: Vec<usize> = shape.into_iter().rev().collect();
            let values = numbers(store, at, &name, &stored)?;
            Tensor::from_vec(values, stored, &Device::Cpu)?.t()?.contiguous()?.to_device(device)?
        }
    };
    Ok((name, tensor))
}

/// The numbers of an offer, all of them finite.
fn numbers(store: &impl Store, at: usize, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
    let values = store.read(at)?;
    finite::check(&store.file_of(at), name, shape, &values)?;
    Ok(values)
}

/// A weight file's bytes: mapped from disk or embedded in the program.
pub enum Source {
    Mapped { path: PathBuf, map: memmap2::Mmap },
    Embedded(&'static [u8]),
}

/// Maps a file read-only.
pub(super) fn map(path: &Path) -> Result<memmap2::Mmap, ModelError> {
    let name = path.display().to_string();
    let file = plain(path).map_err(|e| ModelError::file(&name, format!("cannot be opened: {e}")))?;
    // SAFETY: the map is read-only; a file that another program truncates meanwhile can still raise SIGBUS, which
    // is the accepted price of not copying gigabytes (as in safetensors' own loaders).
    unsafe { memmap2::Mmap::map(&file) }
        .map_err(|e| ModelError::file(&name, format!("cannot be mapped: {e}")))
}

impl Source {
    /// Maps a file read-only.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let length = std::fs::metadata(path).map_or(0, |m| m.len());
        if length < 8 {
            return Err(ModelError::file(
                &name,
                format!("is {length} bytes long, too short for safetensors"),
            ));
        }
        let map = map(path)?;
        if map.starts_with(b"version https://git-lfs") {
            return Err(pointer(&name));
        }
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

/// What a clone without Git LFS leaves in the place of a weight file.
pub(super) fn pointer(file: &str) -> ModelError {
    ModelError::file(file, "a Git LFS pointer, not the file itself: the clone was made without Git LFS")
        .with_hint("run `git lfs pull` in the clone, or open the model by its id")
}

/// Safetensors files, parsed.
struct Parsed<'a> {
    files: Vec<(String, SafeTensors<'a>)>,
    /// File and name of every offer.
    all: Vec<(usize, String)>,
}

impl<'a> Parsed<'a> {
    fn new(sources: &'a [Source]) -> Result<Self, ModelError> {
        let mut files = Vec::new();
        for source in sources {
            let name = source.name();
            let parsed = SafeTensors::deserialize(source.bytes()).map_err(|e| {
                ModelError::file(&name, format!("damaged or cut short: {e}"))
                    .with_hint("fetch the file again, or copy it from where the model came from")
            })?;
            files.push((name, parsed));
        }
        let mut all = Vec::new();
        for (at, (_, file)) in files.iter().enumerate() {
            all.extend(file.names().into_iter().map(|name| (at, name.to_owned())));
        }
        all.sort();
        Ok(Parsed { files, all })
    }

    fn view(&self, at: usize) -> Result<safetensors::tensor::TensorView<'_>, ModelError> {
        let (file, name) = &self.all[at];
        let (file, parsed) = &self.files[*file];
        parsed.tensor(name).map_err(|e| ModelError::file(file, format!("tensor {name}: {e}")))
    }
}

impl Store for Parsed<'_> {
    fn file(&self) -> String {
        self.files.first().map_or("weights", |(name, _)| name).to_owned()
    }

    fn offers(&self) -> Vec<Offer> {
        let shape = |at: usize| self.view(at).map(|view| view.shape().to_vec()).unwrap_or_default();
        (0..self.all.len()).map(|at| Offer { name: self.all[at].1.clone(), shape: shape(at) }).collect()
    }

    fn check(&self, at: usize) -> Result<(), ModelError> {
        let view = self.view(at)?;
        if matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64) {
            return Ok(());
        }
        let (file, name) = &self.all[at];
        let problem = format!("tensor {name} has type {:?}, not F32, F16, BF16 or F64", view.dtype());
        Err(ModelError::file(&self.files[*file].0, problem))
    }

    fn read(&self, at: usize) -> Result<Vec<f32>, ModelError> {
        let view = self.view(at)?;
        match to_f32(view.dtype(), view.data()) {
            Some(values) => Ok(values),
            None => self.check(at).map(|()| Vec::new()),
        }
    }

    fn file_of(&self, at: usize) -> String {
        self.files[self.all[at].0].0.clone()
    }

    fn same(&self, a: usize, b: usize) -> Option<bool> {
        let (a, b) = (self.view(a).ok()?, self.view(b).ok()?);
        (a.dtype() == b.dtype() && a.data() == b.data()).then_some(true)
    }
}

/// Reads every tensor that `config` expects from safetensors, as [`assemble`] does.
///
/// # Errors
/// As [`assemble`].
pub fn load(config: &Config, sources: &[Source], device: &Device) -> Result<Assembled, ModelError> {
    assemble(config, &Parsed::new(sources)?, device, false)
}

/// Every tensor of a safetensors file as f32, by name; for adapters, whose tensors no configuration lists.
///
/// # Errors
/// A damaged file; a type that is not a float.
pub fn all(source: &Source) -> Result<HashMap<String, Tensor>, ModelError> {
    every(&Parsed::new(std::slice::from_ref(source))?)
}

/// Every float tensor of a store, by name, on the CPU.
///
/// # Errors
/// As [`Store::read`]; a value that is NaN or infinite.
pub(super) fn every(store: &impl Store) -> Result<HashMap<String, Tensor>, ModelError> {
    let mut all = HashMap::new();
    for (at, Offer { name, shape }) in store.offers().into_iter().enumerate() {
        store.check(at)?;
        let values = numbers(store, at, &name, &shape)?;
        all.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok(all)
}

fn widened(n: usize, values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut out = room(n);
    out.extend(values);
    out
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
        Dtype::F64 => {
            let wide = data.chunks_exact(8).filter_map(|b| b.try_into().ok()).map(f64::from_le_bytes);
            Some(widened(data.len() / 8, wide.map(|x| x as f32)))
        }
        Dtype::F16 => Some(widened(data.len() / 2, pairs().map(|b| f16::from_le_bytes(b).to_f32()))),
        Dtype::BF16 => Some(widened(data.len() / 2, pairs().map(|b| bf16::from_le_bytes(b).to_f32()))),
        _ => None,
    }
}
