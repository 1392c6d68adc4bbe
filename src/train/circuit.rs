//! The heads that copy: how each scores on repeated random tokens while a run goes on, the step at which each passes the mark,
//! and what copying costs without them. Runs on the trainer's thread; a function of the model, a seed and held-out sequences.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::data::Corpus;
use super::evaluate::{Between, evaluate};
use crate::eval::probe;
use crate::model::family::ParameterRole;
use crate::model::{Model, ModelError};

/// The score that a head passes when its circuit stands.
pub const PASSED: f64 = 0.4;
/// Texts that heads are scored on, and the random tokens of each, which come twice.
const TEXTS: usize = 16;
const HALF: usize = 32;
/// Side of the pictures.
const SIDE: usize = 24;
/// Nats per token below chance from which a model copies at all.
const COPIES: f64 = 0.1;

/// What one head reads on random tokens that come twice, means over texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadScore {
    /// Attention on the token before.
    pub previous: f64,
    /// Attention on the token after the earlier copy.
    pub induction: f64,
    /// The map of the first text, max-pooled: its side, and its values row by row. For display only.
    #[serde(skip)]
    pub side: usize,
    #[serde(skip)]
    pub thumbnail: Vec<f32>,
}

/// The steps after which a head's scores were first at the mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadClock {
    pub previous: Option<usize>,
    pub induction: Option<usize>,
}

impl HeadClock {
    /// Whether any score of the head has passed.
    pub fn any(self) -> bool {
        self.previous.is_some() || self.induction.is_some()
    }
}

/// The heads after one step, layer by layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadsReport {
    pub step: usize,
    /// Heads of a layer.
    pub n_head: usize,
    pub heads: Vec<HeadScore>,
    pub passed: Vec<HeadClock>,
}

impl HeadsReport {
    /// The best head by a score: its number, and the score.
    pub fn best(&self, score: fn(&HeadScore) -> f64) -> Option<(usize, f64)> {
        self.heads.iter().map(score).enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Takes note of scores that have passed since the last look.
pub fn note(passed: &mut Vec<HeadClock>, step: usize, heads: &[HeadScore]) {
    passed.resize(heads.len(), HeadClock::default());
    for (passed, head) in passed.iter_mut().zip(heads) {
        let since = |known: &mut Option<usize>, score: f64| {
            if known.is_none() && score >= PASSED {
                *known = Some(step);
            }
        };
        since(&mut passed.previous, head.previous);
        since(&mut passed.induction, head.induction);
    }
}

/// What copying costs without some heads: their output is zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ablation {
    /// How many were taken out.
    pub heads: usize,
    /// Nats per token that can be copied.
    pub loss: f64,
    /// The loss that was added, as a share of what copying gains over chance; above 1 the model is confidently wrong.
    pub share: f64,
}

/// The circuit at the end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Circuit {
    /// Heads of a layer.
    pub n_head: usize,
    pub passed: Vec<HeadClock>,
    /// Nats per token of guessing among the ids, and of the model, where a token can be copied.
    pub chance: f64,
    pub loss: f64,
    /// Without the heads that have passed, and without all others; none where there are no such heads, or nothing is copied.
    pub clocked: Option<Ablation>,
    pub others: Option<Ablation>,
}

impl Circuit {
    /// What each group of heads is worth, for a person.
    pub fn sentences(&self) -> Vec<String> {
        if self.clocked.is_none() && self.others.is_none() {
            return vec!["nothing is copied yet, so no head can be missed".to_owned()];
        }
        let line = |group: Option<Ablation>, which: &str| match group {
            None => format!("no head is {which}"),
            Some(Ablation { heads, loss, share }) => format!(
                "without the {heads} heads {which}: copying loss {loss:.3}, {:.0} % of the gain over chance is gone",
                100.0 * share
            ),
        };
        vec![line(self.clocked, "that passed"), line(self.others, "that did not pass")]
    }
}

/// Scores of every head of `model`, on texts of ids below `vocabulary`.
///
/// # Errors
/// Numbers that are not finite.
pub fn scores(model: &Model, seed: u64, vocabulary: usize) -> Result<Vec<HeadScore>, ModelError> {
    let half = HALF.min(model.config.n_positions / 2).max(1);
    let mut sums = vec![HeadScore::default(); model.config.n_layer * model.config.n_head];
    for text in 0..TEXTS {
        let ids = probe::repeats(seed, text, (half, 2 * half), vocabulary);
        let side = if text == 0 { SIDE } else { 0 };
        for (sum, stats) in sums.iter_mut().zip(probe::heads(model, &ids, side)?) {
            sum.previous += stats.previous / TEXTS as f64;
            sum.induction += stats.induction.unwrap_or(0.0) / TEXTS as f64;
            if text == 0 {
                (sum.side, sum.thumbnail) = (stats.side, stats.thumbnail);
            }
        }
    }
    Ok(sums)
}

/// Takes the heads that have passed out of `model`, all at once, and then all others; losses on the labels of `held`, in
/// sequences of `context`. None where `between` gave up.
///
/// # Errors
/// Of the tensor library; what `between` reports.
pub fn circuit(
    model: &Model,
    passed: &[HeadClock],
    (held, context, chance): (&Corpus, usize, f64),
    between: Between,
) -> Result<Option<Circuit>, TrainError> {
    let sizes = (context, 32);
    let Some(loss) = evaluate(model, held, sizes, between)? else { return Ok(None) };
    let gain = chance - loss;
    let mut groups = [None, None];
    for (group, is_clocked) in groups.iter_mut().zip([true, false]) {
        let heads: Vec<usize> = (0..passed.len()).filter(|i| passed[*i].any() == is_clocked).collect();
        if heads.is_empty() || gain < COPIES {
            continue;
        }
        let Some(ablated) = evaluate(&without(model, &heads)?, held, sizes, between)? else {
            return Ok(None);
        };
        *group = Some(Ablation { heads: heads.len(), loss: ablated, share: (ablated - loss) / gain });
    }
    let [clocked, others] = groups;
    Ok(Some(Circuit { n_head: model.config.n_head, passed: passed.to_vec(), chance, loss, clocked, others }))
}

/// The model with nothing coming out of some heads: their rows of the matrix that leads back to the residual stream are zero.
fn without(model: &Model, heads: &[usize]) -> Result<Model, TrainError> {
    let config = &model.config;
    let (n_head, width) = (config.n_head, config.head_dim());
    let mut tensors = model.tensors()?;
    for parameter in
        config.named_parameters().into_iter().filter(|p| p.role == ParameterRole::AttentionOutput)
    {
        let Some(layer) = parameter.layer else { continue };
        let kept: Vec<f32> = (0..n_head * width)
            .map(|row| if heads.contains(&(layer * n_head + row / width)) { 0.0 } else { 1.0 })
            .collect();
        if let Some(matrix) = tensors.get_mut(&parameter.name) {
            let kept = Tensor::from_vec(kept, (n_head * width, 1), matrix.device())?;
            *matrix = matrix.broadcast_mul(&kept)?;
        }
    }
    Ok(Model::from_tensors(config, &tensors, &model.device)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::model::Config;
    use crate::train::init;

    fn model() -> Model {
        let json = br#"{"vocab_size": 40, "n_positions": 32, "n_embd": 16, "n_head": 4, "n_layer": 2,
            "initializer_range": 0.3}"#;
        let config = Config::parse(json, "config.json").unwrap();
        let tensors = init::weights(&config, 5, &Device::Cpu).unwrap();
        Model::from_tensors(&config, &tensors, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_clock_marks_the_first_step_alone() {
        let score = |previous, induction| HeadScore { previous, induction, ..HeadScore::default() };
        let mut passed = Vec::new();
        note(&mut passed, 10, &[score(0.39, 0.0), score(0.1, 0.4)]);
        note(&mut passed, 20, &[score(0.5, 0.1), score(0.1, 0.2)]);
        note(&mut passed, 30, &[score(0.6, 0.7), score(0.1, 0.9)]);
        let expected = [
            HeadClock { previous: Some(20), induction: Some(30) },
            HeadClock { previous: None, induction: Some(10) },
        ];
        assert_eq!(passed, expected);
    }

    #[test]
    fn a_head_without_its_rows_adds_nothing_and_the_others_stay() {
        let model = model();
        let all: Vec<usize> = (0..8).collect();
        let ids: Vec<u32> = (0..20).collect();
        let out = |model: &Model| {
            let x = model.embed_batch(&ids, 1).unwrap();
            model.forward_batch(&x, None, true).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let plain = out(&model);
        assert_eq!(out(&without(&model, &[]).unwrap()), plain);
        let single = out(&without(&model, &[5]).unwrap());
        assert_ne!(single, plain);
        // Without any head a position knows of no other: the first token's states do not change where the others do.
        let blind = without(&model, &all).unwrap();
        let mut other = ids.clone();
        other[3] = 39;
        let x = blind.embed_batch(&other, 1).unwrap();
        let moved = blind.forward_batch(&x, None, true).unwrap().flatten_all().unwrap();
        let (moved, before) = (moved.to_vec1::<f32>().unwrap(), out(&blind));
        assert_eq!(moved[4 * 16..], before[4 * 16..]);
        assert_ne!(moved[3 * 16..4 * 16], before[3 * 16..4 * 16]);
        // By hand: the same rows of zeros.
        let mut tensors = model.tensors().unwrap();
        let name = "h.1.attn.c_proj.weight";
        let mut rows = tensors[name].to_vec2::<f32>().unwrap();
        rows[4..8].iter_mut().for_each(|row| row.fill(0.0));
        tensors.insert(name.to_owned(), Tensor::new(rows, &Device::Cpu).unwrap());
        let by_hand = Model::from_tensors(&model.config, &tensors, &Device::Cpu).unwrap();
        assert_eq!(out(&by_hand), single);
    }

    #[test]
    fn scores_are_means_over_texts_with_one_picture() {
        let heads = scores(&model(), 1, 40).unwrap();
        assert_eq!(heads.len(), 8);
        assert!(heads.iter().all(|h| (h.side, h.thumbnail.len()) == (SIDE, SIDE * SIDE)));
        let whole: f64 = (0..TEXTS)
            .map(|n| probe::heads(&model(), &probe::repeats(1, n, (16, 32), 40), 0).unwrap()[3].previous)
            .sum();
        assert!((heads[3].previous - whole / TEXTS as f64).abs() < 1e-12);
    }
}
