//! Tokens on disk, found by what they were made from: a run that was started before starts without tokenising again.
//!
//! One file per corpus, `tokens-<key>.bin`, all numbers little-endian: the magic, the numbers of tokens, documents and
//! bytes of text and the end-of-text token (`u64` each), the documents' starts (`u64`), the tokens (`u32`), SHA-256 of all
//! that.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::Corpus;
use crate::model::Tokenizer;
use crate::support::files::replace;
use crate::support::units::hex;
use crate::train::TrainError;

const MAGIC: &[u8; 8] = b"MSTOK\0\0\x02";
const HEAD: usize = 8 + 4 * 8;
const SUM: usize = 32;

/// A folder of tokenised corpora. It only ever saves time: what cannot be read is made again, and what cannot be
/// written is not kept.
#[derive(Clone, Debug)]
pub struct TokenCache {
    folder: PathBuf,
}

impl TokenCache {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        TokenCache { folder: folder.into() }
    }

    /// The corpus of `documents`, from the cache where it is there; and whether it was.
    ///
    /// # Errors
    /// As [`Corpus::new`].
    pub fn corpus(&self, documents: &[String], tokenizer: &Tokenizer) -> Result<(Corpus, bool), TrainError> {
        let path = self.folder.join(format!("tokens-{}.bin", key(documents, tokenizer)?));
        if let Some(corpus) = std::fs::read(&path).ok().and_then(|data| decode(&data)) {
            return Ok((corpus, true));
        }
        let corpus = Corpus::new(documents, tokenizer)?;
        if let Err(error) = replace(&path, &encode(&corpus)) {
            tracing::warn!("the tokens could not be kept in {}: {error}", path.display());
        }
        Ok((corpus, false))
    }
}

/// SHA-256 over the tokenizer and every document with its length, hexadecimal.
fn key(documents: &[String], tokenizer: &Tokenizer) -> Result<String, TrainError> {
    let mut hash = Sha256::new();
    hash.update(MAGIC);
    for text in std::iter::once(&tokenizer.to_json()?).chain(documents) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    Ok(hex(&hash.finalize()))
}

fn encode(corpus: &Corpus) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + corpus.starts.len() * 8 + corpus.tokens.len() * 4 + SUM);
    out.extend(MAGIC);
    let eot = corpus.eot.map_or(u64::MAX, u64::from);
    for n in [corpus.tokens.len() as u64, corpus.starts.len() as u64, corpus.bytes as u64, eot] {
        out.extend(n.to_le_bytes());
    }
    corpus.starts.iter().for_each(|s| out.extend(s.to_le_bytes()));
    corpus.tokens.iter().for_each(|t| out.extend(t.to_le_bytes()));
    let sum = Sha256::digest(&out);
    out.extend(sum);
    out
}

/// `None` for a file that is damaged or of another version.
fn decode(data: &[u8]) -> Option<Corpus> {
    let (body, sum) = data.split_at_checked(data.len().checked_sub(SUM)?)?;
    if body.get(..8)? != MAGIC || Sha256::digest(body).as_slice() != sum {
        return None;
    }
    let number = |i: usize| Some(u64::from_le_bytes(body.get(8 + 8 * i..16 + 8 * i)?.try_into().ok()?));
    let (tokens, documents) = (number(0)? as usize, number(1)? as usize);
    let (starts, ids) = body.get(HEAD..)?.split_at_checked(documents.checked_mul(8)?)?;
    if ids.len() != tokens.checked_mul(4)? {
        return None;
    }
    let starts = starts.chunks_exact(8).filter_map(|c| c.try_into().ok()).map(u64::from_le_bytes).collect();
    let ids = ids.chunks_exact(4).filter_map(|c| c.try_into().ok()).map(u32::from_le_bytes).collect();
    let eot = u32::try_from(number(3)?).ok();
    Some(Corpus::from_tokens(ids, starts, number(2)? as usize, eot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::init;

    #[test]
    fn tokens_are_cached_and_made_again_when_damaged_or_changed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(folder.path().join("deep/inside"));
        let mut documents: Vec<String> = (0..20).map(|i| format!("a small text {i}\nof two lines")).collect();
        let tokenizer = init::tokenizer(&documents, 300).unwrap();
        let (made, hit) = cache.corpus(&documents, &tokenizer).unwrap();
        assert!(!hit);
        assert_eq!(made, Corpus::new(&documents, &tokenizer).unwrap());
        assert_eq!(cache.corpus(&documents, &tokenizer).unwrap(), (made.clone(), true));
        let file =
            std::fs::read_dir(folder.path().join("deep/inside")).unwrap().next().unwrap().unwrap().path();
        let mut data = std::fs::read(&file).unwrap();
        let middle = data.len() / 2;
        data[middle] ^= 1;
        std::fs::write(&file, &data).unwrap();
        assert_eq!(cache.corpus(&documents, &tokenizer).unwrap(), (made.clone(), false), "damage is seen");
        documents[3].push('!');
        assert!(!cache.corpus(&documents, &tokenizer).unwrap().1, "another text");
        let other = init::tokenizer(&documents, 290).unwrap();
        assert!(!cache.corpus(&documents, &other).unwrap().1, "another tokenizer");
        let bare = Corpus { eot: None, ..made };
        assert_eq!(decode(&encode(&bare)), Some(bare));
        assert_eq!(decode(b"short"), None);
    }
}
