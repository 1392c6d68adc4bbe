//! TensorBoard event files: TFRecord framing (length, masked CRC-32C) around three small protobuf messages
//! (`tensorflow/core/util/event.proto`, `framework/summary.proto`); no protobuf library for six fields.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::train::report::Report;

/// One event file being written.
pub struct EventFile(BufWriter<File>);

impl EventFile {
    /// Starts a file in `folder`; after a resume, readers drop what earlier files hold past `purge` steps.
    pub fn create(folder: &Path, now: f64, purge: Option<i64>) -> io::Result<Self> {
        // Readers sort by the seconds; the rest keeps a resumed run's file apart.
        let micros = (now.fract() * 1e6) as u32;
        let name =
            format!("events.out.tfevents.{:010}.{micros:06}.{}.maskscope", now as u64, std::process::id());
        let mut file = EventFile(BufWriter::new(File::create(folder.join(name))?));
        file.event(now, 0, Field::Version("brain.Event:2"))?;
        if let Some(step) = purge {
            file.event(now, step + 1, Field::SessionStart)?;
        }
        Ok(file)
    }

    /// Writes what a report has for a chart.
    pub fn put(&mut self, report: &Report) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (step, scalars) = scalars(report);
        if scalars.is_empty() {
            return Ok(());
        }
        self.event(now, step as i64, Field::Scalars(&scalars))
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn event(&mut self, time: f64, step: i64, field: Field) -> io::Result<()> {
        let mut message = Vec::new();
        message.push(0x09); // field 1, 64 bits: wall_time
        message.extend_from_slice(&time.to_le_bytes());
        message.push(0x10); // field 2, varint: step
        varint(&mut message, step as u64);
        match field {
            Field::Version(version) => bytes(&mut message, 3, version.as_bytes()),
            Field::Scalars(scalars) => {
                let mut summary = Vec::new();
                for (tag, value) in scalars {
                    let mut entry = Vec::new();
                    bytes(&mut entry, 1, tag.as_bytes());
                    entry.push(0x15); // field 2, 32 bits: simple_value
                    entry.extend_from_slice(&(*value as f32).to_le_bytes());
                    bytes(&mut summary, 1, &entry);
                }
                bytes(&mut message, 5, &summary);
            }
            // SessionLog { status: START }
            Field::SessionStart => bytes(&mut message, 7, &[0x08, 0x01]),
        }
        self.record(&message)
    }

    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        self.0.write_all(&length)?;
        self.0.write_all(&masked(crc32c(&length)).to_le_bytes())?;
        self.0.write_all(data)?;
        self.0.write_all(&masked(crc32c(data)).to_le_bytes())
    }
}

enum Field<'a> {
    Version(&'a str),
    Scalars(&'a [(&'static str, f64)]),
    SessionStart,
}

/// Step and named numbers of a report.
fn scalars(report: &Report) -> (usize, Vec<(&'static str, f64)>) {
    match report {
        Report::Step { report: r, .. } => {
            let mut all = vec![
                ("loss/train", r.loss),
                ("learning_rate", r.learning_rate),
                ("gradient_norm", r.grad_norm),
                ("mask/rate", r.mask_rate),
                ("mask/realised", r.realised_rate),
                ("tokens_per_second", r.tokens_per_second),
                ("memory_bytes", r.memory as f64),
                ("time/masking", r.time.masking),
                ("time/forward", r.time.forward),
                ("time/backward", r.time.backward),
                ("time/optimizer", r.time.optimizer),
            ];
            all.extend(r.masked_token_loss.map(|v| ("loss/masked_tokens", v)));
            all.extend(r.unmasked_token_loss.map(|v| ("loss/unmasked_tokens", v)));
            all.extend(r.cores.map(|v| ("cores", v)));
            (r.step, all)
        }
        Report::Evaluated { step, loss, bits_per_byte, masked_loss } => {
            let mut all = vec![("loss/validation", *loss)];
            all.extend(bits_per_byte.map(|bits| ("bits_per_byte", bits)));
            all.extend(masked_loss.map(|v| ("loss/validation_masked", v)));
            (*step, all)
        }
        _ => (0, Vec::new()),
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A length-delimited field.
fn bytes(out: &mut Vec<u8>, field: u64, data: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, data.len() as u64);
    out.extend_from_slice(data);
}

/// CRC-32C (Castagnoli), reflected, a byte at a time.
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !data.iter().fold(!0u32, |crc, &byte| TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8))
}

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0x82f6_3b78 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

/// TFRecord's masking, so that a checksum of checksums is no trouble.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_gives_the_published_answers() {
        // RFC 3720, appendix B.4, and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn a_file_is_a_chain_of_whole_records() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(dir.path(), 1.5, Some(7)).unwrap();
        file.put(&Report::Evaluated { step: 300, loss: 2.5, bits_per_byte: Some(1.0), masked_loss: None })
            .unwrap();
        file.flush().unwrap();
        let path = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let bytes = std::fs::read(path).unwrap();
        let (mut at, mut records) = (0, Vec::new());
        while at < bytes.len() {
            let length = &bytes[at..at + 8];
            let n = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            let sum = |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap());
            assert_eq!(sum(at + 8), masked(crc32c(length)));
            let data = &bytes[at + 12..at + 12 + n];
            assert_eq!(sum(at + 12 + n), masked(crc32c(data)));
            records.push(data.to_vec());
            at += 16 + n;
        }
        assert_eq!(records.len(), 3);
        assert!(records[0].windows(13).any(|w| w == b"brain.Event:2"));
        // Step 300 as a varint, the tag, and 2.5 as the simple value.
        assert_eq!(&records[2][9..12], &[0x10, 0xac, 0x02]);
        assert!(records[2].windows(15).any(|w| w == b"loss/validation"));
        assert!(records[2].windows(5).any(|w| w == [0x15, 0, 0, 0x20, 0x40]));
    }
}
