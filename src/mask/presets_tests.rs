//! Each policy once more, written down plainly from its description, and compared on random attention.

use std::collections::BTreeSet;

use super::*;
use crate::attention::score::score_source;
use crate::attention::testing::{FixedMaps, TestRng, random_maps};
use proptest::prelude::*;

struct Case {
    maps: FixedMaps,
    cached: BTreeSet<usize>,
    protected: BTreeSet<usize>,
    budget: usize,
    seed: u64,
}

fn case(seed: u64, len: usize, budget: usize) -> Case {
    let mut rng = TestRng(seed);
    let maps = random_maps(2, 2, len, 6.0, seed);
    // Older tokens may be gone already; protected ones never are.
    let protected: BTreeSet<usize> = (0..len).filter(|_| rng.below(15) == 0).collect();
    let gone: BTreeSet<usize> = (0..len / 3).filter(|_| rng.below(3) == 0).collect();
    let cached = (0..len).filter(|i| protected.contains(i) || !gone.contains(i)).collect();
    Case { maps, cached, protected, budget: budget.clamp(1, len), seed }
}

fn ours(preset: CachePolicy, case: &Case) -> BTreeSet<usize> {
    let len = case.maps.len;
    let scores = match preset.score(&ScoreSettings::default()) {
        Some(settings) => score_source(&case.maps, &settings, None).scores,
        None => vec![None; len],
    };
    let kept = keep_set(
        preset,
        &KeepInput {
            budget: case.budget,
            scores: &scores,
            cached: &(0..len).map(|i| case.cached.contains(&i)).collect::<Vec<_>>(),
            protected: &(0..len).map(|i| case.protected.contains(&i)).collect::<Vec<_>>(),
            draws: Draws::new(case.seed),
        },
    );
    (0..len).filter(|&i| kept.keep[i]).collect()
}

/// α[t,i] averaged over layers and heads.
fn alpha(case: &Case, t: usize, i: usize) -> f64 {
    let len = case.maps.len;
    case.maps.maps.iter().map(|m| f64::from(m[t * len + i])).sum::<f64>() / case.maps.maps.len() as f64
}

/// Adds the best of what is cached until the budget is full.
fn fill(mut keep: BTreeSet<usize>, case: &Case, value: impl Fn(usize) -> f64) -> BTreeSet<usize> {
    while keep.len() < case.budget {
        let best =
            case.cached.iter().filter(|i| !keep.contains(i)).max_by(|a, b| value(**a).total_cmp(&value(**b)));
        match best {
            Some(&i) => keep.insert(i),
            None => break,
        };
    }
    keep
}

fn newest(case: &Case, n: usize) -> BTreeSet<usize> {
    case.cached.iter().copied().filter(|i| i + n >= case.maps.len).collect()
}

fn snap(case: &Case, i: usize) -> f64 {
    let len = case.maps.len;
    let near: Vec<usize> =
        case.cached.iter().copied().filter(|&j| j.abs_diff(i) <= 2 && j + 1 < len).collect();
    let observed = |j: usize| {
        let queries: Vec<usize> = (len.saturating_sub(16)..len).filter(|&t| t > j).collect();
        queries.iter().map(|&t| alpha(case, t, j)).sum::<f64>() / queries.len() as f64
    };
    near.iter().map(|&j| observed(j)).sum::<f64>() / near.len() as f64
}

fn plainly(preset: CachePolicy, case: &Case) -> BTreeSet<usize> {
    let len = case.maps.len;
    let union = |a: BTreeSet<usize>| -> BTreeSet<usize> { a.union(&case.protected).copied().collect() };
    let half = union(newest(case, (case.budget / 2).max(1)));
    match preset {
        CachePolicy::H2o => fill(half, case, |i| (i + 1..len).map(|t| alpha(case, t, i)).sum()),
        CachePolicy::SnapKv => fill(union(newest(case, 16)), case, |i| snap(case, i)),
        CachePolicy::Tova => fill(union(newest(case, 1)), case, |i| alpha(case, len - 1, i)),
        CachePolicy::StreamingLlm => {
            let first = case.cached.iter().copied().filter(|&i| i < 4).collect();
            let kept = union(first).union(&newest(case, 1)).copied().collect();
            fill(kept, case, |i| i as f64)
        }
        CachePolicy::Recency => fill(union(newest(case, 1)), case, |i| i as f64),
        CachePolicy::Random => fill(half, case, |i| Draws::new(case.seed).unit(Stream::Decision, i)),
        CachePolicy::Inverse => fill(half, case, |i| -snap(case, i)),
        CachePolicy::SnapKvHalf => fill(half, case, |i| snap(case, i)),
        CachePolicy::DmsLike => unreachable!("goes by a threshold; tested with the rolling window"),
    }
}

proptest! {
    #[test]
    fn every_budget_policy_keeps_what_its_description_says(seed: u64, len in 2usize..60, budget in 1usize..60) {
        let case = case(seed, len, budget);
        for &preset in CachePolicy::ALL.iter().filter(|p| p.has_budget()) {
            let keep = ours(preset, &case);
            prop_assert_eq!(&keep, &plainly(preset, &case), "{}", preset);
            prop_assert!(keep.is_subset(&case.cached));
            prop_assert!(case.protected.is_subset(&keep));
            prop_assert!(keep.contains(&(len - 1)), "the newest token always stays");
        }
    }

    #[test]
    fn a_larger_budget_keeps_more_of_the_same_under_tova(seed: u64, len in 2usize..60, budget in 1usize..59) {
        let (small, large) = (case(seed, len, budget), case(seed, len, budget + 1));
        prop_assert!(ours(CachePolicy::Tova, &small).is_subset(&ours(CachePolicy::Tova, &large)));
    }
}

#[test]
fn of_equals_the_later_one_stays() {
    let kept = keep_set(
        CachePolicy::Tova,
        &KeepInput {
            budget: 3,
            scores: &[Some(0.2), Some(0.2), Some(0.2), Some(0.1), None],
            cached: &[true; 5],
            protected: &[false; 5],
            draws: Draws::new(1),
        },
    );
    assert_eq!(kept.keep, [false, true, true, false, true]);
    assert_eq!(kept.rank, [Some(3), Some(2), Some(1), Some(4), None]);
}

#[test]
fn budgets_are_shares_or_tokens() {
    assert_eq!(Budget::Share(0.5).tokens(101), 51);
    assert_eq!(Budget::Share(0.001).tokens(10), 1);
    assert_eq!(Budget::Tokens(64).tokens(10), 10);
    assert_eq!(Budget::Tokens(64).tokens(100), 64);
}
