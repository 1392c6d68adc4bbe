//! Scope `block`: rolling along a text. At every boundary a pass over what is in the cache, under the mask of earlier
//! boundaries. A text beyond the context continues over the kept tokens, encoded again at compact positions, since GPT-2's
//! positions are absolute.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::explorer::{ExploreError, Explorer, MaskChoice, MaskPolicy};
use super::loaded::LoadedModel;
use super::pass::Pass;
use super::types::{BoundaryRow, PositionHistory, Standing, WindowReport};
use super::window;
use crate::attention::score::Scored;
use crate::attention::sinks::Sinks;
use crate::mask::apply::{MaskedPass, ReplacementSource, Shown};
use crate::mask::draw::Draws;
use crate::mask::reason::nothing_selected;
use crate::mask::rolling::{Rolling, RollingText};
use crate::mask::types::{Decision, MaskSettings, Op, PositionDecision, State};
use crate::model::forward::Reuse;
use crate::model::{Input, Trace, Visibility};

/// Where a walk along a text stands.
struct BlockWalk {
    rolling: Rolling,
    /// Full-text position of every row in the cache, ascending; their ids and word starts.
    origin: Vec<usize>,
    ids: Vec<u32>,
    starts: Vec<bool>,
    last: Option<Trace>,
    /// Decision and history of positions that left the cache for good, by full-text position.
    gone: Vec<Option<(PositionDecision, PositionHistory)>>,
    rows: Vec<BoundaryRow>,
    told: Vec<Option<f32>>,
    reencoded: Vec<usize>,
}

impl BlockWalk {
    fn new(rolling: Rolling, len: usize) -> Self {
        BlockWalk {
            rolling,
            origin: Vec::new(),
            ids: Vec::new(),
            starts: Vec::new(),
            last: None,
            gone: vec![None; len],
            rows: Vec::new(),
            told: vec![None; len],
            reencoded: Vec::new(),
        }
    }

    /// Tokens of the full text that were read.
    fn read(&self) -> usize {
        self.origin.last().map_or(0, |i| i + 1)
    }

    /// Reads the full text on to `end`, after making room where the context is full.
    fn extend(&mut self, full: (&[u32], &[bool]), end: usize, room: CacheRoom) -> Result<(), ExploreError> {
        let from = self.read();
        if self.ids.len() + (end - from) > room.context {
            self.compact();
        }
        if self.ids.len() + (end - from) > room.context {
            let kept = self.ids.len();
            return Err(ExploreError::Crowded { kept, stride: room.stride, context: room.context });
        }
        self.origin.extend(from..end);
        self.ids.extend_from_slice(&full.0[from..end]);
        self.starts.extend_from_slice(&full.1[from..end]);
        Ok(())
    }

    /// Drops what is hidden and renumbers the rest; the next pass encodes all of it again.
    fn compact(&mut self) {
        let len = self.ids.len();
        let decision = self.rolling.decision(len);
        let histories = self.histories();
        let kept = self.rolling.compact(len);
        for i in (0..len).filter(|i| kept.binary_search(i).is_err()) {
            self.gone[self.origin[i]] = Some((decision.positions[i].clone(), histories[i]));
        }
        self.reencoded.push(self.read());
        self.origin = kept.iter().map(|&i| self.origin[i]).collect();
        self.ids = kept.iter().map(|&i| self.ids[i]).collect();
        self.starts = kept.iter().map(|&i| self.starts[i]).collect();
        self.last = None;
    }

    /// What is remembered of the rows in the cache, told in queries of the full text.
    fn histories(&self) -> Vec<PositionHistory> {
        let full = |query: u32| {
            let after = self.read() as u32;
            self.origin.get(query as usize).map_or(after, |i| *i as u32)
        };
        let told = |h: PositionHistory| PositionHistory {
            hidden: h.hidden.map(|(from, to)| (full(from), to.map(full))),
            ..h
        };
        window::histories(&self.rolling, self.ids.len()).into_iter().map(told).collect()
    }

    /// Decides at a boundary over the rows in the cache. Rows that were encoded again have new places and new draws.
    fn decide(
        &mut self,
        loaded: &LoadedModel,
        mask: &MaskSettings,
        by: impl FnOnce(&mut Rolling, &RollingText),
    ) {
        let draws = Draws { pass: self.reencoded.len() as u32, ..Draws::new(mask.seed) };
        let text = RollingText {
            ids: &self.ids,
            eot: loaded.eot(),
            word_starts: &self.starts,
            draws,
            calibration: loaded.calibration(),
            // Counting a corpus takes a moment; only an initial pattern needs it.
            tables: self.rolling.boundaries().is_empty().then(|| loaded.tables()).flatten(),
        };
        by(&mut self.rolling, &text);
        self.note();
    }

    /// Notes the newest boundary in positions of the full text.
    fn note(&mut self) {
        let boundaries = self.rolling.boundaries();
        let Some(newest) = boundaries.last() else { return };
        // A boundary before the last re-encoding speaks of other rows.
        let before = boundaries.len().checked_sub(2).map(|i| &boundaries[i]);
        let before = before.filter(|_| self.last.is_some() || self.reencoded.is_empty());
        let end = self.origin.get(newest.end.wrapping_sub(1)).map_or(newest.end, |i| i + 1);
        let mut standing = vec![Standing::Gone; end];
        for (i, s) in window::standings(newest, before).into_iter().enumerate() {
            standing[self.origin.get(i).copied().unwrap_or(i)] = s;
        }
        self.rows.push(BoundaryRow { end, standing });
    }

    /// The latest decision about every position of the full text.
    fn decision(&self, len: usize) -> Decision {
        let mut out = self.rolling.decision(self.ids.len());
        let here = std::mem::take(&mut out.positions);
        let mut all: Vec<Option<PositionDecision>> =
            self.gone.iter().map(|g| g.as_ref().map(|(d, _)| d.clone())).collect();
        for (mut at, &i) in here.into_iter().zip(&self.origin) {
            at.unit = self.origin.get(at.unit).copied().unwrap_or(i);
            all[i] = Some(at);
        }
        out.eligible += self.gone.iter().flatten().count();
        out.positions = all.into_iter().take(len).flatten().collect();
        out.selected = out.positions.iter().filter(|p| p.state == State::Masked).count();
        out
    }

    fn plan(&self, full: &[u32], keeps: bool) -> MaskedPass {
        let n = self.ids.len();
        let visibility = if keeps { Visibility::Causal } else { self.rolling.visibility(n) };
        let hidden = |i: &usize| match self.origin.binary_search(i) {
            Ok(row) => self.rolling.hidden().get(row).is_some_and(|h| !h.is_empty()),
            Err(_) => true,
        };
        MaskedPass {
            input: Input { visibility, ..Input::plain(self.ids.clone()) },
            kept: self.origin.clone(),
            shown: full.iter().map(|&id| Shown::Original(id)).collect(),
            hidden: if keeps { Vec::new() } else { (0..full.len()).filter(hidden).collect() },
        }
    }
}

/// What a cache can hold.
#[derive(Clone, Copy)]
struct CacheRoom {
    context: usize,
    stride: usize,
}

impl Explorer {
    /// Decides at window boundaries, from the past only.
    pub(super) fn choose_by_block(
        &mut self,
        policy: MaskPolicy<'_>,
        cancel: Option<&AtomicBool>,
    ) -> Result<MaskChoice, ExploreError> {
        let (mask, len) = (policy.mask, self.ids.len());
        let config = &self.loaded.model.config;
        let room = CacheRoom { context: config.n_positions, stride: policy.rolling.stride };
        policy.rolling.check(mask, room.context)?;
        policy.score.check(config.n_layer, config.n_head)?;
        let baseline = self.baseline(cancel)?;
        let (full_ids, full_starts) = (self.ids.clone(), self.word_starts.clone());
        let full = (&full_ids[..], &full_starts[..]);
        let mut walk = BlockWalk::new(Rolling::new(mask, policy.rolling, policy.score), len);
        let keeps = mask.op == Op::Keep && mask.mix.is_none();
        let loaded = self.loaded.clone();
        if policy.rolling.initial.is_some() {
            walk.extend(full, policy.rolling.window.min(len), room)?;
            walk.decide(&loaded, mask, Rolling::begin);
        }
        for end in policy.rolling.boundaries(len) {
            walk.extend(full, end, room)?;
            let trace = self.pass(&walk, (&baseline, keeps), cancel)?;
            self.tell(&mut walk, &trace)?;
            walk.decide(&loaded, mask, |rolling, text| {
                rolling.step(&trace, text);
            });
            walk.last = Some(trace);
        }
        walk.extend(full, len, room)?;
        if !walk.reencoded.is_empty() {
            let trace = self.pass(&walk, (&baseline, keeps), cancel)?;
            self.tell(&mut walk, &trace)?;
        }
        Ok(self.choice(policy, &walk, full.0, keeps))
    }

    fn choice(&self, policy: MaskPolicy<'_>, walk: &BlockWalk, full: &[u32], keeps: bool) -> MaskChoice {
        let (mask, len) = (policy.mask, full.len());
        let decision = walk.decision(len);
        let note = match walk.rows.is_empty() {
            true => Some(format!(
                "nothing selected, because the text of {len} tokens ends before the first boundary at {}",
                policy.rolling.window
            )),
            false => nothing_selected(mask, &decision),
        };
        let report = self.window_report(walk, len);
        let scored = Scored {
            scores: report.positions.iter().map(|p| p.score).collect(),
            sinks: match walk.rolling.sinks() {
                Sinks::Found(rows) => {
                    Sinks::Found(rows.into_iter().filter_map(|r| walk.origin.get(r).copied()).collect())
                }
                Sinks::TooShort => Sinks::TooShort,
            },
            reduction: walk.rolling.score_settings().reduction,
            formula: report.formula.clone(),
        };
        MaskChoice {
            scored,
            decision,
            plan: walk.plan(full, keeps),
            window: Some(Arc::new(report)),
            note,
            told: (!walk.reencoded.is_empty()).then(|| walk.told.clone()),
        }
    }

    fn window_report(&self, walk: &BlockWalk, len: usize) -> WindowReport {
        let scores = walk.rolling.raw_scores(self.loaded.calibration());
        let mut positions: Vec<PositionHistory> =
            walk.gone.iter().map(|g| g.as_ref().map_or_else(PositionHistory::default, |(_, h)| *h)).collect();
        for (row, (history, &i)) in walk.histories().into_iter().zip(&walk.origin).enumerate() {
            positions[i] = PositionHistory { score: scores.get(row).copied().flatten(), ..history };
        }
        positions.truncate(len);
        WindowReport {
            rows: walk.rows.clone(),
            positions,
            formula: window::formula_of(&walk.rolling),
            reencoded: walk.reencoded.clone(),
            left: walk.gone.iter().flatten().count(),
            cache_share: self.cache_share(walk, len),
        }
    }

    /// Over the whole text: what left with a re-encoding is as gone as what is hidden.
    fn cache_share(&self, walk: &BlockWalk, len: usize) -> f64 {
        let rows = walk.ids.len();
        if len == 0 { 1.0 } else { walk.rolling.cache_share(rows) * rows as f64 / len as f64 }
    }

    /// One pass over what is in the cache.
    fn pass(
        &mut self,
        walk: &BlockWalk,
        (baseline, keeps): (&Pass, bool),
        cancel: Option<&AtomicBool>,
    ) -> Result<Trace, ExploreError> {
        let n = walk.ids.len();
        let visibility = if keeps { Visibility::Causal } else { walk.rolling.visibility(n) };
        let input = Input { visibility, ..Input::plain(walk.ids.clone()) };
        let traces: Vec<&Trace> = std::iter::once(&baseline.trace).chain(&walk.last).collect();
        let trace = self.loaded.model.run(Arc::new(input), Reuse { traces: &traces, cancel })?;
        self.count(&trace);
        Ok(trace)
    }

    /// Keeps what rows said of their true next token when they were new. Only needed beyond the context, where later
    /// passes encode them again.
    fn tell(&self, walk: &mut BlockWalk, trace: &Trace) -> Result<(), ExploreError> {
        if self.ids.len() <= self.loaded.model.config.n_positions {
            return Ok(());
        }
        let new = |(_, i): &(usize, &usize)| walk.told[**i].is_none() && **i + 1 < self.ids.len();
        let wanted: Vec<(usize, u32)> =
            walk.origin.iter().enumerate().filter(new).map(|(row, &i)| (row, self.ids[i + 1])).collect();
        let values = self.loaded.model.target_log_probabilities(trace, &wanted)?;
        for ((row, _), value) in wanted.into_iter().zip(values) {
            walk.told[walk.origin[row]] = Some(value);
        }
        Ok(())
    }
}
