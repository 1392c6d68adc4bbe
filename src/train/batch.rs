//! One micro-batch as the loop hands it to the masking arm: which sequence, which visit, which tokens.

use super::data::synthetic::FIRST_SYNTHETIC;

/// One visit to one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// Number of the sequence; the same text every time where the run has fixed cuts.
    pub sequence: u32,
    /// How many times it was visited before: the epoch.
    pub pass: u32,
    /// `context` tokens.
    pub inputs: Vec<u32>,
    /// Their next tokens.
    pub targets: Vec<u32>,
}

impl Visit {
    /// Whether it was made up for this visit, so that nothing is known of it from an earlier one.
    pub fn is_made_up(&self) -> bool {
        self.sequence >= FIRST_SYNTHETIC
    }

    /// The same text behind `mark`, at the same length: its last token becomes the last target.
    pub fn after(mut self, mark: u32) -> Self {
        let first = std::mem::replace(&mut self.inputs, vec![mark]);
        self.inputs.extend(&first[..first.len() - 1]);
        self.targets = first;
        self
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

    /// Target ids, `[B · T]`, row-major.
    pub fn targets(&self) -> Vec<u32> {
        self.visits.iter().flat_map(|v| v.targets.iter().copied()).collect()
    }
}
