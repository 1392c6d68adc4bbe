//! `maskscope doctor`: what this machine offers and whether the program can use it.

use super::output::JsonFlag;

/// Check terminal, device, cache and settings, and say what is wrong
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub output: JsonFlag,
}
