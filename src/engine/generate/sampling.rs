//! From logits to the next token. The rule shapes the logits as transformers' warpers do (penalty, then temperature,
//! top-k, top-p); candle-transformers applies the penalty and draws. Every draw comes from the seed and the token's position.

use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling};
use candle_transformers::utils::apply_repeat_penalty;

use crate::engine::types::{Chance, GenerateSettings};
use crate::mask::draw::{Draws, Stream};
use crate::model::{ModelError, Tokenizer, logits};

/// Temperatures below this take the most probable token.
const COLD: f64 = 1e-3;

/// The logits of the next token, and the distribution that it is drawn from.
#[derive(Clone, Debug)]
pub struct NextToken {
    /// `ln p` of the model, `[V]`.
    pub log_p: Vec<f32>,
    /// Logits after penalty, bans, top-k and top-p; −∞ for tokens that cannot be drawn.
    shaped: Vec<f32>,
    /// What [`NextToken::draw`] draws from, `[V]`, sums to 1.
    chances: Vec<f32>,
    temperature: f64,
}

impl NextToken {
    /// Shapes raw `logits` `[V]` after the tokens `seen`, without those in `barred`.
    ///
    /// # Errors
    /// Of the tensor library; when every token is barred.
    pub fn new(
        raw: &[f32],
        rule: &GenerateSettings,
        seen: &[u32],
        barred: &[u32],
    ) -> Result<Self, ModelError> {
        let mut shaped = penalised(raw, rule.repetition_penalty, seen)?;
        for &id in barred {
            if let Some(logit) = shaped.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        if shaped.iter().all(|x| *x == f32::NEG_INFINITY) {
            return Err(ModelError::input("every token is struck out at this place")
                .with_hint("undo, or strike out an earlier token"));
        }
        let temperature = if rule.temperature < COLD { 0.0 } else { rule.temperature };
        if temperature > 0.0 {
            keep_top(&mut shaped, rule.top_k.unwrap_or(usize::MAX), rule.top_p, temperature);
        }
        let chances = chances(&shaped, temperature);
        Ok(NextToken { log_p: log_softmax(raw), shaped, chances, temperature })
    }

    /// Draws the token at `position` of the text.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn draw(&self, seed: u64, position: usize) -> Result<u32, ModelError> {
        let how = match self.temperature {
            0.0 => Sampling::ArgMax,
            temperature => Sampling::All { temperature },
        };
        let seed = Draws::new(seed).bits(Stream::Sample, position as u32);
        let shaped = Tensor::from_slice(&self.shaped, self.shaped.len(), &Device::Cpu)?;
        Ok(LogitsProcessor::from_sampling(seed, how).sample(&shaped)?)
    }

    /// The model's probability of a token, and its probability in the draw.
    pub fn of(&self, id: u32) -> (f32, f32) {
        let at = |values: &[f32]| values.get(id as usize).copied();
        (at(&self.log_p).map_or(0.0, f32::exp), at(&self.chances).unwrap_or(0.0))
    }

    /// The model's `count` most probable tokens.
    pub fn candidates(&self, count: usize, tokenizer: Option<&Tokenizer>) -> Vec<Chance> {
        let one = |(id, p): (u32, f32)| Chance {
            id,
            display: tokenizer.map_or_else(|| format!("#{id}"), |t| t.display(id)),
            p,
            chance: self.of(id).1,
        };
        logits::top(&self.log_p, count).into_iter().map(one).collect()
    }
}

fn penalised(raw: &[f32], penalty: f64, seen: &[u32]) -> Result<Vec<f32>, ModelError> {
    if penalty == 1.0 {
        return Ok(raw.to_vec());
    }
    let raw = Tensor::from_slice(raw, raw.len(), &Device::Cpu)?;
    Ok(apply_repeat_penalty(&raw, penalty as f32, seen)?.to_vec1()?)
}

/// Leaves the `k` largest logits (of equals the lower ids), and of these the fewest whose probabilities sum to `p`.
fn keep_top(logits: &mut [f32], k: usize, p: f64, temperature: f64) {
    let by_logit = |logits: &[f32], a: usize, b: usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let kept = k.clamp(1, order.len());
    if kept < order.len() {
        // A whole sort of a vocabulary takes as long as a small model's pass.
        order.select_nth_unstable_by(kept - 1, |&a, &b| by_logit(logits, a, b));
        order[kept..].iter().for_each(|&id| logits[id] = f32::NEG_INFINITY);
        order.truncate(kept);
    }
    if p < 1.0 {
        let all = chances(logits, temperature);
        order.sort_unstable_by(|&a, &b| by_logit(logits, a, b));
        let mut before = 0f64;
        for id in order {
            // The most probable token always stays.
            if before > 0.0 && before >= p {
                logits[id] = f32::NEG_INFINITY;
            }
            before += f64::from(all[id]);
        }
    }
}

/// Softmax of `logits / temperature`; at temperature 0 the largest has it all.
fn chances(logits: &[f32], temperature: f64) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if temperature == 0.0 {
        let first = logits.iter().position(|x| *x == top);
        return (0..logits.len()).map(|id| f32::from(u8::from(Some(id) == first))).collect();
    }
    let weight = |x: &f32| (f64::from(x - top) / temperature).exp();
    let sum: f64 = logits.iter().map(weight).sum();
    logits.iter().map(|x| (weight(x) / sum) as f32).collect()
}

fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - top).exp()).sum();
    let all = f64::from(top) + sum.ln();
    logits.iter().map(|x| (f64::from(*x) - all) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: [f32; 6] = [2.0, -1.0, 0.5, 1.5, -0.25, 3.0];

    fn rule(temperature: f64, top_k: Option<usize>, top_p: f64, repetition_penalty: f64) -> GenerateSettings {
        GenerateSettings { temperature, top_k, top_p, repetition_penalty, ..GenerateSettings::default() }
    }

    fn close(got: &[f32], expected: &[f32]) {
        assert_eq!(got.len(), expected.len());
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?} {expected:?}");
    }

    #[test]
    fn chances_are_those_of_transformers() {
        for (rule, expected) in TRANSFORMERS {
            let (temperature, k, p, penalty) = *rule;
            let next =
                NextToken::new(&RAW, &self::rule(temperature, k, p, penalty), &[5, 1, 5], &[]).unwrap();
            close(&next.chances, expected);
        }
    }

    #[test]
    fn draws_follow_the_chances_and_depend_on_seed_and_position_alone() {
        let next = NextToken::new(&RAW, &rule(0.9, Some(4), 0.9, 1.3), &[5], &[]).unwrap();
        let n = 20_000;
        let mut counts = [0f64; 6];
        for position in 0..n {
            counts[next.draw(7, position).unwrap() as usize] += 1.0;
        }
        for (count, chance) in counts.iter().zip(&next.chances) {
            let p = f64::from(*chance);
            // Five standard deviations either way.
            let room = 5.0 * (p * (1.0 - p) / n as f64).sqrt();
            assert!((count / n as f64 - p).abs() <= room, "{counts:?} {:?}", next.chances);
        }
        let again: Vec<u32> = (0..50).map(|i| next.draw(7, i).unwrap()).collect();
        let backwards: Vec<u32> = (0..50).rev().map(|i| next.draw(7, i).unwrap()).collect();
        assert!(again.iter().eq(backwards.iter().rev()));
        assert!((0..50).any(|i| next.draw(8, i).unwrap() != again[i]));
    }

    #[test]
    fn a_token_that_is_struck_out_is_never_drawn() {
        let cold = NextToken::new(&RAW, &rule(0.0, None, 1.0, 1.0), &[], &[5]).unwrap();
        assert_eq!((cold.draw(1, 0).unwrap(), cold.of(5).1, cold.of(0).1), (0, 0.0, 1.0));
        let warm = NextToken::new(&RAW, &rule(1.0, None, 1.0, 1.0), &[], &[5, 0]).unwrap();
        assert!((0..500).all(|i| ![5, 0].contains(&warm.draw(1, i).unwrap())));
        assert!(warm.of(5).0 > 0.5, "what the model thinks of it does not change");
        assert!(NextToken::new(&RAW, &rule(1.0, None, 1.0, 1.0), &[], &[0, 1, 2, 3, 4, 5]).is_err());
        let one = NextToken::new(&RAW, &rule(1.0, None, 0.0, 1.0), &[], &[]).unwrap();
        assert_eq!(one.of(5).1, 1.0, "at 0 the most probable one is left");
    }

    type Rule = (f64, Option<usize>, f64, f64);

    /// transformers 5.23: `RepetitionPenaltyLogitsProcessor(penalty)(ids, s)` for ids 5, 1, 5 over `RAW`, then
    /// `TemperatureLogitsWarper`, `TopKLogitsWarper` and `TopPLogitsWarper`, each where the rule has it, then softmax.
    const TRANSFORMERS: &[(Rule, &[f32])] = &[
        ((1.0, None, 1.0, 1.0), &[0.2126244, 0.0105859, 0.0474429, 0.1289632, 0.0224104, 0.5779731]),
        ((0.7, None, 1.0, 1.0), &[0.1714225, 0.0023594, 0.0201111, 0.0839184, 0.0068884, 0.7153001]),
        ((1.0, Some(3), 1.0, 1.0), &[0.2312239, 0.0, 0.0, 0.1402444, 0.0, 0.6285317]),
        ((1.0, None, 0.8, 1.0), &[0.2312239, 0.0, 0.0, 0.1402444, 0.0, 0.6285317]),
        ((1.3, Some(4), 0.75, 1.0), &[0.3166456, 0.0, 0.0, 0.0, 0.0, 0.6833545]),
        ((0.9, Some(5), 0.9, 1.5), &[0.3885376, 0.0, 0.0, 0.2229248, 0.0, 0.3885376]),
    ];
}
