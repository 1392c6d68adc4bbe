//! Maps to look at: one head, the mean over heads or layers, and the roll-out.

use rayon::prelude::*;

use super::source::AttentionSource;
use super::types::ScoreSettings;

/// Sums run in this many groups side by side, whatever the number of threads, so that the bits never depend on it.
const GROUPS: usize = 4;

/// The mean map over the chosen layer and head (`None`: over all of them), row-major `[T, T]`.
///
/// Out-of-range choices give zeros.
pub fn mean_map<S: AttentionSource + ?Sized>(
    source: &S,
    layer: Option<usize>,
    head: Option<usize>,
) -> Vec<f32> {
    let len = source.len();
    let wanted: Vec<(usize, usize)> = (0..source.n_layer())
        .filter(|l| layer.is_none_or(|c| c == *l))
        .flat_map(|l| (0..source.n_head()).map(move |h| (l, h)))
        .filter(|(_, h)| head.is_none_or(|c| c == *h))
        .collect();
    let mut out = vec![0f32; len * len];
    if let [(l, h)] = wanted.as_slice() {
        source.map(*l, *h, &mut out);
        return out;
    }
    sum_into(source, &wanted, &mut out);
    let n = wanted.len().max(1) as f32;
    for a in &mut out {
        *a /= n;
    }
    out
}

/// Adds the wanted maps to `out`, a few groups side by side.
fn sum_into<S: AttentionSource + ?Sized>(source: &S, wanted: &[(usize, usize)], out: &mut [f32]) {
    let per_group = wanted.len().div_ceil(GROUPS).max(1);
    let sums: Vec<Vec<f32>> = wanted.par_chunks(per_group).map(|group| sum_maps(source, group)).collect();
    for sum in &sums {
        add(out, sum);
    }
}

fn sum_maps<S: AttentionSource + ?Sized>(source: &S, group: &[(usize, usize)]) -> Vec<f32> {
    let cells = source.len() * source.len();
    let (mut sum, mut scratch) = (vec![0f32; cells], vec![0f32; cells]);
    for &(layer, head) in group {
        source.map(layer, head, &mut scratch);
        add(&mut sum, &scratch);
    }
    sum
}

fn add(into: &mut [f32], from: &[f32]) {
    for (sum, &a) in into.iter_mut().zip(from) {
        *sum += a;
    }
}

/// Attention roll-out (arXiv 2005.00928) over the layers and heads of `subset`, row-major `[T, T]`: per layer half the
/// residual stream and half the mean over heads, multiplied from the first layer up. Rows sum to 1.
pub fn rollout_map<S: AttentionSource + ?Sized>(source: &S, subset: &ScoreSettings) -> Vec<f32> {
    let len = source.len();
    let mut rolled = vec![0f32; len * len];
    for t in 0..len {
        rolled[t * len + t] = 1.0;
    }
    for layer in 0..source.n_layer() {
        let heads: Vec<(usize, usize)> =
            (0..source.n_head()).filter(|&h| subset.counts(layer, h)).map(|h| (layer, h)).collect();
        if !heads.is_empty() {
            let mut step = vec![0f32; len * len];
            sum_into(source, &heads, &mut step);
            rolled = multiply_step(&step, heads.len() as f32, &rolled, len);
        }
    }
    rolled
}

/// `(½I + ½step/heads) · rolled`, both lower triangular; a row that attends to nothing passes unchanged.
fn multiply_step(step: &[f32], heads: f32, rolled: &[f32], len: usize) -> Vec<f32> {
    let mut out = vec![0f32; len * len];
    if len == 0 {
        return out;
    }
    out.par_chunks_mut(len).enumerate().for_each(|(t, row)| {
        let weights = &step[t * len..t * len + t + 1];
        let attends = weights.iter().any(|&a| a > 0.0);
        let own = if attends { 0.5 } else { 1.0 };
        for (a, &r) in row.iter_mut().zip(&rolled[t * len..t * len + t + 1]) {
            *a = own * r;
        }
        for (s, &w) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            let w = 0.5 * w / heads;
            for (a, &r) in row.iter_mut().zip(&rolled[s * len..s * len + s + 1]) {
                *a += w * r;
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::super::sweep::{SweepRequest, sweep};
    use super::super::testing::random_maps;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_mean_of_one_head_is_that_head() {
        let source = random_maps(2, 3, 7, 4.0, 5);
        assert_eq!(mean_map(&source, Some(1), Some(2)), source.maps[5]);
        let mean = mean_map(&source, None, Some(0));
        assert!((mean[3 * 7 + 1] - (source.maps[0][22] + source.maps[3][22]) / 2.0).abs() < 1e-7);
    }

    proptest! {
        #[test]
        fn rollout_rows_sum_to_one_and_the_last_is_the_swept_one(
            seed in 0u64..1000, len in 1usize..20, skipped in 0usize..20,
        ) {
            let mut source = random_maps(3, 2, len, 5.0, seed);
            // A row that bypasses the middle layer attends to nothing there.
            for map in &mut source.maps[2..4] {
                map[skipped % len * len..][..len].fill(0.0);
            }
            let subset = ScoreSettings::default();
            let map = rollout_map(&source, &subset);
            for t in 0..len {
                let sum: f32 = map[t * len..(t + 1) * len].iter().sum();
                prop_assert!((sum - 1.0).abs() < 1e-5, "row {} sums to {}", t, sum);
            }
            let swept = sweep(&source, &SweepRequest { rollout: Some(subset), ..Default::default() });
            for (a, b) in map[(len - 1) * len..].iter().zip(&swept.rollout.unwrap().received) {
                prop_assert!((f64::from(*a) - b).abs() < 1e-5);
            }
        }
    }
}
