//! One micro-batch as the loop hands it to the masking arm: which sequence, which visit, which tokens.

use super::data::synthetic::FIRST_SYNTHETIC;
use crate::tensor::cross_entropy::IGNORE;

/// One visit to one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// Number of the sequence; the same text every time where the run has fixed cuts.
    pub sequence: u32,
    /// How many times it was visited before: the epoch.
    pub pass: u32,
    /// `context` tokens.
    pub inputs: Vec<u32>,
    /// Their next tokens; [`IGNORE`] where the label does not count.
    pub targets: Vec<u32>,
}

impl Visit {
    /// Whether it was made up for this visit, so that nothing is known of it from an earlier one.
    pub fn is_made_up(&self) -> bool {
        self.sequence >= FIRST_SYNTHETIC
    }

    /// The same text behind `mark`, at the same length: its last token becomes the last target.
    /// The same text behind `mark`, at the same length: its last token becomes the last target, and its first one a target
    /// whatever it was. The others count where they did before.
    pub fn after(mut self, mark: u32) -> Self {
        let first = std::mem::replace(&mut self.inputs, vec![mark]);
        self.inputs.extend(&first[..first.len() - 1]);
        let before = std::mem::replace(&mut self.targets, first);
        for (target, _) in self.targets[1..].iter_mut().zip(&before).filter(|(_, before)| **before == IGNORE)
        {
            *target = IGNORE;
        }
        self
    }

    /// Labels that count.
    pub fn labels(&self) -> usize {
        self.targets.iter().filter(|target| **target != IGNORE).count()
    }
}

/// Sequences of equal length that run through the model together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub visits: Vec<Visit>,
}

impl Batch {
    /// Tokens per sequence.
    pub fn context(&self) -> usize {
        self.visits.first().map_or(0, |v| v.inputs.len())
    }

    /// Input ids, `[B · T]`, row-major.
    pub fn inputs(&self) -> Vec<u32> {
        self.visits.iter().flat_map(|v| v.inputs.iter().copied()).collect()
    }

    /// Labels that count, over all sequences.
    pub fn labels(&self) -> usize {
        self.visits.iter().map(Visit::labels).sum()
    }

    /// Target ids, `[B · T]`, row-major; [`IGNORE`] where a label does not count.
    pub fn targets(&self) -> Vec<u32> {
        self.visits.iter().flat_map(|v| v.targets.iter().copied()).collect()
    }
}
