//! One decision per sequence of a batch, by the rules of `mask`. Pure: everything comes from the arguments.

use super::lexicon::Lexicon;
use super::scores::from_bytes;
use crate::mask::decide::{DecisionInput, decide};
use crate::mask::draw::{Draws, Stream};
use crate::mask::initial::{Pattern, decide_initial};
use crate::mask::types::{Decision, MaskSettings, Polarity, State};
use crate::train::spec::Arm;

/// Patterns that static-10 takes in turn (BERT as shipped duplicated its data ten times).
pub const PATTERNS: u32 = 10;

/// What decides about one sequence.
pub(super) struct Sequence<'a> {
    pub ids: &'a [u32],
    pub number: u32,
    pub visit: u32,
    /// Scores, where the arm ranks by attention and has any.
    pub bytes: Option<&'a [u8]>,
}

/// The address of the draws: static arms draw once, or ten times, and never again.
pub(super) fn draws(arm: Arm, seed: u64, sequence: &Sequence) -> Draws {
    let pass = match arm {
        Arm::None | Arm::Static1 | Arm::StaticAttn => 0,
        Arm::Static10 => sequence.visit % PATTERNS,
        Arm::DynRand | Arm::DynAttnHigh | Arm::DynAttnLow | Arm::DynSalient | Arm::DynPair => sequence.visit,
    };
    Draws { seed, pass, sequence: sequence.number }
}

/// Decides every position. An attention arm that has no scores yet draws an initial pattern at the same rate.
pub(super) fn sequence(arm: Arm, settings: &MaskSettings, lexicon: &Lexicon, at: &Sequence) -> Decision {
    let draws = draws(arm, settings.seed, at);
    let word_starts = lexicon.word_starts(at.ids);
    let input = DecisionInput {
        ids: at.ids,
        eot: lexicon.eot,
        word_starts: &word_starts,
        draws,
        ..DecisionInput::default()
    };
    match (arm, at.bytes) {
        (Arm::StaticAttn | Arm::DynAttnHigh | Arm::DynAttnLow, Some(bytes)) => {
            let (scores, sinks) = from_bytes(bytes);
            decide(settings, &DecisionInput { scores: &scores, sinks: &sinks, ..input })
        }
        (Arm::StaticAttn | Arm::DynAttnHigh | Arm::DynAttnLow, None) => {
            decide_initial(settings, &input, Pattern::Random, None, Some(&lexicon.tables))
        }
        (Arm::DynSalient, _) => {
            let scores: Vec<Option<f64>> = lexicon.salience(at.ids).into_iter().map(Some).collect();
            decide(settings, &DecisionInput { scores: &scores, ..input })
        }
        (Arm::None | Arm::Static1 | Arm::Static10 | Arm::DynRand | Arm::DynPair, _) => {
            let scores = vec![Some(0.0); at.ids.len()];
            let nothing = arm == Arm::None || arm == Arm::DynPair;
            let p = if nothing { 0.0 } else { settings.probability };
            let settings = MaskSettings {
                polarity: Polarity::Random,
                probability: p,
                exact_k: settings.exact_k && !nothing,
                ..settings.clone()
            };
            decide(&settings, &DecisionInput { scores: &scores, ..input })
        }
    }
}

/// Decides by given scores.
pub(super) fn scored(
    settings: &MaskSettings,
    lexicon: &Lexicon,
    ids: &[u32],
    scores: &[Option<f64>],
    draws: Draws,
) -> Decision {
    let word_starts = lexicon.word_starts(ids);
    let eot = lexicon.eot;
    let input =
        DecisionInput { ids, scores, eot, word_starts: &word_starts, draws, ..DecisionInput::default() };
    decide(settings, &input)
}

/// Pairs cut by `dyn-pair`.
pub(super) struct CutPairs {
    /// `[T, T]`, row-major: the edge from query t to key i is cut.
    pub cut: Vec<bool>,
    /// How many could have been cut, and how many were.
    pub eligible: usize,
    pub selected: usize,
}

/// Cuts pairs of a query and an earlier key that is not protected, each with the chance r ~ U(0, 2·rate) of this
/// sequence in this pass (FCM, 2210.13432, draws its rate so). `decision` says which keys are protected.
pub(super) fn pairs(rate: f64, decision: &Decision, draws: Draws) -> CutPairs {
    let len = decision.positions.len();
    let r = 2.0 * rate * draws.unit(Stream::PairRate, 0);
    let free: Vec<bool> = decision.positions.iter().map(|p| p.state != State::Protected).collect();
    let mut out = CutPairs { cut: vec![false; len * len], eligible: 0, selected: 0 };
    for t in 1..len {
        // An address that does not depend on the length, so that a longer text keeps its draws.
        let first = t * (t - 1) / 2;
        for i in (0..t).filter(|&i| free[i]) {
            out.eligible += 1;
            if draws.unit(Stream::Pair, first + i) < r {
                out.cut[t * len + i] = true;
                out.selected += 1;
            }
        }
    }
    out
}
