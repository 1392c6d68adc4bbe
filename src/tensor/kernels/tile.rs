//! One block of columns over one stripe of packed rows, tile by tile in registers.

use super::lanes::Lanes;
use super::pack::{Ahead, pack_right, soon};
use super::product::{DEPTH, depth_step};
use super::right::{Numbers, Right, Stored};

/// One block of columns over one stripe of packed rows.
pub(super) struct Task<'a> {
    /// Rows of the stripe.
    pub rows: usize,
    /// The stripe packed: per depth block, per `ROWS` rows, `[depth][ROWS]`, missing rows 0.
    pub packed: &'a [f32],
    pub depth: usize,
    pub cols: std::ops::Range<usize>,
    pub all_cols: usize,
    pub b: Right<'a>,
    /// The stripe's first row at the block's first column.
    pub out: *mut f32,
    pub out_row: usize,
    pub scale: f32,
    pub add: bool,
    /// Room for a packed block of `b`.
    pub scratch: *mut f32,
}

/// One depth block of a task.
#[derive(Clone, Copy)]
struct Depth {
    /// Its number, first row and rows.
    kb: usize,
    from: usize,
    depth: usize,
}

/// Products of one task.
///
/// # Safety
/// The processor has the instructions of `V`; views and output as promised to [`super::product::product`].
#[inline(always)]
pub(super) unsafe fn block<V: Lanes, const R: usize, const C: usize, const FEW: usize>(task: &Task) {
    let width = V::N * C;
    let panels = task.cols.len().div_ceil(width);
    let tiles = panels * task.rows.div_ceil(R);
    let step = depth_step(task.depth);
    for kb in 0..task.depth.div_ceil(step) {
        let from = kb * step;
        let at = Depth { kb, from, depth: step.min(task.depth - from) };
        // SAFETY: scratch holds a whole block, rows and columns stay inside `b`; panels lie inside their storage.
        unsafe {
            match task.b {
                Right::Strided(b) => {
                    pack_right::<V, C>(b, &task.cols, (from, at.depth), task.scratch);
                    let mut ahead = Ahead::strided(b, (task.depth, task.all_cols), &task.cols, kb, tiles);
                    for p in 0..panels {
                        panel::<V, R, C, FEW>(task, at, p, task.scratch.add(p * width * DEPTH), &mut ahead);
                    }
                }
                Right::Packed(b) => {
                    let first = b.block(task.cols.start) + from * panels * width;
                    match b.numbers() {
                        Numbers::F32(x) => stored::<V, f32, R, C, FEW>(task, at, &x[first..], panels),
                        Numbers::Bf16(x) => stored::<V, u16, R, C, FEW>(task, at, &x[first..], panels),
                    }
                }
            }
        }
    }
}

/// The panels of one depth block that were packed once.
#[inline(always)]
unsafe fn stored<V: Lanes, W: Stored, const R: usize, const C: usize, const FEW: usize>(
    task: &Task,
    at: Depth,
    numbers: &[W],
    panels: usize,
) {
    let size = V::N * C * at.depth;
    for p in 0..panels {
        let panel_at = numbers[p * size..(p + 1) * size].as_ptr();
        // SAFETY: the panel has `size` numbers, and scratch room for them.
        unsafe {
            let b = W::widened::<V>(panel_at, size, task.scratch);
            let mut ahead = Ahead::sequential(panel_at.wrapping_add(size), size, task.rows.div_ceil(R));
            panel::<V, R, C, FEW>(task, at, p, b, &mut ahead);
        }
    }
}

/// All rows of a stripe against the panel `b`; the last tile does without the rows it lacks when at most `FEW` are there.
#[inline(always)]
unsafe fn panel<V: Lanes, const R: usize, const C: usize, const FEW: usize>(
    task: &Task,
    Depth { kb, from, depth }: Depth,
    p: usize,
    b: *const f32,
    ahead: &mut Ahead,
) {
    let width = V::N * C;
    let cols = width.min(task.cols.len() - p * width);
    let rows_at = task.rows.next_multiple_of(R) * from;
    for s in 0..task.rows.div_ceil(R) {
        ahead.fetch();
        let rows = R.min(task.rows - s * R);
        // SAFETY: the tile lies inside the packed data and the output.
        unsafe {
            let a = task.packed.as_ptr().add(rows_at + s * R * depth);
            let to = task.out.add(s * R * task.out_row + p * width);
            expect::<R>(to, task.out_row, rows);
            let add = task.add || kb > 0;
            if rows <= FEW {
                let mut acc = [[V::zero(); C]; FEW];
                steps::<V, R, C, FEW>(&mut acc, depth, a, b);
                put::<V, C>(&acc, to, task.out_row, (rows, cols), task.scale, add);
            } else {
                let mut acc = [[V::zero(); C]; R];
                V::full_tile(&mut acc, depth, a, b);
                put::<V, C>(&acc, to, task.out_row, (rows, cols), task.scale, add);
            }
        }
    }
}

/// Asks for the output of a tile while the tile is computed.
#[inline(always)]
fn expect<const R: usize>(out: *const f32, row: usize, rows: usize) {
    for r in 0..R.min(rows) {
        soon(out.wrapping_add(r * row).cast());
    }
}

/// Steps of the inner dimension per turn of the loop.
const UNROLL: usize = 4;

/// `sums += a · b` over `depth` steps, of rows packed `R` by `R`, for the first `ROWS` of them.
///
/// # Safety
/// The processor has the instructions of `V`; `a` and `b` hold all steps.
#[inline(always)]
pub(super) unsafe fn steps<V: Lanes, const R: usize, const C: usize, const ROWS: usize>(
    sums: &mut [[V; C]; ROWS],
    depth: usize,
    mut a: *const f32,
    mut b: *const f32,
) {
    // A local copy stays in registers; through the reference, which has an address, LLVM stores every sum to the stack
    // after every multiply-add.
    let mut local = *sums;
    // SAFETY: the contract.
    unsafe {
        for _ in 0..depth / UNROLL {
            for u in 0..UNROLL {
                step(&mut local, a.add(u * R), b.add(u * C * V::N));
            }
            a = a.add(UNROLL * R);
            b = b.add(UNROLL * C * V::N);
        }
        for u in 0..depth % UNROLL {
            step(&mut local, a.add(u * R), b.add(u * C * V::N));
        }
    }
    *sums = local;
}

/// One column of `a` times one row of `b`.
#[inline(always)]
unsafe fn step<V: Lanes, const C: usize, const ROWS: usize>(
    acc: &mut [[V; C]; ROWS],
    a: *const f32,
    b: *const f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let right: [V; C] = std::array::from_fn(|c| V::load(b.add(c * V::N)));
        for (r, acc) in acc.iter_mut().enumerate() {
            let left = V::splat(*a.add(r));
            for (acc, right) in acc.iter_mut().zip(right) {
                *acc = acc.fma(left, right);
            }
        }
    }
}

#[inline(always)]
unsafe fn put<V: Lanes, const C: usize>(
    acc: &[[V; C]],
    out: *mut f32,
    row: usize,
    (rows, cols): (usize, usize),
    scale: f32,
    add: bool,
) {
    // SAFETY: `rows` rows of `cols` columns lie inside the output.
    unsafe {
        let scale = V::splat(scale);
        for (r, acc) in acc.iter().enumerate() {
            if r >= rows {
                break;
            }
            let at = out.add(r * row);
            if cols == C * V::N {
                for (c, acc) in acc.iter().enumerate() {
                    let v = acc.mul(scale);
                    let to = at.add(c * V::N);
                    if add { v.add(V::load(to)).store(to) } else { v.store(to) }
                }
            } else {
                // Wide enough for three AVX-512 registers.
                let mut wide = [0f32; 48];
                for (c, acc) in acc.iter().enumerate() {
                    acc.mul(scale).store(wide.as_mut_ptr().add(c * V::N));
                }
                for (c, v) in wide.iter().enumerate().take(cols) {
                    *at.add(c) = if add { *at.add(c) + v } else { *v };
                }
            }
        }
    }
}
