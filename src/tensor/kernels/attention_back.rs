//! Gradients of attention: tiles of query rows again, with weights made again of scores.

use multiversion::multiversion;
use rayon::prelude::*;

use super::super::exp::{LANES, exp, total};
use super::super::matmul::{Threads, View, matmul, matmul_raw};
use super::super::product::TASKS_AT_ONCE;
use super::super::share::Shared;
use super::super::sums::add_row;
use super::{KeptHeads, RowScale, Rows, Shape, TILE, TILES, scores};
use crate::tensor::memory::room;

/// Gradient with respect to the packed `[batch, T, 3 · width]` projection (query, key, value side by side), for
/// self-attention with `queries == keys` and `start == 0`. Weights are computed again instead of kept.
pub fn backward(shape: &Shape, qkv: &[f32], heads: KeptHeads, grad_out: &[f32]) -> Vec<f32> {
    let t = shape.keys;
    let mut grad = room(qkv.len());
    let target = Shared::new(grad.as_mut_ptr());
    (0..shape.batch * shape.heads).into_par_iter().with_max_len(TASKS_AT_ONCE).for_each(|task| {
        let mut tiles = TILES.take();
        tiles.iter_mut().for_each(|tile| tile.resize(tile.len().max(TILE * t), 0f32));
        let at = (task / shape.heads, task % shape.heads);
        let back = Back { shape, qkv, heads, grad_out, target, at };
        // The last tile first: it reads every key, so that it writes what the others add to.
        for from in (0..t).step_by(TILE).rev() {
            back.tile((from, (from + TILE).min(t)), &mut tiles);
        }
        TILES.set(tiles);
    });
    // SAFETY: the tiles wrote every row of every head.
    unsafe { grad.set_len(qkv.len()) };
    grad
}

/// The way back of one head of one sequence.
struct Back<'a> {
    shape: &'a Shape<'a>,
    qkv: &'a [f32],
    heads: KeptHeads<'a>,
    grad_out: &'a [f32],
    target: Shared<f32>,
    /// Sequence and head.
    at: (usize, usize),
}

impl Back<'_> {
    /// Gradients of query rows `from..to`, written, and their shares of those of keys and values, added.
    fn tile(&self, (from, to): (usize, usize), [p, dp]: &mut [Vec<f32>; 2]) {
        let (shape, (b, h)) = (self.shape, self.at);
        let (d, width, t) = (shape.head_dim, shape.heads * shape.head_dim, shape.keys);
        let stride = 3 * width;
        let (n, last) = (to - from, shape.limit(to - 1));
        let base = b * t * stride + h * d;
        let part = |part: usize, row: usize, rows: usize| {
            View::strided(&self.qkv[base + part * width + row * stride..], rows, d, stride)
        };
        let rows = |part: usize| Rows {
            data: &self.qkv[part * width..],
            batch_stride: t * stride,
            row_stride: stride,
        };
        scores(shape, rows(0), rows(1), (b, h), (from, to), p);
        let d_out = View::strided(&self.grad_out[(b * t + from) * width + h * d..], n, d, width);
        matmul(dp, t, d_out, part(2, 0, last).t(), 1.0, 0.0, Threads::One);
        shape.drop((b, h), (from, to), dp);
        for r in 0..n {
            let cells = r * t..r * t + last;
            self.row(from + r, &mut p[cells.clone()], &mut dp[cells]);
        }
        shape.drop((b, h), (from, to), p);
        let (weights, ds) = (View::strided(p, n, last, t), View::strided(dp, n, last, t));
        let keep = if to == t { 0.0 } else { 1.0 };
        let at = |part: usize, row: usize| {
            // SAFETY: inside the gradient, which is as long as `qkv`.
            unsafe { self.target.at(base + part * width + row * stride) }
        };
        // SAFETY: this task alone writes the columns of head h of sequence b, which lie inside; what is added to was written.
        unsafe {
            matmul_raw(at(0, from), stride, ds, part(1, 0, last), 1.0, 0.0, Threads::One);
            matmul_raw(at(1, 0), stride, ds.t(), part(0, from, n), 1.0, keep, Threads::One);
            matmul_raw(at(2, 0), stride, weights.t(), d_out, 1.0, keep, Threads::One);
        }
    }

    /// Turns scores of query row `r` into weights, and gradients of the weights into those of the scores.
    fn row(&self, r: usize, p: &mut [f32], dp: &mut [f32]) {
        let (shape, (b, h)) = (self.shape, self.at);
        let (d, limit) = (shape.head_dim, shape.limit(r));
        let at = (b * shape.queries + r) * shape.heads * d + h * d;
        // The dropped weights' output times its gradient is still the sum that softmax takes off.
        let dot = dot(&self.heads.out[at..at + d], &self.grad_out[at..at + d]);
        let scale = self.heads.scales[(b * shape.heads + h) * shape.queries + r];
        let ((p, rest), (dp, no_rest)) = (p.split_at_mut(limit), dp.split_at_mut(limit));
        if let Some(bias) = shape.bias_of((b, h), r, limit) {
            add_row(p, bias);
        }
        score_gradient(p, dp, scale, (dot, shape.scale));
        rest.fill(0.0);
        no_rest.fill(0.0);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        (0..LANES).for_each(|i| lanes[i] += a[i] * b[i]);
    }
    lanes.iter_mut().zip(a_rest).zip(b_rest).for_each(|((lane, a), b)| *lane += a * b);
    total(lanes)
}

/// `p ← exp(p − top) · inverse`, the weights; `dp ← scale · p · (dp − Σ p·dp)`, where the sum equals `out · grad_out`, which
/// is cheaper.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn score_gradient(p: &mut [f32], dp: &mut [f32], (top, inverse): RowScale, (dot, scale): (f32, f32)) {
    for (dp, p) in dp.iter_mut().zip(p) {
        *p = exp(*p - top) * inverse;
        *dp = scale * *p * (*dp - dot);
    }
}
