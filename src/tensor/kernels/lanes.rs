//! Vectors of f32 as the hand-written kernels see them. Every method is inlined into a function that enables the
//! instructions it needs; calling one elsewhere is undefined on a processor without them.

/// A register of `N` numbers.
pub(super) trait Lanes: Copy {
    const N: usize;

    /// # Safety
    /// All methods: the processor has the instructions of this type, and pointers are valid for `N` numbers.
    unsafe fn zero() -> Self;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn store(self, p: *mut f32);
    /// `N` bf16 numbers, widened.
    unsafe fn load_bf16(p: *const u16) -> Self;
    /// `self + a·b`.
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
}

/// Four numbers in portable Rust: SSE2 on x86-64, NEON on AArch64.
#[derive(Clone, Copy)]
pub(super) struct Four([f32; 4]);

// SAFETY of every block below: the contract of the trait.
impl Lanes for Four {
    const N: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Four([0.0; 4])
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Four([x; 4])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: see above.
        Four(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: see above.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: see above.
        let raw = unsafe { p.cast::<[u16; 4]>().read_unaligned() };
        Four(raw.map(|x| f32::from_bits(u32::from(x) << 16)))
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // Without the instruction a fused operation would be a library call.
        Four(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Four(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Four(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{interleave_six, transpose};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// Eight rows of `depth` numbers, `stride` apart, to eight columns: number `i` of row `c` goes to
    /// `to[i * width + c]`.
    ///
    /// # Safety
    /// AVX2, and both sides valid.
    #[inline(always)]
    pub unsafe fn transpose(from: *const f32, stride: usize, depth: usize, to: *mut f32, width: usize) {
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

    /// Six rows of `depth` numbers, `stride` apart, to `[depth][6]`.
    ///
    /// # Safety
    /// AVX2, and both sides valid.
    #[inline(always)]
    pub unsafe fn interleave_six(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
        const ROWS: usize = 6;
        let whole = depth / 8 * 8;
        // SAFETY: the contract above.
        unsafe {
            for i in (0..whole).step_by(8) {
                let row = |r: usize| _mm256_loadu_ps(from.add(r * stride + i));
                let pair = |r: usize| {
                    let (a, b) = (row(r), row(r + 1));
                    (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b))
                };
                let ((a0, a1), (b0, b1), (c0, c1)) = (pair(0), pair(2), pair(4));
                let four = |x, y| [_mm256_shuffle_ps::<0x44>(x, y), _mm256_shuffle_ps::<0xee>(x, y)];
                let ([e0, e1], [e2, e3]) = (four(a0, b0), four(a1, b1));
                // Each half register is one step: four rows of it in `e`, and the last two of two steps in `c`.
                let step = |k: usize, four: __m128, two: __m128, high: bool| {
                    let to = to.add((i + k) * ROWS);
                    _mm_storeu_ps(to, four);
                    let (to, two) = (to.add(4).cast(), _mm_castps_pd(two));
                    if high { _mm_storeh_pd(to, two) } else { _mm_storel_pd(to, two) }
                };
                for (k, (e, c)) in [(e0, c0), (e1, c0), (e2, c1), (e3, c1)].into_iter().enumerate() {
                    let high = k % 2 == 1;
                    step(k, _mm256_castps256_ps128(e), _mm256_castps256_ps128(c), high);
                    step(k + 4, _mm256_extractf128_ps::<1>(e), _mm256_extractf128_ps::<1>(c), high);
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
    }
}
