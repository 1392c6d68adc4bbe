//! Twins at work: every arm of a seed takes its steps in turn with the others, on the same batches and under the same
//! draws, then the next seed follows from the same weights. Runs on the trainer's thread; keeps no weights, its result
//! is the verdict.

use std::time::Instant;

use super::{TwinSettings, TwinSpec, Twins, document_losses};
use crate::eval::stats::{Judged, Verdict};
use crate::model::Model;
use crate::train::TrainError;
use crate::train::checkpoint::disk;
use crate::train::checkpoint::files::pretty;
use crate::train::records::MemoryGauge;
use crate::train::report::{
    Plan, Report, RunCommand, RunState, RunSummary, TwinDifference, TwinStep, TwinSummary, TwinVerdict,
};
use crate::train::run::{Learner, Run, Setup, Watch, train};
use crate::train::spec::RunSpec;

/// Contexts of held-out text that an evaluation reads for each arm, spread over the documents; each document gives one
/// at least.
const CONTEXTS: usize = 64;

/// Arms side by side, seed after seed.
pub struct TwinRun {
    setup: Setup,
    spec: TwinSpec,
    twins: Twins,
    state: RunState,
    /// Runs of the seed that is next or under way, one for each arm.
    runs: Vec<Run>,
    seed: usize,
    /// Steps of that seed that are done, and the one that was evaluated last.
    done: usize,
    evaluated: Option<usize>,
    /// Of computing from the first step on, pauses left out.
    seconds: f64,
    tokens: u64,
    /// Losses of the last step by arm.
    losses: Vec<f64>,
}

impl TwinRun {
    /// Checks everything that can be checked before the first step; writes nothing yet.
    ///
    /// # Errors
    /// Arms that cannot run with this model or data, with the arm's name; no held-out documents.
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
        let twins = Twins::new(spec.names(), TwinSettings::default())?;
        let mut this = TwinRun {
            setup,
            spec,
            twins,
            state: RunState::Preparing,
            runs: Vec::new(),
            seed: 0,
            done: 0,
            evaluated: None,
            seconds: 0.0,
            tokens: 0,
            losses: Vec::new(),
        };
        this.runs = this.seed_runs(0)?;
        Ok(this)
    }

    fn seed_runs(&self, seed: usize) -> Result<Vec<Run>, TrainError> {
        let one = |index: usize| {
            let spec = self.spec.arm(&self.setup.spec, index, seed);
            Run::new(self.setup.again(spec)).map_err(|e| self.of_arm(index, e))
        };
        (0..self.spec.arms.len()).map(one).collect()
    }

    /// The same error, with the arm it belongs to.
    fn of_arm(&self, index: usize, error: TrainError) -> TrainError {
        match error {
            TrainError::Killed => TrainError::Killed,
            other => TrainError::Setup {
                hint: other.hint(),
                problem: format!("arm {}, seed {}: {other}", self.twins.arms[index], self.seed + 1),
            },
        }
    }

    /// Tokens of an evaluation over tokens of a step.
    fn evaluation_share(&self) -> f64 {
        let spec = &self.setup.spec;
        let documents = self.setup.validation.as_ref().map_or(1, |v| v.documents).max(1);
        (self.pieces() * documents) as f64 / spec.sequences_per_step() as f64
    }

    /// Contexts that each held-out document gives at most.
    fn pieces(&self) -> usize {
        let documents = self.setup.validation.as_ref().map_or(1, |v| v.documents).max(1);
        (CONTEXTS / documents).max(1)
    }

    fn finish_seed(&mut self, watch: &mut dyn Watch) {
        self.twins.finish_seed();
        self.seed += 1;
        self.runs.clear();
        (self.done, self.evaluated) = (0, None);
        let last = |arm: usize| self.twins.differences(arm).last().copied().unwrap_or(0.0);
        let differences = (1..self.twins.arms.len()).map(last).collect();
        watch.report(Report::TwinSeed { seed: self.seed, differences, verdicts: self.verdicts() });
    }

    fn verdicts(&self) -> Vec<TwinVerdict> {
        let (first, seeds) = (&self.twins.arms[0], self.twins.seeds());
        let one = |(judged, arm): (Judged, &String)| verdict(judged, (arm, first), seeds);
        if seeds == 0 {
            Vec::new()
        } else {
            self.twins.verdicts().into_iter().zip(&self.twins.arms[1..]).map(one).collect()
        }
    }

    fn summary(&self, state: RunState, stopped_early: bool) -> RunSummary {
        RunSummary {
            state,
            steps: self.seed * self.setup.spec.steps,
            tokens: self.tokens,
            seconds: self.seconds,
            train_loss: self.losses.first().copied().unwrap_or_default(),
            start_validation_loss: None,
            validation_loss: None,
            bits_per_byte: None,
            best: None,
            stopped_early,
            checkpoint: None,
            saved: None,
            peak_memory: MemoryGauge::peak(),
            twins: Some(TwinSummary {
                arms: self.twins.arms.clone(),
                seeds: self.twins.seeds(),
                verdicts: self.verdicts(),
            }),
        }
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
        let mut plans = Vec::new();
        for index in 0..self.runs.len() {
            let plan = self.runs[index].plan().map_err(|e| self.of_arm(index, e))?;
            plans.push(plan);
        }
        let mut all = plans[0].clone();
        all.step_seconds = plans.iter().map(|p| p.step_seconds).sum();
        let evaluation = self.evaluation_share() * all.step_seconds / 3.0;
        let spec = &self.setup.spec;
        let every = if spec.eval_every == 0 { spec.steps } else { spec.eval_every };
        let evaluations = spec.steps.div_ceil(every) as f64;
        let seed = all.step_seconds * spec.steps as f64 + evaluation * evaluations;
        // The start is evaluated once: it is the same for every seed.
        let whole = seed * self.spec.seeds as f64 + evaluation;
        all.expected_seconds = spec.time_limit.map_or(whole, |limit| whole.min(limit));
        // Weights and moments of every arm are held at once, gradients and activations of one at a time.
        all.memory.weights = plans.iter().map(|p| p.memory.weights).sum();
        all.memory.optimizer = plans.iter().map(|p| p.memory.optimizer).sum();
        all.memory.activations = plans.iter().map(|p| p.memory.activations).max().unwrap_or(0);
        all.memory.total = plans.iter().map(|p| p.memory.total).max().unwrap_or(0);
        let mut notes: Vec<String> = plans.iter().flat_map(|p| p.notes.clone()).collect();
        notes.sort();
        notes.dedup();
        notes.insert(
            0,
            format!(
                "twins: {} against {}, {} seeds one after the other; weights are not kept",
                self.twins.arms[1..].join(", "),
                self.twins.arms[0],
                self.spec.seeds
            ),
        );
        all.notes = notes;
        Ok(all)
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
        let mut losses = Vec::new();
        for run in &self.runs {
            let model = run.trainee.current()?;
            losses.push(document_losses(&model, &corpus, context, pieces, &|| watch.killed())?);
        }
        self.twins.evaluated(step, &losses)?;
        let end = |x: f64| x.is_finite().then_some(x);
        let differences = self.twins.running.iter().enumerate().filter_map(|(i, running)| {
            let last = running.last()?;
            Some(TwinDifference {
                arm: i + 1,
                value: last.difference,
                low: end(last.documents.low),
                high: end(last.documents.high),
                documents: losses[0].len(),
                differing: last.differing,
            })
        });
        let mean = |of: &Vec<super::DocumentLoss>| {
            of.iter().map(|d| d.nats).sum::<f64>() / of.iter().map(|d| d.labels).sum::<usize>().max(1) as f64
        };
        watch.report(Report::TwinEvaluated {
            seed: self.seed + 1,
            step,
            losses: losses.iter().map(mean).collect(),
            differences: differences.collect(),
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
        for index in 0..self.runs.len() {
            let mut named = ArmWatch { outer: watch, arm: &self.twins.arms[index] };
            let done = self.runs[index].update(&mut named);
            let report = done.map_err(|e| self.of_arm(index, e))?;
            losses.push(report.loss);
            realised.push(report.realised_rate);
        }
        let spec = &self.setup.spec;
        let tokens = (spec.sequences_per_step() * spec.context * self.runs.len()) as u64;
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

/// A verdict in its four words, with the interval it rests on.
fn verdict(judged: Judged, (arm, against): (&str, &str), seeds: usize) -> TwinVerdict {
    let end = |x: f64| x.is_finite().then_some(x);
    let (word, more) = match judged.verdict {
        Verdict::Better => ("better", None),
        Verdict::Worse => ("worse", None),
        Verdict::Equivalent => ("equivalent", None),
        Verdict::Undecided { more } => ("undecided", more),
    };
    TwinVerdict {
        arm: arm.to_owned(),
        against: against.to_owned(),
        difference: judged.interval.value,
        low: end(judged.interval.low),
        high: end(judged.interval.high),
        verdict: word.to_owned(),
        more_seeds: more,
        seeds,
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
