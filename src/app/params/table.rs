//! The table of settings: names, docs, bounds, choices. What a slider or a list on screen says, it says from here.

use crate::app::params::Invalidates::{Decision as Cheap, Forward};
use crate::app::params::{Invalidates, Kind, Param, ParamId};

pub(super) const PRESETS: &[(&str, &str)] = &[
    ("default", "rank of the null-corrected score, sinks and ends protected, replace"),
    ("article", "raw attention, mean over layers and heads, nothing protected, τ 0.9, p 0.5, replace"),
];
pub(super) const POLARITIES: &[(&str, &str)] = &[
    ("high", "mask what is read most: score > τ and draw < p (the article; a regulariser)"),
    ("low", "mask what is read least: score < 1−τ and draw < p (what saves compute)"),
    ("random", "ignore the score: draw < (1−τ)·p"),
];
pub(super) const OPS: &[(&str, &str)] = &[
    ("replace", "the input embedding is swapped; the position is still attended"),
    ("hide", "the key is invisible to later queries, in every layer"),
    ("drop", "the token is removed from the input: linear savings"),
    ("evict", "its keys and values leave the cache after they were computed"),
    ("skip", "it bypasses the middle layers and rejoins at the last"),
    ("keep", "selected and shown, but the computation is bit-identical to no mask"),
];
pub(super) const REPLACEMENTS: &[(&str, &str)] = &[
    ("mean", "the mean of all token embeddings"),
    ("mask", "the trained [MASK] row, where the model has one"),
    ("uniform", "a random token, all equally likely"),
    ("unigram", "a random token, as likely as in running text"),
    ("eot", "the end-of-text token"),
];
pub(super) const POSITIONS: &[(&str, &str)] = &[
    ("compact", "the remaining tokens close up: positions 0…n−1"),
    ("gap", "the remaining tokens keep their positions"),
];
pub(super) const SCORES: &[(&str, &str)] = &[
    ("corrected", "attention received ÷ what uniform attention would give: 1 = average"),
    ("null", "attention received ÷ what tokens at the same distances receive in this model"),
    ("sum", "sum over later queries (H2O)"),
    ("window", "mean over the last W queries (SnapKV)"),
    ("last", "the last query only (TOVA)"),
    ("max-heads", "corrected, the strongest head instead of the mean"),
    ("rollout", "attention roll-out, received from the last query"),
    ("plain", "mean over queries, self included (the article)"),
];
pub(super) const SCALES: &[(&str, &str)] = &[
    ("rank", "rank among the eligible: τ selects 1−τ of them in every text"),
    ("calibrated", "how unusual the score is in the calibration texts"),
    ("raw", "the score itself, on a logarithmic slider"),
];
const PROTECTIONS: &[(&str, &str)] = &[
    ("default", "first and last token, detected sinks, end-of-text"),
    ("first", "the first token only"),
    ("first,last:4,sinks,eot", "like default, with the last four tokens"),
    ("none", "nothing: any token may be masked"),
];
pub(super) const UNITS: &[(&str, &str)] = &[
    ("token", "every token for itself"),
    ("word", "all pieces of a word together"),
    ("type", "all occurrences of a token together"),
];
pub(super) const SCOPES: &[(&str, &str)] = &[
    ("whole", "one pass over the whole text: later queries count (look-ahead)"),
    ("block", "decided at window boundaries, from the past only"),
];

const fn row(
    id: ParamId,
    (symbol, name): (&'static str, &'static str),
    kind: Kind,
    invalidates: Invalidates,
    doc: &'static str,
) -> Param {
    Param { id, name, symbol, doc, kind, invalidates }
}

const UNIT_SLIDER: Kind = Kind::Slider { min: 0.0, max: 1.0, log: false };

#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    row(ParamId::Threshold, ("τ", "threshold"), UNIT_SLIDER, Cheap, "a token is a candidate when its score exceeds τ"),
    row(ParamId::Probability, ("p", "probability"), UNIT_SLIDER, Cheap, "a candidate is masked when its draw falls below p"),
    row(ParamId::Seed, ("", "seed"), Kind::Typed, Cheap, "the draws: same seed, same draws, whatever else moves"),
    row(ParamId::Preset, ("", "preset"), Kind::Choice(PRESETS), Cheap, "a complete set of settings"),
    row(ParamId::Op, ("", "operation"), Kind::Choice(OPS), Forward, "what happens to a masked token"),
    row(ParamId::Replacement, ("", "with"), Kind::Choice(REPLACEMENTS), Forward, "what a replaced token becomes"),
    row(ParamId::Positions, ("", "positions"), Kind::Choice(POSITIONS), Forward, "position ids after tokens were dropped"),
    row(ParamId::Polarity, ("", "polarity"), Kind::Choice(POLARITIES), Cheap, "which end of the score is masked"),
    row(ParamId::Score, ("", "score"), Kind::Choice(SCORES), Cheap, "how the attention a token receives becomes a number"),
    row(ParamId::Window, ("", "queries W"), Kind::Typed, Cheap, "how many of the last queries count"),
    row(ParamId::Contribution, ("", "contribution"), Kind::Toggle, Cheap, "weight attention by the size of what it carries, ‖W_O v‖"),
    row(ParamId::Layers, ("", "layers"), Kind::Typed, Cheap, "layers that count: all, or a list such as 0,3-5"),
    row(ParamId::Heads, ("", "heads"), Kind::Typed, Cheap, "heads that count: all, or a list such as 0,3-5"),
    row(ParamId::Scale, ("", "scale"), Kind::Choice(SCALES), Cheap, "how the score is brought to 0…1"),
    row(ParamId::Protect, ("", "protect"), Kind::Choice(PROTECTIONS), Cheap, "which tokens are never masked"),
    row(ParamId::Unit, ("", "unit"), Kind::Choice(UNITS), Cheap, "what is masked together"),
    row(ParamId::ExactK, ("", "exact count"), Kind::Toggle, Cheap, "mask exactly round(rate · eligible) tokens"),
    row(ParamId::Scope, ("", "scope"), Kind::Choice(SCOPES), Forward, "what a decision may look at"),
];
