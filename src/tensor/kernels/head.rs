//! From final states to what is read of the logits, without ever holding them: log-sum-exp of every row, the logit of a
//! target per row, and whole rows where asked, all in one sweep over the output matrix.

use std::sync::Mutex;

use multiversion::multiversion;

use super::exp::{exp_sum, largest};
use super::product::{BLOCK, Left, Out, Rules, product};
use super::right::Right;
use super::share::Shared;

/// What one sweep found.
pub struct Read {
    /// `ln Σ exp(logit)` per row, f64 sums of partial f32 ones in a fixed order.
    pub log_sum_exp: Vec<f64>,
    /// The target's logit per row; NaN where there is no target.
    pub target: Vec<f32>,
    /// All logits of the wanted rows, `[wanted, V]`.
    pub rows: Vec<Vec<f32>>,
}

/// Largest value and sum of `exp(x − largest)` of a stretch.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn partial(values: &[f32]) -> (f32, f32) {
    let top = largest(values);
    (top, exp_sum(values, top))
}

/// Reads logits of `hidden` `[n, D]` times `weight` (`[D, V]` as the product sees it). `targets` holds one id per row
/// (`u32::MAX`: none); `wanted` are rows whose logits are given back whole.
pub fn read(
    hidden: &[f32],
    weight: Right,
    (width, vocab): (usize, usize),
    targets: &[u32],
    wanted: &[usize],
) -> Read {
    let rows = targets.len();
    assert!(hidden.len() >= rows * width, "fewer states than targets");
    assert!(weight.holds(width, vocab), "the output matrix has another size");
    // One row is cut into other stretches than several: as many as the smallest possible ones.
    let blocks = vocab.div_ceil(BLOCK) + 1;
    let mut parts = vec![(f32::NEG_INFINITY, 0f32); rows * blocks];
    let mut target = vec![f32::NAN; rows];
    let mut whole: Vec<Vec<f32>> = wanted.iter().map(|_| vec![0f32; vocab]).collect();
    {
        let parts = Shared::new(parts.as_mut_ptr());
        let found = Shared::new(target.as_mut_ptr());
        let places: Vec<Mutex<&mut Vec<f32>>> = whole.iter_mut().map(Mutex::new).collect();
        let finish = |row: usize, first: usize, values: &mut [f32]| {
            // SAFETY: a stretch of a row belongs to one task, so its part, and the target inside it, do too.
            unsafe {
                parts.set(row * blocks + first / BLOCK, partial(values));
                let t = targets[row] as usize;
                if (first..first + values.len()).contains(&t) {
                    found.set(row, values[t - first]);
                }
            }
            for (place, _) in places.iter().zip(wanted).filter(|(_, w)| **w == row) {
                let mut place = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                place[first..first + values.len()].copy_from_slice(values);
            }
        };
        let rules = Rules {
            rows,
            depth: width,
            cols: vocab,
            scale: 1.0,
            add: false,
            finish: Some(&finish),
            parallel: true,
        };
        // SAFETY: sizes were checked above; nothing is written but through `finish`.
        unsafe { product(&rules, Left { data: hidden, row: width, col: 1 }, weight, Out::NOWHERE) };
    }
    let log_sum_exp = parts.chunks(blocks.max(1)).map(|parts| {
        let top = parts.iter().map(|p| p.0).fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = parts.iter().map(|p| f64::from(p.1) * f64::from(p.0 - top).exp()).sum();
        f64::from(top) + sum.ln()
    });
    Read { log_sum_exp: log_sum_exp.collect(), target, rows: whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::kernels::plain;
    use crate::tensor::kernels::right::Numbers;

    #[test]
    fn one_sweep_reads_what_whole_logits_say() {
        let (width, vocab) = (20, 333);
        for rows in [1usize, 2, 7, 64] {
            let value = |i: usize| ((i * 37 % 101) as f32 - 50.0) * 0.02;
            let hidden: Vec<f32> = (0..rows * width).map(value).collect();
            let weight: Vec<f32> = (0..vocab * width).map(|i| value(i * 3 + 1)).collect();
            let targets: Vec<u32> =
                (0..rows).map(|r| if r == 1 { u32::MAX } else { (r * 31 % vocab) as u32 }).collect();
            let right = Numbers::F32(&weight).transposed(width).into();
            let got = read(&hidden, right, (width, vocab), &targets, &[rows - 1]);
            let logits: Vec<f32> = (0..rows * vocab)
                .map(|at| {
                    let (h, w) = (&hidden[at / vocab * width..], &weight[at % vocab * width..]);
                    (0..width).map(|i| h[i] * w[i]).sum()
                })
                .collect();
            for (r, row) in logits.chunks(vocab).enumerate() {
                if targets[r] == u32::MAX {
                    assert!(got.target[r].is_nan());
                    continue;
                }
                let loss = plain::cross_entropy(row, vocab, &[Some(targets[r])]);
                assert!((got.log_sum_exp[r] - f64::from(got.target[r]) - loss).abs() < 1e-5);
            }
            let last = &logits[(rows - 1) * vocab..];
            assert!(got.rows[0].iter().zip(last).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}
