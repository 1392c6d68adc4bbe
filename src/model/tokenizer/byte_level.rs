//! GPT-2's byte alphabet, and the tokenizer in `vocab.json` and `merges.txt`.

use std::collections::HashMap;

use tokenizers::Tokenizer as Inner;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::model::error::ModelError;

/// GPT-2's map from bytes to printable characters: printable Latin-1 stands for itself, the rest for U+0100 and up.
pub fn byte_characters() -> [char; 256] {
    let mut map = ['\0'; 256];
    let mut next = 256u32;
    for byte in 0..=255u8 {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let code = if printable { u32::from(byte) } else { next };
        next += u32::from(!printable);
        map[byte as usize] = char::from_u32(code).unwrap_or('\u{fffd}');
    }
    map
}

/// From `vocab.json` and `merges.txt`; `file` names their folder in errors.
///
/// # Errors
/// Files that are damaged, or do not belong together.
pub fn from_vocab(vocab: &[u8], merges: &str, file: &str) -> Result<Inner, ModelError> {
    let bad = |problem: String| ModelError::file(file, problem);
    let vocab: HashMap<String, u32> = serde_json::from_slice(vocab)
        .map_err(|e| bad(format!("vocab.json is not a map of tokens to ids: {e}")))?;
    let mut pairs = Vec::new();
    for (number, line) in merges.lines().enumerate() {
        if line.starts_with("#version") || line.trim().is_empty() {
            continue;
        }
        match line.split_once(' ') {
            Some((a, b)) if !b.contains(' ') => pairs.push((a.to_owned(), b.to_owned())),
            _ => return Err(bad(format!("merges.txt line {} is not a pair of tokens", number + 1))),
        }
    }
    let bpe = BPE::builder()
        .vocab_and_merges(vocab.into_iter().collect::<Vocab>(), pairs)
        .build()
        .map_err(|e| bad(format!("vocabulary and merges do not fit: {e}")))?;
    let mut inner = Inner::new(bpe);
    inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    inner.with_decoder(Some(ByteLevel::default()));
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        let map = byte_characters();
        let distinct: std::collections::HashSet<char> = map.iter().copied().collect();
        assert_eq!(distinct.len(), 256);
        assert_eq!(map[b' ' as usize], 'Ġ');
        assert_eq!(map[b'\n' as usize], 'Ċ');
        assert_eq!(map[b'A' as usize], 'A');
    }
}
