//! One block of columns over one run of rows, tile by tile in registers.

use super::ahead::{Ahead, soon};
use super::lanes::Lanes;
use super::pack::pack_panel;
use super::right::{Numbers, Stored, Strided};

/// One block of columns over one run of rows.
pub(super) struct Task<'a> {
    pub rows: usize,
    pub left: LeftSide<'a>,
    pub depth: usize,
    /// Inner length of a block.
    pub step: usize,
    pub cols: std::ops::Range<usize>,
    pub all_cols: usize,
    pub b: Source<'a>,
    /// The first row at the first column.
    pub out: *mut f32,
    pub out_row: usize,
    pub scale: f32,
    pub add: bool,
    /// Room for a packed panel of `b`.
    pub scratch: *mut f32,
}

/// Where a tile reads its left side: number `i` of row `r` at `at[r·row + i·step]`. One of the strides is 1.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub at: *const f32,
    pub row: usize,
    pub step: usize,
}

/// The rows of a task.
#[derive(Clone, Copy)]
pub(super) enum LeftSide<'a> {
    /// Where they lie, from the task's first row on; and packed as below the rows that make no whole tile.
    InPlace(Reading, &'a [f32]),
    /// So many packed rows, of which the task begins with one: per depth block, per `R` rows, `[depth][R]`, missing rows 0.
    Packed(&'a [f32], usize, usize),
}

impl LeftSide<'_> {
    /// The tile of `R` rows from `row` on, of which `there` exist, in one depth block.
    #[inline(always)]
    fn tile<const R: usize>(self, row: usize, there: usize, Part { from, depth, .. }: Part) -> Reading {
        let packed = |at: *const f32| Reading { at, row: 1, step: R };
        match self {
            LeftSide::InPlace(rows, _) if there == R => {
                Reading { at: rows.at.wrapping_add(row * rows.row + from * rows.step), ..rows }
            }
            LeftSide::InPlace(_, tail) => packed(tail.as_ptr().wrapping_add(from * R)),
            LeftSide::Packed(all, rows, first) => {
                packed(all.as_ptr().wrapping_add(from * rows + (first + row) * depth))
            }
        }
    }
}

/// Where a tile reads a panel of the right side: rows of whole registers, `row` numbers apart.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub at: *const f32,
    pub row: usize,
    /// Where the tile packs the panel for those that follow; null where it does not.
    pub keep: *mut f32,
    /// Numbers between the rows of a packed panel.
    pub packed_row: usize,
}

impl Panel {
    /// One whose rows of `width` numbers lie one after another.
    #[inline(always)]
    fn packed(at: *const f32, width: usize) -> Self {
        Panel { at, row: width, keep: std::ptr::null_mut(), packed_row: width }
    }
}

/// The right side of a task.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// As it lies; its first tile packs each panel.
    Strided(Strided<'a>),
    /// The panels of the task's block, packed in the order in which it reads them.
    Panels(Numbers<'a>),
}

/// One panel of one depth block of a task.
#[derive(Clone, Copy)]
struct Part {
    /// First row of the right side, and rows.
    from: usize,
    depth: usize,
    /// First column within the block, and columns.
    first: usize,
    cols: usize,
}

/// Products of one task.
///
/// # Safety
/// The processor has the instructions of `V`; views and output as promised to [`super::product::product`].
#[inline(always)]
pub(super) unsafe fn block<V: Lanes, const R: usize, const C: usize, const FEW: usize>(task: &Task) {
    let width = V::N * C;
    let padded = task.cols.len().next_multiple_of(width);
    let step = task.step;
    for from in (0..task.depth).step_by(step) {
        let depth = step.min(task.depth - from);
        for first in (0..padded).step_by(width) {
            let part = Part { from, depth, first, cols: width.min(task.cols.len() - first) };
            // What a packed panel holds, with the row that is missing to a last pair.
            let held = match task.b {
                Source::Panels(Numbers::Bf16(_)) => depth.next_multiple_of(2),
                _ => depth,
            };
            let at = from * padded + first * held;
            // SAFETY: scratch holds a panel, rows and columns stay inside `b`; panels lie inside their storage.
            unsafe {
                match task.b {
                    Source::Strided(b) => lying::<V, R, C, FEW>(task, part, b),
                    Source::Panels(Numbers::F32(x)) => {
                        packed::<V, f32, R, C, FEW>(task, part, &x[at..at + width * held]);
                    }
                    Source::Panels(Numbers::Bf16(x)) => {
                        packed::<V, u16, R, C, FEW>(task, part, &x[at..at + width * held]);
                    }
                }
            }
        }
    }
}

/// A panel of a matrix as it lies.
#[inline(always)]
unsafe fn lying<V: Lanes, const R: usize, const C: usize, const FEW: usize>(
    task: &Task,
    part: Part,
    b: Strided,
) {
    let (width, first) = (V::N * C, task.cols.start + part.first);
    let (step, end) = (task.step, first + part.cols);
    // What comes after this panel: the next one of the depth block, of the block, of the matrix.
    let next = match (end < task.cols.end, part.from + step < task.depth) {
        (true, _) => (part.from, end),
        (false, true) => (part.from + step, task.cols.start),
        (false, false) => (0, task.cols.end),
    };
    let room = (step.min(task.depth - next.0), width.min(task.all_cols - next.1));
    let mut ahead = Ahead::strided(b, (next.0, room.0), (next.1, room.1));
    let right = match b.data {
        // Rows of whole registers are read where they lie, and packed on the way.
        Numbers::F32(x) if b.col == 1 && part.cols.is_multiple_of(V::N) => {
            let keep = if task.rows > R { task.scratch } else { std::ptr::null_mut() };
            let at = x.as_ptr().wrapping_add(part.from * b.row + first);
            Panel { at, row: b.row, keep, packed_row: width }
        }
        _ => {
            // SAFETY: the caller's promise.
            unsafe {
                pack_panel::<V>(b, (part.from, part.depth), (first, part.cols), (task.scratch, width));
            }
            Panel::packed(task.scratch, width)
        }
    };
    // SAFETY: the caller's promise.
    unsafe { panel::<V, R, C, FEW>(task, part, right, &mut ahead) }
}

/// A packed panel.
#[inline(always)]
unsafe fn packed<V: Lanes, W: Stored, const R: usize, const C: usize, const FEW: usize>(
    task: &Task,
    part: Part,
    numbers: &[W],
) {
    let next = numbers.as_ptr().wrapping_add(numbers.len());
    let mut ahead = Ahead::sequential(next, numbers.len(), task.rows.div_ceil(R), part.depth);
    // SAFETY: the caller's promise.
    unsafe {
        let width = V::N * C;
        let lines = numbers.len() / (W::ROWS * width);
        let at = W::widened::<V>(numbers.as_ptr(), lines, width, task.scratch);
        panel::<V, R, C, FEW>(task, part, Panel::packed(at, width), &mut ahead);
    }
}

/// All rows of a task against a panel, as narrow as its columns allow.
#[inline(always)]
unsafe fn panel<V: Lanes, const R: usize, const C: usize, const FEW: usize>(
    task: &Task,
    part: Part,
    right: Panel,
    ahead: &mut Ahead,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match part.cols.div_ceil(V::N) {
            1 => rows::<V, R, 1, FEW>(task, part, right, ahead),
            2 => rows::<V, R, 2, FEW>(task, part, right, ahead),
            _ => rows::<V, R, C, FEW>(task, part, right, ahead),
        }
    }
}

/// All rows of a task against `C` registers of a panel; the last tile does without the rows it lacks when at most `FEW` are
/// there.
#[inline(always)]
unsafe fn rows<V: Lanes, const R: usize, const C: usize, const FEW: usize>(
    task: &Task,
    part: Part,
    mut right: Panel,
    ahead: &mut Ahead,
) {
    let Part { from, depth, first, cols } = part;
    let add = task.add || from > 0;
    for row in (0..task.rows).step_by(R) {
        let there = R.min(task.rows - row);
        let asked = ahead.next(depth, right.at);
        // SAFETY: the tile lies inside both sides and the output.
        unsafe {
            let left = task.left.tile::<R>(row, there, part);
            let at = task.out.add(row * task.out_row + first);
            let place = Place { at, row: task.out_row, rows: there, cols, scale: task.scale, add };
            for r in 0..there {
                soon(at.wrapping_add(r * task.out_row), C * V::N);
            }
            if there <= FEW {
                asked.all(depth);
                place.put::<V, FEW, C, C>(&steps::<V, FEW, C>(depth, left, right));
            } else {
                V::tile::<R, C>(depth, left, right, asked, place);
            }
        }
        if !right.keep.is_null() {
            right = Panel::packed(right.keep, right.packed_row);
        }
    }
}

/// The sums of `ROWS` rows and `C` registers over `depth` steps.
///
/// # Safety
/// The processor has the instructions of `V`; both sides hold all steps.
#[inline(always)]
pub(super) unsafe fn steps<V: Lanes, const ROWS: usize, const C: usize>(
    depth: usize,
    left: Reading,
    right: Panel,
) -> [[V; C]; ROWS] {
    // SAFETY: the contract.
    unsafe {
        if left.step == 1 {
            walk::<V, ROWS, C, true>(depth, left, right)
        } else {
            walk::<V, ROWS, C, false>(depth, left, right)
        }
    }
}

/// As [`steps`] for rows that lie apart or side by side.
#[inline(always)]
unsafe fn walk<V: Lanes, const ROWS: usize, const C: usize, const APART: bool>(
    depth: usize,
    left: Reading,
    right: Panel,
) -> [[V; C]; ROWS] {
    // SAFETY: the contract.
    unsafe {
        let mut sums = [[V::zero(); C]; ROWS];
        let (mut b, mut keep) = (right.at, right.keep);
        for i in 0..depth {
            let panel: [V; C] = std::array::from_fn(|c| V::load(b.add(c * V::N)));
            b = b.wrapping_add(right.row);
            if !keep.is_null() {
                for (c, panel) in panel.iter().enumerate() {
                    panel.store(keep.add(c * V::N));
                }
                keep = keep.add(right.packed_row);
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let at = if APART { r * left.row + i } else { i * left.step + r };
                let x = V::splat(*left.at.add(at));
                for (sum, panel) in sums.iter_mut().zip(panel) {
                    *sum = sum.fma(x, panel);
                }
            }
        }
        sums
    }
}

/// Where a tile's sums go: `rows` rows of `cols` columns, times `scale`, added to what is there or written over it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub at: *mut f32,
    /// Numbers between rows.
    pub row: usize,
    pub rows: usize,
    pub cols: usize,
    pub scale: f32,
    pub add: bool,
}

impl Place {
    /// Writes, or adds, the first `C` of `S` registers of every row.
    ///
    /// # Safety
    /// The processor has the instructions of `V`; all rows and columns lie inside the output.
    #[inline(always)]
    pub unsafe fn put<V: Lanes, const R: usize, const S: usize, const C: usize>(self, sums: &[[V; S]; R]) {
        // SAFETY: the contract.
        unsafe {
            let scale = V::splat(self.scale);
            let whole = self.cols == C * V::N;
            for (r, sums) in sums.iter().enumerate() {
                if r < self.rows {
                    let to = self.at.add(r * self.row);
                    for (c, sum) in sums.iter().enumerate().take(C) {
                        let (to, sum) = (to.add(c * V::N), sum.mul(scale));
                        if whole || c + 1 < C {
                            if self.add { sum.add(V::load(to)).store(to) } else { sum.store(to) }
                        } else {
                            let n = self.cols - c * V::N;
                            let sum = if self.add { sum.add(V::load_first(to, n)) } else { sum };
                            sum.store_first(to, n);
                        }
                    }
                }
            }
        }
    }
}
