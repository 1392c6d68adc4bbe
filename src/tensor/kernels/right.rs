//! The right side of a product: where its numbers lie.

use super::lanes::Lanes;
use super::packed::Packed;

/// The right side of a product, `[depth, cols]`.
#[derive(Clone, Copy)]
pub enum Right<'a> {
    /// As it lies in memory; packed block by block on the way.
    Strided(Strided<'a>),
    /// Packed once, for weights that never change.
    Packed(&'a Packed),
}

/// A matrix whose element `(i, j)` lies at `i·row + j·col`.
#[derive(Clone, Copy)]
pub struct Strided<'a> {
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

impl<'a> Numbers<'a> {
    pub fn len(&self) -> usize {
        match self {
            Numbers::F32(x) => x.len(),
            Numbers::Bf16(x) => x.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where they lie, and bytes of each.
    pub(super) fn bytes(self) -> (*const i8, usize) {
        match self {
            Numbers::F32(x) => (x.as_ptr().cast(), size_of::<f32>()),
            Numbers::Bf16(x) => (x.as_ptr().cast(), size_of::<u16>()),
        }
    }

    /// Those from `at` on.
    pub(super) fn from(self, at: usize) -> Self {
        match self {
            Numbers::F32(x) => Numbers::F32(&x[at..]),
            Numbers::Bf16(x) => Numbers::Bf16(&x[at..]),
        }
    }

    /// The right side `[n, cols]` that a row-major matrix is.
    pub fn rows(self, cols: usize) -> Strided<'a> {
        Strided { data: self, row: cols, col: 1 }
    }

    /// The right side `[width, n]` that a row-major `[n, width]` matrix is when transposed.
    pub fn transposed(self, width: usize) -> Strided<'a> {
        Strided { data: self, row: 1, col: width }
    }
}

impl<'a> From<Strided<'a>> for Right<'a> {
    fn from(strided: Strided<'a>) -> Self {
        Right::Strided(strided)
    }
}

impl Right<'_> {
    /// Whether a `[depth, cols]` matrix can be read from it.
    pub fn holds(&self, depth: usize, cols: usize) -> bool {
        match self {
            Right::Strided(s) => depth * cols == 0 || (depth - 1) * s.row + (cols - 1) * s.col < s.data.len(),
            Right::Packed(p) => p.depth() == depth && p.cols() == cols,
        }
    }
}

/// A weight as it lies in memory, or packed: then a line of a panel holds [`Stored::ROWS`] rows, number by number.
pub(super) trait Stored: Copy + Default + Send + Sync {
    const ROWS: usize;

    fn wide(self) -> f32;
    /// # Safety
    /// As [`Lanes::load`].
    unsafe fn load<V: Lanes>(p: *const Self) -> V;
    /// A packed panel of `lines` lines of `width` columns as f32 rows: itself, or widened into `room`.
    ///
    /// # Safety
    /// The processor has the instructions of `V`, whose width divides `width`; both sides hold all rows.
    unsafe fn widened<V: Lanes>(p: *const Self, lines: usize, width: usize, room: *mut f32) -> *const f32;
    /// `sums += x · line`, one number of `x` for each of its rows.
    ///
    /// # Safety
    /// As [`Lanes::load`], for `C` registers.
    unsafe fn add_line<V: Lanes, const C: usize>(sums: &mut [V; C], x: *const f32, line: *const Self);
}

impl Stored for f32 {
    const ROWS: usize = 1;

    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
    #[inline(always)]
    unsafe fn load<V: Lanes>(p: *const f32) -> V {
        // SAFETY: passed on.
        unsafe { V::load(p) }
    }
    #[inline(always)]
    unsafe fn widened<V: Lanes>(p: *const f32, _: usize, _: usize, _: *mut f32) -> *const f32 {
        p
    }
    #[inline(always)]
    unsafe fn add_line<V: Lanes, const C: usize>(sums: &mut [V; C], x: *const f32, line: *const f32) {
        // SAFETY: the contract.
        unsafe {
            let x = V::splat(*x);
            for (c, sum) in sums.iter_mut().enumerate() {
                *sum = sum.fma(x, V::load(line.add(c * V::N)));
            }
        }
    }
}

/// bf16 bits; packed, two rows lie side by side.
impl Stored for u16 {
    const ROWS: usize = 2;

    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }
    #[inline(always)]
    unsafe fn load<V: Lanes>(p: *const u16) -> V {
        // SAFETY: passed on.
        unsafe { V::load_bf16(p) }
    }
    #[inline(always)]
    unsafe fn widened<V: Lanes>(p: *const u16, lines: usize, width: usize, room: *mut f32) -> *const f32 {
        for line in 0..lines {
            for c in (0..width).step_by(V::N) {
                // SAFETY: the contract.
                unsafe {
                    let (first, second) = V::load_pairs(p.add(2 * (line * width + c)));
                    first.store(room.add(2 * line * width + c));
                    second.store(room.add((2 * line + 1) * width + c));
                }
            }
        }
        room
    }
    #[inline(always)]
    unsafe fn add_line<V: Lanes, const C: usize>(sums: &mut [V; C], x: *const f32, line: *const u16) {
        // SAFETY: the contract.
        unsafe {
            let (x0, x1) = (V::splat(*x), V::splat(*x.add(1)));
            for (c, sum) in sums.iter_mut().enumerate() {
                let (first, second) = V::load_pairs(line.add(2 * c * V::N));
                *sum = sum.fma(x0, first).fma(x1, second);
            }
        }
    }
}
