//! Scores that grow with a text: contribution and expectation, decayed at every window boundary.

use super::calibration::Calibration;
use super::score::{score, uniform_share};
use super::sinks::{self, Sinks};
use super::sweep::Sweep;
use super::types::{Reduction, ScoreSettings};

/// C and E of every head and key so far, from past queries only.
///
/// Reductions over the newest queries (`window`, `last`, `rollout`) have nothing to decay: the newest sweep is theirs.
#[derive(Clone, Debug)]
pub struct DecayedScore {
    settings: ScoreSettings,
    /// ρ: what is left of the past at each boundary.
    decay: f64,
    n_head: usize,
    /// Queries read so far.
    seen: usize,
    heads: Vec<HeadState>,
    /// Scores of the newest sweep, for reductions that do not accumulate.
    newest: Vec<Option<f64>>,
    /// The same for every head by itself; `None` where nobody asks.
    newest_by_head: Option<Vec<Vec<Option<f64>>>>,
}

#[derive(Clone, Debug, Default)]
struct HeadState {
    /// C: `Σc`, decayed.
    received: Vec<f64>,
    /// E: `Σḡ`, `Σ 1/(t+1)` or the number of queries, decayed.
    expected: Vec<f64>,
    /// `Σ α[t,i]`, never decayed, for sinks.
    alpha: Vec<f64>,
}

impl DecayedScore {
    /// `distance-null` falls back to `corrected` without a calibration that fits.
    pub fn new(
        settings: &ScoreSettings,
        decay: f64,
        shape: (usize, usize),
        calibration: Option<&Calibration>,
    ) -> Self {
        let (n_layer, n_head) = shape;
        let mut settings = settings.clone();
        if settings.reduction == Reduction::DistanceNull
            && !calibration.is_some_and(|c| c.fits(n_layer, n_head))
        {
            settings.reduction = Reduction::Corrected;
        }
        let heads = vec![HeadState::default(); n_layer * n_head];
        DecayedScore { settings, decay, n_head, seen: 0, heads, newest: Vec::new(), newest_by_head: None }
    }

    /// Keeps what [`DecayedScore::head_scores`] needs.
    pub fn for_each_head(mut self) -> Self {
        self.newest_by_head = Some(vec![Vec::new(); self.heads.len()]);
        self
    }

    /// Heads of the model, over all layers.
    pub fn heads(&self) -> usize {
        self.heads.len()
    }

    /// The score in force, with the reduction after any fallback.
    pub fn settings(&self) -> &ScoreSettings {
        &self.settings
    }

    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Adds the queries of `sweep`, which go on where the last ones ended. Keys that these queries could not read
    /// (`hidden`) gain no expectation either: not being read then says nothing about them.
    pub fn update(&mut self, sweep: &Sweep, hidden: &[bool], calibration: Option<&Calibration>) {
        let len = sweep.len;
        self.seen = sweep.queries.end;
        if !self.accumulates() {
            self.newest = score(sweep, &self.settings, None).scores;
            for (lh, newest) in self.newest_by_head.iter_mut().flatten().enumerate() {
                let (layers, heads) = (vec![lh / self.n_head], vec![lh % self.n_head]);
                let one = ScoreSettings { layers, heads, ..self.settings.clone() };
                *newest = score(sweep, &one, None).scores;
            }
        }
        let calibration = calibration.filter(|_| self.settings.reduction == Reduction::DistanceNull);
        let null = calibration.map(|c| c.null(self.settings.contribution, len));
        let uniform = uniform_share(sweep);
        let plain = self.settings.reduction == Reduction::Plain;
        for (lh, (state, sums)) in self.heads.iter_mut().zip(&sweep.sums).enumerate() {
            let null = null.as_ref().map(|n| n.expected(lh, sweep.queries.clone(), &sums.mass, hidden));
            for values in [&mut state.received, &mut state.expected, &mut state.alpha] {
                values.resize(len, 0.0);
            }
            for (i, &uniform) in uniform.iter().enumerate() {
                let alpha = if plain { sums.later[i] + sums.own[i] } else { sums.later[i] };
                let norm = if self.settings.contribution { f64::from(sums.norms[i]) } else { 1.0 };
                let expected = match (&null, hidden.get(i)) {
                    (_, Some(true)) => 0.0,
                    (Some(null), _) => null.get(i).copied().unwrap_or(0.0),
                    _ if plain => sweep.queries.end.saturating_sub(sweep.queries.start.max(i)) as f64,
                    _ => uniform,
                };
                state.received[i] = self.decay * state.received[i] + alpha * norm;
                state.expected[i] = self.decay * state.expected[i] + expected;
                state.alpha[i] += sums.later[i];
            }
        }
    }

    fn accumulates(&self) -> bool {
        match self.settings.reduction {
            Reduction::Window | Reduction::Last | Reduction::Rollout => false,
            Reduction::Corrected
            | Reduction::DistanceNull
            | Reduction::Sum
            | Reduction::MaxHeads
            | Reduction::Plain => true,
        }
    }

    /// One score per key seen; `None` where no query could inform it.
    pub fn scores(&self, calibration: Option<&Calibration>) -> Vec<Option<f64>> {
        if !self.accumulates() {
            return self.newest.clone();
        }
        let subset: Vec<usize> = (0..self.heads.len())
            .filter(|lh| self.settings.counts(lh / self.n_head, lh % self.n_head))
            .collect();
        self.combined(&subset, calibration)
    }

    /// The scores of one head (layer-major) by itself, whatever layers and heads count together. Reductions without a
    /// null only.
    pub fn head_scores(&self, head: usize) -> Vec<Option<f64>> {
        match &self.newest_by_head {
            Some(newest) if !self.accumulates() => newest[head].clone(),
            _ => self.combined(&[head], None),
        }
    }

    fn combined(&self, subset: &[usize], calibration: Option<&Calibration>) -> Vec<Option<f64>> {
        let null = calibration
            .filter(|_| self.settings.reduction == Reduction::DistanceNull)
            .map(|c| c.null(self.settings.contribution, 1));
        let one = |lh: usize, i: usize| {
            let (received, expected) = (self.heads[lh].received[i], self.heads[lh].expected[i]);
            match (self.settings.reduction, &null) {
                (Reduction::DistanceNull, Some(null)) => null.ratio(lh, received, expected),
                (Reduction::Sum, _) => received,
                (
                    Reduction::DistanceNull
                    | Reduction::Corrected
                    | Reduction::MaxHeads
                    | Reduction::Plain
                    | Reduction::Window
                    | Reduction::Last
                    | Reduction::Rollout,
                    _,
                ) => received / expected,
            }
        };
        let own_counts = self.settings.reduction == Reduction::Plain;
        (0..self.seen)
            .map(|i| {
                if subset.is_empty() || (i + 1 >= self.seen && !own_counts) {
                    return None;
                }
                let values = subset.iter().map(|&lh| one(lh, i));
                let combined = match self.settings.reduction {
                    Reduction::MaxHeads => values.fold(f64::NEG_INFINITY, f64::max),
                    Reduction::Corrected
                    | Reduction::DistanceNull
                    | Reduction::Sum
                    | Reduction::Window
                    | Reduction::Last
                    | Reduction::Rollout
                    | Reduction::Plain => values.sum::<f64>() / subset.len() as f64,
                };
                Some(combined).filter(|v| v.is_finite())
            })
            .collect()
    }

    /// Sinks among the keys seen, judged by all past queries.
    pub fn sinks(&self) -> Sinks {
        let alpha: Vec<&[f64]> = self.heads.iter().map(|h| h.alpha.as_slice()).collect();
        sinks::detect_in(self.seen, 0..self.seen, &alpha)
    }

    /// Forgets all keys but `kept` (ascending), which move together: what is left after compact re-encoding.
    pub fn retain(&mut self, kept: &[usize]) {
        let take = |values: &mut Vec<f64>| *values = kept.iter().map(|&i| values[i]).collect();
        for head in &mut self.heads {
            take(&mut head.received);
            take(&mut head.expected);
            take(&mut head.alpha);
        }
        if !self.newest.is_empty() {
            self.newest = kept.iter().map(|&i| self.newest[i]).collect();
        }
        for newest in self.newest_by_head.iter_mut().flatten().filter(|n| !n.is_empty()) {
            *newest = kept.iter().map(|&i| newest[i]).collect();
        }
        self.seen = kept.len();
    }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::{CalibrationBuilder, CalibrationSource};
    use super::super::sweep::{SweepRequest, sweep};
    use super::super::testing::{FixedMaps, random_maps};
    use super::*;
    use proptest::prelude::*;

    fn calibration() -> Calibration {
        let mut builder = CalibrationBuilder::new(2, 2, 40, 1);
        builder.add(&random_maps(2, 2, 40, 4.0, 99)).unwrap();
        builder.finish(CalibrationSource { weights: String::new(), text: String::new() }).unwrap()
    }

    /// The first `end` tokens of a source.
    fn prefix(source: &FixedMaps, end: usize) -> FixedMaps {
        let cut = |map: &Vec<f32>| (0..end).flat_map(|t| map[t * source.len..][..end].to_vec()).collect();
        FixedMaps {
            len: end,
            maps: source.maps.iter().map(cut).collect(),
            norms: source.norms.iter().map(|n| n[..end].to_vec()).collect(),
            ..*source
        }
    }

    fn grown(
        source: &FixedMaps,
        settings: &ScoreSettings,
        decay: f64,
        ends: &[usize],
        c: &Calibration,
    ) -> DecayedScore {
        let mut state = DecayedScore::new(settings, decay, (2, 2), Some(c));
        for &end in ends {
            let request = SweepRequest { queries: state.seen()..end, ..SweepRequest::for_score(settings) };
            state.update(&sweep(&prefix(source, end), &request), &[], Some(c));
        }
        state
    }

    proptest! {
        #[test]
        fn without_decay_the_parts_give_the_whole(seed in 0u64..500, which in 0usize..8, contribution: bool, cut in 1usize..30) {
            let source = random_maps(2, 2, 30, 5.0, seed);
            let settings = ScoreSettings {
                reduction: Reduction::ALL[which], contribution, window: 7, ..ScoreSettings::default()
            };
            let c = calibration();
            let whole = score(&sweep(&source, &SweepRequest::for_score(&settings)), &settings, Some(&c));
            let state = grown(&source, &settings, 1.0, &[cut, 30], &c);
            for (a, b) in state.scores(Some(&c)).iter().zip(&whole.scores) {
                match (a, b) {
                    (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-9, "{} {}", a, b),
                    _ => prop_assert_eq!(a, b),
                }
            }
            prop_assert_eq!(state.sinks(), whole.sinks);
        }
    }

    #[test]
    fn decay_weighs_the_past_down() {
        let source = random_maps(2, 2, 30, 5.0, 1);
        let settings = ScoreSettings {
            heads: vec![1],
            layers: vec![0],
            ..ScoreSettings::plain_alpha(Reduction::Corrected)
        };
        let c = calibration();
        let got = grown(&source, &settings, 0.9, &[10, 20, 30], &c).scores(Some(&c));
        let map = &source.maps[1];
        for i in 0..29 {
            let (mut received, mut expected) = (0.0, 0.0);
            for (n, range) in [(2, 0..10), (1, 10..20), (0, 20..30)] {
                for t in range.filter(|&t| t > i) {
                    received += 0.9f64.powi(n) * f64::from(map[t * 30 + i]);
                    expected += 0.9f64.powi(n) / (t + 1) as f64;
                }
            }
            assert!((got[i].unwrap() - received / expected).abs() < 1e-9);
        }
        assert_eq!(got[29], None);
    }

    #[test]
    fn queries_that_could_not_read_a_key_say_nothing_about_it() {
        let source = random_maps(2, 2, 20, 5.0, 1);
        let c = calibration();
        let settings = ScoreSettings::plain_alpha(Reduction::Corrected);
        let before = grown(&source, &settings, 1.0, &[10], &c);
        let mut hidden_maps = source.clone();
        for map in &mut hidden_maps.maps {
            for t in 10..20 {
                map[t * 20 + 3] = 0.0;
            }
        }
        let request = SweepRequest { queries: 10..20, ..SweepRequest::default() };
        let swept = sweep(&hidden_maps, &request);
        let mut hidden = vec![false; 20];
        hidden[3] = true;
        let mut after = before.clone();
        after.update(&swept, &hidden, Some(&c));
        assert!((after.scores(None)[3].unwrap() - before.scores(None)[3].unwrap()).abs() < 1e-12);
        assert_ne!(after.scores(None)[4], before.scores(None)[4]);
    }

    #[test]
    fn retained_keys_keep_their_scores() {
        let source = random_maps(2, 2, 20, 5.0, 1);
        let c = calibration();
        let mut state = grown(&source, &ScoreSettings::default(), 0.9, &[10, 20], &c);
        let before = state.scores(Some(&c));
        state.retain(&[0, 4, 7, 19]);
        assert_eq!(state.scores(Some(&c))[..3], [before[0], before[4], before[7]]);
        assert_eq!(state.seen(), 4);
    }
}
