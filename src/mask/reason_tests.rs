use super::super::decide::{DecisionInput, decide};
use super::super::types::Protect;
use super::*;
use proptest::prelude::*;

fn scores(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().map(|&v| Some(v)).collect()
}

fn open(settings: MaskSettings) -> MaskSettings {
    MaskSettings { protect: Protect::NONE, scale: Scale::Raw, ..settings }
}

fn reasons(settings: &MaskSettings, values: &[f64]) -> Vec<String> {
    let scores = scores(values);
    let decision = decide(settings, &DecisionInput { scores: &scores, ..DecisionInput::default() });
    (0..values.len()).map(|i| reason(settings, &decision, i)).collect()
}

/// Finds a seed whose first draw satisfies `wanted`.
fn seed_where(wanted: impl Fn(f64) -> bool) -> u64 {
    let draw = |seed| super::super::draw::Draws::new(seed).unit(super::super::draw::Stream::Decision, 0);
    (0..1000).find(|&s| wanted(draw(s))).unwrap()
}

#[test]
fn reasons_read_like_the_rule() {
    let low_draw = seed_where(|d| d < 0.2);
    let high_draw = seed_where(|d| d > 0.8);
    let high = |seed| open(MaskSettings { seed, ..MaskSettings::default() });
    let low = |seed| MaskSettings { polarity: Polarity::Low, ..high(seed) };
    let random = |seed| MaskSettings { polarity: Polarity::Random, ..high(seed) };
    let draw = |seed| {
        let d = super::super::draw::Draws::new(seed).unit(super::super::draw::Stream::Decision, 0);
        format!("{d:.2}")
    };
    let (dl, dh) = (draw(low_draw), draw(high_draw));
    assert_eq!(
        reasons(&high(low_draw), &[0.93])[0],
        format!("masked: score 0.93 > τ 0.70 and draw {dl} < p 0.50")
    );
    assert_eq!(reasons(&high(low_draw), &[0.61])[0], "score too low: score 0.61 ≤ τ 0.70");
    assert_eq!(
        reasons(&high(high_draw), &[0.93])[0],
        format!("draw too high: draw {dh} ≥ p 0.50 (score 0.93 > τ 0.70)")
    );
    assert!(reasons(&low(low_draw), &[0.2])[0].starts_with("masked: score 0.20 < 1−τ 0.30 and draw"));
    assert_eq!(reasons(&low(low_draw), &[0.6])[0], "score too high: score 0.60 ≥ 1−τ 0.30");
    assert!(reasons(&random(high_draw), &[0.6])[0].ends_with("≥ (1−τ)·p 0.15"));
    let words = MaskSettings { unit: Unit::Word, ..high(low_draw) };
    assert!(reasons(&words, &[0.1])[0].contains("word score 0.10"));
    let protected = MaskSettings { protect: Protect::default(), ..high(1) };
    assert_eq!(
        reasons(&protected, &[0.9, 0.9]),
        ["protected: first token", "protected: among the last tokens"]
    );
}

#[test]
fn digits_grow_until_the_comparison_is_true_as_printed() {
    let settings = open(MaskSettings { threshold: 0.7, probability: 1.0, ..MaskSettings::default() });
    let why = reasons(&settings, &[0.700_04, 0.7, 0.000_31]);
    assert!(why[0].contains("score 0.70004 > τ 0.70000"), "{}", why[0]);
    assert!(why[1].contains("score 0.70 ≤ τ 0.70"), "{}", why[1]);
    assert!(why[2].contains("score 0.00031 ≤ τ 0.70000"), "{}", why[2]);
    let tiny = MaskSettings { threshold: 1e-4, ..settings };
    assert!(
        reasons(&tiny, &[0.002])[0].contains("score 0.00200 > τ 0.00010"),
        "{}",
        reasons(&tiny, &[0.002])[0]
    );
}

fn nothing(settings: &MaskSettings, values: &[f64]) -> Option<String> {
    let scores = scores(values);
    let decision = decide(settings, &DecisionInput { scores: &scores, ..DecisionInput::default() });
    nothing_selected(settings, &decision)
}

#[test]
fn nothing_selected_says_because() {
    let base = open(MaskSettings::default());
    let default = MaskSettings::default();
    let because = |settings: &MaskSettings, values: &[f64]| {
        let text = nothing(settings, values).unwrap();
        text.strip_prefix("nothing selected, because ").unwrap().to_owned()
    };
    assert_eq!(because(&base, &[]), "the text is empty");
    assert_eq!(because(&default, &[0.9]), "the only token is protected (first token)");
    assert_eq!(
        because(&default, &[0.9, 0.8]),
        "both tokens are protected (first token; among the last tokens)"
    );
    assert_eq!(because(&base, &[0.1, 0.6]), "no raw score is above τ 0.70 (the highest is 0.60)");
    let zero = MaskSettings { probability: 0.0, ..base.clone() };
    assert_eq!(because(&zero, &[0.9]), "p is 0");
    let unlucky = MaskSettings { seed: seed_where(|d| d > 0.8), ..base.clone() };
    assert!(
        because(&unlucky, &[0.9]).starts_with("no draw is below p 0.50 (1 token above τ, lowest draw 0.")
    );
    let low = MaskSettings { polarity: Polarity::Low, scale: Scale::Rank, threshold: 0.99, ..base.clone() };
    assert_eq!(because(&low, &[0.1, 0.6]), "no score is below 1−τ 0.010 (the lowest is 0.250)");
    let random = MaskSettings { polarity: Polarity::Random, ..unlucky };
    assert!(
        because(&random, &[0.9]).starts_with("no draw is below (1−τ)·p 0.15 (the lowest of 1 token is 0.")
    );
    let exact = MaskSettings { exact_k: true, scale: Scale::Rank, ..base.clone() };
    assert_eq!(because(&exact, &[0.1, 0.6]), "a rate of 0.15 of 2 tokens rounds to 0");
    let all = MaskSettings { threshold: 0.0, probability: 1.0, ..base };
    assert_eq!(nothing(&all, &[0.5]), None);
}

#[test]
fn exact_counts_patterns_and_budgets_have_reasons_too() {
    let values = [0.9, 0.8, 0.1, 0.2];
    let settings =
        open(MaskSettings { exact_k: true, scale: Scale::Rank, threshold: 0.5, ..MaskSettings::default() });
    let why = reasons(&settings, &values);
    assert_eq!(why.iter().filter(|w| w.starts_with("masked: score 0.")).count(), 1, "{why:?}");
    assert!(why.iter().all(|w| w.ends_with("exactly 1 of 4 units are taken")), "{why:?}");
    assert_eq!(why.iter().filter(|w| w.starts_with("score too low: ")).count(), 2, "{why:?}");

    let ids = [0u32; 30];
    let input = DecisionInput { ids: &ids, ..DecisionInput::default() };
    let pattern = super::super::initial::Pattern::Spans;
    let decision = super::super::initial::decide_initial(&settings, &input, pattern, Some(0.5), None);
    let masked = decision.masked()[0];
    assert_eq!(reason(&settings, &decision, masked), "masked: initial pattern spans at rate 0.50");
    assert_eq!(reason(&settings, &decision, 99), "no such position");

    let mut budget = decision;
    budget.rule =
        DecisionRule::Budget { preset: super::super::presets::CachePolicy::H2o, budget: 5, heads: None };
    budget.units = 9;
    budget.positions[masked].rank = Some(2);
    let text = reason(&settings, &budget, masked);
    assert_eq!(text, "masked: h2o keeps 5 tokens, and this one is number 2 of 9 from the top");
}

proptest! {
    /// What is printed says the same as the state: parse the sentence and compare.
    #[test]
    fn printed_comparisons_are_true(
        exact_k: bool, threshold in 0.0..=1.0f64, probability in 0.0..=1.0f64, seed: u64, polarity in 0..3usize,
        values in prop::collection::vec(0.0..=1.0f64, 1..6),
    ) {
        let settings = open(MaskSettings {
            threshold, probability, seed, exact_k, polarity: Polarity::ALL[polarity], ..MaskSettings::default()
        });
        let scores = scores(&values);
        let decision = decide(&settings, &DecisionInput { scores: &scores, ..DecisionInput::default() });
        for (i, at) in decision.positions.iter().enumerate() {
            let text = reason(&settings, &decision, i);
            prop_assert_eq!(text.starts_with("masked: "), at.state == State::Masked);
            let words: Vec<&str> = text.split([' ', '(', ')', ',', ';']).filter(|w| !w.is_empty()).collect();
            for (n, word) in words.iter().enumerate() {
                let next = |k: usize| words[n + k].parse::<f64>();
                let bound = || next(2).or_else(|_| next(3));
                match *word {
                    ">" => prop_assert!(words[n - 1].parse::<f64>().unwrap() > bound().unwrap(), "{}", text),
                    "<" => prop_assert!(words[n - 1].parse::<f64>().unwrap() < bound().unwrap(), "{}", text),
                    "≤" => prop_assert!(words[n - 1].parse::<f64>().unwrap() <= bound().unwrap(), "{}", text),
                    "≥" => prop_assert!(words[n - 1].parse::<f64>().unwrap() >= bound().unwrap(), "{}", text),
                    _ => {}
                }
            }
        }
    }
}
