//! A model ready to explore: weights, tokenizer, and what masking needs besides them.

use std::sync::{Arc, OnceLock};

use candle_core::Device;
use sha2::{Digest, Sha256};

use super::loader::Purpose;
use super::types::{ModelInfo, Token};
use crate::attention::calibration::Calibration;
use crate::hub::{Files, ModelSnapshot};
use crate::mask::apply::ReplacementSource;
use crate::mask::initial::{PatternTables, Unigram};
use crate::model::family::ParameterRole;
use crate::model::input::check_rows;
use crate::model::tokenizer::{Piece, visible};
use crate::model::{Checkpoint, Model, ModelError, ModelFiles, Tokenizer};
use crate::train::checkpoint::files::read_mask_row;

/// The text that calibrations and token counts are taken from: training novels and speeches, all in the public domain.
pub const CALIBRATION_TEXT: &str = include_str!("../../assets/calibration.txt");

/// Passages of the held-out novels: never trained on, never calibrated on.
pub const HELD_OUT_TEXT: &str = include_str!("../../assets/heldout.txt");

/// The calibration of the bundled model.
static BUNDLED_CALIBRATION: &[u8] = include_bytes!("../../assets/calibration.safetensors");

/// One loaded model. Shared, never changed, but for the calibration that may arrive later.
pub struct LoadedModel {
    /// `demo`, the folder as given, or the id on the Hub.
    pub id: String,
    pub model: Model,
    pub tokenizer: Option<Tokenizer>,
    pub device_name: &'static str,
    /// A note to show when the model opens.
    pub notes: Vec<String>,
    mean: OnceLock<Arc<[f32]>>,
    unigram: OnceLock<Option<Unigram>>,
    tables: OnceLock<Option<PatternTables>>,
    calibration: OnceLock<Arc<Calibration>>,
    /// A trained `[MASK]` row, `[D]`, from the side file of a checkpoint.
    mask_row: Option<Arc<[f32]>>,
}

impl LoadedModel {
    /// Reads a snapshot's weights.
    pub fn read(
        snapshot: &ModelSnapshot,
        device: &Device,
        device_name: &'static str,
    ) -> Result<Self, ModelError> {
        let files = match &snapshot.files {
            Files::Embedded(e) => {
                ModelFiles::Embedded { config: e.config, tokenizer: e.tokenizer, weights: e.weights }
            }
            Files::Folder(folder) => ModelFiles::Folder(folder.dir.clone()),
            Files::File(file) => ModelFiles::File(file.clone()),
        };
        let adapter = snapshot.adapter.as_deref();
        let Checkpoint { model, tokenizer, notes } = Checkpoint::load_adapted(&files, adapter, device)?;
        let mask_row = match snapshot.dir() {
            Some(dir) => read_mask_row(dir, model.config.n_embd)?.map(Arc::from),
            None => None,
        };
        let loaded = LoadedModel {
            id: snapshot.id.clone(),
            model,
            tokenizer,
            device_name,
            notes,
            mean: OnceLock::new(),
            unigram: OnceLock::new(),
            tables: OnceLock::new(),
            calibration: OnceLock::new(),
            mask_row,
        };
        if matches!(snapshot.files, Files::Embedded(_))
            && adapter.is_none()
            && let Ok(calibration) = Calibration::from_bytes(BUNDLED_CALIBRATION)
        {
            loaded.set_calibration(calibration);
        }
        Ok(loaded)
    }

    /// A model that comes from no snapshot and has no tokenizer.
    pub fn of_model(id: String, model: Model, device_name: &'static str) -> Self {
        LoadedModel {
            id,
            model,
            tokenizer: None,
            device_name,
            notes: Vec::new(),
            mean: OnceLock::new(),
            unigram: OnceLock::new(),
            tables: OnceLock::new(),
            calibration: OnceLock::new(),
            mask_row: None,
        }
    }

    /// The same model, ready for `purpose`.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn made_for(mut self, purpose: Purpose) -> Result<Self, ModelError> {
        if let Purpose::Explore(kind) = purpose {
            self.model = self.model.freeze()?;
            if self.model.device.is_cpu() {
                self.model = self.model.with_weights(kind)?;
            }
        }
        Ok(self)
    }

    /// The same model with other weights: tokenizer and distance null are taken over, so that what is looked at stays
    /// comparable during a run.
    pub fn following(&self, id: String, model: Model) -> Self {
        let mut loaded = LoadedModel::of_model(id, model, self.device_name);
        loaded.tokenizer.clone_from(&self.tokenizer);
        loaded.mask_row.clone_from(&self.mask_row);
        if let Some(calibration) = self.calibration() {
            loaded.set_calibration(calibration.clone());
        }
        loaded
    }

    /// The distance null, where it is known.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.get().map(Arc::as_ref)
    }

    /// Takes a calibration; the first one that fits stays.
    pub fn set_calibration(&self, calibration: Calibration) {
        if calibration.fits(self.model.config.n_layer, self.model.config.n_head) {
            let _ = self.calibration.set(Arc::new(calibration));
        }
    }

    /// What initial patterns know of running text; `None` without a tokenizer.
    pub fn tables(&self) -> Option<&PatternTables> {
        let build = || Some(PatternTables::new(self.unigram()?.clone(), |id| self.bytes(id)));
        self.tables.get_or_init(build).as_ref()
    }

    /// SHA-256 over the weights, for the calibration cache.
    pub fn weights_hash(&self) -> Result<String, ModelError> {
        let mut hash = Sha256::new();
        // Embeddings and attention matrices decide every map; two models that share them share their null.
        let decides = |role: ParameterRole| {
            role.is_attention() || matches!(role, ParameterRole::Embedding | ParameterRole::Positions)
        };
        for (_, weight) in self.model.named_weights().into_iter().filter(|(p, _)| decides(p.role)) {
            weight.visit(|values| hash.update(bytemuck::cast_slice::<f32, u8>(values)))?;
        }
        Ok(crate::support::units::hex(&hash.finalize()))
    }

    /// Refuses ids that the model has no row for, by the token.
    ///
    /// # Errors
    /// The first of them.
    pub fn check_rows(&self, ids: &[u32]) -> Result<(), ModelError> {
        check_rows(ids, self.model.config.vocab_size, self.tokenizer.as_ref())
    }

    /// Whether a token stands for itself alone and not for text.
    pub fn is_special(&self, id: u32) -> bool {
        self.eot() == Some(id) || self.tokenizer.as_ref().is_some_and(|t| t.is_special(id))
    }

    /// Whether writing stops at a token.
    pub fn is_end(&self, id: u32) -> bool {
        self.eot() == Some(id) || self.tokenizer.as_ref().is_some_and(|t| t.is_end(id))
    }

    /// Whether a token begins a word.
    pub fn begins_word(&self, id: u32) -> bool {
        self.tokenizer.as_ref().is_some_and(|t| t.begins_word(id))
    }

    /// Exact bytes of a token; `#id` where there is no tokenizer.
    pub fn bytes(&self, id: u32) -> Vec<u8> {
        self.tokenizer.as_ref().map_or_else(|| format!("#{id}").into_bytes(), |t| t.bytes(id))
    }

    /// A token by its id, as a person may see it.
    pub fn token(&self, id: u32) -> Token {
        let bytes = self.bytes(id);
        let display = if bytes.is_empty() { format!("#{id}") } else { visible(&bytes) };
        Token { id, display, bytes, span: (0, 0) }
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// No tokenizer, text that it refuses, tokens that the model has no row for.
    pub fn tokens_of(&self, text: &str) -> Result<Vec<Token>, ModelError> {
        let tokenizer = self.tokenizer.as_ref().ok_or_else(|| {
            ModelError::input("this checkpoint has no tokenizer, so text cannot be run")
                .with_hint("put tokenizer.json, or the model's other tokenizer files, beside the weights")
        })?;
        let pieces = tokenizer.encode(text)?;
        self.check_rows(&pieces.iter().map(|p| p.id).collect::<Vec<_>>())?;
        let token = |(piece, bytes): (&Piece, Vec<u8>)| {
            let display = if bytes.is_empty() { format!("#{}", piece.id) } else { visible(&bytes) };
            Token { id: piece.id, display, bytes, span: piece.span }
        };
        Ok(pieces.iter().zip(tokenizer.texts(text, &pieces)).map(token).collect())
    }

    /// What the screen shows of it.
    pub fn info(&self) -> ModelInfo {
        let c = &self.model.config;
        ModelInfo {
            id: self.id.clone(),
            n_layer: c.n_layer,
            n_head: c.n_head,
            n_embd: c.n_embd,
            n_positions: c.n_positions,
            vocab_size: c.vocab_size,
            parameters: c.parameters(),
            dtype: model_dtype(&self.model).to_owned(),
            device: self.device_name.to_owned(),
            has_mask_row: self.mask_row().is_some(),
            calibrated: self.calibration().is_some(),
            note: (!self.notes.is_empty()).then(|| self.notes.join("; ")),
        }
    }
}

fn model_dtype(model: &Model) -> &'static str {
    if model.embedding.is_bf16() { "bf16" } else { "f32" }
}

impl ReplacementSource for LoadedModel {
    fn n_vocab(&self) -> usize {
        self.model.config.vocab_size
    }

    fn eot(&self) -> Option<u32> {
        let end = match &self.tokenizer {
            Some(tokenizer) => tokenizer.end_of_document(),
            None => self.model.config.eos_token_id,
        };
        end.filter(|&id| (id as usize) < self.model.config.vocab_size)
    }

    fn mean_embedding(&self) -> Arc<[f32]> {
        let mean = || {
            let (rows, width) = (self.model.config.vocab_size, self.model.config.n_embd);
            let mut sum = vec![0f64; width];
            let added = self.model.embedding.visit(|all| {
                for row in all.chunks_exact(width) {
                    sum.iter_mut().zip(row).for_each(|(s, &x)| *s += f64::from(x));
                }
            });
            debug_assert!(added.is_ok(), "embeddings lie in memory");
            sum.iter().map(|s| (s / rows as f64) as f32).collect()
        };
        self.mean.get_or_init(mean).clone()
    }

    fn mask_row(&self) -> Option<Arc<[f32]>> {
        self.mask_row.clone()
    }

    fn unigram(&self) -> Option<&Unigram> {
        let count = || {
            let ids = self.tokenizer.as_ref()?.ids(CALIBRATION_TEXT).ok()?;
            Some(Unigram::from_ids(self.model.config.vocab_size, &ids))
        };
        self.unigram.get_or_init(count).as_ref()
    }
}
