//! The model that travels inside the program, so that the first minute needs no network.
//!
//! Owns only the bytes; code that loads a model reads them through [`EmbeddedFiles`]. Never touches the disk.

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

/// The bundled model.
pub fn embedded() -> Option<&'static EmbeddedFiles> {
    Some(&BUNDLED)
}
