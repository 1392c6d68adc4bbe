//! Layer norm over the last axis, forward and backward.

use std::mem::MaybeUninit;

use multiversion::multiversion;
use rayon::prelude::*;

use super::ROWS_PER_TASK;
use super::exp::{LANES, total};
use super::sums::{BLOCK_ROWS, add_row};
use crate::tensor::memory::{filled, written};

/// Mean and reciprocal standard deviation of a row.
pub type Moments = (f32, f32);

/// `N` sums with a fixed order: two registers of strided partial sums each, then the partials half by half.
#[inline(always)]
fn sums_by<const N: usize>(n: usize, f: impl Fn(usize) -> [f32; N]) -> [f32; N] {
    let mut acc = [[0f32; 2 * LANES]; N];
    let whole = n / (2 * LANES) * (2 * LANES);
    for start in (0..whole).step_by(2 * LANES) {
        (0..2 * LANES).for_each(|lane| {
            let values = f(start + lane);
            acc.iter_mut().zip(values).for_each(|(acc, value)| acc[lane] += value);
        });
    }
    let mut sums = acc.map(|acc| total(std::array::from_fn(|i| acc[i] + acc[i + LANES])));
    for i in whole..n {
        let values = f(i);
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// Biased variance, two passes, as torch does.
#[inline(always)]
fn moments_of(x: &[f32], eps: f32) -> Moments {
    let n = x.len() as f32;
    let mean = sums_by(x.len(), |i| [x[i]])[0] / n;
    let var = sums_by(x.len(), |i| [(x[i] - mean) * (x[i] - mean)])[0] / n;
    (mean, 1.0 / (var + eps).sqrt())
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn row_moments(x: &[f32], eps: f32) -> Moments {
    moments_of(x, eps)
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn forward_row(x: &[f32], gain: &[f32], bias: &[f32], eps: f32, out: &mut [MaybeUninit<f32>]) -> Moments {
    let (mean, rstd) = moments_of(x, eps);
    for (((o, &x), &g), &b) in out.iter_mut().zip(x).zip(gain).zip(bias) {
        o.write((x - mean) * rstd * g + b);
    }
    (mean, rstd)
}

/// `out[r] = (x[r] − mean) / √(var + eps) · gain + bias` for every row of width `gain.len()`.
pub fn forward(x: &[f32], gain: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let d = gain.len();
    let block = d * ROWS_PER_TASK;
    filled(out).par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(out, x)| {
        for (out, x) in out.chunks_mut(d).zip(x.chunks(d)) {
            forward_row(x, gain, bias, eps, out);
        }
    });
}

/// As [`forward`], with the moments of every row, which [`backward`] asks for.
pub fn made(x: &[f32], gain: &[f32], bias: &[f32], eps: f32) -> (Vec<f32>, Vec<Moments>) {
    let d = gain.len();
    let mut moments = vec![(0.0, 0.0); x.len() / d];
    // SAFETY: every row of `out` is a row of `x`, and written.
    let out = unsafe {
        written(x.len(), |out| {
            let rows = out.par_chunks_mut(d * ROWS_PER_TASK).zip(x.par_chunks(d * ROWS_PER_TASK));
            rows.zip(moments.par_chunks_mut(ROWS_PER_TASK)).for_each(|((out, x), moments)| {
                for ((out, x), moments) in out.chunks_mut(d).zip(x.chunks(d)).zip(moments) {
                    *moments = forward_row(x, gain, bias, eps, out);
                }
            });
        })
    };
    (out, moments)
}

/// The moments of every row of width `d`.
pub fn moments(x: &[f32], d: usize, eps: f32) -> Vec<Moments> {
    x.par_chunks(d).with_min_len(ROWS_PER_TASK).map(|row| row_moments(row, eps)).collect()
}

/// One row's share of the gradients: `dx` written, `dg` and `db` added to.
struct Shares<'a> {
    dx: &'a mut [MaybeUninit<f32>],
    dg: &'a mut [f32],
    db: &'a mut [f32],
}

/// `plus` is added to `dx`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn backward_row(
    x: &[f32],
    (mean, rstd): Moments,
    gain: &[f32],
    dy: &[f32],
    plus: Option<&[f32]>,
    shares: Shares,
) {
    let d = x.len();
    // One length for all, so that no element is checked on its own.
    let (gain, dy, dx) = (&gain[..d], &dy[..d], &mut shares.dx[..d]);
    let (dg, db) = (&mut shares.dg[..d], &mut shares.db[..d]);
    let n = d as f32;
    let [sum, along] = sums_by(d, |i| {
        let scaled = dy[i] * gain[i];
        [scaled, scaled * ((x[i] - mean) * rstd)]
    });
    let (mean_g, mean_gx) = (sum / n, along / n);
    for i in 0..d {
        let hat = (x[i] - mean) * rstd;
        dx[i].write((dy[i] * gain[i] - mean_g - hat * mean_gx) * rstd);
        dg[i] += dy[i] * hat;
        db[i] += dy[i];
    }
    if let Some(plus) = plus {
        // SAFETY: all were written above.
        let dx = unsafe { &mut *(std::ptr::from_mut(dx) as *mut [f32]) };
        dx.iter_mut().zip(plus).for_each(|(dx, x)| *dx += x);
    }
}

/// What [`backward`] starts from.
#[derive(Clone, Copy)]
pub struct Back<'a> {
    /// `[rows, d]`
    pub x: &'a [f32],
    /// Of every row.
    pub moments: &'a [Moments],
    pub gain: &'a [f32],
    /// Gradient of the output.
    pub dy: &'a [f32],
    /// What else is added to the gradient of `x`.
    pub plus: Option<&'a [f32]>,
}

/// Gradients `(dx, dgain, dbias)`.
///
/// # Panics
/// When lengths do not fit together.
pub fn backward(back: Back) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let Back { x, moments, gain, dy, plus } = back;
    let d = gain.len();
    let fits = moments.len() * d == x.len() && dy.len() == x.len() && plus.is_none_or(|p| p.len() == x.len());
    assert!(fits, "sizes of a layer norm's gradient do not fit");
    let block = d * BLOCK_ROWS;
    let mut partial = Vec::new();
    let rows = |at: usize, dx: &mut [MaybeUninit<f32>]| {
        let (mut dg, mut db) = (vec![0f32; d], vec![0f32; d]);
        for (r, dx) in dx.chunks_exact_mut(d).enumerate() {
            let row = at * BLOCK_ROWS + r;
            let here = row * d..(row + 1) * d;
            let plus = plus.map(|plus| &plus[here.clone()]);
            let shares = Shares { dx, dg: &mut dg, db: &mut db };
            backward_row(&x[here.clone()], moments[row], gain, &dy[here], plus, shares);
        }
        (dg, db)
    };
    // SAFETY: every row of `dx` is written.
    let dx = unsafe {
        written(x.len(), |dx| {
            let all = dx.par_chunks_mut(block).enumerate().map(|(at, dx)| rows(at, dx));
            all.collect_into_vec(&mut partial);
        })
    };
    let (mut dg, mut db) = (vec![0f32; d], vec![0f32; d]);
    for (pg, pb) in partial {
        add_row(&mut dg, &pg);
        add_row(&mut db, &pb);
    }
    (dx, dg, db)
}
