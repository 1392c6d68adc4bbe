//! Sums of rows and of whole arrays, in an order that does not depend on the number of threads.

use multiversion::multiversion;
use rayon::prelude::*;

/// Rows that are summed together before their sums are.
pub(super) const BLOCK_ROWS: usize = 64;
/// Elements one task adds.
const CHUNK: usize = 1 << 14;

/// `acc += x`, as long as both.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
pub(crate) fn add_row(acc: &mut [f32], x: &[f32]) {
    acc.iter_mut().zip(x).for_each(|(a, x)| *a += x);
}

/// `acc += x` on all threads.
///
/// # Panics
/// When the lengths differ.
pub fn add(acc: &mut [f32], x: &[f32]) {
    assert_eq!(acc.len(), x.len(), "arrays of different lengths are added");
    acc.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(acc, x)| add_row(acc, x));
}

/// Column sums of a row-major matrix of width `d`.
pub fn column_sums(x: &[f32], d: usize) -> Vec<f32> {
    let partial: Vec<Vec<f32>> = x
        .par_chunks(d * BLOCK_ROWS)
        .map(|rows| {
            let mut acc = vec![0f32; d];
            rows.chunks(d).for_each(|row| add_row(&mut acc, row));
            acc
        })
        .collect();
    let mut total = vec![0f32; d];
    partial.iter().for_each(|p| add_row(&mut total, p));
    total
}
