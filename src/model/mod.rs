//! Language models: configuration, weights, tokenizer, forward pass with its trace. What differs between families lies in a folder
//! for each, behind the traits of `family` and `network`. Knows nothing of masks and screens.

pub mod adapter;
mod again;
pub mod config;
mod config_json;
pub mod error;
pub mod family;
pub mod finite;
pub mod formats;
pub mod forward;
pub mod gpt2;
pub mod hooks;
pub mod host;
pub mod input;
mod language_model;
pub mod layers;
pub mod load;
pub mod logits;
pub mod names;
pub mod network;
pub mod pickle;
#[cfg(test)]
pub(crate) mod rotary;
pub mod stored;
mod strangers;
pub mod tokenizer;
pub mod trace;
pub mod weight;
pub mod weights;

pub use config::{Config, WeightType};
pub use error::ModelError;
pub use hooks::Hooks;
pub use input::{Input, Visibility};
pub use language_model::Model;
pub use load::{Checkpoint, ModelFiles, WeightFiles};
pub use tokenizer::Tokenizer;
pub use trace::Trace;
