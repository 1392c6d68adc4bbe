//! Vectors of f32 as the hand-written kernels see them. Every method is inlined into a function that enables the
//! instructions it needs; calling one elsewhere is undefined on a processor without them.

use super::ahead::Asked;
use super::tile::{Panel, Place, Reading, steps};

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
    /// `N` pairs of bf16 numbers, widened: the first of every pair, and the second.
    unsafe fn load_pairs(p: *const u16) -> (Self, Self);
    /// `self + a·b`.
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;

    /// The first `n` of `N` numbers, and zeros; here the pointer is valid for `n` numbers.
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> Self {
        let mut all = [0f32; WIDEST];
        // SAFETY: the contract; no register is wider.
        unsafe {
            std::ptr::copy_nonoverlapping(p, all.as_mut_ptr(), n);
            Self::load(all.as_ptr())
        }
    }

    /// Stores the first `n` of `N` numbers; here the pointer is valid for `n` numbers.
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        let mut all = [0f32; WIDEST];
        // SAFETY: the contract; no register is wider.
        unsafe {
            self.store(all.as_mut_ptr());
            std::ptr::copy_nonoverlapping(all.as_ptr(), p, n);
        }
    }

    /// `N` rows of `depth` numbers, `stride` apart, to `N` columns: number `i` of row `c` goes to `to[i * width + c]`.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, depth: usize, to: *mut f32, width: usize) {
        for i in 0..depth {
            for c in 0..Self::N {
                // SAFETY: inside both sides.
                unsafe { *to.add(i * width + c) = *from.add(c * stride + i) };
            }
        }
    }

    /// `R` rows of `depth` numbers, `stride` apart, to `[depth][R]`.
    #[inline(always)]
    unsafe fn interleave<const R: usize>(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
        for i in 0..depth {
            for r in 0..R {
                // SAFETY: inside both sides.
                unsafe { *to.add(i * R + r) = *from.add(r * stride + i) };
            }
        }
    }

    /// Sums a tile of `R` rows and `C` registers over `depth` steps, while `asked` is fetched.
    #[inline(always)]
    unsafe fn tile<const R: usize, const C: usize>(
        depth: usize,
        left: Reading,
        right: Panel,
        asked: Asked,
        place: Place,
    ) {
        asked.all(depth);
        // SAFETY: the contract.
        unsafe { place.put::<Self, R, C, C>(&steps(depth, left, right)) }
    }
}

/// Numbers of the widest register.
const WIDEST: usize = 16;

/// `N` numbers in portable Rust, for which the compiler finds the instructions of the target. `FUSED` multiplies and adds
/// with one rounding, as hand-written kernels do; on a target without the instruction that is a call of the library.
#[derive(Clone, Copy)]
pub(super) struct Portable<const N: usize, const FUSED: bool>([f32; N]);

impl<const N: usize, const FUSED: bool> Portable<N, FUSED> {
    /// Pairs of bf16 numbers, whose bits these are, widened: the first of every pair, and the second.
    fn parts(self) -> (Self, Self) {
        (
            Portable(self.0.map(|x| f32::from_bits(x.to_bits() << 16))),
            Portable(self.0.map(|x| f32::from_bits(x.to_bits() & 0xffff_0000))),
        )
    }
}

/// SSE2 on x86-64, NEON with its fused multiply-add on AArch64.
pub(super) type Four = Portable<4, { cfg!(target_arch = "aarch64") }>;
/// As wide and as exact as AVX-512: how the code around it runs, and is tested, on every machine.
pub(super) type Sixteen = Portable<16, true>;

// SAFETY of every block below: the contract of the trait.
impl<const N: usize, const FUSED: bool> Lanes for Portable<N, FUSED> {
    const N: usize = N;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Portable([0.0; N])
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Portable([x; N])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: see above.
        Portable(unsafe { p.cast::<[f32; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: see above.
        unsafe { p.cast::<[f32; N]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: see above.
        let raw = unsafe { p.cast::<[u16; N]>().read_unaligned() };
        Portable(raw.map(|x| f32::from_bits(u32::from(x) << 16)))
    }
    #[inline(always)]
    unsafe fn load_pairs(p: *const u16) -> (Self, Self) {
        // SAFETY: see above.
        let pairs = Portable(unsafe { p.cast::<[f32; N]>().read_unaligned() });
        pairs.parts()
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| match FUSED {
            true => a.0[i].mul_add(b.0[i], self.0[i]),
            false => self.0[i] + a.0[i] * b.0[i],
        }))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
}

/// Registers whose every number is a pair of bf16 numbers where it is multiplied, and an f32 where it is a sum.
#[derive(Clone, Copy)]
pub(super) struct Pairs<V>(pub V);

/// What AVX512-BF16 does with a pair.
pub(super) type SixteenPairs = Pairs<Sixteen>;

// SAFETY of every block below: the contract of the trait.
impl Lanes for SixteenPairs {
    const N: usize = Sixteen::N;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        Pairs(unsafe { Sixteen::zero() })
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        Pairs(unsafe { Sixteen::splat(x) })
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: see above.
        Pairs(unsafe { Sixteen::load(p) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: see above.
        unsafe { self.0.store(p) }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: see above.
        Pairs(unsafe { Sixteen::load_bf16(p) })
    }
    #[inline(always)]
    unsafe fn load_pairs(p: *const u16) -> (Self, Self) {
        // SAFETY: see above.
        let (first, second) = unsafe { Sixteen::load_pairs(p) };
        (Pairs(first), Pairs(second))
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        let (a, b) = (a.0.parts(), b.0.parts());
        // SAFETY: see above.
        Pairs(unsafe { self.0.fma(a.0, b.0).fma(a.1, b.1) })
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
}
