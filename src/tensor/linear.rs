//! `x W + b` with what follows it folded in, on plain slices: the exploring pass's form of a linear layer.

use std::mem::MaybeUninit;

use super::kernels::activation::{self, Activation};
use super::kernels::product::{Finish, Left, Out, Rules, product};
use super::kernels::right::Right;
use super::kernels::share::Shared;
use super::kernels::sums::add_row;
use super::memory::{filled, written};

/// A linear layer: `weight` `[in, out]` as the product sees it, `bias` `[out]`.
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    pub weight: Right<'a>,
    pub bias: &'a [f32],
    /// Adds to what the output holds (a residual) instead of writing over it.
    pub add: bool,
    pub activation: Option<Activation>,
}

/// `out ← x W` with `x` `[n, depth]`, `weight` `[depth, cols]` as the product sees it, `out` `[n, cols]`.
///
/// # Panics
/// When sizes do not fit together.
pub fn project(x: &[f32], weight: Right, (depth, cols): (usize, usize), out: &mut [f32]) {
    let rows = x.len() / depth.max(1);
    assert!(out.len() == rows * cols && weight.holds(depth, cols), "sizes of a projection do not fit");
    let rules = Rules { rows, depth, cols, scale: 1.0, add: false, finish: None, parallel: true };
    // SAFETY: the sizes were checked, and `out` is borrowed for this call.
    unsafe {
        product(
            &rules,
            Left { data: x, row: depth, col: 1 },
            weight,
            Out { data: out.as_mut_ptr(), row: cols },
        );
    };
}

/// Applies the layer to rows `x` `[n, in]`; `out` is `[n, out]`.
///
/// # Panics
/// When sizes do not fit together.
pub fn apply(layer: &Linear, x: &[f32], out: &mut [f32]) {
    run(layer, x, filled(out), None);
}

/// As [`apply`] for an output that holds nothing yet; every element of it is written.
///
/// # Panics
/// When sizes do not fit together, or the layer adds to its output.
pub fn fill(layer: &Linear, x: &[f32], out: &mut [MaybeUninit<f32>]) {
    assert!(!layer.add, "there is nothing to add to");
    run(layer, x, out, None);
}

/// The layer's output for `rows` rows `x` `[rows, in]`, `[rows, out]`.
///
/// # Panics
/// As [`fill`].
pub fn made(layer: &Linear, x: &[f32], rows: usize) -> Vec<f32> {
    // SAFETY: `fill` writes every element.
    unsafe { written(rows * layer.bias.len(), |out| fill(layer, x, out)) }
}

/// As [`made`]; `then` sees every finished stretch of a row while it is near, and may change it.
///
/// # Panics
/// As [`fill`].
pub fn made_then(layer: &Linear, x: &[f32], rows: usize, then: Finish) -> Vec<f32> {
    assert!(!layer.add, "there is nothing to add to");
    // SAFETY: `run` writes every element.
    unsafe { written(rows * layer.bias.len(), |out| run(layer, x, out, Some(then))) }
}

/// Reads `out` only where the layer adds to it.
fn run(layer: &Linear, x: &[f32], out: &mut [MaybeUninit<f32>], then: Option<Finish>) {
    let cols = layer.bias.len();
    let rows = out.len() / cols.max(1);
    let depth = x.len() / rows.max(1);
    let fits =
        depth > 0 && x.len() == rows * depth && out.len() == rows * cols && layer.weight.holds(depth, cols);
    assert!(fits, "sizes of a linear layer do not fit");
    let out = out.as_mut_ptr().cast::<f32>();
    let target = Shared::new(out);
    let finish = |row: usize, first: usize, values: &mut [f32]| {
        activation::with_bias(layer.activation, &layer.bias[first..first + values.len()], values);
        if layer.add {
            // SAFETY: this stretch of `out`, whose size was checked, is this task's alone.
            let residual = unsafe { target.stretch(row * cols + first, values.len()) };
            add_row(residual, values);
        }
        if let Some(then) = then {
            then(row, first, values);
        }
    };
    let rules = Rules { rows, depth, cols, scale: 1.0, add: false, finish: Some(&finish), parallel: true };
    let place = if layer.add { Out::NOWHERE } else { Out { data: out, row: cols } };
    // SAFETY: the sizes were checked, and `out` is borrowed for this call.
    unsafe { product(&rules, Left { data: x, row: depth, col: 1 }, layer.weight, place) };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tensor::kernels::isa::{isa, multiplies_pairs};
    use crate::tensor::kernels::packed::Packed;
    use crate::tensor::kernels::plain;
    use crate::tensor::kernels::right::Numbers;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        let step =
            |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
        (0..n as u64).map(|i| step(i) as f32 / (1u32 << 23) as f32 - 1.0).collect()
    }

    /// `x W + b`, then the activation, then the residual, in f64.
    fn plain_linear(layer: &Linear, weight: &[f32], x: &[f32], out: &[f32]) -> Vec<f64> {
        let cols = layer.bias.len();
        let depth = weight.len() / cols;
        let value = |r: usize, c: usize| {
            let dot: f64 =
                (0..depth).map(|i| f64::from(x[r * depth + i]) * f64::from(weight[i * cols + c])).sum();
            let sum = dot + f64::from(layer.bias[c]);
            let sum = layer.activation.map_or(sum, |kind| plain::activation(kind, sum));
            if layer.add { sum + f64::from(out[r * cols + c]) } else { sum }
        };
        (0..x.len() / depth).flat_map(|r| (0..cols).map(move |c| (r, c))).map(|(r, c)| value(r, c)).collect()
    }

    /// The matrix as it lies, and packed once.
    fn both_ways(weight: Numbers, (depth, cols): (usize, usize), mut check: impl FnMut(Right)) {
        check(weight.rows(cols).into());
        check(Right::Packed(&Packed::new(weight.rows(cols), (depth, cols))));
    }

    /// Rounding grows with the sizes of the `depth` products summed (each a quarter on average), not with their sum.
    fn close(got: &[f32], wanted: &[f64], depth: usize) -> bool {
        let tolerance = 1e-6 * (1.0 + depth as f64 / 4.0);
        got.iter().zip(wanted).all(|(g, w)| (f64::from(*g) - w).abs() <= tolerance)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_size_follows_the_definition(
            rows in 1usize..40, depth in 1usize..420, cols in 1usize..230, seed in any::<u64>(),
            add in any::<bool>(), gelu in any::<bool>(),
        ) {
            let (x, weight, bias) = (numbers(rows * depth, seed), numbers(depth * cols, seed ^ 1), numbers(cols, 3));
            let activation = gelu.then_some(Activation::GeluNew);
            let mut right = true;
            both_ways(Numbers::F32(&weight), (depth, cols), |view| {
                let layer = Linear { weight: view, bias: &bias, add, activation };
                let mut out = numbers(rows * cols, seed ^ 2);
                let wanted = plain_linear(&layer, &weight, &x, &out);
                apply(&layer, &x, &mut out);
                right &= close(&out, &wanted, depth);
            });
            prop_assert!(right);
        }

        #[test]
        fn bf16_weights_are_the_rounded_ones(rows in 1usize..9, depth in 1usize..300, cols in 1usize..130) {
            let (x, bias) = (numbers(rows * depth, 5), numbers(cols, 6));
            let rounded: Vec<f32> = x.iter().map(|&v| half::bf16::from_f32(v).to_f32()).collect();
            let short: Vec<half::bf16> = numbers(depth * cols, 7).into_iter().map(half::bf16::from_f32).collect();
            let weight: Vec<f32> = short.iter().map(|v| v.to_f32()).collect();
            let mut right = true;
            both_ways(Numbers::Bf16(bytemuck::cast_slice(&short)), (depth, cols), |view| {
                let layer = Linear { weight: view, bias: &bias, add: false, activation: None };
                // A processor that multiplies pairs of bf16 numbers rounds what packed ones are multiplied with.
                let rounds = matches!(view, Right::Packed(_)) && multiplies_pairs(isa());
                let taken = if rounds { &rounded } else { &x };
                let mut out = vec![0f32; rows * cols];
                apply(&layer, &x, &mut out);
                right &= close(&out, &plain_linear(&layer, &weight, taken, &out), depth);
            });
            prop_assert!(right);
        }

        #[test]
        fn transposed_weights_give_the_same(rows in 1usize..30, depth in 1usize..300, cols in 1usize..200) {
            let (x, weight) = (numbers(rows * depth, 8), numbers(depth * cols, 9));
            let turned: Vec<f32> =
                (0..cols).flat_map(|c| (0..depth).map(move |i| (i, c))).map(|(i, c)| weight[i * cols + c]).collect();
            let bias = vec![0f32; cols];
            let plain = Numbers::F32(&weight).rows(cols).into();
            let layer = Linear { weight: plain, bias: &bias, add: false, activation: None };
            let turned = Numbers::F32(&turned).transposed(depth);
            let packed = Packed::new(turned, (depth, cols));
            for right in [turned.into(), Right::Packed(&packed)] {
                let mut out = vec![0f32; rows * cols];
                project(&x, right, (depth, cols), &mut out);
                prop_assert!(close(&out, &plain_linear(&layer, &weight, &x, &out), depth));
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (rows, depth, cols) = (70, 400, 500);
        let (x, weight, bias) = (numbers(rows * depth, 1), numbers(depth * cols, 2), numbers(cols, 3));
        both_ways(Numbers::F32(&weight), (depth, cols), |view| {
            let layer = Linear { weight: view, bias: &bias, add: false, activation: None };
            let run = |threads: usize, rows: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut out = vec![0f32; rows * cols];
                pool.install(|| apply(&layer, &x[..rows * depth], &mut out));
                out
            };
            for rows in [1, rows] {
                let one = run(1, rows);
                assert!([2, 5].iter().all(|&threads| run(threads, rows) == one));
            }
        });
    }
}
