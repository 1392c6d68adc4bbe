//! Weights that never change, packed once in the order in which the product reads them: one sequential stream, whatever
//! the number of rows beside it. The copy replaces the matrix it was made from.

use std::ops::Range;

use rayon::prelude::*;

use super::isa::{Isa, isa};
use super::kernel::{self, Kernel};
use super::product::{BLOCK, depth_step};
use super::right::{Numbers, Stored, Strided};
use crate::tensor::memory::room;

/// Columns of a panel: what the tile of this processor's kernel is wide.
fn panel_width() -> usize {
    match isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => kernel::Avx512::WIDTH,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => kernel::Avx2::WIDTH,
        Isa::Wide => kernel::Wide::WIDTH,
        _ => kernel::Plain::WIDTH,
    }
}

/// A `[depth, cols]` matrix as blocks of [`BLOCK`] columns; a block is a row of depth blocks of [`depth_step`], each of
/// these panels of `width` columns, a panel `[depth][width]`, in bf16 `[depth / 2][width][2]`. What is missing is 0.
pub struct Packed {
    data: Store,
    depth: usize,
    cols: usize,
    width: usize,
}

enum Store {
    F32(Vec<f32>),
    /// bf16 bits.
    Bf16(Vec<u16>),
}

impl Packed {
    /// Packs a `[depth, cols]` matrix.
    ///
    /// # Panics
    /// When the data is too small for it.
    pub fn new(from: Strided, (depth, cols): (usize, usize)) -> Self {
        Self::with_width(from, (depth, cols), panel_width())
    }

    /// As [`Packed::new`], for the kernels of AVX-512 and their portable twins.
    pub(super) fn wide(from: Strided, size: (usize, usize)) -> Self {
        Self::with_width(from, size, kernel::Wide::WIDTH)
    }

    /// As [`Packed::new`], for a kernel whose panels have `width` columns.
    pub(super) fn with_width(from: Strided, (depth, cols): (usize, usize), width: usize) -> Self {
        assert!(super::right::Right::Strided(from).holds(depth, cols), "the matrix reaches past its data");
        let mut packed = Packed { data: Store::F32(Vec::new()), depth, cols, width };
        let strides = (from.row, from.col);
        packed.data = match from.data {
            Numbers::F32(x) => Store::F32(packed.fill(x, strides)),
            Numbers::Bf16(x) => Store::Bf16(packed.fill(x, strides)),
        };
        packed
    }

    /// The same matrix with its numbers rounded to bf16.
    #[must_use]
    pub fn rounded(&self) -> Self {
        let data = match &self.data {
            Store::F32(x) => self.rounded_panels(x),
            Store::Bf16(x) => x.clone(),
        };
        Packed { data: Store::Bf16(data), ..*self }
    }

    fn rounded_panels(&self, from: &[f32]) -> Vec<u16> {
        let held = self.depth.next_multiple_of(2);
        let size = held * self.cols.next_multiple_of(self.width);
        let mut short: Vec<u16> = room(size);
        let to = short.spare_capacity_mut()[..size].par_chunks_mut((BLOCK * held).max(1));
        let from = from.par_chunks((BLOCK * self.depth).max(1));
        to.zip(from).enumerate().for_each(|(b, (mut to, mut from))| {
            self.panels(b * BLOCK, |rows, _| {
                let (panel, rest) = from.split_at(rows.len() * self.width);
                from = rest;
                let (lines, rest) =
                    std::mem::take(&mut to).split_at_mut(rows.len().next_multiple_of(2) * self.width);
                to = rest;
                let number = |i: usize| half::bf16::from_f32(panel.get(i).copied().unwrap_or_default());
                for (at, to) in lines.iter_mut().enumerate() {
                    let (line, c) = (at / (2 * self.width), at % (2 * self.width));
                    to.write(number((2 * line + c % 2) * self.width + c / 2).to_bits());
                }
            });
        });
        // SAFETY: the panels of all blocks cover every element once.
        unsafe { short.set_len(size) };
        short
    }

    /// Inner size.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns, without padding.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Whether it holds bf16 numbers.
    pub fn is_bf16(&self) -> bool {
        matches!(self.data, Store::Bf16(_))
    }

    /// Columns of a panel.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// All numbers, in packed order.
    pub(super) fn numbers(&self) -> Numbers<'_> {
        match &self.data {
            Store::F32(x) => Numbers::F32(x),
            Store::Bf16(x) => Numbers::Bf16(x),
        }
    }

    /// Pairs of bf16 numbers, in packed order, in the bits of as many f32.
    pub(super) fn pairs(&self) -> Option<&[f32]> {
        match &self.data {
            Store::F32(_) => None,
            Store::Bf16(x) => Some(bytemuck::cast_slice(x)),
        }
    }

    /// Rows that are held: bf16 numbers come in pairs.
    fn held(&self) -> usize {
        if self.is_bf16() { self.depth.next_multiple_of(2) } else { self.depth }
    }

    /// Where the block that begins with column `first` lies.
    pub(super) fn block(&self, first: usize) -> usize {
        first * self.held()
    }

    /// Columns of the block that begins with column `first`, with padding.
    fn padded(&self, first: usize) -> usize {
        BLOCK.min(self.cols - first).next_multiple_of(self.width)
    }

    fn fill<T: Stored>(&self, from: &[T], (row, col): (usize, usize)) -> Vec<T> {
        let held = self.depth.next_multiple_of(T::ROWS);
        let size = held * self.cols.next_multiple_of(self.width);
        let mut data: Vec<T> = room(size);
        let whole = BLOCK * held;
        data.spare_capacity_mut()[..size].par_chunks_mut(whole.max(1)).enumerate().for_each(|(b, block)| {
            let mut panels = block;
            self.panels(b * BLOCK, |rows, columns| {
                let lines = rows.len().next_multiple_of(T::ROWS);
                let (panel, rest) = std::mem::take(&mut panels).split_at_mut(lines * self.width);
                panels = rest;
                let there = columns.start..columns.end.min(self.cols);
                for (i, line) in (rows.start..rows.start + lines)
                    .step_by(T::ROWS)
                    .zip(panel.chunks_exact_mut(T::ROWS * self.width))
                {
                    for r in 0..T::ROWS {
                        let to = line.iter_mut().skip(r).step_by(T::ROWS);
                        if i + r >= self.depth {
                            to.for_each(|to| _ = to.write(T::default()));
                            continue;
                        }
                        let from = from[(i + r) * row + there.start * col..].iter().step_by(col);
                        let from = from.take(there.len()).copied().chain(std::iter::repeat(T::default()));
                        to.zip(from).for_each(|(to, v)| _ = to.write(v));
                    }
                }
            });
        });
        // SAFETY: the panels of all blocks cover every element once.
        unsafe { data.set_len(size) };
        data
    }

    /// Calls `f` for every panel of the block that begins with column `first`, in packed order, with its rows and columns.
    fn panels(&self, first: usize, mut f: impl FnMut(Range<usize>, Range<usize>)) {
        let step = depth_step(self.depth);
        for from in (0..self.depth).step_by(step) {
            for column in (first..first + self.padded(first)).step_by(self.width) {
                f(from..(from + step).min(self.depth), column..column + self.width);
            }
        }
    }

    /// Where element `(i, c)` lies.
    fn place(&self, i: usize, c: usize) -> usize {
        let step = depth_step(self.depth);
        let (first, from) = (c / BLOCK * BLOCK, i / step * step);
        let (inner, panel) = (step.min(self.held() - from), (c - first) / self.width);
        let start = self.block(first) + from * self.padded(first) + panel * self.width * inner;
        let (i, c) = (i - from, c % BLOCK % self.width);
        start + if self.is_bf16() { i / 2 * 2 * self.width + 2 * c + i % 2 } else { i * self.width + c }
    }

    /// Writes column `c`, `[depth]`, widened.
    ///
    /// # Panics
    /// When there is no such column or `out` has another length.
    pub fn column(&self, c: usize, out: &mut [f32]) {
        assert!(c < self.cols && out.len() == self.depth, "no such column");
        for (i, x) in out.iter_mut().enumerate() {
            let at = self.place(i, c);
            *x = match &self.data {
                Store::F32(data) => data[at],
                Store::Bf16(data) => data[at].wide(),
            };
        }
    }

    /// Writes row `i`, `[cols]`, widened.
    ///
    /// # Panics
    /// When there is no such row or `out` has another length.
    pub fn row(&self, i: usize, out: &mut [f32]) {
        assert!(i < self.depth && out.len() == self.cols, "no such row");
        for first in (0..self.cols).step_by(self.width) {
            let (at, n) = (self.place(i, first), self.width.min(self.cols - first));
            let out = &mut out[first..first + n];
            match &self.data {
                Store::F32(data) => out.copy_from_slice(&data[at..at + n]),
                Store::Bf16(data) => {
                    let numbers = data[at..].iter().step_by(2);
                    out.iter_mut().zip(numbers).for_each(|(x, v)| *x = v.wide());
                }
            }
        }
    }
}
