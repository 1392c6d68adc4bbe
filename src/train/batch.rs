//! One micro-batch as the loop hands it to the masking arm: which sequence, which visit, which tokens.

use candle_core::{Result, Tensor};

use super::data::synthetic::FIRST_SYNTHETIC;
use crate::model::network::Positions;
use crate::model::{Input, Model, Visibility};
use crate::tensor::cross_entropy::IGNORE;

/// One visit to one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// Number of the sequence; the same text every time where the run has fixed cuts.
    pub sequence: u32,
    /// How many times it was visited before: the epoch.
    pub pass: u32,
    /// Tokens that are read.
    pub inputs: Vec<u32>,
    /// Their next tokens; [`IGNORE`] where the label does not count.
    pub targets: Vec<u32>,
    /// Where further documents begin, ascending, if the documents of a row do not see each other; empty otherwise.
    pub starts: Vec<usize>,
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
        let len = self.inputs.len();
        self.starts = self.starts.iter().map(|start| start + 1).filter(|start| *start < len).collect();
        self
    }

    /// The document of every position, counted from 0.
    pub fn documents(&self) -> Vec<usize> {
        let of = |at: usize| self.starts.partition_point(|&start| start <= at);
        (0..self.inputs.len()).map(of).collect()
    }

    /// Where every token stands in its document.
    pub fn positions(&self) -> Vec<u32> {
        let from = |document: usize| document.checked_sub(1).map_or(0, |n| self.starts[n]);
        let documents = self.documents();
        documents.into_iter().enumerate().map(|(at, document)| (at - from(document)) as u32).collect()
    }

    /// What an unmasked pass over the row is asked for.
    pub fn plain_input(&self) -> Input {
        let mut input = Input::plain(self.inputs.clone());
        if !self.starts.is_empty() {
            input.position_ids = Some(self.positions());
            let ends =
                self.documents().into_iter().map(|n| self.starts.get(n).map_or(u32::MAX, |&s| s as u32));
            input.visibility = Visibility::HideFrom(ends.collect());
        }
        input
    }

    /// Labels that count.
    pub fn labels(&self) -> usize {
        self.targets.iter().filter(|target| **target != IGNORE).count()
    }
}

/// Sequences that run through the model together; shorter ones are padded on the right, where causal attention never looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub visits: Vec<Visit>,
}

impl Batch {
    /// Tokens of the longest sequence, T.
    pub fn context(&self) -> usize {
        self.visits.iter().map(|v| v.inputs.len()).max().unwrap_or(0)
    }

    /// Tokens that are read, without padding.
    pub fn tokens(&self) -> usize {
        self.visits.iter().map(|v| v.inputs.len()).sum()
    }

    fn padded<T: Copy>(&self, of: impl Fn(&Visit) -> &[T], padding: T) -> Vec<T> {
        let context = self.context();
        let row = |v| {
            let row = of(v);
            row.iter().copied().chain(std::iter::repeat_n(padding, context - row.len()))
        };
        self.visits.iter().flat_map(row).collect()
    }

    /// Input ids, `[B · T]`, row-major; 0 for padding.
    pub fn inputs(&self) -> Vec<u32> {
        self.padded(|v| &v.inputs, 0)
    }

    /// Labels that count, over all sequences.
    pub fn labels(&self) -> usize {
        self.visits.iter().map(Visit::labels).sum()
    }

    /// Target ids, `[B · T]`, row-major; [`IGNORE`] where a label does not count, and for padding.
    pub fn targets(&self) -> Vec<u32> {
        self.padded(|v| &v.targets, IGNORE)
    }

    /// Whether documents of a row do not see each other.
    pub fn is_isolated(&self) -> bool {
        self.visits.iter().any(|v| !v.starts.is_empty())
    }

    /// The states of an unmasked pass after the final norm, `[B, T, D]`, differentiable.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn states(&self, model: &Model) -> Result<Tensor> {
        let (b, t, width) = (self.visits.len(), self.context(), model.config.n_embd);
        if !self.is_isolated() {
            return model.forward_batch(&model.embed_batch(&self.inputs(), b)?, None, true);
        }
        let positions: Vec<u32> = self
            .visits
            .iter()
            .flat_map(|v| v.positions().into_iter().chain(v.inputs.len() as u32..t as u32))
            .collect();
        let mut bias = vec![0f32; b * t * t];
        for (visit, plane) in self.visits.iter().zip(bias.chunks_exact_mut(t * t)) {
            let documents = visit.documents();
            for (query, own) in documents.iter().enumerate() {
                for (key, _) in documents[..query].iter().enumerate().filter(|(_, other)| *other != own) {
                    plane[query * t + key] = f32::NEG_INFINITY;
                }
            }
        }
        let bias = Tensor::from_vec(bias, (b, 1, t, t), &model.device)?;
        let tokens = model.embedding.select(&self.inputs())?.reshape((b, t, width))?;
        let embedded = model.embed(tokens, Positions::Given(&positions))?;
        model.forward_batch_at(&embedded, Positions::Given(&positions), Some(&bias), true)
    }
}
