//! What a file is that was named as a model and is none, told from its first bytes.

use super::error::ModelError;

/// Bytes that are looked at.
const HEAD: usize = 4096;

/// What is known by its first bytes, and what helps.
struct Stranger {
    at: usize,
    magic: &'static [u8],
    what: &'static str,
    hint: &'static str,
}

const fn known(magic: &'static [u8], what: &'static str, hint: &'static str) -> Stranger {
    Stranger { at: 0, magic, what, hint }
}

pub const NAME_A_MODEL: &str =
    "pass a folder with config.json and the weights, an id on the Hub, or a checkpoint of nanoGPT (ckpt.pt)";
const UNPACK: &str = "unpack it and pass the folder";
const CONVERT: &str = "convert it to safetensors in Python (save_pretrained), and pass the folder";

const STRANGERS: &[Stranger] = &[
    known(
        b"GGUF",
        "a GGUF file of llama.cpp",
        "take the model's own folder with safetensors, or its id on the Hub",
    ),
    known(b"\x89HDF", "an HDF5 file, as TensorFlow and Keras write it", CONVERT),
    known(b"\x89PNG", "a picture (PNG)", NAME_A_MODEL),
    known(b"\xff\xd8\xff", "a picture (JPEG)", NAME_A_MODEL),
    known(b"GIF8", "a picture (GIF)", NAME_A_MODEL),
    known(b"RIFF", "a picture, sound or film (RIFF)", NAME_A_MODEL),
    known(b"%PDF", "a PDF file", NAME_A_MODEL),
    known(b"\x1f\x8b", "packed by gzip", UNPACK),
    known(b"\x28\xb5\x2f\xfd", "packed by Zstandard", UNPACK),
    known(b"BZh", "packed by bzip2", UNPACK),
    known(b"\xfd7zXZ\0", "packed by xz", UNPACK),
    known(b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    known(b"Rar!", "a RAR archive", UNPACK),
    known(b"PAR1", "a Parquet file, which holds data", "name it with --data of maskscope train"),
    known(b"SQLite format 3", "an SQLite database", NAME_A_MODEL),
    known(b"\x93NUMPY", "a NumPy array", NAME_A_MODEL),
    known(b"\x7fELF", "a program", NAME_A_MODEL),
    Stranger {
        at: 257,
        magic: b"ustar",
        what: "a tar archive (or a checkpoint from before PyTorch 0.1.10)",
        hint: UNPACK,
    },
];

/// Why a file that should be one of `torch.save` is none, and what helps.
pub fn refusal(file: &str, bytes: &[u8]) -> ModelError {
    match describe(bytes) {
        Some((what, hint)) => {
            ModelError::file(file, format!("the file is {what}, not a checkpoint of PyTorch")).with_hint(hint)
        }
        None => ModelError::file(
            file,
            "neither a zip nor an older file of PyTorch: it is damaged, cut short or something else",
        )
        .with_hint("fetch the file again, or choose a model with safetensors"),
    }
}

/// What the file is, and what helps; `None` where its bytes say nothing.
fn describe(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let begins = |s: &&Stranger| bytes.get(s.at..).is_some_and(|rest| rest.starts_with(s.magic));
    if let Some(found) = STRANGERS.iter().find(begins) {
        return Some((found.what, found.hint));
    }
    if is_safetensors(bytes) {
        let hint = "pass the folder that contains it; the folder needs a config.json too";
        return Some(("a safetensors file, which holds weights without the model's sizes", hint));
    }
    is_text(bytes).then_some(("a text file", NAME_A_MODEL))
}

/// The length of a header in JSON, and its beginning.
fn is_safetensors(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk::<8>().map(|n| u64::from_le_bytes(*n));
    length.is_some_and(|n| n < 100_000_000) && bytes.get(8) == Some(&b'{')
}

/// UTF-8 or UTF-16 without control characters.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEAD)];
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return true;
    }
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut.
        Err(e) if e.error_len().is_none() => {
            std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c'))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use crate::model::{Checkpoint, ModelFiles};

    fn said(folder: &Path, bytes: &[u8]) -> (String, String) {
        let file = folder.join("model.file");
        std::fs::write(&file, bytes).unwrap();
        let error = Checkpoint::load(&ModelFiles::File(file), &Device::Cpu).err().unwrap();
        (error.to_string(), error.hint().unwrap_or_default())
    }

    #[test]
    fn a_file_named_as_a_model_is_told_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let safetensors = [&16u64.to_le_bytes()[..], b"{\"a\":{}}        "].concat();
        let mut tar = vec![b'x'; 257];
        tar.extend(b"ustar\0");
        for (bytes, what, hint) in [
            (&b"Once upon a time, na\xc3\xafve.\n"[..], "a text file", "config.json"),
            (b"{\"model_type\": \"gpt2\"}", "a text file", "config.json"),
            (b"\x89PNG\r\n\x1a\n\0\0", "a picture (PNG)", "config.json"),
            (b"GGUF\x03\0\0\0", "a GGUF file", "safetensors"),
            (&safetensors, "a safetensors file", "pass the folder"),
            (b"\x1f\x8b\x08\0", "packed by gzip", "unpack"),
            (&tar, "a tar archive", "unpack"),
            (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "convert"),
        ] {
            let (problem, advice) = said(folder.path(), bytes);
            assert!(problem.contains(&format!("the file is {what}")), "{problem}");
            assert!(
                problem.contains("model.file: ") && problem.ends_with("not a checkpoint of PyTorch"),
                "{problem}"
            );
            assert!(advice.contains(hint), "{advice}");
        }
    }

    #[test]
    fn a_zip_that_is_no_checkpoint_and_bytes_of_no_form_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file("word/document.xml", stored).unwrap();
        let zip = zip.finish().unwrap().into_inner();
        let (problem, hint) = said(folder.path(), &zip);
        assert!(problem.ends_with("a zip without a data.pkl, so not a checkpoint of PyTorch"), "{problem}");
        assert!(hint.contains("config.json"), "{hint}");
        let (problem, _) = said(folder.path(), &[0x13, 0x37, 0, 1, 2, 3, 0xfe, 0xfd]);
        assert!(problem.contains("neither a zip nor an older file of PyTorch"), "{problem}");
        assert!(!problem.contains("a text"), "{problem}");
    }
}
