//! Checkpoints of a run: when one is due, what lies in it, and what happens when it does not fit.

use std::path::PathBuf;

use super::{Run, Watch};
use crate::eval::heads::profiles;
use crate::train::TrainError;
use crate::train::arm::without_gradients;
use crate::train::checkpoint::disk;
use crate::train::checkpoint::files::{self, Contents, pretty};
use crate::train::checkpoint::folder::Folders;
use crate::train::checkpoint::peft;
use crate::train::checkpoint::state::{self, Best};
use crate::train::policy::JointPolicy;
use crate::train::report::Report;
use crate::train::spec::OnDiskFull;

/// Windows of text over which heads are looked at, and tokens of each.
const HEADS_WINDOWS: usize = 8;
const HEADS_WINDOW: usize = 128;

impl Run {
    /// Writes what a resume needs before the first checkpoint.
    pub(super) fn begin(&mut self) -> Result<(), TrainError> {
        let out = self.spec.out.clone();
        Folders::new(&out).clean().map_err(TrainError::io(&out))?;
        std::fs::create_dir_all(&out).map_err(TrainError::io(&out))?;
        // What was changed on resuming holds for the next time, too.
        let changed = self.saved.is_none() || state::run_spec(&out).is_ok_and(|(spec, _)| spec != self.spec);
        let path = out.join("run.json");
        if changed {
            disk::replace(&*self.disk, &path, pretty(&self.spec)?.as_bytes())
                .map_err(TrainError::io(&path))?;
        }
        if self.saved.is_some() {
            return Ok(());
        }
        state::write_base(&*self.disk, &self.spec, &self.trainee)
    }

    /// Saves a checkpoint of this step, unless there is one. A full disk is reported and ends the run only where the
    /// spec says so; older checkpoints stay whole either way.
    pub(super) fn save_checkpoint(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let step = self.counters.step;
        if self.saved.as_ref().is_some_and(|(at, _)| *at == step) {
            return Ok(());
        }
        let loss = self.evaluated.filter(|(at, _)| *at == step).map(|(_, loss)| loss);
        let before = self.counters.best;
        if let Some(loss) = loss.filter(|loss| before.is_none_or(|best| *loss < best.loss)) {
            self.counters.best = Some(Best { step, loss });
        }
        match self.write_checkpoint() {
            Ok(path) => {
                let best = self.counters.best != before;
                self.saved = Some((step, path.clone()));
                watch.report(Report::Saved { step, path, best });
                if self.spec.keeps(step) { self.record_heads(watch) } else { Ok(()) }
            }
            Err(error) => {
                self.counters.best = before;
                let full = matches!(&error, TrainError::Io { source, .. } if disk::is_full(source));
                if full && self.spec.on_disk_full == OnDiskFull::Continue {
                    let kept = self.saved.as_ref().map_or("none".to_owned(), |(at, _)| format!("step {at}"));
                    let message = format!("checkpoint not saved, the last complete one is {kept}: {error}");
                    watch.report(Report::Warning { step, message });
                    return Ok(());
                }
                Err(error)
            }
        }
    }

    /// What every head of this step's model reads, over windows of held-out text, or of the training text where there is none.
    fn record_heads(&self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let corpus = self.validation.as_deref().unwrap_or(&self.train);
        let len = HEADS_WINDOW.min(self.spec.context).min(corpus.tokens.len());
        let between = (corpus.tokens.len() - len) / (HEADS_WINDOWS - 1);
        let windows: Vec<Vec<u32>> =
            (0..HEADS_WINDOWS).map(|n| corpus.tokens[n * between..n * between + len].to_vec()).collect();
        let model = without_gradients(&self.trainee.current()?)?;
        let heads = profiles(&model, &windows, None, self.spec.seed)?;
        watch.report(Report::HeadsRecorded { step: self.counters.step, heads });
        Ok(())
    }

    fn write_checkpoint(&self) -> Result<PathBuf, TrainError> {
        let folders = Folders::new(&self.spec.out);
        let step = self.counters.step;
        let io = |path: &std::path::Path, e: std::io::Error| TrainError::io(path)(e);
        let path = folders.put(step, io, |folder| self.fill(folder))?;
        let out = &self.spec.out;
        let best = self.counters.best.map(|b| b.step);
        // Without validation the newest is what there is to show.
        folders.show(best.unwrap_or(step)).map_err(TrainError::io(out))?;
        let kept = |step| Some(step) == best || self.spec.keeps(step);
        folders.retain(self.spec.keep_last, kept).map_err(TrainError::io(out))?;
        Ok(path)
    }

    fn fill(&self, folder: &std::path::Path) -> Result<(), TrainError> {
        let disk = &*self.disk;
        let (config, tensors) = self.trainee.merged()?;
        let mask_row = self.trainee.mask_row()?;
        let contents = Contents {
            config: &config,
            tensors: &tensors,
            tokenizer: self.tokenizer.as_ref(),
            dtype: self.spec.dtype,
            mask_row: mask_row.as_deref(),
            facts: self.facts(),
        };
        files::write_model(disk, folder, &contents)?;
        if let Some(lora) = self.trainee.lora() {
            let adapter = folder.join(peft::FOLDER);
            std::fs::create_dir(&adapter).map_err(TrainError::io(&adapter))?;
            peft::write_adapter(disk, &adapter, &self.trainee, (lora, &self.spec.model))?;
            if let Some(tokenizer) = &self.tokenizer {
                files::write_tokenizer(disk, &adapter, tokenizer)?;
            }
        }
        state::write_state(
            disk,
            folder,
            (&self.spec, &self.trainee, &self.optimizer),
            (&self.counters, &self.fingerprint, self.arms.memory()),
            self.joint.as_ref().map(JointPolicy::state).transpose()?,
        )
    }

    fn facts(&self) -> serde_json::Value {
        let (s, c) = (&self.spec, &self.counters);
        serde_json::json!({
            "model": s.model,
            "steps": c.step,
            "tokens": c.tokens,
            "seconds": c.seconds,
            "seed": s.seed,
            "trained": s.trained.name(),
            "arm": s.masking.arm,
            "batch_size": s.batch_size,
            "accumulate": s.accumulate,
            "context": s.context,
            "learning_rate": s.learning_rate.peak,
            "lr_policy": s.learning_rate.policy,
            "weight_decay": s.adamw.weight_decay,
            "train_documents": self.train.documents,
            "train_tokens": self.train.tokens.len(),
            "train_loss": c.train_loss,
            "validation_loss": c.validation_loss,
        })
    }
}
