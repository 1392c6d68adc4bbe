use super::*;
use proptest::prelude::*;

fn normals(n: usize, mean: f64, sd: f64, seed: u64) -> Vec<f64> {
    let draws = Draws::new(seed);
    (0..n)
        .map(|i| {
            let u = 1.0 - draws.unit(Stream::Shuffle, 2 * i);
            let v = draws.unit(Stream::Shuffle, 2 * i + 1);
            mean + sd * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        })
        .collect()
}

#[test]
fn spearman_with_ties_gives_the_textbook_number() {
    // scipy.stats.spearmanr([1, 2, 2, 4, 5], [3, 1, 4, 4, 6]): average ranks 1, 2.5, 2.5, 4, 5 and 2, 1, 3.5, 3.5, 5.
    let rho = spearman(&[1.0, 2.0, 2.0, 4.0, 5.0], &[3.0, 1.0, 4.0, 4.0, 6.0]).unwrap();
    assert!((rho - 7.25 / 9.5).abs() < 1e-12, "{rho}");
    assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 1e9]), Some(1.0));
    assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
    assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0]), None);
    assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
    assert_eq!(spearman(&[1.0, 2.0, f64::NAN], &[1.0, 2.0, 3.0]), None);
    assert_eq!(average_ranks(&[3.0, 1.0, 3.0, 3.0]), [3.0, 1.0, 3.0, 3.0]);
}

#[test]
fn summaries_use_n_minus_one() {
    assert_eq!(summary(&[2.0, 4.0, 4.0, 6.0]), Summary { mean: 4.0, sd: (8.0f64 / 3.0).sqrt(), n: 4 });
    assert_eq!(summary(&[5.0]), Summary { mean: 5.0, sd: 0.0, n: 1 });
    assert_eq!(summary(&[]), Summary::default());
}

#[test]
fn t_intervals_are_the_tables() {
    // t(0.975, 4) = 2.776445; sd of 1..5 is 1.581139.
    let got = t_interval(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95).unwrap();
    assert!((got.high - 3.0 - 2.776_445 * 1.581_139 / 5f64.sqrt()).abs() < 1e-5, "{got:?}");
    assert!((got.low + got.high - 6.0).abs() < 1e-9);
    assert_eq!(t_interval(&[1.0], 0.95), None);
}

#[test]
fn bootstrap_intervals_cover_the_truth_about_as_often_as_they_say() {
    let covered = (0..300)
        .filter(|&k| {
            let values = normals(40, 2.0, 1.0, k);
            let got = Bootstrap { seed: k, resamples: 400, ..Bootstrap::default() }.mean(&values).unwrap();
            got.low <= 2.0 && 2.0 <= got.high
        })
        .count();
    assert!((265..=297).contains(&covered), "{covered} of 300");
}

#[test]
fn pairing_removes_what_the_pairs_share() {
    let shared = normals(30, 0.0, 5.0, 1);
    let a: Vec<f64> = shared.iter().zip(normals(30, 0.1, 0.01, 2)).map(|(s, n)| s + n).collect();
    let got = Bootstrap::default().paired(&a, &shared).unwrap();
    assert!(got.low > 0.09 && got.high < 0.11, "{got:?}");
    assert_eq!(Bootstrap::default().paired(&a, &shared[1..]), None);
    assert_eq!(Bootstrap::default().mean(&[]), None);
}

#[test]
fn an_undecided_verdict_says_how_many_seeds_are_needed() {
    assert_eq!(Verdict::Undecided { more: Some(1) }.to_string(), "undecided (about 1 more seed needed)");
    assert_eq!(Verdict::Undecided { more: Some(7) }.to_string(), "undecided (about 7 more seeds needed)");
}

proptest! {
    #[test]
    fn rho_is_symmetric_and_knows_only_order(x in prop::collection::vec(-9i32..9, 3..30), seed: u64) {
        let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        let y = normals(x.len(), 0.0, 1.0, seed);
        let rho = spearman(&x, &y);
        prop_assert_eq!(rho, spearman(&y, &x));
        let bent: Vec<f64> = x.iter().map(|v| (v / 3.0).exp()).collect();
        match (rho, spearman(&bent, &y)) {
            (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-12 && a.abs() <= 1.0),
            (a, b) => prop_assert_eq!(a, b),
        }
    }

    #[test]
    fn intervals_are_repeatable_and_hold_their_value(values in prop::collection::vec(-5.0..5.0f64, 1..20), seed: u64) {
        let bootstrap = Bootstrap { seed, resamples: 200, ..Bootstrap::default() };
        let got = bootstrap.mean(&values).unwrap();
        prop_assert_eq!(got, bootstrap.mean(&values).unwrap());
        let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        prop_assert!(min - 1e-9 <= got.low && got.low <= got.high && got.high <= max + 1e-9);
    }
}
