//! Matrix products whose right side is packed panel by panel on the way, while the next panel is fetched: weights that lie
//! in memory as their checkpoint has them run near the processor's peak even against few rows, and no second copy of
//! them exists. Every output element sums its blocks in ascending order, whatever the number of threads.
//!
//! After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).

use std::cell::RefCell;

use rayon::prelude::*;

use super::isa::{Isa, isa};
use super::kernel::{self, Kernel};
use super::pack::pack_left;
use super::right::{Numbers, Right, Strided};
use super::tile::{LeftSide, Reading, Source, Task};

/// Inner length of a block: a panel, and the rows of a tile, stay in the first-level cache together.
pub(super) const DEPTH: usize = 192;
/// Inner length of the blocks of a product: as few as there can be, all about as long. The shortest products are cut as well,
/// since two short sums round less than a long one; from [`SHORT`] on the second visit to the output costs more than that.
pub(super) fn depth_step(depth: usize) -> usize {
    let blocks = if depth < SHORT { 2 } else { depth.div_ceil(DEPTH) };
    depth.div_ceil(blocks).next_multiple_of(8).clamp(8, DEPTH)
}

/// Inner length of a product that is not cut without need.
const SHORT: usize = 128;

/// Columns of a block, a multiple of every panel width; the block (72 KiB) stays in the second-level cache.
pub const BLOCK: usize = 96;
/// Most rows of a task; more would push the rows of a depth block out of the second-level cache.
const STRIPE: usize = 512;
/// Fewest rows that a task is cut to: each packs its panels for itself.
const FEWEST: usize = 64;
/// Tasks per thread that products are cut into, so that threads end together.
const SHARES: usize = 8;
/// Numbers of a right side with contiguous columns that is packed before the tasks start where several would do it.
const SMALL: usize = 1 << 19;

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
    /// Called for every row and block of [`BLOCK`] columns.
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
// SAFETY: tasks write disjoint elements.
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

/// Numbers of a cache line.
const LINE: usize = 16;

/// The part of `values` that begins with a cache line: no register is then loaded from two.
fn aligned(values: &mut [f32]) -> &mut [f32] {
    let skip = values.as_ptr().align_offset(LINE * size_of::<f32>());
    &mut values[skip.min(LINE)..]
}

thread_local! {
    // Memory that products use again and again. Taken out meanwhile, since a thread that waits for others may start
    // another product.
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static LEFT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static PACKED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static OUTPUT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Computes one product.
///
/// # Panics
/// When the inner size is 0.
///
/// # Safety
/// `out` must be valid for every element of the result and untouched by others meanwhile; the views of `a` and `b`
/// must lie inside their data.
pub unsafe fn product(rules: &Rules, a: Left, b: Right, out: Out) {
    assert!(rules.depth > 0, "a product without an inner size");
    // SAFETY: passed on; the instruction set was found on this processor.
    unsafe {
        if rules.rows == 1 && super::gemv::product(rules, a, b, out) {
            return;
        }
        product_with(isa(), rules, a, b, out);
    }
}

/// As [`product`] by the tiles of one instruction set.
///
/// # Safety
/// As there, and the processor has the set.
pub(super) unsafe fn product_with(isa: Isa, rules: &Rules, a: Left, b: Right, out: Out) {
    // SAFETY: passed on.
    unsafe {
        if let Some(pairs) = pairs::as_pairs(isa, b) {
            return pairs_with(isa, rules, a, pairs, out);
        }
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => run::<kernel::Avx512>(rules, a, b, out),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => run::<kernel::Avx2>(rules, a, b, out),
            Isa::Wide => run::<kernel::Wide>(rules, a, b, out),
            _ => run::<kernel::Plain>(rules, a, b, out),
        }
    }
}

/// How a product is cut into tasks: runs of `rows` rows, `cols` columns. No sum is cut.
#[derive(Clone, Copy)]
struct Plan {
    rows: usize,
    cols: usize,
}

impl Plan {
    fn new<K: Kernel>(rules: &Rules, b: Right) -> Self {
        let mut plan = Plan { rows: STRIPE, cols: BLOCK };
        if !rules.parallel {
            return plan;
        }
        let wanted = SHARES * rayon::current_num_threads();
        while plan.tasks(rules) < wanted && plan.rows > FEWEST {
            plan.rows /= 2;
        }
        // What is finished, or packed already, comes in whole blocks.
        if plan.tasks(rules) < wanted && rules.finish.is_none() && matches!(b, Right::Strided(_)) {
            plan.cols = K::WIDTH;
        }
        plan
    }

    /// Runs of rows.
    fn runs(self, rules: &Rules) -> usize {
        rules.rows.div_ceil(self.rows)
    }

    fn tasks(self, rules: &Rules) -> usize {
        self.runs(rules) * rules.cols.div_ceil(self.cols)
    }
}

/// Whether tiles read the left side where it lies. Packing costs what a few panels bring; rows or steps that lie far apart,
/// each in a page of its own, cost the more the more panels read them.
fn in_place(a: Left, rules: &Rules) -> bool {
    const FEW_COLUMNS: usize = 512;
    const NEAR: usize = 2048 / size_of::<f32>();
    (a.row == 1 || a.col == 1) && (rules.cols <= FEW_COLUMNS || a.row.max(a.col) <= NEAR)
}

unsafe fn run<K: Kernel>(rules: &Rules, a: Left, b: Right, out: Out) {
    // SAFETY: passed on.
    unsafe { run_in::<K>(rules, depth_step(rules.depth), a, (b, None), out) }
}

/// As [`run`] in depth blocks of `step`; what is packed of `b` already may be given as numbers.
unsafe fn run_in<K: Kernel>(
    rules: &Rules,
    step: usize,
    a: Left,
    (b, packed_numbers): (Right, Option<&[f32]>),
    out: Out,
) {
    let plan = Plan::new::<K>(rules, b);
    let (mut left, mut packed) = (LEFT.take(), PACKED.take());
    let small = match b {
        Right::Strided(b) if b.col != 1 && plan.runs(rules) > 1 && rules.depth * rules.cols <= SMALL => {
            // SAFETY: passed on.
            Some(unsafe { packed_first::<K>(rules, plan, b, &mut packed) })
        }
        _ => packed_numbers,
    };
    let sides = Sides { a, b, small, in_place: in_place(a, rules), step };
    // What is packed of the left side at once stays in the second-level cache; where nothing is, all rows go together.
    let stripe = if sides.in_place { rules.rows } else { STRIPE };
    for first in (0..rules.rows).step_by(stripe) {
        let rows = stripe.min(rules.rows - first);
        let begun = if sides.in_place { rows / K::ROWS * K::ROWS } else { 0 };
        let size = (rows - begun).next_multiple_of(K::ROWS) * rules.depth;
        left.resize(left.len().max(size + LINE), 0.0);
        let left = &mut aligned(&mut left)[..size];
        pack_left::<K>(a, (first + begun, rows - begun), (rules.depth, step), rules.parallel, left);
        let stripe = Rules { rows, ..*rules };
        // SAFETY: passed on.
        unsafe { tasks::<K>(&stripe, plan, sides, (first, left), out) };
    }
    LEFT.set(left);
    PACKED.set(packed);
}

/// Both sides of a product.
#[derive(Clone, Copy)]
struct Sides<'a> {
    a: Left<'a>,
    b: Right<'a>,
    /// All of `b`, packed.
    small: Option<&'a [f32]>,
    /// Whether `a` is read where it lies.
    in_place: bool,
    /// Inner length of a block.
    step: usize,
}

/// The tasks of the rows of `rules`, which begin with row `begin` of the product and whose packed part is `left`.
unsafe fn tasks<K: Kernel>(
    rules: &Rules,
    plan: Plan,
    sides: Sides,
    (begin, left): (usize, &[f32]),
    out: Out,
) {
    let blocks = rules.cols.div_ceil(plan.cols);
    let work = |at: usize| {
        // Tasks that share rows follow each other: the rows stay in the second-level cache, columns are fetched ahead.
        let (row, first) = (at / blocks * plan.rows, at % blocks * plan.cols);
        let b = match (sides.b, sides.small) {
            (_, Some(panels)) => Source::Panels(Numbers::F32(&panels[first * rules.depth..])),
            (Right::Packed(b), _) => Source::Panels(b.numbers().from(b.block(first))),
            (Right::Strided(b), _) => Source::Strided(b),
        };
        let a = sides.a;
        let left = match sides.in_place {
            true => {
                let at = a.data.as_ptr().wrapping_add((begin + row) * a.row);
                LeftSide::InPlace(Reading { at, row: a.row, step: a.col }, left)
            }
            false => LeftSide::Packed(left, rules.rows.next_multiple_of(K::ROWS), row),
        };
        let task = Task {
            rows: plan.rows.min(rules.rows - row),
            left,
            depth: rules.depth,
            step: sides.step,
            cols: first..(first + plan.cols).min(rules.cols),
            all_cols: rules.cols,
            b,
            out: out.at(begin + row, first),
            out_row: out.row,
            scale: rules.scale,
            add: rules.add,
            scratch: std::ptr::null_mut(),
        };
        // SAFETY: the caller's promise; this task alone writes these rows and columns.
        unsafe { finished::<K>(rules, out, (begin + row, first), task) };
    };
    let tasks = plan.tasks(rules);
    if rules.parallel {
        (0..tasks).into_par_iter().with_max_len(TASKS_AT_ONCE).for_each(work);
    } else {
        (0..tasks).for_each(work);
    }
}

/// Computes a task, in memory of this thread where the product itself is not wanted, and finishes its rows.
unsafe fn finished<K: Kernel>(rules: &Rules, out: Out, (first_row, first): (usize, usize), mut task: Task) {
    let (mut scratch, mut output) = (PANEL.take(), OUTPUT.take());
    scratch.resize(scratch.len().max(K::WIDTH * DEPTH + LINE), 0.0);
    task.scratch = aligned(&mut scratch).as_mut_ptr();
    if out.is_nowhere() {
        output.resize(output.len().max(task.rows * BLOCK + LINE), 0.0);
        task.out = aligned(&mut output).as_mut_ptr();
    }
    // SAFETY: passed on.
    unsafe {
        K::block(&task);
        if let Some(finish) = rules.finish {
            for r in 0..task.rows {
                let values = task.out.add(r * task.out_row);
                finish(first_row + r, first, std::slice::from_raw_parts_mut(values, task.cols.len()));
            }
        }
    }
    PANEL.set(scratch);
    OUTPUT.set(output);
}

/// The whole of `b` packed in the order in which tasks read it.
unsafe fn packed_first<'a, K: Kernel>(
    rules: &Rules,
    plan: Plan,
    b: Strided,
    room: &'a mut Vec<f32>,
) -> &'a [f32] {
    let size = rules.depth * rules.cols.next_multiple_of(K::WIDTH);
    room.resize(room.len().max(size + LINE), 0.0);
    let packed = &mut aligned(room)[..size];
    let step = depth_step(rules.depth);
    let pack = |(at, block): (usize, &mut [f32])| {
        let first = at * plan.cols;
        let mut panels = block;
        for from in (0..rules.depth).step_by(step) {
            let depth = step.min(rules.depth - from);
            for first in (first..(first + plan.cols).min(rules.cols)).step_by(K::WIDTH) {
                let (panel, rest) = panels.split_at_mut(K::WIDTH * depth);
                panels = rest;
                let cols = K::WIDTH.min(rules.cols - first);
                // SAFETY: the panel has room for its rows, which lie inside `b`.
                unsafe { K::pack(b, (from, depth), (first, cols), panel.as_mut_ptr()) };
            }
        }
    };
    packed.par_chunks_mut(plan.cols * rules.depth).enumerate().for_each(pack);
    packed
}

#[path = "pairs.rs"]
mod pairs;
pub(super) use pairs::pairs_with;

#[cfg(test)]
#[path = "product_tests.rs"]
mod tests;
