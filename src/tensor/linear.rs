//! `x W + b` with what follows it folded in, on plain slices: the exploring pass's form of a linear layer.

use super::kernels::activation::{self, Activation};
use super::kernels::product::{Left, Numbers, Out, Right, Rules, product};

/// A linear layer in the Conv1D layout: `weight` `[in, out]`, `bias` `[out]`.
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    pub weight: Numbers<'a>,
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
    assert!(
        out.len() == rows * cols && weight.data.len() >= depth * cols,
        "sizes of a projection do not fit"
    );
    let rules = Rules { rows, depth, cols, scale: 1.0, add: false, finish: None, parallel: true };
    // SAFETY: the sizes were checked, and `out` is borrowed for this call.
    unsafe {
        product(
            &rules,
            Left { data: x, row: depth, col: 1 },
            weight,
            Out { data: out.as_mut_ptr(), row: cols },
        )
    };
}

/// Applies the layer to rows `x` `[n, in]`; `out` is `[n, out]`.
///
/// # Panics
/// When sizes do not fit together.
pub fn apply(layer: &Linear, x: &[f32], out: &mut [f32]) {
    let cols = layer.bias.len();
    let depth = layer.weight.len() / cols.max(1);
    let rows = x.len() / depth.max(1);
    assert!(x.len() == rows * depth && out.len() == rows * cols, "sizes of a linear layer do not fit");
    let finish = |_: usize, first: usize, values: &mut [f32]| {
        activation::with_bias(layer.activation, &layer.bias[first..first + values.len()], values);
    };
    let rules =
        Rules { rows, depth, cols, scale: 1.0, add: layer.add, finish: Some(&finish), parallel: true };
    let right = Right { data: layer.weight, row: cols, col: 1 };
    // SAFETY: the sizes were checked, and `out` is borrowed for this call.
    unsafe {
        product(
            &rules,
            Left { data: x, row: depth, col: 1 },
            right,
            Out { data: out.as_mut_ptr(), row: cols },
        )
    };
}
