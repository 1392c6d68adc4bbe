//! The four verdicts, and how each procedure comes to one.

use super::Interval;

/// The verdict on an arm against another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Better,
    Worse,
    /// Within ±ε.
    Equivalent,
    /// About how many more seeds would settle it, where that can be told.
    Undecided {
        more: Option<usize>,
    },
}

/// Which direction of a measure is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Losses.
    Lower,
    /// Accuracy, F1.
    Higher,
}

/// What a procedure found, each at its own level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The mean difference, arm minus reference.
    pub value: f64,
    /// It lies within ±ε.
    pub equivalent: bool,
    /// It is not 0.
    pub differs: bool,
}

impl Verdict {
    /// A difference that is there but smaller than ε does not matter: equivalence comes first. `more` tells how many more
    /// seeds an undecided one needs.
    pub fn of(finding: Evidence, aim: Aim, more: impl FnOnce() -> Option<usize>) -> Self {
        if finding.equivalent {
            return Verdict::Equivalent;
        }
        if !finding.differs {
            return Verdict::Undecided { more: more() };
        }
        let good = (finding.value < 0.0) == (aim == Aim::Lower);
        if good { Verdict::Better } else { Verdict::Worse }
    }

    /// `better`, `worse`, `equivalent` or `undecided`.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Equivalent => "equivalent",
            Verdict::Undecided { .. } => "undecided",
        }
    }

    /// About how many more seeds would settle it, where it is undecided and that can be told.
    pub fn more(self) -> Option<usize> {
        match self {
            Verdict::Undecided { more } => more,
            Verdict::Better | Verdict::Worse | Verdict::Equivalent => None,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())?;
        match self.more() {
            None => Ok(()),
            Some(1) => f.write_str(" (about 1 more seed needed)"),
            Some(n) => write!(f, " (about {n} more seeds needed)"),
        }
    }
}

/// A verdict and the interval it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Of the mean difference, arm minus reference.
    pub interval: Interval,
    /// None where the two were never treated differently, so that nothing was compared.
    pub verdict: Option<Verdict>,
}
