//! One pass over all maps that keeps what every score, sink and head statistic needs, and no map.
//!
//! Each head is summed alone in f64, queries ascending; heads are combined later in index order. So results are
//! the same bits for any number of threads. One `[T, T]` scratch per worker.

use std::ops::Range;

use rayon::prelude::*;

use super::heads::{self, HeadStats, HeadsRequest};
use super::source::{AttentionSource, Received};
use super::types::{DEFAULT_WINDOW, Reduction, ScoreSettings};

/// What a sweep should keep.
#[derive(Clone, Debug)]
pub struct SweepRequest<'a> {
    /// Queries for the `window` reduction.
    pub window: usize,
    /// Keeps what `window` and `last` need. Without them a pass that summed what keys receive is not looked at again.
    pub newest: bool,
    /// Queries that count as readers (cut to the sequence); rolling decisions take only the new ones.
    pub queries: Range<usize>,
    /// Layers and heads of the roll-out, as in [`ScoreSettings`]; `None` leaves it out.
    pub rollout: Option<ScoreSettings>,
    /// Head statistics and thumbnails; `None` leaves them out.
    pub heads: Option<HeadsRequest<'a>>,
}

impl Default for SweepRequest<'_> {
    fn default() -> Self {
        SweepRequest {
            window: DEFAULT_WINDOW,
            newest: true,
            queries: 0..usize::MAX,
            rollout: None,
            heads: None,
        }
    }
}

impl SweepRequest<'_> {
    /// What `settings` needs over a whole text.
    pub fn for_score(settings: &ScoreSettings) -> Self {
        let (newest, rollout) = match settings.reduction {
            Reduction::Window | Reduction::Last => (true, false),
            Reduction::Rollout => (false, true),
            Reduction::Corrected
            | Reduction::DistanceNull
            | Reduction::Sum
            | Reduction::MaxHeads
            | Reduction::Plain => (false, false),
        };
        SweepRequest {
            window: settings.window,
            newest,
            rollout: rollout.then(|| settings.clone()),
            ..SweepRequest::default()
        }
    }
}

/// What one head's keys received, each `[T]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadSums {
    /// `Σ α[t,i]` over the counted queries `t > i`.
    pub later: Vec<f64>,
    /// `α[i,i]` where `i` is a counted query, else 0.
    pub own: Vec<f64>,
    /// Attention of a counted query `i` on the keys between the first and itself, `1 − α[i,0] − α[i,i]`; else 0.
    pub mass: Vec<f64>,
    /// `Σ α[t,i]` over `t > i` in the last `window` queries before `queries.end`; empty where not asked for, as `last`.
    pub window: Vec<f64>,
    /// `α[last,i]` for `i < last = queries.end - 1`.
    pub last: Vec<f64>,
    /// `‖W_O v_i‖`.
    pub norms: Vec<f32>,
}

/// Roll-out (Abnar & Zuidema 2020, arXiv 2005.00928) received from the last query.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutRow {
    pub layers: Vec<usize>,
    pub heads: Vec<usize>,
    /// `[T]`, sums to 1.
    pub received: Vec<f64>,
}

/// The result of a sweep; enough for any score with the same window (and roll-out subset).
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    pub n_layer: usize,
    pub n_head: usize,
    pub len: usize,
    pub window: usize,
    /// Whether `window` and `last` of the sums are filled in.
    pub newest: bool,
    /// Queries that counted, inside `0..len`.
    pub queries: Range<usize>,
    /// `[L·H]`, layer-major.
    pub sums: Vec<HeadSums>,
    pub rollout: Option<RolloutRow>,
    /// `[L·H]`, layer-major; empty when not asked for.
    pub heads: Vec<HeadStats>,
}

impl Sweep {
    /// Whether `settings` can be scored from this sweep without looking at a map again.
    pub fn covers(&self, settings: &ScoreSettings) -> bool {
        match settings.reduction {
            Reduction::Window => self.newest && self.window == settings.window,
            Reduction::Last => self.newest,
            Reduction::Rollout => self
                .rollout
                .as_ref()
                .is_some_and(|r| r.layers == settings.layers && r.heads == settings.heads),
            Reduction::Corrected
            | Reduction::DistanceNull
            | Reduction::Sum
            | Reduction::MaxHeads
            | Reduction::Plain => true,
        }
    }
}

/// Sweeps over all layers and heads.
pub fn sweep<S: AttentionSource + ?Sized>(source: &S, request: &SweepRequest) -> Sweep {
    // `keep_going` never says no, so there is always a result.
    sweep_while(source, request, &|| true).unwrap_or_else(|| empty(source, request))
}

/// Like [`sweep`], but asks `keep_going` before every layer and gives up with `None` when it says no.
pub fn sweep_while<S: AttentionSource + ?Sized>(
    source: &S,
    request: &SweepRequest,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Option<Sweep> {
    let mut out = empty(source, request);
    let len = out.len;
    let workers = rayon::current_num_threads().clamp(1, out.n_head.max(1));
    let mut scratch = vec![Vec::new(); workers];
    let mut rolled = vec![0f64; len];
    if let Some(last) = rolled.last_mut() {
        *last = 1.0;
    }
    let followers = request.heads.as_ref().map(|r| heads::followers(r.ids)).unwrap_or_default();
    // Roll-out multiplies from the last layer down, so the sweep goes that way too.
    for layer in (0..out.n_layer).rev() {
        if !keep_going() {
            return None;
        }
        let asked = HeadSweep { request, shape: &out, rolled: &rolled, followers: &followers };
        let done = sweep_layer(source, &asked, layer, &mut scratch);
        let mut passed = Vec::new();
        for (head, one) in done.into_iter().enumerate() {
            let index = layer * out.n_head + head;
            out.sums[index] = one.sums;
            if let Some(stats) = one.stats {
                out.heads[index] = stats;
            }
            passed.extend(one.rolled);
        }
        if !passed.is_empty() {
            rolled = roll(&rolled, &passed);
        }
    }
    if let Some(row) = &mut out.rollout {
        row.received = rolled;
    }
    Some(out)
}

fn empty<S: AttentionSource + ?Sized>(source: &S, request: &SweepRequest) -> Sweep {
    let (n_layer, n_head, len) = (source.n_layer(), source.n_head(), source.len());
    let end = request.queries.end.min(len);
    let n = n_layer * n_head;
    Sweep {
        n_layer,
        n_head,
        len,
        window: request.window,
        newest: request.newest,
        queries: request.queries.start.min(end)..end,
        sums: vec![HeadSums::default(); n],
        rollout: request.rollout.as_ref().map(|s| RolloutRow {
            layers: s.layers.clone(),
            heads: s.heads.clone(),
            received: Vec::new(),
        }),
        heads: if request.heads.is_some() { vec![HeadStats::default(); n] } else { Vec::new() },
    }
}

/// What one head gives to the sweep.
struct OneHead {
    sums: HeadSums,
    stats: Option<HeadStats>,
    /// `Σ_t r[t]·α[t,i]` and, per query, whether the row holds any attention.
    rolled: Option<(Vec<f64>, Vec<bool>)>,
}

/// What every head of a layer is swept with.
struct HeadSweep<'a> {
    request: &'a SweepRequest<'a>,
    shape: &'a Sweep,
    rolled: &'a [f64],
    followers: &'a [Vec<usize>],
}

fn sweep_layer<S: AttentionSource + ?Sized>(
    source: &S,
    asked: &HeadSweep,
    layer: usize,
    scratch: &mut [Vec<f32>],
) -> Vec<OneHead> {
    let HeadSweep { request, shape, rolled, followers } = asked;
    let n_head = shape.n_head;
    let mut slots: Vec<Option<OneHead>> = (0..n_head).map(|_| None).collect();
    let per_worker = n_head.div_ceil(scratch.len()).max(1);
    slots.par_chunks_mut(per_worker).zip(scratch.par_iter_mut()).enumerate().for_each(
        |(chunk, (slots, map))| {
            for (k, slot) in slots.iter_mut().enumerate() {
                let head = chunk * per_worker + k;
                if let Some(sums) = summed(source, asked, (layer, head)) {
                    *slot = Some(OneHead { sums, stats: None, rolled: None });
                    continue;
                }
                map.resize(shape.len * shape.len, 0.0);
                source.map(layer, head, map);
                let roll = request.rollout.as_ref().is_some_and(|s| s.counts(layer, head));
                let mut sums = sum_head(map, shape);
                sums.norms = vec![0.0; shape.len];
                source.value_norms(layer, head, &mut sums.norms);
                *slot = Some(OneHead {
                    sums,
                    stats: request.heads.as_ref().map(|r| heads::stats_with(map, shape.len, r, followers)),
                    rolled: roll.then(|| pass_down(map, rolled)),
                });
            }
        },
    );
    slots.into_iter().flatten().collect()
}

/// What the pass summed itself, where that is all that is asked.
fn summed<S: AttentionSource + ?Sized>(
    source: &S,
    asked: &HeadSweep,
    (layer, head): (usize, usize),
) -> Option<HeadSums> {
    let HeadSweep { request, shape, .. } = asked;
    let rolls = request.rollout.as_ref().is_some_and(|s| s.counts(layer, head));
    if rolls || request.newest || request.heads.is_some() || shape.queries != (0..shape.len) {
        return None;
    }
    let Received { later, own, first, norms } = source.received(layer, head)?;
    let mass = (0..shape.len).map(|t| between(t, first[t], own[t])).collect();
    Some(HeadSums { later, own, mass, norms, ..HeadSums::default() })
}

fn sum_head(map: &[f32], shape: &Sweep) -> HeadSums {
    let len = shape.len;
    let mut out = HeadSums {
        later: vec![0.0; len],
        own: vec![0.0; len],
        mass: vec![0.0; len],
        window: vec![0.0; len],
        last: vec![0.0; len],
        norms: Vec::new(),
    };
    let row = |t: usize| &map[t * len..t * len + t];
    for t in shape.queries.clone() {
        add(&mut out.later[..t], row(t));
        out.own[t] = f64::from(map[t * len + t]);
        // A row that skipped the layer is all zeros: it read nothing.
        if map[t * len..=t * len + t].iter().any(|&a| a > 0.0) {
            out.mass[t] = between(t, f64::from(map[t * len]), out.own[t]);
        }
    }
    let end = shape.queries.end;
    for t in end.saturating_sub(shape.window)..end {
        add(&mut out.window[..t], row(t));
    }
    if let Some(last) = end.checked_sub(1) {
        add(&mut out.last[..last], row(last));
    }
    out
}

/// What query `t` has left for the keys between the first and itself; rows sum to 1 up to rounding.
pub(super) fn between(t: usize, first: f64, own: f64) -> f64 {
    if t == 0 { 0.0 } else { (1.0 - first - own).max(0.0) }
}

fn add(into: &mut [f64], row: &[f32]) {
    for (sum, &a) in into.iter_mut().zip(row) {
        *sum += f64::from(a);
    }
}

/// One head's share of the roll-out step: what the weights `rolled` on queries become on keys.
fn pass_down(map: &[f32], rolled: &[f64]) -> (Vec<f64>, Vec<bool>) {
    let len = rolled.len();
    let mut received = vec![0f64; len];
    let mut attends = vec![false; len];
    for (t, &r) in rolled.iter().enumerate() {
        let row = &map[t * len..t * len + t + 1];
        attends[t] = row.iter().any(|&a| a > 0.0);
        if r != 0.0 {
            for (sum, &a) in received.iter_mut().zip(row) {
                *sum += r * f64::from(a);
            }
        }
    }
    (received, attends)
}

/// Half through the residual stream, half through the mean over heads; a skipped row has only the former.
fn roll(rolled: &[f64], heads: &[(Vec<f64>, Vec<bool>)]) -> Vec<f64> {
    let share = 0.5 / heads.len() as f64;
    let mut out: Vec<f64> = rolled
        .iter()
        .enumerate()
        .map(|(t, &r)| {
            let attending = heads.iter().filter(|(_, a)| a[t]).count() as f64;
            r * (1.0 - share * attending)
        })
        .collect();
    for (received, _) in heads {
        for (sum, &a) in out.iter_mut().zip(received) {
            *sum += share * a;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::random_maps;
    use super::*;

    fn with_threads<T: Send>(n: usize, f: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(f)
    }

    #[test]
    fn the_thread_count_changes_no_bit() {
        let source = random_maps(3, 5, 23, 6.0, 9);
        let ids: Vec<u32> = (0..23).map(|i| i % 7).collect();
        let request = SweepRequest {
            rollout: Some(ScoreSettings::default()),
            heads: Some(HeadsRequest { ids: &ids, masked: &[3, 4], side: 8 }),
            ..SweepRequest::default()
        };
        let one = with_threads(1, || sweep(&source, &request));
        for threads in [2, 3, 8] {
            assert_eq!(one, with_threads(threads, || sweep(&source, &request)));
        }
    }

    #[test]
    fn sums_are_those_of_the_maps() {
        let len = 12;
        let source = random_maps(2, 2, len, 5.0, 1);
        let got = sweep(&source, &SweepRequest { window: 4, ..SweepRequest::default() });
        for (map, sums) in source.maps.iter().zip(&got.sums) {
            for i in 0..len {
                let later = |from: usize| -> f64 {
                    (from.max(i + 1)..len).map(|t| f64::from(map[t * len + i])).sum()
                };
                assert_eq!(sums.later[i], later(0));
                assert_eq!(sums.window[i], later(len - 4));
                assert_eq!(sums.last[i], later(len - 1));
                assert_eq!(sums.own[i], f64::from(map[i * len + i]));
            }
        }
    }

    #[test]
    fn two_ranges_of_queries_add_up_to_the_whole() {
        let source = random_maps(1, 2, 16, 4.0, 2);
        let part = |queries| sweep(&source, &SweepRequest { queries, ..SweepRequest::default() });
        let (a, b, all) = (part(0..9), part(9..16), part(0..usize::MAX));
        for i in 0..16 {
            let sum = a.sums[1].later[i] + b.sums[1].later[i];
            assert!((sum - all.sums[1].later[i]).abs() < 1e-12);
        }
    }

    #[test]
    fn a_sweep_can_be_cancelled_between_layers() {
        let source = random_maps(3, 1, 5, 1.0, 3);
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let go = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 1;
        assert!(sweep_while(&source, &SweepRequest::default(), &go).is_none());
    }

    #[test]
    fn an_empty_text_sweeps_to_nothing() {
        let got = sweep(&random_maps(2, 2, 0, 1.0, 1), &SweepRequest::default());
        assert!(got.sums.iter().all(|s| s.later.is_empty()));
    }
}
