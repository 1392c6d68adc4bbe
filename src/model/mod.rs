//! GPT-2: configuration, weights, tokenizer, forward pass with its trace. Knows nothing of masks and screens.

pub mod adapter;
pub mod config;
mod config_json;
pub mod error;
pub mod formats;
pub mod forward;
pub mod gpt2;
mod host_pass;
mod host_train;
pub mod input;
pub mod load;
pub mod logits;
pub mod names;
pub mod nanogpt;
pub mod pickle;
pub mod stored;
pub mod tokenizer;
pub mod trace;
pub mod weight;
pub mod weights;

pub use config::{Config, WeightType};
pub use error::ModelError;
pub use gpt2::Gpt2;
pub use input::{HeadAblation, Input, Visibility};
pub use load::{Checkpoint, ModelFiles, WeightFiles};
pub use tokenizer::Tokenizer;
pub use trace::Trace;
