//! `maskscope models`: cached and known models.

use super::flags::{FlagSet, ParameterFlags};
use super::output::JsonFlag;

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] =
        &[("cache", "hub.cache"), ("offline", "hub.offline")];
}

/// List cached and known models
#[derive(Clone, Debug, clap::Args)]
pub struct ModelsArgs {
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}
