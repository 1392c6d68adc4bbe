//! Multi-head attention on the CPU: tiles of query rows, scores never all in memory, softmax over visible keys only.

use multiversion::multiversion;
use rayon::prelude::*;

use super::exp::exp;
use super::matmul::{Threads, View, matmul, matmul_raw};

/// Query rows per tile.
const TILE: usize = 64;

/// What one attention call works on. Row `r` of a query, key or value of sequence `b` starts at
/// `b * batch_stride + r * row_stride` and holds the heads side by side.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub data: &'a [f32],
    pub batch_stride: usize,
    pub row_stride: usize,
}

/// Sizes and rules of one attention call.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    pub batch: usize,
    pub heads: usize,
    pub head_dim: usize,
    /// Query rows per sequence; the first of them stands at key position `start`.
    pub queries: usize,
    pub keys: usize,
    pub start: usize,
    pub scale: f32,
    pub causal: bool,
    pub bias: Option<Bias<'a>>,
}

/// Additive bias before the softmax, `[batch | 1, heads | 1, queries, keys]`; −∞ hides a key.
#[derive(Clone, Copy)]
pub struct Bias<'a> {
    pub data: &'a [f32],
    /// 0 when one bias serves all sequences.
    pub batch_stride: usize,
    /// 0 when one bias serves all heads.
    pub head_stride: usize,
}

impl Shape<'_> {
    /// Keys that query row `r` may read at most.
    fn limit(&self, r: usize) -> usize {
        if self.causal { (self.start + r + 1).min(self.keys) } else { self.keys }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn softmax_row(row: &mut [f32], bias: Option<&[f32]>) {
    if let Some(bias) = bias {
        row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
    }
    let mut max = [f32::NEG_INFINITY; 16];
    let whole = row.len() / 16 * 16;
    for chunk in row[..whole].chunks_exact(16) {
        for (m, &x) in max.iter_mut().zip(chunk) {
            *m = if x > *m { x } else { *m };
        }
    }
    let mut top = max.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    top = row[whole..].iter().copied().fold(top, f32::max);
    if top == f32::NEG_INFINITY {
        // A row that lost every key would give NaN; callers keep at least one, this keeps the promise local.
        row.fill(0.0);
        return;
    }
    let mut sums = [0f32; 16];
    for chunk in row[..whole].chunks_exact_mut(16) {
        for (s, x) in sums.iter_mut().zip(chunk) {
            *x = exp(*x - top);
            *s += *x;
        }
    }
    let mut total = sums.iter().sum::<f32>();
    for x in &mut row[whole..] {
        *x = exp(*x - top);
        total += *x;
    }
    let inverse = 1.0 / total;
    row.iter_mut().for_each(|x| *x *= inverse);
}

/// Attention weights of query rows `from..to` of one head into `out`, rows `keys` apart; cells past a row's
/// limit are 0.
fn weights(
    shape: &Shape,
    q: Rows,
    k: Rows,
    (b, h): (usize, usize),
    (from, to): (usize, usize),
    out: &mut [f32],
) {
    let (d, keys) = (shape.head_dim, shape.keys);
    let last = shape.limit(to - 1);
    let q_rows = View::strided(
        &q.data[b * q.batch_stride + from * q.row_stride + h * d..],
        to - from,
        d,
        q.row_stride,
    );
    let k_rows = View::strided(&k.data[b * k.batch_stride + h * d..], last, d, k.row_stride);
    matmul(out, keys, q_rows, k_rows.t(), shape.scale, 0.0, Threads::One);
    for r in from..to {
        let limit = shape.limit(r);
        let row = &mut out[(r - from) * keys..(r - from + 1) * keys];
        row[limit..].fill(0.0);
        let bias = shape.bias.map(|bias| {
            let at = b * bias.batch_stride + h * bias.head_stride + r * keys;
            &bias.data[at..at + limit]
        });
        softmax_row(&mut row[..limit], bias);
    }
}

/// Attention weights of one head, `[queries, keys]` row-major.
pub fn map(shape: &Shape, q: Rows, k: Rows, head: usize, out: &mut [f32]) {
    let keys = shape.keys;
    for from in (0..shape.queries).step_by(TILE) {
        let to = (from + TILE).min(shape.queries);
        weights(shape, q, k, (0, head), (from, to), &mut out[from * keys..to * keys]);
    }
}

/// A raw output pointer that tasks with disjoint elements may share.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: every task writes its own (sequence, head, row) elements only.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}
impl Shared {
    fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: offsets stay inside the vector the pointer was taken from (sizes come from `Shape`).
        unsafe { self.0.add(offset) }
    }
}

/// `softmax(scale · q kᵀ + bias) v` for every head; the result is `[batch, queries, heads · head_dim]`.
pub fn forward(shape: &Shape, q: Rows, k: Rows, v: Rows) -> Vec<f32> {
    let (d, width) = (shape.head_dim, shape.heads * shape.head_dim);
    let mut out = vec![0f32; shape.batch * shape.queries * width];
    let target = Shared(out.as_mut_ptr());
    let tiles = shape.queries.div_ceil(TILE);
    (0..shape.batch * shape.heads * tiles).into_par_iter().for_each_init(Vec::new, |scratch, task| {
        let (head_task, tile) = (task / tiles, task % tiles);
        let (b, h) = (head_task / shape.heads, head_task % shape.heads);
        let (from, to) = (tile * TILE, ((tile + 1) * TILE).min(shape.queries));
        scratch.resize(TILE * shape.keys, 0f32);
        weights(shape, q, k, (b, h), (from, to), scratch);
        let last = shape.limit(to - 1);
        let p = View::strided(scratch, to - from, last, shape.keys);
        let v_rows = View::strided(&v.data[b * v.batch_stride + h * d..], last, d, v.row_stride);
        // SAFETY: this task alone writes rows from..to, columns of head h, of sequence b.
        unsafe {
            let at = target.at((b * shape.queries + from) * width + h * d);
            matmul_raw(at, width, p, v_rows, 1.0, 0.0, Threads::One);
        }
    });
    out
}

/// Gradient with respect to the packed `[batch, T, 3 · width]` projection (query, key, value side by side), for
/// self-attention with `queries == keys` and `start == 0`. Weights are computed again instead of kept.
pub fn backward(shape: &Shape, qkv: &[f32], out: &[f32], grad_out: &[f32]) -> Vec<f32> {
    let (d, width, t) = (shape.head_dim, shape.heads * shape.head_dim, shape.keys);
    let stride = 3 * width;
    let mut grad = vec![0f32; qkv.len()];
    let target = Shared(grad.as_mut_ptr());
    (0..shape.batch * shape.heads).into_par_iter().for_each_init(
        || (Vec::new(), Vec::new()),
        |(p, dp), task| {
            let (b, h) = (task / shape.heads, task % shape.heads);
            let base = b * t * stride + h * d;
            let rows = |part: usize| Rows {
                data: &qkv[part * width..],
                batch_stride: t * stride,
                row_stride: stride,
            };
            p.resize(TILE * t, 0f32);
            dp.resize(TILE * t, 0f32);
            for from in (0..t).step_by(TILE) {
                let to = (from + TILE).min(t);
                let (n, last) = (to - from, shape.limit(to - 1));
                weights(shape, rows(0), rows(1), (b, h), (from, to), p);
                let at = (b * t + from) * width + h * d;
                let d_out = View::strided(&grad_out[at..], n, d, width);
                let values = View::strided(&qkv[base + 2 * width..], last, d, stride);
                matmul(dp, t, d_out, values.t(), 1.0, 0.0, Threads::One);
                for r in 0..n {
                    let o = &out[at + r * width..at + r * width + d];
                    let g = &grad_out[at + r * width..at + r * width + d];
                    let dot: f32 = o.iter().zip(g).map(|(a, b)| a * b).sum();
                    score_gradient(&p[r * t..r * t + last], &mut dp[r * t..r * t + last], dot, shape.scale);
                }
                let weights_t = View::strided(p, n, last, t).t();
                let ds = View::strided(dp, n, last, t);
                let queries = View::strided(&qkv[base + from * stride..], n, d, stride);
                let keys = View::strided(&qkv[base + width..], last, d, stride);
                // SAFETY: this task alone writes the columns of head h of sequence b.
                unsafe {
                    matmul_raw(target.at(base + from * stride), stride, ds, keys, 1.0, 0.0, Threads::One);
                    matmul_raw(target.at(base + width), stride, ds.t(), queries, 1.0, 1.0, Threads::One);
                    matmul_raw(target.at(base + 2 * width), stride, weights_t, d_out, 1.0, 1.0, Threads::One);
                }
            }
        },
    );
    grad
}

/// `dp ← scale · p · (dp − Σ p·dp)`; the sum equals `out · grad_out`, which is cheaper.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn score_gradient(p: &[f32], dp: &mut [f32], dot: f32, scale: f32) {
    for (dp, &p) in dp.iter_mut().zip(p) {
        *dp = scale * p * (*dp - dot);
    }
}
