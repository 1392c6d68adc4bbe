use std::sync::Arc;

use super::*;
use crate::mask::draw::{Draws, Stream};
use crate::mask::types::{MaskSettings, Op, Protect, Replacement};
use crate::train::init;
use crate::train::spec::Arm;

const VOCAB: usize = 40;

fn start() -> ClassifierStart {
    let json = format!(
        r#"{{"vocab_size": {VOCAB}, "n_positions": 32, "n_embd": 16, "n_head": 2, "n_layer": 2, "initializer_range": 0.2}}"#
    );
    let config = Config::parse(json.as_bytes(), "config.json").unwrap();
    let tensors = init::weights(&config, 3, &Device::Cpu).unwrap();
    let lexicon = Lexicon::from_bytes(VOCAB, None, &[1, 2, 3], |_| b" w".to_vec());
    ClassifierStart {
        config,
        tensors,
        device: Device::Cpu,
        lexicon: Arc::new(lexicon),
        calibration: None,
        classes: 3,
    }
}

/// Texts whose class is the third of the vocabulary that most of their ids come from.
fn texts(n: usize, seed: u64) -> Vec<LabelledText> {
    let one = |i: usize| {
        let draws = Draws { sequence: i as u32, ..Draws::new(seed) };
        let label = (i % 3) as u32;
        let id = |at: usize| {
            let own = draws.unit(Stream::Choice, at) < 0.6;
            let third = if own { label as usize } else { draws.below(Stream::Op, at, 3) };
            (third * 13 + draws.below(Stream::Replacement, at, 13)) as u32
        };
        LabelledText { ids: (0..6 + i % 9).map(id).collect(), label }
    };
    (0..n).map(one).collect()
}

fn spec(arm: Arm, learner: Learner) -> ClassifierSpec {
    let rate = 0.25;
    let policy = MaskSettings {
        threshold: 1.0 - rate / 0.5,
        probability: 0.5,
        op: Op::Replace,
        replacement: Replacement::Mean,
        exact_k: true,
        protect: Protect { last: 1, ..Protect::default() },
        ..MaskSettings::default()
    };
    let masking = MaskingSpec {
        arm,
        rate,
        replacement: Replacement::Mean,
        policy: Some(policy),
        ..MaskingSpec::default()
    };
    // A head on a random model has less to read.
    let (learning_rate, passes) = if learner == Learner::Head { (0.05, 40) } else { (0.005, 12) };
    ClassifierSpec { pool: Pool::Mean, learner, passes, batch_size: 8, context: 32, learning_rate, masking }
}

fn run(spec: &ClassifierSpec, seed: u64) -> Classified {
    classify(&start(), spec, (&texts(90, 1), &texts(60, 2)), seed, &mut || true).unwrap().unwrap()
}

#[test]
fn every_arm_learns_what_words_tell_masks_at_its_rate_and_repeats() {
    let wanted: Vec<u32> = texts(60, 2).iter().map(|t| t.label).collect();
    for learner in [Learner::Head, Learner::All] {
        let mut rates = Vec::new();
        for arm in [Arm::None, Arm::Static1, Arm::StaticAttn, Arm::DynRand, Arm::DynAttnHigh] {
            let spec = spec(arm, learner);
            let got = run(&spec, 7);
            let right = got.said.iter().zip(&wanted).filter(|(a, b)| a == b).count();
            // By chance 20, with a standard deviation of 3.7.
            let least = if learner == Learner::Head { 32 } else { 40 };
            assert!(right >= least, "{arm} {learner}: {right} of 60");
            if arm != Arm::None {
                rates.push(got.rate);
            }
            if arm == Arm::DynAttnHigh {
                assert_eq!(got, run(&spec, 7));
                assert_ne!(got.loss, run(&spec, 8).loss);
            }
        }
        assert!(rates.iter().all(|r| (r - rates[0]).abs() < 1e-9 && (0.2..0.3).contains(r)), "{rates:?}");
    }
}

#[test]
fn every_variable_gets_a_gradient_and_a_frozen_model_has_none() {
    let (start, texts) = (start(), texts(8, 1));
    let picked: Vec<usize> = (0..8).collect();
    for learner in [Learner::Head, Learner::All] {
        let mut spec = spec(Arm::DynRand, learner);
        spec.masking.replacement = Replacement::Mask;
        spec.masking.policy.as_mut().unwrap().replacement = Replacement::Mask;
        let mut one = Classifier::new(&start, &spec, 1).unwrap();
        let before = one.model.tensors().unwrap()["h.0.mlp.c_fc.weight"].to_vec2::<f32>().unwrap();
        let batch = Batch { visits: picked.iter().map(|&i| visit(i as u32, 0, &texts[i].ids)).collect() };
        let masked = one.arms.prepare(&one.model, &batch, At { step: 0, steps: 10 }).unwrap();
        let states = one.arms.masked_states(&one.model, &masked).unwrap();
        let rows: Vec<usize> = masked.kept.iter().map(Vec::len).collect();
        let labels: Vec<u32> = texts.iter().map(|t| t.label).collect();
        let loss =
            cross_entropy(&pooled(&states, &rows, Pool::Mean).unwrap(), one.head.as_tensor(), &labels, true);
        let applied = one.optimizer.step(&backward(&loss.unwrap()).unwrap(), 0.01, 0.0).unwrap().unwrap();
        assert!(one.optimizer.slots.len() >= if learner == Learner::All { 20 } else { 2 });
        assert_eq!(applied.without_gradient, Vec::<String>::new(), "{learner}");
        let after = one.model.tensors().unwrap()["h.0.mlp.c_fc.weight"].to_vec2::<f32>().unwrap();
        assert_eq!(before == after, learner == Learner::Head);
    }
}

#[test]
fn gradients_of_the_head_are_those_of_finite_differences() {
    let values = |n: usize, seed: u64| uniform(n, 1.0, seed, 0);
    let states = Tensor::from_vec(values(2 * 5 * 4, 1), (2, 5, 4), &Device::Cpu).unwrap();
    for pool in [Pool::Mean, Pool::Last] {
        let read = pooled(&states, &[5, 3], pool).unwrap();
        let head = Var::from_vec(values(15, 2), (3, 5), &Device::Cpu).unwrap();
        let loss = |head: &Tensor| cross_entropy(&read, head, &[2, 0], true).unwrap();
        let first = loss(head.as_tensor());
        let found = backward(&first).unwrap();
        let gradient = found.get(head.as_tensor()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (i, got) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut all = values(15, 2);
                all[i] += by;
                let head = Tensor::from_vec(all, (3, 5), &Device::Cpu).unwrap();
                loss(&head).to_scalar::<f32>().unwrap()
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((slope - got).abs() < 2e-3, "{pool} {i}: {got} instead of {slope}");
        }
    }
}

#[test]
fn what_a_head_reads_is_the_mean_or_the_last_of_the_texts_own_rows() {
    let states = Tensor::from_vec(vec![1f32, 2.0, 3.0, 4.0, 9.0, 9.0], (1, 3, 2), &Device::Cpu).unwrap();
    let read = |pool| pooled(&states, &[2], pool).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(read(Pool::Mean), [[2.0, 3.0, 1.0]]);
    assert_eq!(read(Pool::Last), [[3.0, 4.0, 1.0]]);
}

#[test]
fn a_pass_has_every_text_once_and_giving_up_ends_it() {
    let texts = texts(50, 1);
    let mut all: Vec<usize> = batches(&texts, 8, (3, 1)).concat();
    assert_ne!(all, batches(&texts, 8, (3, 2)).concat());
    all.sort_unstable();
    assert_eq!(all, (0..50).collect::<Vec<_>>());
    let spec = spec(Arm::None, Learner::Head);
    assert_eq!(classify(&start(), &spec, (&texts, &texts), 1, &mut || false).unwrap(), None);
    assert!(classify(&start(), &spec, (&[], &texts), 1, &mut || true).is_err());
    let shares: Vec<f64> = (0..20).map(|step| share(At { step, steps: 20 })).collect();
    assert_eq!((shares[0], shares[1]), (0.5, 1.0));
    assert!(shares[2..].windows(2).all(|w| w[1] < w[0]) && shares[19] > 0.0);
}
