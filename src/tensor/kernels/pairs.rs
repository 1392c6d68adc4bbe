//! Products of pairs of bf16 numbers, by an instruction of the processor: both sides are rounded to bf16, sums are f32.

use std::cell::RefCell;

use multiversion::multiversion;
use rayon::prelude::*;

use super::super::isa::{Isa, multiplies_pairs};
use super::super::kernel::{self, Kernel};
use super::super::packed::Packed;
use super::super::right::Right;
use super::{Left, Out, Rules, depth_step, run_in};

thread_local! {
    /// Room for the rounded left side.
    static PAIRS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// As [`super::product_with`] for pairs of bf16 numbers, packed for the kernels of AVX-512, where the set multiplies them.
///
/// # Safety
/// As there.
pub(in super::super) unsafe fn pairs_with(isa: Isa, rules: &Rules, a: Left, b: &Packed, out: Out) {
    // SAFETY: passed on.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => run_pairs::<kernel::Avx512Pairs>(rules, a, b, out),
            _ => run_pairs::<kernel::WidePairs>(rules, a, b, out),
        }
    }
}

/// A matrix of bf16 numbers whose pairs the processor multiplies itself.
pub(super) fn as_pairs(isa: Isa, b: Right<'_>) -> Option<&Packed> {
    match b {
        Right::Packed(packed) if packed.is_bf16() && multiplies_pairs(isa) => Some(packed),
        _ => None,
    }
}

/// A product of pairs: the left side is rounded to bf16 as well. From then on a pair is treated as a number.
pub(super) unsafe fn run_pairs<K: Kernel>(rules: &Rules, a: Left, b: &Packed, out: Out) {
    let mut left = PAIRS.take();
    let pairs = rules.depth.div_ceil(2);
    left.resize(left.len().max(rules.rows * pairs), 0.0);
    let rows = &mut left[..rules.rows * pairs];
    let round =
        |(r, row): (usize, &mut [f32])| round_row(Left { data: &a.data[r * a.row..], ..a }, rules.depth, row);
    match rules.parallel {
        true => rows.par_chunks_mut(pairs).enumerate().for_each(round),
        false => rows.chunks_mut(pairs).enumerate().for_each(round),
    }
    let (rules, step) = (Rules { depth: pairs, ..*rules }, depth_step(rules.depth) / 2);
    let rounded = Left { data: rows, row: pairs, col: 1 };
    // SAFETY: passed on; the packed pairs are those of `b`.
    unsafe { run_in::<K>(&rules, step, rounded, (Right::Packed(b), b.pairs()), out) };
    PAIRS.set(left);
}

/// The first row of `a` as pairs of bf16 numbers.
fn round_row(a: Left, depth: usize, pairs: &mut [f32]) {
    if a.col == 1 {
        return round_stretch(&a.data[..depth], pairs);
    }
    for (i, pair) in pairs.iter_mut().enumerate() {
        let number = |i: usize| if i < depth { a.data[i * a.col] } else { 0.0 };
        *pair = pair_of(number(2 * i), number(2 * i + 1));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn round_stretch(numbers: &[f32], pairs: &mut [f32]) {
    let (whole, rest) = numbers.as_chunks::<2>();
    pairs.iter_mut().zip(whole).for_each(|(pair, &[a, b])| *pair = pair_of(a, b));
    if let ([a], Some(last)) = (rest, pairs.last_mut()) {
        *last = pair_of(*a, 0.0);
    }
}

/// Two numbers rounded to bf16, to the nearest, ties to even; side by side in the bits of one.
#[inline(always)]
fn pair_of(a: f32, b: f32) -> f32 {
    let rounded = |x: f32| {
        let bits = x.to_bits();
        // What is no number stays none.
        let up = if x.is_nan() { 0 } else { 0x7fff + ((bits >> 16) & 1) };
        bits.wrapping_add(up)
    };
    f32::from_bits((rounded(a) >> 16) | (rounded(b) & 0xffff_0000))
}
