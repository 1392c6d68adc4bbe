//! `maskscope predict`: surprisal of every token and the most probable next ones.

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
        ("top", "explore.top"),
    ];
}

/// Print the surprisal of every token (nats) and the most probable next tokens
#[derive(Clone, Debug, clap::Args)]
pub struct PredictArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}
