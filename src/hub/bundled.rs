//! The models that travel inside the program, so that the first minute needs no network.
//!
//! Owns only the bytes; code that loads a model reads them through [`EmbeddedFiles`]. Never touches the disk.

use super::spec::ModelSpec;

/// The files of a checkpoint held in the program itself, each with the content the file of that name would have.
#[derive(Debug)]
pub struct EmbeddedFiles {
    /// `config.json`.
    pub config: &'static [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'static [u8],
    /// `model.safetensors`.
    pub weights: &'static [u8],
}

static BUNDLED: EmbeddedFiles = EmbeddedFiles {
    config: include_bytes!("../../assets/config.json"),
    tokenizer: include_bytes!("../../assets/tokenizer.json"),
    weights: include_bytes!("../../assets/model.safetensors"),
};

static COPIER: EmbeddedFiles = EmbeddedFiles {
    config: include_bytes!("../../assets/copier/config.json"),
    tokenizer: include_bytes!("../../assets/copier/tokenizer.json"),
    weights: include_bytes!("../../assets/copier/model.safetensors"),
};

/// Layer and head of a bundled model that show most of what it learned: in both, an induction head.
pub fn telling_head(spec: &ModelSpec) -> Option<(usize, usize)> {
    match spec {
        ModelSpec::Demo | ModelSpec::Copier => Some((1, 1)),
        ModelSpec::Folder(_) | ModelSpec::Hub { .. } => None,
    }
}

/// The files of a bundled model; `None` for any other.
pub fn embedded(spec: &ModelSpec) -> Option<&'static EmbeddedFiles> {
    match spec {
        ModelSpec::Demo => Some(&BUNDLED),
        ModelSpec::Copier => Some(&COPIER),
        ModelSpec::Folder(_) | ModelSpec::Hub { .. } => None,
    }
}
