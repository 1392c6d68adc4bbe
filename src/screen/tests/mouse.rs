//! The mouse on real layouts: what is clicked is what is seen.

use crossterm::event::MouseEventKind;

use crate::screen::explore::{cost, map, mask};
use crate::screen::popups::Popup;
use crate::screen::tests::desk::Desk;

#[test]
fn tabs_hints_and_popups_take_clicks() {
    let mut desk = Desk::new();
    let (x, y) = desk.find("Cost ");
    desk.click(x, y);
    assert_eq!(desk.stage.app.view.focus, &cost::PANE);
    let (x, y) = desk.find("? help");
    desk.click(x, y);
    assert!(matches!(desk.stage.app.popup, Some(Popup::Help { .. })));
    desk.click(0, 0);
    assert!(desk.stage.app.popup.is_none());
    desk.stage.press("s");
    let (x, y) = desk.find("attention roll-out");
    desk.click(x, y);
    assert_eq!(desk.stage.last().score.reduction.name(), "rollout");
}

#[test]
fn the_wheel_turns_what_is_under_it() {
    let mut desk = Desk::new();
    let inner = desk.inner(&mask::PANE);
    desk.send(MouseEventKind::ScrollUp, inner.x + 2, inner.y);
    assert_eq!(desk.stage.last().mask.threshold, 0.72);
    desk.stage.press("o");
    let map = desk.inner(&map::PANE);
    desk.send(MouseEventKind::ScrollDown, map.x + 2, map.y + 2);
    assert_eq!(desk.stage.app.view.head, 4);
}
