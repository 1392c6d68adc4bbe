//! The finished seeds of an experiment on disk: what further seeds are added to.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::support::units::hex;
use crate::tensor::host;
use crate::train::TrainError;
use crate::train::checkpoint::disk::{self, Disk};
use crate::train::checkpoint::files::pretty;
use crate::train::exact;
use crate::train::report::Compared;
use crate::train::run::Setup;

/// Name of the record in a run's folder.
const RECORD: &str = "twins.json";

/// What one seed came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// Nats per token on the held-out documents, by arm.
    #[serde(with = "exact::list")]
    pub losses: Vec<f64>,
    /// By pair of arms.
    pub compared: Vec<Compared>,
}

/// `twins.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TwinRecord {
    pub arms: Vec<String>,
    /// Fingerprint of the weights, the training text and the held-out text.
    pub from: String,
    pub seeds: Vec<SeedResult>,
}

impl TwinRecord {
    /// The record of the experiment in `run`; an empty one where no seed was finished.
    ///
    /// # Errors
    /// A record that is damaged.
    pub fn read(run: &Path) -> Result<Self, TrainError> {
        let path = run.join(RECORD);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(TwinRecord::default()),
            Err(e) => return Err(TrainError::io(&path)(e)),
        };
        serde_json::from_slice(&bytes)
            .map_err(|e| TrainError::setup(format!("{} is damaged: {e}", path.display())))
    }

    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, disk: &dyn Disk, run: &Path) -> Result<(), TrainError> {
        let path = run.join(RECORD);
        disk::replace(disk, &path, pretty(self)?.as_bytes()).map_err(TrainError::io(&path))
    }

    /// Whether further seeds of `arms` from `from` belong to this experiment.
    ///
    /// # Errors
    /// Another experiment, with what differs.
    pub fn check(&self, arms: &[String], from: &str) -> Result<(), TrainError> {
        if self.seeds.is_empty() || (self.arms == arms && self.from == from) {
            return Ok(());
        }
        Err(TrainError::Setup {
            problem: "the model or the data differ from those of the finished seeds".to_owned(),
            hint: Some("give the same model and files, or start the comparison in another folder".to_owned()),
        })
    }
}

/// SHA-256 over the weights by name, the training tokens and the held-out tokens, and which of them count, in hexadecimal.
///
/// # Errors
/// Weights that cannot be read.
pub fn fingerprint(setup: &Setup) -> Result<String, TrainError> {
    let mut hash = Sha256::new();
    let mut names: Vec<&String> = setup.tensors.keys().collect();
    names.sort();
    for name in names {
        hash.update(name.as_bytes());
        host::with_slice(&setup.tensors[name], |values| {
            hash.update(bytemuck::cast_slice::<f32, u8>(values));
        })?;
    }
    for corpus in [Some(&setup.train), setup.validation.as_ref()].into_iter().flatten() {
        hash.update((corpus.tokens.len() as u64).to_le_bytes());
        hash.update(bytemuck::cast_slice::<u32, u8>(&corpus.tokens));
        hash.update(corpus.counted.iter().flatten().map(|counts| u8::from(*counts)).collect::<Vec<u8>>());
    }
    Ok(hex(&hash.finalize()))
}
