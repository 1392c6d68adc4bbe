//! Cache policies inside a rolling window: who stays in the cache at a boundary, one token set for all heads or one
//! for each.

use super::decide::{DecisionInput, operation, protections};
use super::draw::{Draws, Stream};
use super::presets::{CachePolicy, KeepInput, KeptTokens, keep_set};
use super::rolling::{Rolling, RollingText};
use super::types::{Decision, DecisionRule, Op, PositionDecision, Protection, Scale, State};

/// What a budget policy may not touch, and what it draws with.
struct Ground {
    preset: CachePolicy,
    budget: usize,
    protections: Vec<Option<Protection>>,
    draws: Draws,
}

impl Ground {
    fn keep(&self, scores: &[Option<f64>], cached: &[bool], draws: Draws) -> KeptTokens {
        let protected: Vec<bool> = self.protections.iter().map(Option::is_some).collect();
        let input = KeepInput { budget: self.budget, scores, cached, protected: &protected, draws };
        keep_set(self.preset, &input)
    }
}

impl Rolling {
    pub(super) fn keep_budget(
        &mut self,
        preset: CachePolicy,
        budget: usize,
        end: usize,
        text: &RollingText,
    ) -> Decision {
        let (_, sinks) = self.scores(end, text);
        // Unscored tokens are not protected here: a policy that needs no score evicts them too.
        let any = vec![Some(0.0); end];
        let input = DecisionInput {
            scores: &any,
            ids: &text.ids[..end],
            sinks: &sinks,
            eot: text.eot,
            ..DecisionInput::default()
        };
        let protections = protections(&self.mask, &input);
        let draws = Draws { seed: self.mask.seed, ..text.draws };
        let ground = Ground { preset, budget, protections, draws };
        if self.settings.per_head {
            self.keep_by_head(&ground, end)
        } else {
            self.keep_one(&ground, end, text)
        }
    }

    /// One token set for all layers and heads.
    fn keep_one(&self, ground: &Ground, end: usize, text: &RollingText) -> Decision {
        let (scores, _) = self.scores(end, text);
        let cached: Vec<bool> = (0..end).map(|i| !self.is_hidden(i)).collect();
        let kept = ground.keep(&scores, &cached, ground.draws);
        let position = |i: usize| {
            let protection = ground.protections[i].or(kept.recent[i].then_some(Protection::Recent));
            let at = self.position(ground, i, protection, kept.keep[i]);
            PositionDecision {
                score: kept.value[i].filter(|_| kept.rank[i].is_some()),
                rank: kept.rank[i],
                ..at
            }
        };
        let competed = kept.rank.iter().flatten().count();
        self.told(ground, competed, None, (0..end).map(position).collect())
    }

    /// Every head keeps the budget for itself, by what it reads. A position is masked once no head keeps it.
    fn keep_by_head(&mut self, ground: &Ground, end: usize) -> Decision {
        let heads = self.heads();
        self.by_head.resize_with(heads, Vec::new);
        let mut by_head = std::mem::take(&mut self.by_head);
        let (mut keep, mut competed) = (vec![0usize; end], vec![false; end]);
        let mut recent = vec![false; end];
        for (head, from) in by_head.iter_mut().enumerate() {
            from.resize(end, u32::MAX);
            let cached: Vec<bool> = (0..end).map(|i| !self.is_hidden(i) && from[i] == u32::MAX).collect();
            let scores = self.accumulated.as_ref().map_or_else(|| vec![None; end], |s| s.head_scores(head));
            // Passes of one seed never share draws, so neither do heads.
            let draws = Draws { pass: ground.draws.pass.wrapping_add((head as u32) << 16), ..ground.draws };
            let kept = ground.keep(&scores, &cached, draws);
            for i in 0..end {
                competed[i] |= kept.rank[i].is_some();
                recent[i] |= kept.recent[i];
                let leaves = !kept.keep[i] && operation(&self.mask, &ground.draws, i).0 != Some(Op::Keep);
                if kept.keep[i] {
                    keep[i] += 1;
                } else if cached[i] && leaves {
                    from[i] = end as u32;
                }
            }
        }
        self.by_head = by_head;
        let position = |i: usize| {
            let protection = ground.protections[i].or(recent[i].then_some(Protection::Recent));
            let at = self.position(ground, i, protection, keep[i] > 0);
            PositionDecision { score: Some(keep[i] as f64 / heads as f64), heads: Some(keep[i]), ..at }
        };
        let competed = competed.into_iter().filter(|c| *c).count();
        self.told(ground, competed, Some(heads), (0..end).map(position).collect())
    }

    fn position(
        &self,
        ground: &Ground,
        i: usize,
        protection: Option<Protection>,
        keep: bool,
    ) -> PositionDecision {
        let state = match (keep, protection) {
            (true, Some(_)) => State::Protected,
            (true, None) => State::Score,
            (false, _) => State::Masked,
        };
        PositionDecision {
            state,
            protection: protection.filter(|_| state == State::Protected),
            score: None,
            rank: None,
            draw: ground.draws.unit(Stream::Decision, i),
            op: if state == State::Masked { operation(&self.mask, &ground.draws, i).0 } else { None },
            replacement: None,
            unit: i,
            history: 0.0,
            heads: None,
        }
    }

    fn told(
        &self,
        ground: &Ground,
        competed: usize,
        heads: Option<usize>,
        positions: Vec<PositionDecision>,
    ) -> Decision {
        Decision {
            eligible: competed,
            selected: 0,
            units: competed,
            positions,
            scale: Scale::Raw,
            rule: DecisionRule::Budget { preset: ground.preset, budget: ground.budget, heads },
        }
    }
}
