//! Multi-head attention on the CPU: tiles of query rows, scores never all in memory, softmax over visible keys only.

use std::cell::RefCell;
use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

use super::super::dropout::Mask;
use super::exp::{exp_all, largest};
use super::matmul::{Threads, View, matmul, matmul_raw};
use super::product::TASKS_AT_ONCE;
use super::share::Shared;
use crate::tensor::memory::room;

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
    /// Dropout over the weights, in [`forward`] and [`backward`].
    pub noise: Option<Mask>,
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

    /// What is added to the first `limit` scores of query row `r`.
    fn bias_of(&self, (b, h): (usize, usize), r: usize, limit: usize) -> Option<&[f32]> {
        self.bias.map(|bias| {
            let at = b * bias.batch_stride + h * bias.head_stride + r * self.keys;
            &bias.data[at..at + limit]
        })
    }

    /// Drops weights, or gradients, of the tile `from..to` of one head, rows `keys` apart.
    fn drop(&self, (b, h): (usize, usize), (from, to): (usize, usize), tile: &mut [f32]) {
        let Some(mask) = self.noise else { return };
        for r in from..to {
            let limit = self.limit(r);
            let at = ((b * self.heads + h) * self.queries + r) * self.keys;
            mask.apply(at as u64, &mut tile[(r - from) * self.keys..][..limit]);
        }
    }
}

/// What turns a score `x` of a row into a weight: `exp(x − top) · inverse`.
pub type RowScale = (f32, f32);

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn softmax_row(row: &mut [f32], bias: Option<&[f32]>) -> RowScale {
    if let Some(bias) = bias {
        row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
    }
    let top = largest(row);
    if top == f32::NEG_INFINITY {
        // A row that lost every key would give NaN; callers keep at least one, this keeps the promise local.
        row.fill(0.0);
        return (0.0, 0.0);
    }
    let inverse = 1.0 / exp_all(row, top);
    row.iter_mut().for_each(|x| *x *= inverse);
    (top, inverse)
}

/// Scores of query rows `from..to` of one head into `out`, rows `keys` apart, for the keys that the last of them reads.
fn scores(
    shape: &Shape,
    q: Rows,
    k: Rows,
    (b, h): (usize, usize),
    (from, to): (usize, usize),
    out: &mut [f32],
) {
    let d = shape.head_dim;
    let queries = &q.data[b * q.batch_stride + from * q.row_stride + h * d..];
    let queries = View::strided(queries, to - from, d, q.row_stride);
    let keys = &k.data[b * k.batch_stride + h * d..];
    let keys = View::strided(keys, shape.limit(to - 1), d, k.row_stride);
    matmul(out, shape.keys, queries, keys.t(), shape.scale, 0.0, Threads::One);
}

/// Attention weights of query rows `from..to` of one head into `out`, rows `keys` apart; cells past a row's
/// limit are 0. What made them of the scores goes to `scales`, one a row.
fn weights(
    shape: &Shape,
    (q, k): (Rows, Rows),
    (b, h): (usize, usize),
    (from, to): (usize, usize),
    out: &mut [f32],
    mut scales: impl FnMut(usize, RowScale),
) {
    scores(shape, q, k, (b, h), (from, to), out);
    for r in from..to {
        let limit = shape.limit(r);
        let row = &mut out[(r - from) * shape.keys..(r - from + 1) * shape.keys];
        row[limit..].fill(0.0);
        scales(r, softmax_row(&mut row[..limit], shape.bias_of((b, h), r, limit)));
    }
}

/// Attention weights of one head, `[queries, keys]` row-major.
pub fn map(shape: &Shape, q: Rows, k: Rows, head: usize, out: &mut [f32]) {
    let keys = shape.keys;
    for from in (0..shape.queries).step_by(TILE) {
        let to = (from + TILE).min(shape.queries);
        weights(shape, (q, k), (0, head), (from, to), &mut out[from * keys..to * keys], |_, _| ());
    }
}

thread_local! {
    /// Room for a tile of weights and one of their gradients, for the task of a thread.
    static TILES: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// `softmax(scale · q kᵀ + bias) v` for every head; the result is `[batch, queries, heads · head_dim]`.
pub fn forward(shape: &Shape, q: Rows, k: Rows, v: Rows) -> Vec<f32> {
    forward_collecting(shape, (q, k, v), &|_, _, _| ()).0.out
}

/// What every head made of its values.
pub struct Heads {
    /// `[batch, queries, heads · head_dim]`
    pub out: Vec<f32>,
    /// What made weights of scores, `[batch, heads, queries]`.
    pub scales: Vec<RowScale>,
}

/// As [`Heads`], borrowed.
#[derive(Clone, Copy)]
pub struct KeptHeads<'a> {
    pub out: &'a [f32],
    pub scales: &'a [RowScale],
}

impl Heads {
    pub fn kept(&self) -> KeptHeads<'_> {
        KeptHeads { out: &self.out, scales: &self.scales }
    }
}

/// As [`forward`], with what [`backward`] asks for.
pub fn forward_kept(shape: &Shape, q: Rows, k: Rows, v: Rows) -> Heads {
    forward_collecting(shape, (q, k, v), &|_, _, _| ()).0
}

/// What is done with the weights of a tile while they are at hand: `((sequence, head), (first, last + 1) query row,
/// weights)`, rows `keys` apart.
type Reading<'a, T> = &'a (dyn Fn((usize, usize), (usize, usize), &[f32]) -> T + Sync);

/// Tiles lie on multiples of [`TILE`] of the key positions, wherever the queries start.
fn tiles_of(shape: &Shape) -> Vec<(usize, usize)> {
    let end = shape.start + shape.queries;
    let first = shape.start / TILE;
    (first..end.div_ceil(TILE))
        .map(|t| (t * TILE, (t + 1) * TILE))
        .map(|(from, to)| (from.max(shape.start) - shape.start, to.min(end) - shape.start))
        .collect()
}

/// As [`forward`], and every tile of weights is read once on the way; what was read comes head by head, tile by tile.
fn forward_collecting<T: Send>(
    shape: &Shape,
    (q, k, v): (Rows, Rows, Rows),
    read: Reading<T>,
) -> (Heads, Vec<T>) {
    let (d, width) = (shape.head_dim, shape.heads * shape.head_dim);
    let size = shape.batch * shape.queries * width;
    let mut out = room(size);
    let mut scales = vec![(0.0, 0.0); shape.batch * shape.heads * shape.queries];
    let (target, of_rows) = (Shared::new(out.as_mut_ptr()), Shared::new(scales.as_mut_ptr()));
    let tiles = tiles_of(shape);
    let task = |task: usize| {
        let [mut scratch, other] = TILES.take();
        let (head_task, (from, to)) = (task / tiles.len(), tiles[task % tiles.len()]);
        let (b, h) = (head_task / shape.heads, head_task % shape.heads);
        scratch.resize(TILE * shape.keys, 0f32);
        let first = (b * shape.heads + h) * shape.queries;
        // SAFETY: this task alone has these rows of this head.
        weights(shape, (q, k), (b, h), (from, to), &mut scratch, |r, s| unsafe { of_rows.set(first + r, s) });
        shape.drop((b, h), (from, to), &mut scratch);
        let last = shape.limit(to - 1);
        let p = View::strided(&scratch, to - from, last, shape.keys);
        let v_rows = View::strided(&v.data[b * v.batch_stride + h * d..], last, d, v.row_stride);
        // SAFETY: this task alone writes rows from..to, columns of head h, of sequence b, which lie inside.
        unsafe {
            let at = target.at((b * shape.queries + from) * width + h * d);
            matmul_raw(at, width, p, v_rows, 1.0, 0.0, Threads::One);
        }
        let read = read((b, h), (from, to), &scratch);
        TILES.set([scratch, other]);
        read
    };
    let tasks = 0..shape.batch * shape.heads * tiles.len();
    let read = tasks.into_par_iter().with_max_len(TASKS_AT_ONCE).map(task).collect();
    // SAFETY: the tasks wrote every row of every head.
    unsafe { out.set_len(size) };
    (Heads { out, scales }, read)
}

/// What the keys of one layer received from the queries of one tile, head by head.
#[derive(Clone, Debug, PartialEq)]
pub struct TileSums {
    /// Queries of the tile, positions in the sequence.
    pub queries: Range<usize>,
    /// `Σ_t α[t,i]` over these queries with `t > i`, `[heads][queries.end]`, summed in f64 in ascending order.
    pub later: Vec<f64>,
    /// `α[t,t]`, `[heads][queries.len()]`.
    pub own: Vec<f32>,
    /// `α[t,0]`, `[heads][queries.len()]`.
    pub first: Vec<f32>,
    /// `‖W_O v_t‖` of these positions, `[heads][queries.len()]`.
    pub norms: Vec<f32>,
}

/// As [`forward`] for one sequence, with what its keys received, tile by tile. `grams` is `W_O W_Oᵀ` of every head.
pub fn forward_summed(
    shape: &Shape,
    q: Rows,
    k: Rows,
    v: Rows,
    grams: &[Vec<f32>],
) -> (Vec<f32>, Vec<TileSums>) {
    let read = |(_, h): (usize, usize), (from, to): (usize, usize), weights: &[f32]| {
        let end = shape.start + to;
        let (mut later, mut own, mut first) = (vec![0f64; end], vec![0f32; to - from], vec![0f32; to - from]);
        for r in from..to {
            let (at, row) = (shape.start + r, &weights[(r - from) * shape.keys..]);
            add(&mut later[..at], &row[..at]);
            (own[r - from], first[r - from]) = (row[at], row[0]);
        }
        (later, own, first, value_norms(shape, v, h, (shape.start + from, end), &grams[h]))
    };
    let (heads, parts) = forward_collecting(shape, (q, k, v), &read);
    let tiles = tiles_of(shape);
    let mut sums: Vec<TileSums> = tiles
        .iter()
        .map(|&(from, to)| TileSums {
            queries: shape.start + from..shape.start + to,
            later: Vec::with_capacity(shape.heads * (shape.start + to)),
            own: Vec::with_capacity(shape.heads * (to - from)),
            first: Vec::with_capacity(shape.heads * (to - from)),
            norms: Vec::with_capacity(shape.heads * (to - from)),
        })
        .collect();
    // Tasks come head by head, tile by tile.
    for (task, (later, own, first, norms)) in parts.into_iter().enumerate() {
        let tile = &mut sums[task % tiles.len()];
        tile.later.extend(later);
        tile.own.extend(own);
        tile.first.extend(first);
        tile.norms.extend(norms);
    }
    (heads.out, sums)
}

impl TileSums {
    /// Both together: `next` goes on where this one ends.
    pub fn joined(&self, next: &TileSums, heads: usize) -> TileSums {
        let (n, m) = (self.queries.len(), next.queries.len());
        let mut out = TileSums { queries: self.queries.start..next.queries.end, ..TileSums::empty() };
        for h in 0..heads {
            let at = out.later.len();
            out.later.extend(&next.later[h * next.queries.end..(h + 1) * next.queries.end]);
            let before = &self.later[h * self.queries.end..(h + 1) * self.queries.end];
            out.later[at..].iter_mut().zip(before).for_each(|(sum, x)| *sum += x);
            for (to, a, b) in [
                (&mut out.own, &self.own, &next.own),
                (&mut out.first, &self.first, &next.first),
                (&mut out.norms, &self.norms, &next.norms),
            ] {
                to.extend(&a[h * n..(h + 1) * n]);
                to.extend(&b[h * m..(h + 1) * m]);
            }
        }
        out
    }

    fn empty() -> Self {
        TileSums { queries: 0..0, later: Vec::new(), own: Vec::new(), first: Vec::new(), norms: Vec::new() }
    }

    /// Whether a tile of `TILE` queries begins where this one ends.
    pub fn is_whole(&self) -> bool {
        self.queries.end.is_multiple_of(TILE)
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn add(sums: &mut [f64], row: &[f32]) {
    sums.iter_mut().zip(row).for_each(|(sum, &a)| *sum += f64::from(a));
}

/// `‖W_O v_i‖ = √(vᵀ (W_O W_Oᵀ) v)` of one head for positions `from..to`.
fn value_norms(shape: &Shape, v: Rows, h: usize, (from, to): (usize, usize), gram: &[f32]) -> Vec<f32> {
    let d = shape.head_dim;
    let values = View::strided(&v.data[from * v.row_stride + h * d..], to - from, d, v.row_stride);
    let mut product = vec![0f32; (to - from) * d];
    matmul(&mut product, d, values, View::new(gram, d, d), 1.0, 0.0, Threads::One);
    let norm = |(r, row): (usize, &[f32])| {
        let v = &v.data[(from + r) * v.row_stride + h * d..][..d];
        let square: f64 = row.iter().zip(v).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        square.max(0.0).sqrt() as f32
    };
    product.chunks_exact(d).enumerate().map(norm).collect()
}

#[path = "attention_back.rs"]
mod back;
pub use back::backward;
