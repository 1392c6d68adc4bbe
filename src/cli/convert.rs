//! From settings to what the rooms are opened with.

use std::sync::Once;

use super::CommandContext;
use super::error::CliError;
use super::output::note;
use crate::config::Settings;
use crate::hub::HubOptions;
use crate::tensor::device::{Chosen, choose};

/// `[hub]`
pub fn hub_options(context: &CommandContext) -> HubOptions {
    context.loaded.settings.hub.options()
}

/// `model.device`
pub fn device(settings: &Settings) -> Result<Chosen, CliError> {
    let chosen = choose(settings.model.device).map_err(|e| {
        CliError::unavailable(e.to_string())
            .with_hint("use --device auto or --device cpu; `maskscope doctor` shows what was tried")
    })?;
    // A binary that could have used a GPU says, once, why it does not; one without CUDA has nothing to explain.
    static SAID: Once = Once::new();
    if cfg!(feature = "cuda")
        && let Some(reason) = &chosen.tried
    {
        SAID.call_once(|| note(&format!("note: {}", on_cpu(reason))));
    }
    Ok(chosen)
}

/// Why the CPU is used, in a sentence.
pub fn on_cpu(reason: &str) -> String {
    format!("running on the CPU, since CUDA does not work here: {reason}")
}
