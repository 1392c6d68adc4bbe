//! How many seeds a difference needs to be found.

use super::paired::ROUNDING;
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma::ln_gamma;

use super::Summary;

/// More seeds than anybody runs.
pub const MOST: usize = 1 << 20;
/// Confidence of [`upper_spread`].
const CONFIDENCE: f64 = 0.8;
/// Steps of the integral over the sample's spread.
const STEPS: usize = 400;

/// Chance that a two-sided paired t-test at level `alpha` over `n` values finds an effect of so many spreads.
///
/// The law of T is noncentral: `P(T > t) = ∫ Φ(δ − t·s) f(s) ds` with δ = effect·√n and `s = √(χ²ᵥ/ν)`, whose density f is
/// `2 (ν/2)^{ν/2} / Γ(ν/2) · s^{ν−1} e^{−νs²/2}`; by Simpson's rule.
pub fn power(effect: f64, n: usize, alpha: f64) -> f64 {
    let df = n.saturating_sub(1) as f64;
    let (Ok(law), Ok(normal)) = (StudentsT::new(0.0, 1.0, df), Normal::new(0.0, 1.0)) else { return 0.0 };
    let (t, delta) = (law.inverse_cdf(1.0 - alpha / 2.0), effect * (n as f64).sqrt());
    let scale = std::f64::consts::LN_2 + df / 2.0 * (df / 2.0).ln() - ln_gamma(df / 2.0);
    let at = |s: f64| {
        let density = (scale + (df - 1.0) * s.ln() - df * s * s / 2.0).exp();
        density * (normal.cdf(delta - t * s) + normal.cdf(-t * s - delta))
    };
    // Ten standard deviations on either side; s is about 1 ± 1/√(2ν).
    let reach = 10.0 / (2.0 * df).sqrt();
    let (low, high) = ((1.0 - reach).max(1e-12), 1.0 + reach);
    let step = (high - low) / STEPS as f64;
    let inner = |i: usize| at(low + i as f64 * step) * if i % 2 == 1 { 4.0 } else { 2.0 };
    let sum = at(low) + at(high) + (1..STEPS).map(inner).sum::<f64>();
    (sum * step / 3.0).clamp(0.0, 1.0)
}

/// The fewest values with which that chance is `wanted`; `None` for no effect at all.
pub fn found(effect: f64, alpha: f64, wanted: f64) -> Option<usize> {
    let effect = effect.abs();
    if !(effect > 0.0 && effect.is_finite()) {
        return None;
    }
    let enough = |n: usize| power(effect, n, alpha) >= wanted;
    let mut high = 2;
    while high < MOST && !enough(high) {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high.min(MOST))
}

/// An upper limit of the spread behind a sample: a plan that took the sample's own would fall short about half of the time
/// (Browne 1995). `None` where the sample has none.
pub fn upper_spread(of: &Summary) -> Option<f64> {
    let df = of.n.checked_sub(1).filter(|&df| df > 0)? as f64;
    let law = ChiSquared::new(df).ok()?;
    let limit = of.sd * (df / law.inverse_cdf(1.0 - CONFIDENCE)).sqrt();
    // A spread that is rounding alone says nothing of the real one.
    (limit > ROUNDING * of.mean.abs().max(ROUNDING) && limit.is_finite()).then_some(limit)
}
