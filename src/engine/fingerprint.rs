//! A SHA-256 over every weight, which says whether two models are the same one. Reading all of a large model takes a second,
//! so it is done beside the engine.

use std::sync::Arc;

use crossbeam_channel::Sender;
use sha2::{Digest, Sha256};

use super::loaded::LoadedModel;
use super::types::Update;
use crate::model::ModelError;
use crate::support::units::hex;

/// SHA-256, in hex, over names and values (as f32, little-endian) of all weights in the model's own order.
///
/// # Errors
/// Of the tensor library.
pub(super) fn fingerprint(loaded: &LoadedModel) -> Result<String, ModelError> {
    let mut hash = Sha256::new();
    for (parameter, weight) in loaded.model.named_weights() {
        hash.update(parameter.name.as_bytes());
        hash.update([0]);
        weight.visit(|values| hash.update(bytemuck::cast_slice::<f32, u8>(values)))?;
    }
    Ok(hex(&hash.finalize()))
}

/// Answers `Command::Fingerprint`.
pub(super) fn tell(loaded: Arc<LoadedModel>, updates: Sender<Update>) {
    let work = move || {
        let hash = fingerprint(&loaded).map_err(|error| error.to_string());
        // Nobody listens once the screen is closing.
        let _ = updates.send(Update::Fingerprint { model: loaded.id.clone(), hash });
    };
    if let Err(error) = std::thread::Builder::new().name("fingerprint".to_owned()).spawn(work) {
        tracing::warn!("the thread that reads the weights could not be started: {error}");
    }
}
