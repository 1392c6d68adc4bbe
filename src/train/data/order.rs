//! In which order an epoch visits its sequences, and where it cuts the text. Pure.

use super::synthetic::Synthetic;
use super::{Corpus, Cut, CutRows};
use crate::mask::draw::{Draws, Stream};

/// Visits of sequences: every epoch shuffles, from the seed alone.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub seed: u64,
    pub cut: Cut,
    /// Cuts the text at the same places in every epoch, so that a sequence keeps its number. Otherwise each epoch
    /// shifts the cuts by a draw of its own.
    pub fixed_cuts: bool,
    /// Share of the sequences that begin with the end-of-text token, as a document does.
    pub marked: f64,
    /// Rows of like length go into one batch of so many; 0 takes them as they come.
    pub alike: usize,
    /// Makes up some of the sequences.
    pub synthetic: Option<Synthetic>,
}

/// Batches that are drawn before their rows are sorted by length, as transformers does.
const SORTED_BATCHES: usize = 50;

impl Order {
    /// The rows of one epoch, and their numbers in the order of visits.
    pub fn epoch(&self, corpus: &Corpus, epoch: u32) -> (CutRows, Vec<u32>) {
        let draws = Draws { seed: self.seed, pass: epoch, ..Draws::default() };
        let shift = if self.fixed_cuts { 0 } else { draws.below(Stream::Order, 0, self.cut.context) };
        let mut rows = CutRows::new(corpus, self.cut, shift);
        if rows.is_empty() && shift > 0 {
            rows = CutRows::new(corpus, self.cut, 0);
        }
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        // Fisher and Yates.
        for i in (1..order.len()).rev() {
            order.swap(i, draws.below(Stream::Order, i, i + 1));
        }
        if self.alike > 0 {
            order = self.sorted(&rows, &order, draws);
        }
        (rows, order)
    }

    /// The same order, in which each batch has rows of like length: so many batches at a time are sorted by length, and taken in a
    /// drawn order.
    fn sorted(&self, rows: &CutRows, order: &[u32], draws: Draws) -> Vec<u32> {
        let mut out = Vec::with_capacity(order.len());
        for (at, part) in order.chunks(self.alike * SORTED_BATCHES).enumerate() {
            let mut part = part.to_vec();
            part.sort_by_key(|&row| std::cmp::Reverse(rows.size(row as usize)));
            let mut batches: Vec<&[u32]> = part.chunks(self.alike).collect();
            // A batch that is not full goes last, so that the others keep their bounds.
            let full = batches.len() - usize::from(part.len() % self.alike > 0);
            for i in (1..full).rev() {
                batches.swap(i, draws.below(Stream::Length, at * SORTED_BATCHES + i, i + 1));
            }
            out.extend(batches.concat());
        }
        out
    }

    /// Whether `sequence` begins with the end-of-text token in this epoch; with fixed cuts it does so in all or none.
    pub fn marks(&self, sequence: u32, epoch: u32) -> bool {
        let pass = if self.fixed_cuts { 0 } else { epoch };
        Draws { seed: self.seed, pass, sequence }.unit(Stream::Mark, 0) < self.marked
    }
}

#[cfg(test)]
mod tests {
    use super::super::RowPacking;
    use super::*;

    fn corpus(n: usize) -> Corpus {
        Corpus::from_tokens((0..n as u32).collect(), vec![0], n, Some(0))
    }

    #[test]
    fn an_epoch_visits_every_sequence_once_in_an_order_of_its_own() {
        let corpus = corpus(1001);
        let order =
            Order { seed: 4, cut: 10.into(), fixed_cuts: true, marked: 0.0, alike: 0, synthetic: None };
        let ((rows, first), (_, second)) = (order.epoch(&corpus, 0), order.epoch(&corpus, 1));
        assert_eq!((rows.visit(&corpus, 0, 0).inputs[0], first.len()), (0, 100));
        assert_ne!(first, second);
        assert_eq!(order.epoch(&corpus, 0).1, first);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(Order { seed: 5, ..order }.epoch(&corpus, 0).1, first);
    }

    #[test]
    fn cuts_move_unless_they_are_fixed_and_never_past_a_short_text() {
        let order =
            Order { seed: 4, cut: 10.into(), fixed_cuts: false, marked: 0.0, alike: 0, synthetic: None };
        let shifts: std::collections::HashSet<usize> = (0..30)
            .map(|epoch| order.epoch(&corpus(500), epoch).0.visit(&corpus(500), 0, 0).inputs[0] as usize)
            .collect();
        assert!(shifts.len() > 5 && shifts.iter().all(|s| *s < 10));
        assert!((0..30).all(|epoch| {
            let (rows, order) = order.epoch(&corpus(11), epoch);
            (rows.visit(&corpus(11), 0, 0).inputs[0], order) == (0, vec![0])
        }));
    }

    #[test]
    fn batches_of_like_length_hold_every_row_once_and_little_padding() {
        let mut starts = vec![0u64];
        (0..399u64).for_each(|d| starts.push(starts[d as usize] + 3 + (d * 37) % 60));
        let tokens = starts[399] as usize + 9;
        let corpus = Corpus::from_tokens(vec![1; tokens], starts, tokens, Some(0));
        let cut = Cut { context: 64, packing: RowPacking::OnePerRow };
        let order = Order { seed: 4, cut, fixed_cuts: true, marked: 0.0, alike: 0, synthetic: None };
        let padding = |order: Order| {
            let (rows, mut order) = order.epoch(&corpus, 1);
            let sizes: Vec<usize> = order.iter().map(|&row| rows.size(row as usize)).collect();
            let padded: usize = sizes.chunks(8).map(|b| b.len() * b.iter().max().unwrap()).sum();
            order.sort_unstable();
            assert_eq!(order, (0..400).collect::<Vec<u32>>());
            (padded - sizes.iter().sum::<usize>()) as f64 / padded as f64
        };
        let alike = Order { alike: 8, ..order };
        assert!(padding(order) > 0.3 && padding(alike) < 0.05, "{} {}", padding(order), padding(alike));
        let (_, first) = alike.epoch(&corpus, 0);
        assert_ne!(alike.epoch(&corpus, 1).1, first);
        assert_eq!(alike.epoch(&corpus, 0).1, first);
        let (rows, _) = alike.epoch(&corpus, 0);
        let longest: Vec<usize> = first.chunks(8).map(|b| rows.size(b[0] as usize)).collect();
        assert!(!longest.is_sorted_by(|a, b| a >= b), "batches come in a drawn order");
    }
}
