//! What the engine has answered so far, each part with the generation it belongs to. Pure. A late answer (of an older
//! generation) is dropped here and never drawn; what is kept from an older generation is stale until it is confirmed.

use std::sync::Arc;

use crate::engine::types::{
    CostRow, HeadSummary, InterventionReport, LeakReport, MapFrame, MaskEffect, PatchGrid, Prediction,
    RerollRow, Spread, Token, Update, WindowReport, Work,
};
use crate::mask::types::Decision;

/// An answer and the request it answers.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    pub generation: u64,
    pub value: T,
}

/// The decision with what was said about it.
#[derive(Clone, Debug)]
pub struct Decided {
    pub decision: Arc<Decision>,
    pub masked_text: String,
    pub note: Option<String>,
    /// How the window rolled; `None` under scope `whole`.
    pub window: Option<Arc<WindowReport>>,
}

/// Scores before scaling, one per position, and the formula in force.
#[derive(Clone, Debug)]
pub struct Scores {
    pub values: Arc<[Option<f64>]>,
    pub formula: String,
}

/// A map with the tokens it was computed for, so that its axes are right even while it is stale.
#[derive(Clone, Debug)]
pub struct ShownMap {
    pub frame: MapFrame,
    pub tokens: Arc<[Token]>,
}

/// Mean ± spread over re-rolled seeds.
#[derive(Clone, Debug)]
pub struct RerollStats {
    pub done: usize,
    pub of: usize,
    pub rate: Spread,
    /// The chosen operation first.
    pub rows: Arc<[RerollRow]>,
}

/// What the mask tells about the next token, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Leak {
    pub done: usize,
    pub of: usize,
    pub report: Option<LeakReport>,
}

/// Cost of hiding each token, as far as it is known.
#[derive(Clone, Debug)]
pub struct Costs {
    pub done: usize,
    pub of: usize,
    pub costs: Arc<[Option<f32>]>,
    pub rows: Arc<[CostRow]>,
}

/// Why a request could not be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    pub hint: Option<String>,
}

/// Everything known about the newest request, and what is left of older ones.
#[derive(Clone, Debug, Default)]
pub struct Results {
    pub tokens: Option<Answer<Arc<[Token]>>>,
    /// Tokens left out because the model's context is full.
    pub truncated: Option<usize>,
    pub baseline: Option<Answer<(Arc<Prediction>, Work)>>,
    pub scores: Option<Answer<Scores>>,
    pub decided: Option<Answer<Decided>>,
    pub masked: Option<Answer<Arc<MaskEffect>>>,
    pub effects: Option<Answer<Arc<[MaskEffect]>>>,
    pub map: Option<Answer<ShownMap>>,
    pub overview: Option<Answer<Arc<[HeadSummary]>>>,
    pub rerolls: Option<Answer<RerollStats>>,
    pub costs: Option<Answer<Costs>>,
    pub leak: Option<Answer<Leak>>,
    /// What interventions do.
    pub interventions: Option<Answer<Arc<InterventionReport>>>,
    pub patches: Option<Answer<Arc<PatchGrid>>>,
    pub failure: Option<Answer<Failure>>,
    /// Forwards and milliseconds of the last answered request.
    pub last: Option<(usize, f32)>,
    /// The newest generation that is fully answered.
    pub done: u64,
}

impl Results {
    pub fn tokens(&self) -> &[Token] {
        self.tokens.as_ref().map_or(&[], |s| &s.value)
    }

    pub fn len(&self) -> usize {
        self.tokens().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The decision, where it is about the tokens on screen.
    pub fn decision(&self) -> Option<&Decision> {
        let d = &self.decided.as_ref()?.value.decision;
        (d.positions.len() == self.len()).then_some(d)
    }

    pub fn prediction(&self) -> Option<&Prediction> {
        self.baseline.as_ref().map(|s| &*s.value.0)
    }

    /// Takes in one answer of a generation from `oldest` to `current`; anything else is late and dropped. Says whether
    /// it was taken.
    pub fn take(&mut self, update: Update, oldest: u64, current: u64) -> bool {
        let generation = match generation_of(&update) {
            Some(g) if (oldest..=current).contains(&g) => g,
            _ => return false,
        };
        match update {
            Update::Tokens { tokens, truncated, .. } => {
                self.truncated = truncated;
                self.tokens = slot(generation, tokens);
            }
            Update::Baseline { prediction, work, .. } => self.baseline = slot(generation, (prediction, work)),
            Update::Scored { scores, formula, .. } => {
                self.scores = slot(generation, Scores { values: scores, formula });
            }
            Update::Decided { decision, masked_text, note, window, .. } => {
                self.decided = slot(generation, Decided { decision, masked_text, note, window });
            }
            Update::Masked { effect, .. } => self.masked = slot(generation, effect),
            Update::Effects { effects, .. } => self.effects = slot(generation, effects),
            Update::Map { frame, .. } => {
                let tokens = self.tokens.as_ref().map_or_else(|| Arc::from([]), |t| t.value.clone());
                self.map = slot(generation, ShownMap { frame, tokens });
            }
            Update::Overview { heads, .. } => self.overview = slot(generation, heads),
            Update::Rerolls { done, of, rate, rows, .. } => {
                self.rerolls = slot(generation, RerollStats { done, of, rate, rows });
            }
            Update::Intervened { report, .. } => self.interventions = slot(generation, report),
            Update::PatchGrid { grid, .. } => self.patches = slot(generation, grid),
            Update::Leak { done, of, report, .. } => self.leak = slot(generation, Leak { done, of, report }),
            Update::Cost { done, of, costs, rows, .. } => {
                self.costs = slot(generation, Costs { done, of, costs, rows });
            }
            Update::Done { forwards, millis, .. } => self.finish(generation, forwards, millis),
            Update::Failed { message, hint, .. } => {
                self.failure = slot(generation, Failure { message, hint });
                self.done = generation;
            }
            _ => return false,
        }
        true
    }

    /// Everything that was to be sent has been: what was not sent again has not changed, so it is confirmed, unless
    /// it is about another number of tokens and so cannot be about this text.
    fn finish(&mut self, generation: u64, forwards: usize, millis: f32) {
        self.done = generation;
        self.last = Some((forwards, millis));
        self.failure = None;
        let n = self.len();
        confirm(&mut self.tokens, generation, |_| true);
        confirm(&mut self.baseline, generation, |(p, _)| p.surprisal.len() == n);
        confirm(&mut self.scores, generation, |s| s.values.len() == n);
        confirm(&mut self.decided, generation, |d| d.decision.positions.len() == n);
        confirm(&mut self.masked, generation, |e| e.prediction.surprisal.len() == n);
        confirm(&mut self.effects, generation, |e| e.iter().all(|e| e.prediction.surprisal.len() == n));
        confirm(&mut self.map, generation, |m| m.frame.len == n);
        confirm(&mut self.overview, generation, |_| n > 0);
    }
}

fn slot<T>(generation: u64, value: T) -> Option<Answer<T>> {
    Some(Answer { generation, value })
}

fn confirm<T>(slot: &mut Option<Answer<T>>, generation: u64, fits: impl Fn(&T) -> bool) {
    match slot {
        Some(s) if s.generation == generation || fits(&s.value) => s.generation = generation,
        _ => *slot = None,
    }
}

fn generation_of(update: &Update) -> Option<u64> {
    match update {
        Update::Tokens { generation, .. }
        | Update::Baseline { generation, .. }
        | Update::Scored { generation, .. }
        | Update::Decided { generation, .. }
        | Update::Masked { generation, .. }
        | Update::Effects { generation, .. }
        | Update::Map { generation, .. }
        | Update::Overview { generation, .. }
        | Update::Done { generation, .. }
        | Update::Failed { generation, .. }
        | Update::Rerolls { generation, .. }
        | Update::Leak { generation, .. }
        | Update::Intervened { generation, .. }
        | Update::PatchGrid { generation, .. }
        | Update::Cost { generation, .. } => Some(*generation),
        Update::Crashed { .. }
        | Update::Calibrating { .. }
        | Update::CalibrationReady
        | Update::ModelLoading(_)
        | Update::ModelReady(_)
        | Update::ModelMoved { .. }
        | Update::ModelFailed { .. }
        | Update::Models(_)
        | Update::Fingerprint { .. }
        | Update::Exported(_)
        | Update::Generate(_)
        | Update::Train(_) => None,
    }
}
