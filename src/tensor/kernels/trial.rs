//! A product to measure instruction sets with.

use std::time::{Duration, Instant};

use super::isa::Isa;
use super::packed::Packed;
use super::product::{Left, Out, Rules, pairs_with, product_with};
use super::right::Numbers;

/// Both sides of a product of a few tiles, which stay in the first caches: two million multiply-adds at most.
pub(super) struct Trial {
    left: Vec<f32>,
    right: Vec<f32>,
}

const ROWS: usize = 64;
const DEPTH: usize = 192;
const COLS: usize = 96;

impl Trial {
    pub fn new() -> Self {
        Trial { left: vec![0.5; ROWS * DEPTH], right: vec![0.5; DEPTH * COLS] }
    }

    /// How long the product takes with the kernels of a set that the processor has.
    pub fn time(&self, isa: Isa) -> Duration {
        let right = Numbers::F32(&self.right).rows(COLS).into();
        // SAFETY: both sides and the output have these sizes; the caller chose a set that is here.
        timed(|rules, out| unsafe { product_with(isa, rules, self.left(), right, out) })
    }

    /// How long it takes with pairs of bf16 numbers and a set that multiplies them.
    pub fn time_pairs(&self, isa: Isa) -> Duration {
        let packed = Packed::wide(Numbers::F32(&self.right).rows(COLS), (DEPTH, COLS)).rounded();
        // SAFETY: as above.
        timed(|rules, out| unsafe { pairs_with(isa, rules, self.left(), &packed, out) })
    }

    fn left(&self) -> Left<'_> {
        Left { data: &self.left, row: DEPTH, col: 1 }
    }
}

/// How long a product takes.
fn timed(product: impl Fn(&Rules, Out)) -> Duration {
    let mut out = vec![0f32; ROWS * COLS];
    let rules =
        Rules { rows: ROWS, depth: DEPTH, cols: COLS, scale: 1.0, add: false, finish: None, parallel: false };
    let start = Instant::now();
    product(&rules, Out { data: out.as_mut_ptr(), row: COLS });
    let time = start.elapsed();
    std::hint::black_box(&out);
    time
}
