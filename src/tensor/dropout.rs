//! Dropout whose mask is a function of a key and the element's index: the same on every thread count, in the backward
//! pass and on resume. On the CPU and in this program's GPU kernels no mask is kept in memory; the composed operators, for
//! devices without either, make one.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::device::{Way, way};
use super::fused::{self, launch::Rules};
use super::host::{slice, with_slice};

/// Elements one task handles.
const CHUNK: usize = 1 << 14;

/// What decides one dropout mask: a key per pass and a site within it.
pub type Key = (u64, u32);

/// 64 well-mixed bits (SplitMix64's output function at `counter` steps from `key`): 32 for each of two neighbours.
fn bits(key: u64, counter: u64) -> u64 {
    let mut z = key.wrapping_add(counter.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What each element of one array is multiplied with.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    /// Draws below this drop their element, of 2³².
    below: u32,
    /// What the others are multiplied with.
    keep: f32,
    key: u64,
}

impl Mask {
    /// Drops a share `rate` in [0, 1).
    pub fn new(rate: f64, (key, site): Key) -> Self {
        let below = (rate * 4_294_967_296.0) as u32;
        Mask { below, keep: (1.0 / (1.0 - rate)) as f32, key: bits(key, u64::from(site) + 1) }
    }

    /// Multiplies the elements `from..` of the array.
    pub(crate) fn apply(self, from: u64, x: &mut [f32]) {
        for (i, x) in x.iter_mut().enumerate() {
            let at = from + i as u64;
            let draw = (bits(self.key, at / 2) >> (32 * (at % 2))) as u32;
            *x = if draw < self.below { 0.0 } else { *x * self.keep };
        }
    }

    /// Multiplies the whole array, on all threads.
    pub(crate) fn apply_all(self, x: &mut [f32]) {
        x.par_chunks_mut(CHUNK).enumerate().for_each(|(at, x)| self.apply((at * CHUNK) as u64, x));
    }

    fn over(self, x: &[f32]) -> Vec<f32> {
        let mut out = x.to_vec();
        self.apply_all(&mut out);
        out
    }

    /// As a GPU's kernel is told.
    pub(super) fn rules(self) -> Rules {
        Rules {
            queries: self.key as u32 as i32,
            start: (self.key >> 32) as u32 as i32,
            heads: self.below as i32,
            a: self.keep,
            ..Rules::default()
        }
    }

    /// What [`Mask::rules`] was made of.
    pub(super) fn of_rules(rules: &Rules) -> Self {
        let key = u64::from(rules.queries as u32) | u64::from(rules.start as u32) << 32;
        Mask { below: rules.heads as u32, keep: rules.a, key }
    }
}

impl CustomOp1 for Mask {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = self.over(slice(x, layout, self.name())?);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_slice(grad, |grad| self.over(grad))?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}

/// Sets a share `rate` in [0, 1) of the elements of `x` to zero and scales the others by `1/(1 − rate)`.
pub fn dropout(x: &Tensor, rate: f64, key: Key) -> Result<Tensor> {
    masked(x, Mask::new(rate, key))
}

/// `x` under `mask`, differentiable.
pub fn masked(x: &Tensor, mask: Mask) -> Result<Tensor> {
    match way(x.device()) {
        Way::Host => x.contiguous()?.apply_op1(mask),
        Way::Fused => fused::dropout(x, mask),
        Way::Composed => {
            let ones = vec![1f32; x.elem_count()];
            let mask = Tensor::from_vec(mask.over(&ones), x.shape(), x.device())?.to_dtype(x.dtype())?;
            x * mask
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn the_share_is_kept_and_forward_and_backward_agree() {
        let n = 100_001;
        let x = Var::from_tensor(&Tensor::ones(n, candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let y = dropout(x.as_tensor(), 0.3, (7, 2)).unwrap();
        let values = y.to_vec1::<f32>().unwrap();
        let zeros = values.iter().filter(|v| **v == 0.0).count() as f64 / n as f64;
        // Three standard errors of a share of 0.3.
        assert!((zeros - 0.3).abs() < 3.0 * (0.3f64 * 0.7 / n as f64).sqrt(), "{zeros}");
        assert!(values.iter().all(|&v| v == 0.0 || (v - 1.0 / 0.7).abs() < 1e-6));
        let grads = y.sum_all().unwrap().backward().unwrap();
        // The input is all ones and the operator linear, so its gradient is its output.
        assert_eq!(grads.get(x.as_tensor()).unwrap().to_vec1::<f32>().unwrap(), values);
        let other = dropout(x.as_tensor(), 0.3, (7, 3)).unwrap().to_vec1::<f32>().unwrap();
        let same = values.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / n as f64;
        // Independent masks agree with probability 0.3² + 0.7².
        assert!((same - 0.58).abs() < 0.01, "{same}");
    }
}
