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

// The expected numbers of the tests below: tests/references/statistics.py.

const D: [f64; 8] = [-0.021, -0.004, -0.013, 0.006, -0.017, -0.009, 0.002, -0.011];

fn near(got: f64, wanted: f64) {
    assert!((got - wanted).abs() <= 1e-9 * wanted.abs().max(1e-3), "{got} instead of {wanted}");
}

#[test]
fn paired_tests_are_those_of_scipy_and_statsmodels() {
    let [one] = PairedTest::default().judge(&[D.to_vec()])[..] else { unreachable!() };
    near(one.p, 0.037_145_995_032_656_33);
    near(one.interval.low, -0.016_088_397_422_141_274);
    near(one.interval.high, -0.000_661_602_577_858_727_7);
    near(one.p_equivalent, 0.316_819_132_345_893_2);
    assert_eq!((one.verdict, one.seeds), (Verdict::Better, 8));
    let wide = PairedTest { epsilon: 0.02, ..PairedTest::default() };
    let [one] = wide.judge(&[D.to_vec()])[..] else { unreachable!() };
    near(one.p_equivalent, 0.004_586_534_610_342_138_6);
    assert_eq!(one.verdict, Verdict::Equivalent);
    let higher = PairedTest { aim: Aim::Higher, ..PairedTest::default() };
    assert_eq!(higher.judge(&[D.to_vec()])[0].verdict, Verdict::Worse);
}

#[test]
fn holm_is_that_of_statsmodels_and_keeps_a_weak_difference_back() {
    let got = holm(&[0.01, 0.04, 0.03, 0.005, 0.2, 0.03]);
    for (got, wanted) in got.into_iter().zip([0.05, 0.12, 0.12, 0.03, 0.2, 0.12]) {
        near(got, wanted);
    }
    assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    let spread: Vec<f64> = D.iter().map(|d| 5.0 * d + 0.03).collect();
    let judged = PairedTest::default().judge(&[D.to_vec(), spread]);
    assert!(matches!(judged[0].verdict, Verdict::Undecided { more: Some(_) }), "{judged:?}");
    assert!(PairedTest::default().procedure(2).contains("Holm over 2 comparisons"));
}

#[test]
fn power_is_that_of_the_noncentral_t() {
    for (effect, n, wanted) in [
        (0.5, 10, 0.293_175_606_514_076_7),
        (1.0, 10, 0.803_096_856_632_721_8),
        (2.0, 5, 0.908_884_868_100_940_2),
        (1.2, 8, 0.827_920_060_383_242_5),
        (0.1, 200, 0.290_657_617_661_480_46),
    ] {
        let got = power::power(effect, n, 0.05);
        assert!((got - wanted).abs() < 1e-6, "{effect} {n}: {got}");
    }
    let seeds = [0.5, 1.0, 2.0].map(|effect| power::found(effect, 0.05, 0.8));
    assert_eq!(seeds, [Some(34), Some(10), Some(5)]);
    assert_eq!(power::found(0.0, 0.05, 0.8), None);
    near(power::upper_spread(&Summary { mean: 0.0, sd: 0.01, n: 8 }).unwrap(), 0.013_532_729_164_287_119);
}

#[test]
fn too_little_decides_nothing() {
    let test = PairedTest::default();
    assert_eq!(test.judge(&[]), []);
    // The third differs by rounding alone.
    for few in [vec![], vec![0.5], vec![-0.1, -0.1 + 1e-16], vec![0.5; 8], vec![0.0; 8]] {
        let judged = test.judge(&[few])[0];
        assert_eq!(judged.verdict, Verdict::Undecided { more: None }, "{judged:?}");
    }
}

#[test]
fn bootstraps_are_those_over_every_resample() {
    let many = Bootstrap { resamples: 40_000, ..Bootstrap::default() };
    let got = many.mean(&[0.3, -0.1, 0.7, 0.2, 0.55]).unwrap();
    assert!((got.low - 0.09).abs() < 0.011 && (got.high - 0.57).abs() < 0.011, "{got:?}");
    let groups = [vec![0.1, 0.4, -0.2], vec![0.9, 0.5], vec![0.3, 0.35, 0.2, 0.6]];
    let got = many.hierarchical(&groups).unwrap();
    near(got.value, 0.387_5);
    assert!((got.low - 0.0875).abs() < 0.006 && (got.high - 0.7).abs() < 0.006, "{got:?}");
    assert_eq!(many.hierarchical(&groups), Some(got));
    assert_eq!(many.hierarchical(&[vec![1.0], vec![]]), None);
}
