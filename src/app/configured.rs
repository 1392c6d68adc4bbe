//! From settings, whose choices are names, to the types of the rooms that own them; and the presets as the screen offers
//! them. Pure. The one place where the two are brought together: commands and the screen both ask here.

use crate::attention::types::ScoreSettings;
use crate::config::{self, Settings};
use crate::mask::presets::{Budget, Preset as CachePolicy};
use crate::mask::rolling::{Policy, RollingSettings};
use crate::mask::types::MaskSettings;

/// A complete choice of settings, save for the seed, with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    pub mask: MaskSettings,
    pub score: ScoreSettings,
    pub rolling: RollingSettings,
}

/// A name that the parameter table let through must be known to the room that owns it; a test keeps both in step.
fn parse<T: std::str::FromStr<Err = String>>(key: &str, name: &str) -> Result<T, String> {
    name.parse().map_err(|problem: String| format!("{key}: {problem}"))
}

/// `[mask]`
///
/// # Errors
/// A mix that is none: the one text among these settings with a form of its own.
pub fn mask(settings: &Settings) -> Result<MaskSettings, String> {
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
            text => Some(parse("mask.mix", text)?),
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
///
/// # Errors
/// As [`mask`].
pub fn score(settings: &Settings) -> Result<ScoreSettings, String> {
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
///
/// # Errors
/// As [`mask`].
pub fn rolling(settings: &Settings) -> Result<RollingSettings, String> {
    let m = &settings.mask;
    let base = RollingSettings {
        window: m.window,
        stride: m.stride,
        decay: m.decay,
        lambda: m.history,
        cool_down: u32::try_from(m.cool_down).unwrap_or(u32::MAX),
        recent: m.recent,
        sticky: m.sticky,
        initial: match m.initial.as_str() {
            "none" => None,
            name => Some(parse("mask.initial", name)?),
        },
        policy: Policy::Threshold,
        per_head: m.per_head,
    };
    if m.policy == "threshold" {
        return Ok(base);
    }
    let policy: CachePolicy = parse("mask.policy", &m.policy)?;
    Ok(base.with_preset(policy, Budget::Share(m.budget)))
}

/// Every preset of the table.
///
/// # Errors
/// Only when the built-in `config.toml` or the table itself is at fault, which a test excludes.
pub fn presets() -> Result<Vec<Preset>, String> {
    let mut all = Vec::new();
    for preset in config::PRESETS {
        let mut settings = config::defaults().map_err(|e| e.to_string())?;
        settings.apply(*preset).map_err(|e| e.to_string())?;
        let (mask, score, rolling) = (mask(&settings)?, score(&settings)?, rolling(&settings)?);
        all.push(Preset { name: preset.name, doc: preset.doc, mask, score, rolling });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_of_the_table_can_be_used() {
        let all = presets().unwrap();
        assert_eq!(all.len(), config::PRESETS.len());
        assert_eq!(all[0].mask, MaskSettings { seed: all[0].mask.seed, ..MaskSettings::default() });
        let article = all.iter().find(|p| p.name == "article").unwrap();
        assert_eq!(article.mask, MaskSettings::article(article.mask.seed));
        for policy in CachePolicy::ALL {
            let preset = all.iter().find(|p| p.name == policy.name()).unwrap();
            assert!(matches!(preset.rolling.policy, Policy::Preset(p, _) if p == *policy));
            assert!(preset.rolling.check(&preset.mask, 256).is_ok(), "{policy}");
        }
    }
}
