use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Var};

use super::scores::to_bytes;
use super::*;
use crate::attention::score::score_source;
use crate::attention::types::{Reduction, ScoreSettings};
use crate::mask::draw::{Draws, Stream};
use crate::mask::types::{Replacement, State};
use crate::model::forward::Reuse;
use crate::model::{Config, Input, rotary};
use crate::tensor::cross_entropy::IGNORE;
use crate::tensor::gradients::backward;
use crate::train::batch::Visit;
use crate::train::init;
use crate::train::spec::MaskSchedule;

const VOCAB: usize = 60;
const T: usize = 64;

pub(crate) struct Tiny {
    pub model: Model,
    pub vars: Vec<(String, Var)>,
}

/// A model of `n_layer` layers with weights large enough that attention is not uniform.
pub(crate) fn tiny(n_layer: usize) -> Tiny {
    let json = format!(
        r#"{{"vocab_size": {VOCAB}, "n_positions": {T}, "n_embd": 16, "n_head": 2, "n_layer": {n_layer},
            "initializer_range": 0.4}}"#
    );
    tiny_of(&Config::parse(json.as_bytes(), "config.json").unwrap())
}

fn tiny_of(config: &Config) -> Tiny {
    let tensors = init::weights(config, 3, &Device::Cpu).unwrap();
    let mut vars: Vec<(String, Var)> =
        tensors.into_iter().map(|(name, t)| (name, Var::from_tensor(&t).unwrap())).collect();
    vars.sort_by(|a, b| a.0.cmp(&b.0));
    let shared: HashMap<_, _> = vars.iter().map(|(n, v)| (n.clone(), v.as_tensor().clone())).collect();
    Tiny { model: Model::from_tensors(config, &shared, &Device::Cpu).unwrap(), vars }
}

fn text(n: usize) -> Vec<u32> {
    let draws = Draws::new(11);
    // Squared, so that some ids are common and some rare.
    (0..n).map(|i| (draws.unit(Stream::Shuffle, i).powi(2) * (VOCAB - 1) as f64) as u32).collect()
}

pub(crate) fn lexicon() -> Arc<Lexicon> {
    let bytes = |id: u32| if id.is_multiple_of(3) { b" w".to_vec() } else { b"x".to_vec() };
    Arc::new(Lexicon::from_bytes(VOCAB, Some(VOCAB as u32 - 1), &text(4000), bytes))
}

pub(crate) fn visit(sequence: u32, pass: u32, len: usize) -> Visit {
    let all = text(4000);
    let from = sequence as usize * 37 % 3000;
    Visit {
        sequence,
        pass,
        inputs: all[from..from + len].to_vec(),
        targets: all[from + 1..from + len + 1].to_vec(),
        starts: Vec::new(),
    }
}

pub(crate) fn batch(sequences: std::ops::Range<u32>, pass: u32, len: usize) -> Batch {
    Batch { visits: sequences.map(|s| visit(s, pass, len)).collect() }
}

pub(crate) fn spec(arm: Arm, op: Op, rate: f64) -> MaskingSpec {
    let score = ScoreSettings::plain_alpha(Reduction::Corrected);
    MaskingSpec { arm, op, rate, score, ..MaskingSpec::default() }
}

pub(crate) fn arms(spec: &MaskingSpec, model: &Model, context: usize) -> Arms {
    let setup =
        ArmSetup { spec, model, context, lexicon: lexicon(), seed: 5, calibration: None, mask_row: None };
    Arms::new(setup).unwrap()
}

use self::arms as tests_arms;

fn loss_of(arms: &mut Arms, model: &Model, batch: &Batch) -> (MaskedBatch, MaskedLoss) {
    let masked = arms.prepare(model, batch, At::NONE).unwrap();
    let loss = arms.masked_loss(model, &masked).unwrap();
    (masked, loss)
}

const OPS: [Op; 5] = [Op::Replace, Op::Hide, Op::Drop, Op::Skip, Op::Keep];

#[test]
fn every_combination_offered_has_its_average_rate_and_a_finite_loss() {
    let tiny = tiny(3);
    let (steps, size, len) = (20, 4, T);
    let mut offered = 0;
    for &arm in Arm::ALL {
        for op in OPS {
            for &schedule in MaskSchedule::ALL {
                for cool_down in [0.0, 0.1] {
                    let spec = MaskingSpec { schedule, cool_down, ..spec(arm, op, 0.15) };
                    if let Err(refusal) = spec.check() {
                        assert!(arm == Arm::DynPair, "{arm} {op} {schedule}: {refusal}");
                        continue;
                    }
                    offered += 1;
                    let mut arms = arms(&spec, &tiny.model, len);
                    let (mut sum, mut variance, mut n) = (0.0, 0.0, 0.0);
                    for step in 0..steps {
                        // 40 sequences, each visited twice.
                        let from = (step % 10 * size) as u32;
                        let batch = batch(from..from + size as u32, (step / 10) as u32, len);
                        let masked = arms.prepare(&tiny.model, &batch, At { step, steps }).unwrap();
                        // The pass costs most of this test: the sum over schedules sees every kind of batch.
                        if step % 3 == 0 {
                            let loss = arms.masked_loss(&tiny.model, &masked).unwrap();
                            assert!(loss.value.is_finite(), "{arm} {op} {schedule} step {step}");
                        }
                        sum += masked.realised.rate();
                        n = masked.realised.eligible as f64 / size as f64;
                        let twice = if matches!(arm, Arm::Static1 | Arm::StaticAttn) { 2.0 } else { 1.0 };
                        variance += match arm {
                            Arm::DynPair => (2.0 * masked.rate).powi(2) / 12.0 / size as f64,
                            _ if schedule == MaskSchedule::PerSequence => {
                                let sequences = twice * (2.0 * masked.rate).powi(2) / 12.0 / size as f64;
                                sequences + twice * masked.rate * (1.0 - masked.rate) / (size as f64 * n)
                            }
                            _ => twice * masked.rate * (1.0 - masked.rate) / (size as f64 * n),
                        };
                    }
                    let promised = if arm == Arm::None { 0.0 } else { 0.15 };
                    let got = sum / steps as f64;
                    // Ranks and exact counts hold to within one token.
                    let slack = 3.0 * variance.sqrt() / steps as f64 + 0.5 / n;
                    assert!(
                        (got - promised).abs() <= slack,
                        "{arm} {op} {schedule} {cool_down}: {got:.4} for {promised}, slack {slack:.4}"
                    );
                }
            }
        }
    }
    // dyn-pair draws rates of its own.
    assert_eq!(offered, (8 * 5 + 2) * 8 + 8 * 5 * 2);
}

#[test]
fn keep_is_no_mask_to_the_last_bit() {
    let tiny = tiny(3);
    let data = batch(0..3, 0, T);
    let gradients = |spec: &MaskingSpec| {
        let mut arms = arms(spec, &tiny.model, T);
        let (masked, loss) = loss_of(&mut arms, &tiny.model, &data);
        let grads = backward(&loss.loss).unwrap();
        let all: Vec<Vec<f32>> = tiny
            .vars
            .iter()
            .map(|(_, v)| grads.get(v.as_tensor()).unwrap().flatten_all().unwrap().to_vec1().unwrap())
            .collect();
        (masked.realised.selected, loss.value, all)
    };
    let plain = plain_loss(&tiny.model, &data).unwrap();
    let none = gradients(&spec(Arm::None, Op::Replace, 0.3));
    assert_eq!(none.1, f64::from(plain.to_scalar::<f32>().unwrap()));
    for arm in [Arm::DynRand, Arm::DynAttnHigh, Arm::DynPair] {
        let keep = gradients(&spec(arm, Op::Keep, 0.3));
        assert!(keep.0 > 0, "{arm}");
        assert_eq!((keep.1, keep.2), (none.1, none.2.clone()), "{arm}");
    }
}

/// The mean loss of the exploring pass on each sequence's plan, label by label.
fn explored(model: &Model, masked: &MaskedBatch) -> f64 {
    let (mut sum, mut n) = (0.0, 0);
    for (b, plan) in masked.plans.iter().enumerate() {
        let trace = model.run(Arc::new(plan.0.input.clone()), Reuse::default()).unwrap();
        for r in 0..plan.0.kept.len() {
            let label = masked.labels[b * masked.rows + r];
            if label != IGNORE {
                sum -= f64::from(model.log_probabilities(&trace, r).unwrap()[label as usize]);
                n += 1;
            }
        }
    }
    sum / n as f64
}

#[test]
fn a_batch_is_what_the_exploring_pass_does_with_each_sequence() {
    // The second family's blocks read the positions of their rows.
    for tiny in [tiny(4), tiny_of(&rotary::config(4, VOCAB, T))] {
        compares_with_exploring(&tiny);
    }
}

fn compares_with_exploring(tiny: &Tiny) {
    let gap = |arms: &mut Arms, gap: bool| {
        if gap {
            arms.settings.drop_positions = crate::mask::types::DropPositions::Gap;
        }
    };
    for op in [Op::Drop, Op::Hide, Op::Skip] {
        for (exact_k, gaps) in [(true, false), (false, false), (false, true)] {
            let mut arms = arms(&spec(Arm::DynRand, op, 0.4), &tiny.model, T);
            arms.settings.exact_k = exact_k;
            gap(&mut arms, gaps);
            let (masked, loss) = loss_of(&mut arms, &tiny.model, &batch(0..3, 2, T));
            let lengths: Vec<usize> = masked.kept.iter().map(Vec::len).collect();
            match op {
                Op::Drop => {
                    assert!(masked.rows < T && masked.rows == *lengths.iter().max().unwrap());
                    // Without exact counts the sequences have different lengths, and the padding must not count.
                    assert!(exact_k || lengths.iter().any(|n| *n != masked.rows), "{lengths:?}");
                    let input = &masked.plans[0].0.input;
                    let ids: Vec<u32> = masked.kept[0].iter().map(|&i| visit(0, 2, T).inputs[i]).collect();
                    assert_eq!(input.ids, ids, "the shortened sequence");
                    assert_eq!(input.position_ids.is_some(), gaps);
                }
                Op::Skip => assert!(masked.middle.as_ref().unwrap().rows < T),
                _ => assert!(masked.bias.is_some()),
            }
            let want = explored(&tiny.model, &masked);
            assert!((loss.value - want).abs() < 2e-5, "{op} {exact_k} {gaps}: {} {want}", loss.value);
        }
    }
}

#[test]
fn labels_are_the_true_next_tokens_even_where_those_were_dropped() {
    let tiny = tiny(3);
    let mut arms = arms(&spec(Arm::DynRand, Op::Drop, 0.5), &tiny.model, T);
    let data = batch(4..6, 0, T);
    let masked = arms.prepare(&tiny.model, &data, At::NONE).unwrap();
    for (b, kept) in masked.kept.iter().enumerate() {
        assert!(kept.windows(2).any(|w| w[1] != w[0] + 1), "something was dropped");
        for (r, &i) in kept.iter().enumerate() {
            assert_eq!(masked.labels[b * masked.rows + r], data.visits[b].targets[i]);
        }
    }
    assert_eq!(masked.token_layers(3), masked.kept.iter().map(|k| 3 * k.len() as u64).sum::<u64>());
}

#[test]
fn a_hidden_token_changes_no_other_row_by_a_bit() {
    let tiny = tiny(3);
    let mut arms = arms(&spec(Arm::DynRand, Op::Hide, 0.3), &tiny.model, T);
    let mut data = batch(0..1, 0, T);
    let masked = arms.prepare(&tiny.model, &data, At::NONE).unwrap();
    let hidden = masked.decisions[0].masked();
    assert!(hidden.len() > 5);
    let before = token_losses(&arms, &tiny.model, &masked).unwrap();
    for &i in &hidden {
        data.visits[0].inputs[i] = (data.visits[0].inputs[i] + 7) % (VOCAB as u32 - 1);
    }
    let masked = arms.prepare(&tiny.model, &data, At::NONE).unwrap();
    let after = token_losses(&arms, &tiny.model, &masked).unwrap();
    for i in 0..T {
        assert_eq!(before[0][i] == after[0][i], !hidden.contains(&i), "row {i}");
    }
    // In the maps themselves the weights are 0, and rows still sum to 1.
    let trace = tiny.model.run(Arc::new(masked.plans[0].0.input.clone()), Reuse::default()).unwrap();
    let mut map = vec![0f32; T * T];
    trace.map_into(1, 0, &mut map).unwrap();
    for t in 0..T {
        assert!(hidden.iter().all(|&i| i >= t || map[t * T + i] == 0.0));
        assert!((map[t * T..(t + 1) * T].iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn pairs_cut_single_edges_and_every_sequence_has_a_rate_of_its_own() {
    let tiny = tiny(3);
    let mut arms = arms(&spec(Arm::DynPair, Op::Hide, 0.3), &tiny.model, T);
    let (masked, loss) = loss_of(&mut arms, &tiny.model, &batch(0..6, 1, T));
    assert!((loss.value - explored(&tiny.model, &masked)).abs() < 2e-5);
    assert_eq!(
        (loss.masked_token_loss, loss.unmasked_token_loss),
        (None, Some(loss.value)),
        "no token was masked, only edges"
    );
    let cut: Vec<usize> = masked
        .plans
        .iter()
        .map(|p| {
            (0..T * T).filter(|&k| k % T < k / T && !p.0.input.visibility.visible(T, k / T, k % T)).count()
        })
        .collect();
    assert_eq!(cut.iter().sum::<usize>(), masked.realised.selected);
    assert!(cut.iter().max().unwrap() > &(2 * cut.iter().min().unwrap()), "{cut:?}");
}

#[test]
fn masks_depend_on_their_address_alone() {
    let tiny = tiny(3);
    for arm in [Arm::Static1, Arm::Static10, Arm::DynRand, Arm::StaticAttn, Arm::DynSalient, Arm::DynPair] {
        let op = if arm == Arm::DynPair { Op::Hide } else { Op::Replace };
        let spec = MaskingSpec { replacement: Replacement::Unigram, ..spec(arm, op, 0.3) };
        let mut one = arms(&spec, &tiny.model, T);
        let mut two = arms(&spec, &tiny.model, T);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let whole = one.prepare(&tiny.model, &batch(0..4, 3, T), At::NONE).unwrap();
        let alone = pool.install(|| two.prepare(&tiny.model, &batch(2..3, 3, T), At::NONE).unwrap());
        assert_eq!(whole.decisions[2], alone.decisions[0], "{arm}");
        assert_eq!(whole.ids[2 * T..3 * T], alone.ids[..], "{arm}: replacing tokens too");
        assert_eq!(whole.plans[2].0, alone.plans[0].0, "{arm}");
        let at = |arms: &mut Arms, pass| {
            let masked = arms.prepare(&tiny.model, &batch(0..1, pass, T), At::NONE).unwrap();
            (masked.decisions[0].masked(), masked.plans[0].0.input.visibility.clone())
        };
        let (first, second, eleventh) = (at(&mut one, 0), at(&mut one, 1), at(&mut one, 10));
        let fixed = matches!(arm, Arm::Static1 | Arm::StaticAttn);
        assert_eq!(first == second, fixed, "{arm}");
        assert_eq!(first == eleventh, fixed || arm == Arm::Static10, "{arm}");
    }
}

#[test]
fn gradients_reach_the_mask_row_and_are_those_of_finite_differences() {
    let tiny = tiny(3);
    let spec = spec(Arm::DynRand, Op::Replace, 0.4);
    let mut arms = arms(&spec, &tiny.model, T);
    let data = batch(0..2, 0, T);
    let (name, row) = arms.vars().remove(0);
    assert_eq!((name.as_str(), row.dims()), (MASK_ROW, &[16][..]));
    let mean: Vec<f32> = mean_embedding(&tiny.model.embedding.tensor().unwrap()).unwrap().to_vec1().unwrap();
    assert_eq!(row.to_vec1::<f32>().unwrap(), mean, "starts as the mean of the embeddings");
    let (masked, loss) = loss_of(&mut arms, &tiny.model, &data);
    let grads = backward(&loss.loss).unwrap();
    let grad: Vec<f32> = grads.get(row.as_tensor()).unwrap().to_vec1().unwrap();
    for (name, var) in &tiny.vars {
        let g = grads.get(var.as_tensor()).unwrap().sqr().unwrap().sum_all().unwrap();
        assert!(g.to_scalar::<f32>().unwrap() > 0.0, "{name}");
    }
    for k in [0, 7] {
        let at = |step: f32| {
            let mut moved = mean.clone();
            moved[k] += step;
            row.set(&Tensor::new(moved.as_slice(), &Device::Cpu).unwrap()).unwrap();
            let masked_loss = arms_loss(&spec, &tiny.model, &masked, &row);
            row.set(&Tensor::new(mean.as_slice(), &Device::Cpu).unwrap()).unwrap();
            masked_loss
        };
        let slope = (at(0.02) - at(-0.02)) / 0.04;
        assert!((slope - f64::from(grad[k])).abs() < 2e-3 + 0.02 * slope.abs(), "{slope} {}", grad[k]);
    }
    // Own and other losses add up, and are the means over the right rows.
    let own = masked.decisions.iter().map(|d| d.selected).sum::<usize>();
    assert_eq!((loss.masked_tokens, loss.unmasked_tokens), (own, 2 * T - own));
    let (a, b) = (loss.masked_token_loss.unwrap(), loss.unmasked_token_loss.unwrap());
    let mean = (a * own as f64 + b * (2 * T - own) as f64) / (2 * T) as f64;
    assert!((loss.value - mean).abs() < 1e-5);
    let losses = token_losses(&arms, &tiny.model, &masked).unwrap();
    let of_own: f64 = (0..2)
        .flat_map(|b| masked.decisions[b].masked().into_iter().map(move |i| (b, i)))
        .map(|(b, i)| losses[b][i].unwrap())
        .sum();
    assert!((of_own / own as f64 - a).abs() < 1e-4);
}

fn arms_loss(spec: &MaskingSpec, model: &Model, masked: &MaskedBatch, row: &Var) -> f64 {
    let setup = ArmSetup {
        spec,
        model,
        context: T,
        lexicon: lexicon(),
        seed: 5,
        calibration: None,
        mask_row: Some(row.clone()),
    };
    Arms::new(setup).unwrap().masked_loss(model, masked).unwrap().value
}

#[test]
fn the_training_pass_sees_the_attention_that_the_exploring_pass_sees() {
    let tiny = tiny(4);
    for (op, contribution) in [(Op::Keep, false), (Op::Hide, true), (Op::Skip, false), (Op::Drop, true)] {
        let mut spec = spec(Arm::DynAttnHigh, op, 0.3);
        spec.score.contribution = contribution;
        let mut arms = arms(&spec, &tiny.model, T);
        arms.settings.exact_k = false;
        let (masked, _) = loss_of(&mut arms, &tiny.model, &batch(0..2, 0, T));
        for b in 0..2 {
            let trace = tiny.model.run(Arc::new(masked.plans[b].0.input.clone()), Reuse::default()).unwrap();
            let scored = score_source(&trace, &spec.score, None);
            let want = to_bytes(&scored.scores, scored.sinks.positions());
            let got: Vec<u8> = masked.kept[b].iter().map(|&i| arms.memory.bytes[&(b as u32)][i]).collect();
            // Sums in another order may swap neighbours in rank.
            let near = got.iter().zip(&want).filter(|(a, b)| a.abs_diff(**b) <= 8).count();
            assert!(near == want.len(), "{op}: {got:?} {want:?}");
        }
    }
}

#[test]
fn attention_arms_mask_what_is_read_most_or_least() {
    let tiny = tiny(3);
    for (arm, from) in [
        (Arm::DynAttnHigh, ScoreFrom::Fresh),
        (Arm::DynAttnLow, ScoreFrom::Fresh),
        (Arm::DynAttnHigh, ScoreFrom::LastVisit),
        (Arm::StaticAttn, ScoreFrom::LastVisit),
    ] {
        let spec = MaskingSpec { score_from: from, ..spec(arm, Op::Keep, 0.3) };
        let mut arms = arms(&spec, &tiny.model, T);
        let first = loss_of(&mut arms, &tiny.model, &batch(0..1, 0, T)).0;
        let has_scores = !(from == ScoreFrom::LastVisit && arm == Arm::DynAttnHigh);
        assert_eq!(first.decisions[0].positions[5].score.is_some(), has_scores, "{arm}: first visit");
        let masked = arms.prepare(&tiny.model, &batch(0..1, 1, T), At::NONE).unwrap();
        let trace = tiny.model.run(Arc::new(Input::plain(visit(0, 1, T).inputs)), Reuse::default()).unwrap();
        let scores = score_source(&trace, &spec.score, None).scores;
        let mean = |state: fn(State) -> bool| {
            let of: Vec<f64> = (0..T)
                .filter(|&i| state(masked.decisions[0].positions[i].state))
                .map(|i| scores[i].unwrap())
                .collect();
            of.iter().sum::<f64>() / of.len() as f64
        };
        let (masked_mean, passed) = (mean(|s| s == State::Masked), mean(|s| s == State::Score));
        assert_eq!(masked_mean > passed, arm != Arm::DynAttnLow, "{arm} {from}: {masked_mean} {passed}");
    }
}

#[test]
fn a_run_resumed_with_its_memory_decides_the_same() {
    let tiny = tiny(3);
    let spec = spec(Arm::DynAttnHigh, Op::Replace, 0.3);
    let mut first = arms(&spec, &tiny.model, T);
    loss_of(&mut first, &tiny.model, &batch(0..3, 0, T));
    let mut resumed = arms(&spec, &tiny.model, T);
    resumed.restore(ScoreMemory::from_bytes(&first.memory().to_bytes()).unwrap());
    let decide = |arms: &mut Arms| arms.prepare(&tiny.model, &batch(0..3, 1, T), At::NONE).unwrap().decisions;
    assert_eq!(decide(&mut first), decide(&mut resumed));
}

#[test]
fn sliders_move_from_the_next_batch_and_refuse_what_cannot_be() {
    let tiny = tiny(3);
    let spec = MaskingSpec { schedule: MaskSchedule::RampUp, ..spec(Arm::DynRand, Op::Hide, 0.2) };
    let mut arms = arms(&spec, &tiny.model, T);
    let half = At { step: 0, steps: 1 };
    let before = arms.prepare(&tiny.model, &batch(0..2, 0, T), half).unwrap();
    arms.set_sliders(0.5, 0.9).unwrap();
    let after = arms.prepare(&tiny.model, &batch(0..2, 0, T), half).unwrap();
    assert!((after.rate - 0.45).abs() < 1e-9 && after.realised.selected > before.realised.selected);
    let masked: Vec<usize> = before.decisions[0].masked();
    assert!(masked.iter().all(|i| after.decisions[0].masked().contains(i)), "the same draws: only adds");
    assert!(
        matches!(arms.set_sliders(0.1, 0.9), Err(MaskingRefusal::Peak { .. })),
        "1.62 at the top of the ramp"
    );
    assert_eq!(arms.settings().threshold, 0.5, "nothing has changed");
    let cell = MaskingSpec { schedule: MaskSchedule::Constant, ..spec };
    let mut arms = tests_arms(&cell, &tiny.model, T);
    arms.set_cell(0.4, Polarity::Low, Op::Drop).unwrap();
    assert_eq!((arms.spec.arm, arms.settings().op), (Arm::DynAttnLow, Op::Drop));
    assert_eq!(arms.set_cell(0.4, Polarity::Low, Op::Replace), Err(MaskingRefusal::NoMaskRow));
}

/// `cargo test --release --lib cut_the_time_of_a_step -- --ignored --nocapture`
#[test]
#[ignore = "measures time: wants a quiet machine"]
fn drop_and_skip_cut_the_time_of_a_step() {
    let json = r#"{"vocab_size": 4096, "n_positions": 256, "n_embd": 256, "n_head": 4, "n_layer": 8}"#;
    let config = Config::parse(json.as_bytes(), "config.json").unwrap();
    let tensors = init::weights(&config, 3, &Device::Cpu).unwrap();
    let vars: HashMap<_, _> =
        tensors.iter().map(|(n, t)| (n.clone(), Var::from_tensor(t).unwrap().as_tensor().clone())).collect();
    let model = Model::from_tensors(&config, &vars, &Device::Cpu).unwrap();
    let data = batch(0..2, 1, 256);
    let mut best =
        [(Arm::None, Op::Keep), (Arm::DynRand, Op::Drop), (Arm::DynRand, Op::Skip), (Arm::DynRand, Op::Hide)]
            .map(|(arm, op)| (arms(&spec(arm, op, 0.5), &model, 256), f64::INFINITY));
    for _ in 0..9 {
        for (arms, best) in &mut best {
            let start = std::time::Instant::now();
            let (_, loss) = loss_of(arms, &model, &data);
            backward(&loss.loss).unwrap();
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    let [plain, drop, skip, hide] = best.map(|(_, seconds)| seconds * 1e3);
    println!("plain {plain:.1} ms, drop {drop:.1}, skip {skip:.1}, hide {hide:.1}");
    assert!(
        plain / drop >= 1.6 && plain / skip >= 1.25,
        "drop {:.2}, skip {:.2}",
        plain / drop,
        plain / skip
    );
}
