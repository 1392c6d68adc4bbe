//! Whether two arms mask differently at all, from which visit to a sequence on, and how many passes a comparison needs.
//! Pure: it follows the rules by which arms decide, and runs nothing.

use super::TwinSpec;
use crate::mask::types::Op;
use crate::train::TrainError;
use crate::train::arm::rate::factor;
use crate::train::arm::{At, PATTERNS};
use crate::train::report::Compared;
use crate::train::run::StepMarks;
use crate::train::spec::{Arm, MaskingSpec, RunSpec, ScoreFrom};

/// Share of the visits that must be masked by different rules: with less, most of a run is the same for both arms.
pub const ENOUGH: f64 = 0.5;
/// Most passes that are looked at before two arms count as the same.
const MOST_PASSES: usize = 1000;
/// Steps that stand for a longer run.
const SAMPLED: usize = 4096;

/// What tells tokens apart at one visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArmRule {
    Random,
    Attention(Arm),
    Rare,
    Pairs,
}

/// What decides at visit number `visit` (from 0): the rule, the address of its draws, the operation; `None` where nothing
/// changes what the model computes.
fn decided(masking: &MaskingSpec, visit: u32) -> Option<(ArmRule, u32, Op)> {
    if masking.op == Op::Keep || masking.rate == 0.0 {
        return None;
    }
    let unread = visit == 0 && masking.score_from == ScoreFrom::LastVisit;
    let (rule, draws) = match masking.arm {
        Arm::None => return None,
        Arm::Static1 => (ArmRule::Random, 0),
        Arm::Static10 => (ArmRule::Random, visit % PATTERNS),
        Arm::StaticAttn => (ArmRule::Attention(Arm::StaticAttn), 0),
        Arm::DynRand => (ArmRule::Random, visit),
        // No attention was seen yet: a first visit is masked at random.
        Arm::DynAttnHigh | Arm::DynAttnLow if unread => (ArmRule::Random, visit),
        arm @ (Arm::DynAttnHigh | Arm::DynAttnLow) => (ArmRule::Attention(arm), visit),
        Arm::DynSalient => (ArmRule::Rare, visit),
        Arm::DynPair => (ArmRule::Pairs, visit),
    };
    Some((rule, draws, masking.op))
}

/// Whether two arms decide by different rules or draws at this visit.
pub fn differ(a: &MaskingSpec, b: &MaskingSpec, visit: u32) -> bool {
    decided(a, visit) != decided(b, visit)
}

/// How far a run comes through its text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    pub steps: usize,
    /// Sequences that a step visits.
    pub per_step: usize,
    /// Sequences of the training text.
    pub sequences: usize,
}

impl Course {
    /// Passes over the text.
    pub fn passes(&self) -> f64 {
        (self.steps * self.per_step) as f64 / self.sequences.max(1) as f64
    }

    /// The steps that so many passes take.
    fn steps_of(&self, passes: usize) -> usize {
        (passes * self.sequences).div_ceil(self.per_step.max(1))
    }

    /// Share of the masking, weighed by its rate over the run, that is done while the arms follow different rules.
    pub fn share(&self, a: &MaskingSpec, b: &MaskingSpec) -> f64 {
        let samples = self.steps.min(SAMPLED);
        let (mut different, mut all) = (0.0, 0.0);
        for i in 0..samples {
            let step = ((i as f64 + 0.5) * self.steps as f64 / samples as f64) as usize;
            let at = (step as f64 + 0.5) * self.per_step as f64 / self.sequences.max(1) as f64;
            let weight = factor(a.schedule, a.cool_down, At { step, steps: self.steps });
            all += weight;
            different += if differ(a, b, at as u32) { weight } else { 0.0 };
        }
        if all == 0.0 { 0.0 } else { different / all }
    }

    /// The fewest whole passes in which the arms differ enough; `None` where they never do.
    pub fn passes_needed(&self, a: &MaskingSpec, b: &MaskingSpec) -> Option<usize> {
        let most = |visit: u32| differ(a, b, visit);
        if !(0..=MOST_PASSES as u32).any(most) {
            return None;
        }
        (1..=MOST_PASSES)
            .find(|&passes| Course { steps: self.steps_of(passes), ..*self }.share(a, b) >= ENOUGH)
    }
}

/// Refuses twins of which a pair cannot differ enough.
///
/// # Errors
/// The pair, why it is alike, and how many passes and steps it needs.
pub fn check(twins: &TwinSpec, spec: &RunSpec, course: &Course) -> Result<(), TrainError> {
    let names = twins.names();
    let masking: Vec<MaskingSpec> = (0..names.len()).map(|i| twins.arm(spec, i, 0).masking).collect();
    for (i, j) in super::pairs(names.len()) {
        let (a, b) = (&masking[i], &masking[j]);
        if course.share(a, b) >= ENOUGH {
            continue;
        }
        let both = format!("{} and {}", names[i], names[j]);
        return Err(match course.passes_needed(a, b) {
            None => TrainError::Setup {
                problem: format!(
                    "{both} are trained alike however long they run: there is nothing to compare"
                ),
                hint: Some("name other arms, another operation, or a mask rate above 0".to_owned()),
            },
            Some(passes) => TrainError::Setup {
                problem: format!(
                    "{both} would hardly differ: {}, and this run makes {:.1} passes over the text",
                    alike(a, b),
                    course.passes()
                ),
                hint: Some(hint(course, passes, (a, b))),
            },
        });
    }
    Ok(())
}

/// In which visits two arms are alike, in words.
fn alike(a: &MaskingSpec, b: &MaskingSpec) -> String {
    let first = (0..=MOST_PASSES as u32).find(|&visit| differ(a, b, visit)).unwrap_or(0);
    let random = a.arm != b.arm && [a, b].iter().any(|m| matches!(m.arm, Arm::DynAttnHigh | Arm::DynAttnLow));
    match first {
        0 => "they mask alike in most visits to a text".to_owned(),
        1 if random => {
            "at a first visit there is no attention to go by yet, so both mask at random".to_owned()
        }
        1 => "they mask the first visit to a text alike".to_owned(),
        n => format!("they mask the first {n} visits to a text alike"),
    }
}

fn hint(course: &Course, passes: usize, (a, b): (&MaskingSpec, &MaskingSpec)) -> String {
    let steps = course.steps_of(passes);
    let mut text = format!("they need {passes} passes: {steps} steps on this text, or less text");
    let fresh = |m: &MaskingSpec| MaskingSpec { score_from: ScoreFrom::Fresh, ..m.clone() };
    if a.score_from == ScoreFrom::LastVisit && course.share(&fresh(a), &fresh(b)) >= ENOUGH {
        text.push_str("; scores from fresh (--score-from fresh) decide from the first visit on");
    }
    text
}

/// What two arms did differently in one step. Visits at which both follow the same rule count as alike, whatever their
/// draws.
pub fn compared(
    (a, first): (&StepMarks, &MaskingSpec),
    (b, second): (&StepMarks, &MaskingSpec),
    context: usize,
) -> Compared {
    let mut out = Compared::default();
    let sequences = a.codes.chunks(context).zip(b.codes.chunks(context)).zip(&a.passes);
    for ((x, y), &pass) in sequences {
        let parted = differ(first, second, pass);
        out.visits += 1;
        out.again += u64::from(pass > 0);
        out.masked += x.iter().zip(y).filter(|(x, y)| **x != 0 || **y != 0).count() as u64;
        out.differently += x.iter().zip(y).filter(|(x, y)| parted && x != y).count() as u64;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masking(arm: Arm) -> MaskingSpec {
        MaskingSpec { arm, ..MaskingSpec::default() }
    }

    fn course(passes: f64) -> Course {
        Course { steps: (passes * 50.0) as usize, per_step: 2, sequences: 100 }
    }

    #[test]
    fn arms_differ_from_the_visit_at_which_their_rules_part() {
        let needed = |a, b| course(1.0).passes_needed(&masking(a), &masking(b));
        assert_eq!(needed(Arm::Static1, Arm::DynRand), Some(2));
        assert_eq!(needed(Arm::Static10, Arm::DynRand), Some(20));
        assert_eq!(needed(Arm::DynAttnHigh, Arm::DynRand), Some(2));
        assert_eq!(needed(Arm::DynAttnHigh, Arm::DynAttnLow), Some(2));
        assert_eq!(needed(Arm::None, Arm::Static1), Some(1));
        assert_eq!(needed(Arm::StaticAttn, Arm::DynRand), Some(1));
        assert_eq!(needed(Arm::DynRand, Arm::DynRand), None);
        let keep = MaskingSpec { op: Op::Keep, ..masking(Arm::DynRand) };
        assert_eq!(course(1.0).passes_needed(&keep, &masking(Arm::None)), None, "keep changes nothing");
        let fresh = |arm| MaskingSpec { score_from: ScoreFrom::Fresh, ..masking(arm) };
        assert_eq!(course(1.0).passes_needed(&fresh(Arm::DynAttnHigh), &fresh(Arm::DynRand)), Some(1));
    }

    #[test]
    fn the_share_follows_passes_schedule_and_cool_down() {
        let share = |passes, a: &MaskingSpec, b: &MaskingSpec| course(passes).share(a, b);
        let (fixed, drawn) = (masking(Arm::Static1), masking(Arm::DynRand));
        assert_eq!(share(1.0, &fixed, &drawn), 0.0);
        assert!((share(4.0, &fixed, &drawn) - 0.75).abs() < 0.01);
        let clean = |m: &MaskingSpec| MaskingSpec { cool_down: 0.5, ..m.clone() };
        assert_eq!(share(2.0, &clean(&fixed), &clean(&drawn)), 0.0, "the second pass is clean");
    }
}
