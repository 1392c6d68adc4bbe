//! Documents as one run of tokens, cut to the context. Every document ends with the end-of-text token where the
//! tokenizer has one; where it has none, the token before a boundary has no label, because what follows is another text.

use rayon::prelude::*;

use crate::model::{ModelError, Tokenizer};
use crate::tensor::cross_entropy::IGNORE;
use crate::train::TrainError;
use crate::train::batch::Visit;

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
    pub fn new(documents: &[String], tokenizer: &Tokenizer) -> Result<Self, TrainError> {
        let end = tokenizer.end_of_document();
        let ended = |document: &String| {
            let mut ids = tokenizer.ids(document)?;
            if ids.is_empty() || ids.last().copied() != end {
                ids.extend(end);
            }
            Ok(ids)
        };
        let mut parts: Vec<Vec<u32>> = documents.par_iter().map(ended).collect::<Result<_, ModelError>>()?;
        let mut starts = Vec::with_capacity(parts.len());
        let mut at = 0u64;
        for part in &parts {
            starts.push(at);
            at += part.len() as u64;
        }
        let bytes = documents.iter().map(String::len).sum();
        let tokens = if parts.len() == 1 { parts.remove(0) } else { parts.concat() };
        Ok(Self::from_tokens(tokens, starts, bytes, end))
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

    /// Number of sequences of `context` tokens (each with its next tokens as targets) that start at `offset`.
    pub fn sequences(&self, context: usize, offset: usize) -> usize {
        (self.tokens.len().saturating_sub(offset + 1)) / context
    }

    /// Sequence `index`: `(inputs, next tokens)`, `context` tokens each.
    fn sequence(&self, index: usize, context: usize, offset: usize) -> (&[u32], &[u32]) {
        let at = offset + index * context;
        (&self.tokens[at..at + context], &self.tokens[at + 1..at + context + 1])
    }

    /// One visit to sequence `index`, without the labels that do not count, and those at document boundaries that no token
    /// marks.
    pub fn visit(&self, index: usize, pass: u32, context: usize, offset: usize) -> Visit {
        let (inputs, next) = self.sequence(index, context, offset);
        let mut targets = next.to_vec();
        if self.counted.is_some() {
            let first = offset + index * context + 1;
            for (_, target) in (first..).zip(&mut targets).filter(|(at, _)| !self.counts(*at)) {
                *target = IGNORE;
            }
        }
        if self.eot.is_none() {
            let first = (offset + index * context + 1) as u64;
            let from = self.starts.partition_point(|&s| s < first);
            for &start in self.starts[from..].iter().take_while(|s| **s < first + context as u64) {
                targets[(start - first) as usize] = IGNORE;
            }
        }
        Visit { sequence: index as u32, pass, inputs: inputs.to_vec(), targets }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stop_at_boundaries_that_nothing_marks() {
        let tokens: Vec<u32> = (0..20).collect();
        let marked = Corpus::from_tokens(tokens.clone(), vec![0, 6, 9], 20, Some(8));
        assert_eq!(marked.visit(0, 3, 9, 1).targets, (2..11).collect::<Vec<u32>>());
        let bare = Corpus { eot: None, ..marked.clone() };
        let visit = bare.visit(0, 3, 9, 1);
        assert_eq!((visit.inputs[0], visit.pass), (1, 3));
        assert_eq!(visit.targets, [2, 3, 4, 5, IGNORE, 7, 8, IGNORE, 10]);
        assert_eq!(bare.visit(1, 0, 9, 1).targets, (11..20).collect::<Vec<u32>>());
        assert_eq!((bare.document(1), bare.document(2).len()), (&[6, 7, 8][..], 11));
    }

    #[test]
    fn tokens_that_do_not_count_are_read_and_have_no_label() {
        let corpus = Corpus::from_tokens((0..20).collect(), vec![0], 20, Some(99));
        let whole = corpus.clone().counting(vec![true; 20]);
        assert_eq!((&whole, whole.labels()), (&corpus, 20), "all of them is no mask");
        let answers = corpus.counting((0..20).map(|t| (5..8).contains(&t) || t == 12).collect());
        let visit = answers.visit(0, 0, 10, 1);
        assert_eq!(visit.inputs, (1..11).collect::<Vec<u32>>());
        let i = IGNORE;
        assert_eq!(visit.targets, [i, i, i, 5, 6, 7, i, i, i, i]);
        let marked = visit.after(99);
        assert_eq!(marked.inputs, [99, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(
            marked.targets,
            [1, i, i, i, 5, 6, 7, i, i, i],
            "the first label is known to the text alone"
        );
        assert_eq!(answers.labels(), 4);
    }
}
