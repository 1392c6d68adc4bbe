//! Layer norm over the last axis, forward and backward, one pass each.

use multiversion::multiversion;
use rayon::prelude::*;

use super::ROWS_PER_TASK;
use super::exp::total;
use super::sums::{BLOCK_ROWS, add_row};

/// Lanes of a partial sum: enough for two AVX-512 registers, and a fixed order of summation on every machine.
const LANES: usize = 32;

/// Sum with a fixed order: `LANES` strided partial sums, then the partials half by half.
#[inline(always)]
fn sum_by(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut acc = [0f32; LANES];
    let whole = n / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, a) in acc.iter_mut().enumerate() {
            *a += f(start + lane);
        }
    }
    let sum = total(std::array::from_fn(|i| acc[i] + acc[i + LANES / 2]));
    (whole..n).fold(sum, |sum, i| sum + f(i))
}

/// Mean and reciprocal standard deviation of one row (biased variance, two passes, as torch does).
#[inline(always)]
fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum_by(x.len(), |i| x[i]) / n;
    let var = sum_by(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / n;
    (mean, 1.0 / (var + eps).sqrt())
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn forward_row(x: &[f32], gain: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let (mean, rstd) = moments(x, eps);
    for (((o, &x), &g), &b) in out.iter_mut().zip(x).zip(gain).zip(bias) {
        *o = (x - mean) * rstd * g + b;
    }
}

/// `out[r] = (x[r] − mean) / √(var + eps) · gain + bias` for every row of width `gain.len()`.
pub fn forward(x: &[f32], gain: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let d = gain.len();
    let block = d * ROWS_PER_TASK;
    out.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(out, x)| {
        for (out, x) in out.chunks_mut(d).zip(x.chunks(d)) {
            forward_row(x, gain, bias, eps, out);
        }
    });
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn backward_row(
    x: &[f32],
    gain: &[f32],
    dy: &[f32],
    eps: f32,
    dx: &mut [f32],
    dg: &mut [f32],
    db: &mut [f32],
) {
    let d = x.len();
    // One length for all, so that no element is checked on its own.
    let (gain, dy, dx) = (&gain[..d], &dy[..d], &mut dx[..d]);
    let (dg, db) = (&mut dg[..d], &mut db[..d]);
    let n = d as f32;
    let (mean, rstd) = moments(x, eps);
    let mean_g = sum_by(d, |i| dy[i] * gain[i]) / n;
    let mean_gx = sum_by(d, |i| dy[i] * gain[i] * (x[i] - mean) * rstd) / n;
    for i in 0..d {
        let hat = (x[i] - mean) * rstd;
        dx[i] = (dy[i] * gain[i] - mean_g - hat * mean_gx) * rstd;
        dg[i] += dy[i] * hat;
        db[i] += dy[i];
    }
}

/// Gradients `(dx, dgain, dbias)`.
pub fn backward(x: &[f32], gain: &[f32], dy: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let d = gain.len();
    let block = d * BLOCK_ROWS;
    let mut dx = vec![0f32; x.len()];
    let partial: Vec<(Vec<f32>, Vec<f32>)> = dx
        .par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .zip(dy.par_chunks(block))
        .map(|((dx, x), dy)| {
            let (mut dg, mut db) = (vec![0f32; d], vec![0f32; d]);
            for ((dx, x), dy) in dx.chunks_mut(d).zip(x.chunks(d)).zip(dy.chunks(d)) {
                backward_row(x, gain, dy, eps, dx, &mut dg, &mut db);
            }
            (dg, db)
        })
        .collect();
    let (mut dg, mut db) = (vec![0f32; d], vec![0f32; d]);
    for (pg, pb) in partial {
        add_row(&mut dg, &pg);
        add_row(&mut db, &pb);
    }
    (dx, dg, db)
}
