//! `pytorch_model.bin`: a zip with a pickle inside. Nothing of it is executed, and before it is interpreted at all it is
//! scanned: bounded size, known opcodes, classes from a short list, every expected tensor present with its shape.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::pickle::PthTensors;
use candle_core::{DType, Device, Tensor};

use super::config::Config;
use super::error::ModelError;
use super::weights::{bare_name, is_causal_buffer};

/// A state dict of thousands of tensors needs well under a megabyte.
const MAX_PICKLE: u64 = 16 << 20;

/// Classes that a plain state dict may name.
const ALLOWED: &[(&str, &str)] = &[
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "FloatStorage"),
    ("torch", "HalfStorage"),
    ("torch", "BFloat16Storage"),
    ("torch", "ByteStorage"),
    ("torch", "BoolStorage"),
    ("torch", "LongStorage"),
    ("torch", "IntStorage"),
    ("torch", "DoubleStorage"),
];

/// Reads every tensor that `config` expects, as f32 on `device`.
pub fn load(
    config: &Config,
    paths: &[PathBuf],
    device: &Device,
) -> Result<HashMap<String, Tensor>, ModelError> {
    let mut found: HashMap<String, (usize, String)> = HashMap::new();
    let mut files = Vec::new();
    for path in paths {
        scan_file(path)?;
        let name = path.display().to_string();
        let file = PthTensors::new(path, None)
            .map_err(|e| ModelError::file(&name, format!("not a PyTorch state dict: {e}")))?;
        for full in file.tensor_infos().keys().filter(|n| !is_causal_buffer(n)) {
            found.insert(bare_name(full).to_owned(), (files.len(), full.clone()));
        }
        files.push((name, file));
    }
    let main = files.first().map_or("pytorch_model.bin", |(name, _)| name).to_owned();
    let expected = config.expected_tensors();
    for (name, shape) in &expected {
        let Some((at, full)) = found.get(name) else {
            return Err(ModelError::file(&main, format!("tensor {name} is missing"))
                .with_hint("config.json and the weights may belong to different models"));
        };
        let (file, tensors) = &files[*at];
        let Some(info) = tensors.tensor_infos().get(full) else { continue };
        if info.layout.dims() != shape {
            let problem =
                format!("tensor {full} has shape {:?}, config.json asks for {shape:?}", info.layout.dims());
            return Err(ModelError::file(file, problem));
        }
        // candle keeps this offset in bytes.
        let needed =
            info.layout.start_offset() / info.dtype.size_in_bytes() + shape.iter().product::<usize>();
        if info.storage_size < needed {
            return Err(ModelError::file(file, format!("tensor {full} is larger than its storage")));
        }
    }
    let mut tensors = HashMap::new();
    for (name, _) in expected {
        let (at, full) = &found[&name];
        let (file, reader) = &files[*at];
        let tensor = reader
            .get(full)
            .map_err(|e| ModelError::file(file, format!("tensor {full} cannot be read: {e}")))?
            .ok_or_else(|| ModelError::file(file, format!("tensor {full} is missing")))?;
        tensors.insert(name, tensor.to_dtype(DType::F32)?.contiguous()?.to_device(device)?);
    }
    Ok(tensors)
}

/// Scans the pickle inside the zip.
fn scan_file(path: &Path) -> Result<(), ModelError> {
    let name = path.display().to_string();
    let bad = |problem: String| {
        ModelError::file(&name, problem)
            .with_hint("convert the checkpoint to safetensors in Python, or choose one that has it")
    };
    let file = File::open(path).map_err(|e| ModelError::file(&name, format!("cannot be opened: {e}")))?;
    let mut archive = zip::ZipArchive::new(file)
        .map_err(|e| bad(format!("not a zip: cut short, or written by a PyTorch older than 1.6 ({e})")))?;
    let names: Vec<String> = archive
        .file_names()
        .map(|n| n.map(std::borrow::Cow::into_owned))
        .collect::<Result<_, _>>()
        .map_err(|e| bad(format!("damaged zip: {e}")))?;
    let inner: Vec<&String> = names.iter().filter(|n| n.ends_with("data.pkl")).collect();
    let [inner] = inner.as_slice() else {
        return Err(bad(format!("holds {} pickles, not one", inner.len())));
    };
    let entry = archive.by_name(inner).map_err(|e| bad(format!("{inner}: {e}")))?;
    let mut bytes = Vec::new();
    entry.take(MAX_PICKLE + 1).read_to_end(&mut bytes).map_err(|e| bad(format!("{inner}: {e}")))?;
    if bytes.len() as u64 > MAX_PICKLE {
        return Err(bad(format!("{inner} is longer than {MAX_PICKLE} bytes")));
    }
    scan(&bytes).map_err(|problem| bad(format!("{inner}: {problem}")))
}

/// Walks the opcodes of a protocol-2 pickle (CPython's `pickletools`) without interpreting them.
fn scan(bytes: &[u8]) -> Result<(), String> {
    let mut at = 0;
    let line = |at: usize| {
        let end = bytes[at.min(bytes.len())..].iter().position(|&b| b == b'\n').ok_or("cut short")?;
        Ok::<_, String>((String::from_utf8_lossy(&bytes[at..at + end]).into_owned(), at + end + 1))
    };
    while let Some(&op) = bytes.get(at) {
        at += 1;
        at += match op {
            b'.' => return Ok(()),
            b'c' => {
                let (module, next) = line(at)?;
                let (class, next) = line(next)?;
                if !ALLOWED.contains(&(module.as_str(), class.as_str())) {
                    return Err(format!(
                        "names the class {module}.{class}, which a plain state dict does not need"
                    ));
                }
                next - at
            }
            0x80 | b'q' | b'h' | b'K' => 1,
            b'M' => 2,
            b'r' | b'j' | b'J' => 4,
            b'G' => 8,
            b'X' => {
                let length: [u8; 4] =
                    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).ok_or("cut short")?;
                4 + u32::from_le_bytes(length) as usize
            }
            0x8a => 1 + usize::from(*bytes.get(at).ok_or("cut short")?),
            b')'
            | b'R'
            | b'('
            | b't'
            | b'Q'
            | 0x85..=0x89
            | b'N'
            | b's'
            | b'u'
            | b'}'
            | b'd'
            | b'b'
            | 0x81
            | b']'
            | b'a'
            | b'e' => 0,
            other => {
                return Err(format!("uses opcode 0x{other:02x}, which a plain state dict does not need"));
            }
        };
    }
    Err("cut short".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_off_the_list_is_refused() {
        let evil = b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.";
        assert!(scan(evil).is_err_and(|e| e.contains("posix.system")));
        assert!(scan(b"\x80\x02ccollections\nOrderedDict\n)R.").is_ok());
        assert_eq!(scan(b"\x80\x02ccollections\nOrde"), Err("cut short".to_owned()));
        assert!(scan(b"\x80\x02\x93.").is_err());
    }
}
