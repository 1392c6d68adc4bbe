//! Matrix products whose right side is packed block by block on the way, while the next block is fetched: weights that lie
//! in memory as their checkpoint has them run near the processor's peak even against few rows, and no second copy of
//! them exists. Every output element sums its blocks in ascending order, whatever the number of threads.
//!
//! After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).

use std::cell::RefCell;

use rayon::prelude::*;

use super::isa::{Isa, isa};
use super::lanes::Four;
use super::pack::pack_left;
use super::right::Right;
use super::tile::{Task, block};

/// Inner length of a block: a packed panel and a stripe of rows stay in the first-level cache (32 KiB) together.
pub(super) const DEPTH: usize = 192;
/// Inner length of the blocks of a product: short products are cut as well, since two short sums round less than a long
/// one.
pub(super) fn depth_step(depth: usize) -> usize {
    (depth / 2).next_multiple_of(8).clamp(8, DEPTH)
}

/// Columns of a block, a multiple of every panel width; the block (72 KiB) stays in the second-level cache.
pub const BLOCK: usize = 96;
/// Rows that share a packed block; more would push the packed rows out of the second-level cache.
const STRIPE: usize = 512;

/// Tasks that one thread takes at once, so that the last ones are shared out evenly.
pub(super) const TASKS_AT_ONCE: usize = 1;

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
pub(super) trait Kernel {
    /// Rows of the tile that lives in registers.
    const ROWS: usize;

    /// # Safety
    /// As [`block`], on a processor with the instructions.
    unsafe fn block(task: &Task);

    /// Packs `ROWS` rows of `depth` numbers, `stride` apart, to `[depth][ROWS]`.
    ///
    /// # Safety
    /// Both sides are valid, on a processor with the instructions.
    unsafe fn interleave(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
        for i in 0..depth {
            for r in 0..Self::ROWS {
                // SAFETY: inside both sides.
                unsafe { *to.add(i * Self::ROWS + r) = *from.add(r * stride + i) };
            }
        }
    }
}

struct Plain;
impl Kernel for Plain {
    const ROWS: usize = 4;
    unsafe fn block(task: &Task) {
        // SAFETY: passed on; portable code.
        unsafe { block::<Four, 4, 2, 2>(task) }
    }
}

#[cfg(target_arch = "x86_64")]
struct Avx2;
#[cfg(target_arch = "x86_64")]
impl Kernel for Avx2 {
    const ROWS: usize = 4;
    unsafe fn block(task: &Task) {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn with_features(task: &Task) {
            // SAFETY: passed on.
            unsafe { block::<std::arch::x86_64::__m256, 4, 3, 2>(task) }
        }
        // SAFETY: passed on.
        unsafe { with_features(task) }
    }
    unsafe fn interleave(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
        #[target_feature(enable = "avx2")]
        unsafe fn with_features(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
            // SAFETY: passed on.
            unsafe { super::lanes::interleave_four(from, stride, depth, to) }
        }
        // SAFETY: passed on.
        unsafe { with_features(from, stride, depth, to) }
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
            unsafe { block::<std::arch::x86_64::__m512, 8, 3, 4>(task) }
        }
        // SAFETY: passed on.
        unsafe { with_features(task) }
    }
    unsafe fn interleave(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
        #[target_feature(enable = "avx2")]
        unsafe fn with_features(from: *const f32, stride: usize, depth: usize, to: *mut f32) {
            // SAFETY: passed on.
            unsafe { super::lanes::transpose(from, stride, depth, to, Avx512::ROWS) }
        }
        // SAFETY: passed on.
        unsafe { with_features(from, stride, depth, to) }
    }
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
            (0..blocks).into_par_iter().with_max_len(TASKS_AT_ONCE).for_each(work);
        } else {
            (0..blocks).for_each(work);
        }
        STRIPES.set(packed);
    }
}
