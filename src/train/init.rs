//! A model from nothing: weights drawn as GPT-2's and its descendants' are, and a byte-level BPE tokenizer learned from the data.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::TrainError;
use super::checkpoint::files::pretty;
use super::data::SourceText;
use crate::mask::draw::{Draws, Stream};
use crate::model::{Config, Tokenizer, tokenizer::END_OF_TEXT};
use crate::support::files::replace;

/// Two independent standard normal numbers (Box and Muller) for one address.
fn normal_pair(draws: Draws, pair: usize) -> (f64, f64) {
    // Half a step away from 0, whose logarithm is infinite.
    let (u, v) =
        (draws.unit(Stream::Weights, 2 * pair) + (-54f64).exp2(), draws.unit(Stream::Weights, 2 * pair + 1));
    let r = (-2.0 * u.ln()).sqrt();
    let angle = std::f64::consts::TAU * v;
    (r * angle.cos(), r * angle.sin())
}

/// `n` independent numbers, uniform in ±`bound`, for the adapter with number `at`.
pub fn uniform(n: usize, bound: f64, seed: u64, at: u32) -> Vec<f32> {
    // A pass of its own keeps adapters apart from initial weights under the same seed.
    let draws = Draws { seed, pass: 1, sequence: at };
    (0..n).map(|i| ((2.0 * draws.unit(Stream::Weights, i) - 1.0) * bound) as f32).collect()
}

/// Fresh weights: normal with `initializer_range`, the two residual projections divided by √(2·n_layer), biases 0,
/// gains 1 (GPT-2, section 2.3; `_init_weights` of Hugging Face).
pub fn weights(config: &Config, seed: u64, device: &Device) -> Result<HashMap<String, Tensor>, TrainError> {
    let mut tensors = HashMap::new();
    for (at, parameter) in config.named_parameters().into_iter().enumerate() {
        let (n, role) = (parameter.elem_count(), parameter.role);
        let values: Vec<f32> = if role.is_bias() {
            vec![0.0; n]
        } else if role.is_norm() {
            vec![1.0; n]
        } else {
            let scale = if role.is_residual() { 1.0 / (2.0 * config.n_layer as f64).sqrt() } else { 1.0 };
            let sd = config.initializer_range * scale;
            let draws = Draws { seed, pass: 0, sequence: at as u32 };
            (0..n.div_ceil(2))
                .flat_map(|i| {
                    let (a, b) = normal_pair(draws, i);
                    [(a * sd) as f32, (b * sd) as f32]
                })
                .take(n)
                .collect()
        };
        tensors.insert(parameter.name, Tensor::from_vec(values, parameter.shape, device)?);
    }
    Ok(tensors)
}

/// The tokenizer at a place: a `tokenizer.json`, or the folder of a model; `None` where there is none. `config` is the
/// `config.json` that it is for.
///
/// # Errors
/// Files that are no tokenizer.
pub fn tokenizer_at(place: &Path, config: &[u8]) -> Result<Option<Tokenizer>, TrainError> {
    if place.is_dir() {
        let config = serde_json::from_slice(config).unwrap_or_default();
        return Ok(Tokenizer::from_folder(place, &config)?);
    }
    if !place.is_file() {
        return Ok(None);
    }
    let bytes = std::fs::read(place).map_err(TrainError::unreadable(place))?;
    Ok(Some(Tokenizer::from_json(&bytes, &place.display().to_string())?))
}

/// The file of a tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";

/// Writes a tokenizer that was learned into a folder, so that it opens here and in transformers.
///
/// # Errors
/// A folder that cannot be written.
pub fn save_tokenizer(folder: &Path, tokenizer: &Tokenizer) -> Result<(), TrainError> {
    std::fs::create_dir_all(folder).map_err(TrainError::io(folder))?;
    let end = tokenizer.end_of_document().map(|_| END_OF_TEXT);
    let config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "clean_up_tokenization_spaces": false,
    });
    let files = [(TOKENIZER, tokenizer.to_json()?), ("tokenizer_config.json", pretty(&config)?)];
    for (name, text) in files {
        let path = folder.join(name);
        replace(&path, text.as_bytes()).map_err(TrainError::io(&path))?;
    }
    Ok(())
}

/// Learns a byte-level BPE of `vocab_size` ids (the end-of-text token last) from documents.
pub fn tokenizer<T: SourceText>(documents: &[T], vocab_size: usize) -> Result<Tokenizer, TrainError> {
    let wrong = |e: tokenizers::Error| TrainError::setup(format!("the tokenizer could not be trained: {e}"));
    if vocab_size < 257 {
        return Err(TrainError::setup(format!(
            "vocab_size {vocab_size} is less than the 257 a byte-level BPE needs"
        )));
    }
    let trainer = BpeTrainer::builder()
        .vocab_size(vocab_size - 1)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut inner = Inner::new(BPE::default());
    inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    inner.with_decoder(Some(ByteLevel::default()));
    inner.train(&mut TrainerWrapper::from(trainer), documents.iter().map(T::text)).map_err(wrong)?;
    inner.add_special_tokens([AddedToken::from(END_OF_TEXT, true)]).map_err(wrong)?;
    let json = inner.to_string(true).map_err(wrong)?;
    Ok(Tokenizer::from_json(json.as_bytes(), "the new tokenizer")?)
}
