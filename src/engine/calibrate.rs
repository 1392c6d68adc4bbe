//! The distance null of a model: 64 windows of the calibration text, one forward pass each, nothing kept but sums.
//! Cached by the hashes of weights and text.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};

use super::loaded::LoadedModel;
use crate::attention::calibration::{
    Calibration, CalibrationBuilder, CalibrationError, CalibrationSource, windows,
};
use crate::model::forward::Reuse;
use crate::model::{Input, ModelError};
use crate::support::files::replace;
use crate::support::paths;
use crate::support::units::hex;

/// Windows of one calibration, and tokens per window at most (masking.md §1).
const WINDOWS: usize = 64;
const WINDOW: usize = 256;

/// Why a calibration ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
}

/// A calibration in progress; each [`step`](Calibrator::step) is one forward pass.
pub struct Calibrator {
    loaded: Arc<LoadedModel>,
    ids: Vec<u32>,
    windows: Vec<std::ops::Range<usize>>,
    next: usize,
    builder: CalibrationBuilder,
    source: CalibrationSource,
}

impl Calibrator {
    pub fn new(loaded: Arc<LoadedModel>, text: &str) -> Result<Self, CalibrateError> {
        let Some(tokenizer) = &loaded.tokenizer else {
            return Err(ModelError::input("a checkpoint without a tokenizer cannot be calibrated").into());
        };
        let ids = tokenizer.ids(text)?;
        loaded.check_rows(&ids)?;
        let config = &loaded.model.config;
        let window = WINDOW.min(config.n_positions);
        let windows = windows(ids.len(), window, WINDOWS);
        let builder = CalibrationBuilder::new(config.n_layer, config.n_head, window, windows.len());
        let source = CalibrationSource {
            weights: loaded.weights_hash()?,
            text: hex(&Sha256::digest(text.as_bytes())),
        };
        Ok(Calibrator { loaded, ids, windows, next: 0, builder, source })
    }

    /// `(windows done, windows in all)`.
    pub fn progress(&self) -> (usize, usize) {
        (self.next, self.windows.len())
    }

    /// One more window; `true` when all are done. A cancelled window is tried again by the next call.
    pub fn step(&mut self, cancel: Option<&AtomicBool>) -> Result<bool, CalibrateError> {
        if let Some(range) = self.windows.get(self.next) {
            let input = Arc::new(Input::plain(self.ids[range.clone()].to_vec()));
            let trace = self.loaded.model.run(input, Reuse { traces: &[], cancel })?;
            self.builder.add(&trace)?;
            self.next += 1;
        }
        Ok(self.next >= self.windows.len())
    }

    pub fn finish(self) -> Result<Calibration, CalibrateError> {
        Ok(self.builder.finish(self.source)?)
    }

    /// What the result will be for.
    pub fn source(&self) -> &CalibrationSource {
        &self.source
    }
}

/// Where calibrations are cached.
pub fn cache_folder() -> Option<PathBuf> {
    paths::cache("calibration")
}

fn cache_file(folder: &Path, source: &CalibrationSource) -> PathBuf {
    let short = |hash: &str| hash.chars().take(16).collect::<String>();
    folder.join(format!("{}-{}.safetensors", short(&source.weights), short(&source.text)))
}

/// A cached calibration for these weights and this text; a damaged file counts as none.
pub fn read_cached(folder: &Path, source: &CalibrationSource) -> Option<Calibration> {
    let bytes = std::fs::read(cache_file(folder, source)).ok()?;
    Calibration::from_bytes_for(&bytes, source).ok()
}

/// Writes a calibration to the cache; a cache that cannot be written costs only time.
pub fn write_cached(folder: &Path, calibration: &Calibration) -> std::io::Result<()> {
    let bytes = calibration.to_bytes().map_err(std::io::Error::other)?;
    replace(&cache_file(folder, &calibration.source), &bytes)
}
