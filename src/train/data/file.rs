//! A file of data to bytes or text: sizes judged before anything is read, compression and encoding undone. Must never
//! hold more than fits, whatever a file unpacks to.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::forms::{self, GZIP, ZSTD};
use crate::support::units::bytes as human_bytes;
use crate::train::TrainError;

/// Memory of a preparation: so much, and so many bytes a byte of text. Half of what README promises; measured on texts with
/// and without line ends.
const BASE: u64 = 100 << 20;
const PER_BYTE: u64 = 10;
/// Bytes of text from which the memory is said.
const LARGE: u64 = 1 << 30;

/// How much text fits into memory.
#[derive(Clone, Debug)]
pub struct TextRoom {
    available: u64,
    used: u64,
}

impl TextRoom {
    /// Room in `available` bytes of memory.
    pub fn of(available: u64) -> Self {
        TextRoom { available, used: 0 }
    }

    fn needed(bytes: u64) -> u64 {
        BASE + PER_BYTE.saturating_mul(bytes)
    }

    /// Bytes of text that still fit.
    fn left(&self) -> u64 {
        (self.available.saturating_sub(BASE) / PER_BYTE).saturating_sub(self.used)
    }

    /// Judges files by their sizes on disk, before one is read.
    ///
    /// # Errors
    /// More than fits, with the numbers.
    pub fn judge(&self, files: &[PathBuf]) -> Result<(), TrainError> {
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
        let total: u64 = files.iter().map(size).sum();
        if total <= self.left() {
            return Ok(());
        }
        let largest = files.iter().max_by_key(|path| size(path));
        let what = match (files, largest) {
            ([only], _) => format!("{} has {}", only.display(), human_bytes(total)),
            (_, Some(largest)) => {
                format!(
                    "{} files have {}, the largest {}",
                    files.len(),
                    human_bytes(total),
                    largest.display()
                )
            }
            _ => human_bytes(total),
        };
        Err(self.too_much(&what, total))
    }

    fn too_much(&self, what: &str, bytes: u64) -> TrainError {
        TrainError::Setup {
            problem: format!(
                "{what}: reading this needs about {} of memory, but {} is free",
                human_bytes(Self::needed(self.used.saturating_add(bytes))),
                human_bytes(self.available)
            ),
            hint: Some("train on a part of it".to_owned()),
        }
    }

    /// Takes `bytes` of text.
    ///
    /// # Errors
    /// More than fits, with the numbers.
    pub fn take(&mut self, name: &str, bytes: u64) -> Result<(), TrainError> {
        if bytes > self.left() {
            return Err(self.too_much(&format!("{name} has {}", human_bytes(bytes)), bytes));
        }
        self.used += bytes;
        Ok(())
    }

    /// What a large text takes, in a sentence.
    pub fn note(&self) -> Option<String> {
        let (text, memory) = (human_bytes(self.used), human_bytes(Self::needed(self.used)));
        (self.used >= LARGE).then(|| format!("{text} of text needs about {memory} of memory to prepare"))
    }
}

/// The bytes of a file, unpacked where it is packed.
///
/// # Errors
/// A file that cannot be read, is empty, damaged or too large for `room`.
pub fn bytes(path: &Path, room: &mut TextRoom) -> Result<Vec<u8>, TrainError> {
    let name = path.display().to_string();
    let mut file = File::open(path).map_err(TrainError::unreadable(path))?;
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(4).read_to_end(&mut head).map_err(TrainError::unreadable(path))?;
    let whole = std::io::Cursor::new(head.clone()).chain(file);
    let bytes = if GZIP.packs(&head) {
        unpacked(&name, flate2::read::MultiGzDecoder::new(BufReader::new(whole)), room)?
    } else if ZSTD.packs(&head) {
        unpacked(&name, zstd::Decoder::new(whole).map_err(TrainError::unreadable(path))?, room)?
    } else {
        let size = std::fs::metadata(path).map_or(0, |m| m.len()).min(room.left());
        let mut bytes = Vec::with_capacity(size as usize + 1);
        let read =
            whole.take(room.left() + 1).read_to_end(&mut bytes).map_err(TrainError::unreadable(path))?;
        room.take(&name, read as u64)?;
        bytes
    };
    if bytes.is_empty() {
        return Err(TrainError::setup(format!("{name} is empty")));
    }
    forms::refuse_strangers(&name, &bytes)?;
    Ok(bytes)
}

/// Whether a file is packed, by its first bytes.
pub fn is_packed(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut head));
    read.is_ok() && forms::PACKINGS.iter().any(|p| p.packs(&head))
}

fn unpacked(name: &str, reader: impl Read, room: &mut TextRoom) -> Result<Vec<u8>, TrainError> {
    let (mut bytes, limit) = (Vec::new(), room.left());
    reader
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| TrainError::setup(format!("{name} cannot be unpacked: {e}")))?;
    if bytes.len() as u64 > limit {
        return Err(room.too_much(&format!("{name} unpacks to more than {}", human_bytes(limit)), limit));
    }
    room.take(name, bytes.len() as u64)?;
    Ok(bytes)
}

/// Bytes as text: UTF-8 with or without a byte order mark, or UTF-16 with one.
///
/// # Errors
/// Damaged or binary bytes, with the offset.
pub fn text(name: &str, mut bytes: Vec<u8>) -> Result<String, TrainError> {
    match bytes.as_slice() {
        [0xff, 0xfe, units @ ..] => return utf16(name, units, u16::from_le_bytes),
        [0xfe, 0xff, units @ ..] => return utf16(name, units, u16::from_be_bytes),
        _ => {}
    }
    let skipped = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    if bytes.len() == skipped {
        return Err(TrainError::setup(format!("{name} is empty")));
    }
    if let Some(at) = bytes.iter().position(|&b| b == 0) {
        return Err(TrainError::setup(format!(
            "{name} is not a text file: it has a zero byte at offset {at}"
        )));
    }
    bytes.drain(..skipped);
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        bad_encoding(name, "UTF-8", at + skipped, &format!("byte 0x{:02x}", e.as_bytes()[at]))
    })
}

fn utf16(name: &str, bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, TrainError> {
    let units = bytes.chunks(2).map(|pair| unit([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut text = String::with_capacity(bytes.len());
    let mut at = 2;
    for c in char::decode_utf16(units) {
        let c = c.map_err(|e| {
            bad_encoding(name, "UTF-16", at, &format!("a lone surrogate 0x{:04x}", e.unpaired_surrogate()))
        })?;
        at += 2 * c.len_utf16();
        text.push(c);
    }
    if bytes.len() % 2 == 1 {
        return Err(bad_encoding(name, "UTF-16", bytes.len() + 1, "half a character"));
    }
    if text.is_empty() { Err(TrainError::setup(format!("{name} is empty"))) } else { Ok(text) }
}

fn bad_encoding(name: &str, wanted: &str, at: usize, what: &str) -> TrainError {
    TrainError::Setup {
        problem: format!("{name} is not {wanted} from byte offset {at} on: {what}"),
        hint: Some("convert it, e.g. with iconv -t UTF-8".to_owned()),
    }
}
