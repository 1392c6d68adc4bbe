//! What a run is built from, the checks of model, data and settings before it begins, and how it is built: fresh, or put
//! back where it was.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use sha2::{Digest, Sha256};

use super::Run;
use super::measure::Warned;
use super::pace::Pace;
use crate::attention::calibration::Calibration;
use crate::model::input::check_rows;
use crate::model::{Config, Model, Tokenizer};
use crate::support::units::hex;
use crate::tensor::adamw::AdamW;
use crate::train::TrainError;
use crate::train::arm::{self, Arms, Lexicon};
use crate::train::checkpoint::disk::{Disk, RealDisk};
use crate::train::checkpoint::files::pretty;
use crate::train::checkpoint::state::{Counters, Resumed};
use crate::train::data::synthetic::Synthetic;
use crate::train::data::{Corpus, CutRows, Order};
use crate::train::look::RunLook;
use crate::train::policy::JointPolicy;
use crate::train::records::MachineGauge;
use crate::train::report::RunState;
use crate::train::spec::{Joint, RanksBy, RunSpec};
use crate::train::trainee::Trainee;
use crate::train::twins::record::TwinRecord;
use crate::train::visits::{DataPosition, Visits};

/// Everything a run is built from.
pub struct Setup {
    pub spec: RunSpec,
    pub config: Config,
    /// Checkpoint tensors by bare name.
    pub tensors: HashMap<String, Tensor>,
    pub tokenizer: Option<Tokenizer>,
    pub train: Arc<Corpus>,
    pub validation: Option<Arc<Corpus>>,
    pub device: Device,
    pub disk: Arc<dyn Disk>,
    /// A `[MASK]` row that the model already has.
    pub mask_row: Option<Vec<f32>>,
    /// For scores over the distance null.
    pub calibration: Option<Arc<Calibration>>,
    /// What a person should know of the data, said with the plan.
    pub notes: Vec<String>,
    pub resumed: Option<Resumed>,
    /// Seeds of twins that were finished before.
    pub finished_seeds: Option<TwinRecord>,
}

impl Setup {
    /// A fresh run on the real disk.
    pub fn new(
        spec: RunSpec,
        (config, tensors): (Config, HashMap<String, Tensor>),
        tokenizer: Option<Tokenizer>,
        (train, validation): (Arc<Corpus>, Option<Arc<Corpus>>),
    ) -> Self {
        Setup {
            spec,
            config,
            tensors,
            tokenizer,
            train,
            validation,
            device: Device::Cpu,
            disk: Arc::new(RealDisk),
            mask_row: None,
            calibration: None,
            notes: Vec::new(),
            resumed: None,
            finished_seeds: None,
        }
    }

    /// The same model and data under another spec; memory is shared.
    pub fn again(&self, spec: RunSpec) -> Self {
        Setup {
            spec,
            config: self.config.clone(),
            tensors: self.tensors.clone(),
            tokenizer: self.tokenizer.clone(),
            train: self.train.clone(),
            validation: self.validation.clone(),
            device: self.device.clone(),
            disk: self.disk.clone(),
            mask_row: self.mask_row.clone(),
            calibration: self.calibration.clone(),
            notes: self.notes.clone(),
            resumed: None,
            finished_seeds: None,
        }
    }

    /// The continuation of a run that was read back.
    pub fn resume(
        mut resumed: Resumed,
        (train, validation): (Arc<Corpus>, Option<Arc<Corpus>>),
        device: Device,
    ) -> Self {
        Setup {
            spec: resumed.spec.clone(),
            config: resumed.config.clone(),
            tensors: std::mem::take(&mut resumed.tensors),
            tokenizer: resumed.tokenizer.clone(),
            train,
            validation,
            device,
            disk: Arc::new(RealDisk),
            mask_row: None,
            calibration: None,
            notes: Vec::new(),
            resumed: Some(resumed),
            finished_seeds: None,
        }
    }
}

impl Run {
    /// Checks that model, data and settings fit, and puts a resumed run back where it was. Writes nothing yet.
    ///
    /// # Errors
    /// A setting that does not fit this model or data; other data than the run began with.
    pub fn new(setup: Setup) -> Result<Self, TrainError> {
        setup.spec.check()?;
        let spec = as_written(&setup.spec)?;
        let (validation, tokenizer) = (setup.validation.as_deref(), setup.tokenizer.as_ref());
        check_data(&spec, &setup.config, &setup.train, validation, tokenizer)?;
        let (trainee, arms) = learners(&spec, &setup)?;
        let joint = match &spec.masking.joint {
            Some(policy) => Some(JointPolicy::new(policy, &arms, &trainee.model, spec.seed)?),
            None => None,
        };
        let order = order(&spec, setup.config.vocab_size)?;
        let mut run = Run {
            optimizer: AdamW::new(trainee.vars.clone(), spec.adamw)?,
            policy: arms.settings().clone(),
            visits: Visits::new(&setup.train, order, DataPosition::default()),
            look: RunLook::new(&setup.train, order),
            fingerprint: fingerprint(&setup.train),
            spec,
            trainee,
            arms,
            joint,
            counters: Counters::default(),
            alarmed: false,
            train: setup.train,
            validation: setup.validation,
            tokenizer: setup.tokenizer,
            disk: setup.disk,
            state: RunState::Preparing,
            saved: None,
            evaluated: None,
            measured: None,
            average: f64::NAN,
            warned: Warned::default(),
            later: VecDeque::new(),
            marks: None,
            masked_loss: None,
            without_gradient: HashMap::new(),
            pace: Pace::default(),
            memory: MachineGauge::default(),
            circuit: None,
            notes: setup.notes,
        };
        if let Some(resumed) = setup.resumed {
            run.restore(resumed, order)?;
        }
        Ok(run)
    }

    /// Puts counters, moments, policies and changes made by hand back in force.
    fn restore(&mut self, resumed: Resumed, order: Order) -> Result<(), TrainError> {
        if resumed.data != self.fingerprint {
            return Err(TrainError::Setup {
                problem: "the training data differs from what this run started with".to_owned(),
                hint: Some("put the same files back, or start a new run from its checkpoint".to_owned()),
            });
        }
        resumed.restore(&mut self.optimizer)?;
        self.arms.restore(resumed.memory);
        if let (Some(joint), Some(state)) = (&mut self.joint, resumed.policy) {
            joint.restore(state)?;
            if let JointPolicy::Bandit(bandit) = joint {
                let cell = bandit.cell();
                self.arms.set_cell(cell.rate, cell.polarity, cell.op)?;
            }
        }
        self.saved = Some((resumed.counters.step, resumed.folder));
        self.counters = resumed.counters;
        self.average = self.counters.train_loss;
        self.visits = Visits::new(&self.train, order, self.counters.position);
        self.policy = self.arms.settings().clone();
        for change in self.counters.changes.clone() {
            self.apply(change)?;
        }
        if self.counters.learning_rate.mask_scale != 1.0 {
            self.control_rate()?;
        }
        Ok(())
    }
}

/// The order of visits that a spec asks for.
fn order(spec: &RunSpec, vocabulary: usize) -> Result<Order, TrainError> {
    let synthetic = spec.synthetic.map(|synthetic| Synthetic::new(synthetic, spec.seed, vocabulary));
    Ok(Order {
        seed: spec.seed,
        cut: spec.cut(),
        fixed_cuts: spec.fixed_cuts,
        marked: spec.marked,
        alike: if spec.group_by_length { spec.batch_size } else { 0 },
        synthetic: synthetic.transpose()?,
    })
}

/// What learns: the model with what moves of it, and the arm that masks it.
fn learners(spec: &RunSpec, setup: &Setup) -> Result<(Trainee, Arms), TrainError> {
    let (config, device) = (&setup.config, &setup.device);
    let mut trainee = Trainee::with(config, &setup.tensors, device, (&spec.trained, spec.seed))?;
    trainee.set_precision(spec.precision)?;
    let soft = spec.masking.joint.as_ref().is_some_and(|joint| joint.kind == Joint::SoftThresholds);
    if spec.gradient_checkpointing && soft {
        return Err(TrainError::Setup {
            problem: "gradient checkpointing is not possible: soft thresholds keep whole attention maps"
                .to_owned(),
            hint: Some("leave it out, and use a smaller batch with --accumulate".to_owned()),
        });
    }
    let row = match spec.masking.needs_mask_row() {
        true => Some(trainee.add_mask_row(setup.mask_row.clone())?),
        false => None,
    };
    let train = &setup.train;
    let lexicon = Arc::new(match &setup.tokenizer {
        Some(tokenizer) => Lexicon::new(tokenizer, config.vocab_size, &train.tokens),
        None => Lexicon::from_bytes(config.vocab_size, train.eot, &train.tokens, |id| {
            format!(" #{id}").into_bytes()
        }),
    });
    let initial = match &setup.resumed {
        Some(r) if !r.initial.is_empty() && spec.masking.arm.ranks_by() == RanksBy::FirstModel => {
            Model::from_tensors(config, &r.initial, device)?
        }
        _ => trainee.model.clone(),
    };
    let arms = Arms::new(arm::ArmSetup {
        spec: &spec.masking,
        model: &initial,
        context: spec.context,
        lexicon,
        seed: spec.seed,
        calibration: setup.calibration.clone(),
        mask_row: row,
    })?;
    Ok((trainee, arms))
}

/// The spec as `run.json` gives it back: what a resumed run will read, to the last bit.
fn as_written(spec: &RunSpec) -> Result<RunSpec, TrainError> {
    serde_json::from_str(&pretty(spec)?)
        .map_err(|e| TrainError::setup(format!("the settings of the run cannot be saved: {e}")))
}

fn check_data(
    spec: &RunSpec,
    config: &Config,
    train: &Corpus,
    validation: Option<&Corpus>,
    tokenizer: Option<&Tokenizer>,
) -> Result<(), TrainError> {
    let limit = config.n_positions;
    if spec.context == 0 || spec.context > limit {
        return Err(TrainError::Setup {
            problem: format!(
                "a context of {} is not possible: this model takes 1 to {limit} tokens",
                spec.context
            ),
            hint: Some(format!("set a context of {limit} or less")),
        });
    }
    for (what, corpus) in [("training", Some(train)), ("validation", validation)] {
        let Some(corpus) = corpus else { continue };
        if CutRows::new(corpus, spec.cut(), 0).is_empty() {
            if corpus.counted.is_some() {
                return Err(TrainError::Setup {
                    problem: format!(
                        "no row of {} tokens of the {what} text has a label: its answers are too few or too far behind",
                        spec.context
                    ),
                    hint: Some("use a larger context (--context), more rows, or --loss-on all".to_owned()),
                });
            }
            return Err(TrainError::Setup {
                problem: format!(
                    "the {what} text has {} tokens, too few for one context of {}",
                    corpus.tokens.len(),
                    spec.context
                ),
                hint: Some("use more text, or a smaller context (--context)".to_owned()),
            });
        }
        check_rows(&corpus.tokens, config.vocab_size, tokenizer).map_err(|error| TrainError::Setup {
            problem: format!("the {what} text cannot be trained on: {error}"),
            hint: error.hint(),
        })?;
    }
    Ok(())
}

/// SHA-256 over the tokens, and over which of them count where not all do, in hexadecimal.
fn fingerprint(corpus: &Corpus) -> String {
    let mut hash = Sha256::new();
    hash.update(bytemuck::cast_slice::<u32, u8>(&corpus.tokens));
    if let Some(counted) = &corpus.counted {
        hash.update(counted.iter().map(|counts| u8::from(*counts)).collect::<Vec<u8>>());
    }
    hex(&hash.finalize())
}
