//! Exponential that the compiler can vectorise: no branches, no calls; and what softmax and log-sum-exp make of it, with
//! sums in a fixed order.

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 split in two so that `x − n·ln 2` keeps its low bits (Cody and Waite).
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;
/// 1.5 · 2²³: adding it rounds to the nearest integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `eˣ` to about 2 ulp for x in [-87, 88]; smaller x give 0, larger ones saturate at e⁸⁸.
///
/// Polynomial of Cephes' `expf` (S. L. Moshier), degree 6 on [−ln 2 / 2, ln 2 / 2].
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let clamped = x.clamp(-87.0, 88.0);
    let rounded = clamped * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (clamped - n * LN2_HI) - n * LN2_LO;
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    // The low bits of `rounded` are n, its other bits leave at the top: this is 2ⁿ.
    let scale = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1f32.to_bits()));
    if x < -87.0 { 0.0 } else { y * scale }
}

/// Partial results side by side: two AVX2 registers, one of AVX-512.
pub const LANES: usize = 16;

/// Joins partial results half by half.
#[inline(always)]
fn halved(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
    }
    lanes[0]
}

/// Sum of partial sums.
#[inline(always)]
pub fn total(lanes: [f32; LANES]) -> f32 {
    halved(lanes, |a, b| a + b)
}

/// The rest of a stretch, at the front of lanes of −∞: a scalar loop over it would take as long as the whole lanes before.
#[inline(always)]
fn padded(rest: &[f32]) -> [f32; LANES] {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    lanes[..rest.len()].copy_from_slice(rest);
    lanes
}

/// The largest value, −∞ of none; NaN is passed over.
#[inline(always)]
pub fn largest(values: &[f32]) -> f32 {
    let larger = |m: f32, x: f32| if x > m { x } else { m };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = padded(chunks.remainder());
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(m, &x)| *m = larger(*m, x));
    }
    lanes.iter_mut().zip(rest).for_each(|(m, x)| *m = larger(*m, x));
    halved(lanes, larger)
}

/// `Σ exp(x − top)`.
#[inline(always)]
pub fn exp_sum(values: &[f32], top: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += exp(x - top));
    }
    if !rest.is_empty() {
        // Lanes without a value add nothing.
        lanes.iter_mut().zip(padded(rest)).for_each(|(sum, x)| *sum += exp(x - top));
    }
    total(lanes)
}

/// `x ← exp(x − top)`; returns the sum.
#[inline(always)]
pub fn exp_all(values: &mut [f32], top: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let mut chunks = values.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (sum, x) in lanes.iter_mut().zip(chunk) {
            *x = exp(*x - top);
            *sum += *x;
        }
    }
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        let mut last = padded(rest);
        for (sum, x) in lanes.iter_mut().zip(&mut last) {
            *x = exp(*x - top);
            *sum += *x;
        }
        rest.copy_from_slice(&last[..rest.len()]);
    }
    total(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_follows_the_library() {
        for i in -86_999..88_000 {
            let x = i as f32 * 1e-3;
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) - want).abs() <= 4e-7 * want, "exp({x})");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan() && exp(f32::INFINITY).is_finite());
    }

    #[test]
    fn stretches_of_every_length_follow_the_definition() {
        for n in 0..70usize {
            let values: Vec<f32> = (0..n).map(|i| ((i * 37 % 23) as f32 - 11.0) * 0.7).collect();
            let top = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(largest(&values), top);
            let want: f64 = values.iter().map(|&x| f64::from(x - top).exp()).sum();
            let mut written = values.clone();
            let (read, wrote) = (exp_sum(&values, top), exp_all(&mut written, top));
            assert_eq!(read, wrote);
            assert!((f64::from(read) - want).abs() <= 1e-6 * want);
            assert!(written.iter().zip(&values).all(|(w, &x)| *w == exp(x - top)));
        }
    }
}
