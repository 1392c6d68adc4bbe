use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::super::arm::tests::{arms, batch, spec, tiny};
use super::super::arm::{ArmSetup, Lexicon, plain_loss};
use super::super::batch::Visit;
use super::super::spec::{Arm, MaskingSpec};
use super::*;
use crate::mask::draw::{Draws, Stream};
use crate::mask::types::{Polarity, State};
use crate::tensor::adamw::{AdamW, AdamWSettings};
use crate::tensor::attention::Attention;
use crate::tensor::cross_entropy::cross_entropy;
use crate::tensor::gradients::backward;

const T: usize = 32;

fn joint(kind: Joint, lambda: f64) -> JointSpec {
    JointSpec { kind, lambda, temperature: 0.2, learning_rate: 0.05 }
}

fn soft(policy: &JointPolicy) -> &SoftThresholds {
    match policy {
        JointPolicy::Soft(soft) => soft,
        _ => panic!("not soft thresholds"),
    }
}

fn thresholds(policy: &JointPolicy) -> Vec<f32> {
    soft(policy).thresholds().unwrap()
}

fn set(policy: &JointPolicy, values: &[f32]) {
    soft(policy).theta().set(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap();
}

#[test]
fn open_gates_are_no_mask_and_hard_ones_hide_what_is_below_its_threshold() {
    let tiny = tiny(2);
    let mut arms = arms(&spec(Arm::None, Op::Hide, 0.0), &tiny.model, T);
    let mut policy = JointPolicy::new(&joint(Joint::SoftThresholds, 0.0), &arms, &tiny.model, 1).unwrap();
    let data = batch(0..2, 0, T);
    set(&policy, &[-100.0]);
    let open = policy.loss(&mut arms, &tiny.model, &data, At::NONE).unwrap();
    let plain = plain_loss(&tiny.model, &data).unwrap();
    assert!((open.value - f64::from(plain.to_scalar::<f32>().unwrap())).abs() < 1e-5);
    assert_eq!(open.realised.selected, 0);
    // The last fifth of a run is hard: with θ above everything, layer 1 hides all keys that may be hidden.
    set(&policy, &[1e6]);
    let hard = policy.loss(&mut arms, &tiny.model, &data, At { step: 9, steps: 10 }).unwrap();
    assert_eq!(hard.realised.rate(), 1.0);
    let mut bias = vec![0f32; 2 * T * T];
    for (b, visit) in data.visits.iter().enumerate() {
        let free: Vec<bool> = arms.protections(visit).iter().map(|s| *s != State::Protected).collect();
        for t in 0..T {
            for i in (0..t).filter(|&i| free[i]) {
                bias[(b * T + t) * T + i] = f32::NEG_INFINITY;
            }
        }
    }
    let bias = Tensor::from_vec(bias, (2, 1, T, T), &Device::Cpu).unwrap();
    let mut x = tiny.model.embed_batch(&data.inputs(), 2).unwrap();
    for layer in 0..2 {
        let bias = (layer == 1).then(|| bias.clone());
        let rule = Attention { bias, ..tiny.model.attention(layer) };
        x = tiny
            .model
            .block((layer, crate::model::network::Positions::Counted), &x, |qkv| rule.packed(&qkv))
            .unwrap();
    }
    let states = tiny.model.final_norm(&x).unwrap().reshape(((), 16)).unwrap();
    let want = cross_entropy(&states, &tiny.model.lm_head.tensor().unwrap(), &data.targets(), false).unwrap();
    assert!((hard.value - f64::from(want.to_scalar::<f32>().unwrap())).abs() < 1e-5);
}

#[test]
fn thresholds_get_the_gradient_of_finite_differences_in_every_gated_layer() {
    let tiny = tiny(3);
    let mut arms = arms(&spec(Arm::None, Op::Hide, 0.0), &tiny.model, T);
    let mut policy = JointPolicy::new(&joint(Joint::SoftThresholds, 0.3), &arms, &tiny.model, 1).unwrap();
    let data = batch(0..2, 0, T);
    let start = [0.7f32, 0.5];
    set(&policy, &start);
    let mut at =
        |policy: &mut JointPolicy| policy.loss(&mut arms, &tiny.model, &data, At::NONE).unwrap().loss;
    let loss = at(&mut policy);
    let grads = backward(&loss).unwrap();
    let grad: Vec<f32> = grads.get(soft(&policy).theta().as_tensor()).unwrap().to_vec1().unwrap();
    for layer in 0..2 {
        let mut side = |step: f32| {
            let mut moved = start;
            moved[layer] += step;
            set(&policy, &moved);
            f64::from(at(&mut policy).to_scalar::<f32>().unwrap())
        };
        let slope = (side(0.02) - side(-0.02)) / 0.04;
        assert!(grad[layer].abs() > 1e-4, "{grad:?}");
        assert!((slope - f64::from(grad[layer])).abs() < 2e-3 + 0.05 * slope.abs(), "{slope} {grad:?}");
    }
    for (name, var) in &tiny.vars {
        let g = grads.get(var.as_tensor()).unwrap().sqr().unwrap().sum_all().unwrap();
        assert!(g.to_scalar::<f32>().unwrap() > 0.0, "{name}");
    }
}

#[test]
fn a_price_on_visible_tokens_closes_gates_and_too_high_a_price_raises_the_alarm() {
    let learned = |lambda: f64, steps: usize| {
        let tiny = tiny(3);
        let mut arms = arms(&spec(Arm::None, Op::Hide, 0.0), &tiny.model, T);
        let rate = if lambda > 10.0 { 0.5 } else { 0.05 };
        let mut policy = JointPolicy::new(
            &JointSpec { learning_rate: rate, ..joint(Joint::SoftThresholds, lambda) },
            &arms,
            &tiny.model,
            1,
        )
        .unwrap();
        let mut realised = 0.0;
        for step in 0..steps {
            let data = batch(step as u32 * 2 % 40..step as u32 * 2 % 40 + 2, 0, T);
            let loss = policy.loss(&mut arms, &tiny.model, &data, At { step, steps: 2 * steps }).unwrap();
            policy.learn(&backward(&loss.loss).unwrap()).unwrap();
            realised = loss.realised.rate();
        }
        (realised, policy)
    };
    let (some, policy) = learned(2.0, 25);
    assert!(some > 0.2 && thresholds(&policy).iter().all(|t| *t > 0.3), "{some} {:?}", thresholds(&policy));
    let (all, policy) = learned(50.0, 80);
    assert_eq!(policy.alarm(), Some(Degenerate::Everything), "{all} {:?}", thresholds(&policy));
    assert!(all > 0.99, "{all}");
    assert!(Degenerate::Everything.hint(true).starts_with("lower train.joint_lambda"));
    assert_eq!(Degenerate::Nothing.hint(false), "raise the mask rate", "no other policy has a price");
    let state = policy.state().unwrap();
    let (_, mut other) = learned(0.0, 1);
    other.restore(state).unwrap();
    assert_eq!(thresholds(&other), thresholds(&policy));
    assert_eq!(other.alarm(), policy.alarm());
    assert!(other.restore(serde_json::json!({ "theta": 3 })).is_err());
}

/// Numbers (ids 0 to 29) that each decide the word after them, and words that decide nothing.
fn visit(sequence: u32, pass: u32) -> Visit {
    let draws = Draws { seed: 21, sequence, pass: 0 };
    let all: Vec<u32> = (0..=T)
        .map(|i| match i % 2 {
            0 => draws.below(Stream::Sample, i, 29) as u32,
            _ => draws.below(Stream::Sample, i - 1, 29) as u32 + 29,
        })
        .collect();
    Visit { sequence, pass, inputs: all[..T].to_vec(), targets: all[1..].to_vec(), starts: Vec::new() }
}

fn numbered() -> Arc<Lexicon> {
    let tokens: Vec<u32> = (0..50).flat_map(|s| visit(s, 0).inputs).collect();
    Arc::new(Lexicon::from_bytes(60, None, &tokens, |id| match id {
        0..29 => id.to_string().into_bytes(),
        _ => b" word".to_vec(),
    }))
}

#[test]
fn the_adversary_learns_to_raise_the_loss_at_the_same_rate() {
    let tiny = tiny(2);
    let masking = MaskingSpec { rate: 0.3, ..spec(Arm::DynRand, Op::Replace, 0.3) };
    let lexicon = numbered();
    let setup = ArmSetup {
        spec: &masking,
        model: &tiny.model,
        context: T,
        lexicon,
        seed: 5,
        calibration: None,
        mask_row: None,
    };
    let mut arms = Arms::new(setup).unwrap();
    let mut optimizer = AdamW::new(tiny.vars.clone(), AdamWSettings::default()).unwrap();
    let of = |from: u32, pass: u32| Batch { visits: (from..from + 4).map(|s| visit(s, pass)).collect() };
    for step in 0..120 {
        let data = of(step * 4 % 200, 0);
        let loss = plain_loss(&tiny.model, &data).unwrap();
        optimizer.step(&backward(&loss).unwrap(), 1e-2, 1.0).unwrap();
    }
    let mut policy = JointPolicy::new(&joint(Joint::Adversarial, 0.0), &arms, &tiny.model, 7).unwrap();
    let mean = |policy: &mut JointPolicy, arms: &mut Arms| {
        let (mut sum, mut selected) = (0.0, Vec::new());
        for step in 0..10 {
            let loss = policy.loss(arms, &tiny.model, &of(300 + 4 * step, 9), At::NONE).unwrap();
            sum += loss.value;
            selected.push(loss.realised.selected);
        }
        (sum / 10.0, selected)
    };
    let (before, rate) = mean(&mut policy, &mut arms);
    // What was only looked at must not be learned from.
    if let JointPolicy::Adversarial(adversary) = &mut policy {
        adversary.learn(&Tensor::new(0f32, &Device::Cpu).unwrap().backward().unwrap()).unwrap();
    }
    for step in 0..40 {
        let loss = policy.loss(&mut arms, &tiny.model, &of(step * 4 % 200, 1), At::NONE).unwrap();
        policy.learn(&backward(&loss.loss).unwrap()).unwrap();
    }
    let (after, same) = mean(&mut policy, &mut arms);
    assert_eq!(rate, same, "the rate is fixed");
    let JointPolicy::Adversarial(adversary) = &policy else { panic!() };
    assert!(after > before + 0.1, "{before} {after} {:?}", adversary.weights());
    assert_eq!(policy.alarm(), None);
    let hide = spec(Arm::DynRand, Op::Hide, 0.3);
    let other = super::super::arm::tests::arms(&hide, &tiny.model, T);
    let refused = JointPolicy::new(&joint(Joint::Adversarial, 0.0), &other, &tiny.model, 7);
    assert!(refused.is_err_and(|e| e.to_string().contains("not to hide")));
}

fn cells() -> Vec<Cell> {
    let cell = |rate, polarity| Cell { rate, polarity, op: Op::Replace };
    [0.05, 0.15, 0.3, 0.9]
        .into_iter()
        .flat_map(|r| [cell(r, Polarity::High), cell(r, Polarity::Low)])
        .collect()
}

#[test]
fn the_bandit_finds_a_planted_cell_though_gains_shrink() {
    for planted in [1, 6] {
        let mut found = 0;
        for seed in 0..10 {
            let mut bandit = Bandit::new(cells(), seed).unwrap();
            let noise = Draws::new(100 + seed);
            let (mut loss, mut times) = (10.0, 0);
            bandit.evaluated(loss);
            for step in 0..150 {
                let mut gain = 0.1 / (1.0 + 0.02 * f64::from(step));
                gain *= 1.0 + 0.6 * (noise.unit(Stream::Bootstrap, step as usize) - 0.5);
                if bandit.cell() == cells()[planted] {
                    gain *= 2.0;
                    times += i32::from(step >= 75);
                }
                loss -= gain;
                bandit.evaluated(loss);
            }
            found += i32::from(times > 30);
            let best = bandit.table().into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            assert_eq!(best.0, cells()[planted], "seed {seed}: {:?}", bandit.table());
        }
        assert!(found >= 8, "{planted}: {found} of 10");
    }
}

#[test]
fn a_bandit_trains_a_model_keeps_its_state_and_avoids_masking_nearly_everything() {
    let tiny = tiny(2);
    let mut arms = arms(&spec(Arm::DynRand, Op::Replace, 0.2), &tiny.model, T);
    let cell = |rate| Cell { rate, polarity: Polarity::Random, op: Op::Replace };
    let mut policy = JointPolicy::Bandit(Bandit::new(vec![cell(0.95), cell(0.05)], 3).unwrap());
    let vars = tiny.vars.clone().into_iter().chain(arms.vars()).collect();
    let mut optimizer = AdamW::new(vars, AdamWSettings::default()).unwrap();
    let held = Batch { visits: (400..410).map(|s| visit(s, 0)).collect() };
    let clean = || {
        let loss = plain_loss(&tiny.model, &held).unwrap();
        f64::from(loss.to_scalar::<f32>().unwrap())
    };
    policy.evaluated(&mut arms, clean()).unwrap();
    let mut chosen = [0, 0];
    let mut course = Vec::new();
    for evaluation in 0..40u32 {
        for step in 0..3 {
            let at = evaluation * 3 + step;
            let data = Batch { visits: (at * 4..at * 4 + 4).map(|s| visit(s, 0)).collect() };
            let loss = policy.loss(&mut arms, &tiny.model, &data, At::NONE).unwrap();
            assert!(loss.value.is_finite());
            optimizer.step(&backward(&loss.loss).unwrap(), 1e-2, 1.0).unwrap();
        }
        let now = clean();
        let cell = policy.evaluated(&mut arms, now).unwrap().unwrap();
        course.push((now, cell.rate));
        chosen[usize::from(cell.rate < 0.5)] += 1;
        assert!((arms.settings().nominal_rate() - cell.rate).abs() < 1e-12);
    }
    assert!(chosen[1] > chosen[0] + 4, "{chosen:?} {course:.3?}");
    let mut other = JointPolicy::new(&joint(Joint::Bandit, 0.0), &arms, &tiny.model, 1).unwrap();
    other.restore(policy.state().unwrap()).unwrap();
    let next = policy.evaluated(&mut arms, 1.0).unwrap();
    assert_eq!(other.evaluated(&mut arms, 1.0).unwrap(), next);
}

#[test]
fn the_alarm_needs_ten_steps_in_a_row_and_ends_with_its_cause() {
    let mut watch = RateWatch::default();
    for rate in [0.0; 9].into_iter().chain([0.5]).chain([0.001; 9]) {
        watch.note(rate);
        assert_eq!(watch.alarm(), None);
    }
    watch.note(0.0);
    assert_eq!(watch.alarm(), Some(Degenerate::Nothing));
    watch.note(0.2);
    assert_eq!(watch.alarm(), None);
    (0..10).for_each(|_| watch.note(0.999));
    assert_eq!(watch.alarm(), Some(Degenerate::Everything));
}
