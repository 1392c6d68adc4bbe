//! A checkpoint of nanoGPT (`ckpt.pt`): the state dict beside the sizes it was made with, matrices `[out, in]`, biases
//! perhaps left out, the vocabulary padded (karpathy/nanoGPT, `train.py` and `model.py`).

use std::path::Path;

use candle_core::Device;
use serde_json::{Value, json};

use crate::model::config::Config;
use crate::model::error::ModelError;
use crate::model::pickle::Checkpoints;
use crate::model::weights::{Assembled, assemble};

/// What nanoGPT calls its newest checkpoint.
pub const FILE: &str = "ckpt.pt";

/// Reads the model of `path`.
///
/// # Errors
/// A file without `model_args`; as [`assemble`].
pub fn load(path: &Path, device: &Device) -> Result<Assembled, ModelError> {
    let name = path.display().to_string();
    let store = Checkpoints::open(&[path.to_owned()])?;
    let sizes = store.plain("model_args").ok_or_else(|| {
        ModelError::file(&name, "has no model_args, so it is not a checkpoint of nanoGPT").with_hint(
            "a bare state dict must be named pytorch_model.bin and needs a config.json in the same folder",
        )
    })?;
    let size = |field: &str| sizes.get(field).cloned().unwrap_or(Value::Null);
    let biases = size("bias").as_bool().unwrap_or(true);
    let fields = json!({
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": size("vocab_size"),
        "n_positions": size("block_size"),
        "n_embd": size("n_embd"),
        "n_layer": size("n_layer"),
        "n_head": size("n_head"),
        // nn.GELU() of nanoGPT's MLP, the exact one.
        "activation_function": "gelu",
    });
    let config = Config::parse(fields.to_string().as_bytes(), &format!("model_args of {name}"))?;
    let mut assembled = assemble(&config, &store, device, !biases)?;
    assembled.notes = vec![format!(
        "imported from nanoGPT by its model_args{}",
        if biases { "" } else { ", with biases of 0 where it has none" }
    )];
    Ok(assembled)
}
