//! A grid over the settings of the mask: what hiding costs on held-out windows, cell by cell. Cells are computed in order, each from
//! nothing, so that a grid that was stopped, or split over machines, ends with the same bits. Runs on the caller's thread.

mod folder;
mod table;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use folder::{GridFolder, Shard};

use super::explorer::{ExploreError, Explorer, MaskPolicy};
use super::loaded::LoadedModel;
use crate::attention::types::ScoreSettings;
use crate::eval::hidden::rise;
use crate::eval::stats::Bootstrap;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MaskSettings, Op, Polarity, Scope};

/// Everything that the cells of a grid depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridPlan {
    pub model: String,
    /// SHA-256 of its weights.
    pub weights: String,
    pub data: String,
    /// SHA-256 of the windows' ids.
    pub text: String,
    pub windows: usize,
    pub tokens_per_window: usize,
    pub thresholds: Vec<f64>,
    pub probabilities: Vec<f64>,
    pub ops: Vec<Op>,
    pub polarities: Vec<Polarity>,
    /// What all cells share.
    pub mask: MaskSettings,
    pub score: ScoreSettings,
    pub rolling: RollingSettings,
}

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridCell {
    pub threshold: f64,
    pub probability: f64,
    pub op: Op,
    pub polarity: Polarity,
}

/// A finished cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridRow {
    /// Number of the cell.
    pub cell: usize,
    pub op: Op,
    pub polarity: Polarity,
    pub threshold: f64,
    pub probability: f64,
    /// Share of the eligible positions that was masked.
    pub rate: f64,
    /// Nats per token, mean over windows, with its 95 % interval by resampling them.
    pub loss_rise: f64,
    pub low: f64,
    pub high: f64,
    /// Whether the mask was decided with the whole text in view; its loss is no perplexity then.
    pub look_ahead: bool,
    /// Of the masked text; only where the past alone decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// The rise in every window.
    pub rises: Vec<f64>,
}

impl GridPlan {
    /// Every combination, in the order of the numbers: operations outermost, then polarities, τ and p.
    pub fn cells(&self) -> Vec<GridCell> {
        let mut out = Vec::new();
        for &op in &self.ops {
            for &polarity in &self.polarities {
                for &threshold in &self.thresholds {
                    let cell = |&probability| GridCell { threshold, probability, op, polarity };
                    out.extend(self.probabilities.iter().map(cell));
                }
            }
        }
        out
    }

    /// Measures a cell; `None` where `going`, asked before every window, gave up.
    ///
    /// # Errors
    /// A pass that fails.
    pub fn measure(
        &self,
        loaded: &Arc<LoadedModel>,
        (number, cell): (usize, GridCell),
        windows: &[Vec<u32>],
        going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<GridRow>, ExploreError> {
        let (mut rises, mut rate, mut clean) = (Vec::new(), 0.0, 0.0);
        for (n, ids) in windows.iter().enumerate() {
            if !going() {
                return Ok(None);
            }
            let mask = MaskSettings {
                threshold: cell.threshold,
                probability: cell.probability,
                op: cell.op,
                polarity: cell.polarity,
                seed: self.mask.seed.wrapping_add(n as u64),
                ..self.mask.clone()
            };
            // Nothing is taken over from another cell: rows computed in another company might differ in the last bit.
            let mut explorer = Explorer::new(loaded.clone());
            explorer.set_ids(ids)?;
            let baseline = explorer.baseline(None)?.by_position();
            let policy = MaskPolicy { mask: &mask, score: &self.score, rolling: &self.rolling };
            let choice = explorer.choose(policy, None)?;
            let run = explorer.masked(&choice.plan, None)?;
            rises.push(rise(&baseline, &run.by_position()).unwrap_or(0.0));
            rate += choice.decision.rate() / windows.len() as f64;
            let known: Vec<f64> = baseline.iter().flatten().map(|p| -f64::from(*p)).collect();
            clean += known.iter().sum::<f64>() / known.len().max(1) as f64 / windows.len() as f64;
        }
        let Some(of) = Bootstrap::default().mean(&rises) else { return Ok(None) };
        let look_ahead = self.mask.scope == Scope::Whole;
        Ok(Some(GridRow {
            cell: number,
            op: cell.op,
            polarity: cell.polarity,
            threshold: cell.threshold,
            probability: cell.probability,
            rate,
            loss_rise: of.value,
            low: of.low,
            high: of.high,
            look_ahead,
            perplexity: (!look_ahead).then(|| (clean + of.value).exp()),
            rises,
        }))
    }
}
