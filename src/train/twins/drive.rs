//! Twins at work: every arm of a seed takes its steps in turn with the others, on the same batches and under the same
//! draws, then the next seed follows from the same weights. Runs on the trainer's thread; keeps no weights, its result
//! is the verdict.

use std::collections::VecDeque;
use std::time::Instant;

use super::record::{self, TwinRecord};
use super::verdict::held_out;
use super::{TwinSettings, TwinSpec, Twins, differ, document_losses, mean_loss};
use crate::eval::stats::Judged;
use crate::model::Model;
use crate::train::TrainError;
use crate::train::checkpoint::disk;
use crate::train::checkpoint::files::pretty;
use crate::train::data::CutRows;
use crate::train::records::MachineGauge;
use crate::train::report::{
    Plan, Report, RunCommand, RunState, RunSummary, TwinDifference, TwinStep, TwinSummary, TwinVerdict,
    VerdictBasis,
};
use crate::train::run::{Learner, Run, Setup, Watch, attend, train};
use crate::train::spec::RunSpec;

/// Contexts of held-out text that an evaluation reads for each arm, spread over the documents; each document gives one
/// at least.
const CONTEXTS: usize = 64;

/// Arms side by side, seed after seed.
pub struct TwinRun {
    pub(super) setup: Setup,
    pub(super) spec: TwinSpec,
    pub(super) twins: Twins,
    /// Of model and data, for seeds that are added later.
    from: String,
    state: RunState,
    /// Runs of the seed that is next or under way, one for each arm.
    pub(super) runs: Vec<Run>,
    seed: usize,
    /// Steps of that seed that are done, and the one that was evaluated last.
    done: usize,
    evaluated: Option<usize>,
    /// Of computing from the first step on, pauses left out.
    seconds: f64,
    tokens: u64,
    /// Losses of the last step by arm.
    losses: Vec<f64>,
    /// Commands that wait for the end of an evaluation.
    later: VecDeque<RunCommand>,
}

impl TwinRun {
    /// Checks everything that can be checked before the first step; writes nothing yet.
    ///
    /// # Errors
    /// Arms that cannot run with this model or data, with the arm's name; arms that would hardly differ; no held-out
    /// documents; finished seeds of another experiment.
    pub fn new(setup: Setup) -> Result<Self, TrainError> {
        let spec = setup.spec.twins.clone().ok_or_else(|| TrainError::setup("not a twins run"))?;
        spec.check(&setup.spec.masking)?;
        setup.spec.check()?;
        if setup.validation.is_none() {
            return Err(TrainError::Setup {
                problem: "twins are judged on held-out documents, and there are none".to_owned(),
                hint: Some("pass validation data, or more than one document".to_owned()),
            });
        }
        let mut twins = Twins::new(spec.names(), TwinSettings::default())?;
        let from = record::fingerprint(&setup)?;
        if let Some(record) = &setup.finished_seeds {
            record.check(&twins.arms, &from)?;
            twins.seeds.clone_from(&record.seeds);
        }
        if twins.seeds.len() >= spec.seeds {
            return Err(TrainError::Setup {
                problem: format!("all {} seeds of this experiment are finished", spec.seeds),
                hint: Some("name a larger number with --twin-seeds to add seeds".to_owned()),
            });
        }
        let mut this = TwinRun {
            seed: twins.seeds.len(),
            setup,
            spec,
            twins,
            from,
            state: RunState::Preparing,
            runs: Vec::new(),
            done: 0,
            evaluated: None,
            seconds: 0.0,
            tokens: 0,
            losses: Vec::new(),
            later: VecDeque::new(),
        };
        this.runs = this.seed_runs(this.seed)?;
        differ::check(&this.spec, &this.setup.spec, &this.course())?;
        Ok(this)
    }

    fn seed_runs(&self, seed: usize) -> Result<Vec<Run>, TrainError> {
        let one = |index: usize| {
            let spec = self.spec.arm(&self.setup.spec, index, seed);
            let run = Run::new(self.setup.again(spec)).map_err(|e| self.of_arm(index, e))?;
            Ok(run.keeping_marks())
        };
        (0..self.spec.arms.len()).map(one).collect()
    }

    /// The same error, with the arm it belongs to.
    pub(super) fn of_arm(&self, index: usize, error: TrainError) -> TrainError {
        match error {
            TrainError::Killed => TrainError::Killed,
            other => TrainError::Setup {
                hint: other.hint(),
                problem: format!("arm {}, seed {}: {other}", self.twins.arms[index], self.seed + 1),
            },
        }
    }

    /// How far a seed comes through the training text.
    pub(super) fn course(&self) -> differ::Course {
        let spec = &self.setup.spec;
        differ::Course {
            steps: spec.steps,
            per_step: spec.sequences_per_step(),
            sequences: CutRows::new(&self.setup.train, spec.cut(), 0).len(),
        }
    }

    /// Tokens of an evaluation over tokens of a step.
    pub(super) fn evaluation_share(&self) -> f64 {
        let spec = &self.setup.spec;
        let documents = self.setup.validation.as_ref().map_or(1, |v| v.documents).max(1);
        (self.pieces() * documents) as f64 / spec.sequences_per_step() as f64
    }

    /// Contexts that each held-out document gives at most.
    fn pieces(&self) -> usize {
        let documents = self.setup.validation.as_ref().map_or(1, |v| v.documents).max(1);
        (CONTEXTS / documents).max(1)
    }

    /// Notes the seed's result, on disk too: further seeds can be added to it.
    fn finish_seed(&mut self, watch: &mut dyn Watch) {
        self.twins.finish_seed();
        self.seed += 1;
        self.runs.clear();
        (self.done, self.evaluated) = (0, None);
        let (arms, seeds) = (self.twins.arms.clone(), self.twins.seeds.clone());
        let losses = seeds.last().map(|seed| seed.losses.clone()).unwrap_or_default();
        let record = TwinRecord { arms, from: self.from.clone(), seeds };
        if let Err(error) = record.write(&*self.setup.disk, &self.setup.spec.out) {
            let message = format!("seed {} is not kept, so no seeds can be added to it: {error}", self.seed);
            watch.report(Report::Warning { step: self.setup.spec.steps, message });
        }
        watch.report(Report::TwinSeed { seed: self.seed, losses, verdicts: self.verdicts() });
    }

    /// Adds what the arms of each pair did differently in the step that is done.
    fn compare(&mut self) {
        for (pair, (i, j)) in self.twins.pairs().into_iter().enumerate() {
            let (a, b) = (&self.runs[i], &self.runs[j]);
            if let (Some(x), Some(y)) = (a.marks(), b.marks()) {
                let (x, y) = ((x, &a.spec.masking), (y, &b.spec.masking));
                self.twins.compared[pair].add(differ::compared(x, y, a.spec.context));
            }
        }
    }

    fn verdicts(&self) -> Vec<TwinVerdict> {
        let seeds = self.twins.seeds.len();
        if seeds == 0 {
            return Vec::new();
        }
        let data = &self.setup.spec.data;
        let held = self.setup.validation.as_deref();
        let words = held.map(|c| held_out((&data.train, &data.validation), c.documents, c.tokens.len()));
        let words = words.unwrap_or_default();
        let arms = &self.twins.arms;
        let one = |(pair, (judged, (i, j))): (usize, (Judged, (usize, usize)))| {
            let basis = VerdictBasis {
                compared: self.twins.compared_by(pair),
                passes: self.course().passes(),
                epsilon: self.twins.settings.epsilon,
                held_out: words.clone(),
            };
            TwinVerdict::new(judged, (&arms[j], &arms[i]), seeds, basis)
        };
        self.twins.verdicts().into_iter().zip(self.twins.pairs()).enumerate().map(one).collect()
    }

    /// Why there is no verdict.
    fn nothing(&self) -> Option<String> {
        if !self.twins.seeds.is_empty() {
            return None;
        }
        let differently: u64 = self.twins.compared.iter().map(|c| c.differently).sum();
        let at =
            format!("the run ended at step {} of {} of its first seed", self.done, self.setup.spec.steps);
        Some(match differently {
            0 => format!("nothing was compared: {at}, before the arms masked anything differently"),
            _ => format!("no seed was finished, so there is no verdict: {at}"),
        })
    }

    fn summary(&self, state: RunState, stopped_early: bool) -> RunSummary {
        RunSummary {
            state,
            steps: self.seed * self.setup.spec.steps,
            tokens: self.tokens,
            seconds: self.seconds,
            train_loss: self.losses.first().copied().unwrap_or_default(),
            stopped_early,
            peak_memory: MachineGauge::peak(),
            twins: Some(TwinSummary {
                arms: self.twins.arms.clone(),
                seeds: self.twins.seeds.len(),
                verdicts: self.verdicts(),
                nothing: self.nothing(),
            }),
            ..RunSummary::default()
        }
    }

    /// The last evaluation's differences, by pair of arms.
    fn differences(&self, documents: usize) -> Vec<TwinDifference> {
        let end = |x: f64| x.is_finite().then_some(x);
        let one = |((against, arm), running): ((usize, usize), &Vec<super::RunningDifference>)| {
            let last = running.last()?;
            Some(TwinDifference {
                arm,
                against,
                value: last.difference,
                low: end(last.documents.low),
                high: end(last.documents.high),
                documents,
                differing: last.differing,
            })
        };
        self.twins.pairs().into_iter().zip(&self.twins.running).filter_map(one).collect()
    }

    /// Says in the folder what it is of.
    fn begin(&self) -> Result<(), TrainError> {
        let out = &self.setup.spec.out;
        std::fs::create_dir_all(out).map_err(TrainError::io(out))?;
        let path = out.join("run.json");
        let spec = pretty(&self.setup.spec)?;
        disk::replace(&*self.setup.disk, &path, spec.as_bytes()).map_err(TrainError::io(&path))
    }
}

impl Learner for TwinRun {
    /// Measures a step of every arm and adds up what all of them cost.
    fn plan(&mut self) -> Result<Plan, TrainError> {
        self.estimate()
    }

    fn fits(&self) -> Result<(), TrainError> {
        self.runs.iter().enumerate().try_for_each(|(i, run)| run.fits().map_err(|e| self.of_arm(i, e)))
    }

    /// Trains every arm under every seed. Seeds that were not finished do not count.
    fn drive(&mut self, watch: &mut dyn Watch) -> Result<RunSummary, TrainError> {
        self.begin()?;
        self.enter(RunState::Running, watch);
        while self.seed < self.spec.seeds {
            if self.runs.is_empty() {
                self.runs = self.seed_runs(self.seed)?;
            }
            if !train(self, watch)? || self.done < self.setup.spec.steps {
                break;
            }
            self.evaluate(watch)?;
            if self.evaluated != Some(self.done) {
                // Stopped while it was measured.
                break;
            }
            self.finish_seed(watch);
        }
        let early = self.seed < self.spec.seeds;
        let state = if early { RunState::Stopped } else { RunState::Finished };
        self.enter(state, watch);
        Ok(self.summary(state, early))
    }

    fn spec(&self) -> &RunSpec {
        &self.setup.spec
    }

    fn done(&self) -> usize {
        self.done
    }

    fn seconds(&mut self) -> &mut f64 {
        &mut self.seconds
    }

    fn state(&mut self) -> &mut RunState {
        &mut self.state
    }

    fn later(&mut self) -> &mut VecDeque<RunCommand> {
        &mut self.later
    }

    /// Losses of every arm on the same held-out documents, and what they say so far.
    fn evaluate(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let step = self.done;
        let Some(corpus) = self.setup.validation.clone() else { return Ok(()) };
        // Every seed starts from the same weights.
        if self.evaluated == Some(step) || (step == 0 && self.seed > 0) {
            return Ok(());
        }
        let started = Instant::now();
        let (context, pieces) = (self.setup.spec.context, self.pieces());
        let models: Vec<Model> = self.runs.iter().map(|r| r.trainee.current()).collect::<Result<_, _>>()?;
        let mut losses = Vec::new();
        for (arm, model) in models.iter().enumerate() {
            let mut between =
                |done: usize, of: usize| attend(self, watch, (step, arm * of + done, models.len() * of));
            match document_losses(model, &corpus, context, pieces, &mut between)? {
                Some(own) => losses.push(own),
                None => return Ok(()),
            }
        }
        self.twins.evaluated(step, &losses)?;
        let differences = self.differences(losses[0].len());
        watch.report(Report::TwinEvaluated {
            seed: self.seed + 1,
            step,
            losses: losses.iter().map(|of| mean_loss(of)).collect(),
            differences,
        });
        self.evaluated = Some(step);
        if step > 0 {
            self.seconds += started.elapsed().as_secs_f64();
        }
        Ok(())
    }

    fn tell(&mut self, command: RunCommand, watch: &mut dyn Watch) -> Result<(), TrainError> {
        if command == RunCommand::EvaluateNow {
            return self.evaluate(watch);
        }
        let message = "twins follow their plan: nothing can be changed, sampled or saved by hand";
        watch.report(Report::Warning { step: self.done, message: message.to_owned() });
        Ok(())
    }

    /// One step of every arm.
    fn step(&mut self, watch: &mut dyn Watch) -> Result<Report, TrainError> {
        let step = self.done + 1;
        let started = Instant::now();
        let (mut losses, mut realised) = (Vec::new(), Vec::new());
        let read = |runs: &[Run]| runs.iter().map(|run| run.counters.tokens).sum::<u64>();
        let before = read(&self.runs);
        for index in 0..self.runs.len() {
            let mut named = ArmWatch { outer: watch, arm: &self.twins.arms[index] };
            let done = self.runs[index].update(&mut named);
            let report = done.map_err(|e| self.of_arm(index, e))?;
            losses.push(report.loss);
            realised.push(report.realised_rate);
        }
        self.compare();
        let spec = &self.setup.spec;
        let tokens = read(&self.runs) - before;
        self.done = step;
        self.tokens += tokens;
        self.losses.clone_from(&losses);
        let seconds = started.elapsed().as_secs_f64();
        let done = self.seed * spec.steps + step;
        let left = self.spec.seeds * spec.steps - done;
        // Steps before this one, evaluations among them, say what the rest takes.
        let pace = (self.seconds + seconds) / done as f64;
        let clock = spec.time_limit.map(|limit| (limit - self.seconds).max(0.0));
        let eta = clock.map_or(pace * left as f64, |clock| clock.min(pace * left as f64));
        Ok(Report::TwinStep(TwinStep {
            seed: self.seed + 1,
            step,
            losses,
            realised,
            tokens: self.tokens,
            tokens_per_second: tokens as f64 / seconds.max(1e-9),
            eta: Some(eta),
        }))
    }
}

/// Passes an arm's warnings on under its name, and keeps everything else to itself.
struct ArmWatch<'a> {
    outer: &'a mut dyn Watch,
    arm: &'a str,
}

impl Watch for ArmWatch<'_> {
    fn report(&mut self, report: Report) {
        if let Report::Warning { step, message } = report {
            self.outer.report(Report::Warning { step, message: format!("{}: {message}", self.arm) });
        }
    }

    fn command(&mut self, _wait: bool) -> Option<RunCommand> {
        None
    }

    fn killed(&self) -> bool {
        self.outer.killed()
    }

    fn wants_snapshot(&self) -> bool {
        false
    }

    fn snapshot(&mut self, _step: usize, _model: Model) {}

    fn wants_pictures(&self) -> bool {
        false
    }
}
