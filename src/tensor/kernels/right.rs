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

/// A weight as it lies in memory.
pub(super) trait Stored: Copy + Default + Send + Sync {
    fn wide(self) -> f32;
    /// # Safety
    /// As [`Lanes::load`].
    unsafe fn load<V: Lanes>(p: *const Self) -> V;
    /// `n` numbers as f32: themselves, or widened into `room`.
    ///
    /// # Safety
    /// The processor has the instructions of `V`, whose width divides `n`; both sides hold `n` numbers.
    unsafe fn widened<V: Lanes>(p: *const Self, n: usize, room: *mut f32) -> *const f32;
}

impl Stored for f32 {
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
    unsafe fn widened<V: Lanes>(p: *const f32, _: usize, _: *mut f32) -> *const f32 {
        p
    }
}

/// bf16 bits.
impl Stored for u16 {
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
    unsafe fn widened<V: Lanes>(p: *const u16, n: usize, room: *mut f32) -> *const f32 {
        for i in (0..n).step_by(V::N) {
            // SAFETY: the contract.
            unsafe { V::load_bf16(p.add(i)).store(room.add(i)) };
        }
        room
    }
}
