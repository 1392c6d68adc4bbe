//! No subcommand: the screen.

use super::flags::{FlagSet, ParameterFlags};

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[
        ("model", "model.id"),
        ("revision", "model.revision"),
        ("device", "model.device"),
        ("offline", "hub.offline"),
        ("text", "explore.text"),
    ];
}

/// `maskscope`
#[derive(Clone, Debug, clap::Args)]
pub struct ScreenArgs {
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}
