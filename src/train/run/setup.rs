//! What a run is built from, and the checks of model, data and settings before it begins. Pure but for the hash over
//! the data.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use sha2::{Digest, Sha256};

use crate::attention::calibration::Calibration;
use crate::model::input::check_rows;
use crate::model::{Config, Tokenizer};
use crate::train::TrainError;
use crate::train::checkpoint::disk::{Disk, RealDisk};
use crate::train::checkpoint::files::pretty;
use crate::train::checkpoint::state::Resumed;
use crate::train::data::Corpus;
use crate::train::spec::RunSpec;

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
        }
    }
}

/// The spec as `run.json` gives it back: what a resumed run will read, to the last bit.
pub(super) fn as_written(spec: &RunSpec) -> Result<RunSpec, TrainError> {
    serde_json::from_str(&pretty(spec)?)
        .map_err(|e| TrainError::setup(format!("the settings of the run cannot be written down: {e}")))
}

pub(super) fn check_data(
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
                "a context of {} does not fit: this model takes 1 to {limit} tokens",
                spec.context
            ),
            hint: Some(format!("ask for a context of {limit} or less")),
        });
    }
    for (what, corpus) in [("training", Some(train)), ("validation", validation)] {
        let Some(corpus) = corpus else { continue };
        if corpus.sequences(spec.context, 0) == 0 {
            return Err(TrainError::Setup {
                problem: format!(
                    "the {what} text has {} tokens, too few for one context of {}",
                    corpus.tokens.len(),
                    spec.context
                ),
                hint: Some("use more text or a shorter context".to_owned()),
            });
        }
        check_rows(&corpus.tokens, config.vocab_size, tokenizer).map_err(|error| TrainError::Setup {
            problem: format!("the {what} text cannot be trained on: {error}"),
            hint: error.hint(),
        })?;
    }
    Ok(())
}

/// SHA-256 over the tokens, in hexadecimal.
pub(super) fn fingerprint(corpus: &Corpus) -> String {
    let mut hash = Sha256::new();
    hash.update(bytemuck::cast_slice::<u32, u8>(&corpus.tokens));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
