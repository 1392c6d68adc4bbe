//! The two forms of a file that `torch.save` writes: since 1.6 a zip with a pickle and one entry per storage, before that
//! five pickles in a row and the storages behind them.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use zip::ZipArchive;

use super::machine::run;
use super::values::{Pickle, Storage, Value};
use crate::model::ModelError;
use crate::model::strangers;
use crate::model::weights::{map, pointer};

/// The pickle of a training checkpoint with an optimizer's settings needs well under a megabyte.
const MAX_PICKLE: u64 = 16 << 20;

const NO_PICKLE: &str = "a zip without a data.pkl, so not a checkpoint of PyTorch";

/// How many times the length of the file one of its storages may have, where another program has compressed it.
const MOST_UNPACKED: usize = 16;

/// First pickle of a file older than 1.6: `0x1950a86a20f9469cfc6c` as a protocol-2 long.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// A mapped file that a cursor can walk.
#[derive(Clone)]
struct Shared(Arc<memmap2::Mmap>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Where the storages are.
enum Bytes {
    Zip {
        archive: ZipArchive<Cursor<Shared>>,
        folder: String,
    },
    /// First byte and number of elements by key.
    Row {
        file: Shared,
        places: HashMap<String, (usize, u64)>,
    },
}

/// A file of `torch.save`, its pickle read.
pub struct PthFile {
    pub name: String,
    pub pickle: Pickle,
    bytes: Bytes,
    /// Storages that several tensors share are read once.
    kept: Mutex<HashMap<String, Arc<Vec<u8>>>>,
}

impl PthFile {
    /// Opens the file and reads its pickle.
    ///
    /// # Errors
    /// A file of neither form, a pickle that holds more than plain data.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let bad = |problem: String| {
            let hint = if problem == NO_PICKLE {
                strangers::NAME_A_MODEL
            } else {
                "convert the checkpoint to safetensors in Python, or choose one that has it"
            };
            ModelError::file(&name, problem).with_hint(hint)
        };
        if std::fs::metadata(path).is_ok_and(|m| m.len() == 0) {
            return Err(bad("an empty file".to_owned()));
        }
        let file = Shared(Arc::new(map(path)?));
        let start = file.as_ref();
        if start.starts_with(b"version https://git-lfs") {
            return Err(pointer(&name));
        }
        // A zip that was cut short begins like one; what is said of it is said below.
        if !start.starts_with(b"\x80") && !start.starts_with(b"PK") {
            return Err(strangers::refusal(&name, start));
        }
        let (pickle, bytes) =
            if start.starts_with(b"\x80") { legacy(file) } else { zipped(file) }.map_err(bad)?;
        Ok(PthFile { name, pickle, bytes, kept: Mutex::default() })
    }

    /// Bytes of a storage; `shared` keeps them for the next tensor.
    ///
    /// # Errors
    /// A storage that the file does not hold whole.
    pub fn storage(&self, storage: &Storage, shared: bool) -> Result<Arc<Vec<u8>>, String> {
        let locked = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.then(|| locked().get(&storage.key).cloned()).flatten() {
            return Ok(known);
        }
        let read = Arc::new(self.read(storage)?);
        if shared {
            locked().insert(storage.key.clone(), read.clone());
        }
        Ok(read)
    }

    /// Bytes that the file holds of a storage.
    pub fn held(&self, storage: &Storage) -> u64 {
        match &self.bytes {
            Bytes::Zip { archive, folder } => {
                let mut archive = archive.clone();
                archive.by_name(&format!("{folder}data/{}", storage.key)).map_or(0, |entry| entry.size())
            }
            Bytes::Row { file, places } => places.get(&storage.key).map_or(0, |(from, count)| {
                let rest = file.as_ref().len().saturating_sub(*from) as u64;
                rest.min(count.saturating_mul(storage.kind.width()))
            }),
        }
    }

    fn read(&self, storage: &Storage) -> Result<Vec<u8>, String> {
        match &self.bytes {
            Bytes::Zip { archive, folder } => {
                let name = format!("{folder}data/{}", storage.key);
                let mut archive = archive.clone();
                let entry = archive.by_name(&name).map_err(|e| format!("{name}: {e}"))?;
                let size = usize::try_from(entry.size()).map_err(|_| format!("{name} is too large"))?;
                // A size that the file cannot hold is a lie, and no memory is taken for it. PyTorch compresses nothing.
                let file = archive_length(&self.bytes);
                if size > file.saturating_mul(MOST_UNPACKED) {
                    return Err(format!("{name} unpacks to more than {MOST_UNPACKED} times the file"));
                }
                let mut bytes = Vec::with_capacity(size.min(file));
                entry.take(size as u64).read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
                Ok(bytes)
            }
            Bytes::Row { file, places } => {
                let (from, _) = places.get(&storage.key).ok_or("has a storage that is not there")?;
                let length = usize::try_from(self.held(storage)).map_err(|_| "is too large".to_owned())?;
                Ok(file.as_ref()[*from..*from + length].to_vec())
            }
        }
    }
}

fn archive_length(bytes: &Bytes) -> usize {
    match bytes {
        Bytes::Zip { archive, .. } => archive.clone().into_inner().get_ref().as_ref().len(),
        Bytes::Row { file, .. } => file.as_ref().len(),
    }
}

fn zipped(file: Shared) -> Result<(Pickle, Bytes), String> {
    let mut archive = ZipArchive::new(Cursor::new(file))
        .map_err(|e| format!("not a zip that is whole: cut short or damaged ({e})"))?;
    let names: Vec<String> = archive
        .file_names()
        .map(|n| n.map(std::borrow::Cow::into_owned))
        .collect::<Result<_, _>>()
        .map_err(|e| format!("damaged zip: {e}"))?;
    let inner: Vec<&String> = names.iter().filter(|n| *n == "data.pkl" || n.ends_with("/data.pkl")).collect();
    if inner.is_empty() {
        return Err(NO_PICKLE.to_owned());
    }
    let [inner] = inner.as_slice() else {
        return Err(format!("holds {} pickles, not one", inner.len()));
    };
    if names.iter().any(|n| n.ends_with("/constants.pkl")) {
        return Err("a TorchScript program, not a checkpoint".to_owned());
    }
    let folder = inner.trim_end_matches("data.pkl").to_owned();
    let bytes = {
        let entry = archive.by_name(inner).map_err(|e| format!("{inner}: {e}"))?;
        let mut bytes = Vec::new();
        entry.take(MAX_PICKLE + 1).read_to_end(&mut bytes).map_err(|e| format!("{inner}: {e}"))?;
        bytes
    };
    if bytes.len() as u64 > MAX_PICKLE {
        return Err(format!("{inner} is longer than {MAX_PICKLE} bytes"));
    }
    let pickle = run(&bytes).map_err(|problem| format!("{inner}: {problem}"))?;
    let order = format!("{folder}byteorder");
    if let Ok(mut entry) = archive.by_name(&order) {
        let mut text = String::new();
        if entry.read_to_string(&mut text).is_ok() && text.trim() == "big" {
            return Err("written on a big-endian machine".to_owned());
        }
    }
    Ok((pickle, Bytes::Zip { archive, folder }))
}

/// Magic number, protocol, machine, object, keys of the storages; then every storage: its number of elements (64 bits)
/// and the elements (`_legacy_save` of `torch/serialization.py`).
fn legacy(file: Shared) -> Result<(Pickle, Bytes), String> {
    let all = file.as_ref();
    let Some(rest) = all.strip_prefix(LEGACY_MAGIC) else {
        return Err("a pickle, but not a file of torch.save".to_owned());
    };
    let limit = |bytes: &[u8]| bytes.len().min(MAX_PICKLE as usize);
    let mut at = all.len() - rest.len();
    let mut next = |what: &str| {
        let bytes = &all[at.min(all.len())..];
        let pickle = run(&bytes[..limit(bytes)]).map_err(|problem| format!("{what}: {problem}"))?;
        at += pickle.length;
        Ok::<_, String>((pickle, at))
    };
    let (protocol, _) = next("its protocol")?;
    if protocol.arena.get(protocol.root) != Some(&Value::Int(1001)) {
        return Err("of a protocol of torch.save that is not known".to_owned());
    }
    let (system, _) = next("its system")?;
    let little = system.get(system.root, "little_endian").map(|id| &system.arena[id]);
    if little == Some(&Value::Bool(false)) {
        return Err("written on a big-endian machine".to_owned());
    }
    let (pickle, _) = next("its state dict")?;
    let (keys, at) = next("its keys")?;
    let places = places(all, at, &pickle, &keys)?;
    Ok((pickle, Bytes::Row { file, places }))
}

fn places(
    all: &[u8],
    mut at: usize,
    pickle: &Pickle,
    keys: &Pickle,
) -> Result<HashMap<String, (usize, u64)>, String> {
    let storages = pickle.arena.iter().filter_map(|value| match value {
        Value::Storage(storage) => Some((storage.key.as_str(), storage.kind.width())),
        _ => None,
    });
    let widths: HashMap<&str, u64> = storages.collect();
    let Some(Value::List(listed)) = keys.arena.get(keys.root) else {
        return Err("has no list of storages".to_owned());
    };
    let mut places = HashMap::new();
    for id in listed {
        let key = keys.text(*id).ok_or("has a storage without a key")?;
        let width = widths.get(key).ok_or("has a storage that nothing refers to")?;
        let count: [u8; 8] = all.get(at..at + 8).and_then(|b| b.try_into().ok()).ok_or("cut short")?;
        let count = u64::from_le_bytes(count);
        let length = count.checked_mul(*width).and_then(|n| usize::try_from(n).ok());
        let end =
            length.and_then(|n| n.checked_add(at + 8)).filter(|end| *end <= all.len()).ok_or("cut short")?;
        places.insert(key.to_owned(), (at + 8, count));
        at = end;
    }
    Ok(places)
}
