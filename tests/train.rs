//! Runs as a whole: exact resumption, checkpoints under fire, full disks, what moves and what does not, sessions.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;
#[path = "support/tiny_run.rs"]
mod tiny_run;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use maskscope::mask::types::{Op, Replacement};
use maskscope::model::{Checkpoint, Input, Model, ModelFiles, forward::Reuse};
use maskscope::support::random::splitmix64;
use maskscope::tensor::gradients::backward;
use maskscope::tensor::host;
use maskscope::train::TrainError;
use maskscope::train::batch::{Batch, Visit};
use maskscope::train::checkpoint::SavedDtype;
use maskscope::train::checkpoint::disk::{Disk, NewFile, RealDisk};
use maskscope::train::checkpoint::folder::Folders;
use maskscope::train::checkpoint::state;
use maskscope::train::data::{CutRows, RowPacking};
use maskscope::train::evaluate::evaluate;
use maskscope::train::report::{Live, Report, RunCommand, RunState, TwinStep};
use maskscope::train::run::{Learner, Run, Setup, Watch};
use maskscope::train::runs;
use maskscope::train::schedule::{GapControl, LrPolicy, LrProgress};
use maskscope::train::session::{Session, SessionOptions};
use maskscope::train::spec::{
    Arm, Joint, JointSpec, LoraSpec, MaskSchedule, OnDiskFull, RunSpec, ScoreFrom, Trained,
};
use maskscope::train::trainee::Trainee;
use maskscope::train::twins::record::TwinRecord;
use maskscope::train::twins::{TwinRun, TwinSpec};
use tiny_run::{CONTEXT, Log, VOCAB, config, data, drive, lora, lora_spec, resumed, setup, spec};

/// Every way to train, under a name.
fn modes() -> Vec<(&'static str, Trained)> {
    vec![
        ("all", Trained::All),
        ("last block", Trained::LastBlocks(1)),
        ("layer norms", Trained::LayerNorms),
        ("lora", lora(&["all"])),
        ("lora on the tied head", lora(&["attn.c_attn", "lm_head"])),
    ]
}

fn bits(losses: &[(usize, f64)]) -> Vec<(usize, u64)> {
    losses.iter().map(|(s, l)| (*s, l.to_bits())).collect()
}

/// Every weight of a model folder, as bits.
fn weights(folder: &Path) -> HashMap<String, Vec<u32>> {
    let checkpoint = Checkpoint::load(&ModelFiles::Folder(folder.to_owned()), &Device::Cpu).unwrap();
    let all = checkpoint.model.tensors().unwrap();
    all.into_iter()
        .map(|(n, t)| (n, host::values(&t).unwrap().iter().map(|v| v.to_bits()).collect()))
        .collect()
}

/// Stops after 8 of 20 steps, resumes, and compares with a run that was never stopped: losses and final weights.
fn resumes_exactly(name: &str, change: impl Fn(&mut RunSpec)) {
    let dir = tempfile::tempdir().unwrap();
    let make = |part: &str| {
        let mut spec = spec(&dir.path().join(part));
        change(&mut spec);
        spec
    };
    let by_hand =
        vec![(3, RunCommand::SetLearningRate(Some(0.1 + 0.2))), (6, RunCommand::SetLearningRate(None))];
    let whole = drive(setup(make("whole")), by_hand.clone());
    let mut until_stop = by_hand;
    until_stop.push((8, RunCommand::Stop));
    let first = drive(setup(make("parts")), until_stop);
    let second = drive(resumed(&dir.path().join("parts")), Vec::new());
    let mut joined = first.losses();
    assert_eq!(joined.len(), 8, "{name}");
    joined.extend(second.losses());
    assert_eq!(bits(&joined), bits(&whole.losses()), "{name}");
    // At the folder's top is the best, which may be the step at which the parts were cut.
    let newest = |part: &str| weights(&Folders::new(&dir.path().join(part)).path(20));
    assert_eq!(newest("parts"), newest("whole"), "{name}: weights");
    assert!(whole.losses().iter().all(|(_, l)| l.is_finite()), "{name}");
}

#[test]
fn a_resumed_run_is_the_same_run_in_every_mode() {
    for (name, trained) in modes() {
        resumes_exactly(name, |s| s.trained = trained.clone());
    }
    resumes_exactly("dropout and accumulation", |s| (s.dropout, s.accumulate) = (0.2, 2));
    resumes_exactly("weights saved as f16", |s| s.dtype = SavedDtype::F16);
    resumes_exactly("LoRA saved as f16", |s| {
        s.dtype = SavedDtype::F16;
        s.trained = lora(&["mlp.c_fc"]);
    });
    resumes_exactly("LoRA under dropout", |s| {
        s.trained = Trained::Lora(LoraSpec { dropout: 0.3, ..lora_spec(&["all"]) });
    });
    resumes_exactly("isolated documents", |s| s.packing = RowPacking::Isolated);
    resumes_exactly("documents of like length", |s| {
        (s.packing, s.group_by_length, s.accumulate) = (RowPacking::OnePerRow, true, 2);
    });
    resumes_exactly("checkpointing and one cycle", |s| {
        (s.gradient_checkpointing, s.learning_rate.policy) = (true, LrPolicy::OneCycle);
    });
    resumes_exactly("plateau", |s| (s.learning_rate.policy, s.eval_every) = (LrPolicy::Plateau, 2));
}

#[test]
fn the_start_is_evaluated_once_and_what_was_evaluated_is_not_evaluated_again() {
    for stop in [3, 4] {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = spec(dir.path());
        (spec.steps, spec.eval_every, spec.checkpoint_every) = (6, 3, 3);
        let setup = setup(spec.clone());
        let model = Model::from_tensors(&setup.config, &setup.tensors, &Device::Cpu).unwrap();
        let held = setup.validation.clone().unwrap();
        let sizes = (spec.context, spec.batch_size);
        let start = evaluate(&model, &held, sizes, &mut |_, _| Ok(true)).unwrap().unwrap();
        let first = drive(setup, vec![(stop, RunCommand::Stop)]).evaluations();
        let steps: Vec<usize> = first.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, if stop == 3 { vec![0, 3] } else { vec![0, 3, 4] });
        assert_eq!(first[0].1.to_bits(), start.to_bits(), "nothing has moved yet");
        let mut log = Log::default();
        let summary = Run::new(resumed(dir.path())).unwrap().drive(&mut log).unwrap();
        let after: Vec<usize> = log.evaluations().iter().map(|(step, _)| *step).collect();
        assert_eq!((after, summary.start_validation_loss), (vec![6], Some(start)));
    }
}

#[test]
fn a_resumed_run_is_the_same_run_under_masks() {
    let masked = |arm: Arm, op: Op, from: ScoreFrom| {
        move |s: &mut RunSpec| {
            (s.masking.arm, s.masking.op, s.masking.score_from, s.fixed_cuts) = (arm, op, from, true);
            (s.masking.rate, s.learning_rate.progress) = (0.3, LrProgress::Visible);
        }
    };
    resumes_exactly("static-attn", masked(Arm::StaticAttn, Op::Replace, ScoreFrom::LastVisit));
    resumes_exactly("last visit", masked(Arm::DynAttnHigh, Op::Replace, ScoreFrom::LastVisit));
    resumes_exactly("fresh scores, dropped", masked(Arm::DynAttnLow, Op::Drop, ScoreFrom::Fresh));
    resumes_exactly("rates of sequences", |s| {
        masked(Arm::DynRand, Op::Drop, ScoreFrom::LastVisit)(s);
        (s.masking.schedule, s.masking.clean_share) = (MaskSchedule::PerSequence, 0.25);
    });
    resumes_exactly("controller", |s| {
        masked(Arm::DynRand, Op::Hide, ScoreFrom::LastVisit)(s);
        (s.learning_rate.gap, s.eval_every) = (Some(GapControl { target: 0.3, gain: 1.0 }), 3);
    });
}

#[test]
fn a_learned_policy_runs_and_resumes_exactly() {
    for (kind, op) in
        [(Joint::SoftThresholds, Op::Hide), (Joint::Adversarial, Op::Replace), (Joint::Bandit, Op::Replace)]
    {
        resumes_exactly(kind.name(), |s| {
            (s.masking.arm, s.masking.op, s.fixed_cuts, s.eval_every) = (Arm::DynAttnHigh, op, true, 3);
            s.masking.joint = Some(JointSpec { kind, lambda: 0.1, temperature: 0.1, learning_rate: 1e-2 });
        });
    }
}

#[test]
fn other_data_is_no_continuation() {
    let dir = tempfile::tempdir().unwrap();
    drive(setup(spec(dir.path())), vec![(8, RunCommand::Stop)]);
    let read = state::resume(dir.path(), &Device::Cpu).unwrap();
    let other = Setup::resume(read, (tiny_run::corpus(9, 50), None), Device::Cpu);
    let error = Run::new(other).err().unwrap();
    assert!(error.to_string().contains("differs from what this run started with"), "{error}");
    assert!(error.hint().is_some());
    assert!(state::resume(&dir.path().join("nowhere"), &Device::Cpu).is_err());
}

/// A disk that takes so many more bytes.
struct Limited {
    left: Arc<AtomicI64>,
}

struct LimitedFile {
    file: Box<dyn NewFile>,
    left: Arc<AtomicI64>,
}

impl Write for LimitedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left.fetch_sub(bytes.len() as i64, Ordering::SeqCst) < bytes.len() as i64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewFile for LimitedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

impl Disk for Limited {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(LimitedFile { file: RealDisk.create(path)?, left: self.left.clone() }))
    }
}

#[test]
fn a_full_disk_is_reported_and_the_checkpoint_before_stays_whole() {
    // A checkpoint of this model takes some 180 kB; the third one is cut off at different places.
    let one = {
        let dir = tempfile::tempdir().unwrap();
        drive(setup(spec(dir.path())), vec![(5, RunCommand::Stop)]);
        let files = walk(&Folders::new(dir.path()).path(5));
        files.iter().map(|f| f.metadata().unwrap().len()).sum::<u64>() as i64
    };
    for (part, policy) in [
        (0.01, OnDiskFull::Continue),
        (0.3, OnDiskFull::Continue),
        (0.6, OnDiskFull::Stop),
        (0.9, OnDiskFull::Stop),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut setup = setup(RunSpec { on_disk_full: policy, ..spec(dir.path()) });
        let room = 2.0 * one as f64 + 3000.0 + part * one as f64;
        setup.disk = Arc::new(Limited { left: Arc::new(AtomicI64::new(room as i64)) });
        let mut log = Log::default();
        let ended = Run::new(setup).unwrap().drive(&mut log);
        match policy {
            OnDiskFull::Continue => {
                let summary = ended.unwrap();
                assert_eq!((summary.steps, summary.state, summary.saved), (20, RunState::Finished, Some(10)));
                assert!(summary.unsaved().unwrap().ends_with("step 10 is saved"));
                assert!(log.warnings().iter().any(|w| w.contains("not saved") && w.contains("step 10")));
                assert_eq!(log.losses().len(), 20);
            }
            OnDiskFull::Stop => {
                let error = ended.unwrap_err();
                assert!(matches!(&error, TrainError::Io { .. }) && error.hint().is_some(), "{error}");
                assert_eq!(log.losses().len(), 15, "stopped at the checkpoint that did not fit");
            }
        }
        let back = state::resume(dir.path(), &Device::Cpu).unwrap();
        assert_eq!((back.counters.step, back.passed_over.len()), (10, 0));
        assert!(
            walk(dir.path()).iter().all(|f| !f.to_string_lossy().contains(".writing")),
            "nothing is left over"
        );
        let after = drive(resumed(dir.path()), Vec::new());
        assert_eq!(after.losses().len(), 10);
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { out.extend(walk(&path)) } else { out.push(path) }
    }
    out
}

#[test]
fn the_newest_and_the_best_checkpoints_are_kept_and_the_run_folder_is_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    (spec.keep_last, spec.checkpoint_every, spec.eval_every, spec.steps) = (2, 2, 2, 24);
    // A rate that ruins the model after a while, so that the best checkpoint is not the last.
    let log = drive(setup(spec), vec![(10, RunCommand::SetLearningRate(Some(1.0)))]);
    let folders = Folders::new(dir.path());
    let best = log.evaluations().into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!(best.0 <= 12, "{best:?}");
    assert_eq!(folders.steps(), vec![best.0, 22, 24]);
    assert_eq!(weights(dir.path()), weights(&folders.path(best.0)), "the best is at the top");
    assert_ne!(weights(dir.path()), weights(&folders.path(24)));
    let resumed = state::resume(dir.path(), &Device::Cpu).unwrap();
    assert_eq!(resumed.counters.best.unwrap().step, best.0);

    // A damaged newest checkpoint is passed over, and said so.
    std::fs::write(folders.path(24).join("model.safetensors"), b"short").unwrap();
    let resumed = state::resume(dir.path(), &Device::Cpu).unwrap();
    assert_eq!((resumed.counters.step, resumed.passed_over.len()), (22, 1));
}

/// The child of the kill test: resumes or starts the run in the folder it is given, checkpointing every step.
#[test]
#[ignore = "run by the_run_survives_two_hundred_kills"]
fn child() {
    let Some(dir) = std::env::var_os("MASKSCOPE_TEST_RUN") else { return };
    let dir = PathBuf::from(dir);
    let setup = match dir.join("checkpoints").exists().then(|| state::resume(&dir, &Device::Cpu)) {
        Some(Ok(resumed)) => Setup::resume(resumed, data(), Device::Cpu),
        // Only a run that was killed before its first checkpoint has none.
        Some(Err(error)) if !Folders::new(&dir).steps().is_empty() => panic!("does not resume: {error}"),
        _ => setup(endless(&dir)),
    };
    let mut run = Run::new(setup).unwrap();
    let mut log =
        Printed(std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap());
    run.drive(&mut log).unwrap();
}

fn endless(dir: &Path) -> RunSpec {
    let mut spec = spec(dir);
    (spec.steps, spec.checkpoint_every, spec.dropout, spec.accumulate) = (100_000, 1, 0.1, 2);
    spec
}

/// Writes each step's loss as bits, a line at once.
struct Printed(std::fs::File);

impl Watch for Printed {
    fn report(&mut self, report: Report) {
        if let Report::Step { report, .. } = report {
            self.0.write_all(format!("{} {:016x}\n", report.step, report.loss.to_bits()).as_bytes()).unwrap();
        }
    }
    fn command(&mut self, _: bool) -> Option<RunCommand> {
        None
    }
    fn killed(&self) -> bool {
        false
    }
    fn wants_snapshot(&self) -> bool {
        false
    }
    fn snapshot(&mut self, _: usize, _: Model) {}
    fn wants_pictures(&self) -> bool {
        false
    }
}

#[test]
fn the_run_survives_two_hundred_kills() {
    const KILLS: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let log = run.join("log");
    let length = || std::fs::metadata(&log).map_or(0, |m| m.len());
    let mut resumed_from = 0;
    for kill in 0..KILLS {
        let before = length();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child", "--nocapture"])
            .env("MASKSCOPE_TEST_RUN", &run)
            .env("RAYON_NUM_THREADS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Most children live until a first step is done, then a random while; some are killed while they start.
        let wait = Duration::from_micros(splitmix64(1, kill) % 50_000);
        let deadline = Instant::now() + Duration::from_secs(60);
        if kill % 8 != 7 {
            while length() == before {
                assert!(Instant::now() < deadline, "kill {kill}: no step within a minute");
                assert!(child.try_wait().unwrap().is_none(), "kill {kill}: the child ended by itself");
                std::thread::yield_now();
            }
        }
        let until = Instant::now() + wait;
        while Instant::now() < until {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever is there loads, and is the model folder too.
        let steps = Folders::new(&run).steps();
        if let Some(newest) = steps.last() {
            let back = state::resume(&run, &Device::Cpu).unwrap_or_else(|e| panic!("kill {kill}: {e}"));
            assert_eq!((back.counters.step, back.passed_over.len()), (*newest, 0), "kill {kill}");
            assert!(*newest >= resumed_from, "kill {kill}: a checkpoint was lost");
            resumed_from = *newest;
            if run.join("model.safetensors").exists() {
                Checkpoint::load(&ModelFiles::Folder(run.clone()), &Device::Cpu)
                    .unwrap_or_else(|e| panic!("kill {kill}: the run folder does not load: {e}"));
            }
        }
    }
    // Every loss, of every life, is the one of a run that was never killed.
    let text = std::fs::read_to_string(&log).unwrap();
    let seen: Vec<(usize, u64)> = text
        .lines()
        .map(|l| {
            let (step, bits) = l.split_once(' ').unwrap();
            (step.parse().unwrap(), u64::from_str_radix(bits, 16).unwrap())
        })
        .collect();
    let last = seen.iter().map(|(s, _)| *s).max().unwrap();
    assert!(last >= KILLS as usize / 4, "only {last} steps in {KILLS} lives");
    let mut quiet = endless(&dir.path().join("whole"));
    (quiet.checkpoint_every, quiet.learning_rate) = (0, quiet.learning_rate);
    let whole = drive(setup(quiet), vec![(last, RunCommand::Stop)]);
    let wanted: HashMap<usize, u64> = bits(&whole.losses()).into_iter().collect();
    for (step, bits) in seen {
        assert_eq!(bits, wanted[&step], "step {step}");
    }
}

fn batch(n: u32) -> Batch {
    let corpus = tiny_run::corpus(24, 0);
    let rows = CutRows::new(&corpus, CONTEXT.into(), 0);
    Batch { visits: (0..n).map(|i| rows.visit(&corpus, i as usize, 0)).collect() }
}

#[test]
fn a_gradient_reaches_every_variable_in_every_mode_and_nothing_else_moves() {
    for (name, trained) in modes() {
        for arm in [Arm::None, Arm::DynRand] {
            let dir = tempfile::tempdir().unwrap();
            let mut spec = spec(dir.path());
            (spec.trained, spec.masking.arm, spec.fixed_cuts) = (trained.clone(), arm, true);
            (spec.dropout, spec.steps, spec.masking.rate) = (0.1, 6, 0.3);
            let start = setup(spec.clone());
            let before: HashMap<String, Vec<f32>> =
                start.tensors.iter().map(|(n, t)| (n.clone(), host::values(t).unwrap())).collect();
            let mut run = Run::new(start).unwrap();
            let first: HashMap<String, Vec<f32>> = run
                .trainee
                .vars
                .iter()
                .map(|(n, v)| (n.clone(), host::values(v.as_tensor()).unwrap()))
                .collect();
            let mut log = Log::default();
            run.drive(&mut log).unwrap();
            assert_eq!(log.warnings(), Vec::<String>::new(), "{name} {arm}");
            for (var, tensor) in &run.trainee.vars {
                assert_ne!(
                    host::values(tensor.as_tensor()).unwrap(),
                    first[var],
                    "{name} {arm}: {var} did not move"
                );
            }
            for (tensor, value) in run.trainee.tensors() {
                if run.trainee.var(tensor).is_none() {
                    assert_eq!(host::values(value).unwrap(), before[tensor], "{name} {arm}: {tensor} moved");
                }
            }
        }
    }
}

#[test]
fn a_variable_that_nothing_reaches_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    // A [MASK] row that a rate of 0 never uses.
    (spec.masking.arm, spec.masking.rate, spec.fixed_cuts) = (Arm::DynRand, 0.0, true);
    let log = drive(setup(spec), Vec::new());
    assert_eq!(log.warnings(), ["no gradient for mask_row: these weights are not being trained"]);
}

#[test]
fn adapters_and_what_they_merge_into_agree() {
    let dir = tempfile::tempdir().unwrap();
    for targets in [vec!["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"], vec!["lm_head"]] {
        let out = dir.path().join(format!("{}", targets.len()));
        let mut spec = spec(&out);
        spec.trained = lora(&targets);
        let mut run = Run::new(setup(spec)).unwrap();
        run.drive(&mut Log::default()).unwrap();
        let ids: Vec<u32> = (0..CONTEXT as u32).collect();
        let logits = |model: &Model| {
            let trace = model.run(Arc::new(Input::plain(ids.clone())), Reuse::default()).unwrap();
            model.logits(&trace.hidden, 0, ids.len()).unwrap()
        };
        let loaded = Checkpoint::load(&ModelFiles::Folder(out.clone()), &Device::Cpu).unwrap();
        let with_adapters = logits(&run.trainee.current().unwrap());
        assert!(support::largest_difference(&with_adapters, &logits(&loaded.model)) < 2e-5);
        let untouched = logits(&Model::from_tensors(&config(), run.trainee.tensors(), &Device::Cpu).unwrap());
        assert!(support::largest_difference(&with_adapters, &untouched) > 1e-3, "the adapters do something");
        assert_eq!(loaded.model.config.tie_word_embeddings, targets != ["lm_head"]);

        // As PEFT names and shapes them.
        let adapter = Folders::new(&out).path(20).join("adapter");
        let text = std::fs::read(adapter.join("adapter_config.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((json["r"].as_u64(), json["lora_alpha"].as_f64()), (Some(2), Some(6.0)));
        assert_eq!(
            (json["peft_type"].as_str(), json["fan_in_fan_out"].as_bool()),
            (Some("LORA"), Some(true))
        );
        assert_eq!(json["target_modules"].as_array().unwrap().len(), targets.len());
        let bytes = std::fs::read(adapter.join("adapter_model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let shape = |name: &str| file.tensor(name).unwrap().shape().to_vec();
        if targets == ["lm_head"] {
            assert_eq!(file.len(), 2);
            assert_eq!(shape("base_model.model.lm_head.lora_A.weight"), [2, 16]);
            assert_eq!(shape("base_model.model.lm_head.lora_B.weight"), [VOCAB, 2]);
        } else {
            assert_eq!(file.len(), 3 * 4 * 2);
            assert_eq!(shape("base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"), [2, 16]);
            assert_eq!(shape("base_model.model.transformer.h.2.attn.c_attn.lora_B.weight"), [48, 2]);
            assert_eq!(shape("base_model.model.transformer.h.1.mlp.c_proj.lora_A.weight"), [2, 64]);
        }
    }
}

#[test]
fn accumulation_is_the_mean_of_its_micro_batches() {
    let config = config();
    let tensors = maskscope::train::init::weights(&config, 9, &Device::Cpu).unwrap();
    let losses = |batch_size: usize, accumulate: usize| {
        let dir = tempfile::tempdir().unwrap();
        let spec = RunSpec { batch_size, accumulate, steps: 8, ..spec(dir.path()) };
        drive(Setup::new(spec, (config.clone(), tensors.clone()), None, data()), Vec::new()).losses()
    };
    for ((_, a), (_, b)) in losses(6, 1).iter().zip(losses(2, 3)) {
        assert!((a - b).abs() < 1e-4, "{a} against {b}");
    }
}

#[test]
fn a_probe_changes_nothing_and_a_run_that_cannot_fit_is_refused_with_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let mut masked = spec(&dir.path().join("a"));
    (masked.masking.arm, masked.fixed_cuts, masked.dropout) = (Arm::DynAttnHigh, true, 0.1);
    let plain = drive(setup(masked.clone()), Vec::new());
    masked.out = dir.path().join("b");
    let mut run = Run::new(setup(masked)).unwrap();
    let plan = run.plan().unwrap();
    let mut log = Log::default();
    run.drive(&mut log).unwrap();
    assert_eq!(bits(&log.losses()), bits(&plain.losses()));
    assert_eq!(plan.probe_loss, log.losses()[0].1, "the probe is the first step");
    assert_eq!(plan.parameters, config().parameters() as u64);
    assert_eq!(plan.trainable, plan.parameters + 16, "and the [MASK] row");
    assert!(plan.step_seconds > 0.0 && plan.expected_seconds >= plan.step_seconds * 20.0);
    assert!(plan.notes.iter().any(|n| n.contains("last visit")));

    let mut huge = spec(&dir.path().join("c"));
    huge.batch_size = 1 << 34;
    let error = Run::new(setup(huge)).unwrap().plan().unwrap_err();
    assert!(error.to_string().contains("MB free") || error.to_string().contains("GB free"), "{error}");
    assert!(error.hint().is_some_and(|h| h.contains("smaller batch")));
}

#[test]
fn a_loss_that_is_not_finite_stops_at_the_last_good_checkpoint_and_names_the_step() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    (spec.clip, spec.steps, spec.on_disk_full) = (0.0, 200, OnDiskFull::Continue);
    let mut log = Log::scripted(vec![(7, RunCommand::SetLearningRate(Some(1e30)))]);
    let error = Run::new(setup(spec)).unwrap().drive(&mut log).unwrap_err();
    let TrainError::Diverged { step, checkpoint, .. } = &error else { panic!("{error}") };
    assert!((9..=11).contains(step), "{error}");
    assert!(checkpoint.ends_with("step-00000005"), "{error}");
    assert_eq!(state::resume(dir.path(), &Device::Cpu).unwrap().counters.step, 5);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut RunSpec)| {
        let mut spec = spec(dir.path());
        change(&mut spec);
        Run::new(setup(spec)).err().expect("refused").to_string()
    };
    assert!(refused(&|s| s.trained = Trained::LastBlocks(4)).contains("3 blocks"));
    assert!(refused(&|s| s.trained = Trained::LastBlocks(0)).contains("nothing to train"));
    assert!(refused(&|s| s.context = CONTEXT + 1).contains("this model takes 1 to"));
    assert!(refused(&|s| s.learning_rate.peak = f64::NAN).contains("learning rate"));
    assert!(refused(&|s| s.masking.arm = Arm::Static1).contains("fixed_cuts"));
    assert!(refused(&|s| s.dropout = 1.0).contains("dropout"));
    assert!(
        refused(&|s| (s.masking.arm, s.masking.op, s.fixed_cuts) = (Arm::DynPair, Op::Drop, true))
            .contains("hidden")
    );
}

/// Reports of a session until one fits, with a deadline.
fn wait_for(session: &Session, what: &str, fits: impl Fn(&Report) -> bool) -> Report {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(report) = session.next(Duration::from_millis(50))
            && fits(&report)
        {
            return report;
        }
    }
    panic!("no {what} within a minute");
}

fn state_is(wanted: RunState) -> impl Fn(&Report) -> bool {
    move |r| matches!(r, Report::State { state } if *state == wanted)
}

#[test]
fn a_session_pauses_resumes_changes_and_stops_and_each_state_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    (spec.steps, spec.checkpoint_every) = (1_000_000, 0);
    (spec.masking.arm, spec.fixed_cuts) = (Arm::DynAttnHigh, true);
    let options = SessionOptions {
        threads: Some(1),
        wait_after_plan: true,
        plan: true,
        pictures: true,
        ..SessionOptions::default()
    };
    let session = Session::start(move |_| Ok(setup(spec)), options).unwrap();
    wait_for(&session, "plan", |r| matches!(r, Report::Planned(_)));
    wait_for(&session, "planned", state_is(RunState::Planned));
    assert_eq!(session.state(), RunState::Planned);
    session.send(RunCommand::Resume);
    wait_for(&session, "start", state_is(RunState::Running));
    wait_for(&session, "raster", |r| matches!(r, Report::Raster { .. }));
    wait_for(&session, "batch", |r| matches!(r, Report::Batch(b) if !b.sequences[0][3].why.is_empty()));
    session.send(RunCommand::Pause);
    wait_for(&session, "pause", state_is(RunState::Paused));
    session.drain();
    assert!(session.next(Duration::from_millis(30)).is_none(), "a paused run does nothing");
    session.send(RunCommand::SetThreshold(0.95));
    session.send(RunCommand::SetLearningRate(Some(1e-4)));
    session.send(RunCommand::SetProbability(7.0));
    let changed = wait_for(&session, "change", |r| matches!(r, Report::Changed(_)));
    let Report::Changed(change) = changed else { unreachable!() };
    assert_eq!((change.what, change.value), (Live::Threshold, Some(0.95)));
    wait_for(
        &session,
        "refusal",
        |r| matches!(r, Report::Warning { message, .. } if message.contains("between 0 and 1")),
    );
    session.request_snapshot();
    session.send(RunCommand::Resume);
    wait_for(&session, "resume", state_is(RunState::Running));
    let first = wait_for(&session, "step", |r| matches!(r, Report::Step { .. }));
    let Report::Step { report, .. } = first else { unreachable!() };
    assert_eq!(report.learning_rate, 1e-4, "in force from the next step on");
    assert_eq!(change.step, report.step);
    assert!((report.mask_rate - 0.05 * 0.5).abs() < 1e-9, "{}", report.mask_rate);
    let (step, snapshot) = session.take_snapshot().expect("a copy of the weights");
    assert_eq!(step + 1, report.step);
    let before = host::values(&snapshot.embedding.tensor().unwrap()).unwrap();
    session.send(RunCommand::Stop);
    wait_for(&session, "stopping", state_is(RunState::Stopping));
    let ended = wait_for(&session, "end", |r| matches!(r, Report::Ended(_)));
    let Report::Ended(summary) = ended else { unreachable!() };
    assert_eq!((summary.state, session.state()), (RunState::Stopped, RunState::Stopped));
    assert!(summary.stopped_early && summary.checkpoint.is_some());
    assert_eq!(host::values(&snapshot.embedding.tensor().unwrap()).unwrap(), before, "a copy does not move");
    session.join();

    // The records tell the same, and the change is there to be replayed.
    let text = std::fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.iter().any(|l| l["event"] == "changed" && l["what"] == "threshold" && l["value"] == 0.95));
    let at = lines.iter().find(|l| l["event"] == "step" && l["step"] == report.step).unwrap();
    assert_eq!(at["learning_rate"], 1e-4);
    assert_eq!(state::resume(dir.path(), &Device::Cpu).unwrap().counters.changes.len(), 2);
    let runs = runs::list(dir.path());
    assert_eq!((runs.len(), runs[0].state(), runs[0].steps), (1, "stopped", summary.steps));
    assert_eq!(runs::curves(dir.path()).0.len(), summary.steps);
    let none = runs::delete(&dir.path().join("checkpoints")).unwrap_err();
    assert!(none.to_string().ends_with("checkpoints is not a run folder"), "{none}");
    assert!(none.hint().is_some_and(|hint| hint.contains("maskscope runs list")));
    runs::delete(dir.path()).unwrap();
    assert!(!dir.path().exists());
}

#[test]
fn a_kill_saves_nothing_and_a_panic_is_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    spec.steps = 1_000_000;
    spec.checkpoint_every = 0;
    let session = Session::start(move |_| Ok(setup(spec)), SessionOptions::default()).unwrap();
    wait_for(&session, "step", |r| matches!(r, Report::Step { .. }));
    session.send(RunCommand::Kill);
    wait_for(&session, "killed", state_is(RunState::Killed));
    wait_for(
        &session,
        "failure",
        |r| matches!(r, Report::Failed { message, .. } if message == "stopped without saving"),
    );
    session.join();
    assert_eq!(Folders::new(dir.path()).steps(), Vec::<usize>::new());

    let session = Session::start(|_| panic!("a fault"), SessionOptions::default()).unwrap();
    let failed = wait_for(&session, "failure", |r| matches!(r, Report::Failed { .. }));
    let Report::Failed { message, .. } = failed else { unreachable!() };
    assert!(message.contains("a fault"), "{message}");
    assert_eq!(session.state(), RunState::Failed);
}

#[test]
fn records_of_a_resumed_run_have_every_step_once() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_owned();
    let run = |setup: Setup, until: Option<usize>| {
        let session = Session::start(move |_| Ok(setup), SessionOptions::default()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !session.state().is_over() || !session.is_over() {
            assert!(Instant::now() < deadline);
            if let Some(Report::Step { report, .. }) = session.next(Duration::from_millis(20))
                && until.is_some_and(|u| report.step >= u)
            {
                session.send(RunCommand::Kill);
            }
        }
        session.join();
    };
    let mut long = spec(&out);
    (long.steps, long.checkpoint_every) = (3000, 5);
    run(setup(long), Some(12));
    run(resumed(&out), None);
    let steps: Vec<usize> = runs::curves(&out).0.iter().map(|(s, _)| *s).collect();
    assert_eq!(steps, (1..=3000).collect::<Vec<_>>());
    let events = walk(&out).iter().filter(|p| p.to_string_lossy().contains("events.out")).count();
    assert_eq!(events, 2);
}

/// Three standard errors around the promised rate, for a run of `steps` steps.
fn slack(spec: &RunSpec, rate: f64) -> f64 {
    let positions = (spec.steps * spec.batch_size * (CONTEXT - CONTEXT / 4 - 2)) as f64;
    3.0 * (rate * (1.0 - rate) / positions).sqrt()
}

#[test]
fn every_combination_that_is_offered_runs_and_keeps_its_rate() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ran, mut refused) = (0, 0);
    let ops = [Op::Replace, Op::Hide, Op::Drop, Op::Skip, Op::Keep];
    for &arm in Arm::ALL {
        for op in ops {
            for &schedule in MaskSchedule::ALL {
                let name = format!("{arm}-{op}-{schedule}");
                let mut spec = spec(&dir.path().join(&name));
                (spec.masking.arm, spec.masking.op, spec.masking.schedule) = (arm, op, schedule);
                (spec.masking.rate, spec.fixed_cuts, spec.batch_size) = (0.2, true, 4);
                (spec.checkpoint_every, spec.eval_every) = (0, 0);
                let mut run = match Run::new(setup(spec.clone())) {
                    Ok(run) => run,
                    Err(error) => {
                        assert!(error.hint().is_some(), "{name}: {error}");
                        assert_eq!(arm, Arm::DynPair, "{name} is refused: {error}");
                        refused += 1;
                        continue;
                    }
                };
                let mut log = Log::default();
                run.drive(&mut log).unwrap_or_else(|e| panic!("{name}: {e}"));
                let mut sums = (0.0, 0.0, 0);
                for report in &log.reports {
                    let Report::Step { report, .. } = report else { continue };
                    assert!(report.loss.is_finite(), "{name}");
                    sums = (sums.0 + report.realised_rate, sums.1 + report.mask_rate, sums.2 + 1);
                }
                assert_eq!(sums.2, 20, "{name}");
                let (realised, asked) = (sums.0 / 20.0, sums.1 / 20.0);
                let wanted = if arm == Arm::None { 0.0 } else { 0.2 };
                assert!((asked - wanted).abs() < 1e-9, "{name}: asked for {asked}");
                // Pairs draw one rate per sequence from U(0, 2·rate), whose spread is rate/√3.
                let own_rates = arm == Arm::DynPair || schedule == MaskSchedule::PerSequence;
                let more = if own_rates { 3.0 * 0.2 / 3f64.sqrt() / 80f64.sqrt() } else { 0.0 };
                // A static pattern is drawn once per sequence, so its error does not shrink with passes.
                let passes =
                    if matches!(arm, Arm::Static1 | Arm::Static10 | Arm::StaticAttn) { 2.0 } else { 1.0 };
                let allowed = passes * (slack(&spec, 0.2) + more);
                assert!((realised - wanted).abs() <= allowed, "{name}: {realised} ± {allowed}");
                ran += 1;
            }
        }
    }
    // dyn-pair takes hide and keep only, and draws its own rates already.
    assert_eq!((ran, refused), (9 * 5 * 5 - 3 * 4 - 5, 3 * 4 + 5));
}

#[test]
fn a_mask_row_lives_beside_the_checkpoint_which_keeps_its_vocabulary() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    (spec.masking.arm, spec.masking.replacement, spec.fixed_cuts) = (Arm::DynRand, Replacement::Mask, true);
    let mut run = Run::new(setup(spec)).unwrap();
    run.drive(&mut Log::default()).unwrap();
    let loaded = Checkpoint::load(&ModelFiles::Folder(dir.path().to_owned()), &Device::Cpu).unwrap();
    assert_eq!(loaded.model.config.vocab_size, VOCAB);
    let bytes = std::fs::read(dir.path().join("maskscope.safetensors")).unwrap();
    let side = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(side.tensor("mask_row").unwrap().shape(), [16]);
    let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    let model = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(model.names().iter().all(|n| !n.contains("mask")));
}

#[test]
fn visible_progress_is_slower_where_less_is_seen_and_ends_where_it_should() {
    let dir = tempfile::tempdir().unwrap();
    let rates = |progress: LrProgress, schedule: MaskSchedule, name: &str| {
        let mut spec = spec(&dir.path().join(name));
        (spec.masking.arm, spec.masking.op, spec.masking.rate) = (Arm::DynRand, Op::Drop, 0.4);
        (spec.fixed_cuts, spec.masking.schedule, spec.steps, spec.learning_rate.progress) =
            (true, schedule, 60, progress);
        let log = drive(setup(spec), Vec::new());
        let rate = |r: &Report| match r {
            Report::Step { report, .. } => Some(report.learning_rate),
            _ => None,
        };
        log.reports.iter().filter_map(rate).collect::<Vec<f64>>()
    };
    let by_steps = rates(LrProgress::Steps, MaskSchedule::Decay, "steps");
    let visible = rates(LrProgress::Visible, MaskSchedule::Decay, "visible");
    // Most is dropped early on, so the rate falls later than by steps.
    assert!(visible[30] > by_steps[30] * 1.02, "{} against {}", visible[30], by_steps[30]);
    assert!(
        (visible[59] - by_steps[59]).abs() < 0.15 * by_steps[0].max(3e-3),
        "{} {}",
        visible[59],
        by_steps[59]
    );
}

#[test]
fn frozen_parts_cost_no_gradient() {
    let config = config();
    let tensors = maskscope::train::init::weights(&config, 9, &Device::Cpu).unwrap();
    let trainee = Trainee::with(&config, &tensors, &Device::Cpu, (&Trained::LayerNorms, 0)).unwrap();
    let visit: Visit = batch(1).visits.remove(0);
    let model = trainee.current().unwrap();
    let hidden = model.forward_batch(&model.embed_batch(&visit.inputs, 1).unwrap(), None, true).unwrap();
    let rows: Tensor = hidden.reshape((CONTEXT, 16)).unwrap();
    let loss = maskscope::tensor::cross_entropy::cross_entropy(
        &rows,
        &model.lm_head.tensor().unwrap(),
        &visit.targets,
        true,
    )
    .unwrap();
    let grads = backward(&loss).unwrap();
    for name in ["h.0.attn.c_attn.weight", "h.2.mlp.c_proj.bias", "wte.weight"] {
        assert!(grads.get(&trainee.tensors()[name]).is_none(), "{name}");
    }
    assert!(grads.get(trainee.var("h.0.ln_1.weight").unwrap().as_tensor()).is_some());
}

#[test]
fn a_moved_threshold_is_realised_from_the_step_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    (spec.steps, spec.batch_size, spec.checkpoint_every) = (1_000_000, 64, 0);
    (spec.masking.arm, spec.masking.rate, spec.fixed_cuts) = (Arm::DynRand, 0.1, true);
    let session = Session::start(move |_| Ok(setup(spec)), SessionOptions::default()).unwrap();
    let until = |step: usize| {
        wait_for(&session, "steps", |r| matches!(r, Report::Step { report, .. } if report.step >= step))
    };
    until(6);
    session.send(RunCommand::SetThreshold(0.1));
    let changed = wait_for(&session, "change", |r| matches!(r, Report::Changed(_)));
    let Report::Changed(change) = changed else { unreachable!() };
    until(change.step + 6);
    session.send(RunCommand::Stop);
    wait_for(&session, "end", |r| matches!(r, Report::Ended(_)));
    session.join();
    let text = std::fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let rates: Vec<(usize, f64)> = lines
        .iter()
        .filter(|l| l["event"] == "step")
        .map(|l| (l["step"].as_u64().unwrap() as usize, l["realised_rate"].as_f64().unwrap()))
        .collect();
    assert!(rates.len() > 12 && rates.windows(2).all(|w| w[1].0 == w[0].0 + 1));
    // About a thousand eligible positions a step: three standard errors are 0.03 and 0.05.
    for (step, rate) in rates {
        let (asked, slack) = if step < change.step { (0.1, 0.035) } else { (0.45, 0.06) };
        assert!((rate - asked).abs() < slack, "step {step} of {change:?}: {rate}");
    }
}

fn twins(out: &Path, arms: &str, seeds: usize) -> RunSpec {
    let mut spec = spec(out);
    (spec.steps, spec.eval_every, spec.batch_size) = (6, 3, 4);
    spec.masking.rate = 0.3;
    spec.twins = Some(TwinSpec { seeds, ..arms.parse().unwrap() });
    spec
}

/// Everything that twins report until they are over.
fn reports(session: &Session) -> Vec<Report> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut all = Vec::new();
    while !session.is_over() {
        assert!(Instant::now() < deadline);
        all.extend(session.next(Duration::from_millis(20)));
    }
    all
}

/// Steps that two passes over the training text take.
const TWO_PASSES: usize = 20;

fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn twins_see_the_same_batches_and_part_where_their_rules_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = twins(dir.path(), "static-1,dyn-rand,none", 2);
    (spec.steps, spec.eval_every) = (TWO_PASSES, 10);
    let options = SessionOptions { plan: true, ..SessionOptions::default() };
    let session = Session::start(move |_| Ok(setup(spec)), options).unwrap();
    let all = reports(&session);
    let Some(Report::Ended(summary)) = all.last() else { panic!("{:?}", all.last()) };
    let result = summary.twins.clone().unwrap();
    assert_eq!((summary.state, result.seeds, result.verdicts.len()), (RunState::Finished, 2, 3));
    let steps: Vec<&TwinStep> =
        all.iter().filter_map(|r| if let Report::TwinStep(t) = r { Some(t) } else { None }).collect();
    for step in steps.iter().filter(|t| t.step <= TWO_PASSES / 2) {
        assert_eq!(
            step.losses[0].to_bits(),
            step.losses[1].to_bits(),
            "alike in the first pass, step {}",
            step.step
        );
        assert_ne!(step.losses[0], step.losses[2], "the arm without masks reads the same batch whole");
    }
    assert!(steps.iter().any(|t| t.step > TWO_PASSES / 2 && t.losses[0] != t.losses[1]));
    let names: Vec<(&str, &str)> =
        result.verdicts.iter().map(|v| (v.against.as_str(), v.arm.as_str())).collect();
    assert_eq!(names, [("static-1", "dyn-rand"), ("static-1", "none"), ("dyn-rand", "none")]);
    for verdict in &result.verdicts {
        let c = verdict.basis.compared;
        assert_eq!((verdict.verdict.as_str(), verdict.seeds), ("undecided", 2));
        assert_eq!((c.visits, c.again), (2 * 80, 2 * 40), "{verdict:?}");
        assert!(c.differently > 0 && c.differently <= c.masked, "{c:?}");
        assert!((verdict.basis.passes - 2.0).abs() < 0.01 && verdict.basis.epsilon == 0.01);
        assert!(verdict.basis.held_out.starts_with("6 documents"), "{}", verdict.basis.held_out);
    }
    // Half of the visits are alike, and so is about every seventh position that both mask in the others.
    let part = result.verdicts[0].basis.compared;
    assert!(part.differently * 10 < part.masked * 6, "{part:?}");
    let plan = all
        .iter()
        .find_map(|r| if let Report::Planned(plan) = r { Some(plan.notes.join("\n")) } else { None });
    let plan = plan.unwrap();
    for words in ["2 seeds", "static-1 and dyn-rand follow different rules in 50 %", "needs 6 at least"] {
        assert!(plan.contains(words), "{words}: {plan}");
    }
    // The records tell the same, and the folder stands among the runs.
    let lines = metrics(dir.path());
    let count = |event: &str| lines.iter().filter(|l| l["event"] == event).count();
    // The start is evaluated under the first seed only: every seed starts from the same weights.
    assert_eq!((count("twin-step"), count("twin-evaluated"), count("twin-seed")), (40, 1 + 4, 2));
    let info = &runs::list(dir.path())[0];
    assert_eq!((info.state(), info.steps, info.planned_steps()), ("finished", 40, 40));
    assert_eq!(info.summary.as_ref().unwrap().twins.as_ref().unwrap(), &result);
    assert!(info.checkpoints.is_empty());
    // What was reported can be shown again.
    let (_, again) = runs::reports(dir.path()).unwrap();
    let verdicts = again.iter().rev().find_map(|r| match r {
        Report::TwinSeed { verdicts, losses, .. } => Some((verdicts.clone(), losses.len())),
        _ => None,
    });
    assert_eq!(verdicts.unwrap(), (result.verdicts, 3));
}

#[test]
fn twins_that_would_hardly_differ_are_refused_with_the_passes_they_need() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |arms: &str, steps: usize, from: ScoreFrom| {
        let mut spec = twins(dir.path(), arms, 6);
        (spec.steps, spec.masking.score_from) = (steps, from);
        let error = TwinRun::new(setup(spec)).err()?;
        Some(format!("{error} | {}", error.hint().unwrap()))
    };
    let last = ScoreFrom::LastVisit;
    let short = refused("static-1,dyn-rand", 6, last).unwrap();
    assert!(short.contains("makes 0.6 passes") && short.contains("need 2 passes: 20 steps"), "{short}");
    assert_eq!(refused("static-1,dyn-rand", TWO_PASSES, last), None);
    let ten = refused("none,static-10,dyn-rand", TWO_PASSES, last).unwrap();
    assert!(ten.contains("first 10 visits") && ten.contains("need 20 passes: 200 steps"), "{ten}");
    let attention = refused("dyn-rand,dyn-attn-high", 6, last).unwrap();
    assert!(attention.contains("both mask at random") && attention.contains("fresh"), "{attention}");
    assert_eq!(refused("dyn-rand,dyn-attn-high", 6, ScoreFrom::Fresh), None);
    for alike in ["dyn-rand,dyn-rand", "none,dyn-rand:keep"] {
        let never = refused(alike, 100, last).unwrap();
        assert!(never.contains("nothing to compare"), "{never}");
    }
}

#[test]
fn seeds_added_later_are_those_of_an_experiment_planned_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, seeds: usize| {
        let mut spec = twins(&dir.path().join(name), "none,dyn-rand:hide", seeds);
        (spec.steps, spec.dropout) = (8, 0.1);
        setup(spec)
    };
    let whole = {
        TwinRun::new(make("whole", 4)).unwrap().drive(&mut Log::default()).unwrap();
        TwinRecord::read(&dir.path().join("whole")).unwrap()
    };
    assert_eq!(whole.seeds.len(), 4);
    let parts = dir.path().join("parts");
    let run = |setup: Setup| {
        let session = Session::start(move |_| Ok(setup), SessionOptions::default()).unwrap();
        reports(&session)
    };
    run(make("parts", 2));
    let more = |seeds: usize| Setup {
        finished_seeds: Some(TwinRecord::read(&parts).unwrap()),
        ..make("parts", seeds)
    };
    let full = TwinRun::new(more(2)).err().unwrap();
    assert!(
        full.to_string().contains("all 2 seeds") && full.hint().unwrap().contains("--twin-seeds"),
        "{full}"
    );
    let other = Setup { train: tiny_run::corpus(24, 3), ..more(4) };
    assert!(
        TwinRun::new(other).err().unwrap().to_string().contains("differ from those of the finished seeds")
    );
    let all = run(more(4));
    let Some(Report::Ended(summary)) = all.last() else { panic!("{:?}", all.last()) };
    assert_eq!(summary.twins.as_ref().unwrap().seeds, 4);
    let bits = |record: &TwinRecord| -> Vec<u64> {
        record.seeds.iter().flat_map(|s| s.losses.iter().map(|l| l.to_bits())).collect()
    };
    let parts_record = TwinRecord::read(&parts).unwrap();
    assert_eq!(bits(&parts_record), bits(&whole));
    assert_eq!(parts_record, whole);
    // The records have every seed once.
    let seeds: Vec<u64> = metrics(&parts)
        .iter()
        .filter(|l| l["event"] == "twin-seed")
        .map(|l| l["seed"].as_u64().unwrap())
        .collect();
    assert_eq!(seeds, [1, 2, 3, 4]);
}

#[test]
fn an_arm_of_twins_masks_as_a_run_of_its_own_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = twins(&dir.path().join("twins"), "none,dyn-rand:hide", 1);
    (spec.masking.schedule, spec.masking.clean_share, spec.steps) = (MaskSchedule::PerSequence, 0.3, 12);
    let mut log = Log::default();
    TwinRun::new(setup(spec.clone())).unwrap().drive(&mut log).unwrap();
    let twin: Vec<(u64, u64)> = log
        .reports
        .iter()
        .filter_map(|r| match r {
            Report::TwinStep(t) => Some((t.losses[1].to_bits(), t.realised[1].to_bits())),
            _ => None,
        })
        .collect();
    let mut alone = RunSpec { twins: None, out: dir.path().join("alone"), fixed_cuts: true, ..spec };
    (alone.masking.arm, alone.masking.op) = (Arm::DynRand, Op::Hide);
    let log = drive(setup(alone), Vec::new());
    let single: Vec<(u64, u64)> = log
        .reports
        .iter()
        .filter_map(|r| match r {
            Report::Step { report, .. } => Some((report.loss.to_bits(), report.realised_rate.to_bits())),
            _ => None,
        })
        .collect();
    assert_eq!(twin, single);
    let rates: std::collections::HashSet<u64> = single.iter().map(|(_, rate)| *rate).collect();
    assert!(rates.len() > 6, "every step has sequences of other rates");
}

#[test]
fn a_run_ends_when_validation_no_longer_falls_and_keeps_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    (spec.steps, spec.eval_every, spec.checkpoint_every, spec.stop_after) = (200, 2, 0, 4);
    let mut log = Log::scripted(vec![(10, RunCommand::SetLearningRate(Some(1.0)))]);
    let summary = Run::new(setup(spec)).unwrap().drive(&mut log).unwrap();
    let lowest = log.evaluations().into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(summary.best, Some(lowest), "a checkpoint of the lowest loss, though none was due");
    assert_eq!((summary.steps, summary.state), (lowest.0 + 4 * 2, RunState::Finished));
    assert_eq!(summary.saved, Some(summary.steps));
    let reason = summary.reason.unwrap();
    assert!(
        reason.contains("4 evaluations without") && reason.contains(&format!("step {}", lowest.0)),
        "{reason}"
    );
    assert_eq!(weights(dir.path()), weights(&Folders::new(dir.path()).path(lowest.0)));
    assert!(
        log.warnings().iter().any(|w| w.contains("has not fallen for 3 evaluations")),
        "{:?}",
        log.warnings()
    );
    // Continued, it ends at once: it still has no gain.
    let mut after = Log::default();
    let again = Run::new(resumed(dir.path())).unwrap().drive(&mut after).unwrap();
    assert_eq!((again.steps, after.losses().len()), (summary.steps, 0));
}

#[test]
fn a_run_that_has_diverged_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for validation in [true, false] {
        let mut spec = spec(&dir.path().join(validation.to_string()));
        (spec.steps, spec.clip, spec.eval_every, spec.learning_rate.peak) = (60, 0.0, 20, 30.0);
        (spec.learning_rate.policy, spec.learning_rate.warmup) = (LrPolicy::Constant, 0);
        let mut setup = setup(spec);
        if !validation {
            setup.validation = None;
        }
        let mut log = Log::default();
        match Run::new(setup).unwrap().drive(&mut log) {
            Ok(summary) => {
                let problem = summary.problem.unwrap_or_else(|| panic!("{:?}", log.losses().last()));
                assert!(problem.contains("diverged") && problem.contains("at the start"), "{problem}");
                assert!(log.warnings().iter().any(|w| w.contains("diverged")), "{:?}", log.warnings());
            }
            Err(error) => assert!(matches!(error, TrainError::Diverged { .. }), "{error}"),
        }
    }
    let fine = drive(setup(spec(&dir.path().join("fine"))), Vec::new());
    assert!(fine.warnings().is_empty(), "{:?}", fine.warnings());
}

#[test]
fn checkpoints_stay_at_log_spaced_steps() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    (spec.steps, spec.checkpoint_every, spec.keep_last, spec.keep_spaced) = (64, 0, 1, 4);
    let mut setup = setup(spec);
    setup.validation = None;
    drive(setup, Vec::new());
    assert_eq!(Folders::new(dir.path()).steps(), [1, 4, 16, 64]);
}

/// Gives a command as soon as an evaluation of this step is under way.
struct During {
    log: Log,
    step: usize,
    commands: Vec<RunCommand>,
    under_way: bool,
}

impl Watch for During {
    fn report(&mut self, report: Report) {
        self.under_way |=
            matches!(report, Report::Evaluating { step, done, .. } if step == self.step && done > 0);
        self.log.report(report);
    }
    fn command(&mut self, _: bool) -> Option<RunCommand> {
        (self.under_way && !self.commands.is_empty()).then(|| self.commands.remove(0))
    }
    fn killed(&self) -> bool {
        false
    }
    fn wants_snapshot(&self) -> bool {
        false
    }
    fn snapshot(&mut self, _: usize, _: Model) {}
    fn wants_pictures(&self) -> bool {
        false
    }
}

#[test]
fn an_evaluation_is_paused_and_stopped_on_its_way_and_the_run_still_resumes_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let mut spec = spec(&dir.path().join(name));
        (spec.eval_every, spec.learning_rate.policy, spec.batch_size) = (4, LrPolicy::Plateau, 2);
        spec
    };
    let whole = drive(setup(make("whole")), Vec::new());
    let commands =
        vec![RunCommand::Pause, RunCommand::SaveNow, RunCommand::Resume, RunCommand::Stop, RunCommand::Stop];
    let mut during = During { log: Log::default(), step: 8, commands, under_way: false };
    let summary = Run::new(setup(make("parts"))).unwrap().drive(&mut during).unwrap();
    let states: Vec<RunState> = during
        .log
        .reports
        .iter()
        .filter_map(|r| match r {
            Report::State { state } => Some(*state),
            _ => None,
        })
        .collect();
    assert_eq!(
        states,
        [RunState::Running, RunState::Paused, RunState::Running, RunState::Stopping, RunState::Stopped]
    );
    assert_eq!((summary.steps, summary.saved), (8, Some(8)));
    let measured: Vec<usize> = during.log.evaluations().iter().map(|(step, _)| *step).collect();
    assert_eq!(measured, [0, 4], "stopped twice, it is not measured at all");
    let rest = drive(resumed(&dir.path().join("parts")), Vec::new());
    assert_eq!(rest.evaluations()[0].0, 8, "what was cut short is measured first");
    let mut joined = during.log.losses();
    joined.extend(rest.losses());
    assert_eq!(bits(&joined), bits(&whole.losses()));
}

#[test]
fn time_left_counts_the_evaluations_that_are_still_to_come() {
    let spec = RunSpec { steps: 100, eval_every: 20, ..spec(Path::new("none")) };
    assert_eq!([0, 1, 20, 99, 100].map(|step| spec.evaluations_after(step)), [5, 5, 4, 1, 0]);
    let mut fitted = RunSpec { validation_tokens: Some(0), batch_size: 8, context: 256, ..spec.clone() };
    fitted.fit_validation();
    let tokens = fitted.validation_tokens.unwrap();
    // Six evaluations at 0.4 of a step's arithmetic each, against 100 steps of 2,048 tokens.
    let share = 6.0 * 0.4 * tokens as f64 / (100.0 * 2048.0);
    assert!(share / (1.0 + share) <= 0.1 && share > 0.1, "{tokens} tokens are {share}");
    let mut asked = RunSpec { validation_tokens: Some(123_456), ..fitted.clone() };
    asked.fit_validation();
    assert_eq!(asked.validation_tokens, Some(123_456));
    let mut long = RunSpec { validation_tokens: Some(0), steps: 100_000, eval_every: 10_000, ..fitted };
    long.fit_validation();
    assert_eq!(long.validation_tokens, Some(20_000));
}

#[test]
fn twins_pause_stop_and_do_not_count_a_seed_that_was_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = twins(dir.path(), "none,dyn-rand:hide", 3);
    spec.steps = 1_000_000;
    let session = Session::start(move |_| Ok(setup(spec)), SessionOptions::default()).unwrap();
    wait_for(&session, "step", |r| matches!(r, Report::TwinStep(t) if t.step >= 3));
    session.send(RunCommand::Pause);
    wait_for(&session, "pause", state_is(RunState::Paused));
    session.drain();
    assert!(session.next(Duration::from_millis(30)).is_none(), "paused twins do nothing");
    // A pause may fall into an evaluation, which ends before anything else is answered.
    session.send(RunCommand::SetThreshold(0.5));
    session.send(RunCommand::Resume);
    wait_for(
        &session,
        "refusal",
        |r| matches!(r, Report::Warning { message, .. } if message.contains("follow their plan")),
    );
    wait_for(&session, "step", |r| matches!(r, Report::TwinStep(_)));
    session.send(RunCommand::Stop);
    let Report::Ended(summary) = wait_for(&session, "end", |r| matches!(r, Report::Ended(_))) else {
        unreachable!()
    };
    let result = summary.twins.unwrap();
    assert_eq!((summary.state, result.seeds, result.verdicts.len()), (RunState::Stopped, 0, 0));
    assert!(result.nothing.unwrap().starts_with("no seed was finished"));
    session.join();
    // Stopped in the first pass, arms that part in the second have compared nothing.
    let mut spec = twins(&dir.path().join("early"), "static-1,dyn-rand", 3);
    spec.steps = 1_000;
    let mut log = ScriptedTwins { stop: 3, log: Log::default() };
    let summary = TwinRun::new(setup(spec)).unwrap().drive(&mut log).unwrap();
    let nothing = summary.twins.unwrap().nothing.unwrap();
    assert!(nothing.starts_with("nothing was compared") && nothing.contains("step 3 of 1000"), "{nothing}");
}

/// Stops twins after a step.
struct ScriptedTwins {
    stop: usize,
    log: Log,
}

impl Watch for ScriptedTwins {
    fn report(&mut self, report: Report) {
        if let Report::TwinStep(step) = &report {
            self.log.step = step.step;
        }
        self.log.report(report);
    }
    fn command(&mut self, _: bool) -> Option<RunCommand> {
        (self.log.step == self.stop).then_some(RunCommand::Stop)
    }
    fn killed(&self) -> bool {
        false
    }
    fn wants_snapshot(&self) -> bool {
        false
    }
    fn snapshot(&mut self, _: usize, _: Model) {}
    fn wants_pictures(&self) -> bool {
        false
    }
}

#[test]
fn twins_that_make_no_sense_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut RunSpec)| {
        let mut spec = twins(dir.path(), "none,dyn-pair:drop", 2);
        change(&mut spec);
        TwinRun::new(setup(spec)).err().map(|e| e.to_string())
    };
    let arm = refused(&|_| {}).unwrap();
    assert!(arm.starts_with("arm dyn-pair:drop"), "{arm}");
    let joint = refused(&|s| {
        s.masking.joint =
            Some(JointSpec { kind: Joint::Bandit, lambda: 0.1, temperature: 0.1, learning_rate: 1e-3 });
    });
    assert!(joint.unwrap().contains("learned policy"));
    let mut alone = setup(twins(dir.path(), "none,dyn-rand", 2));
    alone.validation = None;
    assert!(TwinRun::new(alone).err().unwrap().to_string().contains("held-out"));
}

#[test]
fn a_preparation_says_what_it_does_and_gives_up_when_told() {
    let prepare = |p: &maskscope::train::session::Preparing| {
        p.say("train.parquet".to_owned(), 10, Some(100));
        while !p.cancel().load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Err(TrainError::Setup { problem: "cancelled".to_owned(), hint: None })
    };
    let session = Session::start(prepare, SessionOptions::default()).unwrap();
    wait_for(
        &session,
        "loading",
        |r| matches!(r, Report::Loading { what, done: 10, .. } if what == "train.parquet"),
    );
    session.send(RunCommand::Kill);
    wait_for(&session, "end", state_is(RunState::Killed));
    session.join();
}

#[test]
fn a_clock_leaves_the_warm_up_its_steps() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    // A second of steps that take a millisecond: the clock alone would be through with ten warm-up steps at once.
    (spec.steps, spec.time_limit, spec.checkpoint_every) = (20, Some(0.5), 0);
    (spec.learning_rate.warmup, spec.learning_rate.policy) = (8, LrPolicy::Constant);
    let log = drive(setup(spec.clone()), vec![]);
    for report in &log.reports {
        if let Report::Step { report, .. } = report {
            let most = spec.learning_rate.peak * (report.step as f64 / 8.0).min(1.0);
            assert!(report.learning_rate <= most * (1.0 + 1e-12), "{report:?}");
        }
    }
    assert!(log.losses().len() >= 8);
}

#[test]
fn gradient_checkpointing_gives_the_same_bits() {
    for (name, trained) in modes() {
        for masked in [false, true] {
            let run = |again: bool| {
                let dir = tempfile::tempdir().unwrap();
                let mut spec = spec(dir.path());
                (spec.trained, spec.gradient_checkpointing, spec.steps) = (trained.clone(), again, 4);
                spec.dropout = 0.1;
                if masked {
                    (spec.masking.arm, spec.fixed_cuts) = (Arm::DynAttnHigh, true);
                    (spec.masking.op, spec.masking.rate) = (Op::Skip, 0.3);
                }
                let log = drive(setup(spec), Vec::new());
                (bits(&log.losses()), weights(dir.path()))
            };
            assert_eq!(run(true), run(false), "{name}, masked: {masked}");
        }
    }
}

#[test]
fn lora_dropout_changes_training_and_no_evaluation() {
    let losses = |dropout: f64| {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = spec(dir.path());
        (spec.steps, spec.eval_every) = (6, 3);
        spec.trained = Trained::Lora(LoraSpec { dropout, ..lora_spec(&["all"]) });
        let log = drive(setup(spec), Vec::new());
        let adapter = Folders::new(dir.path()).path(6).join("adapter/adapter_config.json");
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(adapter).unwrap()).unwrap();
        assert_eq!(json["lora_dropout"].as_f64(), Some(dropout));
        (bits(&log.losses()), log.evaluations())
    };
    let ((plain, before), (dropped, after)) = (losses(0.0), losses(0.5));
    assert_eq!(before[0], after[0], "nothing is dropped where nothing is trained");
    assert_eq!(plain[0], dropped[0], "B is zero at first");
    assert_ne!(plain[2..], dropped[2..]);
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    spec.trained = Trained::Lora(LoraSpec { dropout: 0.1, ..lora_spec(&["lm_head"]) });
    let refused = Run::new(setup(spec)).err().unwrap();
    assert!(refused.to_string().contains("does not reach an adapter on the output matrix"), "{refused}");
}

#[test]
fn rows_of_their_own_are_padded_to_the_longest_of_their_batch_and_change_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    // 24 documents of 41 tokens: rows of 24 and 16, or of 13, 13, 13 and 1.
    for (context, rows, mean) in [(24, 48, 20), (13, 96, 10)] {
        for op in [Op::Replace, Op::Hide, Op::Drop, Op::Skip] {
            let mut spec = spec(&dir.path().join(format!("{op}-{context}")));
            (spec.packing, spec.group_by_length, spec.context) = (RowPacking::OnePerRow, true, context);
            (spec.masking.arm, spec.masking.op, spec.fixed_cuts) = (Arm::DynAttnHigh, op, true);
            (spec.masking.rate, spec.steps) = (0.3, 30);
            let mut run = Run::new(setup(spec)).unwrap();
            let plan = run.plan().unwrap();
            assert_eq!((plan.tokens_per_step, plan.epochs), (3 * mean, 90.0 / f64::from(rows)));
            let mut log = Log::default();
            let summary = run.drive(&mut log).unwrap();
            assert!(summary.train_loss.is_finite() && summary.tokens < 90 * context as u64, "{op}");
            let rates: Vec<f64> = log
                .reports
                .iter()
                .filter_map(|r| match r {
                    Report::Step { report, .. } if report.realised_rate > 0.0 => Some(report.realised_rate),
                    _ => None,
                })
                .collect();
            let average = rates.iter().sum::<f64>() / rates.len() as f64;
            assert!(
                (average - 0.3).abs() < 0.07,
                "{op}: padding is not masked, so the rate stays: {average}"
            );
        }
    }
}

#[test]
fn a_resumed_run_keeps_the_steps_it_was_given_and_says_what_its_rate_does() {
    let dir = tempfile::tempdir().unwrap();
    let first = RunSpec { steps: 10, ..spec(dir.path()) };
    drive(setup(first.clone()), Vec::new());
    let mut longer = resumed(dir.path());
    longer.spec.steps = 16;
    if let Some(resumed) = &mut longer.resumed {
        resumed.spec.steps = 16;
    }
    let log = drive(longer, vec![(12, RunCommand::Stop)]);
    assert_eq!(log.step, 12);
    let rates: Vec<f64> = log
        .reports
        .iter()
        .filter_map(|r| match r {
            Report::Step { report, .. } => Some(report.learning_rate),
            _ => None,
        })
        .collect();
    let planned = first.learning_rate.over(16);
    assert_eq!(rates, [10.0, 11.0].map(|done| planned.at_progress(done)), "as if planned for 16 steps");
    assert_eq!(resumed(dir.path()).spec.steps, 16, "the folder knows");
    assert_eq!(drive(resumed(dir.path()), Vec::new()).step, 16);
}

#[test]
fn a_rate_by_hand_says_that_its_schedule_waits() {
    let dir = tempfile::tempdir().unwrap();
    let hand = vec![(4, RunCommand::SetLearningRate(Some(3e-3))), (18, RunCommand::SetLearningRate(None))];
    let log = drive(setup(spec(dir.path())), hand);
    let said: Vec<String> = log.warnings().into_iter().filter(|w| w.contains("by hand")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(
            "the learning rate was set by hand and stays at 3.00e-3; the cosine schedule would now use"
        ),
        "{}",
        said[0]
    );
}
