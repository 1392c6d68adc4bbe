//! A batch as the model sees it under a mask: which rows there are, what they hold, what they may read, and which
//! of them bypass the middle layers.
//!
//! Sequences of a batch may keep different numbers of rows. Those under `drop` are padded on the right to the longest
//! (causal attention never reads the padding, and it has no label), those under `skip` likewise within the middle
//! layers; so the work falls with the longest kept sequence, and with `exact_k`, the default for both, all are as long.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use super::decide::CutPairs;
use crate::mask::apply::{ApplyError, MaskedPass, ReplacementSource, apply};
use crate::mask::draw::Draws;
use crate::mask::initial::Unigram;
use crate::mask::types::{Decision, MaskSettings, Op, Replacement, State};
use crate::model::Visibility;
use crate::tensor::cross_entropy::IGNORE;
use crate::train::batch::{Batch, Visit};

use super::lexicon::Lexicon;

/// Added to marks of pairs, above the marks of operations.
const PAIRS: u8 = 128;

/// Which sequence a row of the batch is, and which visit to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisitKey {
    pub sequence: u32,
    pub pass: u32,
}

/// The content of a row that holds no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    MaskRow,
    Mean,
}

/// How much was masked: of positions, or of query-key pairs under `dyn-pair`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Realised {
    pub eligible: usize,
    pub selected: usize,
}

impl Realised {
    /// Share of what could be masked; 0 when nothing could.
    pub fn rate(&self) -> f64 {
        if self.eligible == 0 { 0.0 } else { self.selected as f64 / self.eligible as f64 }
    }

    pub fn add(&mut self, other: Realised) {
        self.eligible += other.eligible;
        self.selected += other.selected;
    }
}

/// Rows that go through the layers between the first and the last (random-LTD, 2211.11586).
pub(super) struct Middle {
    /// Rows per sequence, padded: K.
    pub rows: usize,
    /// Kept rows of each sequence, ascending, in rows of the batch's sequences.
    pub rows_of: Vec<Vec<usize>>,
    /// `[B · K]`: which row of the flattened `[B · R]` goes in.
    pub gather: Vec<u32>,
    /// `[B · R]`: where each row is found in `[B · R]` bypassing rows followed by `[B · K]` computed ones.
    pub scatter: Vec<u32>,
    /// `[B, 1, K, K]`.
    pub bias: Option<Tensor>,
}

/// A plan and whether anything is hidden in it.
pub(super) struct Planned(pub MaskedPass);

impl Planned {
    /// The visibility, where it is more than causality.
    pub fn visible(&self) -> Option<&Visibility> {
        (self.0.input.visibility != Visibility::Causal).then_some(&self.0.input.visibility)
    }
}

/// A batch under a mask.
pub struct MaskedBatch {
    pub visits: Vec<VisitKey>,
    /// Tokens per sequence before anything was dropped: T.
    pub context: usize,
    /// Rows per sequence: R ≤ T, padded to the longest.
    pub rows: usize,
    /// Input ids, `[B · R]`.
    pub ids: Vec<u32>,
    /// Next tokens of the *original* text, `[B · R]`; [`IGNORE`] where there is none (padding).
    pub labels: Vec<u32>,
    /// Original positions of the rows of each sequence, ascending, without padding.
    pub kept: Vec<Vec<usize>>,
    /// Which document of its row each position belongs to.
    documents: Vec<Vec<usize>>,
    /// Why each position of each sequence is masked or not.
    pub decisions: Vec<Decision>,
    /// What was masked.
    pub realised: Realised,
    /// `(1−τ)·p` at this step.
    pub rate: f64,
    /// The settings in force at this step, τ and p as the schedule has moved them.
    pub settings: MaskSettings,
    pub(super) plans: Vec<Planned>,
    /// Position ids `[B · R]`; `None` means 0..R everywhere.
    pub(super) positions: Option<Vec<u32>>,
    /// Rows of `[B · R]` that hold no token.
    pub(super) specials: Vec<(usize, Special)>,
    /// `[B · R]`: masked by anything but `keep`.
    pub(super) masked_rows: Vec<bool>,
    /// `[B, 1, R, R]`, additive; `None` when nothing is hidden.
    pub(super) bias: Option<Tensor>,
    pub(super) middle: Option<Middle>,
}

/// What [`MaskedBatch::new`] works with.
pub(super) struct BatchParts<'a> {
    pub batch: &'a Batch,
    pub settings: &'a MaskSettings,
    pub lexicon: &'a Lexicon,
    pub decisions: Vec<Decision>,
    pub draws: Vec<Draws>,
    /// One per sequence under `dyn-pair`, else empty.
    pub pairs: Vec<CutPairs>,
    pub n_layer: usize,
    pub device: &'a Device,
}

/// Answers for replacements: vectors are only marked here, and filled in by the pass.
struct MarkedReplacements<'a>(&'a Lexicon);

impl ReplacementSource for MarkedReplacements<'_> {
    fn n_vocab(&self) -> usize {
        self.0.n_vocab
    }
    fn eot(&self) -> Option<u32> {
        self.0.eot
    }
    fn mean_embedding(&self) -> Arc<[f32]> {
        Arc::from([])
    }
    fn mask_row(&self) -> Option<Arc<[f32]>> {
        Some(Arc::from([]))
    }
    fn unigram(&self) -> Option<&Unigram> {
        Some(self.0.unigram())
    }
}

impl MaskedBatch {
    /// Carries decisions out.
    pub(super) fn new(parts: BatchParts) -> std::result::Result<Self, BatchError> {
        let BatchParts { batch, settings, lexicon, mut decisions, draws, pairs, n_layer, device } = parts;
        let mut plans = Vec::with_capacity(batch.visits.len());
        for (b, visit) in batch.visits.iter().enumerate() {
            keep_one(&mut decisions[b]);
            let mut plan =
                apply(&visit.inputs, &decisions[b], settings, draws[b], &MarkedReplacements(lexicon))?;
            if let Some(pairs) = pairs.get(b)
                && settings.op == Op::Hide
                && pairs.selected > 0
            {
                plan.input.visibility = Visibility::Pairs(Arc::new(pairs.cut.clone()));
            }
            isolate(&mut plan, visit);
            plans.push(Planned(plan));
        }
        let realised = realised(&decisions, &pairs);
        let rows = plans.iter().map(|p| p.0.kept.len()).max().unwrap_or(0);
        let mut out = MaskedBatch {
            visits: batch.visits.iter().map(|v| VisitKey { sequence: v.sequence, pass: v.pass }).collect(),
            context: batch.context(),
            rows,
            ids: Vec::new(),
            labels: Vec::new(),
            kept: plans.iter().map(|p| p.0.kept.clone()).collect(),
            documents: batch.visits.iter().map(Visit::documents).collect(),
            decisions,
            realised,
            rate: settings.nominal_rate(),
            settings: settings.clone(),
            plans,
            positions: None,
            specials: Vec::new(),
            masked_rows: Vec::new(),
            bias: None,
            middle: None,
        };
        out.lay_out_rows(batch, settings.replacement);
        out.middle = out.middle_rows(n_layer, device)?;
        out.bias = out.bias_over(rows, |b, r| (r < out.kept[b].len()).then_some(r), device)?;
        Ok(out)
    }

    /// Sequences in the batch.
    pub fn batch(&self) -> usize {
        self.visits.len()
    }

    /// What rows of sequence `b` may read, where it is less than causality allows.
    pub fn visibility(&self, b: usize) -> Option<&Visibility> {
        self.plans[b].visible()
    }

    /// One byte for each position of each sequence, `width` of them a sequence, equal where two batches treat a position alike: 0
    /// where nothing changes, else the operation; under `dyn-pair` how many keys of its document the query lost, above all
    /// operations.
    pub fn marks(&self, width: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.batch() * width);
        for (b, decision) in self.decisions.iter().enumerate() {
            let (len, documents) = (decision.positions.len(), &self.documents[b]);
            match self.visibility(b) {
                Some(Visibility::Pairs(cut)) if decision.selected == 0 => {
                    let lost = |t: usize| {
                        let row = cut[t * len..][..len].iter().zip(documents);
                        row.filter(|(cut, document)| **cut && **document == documents[t]).count()
                    };
                    out.extend(
                        (0..len).map(|t| if lost(t) == 0 { 0 } else { PAIRS | lost(t).min(127) as u8 }),
                    );
                }
                _ => out.extend(decision.positions.iter().map(|p| {
                    let op = p.op.filter(|op| p.state == State::Masked && *op != Op::Keep);
                    op.map_or(0, |op| 1 + op as u8)
                })),
            }
            out.resize((b + 1) * width, 0);
        }
        out
    }

    /// Tokens × layers that are computed (padding left out): what a mask-aware learning rate counts as progress.
    pub fn token_layers(&self, n_layer: usize) -> u64 {
        let rows: usize = self.kept.iter().map(Vec::len).sum();
        match &self.middle {
            None => (rows * n_layer) as u64,
            Some(middle) => {
                let inside: usize = middle.rows_of.iter().map(Vec::len).sum();
                (2 * rows + inside * (n_layer - 2)) as u64
            }
        }
    }

    fn lay_out_rows(&mut self, batch: &Batch, replacement: Replacement) {
        let gaps = self.plans.iter().any(|p| p.0.input.position_ids.is_some());
        let mut positions = Vec::new();
        for (b, visit) in batch.visits.iter().enumerate() {
            let plan = &self.plans[b].0;
            for r in 0..self.rows {
                let Some(&at) = plan.kept.get(r) else {
                    self.ids.push(0);
                    self.labels.push(IGNORE);
                    self.masked_rows.push(false);
                    positions.push(r as u32);
                    continue;
                };
                let decided = &self.decisions[b].positions[at];
                let op = decided.op.filter(|_| decided.state == State::Masked);
                if plan.input.replaced.contains_key(&r) {
                    let how = decided.replacement.unwrap_or(replacement);
                    let special = if how == Replacement::Mask { Special::MaskRow } else { Special::Mean };
                    self.specials.push((b * self.rows + r, special));
                }
                self.ids.push(plan.input.ids[r]);
                self.labels.push(visit.targets[at]);
                self.masked_rows.push(op.is_some_and(|op| op != Op::Keep));
                positions.push(plan.input.position(r));
            }
        }
        self.positions = gaps.then_some(positions);
    }

    fn middle_rows(&self, n_layer: usize, device: &Device) -> Result<Option<Middle>> {
        if n_layer <= 2 || self.plans.iter().all(|p| p.0.input.skipped.is_empty()) {
            return Ok(None);
        }
        let rows_of: Vec<Vec<usize>> = self
            .plans
            .iter()
            .map(|p| {
                let skipped = &p.0.input.skipped;
                (0..p.0.kept.len()).filter(|r| skipped.binary_search(r).is_err()).collect()
            })
            .collect();
        let rows = rows_of.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let flat = self.batch() * self.rows;
        let mut gather = Vec::with_capacity(self.batch() * rows);
        let mut scatter: Vec<u32> = (0..flat as u32).collect();
        for (b, kept) in rows_of.iter().enumerate() {
            for j in 0..rows {
                // Padding computes the sequence's first row again, for nobody.
                let row = kept.get(j).copied();
                gather.push((b * self.rows + row.unwrap_or(0)) as u32);
                if let Some(row) = row {
                    scatter[b * self.rows + row] = (flat + b * rows + j) as u32;
                }
            }
        }
        let bias = self.bias_over(rows, |b, j| rows_of[b].get(j).copied(), device)?;
        Ok(Some(Middle { rows, rows_of, gather, scatter, bias }))
    }

    /// The additive bias over `n` rows a sequence, where `row(b, j)` says which row stands at `j` (`None`: padding).
    fn bias_over(
        &self,
        n: usize,
        row: impl Fn(usize, usize) -> Option<usize>,
        device: &Device,
    ) -> Result<Option<Tensor>> {
        if self.plans.iter().all(|p| p.visible().is_none()) {
            return Ok(None);
        }
        let mut bias = vec![0f32; self.batch() * n * n];
        for (b, plan) in self.plans.iter().enumerate() {
            let Some(visibility) = plan.visible() else { continue };
            let len = self.kept[b].len();
            for t in 0..n {
                let Some(query) = row(b, t) else { continue };
                for i in 0..t {
                    if row(b, i).is_some_and(|key| !visibility.visible(len, query, key)) {
                        bias[(b * n + t) * n + i] = f32::NEG_INFINITY;
                    }
                }
            }
        }
        Tensor::from_vec(bias, (self.batch(), 1, n, n), device).map(Some)
    }
}

/// Keeps the documents of a row apart: none reads another, and each starts at position 0.
fn isolate(plan: &mut MaskedPass, visit: &Visit) {
    if visit.starts.is_empty() {
        return;
    }
    let (documents, kept) = (visit.documents(), &plan.kept);
    let of: Vec<usize> = kept.iter().map(|&at| documents[at]).collect();
    let first = |document: usize| of.partition_point(|&other| other < document);
    let begins = |document: usize| document.checked_sub(1).map_or(0, |n| visit.starts[n]);
    // Where gaps stay, ids count from the document's beginning; where rows close up, from its first row.
    let gaps = plan.input.position_ids.is_some();
    let position = |(row, &at): (usize, &usize)| {
        let document = documents[at];
        (if gaps { at - begins(document) } else { row - first(document) }) as u32
    };
    let positions = kept.iter().enumerate().map(position).collect();
    let len = kept.len();
    let end = |row: usize| first(of[row] + 1);
    plan.input.visibility = match std::mem::take(&mut plan.input.visibility) {
        Visibility::Pairs(cut) => {
            let apart = |at: usize| cut[at] || of[at / len] != of[at % len];
            Visibility::Pairs(Arc::new((0..len * len).map(apart).collect()))
        }
        Visibility::HideFrom(from) => Visibility::HideFrom(
            from.iter().enumerate().map(|(row, from)| (*from).min(end(row) as u32)).collect(),
        ),
        Visibility::Causal | Visibility::ByHead(_) => {
            Visibility::HideFrom((0..len).map(|row| end(row) as u32).collect())
        }
    };
    plan.input.position_ids = Some(positions);
}

/// Why a batch could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Something must be left to run: where every token was to be dropped, the first stays.
fn keep_one(decision: &mut Decision) {
    let dropped =
        |p: &crate::mask::types::PositionDecision| p.state == State::Masked && p.op == Some(Op::Drop);
    if !decision.positions.is_empty() && decision.positions.iter().all(dropped) {
        let first = &mut decision.positions[0];
        (first.state, first.op) = (State::Draw, None);
        decision.selected -= 1;
    }
}

fn realised(decisions: &[Decision], pairs: &[CutPairs]) -> Realised {
    let mut out = Realised::default();
    if pairs.is_empty() {
        for d in decisions {
            out.add(Realised { eligible: d.eligible, selected: d.selected });
        }
    }
    for p in pairs {
        out.add(Realised { eligible: p.eligible, selected: p.selected });
    }
    out
}
