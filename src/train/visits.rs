//! The order in which sequences are visited: a function of the seed and a position, so that a resumed run continues
//! exactly where it was.

use serde::{Deserialize, Serialize};

use super::batch::{Batch, Visit};
use super::data::{Corpus, mix};

/// How far a run has come through its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub epoch: u64,
    /// Sequences of this epoch that were visited.
    pub at: usize,
}

/// Visits over one corpus.
#[derive(Clone, Debug)]
pub struct Visits {
    seed: u64,
    context: usize,
    fixed_cuts: bool,
    position: Position,
    offset: usize,
    order: Vec<u32>,
}

impl Visits {
    /// Starts, or continues, at `position`. With `fixed_cuts` every epoch cuts the corpus at the same places.
    pub fn new(corpus: &Corpus, seed: u64, (context, fixed_cuts): (usize, bool), position: Position) -> Self {
        let mut visits = Visits { seed, context, fixed_cuts, position, offset: 0, order: Vec::new() };
        visits.shuffle(corpus);
        visits
    }

    fn shuffle(&mut self, corpus: &Corpus) {
        let epoch = self.position.epoch;
        let shift = (mix(self.seed, epoch << 32) % self.context as u64) as usize;
        // A corpus of barely one context has no room for a shift.
        let usable = !self.fixed_cuts && corpus.sequences(self.context, shift) > 0;
        self.offset = if usable { shift } else { 0 };
        self.order = (0..corpus.sequences(self.context, self.offset) as u32).collect();
        for i in (1..self.order.len()).rev() {
            let j = mix(self.seed, (epoch << 32) + i as u64) % (i as u64 + 1);
            self.order.swap(i, j as usize);
        }
    }

    /// Where the next visit is.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next `n` visits as one batch.
    pub fn next(&mut self, corpus: &Corpus, n: usize) -> Batch {
        let visits = (0..n).map(|_| self.visit(corpus)).collect();
        Batch { visits }
    }

    fn visit(&mut self, corpus: &Corpus) -> Visit {
        if self.position.at >= self.order.len() {
            self.position = Position { epoch: self.position.epoch + 1, at: 0 };
            self.shuffle(corpus);
        }
        let sequence = self.order[self.position.at];
        self.position.at += 1;
        let (inputs, targets) = corpus.sequence(sequence as usize, self.context, self.offset);
        Visit {
            sequence,
            pass: self.position.epoch as u32,
            inputs: inputs.to_vec(),
            targets: targets.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Corpus {
        Corpus { tokens: (0..101).collect(), documents: 1, bytes: 101 }
    }

    #[test]
    fn every_epoch_visits_every_sequence_once() {
        let corpus = corpus();
        let mut visits = Visits::new(&corpus, 3, (10, true), Position::default());
        for pass in 0..3 {
            let batch = visits.next(&corpus, 10);
            let mut seen: Vec<u32> = batch.visits.iter().map(|v| v.sequence).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<u32>>());
            for v in &batch.visits {
                assert_eq!(v.pass, pass);
                assert_eq!(v.inputs[0], v.sequence * 10);
                assert_eq!(v.targets[0], v.inputs[1]);
            }
        }
    }

    #[test]
    fn a_position_continues_the_same_order() {
        let corpus = corpus();
        for fixed in [true, false] {
            let mut whole = Visits::new(&corpus, 5, (10, fixed), Position::default());
            for n in 1..40 {
                whole.next(&corpus, 1);
                let mut resumed = Visits::new(&corpus, 5, (10, fixed), whole.position());
                assert_eq!(resumed.next(&corpus, 3), whole.clone().next(&corpus, 3), "after {n} visits");
            }
        }
    }

    #[test]
    fn cuts_shift_only_when_they_may() {
        let corpus = corpus();
        let starts = |fixed| -> std::collections::HashSet<u32> {
            let mut visits = Visits::new(&corpus, 1, (10, fixed), Position::default());
            (0..60).map(|_| visits.next(&corpus, 1).visits[0].inputs[0] % 10).collect()
        };
        assert_eq!(starts(true).len(), 1);
        assert!(starts(false).len() > 1);
    }
}
