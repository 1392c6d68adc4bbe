//! The tile of every instruction set, with the functions that may use its instructions.

use super::lanes::{Four, Lanes, Sixteen, SixteenPairs};
use super::pack::pack_panel;
use super::peak::multiply_adds;
use super::right::Strided;
use super::tile::{Task, block};

/// A kernel for one instruction set.
pub(super) trait Kernel {
    /// Rows of the tile that lives in registers.
    const ROWS: usize;
    /// Columns of a panel: what the tile is wide.
    const WIDTH: usize;

    /// # Safety
    /// As [`block`], on a processor with the instructions.
    unsafe fn block(task: &Task);

    /// Packs `ROWS` rows of `depth` numbers, `stride` apart, to `[depth][ROWS]`.
    ///
    /// # Safety
    /// Both sides are valid, on a processor with the instructions.
    unsafe fn interleave(from: *const f32, stride: usize, depth: usize, to: *mut f32);

    /// As [`pack_panel`].
    ///
    /// # Safety
    /// As there, on a processor with the instructions.
    unsafe fn pack(b: Strided, rows: (usize, usize), cols: (usize, usize), to: *mut f32);

    /// As [`multiply_adds`], for the registers that hold the sums of a tile.
    ///
    /// # Safety
    /// As there.
    unsafe fn multiply_adds(turns: usize) -> f32;
}

/// A kernel of tiles of `$rows` rows and `$registers` registers of `$lanes`; at most `$few` rows go without the others.
macro_rules! kernel {
    ($name:ident, $lanes:ty, $rows:literal x $registers:literal, $few:literal $(, $features:literal)?) => {
        impl Kernel for $name {
            const ROWS: usize = $rows;
            const WIDTH: usize = <$lanes>::N * $registers;

            unsafe fn block(task: &Task) {
                $(#[target_feature(enable = $features)])?
                unsafe fn with_features(task: &Task) {
                    // SAFETY: passed on.
                    unsafe { block::<$lanes, $rows, $registers, $few>(task) }
                }
                // SAFETY: passed on.
                unsafe { with_features(task) }
            }

            unsafe fn interleave(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
                $(#[target_feature(enable = $features)])?
                unsafe fn with_features(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
                    // SAFETY: passed on.
                    unsafe { <$lanes>::interleave::<$rows>(from, stride, depth, to) }
                }
                // SAFETY: passed on.
                unsafe { with_features(from, stride, depth, to) }
            }

            unsafe fn pack(b: Strided, rows: (usize, usize), cols: (usize, usize), to: *mut f32) {
                $(#[target_feature(enable = $features)])?
                unsafe fn with_features(b: Strided, rows: (usize, usize), cols: (usize, usize), to: *mut f32) {
                    // SAFETY: passed on.
                    unsafe { pack_panel::<$lanes>(b, rows, cols, (to, $name::WIDTH)) }
                }
                // SAFETY: passed on.
                unsafe { with_features(b, rows, cols, to) }
            }

            unsafe fn multiply_adds(turns: usize) -> f32 {
                $(#[target_feature(enable = $features)])?
                unsafe fn with_features(turns: usize) -> f32 {
                    // SAFETY: passed on.
                    unsafe { multiply_adds::<$lanes, $rows, $registers>(turns) }
                }
                // SAFETY: passed on.
                unsafe { with_features(turns) }
            }
        }
    };
}

/// Portable Rust.
pub(super) struct Plain;
#[cfg(not(target_arch = "aarch64"))]
kernel!(Plain, Four, 4 x 2, 2);
// Of 32 registers, 24 hold sums.
#[cfg(target_arch = "aarch64")]
kernel!(Plain, Four, 8 x 3, 4);

/// The code of [`Avx512`] in portable Rust.
pub(super) struct Wide;
kernel!(Wide, Sixteen, 8 x 3, 4);

/// The code of [`Avx512Pairs`] in portable Rust.
pub(super) struct WidePairs;
kernel!(WidePairs, SixteenPairs, 8 x 3, 4);

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512, Avx512Pairs};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m512};

    use super::super::lanes::Pairs;
    use super::*;

    pub(in super::super) struct Avx2;
    kernel!(Avx2, __m256, 4 x 3, 2, "avx2,fma");

    pub(in super::super) struct Avx512;
    kernel!(Avx512, __m512, 8 x 3, 4, "avx512f,avx512vl,avx2,fma");

    /// Its numbers are pairs of bf16 numbers.
    pub(in super::super) struct Avx512Pairs;
    type Wide = Pairs<__m512>;
    kernel!(Avx512Pairs, Wide, 8 x 3, 4, "avx512f,avx512vl,avx2,fma,avx512bf16");
}
