//! What a run starts from: a model, or a configuration with random weights and its tokenizer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::loaded::{CALIBRATION_TEXT, LoadedModel};
use crate::attention::calibration::Calibration;
use crate::mask::apply::ReplacementSource;
use crate::model::{Config, Tokenizer};
use crate::support::files::unreadable;
use crate::train::data::{ChatStyle, SourceText};
use crate::train::{TrainError, grow, init};

/// A model to be trained, and what is known about it.
pub struct Start {
    pub config: Config,
    /// `None` where the weights are still to be drawn.
    tensors: Option<HashMap<String, Tensor>>,
    /// `None` where it is learned from the data.
    tokenizer: Option<Tokenizer>,
    pub calibration: Option<Arc<Calibration>>,
    pub mask_row: Option<Vec<f32>>,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

impl Start {
    /// A model with its weights as the checkpoint has them.
    ///
    /// # Errors
    /// A model without a tokenizer.
    pub fn from_model(loaded: &LoadedModel) -> Result<Self, TrainError> {
        let tokenizer = known(loaded.tokenizer.clone(), &loaded.id)?;
        Ok(Start {
            config: loaded.model.config.clone(),
            tensors: Some(loaded.model.tensors()?),
            tokenizer: Some(tokenizer),
            calibration: loaded.calibration().map(|c| Arc::new(c.clone())),
            mask_row: loaded.mask_row().map(|row| row.to_vec()),
            notes: Vec::new(),
        })
    }

    /// Random weights of the shape that [`grow`] names, with a byte-level BPE of as many ids, so that its result reads any text.
    ///
    /// # Errors
    /// None that a test does not find.
    pub fn to_grow() -> Result<Self, TrainError> {
        let config = grow::config()?;
        let documents = [CALIBRATION_TEXT.to_owned()];
        let tokenizer = Some(init::tokenizer(&documents, config.vocab_size)?);
        Ok(Start { config, tensors: None, tokenizer, calibration: None, mask_row: None, notes: Vec::new() })
    }

    /// Random weights of the shape in the file `config`, with the tokenizer of `tokenizer` (a `tokenizer.json` or a folder), or
    /// the one beside the configuration, or one that is to be learned.
    ///
    /// # Errors
    /// Files that cannot be read; a tokenizer with more ids than the configuration has rows.
    pub fn from_config(config: &Path, tokenizer: Option<&Path>) -> Result<Self, TrainError> {
        let name = config.display().to_string();
        let bytes = std::fs::read(config).map_err(|e| TrainError::setup(unreadable(config, &e)))?;
        let parsed = Config::parse(&bytes, &name)?;
        let beside = config.parent().filter(|folder| !folder.as_os_str().is_empty());
        let place = tokenizer.unwrap_or(beside.unwrap_or(Path::new(".")));
        let found = init::tokenizer_at(place, &bytes)?;
        if let (None, Some(place)) = (&found, tokenizer) {
            return Err(TrainError::Setup {
                problem: format!("{} contains no tokenizer", place.display()),
                hint: Some("pass a tokenizer.json, or a folder that contains one".to_owned()),
            });
        }
        let rows = parsed.vocab_size;
        let mut start = Start {
            config: parsed,
            tensors: None,
            tokenizer: found,
            calibration: None,
            mask_row: None,
            notes: Vec::new(),
        };
        match &start.tokenizer {
            Some(tokenizer) if tokenizer.vocab_size() > rows => {
                let ids = tokenizer.vocab_size();
                return Err(TrainError::Setup {
                    problem: format!(
                        "the tokenizer in {} has {ids} ids, but vocab_size in {name} is {rows}",
                        place.display()
                    ),
                    hint: Some(format!(
                        "set vocab_size to {ids}, or pass another tokenizer with --tokenizer"
                    )),
                });
            }
            Some(tokenizer) => {
                let ids = tokenizer.vocab_size();
                start.notes.push(format!("tokenizer: the one in {}, {ids} of {rows} ids", place.display()));
            }
            None => {}
        }
        Ok(start)
    }

    /// How conversations in the data become text. A tokenizer that is learned has GPT-2's end-of-text token.
    ///
    /// # Errors
    /// A chat template that is damaged.
    pub fn style(&self) -> Result<ChatStyle, TrainError> {
        match &self.tokenizer {
            Some(tokenizer) => ChatStyle::of(tokenizer),
            None => Ok(ChatStyle::plain(crate::model::tokenizer::END_OF_TEXT)),
        }
    }

    /// The tokenizer, learned from `documents` where there is none; the configuration then names its end-of-text token.
    ///
    /// # Errors
    /// Data that no tokenizer can be learned from.
    pub fn tokenizer<T: SourceText>(&mut self, documents: &[T]) -> Result<Tokenizer, TrainError> {
        if self.tokenizer.is_none() {
            let rows = self.config.vocab_size;
            self.notes.push(format!(
                "tokenizer: none beside the configuration, so a byte-level BPE of up to {rows} ids is learned from the data; \
                 --tokenizer names one"
            ));
            self.tokenizer = Some(init::tokenizer(documents, self.config.vocab_size)?);
        }
        self.known_tokenizer().ok_or_else(|| TrainError::setup("the model has no tokenizer"))
    }

    /// The tokenizer, where there is one: a run without text needs none.
    pub fn known_tokenizer(&mut self) -> Option<Tokenizer> {
        let tokenizer = self.tokenizer.take();
        let end = tokenizer.as_ref().and_then(Tokenizer::end_of_document);
        if self.tensors.is_none() && end.is_some() {
            (self.config.bos_token_id, self.config.eos_token_id) = (end, end);
        }
        tokenizer
    }

    /// The weights, drawn from `seed` where there are none.
    ///
    /// # Errors
    /// A device without the memory for them.
    pub fn tensors(&mut self, seed: u64, device: &Device) -> Result<HashMap<String, Tensor>, TrainError> {
        match self.tensors.take() {
            Some(tensors) => Ok(tensors),
            None => init::weights(&self.config, seed, device),
        }
    }
}

/// The tokenizer of model `id`, without which it cannot be trained on text.
///
/// # Errors
/// There is none.
pub fn known(tokenizer: Option<Tokenizer>, id: &str) -> Result<Tokenizer, TrainError> {
    tokenizer.ok_or_else(|| TrainError::setup(format!("{id} has no tokenizer, so text cannot be trained on")))
}
