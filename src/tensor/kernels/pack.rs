//! Both sides of a product into the order in which tiles read them, and the next block asked for in time.

use std::ops::Range;

use rayon::prelude::*;

use super::lanes::Lanes;
use super::product::{BLOCK, DEPTH, Kernel, Left, Rules, depth_step};
use super::right::{Numbers, Strided};

/// Brings a stripe of `a` into the order in which tiles read it.
pub(super) fn pack_left<K: Kernel>(
    a: Left,
    first_row: usize,
    rows: usize,
    rules: &Rules,
    packed: &mut [f32],
) {
    let padded = rows.next_multiple_of(K::ROWS);
    let step = depth_step(rules.depth);
    let pack = |(kb, block): (usize, &mut [f32])| {
        let from = kb * step;
        let depth = step.min(rules.depth - from);
        for (p, panel) in block.chunks_mut(K::ROWS * depth).enumerate() {
            let first = p * K::ROWS;
            let at = (first_row + first) * a.row + from * a.col;
            if a.col == 1 && first + K::ROWS <= rows {
                let from = &a.data[at..at + (K::ROWS - 1) * a.row + depth];
                // SAFETY: all rows lie inside `from`, the panel has their size; the kernel is one for this processor.
                unsafe { K::interleave(from.as_ptr(), a.row, depth, panel.as_mut_ptr()) };
                continue;
            }
            if a.row == 1 && first + K::ROWS <= rows {
                // The rows of a transpose lie side by side already.
                for (i, to) in panel.chunks_exact_mut(K::ROWS).enumerate() {
                    to.copy_from_slice(&a.data[at + i * a.col..][..K::ROWS]);
                }
                continue;
            }
            for r in 0..K::ROWS {
                if first + r >= rows {
                    panel.iter_mut().skip(r).step_by(K::ROWS).for_each(|x| *x = 0.0);
                    continue;
                }
                let source = a.data[at + r * a.row..].iter().step_by(a.col.max(1));
                for (x, &v) in panel.iter_mut().skip(r).step_by(K::ROWS).zip(source) {
                    *x = v;
                }
            }
        }
    };
    if !rules.parallel || rows * rules.depth < 1 << 15 {
        packed.chunks_mut(padded * step).enumerate().for_each(pack);
    } else {
        packed.par_chunks_mut(padded * step).enumerate().for_each(pack);
    }
}

/// Packs rows `from..from + depth` of columns `cols` of `b` to `scratch`: per panel `[depth][C·N]`, missing columns 0.
///
/// # Safety
/// The processor has the instructions of `V`, `scratch` room for a block, and `b` the rows and columns.
#[inline(always)]
pub(super) unsafe fn pack_right<V: Lanes, const C: usize>(
    b: Strided,
    columns: &Range<usize>,
    (from, depth): (usize, usize),
    scratch: *mut f32,
) {
    let width = V::N * C;
    let Strided { data, row, col } = b;
    for (p, first) in columns.clone().step_by(width).enumerate() {
        let cols = width.min(columns.end - first);
        // SAFETY: the panel lies inside the scratch block, the rows inside `b`.
        unsafe {
            let to = scratch.add(p * width * DEPTH);
            let at = from * row + first * col;
            match data {
                Numbers::F32(b) if col == 1 && cols == width => {
                    let mut b = b.as_ptr().add(at);
                    for i in 0..depth {
                        for c in 0..C {
                            V::load(b.add(c * V::N)).store(to.add(i * width + c * V::N));
                        }
                        b = b.wrapping_add(row);
                    }
                }
                Numbers::Bf16(b) if col == 1 && cols == width => {
                    let mut b = b.as_ptr().add(at);
                    for i in 0..depth {
                        for c in 0..C {
                            V::load_bf16(b.add(c * V::N)).store(to.add(i * width + c * V::N));
                        }
                        b = b.wrapping_add(row);
                    }
                }
                #[cfg(target_arch = "x86_64")]
                Numbers::F32(b) if row == 1 && cols == width && V::N >= 8 => {
                    let b = b.as_ptr().add(at);
                    for c in (0..width).step_by(8) {
                        super::lanes::transpose(b.add(c * col), col, depth, to.add(c), width);
                    }
                }
                _ => {
                    if cols < width {
                        std::slice::from_raw_parts_mut(to, depth * width).fill(0.0);
                    }
                    pack_strided(
                        data,
                        at,
                        (row, col),
                        std::slice::from_raw_parts_mut(to, depth * width),
                        (width, cols),
                    );
                }
            }
        }
    }
}

/// Columns one after another: for transposed right sides, whose columns are contiguous.
#[inline(always)]
fn pack_strided(
    data: Numbers,
    at: usize,
    (row, col): (usize, usize),
    to: &mut [f32],
    (width, cols): (usize, usize),
) {
    for c in 0..cols {
        let to = to[c..].iter_mut().step_by(width);
        match data {
            Numbers::F32(b) => to.zip(b[at + c * col..].iter().step_by(row)).for_each(|(x, &v)| *x = v),
            Numbers::Bf16(b) => to
                .zip(b[at + c * col..].iter().step_by(row))
                .for_each(|(x, &v)| *x = f32::from_bits(u32::from(v) << 16)),
        }
    }
}

/// Fetches the next block of `b` in small portions between tiles: a strided walk that the processor does not foresee.
pub(super) struct Ahead {
    next: *const i8,
    /// Bytes between rows, lines of a row, lines in all.
    stride: usize,
    lines: usize,
    left: usize,
    per_tile: usize,
    line: usize,
}

const LINE: usize = 64;

impl Ahead {
    /// The block after depth block `kb` of columns `columns`, spread over `tiles` portions.
    #[inline(always)]
    pub fn strided(
        b: Strided,
        (depth, cols): (usize, usize),
        columns: &Range<usize>,
        kb: usize,
        tiles: usize,
    ) -> Self {
        let (base, size): (*const i8, usize) = match b.data {
            Numbers::F32(b) => (b.as_ptr().cast(), 4),
            Numbers::Bf16(b) => (b.as_ptr().cast(), 2),
        };
        let step = depth_step(depth);
        let (from, first) = match (kb + 1) * step < depth {
            true => ((kb + 1) * step, columns.start),
            false => (0, columns.end),
        };
        let depth = step.min(depth - from);
        let cols = BLOCK.min(cols - first);
        let (stride, lines, rows) = match b.col {
            1 => (b.row * size, (cols * size).div_ceil(LINE), depth),
            col => (col * size, (depth * size).div_ceil(LINE), cols),
        };
        let left = lines * rows;
        let next = base.wrapping_add((from * b.row + first * b.col) * size);
        Ahead { next, stride, lines, left, per_tile: left.div_ceil(tiles.max(1)), line: 0 }
    }

    /// `bytes` that lie at `next`, one after another.
    #[inline(always)]
    pub fn sequential<T>(next: *const T, count: usize, tiles: usize) -> Self {
        let left = (count * size_of::<T>()).div_ceil(LINE);
        Ahead {
            next: next.cast(),
            stride: 0,
            lines: left,
            left,
            per_tile: left.div_ceil(tiles.max(1)),
            line: 0,
        }
    }

    #[inline(always)]
    pub fn fetch(&mut self) {
        let n = self.per_tile.min(self.left);
        for _ in 0..n {
            prefetch(self.next.wrapping_add(self.line * LINE));
            self.line += 1;
            if self.line == self.lines {
                self.line = 0;
                self.next = self.next.wrapping_add(self.stride);
            }
        }
        self.left -= n;
    }
}

/// Asks for a cache line; any address will do.
#[inline(always)]
pub(super) fn prefetch(at: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(at);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for a cache line that is about to be read and written.
#[inline(always)]
pub(super) fn soon(at: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
