//! Exploration without threads: a text, its baseline, scores, decisions and masked runs, each computed at most once for
//! the same question. The screen's worker and the commands (`predict`, `mask`) are thin layers over this.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::loaded::LoadedModel;
use super::pass::{Pass, PassRequest};
pub use super::reach::Reach;
use super::types::{MaskEffect, Token, WindowReport, Work};
use crate::attention::heads::{HeadStats, HeadsRequest};
use crate::attention::score::{Scored, score};
use crate::attention::sweep::{Sweep, SweepRequest, sweep_while};
use crate::attention::types::ScoreSettings;
use crate::mask::apply::{ApplyError, MaskedPass, ReplacementSource, apply};
use crate::mask::decide::{DecisionInput, decide, score_in_force};
use crate::mask::draw::Draws;
use crate::mask::initial::{Pattern, decide_initial};
use crate::mask::reason::nothing_selected;
use crate::mask::rolling::{RollingError, RollingSettings};
use crate::mask::types::{Decision, MaskSettings, Op, Replacement, Scale, Scope};
use crate::mask::units::word_starts;
use crate::model::tokenizer::{Piece, visible};
use crate::model::{Input, ModelError, Trace, logits};

/// Masked runs are kept up to this many bytes, so that a slider moved back finds its run again: eight runs over 200 tokens of
/// GPT-2 small.
const KEPT_BYTES: usize = 256 << 20;
/// The operations that stand side by side: all of them, the one that changes nothing first.
pub const SIDE_BY_SIDE: [Op; 6] = [Op::Keep, Op::Replace, Op::Hide, Op::Drop, Op::Evict, Op::Skip];
/// However large the model, the latest masked run and one more are kept.
const KEPT_RUNS: usize = 2;
/// Of an earlier text, so many of the newest runs are kept: a letter typed shares its beginning with them. Without this bound
/// an hour of typing over short texts fills `KEPT_BYTES`.
const EARLIER_RUNS: usize = 8;

/// Why an exploration cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ExploreError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Score(#[from] crate::attention::types::SubsetError),
    #[error(transparent)]
    Rolling(#[from] RollingError),
    #[error("{kept} kept tokens and a stride of {stride} do not fit the context of {context}")]
    Crowded { kept: usize, stride: usize, context: usize },
    #[error("the model's context of {context} tokens is full")]
    ContextFull { context: usize },
}

/// Everything that decides a mask.
#[derive(Clone, Copy)]
pub struct MaskPolicy<'a> {
    pub mask: &'a MaskSettings,
    pub score: &'a ScoreSettings,
    pub rolling: &'a RollingSettings,
}

/// A decision, what it means for the input, and the scores behind it.
pub struct MaskChoice {
    pub scored: Scored,
    pub decision: Decision,
    pub plan: MaskedPass,
    /// How the window rolled under scope `block`; `None` under `whole`.
    pub window: Option<Arc<WindowReport>>,
    /// Why nothing was selected, where that is so.
    pub note: Option<String>,
    /// `ln p` of the true next token after each position of the full text, as predicted when that position was new;
    /// only where later passes encoded kept tokens again.
    pub told: Option<Vec<Option<f32>>>,
}

impl ExploreError {
    pub fn hint(&self) -> Option<String> {
        match self {
            ExploreError::Model(e) => e.hint(),
            ExploreError::Apply(e) => e.hint(),
            ExploreError::Score(e) => e.hint(),
            ExploreError::Rolling(e) => e.hint(),
            ExploreError::ContextFull { .. } => {
                Some("shorten the text, or set generate.when_full to roll".to_owned())
            }
            ExploreError::Crowded { .. } => {
                Some("the text is longer than the context: keep less (a smaller budget, more hidden, one token set for all heads), or a smaller stride".to_owned())
            }
        }
    }

    pub fn is_cancelled(&self) -> bool {
        matches!(self, ExploreError::Model(ModelError::Cancelled))
    }
}

/// Settings in force, and whether there was a calibration to read them with.
type ScoredAs = (ScoreSettings, bool);

/// One text on one model.
pub struct Explorer {
    pub loaded: Arc<LoadedModel>,
    pub ids: Vec<u32>,
    pub tokens: Arc<[Token]>,
    /// Tokens left out at the end, where the text is longer than the context.
    pub truncated: Option<usize>,
    /// The token after which the next one is predicted; `None` is the last.
    pub position: Option<usize>,
    pub(super) word_starts: Vec<bool>,
    baseline: Option<Arc<Pass>>,
    sweep: Option<Arc<Sweep>>,
    /// The newest scores of that sweep, with the settings they were asked with; a slider asks for the same ones many times.
    scored: Option<(ScoredAs, Scored)>,
    pub(super) runs: VecDeque<Arc<Pass>>,
    /// Forward passes that computed at least one row.
    pub forwards: usize,
    /// Rows that they computed, summed over layers.
    pub rows: usize,
}

impl Explorer {
    pub fn new(loaded: Arc<LoadedModel>) -> Self {
        Explorer {
            loaded,
            ids: Vec::new(),
            tokens: Arc::new([]),
            truncated: None,
            position: None,
            word_starts: Vec::new(),
            baseline: None,
            sweep: None,
            scored: None,
            runs: VecDeque::new(),
            forwards: 0,
            rows: 0,
        }
    }

    /// Takes a new text; longer ones are cut to the context, or to what can be read beyond it, with a line in
    /// `truncated`.
    pub fn set_text(&mut self, text: &str, reach: Reach) -> Result<(), ModelError> {
        let Some(tokenizer) = &self.loaded.tokenizer else {
            return Err(ModelError::input("this checkpoint has no tokenizer, so text cannot be run")
                .with_hint("put tokenizer.json, or the model's other tokenizer files, beside the weights"));
        };
        let mut pieces = tokenizer.encode(text)?;
        let limit = reach.limit(self.loaded.model.config.n_positions);
        self.truncated = pieces.len().checked_sub(limit).filter(|&left_out| left_out > 0);
        pieces.truncate(limit);
        self.loaded.check_rows(&pieces.iter().map(|p| p.id).collect::<Vec<_>>())?;
        let texts = tokenizer.texts(text, &pieces);
        self.set_pieces(&pieces, texts);
        Ok(())
    }

    /// Takes token ids instead of a text.
    pub fn set_ids(&mut self, ids: &[u32]) -> Result<(), ModelError> {
        self.loaded.check_rows(ids)?;
        self.loaded.model.check(&Input::plain(ids.to_vec()))?;
        self.take_ids(ids);
        Ok(())
    }

    /// Token ids of any length up to what `reach` allows; what is longer is refused.
    pub fn set_ids_within(&mut self, ids: &[u32], reach: Reach) -> Result<(), ModelError> {
        let context = self.loaded.model.config.n_positions;
        if reach == Reach::Context || ids.len() <= context {
            return self.set_ids(ids);
        }
        if ids.len() > reach.limit(context) {
            let problem = format!(
                "{} tokens are more than the {} that a rolling window reads",
                ids.len(),
                reach.limit(context)
            );
            return Err(ModelError::input(problem).with_hint("shorten the text"));
        }
        self.loaded.check_rows(ids)?;
        for part in ids.chunks(context) {
            self.loaded.model.check(&Input::plain(part.to_vec()))?;
        }
        self.take_ids(ids);
        Ok(())
    }

    fn take_ids(&mut self, ids: &[u32]) {
        self.truncated = None;
        let pieces: Vec<Piece> = ids.iter().map(|&id| Piece { id, span: (0, 0) }).collect();
        let texts = ids.iter().map(|&id| self.loaded.bytes(id)).collect();
        self.set_pieces(&pieces, texts);
    }

    fn set_pieces(&mut self, pieces: &[Piece], texts: Vec<Vec<u8>>) {
        let ids: Vec<u32> = pieces.iter().map(|p| p.id).collect();
        let changed = ids != self.ids;
        let token = |(p, bytes): (&Piece, Vec<u8>)| {
            let display = if bytes.is_empty() { format!("#{}", p.id) } else { visible(&bytes) };
            Token { id: p.id, display, bytes, span: p.span }
        };
        self.tokens = pieces.iter().zip(texts).map(token).collect();
        let (begins, special) =
            (|i: usize| self.loaded.begins_word(ids[i]), |i: usize| self.loaded.is_special(ids[i]));
        self.word_starts = word_starts(ids.len(), begins, special);
        self.ids = ids;
        if changed {
            (self.sweep, self.scored) = (None, None);
            self.runs.truncate(EARLIER_RUNS);
        }
    }

    /// The pass without a mask. Of a text beyond the context it reads the newest tokens that fit.
    pub fn baseline(&mut self, cancel: Option<&AtomicBool>) -> Result<Arc<Pass>, ExploreError> {
        let first = self.ids.len().saturating_sub(self.loaded.model.config.n_positions);
        if let Some(run) = &self.baseline
            && run.trace.input.ids == self.ids[first..]
            && run.full_len == self.ids.len()
        {
            return Ok(run.clone());
        }
        let old = self.baseline.clone();
        let request = PassRequest {
            input: Arc::new(Input::plain(self.ids[first..].to_vec())),
            kept: (first > 0).then(|| Arc::new((first..self.ids.len()).collect())),
            full_ids: &self.ids,
            earlier: &old.iter().map(Arc::as_ref).collect::<Vec<_>>(),
            cancel,
        };
        let run = Arc::new(Pass::new(&self.loaded.model, &request)?);
        self.count(&run.trace);
        self.baseline = Some(run.clone());
        Ok(run)
    }

    pub(super) fn count(&mut self, trace: &Trace) {
        self.forwards += usize::from(trace.computed > 0);
        self.rows += trace.computed;
    }

    /// Sums over all maps of the baseline; one look at every map, however many scores are asked of it.
    fn sweep(
        &mut self,
        settings: &ScoreSettings,
        cancel: Option<&AtomicBool>,
    ) -> Result<Arc<Sweep>, ExploreError> {
        if let Some(sweep) = &self.sweep
            && sweep.covers(settings)
        {
            return Ok(sweep.clone());
        }
        let run = self.baseline(cancel)?;
        let going = || !cancel.is_some_and(|c| c.load(Ordering::Relaxed));
        let sweep = sweep_while(&run.trace, &SweepRequest::for_score(settings), &going)
            .ok_or(ExploreError::Model(ModelError::Cancelled))?;
        let sweep = Arc::new(sweep);
        (self.sweep, self.scored) = (Some(sweep.clone()), None);
        Ok(sweep)
    }

    /// Scores of the text in force under a scale.
    pub fn scores(
        &mut self,
        asked: &ScoreSettings,
        scale: Scale,
        cancel: Option<&AtomicBool>,
    ) -> Result<Scored, ExploreError> {
        let settings = score_in_force(scale, asked);
        settings.check(self.loaded.model.config.n_layer, self.loaded.model.config.n_head)?;
        let sweep = self.sweep(&settings, cancel)?;
        let calibration = self.loaded.calibration();
        // A calibration never changes once it is there.
        let asked = (settings, calibration.is_some());
        if let Some((known, scored)) = &self.scored
            && *known == asked
        {
            return Ok(scored.clone());
        }
        let scored = score(&sweep, &asked.0, calibration);
        self.scored = Some((asked, scored.clone()));
        Ok(scored)
    }

    /// The decision over the current text. No forward pass.
    pub fn decide(&self, mask: &MaskSettings, asked: &ScoreSettings, scored: &Scored) -> Decision {
        let sample = (mask.scale == Scale::Calibrated)
            .then(|| self.loaded.calibration().map(|c| c.sample(&score_in_force(mask.scale, asked))))
            .flatten();
        let input = DecisionInput {
            scores: &scored.scores,
            ids: &self.ids,
            sinks: scored.sinks.positions(),
            eot: self.loaded.eot(),
            word_starts: &self.word_starts,
            sample: sample.as_deref(),
            draws: Draws::new(mask.seed),
            ..DecisionInput::default()
        };
        decide(mask, &input)
    }

    /// What a decision means for the input.
    pub fn plan(&self, decision: &Decision, mask: &MaskSettings) -> Result<MaskedPass, ExploreError> {
        Ok(apply(&self.ids, decision, mask, Draws::new(mask.seed), &*self.loaded)?)
    }

    /// Decides under the policy's scope and plans the masked pass.
    pub fn choose(
        &mut self,
        policy: MaskPolicy<'_>,
        cancel: Option<&AtomicBool>,
    ) -> Result<MaskChoice, ExploreError> {
        if policy.mask.scope == Scope::Block {
            return self.choose_by_block(policy, cancel);
        }
        let scored = self.scores(policy.score, policy.mask.scale, cancel)?;
        let decision = match policy.rolling.initial {
            Some(pattern) => self.decide_by_pattern(policy.mask, pattern, &scored),
            None => self.decide(policy.mask, policy.score, &scored),
        };
        let plan = self.plan(&decision, policy.mask)?;
        let note = nothing_selected(policy.mask, &decision);
        Ok(MaskChoice { scored, decision, plan, window: None, note, told: None })
    }

    /// An initial pattern in place of the score, over the whole text.
    fn decide_by_pattern(&self, mask: &MaskSettings, pattern: Pattern, scored: &Scored) -> Decision {
        let input = DecisionInput {
            ids: &self.ids,
            sinks: scored.sinks.positions(),
            eot: self.loaded.eot(),
            word_starts: &self.word_starts,
            draws: Draws::new(mask.seed),
            ..DecisionInput::default()
        };
        decide_initial(mask, &input, pattern, None, self.loaded.tables())
    }

    /// The masked pass: an equal one from before is given back as it is, otherwise only what the mask touches is computed.
    pub fn masked(
        &mut self,
        plan: &MaskedPass,
        cancel: Option<&AtomicBool>,
    ) -> Result<Arc<Pass>, ExploreError> {
        let baseline = self.baseline(cancel)?;
        let whole = plan.kept.len() == self.ids.len();
        if plan.input == *baseline.trace.input && whole {
            return Ok(baseline);
        }
        let same = |run: &&Arc<Pass>| {
            *run.trace.input == plan.input
                && run.full_len == self.ids.len()
                && run.kept.as_deref().map_or(whole, |k| *k == plan.kept)
        };
        if let Some(at) = self.runs.iter().position(|run| same(&run)) {
            if let Some(run) = self.runs.remove(at) {
                self.runs.push_front(run);
            }
            return Ok(self.runs[0].clone());
        }
        let earlier: Vec<&Pass> =
            std::iter::once(&*baseline).chain(self.runs.iter().map(Arc::as_ref)).collect();
        let request = PassRequest {
            input: Arc::new(plan.input.clone()),
            kept: (!whole).then(|| Arc::new(plan.kept.clone())),
            full_ids: &self.ids,
            earlier: &earlier,
            cancel,
        };
        let run = Arc::new(Pass::new(&self.loaded.model, &request)?);
        self.count(&run.trace);
        self.runs.push_front(run.clone());
        let mut bytes = 0;
        let mut count = 0;
        self.runs.retain(|run| {
            (bytes, count) = (bytes + run.bytes(), count + 1);
            count <= KEPT_RUNS || bytes <= KEPT_BYTES
        });
        Ok(run)
    }

    /// A pass that is measured once and not kept.
    pub fn probe(
        &mut self,
        input: Arc<Input>,
        baseline: &Pass,
        cancel: Option<&AtomicBool>,
    ) -> Result<Pass, ExploreError> {
        let request = PassRequest { input, kept: None, full_ids: &self.ids, earlier: &[baseline], cancel };
        let run = Pass::new(&self.loaded.model, &request)?;
        self.count(&run.trace);
        Ok(run)
    }

    /// The effect of a choice against the baseline.
    pub fn effect(
        &mut self,
        choice: &MaskChoice,
        (op, top): (Op, usize),
        cancel: Option<&AtomicBool>,
    ) -> Result<(MaskEffect, Arc<Pass>), ExploreError> {
        let baseline = self.baseline(cancel)?;
        let run = self.masked(&choice.plan, cancel)?;
        let told = choice.told.as_deref();
        Ok((self.compare((&baseline, &run, told), &choice.decision, (op, top))?, run))
    }

    /// The same selection (scope `whole`) with another operation for every selected position.
    pub fn effect_of(
        &mut self,
        (decision, mask): (&Decision, &MaskSettings),
        (op, top): (Op, usize),
        cancel: Option<&AtomicBool>,
    ) -> Result<MaskEffect, ExploreError> {
        let replacement = if mask.op == Op::Replace { mask.replacement } else { Replacement::Mean };
        let decision = decision.with_op(op, replacement);
        let baseline = self.baseline(cancel)?;
        let plan = self.plan(&decision, mask)?;
        let run = self.masked(&plan, cancel)?;
        self.compare((&baseline, &run, None), &decision, (op, top))
    }

    fn compare(
        &self,
        (baseline, run, told): (&Pass, &Pass, Option<&[Option<f32>]>),
        decision: &Decision,
        (op, top): (Op, usize),
    ) -> Result<MaskEffect, ExploreError> {
        let before = baseline.by_position();
        let after = told.map_or_else(|| run.by_position(), <[_]>::to_vec);
        let mut prediction = self.prediction(run, top)?;
        let kl = match (self.after(baseline)?, self.after(run)?) {
            (Some(before), Some(after)) => logits::kl(&before, &after) as f32,
            _ => f32::NAN,
        };
        if told.is_some() {
            prediction.surprise(&after);
        }
        let masked = decision.masked();
        let (mut on_masked, mut on_others) = ((0f64, 0usize), (0f64, 0usize));
        for (i, (a, b)) in before.iter().zip(&after).enumerate() {
            let (Some(a), Some(b)) = (a, b) else { continue };
            let sum = if masked.binary_search(&i).is_ok() { &mut on_masked } else { &mut on_others };
            sum.0 += f64::from(*b) - f64::from(*a);
            sum.1 += 1;
        }
        let mean = |(sum, n): (f64, usize)| (n > 0).then(|| (sum / n as f64) as f32);
        let all = self.ids.len() * self.loaded.model.config.n_layer;
        let (computed, reused) = (run.trace.computed, run.trace.reused);
        Ok(MaskEffect {
            op,
            prediction,
            kl,
            delta_masked: mean(on_masked),
            delta_unmasked: mean(on_others),
            work: Work { computed, reused, saved: all.saturating_sub(computed + reused) },
        })
    }

    /// Statistics and thumbnails of every head of a run.
    pub fn heads(
        &self,
        run: &Pass,
        masked: &[usize],
        side: usize,
        cancel: Option<&AtomicBool>,
    ) -> Option<Vec<HeadStats>> {
        let rows: Vec<usize> = match &run.kept {
            None => masked.to_vec(),
            Some(kept) => masked.iter().filter_map(|i| kept.binary_search(i).ok()).collect(),
        };
        let request = SweepRequest {
            heads: Some(HeadsRequest { ids: &run.trace.input.ids, masked: &rows, side }),
            ..SweepRequest::default()
        };
        let going = || !cancel.is_some_and(|c| c.load(Ordering::Relaxed));
        sweep_while(&run.trace, &request, &going).map(|sweep| sweep.heads)
    }

    /// Masked text as a person reads it.
    pub fn masked_text(&self, plan: &MaskedPass) -> String {
        let original = |i: usize| self.tokens.get(i).map(|t| t.bytes.clone()).unwrap_or_default();
        plan.masked_text(&original, &|id| self.loaded.bytes(id))
    }
}
