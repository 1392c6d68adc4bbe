use super::super::initial::Pattern;
use super::super::mix::Mix;
use super::super::types::{Protect, Unit};
use super::*;
use crate::attention::score::score_source;
use crate::attention::testing::{TestRng, random_maps};
use proptest::prelude::*;

/// A text with scores, repeated ids and words of several pieces.
#[derive(Clone, Debug)]
struct Text {
    scores: Vec<Option<f64>>,
    ids: Vec<u32>,
    starts: Vec<bool>,
    sinks: Vec<usize>,
    sample: Vec<f64>,
}

impl Text {
    fn new(len: usize, seed: u64) -> Self {
        let mut rng = TestRng(seed);
        let mut sample: Vec<f64> = (0..50).map(|_| rng.unit()).collect();
        sample.sort_by(f64::total_cmp);
        Text {
            // Few distinct values, so that ties occur; the last is undefined as in any causal score.
            scores: (0..len).map(|i| (i + 1 < len).then(|| rng.below(20) as f64 / 20.0)).collect(),
            ids: (0..len).map(|_| rng.below(9) as u32).collect(),
            starts: (0..len).map(|i| i == 0 || rng.below(3) > 0).collect(),
            sinks: (0..len).filter(|_| rng.below(12) == 0).collect(),
            sample,
        }
    }

    fn input(&self) -> DecisionInput<'_> {
        DecisionInput {
            scores: &self.scores,
            ids: &self.ids,
            sinks: &self.sinks,
            eot: Some(8),
            word_starts: &self.starts,
            sample: Some(&self.sample),
            ..DecisionInput::default()
        }
    }
}

fn any_settings() -> impl Strategy<Value = MaskSettings> {
    (0.0..=1.0f64, 0.0..=1.0f64, any::<u64>(), 0..3usize, 0..3usize, 0..3usize, 0..3usize).prop_map(
        |(threshold, probability, seed, polarity, scale, unit, protect)| MaskSettings {
            threshold,
            probability,
            seed,
            polarity: Polarity::ALL[polarity],
            scale: Scale::ALL[scale],
            unit: Unit::ALL[unit],
            protect: [Protect::default(), Protect::NONE, "first,last:3".parse().unwrap()][protect].clone(),
            ..MaskSettings::default()
        },
    )
}

proptest! {
    #[test]
    fn the_same_seed_gives_the_same_mask_on_any_thread(settings in any_settings(), len in 0usize..40, seed: u64) {
        let text = Text::new(len, seed);
        let here = decide(&settings, &text.input());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let there = pool.install(|| decide(&settings, &text.input()));
        prop_assert_eq!(here, there);
    }

    #[test]
    fn raising_tau_or_lowering_p_never_adds_a_masked_token(
        settings in any_settings(), len in 0usize..40, seed: u64, up in 0.0..=1.0f64, down in 0.0..=1.0f64,
    ) {
        let text = Text::new(len, seed);
        let before = decide(&settings, &text.input()).masked();
        let stricter = MaskSettings {
            threshold: settings.threshold + up * (1.0 - settings.threshold),
            probability: settings.probability * down,
            ..settings
        };
        let after = decide(&stricter, &text.input()).masked();
        prop_assert!(after.iter().all(|i| before.contains(i)), "{:?} not in {:?}", after, before);
    }

    #[test]
    fn the_rule_can_be_recomputed_from_the_printed_numbers(
        settings in any_settings(), len in 0usize..40, seed: u64,
    ) {
        let text = Text::new(len, seed);
        let decision = decide(&settings, &text.input());
        for at in &decision.positions {
            let expected = match at.score {
                None => State::Protected,
                // Written out once more, so that a change of the rule cannot change both sides.
                Some(score) => {
                    let (tau, p) = (settings.threshold, settings.probability);
                    match settings.polarity {
                        Polarity::High if score <= tau => State::Score,
                        Polarity::Low if score >= 1.0 - tau => State::Score,
                        Polarity::Random if at.draw < (1.0 - tau) * p => State::Masked,
                        Polarity::Random => State::Draw,
                        _ if at.draw < p => State::Masked,
                        _ => State::Draw,
                    }
                }
            };
            prop_assert_eq!(at.state, expected);
            prop_assert_eq!(at.protection.is_some(), at.state == State::Protected);
            prop_assert_eq!(at.op.is_some(), at.state == State::Masked);
            if let (Scale::Rank, Some(rank)) = (settings.scale, at.rank) {
                prop_assert_eq!(at.score, Some(((decision.units + 1 - rank) as f64 - 0.5) / decision.units as f64));
            }
        }
        prop_assert_eq!(decision.selected, decision.masked().len());
    }

    #[test]
    fn protected_positions_stay(settings in any_settings(), len in 1usize..40, seed: u64, pin in 0usize..40) {
        let text = Text::new(len, seed);
        let settings = MaskSettings {
            protect: Protect { last: 2, ..Protect::default() },
            pinned: std::iter::once(pin..pin + 2).collect(),
            probability: 1.0,
            threshold: 0.0,
            ..settings
        };
        let decision = decide(&settings, &text.input());
        for i in 0..len {
            let stays = i == 0 || i + 2 >= len || text.ids[i] == 8 || text.sinks.contains(&i) || (pin..pin + 2).contains(&i);
            prop_assert_eq!(decision.positions[i].state == State::Protected, stays, "position {}", i);
        }
        prop_assert_eq!(decision.positions[0].protection, Some(if pin == 0 { Protection::Pinned } else { Protection::First }));
    }

    #[test]
    fn ranks_order_the_scores_with_ties_by_position(len in 2usize..40, seed: u64) {
        let text = Text::new(len, seed);
        let settings = MaskSettings { protect: Protect::NONE, ..MaskSettings::default() };
        let decision = decide(&settings, &text.input());
        let mut by_rank: Vec<usize> = (0..len - 1).collect();
        // The highest rank is the lowest score.
        by_rank.sort_by_key(|&i| std::cmp::Reverse(decision.positions[i].rank.unwrap()));
        for (n, pair) in by_rank.windows(2).enumerate() {
            let (a, b) = (pair[0], pair[1]);
            prop_assert_eq!(decision.positions[a].rank, Some(decision.units - n));
            prop_assert!((text.scores[a], a) < (text.scores[b], b));
        }
    }

    #[test]
    fn tau_selects_its_share_of_the_eligible_within_one(settings in any_settings(), len in 2usize..60, seed: u64) {
        let text = Text::new(len, seed);
        let settings = MaskSettings { probability: 1.0, scale: Scale::Rank, unit: Unit::Token, ..settings };
        prop_assume!(settings.polarity != Polarity::Random);
        let decision = decide(&settings, &text.input());
        let expected = (1.0 - settings.threshold) * decision.eligible as f64;
        prop_assert!((decision.selected as f64 - expected).abs() <= 1.0);
    }

    #[test]
    fn exact_k_takes_exactly_k(settings in any_settings(), len in 0usize..40, seed: u64) {
        let text = Text::new(len, seed);
        let settings = MaskSettings { exact_k: true, unit: Unit::Token, scale: Scale::Rank, ..settings };
        let decision = decide(&settings, &text.input());
        let k = (settings.nominal_rate() * decision.eligible as f64).round() as usize;
        prop_assert_eq!(decision.selected, k);
        prop_assert_eq!(decision.rule, DecisionRule::Exact { k });
        // Nobody past τ with a lower draw stays out, and nobody short of τ goes in before those past it.
        let past = |p: &PositionDecision| {
            let loose = rule(settings.polarity, settings.threshold, 2.0, p.score.unwrap(), p.draw);
            settings.polarity == Polarity::Random || loose == State::Masked
        };
        for masked in decision.positions.iter().filter(|p| p.state == State::Masked) {
            for other in decision.positions.iter().filter(|p| p.score.is_some() && p.state != State::Masked) {
                prop_assert!(past(masked) || !past(other));
                prop_assert!(!(past(masked) && past(other)) || masked.draw < other.draw);
            }
        }
    }

    #[test]
    fn units_go_together(settings in any_settings(), len in 1usize..40, seed: u64) {
        let text = Text::new(len, seed);
        let decision = decide(&settings, &text.input());
        for (i, at) in decision.positions.iter().enumerate().filter(|(_, p)| p.score.is_some()) {
            let first = &decision.positions[at.unit];
            prop_assert_eq!((at.score, at.draw, at.state, at.op), (first.score, first.draw, first.state, first.op));
            match settings.unit {
                Unit::Token => prop_assert_eq!(at.unit, i),
                Unit::Word => prop_assert!(at.unit <= i && text.starts[at.unit + 1..=i].iter().all(|s| !s)),
                Unit::Type => prop_assert_eq!(text.ids[at.unit], text.ids[i]),
            }
        }
    }

    #[test]
    fn a_longer_text_changes_no_draw(seed: u64, len in 1usize..30) {
        let settings = MaskSettings { seed, protect: Protect::NONE, ..MaskSettings::default() };
        let (short, long) = (Text::new(len, 1), Text::new(len + 5, 2));
        let (short, long) = (decide(&settings, &short.input()), decide(&settings, &long.input()));
        for (a, b) in short.positions.iter().zip(&long.positions) {
            prop_assert_eq!(a.draw, b.draw);
        }
    }

    #[test]
    fn history_is_the_printed_formula(seed: u64, len in 4usize..30, lambda in 0.0..3.0f64) {
        let text = Text::new(len, seed);
        let mut rng = TestRng(seed);
        let times: Vec<u32> = (0..len).map(|_| rng.below(4) as u32).collect();
        let history = MaskHistory { times: times.clone(), last: vec![None; len], lambda };
        let settings = MaskSettings { protect: Protect::NONE, ..MaskSettings::default() };
        let plain = decide(&settings, &text.input());
        let corrected = decide(&settings, &DecisionInput { history: Some(&history), ..text.input() });
        let n = (len - 1) as f64;
        let mean = times[..len - 1].iter().map(|&h| f64::from(h)).sum::<f64>() / n;
        for (i, &times) in times.iter().enumerate().take(len - 1) {
            let a = plain.positions[i].score.unwrap();
            let expected = if mean == 0.0 { a } else {
                (a - 0.1 * lambda * (f64::from(times) / (mean + 1e-6) - 1.0)).clamp(0.0, 1.0)
            };
            let at = &corrected.positions[i];
            prop_assert!((at.score.unwrap() - expected).abs() < 1e-12);
            prop_assert!((at.score.unwrap() + at.history - a).abs() < 1e-12);
        }
    }
}

#[test]
fn the_rate_over_2000_draws_is_p_times_the_share_past_tau() {
    let text = Text::new(42, 17);
    for &polarity in Polarity::ALL {
        for (threshold, probability) in [(0.7, 0.5), (0.35, 0.9), (0.9, 0.25), (0.0, 0.1)] {
            let settings = MaskSettings { threshold, probability, polarity, ..MaskSettings::default() };
            let mut selected = 0;
            let mut first = None;
            for seed in 0..2000 {
                let decision = decide(&MaskSettings { seed, ..settings.clone() }, &text.input());
                selected += decision.selected;
                first.get_or_insert(decision);
            }
            let first = first.unwrap();
            let n = first.eligible as f64;
            let past =
                first.positions.iter().filter(|p| matches!(p.state, State::Masked | State::Draw)).count();
            let (trials, p) = match polarity {
                Polarity::Random => (n * 2000.0, settings.nominal_rate()),
                _ => (past as f64 * 2000.0, probability),
            };
            let error = (trials * p * (1.0 - p)).sqrt();
            assert!(
                (selected as f64 - trials * p).abs() < 3.0 * error,
                "{polarity} {threshold} {probability}: {selected} of {trials}"
            );
            // Matched by construction: all three differ by at most p/n from (1−τ)·p.
            let rate = trials * p / (2000.0 * n);
            assert!((rate - settings.nominal_rate()).abs() <= probability / n + 1e-12);
        }
    }
}

#[test]
fn arms_see_common_random_numbers_and_passes_do_not() {
    let text = Text::new(30, 4);
    let draw = |settings: &MaskSettings, draws: Draws| -> Vec<f64> {
        decide(settings, &DecisionInput { draws, ..text.input() }).positions.iter().map(|p| p.draw).collect()
    };
    let base = MaskSettings::default();
    let other = MaskSettings { polarity: Polarity::Low, op: Op::Hide, threshold: 0.1, ..base.clone() };
    let first = Draws::default();
    assert_eq!(draw(&base, first), draw(&other, first));
    assert_ne!(draw(&base, first), draw(&base, Draws { pass: 1, ..first }));
    assert_ne!(draw(&base, first), draw(&base, Draws { sequence: 1, ..first }));
    assert_ne!(draw(&base, first), draw(&MaskSettings { seed: 9, ..base.clone() }, first));
}

#[test]
fn a_mix_gives_each_unit_its_own_operation() {
    let text = Text::new(4000, 6);
    let settings = MaskSettings {
        threshold: 0.0,
        probability: 1.0,
        protect: Protect::NONE,
        mix: Some(Mix::bert()),
        ..MaskSettings::default()
    };
    let decision = decide(&settings, &text.input());
    let share = |op, replacement| {
        let is = |p: &&PositionDecision| p.op == Some(op) && p.replacement == replacement;
        decision.positions.iter().filter(is).count() as f64 / decision.selected as f64
    };
    assert!((share(Op::Replace, Some(Replacement::Mask)) - 0.8).abs() < 0.03);
    assert!((share(Op::Replace, Some(Replacement::Uniform)) - 0.1).abs() < 0.02);
    assert!((share(Op::Keep, None) - 0.1).abs() < 0.02);
}

#[test]
fn the_article_reads_literal_attention_of_every_token() {
    let source = random_maps(2, 2, 12, 8.0, 5);
    let settings = MaskSettings::article(3);
    let score = score_in_force(settings.scale, &ScoreSettings::default());
    assert_eq!(score, ScoreSettings::article());
    let scored = score_source(&source, &score, None);
    let decision = decide(&settings, &DecisionInput { scores: &scored.scores, ..DecisionInput::default() });
    assert_eq!(decision.eligible, 12, "nothing is protected, not even the last token, which reads itself");
    for (i, at) in decision.positions.iter().enumerate() {
        let mut sum = 0.0;
        for map in &source.maps {
            sum += (i..12).map(|t| f64::from(map[t * 12 + i])).sum::<f64>() / (12 - i) as f64;
        }
        assert!((at.score.unwrap() - sum / 4.0).abs() < 1e-9);
        let masked = at.score.unwrap() > 0.9 && at.draw < 0.5;
        assert_eq!(at.state == State::Masked, masked);
    }
}

#[test]
fn raw_leaves_literal_scores_alone_and_other_scales_every_score() {
    let sum = ScoreSettings { layers: vec![1], ..ScoreSettings::plain_alpha(Reduction::Sum) };
    assert_eq!(score_in_force(Scale::Raw, &sum), sum);
    assert_eq!(score_in_force(Scale::Rank, &ScoreSettings::default()), ScoreSettings::default());
}

#[test]
fn calibrated_without_a_calibration_is_rank_and_says_so() {
    let text = Text::new(20, 3);
    let settings = MaskSettings { scale: Scale::Calibrated, ..MaskSettings::default() };
    let without = decide(&settings, &DecisionInput { sample: None, ..text.input() });
    assert_eq!(without.scale, Scale::Rank);
    assert_eq!(without, decide(&settings, &DecisionInput { sample: Some(&[]), ..text.input() }));
    let rank = MaskSettings { scale: Scale::Rank, ..settings.clone() };
    assert_eq!(without, decide(&rank, &text.input()));
    assert_eq!(decide(&settings, &text.input()).scale, Scale::Calibrated);
}

#[test]
fn the_same_selection_can_try_every_operation() {
    let text = Text::new(30, 8);
    let decision = decide(&MaskSettings { probability: 1.0, ..MaskSettings::default() }, &text.input());
    let dropped = decision.with_op(Op::Drop, Replacement::Mean);
    assert_eq!(dropped.masked(), decision.masked());
    assert!(!dropped.masked().is_empty());
    for (a, b) in decision.positions.iter().zip(&dropped.positions) {
        assert_eq!(b.op, (a.state == State::Masked).then_some(Op::Drop));
        assert_eq!((a.score, a.draw, a.state), (b.score, b.draw, b.state));
    }
    assert_ne!(dropped.rule, DecisionRule::Pattern { pattern: Pattern::Random, rate: 0.0 });
}
