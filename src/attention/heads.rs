//! What a head is like: sink share, entropy, previous-token, induction, mass on masked keys, and a thumbnail.

use std::collections::HashMap;

/// What the statistics of a text need to know about it.
#[derive(Clone, Debug)]
pub struct HeadsRequest<'a> {
    /// Token ids `[T]`, for induction; may be empty.
    pub ids: &'a [u32],
    /// Masked positions.
    pub masked: &'a [usize],
    /// Largest side of the thumbnail; 0 for none.
    pub side: usize,
}

/// Per query, the keys that follow an earlier copy of its token: found once, used for all heads.
pub(super) fn followers(ids: &[u32]) -> Vec<Vec<usize>> {
    let mut copies: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut out = Vec::with_capacity(ids.len());
    for (t, &id) in ids.iter().enumerate() {
        let earlier = copies.entry(id).or_default();
        // The token after an immediate repeat is the query itself, which is no follower.
        out.push(earlier.iter().map(|&j| j + 1).filter(|&i| i < t).collect());
        earlier.push(t);
    }
    out
}

/// Statistics of one head over one text. Means are over the queries `t ≥ 1` that attend at all
/// (query 0 can only read itself, a skipped row reads nothing).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadStats {
    /// Mean attention to position 0.
    pub sink: f64,
    /// Mean row entropy in nats.
    pub entropy: f64,
    /// Mean attention to the previous token.
    pub previous: f64,
    /// Mean attention to the tokens that followed earlier copies of the query token (Olsson 2022,
    /// arXiv 2209.11895), over queries that have such a token before them; `None` without repeats.
    pub induction: Option<f64>,
    /// Mean attention mass on masked keys.
    pub mask_mass: f64,
    /// Side of the thumbnail, at most the text's length.
    pub side: usize,
    /// Max-pooled map, row-major `[side, side]`.
    pub thumbnail: Vec<f32>,
}

/// Statistics of one map, row-major `[len, len]`.
pub fn head_stats(map: &[f32], len: usize, request: &HeadsRequest) -> HeadStats {
    stats_with(map, len, request, &followers(request.ids))
}

pub(super) fn stats_with(
    map: &[f32],
    len: usize,
    request: &HeadsRequest,
    followers: &[Vec<usize>],
) -> HeadStats {
    let side = request.side.min(len);
    let mut out = HeadStats { side, thumbnail: max_pool(map, len, len, side), ..HeadStats::default() };
    let mut rows = 0usize;
    for t in 1..len {
        let row = &map[t * len..t * len + t + 1];
        if row.iter().all(|&a| a == 0.0) {
            continue;
        }
        rows += 1;
        out.sink += f64::from(row[0]);
        out.previous += f64::from(row[t - 1]);
        out.entropy += entropy(row);
        out.mask_mass += request.masked.iter().filter(|&&i| i <= t).map(|&i| f64::from(row[i])).sum::<f64>();
    }
    if rows > 0 {
        for sum in [&mut out.sink, &mut out.previous, &mut out.entropy, &mut out.mask_mass] {
            *sum /= rows as f64;
        }
    }
    out.induction = induction(map, len, followers);
    out
}

/// `-Σ a·ln a`, summed in lanes so that it vectorises; the order is fixed all the same.
fn entropy(row: &[f32]) -> f64 {
    let mut lanes = [0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|&a| f64::from(-a * ln(a))).sum();
    for chunk in chunks {
        for (sum, &a) in lanes.iter_mut().zip(chunk) {
            *sum -= a * ln(a);
        }
    }
    lanes.iter().map(|&l| f64::from(l)).sum::<f64>() + rest
}

const LANES: usize = 16;

/// Natural logarithm of a positive normal number to about 1e-7 (the polynomial of Cephes' `logf`); some finite number
/// for 0, so that `0·ln 0` is 0. Without branches, so that it vectorises: a library call here takes seconds on 144 maps.
#[inline(always)]
fn ln(x: f32) -> f32 {
    /// Bits of √½: mantissas are brought to [√½, √2).
    const SQRT_HALF: u32 = 0x3f35_04f3;
    const P: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    let shifted = x.to_bits().wrapping_add(0x3f80_0000 - SQRT_HALF);
    let exponent = (shifted >> 23) as i32 - 127;
    let f = f32::from_bits((shifted & 0x007f_ffff) + SQRT_HALF) - 1.0;
    let mut y = P[0];
    for p in &P[1..] {
        y = y * f + p;
    }
    f + (y * f - 0.5) * f * f + exponent as f32 * std::f32::consts::LN_2
}

fn induction(map: &[f32], len: usize, followers: &[Vec<usize>]) -> Option<f64> {
    let (mut sum, mut queries) = (0.0, 0usize);
    for (t, keys) in followers.iter().enumerate().take(len).filter(|(_, keys)| !keys.is_empty()) {
        let row = &map[t * len..t * len + t + 1];
        if row.iter().any(|&a| a != 0.0) {
            sum += keys.iter().map(|&i| f64::from(row[i])).sum::<f64>();
            queries += 1;
        }
    }
    (queries > 0).then(|| sum / queries as f64)
}

/// Shrinks a row-major `[rows, cols]` map to `[side, side]` by the maximum, so that a single strong cell
/// never vanishes. Values that are not numbers (rows of dropped tokens) give way to any number.
///
/// `side` is at most either length; every cell belongs to exactly one bin.
pub fn max_pool(map: &[f32], rows: usize, cols: usize, side: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(side * side);
    let first = |bin: usize, of: usize| (bin * of).div_ceil(side);
    let mut tallest = vec![f32::NEG_INFINITY; cols];
    for row_bin in 0..side {
        tallest.fill(f32::NEG_INFINITY);
        for t in first(row_bin, rows)..first(row_bin + 1, rows) {
            for (best, &a) in tallest.iter_mut().zip(&map[t * cols..(t + 1) * cols]) {
                *best = if a > *best { a } else { *best };
            }
        }
        for bin in 0..side {
            let best = tallest[first(bin, cols)..first(bin + 1, cols)]
                .iter()
                .copied()
                .fold(f32::NEG_INFINITY, f32::max);
            out.push(if best == f32::NEG_INFINITY { f32::NAN } else { best });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::{random_maps, uniform_maps};
    use super::*;
    use proptest::prelude::*;

    const PLAIN: HeadsRequest = HeadsRequest { ids: &[], masked: &[], side: 0 };

    #[test]
    fn uniform_attention_has_the_entropy_of_its_rows() {
        let len = 9;
        let stats = head_stats(&uniform_maps(1, 1, len).maps[0], len, &PLAIN);
        let expected: f64 = (1..len).map(|t| ((t + 1) as f64).ln()).sum::<f64>() / (len - 1) as f64;
        assert!((stats.entropy - expected).abs() < 1e-6);
        let harmonic: f64 = (1..len).map(|t| 1.0 / (t + 1) as f64).sum::<f64>() / (len - 1) as f64;
        assert!((stats.sink - harmonic).abs() < 1e-6);
        assert!((stats.previous - harmonic).abs() < 1e-6);
        assert_eq!(stats.induction, None);
    }

    #[test]
    fn the_quick_logarithm_is_the_logarithm() {
        for k in 1..=100_000u32 {
            for x in [k as f32 / 100_000.0, (k as f32 / 100_000.0).powi(6).max(f32::MIN_POSITIVE)] {
                let exact = f64::from(x).ln();
                assert!(
                    (f64::from(ln(x)) - exact).abs() < 3e-7 * exact.abs().max(1.0),
                    "{x}: {} {exact}",
                    ln(x)
                );
            }
        }
        assert_eq!(0.0 * ln(0.0), 0.0);
    }

    #[test]
    fn a_perfect_induction_head_scores_one() {
        let ids = [5, 6, 7, 5, 6, 7];
        let len = ids.len();
        let mut map = vec![0f32; len * len];
        for t in 0..len {
            let to = (1..t).find(|&i| ids[i - 1] == ids[t]).unwrap_or(t);
            map[t * len + to] = 1.0;
        }
        let stats = head_stats(&map, len, &HeadsRequest { ids: &ids, masked: &[1], side: 0 });
        assert_eq!(stats.induction, Some(1.0));
        // Query 1 reads itself and query 3 reads key 1, of five queries.
        assert!((stats.mask_mass - 0.4).abs() < 1e-9);
    }

    #[test]
    fn the_token_itself_is_no_induction_target() {
        // `5 5`: the token after the earlier copy is the query itself.
        let stats = head_stats(
            &uniform_maps(1, 1, 2).maps[0],
            2,
            &HeadsRequest { ids: &[5, 5], masked: &[], side: 0 },
        );
        assert_eq!(stats.induction, None);
    }

    #[test]
    fn skipped_rows_do_not_count() {
        let len = 4;
        let mut map = uniform_maps(1, 1, len).maps.remove(0);
        map[2 * len..3 * len].fill(0.0);
        let stats = head_stats(&map, len, &PLAIN);
        assert!((stats.sink - (1.0 / 2.0 + 1.0 / 4.0) / 2.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn no_strong_cell_is_lost_in_a_thumbnail(
            len in 1usize..40, side in 1usize..40, row in 0usize..40, col in 0usize..40,
        ) {
            let (row, side) = (row % len, side.min(len));
            let col = col % (row + 1);
            let mut map = random_maps(1, 1, len, 1.0, 3).maps.remove(0);
            map[row * len + col] = 2.0;
            let small = max_pool(&map, len, len, side);
            prop_assert_eq!(small.len(), side * side);
            prop_assert_eq!(small[row * side / len * side + col * side / len], 2.0);
            prop_assert_eq!(small.iter().filter(|&&v| v == 2.0).count(), 1);
            prop_assert!(small.iter().all(|v| !v.is_nan()));
        }
    }
}
