//! Random numbers that depend on nothing but their address: Philox4x32-10 (Salmon et al. 2011, "Parallel random
//! numbers: as easy as 1, 2, 3"). Keyed by seed, addressed by pass, sequence, purpose and position, so a draw
//! never changes when a slider moves, another position appears, work is spread over threads, or a run is resumed.

use crate::support::random::philox4x32_10;

/// What a draw is for; streams never share a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stream {
    /// `P_i` of the decision.
    Decision = 0,
    /// Which operation of a mix.
    Op = 1,
    /// Which token replaces another.
    Replacement = 2,
    /// Membership and span starts of an initial pattern.
    Pattern = 3,
    /// Lengths of spans.
    Length = 4,
    /// Which initial pattern a sequence gets.
    Choice = 5,
    /// Resampling in statistics.
    Bootstrap = 6,
    /// Shuffles in statistics.
    Shuffle = 7,
    /// Whether a query may read a key (`dyn-pair`).
    Pair = 8,
    /// The rate of one sequence in one pass (`dyn-pair`).
    PairRate = 9,
    /// The order in which training visits sequences, and where an epoch cuts the text.
    Order = 10,
    /// Initial weights.
    Weights = 11,
    /// The next token of a sample.
    Sample = 12,
    /// What a learned policy tries.
    Policy = 13,
    /// Keys of dropout masks.
    Dropout = 14,
    /// Whether a sequence is masked at all in one pass of training, and how much.
    SequenceRate = 15,
    /// Which documents are held out, and which of them are measured.
    Split = 16,
    /// Which sequences begin with the end-of-text token.
    Mark = 17,
    /// Which sequences are made up, and their tokens.
    Synthetic = 18,
    /// Which interventions an intervention is compared with.
    Control = 19,
}

/// The source of all draws of one pass over one sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Draws {
    pub seed: u64,
    /// How many times this sequence was seen before (epoch or visit).
    pub pass: u32,
    /// Which sequence of the data.
    pub sequence: u32,
}

impl Draws {
    pub fn new(seed: u64) -> Self {
        Draws { seed, ..Draws::default() }
    }

    /// 64 random bits.
    pub fn bits(&self, stream: Stream, position: u32) -> u64 {
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        let out = philox4x32_10([position, self.sequence, self.pass, stream as u32], key);
        u64::from(out[1]) << 32 | u64::from(out[0])
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn unit(&self, stream: Stream, position: usize) -> f64 {
        (self.bits(stream, position as u32) >> 11) as f64 * (-53f64).exp2()
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The bias is below `n / 2^64`.
    pub fn below(&self, stream: Stream, position: usize, n: usize) -> usize {
        ((u128::from(self.bits(stream, position as u32)) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_part_of_the_address_matters() {
        let base = Draws { seed: 1, pass: 2, sequence: 3 };
        let others = [
            Draws { seed: 2, ..base },
            Draws { seed: 1 | 1 << 40, ..base },
            Draws { pass: 3, ..base },
            Draws { sequence: 4, ..base },
        ];
        let here = base.bits(Stream::Decision, 7);
        assert!(others.iter().all(|d| d.bits(Stream::Decision, 7) != here));
        assert_ne!(base.bits(Stream::Decision, 8), here);
        for stream in [Stream::Op, Stream::Replacement, Stream::Pattern, Stream::Length, Stream::Choice] {
            assert_ne!(base.bits(stream, 7), here);
        }
    }

    #[test]
    fn draws_do_not_depend_on_threads_or_order() {
        use rayon::prelude::*;
        let draws = Draws::new(42);
        let forward: Vec<f64> = (0..5000).map(|i| draws.unit(Stream::Decision, i)).collect();
        let mut backward: Vec<f64> = (0..5000).rev().map(|i| draws.unit(Stream::Decision, i)).collect();
        backward.reverse();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(7).build().unwrap();
        let spread: Vec<f64> = pool
            .install(|| (0..5000usize).into_par_iter().map(|i| draws.unit(Stream::Decision, i)).collect());
        assert_eq!(forward, backward);
        assert_eq!(forward, spread);
    }

    #[test]
    fn draws_are_uniform() {
        let draws = Draws::new(3);
        let n = 100_000;
        let mut bins = [0f64; 64];
        for i in 0..n {
            bins[(draws.unit(Stream::Decision, i) * 64.0) as usize] += 1.0;
        }
        let expected = n as f64 / 64.0;
        let chi2: f64 = bins.iter().map(|b| (b - expected).powi(2) / expected).sum();
        // 63 degrees of freedom: mean 63, standard deviation 11.2; five of them either way.
        assert!((7.0..119.0).contains(&chi2), "{chi2}");
    }

    proptest! {
        #[test]
        fn draws_stay_in_range(seed: u64, position in 0usize..1 << 32, n in 1usize..1 << 40) {
            let draws = Draws::new(seed);
            prop_assert!((0.0..1.0).contains(&draws.unit(Stream::Decision, position)));
            prop_assert!(draws.below(Stream::Replacement, position, n) < n);
        }
    }
}
