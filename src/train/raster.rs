//! The mask raster: what an arm did to one sequence, pass by pass, and the batch as tokens with their reasons.
//! Plain data for display; must never run a model.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::arm::{Lexicon, MaskedBatch, TokenClass};
use super::report::{BatchToken, BatchView, RasterRow};
use crate::mask::reason::reason;
use crate::mask::types::{Op, State};
use crate::model::{Tokenizer, Visibility};

/// One pass over sequence `b` of a batch: rows are passes, columns are positions.
///
/// `scores` are 1 to 255 for 0 to 1, 0 where there is none; under `dyn-pair` they are the share of later queries that
/// no longer read the position.
pub fn row(batch: &MaskedBatch, b: usize, step: usize) -> RasterRow {
    let visit = batch.visits[b];
    let positions = &batch.decisions[b].positions;
    let byte = |share: f64| 1 + (share.clamp(0.0, 1.0) * 254.0).round() as u8;
    let ops = positions.iter().map(|p| p.op.filter(|_| p.state == State::Masked)).collect();
    let scores = match batch.visibility(b) {
        Some(Visibility::Pairs(cut)) => {
            let len = positions.len();
            let share = |i: usize| {
                let later = len - 1 - i;
                let lost = (i + 1..len).filter(|t| cut[t * len + i]).count();
                if later == 0 { 0 } else { byte(lost as f64 / later as f64) }
            };
            (0..len).map(share).collect()
        }
        _ => positions.iter().map(|p| p.score.map_or(0, byte)).collect(),
    };
    RasterRow { step, pass: visit.pass, sequence: visit.sequence, ops, scores }
}

/// The passes over one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Raster {
    pub sequence: u32,
    ids: Vec<u32>,
    /// Could be masked in one pass at least.
    eligible: Vec<bool>,
    /// Oldest first.
    pub rows: Vec<RasterRow>,
    /// Rows kept; older ones are forgotten.
    keep: usize,
}

/// How often tokens of one class were masked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassShare {
    pub class: TokenClass,
    /// Eligible positions of this class, and those of them that were masked, over all passes.
    pub positions: usize,
    pub masked: usize,
}

impl ClassShare {
    /// Masked share; `None` for a class that does not occur.
    pub fn share(&self) -> Option<f64> {
        (self.positions > 0).then(|| self.masked as f64 / self.positions as f64)
    }
}

/// What a raster says at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RasterStats {
    pub passes: usize,
    /// Share of the eligible positions that was masked in at least one pass.
    pub coverage: f64,
    /// Mean Jaccard index of the masks of successive passes (1: the same, 0: disjoint), pairs of empty masks left out;
    /// `None` under two passes. Independent masks of rate r have about r / (2 − r).
    pub overlap: Option<f64>,
    /// Different patterns among the passes.
    pub distinct: usize,
    /// Masked share of the eligible positions, over all passes.
    pub rate: f64,
    /// In the order of [`TokenClass::ALL`].
    pub classes: Vec<ClassShare>,
}

impl Raster {
    /// An empty raster of a sequence with these tokens.
    pub fn new(sequence: u32, ids: Vec<u32>, keep: usize) -> Self {
        Raster { sequence, eligible: vec![false; ids.len()], ids, rows: Vec::new(), keep: keep.max(1) }
    }

    /// Adds the visit to this sequence, where the batch holds one; says whether it does.
    pub fn note(&mut self, batch: &MaskedBatch, step: usize) -> bool {
        let Some(b) = batch.visits.iter().position(|v| v.sequence == self.sequence) else { return false };
        for (eligible, p) in self.eligible.iter_mut().zip(&batch.decisions[b].positions) {
            *eligible |= p.state != State::Protected;
        }
        self.rows.push(row(batch, b, step));
        if self.rows.len() > self.keep {
            self.rows.remove(0);
        }
        true
    }

    /// Coverage, overlap, distinct patterns and masked share by token class.
    pub fn stats(&self, lexicon: &Lexicon) -> RasterStats {
        let masks: Vec<Vec<bool>> =
            self.rows.iter().map(|row| row.ops.iter().map(Option::is_some).collect()).collect();
        let eligible = self.eligible.iter().filter(|e| **e).count();
        let times = |i: usize| masks.iter().filter(|mask| mask[i]).count();
        let covered = (0..self.ids.len()).filter(|&i| times(i) > 0).count();
        let share = |part: usize, of: usize| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        let overlaps: Vec<f64> = masks.windows(2).filter_map(|two| jaccard(&two[0], &two[1])).collect();
        let patterns: HashSet<&[Option<Op>]> = self.rows.iter().map(|row| row.ops.as_slice()).collect();
        let classes = TokenClass::ALL.iter().map(|&class| {
            let of: Vec<usize> = (0..self.ids.len())
                .filter(|&i| self.eligible[i] && lexicon.class(self.ids[i]) == class)
                .collect();
            let masked = of.iter().map(|&i| times(i)).sum();
            ClassShare { class, positions: of.len() * masks.len(), masked }
        });
        RasterStats {
            passes: masks.len(),
            coverage: share(covered, eligible),
            overlap: (!overlaps.is_empty()).then(|| overlaps.iter().sum::<f64>() / overlaps.len() as f64),
            distinct: patterns.len(),
            rate: share((0..self.ids.len()).map(times).sum(), eligible * masks.len()),
            classes: classes.collect(),
        }
    }
}

/// Common share of two masks; `None` where both are empty.
fn jaccard(a: &[bool], b: &[bool]) -> Option<f64> {
    let both = a.iter().zip(b).filter(|(a, b)| **a && **b).count();
    let any = a.iter().zip(b).filter(|(a, b)| **a || **b).count();
    (any > 0).then(|| both as f64 / any as f64)
}

/// The batch as tokens with state, reason and loss. `losses` are those of
/// [`token_losses`](super::arm::token_losses), or empty; `ids` the original tokens of each sequence.
pub fn batch_view(
    batch: &MaskedBatch,
    step: usize,
    ids: &[Vec<u32>],
    losses: &[Vec<Option<f64>>],
    tokenizer: Option<&Tokenizer>,
) -> BatchView {
    let token = |b: usize, i: usize, id: u32| {
        let decision = &batch.decisions[b];
        let at = &decision.positions[i];
        BatchToken {
            id,
            text: tokenizer.map_or_else(|| format!("#{id}"), |t| t.display(id)),
            state: at.state,
            op: at.op.filter(|_| at.state == State::Masked),
            score: at.score,
            draw: at.draw,
            why: reason(&batch.settings, decision, i),
            loss: losses.get(b).and_then(|of| of.get(i)).copied().flatten(),
        }
    };
    let sequences = ids
        .iter()
        .enumerate()
        .map(|(b, ids)| ids.iter().enumerate().map(|(i, &id)| token(b, i, id)).collect())
        .collect();
    BatchView { step, sequences }
}

#[cfg(test)]
mod tests {
    use super::super::arm::tests::{arms, batch, lexicon, spec, tiny, visit};
    use super::super::arm::{At, token_losses};
    use super::super::spec::Arm;
    use super::*;

    const T: usize = 64;

    fn raster(arm: Arm, op: Op, passes: u32) -> (Raster, RasterStats) {
        let tiny = tiny(3);
        let mut arms = arms(&spec(arm, op, 0.3), &tiny.model, T);
        let mut raster = Raster::new(2, visit(2, 0, T).inputs, 100);
        for pass in 0..passes {
            let masked = arms.prepare(&tiny.model, &batch(0..4, pass, T), At::NONE).unwrap();
            assert!(raster.note(&masked, pass as usize));
            assert!(!Raster::new(77, vec![], 1).note(&masked, 0));
        }
        let stats = raster.stats(&lexicon());
        (raster, stats)
    }

    #[test]
    fn static_rows_are_all_the_same_and_dynamic_ones_are_not() {
        let (rows, one) = raster(Arm::Static1, Op::Replace, 20);
        assert!(rows.rows.windows(2).all(|w| w[0].ops == w[1].ops));
        assert_eq!((one.passes, one.distinct, one.overlap), (20, 1, Some(1.0)));
        assert!((one.coverage - one.rate).abs() < 1e-12 && one.coverage < 0.6);
        let (rows, every) = raster(Arm::DynRand, Op::Replace, 20);
        assert!(rows.rows.windows(2).all(|w| w[0].ops != w[1].ops));
        assert_eq!(every.distinct, 20);
        assert!(every.coverage > 0.95, "{}", every.coverage);
        let expected = 0.3 / 1.7;
        assert!((every.overlap.unwrap() - expected).abs() < 0.06, "{:?}", every.overlap);
        assert!((every.rate - 0.3).abs() < 0.06);
        let (_, ten) = raster(Arm::Static10, Op::Replace, 20);
        assert_eq!(ten.distinct, 10);
        assert!(one.coverage < ten.coverage && ten.coverage <= 1.0);
    }

    #[test]
    fn shares_by_class_add_up_and_salient_masks_prefer_rare_words() {
        let (_, random) = raster(Arm::DynRand, Op::Hide, 12);
        let (_, salient) = raster(Arm::DynSalient, Op::Hide, 12);
        for stats in [&random, &salient] {
            let masked: usize = stats.classes.iter().map(|c| c.masked).sum();
            let positions: usize = stats.classes.iter().map(|c| c.positions).sum();
            assert!((masked as f64 / positions as f64 - stats.rate).abs() < 1e-12);
        }
        let rare = |stats: &RasterStats| {
            stats.classes.iter().find(|c| c.class == TokenClass::Rare).and_then(ClassShare::share)
        };
        assert!(rare(&salient) > rare(&random), "{:?} {:?}", rare(&salient), rare(&random));
    }

    #[test]
    fn pairs_show_the_share_of_readers_lost_and_the_batch_says_why() {
        let (raster, stats) = raster(Arm::DynPair, Op::Hide, 8);
        assert_eq!(stats.coverage, 0.0, "no position is masked as a whole");
        assert!(raster.rows.iter().any(|r| r.scores[5] > 20) && raster.rows[0].scores[T - 1] == 0);
        let tiny = tiny(3);
        let mut arms = arms(&spec(Arm::DynRand, Op::Drop, 0.3), &tiny.model, T);
        let data = batch(0..2, 0, T);
        let masked = arms.prepare(&tiny.model, &data, At::NONE).unwrap();
        let losses = token_losses(&arms, &tiny.model, &masked).unwrap();
        let ids: Vec<Vec<u32>> = data.visits.iter().map(|v| v.inputs.clone()).collect();
        let view = batch_view(&masked, 7, &ids, &losses, None);
        for (i, token) in view.sequences[1].iter().enumerate() {
            let dropped = token.op == Some(Op::Drop);
            assert_eq!(token.loss.is_none(), dropped, "{i}");
            assert_eq!(token.why.starts_with("masked"), dropped, "{}", token.why);
        }
        assert!(view.sequences[0][0].why.contains("first token"));
    }
}
