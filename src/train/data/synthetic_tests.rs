use std::collections::HashSet;
use std::sync::Arc;

use candle_core::Device;

use super::order::Order;
use super::synthetic::{FIRST_SYNTHETIC, Synthetic, SyntheticSpec, SyntheticTask};
use super::{Corpus, CutRows};
use crate::attention::types::ScoreSettings;
use crate::model::{Checkpoint, ModelFiles};
use crate::tensor::cross_entropy::IGNORE;
use crate::train::batch::Visit;
use crate::train::run::{Run, Setup};
use crate::train::settings::TrainSettings;
use crate::train::spec::DataSpec;
use crate::train::visits::{DataPosition, Visits};

const EOT: u32 = 5;
const CONTEXT: usize = 64;

fn spec(task: SyntheticTask) -> SyntheticSpec {
    SyntheticSpec { task, share: 1.0, ids: 0, least: 8, most: 24, context: 0 }
}

fn maker(spec: SyntheticSpec) -> Synthetic {
    spec.check(CONTEXT).unwrap();
    Synthetic::new(spec, 3, 600).unwrap()
}

/// A text of ids above those that tests draw from.
fn text() -> Visit {
    let tokens: Vec<u32> = (10_000..10_001 + CONTEXT as u32).collect();
    let (inputs, targets) = (tokens[..CONTEXT].to_vec(), tokens[1..].to_vec());
    Visit { sequence: 0, pass: 0, inputs, targets, starts: Vec::new() }
}

fn made(maker: Synthetic, at: usize, mark: Option<u32>) -> Visit {
    let visit = maker.visit((0, at), &text(), mark, Some(EOT));
    assert_eq!((visit.inputs.len(), visit.targets.len()), (CONTEXT, CONTEXT));
    assert!(visit.targets[..CONTEXT - 1].iter().zip(&visit.inputs[1..]).all(|(t, i)| *t == IGNORE || t == i));
    assert_eq!(visit.inputs[0] == EOT, mark.is_some());
    assert!(!visit.inputs[1..].contains(&EOT));
    visit
}

#[test]
fn repeats_have_every_period_and_count_what_can_be_copied() {
    let mut periods = vec![0usize; 25];
    for at in 0..3400 {
        let visit = made(maker(SyntheticSpec { ids: 500, ..spec(SyntheticTask::Repeats) }), at, None);
        let period = (8..25).find(|p| visit.inputs[*p..] == visit.inputs[..CONTEXT - p]).unwrap();
        periods[period] += 1;
        let counted: Vec<usize> = (0..CONTEXT).filter(|t| visit.targets[*t] != IGNORE).collect();
        // The first token that repeats comes unannounced; from it on each one follows from the one before.
        assert_eq!(counted, (period..CONTEXT).collect::<Vec<_>>());
        assert!(counted.iter().all(|t| visit.targets[*t] == visit.inputs[t + 1 - period]));
        assert!(visit.inputs.iter().all(|id| *id < 500));
    }
    // 17 periods, 200 times each: five standard deviations are 69.
    assert!(periods[8..].iter().all(|n| (131..=269).contains(n)), "{periods:?}");
    assert_eq!(periods[..8].iter().sum::<usize>(), 0);
}

#[test]
fn the_mark_comes_first_and_shifts_what_is_repeated() {
    let visit = made(maker(spec(SyntheticTask::Repeats)), 4, Some(EOT));
    let period = (8..25).find(|p| visit.inputs[p + 1..] == visit.inputs[1..CONTEXT - p]).unwrap();
    assert_eq!(visit.targets.iter().filter(|t| **t != IGNORE).count(), CONTEXT - period - 1);
}

#[test]
fn a_sequence_holds_as_many_short_texts_as_fit() {
    let short = SyntheticSpec { context: 20, least: 4, most: 6, ..spec(SyntheticTask::Repeats) };
    let visit = made(maker(short), 0, None);
    for from in [0, 20, 40] {
        let part = &visit.inputs[from..from + 20];
        let period = (4..7).find(|p| part[*p..] == part[..20 - p]).unwrap();
        let counted = (from..from + 19).filter(|t| visit.targets[*t] != IGNORE).count();
        assert_eq!(counted, 19 - period);
    }
    assert!(visit.targets[60..].iter().all(|t| *t == IGNORE), "nothing repeats in the rest");
}

#[test]
fn recall_asks_for_values_of_pairs_that_were_shown() {
    let mut sizes = HashSet::new();
    for at in 0..200 {
        let visit = made(maker(SyntheticSpec { ids: 100, ..spec(SyntheticTask::Recall) }), at, None);
        let asked: Vec<usize> = (0..CONTEXT).filter(|t| visit.targets[*t] != IGNORE).collect();
        let pairs: Vec<(u32, u32)> = visit.inputs[..asked[0]].chunks_exact(2).map(|p| (p[0], p[1])).collect();
        sizes.insert(pairs.len());
        assert_eq!(pairs.iter().map(|p| p.0).collect::<HashSet<_>>().len(), pairs.len(), "keys differ");
        for t in asked {
            assert!(pairs.contains(&(visit.inputs[t], visit.targets[t])), "{at} {t}");
        }
    }
    assert_eq!(sizes, (8..=24).collect());
}

#[test]
fn a_fact_is_asked_for_at_its_distance_in_the_text() {
    let mut distances = HashSet::new();
    for at in 0..400 {
        let visit = made(maker(SyntheticSpec { ids: 50, ..spec(SyntheticTask::Fact) }), at, None);
        let asked: Vec<usize> = (0..CONTEXT).filter(|t| visit.targets[*t] != IGNORE).collect();
        let [question] = asked[..] else { panic!("one label: {asked:?}") };
        let first = visit.inputs.iter().position(|id| *id == visit.inputs[question]).unwrap();
        assert_eq!(visit.inputs[first + 1], visit.targets[question]);
        distances.insert(question - first);
        let planted = [first, first + 1, question, question + 1];
        let kept = (0..CONTEXT).filter(|i| !planted.contains(i));
        assert!(kept.into_iter().all(|i| visit.inputs[i] == text().inputs[i]), "the rest is the text");
    }
    assert_eq!(distances, (8..=24).collect());
}

/// Visits of a run over a text with ids that are never drawn.
fn visits(share: f64, at: DataPosition) -> (Corpus, Visits) {
    let corpus =
        Corpus::from_tokens((1000..1000 + 100 * CONTEXT as u32 + 1).collect(), vec![0], 1, Some(EOT));
    let synthetic = Some(maker(SyntheticSpec { share, ..spec(SyntheticTask::Repeats) }));
    let order = Order { seed: 3, cut: CONTEXT.into(), fixed_cuts: false, marked: 0.5, alike: 0, synthetic };
    let visits = Visits::new(&corpus, order, at);
    (corpus, visits)
}

#[test]
fn a_share_of_the_visits_is_made_up_and_a_resumed_run_goes_on_with_the_same() {
    let (corpus, mut whole) = visits(0.3, DataPosition::default());
    let mut made_up = 0;
    for n in 0..1000 {
        if n % 90 == 0 {
            let (_, mut resumed) = visits(0.3, whole.position());
            assert_eq!(resumed.next(&corpus, 5), whole.clone().next(&corpus, 5), "after {n} visits");
        }
        let visit = whole.next(&corpus, 1).visits.remove(0);
        let drawn = visit.inputs[1..].iter().all(|id| *id < 600);
        assert_eq!((visit.is_made_up(), visit.sequence >= FIRST_SYNTHETIC), (drawn, drawn));
        assert_eq!(visit.targets.contains(&IGNORE), drawn, "a text counts whole");
        made_up += usize::from(drawn);
    }
    assert!((240..=360).contains(&made_up), "{made_up}");
    let (corpus, mut all) = visits(1.0, DataPosition::default());
    let seen: HashSet<Vec<u32>> = all.next(&corpus, 500).visits.into_iter().map(|v| v.inputs).collect();
    assert_eq!(seen.len(), 500, "no sequence comes twice, in later epochs neither");
}

#[test]
fn what_cannot_be_made_is_refused_with_what_to_change() {
    let refused = |spec: SyntheticSpec| spec.check(CONTEXT).unwrap_err().to_string();
    assert_eq!(
        refused(SyntheticSpec { least: 30, ..spec(SyntheticTask::Fact) }),
        "synthetic_least 30 is above synthetic_most 24"
    );
    assert_eq!(
        refused(SyntheticSpec { most: 64, ..spec(SyntheticTask::Repeats) }),
        "a period from 8 to 64 does not fit 65 tokens"
    );
    assert_eq!(
        refused(SyntheticSpec { most: 32, ..spec(SyntheticTask::Recall) }),
        "a number of pairs from 8 to 32 does not fit 65 tokens"
    );
    assert_eq!(
        refused(SyntheticSpec { ids: 40, ..spec(SyntheticTask::Recall) }),
        "synthetic_ids 40 are too few: recall needs 50"
    );
    assert_eq!(
        refused(SyntheticSpec { share: 1.5, ..spec(SyntheticTask::Fact) }),
        "synthetic_share must be from 0 to 1: 1.5"
    );
    assert!(Synthetic::new(SyntheticSpec { ids: 700, ..spec(SyntheticTask::Repeats) }, 3, 600).is_err());
    // The fewest ids and the most pairs that fit can still be drawn.
    let tight = SyntheticSpec { ids: 50, least: 24, ..spec(SyntheticTask::Recall) };
    made(maker(tight), 0, None);
}

/// The figures are those that `tests/bench/peers/synthetic_loss.py` prints, by torch and transformers under labels of -100.
#[test]
fn the_loss_of_a_step_is_torchs_over_the_labels_that_count() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2-tiny-random");
    let model = Checkpoint::load(&ModelFiles::Folder(folder), &Device::Cpu).unwrap().model;
    let settings = TrainSettings {
        synthetic: Some(SyntheticTask::Repeats),
        synthetic_share: 1.0,
        synthetic_least: 4,
        synthetic_most: 9,
        context: 32,
        batch_size: 4,
        seed: 3,
        ..TrainSettings::default()
    };
    let data = (DataSpec::default(), "run".into());
    let spec = settings.spec("tiny".into(), data, None, &ScoreSettings::default());
    let maker = Synthetic::new(spec.synthetic.unwrap(), 3, model.config.vocab_size).unwrap();
    let corpora = (Arc::new(maker.filler(8, 32, None)), None);
    let setup = Setup::new(spec, (model.config.clone(), model.tensors().unwrap()), None, corpora);
    let mut run = Run::new(setup).unwrap();
    let batches = run.next_batches();
    let first: Vec<&[u32]> = batches[0].visits.iter().map(|v| &v.inputs[..4]).collect();
    assert_eq!(first, [[204, 477, 194, 2], [469, 95, 282, 177], [348, 240, 105, 466], [378, 284, 368, 97]]);
    assert_eq!(batches[0].labels(), 106);
    let loss = run.passes(&batches, 1, &|| false).unwrap().loss;
    assert!((loss - 10.781_450_264).abs() < 1e-6 * loss, "{loss}");
}

#[test]
fn held_out_sequences_count_what_can_be_copied_and_are_no_visits() {
    let maker = maker(SyntheticSpec { ids: 500, ..spec(SyntheticTask::Repeats) });
    let held = maker.held_out(6, CONTEXT, Some(EOT));
    let rows = CutRows::new(&held, CONTEXT.into(), 0);
    assert_eq!((rows.len(), held.documents, held.bytes), (6, 6, 0));
    for i in 0..6 {
        let visit = rows.visit(&held, i, 0);
        let period = (8..25).find(|p| visit.inputs[*p..] == visit.inputs[..CONTEXT - p]).unwrap();
        assert_eq!(visit.labels(), CONTEXT - 1 - period, "the next sequence's first token does not count");
        assert!((0..1000).all(|at| made(maker, at, None).inputs[..8] != visit.inputs[..8]));
    }
}
