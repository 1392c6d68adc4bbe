use super::*;
use crate::train::classify::{Learner, Pool};
use crate::train::spec::MaskingSpec;

const ARMS: [Arm; 5] = [Arm::None, Arm::Static1, Arm::StaticAttn, Arm::DynRand, Arm::DynAttnHigh];

fn plan(seeds: usize) -> ClassifyPlan {
    ClassifyPlan {
        model: "m".to_owned(),
        weights: "w".to_owned(),
        data: "d".to_owned(),
        texts: "t".to_owned(),
        classes: vec!["a".to_owned(), "b".to_owned()],
        arms: ARMS.to_vec(),
        first_seed: 4,
        seeds,
        tokens: 100,
        test_tokens: 50,
        epsilon: 0.01,
        classifier: ClassifierSpec {
            pool: Pool::Mean,
            learner: Learner::Head,
            passes: 1,
            batch_size: 2,
            context: 8,
            learning_rate: 0.1,
            masking: MaskingSpec::default(),
        },
    }
}

fn row(seed: u64, arm: Option<Arm>, accuracy: f64) -> ClassifyRow {
    let right = (0..20).map(|i| f64::from(i) < 20.0 * accuracy).collect();
    ClassifyRow {
        seed,
        arm,
        accuracy,
        macro_f1: accuracy,
        rate: 0.15,
        loss: None,
        texts: 3,
        tokens: 9,
        right,
    }
}

#[test]
fn a_folder_goes_on_where_it_was_and_refuses_another_experiment() {
    let place = tempfile::tempdir().unwrap();
    let mut folder = ClassifyFolder::open(place.path(), plan(2)).unwrap();
    assert_eq!(folder.left(4).len(), 6);
    folder.add(&row(4, None, 0.5)).unwrap();
    folder.add(&row(4, Some(Arm::DynRand), 0.7)).unwrap();
    let again = ClassifyFolder::open(place.path(), plan(3)).unwrap();
    assert_eq!(again.rows, folder.rows);
    assert_eq!(again.left(4).len(), 4);
    assert_eq!(again.seeds().collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(again.summary().seeds, 0, "one arm of a seed is no result");
    let other = ClassifyPlan { epsilon: 0.02, ..plan(2) };
    assert!(ClassifyFolder::open(place.path(), other).is_err());
    std::fs::write(place.path().join(ROWS), "{").unwrap();
    assert!(ClassifyFolder::open(place.path(), plan(3)).is_err());
}

#[test]
fn contrasts_of_the_two_by_two_find_what_was_put_in() {
    let place = tempfile::tempdir().unwrap();
    let mut folder = ClassifyFolder::open(place.path(), plan(8)).unwrap();
    for seed in 4..12 {
        folder.add(&row(seed, None, 0.4)).unwrap();
        // Dynamic arms are 0.1 better, give or take; attention and no masks at all change nothing but by noise.
        let noise = |k: u64| 0.05 * ((seed * 7 + k * 3) % 5) as f64 * 0.2;
        for (k, arm) in ARMS.into_iter().enumerate() {
            let gain = if matches!(arm, Arm::DynRand | Arm::DynAttnHigh) { 0.1 } else { 0.0 };
            folder.add(&row(seed, Some(arm), 0.6 + gain + noise(k as u64))).unwrap();
        }
    }
    let got = folder.summary();
    assert_eq!((got.seeds, got.arms.len(), got.contrasts.len()), (8, 6, 8));
    let dynamic = &got.contrasts[0];
    assert_eq!((dynamic.name, dynamic.measure, dynamic.verdict), ("dynamic − static", "accuracy", "better"));
    assert!((dynamic.difference.value - 0.1).abs() < 0.02, "{dynamic:?}");
    let bootstrap = dynamic.bootstrap.unwrap();
    assert!(bootstrap.low.unwrap() < 0.1 && bootstrap.high.unwrap() > 0.1, "{bootstrap:?}");
    assert_ne!(got.contrasts[1].verdict, "better");
    assert!(got.procedure.contains("Holm over 8 comparisons"), "{}", got.procedure);
}

#[test]
fn draws_are_in_proportion_and_within_the_budget() {
    let labels: Vec<u32> = (0..400).map(|i| u32::from(i % 4 == 0)).collect();
    let lengths: Vec<usize> = (0..400).map(|i| 5 + i % 3).collect();
    let got = stratified(&labels, &lengths, 600, 1);
    let tokens: usize = got.iter().map(|&i| lengths[i]).sum();
    assert!((590..=600).contains(&tokens), "{tokens}");
    let ones = got.iter().filter(|&&i| labels[i] == 1).count();
    assert!(ones.abs_diff(got.len() / 4) <= 1, "{ones} of {}", got.len());
    assert_eq!(got, stratified(&labels, &lengths, 600, 1));
    assert_ne!(got, stratified(&labels, &lengths, 600, 2));
    assert_eq!(stratified(&labels, &lengths, usize::MAX, 1).len(), 400);
    assert_eq!(stratified(&[], &[], 5, 1), Vec::<usize>::new());
}
