use super::super::calibration::{CalibrationBuilder, CalibrationSource};
use super::super::distance_null::KAPPA;
use super::super::testing::{FixedMaps, random_maps, uniform_maps};
use super::*;
use proptest::prelude::*;

fn alpha(source: &FixedMaps, lh: usize, t: usize, i: usize) -> f64 {
    f64::from(source.maps[lh][t * source.len + i])
}

/// Every reduction from its definition, without calibration.
fn plainly(source: &FixedMaps, settings: &ScoreSettings, i: usize) -> Option<f64> {
    let len = source.len;
    let later = i + 1..len;
    if later.is_empty() && settings.reduction != Reduction::Plain {
        return None;
    }
    let c = |lh: usize, t: usize| {
        let norm = if settings.contribution { f64::from(source.norms[lh][i]) } else { 1.0 };
        alpha(source, lh, t, i) * norm
    };
    let one = |lh: usize| -> f64 {
        match settings.reduction {
            Reduction::Corrected | Reduction::MaxHeads | Reduction::DistanceNull => {
                later.clone().map(|t| c(lh, t)).sum::<f64>()
                    / later.clone().map(|t| 1.0 / (t as f64 + 1.0)).sum::<f64>()
            }
            Reduction::Sum => later.clone().map(|t| c(lh, t)).sum(),
            Reduction::Window => {
                let queries: Vec<usize> = later.clone().filter(|&t| t + settings.window >= len).collect();
                queries.iter().map(|&t| c(lh, t)).sum::<f64>() / queries.len() as f64
            }
            Reduction::Last => c(lh, len - 1),
            Reduction::Plain => (i..len).map(|t| c(lh, t)).sum::<f64>() / (len - i) as f64,
            Reduction::Rollout => unreachable!("has its own test against the full roll-out map"),
        }
    };
    let all: Vec<f64> = (0..source.maps.len())
        .filter(|lh| settings.counts(lh / source.n_head, lh % source.n_head))
        .map(one)
        .collect();
    match settings.reduction {
        Reduction::MaxHeads => all.into_iter().reduce(f64::max),
        _ => Some(all.iter().sum::<f64>() / all.len() as f64),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_reduction_is_its_definition(
        seed in 0u64..1000, len in 0usize..24, which in 0usize..Reduction::ALL.len(), contribution: bool,
        window in 1usize..30, one_layer: bool, one_head: bool,
    ) {
        let settings = ScoreSettings {
            reduction: Reduction::ALL[which],
            contribution,
            window,
            layers: if one_layer { vec![1] } else { vec![] },
            heads: if one_head { vec![0, 2] } else { vec![] },
        };
        prop_assume!(settings.reduction != Reduction::Rollout);
        let source = random_maps(2, 3, len, 6.0, seed);
        let scored = score_source(&source, &settings, None);
        prop_assert_eq!(scored.scores.len(), len);
        for (i, got) in scored.scores.iter().enumerate() {
            match (got, plainly(&source, &settings, i)) {
                (None, None) => {}
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{} {}", a, b),
                other => prop_assert!(false, "position {}: {:?}", i, other),
            }
        }
    }

    #[test]
    fn uniform_attention_scores_one_wherever_a_query_follows(len in 1usize..200) {
        let source = uniform_maps(2, 2, len);
        for reduction in [Reduction::Corrected, Reduction::MaxHeads] {
            for contribution in [false, true] {
                let settings = ScoreSettings { reduction, contribution, ..ScoreSettings::default() };
                let scores = score_source(&source, &settings, None).scores;
                for s in &scores[..len - 1] {
                    prop_assert!((s.unwrap() - 1.0).abs() < 1e-6);
                }
                prop_assert_eq!(scores[len - 1], None);
            }
        }
    }

    #[test]
    fn the_null_score_is_its_definition(seed in 0u64..200, len in 2usize..100, contribution: bool) {
        let mut builder = CalibrationBuilder::new(2, 2, 70, 2);
        for s in 0..2 {
            builder.add(&random_maps(2, 2, 70, 4.0, 500 + s)).unwrap();
        }
        let source = CalibrationSource { weights: String::new(), text: String::new() };
        let calibration = builder.finish(source).unwrap();
        let source = random_maps(2, 2, len, 6.0, seed);
        let settings = ScoreSettings { contribution, ..ScoreSettings::default() };
        let scored = score_source(&source, &settings, Some(&calibration));
        prop_assert_eq!(scored.reduction, Reduction::DistanceNull);
        for i in 0..len - 1 {
            let mut sum = 0.0;
            for lh in 0..4 {
                let g = |d: usize| calibration.expected(contribution, lh / 2, lh % 2, d);
                let smooth = KAPPA * (1..70).map(g).sum::<f64>() / 69.0;
                let norm = if contribution { f64::from(source.norms[lh][i]) } else { 1.0 };
                let got: f64 = (i + 1..len).map(|t| alpha(&source, lh, t, i) * norm).sum();
                let alpha_bar = |d: usize| calibration.expected(false, lh / 2, lh % 2, d);
                let expected: f64 = (i + 1..len)
                    .map(|t| {
                        let mass: f64 = (1..t).map(|j| alpha(&source, lh, t, j)).sum();
                        let average: f64 = (1..t).map(|j| alpha_bar(t - j)).sum();
                        if average > 0.0 { mass * g(t - i) / average } else { 0.0 }
                    })
                    .sum();
                sum += (got + smooth) / (expected + smooth);
            }
            let (found, expected) = (scored.scores[i].unwrap(), sum / 4.0);
            // Rows sum to 1 in f32.
            prop_assert!((found - expected).abs() < 1e-5 * expected, "{} {}", found, expected);
        }
        prop_assert_eq!(scored.scores[len - 1], None);
    }

    #[test]
    fn rollout_scores_are_the_last_row_of_its_map(seed in 0u64..200, len in 1usize..16) {
        let source = random_maps(3, 2, len, 5.0, seed);
        let settings = ScoreSettings { heads: vec![1], ..ScoreSettings::plain_alpha(Reduction::Rollout) };
        let map = super::super::maps::rollout_map(&source, &settings);
        let scored = score_source(&source, &settings, None);
        for i in 0..len - 1 {
            prop_assert!((scored.scores[i].unwrap() - f64::from(map[(len - 1) * len + i])).abs() < 1e-5);
        }
        prop_assert_eq!(scored.scores[len - 1], None);
    }
}

#[test]
fn without_a_fitting_calibration_the_null_falls_back_and_says_so() {
    let mut builder = CalibrationBuilder::new(1, 1, 20, 1);
    builder.add(&random_maps(1, 1, 20, 1.0, 1)).unwrap();
    let other = builder.finish(CalibrationSource { weights: String::new(), text: String::new() }).unwrap();
    let source = random_maps(2, 2, 20, 5.0, 3);
    for calibration in [None, Some(&other)] {
        let scored = score_source(&source, &ScoreSettings::default(), calibration);
        assert_eq!(scored.reduction, Reduction::Corrected);
        assert!(scored.formula.starts_with("corrected, standing in for distance-null"), "{}", scored.formula);
        let corrected = ScoreSettings { reduction: Reduction::Corrected, ..ScoreSettings::default() };
        assert_eq!(scored.scores, score_source(&source, &corrected, None).scores);
    }
}

#[test]
fn a_sweep_covers_other_scores_but_not_another_window() {
    let source = random_maps(2, 2, 20, 5.0, 3);
    let swept = sweep(&source, &SweepRequest::default());
    for &reduction in Reduction::ALL {
        let settings = ScoreSettings { reduction, ..ScoreSettings::default() };
        assert_eq!(swept.covers(&settings), reduction != Reduction::Rollout, "{reduction}");
        if swept.covers(&settings) {
            assert_eq!(score(&swept, &settings, None), score_source(&source, &settings, None));
        }
    }
    let wide = ScoreSettings { window: 5, ..ScoreSettings::plain_alpha(Reduction::Window) };
    assert!(!swept.covers(&wide));
}

#[test]
fn maps_that_are_not_numbers_give_no_score() {
    let mut source = random_maps(1, 1, 6, 1.0, 1);
    source.maps[0][4 * 6 + 2] = f32::NAN;
    let scores = score_source(&source, &ScoreSettings::article(), None).scores;
    assert_eq!(scores[2], None);
    assert!(scores[3].is_some());
}

#[test]
fn layers_and_heads_the_model_lacks_are_named() {
    let settings = ScoreSettings { layers: vec![0, 7], ..ScoreSettings::default() };
    assert_eq!(
        settings.check(6, 4).unwrap_err().to_string(),
        "the score uses layer 7, but the model has 6 (0 to 5)"
    );
    let settings = ScoreSettings { heads: vec![4], ..ScoreSettings::default() };
    assert!(settings.check(6, 4).unwrap_err().to_string().contains("head 4"));
    assert!(ScoreSettings::default().check(6, 4).is_ok());
    assert!(score_source(&random_maps(2, 2, 4, 1.0, 1), &settings, None).scores.iter().all(Option::is_none));
}

#[test]
fn pooling_averages_the_neighbours_there_are() {
    let scores = [Some(1.0), Some(2.0), Some(6.0), None, Some(4.0)];
    let pooled = pool_average(&scores, 5);
    assert_eq!(pooled, vec![Some(3.0), Some(3.0), Some(13.0 / 4.0), None, Some(5.0)]);
    assert_eq!(pool_average(&scores, 1), scores.to_vec());
}
