//! The map that a request looks at, and the pictures of all heads.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::explorer::{ExploreError, Explorer, MaskPolicy};
use super::pass::Pass;
use super::types::{ExploreRequest, HeadSummary, MapFrame, MapKind, Update};
use crate::mask::types::Decision;
use crate::model::ModelError;

/// Side of an overview thumbnail, in cells.
const THUMBNAIL: usize = 16;

impl ExploreRequest {
    /// What decides the mask of this request.
    pub fn policy(&self) -> MaskPolicy<'_> {
        MaskPolicy { mask: &self.mask, score: &self.score, rolling: &self.rolling }
    }
}

/// The run that the map and the overview show; `masked` unless the request asks for another one. Interventions that cannot be
/// carried out leave the baseline: what is wrong with them is part of their report.
///
/// # Errors
/// When cancelled.
pub fn shown_run(
    explorer: &mut Explorer,
    request: &ExploreRequest,
    (baseline, masked): (&Arc<Pass>, &Arc<Pass>),
    cancel: Option<&AtomicBool>,
) -> Result<Arc<Pass>, ExploreError> {
    match request.map {
        MapKind::Baseline => Ok(baseline.clone()),
        MapKind::Masked | MapKind::Difference => Ok(masked.clone()),
        MapKind::Intervened => match explorer.intervened(&request.interventions, cancel) {
            Err(e) if !e.is_cancelled() => Ok(baseline.clone()),
            run => run,
        },
    }
}

/// The map of the run that is shown, or what it adds to the baseline's.
pub fn map_frame(request: &ExploreRequest, baseline: &Arc<Pass>, shown: &Arc<Pass>) -> Update {
    let values = match request.map {
        MapKind::Difference => {
            let (a, b) = (shown.map(request.heads), baseline.map(request.heads));
            a.iter().zip(b.iter()).map(|(a, b)| a - b).collect()
        }
        _ => shown.map(request.heads),
    };
    let frame = MapFrame { kind: request.map, heads: request.heads, len: baseline.full_len, values };
    Update::Map { generation: request.generation, frame }
}

/// Every head of the run that is shown.
///
/// # Errors
/// When cancelled.
pub fn overview(
    explorer: &Explorer,
    request: &ExploreRequest,
    (shown, decision): (&Arc<Pass>, &Decision),
    cancel: Option<&AtomicBool>,
) -> Result<Update, ExploreError> {
    let stats = explorer
        .heads(shown, &decision.masked(), THUMBNAIL, cancel)
        .ok_or(ExploreError::Model(ModelError::Cancelled))?;
    let n_head = explorer.loaded.model.config.n_head;
    let heads = stats.into_iter().enumerate().map(|(i, s)| HeadSummary {
        layer: i / n_head,
        head: i % n_head,
        side: s.side,
        thumbnail: s.thumbnail,
        sink: s.sink as f32,
        entropy: s.entropy as f32,
        previous: s.previous as f32,
        induction: s.induction.map(|x| x as f32),
        mask_mass: s.mask_mass as f32,
    });
    Ok(Update::Overview { generation: request.generation, heads: heads.collect() })
}
