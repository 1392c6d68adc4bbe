//! A run of a very small model on made-up tokens, without files and tokenizers: starts in milliseconds.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use maskscope::model::Config;
use maskscope::model::Model;
use maskscope::tensor::adamw::AdamWSettings;
use maskscope::train::checkpoint::SavedDtype;
use maskscope::train::checkpoint::state;
use maskscope::train::data::{Corpus, RowPacking};
use maskscope::train::init;
use maskscope::train::report::{Report, RunCommand};
use maskscope::train::run::{Learner, Run, Setup, Watch};
use maskscope::train::schedule::{LrPolicy, LrProgress, LrSpec};
use maskscope::train::spec::{DataSpec, LoraSpec, LoraTargets, MaskingSpec, OnDiskFull, RunSpec, Trained};

pub const VOCAB: usize = 48;
pub const CONTEXT: usize = 24;

pub fn config() -> Config {
    let json = format!(
        r#"{{"vocab_size": {VOCAB}, "n_positions": {CONTEXT}, "n_embd": 16, "n_layer": 3, "n_head": 2,
            "initializer_range": 0.2}}"#
    );
    Config::parse(json.as_bytes(), "config.json").unwrap()
}

/// Text that can be learned: each document counts on in steps of its own.
pub fn corpus(documents: u64, from: u64) -> Arc<Corpus> {
    let (mut tokens, mut starts) = (Vec::new(), Vec::new());
    for d in from..from + documents {
        starts.push(tokens.len() as u64);
        tokens.extend((0..40).map(|i| ((d * 7 + i * (1 + d % 5)) % (VOCAB as u64 - 1)) as u32));
        tokens.push(VOCAB as u32 - 1);
    }
    let bytes = tokens.len() * 4;
    Arc::new(Corpus::from_tokens(tokens, starts, bytes, Some(VOCAB as u32 - 1)))
}

pub fn data() -> (Arc<Corpus>, Option<Arc<Corpus>>) {
    (corpus(24, 0), Some(corpus(6, 100)))
}

pub fn spec(out: &Path) -> RunSpec {
    RunSpec {
        model: "tiny".to_owned(),
        init: None,
        data: DataSpec::default(),
        trained: Trained::All,
        masking: MaskingSpec::default(),
        steps: 20,
        epochs: 0.0,
        time_limit: None,
        batch_size: 3,
        accumulate: 1,
        context: CONTEXT,
        packing: RowPacking::Packed,
        group_by_length: false,
        fixed_cuts: false,
        marked: 0.0,
        synthetic: None,
        learning_rate: LrSpec {
            policy: LrPolicy::Cosine,
            peak: 3e-3,
            min_ratio: 0.1,
            warmup: 3,
            cycles: 1,
            progress: LrProgress::Steps,
            patience: 2,
            factor: 0.5,
            gap: None,
        },
        adamw: AdamWSettings { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 },
        precision: Default::default(),
        gradient_checkpointing: false,
        clip: 1.0,
        dropout: 0.0,
        seed: 5,
        eval_every: 0,
        checkpoint_every: 5,
        heads_every: 0,
        sample_every: 0,
        sample_prompt: String::new(),
        validation_tokens: None,
        stop_after: 0,
        keep_spaced: 0,
        keep_last: 3,
        on_disk_full: OnDiskFull::Stop,
        out: out.to_owned(),
        dtype: SavedDtype::F32,
        twins: None,
    }
}

pub fn setup(spec: RunSpec) -> Setup {
    let config = config();
    let tensors = init::weights(&config, 9, &Device::Cpu).unwrap();
    Setup::new(spec, (config, tensors), None, data())
}

pub fn resumed(out: &Path) -> Setup {
    Setup::resume(state::resume(out, &Device::Cpu).unwrap(), data(), Device::Cpu)
}

pub fn lora(targets: &[&str]) -> Trained {
    Trained::Lora(lora_spec(targets))
}

pub fn lora_spec(targets: &[&str]) -> LoraSpec {
    LoraSpec { rank: 2, alpha: 6.0, dropout: 0.0, targets: LoraTargets::modules(targets) }
}

/// Everything a run says, and commands at given steps.
#[derive(Default)]
pub struct Log {
    pub reports: Vec<Report>,
    /// `(after this step, command)`, in order.
    pub script: Vec<(usize, RunCommand)>,
    pub step: usize,
}

impl Log {
    pub fn scripted(script: Vec<(usize, RunCommand)>) -> Self {
        Log { script, ..Log::default() }
    }

    /// Losses by step.
    pub fn losses(&self) -> Vec<(usize, f64)> {
        let step = |r: &Report| match r {
            Report::Step { report, .. } => Some((report.step, report.loss)),
            _ => None,
        };
        self.reports.iter().filter_map(step).collect()
    }

    /// Validation losses by step.
    pub fn evaluations(&self) -> Vec<(usize, f64)> {
        let evaluation = |r: &Report| match r {
            Report::Evaluated { step, loss, .. } => Some((*step, *loss)),
            _ => None,
        };
        self.reports.iter().filter_map(evaluation).collect()
    }

    pub fn warnings(&self) -> Vec<String> {
        let warning = |r: &Report| match r {
            Report::Warning { message, .. } => Some(message.clone()),
            _ => None,
        };
        self.reports.iter().filter_map(warning).collect()
    }
}

impl Watch for Log {
    fn report(&mut self, report: Report) {
        if let Report::Step { report, .. } = &report {
            self.step = report.step;
        }
        self.reports.push(report);
    }
    fn command(&mut self, _wait: bool) -> Option<RunCommand> {
        let due = self.script.first().is_some_and(|(after, _)| *after <= self.step);
        due.then(|| self.script.remove(0).1)
    }
    fn killed(&self) -> bool {
        false
    }
    fn wants_snapshot(&self) -> bool {
        false
    }
    fn snapshot(&mut self, _step: usize, _model: Model) {}
    fn wants_pictures(&self) -> bool {
        false
    }
}

/// Drives a setup to its end.
pub fn drive(setup: Setup, script: Vec<(usize, RunCommand)>) -> Log {
    let mut log = Log::scripted(script);
    Run::new(setup).unwrap().drive(&mut log).unwrap();
    log
}
