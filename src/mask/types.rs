//! The words of masking as plain data: settings in, one decision per position out.

use std::ops::Range;

use super::initial::Pattern;
use super::mix::Mix;
use super::presets::Preset;
use crate::named::named;

named! {
    /// Which end of the score is masked.
    Polarity {
        /// What is read most (the article; a regulariser).
        High = "high",
        /// What is read least (what saves compute).
        Low = "low",
        /// The score is ignored.
        Random = "random",
    }
}
named! {
    /// How a score is brought to [0, 1].
    Scale {
        /// `(r − ½)/n` among the eligible positions.
        Rank = "rank",
        /// CDF of ℓ over the calibration windows.
        Calibrated = "calibrated",
        /// The article's literal attention.
        Raw = "raw",
    }
}
named! {
    /// What happens to a selected position.
    Op {
        Replace = "replace",
        /// Key invisible to later queries in all layers.
        Hide = "hide",
        /// Removed from the input.
        Drop = "drop",
        /// K and V leave the cache after having been computed.
        Evict = "evict",
        /// Bypasses the middle layers, rejoins at the last.
        Skip = "skip",
        /// Selected and shown; the computation is untouched.
        Keep = "keep",
    }
}
named! {
    /// What a replaced token's embedding becomes.
    Replacement {
        /// The mean of all rows of `wte`.
        Mean = "mean",
        /// The trained `[MASK]` row of `maskscope.safetensors`, where the model has one.
        Mask = "mask",
        Uniform = "uniform",
        Unigram = "unigram",
        EndOfText = "eot",
    }
}
named! {
    /// What a decision may look at.
    Scope {
        /// One pass over the whole text: later queries count (look-ahead).
        Whole = "whole",
        /// Decided at window boundaries from the past only.
        Block = "block",
    }
}
named! {
    /// What is masked together.
    Unit { Token = "token", Word = "word", Type = "type" }
}
named! {
    /// What becomes of position ids after `drop`.
    DropPositions { Compact = "compact", Gap = "gap" }
}
named! {
    /// The state of one position after a decision.
    State {
        Masked = "masked",
        /// Score on the wrong side of τ (too low under `high`).
        Score = "score",
        /// Draw not below p.
        Draw = "draw",
        Protected = "protected",
    }
}
named! {
    /// Why a position is never masked.
    Protection {
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
    /// The explorer's default: position 0, the last token, detected sinks, `<|endoftext|>`.
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

/// Everything a decision depends on besides the scores.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MaskSettings {
    /// τ in [0, 1].
    pub threshold: f64,
    /// p in [0, 1].
    pub probability: f64,
    pub seed: u64,
    pub polarity: Polarity,
    pub scale: Scale,
    pub op: Op,
    pub replacement: Replacement,
    /// Each selected unit draws its own operation; `op` and `replacement` are then the mix's defaults.
    pub mix: Option<Mix>,
    pub drop_positions: DropPositions,
    pub protect: Protect,
    pub scope: Scope,
    pub unit: Unit,
    /// Take exactly round(rate·n) units.
    pub exact_k: bool,
    /// Regions the user pinned; never masked.
    pub pinned: Vec<Range<usize>>,
}

impl Default for MaskSettings {
    /// The explorer's: rank, τ 0.70, p 0.50, high, replace by the mean embedding, whole text.
    fn default() -> Self {
        MaskSettings {
            threshold: 0.7,
            probability: 0.5,
            seed: 1,
            polarity: Polarity::High,
            scale: Scale::Rank,
            op: Op::Replace,
            replacement: Replacement::Mean,
            mix: None,
            drop_positions: DropPositions::Compact,
            protect: Protect::default(),
            scope: Scope::Whole,
            unit: Unit::Token,
            exact_k: false,
            pinned: Vec::new(),
        }
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
    /// The polarity that goes with an operation unless told otherwise: replacing trains on what is read most,
    /// deleting saves what is read least.
    pub fn default_polarity(self) -> Polarity {
        match self {
            Op::Replace | Op::Keep => Polarity::High,
            Op::Hide | Op::Drop | Op::Evict | Op::Skip => Polarity::Low,
        }
    }
}

/// What decided who is masked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Rule {
    /// Score against τ and draw against p.
    #[default]
    Threshold,
    /// Exactly `k` units: those past τ first, by draw.
    Exact { k: usize },
    /// An initial pattern, before any attention; `rate` of all positions in expectation.
    Pattern { pattern: Pattern, rate: f64 },
    /// A cache policy that keeps `budget` of the tokens seen; `heads` is how many heads each keep their own, `None` where
    /// one token set serves all.
    Budget { preset: Preset, budget: usize, heads: Option<usize> },
}

/// What was decided about one position, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionDecision {
    pub state: State,
    /// Why it is protected, where it is.
    pub protection: Option<Protection>,
    /// The number compared with τ; `None` when protected or undefined.
    pub score: Option<f64>,
    /// 1 = lowest score among the eligible; `None` when protected.
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
    pub rule: Rule,
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
