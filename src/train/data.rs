//! Text to training sequences: documents, a split by document, tokens packed to the context with boundaries, and an
//! order of visits that depends on the seed alone.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::TrainError;
use crate::model::Tokenizer;

/// Tokens of a corpus, documents separated by `<|endoftext|>` where the tokenizer has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Corpus {
    pub tokens: Vec<u32>,
    pub documents: usize,
    /// UTF-8 bytes of the text, for bits per byte.
    pub bytes: usize,
}

/// Reads text files, or every `.txt` and `.md` file of a folder (sorted by name); a blank line ends a document.
///
/// # Errors
/// An empty, binary or badly encoded file, named with the byte offset of the damage.
pub fn read_documents(paths: &[PathBuf]) -> Result<Vec<String>, TrainError> {
    let mut documents = Vec::new();
    for path in expand(paths)? {
        let text = read_text(&path)?;
        let before = documents.len();
        let normal = text.replace("\r\n", "\n");
        documents.extend(normal.split("\n\n").map(str::trim).filter(|d| !d.is_empty()).map(str::to_owned));
        if documents.len() == before {
            return Err(TrainError::setup(format!("{} holds no text", path.display())));
        }
    }
    Ok(documents)
}

fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, TrainError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(TrainError::io(path))?
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "txt" || e == "md"))
            .collect();
        if inside.is_empty() {
            return Err(TrainError::setup(format!("{} holds no .txt or .md file", path.display())));
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
    let bytes = std::fs::read(path).map_err(TrainError::io(path))?;
    if bytes.is_empty() {
        return Err(TrainError::setup(format!("{} is empty", path.display())));
    }
    if let Some(at) = bytes.iter().position(|&b| b == 0) {
        return Err(TrainError::setup(format!(
            "{} looks binary: a zero byte at offset {at}",
            path.display()
        )));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        TrainError::Setup {
            problem: format!("{} is not UTF-8 from byte offset {at} on", path.display()),
            hint: Some("convert it, e.g. with iconv -t UTF-8".to_owned()),
        }
    })
}

/// The last `share` of the documents for validation, at least one when there are two; whole documents only.
pub fn split(documents: Vec<String>, share: f64) -> (Vec<String>, Vec<String>) {
    if share <= 0.0 || documents.len() < 2 {
        return (documents, Vec::new());
    }
    let n = ((documents.len() as f64 * share).round() as usize).clamp(1, documents.len() - 1);
    let mut train = documents;
    let held = train.split_off(train.len() - n);
    (train, held)
}

impl Corpus {
    /// Tokenises documents in parallel, paragraph by paragraph, so that one long document is spread over the cores.
    pub fn new(documents: &[String], tokenizer: &Tokenizer) -> Result<Self, TrainError> {
        let parts: Vec<Vec<u32>> = documents
            .par_iter()
            .map(|document| {
                let mut ids = Vec::new();
                // Cutting before a newline never cuts a GPT-2 pre-token that holds text on both sides.
                let mut at = 0;
                for (i, _) in document.match_indices('\n').chain([(document.len(), "")]) {
                    let piece = tokenizer.encode(&document[at..i])?;
                    ids.extend(piece.into_iter().map(|p| p.id));
                    at = i;
                }
                ids.extend(tokenizer.eot);
                Ok(ids)
            })
            .collect::<Result<_, crate::model::ModelError>>()?;
        Ok(Corpus {
            tokens: parts.concat(),
            documents: documents.len(),
            bytes: documents.iter().map(String::len).sum(),
        })
    }

    /// Number of sequences of `context` tokens (each with its next tokens as targets) that start at `offset`.
    pub fn sequences(&self, context: usize, offset: usize) -> usize {
        (self.tokens.len().saturating_sub(offset + 1)) / context
    }

    /// Sequence `index`: `(inputs, targets)`, `context` tokens each.
    pub fn sequence(&self, index: usize, context: usize, offset: usize) -> (&[u32], &[u32]) {
        let at = offset + index * context;
        (&self.tokens[at..at + context], &self.tokens[at + 1..at + context + 1])
    }
}

/// Visits of sequences: every epoch shifts the cut points and shuffles, both from the seed alone.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub seed: u64,
    pub context: usize,
}

/// SplitMix64 (Steele, Lea and Flood 2014): one well-mixed number per counter.
pub(crate) fn mix(seed: u64, counter: u64) -> u64 {
    let mut z =
        seed.wrapping_add(counter.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Order {
    /// `(offset, sequence indices in order)` of one epoch.
    pub fn epoch(&self, corpus: &Corpus, epoch: u64) -> (usize, Vec<u32>) {
        let offset = (mix(self.seed, epoch << 32) % self.context as u64) as usize;
        let offset = if corpus.sequences(self.context, offset) == 0 { 0 } else { offset };
        let mut order: Vec<u32> = (0..corpus.sequences(self.context, offset) as u32).collect();
        for i in (1..order.len()).rev() {
            let j = mix(self.seed, (epoch << 32) + i as u64) % (i as u64 + 1);
            order.swap(i, j as usize);
        }
        (offset, order)
    }
}
