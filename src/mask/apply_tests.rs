use super::super::decide::{DecisionInput, decide};
use super::super::mix::Mix;
use super::super::types::{Polarity, Protect};
use super::*;
use proptest::prelude::*;

struct Model {
    mask: bool,
    unigram: Option<Unigram>,
    eot: Option<u32>,
}

impl ReplacementSource for Model {
    fn n_vocab(&self) -> usize {
        50
    }
    fn eot(&self) -> Option<u32> {
        self.eot
    }
    fn mean_embedding(&self) -> Arc<[f32]> {
        Arc::from([0.5, 0.25])
    }
    fn mask_row(&self) -> Option<Arc<[f32]>> {
        self.mask.then(|| Arc::from([1.0, 2.0]))
    }
    fn unigram(&self) -> Option<&Unigram> {
        self.unigram.as_ref()
    }
}

fn model() -> Model {
    Model { mask: true, unigram: Some(Unigram::from_counts(&[1; 50])), eot: Some(49) }
}

/// Settings that mask exactly `masked` of `len` tokens.
fn decided(len: usize, masked: &[usize], op: Op, settings: &MaskSettings) -> Decision {
    let scores: Vec<Option<f64>> = (0..len).map(|i| Some(f64::from(u8::from(masked.contains(&i))))).collect();
    let settings = MaskSettings {
        threshold: 0.5,
        probability: 1.0,
        scale: super::super::types::Scale::Raw,
        polarity: Polarity::High,
        protect: Protect::NONE,
        op,
        ..settings.clone()
    };
    decide(&settings, &DecisionInput { scores: &scores, ..DecisionInput::default() })
}

fn plan(len: usize, masked: &[usize], op: Op, settings: &MaskSettings) -> Result<MaskedPass, ApplyError> {
    let ids: Vec<u32> = (0..len as u32).collect();
    apply(&ids, &decided(len, masked, op, settings), settings, Draws::default(), &model())
}

fn bytes(id: u32) -> Vec<u8> {
    if id == 0 { b"w0".to_vec() } else { format!(" w{id}").into_bytes() }
}

#[test]
fn replacing_by_a_vector_keeps_ids_and_positions() {
    for (replacement, vector, shown) in [
        (Replacement::Mean, [0.5, 0.25], "w0 [mean] [mean] w3"),
        (Replacement::Mask, [1.0, 2.0], "w0 [MASK] [MASK] w3"),
    ] {
        let settings = MaskSettings { replacement, ..MaskSettings::default() };
        let got = plan(4, &[1, 2], Op::Replace, &settings).unwrap();
        assert_eq!(got.input.ids, [0, 1, 2, 3]);
        assert_eq!(got.input.replaced.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(&*got.input.replaced[&1], vector);
        assert_eq!((got.input.position_ids, got.input.visibility), (None, Visibility::Causal));
        let got = plan(4, &[1, 2], Op::Replace, &settings).unwrap();
        assert_eq!(got.masked_ids(), [Some(0), None, None, Some(3)]);
        assert_eq!(got.masked_text(&|i| bytes(i as u32), &bytes), shown);
    }
}

#[test]
fn replacing_by_a_token_swaps_ids() {
    let settings = MaskSettings { replacement: Replacement::EndOfText, ..MaskSettings::default() };
    let got = plan(4, &[2], Op::Replace, &settings).unwrap();
    assert_eq!(got.input.ids, [0, 1, 49, 3]);
    assert_eq!(got.masked_text(&|i| bytes(i as u32), &bytes), "w0 w1 w49 w3");
    for replacement in [Replacement::Uniform, Replacement::Unigram] {
        let settings = MaskSettings { replacement, ..MaskSettings::default() };
        let all: Vec<usize> = (0..48).collect();
        let got = plan(48, &all, Op::Replace, &settings).unwrap();
        assert_eq!(got, plan(48, &all, Op::Replace, &settings).unwrap(), "the same seed, the same tokens");
        assert!(got.input.ids.iter().all(|&id| id < 50));
        if replacement == Replacement::Uniform {
            assert!(got.input.ids.iter().all(|&id| id != 49), "never end-of-text");
        }
        let other = MaskSettings { seed: 9, ..settings };
        assert_ne!(got, plan(48, &all, Op::Replace, &other).unwrap());
    }
}

#[test]
fn dropping_leaves_the_remaining_ids_compact_or_with_gaps() {
    let settings = MaskSettings::default();
    let got = plan(5, &[1, 3], Op::Drop, &settings).unwrap();
    assert_eq!(got.input, Input::plain(vec![0, 2, 4]));
    assert_eq!(got.kept, [0, 2, 4]);
    assert_eq!(got.masked_text(&|i| bytes(i as u32), &bytes), "w0 w2 w4");
    assert_eq!(got.masked_ids(), [Some(0), Some(2), Some(4)]);
    let gap = MaskSettings { drop_positions: DropPositions::Gap, ..settings.clone() };
    assert_eq!(plan(5, &[1, 3], Op::Drop, &gap).unwrap().input.position_ids, Some(vec![0, 2, 4]));
    assert_eq!(plan(5, &[], Op::Drop, &gap).unwrap().input, Input::plain(vec![0, 1, 2, 3, 4]));
    assert_eq!(plan(2, &[0, 1], Op::Drop, &settings), Err(ApplyError::NothingLeft));
}

#[test]
fn hiding_is_unchanged_text_but_listed() {
    let got = plan(4, &[1], Op::Hide, &MaskSettings::default()).unwrap();
    assert_eq!(got.hidden, [1]);
    assert_eq!(got.masked_text(&|i| bytes(i as u32), &bytes), "w0 w1 w2 w3");
    let sees = |t, i| got.input.visibility.visible(4, t, i);
    assert!(sees(1, 1) && !sees(2, 1) && !sees(3, 1) && sees(3, 0) && sees(3, 2));
}

#[test]
fn evicting_the_whole_scope_hides_from_the_last_query_only() {
    let got = plan(4, &[1, 3], Op::Evict, &MaskSettings::default()).unwrap();
    let sees = |t, i| got.input.visibility.visible(4, t, i);
    assert!(sees(2, 1) && !sees(3, 1) && sees(3, 0) && sees(3, 3));
    assert_eq!(got.hidden, [1, 3]);
}

#[test]
fn skipping_lists_the_rows() {
    let got = plan(5, &[1, 3], Op::Skip, &MaskSettings::default()).unwrap();
    assert_eq!(got.input, Input { skipped: vec![1, 3], ..Input::plain(vec![0, 1, 2, 3, 4]) });
}

#[test]
fn a_mix_applies_each_operation_to_its_rows() {
    let mix: Mix = "replace:0.25,hide:0.25,drop:0.25,skip:0.25".parse().unwrap();
    let settings = MaskSettings { mix: Some(mix), ..MaskSettings::default() };
    let len = 60;
    let all: Vec<usize> = (0..len).collect();
    let decision = decided(len, &all, Op::Keep, &settings);
    let ids: Vec<u32> = (0..len as u32).collect();
    let got = apply(&ids, &decision, &settings, Draws::default(), &model()).unwrap();
    for i in 0..len {
        let row = got.kept.binary_search(&i).ok();
        let op = decision.positions[i].op.unwrap();
        assert_eq!(row.is_none(), op == Op::Drop);
        let Some(row) = row else { continue };
        assert_eq!(got.input.replaced.contains_key(&row), op == Op::Replace);
        assert_eq!(got.input.skipped.contains(&row), op == Op::Skip);
        if row + 1 < got.kept.len() {
            assert_eq!(got.input.visibility.visible(got.kept.len(), row + 1, row), op != Op::Hide);
        }
    }
}

#[test]
fn what_a_model_lacks_is_said() {
    let bare = Model { mask: false, unigram: None, eot: None };
    for (replacement, error) in [
        (Replacement::Mask, ApplyError::NoMaskRow),
        (Replacement::Unigram, ApplyError::NoUnigram),
        (Replacement::EndOfText, ApplyError::NoEndOfText),
    ] {
        let settings = MaskSettings { replacement, ..MaskSettings::default() };
        let decision = decided(3, &[1], Op::Replace, &settings);
        let got = apply(&[1, 2, 3], &decision, &settings, Draws::default(), &bare);
        assert_eq!(got, Err(error.clone()));
        assert!(error.hint().unwrap().contains("mean"));
    }
    let decision = decided(3, &[1], Op::Replace, &MaskSettings::default());
    let got = apply(&[1], &decision, &MaskSettings::default(), Draws::default(), &bare);
    assert_eq!(got, Err(ApplyError::Length { decided: 3, tokens: 1 }));
}

proptest! {
    #[test]
    fn keep_and_an_empty_selection_are_the_plain_input(
        len in 1usize..20, masked in prop::collection::vec(0usize..20, 0..10), which in 0usize..6,
    ) {
        let ids: Vec<u32> = (0..len as u32).collect();
        let settings = MaskSettings::default();
        prop_assert_eq!(plan(len, &masked, Op::Keep, &settings).unwrap().input, Input::plain(ids.clone()));
        let empty = plan(len, &[], Op::ALL[which], &settings).unwrap();
        prop_assert_eq!(&empty.input, &Input::plain(ids.clone()));
        prop_assert_eq!(empty.kept, (0..len).collect::<Vec<_>>());
        let all_keep = MaskSettings { mix: Some("keep:1".parse().unwrap()), ..settings };
        prop_assert_eq!(plan(len, &masked, Op::Drop, &all_keep).unwrap().input, Input::plain(ids));
    }

    #[test]
    fn no_row_loses_its_last_visible_key(
        len in 1usize..20, masked in prop::collection::vec(0usize..20, 0..20), which in 0usize..6,
    ) {
        if let Ok(got) = plan(len, &masked, Op::ALL[which], &MaskSettings::default()) {
            let rows = got.kept.len();
            prop_assert_eq!(got.input.len(), rows);
            for t in 0..rows {
                prop_assert!((0..rows).any(|i| got.input.visibility.visible(rows, t, i)));
                prop_assert!(got.input.visibility.visible(rows, t, t));
            }
        }
    }
}
