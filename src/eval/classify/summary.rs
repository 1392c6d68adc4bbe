//! What a folder of rows says: every arm's figures, and the declared contrasts with their verdicts.

use std::fmt;

use serde::Serialize;

use super::{ClassifyFolder, ClassifyRow};
use crate::eval::stats::{Aim, Bootstrap, Interval, PairedTest, PairedVerdict, t_interval};
use crate::train::spec::Arm;

/// One arm over the seeds that are finished for all arms.
#[derive(Clone, Debug, Serialize)]
pub struct ArmScores {
    /// `naive Bayes` or an arm.
    pub name: String,
    pub accuracy: Ends,
    pub macro_f1: Ends,
    /// Mean share of the eligible tokens that was masked.
    pub rate: f64,
}

/// A mean with its interval; no ends while there are too few seeds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ends {
    pub value: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// A declared contrast of arms in one measure, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Contrast {
    pub name: &'static str,
    pub measure: &'static str,
    /// By Student's t over seeds.
    pub difference: Ends,
    /// For accuracy: by resampling seeds, and held-out texts within each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Ends>,
    pub p_holm: f64,
    pub p_equivalent: f64,
    /// `better`, `worse`, `equivalent` or `undecided`.
    pub verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_seeds: Option<usize>,
    /// The verdict in words.
    pub said: String,
}

/// The results of an experiment.
#[derive(Clone, Debug, Serialize)]
pub struct Summarised {
    /// Seeds that are finished for all arms.
    pub seeds: usize,
    pub arms: Vec<ArmScores>,
    pub contrasts: Vec<Contrast>,
    /// How the verdicts were reached.
    pub procedure: String,
}

impl fmt::Display for Ends {
    /// `0.7104 [0.7010, 0.7198]`, with signs where asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = f.sign_plus();
        let number = |x: f64| if signed { format!("{x:+.4}") } else { format!("{x:.4}") };
        f.write_str(&number(self.value))?;
        match (self.low, self.high) {
            (Some(low), Some(high)) => write!(f, " [{}, {}]", number(low), number(high)),
            _ => Ok(()),
        }
    }
}

impl From<Interval> for Ends {
    fn from(i: Interval) -> Self {
        let end = |x: f64| x.is_finite().then_some(x);
        Ends { value: i.value, low: end(i.low), high: end(i.high) }
    }
}

/// A contrast: arms with their weights.
type Weighted = (&'static str, &'static [(Arm, f64)]);

/// The two effects of the 2×2 and their interaction, then what masking does at all.
const CONTRASTS: [Weighted; 4] = [
    (
        "dynamic − static",
        &[(Arm::DynAttnHigh, 0.5), (Arm::DynRand, 0.5), (Arm::StaticAttn, -0.5), (Arm::Static1, -0.5)],
    ),
    (
        "attention − random",
        &[(Arm::DynAttnHigh, 0.5), (Arm::StaticAttn, 0.5), (Arm::DynRand, -0.5), (Arm::Static1, -0.5)],
    ),
    (
        "interaction",
        &[(Arm::DynAttnHigh, 1.0), (Arm::StaticAttn, -1.0), (Arm::DynRand, -1.0), (Arm::Static1, 1.0)],
    ),
    ("dynamic attention − no masks", &[(Arm::DynAttnHigh, 1.0), (Arm::None, -1.0)]),
];

/// Reads a figure off a row.
type Measure = fn(&ClassifyRow) -> f64;

/// A contrast in one measure.
struct ContrastOf {
    name: &'static str,
    measure: &'static str,
    of: Measure,
    arms: &'static [(Arm, f64)],
}

impl ClassifyFolder {
    /// The rows of one arm (none: naive Bayes) under the seeds that are finished for all of them.
    fn finished(&self, arm: Option<Arm>) -> Vec<&ClassifyRow> {
        let done = self.seeds().filter(|seed| self.left(*seed).is_empty());
        done.filter_map(|seed| self.rows.iter().find(|row| row.seed == seed && row.arm == arm)).collect()
    }

    /// Figures, intervals and verdicts over the finished seeds.
    pub fn summary(&self) -> Summarised {
        let names = std::iter::once(None).chain(self.plan.arms.iter().copied().map(Some));
        let arms: Vec<ArmScores> = names.map(|arm| scores(arm, &self.finished(arm))).collect();
        let declared: Vec<Weighted> = CONTRASTS
            .into_iter()
            .filter(|(_, of)| of.iter().all(|(arm, _)| self.plan.arms.contains(arm)))
            .collect();
        let measures: [(&str, Measure); 2] =
            [("accuracy", |row| row.accuracy), ("macro F1", |row| row.macro_f1)];
        let asked: Vec<ContrastOf> = measures
            .iter()
            .flat_map(|(measure, of)| {
                declared.iter().map(|(name, arms)| ContrastOf { name, measure, of: *of, arms })
            })
            .collect();
        let differences: Vec<Vec<f64>> = asked.iter().map(|a| self.weighted(a.arms, a.of)).collect();
        let test = PairedTest { epsilon: self.plan.epsilon, aim: Aim::Higher, ..PairedTest::default() };
        let judged = test.judge(&differences);
        let contrasts = asked.iter().zip(&judged).map(|(asked, found)| self.contrast(asked, found)).collect();
        let seeds = self.finished(None).len();
        Summarised { seeds, arms, contrasts, procedure: test.procedure(asked.len()) }
    }

    fn contrast(&self, asked: &ContrastOf, found: &PairedVerdict) -> Contrast {
        let groups = if asked.measure == "accuracy" { self.by_text(asked.arms) } else { Vec::new() };
        let bootstrap = (groups.len() > 1).then(|| Bootstrap::default().hierarchical(&groups)).flatten();
        Contrast {
            name: asked.name,
            measure: asked.measure,
            difference: found.interval.into(),
            bootstrap: bootstrap.map(Ends::from),
            p_holm: found.p_holm,
            p_equivalent: found.p_equivalent,
            verdict: found.verdict.word(),
            more_seeds: found.verdict.more(),
            said: found.verdict.to_string(),
        }
    }

    /// A contrast seed by seed.
    fn weighted(&self, of: &[(Arm, f64)], measure: Measure) -> Vec<f64> {
        let seeds = self.finished(None).len();
        let mut out = vec![0.0; seeds];
        for (arm, weight) in of {
            for (sum, row) in out.iter_mut().zip(self.finished(Some(*arm))) {
                *sum += weight * measure(row);
            }
        }
        out
    }

    /// A contrast of right answers, seed by seed and held-out text by held-out text.
    fn by_text(&self, of: &[(Arm, f64)]) -> Vec<Vec<f64>> {
        let mut out: Vec<Vec<f64>> =
            self.finished(None).iter().map(|row| vec![0.0; row.right.len()]).collect();
        for (arm, weight) in of {
            for (sums, row) in out.iter_mut().zip(self.finished(Some(*arm))) {
                for (sum, right) in sums.iter_mut().zip(&row.right) {
                    *sum += weight * f64::from(u8::from(*right));
                }
            }
        }
        out
    }
}

fn scores(arm: Option<Arm>, rows: &[&ClassifyRow]) -> ArmScores {
    let ends = |measure: fn(&ClassifyRow) -> f64| -> Ends {
        let values: Vec<f64> = rows.iter().map(|row| measure(row)).collect();
        let value = values.iter().sum::<f64>() / values.len().max(1) as f64;
        t_interval(&values, 0.95).map_or(Ends { value, low: None, high: None }, Ends::from)
    };
    ArmScores {
        name: arm.map_or("naive Bayes".to_owned(), |arm| arm.to_string()),
        accuracy: ends(|row| row.accuracy),
        macro_f1: ends(|row| row.macro_f1),
        rate: ends(|row| row.rate).value,
    }
}
