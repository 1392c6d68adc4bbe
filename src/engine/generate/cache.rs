//! The keys and values of one continuation. A text is read on from where the last reading ended, block by block: at every
//! boundary the mask decides over what was read, and what is evicted leaves the cache for good. Beyond the context the kept
//! tokens are encoded again at compact positions, since GPT-2's positions are absolute.
//!
//! This file counts in three ways: places in the whole text; positions, which start at 0 at each encoding; and rows of the
//! cache, which are the positions that have not left it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::attention::source::AttentionSource;
use crate::attention::types::Reduction;
use crate::engine::explorer::ExploreError;
use crate::engine::loaded::LoadedModel;
use crate::engine::types::{CacheUse, GenerateMask, WhenFull, Work};
use crate::mask::apply::ReplacementSource;
use crate::mask::draw::Draws;
use crate::mask::rolling::{Rolling, RollingText};
use crate::mask::types::Op;
use crate::mask::units::word_starts;
use crate::model::forward::Reuse;
use crate::model::{Input, ModelError, Trace};

/// What one query gave to every position up to its own, `[L·H, query + 1]`, layer-major.
#[derive(Clone, Debug)]
struct QueryRow {
    query: usize,
    weights: Vec<f32>,
}

/// The decisions of the mask, and what they need of the past.
#[derive(Clone)]
struct Decider {
    rolling: Rolling,
    seed: u64,
    /// Whether what is masked leaves the cache at once, rather than stay there unread.
    evicts: bool,
    /// Queries whose attention a decision may read.
    need: usize,
}

/// What was read so far.
#[derive(Clone)]
pub struct DecodeCache {
    loaded: Arc<LoadedModel>,
    decider: Option<Decider>,
    when_full: WhenFull,
    /// Tokens by position, and the place of each in the whole text.
    ids: Vec<u32>,
    origin: Vec<usize>,
    /// Positions by row.
    rows: Vec<usize>,
    trace: Option<Trace>,
    /// Attention of the newest queries as it was when they were computed.
    newest: VecDeque<QueryRow>,
    reencoded: usize,
    /// What the last reading computed and reused.
    work: Work,
}

impl DecodeCache {
    /// An empty cache under a mask.
    ///
    /// # Errors
    /// A window that cannot roll on this model.
    pub fn new(
        loaded: Arc<LoadedModel>,
        mask: Option<&GenerateMask>,
        when_full: WhenFull,
    ) -> Result<Self, ExploreError> {
        let config = &loaded.model.config;
        // What is only counted changes no computation, so that nothing has to be cut into blocks.
        let acts = |m: &&GenerateMask| m.mask.op != Op::Keep || m.mask.mix.is_some();
        let decider = mask.filter(acts).map(|m| -> Result<Decider, ExploreError> {
            m.rolling.check(&m.mask, config.n_positions)?;
            m.score.check(config.n_layer, config.n_head)?;
            let rolling = Rolling::new(&m.mask, &m.rolling, &m.score);
            let score = rolling.score_settings();
            let decider = Decider {
                seed: m.mask.seed,
                // A roll-out goes through every map there was.
                evicts: m.rolling.clone().settled().sticky && score.reduction != Reduction::Rollout,
                need: if score.reduction == Reduction::Rollout {
                    usize::MAX
                } else {
                    m.rolling.window.max(m.rolling.stride).max(score.window)
                },
                rolling,
            };
            Ok(decider)
        });
        Ok(DecodeCache {
            decider: decider.transpose()?,
            loaded,
            when_full,
            ids: Vec::new(),
            origin: Vec::new(),
            rows: Vec::new(),
            trace: None,
            newest: VecDeque::new(),
            reencoded: 0,
            work: Work::default(),
        })
    }

    /// Tokens of the whole text that were read.
    pub fn seen(&self) -> usize {
        self.origin.last().map_or(0, |i| i + 1)
    }

    /// No token can follow.
    pub fn is_full(&self) -> bool {
        self.when_full == WhenFull::Stop && self.ids.len() >= self.context()
    }

    fn context(&self) -> usize {
        self.loaded.model.config.n_positions
    }

    /// Reads `text` on to its end. After an error, what was read until then stays, and another call goes on from there.
    ///
    /// # Errors
    /// Of the model; a context that is full.
    pub fn read(&mut self, text: &[u32], cancel: Option<&AtomicBool>) -> Result<(), ExploreError> {
        let mut work = Work::default();
        while self.seen() < text.len() {
            self.decide(text)?;
            self.make_room()?;
            let from = self.seen();
            let end = text.len().min(from + self.stretch());
            let trace = self.pass(&text[from..end], cancel)?;
            work.computed += trace.0;
            work.reused = trace.1;
        }
        self.work = work;
        Ok(())
    }

    /// Tokens that can be read before the next boundary, or the end of the context.
    fn stretch(&self) -> usize {
        let room = self.context() - self.ids.len();
        match &self.decider {
            Some(d) => room.min(d.rolling.next_boundary().saturating_sub(self.ids.len()).max(1)),
            None => room,
        }
    }

    /// Reads tokens over what is in the cache; returns the rows computed and reused.
    fn pass(&mut self, new: &[u32], cancel: Option<&AtomicBool>) -> Result<(usize, usize), ExploreError> {
        let (old, total) = (self.ids.len(), self.ids.len() + new.len());
        let before = if self.trace.is_some() { self.rows.len() } else { 0 };
        let rows: Vec<usize> = self.rows.iter().copied().chain(old..total).collect();
        let ids: Vec<u32> = self.ids.iter().chain(new).copied().collect();
        let whole = Input {
            visibility: self.decider.as_ref().map(|d| d.rolling.visibility(total)).unwrap_or_default(),
            ..Input::plain(ids)
        };
        let input = if rows.len() == total { whole } else { whole.of_rows(&rows) };
        let traces: Vec<&Trace> = self.trace.iter().collect();
        let trace = self.loaded.model.run(Arc::new(input), Reuse { traces: &traces, cancel })?;
        let first = self.seen();
        self.ids.extend_from_slice(new);
        self.origin.extend(first..first + new.len());
        self.rows = rows;
        self.keep_newest(&trace, before)?;
        let work = (trace.computed, trace.reused);
        self.trace = Some(trace);
        Ok(work)
    }

    /// Keeps the attention of the new queries that a later decision, or a reader, asks for.
    fn keep_newest(&mut self, trace: &Trace, before: usize) -> Result<(), ExploreError> {
        let need = self.decider.as_ref().map_or(1, |d| d.need);
        let (n, total) = (self.rows.len(), self.ids.len());
        let from = before.max(n.saturating_sub(need)).min(n - 1);
        let weights = trace.weights_from(from).map_err(ModelError::from)?;
        for row in from..n {
            let query = self.rows[row];
            let heads = weights.len() / ((n - from) * n);
            let mut out = vec![0f32; heads * (query + 1)];
            for (head, out) in out.chunks_exact_mut(query + 1).enumerate() {
                let given = &weights[(head * (n - from) + row - from) * n..][..=row];
                given.iter().zip(&self.rows).for_each(|(&w, &key)| out[key] = w);
            }
            self.newest.push_back(QueryRow { query, weights: out });
        }
        while self.newest.len() > need.min(total) {
            self.newest.pop_front();
        }
        Ok(())
    }

    /// Decides, where a boundary was reached; what is evicted leaves.
    fn decide(&mut self, text: &[u32]) -> Result<(), ExploreError> {
        let Some(mut decider) = self.decider.take() else { return Ok(()) };
        if decider.rolling.boundaries().is_empty() && self.ids.is_empty() {
            let starts = self.word_starts(text);
            let first = self.rolling_text(&decider, text, &starts);
            decider.rolling.begin(&first);
        }
        let mut evicted = Ok(());
        if self.ids.len() == decider.rolling.next_boundary()
            && let Some(trace) = self.trace.take()
        {
            let starts = self.word_starts(&self.ids);
            let read = self.rolling_text(&decider, &self.ids, &starts);
            decider.rolling.step(&NewestQueries { cache: self, trace: &trace }, &read);
            evicted = self.evict(&decider, trace);
        }
        self.decider = Some(decider);
        evicted
    }

    /// Lets what the decision evicts leave the trace.
    fn evict(&mut self, decider: &Decider, trace: Trace) -> Result<(), ExploreError> {
        let kept = self.kept_rows(decider);
        self.trace = match kept.len() {
            n if n == self.rows.len() => Some(trace),
            0 => None,
            _ => Some(trace.of_rows(&kept).map_err(ModelError::from)?),
        };
        self.rows = kept.into_iter().map(|row| self.rows[row]).collect();
        Ok(())
    }

    /// Rows that stay in the cache.
    fn kept_rows(&self, decider: &Decider) -> Vec<usize> {
        let decision = decider.rolling.decision(self.ids.len());
        let leaves = |position: usize| {
            decider.evicts
                && decider.rolling.is_hidden(position)
                && decision.positions[position].op == Some(Op::Evict)
        };
        (0..self.rows.len()).filter(|&row| !leaves(self.rows[row])).collect()
    }

    fn word_starts(&self, ids: &[u32]) -> Vec<bool> {
        let (begins, special) =
            (|i: usize| self.loaded.begins_word(ids[i]), |i: usize| self.loaded.is_special(ids[i]));
        word_starts(ids.len(), begins, special)
    }

    fn rolling_text<'a>(&'a self, decider: &Decider, ids: &'a [u32], starts: &'a [bool]) -> RollingText<'a> {
        RollingText {
            ids,
            eot: self.loaded.eot(),
            word_starts: starts,
            draws: Draws { pass: self.reencoded as u32, ..Draws::new(decider.seed) },
            calibration: self.loaded.calibration(),
            // Counting a corpus takes a moment; only an initial pattern needs it.
            tables: decider.rolling.boundaries().is_empty().then(|| self.loaded.tables()).flatten(),
        }
    }

    /// Drops what is hidden, or the older half, where the context is full; the next pass encodes the rest again.
    fn make_room(&mut self) -> Result<(), ExploreError> {
        let context = self.context();
        if self.ids.len() < context {
            return Ok(());
        }
        let kept = match &mut self.decider {
            _ if self.when_full == WhenFull::Stop => return Err(ExploreError::ContextFull { context }),
            Some(decider) => decider.rolling.compact(context),
            None => (context - context / 2..context).collect(),
        };
        if kept.len() >= context {
            return Err(ExploreError::Crowded { kept: kept.len(), stride: 1, context });
        }
        self.origin = kept.iter().map(|&i| self.origin[i]).collect();
        self.ids = kept.iter().map(|&i| self.ids[i]).collect();
        self.rows = (0..kept.len()).collect();
        self.trace = None;
        self.newest.clear();
        self.reencoded += 1;
        Ok(())
    }

    /// Forgets all but the first tokens, so that `len` of them can be read again at the cost of one; whether that can be
    /// done: what a mask has decided is not undone.
    pub fn rewind(&mut self, len: usize) -> bool {
        let plain = self.decider.is_none() && self.reencoded == 0 && len > 0;
        if plain && len <= self.ids.len() {
            // The trace keeps more rows than are asked for; the next pass shares those that are.
            self.ids.truncate(len - 1);
            self.origin.truncate(len - 1);
            self.rows.truncate(len - 1);
            self.newest.clear();
        }
        plain
    }

    /// Raw logits after the last token, `[V]`.
    ///
    /// # Errors
    /// Nothing was read; those of the model.
    pub fn logits(&self) -> Result<Vec<f32>, ExploreError> {
        let trace = self.trace.as_ref().ok_or_else(|| ModelError::input("no text to write on from"))?;
        Ok(self.loaded.model.logits(&trace.hidden, self.rows.len() - 1, 1)?)
    }

    /// Attention of the last token over the whole text, `[L·H, seen]`, layer-major; 0 where it could not read.
    pub fn read_by_last(&self) -> Vec<f32> {
        let Some(row) = self.newest.back() else { return Vec::new() };
        let (from, to) = (row.query + 1, self.seen());
        let mut out = vec![0f32; row.weights.len() / from * to];
        for (out, given) in out.chunks_exact_mut(to).zip(row.weights.chunks_exact(from)) {
            given.iter().zip(&self.origin).for_each(|(&w, &place)| out[place] = w);
        }
        out
    }

    /// Places that the next token cannot read, ascending.
    pub fn hidden(&self) -> Vec<usize> {
        let gone = |place: usize| match self.origin.binary_search(&place) {
            Ok(position) => self.decider.as_ref().is_some_and(|d| d.rolling.is_hidden(position)),
            Err(_) => true,
        };
        (0..self.seen()).filter(|&place| gone(place)).collect()
    }

    /// What the cache holds.
    pub fn usage(&self) -> CacheUse {
        let config = &self.loaded.model.config;
        // A key and a value of every layer, f32.
        let token = 2 * 4 * (config.n_layer * config.n_embd) as u64;
        let (seen, here) = (self.seen(), self.ids.len());
        let share = self.decider.as_ref().map_or(1.0, |d| d.rolling.cache_share(here));
        CacheUse {
            seen,
            readable: seen - self.hidden().len(),
            read_share: if seen == 0 { 1.0 } else { share * here as f64 / seen as f64 },
            bytes: self.rows.len() as u64 * token,
            evicted_bytes: (seen - self.rows.len()) as u64 * token,
            reencoded: self.reencoded,
        }
    }

    /// Rows computed and reused by the last reading, over all layers.
    pub fn work(&self) -> Work {
        self.work
    }
}

/// The queries that a decision reads, in positions. Nothing reads the maps of others, so their rows stay as they are.
struct NewestQueries<'a> {
    cache: &'a DecodeCache,
    trace: &'a Trace,
}

impl AttentionSource for NewestQueries<'_> {
    fn n_layer(&self) -> usize {
        self.trace.layers.len()
    }

    fn n_head(&self) -> usize {
        self.trace.config.n_head
    }

    fn len(&self) -> usize {
        self.cache.ids.len()
    }

    fn map(&self, layer: usize, head: usize, out: &mut [f32]) {
        let len = self.len();
        for QueryRow { query, weights } in &self.cache.newest {
            let n = query + 1;
            let given = &weights[(layer * self.n_head() + head) * n..][..n];
            out[query * len..query * len + n].copy_from_slice(given);
        }
    }

    fn value_norms(&self, layer: usize, head: usize, out: &mut [f32]) {
        let mut kept = vec![0f32; self.cache.rows.len()];
        out.fill(0.0);
        // Shapes were checked when the trace was made; a failure here would be a bug, and zeros are visible.
        if self.trace.value_norms_into(layer, head, &mut kept).is_ok() {
            self.cache.rows.iter().zip(kept).for_each(|(&position, norm)| out[position] = norm);
        }
    }
}
