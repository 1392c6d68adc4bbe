//! What keys and the mouse do here, by whole events.

use crate::screen::Request;
use crate::screen::events::Event;
use crate::screen::explore::text;
use crate::screen::testing::{Stage, options};
use crate::screen::tests::desk::Desk;

#[test]
fn every_keystroke_in_the_text_is_a_request_with_the_next_generation() {
    let mut stage = Stage::new();
    let before = stage.asked();
    stage.press("i").types("Hi q");
    assert_eq!(stage.asked() - before, 4);
    let requests = stage.port.requests.borrow();
    assert!(requests.windows(2).all(|w| w[1].generation == w[0].generation + 1));
    assert!(requests.last().unwrap().text.ends_with("Hi q"));
    assert!(!stage.app.quit, "q is a letter in the text");
}

#[test]
fn a_huge_paste_is_one_step() {
    let mut stage = Stage::new();
    stage.answering = false;
    let book = "It was a bright cold day in April.\r\n".repeat(30_000);
    stage.event(Event::Paste(book));
    assert_eq!(stage.app.view.focus, &text::PANE);
    assert!(!stage.last().text.contains('\r') && stage.last().text.len() > 1_000_000);
    stage.press("up pageup home end ctrl-left").press("ctrl-/");
    assert_eq!(&*stage.last().text, options().text.as_str());
}

#[test]
fn copy_cut_and_paste() {
    let mut stage = Stage::new();
    stage.press("i ctrl-a alt-c");
    assert!(matches!(stage.port.emitted.borrow().last(), Some(Request::Copy(s)) if *s == options().text));
    stage.press("end shift-left ctrl-x ctrl-v ctrl-v");
    assert!(stage.last().text.ends_with("morning.."));
}

#[test]
fn the_caret_goes_where_the_click_is_and_drags_select() {
    let mut desk = Desk::new();
    let (x, y) = desk.find("looked at the grey");
    desk.click(x, y);
    assert!(desk.stage.app.doc.editor.text()[desk.stage.app.doc.editor.caret()..].starts_with("looked"));
    desk.drag((x, y), (x + 6, y));
    assert_eq!(desk.stage.app.doc.editor.selected(), Some("looked"));
}
