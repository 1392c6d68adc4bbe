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

/// `acc` plus every row of `rows`, four at a time: `acc` is then read and written less often.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn add_rows(acc: &mut [f32], rows: &[f32]) {
    let d = acc.len();
    let fours = rows.chunks_exact(4 * d);
    let rest = fours.remainder();
    for four in fours {
        let (a, b) = four.split_at(2 * d);
        let ((a, b), (c, e)) = (a.split_at(d), b.split_at(d));
        for ((((acc, a), b), c), e) in acc.iter_mut().zip(a).zip(b).zip(c).zip(e) {
            *acc += (a + b) + (c + e);
        }
    }
    for row in rest.chunks_exact(d) {
        acc.iter_mut().zip(row).for_each(|(acc, x)| *acc += x);
    }
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
            add_rows(&mut acc, rows);
            acc
        })
        .collect();
    let mut total = vec![0f32; d];
    partial.iter().for_each(|p| add_row(&mut total, p));
    total
}
