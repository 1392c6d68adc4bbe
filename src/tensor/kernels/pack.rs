//! Parts of both sides of a product brought into the order in which tiles read them.

use rayon::prelude::*;

use super::kernel::Kernel;
use super::lanes::Lanes;
use super::product::Left;
use super::right::{Numbers, Strided};

/// Rows `first..first + rows` of `a` to tiles: per depth block of `step` numbers, per `K::ROWS` rows, `[depth][K::ROWS]`, missing rows 0.
pub(super) fn pack_left<K: Kernel>(
    a: Left,
    (first, rows): (usize, usize),
    (depth, step): (usize, usize),
    parallel: bool,
    packed: &mut [f32],
) {
    // At least one tile, for the size of a block of none.
    let padded = rows.next_multiple_of(K::ROWS).max(K::ROWS);
    let pack = |(block, to): (usize, &mut [f32])| {
        let from = block * step;
        let depth = step.min(depth - from);
        for (tile, to) in to.chunks_mut(K::ROWS * depth).enumerate() {
            let row = tile * K::ROWS;
            let a = Left { data: &a.data[(first + row) * a.row + from * a.col..], ..a };
            pack_tile::<K>(a, K::ROWS.min(rows - row), depth, to);
        }
    };
    if parallel && rows * depth >= PARALLEL_FROM {
        packed.par_chunks_mut(padded * step).enumerate().for_each(pack);
    } else {
        packed.chunks_mut(padded * step).enumerate().for_each(pack);
    }
}

/// Numbers from which on threads pay.
const PARALLEL_FROM: usize = 1 << 15;

/// The first `rows` rows of `a`, at most a tile of them, to `[depth][K::ROWS]`.
fn pack_tile<K: Kernel>(a: Left, rows: usize, depth: usize, to: &mut [f32]) {
    if a.col == 1 && rows == K::ROWS {
        let from = &a.data[..(K::ROWS - 1) * a.row + depth];
        // SAFETY: all rows lie inside `from`, `to` has their size; the kernel is one for this processor.
        unsafe { K::interleave(from.as_ptr(), a.row, depth, to.as_mut_ptr()) };
        return;
    }
    if a.row == 1 && rows == K::ROWS {
        // The rows of a transpose lie side by side already.
        for (i, to) in to.chunks_exact_mut(K::ROWS).enumerate() {
            to.copy_from_slice(&a.data[i * a.col..][..K::ROWS]);
        }
        return;
    }
    to.fill(0.0);
    for r in 0..rows {
        let row = a.data[r * a.row..].iter().step_by(a.col.max(1));
        to.iter_mut().skip(r).step_by(K::ROWS).zip(row).for_each(|(to, &x)| *to = x);
    }
}

/// Rows `from..from + depth` of columns `first..first + cols` of `b`, at most a panel of them, to `to`, rows `width` apart.
/// The columns that a last register lacks are 0; registers without columns are left alone.
///
/// # Safety
/// The processor has the instructions of `V`, `to` room for `depth` rows of `width` numbers, and `b` the rows and columns.
#[inline(always)]
pub(super) unsafe fn pack_panel<V: Lanes>(
    b: Strided,
    (from, depth): (usize, usize),
    (first, cols): (usize, usize),
    (to, width): (*mut f32, usize),
) {
    let whole = cols / V::N * V::N;
    let at = |c: usize| from * b.row + (first + c) * b.col;
    // SAFETY: the contract.
    unsafe {
        match b.data {
            Numbers::F32(x) if b.col == 1 => {
                for i in 0..depth {
                    let (from, to) = (x.as_ptr().add(at(0) + i * b.row), to.add(i * width));
                    for c in (0..whole).step_by(V::N) {
                        V::load(from.add(c)).store(to.add(c));
                    }
                    if whole < cols {
                        V::load_first(from.add(whole), cols - whole).store(to.add(whole));
                    }
                }
                return;
            }
            Numbers::Bf16(x) if b.col == 1 => {
                for i in 0..depth {
                    for c in (0..whole).step_by(V::N) {
                        V::load_bf16(x.as_ptr().add(at(c) + i * b.row)).store(to.add(i * width + c));
                    }
                }
            }
            Numbers::F32(x) if b.row == 1 => {
                for c in (0..whole).step_by(V::N) {
                    V::transpose(x.as_ptr().add(at(c)), b.col, depth, to.add(c), width);
                }
            }
            _ => one_by_one(b, at(0), std::slice::from_raw_parts_mut(to, depth * width), (width, 0..whole)),
        }
        if whole < cols {
            let to = std::slice::from_raw_parts_mut(to, depth * width);
            for row in to.chunks_exact_mut(width) {
                row[whole..whole + V::N].fill(0.0);
            }
            one_by_one(b, at(0), to, (width, whole..cols));
        }
    }
}

/// Columns `cols` one after another, of a block of `b` that begins at element `at`.
#[inline(always)]
fn one_by_one(b: Strided, at: usize, to: &mut [f32], (width, cols): (usize, std::ops::Range<usize>)) {
    for c in cols {
        let (from, to) = (at + c * b.col, to[c..].iter_mut().step_by(width));
        match b.data {
            Numbers::F32(x) => to.zip(x[from..].iter().step_by(b.row)).for_each(|(to, &v)| *to = v),
            Numbers::Bf16(x) => to
                .zip(x[from..].iter().step_by(b.row))
                .for_each(|(to, &v)| *to = f32::from_bits(u32::from(v) << 16)),
        }
    }
}
