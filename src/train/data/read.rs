//! Files to documents. Text files hold documents with blank lines between them; tables hold one a row.

use std::path::{Path, PathBuf};

use super::table;
use crate::train::TrainError;

/// The name that stands for the bundled text: short passages of the novels and speeches that the bundled model was
/// trained on (`assets/calibration.txt`, about 130 KB). Enough to try a run; too little to train a model on.
pub const BUNDLED: &str = "novels";
static BUNDLED_TEXT: &str = include_str!("../../../assets/calibration.txt");

/// What a folder may hold.
const TEXT: [&str; 2] = ["txt", "md"];
const TABLES: [&str; 6] = ["jsonl", "ndjson", "csv", "tsv", "tab", "parquet"];

/// Reads text files, or those of a folder: [`read`] without a column.
///
/// # Errors
/// As [`read`].
pub fn read_documents(paths: &[PathBuf]) -> Result<Vec<String>, TrainError> {
    read(paths, None)
}

/// Reads files and folders (their files sorted by name), in the given order. A blank line ends a document of a text
/// file; each row of a JSONL, CSV, TSV or Parquet file is one document, whose text is in `column` (without one: `text`,
/// or the only column that holds text). The name [`BUNDLED`] alone is the bundled text.
///
/// # Errors
/// An empty, binary or badly encoded file, named with the byte offset of the damage; a column that is not there, with
/// those that are; a folder or table without text.
pub fn read(paths: &[PathBuf], column: Option<&str>) -> Result<Vec<String>, TrainError> {
    if let [only] = paths
        && only.as_os_str() == BUNDLED
        && !only.exists()
    {
        return Ok(documents_of(BUNDLED_TEXT));
    }
    let mut documents = Vec::new();
    for path in expand(paths)? {
        let new = match extension(&path).as_str() {
            "jsonl" | "ndjson" => table::jsonl(&name(&path), &read_text(&path)?, column)?,
            "csv" => table::separated(&name(&path), &read_text(&path)?, b',', column)?,
            "tsv" | "tab" => table::separated(&name(&path), &read_text(&path)?, b'\t', column)?,
            "parquet" => table::parquet(&path, column)?,
            _ => documents_of(&read_text(&path)?),
        };
        let new: Vec<String> = new.into_iter().filter(|d| !d.trim().is_empty()).collect();
        if new.is_empty() {
            return Err(TrainError::setup(format!("{} holds no text", path.display())));
        }
        documents.extend(new);
    }
    Ok(documents)
}

/// The documents of a text: what lies between blank lines.
pub fn documents_of(text: &str) -> Vec<String> {
    let normal = text.replace("\r\n", "\n");
    normal.split("\n\n").map(str::trim).filter(|d| !d.is_empty()).map(str::to_owned).collect()
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, TrainError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(TrainError::io(path))? {
            let file = entry.map_err(TrainError::io(path))?.path();
            let kind = extension(&file);
            if file.is_file() && (TEXT.contains(&kind.as_str()) || TABLES.contains(&kind.as_str())) {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            return Err(TrainError::Setup {
                problem: format!("{} holds no file that can be read as text", path.display()),
                hint: Some(format!("known: .{}, .{}", TEXT.join(", ."), TABLES.join(", ."))),
            });
        }
        inside.sort();
        files.extend(inside);
    }
    if files.is_empty() {
        return Err(TrainError::setup("no data was given"));
    }
    Ok(files)
}

fn read_text(path: &Path) -> Result<String, TrainError> {
    let mut bytes = std::fs::read(path).map_err(TrainError::io(path))?;
    let skipped = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    if bytes.len() == skipped {
        return Err(TrainError::setup(format!("{} is empty", path.display())));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(bad_encoding(path, 0, "it begins as UTF-16 does"));
    }
    if let Some(at) = bytes.iter().position(|&b| b == 0) {
        return Err(TrainError::setup(format!(
            "{} looks binary: a zero byte at offset {at}",
            path.display()
        )));
    }
    if let Err(e) = std::str::from_utf8(&bytes) {
        let at = e.valid_up_to();
        return Err(bad_encoding(path, at, &format!("byte 0x{:02x}", bytes[at])));
    }
    bytes.drain(..skipped);
    String::from_utf8(bytes).map_err(|e| bad_encoding(path, e.utf8_error().valid_up_to() + skipped, ""))
}

fn bad_encoding(path: &Path, at: usize, what: &str) -> TrainError {
    TrainError::Setup {
        problem: format!("{} is not UTF-8 from byte offset {at} on: {what}", path.display()),
        hint: Some("convert it, e.g. with iconv -t UTF-8".to_owned()),
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
