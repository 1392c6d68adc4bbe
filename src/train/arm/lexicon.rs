//! What arms and rasters know of a vocabulary: which tokens begin a word, which class each belongs to, how often each
//! occurs in the training text. Built once per run; pure.

use crate::mask::initial::{PatternTables, Unigram};
use crate::model::Tokenizer;
use crate::settings::choice;

choice! {
    /// What a token is, for the shares of a raster. A token is the first of these that fits.
    pub enum TokenClass {
        Numeric = "numeric",
        Punctuation = "punctuation",
        Capitalised = "capitalised",
        /// Among the rarest tokens, which make up a tenth of the training text.
        Rare = "rare",
        Other = "other",
    }
}

/// Share of the training text that counts as rare.
const RARE: f64 = 0.1;

/// A vocabulary as seen by masks. All lists are `[V]`.
#[derive(Clone, Debug)]
pub struct Lexicon {
    pub eot: Option<u32>,
    pub n_vocab: usize,
    pub word_start: Vec<bool>,
    pub class: Vec<TokenClass>,
    /// Counts of the training text, for surprisal, sampling and the patterns of masks without attention.
    pub tables: PatternTables,
}

impl Lexicon {
    /// From a tokenizer and the training tokens.
    pub fn new(tokenizer: &Tokenizer, n_vocab: usize, tokens: &[u32]) -> Self {
        let bytes = |id| tokenizer.bytes(id);
        let mut lexicon = Self::from_bytes(n_vocab, tokenizer.end_of_document(), tokens, bytes);
        lexicon.word_start = (0..n_vocab as u32).map(|id| tokenizer.begins_word(id)).collect();
        lexicon
    }

    /// The same from the bytes of each id; without a tokenizer, ids can stand for themselves.
    pub fn from_bytes(
        n_vocab: usize,
        eot: Option<u32>,
        tokens: &[u32],
        bytes: impl Fn(u32) -> Vec<u8>,
    ) -> Self {
        let unigram = Unigram::from_ids(n_vocab, tokens);
        let rare = rare_below(&unigram);
        let all: Vec<Vec<u8>> = (0..n_vocab as u32).map(&bytes).collect();
        let class = |id: u32| class_of(&all[id as usize], unigram.probability(id) <= rare);
        Lexicon {
            eot,
            n_vocab,
            word_start: (0..n_vocab as u32)
                .map(|id| Some(id) == eot || all[id as usize].first().is_some_and(u8::is_ascii_whitespace))
                .collect(),
            class: (0..n_vocab as u32).map(class).collect(),
            tables: PatternTables::new(unigram, |id| all[id as usize].clone()),
        }
    }

    pub fn unigram(&self) -> &Unigram {
        &self.tables.unigram
    }

    /// Which tokens of a sequence begin a word.
    pub fn word_starts(&self, ids: &[u32]) -> Vec<bool> {
        let starts = |id: u32| self.word_start.get(id as usize).copied().unwrap_or(true);
        (0..ids.len())
            .map(|i| i == 0 || starts(ids[i]) || (self.eot.is_some() && Some(ids[i - 1]) == self.eot))
            .collect()
    }

    pub fn class(&self, id: u32) -> TokenClass {
        self.class.get(id as usize).copied().unwrap_or(TokenClass::Other)
    }

    /// Rarity of the word that each token belongs to: the mean surprisal of its tokens in nats.
    pub fn salience(&self, ids: &[u32]) -> Vec<f64> {
        let mut out = vec![0.0; ids.len()];
        let starts = self.word_starts(ids);
        let mut from = 0;
        while from < ids.len() {
            let to = (from + 1..ids.len()).find(|&i| starts[i]).unwrap_or(ids.len());
            let mean = ids[from..to].iter().map(|&id| self.unigram().surprisal(id)).sum::<f64>()
                / (to - from) as f64;
            out[from..to].fill(mean);
            from = to;
        }
        out
    }
}

/// The probability at or below which a token is rare: such tokens make up at most [`RARE`] of the text.
fn rare_below(unigram: &Unigram) -> f64 {
    let mut p: Vec<f64> = (0..unigram.n_vocab() as u32).map(|id| unigram.probability(id)).collect();
    p.sort_by(f64::total_cmp);
    let mut sum = 0.0;
    let mut below = 0.0;
    for class in p.chunk_by(|a, b| a == b) {
        sum += class.iter().sum::<f64>();
        if sum > RARE {
            break;
        }
        below = class[0];
    }
    below
}

fn class_of(bytes: &[u8], rare: bool) -> TokenClass {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    let first = text.chars().next();
    if text.chars().any(char::is_numeric) {
        TokenClass::Numeric
    } else if first.is_some() && !text.chars().any(char::is_alphanumeric) {
        TokenClass::Punctuation
    } else if first.is_some_and(char::is_uppercase) {
        TokenClass::Capitalised
    } else if rare {
        TokenClass::Rare
    } else {
        TokenClass::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_rare_as_their_pieces_on_average_and_classes_are_the_first_that_fits() {
        let pieces = ["the", " cat", "tle", " Paris", " 42", ",", " zyx", "\n"];
        let mut tokens = vec![0u32; 60];
        tokens.extend([1, 1, 1, 1, 2, 3, 4, 5, 5, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
        let lexicon = Lexicon::from_bytes(8, None, &tokens, |id| pieces[id as usize].as_bytes().to_vec());
        let classes: Vec<&str> = (0..8).map(|id| lexicon.class(id).name()).collect();
        assert_eq!(
            classes,
            ["other", "other", "rare", "capitalised", "numeric", "punctuation", "rare", "other"]
        );
        let got = lexicon.salience(&[0, 1, 2, 6]);
        let s = |id| lexicon.unigram().surprisal(id);
        assert_eq!(got, [s(0), (s(1) + s(2)) / 2.0, (s(1) + s(2)) / 2.0, s(6)]);
        assert!(got[3] > got[0]);
    }
}
