//! Files of `torch.save`: state dicts and training checkpoints. Nothing of them is executed: the pickle is read by a
//! machine of our own that knows plain data and a short list of classes (see `machine`), tensors are found by walking the
//! dicts, and only what a model asks for is read.

mod classes;
mod file;
mod machine;
mod values;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::Dtype;

use super::config::Config;
use super::error::ModelError;
use super::names::Offer;
use super::weights::{Assembled, Store, assemble, every, to_f32};
use file::PthFile;
use values::{Described, Id, Kind, Pickle, Value};

/// Dicts in dicts that are walked: `{"checkpoint": {"model": {…}}}` has three.
const DEEPEST: usize = 6;

/// Tensors and entries that are looked at; a large optimizer's state has some thousand.
const MOST: usize = 1 << 18;

/// Bytes of a tensor's name, with the names of the dicts around it.
const LONGEST_NAME: usize = 1000;

/// State dicts, as one store.
pub struct Checkpoints {
    files: Vec<PthFile>,
    /// File, name and description of every tensor.
    tensors: Vec<(usize, String, Described)>,
    /// Storages that more than one tensor lies in.
    shared: HashSet<(usize, String)>,
}

impl Checkpoints {
    /// Opens the files and finds their tensors.
    ///
    /// # Errors
    /// As [`PthFile::open`].
    pub fn open(paths: &[PathBuf]) -> Result<Self, ModelError> {
        let files = paths.iter().map(|path| PthFile::open(path)).collect::<Result<Vec<_>, _>>()?;
        let mut tensors = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let mut walk = Walk { pickle: &file.pickle, found: Vec::new(), steps: 0 };
            walk.dict(file.pickle.root, "", 0).map_err(|problem| ModelError::file(&file.name, problem))?;
            tensors.extend(walk.found.into_iter().map(|(name, described)| (at, name, described)));
        }
        let (mut seen, mut shared) = (HashSet::new(), HashSet::new());
        for (at, _, described) in &tensors {
            let key = (*at, described.storage.key.clone());
            if !seen.insert(key.clone()) {
                shared.insert(key);
            }
        }
        Ok(Checkpoints { files, tensors, shared })
    }

    /// The plain values of the dict called `name` in the first file: numbers, texts and switches.
    pub fn plain(&self, name: &str) -> Option<HashMap<String, serde_json::Value>> {
        let pickle = &self.files.first()?.pickle;
        let entries = pickle.entries(pickle.get(pickle.root, name)?)?;
        let value = |id: Id| match pickle.arena.get(id)? {
            Value::None => Some(serde_json::Value::Null),
            Value::Bool(b) => Some((*b).into()),
            Value::Int(n) => Some((*n).into()),
            Value::Float(x) => Some((*x).into()),
            Value::Text(text) => Some(text.clone().into()),
            _ => None,
        };
        Some(
            entries
                .iter()
                .filter_map(|(key, id)| Some((pickle.text(*key)?.to_owned(), value(*id)?)))
                .collect(),
        )
    }

    fn bad(&self, file: usize, problem: impl Into<String>) -> ModelError {
        ModelError::file(&self.files[file].name, problem)
    }
}

/// Finds tensors in dicts of dicts; a tensor is called by the path to it, with dots.
struct Walk<'a> {
    pickle: &'a Pickle,
    found: Vec<(String, Described)>,
    steps: usize,
}

impl Walk<'_> {
    fn dict(&mut self, id: Id, path: &str, depth: usize) -> Result<(), String> {
        let Some(entries) = self.pickle.entries(id) else {
            return if depth == 0 { Err("not a PyTorch state dict".to_owned()) } else { Ok(()) };
        };
        for (key, value) in entries {
            self.steps += 1;
            if self.steps > MOST {
                return Err(format!("holds more than {MOST} entries"));
            }
            let Some(key) = self.pickle.text(*key) else { continue };
            if path.len() + key.len() > LONGEST_NAME {
                return Err(format!("has a tensor with a name of more than {LONGEST_NAME} bytes"));
            }
            let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            match self.pickle.arena.get(*value) {
                Some(Value::Tensor(described)) => self.found.push((name, described.clone())),
                Some(Value::Dict(_)) if depth < DEEPEST => self.dict(*value, &name, depth + 1)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Elements that a tensor reaches to in its storage; `None` where that is no number.
fn reach(tensor: &Described) -> Option<u64> {
    if tensor.shape.contains(&0) {
        return Some(0);
    }
    let last = (tensor.shape.iter().zip(&tensor.stride))
        .try_fold(0u64, |sum, (&n, &stride)| sum.checked_add((n as u64 - 1).checked_mul(stride)?))?;
    last.checked_add(1)?.checked_add(tensor.offset)?.checked_add(tensor.storage.start)
}

fn float(kind: Kind) -> Option<Dtype> {
    match kind {
        Kind::F32 => Some(Dtype::F32),
        Kind::F16 => Some(Dtype::F16),
        Kind::Bf16 => Some(Dtype::BF16),
        Kind::F64 => Some(Dtype::F64),
        _ => None,
    }
}

impl Store for Checkpoints {
    fn file(&self) -> String {
        self.files.first().map_or("pytorch_model.bin", |file| &file.name).to_owned()
    }

    fn offers(&self) -> Vec<Offer> {
        let offer = |(_, name, described): &(usize, String, Described)| Offer {
            name: name.clone(),
            shape: described.shape.clone(),
        };
        self.tensors.iter().map(offer).collect()
    }

    fn check(&self, at: usize) -> Result<(), ModelError> {
        let (file, name, tensor) = &self.tensors[at];
        let kind = tensor.storage.kind;
        if float(kind).is_none() {
            let problem =
                format!("tensor {name} has type {}, not float32, float16, bfloat16 or float64", kind.name());
            return Err(self.bad(*file, problem));
        }
        let held = self.files[*file].held(&tensor.storage) / kind.width();
        // No parameter is expanded from fewer numbers than it has; a shape that says so could ask for any memory.
        let count = tensor.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64));
        match reach(tensor).zip(count) {
            Some((needed, count)) if needed <= held && count <= held => Ok(()),
            _ => Err(self.bad(*file, format!("tensor {name} is larger than its storage"))),
        }
    }

    fn read(&self, at: usize) -> Result<Vec<f32>, ModelError> {
        self.check(at)?;
        let (file, name, tensor) = &self.tensors[at];
        let failed = |problem: String| self.bad(*file, format!("tensor {name} cannot be read: {problem}"));
        let shared = self.shared.contains(&(*file, tensor.storage.key.clone()));
        let bytes = self.files[*file].storage(&tensor.storage, shared).map_err(failed)?;
        numbers(tensor, &bytes).ok_or_else(|| failed("its storage is cut short".to_owned()))
    }

    fn file_of(&self, at: usize) -> String {
        self.files[self.tensors[at].0].name.clone()
    }

    fn same(&self, a: usize, b: usize) -> Option<bool> {
        let (a, b) = (&self.tensors[a], &self.tensors[b]);
        (a.0 == b.0 && a.2 == b.2).then_some(true)
    }
}

/// A tensor's numbers, row-major, whatever its strides.
fn numbers(tensor: &Described, bytes: &[u8]) -> Option<Vec<f32>> {
    let kind = float(tensor.storage.kind)?;
    let width = tensor.storage.kind.width() as usize;
    let first = usize::try_from(tensor.offset + tensor.storage.start).ok()?;
    let count: usize = tensor.shape.iter().product();
    let rows: Vec<u64> =
        (0..tensor.shape.len()).map(|i| tensor.shape[i + 1..].iter().product::<usize>() as u64).collect();
    if rows == tensor.stride || count == 1 {
        return to_f32(kind, bytes.get(first * width..(first + count) * width)?);
    }
    let end = usize::try_from(reach(tensor)?).ok()?;
    let all = to_f32(kind, bytes.get(first * width..end * width)?)?;
    let place = |i: usize| {
        let steps = tensor.shape.iter().zip(&rows).zip(&tensor.stride);
        steps.map(|((&n, &row), &stride)| (i as u64 / row.max(1) % n as u64) * stride).sum::<u64>() as usize
    };
    (0..count).map(|i| all.get(place(i)).copied()).collect()
}

/// Reads every tensor that `config` expects, as [`assemble`] does.
///
/// # Errors
/// As [`assemble`].
pub fn load(config: &Config, paths: &[PathBuf], device: &Device) -> Result<Assembled, ModelError> {
    assemble(config, &Checkpoints::open(paths)?, device, false)
}

/// Every float tensor of a file by name, for adapters.
///
/// # Errors
/// As [`Checkpoints::open`]; a tensor that is no float.
pub fn all(path: &Path) -> Result<HashMap<String, Tensor>, ModelError> {
    every(&Checkpoints::open(&[path.to_owned()])?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What is said of a file of `torch.save` with this pickle.
    fn said(pickle: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pytorch_model.bin");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file("archive/data.pkl", stored).unwrap();
        zip.write_all(pickle).unwrap();
        zip.finish().unwrap();
        Checkpoints::open(&[path])
            .map_or_else(|error| error.to_string(), |c| format!("{} tensors", c.tensors.len()))
    }

    fn text(text: &str) -> Vec<u8> {
        [&[b'X'][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn dicts_that_hold_themselves_are_walked_to_an_end() {
        // One entry: a few levels. A long key: a long name. A thousand entries: a thousand to the sixth names.
        let holding = |keys: &[String]| {
            let entries: Vec<u8> =
                keys.iter().flat_map(|key| [text(key), b"h\x00s".to_vec()].concat()).collect();
            [b"\x80\x02}q\x00".to_vec(), entries, b".".to_vec()].concat()
        };
        assert_eq!(said(&holding(&["model".to_owned()])), "0 tensors");
        assert!(said(&holding(&["k".repeat(400)])).contains("a name of more than 1000 bytes"));
        let many: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        assert!(said(&holding(&many)).contains("holds more than 262144 entries"));
    }

    #[test]
    fn depth_doublings_and_short_arguments_end_in_a_sentence() {
        let doubled = [b"N".to_vec(), b"q\x00h\x00\x86".repeat(60), b".".to_vec()].concat();
        let deep = [vec![b'N'], vec![0x85; 200_000], vec![b'.']].concat();
        let marks = [vec![b'('; 1_000_000], vec![b'.']].concat();
        let short = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n)Rs.".to_vec();
        for (pickle, what) in [
            (doubled, "not a PyTorch state dict"),
            (deep, "not a PyTorch state dict"),
            (marks, "takes a value where there is none"),
            (short, "has a tensor without a storage"),
        ] {
            let text = said(&pickle);
            assert!(text.contains("pytorch_model.bin: ") && text.contains(what), "{text}");
        }
    }
}
