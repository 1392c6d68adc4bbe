//! Registers of AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::ahead::Asked;
use super::by_hand::{eight_by_three, four_by_three};
use super::lanes::{Lanes, Pairs};
use super::tile::{Panel, Place, Reading};

/// Eight rows of `depth` numbers, `stride` apart, to eight columns: number `i` of row `c` goes to `to[i * width + c]`.
///
/// # Safety
/// AVX2, and both sides valid.
#[inline(always)]
unsafe fn transpose_eight(from: *const f32, stride: usize, depth: usize, to: *mut f32, width: usize) {
    let whole = depth / 8 * 8;
    // SAFETY: the contract above.
    unsafe {
        for i in (0..whole).step_by(8) {
            let row = |r: usize| _mm256_loadu_ps(from.add(r * stride + i));
            let pair = |r: usize| {
                let (a, b) = (row(r), row(r + 1));
                (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b))
            };
            let ((a0, a1), (b0, b1), (c0, c1), (d0, d1)) = (pair(0), pair(2), pair(4), pair(6));
            let four = |x, y| (_mm256_shuffle_ps::<0x44>(x, y), _mm256_shuffle_ps::<0xee>(x, y));
            let ((e0, e1), (e2, e3)) = (four(a0, b0), four(a1, b1));
            let ((f0, f1), (f2, f3)) = (four(c0, d0), four(c1, d1));
            for (k, (e, f)) in [(e0, f0), (e1, f1), (e2, f2), (e3, f3)].into_iter().enumerate() {
                _mm256_storeu_ps(to.add((i + k) * width), _mm256_permute2f128_ps::<0x20>(e, f));
                _mm256_storeu_ps(to.add((i + k + 4) * width), _mm256_permute2f128_ps::<0x31>(e, f));
            }
        }
        for i in whole..depth {
            for c in 0..8 {
                *to.add(i * width + c) = *from.add(c * stride + i);
            }
        }
    }
}

/// Four rows of `depth` numbers, `stride` apart, to `[depth][4]`.
///
/// # Safety
/// AVX2, and both sides valid.
#[inline(always)]
unsafe fn interleave_four(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
    const ROWS: usize = 4;
    let whole = depth / 8 * 8;
    // SAFETY: the contract above.
    unsafe {
        for i in (0..whole).step_by(8) {
            let row = |r: usize| _mm256_loadu_ps(from.add(r * stride + i));
            let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let ((a0, a1), (b0, b1)) = (pair(row(0), row(1)), pair(row(2), row(3)));
            let four = |x, y| [_mm256_shuffle_ps::<0x44>(x, y), _mm256_shuffle_ps::<0xee>(x, y)];
            let ([e0, e1], [e2, e3]) = (four(a0, b0), four(a1, b1));
            // The lower half of each is one step, the upper half the step four later.
            for (k, (x, y)) in [(e0, e1), (e2, e3)].into_iter().enumerate() {
                let to = to.add((i + 2 * k) * ROWS);
                _mm256_storeu_ps(to, _mm256_permute2f128_ps::<0x20>(x, y));
                _mm256_storeu_ps(to.add(4 * ROWS), _mm256_permute2f128_ps::<0x31>(x, y));
            }
        }
        for i in whole..depth {
            for r in 0..ROWS {
                *to.add(i * ROWS + r) = *from.add(r * stride + i);
            }
        }
    }
}

// SAFETY of every block below: the contract of the trait.
impl Lanes for __m256 {
    const N: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(p, self) }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: see above.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn load_pairs(p: *const u16) -> (Self, Self) {
        // SAFETY: see above.
        unsafe {
            let pairs = _mm256_loadu_si256(p.cast());
            let second = _mm256_and_si256(pairs, _mm256_set1_epi32(-0x1_0000));
            (_mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)), _mm256_castsi256_ps(second))
        }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(a, b, self) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_add_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, depth: usize, to: *mut f32, width: usize) {
        // SAFETY: see above.
        unsafe { transpose_eight(from, stride, depth, to, width) }
    }
    #[inline(always)]
    unsafe fn interleave<const R: usize>(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
        const { assert!(R == 4, "another tile than the one written by hand") }
        // SAFETY: see above.
        unsafe { interleave_four(from, stride, depth, to) }
    }
    #[inline(always)]
    unsafe fn tile<const R: usize, const C: usize>(
        depth: usize,
        left: Reading,
        right: Panel,
        asked: Asked,
        place: Place,
    ) {
        const { assert!(R == 4, "another tile than the one written by hand") }
        // SAFETY: see above.
        unsafe { four_by_three::<C>(depth, left, right, asked, place) }
    }
}

// SAFETY of every block below: the contract of the trait.
impl Lanes for __m512 {
    const N: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(p, self) }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: see above.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn load_pairs(p: *const u16) -> (Self, Self) {
        // SAFETY: see above.
        unsafe {
            let pairs = _mm512_loadu_si512(p.cast());
            let second = _mm512_and_si512(pairs, _mm512_set1_epi32(-0x1_0000));
            (_mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)), _mm512_castsi512_ps(second))
        }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, self) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> Self {
        // SAFETY: what the mask leaves out is not read.
        unsafe { _mm512_maskz_loadu_ps(first(n), p) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        // SAFETY: what the mask leaves out is not written.
        unsafe { _mm512_mask_storeu_ps(p, first(n), self) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, depth: usize, to: *mut f32, width: usize) {
        // SAFETY: see above.
        unsafe {
            transpose_eight(from, stride, depth, to, width);
            transpose_eight(from.add(8 * stride), stride, depth, to.add(8), width);
        }
    }
    #[inline(always)]
    unsafe fn interleave<const R: usize>(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
        const { assert!(R == 8, "another tile than the one written by hand") }
        // SAFETY: see above.
        unsafe { transpose_eight(from, stride, depth, to, R) }
    }
    #[inline(always)]
    unsafe fn tile<const R: usize, const C: usize>(
        depth: usize,
        left: Reading,
        right: Panel,
        asked: Asked,
        place: Place,
    ) {
        const { assert!(R == 8, "another tile than the one written by hand") }
        // SAFETY: see above.
        unsafe { eight_by_three::<C, 0>(depth, left, right, asked, place) }
    }
}

// SAFETY of every block below: the contract of the trait, with AVX512-BF16.
impl Lanes for Pairs<__m512> {
    const N: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        Pairs(unsafe { __m512::zero() })
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        Pairs(unsafe { __m512::splat(x) })
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: see above.
        Pairs(unsafe { __m512::load(p) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: see above.
        unsafe { self.0.store(p) }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: see above.
        Pairs(unsafe { __m512::load_bf16(p) })
    }
    #[inline(always)]
    unsafe fn load_pairs(p: *const u16) -> (Self, Self) {
        // SAFETY: see above.
        let (first, second) = unsafe { __m512::load_pairs(p) };
        (Pairs(first), Pairs(second))
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: see above; any bits are pairs.
        let sum = unsafe {
            let (a, b) =
                (std::mem::transmute::<__m512, __m512bh>(a.0), std::mem::transmute::<__m512, __m512bh>(b.0));
            _mm512_dpbf16_ps(self.0, a, b)
        };
        Pairs(sum)
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Pairs(unsafe { self.0.add(other.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Pairs(unsafe { self.0.mul(other.0) })
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> Self {
        // SAFETY: see above.
        Pairs(unsafe { __m512::load_first(p, n) })
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        // SAFETY: see above.
        unsafe { self.0.store_first(p, n) }
    }
    #[inline(always)]
    unsafe fn interleave<const R: usize>(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
        // SAFETY: see above; pairs are moved as numbers are.
        unsafe { <__m512 as Lanes>::interleave::<R>(from, stride, depth, to) }
    }
    #[inline(always)]
    unsafe fn tile<const R: usize, const C: usize>(
        depth: usize,
        left: Reading,
        right: Panel,
        asked: Asked,
        place: Place,
    ) {
        const { assert!(R == 8, "another tile than the one written by hand") }
        // SAFETY: see above; sums are written as those of numbers are.
        unsafe { eight_by_three::<C, 1>(depth, left, right, asked, place) }
    }
}

/// A mask of the first `n` of 16 numbers.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}
