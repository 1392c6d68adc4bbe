//! The table of settings: names, docs, bounds, choices. What a slider or a list on screen says, it says from here.

use crate::app::params::Invalidates::{Decision as Cheap, Forward};
use crate::app::params::{Invalidates, Kind, Param, ParamId};

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
pub(super) const POLICIES: &[(&str, &str)] = &[
    ("threshold", "τ, p and polarity decide at every boundary"),
    ("h2o", "half the cache recent, half what all queries together read most"),
    ("snapkv", "the last 16 tokens, and what they read most, pooled over 5 neighbours"),
    ("tova", "what the last query reads most"),
    ("streaming-llm", "the first 4 tokens and recent ones; no score"),
    ("dms-like", "judged by τ and p once, when it leaves the newest 128"),
    ("recency", "recent tokens only"),
    ("random", "half the cache recent, the rest at random: a control"),
    ("inverse", "half the cache recent, the rest what is read least: a control"),
    ("snapkv-half", "SnapKV's score with half the cache recent"),
];
pub(super) const INITIAL: &[(&str, &str)] = &[
    ("none", "attention decides; a first window stays whole"),
    ("random", "every unit alike"),
    ("words", "whole words"),
    ("spans", "spans of 1 to 10 tokens, ending with chance 0.2 after each"),
    ("rare", "what is rare in running text"),
    ("marked", "capitalised words and numbers"),
    ("choice", "one of these, drawn from the seed"),
];
pub(super) const SCOPES: &[(&str, &str)] = &[
    ("whole", "one pass over the whole text: later queries count (look-ahead)"),
    ("block", "decided at window boundaries, from the past only"),
];

const fn row(
    (id, key): (ParamId, &'static str),
    (symbol, name): (&'static str, &'static str),
    kind: Kind,
    invalidates: Invalidates,
    doc: &'static str,
) -> Param {
    Param { id, key, name, symbol, doc, kind, invalidates }
}

/// Bounds come from the parameter table.
const SLIDER: Kind = Kind::Slider { min: 0.0, max: 1.0, log: false };

#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    row((ParamId::Threshold, "mask.threshold"), ("τ", "threshold"), SLIDER, Cheap, "a token is a candidate when its score exceeds τ"),
    row((ParamId::Probability, "mask.probability"), ("p", "probability"), SLIDER, Cheap, "a candidate is masked when its draw falls below p"),
    row((ParamId::Seed, "mask.seed"), ("", "seed"), Kind::Typed, Cheap, "the draws: same seed, same draws, whatever else moves"),
    row((ParamId::Preset, ""), ("", "preset"), Kind::Choice(&[]), Cheap, "a complete set of settings"),
    row((ParamId::Op, "mask.op"), ("", "operation"), Kind::Choice(OPS), Forward, "what happens to a masked token"),
    row((ParamId::Mix, "mask.mix"), ("", "mix"), Kind::Mix, Forward, "shares of operations, each masked token drawing its own"),
    row((ParamId::Replacement, "mask.replacement"), ("", "with"), Kind::Choice(REPLACEMENTS), Forward, "what a replaced token becomes"),
    row((ParamId::Positions, "mask.drop_positions"), ("", "positions"), Kind::Choice(POSITIONS), Forward, "position ids after tokens were dropped"),
    row((ParamId::Polarity, "mask.polarity"), ("", "polarity"), Kind::Choice(POLARITIES), Cheap, "which end of the score is masked"),
    row((ParamId::Scope, "mask.scope"), ("", "scope"), Kind::Choice(SCOPES), Forward, "what a decision may look at"),
    row((ParamId::Policy, "mask.policy"), ("", "policy"), Kind::Choice(POLICIES), Forward, "who decides at a boundary"),
    row((ParamId::Budget, "mask.budget"), ("", "budget"), SLIDER, Forward, "share of the tokens read so far that the policy keeps"),
    row((ParamId::PerHead, "mask.per_head"), ("", "per head"), Kind::Toggle, Forward, "every head keeps its own budget, instead of one token set for all"),
    row((ParamId::RollWindow, "mask.window"), ("", "first window"), Kind::Typed, Forward, "tokens before the first boundary"),
    row((ParamId::Stride, "mask.stride"), ("", "stride"), Kind::Typed, Forward, "tokens between boundaries"),
    row((ParamId::Recent, "mask.recent"), ("", "recent"), Kind::Typed, Forward, "newest tokens that are not masked yet"),
    row((ParamId::Decay, "mask.decay"), ("ρ", "decay"), SLIDER, Forward, "share of the attention received that is kept at each boundary"),
    row((ParamId::History, "mask.history"), ("λ", "history"), SLIDER, Forward, "how strongly often-masked tokens are spared; 0 is off"),
    row((ParamId::Sticky, "mask.sticky"), ("", "sticky"), Kind::Toggle, Forward, "once masked, masked for good (eviction); off: may come back"),
    row((ParamId::CoolDown, "mask.cool_down"), ("", "cool-down"), Kind::Typed, Forward, "boundaries for which a token that was masked stays unmasked"),
    row((ParamId::Initial, "mask.initial"), ("", "initial"), Kind::Choice(INITIAL), Forward, "pattern before attention is known, or in its place"),
    row((ParamId::Score, "score.reduction"), ("", "score"), Kind::Choice(SCORES), Cheap, "how the attention a token receives becomes a number"),
    row((ParamId::Window, "score.window"), ("", "queries W"), Kind::Typed, Cheap, "how many of the last queries count"),
    row((ParamId::Contribution, "score.contribution"), ("", "contribution"), Kind::Toggle, Cheap, "weight attention by the size of what it carries, ‖W_O v‖"),
    row((ParamId::Layers, "score.layers"), ("", "layers"), Kind::Typed, Cheap, "layers that count: all, or a list such as 0,3-5"),
    row((ParamId::Heads, "score.heads"), ("", "heads"), Kind::Typed, Cheap, "heads that count: all, or a list such as 0,3-5"),
    row((ParamId::Scale, "mask.scale"), ("", "scale"), Kind::Choice(SCALES), Cheap, "how the score is brought to 0…1"),
    row((ParamId::Protect, "mask.protect"), ("", "protect"), Kind::Choice(PROTECTIONS), Cheap, "which tokens are never masked"),
    row((ParamId::Unit, "mask.unit"), ("", "unit"), Kind::Choice(UNITS), Cheap, "what is masked together"),
    row((ParamId::ExactK, "mask.exact_k"), ("", "exact count"), Kind::Toggle, Cheap, "mask exactly round(rate · eligible) tokens"),
];
