//! What every kernel of `kernels.cu` computes, plainly: one row after the other, sums in f64. These run where the kernels'
//! operators are tried on a CPU, and the kernels are tested against them.

use super::super::dropout::Mask;
use super::launch::Rules;

/// Number of partial sums per column that [`column_sums`] leaves.
pub const STRIPES: usize = 16;

/// The arrays of one call, `out` as it was before it.
pub struct Arrays<'a> {
    pub x: &'a [f32],
    pub y: &'a [f32],
    pub z: &'a [f32],
    /// Whole numbers where the kernel takes them in place of `y`.
    pub ids: &'a [u32],
    pub out: &'a mut [f32],
}

/// A kernel's plain twin.
pub type Twin = fn(&Rules, Arrays);

fn mean_and_scale(row: &[f32], eps: f32) -> (f64, f64) {
    let n = row.len() as f64;
    let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    (mean, 1.0 / (variance + f64::from(eps)).sqrt())
}

/// `(x − mean) / √(var + ε) · gain + bias` by row; `y` gain, `z` bias.
pub fn layer_norm(p: &Rules, a: Arrays) {
    let n = p.width as usize;
    for (row, out) in a.x.chunks(n).zip(a.out.chunks_mut(n)) {
        let (mean, scale) = mean_and_scale(row, p.a);
        for (i, o) in out.iter_mut().enumerate() {
            *o = ((f64::from(row[i]) - mean) * scale * f64::from(a.y[i]) + f64::from(a.z[i])) as f32;
        }
    }
}

/// Gradient of [`layer_norm`] with respect to `x`; `y` gain, `z` the gradient of the output.
pub fn layer_norm_back(p: &Rules, a: Arrays) {
    let n = p.width as usize;
    for ((row, grad), out) in a.x.chunks(n).zip(a.z.chunks(n)).zip(a.out.chunks_mut(n)) {
        let (mean, scale) = mean_and_scale(row, p.a);
        let hat = |i: usize| (f64::from(row[i]) - mean) * scale;
        let d = |i: usize| f64::from(grad[i]) * f64::from(a.y[i]);
        let sum = (0..n).map(d).sum::<f64>() / n as f64;
        let along = (0..n).map(|i| d(i) * hat(i)).sum::<f64>() / n as f64;
        for (i, o) in out.iter_mut().enumerate() {
            *o = (scale * (d(i) - sum - hat(i) * along)) as f32;
        }
    }
}

/// Every row's share of the gain's gradient; `z` the gradient of the output.
pub fn layer_norm_share(p: &Rules, a: Arrays) {
    let n = p.width as usize;
    for ((row, grad), out) in a.x.chunks(n).zip(a.z.chunks(n)).zip(a.out.chunks_mut(n)) {
        let (mean, scale) = mean_and_scale(row, p.a);
        for (i, o) in out.iter_mut().enumerate() {
            *o = (f64::from(grad[i]) * (f64::from(row[i]) - mean) * scale) as f32;
        }
    }
}

/// Column sums of stripes of rows, `[STRIPES, width]`.
pub fn column_sums(p: &Rules, a: Arrays) {
    let (n, tall) = (p.width as usize, (p.rows as usize).div_ceil(STRIPES));
    for (stripe, out) in a.out.chunks_mut(n).enumerate() {
        for (column, o) in out.iter_mut().enumerate() {
            let rows = (stripe * tall).min(p.rows as usize)..((stripe + 1) * tall).min(p.rows as usize);
            *o = rows.map(|r| f64::from(a.x[r * n + column])).sum::<f64>() as f32;
        }
    }
}

/// `x + y` of its column.
pub fn add_bias(p: &Rules, a: Arrays) {
    let n = p.width as usize;
    for (row, out) in a.x.chunks(n).zip(a.out.chunks_mut(n)) {
        out.iter_mut().zip(row).zip(a.y).for_each(|((o, x), b)| *o = x + b);
    }
}

/// Softmax of scaled scores `[batch, heads, queries, width]`, causal, with the additive bias `y`.
pub fn softmax(p: &Rules, a: Arrays) {
    let (n, queries, heads) = (p.width as usize, p.queries as usize, p.heads as usize);
    for (at, (row, out)) in a.x.chunks(n).zip(a.out.chunks_mut(n)).enumerate() {
        let (plane, query) = (at / queries, at % queries);
        let end = if p.causal != 0 { n.min(p.start as usize + query + 1) } else { n };
        let extra = |i: usize| match heads {
            0 => 0.0,
            _ => {
                let plane = plane / heads * p.batch_stride as usize + plane % heads * p.head_stride as usize;
                f64::from(a.y[plane + query * n + i])
            }
        };
        let value = |i: usize| f64::from(row[i]) * f64::from(p.a) + extra(i);
        let top = (0..end).map(value).fold(f64::NEG_INFINITY, f64::max);
        let total = (0..end).map(|i| (value(i) - top).exp()).sum::<f64>();
        for (i, o) in out.iter_mut().enumerate() {
            *o = if i < end { ((value(i) - top).exp() / total) as f32 } else { 0.0 };
        }
    }
}

/// Gradient of [`softmax`] with respect to the scores; `x` the weights, `y` their gradient.
pub fn softmax_back(p: &Rules, a: Arrays) {
    let n = p.width as usize;
    for ((row, grad), out) in a.x.chunks(n).zip(a.y.chunks(n)).zip(a.out.chunks_mut(n)) {
        let sum = row.iter().zip(grad).map(|(&w, &g)| f64::from(w) * f64::from(g)).sum::<f64>();
        for (i, o) in out.iter_mut().enumerate() {
            *o = (f64::from(row[i]) * (f64::from(grad[i]) - sum) * f64::from(p.a)) as f32;
        }
    }
}

/// `x` under the mask that the rules describe.
pub fn dropout(p: &Rules, a: Arrays) {
    a.out.copy_from_slice(a.x);
    Mask::of_rules(p).apply(0, a.out);
}

/// √(2/π).
const ROOT: f64 = 0.797_884_560_802_865_4;

/// GELU by tanh.
pub fn gelu(_: &Rules, a: Arrays) {
    for (o, &x) in a.out.iter_mut().zip(a.x) {
        let v = f64::from(x);
        *o = (0.5 * v * (1.0 + (ROOT * (v + 0.044_715 * v.powi(3))).tanh())) as f32;
    }
}

/// Gradient of [`gelu`]; `y` the gradient of the output.
pub fn gelu_back(_: &Rules, a: Arrays) {
    for ((o, &x), &g) in a.out.iter_mut().zip(a.x).zip(a.y) {
        let v = f64::from(x);
        let u = (ROOT * (v + 0.044_715 * v.powi(3))).tanh();
        let slope = 0.5 * (1.0 + u) + 0.5 * v * (1.0 - u * u) * ROOT * (1.0 + 3.0 * 0.044_715 * v * v);
        *o = (f64::from(g) * slope) as f32;
    }
}

fn top_and_total(row: &[f32]) -> (f64, f64) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let top = f64::from(top);
    (top, row.iter().map(|&v| (f64::from(v) - top).exp()).sum())
}

/// `−ln softmax(row)[target]` by row.
pub fn row_loss(p: &Rules, a: Arrays) {
    for ((row, &target), o) in a.x.chunks(p.width as usize).zip(a.ids).zip(a.out.iter_mut()) {
        let (top, total) = top_and_total(row);
        *o = (total.ln() + top - f64::from(row[target as usize])) as f32;
    }
}

/// `(softmax(row) − onehot(target)) · a`.
pub fn row_gradient(p: &Rules, a: Arrays) {
    let n = p.width as usize;
    for ((row, &target), out) in a.x.chunks(n).zip(a.ids).zip(a.out.chunks_mut(n)) {
        let (top, total) = top_and_total(row);
        for (i, o) in out.iter_mut().enumerate() {
            let hit = if i == target as usize { 1.0 } else { 0.0 };
            *o = (((f64::from(row[i]) - top).exp() / total - hit) * f64::from(p.a)) as f32;
        }
    }
}

/// `a·out + (1 − a)·b·x`, in place.
pub fn first_moment(p: &Rules, a: Arrays) {
    a.out.iter_mut().zip(a.x).for_each(|(m, &g)| *m = p.a * *m + (1.0 - p.a) * (p.b * g));
}

/// `a·out + (1 − a)·(b·x)²`, in place.
pub fn second_moment(p: &Rules, a: Arrays) {
    a.out.iter_mut().zip(a.x).for_each(|(v, &g)| *v = p.a * *v + (1.0 - p.a) * (p.b * g).powi(2));
}

/// `out·b − a·(x/c) / (√(y/d) + e)`, in place.
pub fn adamw(p: &Rules, a: Arrays) {
    for ((o, &m), &v) in a.out.iter_mut().zip(a.x).zip(a.y) {
        *o = *o * p.b - p.a * ((m / p.c) / ((v / p.d).sqrt() + p.e));
    }
}
