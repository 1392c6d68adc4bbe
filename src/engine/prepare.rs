//! From the spec of a run to a run that can start: documents, model, tokens. The command and the screen's trainer both come
//! through here. Runs on the caller's thread; says how far it is, and gives up when told.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::loader::{LoadOptions, Purpose, load, translate};
use super::types::LoadProgress;
use crate::hub::Progress;
use crate::mask::apply::ReplacementSource;
use crate::model::{Config, Tokenizer};
use crate::train::checkpoint::state;
use crate::train::data::{Corpora, Documents, TokenCache, cache_folder};
use crate::train::run::Setup;
use crate::train::spec::{DataSpec, RunSpec};
use crate::train::{TrainError, init};

/// Where models and data come from, and who listens meanwhile.
pub struct Preparation<'a> {
    pub load: LoadOptions,
    pub progress: &'a mut dyn FnMut(LoadProgress),
    /// What is worth a remark and is no failure.
    pub remark: &'a mut dyn FnMut(String),
    pub cancel: &'a AtomicBool,
}

impl Preparation<'_> {
    /// A fresh run of the model that the spec names.
    ///
    /// # Errors
    /// [`TrainError::Unavailable`] where the model is; data that cannot be read; a model without a tokenizer.
    pub fn fresh(&mut self, spec: RunSpec) -> Result<Setup, TrainError> {
        let documents = self.documents(&spec.data)?;
        let options = LoadOptions { purpose: Purpose::Train, ..self.load.clone() };
        let (loaded, note) = load(&spec.model, &options, self.progress, self.cancel)
            .map_err(|e| TrainError::Unavailable { problem: e.message, hint: e.hint })?;
        note.into_iter().for_each(&mut *self.remark);
        let tokenizer = known(loaded.tokenizer.clone(), &loaded.id)?;
        let corpora = self.tokens(&documents, &tokenizer)?;
        let weights = (loaded.model.config.clone(), loaded.model.tensors()?);
        let mut setup = Setup::new(spec, weights, Some(tokenizer), corpora);
        setup.device = options.device;
        setup.mask_row = loaded.mask_row().map(|row| row.to_vec());
        setup.calibration = loaded.calibration().map(|c| Arc::new(c.clone()));
        Ok(setup)
    }

    /// A fresh run of random weights in the shape that a `config.json` gives, with a tokenizer learned from the data.
    ///
    /// # Errors
    /// A shape or data that cannot be read.
    pub fn random(&mut self, spec: RunSpec, shape: &Path) -> Result<Setup, TrainError> {
        let documents = self.documents(&spec.data)?;
        let bytes = std::fs::read(shape)
            .map_err(|e| TrainError::setup(format!("{} cannot be read: {e}", shape.display())))?;
        let mut config = Config::parse(&bytes, &shape.display().to_string())?;
        let tokenizer = init::tokenizer(&documents.train, config.vocab_size)?;
        (config.bos_token_id, config.eos_token_id) = (tokenizer.eot, tokenizer.eot);
        let tensors = init::weights(&config, spec.seed, &self.load.device)?;
        let corpora = self.tokens(&documents, &tokenizer)?;
        let mut setup = Setup::new(spec, (config, tensors), Some(tokenizer), corpora);
        setup.device = self.load.device.clone();
        Ok(setup)
    }

    /// The run in `folder` from its newest checkpoint; `change` is told its settings first.
    ///
    /// # Errors
    /// A folder without a run that can be resumed; data that is not there any more.
    pub fn resumed(&mut self, folder: &Path, change: impl FnOnce(&mut RunSpec)) -> Result<Setup, TrainError> {
        let mut resumed = state::resume(folder, &self.load.device)?;
        change(&mut resumed.spec);
        let tokenizer = known(resumed.tokenizer.clone(), &folder.display().to_string())?;
        let documents = self.documents(&resumed.spec.data)?;
        let corpora = self.tokens(&documents, &tokenizer)?;
        Ok(Setup::resume(resumed, corpora, self.load.device.clone()))
    }

    fn documents(&mut self, data: &DataSpec) -> Result<Documents, TrainError> {
        let mut fetching = |p: &Progress| (self.progress)(translate("data", p));
        let documents = Documents::open(data, &self.load.hub, &mut fetching, self.cancel)?;
        if documents.shared > 0 {
            (self.remark)(format!(
                "{} validation documents are also in the training data and were left out",
                documents.shared
            ));
        }
        Ok(documents)
    }

    fn tokens(&mut self, documents: &Documents, tokenizer: &Tokenizer) -> Result<Corpora, TrainError> {
        let what = "tokens".to_owned();
        (self.progress)(LoadProgress { id: "data".to_owned(), what, done: 0, total: None, rate: None });
        let cache = cache_folder().map(TokenCache::new);
        let (corpora, kept) = documents.tokens(tokenizer, cache.as_ref())?;
        if kept {
            (self.remark)("the training tokens come from the cache".to_owned());
        }
        Ok(corpora)
    }
}

/// The tokenizer of model `id`, without which it cannot be trained on text.
///
/// # Errors
/// There is none.
pub fn known(tokenizer: Option<Tokenizer>, id: &str) -> Result<Tokenizer, TrainError> {
    tokenizer.ok_or_else(|| TrainError::setup(format!("{id} has no tokenizer, so text cannot be trained on")))
}
