//! The small files that a model came with, byte for byte: what they say is read from here, and they are written again
//! into every folder that is saved.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::kinds;
use crate::model::error::ModelError;

/// Largest of these files that is read, in bytes; real ones stay under 20 MB.
const LARGEST: u64 = 64 << 20;

/// Files by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmallFiles {
    /// Name and content, in the order of the table in [`kinds`].
    files: Arc<Vec<(String, Vec<u8>)>>,
    /// Where they lie, for messages.
    place: String,
}

impl SmallFiles {
    /// All files of a tokenizer in `folder`.
    ///
    /// # Errors
    /// A file that cannot be read, or of an absurd size.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let mut files = Vec::new();
        for name in kinds::all_files() {
            let path = folder.join(name);
            let shown = path.display().to_string();
            let failed = |e: std::io::Error| ModelError::unreadable(&path, &e);
            let length = match std::fs::metadata(&path) {
                Ok(found) if found.is_file() => found.len(),
                Ok(_) => continue,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(failed(e)),
            };
            if length > LARGEST {
                let problem = format!("is {length} bytes long, more than {LARGEST} for such a file");
                return Err(ModelError::file(shown, problem));
            }
            files.push((name.to_owned(), std::fs::read(&path).map_err(failed)?));
        }
        Ok(SmallFiles { files: Arc::new(files), place: folder.display().to_string() })
    }

    /// The same with `name` added, unless it is there.
    pub(super) fn with(self, name: &str, bytes: Vec<u8>) -> Self {
        let mut files = Arc::unwrap_or_clone(self.files);
        if files.iter().all(|(known, _)| known != name) {
            files.push((name.to_owned(), bytes));
        }
        SmallFiles { files: Arc::new(files), place: self.place }
    }

    /// Name and content of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes)
    }

    /// What a file is called in messages.
    pub(super) fn shown(&self, name: &str) -> String {
        Path::new(&self.place).join(name).display().to_string()
    }

    /// A file's text; `None` where it is not there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ModelError> {
        let Some(bytes) = self.get(name) else { return Ok(None) };
        let text = std::str::from_utf8(bytes)
            .map_err(|e| ModelError::file(self.shown(name), format!("not UTF-8: {e}")))?;
        Ok(Some(text.trim_start_matches('\u{feff}')))
    }

    /// A JSON object's fields; empty where the file is not there.
    pub(super) fn fields(&self, name: &str) -> Result<Map<String, Value>, ModelError> {
        let Some(text) = self.text(name)?.filter(|text| !text.trim().is_empty()) else {
            return Ok(Map::new());
        };
        let bad = |problem: String| ModelError::file(self.shown(name), problem);
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(bad("not a JSON object".to_owned())),
            Err(e) => Err(bad(format!("not valid JSON: {e}"))),
        }
    }
}
