//! Matrix products on slices with strides, so that transposes and column blocks cost no copy: our own kernel where one was
//! written for the processor, the `gemm` crate elsewhere.

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use super::isa::{Isa, OVERRIDE, isa};
use super::product::{Finish, Left, Out, Rules, product};
use super::right::{Numbers, Strided};
use super::share::Shared;
use crate::tensor::memory::written;

/// A read-only matrix view: `rows × cols`, element `(r, c)` at `data[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a> View<'a> {
    /// A dense row-major matrix.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        View { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// A row-major matrix whose rows lie `row_stride` apart.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        View { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose, without a copy.
    pub fn t(self) -> Self {
        View {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    fn check(&self) {
        if self.rows > 0 && self.cols > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride;
            assert!(last < self.data.len(), "matrix view reaches past its data");
        }
    }
}

/// How many threads a product may use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    One,
    /// All of the current rayon pool.
    Pool,
}

/// `out ← keep·out + scale·(a × b)`, `out` row-major with rows `out_stride` apart.
pub fn matmul(out: &mut [f32], out_stride: usize, a: View, b: View, scale: f32, keep: f32, threads: Threads) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "inner sizes of a matrix product differ");
    if m == 0 || n == 0 {
        return;
    }
    assert!((m - 1) * out_stride + n <= out.len(), "matrix product writes past its output");
    // SAFETY: the assertion above bounds every write.
    unsafe { matmul_raw(out.as_mut_ptr(), out_stride, a, b, scale, keep, threads) }
}

/// `a × b`, row-major, on all threads of the pool.
pub fn product_of(a: View, b: View) -> Vec<f32> {
    made(a, b, None)
}

/// As [`product_of`]; `then` sees every finished stretch of a row while it is near, and may change it.
pub fn product_then(a: View, b: View, then: Finish) -> Vec<f32> {
    made(a, b, Some(then))
}

fn made(a: View, b: View, then: Option<Finish>) -> Vec<f32> {
    assert_eq!(a.cols, b.rows, "inner sizes of a matrix product differ");
    // SAFETY: there is room for every element, and a product that keeps nothing writes each of them without reading it.
    unsafe {
        written(a.rows * b.cols, |out| {
            raw(out.as_mut_ptr().cast(), b.cols, (a, b), (1.0, 0.0), Threads::Pool, then);
        })
    }
}

/// Shows `then` every row of `values`, `cols` wide, on all threads.
pub fn each_row(values: &mut [f32], cols: usize, then: Finish) {
    values.par_chunks_mut(cols).enumerate().for_each(|(row, values)| then(row, 0, values));
}

/// As [`matmul`], on a raw output, for tasks that own disjoint column blocks of one matrix.
///
/// # Safety
/// `out` must be valid for reads and writes at `r * out_stride + c` for all `r < a.rows`, `c < b.cols`, and no
/// other thread may touch those elements meanwhile.
pub unsafe fn matmul_raw(
    out: *mut f32,
    out_stride: usize,
    a: View,
    b: View,
    scale: f32,
    keep: f32,
    threads: Threads,
) {
    // SAFETY: passed on.
    unsafe { raw(out, out_stride, (a, b), (scale, keep), threads, None) }
}

/// As [`matmul_raw`], with `then` for every finished stretch of a row.
unsafe fn raw(
    out: *mut f32,
    out_stride: usize,
    (a, b): (View, View),
    (scale, keep): (f32, f32),
    threads: Threads,
    then: Option<Finish>,
) {
    a.check();
    b.check();
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if k == 0 {
        // A sum of nothing.
        for r in 0..m {
            // SAFETY: the caller's promise; what is not kept is not read.
            (0..n).for_each(|c| unsafe {
                let to = out.add(r * out_stride + c);
                to.write(if keep == 0.0 { 0.0 } else { keep * to.read() });
            });
        }
        // SAFETY: all were written.
        return unsafe { finish(out, out_stride, (m, n), then) };
    }
    // Threads only pay above this many multiplications.
    const PARALLEL_FROM: usize = 1 << 17;
    let parallel = threads == Threads::Pool && m * n * k >= PARALLEL_FROM;
    let ours = cfg!(target_arch = "aarch64") || isa() != Isa::Plain || std::env::var_os(OVERRIDE).is_some();
    if ours && (keep == 0.0 || keep == 1.0) {
        let rules = Rules { rows: m, depth: k, cols: n, scale, add: keep != 0.0, finish: then, parallel };
        let left = Left { data: a.data, row: a.row_stride, col: a.col_stride };
        let right = Strided { data: Numbers::F32(b.data), row: b.row_stride, col: b.col_stride };
        // SAFETY: inputs were checked against their slices, the output by the caller.
        return unsafe { product(&rules, left, right.into(), Out { data: out, row: out_stride }) };
    }
    let parallelism = match threads {
        Threads::Pool if parallel => Parallelism::Rayon(0),
        _ => Parallelism::None,
    };
    // SAFETY: inputs were checked against their slices, the output by the caller.
    unsafe {
        gemm(
            m,
            n,
            k,
            out,
            1,
            out_stride as isize,
            keep != 0.0,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            keep,
            scale,
            false,
            false,
            false,
            parallelism,
        );
        finish(out, out_stride, (m, n), then);
    }
}

/// Shows `then` the rows of a finished output.
///
/// # Safety
/// As [`matmul_raw`], and every element was written.
unsafe fn finish(out: *mut f32, out_stride: usize, (rows, cols): (usize, usize), then: Option<Finish>) {
    let (Some(then), out) = (then, Shared::new(out)) else { return };
    (0..rows).into_par_iter().for_each(|r| {
        // SAFETY: the contract; this row is this task's alone.
        then(r, 0, unsafe { out.stretch(r * out_stride, cols) });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_nothing_is_zero_and_leaves_what_is_kept() {
        let (a, b) = (View::new(&[], 2, 0), View::new(&[], 0, 3));
        assert_eq!(product_of(a, b), [0.0; 6]);
        let mut out = [3f32; 8];
        matmul(&mut out, 4, a, b, 1.0, 1.0, Threads::One);
        assert_eq!(out, [3.0; 8]);
        matmul(&mut out, 4, a, b, 1.0, 0.5, Threads::Pool);
        assert_eq!(out, [1.5, 1.5, 1.5, 3.0, 1.5, 1.5, 1.5, 3.0]);
    }
}
