//! What a resume needs beyond the model's files: counters and the state of policies (`trainer.json`), moments and
//! values that the model's files do not hold exactly (`trainer.safetensors`), and once per run the frozen tensors that
//! they do not hold either (`base.safetensors`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::SavedDtype;
use super::disk::{Disk, write};
use super::files::{Data, pretty, write_tensors};
use super::folder::Folders;
use super::renamed;
use crate::model::family::Parameter;
use crate::model::weights::to_f32;
use crate::model::{Checkpoint, Config, ModelFiles, Tokenizer};
use crate::support::files::{Aside, plain, read_at_most, reason, whole};
use crate::tensor::adamw::{AdamW, Moments};
use crate::train::TrainError;
use crate::train::arm::ScoreMemory;
use crate::train::bounds;
use crate::train::circuit::HeadClock;
use crate::train::report::LiveChange;
use crate::train::schedule::LrState;
use crate::train::spec::{RanksBy, RunSpec};
use crate::train::trainee::Trainee;
use crate::train::{exact, visits::DataPosition};

/// Scores that arms remember, in a checkpoint folder.
const SCORES: &str = "scores.bin";
/// More than any run.json or trainer.json takes, in bytes.
pub const LARGEST_JSON: u64 = 64 << 20;

/// Counters of a run; with the weights and moments, all that a bit-exact continuation depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Optimizer steps done.
    pub step: usize,
    pub updates: u64,
    pub tokens: u64,
    #[serde(with = "exact")]
    pub visible_tokens: f64,
    /// Of computing from the first step on, pauses left out.
    #[serde(with = "exact")]
    pub seconds: f64,
    pub position: DataPosition,
    pub learning_rate: LrState,
    pub changes: Vec<LiveChange>,
    /// The checkpoint with the lowest validation loss.
    pub best: Option<Best>,
    /// Nats per token on the validation documents, before the first step and when they were last evaluated.
    #[serde(default, with = "exact::option")]
    pub start_validation_loss: Option<f64>,
    #[serde(with = "exact::option")]
    pub validation_loss: Option<f64>,
    #[serde(with = "exact")]
    pub train_loss: f64,
    /// Of the first step.
    #[serde(default, with = "exact::option")]
    pub first_loss: Option<f64>,
    /// The scheduled evaluation with the lowest loss, and how many have followed it.
    #[serde(default)]
    pub lowest: Option<Best>,
    #[serde(default)]
    pub without_gain: usize,
    /// The last step whose scheduled evaluation was taken in.
    #[serde(default)]
    pub steered: Option<usize>,
    /// When each head's scores passed, where heads are looked at.
    #[serde(default)]
    pub passed: Vec<HeadClock>,
}

/// A step, often of a checkpoint, and its validation loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    pub step: usize,
    /// Nats per token.
    #[serde(with = "exact")]
    pub loss: f64,
}

/// `trainer.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct TrainerJson {
    counters: Counters,
    /// Of the model in training; a merged checkpoint may differ.
    config: Config,
    /// Fingerprint of the training tokens: other data would not continue the same run.
    data: String,
    /// Of a policy that is learned with the model; its numbers as text.
    #[serde(default)]
    policy: Option<serde_json::Value>,
}

/// A run read back from its folder.
pub struct Resumed {
    pub spec: RunSpec,
    pub config: Config,
    /// Checkpoint tensors, without adapters.
    pub tensors: HashMap<String, Tensor>,
    pub tokenizer: Option<Tokenizer>,
    pub counters: Counters,
    pub data: String,
    pub folder: PathBuf,
    /// The model as the run found it, where the run kept it.
    pub initial: HashMap<String, Tensor>,
    /// Scores of the last visits.
    pub memory: ScoreMemory,
    /// What a learned policy knows.
    pub policy: Option<serde_json::Value>,
    /// Values of variables that are no checkpoint tensors, and moments, by name.
    extra: HashMap<String, Vec<f32>>,
    /// What was wrong with newer checkpoints that were passed over.
    pub passed_over: Vec<String>,
    /// Old names in the run's files, each with the new one.
    pub renamed: Vec<String>,
}

/// Whether the model's files hold tensor `name` as it is in memory.
fn exact_in_model(name: &str, spec: &RunSpec, trainee: &Trainee) -> bool {
    let merged = trainee.sites().iter().any(|site| name.strip_suffix(".weight") == Some(&site.module));
    spec.dtype == SavedDtype::F32 && !merged
}

/// Writes the trainer's own files into a checkpoint folder.
pub fn write_state(
    disk: &dyn Disk,
    folder: &Path,
    (spec, trainee, optimizer): (&RunSpec, &Trainee, &AdamW),
    (counters, data, memory): (&Counters, &str, &ScoreMemory),
    policy: Option<serde_json::Value>,
) -> Result<(), TrainError> {
    let scores = memory.to_bytes();
    if !scores.is_empty() {
        let path = folder.join(SCORES);
        write(disk, &path, &scores).map_err(TrainError::io(&path))?;
    }
    let json = TrainerJson {
        counters: counters.clone(),
        config: trainee.model.config.clone(),
        data: data.to_owned(),
        policy: policy.map(exact::pack),
    };
    let path = folder.join("trainer.json");
    write(disk, &path, pretty(&json)?.as_bytes()).map_err(TrainError::io(&path))?;
    let mut tensors: Vec<(String, Data)> = Vec::new();
    for slot in &optimizer.slots {
        let (first, second) = match &slot.moments {
            Moments::Host(first, second) => (Data::Values(first), Data::Values(second)),
            Moments::Device(first, second) => (Data::Tensor(first), Data::Tensor(second)),
        };
        tensors.push((format!("first.{}", slot.name), first));
        tensors.push((format!("second.{}", slot.name), second));
        let in_model = trainee.tensors().contains_key(&slot.name);
        if !in_model || !exact_in_model(&slot.name, spec, trainee) {
            tensors.push((format!("value.{}", slot.name), Data::Tensor(slot.var.as_tensor())));
        }
    }
    write_tensors(disk, &folder.join("trainer.safetensors"), &tensors, SavedDtype::F32)
}

/// Writes, once per run, the frozen tensors that no checkpoint holds exactly, and the initial model where masks are
/// decided by its attention.
pub fn write_base(disk: &dyn Disk, spec: &RunSpec, trainee: &Trainee) -> Result<(), TrainError> {
    let initial = spec.masking.arm.ranks_by() == RanksBy::FirstModel;
    let kept = |name: &str| trainee.var(name).is_none() && !exact_in_model(name, spec, trainee);
    let mut names: Vec<&String> = trainee.tensors().keys().filter(|n| initial || kept(n)).collect();
    if names.is_empty() {
        return Ok(());
    }
    names.sort();
    let tensors: Vec<(String, Data)> =
        names.into_iter().map(|n| (n.clone(), Data::Tensor(&trainee.tensors()[n]))).collect();
    let path = spec.out.join("base.safetensors");
    let aside = Aside::of(&path).map_err(TrainError::io(&path))?;
    write_tensors(disk, aside.path(), &tensors, SavedDtype::F32)?;
    aside.put().map_err(TrainError::io(&path))
}

/// The settings of the run in a folder, and the old names in them, each with the new one.
///
/// # Errors
/// A folder without a run, or with one that cannot be read.
pub fn run_spec(run: &Path) -> Result<(RunSpec, Vec<String>), TrainError> {
    let path = run.join("run.json");
    let text = read_at_most(&path, LARGEST_JSON).map_err(|e| TrainError::Setup {
        problem: match e.kind() {
            std::io::ErrorKind::NotFound => format!("{} is not a run folder", run.display()),
            _ => format!("{} cannot be resumed: run.json cannot be read ({})", run.display(), reason(&e)),
        },
        hint: Some("pass the folder you gave to --out".to_owned()),
    })?;
    let (mut spec, renamed): (RunSpec, _) = renamed::read(&text)
        .map_err(|e| TrainError::setup(format!("{} cannot be read: {e}", path.display())))?;
    bounds::check(&spec, &path.display().to_string())?;
    // The folder may have been moved since.
    spec.out = run.to_owned();
    Ok((spec, renamed))
}

/// Reads the newest checkpoint of a run that loads; damaged ones are passed over and named.
///
/// # Errors
/// No run in the folder, or none of its checkpoints loads.
pub fn resume(run: &Path, device: &Device) -> Result<Resumed, TrainError> {
    let (spec, mut renamed) = run_spec(run)?;
    let folders = Folders::new(run);
    folders.clean().map_err(TrainError::io(run))?;
    let mut passed_over = Vec::new();
    for step in folders.steps().into_iter().rev() {
        match read(&spec, &folders.path(step), device) {
            Ok(mut resumed) => {
                renamed.append(&mut resumed.renamed);
                return Ok(Resumed { passed_over, renamed, ..resumed });
            }
            Err(error) => passed_over.push(error.to_string()),
        }
    }
    let why = passed_over.first().cloned().unwrap_or_else(|| "no checkpoint was ever saved".to_owned());
    Err(TrainError::setup(format!("{} has no checkpoint to resume from: {why}", run.display())))
}

fn read(spec: &RunSpec, folder: &Path, device: &Device) -> Result<Resumed, TrainError> {
    let path = folder.join("trainer.json");
    let text = read_at_most(&path, LARGEST_JSON).map_err(TrainError::unreadable(&path))?;
    let (json, renamed): (TrainerJson, _) = renamed::read(&text)
        .map_err(|e| TrainError::setup(format!("{} cannot be read: {e}", path.display())))?;
    let file = path.display().to_string();
    json.config.check(&file)?;
    bounds::check_count("step", json.counters.step as u64, &file)?;
    bounds::check_count("updates", json.counters.updates, &file)?;
    let checkpoint = Checkpoint::load(&ModelFiles::Folder(folder.to_owned()), device)?;
    let mut tensors = checkpoint.model.tensors()?;
    let extra = read_tensors(&folder.join("trainer.safetensors"))?;
    let base = spec.out.join("base.safetensors");
    let base = if base.is_file() { read_tensors(&base)? } else { HashMap::new() };
    let mut initial = HashMap::new();
    for Parameter { name, shape, .. } in json.config.named_parameters() {
        let first = base.get(&name).map(|v| Tensor::from_slice(v, shape.clone(), device)).transpose()?;
        if let Some(first) = &first {
            initial.insert(name.clone(), first.clone());
        }
        // A variable has moments; what has none is as it was at the start.
        let frozen = !extra.contains_key(&format!("first.{name}"));
        if let Some(values) = extra.get(&format!("value.{name}")) {
            tensors.insert(name, Tensor::from_slice(values, shape, device)?);
        } else if let Some(first) = first.filter(|_| frozen) {
            tensors.insert(name, first);
        }
    }
    let scores = folder.join(SCORES);
    let memory = match plain(&scores).and_then(whole) {
        Ok(bytes) => ScoreMemory::from_bytes(&bytes)
            .ok_or_else(|| TrainError::setup(format!("{} is damaged", scores.display())))?,
        Err(_) => ScoreMemory::default(),
    };
    Ok(Resumed {
        spec: spec.clone(),
        config: json.config,
        tensors,
        tokenizer: checkpoint.tokenizer,
        counters: json.counters,
        data: json.data,
        policy: json.policy.map(exact::unpack),
        folder: folder.to_owned(),
        initial,
        memory,
        extra,
        passed_over: Vec::new(),
        renamed,
    })
}

fn read_tensors(path: &Path) -> Result<HashMap<String, Vec<f32>>, TrainError> {
    let bytes = plain(path).and_then(whole).map_err(TrainError::unreadable(path))?;
    let bad = |e: String| TrainError::setup(format!("{} is damaged: {e}", path.display()));
    let file = SafeTensors::deserialize(&bytes).map_err(|e| bad(e.to_string()))?;
    file.iter()
        .map(|(name, view)| {
            let values =
                to_f32(view.dtype(), view.data()).ok_or_else(|| bad(format!("{name} is not f32")))?;
            Ok((name.to_owned(), values))
        })
        .collect()
}

impl Resumed {
    /// A variable's saved value, where it is not a checkpoint tensor.
    pub fn value(&self, name: &str) -> Option<&[f32]> {
        self.extra.get(&format!("value.{name}")).map(Vec::as_slice)
    }

    /// Puts adapters, `[MASK]` row and moments back.
    ///
    /// # Errors
    /// A checkpoint that belongs to another set of variables.
    pub fn restore(&self, optimizer: &mut AdamW) -> Result<(), TrainError> {
        let mismatch =
            |name: &str| TrainError::setup(format!("{} has no state of {name}", self.folder.display()));
        for slot in &mut optimizer.slots {
            if let Some(values) = self.value(&slot.name) {
                let tensor = slot.var.as_tensor();
                if values.len() != tensor.elem_count() {
                    return Err(mismatch(&slot.name));
                }
                let restored = Tensor::from_slice(values, tensor.shape(), tensor.device())?;
                slot.var.set(&restored)?;
            }
            let n = slot.var.as_tensor().elem_count();
            let moment = |part: &str| match self.extra.get(&format!("{part}.{}", slot.name)) {
                Some(values) if values.len() == n => Ok(values.clone()),
                _ => Err(mismatch(&slot.name)),
            };
            slot.moments.set(moment("first")?, moment("second")?)?;
        }
        optimizer.updates = self.counters.updates;
        Ok(())
    }
}
