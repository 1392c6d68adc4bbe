//! The distance null: what a token at each distance receives on average in *this* model, and the spread of ℓ.
//!
//! A calibration is built by streaming windows of text through [`CalibrationBuilder`]; position 0 of a window is
//! left out as a key, because it is never scored and its sink would pass for the normal reading of far tokens.

use rayon::prelude::*;

use super::distance_null::DistanceNull;
use super::source::AttentionSource;
use super::sweep::between;
use super::types::{Reduction, ScoreSettings};

/// Distances up to this one have a bin of their own; past it, eight bins an octave.
pub const EXACT_DISTANCES: usize = 64;
const BINS_PER_OCTAVE: f64 = 8.0;
/// Scored keys kept for the spread of ℓ, about.
const SAMPLE_KEYS: usize = 1024;

/// Where a calibration comes from; a table is only used for the very same weights and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalibrationSource {
    /// SHA-256 of the weights, hexadecimal.
    pub weights: String,
    /// SHA-256 of the calibration text, hexadecimal.
    pub text: String,
}

/// One table of averages and one sample of ratios: for α or for α·‖W_O v‖.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Averages {
    /// ḡ per head and bin, `[L·H, B]`.
    pub gbar: Vec<f32>,
    /// κ-smoothed ratios of sampled keys, `[N, L·H]`.
    pub sample: Vec<f32>,
}

/// ḡ[l,h](Δ) for plain α and for contribution, and what is needed for the CDF of ℓ.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    pub n_layer: usize,
    pub n_head: usize,
    /// Tokens per calibration window; distances beyond `window - 1` read the last bin.
    pub window: usize,
    /// How many windows were read.
    pub windows: usize,
    pub source: CalibrationSource,
    pub(super) alpha: Averages,
    pub(super) contribution: Averages,
}

impl Calibration {
    pub fn fits(&self, n_layer: usize, n_head: usize) -> bool {
        self.n_layer == n_layer && self.n_head == n_head
    }

    pub(super) fn table(&self, contribution: bool) -> &Averages {
        if contribution { &self.contribution } else { &self.alpha }
    }

    /// ḡ of one head at distance Δ ≥ 1.
    #[cfg(test)]
    pub(super) fn expected(&self, contribution: bool, layer: usize, head: usize, distance: usize) -> f64 {
        let bins = bins(self.window);
        let bin = bin_of(&bins, distance);
        f64::from(self.table(contribution).gbar[(layer * self.n_head + head) * bins.len() + bin])
    }

    /// What the keys of a text would receive, for texts of up to `len` tokens.
    pub fn null(&self, contribution: bool, len: usize) -> DistanceNull {
        DistanceNull::new(self, contribution, len)
    }

    /// ℓ of the sampled calibration tokens over the layers and heads of `settings`, ascending; empty for a score that
    /// is not ℓ, which has no place in this distribution.
    pub fn sample(&self, settings: &ScoreSettings) -> Vec<f64> {
        let subset = settings.subset(self.n_layer, self.n_head);
        if subset.is_empty() || settings.reduction != Reduction::DistanceNull {
            return Vec::new();
        }
        let per_key = self.n_layer * self.n_head;
        let mut out: Vec<f64> = self
            .table(settings.contribution)
            .sample
            .chunks_exact(per_key)
            .map(|key| subset.iter().map(|&lh| f64::from(key[lh])).sum::<f64>() / subset.len() as f64)
            .collect();
        out.sort_by(f64::total_cmp);
        out
    }
}

/// Share of the sorted `sample` below `x`, ties counted half; 0.5 for an empty sample.
pub fn cdf(sample: &[f64], x: f64) -> f64 {
    if sample.is_empty() {
        return 0.5;
    }
    let below = sample.partition_point(|&s| s < x);
    let upto = sample.partition_point(|&s| s <= x);
    (below + upto) as f64 / 2.0 / sample.len() as f64
}

/// First distance of every bin for windows of `window` tokens; at least one bin.
pub(super) fn bins(window: usize) -> Vec<usize> {
    let longest = window.saturating_sub(1).max(1);
    let mut out: Vec<usize> = (1..=longest.min(EXACT_DISTANCES)).collect();
    let mut k = 0;
    loop {
        let exact = EXACT_DISTANCES as f64 * (f64::from(k) / BINS_PER_OCTAVE).exp2();
        let first = exact.floor() as usize + 1;
        if first > longest {
            return out;
        }
        // Past Δ = 64 every eighth of an octave is wider than 1, so `first` always grows.
        out.push(first);
        k += 1;
    }
}

pub(super) fn bin_of(bins: &[usize], distance: usize) -> usize {
    bins.partition_point(|&first| first <= distance).saturating_sub(1)
}

/// Which stretches of a calibration text to read: up to `count` windows of `window` tokens, spread over all of it.
pub fn windows(n_tokens: usize, window: usize, count: usize) -> Vec<std::ops::Range<usize>> {
    if window == 0 || n_tokens < 2 {
        return Vec::new();
    }
    if n_tokens < window {
        return vec![0..n_tokens; usize::from(count > 0)];
    }
    let count = count.min(n_tokens / window);
    let slack = n_tokens - window;
    (0..count)
        .map(|k| if count == 1 { 0 } else { slack * k / (count - 1) })
        .map(|start| start..start + window)
        .collect()
}

/// Why there is no calibration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    #[error("the calibration text gave no window of at least 3 tokens")]
    NoText,
    #[error(
        "a calibration window has {layers}x{heads} heads and {tokens} tokens, not {of_layers}x{of_heads} and at most {window}"
    )]
    Shape { layers: usize, heads: usize, tokens: usize, of_layers: usize, of_heads: usize, window: usize },
    #[error("attention on the calibration text is not a finite number in layer {layer}, head {head}")]
    NotFinite { layer: usize, head: usize },
    #[error("the calibration file is damaged: {0}")]
    Damaged(String),
    #[error("the calibration file is for other {0}")]
    Other(&'static str),
}

/// Sums of one head over all windows so far.
#[derive(Clone, Debug, Default)]
struct HeadTotals {
    /// By exact distance, `[window]`.
    alpha: Vec<f64>,
    contribution: Vec<f64>,
    /// Received by the sampled keys, in sample order.
    sample_alpha: Vec<f64>,
    sample_contribution: Vec<f64>,
    /// What each query of each window had for the keys between the first and itself.
    mass: Vec<f32>,
}

/// Accumulates windows; one forward pass each, nothing kept but sums.
#[derive(Clone, Debug)]
pub struct CalibrationBuilder {
    n_layer: usize,
    n_head: usize,
    window: usize,
    windows: usize,
    per_window: usize,
    /// Pairs per exact distance.
    pairs: Vec<u64>,
    /// Tokens and sampled keys of every window.
    sampled: Vec<(usize, Vec<usize>)>,
    heads: Vec<HeadTotals>,
}

impl CalibrationBuilder {
    /// `window`: tokens per window; `windows`: how many will come, which spreads the sample over them.
    pub fn new(n_layer: usize, n_head: usize, window: usize, windows: usize) -> Self {
        let one =
            HeadTotals { alpha: vec![0.0; window], contribution: vec![0.0; window], ..HeadTotals::default() };
        CalibrationBuilder {
            n_layer,
            n_head,
            window,
            windows: 0,
            per_window: SAMPLE_KEYS.div_ceil(windows.max(1)),
            pairs: vec![0; window],
            sampled: Vec::new(),
            heads: vec![one; n_layer * n_head],
        }
    }

    /// Adds one window; windows under 3 tokens hold no scored key and are ignored.
    pub fn add<S: AttentionSource + ?Sized>(&mut self, source: &S) -> Result<(), CalibrationError> {
        let len = source.len();
        if len > self.window || source.n_layer() != self.n_layer || source.n_head() != self.n_head {
            return Err(CalibrationError::Shape {
                layers: source.n_layer(),
                heads: source.n_head(),
                tokens: len,
                of_layers: self.n_layer,
                of_heads: self.n_head,
                window: self.window,
            });
        }
        if len < 3 {
            return Ok(());
        }
        let keys = self.sample_keys(len);
        let n_head = self.n_head;
        let workers = rayon::current_num_threads().clamp(1, self.heads.len().max(1));
        let per_worker = self.heads.len().div_ceil(workers).max(1);
        self.heads.par_chunks_mut(per_worker).enumerate().for_each(|(chunk, heads)| {
            let (mut map, mut norms) = (vec![0f32; len * len], vec![0f32; len]);
            for (k, totals) in heads.iter_mut().enumerate() {
                let lh = chunk * per_worker + k;
                source.map(lh / n_head, lh % n_head, &mut map);
                source.value_norms(lh / n_head, lh % n_head, &mut norms);
                totals.add(&map, &norms, &keys);
            }
        });
        for distance in 1..len - 1 {
            self.pairs[distance] += (len - 1 - distance) as u64;
        }
        self.sampled.push((len, keys));
        self.windows += 1;
        Ok(())
    }

    /// Keys `1..len-1` spread evenly, starting elsewhere in every window.
    fn sample_keys(&self, len: usize) -> Vec<usize> {
        let scored = len - 2;
        let n = self.per_window.min(scored);
        // A step of the golden ratio visits all offsets before it repeats any.
        let offset = (self.windows as f64 * 0.618_033_988_749_895).fract();
        let mut keys: Vec<usize> =
            (0..n).map(|j| 1 + ((j as f64 + offset) * scored as f64 / n as f64) as usize % scored).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Averages, then the ratios of the sampled keys under these averages.
    pub fn finish(self, source: CalibrationSource) -> Result<Calibration, CalibrationError> {
        if self.windows == 0 {
            return Err(CalibrationError::NoText);
        }
        let bins = bins(self.window);
        let gbar = |of: fn(&HeadTotals) -> &[f64]| -> Result<Vec<f32>, CalibrationError> {
            let mut out = Vec::with_capacity(self.heads.len() * bins.len());
            for (lh, totals) in self.heads.iter().enumerate() {
                let averages = average_bins(of(totals), &self.pairs, &bins);
                if averages.iter().any(|g| !g.is_finite()) {
                    return Err(CalibrationError::NotFinite {
                        layer: lh / self.n_head,
                        head: lh % self.n_head,
                    });
                }
                out.extend(averages);
            }
            Ok(out)
        };
        let alpha = Averages { gbar: gbar(|t| &t.alpha)?, sample: Vec::new() };
        let contribution = Averages { gbar: gbar(|t| &t.contribution)?, sample: Vec::new() };
        let mut out = Calibration {
            n_layer: self.n_layer,
            n_head: self.n_head,
            window: self.window,
            windows: self.windows,
            source,
            alpha,
            contribution,
        };
        out.alpha.sample = self.ratios(&out.null(false, self.window), |t| &t.sample_alpha);
        out.contribution.sample = self.ratios(&out.null(true, self.window), |t| &t.sample_contribution);
        Ok(out)
    }

    /// ℓ of the sampled keys, `[N, L·H]`.
    fn ratios(&self, null: &DistanceNull, received: fn(&HeadTotals) -> &[f64]) -> Vec<f32> {
        let n: usize = self.sampled.iter().map(|(_, keys)| keys.len()).sum();
        let of = self.heads.len();
        let mut out = vec![0f32; n * of];
        for (lh, totals) in self.heads.iter().enumerate() {
            let (mut row, mut query) = (0, 0);
            for (len, keys) in &self.sampled {
                let mass: Vec<f64> = totals.mass[query..query + len].iter().map(|&m| f64::from(m)).collect();
                let expected = null.expected(lh, 0..*len, &mass, &[]);
                for &key in keys {
                    out[row * of + lh] = null.ratio(lh, received(totals)[row], expected[key]) as f32;
                    row += 1;
                }
                query += len;
            }
        }
        out
    }
}

impl HeadTotals {
    fn add(&mut self, map: &[f32], norms: &[f32], keys: &[usize]) {
        let len = norms.len();
        self.mass.extend((0..len.min(1)).map(|_| 0.0));
        self.mass.extend((1..len).map(|t| between(t, map[t * len].into(), map[t * len + t].into()) as f32));
        for t in 2..len {
            let row = &map[t * len..t * len + t];
            // Key 1 lies t − 1 away and key t − 1 lies 1 away.
            let sums = self.alpha[1..t].iter_mut().zip(&mut self.contribution[1..t]).rev();
            for ((&a, &norm), (alpha, contribution)) in row[1..].iter().zip(&norms[1..]).zip(sums) {
                *alpha += f64::from(a);
                *contribution += f64::from(a) * f64::from(norm);
            }
        }
        for &key in keys {
            let received: f64 = (key + 1..len).map(|t| f64::from(map[t * len + key])).sum();
            self.sample_alpha.push(received);
            self.sample_contribution.push(received * f64::from(norms[key]));
        }
    }
}

/// ḡ per bin; a bin that no pair fell into repeats the one before it.
fn average_bins(totals: &[f64], pairs: &[u64], bins: &[usize]) -> Vec<f32> {
    let mut sums = vec![(0f64, 0u64); bins.len()];
    for (distance, (&total, &n)) in totals.iter().zip(pairs).enumerate().skip(1) {
        let bin = &mut sums[bin_of(bins, distance)];
        bin.0 += total;
        bin.1 += n;
    }
    let mut out: Vec<f32> = Vec::with_capacity(bins.len());
    for (sum, n) in sums {
        let before = out.last().copied().unwrap_or(0.0);
        out.push(if n == 0 { before } else { (sum / n as f64) as f32 });
    }
    out
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
