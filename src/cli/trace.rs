//! `maskscope trace`: one plain forward pass, every intermediate value written to a safetensors file.

use std::path::PathBuf;

use super::flags::{FlagSet, ParameterFlags};
use super::output::JsonFlag;
use super::source::SourceArgs;

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[
        ("model", "model.id"),
        ("revision", "model.revision"),
        ("device", "model.device"),
        ("offline", "hub.offline"),
    ];
}

/// Write logits, attentions, hidden states and loss of one pass to a file
#[derive(Clone, Debug, clap::Args)]
pub struct TraceArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// File to write (safetensors)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}
