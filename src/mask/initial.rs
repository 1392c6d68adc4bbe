//! Initial patterns: masks for when there is no attention to go by (first window, untrained model).
//!
//! Every pattern decides from addressed draws, token bytes and corpus counts alone: position i never depends on a
//! later token, and a higher rate only adds positions.

use super::decide::{DecisionInput, operation, protections};
use super::draw::{Draws, Stream};
use super::types::{Decision, DecisionRule, MaskSettings, PositionDecision, Scale, State, Unit};
use super::units;
use crate::settings::{choice, optional};

choice! {
    /// An initial pattern.
    pub enum Pattern {
        /// every unit alike
        Random = "random",
        /// whole words
        Words = "words",
        /// spans of 1 to 10 tokens, ending with chance 0.2 after each
        /// (SpanBERT, arXiv 1907.10529)
        Spans = "spans",
        /// what is rare in running text
        /// By unigram surprisal.
        Rare = "rare",
        /// capitalised words and numbers
        Marked = "marked",
        /// one of these, drawn from the seed
        Choice = "choice",
    }
}

optional!(Pattern, "none", "attention decides; the first window is not masked");

/// Chance that a span ends after each token.
pub const SPAN_END: f64 = 0.2;
/// Longest span, in tokens.
pub const SPAN_MAX: usize = 10;
const CHOICES: [Pattern; 5] =
    [Pattern::Random, Pattern::Words, Pattern::Spans, Pattern::Rare, Pattern::Marked];

/// How often each token occurs in a corpus, for surprisal and for sampling.
#[derive(Clone, Debug, PartialEq)]
pub struct Unigram {
    /// p(id), `[V]`, sums to 1.
    p: Vec<f64>,
    /// Mass of ids up to and including each, `[V]`.
    upto: Vec<f64>,
    /// Mass of all strictly more probable ids, `[V]`: where a token lies between common (0) and rare (1).
    commoner: Vec<f64>,
    /// Mass of all ids exactly as probable, itself included.
    alike: Vec<f64>,
}

impl Unigram {
    /// From counts `[V]`; one is added to each, so that unseen tokens are rare and not impossible.
    pub fn from_counts(counts: &[u64]) -> Self {
        let total: f64 = counts.iter().map(|&c| c as f64 + 1.0).sum();
        let p: Vec<f64> = counts.iter().map(|&c| (c as f64 + 1.0) / total).collect();
        let mut sum = 0.0;
        let upto = p
            .iter()
            .map(|p| {
                sum += p;
                sum
            })
            .collect();
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|&id| std::cmp::Reverse(counts[id]));
        let (mut commoner, mut alike) = (vec![0.0; p.len()], vec![0.0; p.len()]);
        let mut before = 0.0;
        for class in order.chunk_by(|&a, &b| counts[a] == counts[b]) {
            let mass = p[class[0]] * class.len() as f64;
            for &id in class {
                commoner[id] = before;
                alike[id] = mass;
            }
            before += mass;
        }
        Unigram { p, upto, commoner, alike }
    }

    /// Counts ids over a text.
    pub fn from_ids(n_vocab: usize, ids: &[u32]) -> Self {
        let mut counts = vec![0u64; n_vocab];
        for &id in ids {
            if let Some(count) = counts.get_mut(id as usize) {
                *count += 1;
            }
        }
        Unigram::from_counts(&counts)
    }

    pub fn n_vocab(&self) -> usize {
        self.p.len()
    }

    pub fn probability(&self, id: u32) -> f64 {
        self.p.get(id as usize).copied().unwrap_or(0.0)
    }

    /// `-ln p(id)` in nats.
    pub fn surprisal(&self, id: u32) -> f64 {
        -self.probability(id).ln()
    }

    /// The id whose share of [0, 1) holds `draw`.
    pub fn sample(&self, draw: f64) -> u32 {
        self.upto.partition_point(|&upto| upto <= draw).min(self.p.len().saturating_sub(1)) as u32
    }

    /// Where a token lies between common (0) and rare (1); ties are spread by `draw`, so that the share of corpus
    /// tokens above x is exactly 1−x.
    fn rarity(&self, id: u32, draw: f64) -> f64 {
        let id = id as usize;
        match (self.commoner.get(id), self.alike.get(id)) {
            (Some(commoner), Some(alike)) => (commoner + draw * alike).min(1.0),
            _ => 1.0,
        }
    }
}

/// What patterns know of the corpus; built once per model.
#[derive(Clone, Debug, PartialEq)]
pub struct PatternTables {
    pub unigram: Unigram,
    /// Capitalised or numeric, `[V]`.
    marked: Vec<bool>,
    /// Share of corpus tokens that are.
    marked_mass: f64,
}

impl PatternTables {
    pub fn new<B: AsRef<[u8]>>(unigram: Unigram, bytes: impl Fn(u32) -> B) -> Self {
        let marked: Vec<bool> =
            (0..unigram.n_vocab()).map(|id| is_marked(bytes(id as u32).as_ref())).collect();
        let marked_mass = marked
            .iter()
            .enumerate()
            .filter(|(_, m)| **m)
            .map(|(id, _)| unigram.probability(id as u32))
            .sum();
        PatternTables { unigram, marked, marked_mass }
    }
}

/// Begins with a capital letter after any white space, or holds a digit.
pub fn is_marked(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.trim_start().chars().next().is_some_and(char::is_uppercase) || text.chars().any(char::is_numeric)
}

/// A mask without attention. `rate` is the expected share of positions; `None` takes `(1−τ)·p`.
///
/// Protection, units (under `random`), operations and mixes are those of the settings. Without tables `rare` and
/// `marked` fall back to `random`, and the decision's rule says so.
pub fn decide_initial(
    settings: &MaskSettings,
    input: &DecisionInput,
    pattern: Pattern,
    rate: Option<f64>,
    tables: Option<&PatternTables>,
) -> Decision {
    let rate = rate.unwrap_or_else(|| settings.nominal_rate()).clamp(0.0, 1.0);
    let draws = Draws { seed: settings.seed, ..input.draws };
    let pattern = resolve(pattern, &draws, tables);
    let len = input.ids.len();
    // Before any attention every position is without a score, which must not protect it.
    let scores = vec![Some(0.0); len];
    let protections = protections(settings, &DecisionInput { scores: &scores, ..*input });
    let eligible: Vec<bool> = protections.iter().map(Option::is_none).collect();
    let unit = if pattern == Pattern::Words { Unit::Word } else { settings.unit };
    let mut first_of: Vec<usize> = (0..len).collect();
    let groups = units::group(unit, &eligible, input.ids, input.word_starts);
    for group in &groups {
        for &i in group {
            first_of[i] = group[0];
        }
    }
    let chosen = chosen((pattern, tables), rate, (input.ids, &first_of), &draws);
    let positions: Vec<PositionDecision> = (0..len)
        .map(|i| {
            let state = match (eligible[i], chosen[i]) {
                (false, _) => State::Protected,
                (true, true) => State::Masked,
                (true, false) => State::Draw,
            };
            let (op, replacement) =
                if state == State::Masked { operation(settings, &draws, first_of[i]) } else { (None, None) };
            PositionDecision {
                state,
                protection: protections[i],
                score: None,
                rank: None,
                draw: draws.unit(Stream::Pattern, first_of[i]),
                op,
                replacement,
                unit: first_of[i],
                history: 0.0,
                heads: None,
            }
        })
        .collect();
    Decision {
        eligible: eligible.iter().filter(|e| **e).count(),
        selected: positions.iter().filter(|p| p.state == State::Masked).count(),
        units: groups.len(),
        positions,
        scale: Scale::Rank,
        rule: DecisionRule::Pattern { pattern, rate },
    }
}

/// The positions that a pattern picks, protected ones included. `first_of` is the first position of each one's unit.
fn chosen(
    pattern: (Pattern, Option<&PatternTables>),
    rate: f64,
    (ids, first_of): (&[u32], &[usize]),
    draws: &Draws,
) -> Vec<bool> {
    let len = ids.len();
    match pattern {
        (Pattern::Spans, _) => spans(rate, len, draws),
        (Pattern::Rare, Some(tables)) => (0..len)
            .map(|i| tables.unigram.rarity(ids[i], draws.unit(Stream::Pattern, i)) > 1.0 - rate)
            .collect(),
        (Pattern::Marked, Some(tables)) => {
            let share = if tables.marked_mass > 0.0 { rate / tables.marked_mass } else { 0.0 };
            let is_marked = |i: usize| tables.marked.get(ids[i] as usize).copied().unwrap_or(false);
            (0..len).map(|i| is_marked(i) && draws.unit(Stream::Pattern, i) < share).collect()
        }
        _ => (0..len).map(|i| draws.unit(Stream::Pattern, first_of[i]) < rate).collect(),
    }
}

fn resolve(pattern: Pattern, draws: &Draws, tables: Option<&PatternTables>) -> Pattern {
    let pattern = match pattern {
        Pattern::Choice => CHOICES[draws.below(Stream::Choice, 0, CHOICES.len())],
        other => other,
    };
    match (pattern, tables) {
        (Pattern::Rare | Pattern::Marked, None) => Pattern::Random,
        _ => pattern,
    }
}

/// Where spans lie: each position starts one by its own draw, with the chance that covers `rate` of all positions.
fn spans(rate: f64, len: usize, draws: &Draws) -> Vec<bool> {
    let start = span_start_chance(rate);
    let mut out = vec![false; len];
    // Spans may begin before the text, so that its first tokens are covered as often as the others.
    for at in 0..len + SPAN_MAX - 1 {
        // Addresses at the very end of the counter stand for the positions before the text.
        let position = (at as u32).wrapping_sub(SPAN_MAX as u32 - 1) as usize;
        if draws.unit(Stream::Pattern, position) >= start {
            continue;
        }
        let length = span_length(draws.unit(Stream::Length, position));
        let first = at as i64 - (SPAN_MAX as i64 - 1);
        for i in first.max(0)..(first + length as i64).min(len as i64) {
            out[i as usize] = true;
        }
    }
    out
}

/// Geo(0.2) from 1, cut at 10.
fn span_length(draw: f64) -> usize {
    let length = 1.0 + ((1.0 - draw).ln() / (1.0 - SPAN_END).ln()).floor();
    (length as usize).clamp(1, SPAN_MAX)
}

/// The chance s with `1 − Π_{d<10} (1 − s·P(length > d)) = rate`, by bisection.
fn span_start_chance(rate: f64) -> f64 {
    if rate >= 1.0 {
        return 1.0;
    }
    let covered =
        |s: f64| 1.0 - (0..SPAN_MAX).map(|d| 1.0 - s * (1.0 - SPAN_END).powi(d as i32)).product::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if covered(middle) < rate { low = middle } else { high = middle }
    }
    // The lower end, so that rate 0 starts no span.
    low
}

#[cfg(test)]
mod tests {
    use super::super::types::Protect;
    use super::*;
    use proptest::prelude::*;

    fn settings(seed: u64) -> MaskSettings {
        MaskSettings { seed, protect: Protect::NONE, ..MaskSettings::default() }
    }

    /// A vocabulary of 64 ids with Zipf counts; every fourth is capitalised.
    fn tables() -> PatternTables {
        let counts: Vec<u64> = (1..=64).map(|r| 10_000 / r).collect();
        PatternTables::new(Unigram::from_counts(&counts), |id| {
            if id % 4 == 0 { format!(" W{id}") } else { format!("w{}", "x".repeat(id as usize)) }
        })
    }

    fn corpus(tables: &PatternTables, n: usize, seed: u64) -> Vec<u32> {
        let draws = Draws::new(seed);
        (0..n).map(|i| tables.unigram.sample(draws.unit(Stream::Shuffle, i))).collect()
    }

    #[test]
    fn every_pattern_reaches_its_rate_on_the_corpus() {
        let tables = tables();
        let ids = corpus(&tables, 40_000, 5);
        let starts: Vec<bool> = ids.iter().map(|id| id % 3 != 0).collect();
        let input = DecisionInput { ids: &ids, word_starts: &starts, ..DecisionInput::default() };
        for &pattern in &CHOICES {
            for rate in [0.05, 0.15, 0.3] {
                let got = decide_initial(&settings(9), &input, pattern, Some(rate), Some(&tables));
                // Words and spans come in clumps of up to 10, which widens the spread.
                let slack = 6.0 * (10.0 * rate * (1.0 - rate) / 40_000.0).sqrt();
                assert!((got.rate() - rate).abs() < slack, "{pattern} {rate}: {}", got.rate());
            }
        }
    }

    #[test]
    fn spans_have_geometric_lengths_and_reach_the_edges() {
        let lengths: Vec<usize> =
            (0..10_000).map(|i| span_length(Draws::new(1).unit(Stream::Length, i))).collect();
        let share = |n: usize| lengths.iter().filter(|&&l| l == n).count() as f64 / 10_000.0;
        assert!((share(1) - 0.2).abs() < 0.02 && (share(2) - 0.16).abs() < 0.02, "{} {}", share(1), share(2));
        assert!((share(10) - 0.8f64.powi(9)).abs() < 0.02, "the rest is cut to 10");
        let first: usize = (0..4000).filter(|&seed| spans(0.3, 5, &Draws::new(seed))[0]).count();
        assert!((first as f64 / 4000.0 - 0.3).abs() < 0.03, "{first}");
    }

    #[test]
    fn rare_takes_the_rarest_and_marked_only_marked_ones() {
        let tables = tables();
        let ids: Vec<u32> = (0..64).collect();
        let input = DecisionInput { ids: &ids, ..DecisionInput::default() };
        let rare = decide_initial(&settings(1), &input, Pattern::Rare, Some(0.2), Some(&tables)).masked();
        assert_eq!(rare, (rare[0]..64).collect::<Vec<_>>());
        assert!(tables.unigram.surprisal(63) > tables.unigram.surprisal(0));
        let marked = decide_initial(&settings(1), &input, Pattern::Marked, Some(0.2), Some(&tables)).masked();
        assert!(!marked.is_empty() && marked.iter().all(|i| i % 4 == 0), "{marked:?}");
        assert!(is_marked(b" Paris") && is_marked(b"1890") && is_marked(" Élan".as_bytes()));
        assert!(!is_marked(b" fox") && !is_marked(b",") && !is_marked(b""));
    }

    #[test]
    fn words_stay_whole_and_without_tables_the_rule_says_random() {
        let ids = [1u32; 40];
        let starts: Vec<bool> = (0..40).map(|i| i % 4 == 0).collect();
        let input = DecisionInput { ids: &ids, word_starts: &starts, ..DecisionInput::default() };
        let got = decide_initial(&settings(3), &input, Pattern::Words, Some(0.4), None);
        assert!(got.selected > 0 && got.selected.is_multiple_of(4));
        let got = decide_initial(&settings(3), &input, Pattern::Rare, None, None);
        assert_eq!(
            got.rule,
            DecisionRule::Pattern { pattern: Pattern::Random, rate: settings(3).nominal_rate() }
        );
    }

    #[test]
    fn a_sequence_keeps_its_choice_and_sequences_differ() {
        let chosen = |sequence: u32| {
            let draws = Draws { sequence, ..Draws::new(4) };
            resolve(Pattern::Choice, &draws, Some(&tables()))
        };
        let all: std::collections::HashSet<Pattern> = (0..50).map(chosen).collect();
        assert_eq!(all.len(), CHOICES.len());
        assert_eq!(chosen(7), chosen(7));
    }

    proptest! {
        #[test]
        fn a_higher_rate_only_adds_and_later_tokens_do_not_matter(
            seed: u64, low in 0.0f64..1.0, more in 0.0f64..1.0, which in 0usize..5, cut in 1usize..50,
        ) {
            let tables = tables();
            let ids = corpus(&tables, 50, 8);
            let starts: Vec<bool> = ids.iter().map(|id| id % 3 != 0).collect();
            let input = DecisionInput { ids: &ids, word_starts: &starts, ..DecisionInput::default() };
            let run = |input: &DecisionInput, rate| {
                decide_initial(&settings(seed), input, CHOICES[which], Some(rate), Some(&tables)).masked()
            };
            let (few, many) = (run(&input, low), run(&input, (low + more).min(1.0)));
            prop_assert!(few.iter().all(|i| many.contains(i)));
            let prefix = DecisionInput { ids: &ids[..cut], word_starts: &starts[..cut], ..input };
            let expected: Vec<usize> = few.into_iter().filter(|&i| i < cut).collect();
            prop_assert_eq!(run(&prefix, low), expected);
            prop_assert!(run(&input, 0.0).is_empty());
            if CHOICES[which] != Pattern::Marked {
                prop_assert_eq!(run(&input, 1.0).len(), 50);
            }
        }

        #[test]
        fn sampling_follows_the_counts(draw in 0.0f64..1.0) {
            let unigram = Unigram::from_counts(&[0, 5, 0, 2]);
            let id = unigram.sample(draw) as usize;
            let below: f64 = (0..id as u32).map(|i| unigram.probability(i)).sum();
            prop_assert!(below <= draw + 1e-12 && draw < below + unigram.probability(id as u32) + 1e-12);
        }
    }
}
