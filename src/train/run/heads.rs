//! Looks at the heads of a run as it goes, and at its end what copying costs without those that have passed.

use super::learner::attend;
use super::{Run, Watch};
use crate::train::TrainError;
use crate::train::arm::without_gradients;
use crate::train::circuit;
use crate::train::data::synthetic::{Synthetic, SyntheticTask};
use crate::train::report::{HeadsReport, Report};

/// Sequences that copying is measured on at the end.
const HELD: usize = 64;

impl Run {
    /// Ids that heads are scored on: those of the repeats that are trained on, or all.
    fn scored_ids(&self) -> usize {
        let vocabulary = self.trainee.model.config.vocab_size;
        self.spec.synthetic.map(|made_up| made_up.ids).filter(|ids| *ids > 0).unwrap_or(vocabulary)
    }

    /// Scores every head, notes which have passed, and reports them.
    pub(super) fn look_at_heads(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let model = without_gradients(&self.trainee.current()?)?;
        let heads = circuit::scores(&model, self.spec.seed, self.scored_ids())?;
        let step = self.counters.step;
        circuit::note(&mut self.counters.passed, step, &heads);
        let passed = self.counters.passed.clone();
        watch.report(Report::Heads(HeadsReport { step, n_head: model.config.n_head, heads, passed }));
        Ok(())
    }

    /// Takes heads out, where the run looked at them and trained on repeats; sequences that it never saw.
    pub(super) fn measure_the_circuit(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let repeats = self.spec.synthetic.filter(|made_up| made_up.task == SyntheticTask::Repeats);
        let Some(spec) = repeats.filter(|_| self.spec.heads_every > 0) else { return Ok(()) };
        let model = without_gradients(&self.trainee.current()?)?;
        let maker = Synthetic::new(spec, self.spec.seed, model.config.vocab_size)?;
        let (context, eot) = (self.spec.context, self.train.eot);
        let held = maker.held_out(HELD, context, eot);
        let chance = (maker.drawn(eot) as f64).ln();
        let passed = self.counters.passed.clone();
        let step = self.counters.step;
        self.circuit = circuit::circuit(&model, &passed, (&held, context, chance), &mut |at, of| {
            attend(self, watch, (step, at, of))
        })?;
        Ok(())
    }
}
