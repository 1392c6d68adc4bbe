use super::super::decide::rule;
use super::super::initial::Pattern;
use super::super::presets::{Budget, KeepInput, keep_set};
use super::super::types::{Polarity, Protect};
use super::*;
use crate::attention::score::score_source;
use crate::attention::testing::{FixedMaps, TestRng};
use crate::attention::types::Reduction;
use proptest::prelude::*;

const LAYERS: usize = 1;
const HEADS: usize = 2;

/// A model in miniature: what a query gives a key depends on both ids, their distance and nothing later.
struct Miniature {
    ids: Vec<u32>,
}

fn hash(parts: &[u64]) -> f64 {
    let mut rng = TestRng(7);
    for part in parts {
        rng = TestRng(rng.bits() ^ part.wrapping_mul(0x9e37_79b9));
    }
    rng.unit()
}

impl Miniature {
    fn maps(&self, end: usize, visibility: &Visibility) -> FixedMaps {
        let (mut maps, mut norms) = (Vec::new(), Vec::new());
        for lh in 0..LAYERS * HEADS {
            let mut map = vec![0f32; end * end];
            for t in 0..end {
                let weight = |i: usize| {
                    let x =
                        hash(&[lh as u64, u64::from(self.ids[t]), u64::from(self.ids[i]), (t - i) as u64]);
                    if visibility.visible_in(lh, end, t, i) { (6.0 * x).exp() } else { 0.0 }
                };
                let sum: f64 = (0..=t).map(weight).sum();
                for i in 0..=t {
                    map[t * end + i] = (weight(i) / sum) as f32;
                }
            }
            maps.push(map);
            norms.push((0..end).map(|i| hash(&[99, lh as u64, u64::from(self.ids[i])]) as f32).collect());
        }
        FixedMaps { n_layer: LAYERS, n_head: HEADS, len: end, maps, norms }
    }
}

impl WindowedForward for Miniature {
    type Error = std::convert::Infallible;
    fn attend(
        &mut self,
        end: usize,
        visibility: &Visibility,
        read: &mut dyn FnMut(&dyn AttentionSource),
    ) -> Result<(), Self::Error> {
        read(&self.maps(end, visibility));
        Ok(())
    }
}

/// A forward pass that can be asked for its first tokens, under a mask, as often as needed.
trait WindowedForward {
    type Error;
    /// Runs the first `end` tokens under `visibility` and shows the attention to `read`. Rows that an earlier call
    /// computed under the same mask are the same.
    fn attend(
        &mut self,
        end: usize,
        visibility: &Visibility,
        read: &mut dyn FnMut(&dyn AttentionSource),
    ) -> Result<(), Self::Error>;
}

/// Rolls along a whole text.
fn roll<F: WindowedForward>(
    rolling: &mut Rolling,
    forward: &mut F,
    text: &RollingText,
) -> Result<(), F::Error> {
    rolling.begin(text);
    while rolling.next_boundary() < text.ids.len() {
        let end = rolling.next_boundary();
        let visibility = rolling.visibility(end);
        forward.attend(end, &visibility, &mut |source| {
            rolling.step(source, text);
        })?;
    }
    Ok(())
}

fn some_ids(len: usize, seed: u64) -> Vec<u32> {
    let mut rng = TestRng(seed);
    (0..len).map(|_| rng.below(12) as u32).collect()
}

fn rolled(ids: &[u32], mask: &MaskSettings, settings: &RollingSettings, score: &ScoreSettings) -> Rolling {
    let starts: Vec<bool> = ids.iter().map(|id| id % 3 != 0).collect();
    let text = RollingText { ids, word_starts: &starts, ..RollingText::default() };
    let mut rolling = Rolling::new(mask, settings, score);
    roll(&mut rolling, &mut Miniature { ids: ids.to_vec() }, &text).unwrap();
    rolling
}

fn small() -> RollingSettings {
    RollingSettings { window: 12, stride: 6, recent: 3, cool_down: 1, ..RollingSettings::default() }
}

fn hiding(seed: u64) -> MaskSettings {
    MaskSettings {
        seed,
        op: Op::Hide,
        threshold: 0.4,
        probability: 0.7,
        protect: Protect { first: true, ..Protect::NONE },
        ..MaskSettings::default()
    }
}

fn any_rolling() -> impl Strategy<Value = (MaskSettings, RollingSettings, ScoreSettings)> {
    let policies = CachePolicy::ALL.len() + 3;
    (any::<u64>(), 0..policies, any::<bool>(), 0..3usize, 0..3usize, 0..8usize, 0..4u32, 0..4usize).prop_map(
        |(seed, policy, sticky, polarity, scale, reduction, cool_down, initial)| {
            let base = RollingSettings {
                sticky,
                cool_down,
                initial: [None, Some(Pattern::Random), Some(Pattern::Spans), Some(Pattern::Words)][initial],
                ..small()
            };
            let settings = match CachePolicy::ALL.get(policy) {
                Some(&preset) => base.with_cache_policy(preset, Budget::Share(0.5)),
                None => base,
            };
            let mask = MaskSettings {
                polarity: Polarity::ALL[polarity],
                scale: Scale::ALL[scale],
                op: Op::Evict,
                ..hiding(seed)
            };
            let score =
                ScoreSettings { reduction: Reduction::ALL[reduction], window: 4, ..ScoreSettings::default() };
            (mask, settings, score)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn changing_a_later_token_changes_no_earlier_decision(
        (mask, settings, score) in any_rolling(), seed: u64, from in 1usize..40, other: u64,
    ) {
        let ids = some_ids(40, seed);
        let mut changed = ids.clone();
        changed[from..].copy_from_slice(&some_ids(40, other)[from..]);
        let (a, b) = (rolled(&ids, &mask, &settings, &score), rolled(&changed, &mask, &settings, &score));
        for (x, y) in a.boundaries().iter().zip(b.boundaries()).filter(|(x, _)| x.end <= from) {
            prop_assert_eq!(x, y);
        }
        // The initial pattern covers the first window in one go; its prefix is what matters.
        let (va, vb) = (a.visibility(40), b.visibility(40));
        for t in 0..=from.min(39) {
            for i in 0..t {
                prop_assert_eq!(va.visible(40, t, i), vb.visible(40, t, i), "query {} key {}", t, i);
            }
        }
    }

    #[test]
    fn hidden_from_a_boundary_on_is_what_eviction_leaves(
        (mask, settings, score) in any_rolling(), seed: u64,
    ) {
        let ids = some_ids(40, seed);
        let got = rolled(&ids, &mask, &settings, &score);
        let visibility = got.visibility(40);
        let ends: Vec<usize> = got.boundaries().iter().map(|b| b.end).collect();
        let steps: Vec<usize> = settings.boundaries(40).collect();
        prop_assert_eq!(&ends[ends.len() - steps.len()..], &steps[..]);
        for (n, boundary) in got.boundaries().iter().enumerate() {
            let initial = n + steps.len() < ends.len();
            let from = if initial { 0 } else { boundary.end };
            let until = if initial { settings.window } else { boundary.end + settings.stride };
            for (i, at) in boundary.decision.positions.iter().enumerate() {
                for t in from.max(i + 1)..until.min(40) {
                    prop_assert_eq!(visibility.visible(40, t, i), at.state != State::Masked);
                }
            }
        }
        // Nobody is left with nothing to read.
        prop_assert!((0..40).all(|t| visibility.visible(40, t, t)));
        prop_assert_eq!(got.visibility(ids.len()), visibility);
    }

    #[test]
    fn protected_recent_and_sticky_positions_keep_their_rules(
        (mask, settings, score) in any_rolling(), seed: u64,
    ) {
        let got = rolled(&some_ids(40, seed), &mask, &settings, &score);
        let mut gone: Vec<usize> = Vec::new();
        for boundary in got.boundaries() {
            let masked = boundary.decision.masked();
            prop_assert!(!masked.contains(&0));
            if settings.sticky {
                prop_assert!(gone.iter().all(|i| masked.contains(i)), "once masked, masked for good");
            }
            if settings.policy.is_none() && boundary.decision.rule == DecisionRule::Threshold {
                prop_assert!(masked.iter().all(|i| i + settings.recent < boundary.end || gone.contains(i)));
                for at in boundary.decision.positions.iter().filter(|p| p.score.is_some()) {
                    let state = rule(mask.polarity, mask.threshold, mask.probability, at.score.unwrap(), at.draw);
                    prop_assert_eq!(state, at.state, "recomputed from the printed numbers");
                }
            }
            if let DecisionRule::Budget { budget, .. } = boundary.decision.rule {
                let cached = boundary.end - masked.len();
                let kept_anyway = 1 + 16.max(budget / 2) + 4;
                prop_assert!(cached <= budget.max(kept_anyway));
            }
            if !settings.sticky {
                let h: Vec<usize> = masked.iter().copied().filter(|i| gone.contains(i)).collect();
                prop_assert!(settings.cool_down == 0 || h.is_empty(), "{:?} masked twice in a row", h);
            }
            gone = masked;
        }
    }
}

#[path = "rolling_twin_tests.rs"]
mod twin;
use twin::plain_threshold;

fn masked_at_boundaries(rolling: &Rolling) -> Vec<Vec<usize>> {
    rolling.boundaries().iter().map(|b| b.decision.masked()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn thresholds_roll_as_their_plain_twin_does(
        seed: u64, sticky: bool, cool_down in 0u32..3, low: bool, lambda in 0.0..2.0f64, len in 13usize..50,
    ) {
        let settings = RollingSettings { sticky, cool_down, history: lambda, ..small() };
        let polarity = if low { Polarity::Low } else { Polarity::High };
        let mask = MaskSettings { polarity, ..hiding(seed) };
        let ids = some_ids(len, seed);
        let got = rolled(&ids, &mask, &settings, &ScoreSettings::plain_alpha(Reduction::Corrected));
        prop_assert_eq!(masked_at_boundaries(&got), plain_threshold(&ids, &mask, &settings));
    }
}

#[test]
fn dms_like_judges_a_token_once_when_it_leaves_the_newest_128() {
    let base = RollingSettings { window: 160, stride: 40, ..small() };
    let settings = base.with_cache_policy(CachePolicy::DmsLike, Budget::default());
    let mask = MaskSettings { polarity: Polarity::Low, probability: 1.0, ..hiding(3) };
    let ids = some_ids(300, 5);
    let got = rolled(&ids, &mask, &settings, &ScoreSettings::plain_alpha(Reduction::Corrected));
    let masks = masked_at_boundaries(&got);
    assert_eq!(masks, plain_threshold(&ids, &mask, &settings));
    assert_eq!(masks.len(), 4);
    let loose = RollingSettings { sticky: false, recent: 1, ..settings };
    let again = rolled(&ids, &mask, &loose, &ScoreSettings::plain_alpha(Reduction::Corrected));
    assert_eq!(masked_at_boundaries(&again), masks, "a preset brings its own recent zone and stickiness");
    for (n, pair) in masks.windows(2).enumerate() {
        let (before, after) = (160 + 40 * n, 200 + 40 * n);
        let new: Vec<usize> = pair[1].iter().copied().filter(|i| !pair[0].contains(i)).collect();
        assert!(!new.is_empty());
        assert!(new.iter().all(|i| (before - 128..after - 128).contains(i)), "{new:?} at {after}");
    }
}

#[test]
fn budget_presets_roll_on_their_own_score() {
    let ids = some_ids(60, 2);
    for &preset in CachePolicy::ALL.iter().filter(|p| p.has_budget()) {
        let settings = small().with_cache_policy(preset, Budget::Tokens(9));
        let mask = MaskSettings { op: Op::Evict, ..hiding(4) };
        let got = rolled(&ids, &mask, &settings, &ScoreSettings::default());
        let mut cached = [true; 60];
        let mut model = Miniature { ids: ids.clone() };
        let visibility = got.visibility(60);
        for boundary in got.boundaries() {
            let end = boundary.end;
            // The final mask cut to these rows is the mask they were computed under.
            let blocked: Vec<bool> = (0..end)
                .flat_map(|t| (0..end).map(|i| i < t && !visibility.visible(60, t, i)).collect::<Vec<_>>())
                .collect();
            let mut scores = vec![None; end];
            model
                .attend(end, &Visibility::Pairs(Arc::new(blocked)), &mut |source| {
                    if let Some(settings) = preset.score(&ScoreSettings::default()) {
                        scores = score_source(source, &settings, None).scores;
                    }
                })
                .unwrap();
            let protected: Vec<bool> = (0..end).map(|i| i == 0).collect();
            let kept = keep_set(
                preset,
                &KeepInput {
                    budget: 9,
                    scores: &scores,
                    cached: &cached[..end],
                    protected: &protected,
                    draws: Draws::new(4),
                },
            );
            let expected: Vec<usize> = (0..end).filter(|&i| !kept.keep[i]).collect();
            assert_eq!(boundary.decision.masked(), expected, "{preset} at {end}");
            for i in expected {
                cached[i] = false;
            }
        }
        assert!(cached.iter().any(|c| !c), "{preset} evicted something");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// In the miniature a head's attention depends on its own mask only, so every head must do what the policy does
    /// when it alone counts.
    #[test]
    fn a_head_that_decides_for_itself_does_what_it_would_do_alone(seed: u64, which in 0usize..5, budget in 4usize..20) {
        let preset = [CachePolicy::H2o, CachePolicy::SnapKv, CachePolicy::Tova, CachePolicy::Inverse, CachePolicy::StreamingLlm][which];
        let ids = some_ids(60, seed);
        let mask = MaskSettings { op: Op::Evict, ..hiding(seed) };
        let settings = small().with_cache_policy(preset, Budget::Tokens(budget));
        let each = RollingSettings { per_head: true, ..settings.clone() };
        let got = rolled(&ids, &mask, &each, &ScoreSettings::default());
        let visibility = got.visibility(60);
        let mut stays = 0;
        for head in 0..HEADS {
            let score = ScoreSettings { heads: vec![head], ..ScoreSettings::default() };
            let alone = rolled(&ids, &mask, &settings, &score).visibility(60);
            for t in 0..60 {
                for i in 0..=t {
                    prop_assert_eq!(visibility.visible_in(head, 60, t, i), alone.visible(60, t, i), "{} {} {}", head, t, i);
                }
            }
            stays += (0..60).filter(|&i| alone.visible(61, 60, i)).count();
        }
        prop_assert!((got.cache_share(60) - stays as f64 / 120.0).abs() < 1e-12);
        // A position is masked once no head is left that keeps it, and the reason counts heads.
        let last = got.boundaries().last().unwrap();
        for (i, at) in last.decision.positions.iter().enumerate() {
            let keep = (0..HEADS).filter(|&h| visibility.visible_in(h, 60, 59, i)).count();
            prop_assert_eq!(at.state == State::Masked, keep == 0);
            prop_assert!(at.heads.is_none_or(|h| h == keep || keep == 0), "{:?} {}", at.heads, keep);
        }
    }
}

#[test]
fn heads_may_only_decide_for_themselves_under_a_budget() {
    let each = RollingSettings { per_head: true, ..small() };
    let error = each.check(&hiding(1), 64).unwrap_err();
    assert!(error.to_string().contains("under a threshold") && error.hint().is_some());
    let dms = each.clone().with_cache_policy(CachePolicy::DmsLike, Budget::default());
    assert!(dms.check(&hiding(1), 64).unwrap_err().to_string().contains("dms-like"));
    let keep = MaskSettings { op: Op::Keep, ..hiding(1) };
    let h2o = each.with_cache_policy(CachePolicy::H2o, Budget::Tokens(6));
    assert_eq!(h2o.check(&keep, 64), Ok(()));
    let got = rolled(&some_ids(48, 2), &keep, &h2o, &ScoreSettings::default());
    assert_eq!((got.visibility(48), got.cache_share(48)), (Visibility::Causal, 1.0));
}

#[test]
fn compacting_remembers_what_each_head_let_go_of() {
    let ids = some_ids(60, 2);
    let each =
        RollingSettings { per_head: true, ..small().with_cache_policy(CachePolicy::H2o, Budget::Tokens(8)) };
    let mask = MaskSettings { op: Op::Evict, ..hiding(4) };
    let mut got = rolled(&ids, &mask, &each, &ScoreSettings::default());
    let before = got.visibility(60);
    let kept = got.compact(60);
    assert!(kept.len() < 60 && kept.len() > 8);
    let after = got.visibility(kept.len());
    for head in 0..HEADS {
        for (new, &old) in kept.iter().enumerate().take(kept.len() - 1) {
            let seen = before.visible_in(head, 60, 59, old);
            assert_eq!(after.visible_in(head, kept.len(), kept.len() - 1, new), seen);
        }
    }
}

#[test]
fn sticky_masks_are_one_row_of_numbers_and_revivable_ones_are_pairs() {
    let ids = some_ids(48, 9);
    let score = ScoreSettings::plain_alpha(Reduction::Corrected);
    let sticky = rolled(&ids, &hiding(1), &small(), &score);
    assert!(matches!(sticky.visibility(48), Visibility::HideFrom(_)));
    let revivable = rolled(&ids, &hiding(1), &RollingSettings { sticky: false, ..small() }, &score);
    assert!(matches!(revivable.visibility(48), Visibility::Pairs(_)));
    let masks = masked_at_boundaries(&revivable);
    let returned = masks.windows(2).any(|w| w[0].iter().any(|i| !w[1].contains(i)));
    assert!(returned, "some token is read again: {masks:?}");
    assert!(revivable.history().times.iter().any(|&h| h > 1), "and some is masked again");
}

#[test]
fn keep_hides_nothing_however_often_it_is_selected() {
    let ids = some_ids(48, 9);
    let mask = MaskSettings { op: Op::Keep, ..hiding(1) };
    let got = rolled(&ids, &mask, &small(), &ScoreSettings::default());
    assert!(got.boundaries().iter().any(|b| b.decision.selected > 0));
    assert_eq!(got.visibility(48), Visibility::Causal);
    assert_eq!(got.visibility(ids.len()), Visibility::Causal);
}

#[test]
fn short_texts_have_no_boundary_but_may_have_a_pattern() {
    let ids = some_ids(12, 1);
    let got = rolled(&ids, &hiding(1), &small(), &ScoreSettings::default());
    assert_eq!((got.boundaries().len(), got.visibility(12)), (0, Visibility::Causal));
    let decision = got.decision(12);
    assert!(decision.positions.iter().all(|p| p.protection == Some(Protection::Recent)));
    let settings = RollingSettings { initial: Some(Pattern::Random), ..small() };
    let mask = MaskSettings { threshold: 0.0, probability: 0.6, ..hiding(1) };
    let got = rolled(&ids, &mask, &settings, &ScoreSettings::default());
    let masked = got.decision(12).masked();
    assert!(masked.len() > 2);
    assert!(
        (0..12).all(|i| (i + 1..12).all(|t| got.visibility(12).visible(12, t, i) != masked.contains(&i)))
    );
}

#[test]
fn what_cannot_roll_is_refused() {
    let mask = hiding(1);
    let good = small();
    assert_eq!(good.check(&mask, 64), Ok(()));
    let refused =
        |settings: RollingSettings, mask: &MaskSettings| settings.check(mask, 64).unwrap_err().to_string();
    let wide = RollingSettings { window: 65, ..good.clone() };
    assert_eq!(refused(wide, &mask), "the window is 65, but must be between 1 and the context of 64 tokens");
    assert!(refused(RollingSettings { stride: 0, ..good.clone() }, &mask).contains("stride is 0"));
    assert!(refused(RollingSettings { decay: f64::NAN, ..good.clone() }, &mask).contains("decay"));
    let budget = good.clone().with_cache_policy(CachePolicy::H2o, Budget::Share(0.0));
    assert!(refused(budget, &mask).contains("budget is 0"));
    let replace = MaskSettings { op: Op::Replace, ..mask.clone() };
    assert_eq!(refused(good.clone(), &replace), "operation replace is not available with scope block");
    let mix = MaskSettings { mix: Some("hide:0.5,drop:0.5".parse().unwrap()), ..mask };
    assert_eq!(refused(good, &mix), "operation drop is not available with scope block");
    assert_eq!(CachePolicy::H2o.decay(), Some(1.0));
}

#[test]
fn compacting_renumbers_what_is_left() {
    let ids = some_ids(40, 3);
    let mut got = rolled(&ids, &hiding(2), &small(), &ScoreSettings::default());
    let cached = got.cached(40);
    assert!(cached.len() < 40);
    let times = got.history().times.clone();
    let kept = got.compact(40);
    assert_eq!(kept, cached);
    assert_eq!(got.visibility(kept.len()), Visibility::Causal);
    assert!(
        kept.iter()
            .enumerate()
            .all(|(new, &old)| { got.history().times[new] == times.get(old).copied().unwrap_or(0) })
    );
    // It rolls on with the text it kept.
    let again: Vec<u32> = kept.iter().map(|&i| ids[i]).chain(some_ids(20, 8)).collect();
    let end = got.next_boundary();
    let maps = Miniature { ids: again.clone() }.maps(end, &got.visibility(end));
    let text = RollingText { ids: &again, ..RollingText::default() };
    assert_eq!(got.step(&maps, &text).positions.len(), end);
}
