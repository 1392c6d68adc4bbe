//! The line of reasoning for one token: from score and draw to its state, in numbers and in a sentence. Pure.

use crate::mask::types::{
    Decision, DecisionRule, MaskSettings, Op, Polarity, PositionDecision, Protection, State,
};

/// One comparison of the rule: a value against a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    pub value: f64,
    pub limit: f64,
    /// Whether the value must be above the limit to pass.
    pub above: bool,
}

impl Test {
    pub fn passes(&self) -> bool {
        if self.above { self.value > self.limit } else { self.value < self.limit }
    }

    /// The sign that holds between value and limit, e.g. `>`.
    pub fn sign(&self) -> &'static str {
        match (self.above, self.passes()) {
            (true, true) | (false, false) if self.value == self.limit => "=",
            (true, true) => ">",
            (true, false) => "≤",
            (false, true) => "<",
            (false, false) => "≥",
        }
    }
}

/// Why one position is in the state it is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    pub state: State,
    /// Score against τ; `None` when protected, undefined or ignored.
    pub score: Option<Test>,
    /// Draw against p; `None` when protected.
    pub draw: Option<Test>,
    /// Rank among the eligible, and how many there are.
    pub rank: Option<(usize, usize)>,
    /// The verdict in words.
    pub sentence: String,
}

/// Explains position `i`.
pub fn explain(mask: &MaskSettings, decision: &Decision, i: usize) -> Option<Why> {
    let d = decision.positions.get(i)?;
    if !matches!(decision.rule, DecisionRule::Threshold | DecisionRule::Exact { .. }) {
        // Neither τ nor p was asked.
        let rank = d.rank.map(|r| (r, decision.units));
        let sentence = crate::mask::reason::reason(mask, decision, i);
        return Some(Why { state: d.state, score: None, draw: None, rank, sentence });
    }
    let protected = d.state == State::Protected;
    let score = match mask.polarity {
        Polarity::High => d.score.map(|value| Test { value, limit: mask.threshold, above: true }),
        Polarity::Low => d.score.map(|value| Test { value, limit: 1.0 - mask.threshold, above: false }),
        Polarity::Random => None,
    };
    let limit = match mask.polarity {
        Polarity::Random => (1.0 - mask.threshold) * mask.probability,
        _ => mask.probability,
    };
    let draw = (!protected).then_some(Test { value: d.draw, limit, above: false });
    let rank = d.rank.map(|r| (r, decision.eligible));
    Some(Why {
        state: d.state,
        score: score.filter(|_| !protected),
        draw,
        rank,
        sentence: sentence(mask, d, score, limit),
    })
}

fn sentence(mask: &MaskSettings, d: &PositionDecision, score: Option<Test>, limit: f64) -> String {
    match d.state {
        State::Masked => format!("masked: {}", consequence(d.op.unwrap_or(mask.op), mask)),
        State::Score if mask.exact_k => "kept: beyond the exact count".to_owned(),
        State::Score => match score {
            Some(t) if t.above => format!("kept: its score {:.3} does not exceed τ {:.3}", t.value, t.limit),
            Some(t) => format!("kept: its score {:.3} is not below 1−τ {:.3}", t.value, t.limit),
            None => "kept: its score is on the other side of τ".to_owned(),
        },
        State::Draw if mask.exact_k => "kept: its draw is beyond the exact count".to_owned(),
        State::Draw => format!("kept: its draw {:.3} is not below {:.3}", d.draw, limit),
        State::Protected => format!("never masked: {}", reason(d.protection)),
    }
}

fn consequence(op: Op, mask: &MaskSettings) -> String {
    match op {
        Op::Replace => format!("its embedding is replaced ({})", mask.replacement),
        Op::Hide => "later tokens cannot read it".to_owned(),
        Op::Drop => format!("removed from the input (positions {})", mask.drop_positions),
        Op::Evict => "its keys and values leave the cache".to_owned(),
        Op::Skip => "it bypasses the middle layers".to_owned(),
        Op::Keep => "counted and shown, but computed as if it were not".to_owned(),
    }
}

/// A protection in words.
pub fn reason(protection: Option<Protection>) -> &'static str {
    match protection {
        Some(Protection::First) => "the first token is protected",
        Some(Protection::Last) => "the last tokens are protected",
        Some(Protection::Sink) => "it is an attention sink",
        Some(Protection::EndOfText) => "end-of-text is protected",
        Some(Protection::Pinned) => "you pinned it",
        Some(Protection::Unscored) => "no later token reads it, so it has no score",
        Some(Protection::Recent) => "it is among the newest tokens of the window",
        Some(Protection::CoolDown) => "it was masked too short a time ago",
        None => "it is protected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::options::Options;

    fn one(state: State, score: Option<f64>, draw: f64) -> Decision {
        let p = PositionDecision {
            state,
            protection: None,
            score,
            rank: Some(3),
            draw,
            op: None,
            replacement: None,
            unit: 0,
            history: 0.0,
            heads: None,
        };
        Decision {
            positions: vec![p],
            eligible: 5,
            selected: 0,
            units: 5,
            scale: crate::mask::types::Scale::Rank,
            rule: DecisionRule::Threshold,
        }
    }

    #[test]
    fn the_printed_tests_give_the_printed_state() {
        let mask = Options::default().mask;
        let w = explain(&mask, &one(State::Masked, Some(0.9), 0.2), 0).unwrap();
        assert!(w.score.unwrap().passes() && w.draw.unwrap().passes());
        assert_eq!(w.rank, Some((3, 5)));
        let w = explain(&mask, &one(State::Score, Some(0.5), 0.2), 0).unwrap();
        assert_eq!((w.score.unwrap().passes(), w.score.unwrap().sign()), (false, "≤"));
        assert_eq!(w.sentence, "kept: its score 0.500 does not exceed τ 0.700");
        let w = explain(&mask, &one(State::Draw, Some(0.9), 0.8), 0).unwrap();
        assert!(w.sentence.contains("0.800 is not below 0.500"));
        assert!(explain(&mask, &one(State::Draw, Some(0.9), 0.8), 1).is_none());
    }

    #[test]
    fn polarity_turns_the_test_round() {
        let mut mask = Options::default().mask;
        mask.polarity = Polarity::Low;
        let w = explain(&mask, &one(State::Masked, Some(0.2), 0.2), 0).unwrap();
        assert!((w.score.unwrap().limit - 0.3).abs() < 1e-12 && w.score.unwrap().passes());
        mask.polarity = Polarity::Random;
        let w = explain(&mask, &one(State::Draw, Some(0.2), 0.2), 0).unwrap();
        assert_eq!(w.score, None);
        assert!((w.draw.unwrap().limit - 0.15).abs() < 1e-12);
    }
}
