//! Exponential and hyperbolic tangent that the compiler can vectorise: no branches, no calls.

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 split in two so that `x − n·ln 2` keeps its low bits (Cody and Waite).
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;
/// 1.5 · 2²³: adding and subtracting it rounds to the nearest integer.
const ROUND: f32 = 12_582_912.0;

/// `eˣ` to about 2 ulp for x in [-87, 88]; smaller x give 0, larger ones saturate at e⁸⁸.
///
/// Polynomial of Cephes' `expf` (S. L. Moshier), degree 6 on [−ln 2 / 2, ln 2 / 2].
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let clamped = x.clamp(-87.0, 88.0);
    let n = (clamped * LOG2_E + ROUND) - ROUND;
    let r = (clamped - n * LN2_HI) - n * LN2_LO;
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    let scale = f32::from_bits((((n as i32) + 127) << 23) as u32);
    if x < -87.0 { 0.0 } else { y * scale }
}

/// `tanh x` through `exp`, exact to about 1e-7 absolute.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp(-2.0 * x.abs().min(20.0));
    let t = (1.0 - e) / (1.0 + e);
    t.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_tanh_follow_the_library() {
        for i in -86_999..88_000 {
            let x = i as f32 * 1e-3;
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) - want).abs() <= 4e-7 * want, "exp({x})");
            let want = (f64::from(x) * 0.2).tanh();
            assert!((f64::from(tanh(x * 0.2)) - want).abs() <= 3e-7, "tanh({x})");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }
}
