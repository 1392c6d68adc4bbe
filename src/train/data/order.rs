//! In which order an epoch visits its sequences, and where it cuts the text. Pure.

use super::Corpus;
use super::synthetic::Synthetic;
use crate::mask::draw::{Draws, Stream};

/// Visits of sequences: every epoch shuffles, from the seed alone.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub seed: u64,
    pub context: usize,
    /// Cuts the text at the same places in every epoch, so that a sequence keeps its number. Otherwise each epoch
    /// shifts the cuts by a draw of its own.
    pub fixed_cuts: bool,
    /// Share of the sequences that begin with the end-of-text token, as a document does.
    pub marked: f64,
    /// Makes up some of the sequences.
    pub synthetic: Option<Synthetic>,
}

impl Order {
    /// `(offset, sequence indices in order)` of one epoch.
    pub fn epoch(&self, corpus: &Corpus, epoch: u32) -> (usize, Vec<u32>) {
        let draws = Draws { seed: self.seed, pass: epoch, ..Draws::default() };
        let shift = if self.fixed_cuts { 0 } else { draws.below(Stream::Order, 0, self.context) };
        let offset = if corpus.sequences(self.context, shift) == 0 { 0 } else { shift };
        let mut order: Vec<u32> = (0..corpus.sequences(self.context, offset) as u32).collect();
        // Fisher and Yates.
        for i in (1..order.len()).rev() {
            order.swap(i, draws.below(Stream::Order, i, i + 1));
        }
        (offset, order)
    }

    /// Whether `sequence` begins with the end-of-text token in this epoch; with fixed cuts it does so in all or none.
    pub fn marks(&self, sequence: u32, epoch: u32) -> bool {
        let pass = if self.fixed_cuts { 0 } else { epoch };
        Draws { seed: self.seed, pass, sequence }.unit(Stream::Mark, 0) < self.marked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(n: usize) -> Corpus {
        Corpus::from_tokens((0..n as u32).collect(), vec![0], n, Some(0))
    }

    #[test]
    fn an_epoch_visits_every_sequence_once_in_an_order_of_its_own() {
        let corpus = corpus(1001);
        let order = Order { seed: 4, context: 10, fixed_cuts: true, marked: 0.0, synthetic: None };
        let ((at, first), (_, second)) = (order.epoch(&corpus, 0), order.epoch(&corpus, 1));
        assert_eq!((at, first.len()), (0, 100));
        assert_ne!(first, second);
        assert_eq!(order.epoch(&corpus, 0).1, first);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(Order { seed: 5, ..order }.epoch(&corpus, 0).1, first);
    }

    #[test]
    fn cuts_move_unless_they_are_fixed_and_never_past_a_short_text() {
        let order = Order { seed: 4, context: 10, fixed_cuts: false, marked: 0.0, synthetic: None };
        let shifts: std::collections::HashSet<usize> =
            (0..30).map(|epoch| order.epoch(&corpus(500), epoch).0).collect();
        assert!(shifts.len() > 5 && shifts.iter().all(|s| *s < 10));
        assert!((0..30).all(|epoch| order.epoch(&corpus(11), epoch) == (0, vec![0])));
    }
}
