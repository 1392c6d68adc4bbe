//! The order in which sequences are visited: a function of the seed and a position, so that a resumed run continues
//! exactly where it was.

use serde::{Deserialize, Serialize};

use super::batch::{Batch, Visit};
use super::data::{Corpus, CutRows, Order};

/// How far a run has come through its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataPosition {
    pub epoch: u32,
    /// Sequences of this epoch that were visited.
    pub at: usize,
}

/// Visits over one corpus.
#[derive(Clone, Debug)]
pub struct Visits {
    rule: Order,
    position: DataPosition,
    rows: CutRows,
    order: Vec<u32>,
}

impl Visits {
    /// Starts, or continues, at `position`.
    pub fn new(corpus: &Corpus, rule: Order, position: DataPosition) -> Self {
        let (rows, order) = rule.epoch(corpus, position.epoch);
        Visits { rule, position, rows, order }
    }

    /// Where the next visit is.
    pub fn position(&self) -> DataPosition {
        self.position
    }

    /// The rows of this epoch.
    pub fn rows(&self) -> &CutRows {
        &self.rows
    }

    /// The next `n` visits as one batch.
    pub fn next(&mut self, corpus: &Corpus, n: usize) -> Batch {
        let visits = (0..n).map(|_| self.visit(corpus)).collect();
        Batch { visits }
    }

    fn visit(&mut self, corpus: &Corpus) -> Visit {
        if self.position.at >= self.order.len() {
            *self = Self::new(corpus, self.rule, DataPosition { epoch: self.position.epoch + 1, at: 0 });
        }
        let DataPosition { epoch, at } = self.position;
        let sequence = self.order[at];
        self.position.at += 1;
        let visit = self.rows.visit(corpus, sequence as usize, epoch);
        let mark = corpus.eot.filter(|_| self.rule.marks(sequence, epoch));
        match (self.rule.synthetic, mark) {
            (Some(made_up), mark) if made_up.takes((epoch, at)) => {
                made_up.visit((epoch, at), &visit, mark, corpus.eot)
            }
            (_, Some(mark)) => visit.after(mark),
            (_, None) => visit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(seed: u64, fixed_cuts: bool) -> Order {
        Order { seed, cut: 10.into(), fixed_cuts, marked: 0.0, alike: 0, synthetic: None }
    }

    fn corpus() -> Corpus {
        Corpus::from_tokens((0..101).collect(), vec![0], 101, Some(0))
    }

    #[test]
    fn every_epoch_visits_every_sequence_once() {
        let corpus = corpus();
        let mut visits = Visits::new(&corpus, rule(3, true), DataPosition::default());
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
            let mut whole = Visits::new(&corpus, rule(5, fixed), DataPosition::default());
            for n in 1..40 {
                whole.next(&corpus, 1);
                let mut resumed = Visits::new(&corpus, rule(5, fixed), whole.position());
                assert_eq!(resumed.next(&corpus, 3), whole.clone().next(&corpus, 3), "after {n} visits");
            }
        }
    }

    #[test]
    fn a_share_of_the_sequences_begins_with_the_mark() {
        let corpus = Corpus::from_tokens((1..4001).collect(), vec![0], 4000, Some(0));
        for fixed in [true, false] {
            let share = |marked| {
                let rule = Order { marked, ..rule(2, fixed) };
                let mut visits = Visits::new(&corpus, rule, DataPosition::default());
                let seen: Vec<Visit> = (0..4).flat_map(|_| visits.next(&corpus, 399).visits).collect();
                for visit in &seen {
                    assert_eq!((visit.inputs.len(), visit.targets.len()), (10, 10));
                    assert_eq!(visit.inputs[1..], visit.targets[..9], "the mark moves the text by one");
                }
                let marks: Vec<bool> = seen.iter().map(|v| v.inputs[0] == 0).collect();
                marks.iter().filter(|m| **m).count() as f64 / marks.len() as f64
            };
            assert_eq!((share(0.0), share(1.0)), (0.0, 1.0));
            assert!((share(0.5) - 0.5).abs() < 0.05, "{}", share(0.5));
        }
    }

    #[test]
    fn cuts_shift_only_when_they_may() {
        let corpus = corpus();
        let starts = |fixed| -> std::collections::HashSet<u32> {
            let mut visits = Visits::new(&corpus, rule(1, fixed), DataPosition::default());
            (0..60).map(|_| visits.next(&corpus, 1).visits[0].inputs[0] % 10).collect()
        };
        assert_eq!(starts(true).len(), 1);
        assert!(starts(false).len() > 1);
    }
}
