//! Which instructions the hand-written kernels use: the fastest of those that the processor has, measured once, or what
//! `MASKSCOPE_KERNELS` says (`plain`, `avx2`, `avx512`, `wide`), to see that every path gives the same numbers.

use std::sync::OnceLock;
use std::time::Duration;

use super::trial::Trial;

/// Instruction sets that a kernel was written for, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Portable Rust that the compiler vectorises as far as the target allows (SSE2, NEON).
    Plain,
    /// The code around the AVX-512 kernels, with registers in portable Rust: for tests on every processor.
    Wide,
    /// AVX2 with fused multiply-add.
    Avx2,
    Avx512,
}

/// Chooses the set; one that the processor lacks is never taken.
pub const OVERRIDE: &str = "MASKSCOPE_KERNELS";

impl Isa {
    /// As [`OVERRIDE`] names it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Plain => "plain",
            Isa::Wide => "wide",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// The sets that run on this processor and are meant for it, weakest first.
    pub fn all_here() -> impl Iterator<Item = Isa> {
        [Isa::Plain, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_here())
    }

    /// Whether the processor has every instruction that the kernels of this set are compiled for.
    pub fn is_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match self {
            Isa::Plain | Isa::Wide => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => false,
        }
    }
}

/// Whether the code of `isa` can multiply pairs of bf16 numbers by an instruction of its own.
pub(super) fn has_pairs(isa: Isa) -> bool {
    match isa {
        Isa::Wide => true,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => isa.is_here() && is_x86_feature_detected!("avx512bf16"),
        _ => false,
    }
}

/// Whether products with packed bf16 numbers are made of pairs by the code of `isa`: both sides are then rounded to bf16. Only
/// where that is faster than widening them, measured once: Zen 5 makes as many products of pairs as of numbers, Sapphire Rapids
/// a quarter of them.
pub fn multiplies_pairs(isa: Isa) -> bool {
    static PAYS: OnceLock<bool> = OnceLock::new();
    match isa {
        Isa::Wide => true,
        _ => has_pairs(isa) && *PAYS.get_or_init(|| pays(isa)),
    }
}

fn pays(isa: Isa) -> bool {
    let trial = Trial::new();
    let fastest = |time: &dyn Fn() -> Duration| (0..ROUNDS).map(|_| time()).min();
    fastest(&|| trial.time_pairs(isa)) < fastest(&|| trial.time(isa))
}

/// Measurements of each way; the fastest counts.
const ROUNDS: usize = 5;

/// The portable set, where the processor has none that a kernel was written for by hand.
fn by_hand() -> impl Iterator<Item = Isa> {
    [Isa::Avx512, Isa::Avx2].into_iter().filter(|isa| isa.is_here())
}

/// Times a small product with every set, in turn, and takes the fastest: a wider set is slower where the processor lowers
/// its clock for it, or splits its registers. Less than a millisecond.
fn fastest() -> Isa {
    let mut best: Vec<(Isa, Duration)> = by_hand().map(|isa| (isa, Duration::MAX)).collect();
    if best.len() > 1 {
        let trial = Trial::new();
        for _ in 0..ROUNDS {
            best.iter_mut().for_each(|(isa, time)| *time = (*time).min(trial.time(*isa)));
        }
    }
    best.into_iter().min_by_key(|(_, time)| *time).map_or(Isa::Plain, |(isa, _)| isa)
}

/// The set in use in this process.
pub fn isa() -> Isa {
    static CHOSEN: OnceLock<Isa> = OnceLock::new();
    *CHOSEN.get_or_init(|| match std::env::var(OVERRIDE).as_deref() {
        Ok("plain") => Isa::Plain,
        Ok("wide") => Isa::Wide,
        Ok("avx2") => by_hand().last().unwrap_or(Isa::Plain),
        Ok("avx512") => by_hand().next().unwrap_or(Isa::Plain),
        _ => fastest(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_measured_fast_and_never_a_set_that_is_missing() {
        let start = std::time::Instant::now();
        let chosen = fastest();
        assert!(chosen.is_here());
        assert!(by_hand().next().is_none() || chosen != Isa::Plain);
        // A frame has 16 ms; a busy machine takes its share.
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    }
}
