//! Masks on real forward passes, through the engine that screen and commands share: eviction against a cache that really
//! forgets, causality bit for bit, operations that must change nothing, weights that must be nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/plain_gpt2.rs"]
mod plain_gpt2;
mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use maskscope::attention::types::ScoreSettings;
use maskscope::engine::explorer::{Explorer, MaskChoice, MaskPolicy, Reach};
use maskscope::engine::loaded::{HELD_OUT_TEXT, LoadedModel};
use maskscope::engine::loader::{LoadOptions, Purpose, load};
use maskscope::engine::types::{ExploreRequest, HeadChoice, MapKind, Update};
use maskscope::hub::HubOptions;
use maskscope::mask::presets::{Budget, CachePolicy};
use maskscope::mask::rolling::{Policy as Decider, RollingSettings};
use maskscope::mask::types::{MaskSettings, Op, Polarity, Protect, Scope};
use maskscope::model::forward::Reuse;
use maskscope::model::{Input, Visibility, WeightType};
use proptest::prelude::*;
use support::tiny_folder;

fn open(spec: &str) -> Explorer {
    let options = LoadOptions {
        hub: HubOptions::default(),
        device: candle_core::Device::Cpu,
        device_name: "cpu",
        purpose: Purpose::Explore(WeightType::F32),
    };
    let loaded = load(spec, &options, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    Explorer::new(Arc::new(loaded))
}

fn demo(tokens: usize) -> Explorer {
    let mut explorer = open("demo");
    explorer.set_text(HELD_OUT_TEXT, Reach::Context).unwrap();
    let ids = explorer.ids[..tokens].to_vec();
    explorer.set_ids(&ids).unwrap();
    explorer
}

fn choose(explorer: &mut Explorer, mask: &MaskSettings, rolling: &RollingSettings) -> MaskChoice {
    let score = ScoreSettings::default();
    explorer.choose(MaskPolicy { mask, score: &score, rolling }, None).unwrap()
}

fn block(op: Op) -> MaskSettings {
    MaskSettings { scope: Scope::Block, op, threshold: 0.5, probability: 0.9, ..MaskSettings::default() }
}

fn rolling() -> RollingSettings {
    RollingSettings { window: 16, stride: 8, recent: 4, cool_down: 1, ..RollingSettings::default() }
}

/// Logits of every row of a pass.
fn all_logits(loaded: &LoadedModel, input: Input) -> Vec<f32> {
    let n = input.len();
    let trace = loaded.model.run(Arc::new(input), Reuse::default()).unwrap();
    loaded.model.logits(&trace.hidden, 0, n).unwrap()
}

#[test]
fn eviction_leaves_what_a_cache_that_forgot_would_predict() {
    let mut explorer = open(tiny_folder().to_str().unwrap());
    let config = explorer.loaded.model.config.clone();
    let n = config.n_positions.min(48);
    let ids: Vec<u32> = (0..n as u32).map(|i| (i * 7919 + 13) % config.vocab_size as u32).collect();
    explorer.set_ids(&ids).unwrap();
    let tensors: HashMap<String, Vec<f64>> = explorer
        .loaded
        .model
        .tensors()
        .unwrap()
        .into_iter()
        .map(|(name, t)| {
            let values: Vec<f32> = t.flatten_all().unwrap().to_vec1().unwrap();
            (name, values.into_iter().map(f64::from).collect())
        })
        .collect();
    let twin = plain_gpt2::Plain { config: &config, tensors };
    for (policy, per_head) in [
        (Decider::Threshold, false),
        (Decider::Cache(CachePolicy::H2o, Budget::Share(0.4)), false),
        (Decider::Cache(CachePolicy::SnapKvHalf, Budget::Share(0.5)), false),
        (Decider::Cache(CachePolicy::H2o, Budget::Share(0.4)), true),
        (Decider::Cache(CachePolicy::SnapKvHalf, Budget::Share(0.5)), true),
        (Decider::Cache(CachePolicy::Random, Budget::Share(0.5)), true),
    ] {
        let rolling = RollingSettings { per_head, ..rolling() }.by(policy);
        let choice = choose(&mut explorer, &block(Op::Evict), &rolling);
        let visibility = choice.plan.input.visibility.clone();
        assert_ne!(visibility, Visibility::Causal, "{policy:?} evicts something");
        assert_eq!(matches!(visibility, Visibility::ByHead(_)), per_head);
        let got = all_logits(&explorer.loaded, choice.plan.input.clone());
        let wanted = twin.decode(&ids, &|head, t, i| visibility.visible_in(head, n, t, i));
        let worst = got.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        // f32 against f64; 1.04e-5 was seen.
        assert!(worst < 2e-5, "{policy:?}: {worst}");
        // Hiding for good from the same boundaries on is the same thing.
        let hidden = choose(&mut explorer, &block(Op::Hide), &rolling);
        assert_eq!(hidden.plan.input.visibility, visibility, "{policy:?}");
    }
}

#[test]
fn a_later_token_changes_no_earlier_block_decision_and_no_earlier_logit() {
    let (n, changed) = (96, 70);
    let mut before = demo(n);
    let mut ids = before.ids.clone();
    ids[changed] = (ids[changed] + 1) % before.loaded.model.config.vocab_size as u32;
    let mut after = demo(n);
    after.set_ids(&ids).unwrap();
    let h2o = Decider::Cache(CachePolicy::H2o, Budget::Share(0.5));
    for (policy, per_head) in [(Decider::Threshold, false), (h2o, false), (h2o, true)] {
        let rolling = RollingSettings { per_head, ..rolling() }.by(policy);
        let (a, b) = (
            choose(&mut before, &block(Op::Evict), &rolling),
            choose(&mut after, &block(Op::Evict), &rolling),
        );
        let (wa, wb) = (a.window.unwrap(), b.window.unwrap());
        let early = wa.rows.iter().zip(&wb.rows).filter(|(x, _)| x.end <= changed);
        assert!(early.clone().count() >= 5);
        for (x, y) in early {
            assert_eq!(x, y);
        }
        let vocab = before.loaded.model.config.vocab_size;
        let (la, lb) = (all_logits(&before.loaded, a.plan.input), all_logits(&after.loaded, b.plan.input));
        let same = |t: usize| {
            let row = t * vocab..(t + 1) * vocab;
            la[row.clone()].iter().zip(&lb[row]).all(|(x, y)| x.to_bits() == y.to_bits())
        };
        assert!((0..changed).all(same), "an earlier logit moved");
        assert!(!same(changed), "the changed token itself is seen");
    }
}

#[test]
fn a_text_beyond_the_context_goes_on_over_what_was_kept() {
    let mut explorer = open("demo");
    let context = explorer.loaded.model.config.n_positions;
    let ids: Vec<u32> = {
        explorer.set_text(HELD_OUT_TEXT, Reach::Beyond).unwrap();
        assert!(explorer.ids.len() > 2 * context && explorer.truncated.is_some());
        explorer.ids[..2 * context + 37].to_vec()
    };
    let n = ids.len();
    explorer.set_ids_within(&ids, Reach::Beyond).unwrap();
    let rolling = RollingSettings { window: 128, stride: 32, ..rolling() }
        .by(Decider::Cache(CachePolicy::SnapKvHalf, Budget::Tokens(64)));
    let choice = choose(&mut explorer, &block(Op::Evict), &rolling);
    let window = choice.window.clone().unwrap();
    assert!(window.reencoded.len() >= 2, "{:?}", window.reencoded);
    assert_eq!(
        window.rows.iter().map(|r| r.end).collect::<Vec<_>>(),
        (128..n).step_by(32).collect::<Vec<_>>()
    );
    assert_eq!((choice.decision.positions.len(), window.positions.len()), (n, n));
    // Rows are the kept tokens and the newest ones, and they fit.
    let (kept, input) = (&choice.plan.kept, &choice.plan.input);
    assert!(kept.len() <= context && kept.windows(2).all(|w| w[0] < w[1]));
    assert_eq!(input.ids, kept.iter().map(|&i| ids[i]).collect::<Vec<_>>());
    // The effect's last prediction is that of the kept tokens, read as a text of their own.
    let (effect, run) = explorer.effect(&choice, (Op::Evict, 5), None).unwrap();
    assert_eq!(run.kept.as_deref(), Some(kept));
    let alone = explorer.loaded.model.run(Arc::new(input.clone()), Reuse::default()).unwrap();
    let wanted = explorer.loaded.model.log_probabilities(&alone, input.len() - 1).unwrap();
    assert!(run.last.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-4));
    // Every token but the first was predicted once, when it was new; the first window exactly as without a mask.
    let told = choice.told.as_ref().unwrap();
    assert!(told[..n - 1].iter().all(Option::is_some) && told[n - 1].is_none());
    assert!(effect.prediction.surprisal[1..].iter().all(Option::is_some));
    let first = all_logits(&explorer.loaded, Input::plain(ids[..128].to_vec()));
    let vocab = explorer.loaded.model.config.vocab_size;
    for t in 0..127 {
        let row: Vec<f64> = first[t * vocab..(t + 1) * vocab].iter().map(|x| f64::from(*x)).collect();
        let lse = row.iter().map(|x| x.exp()).sum::<f64>().ln();
        let log_p = row[ids[t + 1] as usize] - lse;
        assert!((f64::from(told[t].unwrap()) - log_p).abs() < 1e-4, "{t}");
    }
    // A cache that cannot make room says so.
    let greedy = rolling.by(Decider::Cache(CachePolicy::H2o, Budget::Share(1.0)));
    let score = ScoreSettings::default();
    let mask = block(Op::Evict);
    let refused = explorer.choose(MaskPolicy { mask: &mask, score: &score, rolling: &greedy }, None);
    let error = refused.err().unwrap();
    assert!(error.to_string().contains("do not fit the context of 256") && error.hint().is_some(), "{error}");
}

#[test]
fn heads_that_decide_for_themselves_reuse_rows_and_agree_with_a_fresh_pass() {
    let mut explorer = demo(96);
    let policy = Decider::Cache(CachePolicy::H2o, Budget::Share(0.3));
    let by_head =
        choose(&mut explorer, &block(Op::Evict), &RollingSettings { per_head: true, ..rolling() }.by(policy));
    let together = choose(&mut explorer, &block(Op::Evict), &rolling().by(policy));
    let baseline =
        explorer.loaded.model.run(Arc::new(Input::plain(explorer.ids.clone())), Reuse::default()).unwrap();
    let model = &explorer.loaded.model;
    let one = model.run(Arc::new(together.plan.input.clone()), Reuse::default()).unwrap();
    let fresh = all_logits(&explorer.loaded, by_head.plan.input.clone());
    for earlier in [&baseline, &one] {
        let reuse = Reuse { traces: &[earlier], cancel: None };
        let again = model.run(Arc::new(by_head.plan.input.clone()), reuse).unwrap();
        assert!(again.reused > 0, "the first window is the same in both");
        let logits = model.logits(&again.hidden, 0, 96).unwrap();
        assert!(logits.iter().zip(&fresh).all(|(a, b)| (a - b).abs() < 1e-5));
    }
    // Heads differ, each holds its own budget, and the report counts them.
    let Visibility::ByHead(heads) = &by_head.plan.input.visibility else { panic!("one set for all heads") };
    assert!(heads.windows(2).any(|w| w[0] != w[1]));
    let window = by_head.window.unwrap();
    let last = window.rows.last().unwrap().end;
    let budget = Budget::Share(0.3).tokens(last);
    for head in heads.iter() {
        let kept = head[..last].iter().filter(|from| **from == u32::MAX).count();
        assert!((budget..=budget + 2).contains(&kept), "{kept} of {budget}");
    }
    let partly = window.positions.iter().filter(|p| p.heads.is_some_and(|(k, of)| 0 < k && k < of)).count();
    assert!(partly > 10, "{partly}");
    let kept: usize = heads.iter().flatten().filter(|from| **from == u32::MAX).count();
    assert!((window.cache_share - kept as f64 / (heads.len() * 96) as f64).abs() < 1e-12);
}

#[test]
fn skipping_nobody_and_keeping_everybody_are_the_baseline_bit_for_bit() {
    let mut explorer = demo(64);
    let baseline = all_logits(&explorer.loaded, Input::plain(explorer.ids.clone()));
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let nobody = MaskSettings { op: Op::Skip, probability: 0.0, ..MaskSettings::default() };
    let keep = "keep:1".parse().unwrap();
    let all = MaskSettings {
        threshold: 0.0,
        probability: 1.0,
        protect: Protect::NONE,
        mix: Some(keep),
        op: Op::Drop,
        ..MaskSettings::default()
    };
    let mixed = MaskSettings {
        mix: Some("keep:0.5,keep:0.5".parse().unwrap()),
        probability: 1.0,
        op: Op::Replace,
        ..MaskSettings::default()
    };
    for (mask, least) in [(nobody, 0), (all, 32), (mixed, 5)] {
        let choice = choose(&mut explorer, &mask, &rolling());
        assert!(choice.decision.selected >= least, "{}", choice.decision.selected);
        let got = all_logits(&explorer.loaded, choice.plan.input.clone());
        assert_eq!(bits(&got), bits(&baseline));
        let (effect, _) = explorer.effect(&choice, (mask.op, 5), None).unwrap();
        assert_eq!((effect.kl, effect.delta_unmasked.unwrap_or(0.0)), (0.0, 0.0));
    }
}

/// Sums that passes make on their way, over a chain of edits that reuse rows, against the maps they stand for.
#[test]
fn what_keys_received_is_summed_on_the_way_and_stays_true_through_edits() {
    let mut explorer = demo(200);
    let all = explorer.ids.clone();
    let model = &explorer.loaded.model;
    let mut edited = all[..150].to_vec();
    edited[100] += 1;
    let mut early = edited.clone();
    early[3] += 1;
    let mut hidden = vec![u32::MAX; 150];
    (hidden[20], hidden[70]) = (40, 120);
    let plain = |ids: &[u32]| Input::plain(ids.to_vec());
    let chain = [
        plain(&all[..63]),
        plain(&all[..64]),
        plain(&all[..65]),
        plain(&all[..66]),
        plain(&all[..150]),
        plain(&all[..140]),
        plain(&all[..128]),
        plain(&all[..150]),
        plain(&edited),
        Input { visibility: Visibility::HideFrom(hidden), ..plain(&edited) },
        plain(&early),
    ];
    let mut earlier: Option<maskscope::model::Trace> = None;
    for (n, input) in chain.into_iter().enumerate() {
        let t = input.len();
        let traces: Vec<_> = earlier.iter().collect();
        let trace = model.run(Arc::new(input), Reuse { traces: &traces, cancel: None }).unwrap();
        let mut map = vec![0f32; t * t];
        let mut norms = vec![0f32; t];
        for (layer, head) in
            (0..model.config.n_layer).flat_map(|l| (0..model.config.n_head).map(move |h| (l, h)))
        {
            let got = trace.received(layer, head).expect("the CPU pass sums");
            trace.map_into(layer, head, &mut map).unwrap();
            trace.value_norms_into(layer, head, &mut norms).unwrap();
            for i in 0..t {
                let later: f64 = (i + 1..t).map(|q| f64::from(map[q * t + i])).sum();
                assert!((got.later[i] - later).abs() < 1e-5, "step {n} key {i}: {} {later}", got.later[i]);
                assert!((got.own[i] - f64::from(map[i * t + i])).abs() < 1e-6, "step {n} key {i}");
                assert!((got.norms[i] - norms[i]).abs() <= 1e-4 * norms[i].max(1e-3), "step {n} key {i}");
            }
        }
        earlier = Some(trace);
    }
    // A score read from the sums is the score read from the maps.
    let settings = ScoreSettings::default();
    let from_sums = explorer.scores(&settings, maskscope::mask::types::Scale::Rank, None).unwrap();
    let run = explorer.baseline(None).unwrap();
    let whole = maskscope::attention::sweep::SweepRequest { newest: true, ..Default::default() };
    let swept = maskscope::attention::sweep::sweep(&run.trace, &whole);
    let from_maps = maskscope::attention::score::score(&swept, &settings, explorer.loaded.calibration());
    for (a, b) in from_sums.scores.iter().zip(&from_maps.scores) {
        match (a, b) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a} {b}"),
            _ => assert_eq!(a, b),
        }
    }
}

#[test]
fn scores_are_kept_for_a_slider_and_computed_again_for_anything_else() {
    let mut explorer = demo(64);
    let ask = |explorer: &mut Explorer, score: &ScoreSettings| {
        let mask = MaskSettings::default();
        let choice = explorer.choose(MaskPolicy { mask: &mask, score, rolling: &rolling() }, None).unwrap();
        choice.scored
    };
    let plain = ScoreSettings::default();
    let one_head = ScoreSettings { layers: vec![1], heads: vec![2], ..plain.clone() };
    let (a, b, again) =
        (ask(&mut explorer, &plain), ask(&mut explorer, &one_head), ask(&mut explorer, &plain));
    assert_ne!(a.scores, b.scores);
    assert_eq!(a, again);
    let ids: Vec<u32> = explorer.ids.iter().rev().copied().collect();
    explorer.set_ids(&ids).unwrap();
    let other = ask(&mut explorer, &plain);
    assert_ne!(a.scores, other.scores);
    let mut fresh = demo(64);
    fresh.set_ids(&ids).unwrap();
    assert_eq!(other, ask(&mut fresh, &plain));
}

#[test]
fn a_full_slider_costs_less_for_operations_that_save() {
    let mut explorer = demo(128);
    let layers = explorer.loaded.model.config.n_layer;
    for (op, least) in [(Op::Drop, layers), (Op::Skip, layers - 2)] {
        let mask = MaskSettings { op, threshold: 0.5, probability: 1.0, ..MaskSettings::default() };
        let choice = choose(&mut explorer, &mask, &rolling());
        let (effect, _) = explorer.effect(&choice, (op, 1), None).unwrap();
        let expected = choice.decision.selected * least;
        assert_eq!(effect.work.saved, expected, "{op}");
        assert_eq!(effect.work.computed + effect.work.reused + effect.work.saved, 128 * layers, "{op}");
        assert!(choice.decision.selected > 50);
    }
}

#[test]
fn the_effect_of_rerolls_is_the_mean_over_seeds() {
    let mut explorer = demo(48);
    let mask = MaskSettings { op: Op::Hide, ..MaskSettings::default() };
    let request = ExploreRequest {
        generation: 7,
        text: Arc::from(""),
        mask: mask.clone(),
        score: ScoreSettings::default(),
        rolling: rolling(),
        map: MapKind::Masked,
        heads: HeadChoice::default(),
        top: 1,
        overview: false,
        effects: true,
        position: None,
        interventions: Arc::default(),
    };
    let mut task = maskscope::engine::background::Rerolls::new(7, 5, request);
    let mut last = None;
    for _ in 0..5 {
        last = Some(task.step(&mut explorer, None).unwrap());
    }
    let Some(Update::Rerolls { generation: 7, done: 5, of: 5, rows, rate }) = last else {
        panic!("{last:?}")
    };
    assert_eq!(
        rows.iter().map(|r| r.op).collect::<Vec<_>>(),
        [Op::Hide, Op::Keep, Op::Replace, Op::Drop, Op::Evict, Op::Skip]
    );
    let (mut kl, mut rates) = (Vec::new(), Vec::new());
    for seed in mask.seed..mask.seed + 5 {
        let choice = choose(&mut explorer, &MaskSettings { seed, ..mask.clone() }, &rolling());
        kl.push(f64::from(explorer.effect(&choice, (Op::Hide, 1), None).unwrap().0.kl));
        rates.push(choice.decision.rate());
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    assert!((rows[0].kl.mean - mean(&kl)).abs() < 1e-9 && (rate.mean - mean(&rates)).abs() < 1e-12);
    assert_eq!((rows[1].kl.mean, rows[1].kl.sd), (0.0, 0.0), "keep changes nothing under any seed");
}

#[test]
fn initial_patterns_take_the_scores_place() {
    let mut explorer = demo(128);
    let mask = MaskSettings { probability: 1.0, threshold: 0.8, ..MaskSettings::default() };
    for &pattern in maskscope::mask::initial::Pattern::ALL {
        let rolling = RollingSettings { initial: Some(pattern), ..rolling() };
        let rates: Vec<f64> = (0..40)
            .map(|seed| {
                choose(&mut explorer, &MaskSettings { seed, ..mask.clone() }, &rolling).decision.rate()
            })
            .collect();
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        // Rare and marked tokens are as rare as in running text, not exactly as in this passage.
        assert!((0.05..0.45).contains(&mean), "{pattern}: {mean}");
        let one = choose(&mut explorer, &mask, &rolling).decision;
        assert!(one.positions.iter().all(|p| p.score.is_none()), "{pattern} knows no score");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn hidden_weights_are_nothing_and_rows_are_whole(seed: u64, threshold in 0.0f64..0.9, which in 0usize..3) {
        let mut explorer = demo(40);
        let mask = MaskSettings {
            seed: seed >> 11,
            threshold,
            probability: 1.0,
            polarity: Polarity::ALL[which],
            op: Op::Hide,
            protect: Protect::NONE,
            ..MaskSettings::default()
        };
        let choice = choose(&mut explorer, &mask, &rolling());
        let run = explorer.masked(&choice.plan, None).unwrap();
        let n = explorer.ids.len();
        let config = &explorer.loaded.model.config;
        for (layer, head) in (0..config.n_layer).flat_map(|l| (0..config.n_head).map(move |h| (l, h))) {
            let map = run.map(HeadChoice { layer: Some(layer), head: Some(head) });
            for t in 0..n {
                let row = &map[t * n..(t + 1) * n];
                let sum: f64 = row.iter().map(|w| f64::from(*w)).sum();
                prop_assert!((sum - 1.0).abs() < 1e-6, "row {t} sums to {sum}");
                prop_assert!(row[t] > 0.0, "a row always keeps itself");
                for (i, weight) in row.iter().enumerate().take(t) {
                    if !choice.plan.input.visibility.visible(n, t, i) {
                        prop_assert_eq!(*weight, 0.0);
                    }
                }
            }
        }
    }
}
