//! Documents as one run of tokens. Every document ends with the end-of-text token where the
//! tokenizer has one; where it has none, the token before a boundary has no label, because what follows is another text.

use rayon::prelude::*;

use super::SourceText;
use super::document::{counted, ends_with_answer};
use crate::model::{ModelError, Tokenizer};
use crate::train::TrainError;

/// Tokens of a corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct Corpus {
    pub tokens: Vec<u32>,
    /// Where each document begins in `tokens`, ascending, the first at 0.
    pub starts: Vec<u64>,
    /// Which tokens count as labels (the others are read and not learned, as under a label of -100); `None`: all.
    pub counted: Option<Vec<bool>>,
    pub documents: usize,
    /// UTF-8 bytes of the text that counts, for bits per byte.
    pub bytes: usize,
    /// Ends every document, where the tokenizer has it.
    pub eot: Option<u32>,
}

impl Corpus {
    /// Tokenises documents, each as a whole, spread over the cores. An end-of-text token inside a document counts as its
    /// own text.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub fn new<T: SourceText>(documents: &[T], tokenizer: &Tokenizer) -> Result<Self, TrainError> {
        let end = tokenizer.end_of_document();
        let ended = |document: &T| {
            let (mut ids, mut counted) = tokens(document, tokenizer)?;
            if ids.is_empty() || ids.last().copied() != end {
                ids.extend(end);
                let answered = document.answers().is_none_or(|all| ends_with_answer(document.text(), all));
                counted.resize(ids.len(), answered);
            }
            Ok((ids, counted))
        };
        let parts: Vec<(Vec<u32>, Vec<bool>)> =
            documents.par_iter().map(ended).collect::<Result<_, ModelError>>()?;
        let (mut parts, counted): (Vec<Vec<u32>>, Vec<Vec<bool>>) = parts.into_iter().unzip();
        let mut starts = Vec::with_capacity(parts.len());
        let mut at = 0u64;
        for part in &parts {
            starts.push(at);
            at += part.len() as u64;
        }
        let bytes = documents.iter().map(T::counted_bytes).sum();
        let tokens = if parts.len() == 1 { parts.remove(0) } else { parts.concat() };
        let corpus = Self::from_tokens(tokens, starts, bytes, end);
        Ok(if documents.iter().any(|d| d.answers().is_some()) {
            corpus.counting(counted.concat())
        } else {
            corpus
        })
    }

    /// From tokens that are there already, such as those of a model without a tokenizer.
    pub fn from_tokens(tokens: Vec<u32>, starts: Vec<u64>, bytes: usize, eot: Option<u32>) -> Self {
        Corpus { documents: starts.len(), tokens, starts, counted: None, bytes, eot }
    }

    /// The same with labels at the tokens that count alone, one truth value a token.
    pub fn counting(self, counted: Vec<bool>) -> Self {
        debug_assert_eq!(counted.len(), self.tokens.len(), "one truth value a token");
        let all = counted.iter().all(|counts| *counts);
        Corpus { counted: (!all).then_some(counted), ..self }
    }

    /// Whether the token at a place counts as a label.
    pub(super) fn counts(&self, at: usize) -> bool {
        self.counted.as_ref().is_none_or(|counted| counted[at])
    }

    /// Tokens that count as labels.
    pub fn labels(&self) -> usize {
        self.counted.as_ref().map_or(self.tokens.len(), |counted| counted.iter().filter(|c| **c).count())
    }

    /// The tokens of document `index`, its end-of-text token included.
    pub fn document(&self, index: usize) -> &[u32] {
        let end = self.starts.get(index + 1).map_or(self.tokens.len(), |&s| s as usize);
        &self.tokens[self.starts[index] as usize..end]
    }

    /// Which tokens of document `index` count as labels; `None`: all.
    pub fn document_counts(&self, index: usize) -> Option<&[bool]> {
        let start = self.starts[index] as usize;
        self.counted.as_ref().map(|counted| &counted[start..start + self.document(index).len()])
    }
}

/// The tokens of a document, and which of them count
fn tokens(document: &impl SourceText, tokenizer: &Tokenizer) -> Result<(Vec<u32>, Vec<bool>), ModelError> {
    match document.answers() {
        None => {
            let ids = tokenizer.ids(document.text())?;
            let counted = vec![true; ids.len()];
            Ok((ids, counted))
        }
        Some(answers) => {
            let pieces = tokenizer.encode(document.text())?;
            let counted = counted(answers, pieces.iter().map(|piece| piece.span));
            Ok((pieces.into_iter().map(|piece| piece.id).collect(), counted))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_found_again() {
        let corpus = Corpus::from_tokens((0..20).collect(), vec![0, 6, 9], 20, None);
        assert_eq!((corpus.document(1), corpus.document(2).len()), (&[6, 7, 8][..], 11));
        let whole = corpus.clone().counting(vec![true; 20]);
        assert_eq!((&whole, whole.labels()), (&corpus, 20), "all of them is no mask");
        let some = corpus.counting((0..20).map(|token| token == 7).collect());
        assert_eq!((some.document_counts(1), some.labels()), (Some(&[false, true, false][..]), 1));
    }
}
