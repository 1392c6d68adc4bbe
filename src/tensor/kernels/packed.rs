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
/// these panels of `width` columns, a panel `[depth][width]`. Missing columns are 0.
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
        assert!(super::right::Right::Strided(from).holds(depth, cols), "the matrix reaches past its data");
        let mut packed = Packed { data: Store::F32(Vec::new()), depth, cols, width: panel_width() };
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
            Store::F32(x) => {
                let mut short: Vec<u16> = room(x.len());
                x.par_iter().map(|&v| half::bf16::from_f32(v).to_bits()).collect_into_vec(&mut short);
                short
            }
            Store::Bf16(x) => x.clone(),
        };
        Packed { data: Store::Bf16(data), ..*self }
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

    /// Where the block that begins with column `first` lies.
    pub(super) fn block(&self, first: usize) -> usize {
        first * self.depth
    }

    /// Columns of the block that begins with column `first`, with padding.
    fn padded(&self, first: usize) -> usize {
        BLOCK.min(self.cols - first).next_multiple_of(self.width)
    }

    fn fill<T: Stored>(&self, from: &[T], (row, col): (usize, usize)) -> Vec<T> {
        let size = self.depth * self.cols.next_multiple_of(self.width);
        let mut data: Vec<T> = room(size);
        let whole = BLOCK * self.depth;
        data.spare_capacity_mut()[..size].par_chunks_mut(whole.max(1)).enumerate().for_each(|(b, block)| {
            let mut panels = block;
            self.panels(b * BLOCK, |rows, columns| {
                let (panel, rest) = std::mem::take(&mut panels).split_at_mut(rows.len() * self.width);
                panels = rest;
                let there = columns.start..columns.end.min(self.cols);
                for (i, to) in rows.zip(panel.chunks_exact_mut(self.width)) {
                    let (to, padding) = to.split_at_mut(there.len());
                    let from = &from[i * row + there.start * col..];
                    if col == 1 {
                        to.iter_mut().zip(from).for_each(|(to, &v)| _ = to.write(v));
                    } else {
                        to.iter_mut().zip(from.iter().step_by(col)).for_each(|(to, &v)| _ = to.write(v));
                    }
                    padding.iter_mut().for_each(|to| _ = to.write(T::default()));
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
        let (inner, panel) = (step.min(self.depth - from), (c - first) / self.width);
        self.block(first)
            + from * self.padded(first)
            + panel * self.width * inner
            + (i - from) * self.width
            + c % BLOCK % self.width
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
                Store::Bf16(data) => out.iter_mut().zip(&data[at..]).for_each(|(x, v)| *x = v.wide()),
            }
        }
    }
}
