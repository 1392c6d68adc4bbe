//! From settings, whose choices are names, to the types of the rooms that own them.

use std::sync::Once;
use std::time::Duration;

use super::Context;
use super::error::CliError;
use super::output::note;
use crate::app::configured;
use crate::attention::types::ScoreSettings;
use crate::config::Settings;
use crate::hub::HubOptions;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::MaskSettings;
use crate::model::WeightType;
use crate::tensor::device::{Chosen, DeviceChoice, choose};

/// A name that the parameter table let through must be known to the room that owns it; a test keeps both in step.
fn parse<T: std::str::FromStr<Err = String>>(key: &str, name: &str) -> Result<T, CliError> {
    name.parse().map_err(|problem: String| CliError::usage(format!("{key}: {problem}")))
}

/// `[mask]`
pub fn mask_settings(settings: &Settings) -> Result<MaskSettings, CliError> {
    configured::mask(settings).map_err(CliError::usage)
}

/// `[score]`
pub fn score_settings(settings: &Settings) -> Result<ScoreSettings, CliError> {
    configured::score(settings).map_err(CliError::usage)
}

/// The rolling window of `[mask]`.
pub fn rolling_settings(settings: &Settings) -> Result<RollingSettings, CliError> {
    configured::rolling(settings).map_err(CliError::usage)
}

/// `[hub]`; the access token is looked up by the Hub room itself, in the environment or the file that Python uses.
pub fn hub_options(context: &Context) -> HubOptions {
    let h = &context.loaded.settings.hub;
    HubOptions {
        endpoint: h.endpoint.clone(),
        cache: h.cache.clone(),
        token: None,
        offline: h.offline,
        refresh: h.refresh,
        stall_timeout: Duration::from_secs(h.stall_seconds),
        ..HubOptions::default()
    }
}

/// `model.device`
pub fn device(settings: &Settings) -> Result<Chosen, CliError> {
    let choice: DeviceChoice = parse("model.device", &settings.model.device)?;
    let chosen = choose(choice).map_err(|e| {
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

/// `compute.weights`
pub fn weights(settings: &Settings) -> Result<WeightType, CliError> {
    parse("compute.weights", &settings.compute.weights)
}

/// What to load: the id with its revision, where one is set.
pub fn model_spec(settings: &Settings) -> String {
    let m = &settings.model;
    if m.revision.is_empty() || m.revision == "main" || m.id == "demo" || m.id.contains('@') {
        m.id.clone()
    } else {
        format!("{}@{}", m.id, m.revision)
    }
}
