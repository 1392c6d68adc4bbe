use super::super::arm::tests::{spec, tiny};
use super::super::arm::{Arms, At, plain_loss};
use super::super::batch::{Batch, Visit};
use super::super::data::Order;
use super::super::spec::{Arm, MaskingSpec};
use super::*;
use crate::eval::stats::Verdict;
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

fn names() -> Vec<String> {
    vec!["first".to_owned(), "second".to_owned()]
}

/// One more seed with these losses, in which so many positions were masked differently by every pair.
fn seed(twins: &mut Twins, losses: Vec<f64>, differently: u64) {
    let compared = Compared { masked: 10, differently, visits: 4, again: 2 };
    let compared = vec![compared; twins.pairs().len()];
    twins.seeds.push(SeedResult { losses, compared });
}

#[test]
fn every_pair_is_judged_and_too_few_seeds_decide_nothing() {
    assert_eq!([2, 3, 4].map(|arms| fewest_seeds(arms, 0.05)), [5, 6, 6]);
    let three = || Twins::new(vec!["a".into(), "b".into(), "c".into()], TwinSettings::default()).unwrap();
    let mut twins = three();
    for i in 0..6 {
        let verdicts = twins.verdicts();
        assert_eq!(verdicts.len(), 3);
        let open = |judged: &Judged| matches!(judged.verdict, None | Some(Verdict::Undecided { .. }));
        assert!(verdicts.iter().all(open), "{i} seeds of three arms: {verdicts:?}");
        let noise = |arm: usize| 0.0005 * normal(7, 3 * i + arm);
        seed(&mut twins, vec![2.0 + noise(0), 2.5 + noise(1), 2.001 + noise(2)], 5);
    }
    let words: Vec<Option<Verdict>> = twins.verdicts().iter().map(|judged| judged.verdict).collect();
    assert_eq!(words, [Some(Verdict::Worse), Some(Verdict::Equivalent), Some(Verdict::Better)]);
    assert_eq!(twins.pairs(), [(0, 1), (0, 2), (1, 2)]);
    assert_eq!(twins.differences((1, 2)).len(), 6);
    // The same losses of arms that were masked alike are no comparison.
    let mut alike = three();
    (0..6).for_each(|_| seed(&mut alike, vec![2.0; 3], 0));
    assert!(alike.verdicts().iter().all(|judged| judged.verdict.is_none()));
}

#[test]
fn a_planted_difference_is_found_and_a_planted_zero_is_equivalent_only_by_its_interval() {
    let (mut found, mut wrong, mut equal, mut early) = (0, 0, 0, 0);
    let epsilon = TwinSettings::default().epsilon;
    for experiment in 0..100u64 {
        let mut planted = Twins::new(names(), TwinSettings::default()).unwrap();
        let mut zero = planted.clone();
        for i in 0..20 {
            let noise = 0.005 * normal(experiment, i);
            seed(&mut planted, vec![2.0, 2.03 + noise], 3);
            seed(&mut zero, vec![2.0, 2.0 + noise], 3);
            let judged = zero.verdicts()[0];
            if judged.verdict == Some(Verdict::Equivalent) {
                let inside = judged.interval.low >= -epsilon && judged.interval.high <= epsilon;
                early += usize::from(!inside || i + 1 < fewest_seeds(2, 0.05));
            }
        }
        found += usize::from(planted.verdicts()[0].verdict == Some(Verdict::Worse));
        wrong += usize::from(matches!(zero.verdicts()[0].verdict, Some(Verdict::Better | Verdict::Worse)));
        equal += usize::from(zero.verdicts()[0].verdict == Some(Verdict::Equivalent));
    }
    assert!(found == 100 && wrong <= 5 && equal >= 90, "{found} found, {wrong} wrong, {equal} equivalent");
    assert_eq!(early, 0, "equivalent without an interval within ±ε");
}

#[test]
fn verdicts_come_in_four_words_and_undecided_says_how_many_more() {
    let judge = |differences: Vec<f64>| {
        let mut twins = Twins::new(names(), TwinSettings::default()).unwrap();
        differences.into_iter().for_each(|d| seed(&mut twins, vec![2.0, 2.0 + d], 1));
        twins.verdicts()[0]
    };
    let around = |mean: f64, sd: f64, n| (0..n).map(|i| mean + sd * normal(3, i)).collect::<Vec<f64>>();
    assert_eq!(judge(around(-0.1, 0.01, 10)).verdict, Some(Verdict::Better));
    assert_eq!(judge(around(0.1, 0.01, 10)).verdict, Some(Verdict::Worse));
    assert_eq!(judge(around(0.001, 0.002, 20)).verdict, Some(Verdict::Equivalent));
    let few = judge(around(0.05, 0.04, 5));
    let Some(Verdict::Undecided { more: Some(n) }) = few.verdict else { panic!("{few:?}") };
    assert!((1..60).contains(&n), "{n}");
    assert_ne!(judge(around(0.05, 0.04, 5 + 2 * n)).verdict, few.verdict, "it settles");
    let open = Some(Verdict::Undecided { more: None });
    assert_eq!(judge(vec![0.3]).verdict, open, "one seed says nothing of luck");
    assert_eq!(judge(vec![0.0]).verdict, open, "and neither does one that is equal to the last bit");
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
    let order = Order { seed, cut: CONTEXT.into(), fixed_cuts: true, marked: 0.0, alike: 0, synthetic: None };
    let (rows, order) = order.epoch(&train, 0);
    for step in 0..steps {
        let visits =
            order[2 * step..2 * step + 2].iter().map(|&i| rows.visit(&train, i as usize, 0)).collect();
        let masked = arms.prepare(&tiny.model, &Batch { visits }, At { step, steps }).unwrap();
        let loss = arms.masked_loss(&tiny.model, &masked).unwrap();
        optimizer.step(&backward(&loss.loss).unwrap(), rate, 1.0).unwrap();
    }
    document_losses(&tiny.model, &held, CONTEXT, usize::MAX, &mut |_, _| Ok(true)).unwrap().unwrap()
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
            twins.compared[0].differently = 1;
            let documents = twins.running[0][0].documents;
            apart += usize::from(documents.low > 0.0 || documents.high < 0.0);
            twins.finish_seed();
        }
        told += usize::from(matches!(twins.verdicts()[0].verdict, Some(Verdict::Better | Verdict::Worse)));
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
        assert_eq!((judged.interval.value, judged.verdict), (0.0, None), "nothing was compared");
        worse.compared[0].differently = 1;
        worse.evaluated(18, &[first, run(&heavy, seed, 18, 1e-2)]).unwrap();
        worse.finish_seed();
    }
    let judged = worse.verdicts()[0];
    assert_eq!(judged.verdict, Some(Verdict::Worse), "{judged:?} {:?}", worse.differences((0, 1)));
    assert_eq!(worse.seeds.len(), 6);
}

#[test]
fn losses_of_documents_are_those_of_the_whole_and_must_be_paired() {
    let tiny = tiny(3);
    let held = corpus(5, 2);
    let losses =
        document_losses(&tiny.model, &held, CONTEXT, usize::MAX, &mut |_, _| Ok(true)).unwrap().unwrap();
    assert_eq!(losses.iter().map(|l| l.labels).collect::<Vec<_>>(), [39; 5]);
    let tokens = held.document(3);
    let parts: f64 = [0..32, 32..39]
        .into_iter()
        .map(|part| {
            let n = part.len() as f64;
            let (x, y) = (&tokens[part.clone()], &tokens[part.start + 1..part.end + 1]);
            let visit =
                Visit { sequence: 0, pass: 0, inputs: x.to_vec(), targets: y.to_vec(), starts: Vec::new() };
            let mean = plain_loss(&tiny.model, &Batch { visits: vec![visit] }).unwrap();
            f64::from(mean.to_scalar::<f32>().unwrap()) * n
        })
        .sum();
    assert!((losses[3].nats - parts).abs() < 1e-3);
    let mut twins = Twins::new(names(), TwinSettings::default()).unwrap();
    assert!(twins.evaluated(0, &[losses.clone(), losses[..4].to_vec()]).is_err());
}
