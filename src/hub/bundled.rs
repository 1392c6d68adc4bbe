//! The model that travels inside the program, so that the first minute needs no network.
//!
//! Owns only the bytes; whoever loads a model reads them through [`EmbeddedFiles`]. Never touches the disk.

/// The files of a checkpoint held in the program itself, each with the content the file of that name would have.
#[derive(Debug)]
pub struct EmbeddedFiles {
    /// `config.json`.
    pub config: &'static [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'static [u8],
    /// `model.safetensors`.
    pub weights: &'static [u8],
    /// `maskscope.safetensors`: the side file with calibrated nulls, where there is one.
    pub side: Option<&'static [u8]>,
}

/// The bundled model, or `None` in a build that carries none.
pub fn embedded() -> Option<&'static EmbeddedFiles> {
    None
}
