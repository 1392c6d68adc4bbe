//! Matrix products whose right side is packed block by block on the way, while the next block is fetched: weights that lie
//! in memory as their checkpoint has them run near the processor's peak even against few rows, and no second copy of
//! them exists. Every output element sums its blocks in ascending order, whatever the number of threads.
//!
//! After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).

use std::cell::RefCell;

use rayon::prelude::*;

use super::isa::{Isa, isa};
use super::lanes::{Four, Lanes};

/// Inner length of a block: a packed panel and a stripe of rows stay in the first-level cache (32 KiB) together.
const DEPTH: usize = 192;
/// Inner length of the blocks of a product: short products are cut as well, since two short sums round less than a long
/// one.
fn depth_step(depth: usize) -> usize {
    (depth / 2).next_multiple_of(8).clamp(8, DEPTH)
}

/// Columns of a block, a multiple of every panel width; the block (72 KiB) stays in the second-level cache.
pub const BLOCK: usize = 96;
/// Rows that share a packed block; more would push the packed rows out of the second-level cache.
const STRIPE: usize = 512;

/// The right side of a product, `[k, n]`, element `(i, j)` at `i·row + j·col`.
#[derive(Clone, Copy)]
pub struct Right<'a> {
    pub data: Numbers<'a>,
    pub row: usize,
    pub col: usize,
}

/// f32, or bf16 bits.
#[derive(Clone, Copy)]
pub enum Numbers<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
}

impl Numbers<'_> {
    pub fn len(&self) -> usize {
        match self {
            Numbers::F32(x) => x.len(),
            Numbers::Bf16(x) => x.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> Numbers<'a> {
    /// The right side `[width, n]` that a row-major `[n, width]` matrix is when transposed.
    pub fn transposed(self, width: usize) -> Right<'a> {
        Right { data: self, row: 1, col: width }
    }
}

/// What happens to a finished stretch of one output row: `(row, first column, values)`.
pub type Finish<'a> = &'a (dyn Fn(usize, usize, &mut [f32]) + Sync);

/// Sizes and rules of one product `out ← scale·(a × b) [+ out]`.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    pub rows: usize,
    pub depth: usize,
    pub cols: usize,
    pub scale: f32,
    /// Adds to `out` instead of writing over it.
    pub add: bool,
    pub finish: Option<Finish<'a>>,
    pub parallel: bool,
}

/// The output: element `(r, c)` at `r·row + c`. A null pointer means that nobody wants the product itself, only what
/// `finish` makes of it: then no more than a block per thread exists.
#[derive(Clone, Copy)]
pub struct Out {
    pub data: *mut f32,
    pub row: usize,
}

impl Out {
    /// Only for `finish`.
    pub const NOWHERE: Out = Out { data: std::ptr::null_mut(), row: BLOCK };

    pub(super) fn is_nowhere(self) -> bool {
        self.data.is_null()
    }

    /// The element `(r, c)`; of no use where there is no output.
    pub(super) fn at(self, r: usize, c: usize) -> *mut f32 {
        self.data.wrapping_add(r * self.row + c)
    }
}
// SAFETY: tasks write disjoint columns.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

/// The left side, `[rows, depth]`, element `(r, i)` at `r·row + i·col`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

thread_local! {
    static BLOCKS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static STRIPES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static OUTPUTS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Computes one product.
///
/// # Safety
/// `out` must be valid for every element of the result and untouched by others meanwhile; the views of `a` and `b`
/// must lie inside their data.
pub unsafe fn product(rules: &Rules, a: Left, b: Right, out: Out) {
    // SAFETY: passed on; the instruction set was found on this processor.
    unsafe {
        if rules.rows == 1 && super::gemv::product(rules, a, b, out) {
            return;
        }
        match isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => run::<Avx512>(rules, a, b, out),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => run::<Avx2>(rules, a, b, out),
            _ => run::<Plain>(rules, a, b, out),
        }
    }
}

/// A kernel for one instruction set.
trait Kernel {
    /// Rows of the tile that lives in registers.
    const ROWS: usize;

    /// # Safety
    /// As [`block`], on a processor with the instructions.
    unsafe fn block(task: &Task);
}

struct Plain;
impl Kernel for Plain {
    const ROWS: usize = 4;
    unsafe fn block(task: &Task) {
        // SAFETY: passed on; portable code.
        unsafe { block::<Four, 4, 2>(task) }
    }
}

#[cfg(target_arch = "x86_64")]
struct Avx2;
#[cfg(target_arch = "x86_64")]
impl Kernel for Avx2 {
    const ROWS: usize = 6;
    unsafe fn block(task: &Task) {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn with_features(task: &Task) {
            // SAFETY: passed on.
            unsafe { block::<std::arch::x86_64::__m256, 6, 2>(task) }
        }
        // SAFETY: passed on.
        unsafe { with_features(task) }
    }
}

#[cfg(target_arch = "x86_64")]
struct Avx512;
#[cfg(target_arch = "x86_64")]
impl Kernel for Avx512 {
    const ROWS: usize = 8;
    unsafe fn block(task: &Task) {
        #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
        unsafe fn with_features(task: &Task) {
            // SAFETY: passed on.
            unsafe { block::<std::arch::x86_64::__m512, 8, 3>(task) }
        }
        // SAFETY: passed on.
        unsafe { with_features(task) }
    }
}

/// One block of columns over one stripe of packed rows.
struct Task<'a> {
    /// Rows of the stripe.
    rows: usize,
    /// The stripe packed: per depth block, per `ROWS` rows, `[depth][ROWS]`, missing rows 0.
    packed: &'a [f32],
    depth: usize,
    cols: std::ops::Range<usize>,
    all_cols: usize,
    b: Right<'a>,
    /// The stripe's first row at the block's first column.
    out: *mut f32,
    out_row: usize,
    scale: f32,
    add: bool,
    /// Room for a packed block of `b`.
    scratch: *mut f32,
}

unsafe fn run<K: Kernel>(rules: &Rules, a: Left, b: Right, out: Out) {
    let blocks = rules.cols.div_ceil(BLOCK);
    for first_row in (0..rules.rows).step_by(STRIPE) {
        let rows = STRIPE.min(rules.rows - first_row);
        let size = rows.next_multiple_of(K::ROWS) * rules.depth;
        let mut packed = STRIPES.with(RefCell::take);
        packed.resize(size.max(packed.len()), 0.0);
        pack_left::<K>(a, first_row, rows, rules, &mut packed[..size]);
        let stripe = &packed[..size];
        let work = |at: usize| {
            let cols = at * BLOCK..((at + 1) * BLOCK).min(rules.cols);
            BLOCKS.with_borrow_mut(|scratch| {
                scratch.resize(BLOCK * DEPTH, 0.0);
                let mut task = Task {
                    rows,
                    packed: stripe,
                    depth: rules.depth,
                    cols: cols.clone(),
                    all_cols: rules.cols,
                    b,
                    out: out.at(first_row, cols.start),
                    out_row: out.row,
                    scale: rules.scale,
                    add: rules.add,
                    scratch: scratch.as_mut_ptr(),
                };
                let compute = |task: &Task| {
                    // SAFETY: the caller's promise; this task alone writes these columns.
                    unsafe {
                        K::block(task);
                        let Some(finish) = rules.finish else { return };
                        for r in 0..rows {
                            let at = task.out.add(r * task.out_row);
                            finish(first_row + r, cols.start, std::slice::from_raw_parts_mut(at, cols.len()));
                        }
                    }
                };
                if out.is_nowhere() {
                    OUTPUTS.with_borrow_mut(|output| {
                        output.resize(output.len().max(rows * BLOCK), 0.0);
                        task.out = output.as_mut_ptr();
                        compute(&task);
                    });
                } else {
                    compute(&task);
                }
            });
        };
        if rules.parallel {
            (0..blocks).into_par_iter().for_each(work);
        } else {
            (0..blocks).for_each(work);
        }
        STRIPES.set(packed);
    }
}

/// Brings a stripe of `a` into the order in which tiles read it.
fn pack_left<K: Kernel>(a: Left, first_row: usize, rows: usize, rules: &Rules, packed: &mut [f32]) {
    let padded = rows.next_multiple_of(K::ROWS);
    let step = depth_step(rules.depth);
    let pack = |(kb, block): (usize, &mut [f32])| {
        let from = kb * step;
        let depth = step.min(rules.depth - from);
        for (p, panel) in block.chunks_mut(K::ROWS * depth).enumerate() {
            for r in 0..K::ROWS {
                let row = p * K::ROWS + r;
                if row >= rows {
                    panel.iter_mut().skip(r).step_by(K::ROWS).for_each(|x| *x = 0.0);
                    continue;
                }
                let at = (first_row + row) * a.row + from * a.col;
                let source = a.data[at..].iter().step_by(a.col.max(1));
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

/// Products of one task.
///
/// # Safety
/// The processor has the instructions of `V`; views and output as promised to [`product`].
#[inline(always)]
unsafe fn block<V: Lanes, const R: usize, const C: usize>(task: &Task) {
    let width = V::N * C;
    let panels = task.cols.len().div_ceil(width);
    let stripes = task.rows.div_ceil(R);
    let step = depth_step(task.depth);
    for kb in 0..task.depth.div_ceil(step) {
        let from = kb * step;
        let depth = step.min(task.depth - from);
        // SAFETY: scratch holds a whole block, rows and columns stay inside `b`.
        unsafe { pack_right::<V, C>(task, from, depth) };
        let mut ahead = Ahead::new(task, kb, panels * stripes);
        let rows_at = task.rows.next_multiple_of(R) * from;
        for p in 0..panels {
            let first = task.cols.start + p * width;
            let cols = width.min(task.cols.end - first);
            for s in 0..stripes {
                ahead.fetch();
                let rows = R.min(task.rows - s * R);
                // SAFETY: the tile lies inside the packed data and the output.
                unsafe {
                    let a = task.packed.as_ptr().add(rows_at + s * R * depth);
                    let b = task.scratch.add(p * width * DEPTH);
                    let acc = tile::<V, R, C>(depth, a, b);
                    let to = task.out.add(s * R * task.out_row + p * width);
                    let add = task.add || kb > 0;
                    put::<V, R, C>(&acc, to, task.out_row, (rows, cols), task.scale, add);
                }
            }
        }
    }
}

/// `R × C·N` sums in registers.
#[inline(always)]
unsafe fn tile<V: Lanes, const R: usize, const C: usize>(
    depth: usize,
    mut a: *const f32,
    mut b: *const f32,
) -> [[V; C]; R] {
    // SAFETY: panels hold `depth` steps of `R` rows and `C·N` columns.
    unsafe {
        let mut acc = [[V::zero(); C]; R];
        for _ in 0..depth {
            let right: [V; C] = std::array::from_fn(|c| V::load(b.add(c * V::N)));
            for (r, acc) in acc.iter_mut().enumerate() {
                let left = V::splat(*a.add(r));
                for (acc, right) in acc.iter_mut().zip(right) {
                    *acc = acc.fma(left, right);
                }
            }
            a = a.add(R);
            b = b.add(C * V::N);
        }
        acc
    }
}

#[inline(always)]
unsafe fn put<V: Lanes, const R: usize, const C: usize>(
    acc: &[[V; C]; R],
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

/// Packs rows `from..from + depth` of the task's columns: per panel `[depth][C·N]`, missing columns 0.
#[inline(always)]
unsafe fn pack_right<V: Lanes, const C: usize>(task: &Task, from: usize, depth: usize) {
    let width = V::N * C;
    let Right { data, row, col } = task.b;
    for (p, first) in task.cols.clone().step_by(width).enumerate() {
        let cols = width.min(task.cols.end - first);
        // SAFETY: the panel lies inside the scratch block, the rows inside `b`.
        unsafe {
            let to = task.scratch.add(p * width * DEPTH);
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
struct Ahead {
    next: *const i8,
    /// Bytes between rows, lines of a row, rows.
    stride: usize,
    lines: usize,
    left: usize,
    per_tile: usize,
    line: usize,
}

const LINE: usize = 64;

impl Ahead {
    #[inline(always)]
    fn new(task: &Task, kb: usize, tiles: usize) -> Self {
        let size = match task.b.data {
            Numbers::F32(_) => 4,
            Numbers::Bf16(_) => 2,
        };
        let base: *const i8 = match task.b.data {
            Numbers::F32(b) => b.as_ptr().cast(),
            Numbers::Bf16(b) => b.as_ptr().cast(),
        };
        let step = depth_step(task.depth);
        let (from, first) = match (kb + 1) * step < task.depth {
            true => ((kb + 1) * step, task.cols.start),
            false => (0, task.cols.end),
        };
        let depth = step.min(task.depth - from);
        let cols = BLOCK.min(task.all_cols - first);
        let at = from * task.b.row + first * task.b.col;
        let (stride, lines, rows) = match task.b.col {
            1 => (task.b.row * size, (cols * size).div_ceil(LINE), depth),
            col => (col * size, (depth * size).div_ceil(LINE), cols),
        };
        let left = lines * rows;
        let next = base.wrapping_add(at * size);
        Ahead { next, stride, lines, left, per_tile: left.div_ceil(tiles.max(1)), line: 0 }
    }

    #[inline(always)]
    fn fetch(&mut self) {
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
