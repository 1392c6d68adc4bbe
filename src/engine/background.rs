//! Work that runs while no request waits, one forward pass at a time: re-rolls, costs,
//! calibration.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::calibrate::Calibrator;
use super::explorer::{ExploreError, Explorer, MaskPolicy, SIDE_BY_SIDE};
use super::leak::LeakMeter;
use super::types::{CostRow, ExploreRequest, MaskEffect, RerollRow, Spread, Update};
use crate::attention::types::{Reduction, ScoreSettings};
use crate::eval::stats::spearman;
use crate::mask::decide::score_in_force;
use crate::mask::types::{MaskSettings, Op, Scale, Scope};
use crate::model::{Input, Visibility};

/// One background task.
pub enum BackgroundTask {
    Rerolls(Box<Rerolls>),
    Cost(Box<CostTask>),
    Leak(Box<LeakMeter>),
    Calibrate(Box<Calibrator>),
}

/// Running mean and sum of squared deviations (Welford 1962).
#[derive(Clone, Copy, Debug, Default)]
pub struct RunningMean {
    n: usize,
    mean: f64,
    squares: f64,
}

impl RunningMean {
    pub fn add(&mut self, x: f64) {
        self.n += 1;
        let delta = x - self.mean;
        self.mean += delta / self.n as f64;
        self.squares += delta * (x - self.mean);
    }

    pub fn spread(&self) -> Spread {
        let sd = if self.n > 1 { (self.squares / (self.n - 1) as f64).sqrt() } else { 0.0 };
        Spread { mean: self.mean, sd, n: self.n }
    }
}

/// The same decision rule under many seeds.
pub struct Rerolls {
    pub generation: u64,
    pub of: usize,
    pub done: usize,
    request: ExploreRequest,
    rate: RunningMean,
    rows: Vec<(Op, EffectSpread)>,
}

/// Running figures of one operation.
#[derive(Clone, Copy, Debug, Default)]
struct EffectSpread {
    kl: RunningMean,
    loss: RunningMean,
    delta_masked: RunningMean,
    delta_unmasked: RunningMean,
    saved: RunningMean,
}

impl EffectSpread {
    fn add(&mut self, effect: &MaskEffect) {
        // A token that one seed dropped predicts nothing under it.
        if effect.kl.is_finite() {
            self.kl.add(f64::from(effect.kl));
        }
        let parts = [
            (&mut self.loss, effect.prediction.loss),
            (&mut self.delta_masked, effect.delta_masked),
            (&mut self.delta_unmasked, effect.delta_unmasked),
        ];
        for (running, value) in parts {
            // A seed that masks nothing has no masked position to speak of.
            if let Some(value) = value {
                running.add(f64::from(value));
            }
        }
        let w = effect.work;
        self.saved.add(w.saved as f64 / (w.computed + w.reused + w.saved).max(1) as f64);
    }

    fn row(&self, op: Op) -> RerollRow {
        RerollRow {
            op,
            kl: self.kl.spread(),
            loss: self.loss.spread(),
            delta_masked: self.delta_masked.spread(),
            delta_unmasked: self.delta_unmasked.spread(),
            saved: self.saved.spread(),
        }
    }
}

impl Rerolls {
    /// The chosen operation alone, or with `request.effects` all that stand side by side.
    pub fn new(generation: u64, of: usize, request: ExploreRequest) -> Self {
        let mut ops = vec![request.mask.op];
        if request.effects && request.mask.scope == Scope::Whole {
            ops.extend(SIDE_BY_SIDE.iter().filter(|op| **op != request.mask.op));
        }
        let rows = ops.into_iter().map(|op| (op, EffectSpread::default())).collect();
        Rerolls { generation, of, done: 0, request, rate: RunningMean::default(), rows }
    }

    /// One more seed: the seeds are the current one and those after it.
    pub fn step(
        &mut self,
        explorer: &mut Explorer,
        cancel: Option<&AtomicBool>,
    ) -> Result<Update, ExploreError> {
        let seed = self.request.mask.seed.wrapping_add(self.done as u64);
        let mask = MaskSettings { seed, ..self.request.mask.clone() };
        let policy = MaskPolicy { mask: &mask, ..self.request.policy() };
        explorer.position = self.request.position;
        let choice = explorer.choose(policy, cancel)?;
        let mut effects = vec![explorer.effect(&choice, (mask.op, 1), cancel)?.0];
        for (op, _) in &self.rows[1..] {
            effects.push(explorer.effect_of((&choice.decision, &mask), (*op, 1), cancel)?);
        }
        // Only now, so that a pass that was cancelled half-way is counted once.
        for ((_, row), effect) in self.rows.iter_mut().zip(&effects) {
            row.add(effect);
        }
        self.rate.add(choice.decision.rate());
        self.done += 1;
        Ok(Update::Rerolls {
            generation: self.generation,
            done: self.done,
            of: self.of,
            rate: self.rate.spread(),
            rows: self.rows.iter().map(|(op, row)| row.row(*op)).collect(),
        })
    }
}

/// Cost of hiding each token: the rise of the mean loss of all later tokens.
pub struct CostTask {
    pub generation: u64,
    request: ExploreRequest,
    costs: Vec<Option<f32>>,
    next: usize,
}

/// Scores that are ranked by how well they predict the cost, in the order shown.
fn candidates() -> Vec<(String, ScoreSettings)> {
    let mut all = Vec::new();
    for &reduction in Reduction::ALL {
        for contribution in [true, false] {
            if contribution && reduction == Reduction::Rollout {
                continue;
            }
            let name =
                if contribution { format!("{reduction} × value norm") } else { reduction.to_string() };
            all.push((name, ScoreSettings { reduction, contribution, ..ScoreSettings::default() }));
        }
    }
    all
}

impl CostTask {
    pub fn new(generation: u64, request: ExploreRequest, len: usize) -> Self {
        CostTask { generation, request, costs: vec![None; len], next: 0 }
    }

    pub fn progress(&self) -> (usize, usize) {
        // Nothing reads the last token, so hiding it costs nothing by definition.
        (self.next, self.costs.len().saturating_sub(1))
    }

    /// Hides one more token and measures.
    pub fn step(
        &mut self,
        explorer: &mut Explorer,
        cancel: Option<&AtomicBool>,
    ) -> Result<Update, ExploreError> {
        let len = explorer.ids.len();
        let baseline = explorer.baseline(cancel)?;
        let i = self.next;
        if i + 1 < len {
            let mut hide_from = vec![u32::MAX; len];
            hide_from[i] = 0;
            let input =
                Input { visibility: Visibility::HideFrom(hide_from), ..Input::plain(explorer.ids.clone()) };
            let run = explorer.probe(Arc::new(input), &baseline, cancel)?;
            let (mut sum, mut n) = (0f64, 0usize);
            for t in i + 1..len {
                if let (Some(a), Some(b)) = (baseline.next_log_p[t], run.next_log_p[t]) {
                    sum += f64::from(a) - f64::from(b);
                    n += 1;
                }
            }
            self.costs[i] = (n > 0).then(|| (sum / n as f64) as f32);
            self.next += 1;
        }
        let (done, of) = self.progress();
        // ρ moves with every token; ranking fifteen scores each time would cost more than the pass itself.
        let rows =
            if done == of || done.is_multiple_of(8) { self.rows(explorer, cancel)? } else { Vec::new() };
        Ok(Update::Cost {
            generation: self.generation,
            done,
            of,
            costs: self.costs.clone().into(),
            rows: rows.into(),
        })
    }

    fn rows(
        &self,
        explorer: &mut Explorer,
        cancel: Option<&AtomicBool>,
    ) -> Result<Vec<CostRow>, ExploreError> {
        let subset = &self.request.score;
        // The raw scale asks for literal attention; while a model has no distance null, another score stands in for it.
        let scale = self.request.mask.scale;
        let weighs = score_in_force(scale, subset).contribution;
        let in_force = explorer.scores(subset, scale, cancel)?.reduction;
        let mut rows = Vec::new();
        for (name, settings) in candidates() {
            let settings =
                ScoreSettings { layers: subset.layers.clone(), heads: subset.heads.clone(), ..settings };
            let scored = explorer.scores(&settings, Scale::Rank, cancel)?;
            if scored.reduction != settings.reduction {
                continue;
            }
            let (mut x, mut y, mut at) = (Vec::new(), Vec::new(), Vec::new());
            for (i, (score, cost)) in scored.scores.iter().zip(&self.costs).enumerate() {
                if let (Some(score), Some(cost)) = (score, cost) {
                    x.push(*score);
                    y.push(f64::from(*cost));
                    at.push(i as f64);
                }
            }
            // Roll-out has no values to weigh.
            let weighed = settings.contribution == weighs || in_force == Reduction::Rollout;
            let (reduction, contribution) = (settings.reduction, settings.contribution);
            rows.push(CostRow {
                score: name,
                reduction,
                contribution,
                rho: spearman(&x, &y),
                position: spearman(&x, &at),
                tokens: x.len(),
                in_force: reduction == in_force && weighed,
            });
        }
        rows.sort_by(|a, b| b.rho.unwrap_or(-2.0).total_cmp(&a.rho.unwrap_or(-2.0)));
        Ok(rows)
    }
}
