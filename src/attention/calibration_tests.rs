use super::super::score::score;
use super::super::sweep::{SweepRequest, sweep};
use super::super::testing::{random_maps, uniform_maps};
use super::*;
use proptest::prelude::*;

fn none() -> CalibrationSource {
    CalibrationSource { weights: String::new(), text: String::new() }
}

fn calibrate(windows: &[crate::attention::testing::FixedMaps], window: usize) -> Calibration {
    let first = &windows[0];
    let mut builder = CalibrationBuilder::new(first.n_layer, first.n_head, window, windows.len());
    for w in windows {
        builder.add(w).unwrap();
    }
    builder.finish(none()).unwrap()
}

#[test]
fn bins_are_exact_up_to_64_and_eight_an_octave_after() {
    let bins = bins(257);
    assert_eq!(bins[..64], (1..=64).collect::<Vec<_>>());
    assert_eq!(bins[64..72], [65, 70, 77, 83, 91, 99, 108, 118]);
    assert_eq!(bins[72], 129);
    assert_eq!(bins.len(), 80);
    assert_eq!(bin_of(&bins, 1), 0);
    assert_eq!(bin_of(&bins, 64), 63);
    assert_eq!(bin_of(&bins, 69), 64);
    assert_eq!(bin_of(&bins, 70), 65);
    assert_eq!(bin_of(&bins, 9999), 79, "beyond the table the last bin holds");
}

#[test]
fn the_table_holds_plain_averages() {
    let windows: Vec<_> = (0..3).map(|s| random_maps(2, 2, 90, 5.0, s)).collect();
    let got = calibrate(&windows, 90);
    for (layer, head) in [(0, 0), (1, 1)] {
        for (distance, contribution) in [(1, false), (64, true), (66, false), (88, true)] {
            // Distances that share a bin are averaged together.
            let bins = bins(90);
            let same = |d: usize| bin_of(&bins, d) == bin_of(&bins, distance);
            let (mut sum, mut n) = (0.0, 0);
            for w in &windows {
                let (map, norms) = (&w.maps[layer * 2 + head], &w.norms[layer * 2 + head]);
                for t in 0..90 {
                    for i in (1..t).filter(|i| same(t - i)) {
                        let norm = if contribution { f64::from(norms[i]) } else { 1.0 };
                        sum += f64::from(map[t * 90 + i]) * norm;
                        n += 1;
                    }
                }
            }
            let expected = sum / f64::from(n);
            let found = got.expected(contribution, layer, head, distance);
            assert!((found - expected).abs() < 1e-6 * expected, "{found} {expected}");
        }
    }
}

#[test]
fn early_tokens_of_a_short_text_are_no_more_read_than_others() {
    // Rows that read every key they have equally: nothing stands out, at any length.
    let windows: Vec<_> = (0..4).map(|_| uniform_maps(1, 2, 90)).collect();
    let got = calibrate(&windows, 90);
    for len in [12, 40, 90] {
        let scored = score(
            &sweep(&uniform_maps(1, 2, len), &SweepRequest::default()),
            &ScoreSettings::default(),
            Some(&got),
        );
        for (i, ratio) in scored.scores[1..len - 1].iter().enumerate() {
            let ratio = ratio.unwrap();
            assert!((0.5..1.5).contains(&ratio), "position {} of {len}: {ratio}", i + 1);
        }
    }
}

#[test]
fn a_sink_at_position_0_does_not_pass_for_far_reading() {
    let mut window = uniform_maps(1, 1, 40);
    for t in 1..40 {
        window.maps[0][t * 40..t * 40 + t + 1].fill(0.1 / t as f32);
        window.maps[0][t * 40] = 0.9;
    }
    let got = calibrate(&[window], 40);
    assert!(got.expected(false, 0, 0, 38) < 0.01, "{}", got.expected(false, 0, 0, 38));
}

#[test]
fn the_sample_is_the_score_of_its_own_windows() {
    let windows: Vec<_> = (0..2).map(|s| random_maps(2, 3, 50, 5.0, s)).collect();
    let got = calibrate(&windows, 50);
    for settings in [
        ScoreSettings::default(),
        ScoreSettings { contribution: false, ..ScoreSettings::default() },
        ScoreSettings { layers: vec![1], heads: vec![0, 2], ..ScoreSettings::default() },
    ] {
        // 1024 keys are asked for and 48 a window exist, so the sample holds every scored key.
        let mut expected: Vec<f64> = windows
            .iter()
            .flat_map(|w| {
                let scored = score(&sweep(w, &SweepRequest::default()), &settings, Some(&got));
                assert_eq!(scored.reduction, Reduction::DistanceNull);
                scored.scores[1..49].to_vec()
            })
            .flatten()
            .collect();
        expected.sort_by(f64::total_cmp);
        let sample = got.sample(&settings);
        assert_eq!(sample.len(), 96);
        assert!(sample.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6));
        assert!(got.sample(&ScoreSettings { reduction: Reduction::Sum, ..settings }).is_empty());
        assert_eq!(cdf(&sample, -1.0), 0.0);
        assert_eq!(cdf(&sample, 1e9), 1.0);
    }
}

#[test]
fn a_large_model_keeps_about_a_thousand_sampled_keys() {
    let mut builder = CalibrationBuilder::new(1, 1, 256, 64);
    let source = random_maps(1, 1, 256, 3.0, 1);
    for _ in 0..64 {
        builder.add(&source).unwrap();
    }
    let keys: Vec<usize> = builder.sampled.iter().flat_map(|(_, keys)| keys.clone()).collect();
    let sampled: std::collections::BTreeSet<usize> = keys.iter().copied().collect();
    assert_eq!(keys.len(), 1024);
    assert!(sampled.len() > 200, "the sample visits most positions: {}", sampled.len());
}

#[test]
fn what_cannot_be_calibrated_is_refused() {
    let mut builder = CalibrationBuilder::new(1, 1, 8, 1);
    assert!(matches!(builder.add(&random_maps(1, 2, 8, 1.0, 1)), Err(CalibrationError::Shape { .. })));
    assert!(matches!(builder.add(&random_maps(1, 1, 9, 1.0, 1)), Err(CalibrationError::Shape { .. })));
    builder.add(&random_maps(1, 1, 2, 1.0, 1)).unwrap();
    assert_eq!(builder.clone().finish(none()), Err(CalibrationError::NoText));
    let mut broken = random_maps(1, 1, 8, 1.0, 1);
    broken.norms[0][3] = f32::NAN;
    builder.add(&broken).unwrap();
    assert_eq!(builder.finish(none()), Err(CalibrationError::NotFinite { layer: 0, head: 0 }));
}

#[test]
fn windows_cover_the_text_from_end_to_end() {
    assert_eq!(windows(10, 4, 8), vec![0..4, 6..10]);
    assert_eq!(windows(3, 4, 8), vec![0..3]);
    assert!(windows(1, 4, 8).is_empty());
    let many = windows(100_000, 256, 64);
    assert_eq!((many.len(), many[0].start, many[63].end), (64, 0, 100_000));
}

proptest! {
    #[test]
    fn expectations_add_up_over_ranges_of_queries(a in 0usize..61) {
        let null = calibrate(&[random_maps(1, 1, 60, 3.0, 7)], 60).null(false, 60);
        let mass = vec![0.5; 60];
        let (first, rest, whole) = (
            null.expected(0, 0..a, &mass, &[]),
            null.expected(0, a..60, &mass, &[]),
            null.expected(0, 0..60, &mass, &[]),
        );
        for (i, &whole) in whole.iter().enumerate() {
            let sum = first.get(i).copied().unwrap_or(0.0) + rest[i];
            prop_assert!((sum - whole).abs() < 1e-9);
        }
    }

    #[test]
    fn the_cdf_never_falls(mut sample in prop::collection::vec(0.0f64..4.0, 0..30), x in -1.0f64..5.0, y in 0.0f64..2.0) {
        sample.sort_by(f64::total_cmp);
        let (low, high) = (cdf(&sample, x), cdf(&sample, x + y));
        prop_assert!(low <= high && (0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
    }
}
