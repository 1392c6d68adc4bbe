//! Thresholds of the rolling window again, with loops over pairs: the plain twin of `rolling.rs`.

use super::*;

/// The threshold rule once more, written down plainly: corrected score on α, all heads.
pub(super) fn plain_threshold(
    ids: &[u32],
    mask: &MaskSettings,
    settings: &RollingSettings,
) -> Vec<Vec<usize>> {
    let len = ids.len();
    let model = Miniature { ids: ids.to_vec() };
    let heads = LAYERS * HEADS;
    let (mut c, mut e) = (vec![vec![0.0; len]; heads], vec![0.0; len]);
    let (mut h, mut last) = (vec![0u32; len], vec![None; len]);
    // hidden[t][i]
    let mut hidden = vec![vec![false; len]; len];
    let mut gone = vec![false; len];
    let (mut prev, mut b, mut k, mut out) = (0, settings.window, 1i64, Vec::new());
    while b < len {
        let blocked: Vec<bool> = (0..b).flat_map(|t| hidden[t][..b].to_vec()).collect();
        let maps = model.maps(b, &Visibility::Pairs(Arc::new(blocked)));
        for i in 0..b {
            e[i] *= settings.decay;
            let readers = (prev.max(i + 1)..b).filter(|&t| !hidden[t][i]);
            e[i] += readers.map(|t| 1.0 / (t + 1) as f64).sum::<f64>();
            for (lh, c) in c.iter_mut().enumerate() {
                c[i] *= settings.decay;
                c[i] += (prev.max(i + 1)..b).map(|t| f64::from(maps.maps[lh][t * b + i])).sum::<f64>();
            }
        }
        let once = settings.policy == Some(CachePolicy::DmsLike);
        let eligible: Vec<usize> = (1..b)
            .filter(|&i| i + settings.recent < b && !(settings.sticky && gone[i]))
            .filter(|&i| last[i].is_none_or(|l: i64| k - l > i64::from(settings.cool_down)))
            .filter(|&i| !once || i + settings.recent >= prev)
            .collect();
        let score = |i: usize| c.iter().map(|c| c[i] / e[i]).sum::<f64>() / heads as f64;
        let mut order = eligible.clone();
        order.sort_by(|&x, &y| score(x).total_cmp(&score(y)));
        let now = masked_now(&order, &h, mask, settings);
        for i in 0..b {
            if now[i] {
                h[i] += 1;
                last[i] = Some(k);
            }
            gone[i] = now[i] || (settings.sticky && gone[i]);
        }
        for row in hidden.iter_mut().skip(b) {
            row[..b].copy_from_slice(&gone[..b]);
        }
        out.push((0..b).filter(|&i| gone[i]).collect());
        prev = b;
        b += settings.stride;
        k += 1;
    }
    out
}

/// The positions, of those `order`ed by their score, whose rank passes the threshold and whose draw falls below p. `h`
/// counts how often each was masked before.
fn masked_now(order: &[usize], h: &[u32], mask: &MaskSettings, settings: &RollingSettings) -> Vec<bool> {
    let mean = order.iter().map(|&i| f64::from(h[i])).sum::<f64>() / order.len().max(1) as f64;
    let mut now = vec![false; h.len()];
    for (r, &i) in order.iter().enumerate() {
        let mut a = (r as f64 + 0.5) / order.len() as f64;
        if mean > 0.0 {
            a = (a - 0.1 * settings.history * (f64::from(h[i]) / (mean + 1e-6) - 1.0)).clamp(0.0, 1.0);
        }
        let past = match mask.polarity {
            Polarity::Low => a < 1.0 - mask.threshold,
            _ => a > mask.threshold,
        };
        now[i] = past && Draws::new(mask.seed).unit(Stream::Decision, i) < mask.probability;
    }
    now
}
