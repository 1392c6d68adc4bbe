//! Attention for tests: random causal maps, and uniform ones.

use super::source::AttentionSource;
use crate::support::random::{GAMMA, splitmix64};

/// Maps and norms that are held, for tests only.
#[derive(Clone, Debug)]
pub(crate) struct FixedMaps {
    pub n_layer: usize,
    pub n_head: usize,
    pub len: usize,
    /// `[L·H]` maps, each `[T, T]`.
    pub maps: Vec<Vec<f32>>,
    /// `[L·H]` norms, each `[T]`.
    pub norms: Vec<Vec<f32>>,
}

/// SplitMix64: enough for test data.
pub(crate) struct TestRng(pub u64);

impl TestRng {
    pub fn bits(&mut self) -> u64 {
        let number = splitmix64(self.0, 1);
        self.0 = self.0.wrapping_add(GAMMA);
        number
    }
    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
}

/// Softmax rows over scores drawn at random; `sharp` is the spread of the logits.
pub(crate) fn random_maps(n_layer: usize, n_head: usize, len: usize, sharp: f64, seed: u64) -> FixedMaps {
    let mut rng = TestRng(seed);
    let mut maps = Vec::new();
    let mut norms = Vec::new();
    for _ in 0..n_layer * n_head {
        let mut map = vec![0f32; len * len];
        for t in 0..len {
            let logits: Vec<f64> = (0..=t).map(|_| (sharp * (rng.unit() - 0.5)).exp()).collect();
            let sum: f64 = logits.iter().sum();
            for (i, e) in logits.iter().enumerate() {
                map[t * len + i] = (e / sum) as f32;
            }
        }
        maps.push(map);
        norms.push((0..len).map(|_| (0.2 + 2.0 * rng.unit()) as f32).collect());
    }
    FixedMaps { n_layer, n_head, len, maps, norms }
}

/// Every query reads every key it may read equally; all norms are 1.
pub(crate) fn uniform_maps(n_layer: usize, n_head: usize, len: usize) -> FixedMaps {
    let mut out = random_maps(n_layer, n_head, len, 0.0, 0);
    for norms in &mut out.norms {
        norms.fill(1.0);
    }
    out
}

impl AttentionSource for FixedMaps {
    fn n_layer(&self) -> usize {
        self.n_layer
    }
    fn n_head(&self) -> usize {
        self.n_head
    }
    fn len(&self) -> usize {
        self.len
    }
    fn map(&self, layer: usize, head: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.maps[layer * self.n_head + head]);
    }
    fn value_norms(&self, layer: usize, head: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.norms[layer * self.n_head + head]);
    }
}
