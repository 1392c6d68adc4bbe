use super::super::arm::tests::{spec, tiny};
use super::super::arm::{Arms, At, plain_loss};
use super::super::batch::{Batch, Visit};
use super::super::data::Order;
use super::super::spec::{Arm, MaskingSpec};
use super::*;
use crate::mask::draw::{Draws, Stream};
use crate::mask::types::Op;
use crate::tensor::adamw::{AdamW, AdamWSettings};
use crate::tensor::gradients::backward;

/// Normal numbers (Box and Muller) for simulations.
fn normal(seed: u64, i: usize) -> f64 {
    let draws = Draws::new(seed);
    let (u, v) = (draws.unit(Stream::Bootstrap, 2 * i), draws.unit(Stream::Bootstrap, 2 * i + 1));
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[test]
fn looking_after_every_value_does_not_break_the_promise() {
    // 2000 sequences of 100 normal values, looked at after every one: 0 may be left outside in at most 5 %.
    let runs = 2000;
    let wrong = (0..runs)
        .filter(|&seed| {
            let values: Vec<f64> = (0..100).map(|i| normal(seed, i)).collect();
            (2..=100).any(|n| {
                let at = sequence(&values[..n], 0.05);
                at.low > 0.0 || at.high < 0.0
            })
        })
        .count();
    let share = wrong as f64 / runs as f64;
    assert!(share <= 0.05, "{share}");
    assert!(share > 0.005, "{share}: the sequence would be needlessly wide");
    // A plain t interval, looked at in the same way, breaks it by far.
    let plain = (0..200)
        .filter(|&seed| {
            let values: Vec<f64> = (0..100).map(|i| normal(seed, i)).collect();
            (2..=100).any(|n| {
                let at = crate::eval::stats::t_interval(&values[..n], 0.95).unwrap();
                at.low > 0.0 || at.high < 0.0
            })
        })
        .count();
    assert!(plain > 40, "{plain} of 200");
}

#[test]
fn widths_invert_the_bayes_factor_and_shrink() {
    for n in [5, 10, 100, 1000] {
        let (k, half) = (1.0 + n as f64, half_width(n, 0.05));
        let u = half * half * n as f64 / (n as f64 - 1.0);
        let factor = ((1.0 + u) / (1.0 + u / k)).powf(n as f64 / 2.0) / k.sqrt();
        assert!((factor - 20.0).abs() < 1e-6, "{n}: {factor}");
        assert!(half_width(2 * n, 0.05) < half);
    }
    assert!(half_width(4, 0.05).is_infinite() && half_width(1, 0.05).is_infinite());
}

#[test]
fn verdicts_come_in_four_words_and_undecided_says_how_many_more() {
    let judge = |differences: Vec<f64>| {
        let mut twins = Twins::new(vec!["a".into(), "b".into()], TwinSettings::default()).unwrap();
        twins.seeds[0] = differences;
        twins.verdicts()[0]
    };
    let around = |mean: f64, sd: f64, n| (0..n).map(|i| mean + sd * normal(3, i)).collect::<Vec<f64>>();
    assert_eq!(judge(around(-0.1, 0.01, 10)).verdict, Verdict::Better);
    assert_eq!(judge(around(0.1, 0.01, 10)).verdict, Verdict::Worse);
    assert_eq!(judge(around(0.001, 0.002, 20)).verdict, Verdict::Equivalent);
    let few = judge(around(0.05, 0.04, 5));
    let Verdict::Undecided { more: Some(n) } = few.verdict else { panic!("{few:?}") };
    assert!((1..60).contains(&n), "{n}");
    assert_ne!(judge(around(0.05, 0.04, 5 + 2 * n)).verdict, few.verdict, "it settles");
    assert_eq!(judge(vec![0.3]).verdict, Verdict::Undecided { more: None }, "one seed says nothing of luck");
    assert_eq!(judge(vec![]).verdict, Verdict::Undecided { more: None });
    assert!(Twins::new(vec!["alone".into()], TwinSettings::default()).is_err());
}

const CONTEXT: usize = 32;

/// A corpus with something to learn: after each id mostly the next one.
fn corpus(documents: usize, seed: u64) -> Corpus {
    let draws = Draws { seed, pass: 9, ..Draws::default() };
    let mut tokens = Vec::new();
    let mut starts = Vec::new();
    let mut at = 0;
    for _ in 0..documents {
        starts.push(tokens.len() as u64);
        for _ in 0..40 {
            let i = tokens.len();
            let jump = draws.unit(Stream::Order, i) < 0.3;
            at = if jump { draws.below(Stream::Sample, i, 58) as u32 } else { (at + 1) % 58 };
            tokens.push(at);
        }
    }
    let n = tokens.len();
    Corpus::from_tokens(tokens, starts, n, Some(59))
}

/// A small run of one arm; gives its losses on the held-out documents.
fn run(spec: &MaskingSpec, seed: u64, steps: usize, rate: f64) -> Vec<DocumentLoss> {
    let tiny = tiny(3);
    let (train, held) = (corpus(40, 1), corpus(12, 2));
    let setup = super::super::arm::ArmSetup {
        spec,
        model: &tiny.model,
        context: CONTEXT,
        lexicon: super::super::arm::tests::lexicon(),
        seed,
        calibration: None,
        mask_row: None,
    };
    let mut arms = Arms::new(setup).unwrap();
    let vars = tiny.vars.clone().into_iter().chain(arms.vars()).collect();
    let mut optimizer = AdamW::new(vars, AdamWSettings::default()).unwrap();
    let order = Order { seed, context: CONTEXT, fixed_cuts: true, marked: 0.0 }.epoch(&train, 0).1;
    for step in 0..steps {
        let visits =
            order[2 * step..2 * step + 2].iter().map(|&i| train.visit(i as usize, 0, CONTEXT, 0)).collect();
        let masked = arms.prepare(&tiny.model, &Batch { visits }, At { step, steps }).unwrap();
        let loss = arms.masked_loss(&tiny.model, &masked).unwrap();
        optimizer.step(&backward(&loss.loss).unwrap(), rate, 1.0).unwrap();
    }
    document_losses(&tiny.model, &held, CONTEXT, usize::MAX, &|| false).unwrap()
}

fn names() -> Vec<String> {
    vec!["first".to_owned(), "second".to_owned()]
}

#[test]
fn identical_arms_with_different_seeds_are_hardly_ever_told_apart() {
    let spec = spec(Arm::DynRand, Op::Replace, 0.3);
    let (mut told, mut apart) = (0, 0);
    for experiment in 0..20u64 {
        let mut twins = Twins::new(names(), TwinSettings::default()).unwrap();
        for pair in 0..6u64 {
            let seed = 1000 + experiment * 100 + pair * 2;
            let losses = [run(&spec, seed, 6, 3e-3), run(&spec, seed + 1, 6, 3e-3)];
            twins.evaluated(6, &losses).unwrap();
            let documents = twins.running[0][0].documents;
            apart += usize::from(documents.low > 0.0 || documents.high < 0.0);
            twins.finish_seed();
        }
        told += usize::from(matches!(twins.verdicts()[0].verdict, Verdict::Better | Verdict::Worse));
    }
    assert!(told <= 2, "{told} of 20");
    // The two models of a pair do differ, which is why documents alone must not judge arms.
    assert!(apart > 5, "{apart} of 120 pairs of models differ");
}

#[test]
fn equal_seeds_are_equal_to_the_last_bit_and_a_worse_arm_is_found() {
    let plain = spec(Arm::DynRand, Op::Replace, 0.15);
    let heavy = spec(Arm::DynRand, Op::Replace, 0.95);
    let mut same = Twins::new(names(), TwinSettings::default()).unwrap();
    let mut worse = Twins::new(names(), TwinSettings::default()).unwrap();
    for seed in 0..6 {
        let first = run(&plain, seed, 18, 1e-2);
        same.evaluated(18, &[first.clone(), run(&plain, seed, 18, 1e-2)]).unwrap();
        assert_eq!((same.running[0][0].difference, same.running[0][0].differing), (0.0, 0));
        same.finish_seed();
        let judged = same.verdicts()[0];
        assert_eq!((judged.interval.value, judged.verdict), (0.0, Verdict::Equivalent));
        worse.evaluated(18, &[first, run(&heavy, seed, 18, 1e-2)]).unwrap();
        worse.finish_seed();
    }
    let judged = worse.verdicts()[0];
    assert_eq!(judged.verdict, Verdict::Worse, "{judged:?} {:?}", worse.differences(1));
    assert_eq!(worse.seeds(), 6);
}

#[test]
fn losses_of_documents_are_those_of_the_whole_and_must_be_paired() {
    let tiny = tiny(3);
    let held = corpus(5, 2);
    let losses = document_losses(&tiny.model, &held, CONTEXT, usize::MAX, &|| false).unwrap();
    assert_eq!(losses.iter().map(|l| l.labels).collect::<Vec<_>>(), [39; 5]);
    let tokens = held.document(3);
    let parts: f64 = [0..32, 32..39]
        .into_iter()
        .map(|part| {
            let n = part.len() as f64;
            let (x, y) = (&tokens[part.clone()], &tokens[part.start + 1..part.end + 1]);
            let visit = Visit { sequence: 0, pass: 0, inputs: x.to_vec(), targets: y.to_vec() };
            let mean = plain_loss(&tiny.model, &Batch { visits: vec![visit] }).unwrap();
            f64::from(mean.to_scalar::<f32>().unwrap()) * n
        })
        .sum();
    assert!((losses[3].nats - parts).abs() < 1e-3);
    let mut twins = Twins::new(names(), TwinSettings::default()).unwrap();
    assert!(twins.evaluated(0, &[losses.clone(), losses[..4].to_vec()]).is_err());
}
