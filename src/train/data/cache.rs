//! Tokens on disk, found by what they were made from: a run that was started before starts without tokenising again.
//!
//! One file per corpus, `tokens-<key>.bin`, all numbers little-endian: the magic, the numbers of tokens, documents and
//! bytes of text and the end-of-text token (`u64` each), the documents' starts (`u64`), the tokens (`u32`), one byte a token that says
//! whether it counts (none where all do), SHA-256 of all that.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::Corpus;
use crate::model::Tokenizer;
use crate::support::files::{plain, replace, whole};
use crate::support::units::hex;
use crate::train::TrainError;

const MAGIC: &[u8; 8] = b"MSTOK\0\0\x03";
const HEAD: usize = 8 + 4 * 8;
const SUM: usize = 32;

/// Bytes that a folder may take unless told otherwise: what was not used for the longest time goes first.
const MOST: u64 = 2 << 30;

/// A folder of tokenised corpora. It only ever saves time: what cannot be read is made again, and what cannot be
/// written is not kept.
#[derive(Clone, Debug)]
pub struct TokenCache {
    folder: PathBuf,
    /// Bytes that it may take.
    most: u64,
    /// Nothing is added.
    read_only: bool,
}

impl TokenCache {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        TokenCache { folder: folder.into(), most: MOST, read_only: false }
    }

    /// The same, of which files are taken and to which none is added.
    pub fn read_only(self) -> Self {
        TokenCache { read_only: true, ..self }
    }

    /// The corpus of `documents`, from the cache where it is there; and whether it was.
    ///
    /// # Errors
    /// As [`Corpus::new`].
    pub fn corpus(&self, documents: &[String], tokenizer: &Tokenizer) -> Result<(Corpus, bool), TrainError> {
        let path = self.folder.join(format!("tokens-{}.bin", key(documents, tokenizer)?));
        if let Some(corpus) = plain(&path).and_then(whole).ok().and_then(|data| decode(&data)) {
            self.touch(&path);
            return Ok((corpus, true));
        }
        let corpus = Corpus::new(documents, tokenizer)?;
        let data = if self.read_only { Vec::new() } else { encode(&corpus) };
        if !data.is_empty() && data.len() as u64 <= self.most {
            let kept = self.make_room(data.len() as u64).and_then(|()| replace(&path, &data));
            if let Err(error) = kept {
                tracing::warn!("the tokens could not be kept in {}: {error}", path.display());
            }
        }
        Ok((corpus, false))
    }

    /// Notes that a file was used.
    fn touch(&self, path: &Path) {
        if !self.read_only {
            // Without the time it only goes earlier than it should.
            let _ = File::options().append(true).open(path).and_then(|f| f.set_modified(SystemTime::now()));
        }
    }

    /// Removes what was not used for the longest time until `bytes` more fit.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in entries.flatten() {
            let own = entry.file_name().to_string_lossy().starts_with("tokens-");
            if let Ok(about) = entry.metadata()
                && own
                && about.is_file()
            {
                files.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), entry.path()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if total + bytes <= self.most {
                break;
            }
            std::fs::remove_file(path)?;
            total -= size;
        }
        Ok(())
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
    out.extend(corpus.counted.iter().flatten().map(|counts| u8::from(*counts)));
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
    let (starts, rest) = body.get(HEAD..)?.split_at_checked(documents.checked_mul(8)?)?;
    let (ids, counted) = rest.split_at_checked(tokens.checked_mul(4)?)?;
    if !counted.is_empty() && counted.len() != tokens {
        return None;
    }
    let starts = starts.chunks_exact(8).filter_map(|c| c.try_into().ok()).map(u64::from_le_bytes).collect();
    let ids = ids.chunks_exact(4).filter_map(|c| c.try_into().ok()).map(u32::from_le_bytes).collect();
    let eot = u32::try_from(number(3)?).ok();
    let corpus = Corpus::from_tokens(ids, starts, number(2)? as usize, eot);
    match counted {
        [] => Some(corpus),
        counted => Some(corpus.counting(counted.iter().map(|byte| *byte != 0).collect())),
    }
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
        let bare = Corpus { eot: None, ..made.clone() };
        assert_eq!(decode(&encode(&bare)), Some(bare.clone()));
        let answers = bare.clone().counting((0..bare.tokens.len()).map(|t| t % 3 == 1).collect());
        assert_eq!(decode(&encode(&answers)), Some(answers));
        assert_eq!(decode(b"short"), None);
    }

    #[test]
    fn the_folder_is_bounded_and_what_was_used_last_stays() {
        let folder = tempfile::tempdir().unwrap();
        let texts =
            |n: usize| -> Vec<String> { (0..20).map(|i| format!("a small text {i} of {n}")).collect() };
        let tokenizer = init::tokenizer(&texts(0), 300).unwrap();
        let one = encode(&Corpus::new(&texts(0), &tokenizer).unwrap()).len() as u64;
        let cache = TokenCache { most: 2 * one + one / 2, ..TokenCache::new(folder.path()) };
        let get = |cache: &TokenCache, n: usize| cache.corpus(&texts(n), &tokenizer).unwrap().1;
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        assert!(!get(&cache.clone().read_only(), 0) && files() == 0, "a look leaves nothing");
        let old = SystemTime::now() - std::time::Duration::from_secs(1000);
        for n in 0..2 {
            assert!(!get(&cache, n));
            for entry in std::fs::read_dir(folder.path()).unwrap() {
                File::options().append(true).open(entry.unwrap().path()).unwrap().set_modified(old).unwrap();
            }
        }
        assert!(get(&cache, 0), "used, so it is the newer one");
        assert!(!get(&cache, 2) && files() == 2);
        assert!(get(&cache, 0) && get(&cache, 2) && !get(&cache, 1), "the one not used went");
        let small = TokenCache { most: one / 2, ..cache };
        assert!(!get(&small, 5) && files() == 2, "what never fits removes nothing");
    }
}
