//! What keys and the mouse do here, by whole events.

use crate::mask::types::State;
use crate::screen::Request;
use crate::screen::events::Event;
use crate::screen::explore::text;
use crate::screen::options::Options;
use crate::screen::testing::{Stage, options};
use crate::screen::tests::desk::Desk;
use crate::screen::tests::{picture, text as screen_text};

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

/// As the program opens for a person: nothing set.
fn fresh() -> Stage {
    Stage::with(Options { settings: Options::default().settings, ..options() })
}

#[test]
fn typing_types_from_the_first_key_on() {
    let mut stage = fresh();
    assert_eq!(stage.app.view.focus, &text::PANE);
    let (mask, heads) = (stage.last().mask, stage.last().heads);
    // Every letter of it is a key of some pane.
    stage.types(" quick hello m]x.");
    assert!(stage.last().text.ends_with("quick hello m]x."));
    assert!(!stage.app.quit && stage.last().mask == mask && stage.last().heads == heads);
    assert!(!stage.app.view.overview && stage.app.popup.is_none());
    stage.press("esc ]");
    assert_ne!(stage.last().mask, mask, "after Esc, letters are keys");
}

#[test]
fn the_box_says_how_to_write_in_it() {
    for (w, h) in [(160, 50), (80, 24)] {
        let mut stage = fresh();
        let seen = screen_text(&picture(&mut stage, w, h));
        assert!(seen.contains("Esc makes letters keys again"), "{seen}");
        stage.press("esc");
        assert!(screen_text(&picture(&mut stage, w, h)).contains("i or a click: write here"));
    }
}

#[test]
fn until_something_is_typed_a_masked_token_is_explained() {
    let stage = fresh();
    let masked = |s: &Stage| s.app.results.decision().unwrap().positions[s.app.view.key].state;
    assert_eq!(masked(&stage), State::Masked);
    let mut stage = fresh();
    stage.types(" no");
    assert_eq!(stage.app.view.key + 1, stage.app.results.len(), "then the token that is being typed");
}

#[test]
fn the_example_comes_back_and_undo_brings_back_what_was_typed() {
    let mut stage = fresh();
    stage.types(" mine").press("alt-e");
    assert_eq!(*stage.last().text, *stage.app.options.settings.explore.text);
    stage.press("ctrl-/");
    assert!(stage.last().text.ends_with(" mine"));
}

#[test]
fn text_beyond_the_context_is_dimmed_behind_a_mark_and_block_by_block_is_offered() {
    use crate::engine::types::Update;
    use crate::screen::widgets::theme::{Role, Theme};
    let mut stage = Stage::new();
    let tokens: Vec<_> = stage.app.results.tokens()[..10].to_vec();
    let end = tokens[9].span.1;
    let generation = stage.app.generation;
    stage.update(Update::Tokens { generation, tokens: tokens.into(), truncated: Some(21) });
    for (w, h) in [(160, 50), (120, 40)] {
        let buf = picture(&mut stage, w, h);
        let area = stage.app.area(&text::PANE).unwrap();
        let theme = Theme::new(stage.app.look);
        // The first 10 tokens fit on the first line.
        let at = |i: usize| &buf[(area.x + i as u16, area.y)];
        assert_eq!(at(end).symbol(), "┃");
        assert_eq!(Some(at(end - 1).fg), theme.style(Role::Text).fg);
        assert_eq!(Some(at(end + 1).fg), theme.style(Role::Faint).fg);
        let seen = screen_text(&buf);
        assert!(
            seen.contains("10 tokens are read, 21 do not fit the context; b reads on, block by block"),
            "{seen}"
        );
    }
}

#[test]
fn what_left_the_context_is_counted_apart() {
    let mut stage = Stage::new();
    stage.press("b");
    let decided = &mut stage.app.results.decided.as_mut().unwrap().value;
    let mut window = (**decided.window.as_ref().unwrap()).clone();
    window.left = 2;
    decided.window = Some(window.into());
    let by_rule = decided.decision.selected.saturating_sub(2);
    let seen = screen_text(&picture(&mut stage, 160, 50));
    assert!(seen.contains(&format!("{by_rule} masked by the rule · 2 left the context")), "{seen}");
}
