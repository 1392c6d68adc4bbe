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

    /// `sums += a · b` over `depth` steps; here pointers are valid for `depth · R` and `depth · C·N` numbers.
    #[inline(always)]
    unsafe fn full_tile<const R: usize, const C: usize>(
        sums: &mut [[Self; C]; R],
        depth: usize,
        a: *const f32,
        b: *const f32,
    ) {
        // SAFETY: the contract.
        unsafe { super::tile::steps::<Self, R, C, R>(sums, depth, a, b) }
    }
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
pub(super) use x86::{interleave_four, transpose};

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

    /// Four rows of `depth` numbers, `stride` apart, to `[depth][4]`.
    ///
    /// # Safety
    /// AVX2, and both sides valid.
    #[inline(always)]
    pub unsafe fn interleave_four(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
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

    /// Steps of one turn of [`four_by_three`].
    const FOUR: usize = 4;

    /// `turns` turns of four steps of a tile of four rows and three registers. By hand, since all sixteen registers are in use
    /// and the compiler, which moves loads ahead, would keep sums in memory.
    ///
    /// # Safety
    /// AVX2 and FMA; `a` and `b` hold all steps.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn four_by_three(sums: &mut [[__m256; 3]; 4], turns: usize, a: *const f32, b: *const f32) {
        if turns == 0 {
            return;
        }
        macro_rules! step {
            ($a0:literal $a1:literal $a2:literal $a3:literal, $b0:literal $b1:literal $b2:literal) => {
                concat!(
                    "vmovups {b0}, [{b} + ",
                    $b0,
                    "]\n",
                    "vmovups {b1}, [{b} + ",
                    $b1,
                    "]\n",
                    "vmovups {b2}, [{b} + ",
                    $b2,
                    "]\n",
                    "vbroadcastss {x}, dword ptr [{a} + ",
                    $a0,
                    "]\n",
                    "vfmadd231ps {s00}, {x}, {b0}\n",
                    "vfmadd231ps {s01}, {x}, {b1}\n",
                    "vfmadd231ps {s02}, {x}, {b2}\n",
                    "vbroadcastss {x}, dword ptr [{a} + ",
                    $a1,
                    "]\n",
                    "vfmadd231ps {s10}, {x}, {b0}\n",
                    "vfmadd231ps {s11}, {x}, {b1}\n",
                    "vfmadd231ps {s12}, {x}, {b2}\n",
                    "vbroadcastss {x}, dword ptr [{a} + ",
                    $a2,
                    "]\n",
                    "vfmadd231ps {s20}, {x}, {b0}\n",
                    "vfmadd231ps {s21}, {x}, {b1}\n",
                    "vfmadd231ps {s22}, {x}, {b2}\n",
                    "vbroadcastss {x}, dword ptr [{a} + ",
                    $a3,
                    "]\n",
                    "vfmadd231ps {s30}, {x}, {b0}\n",
                    "vfmadd231ps {s31}, {x}, {b1}\n",
                    "vfmadd231ps {s32}, {x}, {b2}\n",
                )
            };
        }
        let [[s00, s01, s02], [s10, s11, s12], [s20, s21, s22], [s30, s31, s32]] = sums;
        // SAFETY: reads `turns · FOUR` steps of both sides and writes registers only.
        unsafe {
            std::arch::asm!(
                "2:",
                step!("0" "4" "8" "12", "0" "32" "64"),
                step!("16" "20" "24" "28", "96" "128" "160"),
                step!("32" "36" "40" "44", "192" "224" "256"),
                step!("48" "52" "56" "60", "288" "320" "352"),
                "add {a}, 64",
                "add {b}, 384",
                "dec {turns}",
                "jnz 2b",
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                turns = inout(reg) turns => _,
                b0 = out(ymm_reg) _,
                b1 = out(ymm_reg) _,
                b2 = out(ymm_reg) _,
                x = out(ymm_reg) _,
                s00 = inout(ymm_reg) *s00,
                s01 = inout(ymm_reg) *s01,
                s02 = inout(ymm_reg) *s02,
                s10 = inout(ymm_reg) *s10,
                s11 = inout(ymm_reg) *s11,
                s12 = inout(ymm_reg) *s12,
                s20 = inout(ymm_reg) *s20,
                s21 = inout(ymm_reg) *s21,
                s22 = inout(ymm_reg) *s22,
                s30 = inout(ymm_reg) *s30,
                s31 = inout(ymm_reg) *s31,
                s32 = inout(ymm_reg) *s32,
                options(nostack, readonly),
            );
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

        #[inline(always)]
        unsafe fn full_tile<const R: usize, const C: usize>(
            sums: &mut [[Self; C]; R],
            depth: usize,
            a: *const f32,
            b: *const f32,
        ) {
            const { assert!(R == 4 && C == 3, "another tile than the one written by hand") }
            let whole = depth / FOUR * FOUR;
            // SAFETY: the contract; the array has the layout of the one it is seen as.
            unsafe {
                let by_hand = &mut *std::ptr::from_mut(sums).cast::<[[__m256; 3]; 4]>();
                four_by_three(by_hand, whole / FOUR, a, b);
                let (a, b) = (a.add(whole * R), b.add(whole * C * 8));
                super::super::tile::steps::<Self, R, C, R>(sums, depth - whole, a, b);
            }
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
