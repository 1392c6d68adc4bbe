//! From the spec of a run to a run that can start: model, documents, tokens. The command and the screen's trainer both come
//! through here. Runs on the caller's thread; reports progress, and stops when cancelled.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::loader::{LoadOptions, Purpose, load, translate};
use super::start::{Start, known};
use super::types::LoadProgress;
use crate::hub::FetchProgress;
use crate::model::{Config, Tokenizer};
use crate::train::checkpoint::state;
use crate::train::checkpoint::state::Resumed;
use crate::train::data::synthetic::{Synthetic, SyntheticSpec};
use crate::train::data::{ChatStyle, Corpora, CutRows, Documents, Measured, TokenCache, cache_folder};
use crate::train::run::Setup;
use crate::train::spec::{DataSpec, RunSpec};
use crate::train::twins::record::TwinRecord;
use crate::train::{TrainError, grow};

/// Where models and data come from, and who receives progress and remarks.
pub struct Preparation<'a> {
    pub load: LoadOptions,
    pub progress: &'a mut dyn FnMut(LoadProgress),
    /// Remarks that are no failures.
    pub remark: &'a mut dyn FnMut(String),
    pub cancel: &'a AtomicBool,
    /// Only a plan is wanted, which leaves nothing on the disk.
    pub only_plan: bool,
}

impl Preparation<'_> {
    /// The model `id` to start from.
    ///
    /// # Errors
    /// [`TrainError::Unavailable`]; a model without a tokenizer.
    fn model(&mut self, id: &str) -> Result<Start, TrainError> {
        let options = LoadOptions { purpose: Purpose::Train, ..self.load.clone() };
        let loaded = load(id, &options, self.progress, self.cancel).map_err(|e| match e.unusable {
            true => TrainError::Setup { problem: e.message, hint: e.hint },
            false => TrainError::Unavailable { problem: e.message, hint: e.hint },
        })?;
        loaded.notes.iter().for_each(|note| (self.remark)(note.clone()));
        Start::from_model(&loaded)
    }

    /// What a run starts from: random weights where it says so, or its model.
    ///
    /// # Errors
    /// As [`Start::from_config`] and [`Preparation::model`].
    pub fn start(&mut self, spec: &RunSpec) -> Result<Start, TrainError> {
        match &spec.init {
            Some(init) => Start::from_config(&init.config, init.tokenizer.as_deref()),
            None if spec.model == grow::FROM => Start::to_grow(),
            None => self.model(&spec.model),
        }
    }

    /// A fresh run; where nobody `asked` for a context length, it fits the model.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub fn fresh(&mut self, mut spec: RunSpec, mut start: Start, asked: bool) -> Result<Setup, TrainError> {
        if spec.data.train.is_empty() {
            return self.without_text(spec, start, asked);
        }
        let mut documents = self.documents(&spec.data, start.style()?)?;
        if !asked {
            start.notes.extend(spec.fit_context(start.config.n_positions));
        }
        let tokenizer = start.tokenizer(&documents.train)?;
        let corpora = self.tokens(&mut documents, &tokenizer, &mut spec)?;
        start.notes.extend(documents.notes);
        let tensors = start.tensors(spec.seed, &self.load.device)?;
        let mut setup = Setup::new(spec, (start.config, tensors), Some(tokenizer), corpora);
        setup.device = self.load.device.clone();
        setup.calibration = start.calibration;
        setup.mask_row = start.mask_row;
        setup.notes = start.notes;
        Ok(setup)
    }

    /// A fresh run on sequences that are made up, all of them.
    fn without_text(&self, mut spec: RunSpec, mut start: Start, asked: bool) -> Result<Setup, TrainError> {
        if !asked {
            start.notes.extend(spec.fit_context(start.config.n_positions));
        }
        let tokenizer = start.known_tokenizer();
        let corpora = made_up(&spec, &start.config, tokenizer.as_ref())?;
        let tensors = start.tensors(spec.seed, &self.load.device)?;
        let mut setup = Setup::new(spec, (start.config, tensors), tokenizer, corpora);
        setup.device = self.load.device.clone();
        setup.calibration = start.calibration;
        setup.mask_row = start.mask_row;
        setup.notes = start.notes;
        Ok(setup)
    }

    /// The run in `folder` from its newest checkpoint, or its twins after their last finished seed; `change` may edit the
    /// settings first.
    ///
    /// # Errors
    /// A folder without a run that can be resumed; data that no longer exists; what `change` refuses.
    pub fn resumed(
        &mut self,
        folder: &Path,
        change: impl FnOnce(&mut RunSpec) -> Result<(), TrainError>,
    ) -> Result<Setup, TrainError> {
        let (mut spec, renamed) = state::run_spec(folder)?;
        if spec.twins.is_some() {
            renamed.iter().for_each(|line| (self.remark)(format!("{}: {line}", folder.display())));
            change(&mut spec)?;
            let start = self.start(&spec)?;
            let record = TwinRecord::read(folder)?;
            return Ok(Setup { finished_seeds: Some(record), ..self.fresh(spec, start, true)? });
        }
        let mut resumed = state::resume(folder, &self.load.device)?;
        let name = folder.display();
        resumed.renamed.iter().for_each(|line| (self.remark)(format!("{name}: {line}")));
        let planned = resumed.spec.steps;
        change(&mut resumed.spec)?;
        if resumed.spec.data.train.is_empty() {
            let corpora = made_up(&resumed.spec, &resumed.config, resumed.tokenizer.as_ref())?;
            return Ok(Setup::resume(resumed, corpora, self.load.device.clone()));
        }
        let tokenizer = known(resumed.tokenizer.clone(), &folder.display().to_string())?;
        let mut documents = self.documents(&resumed.spec.data, ChatStyle::of(&tokenizer)?)?;
        let corpora = self.tokens(&mut documents, &tokenizer, &mut resumed.spec)?;
        documents.notes.extend(going_on(&resumed, planned));
        let mut setup = Setup::resume(resumed, corpora, self.load.device.clone());
        setup.notes = documents.notes;
        Ok(setup)
    }

    fn documents(&mut self, data: &DataSpec, style: ChatStyle) -> Result<Documents, TrainError> {
        let style = style.with(data.chat_template, data.loss_on)?;
        let mut fetching = |p: &FetchProgress| (self.progress)(translate("data", p));
        Documents::open(data, &style, &self.load.hub, &mut fetching, self.cancel)
    }

    fn tokens(
        &mut self,
        documents: &mut Documents,
        tokenizer: &Tokenizer,
        spec: &mut RunSpec,
    ) -> Result<Corpora, TrainError> {
        (self.progress)(LoadProgress::new("data", "tokens"));
        let cache = cache_folder().map(TokenCache::new);
        let cache = if self.only_plan { cache.map(TokenCache::read_only) } else { cache };
        let (corpora, kept) = documents.tokens(tokenizer, cache.as_ref(), &mut |train| {
            if spec.epochs > 0.0 {
                spec.fit_steps(CutRows::new(train, spec.cut(), 0).len());
            }
            spec.fit_validation();
            Measured { tokens: spec.validation_tokens, seed: spec.seed }
        })?;
        if kept {
            (self.remark)("the training tokens come from the cache".to_owned());
        }
        Ok(corpora)
    }
}

/// What a person should know of the learning rate of a run that goes on, where it was planned for `planned` steps.
fn going_on(resumed: &Resumed, planned: usize) -> Option<String> {
    let (spec, counters) = (&resumed.spec, &resumed.counters);
    match counters.learning_rate.by_hand {
        Some(rate) => Some(format!(
            "the learning rate was set by hand and stays at {rate:.2e}, whatever its schedule says"
        )),
        None => spec.learning_rate.replanned((planned, spec.steps), counters.step),
    }
}

/// Sequences of a run without text, as many as an epoch of it has; what stands in them is made up at every visit.
const MADE_UP: usize = 1024;
/// And those that its loss is measured on.
const HELD: usize = 64;

/// What stands in for the text of a run that has none, and sequences that it never sees.
///
/// # Errors
/// A run that would need one.
fn made_up(spec: &RunSpec, config: &Config, tokenizer: Option<&Tokenizer>) -> Result<Corpora, TrainError> {
    let Some(synthetic) = spec.synthetic.filter(SyntheticSpec::is_alone) else {
        return Err(TrainError::Setup {
            problem: "there is no text to train on".to_owned(),
            hint: Some(
                "pass --data, or make all sequences up: --synthetic repeats --synthetic-share 1".to_owned(),
            ),
        });
    };
    spec.check()?;
    let end = tokenizer.and_then(Tokenizer::end_of_document);
    let maker = Synthetic::new(synthetic, spec.seed, config.vocab_size)?;
    let (filler, held) = (maker.filler(MADE_UP, spec.context, end), maker.held_out(HELD, spec.context, end));
    Ok((Arc::new(filler), Some(Arc::new(held))))
}
