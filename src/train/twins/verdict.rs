//! What is reported of twins: every step, every evaluation, and the verdict on a pair of arms with everything it rests on.
//! Plain data.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::eval::stats::{Judged, Verdict};
use crate::support::units::count;

/// The word for a pair of arms that were masked alike.
pub const NOT_COMPARED: &str = "not compared";

/// One step of every arm of twins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TwinStep {
    /// From 1.
    pub seed: usize,
    /// Of this seed, from 1.
    pub step: usize,
    /// Nats per token by arm, and the resulting mask rates.
    pub losses: Vec<f64>,
    pub realised: Vec<f64>,
    /// Of all arms and seeds so far.
    pub tokens: u64,
    pub tokens_per_second: f64,
    /// Seconds left for all seeds.
    pub eta: Option<f64>,
}

/// One arm against an earlier one on the same held-out documents, for the models as they are now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwinDifference {
    /// Index of the arm, from 1.
    pub arm: usize,
    /// Index of the arm it is compared with, which is smaller.
    #[serde(default)]
    pub against: usize,
    /// Nats per token, arm minus the other; every token counts the same.
    pub value: f64,
    /// Confidence sequence of the mean over documents, which says how sure it is of these two *models*; none while there
    /// are too few documents.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub documents: usize,
    /// Documents on which the two models differ at all.
    pub differing: usize,
}

/// How much two arms really did differently, counted step by step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Positions that one of the two masked at least.
    pub masked: u64,
    /// Those of them that the two treated differently, at visits where they follow different rules.
    pub differently: u64,
    /// Visits to sequences, and those of them that were not the first.
    pub visits: u64,
    pub again: u64,
}

impl Compared {
    pub fn add(&mut self, other: Compared) {
        self.masked += other.masked;
        self.differently += other.differently;
        self.visits += other.visits;
        self.again += other.again;
    }
}

/// What a verdict rests on, besides its seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerdictBasis {
    /// Over all seeds that count.
    pub compared: Compared,
    /// Passes over the text under each seed.
    pub passes: f64,
    /// Nats per token below which a difference does not matter.
    pub epsilon: f64,
    /// The held-out text, in words.
    pub held_out: String,
}

impl fmt::Display for VerdictBasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.compared;
        let n = |x: u64| count(x as usize);
        write!(f, "masked differently: {} of {} positions", n(c.differently), n(c.masked))?;
        write!(f, "; {} of {} visits after the first", n(c.again), n(c.visits))?;
        write!(f, "; {:.1} passes; ε {}; {}", self.passes, self.epsilon, self.held_out)
    }
}

/// The verdict on an arm against an earlier one, over finished seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TwinVerdict {
    pub arm: String,
    pub against: String,
    /// Mean over seeds, nats per token, arm minus the other.
    pub difference: f64,
    /// Confidence sequence of that mean; none while there are too few seeds.
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// `better`, `worse`, `equivalent`, `undecided` or `not compared`.
    pub verdict: String,
    /// About how many more seeds would settle it, where that can be told.
    pub more_seeds: Option<usize>,
    pub seeds: usize,
    #[serde(default)]
    pub basis: VerdictBasis,
}

impl TwinVerdict {
    /// A verdict in its words, with the interval and all else that it rests on.
    pub fn new(judged: Judged, (arm, against): (&str, &str), seeds: usize, basis: VerdictBasis) -> Self {
        let end = |x: f64| x.is_finite().then_some(x);
        let word = judged.verdict.map_or(NOT_COMPARED, Verdict::word);
        let more = judged.verdict.and_then(Verdict::more);
        TwinVerdict {
            arm: arm.to_owned(),
            against: against.to_owned(),
            difference: judged.interval.value,
            low: end(judged.interval.low),
            high: end(judged.interval.high),
            verdict: word.to_owned(),
            more_seeds: more,
            seeds,
            basis,
        }
    }
}

impl fmt::Display for TwinVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} against {}: {}", self.arm, self.against, self.verdict)?;
        if self.verdict == NOT_COMPARED {
            return f.write_str(", both were masked alike");
        }
        match self.more_seeds {
            Some(1) => f.write_str(" (about 1 more seed needed)")?,
            Some(n) => write!(f, " (about {n} more seeds needed)")?,
            None => {}
        }
        write!(f, ", {:+.4}", self.difference)?;
        if let (Some(low), Some(high)) = (self.low, self.high) {
            write!(f, " [{low:+.4}, {high:+.4}]")?;
        }
        write!(f, " nats per token over {} seed{}", self.seeds, if self.seeds == 1 { "" } else { "s" })
    }
}

/// How a comparison of arms ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TwinSummary {
    pub arms: Vec<String>,
    /// Finished seeds; one that was cut off does not count.
    pub seeds: usize,
    pub verdicts: Vec<TwinVerdict>,
    /// Why there is no verdict, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<String>,
}

/// The held-out text in words: where it is from and how much of it there is.
pub fn held_out((train, validation): (&[PathBuf], &[PathBuf]), documents: usize, tokens: usize) -> String {
    let names = |paths: &[PathBuf]| {
        let name = |p: &PathBuf| {
            p.file_name().map_or_else(|| p.display().to_string(), |n| n.to_string_lossy().into_owned())
        };
        paths.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let from = match (train.is_empty(), validation.is_empty()) {
        (_, false) => format!(" of {}", names(validation)),
        (false, true) => format!(" held out of {}", names(train)),
        (true, true) => " held out".to_owned(),
    };
    format!("{documents} documents, {} tokens{from}", count(tokens))
}
