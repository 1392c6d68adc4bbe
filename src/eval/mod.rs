//! tmp
pub mod stats { pub fn spearman(_x: &[f64], _y: &[f64]) -> Option<f64> { None } }
