//! Pictures of a run for display: the raster row of one tracked sequence at each of its visits, and now and
//! then the tokens of a batch with their masks, reasons and losses. They cost at most a small share of the time.

use std::time::{Duration, Instant};

use super::TrainError;
use super::arm::{Arms, MaskedBatch, token_losses};
use super::batch::Batch;
use super::data::{Corpus, Order};
use super::raster::{self, Raster};
use super::report::Report;
use super::run::Watch;
use super::visits::{DataPosition, Visits};
use crate::model::{Model, Tokenizer};

/// Sequences of a batch that are shown.
const SHOWN: usize = 4;
/// Passes over the tracked sequence that its numbers are of.
const PASSES: usize = 400;
/// A batch is shown at most this often.
const EVERY: Duration = Duration::from_millis(500);
/// And only after this many times what the last one cost.
const SHARE: u32 = 30;

/// What was shown when.
pub struct RunLook {
    /// The first sequence of text that the run visits.
    tracked: Option<Raster>,
    shown: Option<(Instant, Duration)>,
}

impl RunLook {
    pub fn new(corpus: &Corpus, order: Order) -> Self {
        // A sequence that is made up comes once.
        let text = Order { synthetic: None, ..order };
        let mut visits = Visits::new(corpus, text, DataPosition::default());
        let first = visits.next(corpus, 1).visits.into_iter().next();
        let tracked = first.map(|v| Raster::new(v.sequence, v.inputs, PASSES));
        RunLook { tracked, shown: None }
    }

    /// Reports what the step's first micro-batch has to show; `model` records no gradients.
    pub fn show(
        &mut self,
        step: usize,
        (arms, model, tokenizer): (&Arms, &Model, Option<&Tokenizer>),
        (batch, masked): (&Batch, &MaskedBatch),
        watch: &mut dyn Watch,
    ) -> Result<(), TrainError> {
        if let Some(raster) = &mut self.tracked
            && raster.note(masked, step)
            && let Some(row) = raster.rows.last()
        {
            watch.report(Report::Raster { row: row.clone(), stats: raster.stats(arms.lexicon()) });
        }
        let due = self.shown.is_none_or(|(at, cost)| at.elapsed() >= EVERY.max(cost * SHARE));
        if !due {
            return Ok(());
        }
        let started = Instant::now();
        let losses = token_losses(arms, model, masked)?;
        let ids: Vec<Vec<u32>> = batch.visits.iter().take(SHOWN).map(|v| v.inputs.clone()).collect();
        watch.report(Report::Batch(raster::batch_view(masked, step, &ids, &losses, tokenizer)));
        self.shown = Some((Instant::now(), started.elapsed()));
        Ok(())
    }
}
