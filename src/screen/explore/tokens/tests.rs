//! What keys and the mouse do here, by whole events.

use crate::mask::types::State;
use crate::screen::explore::tokens;
use crate::screen::testing::Stage;
use crate::screen::tests::desk::Desk;

#[test]
fn the_cursor_starts_on_something_worth_explaining() {
    let stage = Stage::new();
    let d = stage.app.results.decision().unwrap();
    assert_eq!(d.positions[stage.app.view.key].state, State::Masked);
}

#[test]
fn next_masked_goes_round() {
    let mut stage = Stage::new();
    let masked: Vec<usize> = (0..stage.app.results.len())
        .filter(|i| stage.app.results.decision().unwrap().positions[*i].state == State::Masked)
        .collect();
    assert!(masked.len() >= 2);
    stage.press("shift-tab shift-tab shift-tab shift-tab shift-tab shift-tab shift-tab");
    assert_eq!(stage.app.view.focus, &tokens::PANE);
    stage.press("home");
    let mut seen = Vec::new();
    for _ in 0..masked.len() + 1 {
        stage.press("n");
        seen.push(stage.app.view.key);
    }
    assert_eq!(seen[..masked.len()], masked);
    assert_eq!(seen[masked.len()], masked[0]);
    stage.press("N");
    assert_eq!(stage.app.view.key, masked[masked.len() - 1]);
}

#[test]
fn a_pinned_token_is_protected_and_unpinned_again() {
    let mut stage = Stage::new();
    let i = stage.app.view.key;
    stage.focus(&tokens::PANE).press("space");
    assert_eq!(stage.last().mask.pinned, vec![i..i + 1]);
    assert_eq!(stage.app.results.decision().unwrap().positions[i].state, State::Protected);
    stage.press("space");
    assert!(stage.last().mask.pinned.is_empty());
}

#[test]
fn a_click_selects_the_token_that_is_seen_there() {
    let mut desk = Desk::new();
    let (x, y) = desk.find("·sailor ");
    desk.click(x + 1, y);
    let key = desk.stage.app.view.key;
    assert_eq!(desk.stage.app.results.tokens()[key].display, "·sailor");
    assert_eq!(desk.stage.app.view.focus, &tokens::PANE);
}
