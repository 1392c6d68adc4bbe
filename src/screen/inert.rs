//! Settings that do nothing under the others' values: they stay in sight, grey, and say what decides instead. Pure.

use crate::attention::types::ScoreSettings;
use crate::mask::presets::CachePolicy;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MaskSettings, Op, Polarity, Scope};
use crate::screen::document::Document;
use crate::screen::params::{Path, by_budget, called};

/// Why a setting does nothing under the others' values, as a sentence; and who decides instead, in two words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inert {
    pub who: String,
    pub why: String,
}

/// What decides instead of a setting that does nothing now.
pub fn inert(doc: &Document, path: Path) -> Option<Inert> {
    let name = called(path);
    let because = |who: String, why: String| Some(Inert { who, why });
    let of_score = ScoreSettings::ROWS.iter().any(|row| row.path == path) || path == MaskSettings::scale;
    match path {
        MaskSettings::threshold
        | MaskSettings::probability
        | MaskSettings::polarity
        | MaskSettings::scale
        | MaskSettings::exact_k
        | RollingSettings::initial
            if by_budget(doc) =>
        {
            let policy = doc.rolling.policy.map_or("the policy", CachePolicy::name);
            because(
                format!("{policy} decides"),
                format!("{name} does nothing now: {policy} decides, by a budget of tokens to keep"),
            )
        }
        MaskSettings::op if doc.mask.mix.is_some() => because(
            "the mix decides".to_owned(),
            format!("{name} does nothing now: every masked token draws its own from the mix"),
        ),
        MaskSettings::replacement if doc.mask.op != Op::Replace && doc.mask.mix.is_none() => {
            let op = doc.mask.op;
            because(format!("{op} decides"), format!("Nothing is replaced now: the operation is {op}"))
        }
        path if doc.mask.scope == Scope::Whole
            && doc.rolling.initial.is_some()
            && (of_score || path == MaskSettings::polarity) =>
        {
            because(
                "pattern decides".to_owned(),
                format!("{name} does nothing now: the initial pattern decides, before any attention"),
            )
        }
        _ if doc.mask.polarity == Polarity::Random && of_score && !by_budget(doc) => because(
            "random decides".to_owned(),
            format!("{name} does nothing now: polarity random ignores the score"),
        ),
        _ => None,
    }
}
