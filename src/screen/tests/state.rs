//! Whole-app tests by key strings: type this, press that, and this is asked of the engine, this is the state.

use std::sync::Arc;

use crate::config::Settings;
use crate::engine::types::{MapKind, Update};
use crate::mask::types::MaskSettings;
use crate::screen::actions::{self, ANYWHERE, Action};
use crate::screen::app::OFFER;
use crate::screen::chrome::hints::hints;
use crate::screen::events::Event;
use crate::screen::explore::mask;
use crate::screen::explore::mask::settings::{self, REROLL};
use crate::screen::explore::text::LEAVE_TEXT;
use crate::screen::general::{CANCEL, HELP, QUIT, UNDO};
use crate::screen::keymap::KeyOverrides;
use crate::screen::options::Options;
use crate::screen::popups::list;
use crate::screen::testing::{Stage, options};
use crate::screen::{Request, pane};

#[test]
fn it_starts_with_a_request_and_focus_on_the_threshold() {
    let stage = Stage::new();
    assert_eq!(stage.app.view.focus, &mask::PANE);
    assert_eq!(stage.app.view.item, MaskSettings::threshold);
    let first = stage.port.requests.borrow()[0].clone();
    assert_eq!((first.generation, &*first.text), (1, options().text.as_str()));
    assert!(!stage.app.busy());
}

#[test]
fn looking_around_asks_nothing() {
    let mut stage = Stage::new();
    let before = stage.asked();
    stage.press("i end esc tab shift-tab ? esc z z c 0 + + -");
    stage.press("ctrl-p esc M esc f1 down esc ctrl-t ctrl-l");
    assert_eq!(stage.asked(), before);
}

#[test]
fn undo_and_redo_cover_text_settings_and_view() {
    let mut stage = Stage::new();
    let start = stage.app.doc.snapshot();
    stage.press("right right right");
    stage.press("m l");
    stage.press("i").types("Two words").press("esc");
    stage.press("space");
    let end = stage.app.doc.snapshot();
    // Outside the text, undo never walks on into it.
    let said = |stage: &Stage| stage.app.notice.clone().map_or(String::new(), |n| n.text);
    stage.press("u u");
    assert!(stage.app.doc.snapshot().same(&end));
    assert_eq!(
        said(&stage),
        "The change before that is one of the text, which stays: i and then ^/ undo it there"
    );
    // Words typed are steps: "Two ", "words".
    stage.press("i ctrl-/");
    assert!(stage.app.doc.editor.text().ends_with("Two "), "{}", stage.app.doc.editor.text());
    assert_eq!(said(&stage), "Undone: the text without “words”; ^Y brings it back");
    stage.press("ctrl-/");
    assert_eq!(stage.app.doc.snapshot().text, start.text);
    stage.press("esc u");
    assert_eq!(said(&stage), "Undone: map: mean of 4 × 4 heads, map: masked run; U brings it back");
    assert_eq!(stage.app.doc.map, MapKind::Masked);
    stage.press("u");
    assert!(stage.app.doc.snapshot().same(&start), "three nudges are one step");
    assert_eq!(said(&stage), "Undone: τ 0.760 → 0.700; U brings it back");
    stage.press("u");
    assert!(stage.app.doc.snapshot().same(&start));
    stage.press("U U U U U U");
    assert!(stage.app.doc.snapshot().same(&end));
    assert_eq!(stage.last().text, end.text, "undo asks the engine too");
}

#[test]
fn nudges_far_apart_are_steps_of_their_own_and_a_drag_is_one() {
    let mut stage = Stage::new();
    stage.press("right");
    stage.wait(5000).press("right").press("u");
    assert_eq!(stage.app.doc.mask.threshold, 0.72);
    stage.app.hold();
    for i in 0..20 {
        stage
            .wait(3000)
            .act(|app| settings::set_fraction(app, MaskSettings::threshold, 0.1 + 0.01 * f64::from(i)));
    }
    stage.app.release();
    stage.press("u");
    assert_eq!(stage.app.doc.mask.threshold, 0.72);
}

#[test]
fn late_answers_are_dropped() {
    let mut stage = Stage::new();
    stage.answering = false;
    stage.press("i").types("ab");
    let (g, n) = (stage.app.generation, stage.app.results.len());
    let old = crate::screen::testing::tokens("old text");
    stage.update(Update::Tokens { generation: g - 1, tokens: old.into(), truncated: None });
    assert_eq!(stage.app.results.len(), n);
    assert!(stage.app.busy());
    for update in crate::screen::testing::answer(&stage.last()) {
        stage.update(update);
    }
    assert!(!stage.app.busy());
}

#[test]
fn old_pictures_are_dimmed_only_after_a_while() {
    let mut stage = Stage::new();
    stage.answering = false;
    stage.press("i").types("x");
    let map = stage.app.results.map.clone().unwrap();
    assert!(!stage.app.stale(&map) && stage.app.busy());
    stage.wait(200);
    assert!(stage.app.stale(&map) && stage.app.waiting());
    for update in crate::screen::testing::answer(&stage.last()) {
        stage.update(update);
    }
    assert!(!stage.app.stale(stage.app.results.map.as_ref().unwrap()));
    stage.wait(OFFER.as_millis() as u64);
    assert_eq!(stage.app.wake(), None, "nothing wakes a program that has nothing to do");
}

#[test]
fn what_was_not_sent_again_is_confirmed_by_done() {
    let mut stage = Stage::new();
    stage.answering = false;
    stage.press("]");
    let generation = stage.app.generation;
    stage.update(Update::Done { generation, forwards: 0, millis: 0.3 });
    stage.wait(10_000);
    let r = &stage.app.results;
    assert!(!stage.app.stale(r.map.as_ref().unwrap()) && !stage.app.stale(r.decided.as_ref().unwrap()));
}

#[test]
fn a_shorter_text_without_results_leaves_nothing_wrong_on_screen() {
    let mut stage = Stage::new();
    stage.press("i ctrl-a backspace");
    let r = &stage.app.results;
    assert!(r.is_empty() && r.map.is_none() && r.decided.is_none() && r.masked.is_none());
    assert_eq!((stage.app.view.key, stage.app.view.query), (0, 0));
    stage.press("esc tab left right space n enter tab tab left f R");
}

#[test]
fn a_crash_in_the_engine_is_a_card_that_success_takes_away() {
    let mut stage = Stage::new();
    stage.update(Update::Crashed { message: "index out of bounds".into() });
    assert_eq!(stage.app.cards.len(), 1);
    let asked = stage.asked();
    stage.press("ctrl-r");
    assert_eq!(stage.asked(), asked + 1);
    stage.update(Update::Crashed { message: "again".into() });
    stage.press("]");
    assert!(stage.app.cards.is_empty(), "the next answer shows that it works again");
}

#[test]
fn a_failed_request_is_said_and_overtaken() {
    let mut stage = Stage::new();
    stage.answering = false;
    stage.press("]");
    let generation = stage.app.generation;
    stage.update(Update::Failed { generation, message: "too long".into(), hint: None });
    assert_eq!(stage.app.results.failure.as_ref().unwrap().value.message, "too long");
    assert!(!stage.app.busy());
    stage.answering = true;
    stage.press("]");
    assert!(stage.app.results.failure.is_none());
}

#[test]
fn quitting_and_suspending_work_everywhere() {
    for keys in ["ctrl-c", "q", "i ctrl-c", "ctrl-p ctrl-c", "? ctrl-c", "1 ctrl-c", "f2 ctrl-q", "M ctrl-c"]
    {
        let mut stage = Stage::new();
        stage.press(keys);
        assert!(stage.app.quit, "{keys}");
    }
    let mut stage = Stage::new();
    stage.press("i ctrl-z");
    assert!(matches!(stage.port.emitted.borrow().last(), Some(Request::Suspend)));
    stage.event(Event::Terminate);
    assert!(stage.app.quit);
}

#[test]
fn on_a_tiny_screen_only_leaving_works() {
    let mut stage = Stage::new();
    stage.event(Event::Resize(40, 12));
    let asked = stage.asked();
    stage.press("] r i a b c");
    assert_eq!(stage.asked(), asked);
    stage.press("q");
    assert!(stage.app.quit);
}

#[test]
fn users_keys_are_used_and_shown() {
    let keys: KeyOverrides = [("reroll".to_owned(), vec!["ctrl-n".to_owned()])].into_iter().collect();
    let settings = Arc::new(Settings { keys, ..Settings::default() });
    let mut stage = Stage::with(Options { settings, ..options() });
    stage.press("i ctrl-n");
    assert_eq!(stage.last().mask.seed, 1, "a pane's key does not reach into the text");
    stage.press("esc ctrl-n");
    assert_eq!(stage.last().mask.seed, 2);
    let shown = hints(&stage.app).into_iter().find(|h| h.action == &REROLL).unwrap();
    assert_eq!(shown.keys, "^N");
}

#[test]
fn hints_offer_only_what_is_possible() {
    let mut stage = Stage::new();
    let has = |s: &Stage, a: &Action| hints(&s.app).iter().any(|h| h.action == a);
    assert!(!has(&stage, &UNDO) && !has(&stage, &CANCEL) && has(&stage, &HELP) && has(&stage, &QUIT));
    stage.press("]");
    assert!(has(&stage, &UNDO));
    stage.press("i");
    assert!(!has(&stage, &REROLL) && has(&stage, &LEAVE_TEXT));
    for hint in hints(&stage.app) {
        assert!(!hint.keys.is_empty());
    }
}

#[test]
fn every_action_is_harmless_in_every_pane() {
    let mut stage = Stage::new();
    for pane in pane::all() {
        for action in actions::all().filter(|a| *a != &QUIT) {
            stage.app.popup = None;
            stage.app.entry = None;
            stage.focus(pane);
            stage.act(action.run);
            let _ = (list::entries(&stage.app), hints(&stage.app), stage.app.contexts());
        }
    }
    assert!(!stage.app.quit);
    assert_eq!(stage.app.contexts().last(), Some(&ANYWHERE));
}

#[test]
fn a_message_never_contradicts_the_state() {
    let mut stage = Stage::new();
    stage.press("a");
    assert!(stage.app.notice.as_ref().unwrap().text.starts_with("Preset article"));
    stage.press("[");
    assert!(stage.app.notice.is_none(), "with a slider moved it is not that preset any more");
    stage.press("d");
    assert!(stage.app.notice.as_ref().unwrap().text.contains("hide"));
    stage.press("u");
    assert_eq!(stage.app.notice.as_ref().unwrap().text, "Undone: operation hide → replace; U brings it back");
}

#[test]
fn a_key_without_effect_says_why() {
    let mut stage = Stage::new();
    stage.press("j");
    assert_eq!(stage.app.notice.as_ref().unwrap().text, "j does nothing here; ? lists the keys");
    stage.press("d w");
    assert_eq!(stage.app.notice.as_ref().unwrap().text, "Nothing is replaced now: the operation is hide");
    stage.press("d d d d b e");
    let seen = crate::screen::tests::text(&crate::screen::tests::picture(&mut stage, 160, 50));
    assert!(seen.contains("Block by block a token"), "{seen}");
}
