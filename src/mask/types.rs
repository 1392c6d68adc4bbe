//! The words of masking as plain data: settings in, one decision per position out.

use std::ops::Range;

use super::initial::Pattern;
use super::mix::Mix;
use super::presets::CachePolicy;
use crate::settings::{Choice, Kind, choice, settings, text_setting};

choice! {
    /// Which end of the score is masked.
    pub enum Polarity {
        /// mask what is read most: score > τ and draw < p (the article; a regulariser)
        High = "high",
        /// mask what is read least: score < 1−τ and draw < p (what saves compute)
        Low = "low",
        /// ignore the score: draw < (1−τ)·p
        Random = "random",
    }
}
choice! {
    /// How a score is brought to [0, 1].
    pub enum Scale {
        /// rank among the eligible: τ selects 1−τ of them in every text
        /// `(r − ½)/n`.
        Rank = "rank",
        /// how unusual the score is in the calibration texts
        /// CDF of ℓ over the calibration windows.
        Calibrated = "calibrated",
        /// the score itself, on a logarithmic slider
        /// The article's literal attention.
        Raw = "raw",
    }
}
choice! {
    /// What happens to a selected position.
    pub enum Op {
        /// the input embedding is swapped; the position is still attended
        Replace = "replace",
        /// the key is invisible to later queries, in every layer
        Hide = "hide",
        /// the token is removed from the input, which saves compute
        Drop = "drop",
        /// its keys and values leave the cache after they were computed
        Evict = "evict",
        /// it bypasses the middle layers and rejoins at the last
        Skip = "skip",
        /// selected and shown, but the computation is exactly the same as without a mask
        Keep = "keep",
    }
}
choice! {
    /// What a replaced token's embedding becomes.
    pub enum Replacement {
        /// the mean of all token embeddings
        Mean = "mean",
        /// the trained [MASK] row, where the model has one
        /// Kept in `maskscope.safetensors`.
        Mask = "mask",
        /// a random token, all equally likely
        Uniform = "uniform",
        /// a random token, as likely as in running text
        Unigram = "unigram",
        /// the end-of-text token
        EndOfText = "eot",
    }
}
choice! {
    /// What a decision may look at.
    pub enum Scope {
        /// one pass over the whole text: later queries count (look-ahead)
        Whole = "whole",
        /// decided at window boundaries, from the past only
        Block = "block",
    }
}
choice! {
    /// What is masked together.
    pub enum Unit {
        /// every token for itself
        Token = "token",
        /// all pieces of a word together
        Word = "word",
        /// all occurrences of a token together
        Type = "type",
    }
}
choice! {
    /// What becomes of position ids after `drop`.
    pub enum DropPositions {
        /// the remaining tokens close up: positions 0…n−1
        Compact = "compact",
        /// the remaining tokens keep their positions
        Gap = "gap",
    }
}
choice! {
    /// The state of one position after a decision.
    pub enum State {
        Masked = "masked",
        /// Score on the wrong side of τ (too low under `high`).
        Score = "score",
        /// Draw not below p.
        Draw = "draw",
        Protected = "protected",
    }
}
choice! {
    /// Why a position is never masked.
    pub enum Protection {
        First = "first",
        Last = "last",
        Sink = "sink",
        EndOfText = "eot",
        Pinned = "pinned",
        /// No later query reads it, so it has no score.
        Unscored = "unscored",
        /// Among the newest tokens of a rolling window.
        Recent = "recent",
        /// Masked too short a time ago.
        CoolDown = "cool-down",
    }
}

/// What is never masked. Text form: `default`, `none`, or a list such as `first,last:4,sinks,eot`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protect {
    pub first: bool,
    /// The last R tokens.
    pub last: usize,
    pub sinks: bool,
    pub eot: bool,
}

impl Protect {
    pub const NONE: Protect = Protect { first: false, last: 0, sinks: false, eot: false };
}

impl Default for Protect {
    /// The explorer's default: position 0, the last token, detected sinks, the end-of-text token.
    fn default() -> Self {
        Protect { first: true, last: 1, sinks: true, eot: true }
    }
}

impl std::str::FromStr for Protect {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s.trim() {
            "default" => return Ok(Protect::default()),
            "none" => return Ok(Protect::NONE),
            _ => {}
        }
        let mut out = Protect::NONE;
        for part in s.split(',').map(str::trim) {
            match part {
                "first" => out.first = true,
                "sinks" => out.sinks = true,
                "eot" => out.eot = true,
                "last" => out.last = 1,
                _ => match part.strip_prefix("last:").and_then(|n| n.parse().ok()) {
                    Some(n) => out.last = n,
                    None => {
                        return Err(format!(
                            "unknown protection {part:?}; default, none, or a list of first, last:R, sinks, eot"
                        ));
                    }
                },
            }
        }
        Ok(out)
    }
}

impl serde::Serialize for Protect {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Protect {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Display for Protect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Protect::NONE {
            return f.write_str("none");
        }
        if *self == Protect::default() {
            return f.write_str("default");
        }
        let mut parts = Vec::new();
        if self.first {
            parts.push("first".to_owned());
        }
        if self.last > 0 {
            parts.push(format!("last:{}", self.last));
        }
        if self.sinks {
            parts.push("sinks".to_owned());
        }
        if self.eot {
            parts.push("eot".to_owned());
        }
        f.write_str(&parts.join(","))
    }
}

const fn offer(name: &'static str, doc: &'static str) -> Choice {
    Choice { name, doc, was: &[] }
}

text_setting!(
    Protect,
    Kind::terms(
        &["default", "none"],
        || vec!["first", "last", "last:N", "sinks", "eot"],
        &[
            offer("default", "first and last token, detected sinks, end-of-text"),
            offer("first", "the first token only"),
            offer("first,last:4,sinks,eot", "like default, with the last four tokens"),
            offer("none", "nothing: any token may be masked"),
        ]
    )
);

/// Largest whole number that JSON readers keep exact; seeds stay below so that any export can hold them.
pub const MAX_SEED: i64 = (1 << 53) - 1;

settings! {
    /// Which positions are masked, and what happens to them
    /// Everything a decision depends on besides the scores.
    pub struct MaskSettings in "mask" {
        /// A token is a candidate when its score exceeds τ (polarity high)
        threshold: f64 = 0.7, symbol("τ"), range(0.0, 1.0, 0.02, 0.002);
        /// A candidate is masked when its draw falls below p
        probability: f64 = 0.5, symbol("p"), range(0.0, 1.0, 0.02, 0.002);
        /// Seed of the draws; the same seed gives the same draws, whatever else changes
        seed: u64 = 2, whole(0, MAX_SEED);
        /// What happens to a masked token
        op: Op = Op::Replace, label("operation");
        /// Shares of operations, each masked unit drawing its own, e.g. replace:0.8,keep:0.2; empty uses the operation alone
        /// "replace:0.8,replace/uniform:0.1,keep:0.1" is BERT's.
        mix: Option<Mix> = None;
        /// What a replaced token becomes
        replacement: Replacement = Replacement::Mean, label("replace with") => |m| m.op == Op::Replace;
        /// Position ids after tokens were dropped
        drop_positions: DropPositions = DropPositions::Compact, label("positions") => |m| m.op == Op::Drop;
        /// Which end of the score is masked
        polarity: Polarity = Polarity::High;
        /// What a decision may look at
        scope: Scope = Scope::Whole;
        /// How the score is brought to 0…1
        scale: Scale = Scale::Rank;
        /// Which tokens are never masked; default is first,last:1,sinks,eot
        protect: Protect = Protect::default();
        /// What is masked together
        unit: Unit = Unit::Token;
        /// Mask exactly round(rate · eligible) tokens instead of each by its own draw
        exact_k: bool = false, label("exact count");
    } with {
        /// Regions the user pinned; never masked.
        pinned: Vec<Range<usize>> = Vec::new();
    }
}

impl MaskSettings {
    /// The article, exactly as printed: literal attention, nothing protected, τ 0.9, p 0.5, replace. Its score is
    /// [`ScoreSettings::article`](crate::attention::types::ScoreSettings::article).
    pub fn article(seed: u64) -> Self {
        MaskSettings {
            threshold: 0.9,
            scale: Scale::Raw,
            protect: Protect::NONE,
            seed,
            ..MaskSettings::default()
        }
    }

    /// The rate that rank scale and random polarity are expected to reach: `(1−τ)·p`.
    pub fn nominal_rate(&self) -> f64 {
        (1.0 - self.threshold) * self.probability
    }
}

impl Op {
    /// Whether it can be decided block by block: a token that was read already cannot be replaced, dropped or skipped
    /// afterwards.
    pub fn works_in_blocks(self) -> bool {
        match self {
            Op::Hide | Op::Evict | Op::Keep => true,
            Op::Replace | Op::Drop | Op::Skip => false,
        }
    }

    /// What happens to a masked token, to follow "masked: ".
    pub fn consequence(self, settings: &MaskSettings) -> String {
        match self {
            Op::Replace => format!("its embedding is replaced ({})", settings.replacement),
            Op::Hide => "later tokens cannot read it".to_owned(),
            Op::Drop => format!("removed from the input (positions {})", settings.drop_positions),
            Op::Evict => "its keys and values leave the cache".to_owned(),
            Op::Skip => "it bypasses the middle layers".to_owned(),
            Op::Keep => "counted and shown, but computed as if it were not".to_owned(),
        }
    }
}

/// The rule behind a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum DecisionRule {
    /// Score against τ and draw against p.
    #[default]
    Threshold,
    /// Exactly `k` units: those past τ first, by draw.
    Exact { k: usize },
    /// An initial pattern, before any attention; `rate` of all positions in expectation.
    Pattern { pattern: Pattern, rate: f64 },
    /// A cache policy that keeps `budget` of the tokens seen; `heads` is how many heads each keep their own, `None` where
    /// one token set serves all.
    Budget { preset: CachePolicy, budget: usize, heads: Option<usize> },
}

/// What was decided about one position, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionDecision {
    pub state: State,
    /// Why it is protected, where it is.
    pub protection: Option<Protection>,
    /// The number compared with τ; `None` when protected or undefined.
    pub score: Option<f64>,
    /// 1 = highest score among the eligible; `None` when protected.
    pub rank: Option<usize>,
    /// `P_i` in [0, 1).
    pub draw: f64,
    /// The operation, where masked.
    pub op: Option<Op>,
    /// What replaces it, where `op` is `replace`.
    pub replacement: Option<Replacement>,
    /// First position of the unit it is masked with; its own under `token`.
    pub unit: usize,
    /// What the history took off (negative: added to) the scaled score.
    pub history: f64,
    /// Heads that keep it, where every head decides for itself.
    pub heads: Option<usize>,
}

/// One decision over one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub positions: Vec<PositionDecision>,
    /// Positions that could have been masked.
    pub eligible: usize,
    pub selected: usize,
    /// Units that could have been masked: the `n` of `(r − ½)/n`.
    pub units: usize,
    /// The scale in force: `rank` where `calibrated` was asked for without a calibration.
    pub scale: Scale,
    pub rule: DecisionRule,
}

impl Decision {
    /// Share of the eligible positions that were masked; 0 when none is eligible.
    pub fn rate(&self) -> f64 {
        if self.eligible == 0 { 0.0 } else { self.selected as f64 / self.eligible as f64 }
    }

    /// Masked positions, ascending.
    pub fn masked(&self) -> Vec<usize> {
        let is_masked = |i: &usize| self.positions[*i].state == State::Masked;
        (0..self.positions.len()).filter(is_masked).collect()
    }

    /// The same selection under one other operation: what the effect panel compares.
    pub fn with_op(&self, op: Op, replacement: Replacement) -> Decision {
        let mut out = self.clone();
        for position in out.positions.iter_mut().filter(|p| p.state == State::Masked) {
            position.op = Some(op);
            position.replacement = (op == Op::Replace).then_some(replacement);
        }
        out
    }
}
