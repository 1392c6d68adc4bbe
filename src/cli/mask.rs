//! `maskscope mask`: one decision, position by position with its reason, and its effect on the next token.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::flags::{FlagSet, ParameterFlags};
use super::output::JsonFlag;
use super::source::SourceArgs;
use crate::config::{PRESETS, Preset};

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[
        ("model", "model.id"),
        ("revision", "model.revision"),
        ("device", "model.device"),
        ("offline", "hub.offline"),
        ("threshold", "mask.threshold"),
        ("probability", "mask.probability"),
        ("seed", "mask.seed"),
        ("polarity", "mask.polarity"),
        ("scale", "mask.scale"),
        ("op", "mask.op"),
        ("replacement", "mask.replacement"),
        ("drop-positions", "mask.drop_positions"),
        ("protect", "mask.protect"),
        ("scope", "mask.scope"),
        ("unit", "mask.unit"),
        ("exact-k", "mask.exact_k"),
        ("window", "mask.window"),
        ("stride", "mask.stride"),
        ("decay", "mask.decay"),
        ("history", "mask.history"),
        ("cool-down", "mask.cool_down"),
        ("score", "score.reduction"),
        ("contribution", "score.contribution"),
        ("score-window", "score.window"),
        ("layers", "score.layers"),
        ("heads", "score.heads"),
        ("top", "explore.top"),
    ];
}

/// Decide which tokens are masked, say why for each, and measure what it does to the next token
#[derive(Clone, Debug, clap::Args)]
pub struct MaskArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Start from a named set of mask and score settings; other flags go over it
    #[arg(long, value_name = "NAME", value_parser = preset_parser(), help_heading = "Mask")]
    pub preset: Option<Preset>,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

fn preset_parser() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(PRESETS.iter().map(|preset| PossibleValue::new(preset.name).help(preset.doc)))
        .try_map(|name| Preset::find(&name).ok_or("no such preset"))
}
