//! The leak meter: how much a mask tells about the next token.
//!
//! A logistic probe predicts x_{t+1}, hashed into 64 classes, from the mask bits M_{t−15..t}; it is trained on half the
//! sequences and judged on the other half. The leak is what it gains over the same probe on masks of other sequences.
//! Pure and repeatable; takes seconds on a hundred thousand tokens.

use super::stats::{Bootstrap, Interval};
use crate::mask::draw::{Draws, Stream};

/// Mask bits the probe sees.
pub const REACH: usize = 16;
/// Classes that ids are hashed into.
pub const CLASSES: usize = 64;
const EPOCHS: usize = 12;
/// Short texts are read more often, so that a probe has time to become sure.
const MIN_STEPS: usize = 3000;
const BATCH: usize = 64;
const RATE: f64 = 0.05;

/// One sequence: per position t the mask bits that a query at t meets among `t−15..=t` (the newest is bit 0), and the
/// original ids, equally long.
#[derive(Clone, Copy, Debug)]
pub struct MaskedSequence<'a> {
    pub bits: &'a [u16],
    pub ids: &'a [u32],
}

/// The bits of a mask that is the same for every query.
pub fn bits_of(mask: &[bool]) -> Vec<u16> {
    let next = |bits: &mut u16, masked: &bool| {
        *bits = *bits << 1 | u16::from(*masked);
        Some(*bits)
    };
    mask.iter().scan(0, next).collect()
}

/// What a mask gives away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakEstimate {
    /// Bits per token gained over shuffled masks, with an interval over sequences; about 0 for an honest mask, and
    /// slightly negative when the probe learned noise.
    pub bits: Interval,
    /// Tokens predicted on held-out sequences.
    pub tokens: usize,
}

/// Measures the leak of a policy; `None` under four sequences of at least two tokens.
pub fn leak(sequences: &[MaskedSequence], bootstrap: &Bootstrap) -> Option<LeakEstimate> {
    let usable: Vec<MaskedSequence> =
        sequences.iter().copied().filter(|s| s.ids.len().min(s.bits.len()) > 1).collect();
    if usable.len() < 4 {
        return None;
    }
    let (train, test): (Vec<_>, Vec<_>) = usable.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let strip = |part: Vec<(usize, &MaskedSequence<'_>)>| -> Vec<Vec<Example>> {
        part.into_iter().map(|(_, s)| examples(s)).collect()
    };
    let honest = |part: &[(usize, &MaskedSequence<'_>)], pass: u32| -> Vec<Vec<Example>> {
        let order = shuffled(part.len(), Draws { seed: bootstrap.seed, pass, ..Draws::default() });
        let swap = |n: usize| MaskedSequence { bits: part[order[n]].1.bits, ids: part[n].1.ids };
        (0..part.len()).map(|n| examples(&swap(n))).collect()
    };
    let (false_train, false_test) = (honest(&train, 0), honest(&test, 1));
    let (true_train, true_test) = (strip(train), strip(test));
    let told = losses(&Probe::fit(&true_train, bootstrap.seed), &true_test);
    let blind = losses(&Probe::fit(&false_train, bootstrap.seed), &false_test);
    // A swapped mask may be shorter than the ids it came to: compare token by token where both exist.
    let gained: Vec<(f64, usize)> = told
        .iter()
        .zip(&blind)
        .map(|(told, blind)| {
            let n = told.len().min(blind.len());
            let sum: f64 = (0..n).map(|i| blind[i] - told[i]).sum();
            (sum / std::f64::consts::LN_2, n)
        })
        .collect();
    let tokens = gained.iter().map(|g| g.1).sum();
    let bits = bootstrap.interval(gained.len(), |picked| {
        let (sum, n) = picked.iter().fold((0.0, 0), |(s, n), &i| (s + gained[i].0, n + gained[i].1));
        sum / n.max(1) as f64
    })?;
    Some(LeakEstimate { bits, tokens })
}

/// Who lends whom its mask: a cycle through a random order, so that nobody keeps its own.
fn shuffled(n: usize, draws: Draws) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, draws.below(Stream::Shuffle, i, i + 1));
    }
    let mut lender = vec![0; n];
    for (k, &i) in order.iter().enumerate() {
        lender[i] = order[(k + 1) % n];
    }
    lender
}

#[derive(Clone, Copy)]
struct Example {
    bits: u16,
    class: u8,
}

fn examples(sequence: &MaskedSequence) -> Vec<Example> {
    let pairs = sequence.bits.iter().zip(sequence.ids.iter().skip(1));
    pairs.map(|(&bits, &next)| Example { bits, class: class_of(next) }).collect()
}

/// Multiplicative hashing (Knuth): the top six bits.
fn class_of(id: u32) -> u8 {
    (id.wrapping_mul(0x9e37_79b1) >> 26) as u8
}

const WEIGHTS: usize = (REACH + 1) * CLASSES;

/// Softmax over 64 classes, linear in 16 bits and a constant.
struct Probe {
    /// `[REACH + 1, CLASSES]`, the constant last.
    weights: Vec<f64>,
}

impl Probe {
    /// Adam over shuffled small batches with the rate falling to 0; the same examples give the same probe.
    fn fit(sequences: &[Vec<Example>], seed: u64) -> Probe {
        let all: Vec<Example> = sequences.concat();
        let mut probe = Probe { weights: vec![0.0; WEIGHTS] };
        let (mut first, mut second) = (vec![0.0; WEIGHTS], vec![0.0; WEIGHTS]);
        let batches = all.len().div_ceil(BATCH).max(1);
        let epochs = EPOCHS.max(MIN_STEPS.div_ceil(batches));
        let steps = epochs * batches;
        let mut step = 0;
        for epoch in 0..epochs {
            let order = shuffled(all.len(), Draws { seed, pass: 2 + epoch as u32, ..Draws::default() });
            for batch in order.chunks(BATCH) {
                let mut gradient = vec![0.0; WEIGHTS];
                for &n in batch {
                    probe.add_gradient(all[n], &mut gradient);
                }
                step += 1;
                let rate = RATE * (1.0 - (step - 1) as f64 / steps as f64);
                let (fix1, fix2) = (1.0 - 0.9f64.powi(step), 1.0 - 0.999f64.powi(step));
                for (k, g) in gradient.iter().enumerate() {
                    let g = g / batch.len() as f64;
                    first[k] = 0.9 * first[k] + 0.1 * g;
                    second[k] = 0.999 * second[k] + 0.001 * g * g;
                    probe.weights[k] -= rate * (first[k] / fix1) / ((second[k] / fix2).sqrt() + 1e-8);
                }
            }
        }
        probe
    }

    /// Which rows of the weights an example switches on.
    fn rows(bits: u16) -> impl Iterator<Item = usize> {
        (0..REACH).filter(move |k| bits >> k & 1 == 1).chain(std::iter::once(REACH))
    }

    fn probabilities(&self, bits: u16) -> [f64; CLASSES] {
        let mut out = [0.0; CLASSES];
        for row in Probe::rows(bits) {
            for (sum, w) in out.iter_mut().zip(&self.weights[row * CLASSES..]) {
                *sum += w;
            }
        }
        let max = out.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        for z in &mut out {
            *z = (*z - max).exp();
            total += *z;
        }
        for z in &mut out {
            *z /= total;
        }
        out
    }

    fn add_gradient(&self, example: Example, gradient: &mut [f64]) {
        let mut error = self.probabilities(example.bits);
        error[usize::from(example.class)] -= 1.0;
        for row in Probe::rows(example.bits) {
            for (g, e) in gradient[row * CLASSES..(row + 1) * CLASSES].iter_mut().zip(&error) {
                *g += e;
            }
        }
    }
}

/// Nats per token, sequence by sequence.
fn losses(probe: &Probe, sequences: &[Vec<Example>]) -> Vec<Vec<f64>> {
    let loss = |e: &Example| -probe.probabilities(e.bits)[usize::from(e.class)].max(1e-300).ln();
    sequences.iter().map(|s| s.iter().map(loss).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCES: usize = 80;
    const LEN: usize = 64;

    fn texts() -> Vec<Vec<u32>> {
        (0..SEQUENCES as u32)
            .map(|sequence| {
                let draws = Draws { sequence, ..Draws::new(1) };
                (0..LEN).map(|i| draws.below(Stream::Shuffle, i, 40) as u32).collect()
            })
            .collect()
    }

    fn measure(mask: impl Fn(&[u32], usize, u32) -> bool) -> LeakEstimate {
        let texts = texts();
        let bits_of_one =
            |(ids, s): (&Vec<u32>, u32)| bits_of(&(0..LEN).map(|i| mask(ids, i, s)).collect::<Vec<bool>>());
        let bits: Vec<Vec<u16>> = texts.iter().zip(0u32..).map(bits_of_one).collect();
        let sequences: Vec<MaskedSequence> =
            texts.iter().zip(&bits).map(|(ids, bits)| MaskedSequence { bits, ids }).collect();
        leak(&sequences, &Bootstrap { resamples: 300, ..Bootstrap::default() }).unwrap()
    }

    #[test]
    fn a_mask_that_knows_the_next_token_is_caught() {
        // Half of 40 equally likely ids: the mask bit says exactly one bit about the next token.
        let got = measure(|ids, i, _| ids.get(i + 1).is_some_and(|&next| next < 20));
        assert!((0.85..1.05).contains(&got.bits.value), "{got:?}");
        assert!(got.bits.low > 0.8);
        assert_eq!(got.tokens, SEQUENCES / 2 * (LEN - 1));
    }

    #[test]
    fn a_random_mask_leaks_nothing() {
        let got = measure(|_, i, s| Draws { sequence: s, ..Draws::new(9) }.unit(Stream::Decision, i) < 0.3);
        assert!(got.bits.low < 0.0 && got.bits.high > 0.0, "{got:?}");
        assert!(got.bits.value.abs() < 0.05);
    }

    #[test]
    fn a_mask_from_the_past_leaks_only_what_the_past_says() {
        // Ids are independent, so the token before tells nothing about the next one.
        let got = measure(|ids, i, _| ids[i] < 20);
        assert!(got.bits.value.abs() < 0.05, "{got:?}");
    }

    #[test]
    fn too_little_text_gives_no_number() {
        let one = MaskedSequence { bits: &[1, 2], ids: &[1, 2] };
        assert_eq!(leak(&[one; 3], &Bootstrap::default()), None);
        assert!(leak(&[one; 4], &Bootstrap::default()).is_some());
        let short = MaskedSequence { bits: &[1], ids: &[1] };
        assert_eq!(leak(&[short; 9], &Bootstrap::default()), None);
    }

    #[test]
    fn the_newest_bit_is_the_lowest() {
        assert_eq!(bits_of(&[true, false, true]), [0b1, 0b10, 0b101]);
        assert_eq!(bits_of(&[true; 20])[19], u16::MAX);
    }

    #[test]
    fn nobody_keeps_its_own_mask() {
        for n in 2..20 {
            let order = shuffled(n, Draws::new(n as u64));
            assert!(order.iter().enumerate().all(|(i, &j)| i != j));
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        }
    }
}
