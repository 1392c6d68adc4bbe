use super::tests::{arms, spec, tiny, visit};
use super::*;
use crate::train::batch::Visit;
use crate::train::data::synthetic::FIRST_SYNTHETIC;

/// Tokens of a sequence.
const T: usize = 64;

#[test]
fn what_is_made_up_is_not_decided_by_what_its_number_stood_for() {
    let tiny = tiny(3);
    let mut known = arms(&spec(Arm::DynAttnHigh, Op::Replace, 0.3), &tiny.model, T);
    let number = FIRST_SYNTHETIC + 5;
    let batch = |text, sequence, pass| Batch { visits: vec![Visit { sequence, ..visit(text, pass, T) }] };
    let first = known.prepare(&tiny.model, &batch(0, number, 0), At::NONE).unwrap();
    known.masked_loss(&tiny.model, &first).unwrap();
    assert!(known.memory().bytes.contains_key(&number));
    let masked = known.prepare(&tiny.model, &batch(1, number, 1), At::NONE).unwrap();
    let mut fresh = arms(&spec(Arm::DynAttnHigh, Op::Replace, 0.3), &tiny.model, T);
    assert_eq!(
        masked.decisions,
        fresh.prepare(&tiny.model, &batch(1, number, 1), At::NONE).unwrap().decisions
    );
    assert!(!known.memory().bytes.contains_key(&number));
}
