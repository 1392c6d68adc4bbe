//! Decisions at window boundaries, from the past only (scope `block`): the state that rolls along a text, and its rules.
//!
//! At boundary b only queries before it were read, under the mask of earlier boundaries; what is decided hides keys
//! from the queries that follow. So nothing later can change an earlier decision, and losses under it are honest.

use std::ops::Range;
use std::sync::Arc;

use crate::attention::calibration::Calibration;
use crate::attention::decayed::DecayedScore;
use crate::attention::sinks::Sinks;
use crate::attention::source::AttentionSource;
use crate::attention::sweep::{SweepRequest, sweep};
use crate::attention::types::ScoreSettings;
use crate::model::input::Visibility;

use super::decide::{DecisionInput, MaskHistory, decide, score_in_force};
use super::draw::{Draws, Stream};
use super::initial::{PatternTables, decide_initial};
use super::presets::CachePolicy;
use super::types::{Decision, DecisionRule, MaskSettings, Op, PositionDecision, Protection, Scale, State};
pub use super::window::{Policy, RollingError, RollingSettings};

/// A text as a rolling window reads it; slices may be longer than what was read so far.
#[derive(Clone, Copy, Default)]
pub struct RollingText<'a> {
    pub ids: &'a [u32],
    pub eot: Option<u32>,
    pub word_starts: &'a [bool],
    /// Address of the draws; a position has one draw for all boundaries of a pass.
    pub draws: Draws,
    pub calibration: Option<&'a Calibration>,
    /// For the initial patterns that need a corpus.
    pub tables: Option<&'a PatternTables>,
}

/// What was decided at one boundary.
#[derive(Clone, Debug, PartialEq)]
pub struct Boundary {
    /// Tokens read; the decision is about these, for the queries that follow.
    pub end: usize,
    pub decision: Decision,
}

/// The rolling state of one text.
#[derive(Clone, Debug)]
pub struct Rolling {
    pub(super) mask: MaskSettings,
    pub(super) settings: RollingSettings,
    score: ScoreSettings,
    pub(super) accumulated: Option<DecayedScore>,
    history: MaskHistory,
    /// Per key, the queries that may not read it in any head.
    hidden: Vec<Vec<Range<u32>>>,
    /// Per head (layer-major) and key, the first query that no longer reads it; empty while all heads share one set.
    pub(super) by_head: Vec<Vec<u32>>,
    boundaries: Vec<Boundary>,
    /// Tokens read so far.
    seen: usize,
    /// Number of the next boundary; 0 is the initial pattern.
    now: u32,
    draws: Draws,
}

impl Rolling {
    /// A preset brings what it implies (its score, ρ, the newest tokens it spares, stickiness) whatever the settings say.
    pub fn new(mask: &MaskSettings, settings: &RollingSettings, score: &ScoreSettings) -> Self {
        let (settings, own) = match settings.decider() {
            Policy::Cache(preset, budget) => {
                (settings.clone().with_cache_policy(preset, budget), preset.score(score))
            }
            Policy::Threshold => (settings.clone(), None),
        };
        Rolling {
            mask: mask.clone(),
            score: own.unwrap_or_else(|| score_in_force(mask.scale, score)),
            accumulated: None,
            history: MaskHistory::new(0, settings.history),
            settings,
            hidden: Vec::new(),
            by_head: Vec::new(),
            boundaries: Vec::new(),
            seen: 0,
            now: 0,
            draws: Draws::default(),
        }
    }

    /// Tokens to have read at the next boundary.
    pub fn next_boundary(&self) -> usize {
        if self.seen == 0 { self.settings.window } else { self.seen + self.settings.stride.max(1) }
    }

    pub fn boundaries(&self) -> &[Boundary] {
        &self.boundaries
    }

    pub fn history(&self) -> &MaskHistory {
        &self.history
    }

    /// The score that decides, after any fallback.
    pub fn score_settings(&self) -> &ScoreSettings {
        self.accumulated.as_ref().map_or(&self.score, DecayedScore::settings)
    }

    /// Masks the first window before any attention exists, if the settings say so. Call once, before any step.
    pub fn begin(&mut self, text: &RollingText) {
        self.draws = text.draws;
        let Some(pattern) = self.settings.initial.filter(|_| self.now == 0) else { return };
        let end = self.settings.window.min(text.ids.len());
        let input = DecisionInput {
            ids: &text.ids[..end],
            eot: text.eot,
            word_starts: text.word_starts,
            draws: text.draws,
            ..DecisionInput::default()
        };
        let decision = decide_initial(&self.mask, &input, pattern, None, text.tables);
        self.settle(decision, end, 0);
    }

    /// Decides at a boundary. `source` is the pass over the first `source.len()` tokens under [`Rolling::visibility`].
    pub fn step<S: AttentionSource + ?Sized>(&mut self, source: &S, text: &RollingText) -> &Decision {
        let end = source.len().min(text.ids.len());
        self.now = self.now.max(1);
        self.draws = text.draws;
        self.read(source, end, text.calibration);
        let decision = match self.settings.decider() {
            Policy::Cache(preset, budget) if preset.has_budget() => {
                self.keep_budget(preset, budget.tokens(end), end, text)
            }
            _ => self.pass_threshold(end, text),
        };
        self.seen = end;
        self.settle(decision, end, end);
        let last = self.boundaries.len() - 1;
        &self.boundaries[last].decision
    }

    /// The scores at the last boundary before scaling and history, one per token read.
    pub fn raw_scores(&self, calibration: Option<&Calibration>) -> Vec<Option<f64>> {
        self.accumulated.as_ref().map_or_else(Vec::new, |state| state.scores(calibration))
    }

    /// Sinks among what was read.
    pub fn sinks(&self) -> Sinks {
        self.accumulated.as_ref().map_or(Sinks::TooShort, DecayedScore::sinks)
    }

    /// Per key, the ranges of queries that may not read it.
    pub fn hidden(&self) -> &[Vec<Range<u32>>] {
        &self.hidden
    }

    /// Which queries of a text of `len` tokens may read which keys.
    pub fn visibility(&self, len: usize) -> Visibility {
        if !self.by_head.is_empty() {
            return self.visibility_by_head(len);
        }
        let open = |h: &Vec<Range<u32>>| matches!(h.as_slice(), [] | [Range { end: u32::MAX, .. }]);
        if self.hidden.iter().all(Vec::is_empty) {
            return Visibility::Causal;
        }
        if self.hidden.iter().all(open) {
            let from = |i: usize| self.hidden.get(i).and_then(|h| h.first()).map_or(u32::MAX, |r| r.start);
            return Visibility::HideFrom((0..len).map(from).collect());
        }
        let mut blocked = vec![false; len * len];
        for (i, hidden) in self.hidden.iter().enumerate().take(len) {
            for range in hidden {
                for t in (range.start as usize).max(i + 1)..(range.end as usize).min(len) {
                    blocked[t * len + i] = true;
                }
            }
        }
        Visibility::Pairs(Arc::new(blocked))
    }

    fn visibility_by_head(&self, len: usize) -> Visibility {
        let all = |i: usize| self.hidden.get(i).and_then(|h| h.first()).map_or(u32::MAX, |r| r.start);
        let one = |from: &Vec<u32>| {
            (0..len).map(|i| all(i).min(from.get(i).copied().unwrap_or(u32::MAX))).collect::<Vec<u32>>()
        };
        let heads: Vec<Vec<u32>> = self.by_head.iter().map(one).collect();
        if heads.iter().flatten().all(|from| *from == u32::MAX) {
            return Visibility::Causal;
        }
        Visibility::ByHead(Arc::new(heads))
    }

    /// Heads of the model, layer-major; 0 before anything was read.
    pub fn heads(&self) -> usize {
        self.accumulated.as_ref().map_or(0, DecayedScore::heads)
    }

    /// Share of the keys and values of the first `len` tokens that are still in the cache, over all heads.
    pub fn cache_share(&self, len: usize) -> f64 {
        let heads = self.by_head.len().max(1);
        let stays = |head: usize, i: usize| {
            let gone = self.by_head.get(head).and_then(|from| from.get(i)).is_some_and(|q| *q != u32::MAX);
            !gone && !self.is_hidden(i)
        };
        let kept =
            (0..heads).flat_map(|h| (0..len).map(move |i| (h, i))).filter(|&(h, i)| stays(h, i)).count();
        if len == 0 { 1.0 } else { kept as f64 / (heads * len) as f64 }
    }

    /// The latest decision about every one of `len` positions; those not read yet are protected as recent.
    pub fn decision(&self, len: usize) -> Decision {
        let mut out = self.boundaries.last().map_or_else(
            || Decision {
                positions: Vec::new(),
                eligible: 0,
                selected: 0,
                units: 0,
                scale: self.mask.scale,
                rule: DecisionRule::Threshold,
            },
            |b| b.decision.clone(),
        );
        for i in out.positions.len()..len {
            out.positions.push(PositionDecision {
                state: State::Protected,
                protection: Some(Protection::Recent),
                score: None,
                rank: None,
                draw: Draws { seed: self.mask.seed, ..self.draws }.unit(Stream::Decision, i),
                op: None,
                replacement: None,
                unit: i,
                history: 0.0,
                heads: None,
            });
        }
        out
    }

    /// Whether queries after the last boundary cannot read `key`.
    pub fn is_hidden(&self, key: usize) -> bool {
        self.hidden.get(key).and_then(|h| h.last()).is_some_and(|r| r.end == u32::MAX)
    }

    /// Positions of the first `len` that later queries can read.
    pub fn cached(&self, len: usize) -> Vec<usize> {
        (0..len).filter(|&i| !self.is_hidden(i)).collect()
    }

    /// Drops what is hidden and renumbers the rest from 0: the state after the kept tokens were encoded again, compactly,
    /// because the text outgrew the context. Returns the old position of each new one; boundaries noted before keep
    /// the old numbers.
    pub fn compact(&mut self, len: usize) -> Vec<usize> {
        let kept = self.cached(len);
        let seen: Vec<usize> = kept.iter().copied().filter(|&i| i < self.seen).collect();
        if let Some(state) = &mut self.accumulated {
            state.retain(&seen);
        }
        self.grow(len);
        self.history.times = kept.iter().map(|&i| self.history.times[i]).collect();
        self.history.last = kept.iter().map(|&i| self.history.last[i]).collect();
        self.hidden = vec![Vec::new(); kept.len()];
        for from in &mut self.by_head {
            from.resize(len, u32::MAX);
            // What a head let go of stays gone for it: no later query reads it.
            *from = kept.iter().map(|&i| if from[i] == u32::MAX { u32::MAX } else { 0 }).collect();
        }
        self.seen = seen.len();
        kept
    }

    fn grow(&mut self, len: usize) {
        let len = len.max(self.hidden.len());
        self.hidden.resize(len, Vec::new());
        self.history.times.resize(len.max(self.history.times.len()), 0);
        self.history.last.resize(len.max(self.history.last.len()), None);
    }

    /// Adds the queries since the last boundary to C and E.
    fn read<S: AttentionSource + ?Sized>(
        &mut self,
        source: &S,
        end: usize,
        calibration: Option<&Calibration>,
    ) {
        let hidden: Vec<bool> = (0..end).map(|i| self.is_hidden(i)).collect();
        let shape = (source.n_layer(), source.n_head());
        let state = self.accumulated.get_or_insert_with(|| {
            let state = DecayedScore::new(&self.score, self.settings.decay, shape, calibration);
            if self.settings.per_head { state.for_each_head() } else { state }
        });
        let request = SweepRequest { queries: self.seen..end, ..SweepRequest::for_score(&self.score) };
        state.update(&sweep(source, &request), &hidden, calibration);
    }

    pub(super) fn scores(&self, end: usize, text: &RollingText) -> (Vec<Option<f64>>, Vec<usize>) {
        match &self.accumulated {
            Some(state) => (state.scores(text.calibration), state.sinks().positions().to_vec()),
            None => (vec![None; end], Vec::new()),
        }
    }

    /// What neither threshold nor budget may touch at this boundary.
    fn barred(&self, end: usize) -> Vec<Option<Protection>> {
        let settings = &self.settings;
        let judged_once = settings.policy == Some(CachePolicy::DmsLike);
        (0..end)
            .map(|i| {
                let gone = self.is_hidden(i) && settings.sticky;
                let last = self.history.last.get(i).copied().flatten();
                let resting = last.is_some_and(|last| self.now - last <= settings.cool_down);
                let judged = judged_once && i + settings.recent < self.seen;
                if i + settings.recent >= end {
                    Some(Protection::Recent)
                } else if gone || resting || judged {
                    Some(Protection::CoolDown)
                } else {
                    None
                }
            })
            .collect()
    }

    fn pass_threshold(&self, end: usize, text: &RollingText) -> Decision {
        let (scores, sinks) = self.scores(end, text);
        let sample = text
            .calibration
            .filter(|_| self.mask.scale == Scale::Calibrated)
            .map(|c| c.sample(self.score_settings()));
        let input = DecisionInput {
            scores: &scores,
            ids: &text.ids[..end],
            sinks: &sinks,
            eot: text.eot,
            word_starts: text.word_starts,
            sample: sample.as_deref(),
            history: Some(&self.history),
            barred: &self.barred(end),
            draws: text.draws,
        };
        decide(&self.mask, &input)
    }

    /// Takes a decision over: carries sticky masks on, notes history, opens and closes what is hidden from queries
    /// from `from` on.
    fn settle(&mut self, mut decision: Decision, end: usize, from: usize) {
        self.grow(end);
        let mut carried = 0;
        for i in 0..end {
            let at = &mut decision.positions[i];
            let was = self.hidden[i].last().is_some_and(|r| r.end == u32::MAX);
            if was && self.settings.sticky {
                if let Some(before) = self.boundaries.last().and_then(|b| b.decision.positions.get(i)) {
                    *at = before.clone();
                }
                carried += 1;
                continue;
            }
            let masked = at.state == State::Masked;
            if masked {
                self.history.times[i] += 1;
                self.history.last[i] = Some(self.now);
            }
            let hides = masked && at.op != Some(Op::Keep);
            match (was, hides) {
                (false, true) => self.hidden[i].push(from as u32..u32::MAX),
                (true, false) => {
                    if let Some(range) = self.hidden[i].last_mut() {
                        range.end = from as u32;
                    }
                }
                _ => {}
            }
        }
        decision.selected = decision.masked().len();
        decision.eligible += carried;
        self.now += 1;
        self.boundaries.push(Boundary { end, decision });
    }
}

#[cfg(test)]
#[path = "rolling_tests.rs"]
mod tests;
