//! Pictures of a run for whoever watches: the raster row of one tracked sequence at each of its visits, and now and
//! then the tokens of a batch with their masks, reasons and losses. They cost at most a small share of the time.

use std::time::{Duration, Instant};

use super::TrainError;
use super::arm::{Arms, MaskedBatch, token_losses};
use super::batch::Batch;
use super::data::{Corpus, Order};
use super::report::{BatchToken, BatchView, RasterRow, Report};
use super::run::Watch;
use super::visits::{Position, Visits};
use crate::mask::reason::reason;
use crate::mask::types::{Decision, State};
use crate::model::{Gpt2, Tokenizer};

/// Sequences of a batch that are shown.
const SHOWN: usize = 4;
/// A batch is shown at most this often.
const EVERY: Duration = Duration::from_millis(500);
/// And only after this many times what the last one cost.
const SHARE: u32 = 30;

/// What was shown when.
pub struct Look {
    /// The first sequence that the run visits.
    tracked: Option<u32>,
    shown: Option<(Instant, Duration)>,
}

impl Look {
    pub fn new(corpus: &Corpus, order: Order) -> Self {
        let mut visits = Visits::new(corpus, order, Position::default());
        let tracked = visits.next(corpus, 1).visits.first().map(|v| v.sequence);
        Look { tracked, shown: None }
    }

    /// Reports what the step's first micro-batch has to show; `model` records no gradients.
    pub fn show(
        &mut self,
        step: usize,
        (arms, model, tokenizer): (&Arms, &Gpt2, Option<&Tokenizer>),
        (batch, masked): (&Batch, &MaskedBatch),
        watch: &mut dyn Watch,
    ) -> Result<(), TrainError> {
        for (visit, decision) in batch.visits.iter().zip(&masked.decisions) {
            if Some(visit.sequence) == self.tracked {
                watch.report(Report::Raster(row(step, (visit.sequence, visit.pass), decision)));
            }
        }
        let due = self.shown.is_none_or(|(at, cost)| at.elapsed() >= EVERY.max(cost * SHARE));
        if !due {
            return Ok(());
        }
        let started = Instant::now();
        let losses = token_losses(arms, model, masked)?;
        let sequence = |b: usize| {
            let decision = &masked.decisions[b];
            let token = |i: usize| {
                let at = &decision.positions[i];
                let id = batch.visits[b].inputs[i];
                BatchToken {
                    id,
                    text: tokenizer.map_or_else(|| format!("#{id}"), |t| t.display(id)),
                    state: at.state,
                    op: at.op,
                    score: at.score,
                    draw: at.draw,
                    why: reason(arms.settings(), decision, i),
                    loss: losses[b].get(i).copied().flatten(),
                }
            };
            (0..decision.positions.len()).map(token).collect()
        };
        let sequences = (0..batch.visits.len().min(SHOWN)).map(sequence).collect();
        watch.report(Report::Batch(BatchView { step, sequences }));
        self.shown = Some((Instant::now(), started.elapsed()));
        Ok(())
    }
}

fn row(step: usize, (sequence, pass): (u32, u32), decision: &Decision) -> RasterRow {
    let positions = &decision.positions;
    RasterRow {
        step,
        pass,
        sequence,
        ops: positions.iter().map(|p| p.op.filter(|_| p.state == State::Masked)).collect(),
        scores: positions.iter().map(|p| (p.score.unwrap_or(0.0).clamp(0.0, 1.0) * 255.0) as u8).collect(),
    }
}
