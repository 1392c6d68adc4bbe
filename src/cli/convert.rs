//! From settings, whose choices are names, to the types of the rooms that own them.

use std::time::Duration;

use super::Context;
use super::error::CliError;
use crate::attention::types::ScoreSettings;
use crate::config::Settings;
use crate::hub::HubOptions;
use crate::mask::presets::{Budget, Preset};
use crate::mask::rolling::{Policy as RollingPolicy, RollingSettings};
use crate::mask::types::MaskSettings;
use crate::model::WeightType;
use crate::tensor::device::{Chosen, DeviceChoice, choose};

/// A name that the parameter table let through must be known to the room that owns it; a test keeps both in step.
fn parse<T: std::str::FromStr<Err = String>>(key: &str, name: &str) -> Result<T, CliError> {
    name.parse().map_err(|problem: String| CliError::usage(format!("{key}: {problem}")))
}

/// `[mask]`
pub fn mask_settings(settings: &Settings) -> Result<MaskSettings, CliError> {
    let m = &settings.mask;
    Ok(MaskSettings {
        threshold: m.threshold,
        probability: m.probability,
        seed: m.seed,
        polarity: parse("mask.polarity", &m.polarity)?,
        scale: parse("mask.scale", &m.scale)?,
        op: parse("mask.op", &m.op)?,
        replacement: parse("mask.replacement", &m.replacement)?,
        mix: match m.mix.trim() {
            "" => None,
            text => Some(text.parse().map_err(|e: String| CliError::usage(format!("mask.mix: {e}")))?),
        },
        drop_positions: parse("mask.drop_positions", &m.drop_positions)?,
        protect: parse("mask.protect", &m.protect)?,
        scope: parse("mask.scope", &m.scope)?,
        unit: parse("mask.unit", &m.unit)?,
        exact_k: m.exact_k,
        pinned: Vec::new(),
    })
}

/// `[score]`
pub fn score_settings(settings: &Settings) -> Result<ScoreSettings, CliError> {
    let s = &settings.score;
    Ok(ScoreSettings {
        reduction: parse("score.reduction", &s.reduction)?,
        contribution: s.contribution,
        window: s.window,
        layers: s.layers.clone(),
        heads: s.heads.clone(),
    })
}

/// The rolling window of `[mask]`; `policy` is `threshold` or the name of a cache policy.
pub fn rolling_settings(settings: &Settings) -> Result<RollingSettings, CliError> {
    let m = &settings.mask;
    let base = RollingSettings {
        window: m.window,
        stride: m.stride,
        decay: m.decay,
        lambda: m.history,
        cool_down: u32::try_from(m.cool_down).unwrap_or(u32::MAX),
        recent: m.recent,
        sticky: m.sticky,
        policy: RollingPolicy::Threshold,
        ..RollingSettings::default()
    };
    if m.policy == "threshold" {
        return Ok(base);
    }
    let preset: Preset = parse("mask.policy", &m.policy)?;
    Ok(base.with_preset(preset, Budget::Share(m.budget)))
}

/// `[hub]`; the access token is looked up by the Hub room itself, in the environment or the file that Python uses.
pub fn hub_options(context: &Context) -> HubOptions {
    let h = &context.loaded.settings.hub;
    HubOptions {
        endpoint: h.endpoint.clone(),
        cache: h.cache.clone(),
        token: None,
        offline: h.offline,
        stall_timeout: Duration::from_secs(h.stall_seconds),
        ..HubOptions::default()
    }
}

/// `model.device`
pub fn device(settings: &Settings) -> Result<Chosen, CliError> {
    let choice: DeviceChoice = parse("model.device", &settings.model.device)?;
    choose(choice).map_err(|e| {
        CliError::unavailable(e.to_string())
            .with_hint("use --device auto or --device cpu; `maskscope doctor` shows what was tried")
    })
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
