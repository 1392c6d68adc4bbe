//! What a processor could compute at most: a loop of nothing but independent multiply-adds, in the registers of the kernels that
//! are in use.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::isa::{Isa, has_pairs, isa};
use super::kernel::{self, Kernel};
use super::lanes::Lanes;

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    F32,
    /// Pairs of bf16 numbers, by an instruction of their own; f32 where the kernels have none.
    Bf16Pairs,
}

/// Turns between two looks at the clock: a few microseconds in hand-written code.
const TURNS: usize = 1 << 10;
/// How long one measurement takes on every thread.
const WINDOW: Duration = Duration::from_millis(8);
/// Measurements; the fastest counts, since a shared machine only ever adds time.
const ROUNDS: usize = 3;

/// The most that this thread computes, in GFLOP/s; a multiply-add is two operations. Takes about 25 ms.
pub fn of_one_core(operands: Operands) -> f64 {
    fastest(|| rate(isa(), operands))
}

/// The most that all threads of the current rayon pool compute at the same time, in GFLOP/s.
pub fn of_pool(operands: Operands) -> f64 {
    fastest(|| {
        let together = Barrier::new(rayon::current_num_threads());
        let rates = rayon::broadcast(|_| {
            together.wait();
            rate(isa(), operands)
        });
        rates.into_iter().sum()
    })
}

fn fastest(measure: impl Fn() -> f64) -> f64 {
    (0..ROUNDS).map(|_| measure()).fold(0.0, f64::max)
}

/// GFLOP/s over a window of this thread's time.
fn rate(isa: Isa, operands: Operands) -> f64 {
    let (mut turns, begun) = (0, Instant::now());
    while turns == 0 || begun.elapsed() < WINDOW {
        std::hint::black_box(run(isa, operands, TURNS));
        turns += TURNS;
    }
    let operations = 2.0 * per_turn(isa, operands) as f64 * turns as f64;
    operations / begun.elapsed().as_secs_f64() / 1e9
}

/// Multiply-adds of one turn.
fn per_turn(isa: Isa, operands: Operands) -> usize {
    let sums = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => kernel::Avx512::ROWS * kernel::Avx512::WIDTH,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => kernel::Avx2::ROWS * kernel::Avx2::WIDTH,
        Isa::Wide => kernel::Wide::ROWS * kernel::Wide::WIDTH,
        _ => kernel::Plain::ROWS * kernel::Plain::WIDTH,
    };
    if as_pairs(isa, operands) { 2 * sums } else { sums }
}

fn as_pairs(isa: Isa, operands: Operands) -> bool {
    operands == Operands::Bf16Pairs && has_pairs(isa)
}

/// Some multiply-adds by a set that the processor has; what they come to.
fn run(isa: Isa, operands: Operands, turns: usize) -> f32 {
    // SAFETY: the processor has the instructions: `isa` was found on it, and pairs are asked of it.
    unsafe {
        match (isa, as_pairs(isa, operands)) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, true) => kernel::Avx512Pairs::multiply_adds(turns),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, false) => kernel::Avx512::multiply_adds(turns),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, _) => kernel::Avx2::multiply_adds(turns),
            (Isa::Wide, true) => kernel::WidePairs::multiply_adds(turns),
            (Isa::Wide, false) => kernel::Wide::multiply_adds(turns),
            _ => kernel::Plain::multiply_adds(turns),
        }
    }
}

/// Adds a product to each of `R × C` registers, `turns` times; the sum of the first numbers of all registers.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn multiply_adds<V: Lanes, const R: usize, const C: usize>(turns: usize) -> f32 {
    // SAFETY: the contract; the array holds the widest register.
    unsafe {
        let splat = |x: f32| V::splat(std::hint::black_box(x));
        // Both are bf16 numbers in the upper half of their bits: as a pair they multiply to the same.
        let (x, y) = (splat(STEP), splat(1.0));
        // Every register starts with a number of its own: the compiler cannot make one sum of them.
        let mut sums: [[V; C]; R] =
            std::array::from_fn(|r| std::array::from_fn(|c| splat((r * C + c) as f32)));
        for _ in 0..turns {
            for row in &mut sums {
                for sum in row {
                    *sum = sum.fma(x, y);
                }
            }
        }
        let mut all = V::zero();
        for row in sums {
            for sum in row {
                all = all.add(sum);
            }
        }
        let mut numbers = [0f32; 16];
        all.store(numbers.as_mut_ptr());
        numbers[0]
    }
}

/// What a turn adds to every sum.
const STEP: f32 = 1.0 / 1024.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn sets() -> Vec<Isa> {
        let all = [Isa::Plain, Isa::Wide, Isa::Avx2, Isa::Avx512];
        all.into_iter().filter(|isa| isa.is_here()).collect()
    }

    #[test]
    fn every_multiply_add_of_a_turn_is_made() {
        for isa in sets() {
            let registers = match isa {
                Isa::Plain if cfg!(not(target_arch = "aarch64")) => 8,
                Isa::Avx2 => 12,
                _ => 24,
            };
            let start: f32 = (0..registers).map(|i| i as f32).sum();
            let sum = run(isa, Operands::F32, 1024);
            assert_eq!(sum, start + registers as f32, "{isa:?}");
            let pairs = run(isa, Operands::Bf16Pairs, 1024);
            // The lower halves of the numbers are bf16 zeros.
            assert_eq!(pairs, sum, "{isa:?}");
        }
    }

    #[test]
    fn a_peak_is_a_plausible_number() {
        for operands in [Operands::F32, Operands::Bf16Pairs] {
            for isa in sets() {
                let rate = rate(isa, operands);
                // From a machine that does something else most of the time to a core of the next ten years.
                assert!((0.001..10_000.0).contains(&rate), "{isa:?}, {operands:?}: {rate} GFLOP/s");
            }
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let rate = pool.install(|| of_pool(Operands::F32));
        assert!((0.001..30_000.0).contains(&rate), "{rate} GFLOP/s");
    }
}
