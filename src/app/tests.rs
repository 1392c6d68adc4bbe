//! Whole-app tests by key strings: type this, press that, and this is asked of the engine, this is the state.

use crate::app::Effect;
use crate::app::actions::{self, Action, Context};
use crate::app::hints::hints;
use crate::app::keymap::KeyOverrides;
use crate::app::lists;
use crate::app::mapview::Zoom;
use crate::app::options::Options;
use crate::app::state::{Pane, Popup};
use crate::app::testing::{Stage, model, options};
use crate::app::update::general::{CANCEL, HELP, QUIT, REFRESH_MODEL, UNDO};
use crate::app::update::settings::REROLL;
use crate::app::update::text::LEAVE_TEXT;
use crate::app::update::{Event, map, settings};
use crate::attention::types::ScoreSettings;
use crate::engine::types::{Command, LoadProgress, MapKind, Update};
use crate::mask::types::{MaskSettings, Op, Polarity, Scale, State};

#[test]
fn it_starts_with_a_request_and_focus_on_the_threshold() {
    let stage = Stage::new();
    assert_eq!(stage.app.view.focus, Pane::Mask);
    assert_eq!(stage.app.view.item, MaskSettings::threshold);
    let first = stage.port.requests.borrow()[0].clone();
    assert_eq!((first.generation, &*first.text), (1, options().text.as_str()));
    assert!(!stage.app.busy());
}

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
fn moving_the_caret_or_looking_around_asks_nothing() {
    let mut stage = Stage::new();
    let before = stage.asked();
    stage.press("i left left home end shift-left esc esc tab shift-tab ? esc z z c 0 + + -");
    stage.press("ctrl-p esc M esc f1 down esc ctrl-t ctrl-l");
    assert_eq!(stage.asked(), before);
}

#[test]
fn sliders_move_by_steps_fine_steps_ends_and_typed_numbers() {
    let mut stage = Stage::new();
    stage.press("right");
    assert_eq!(stage.last().mask.threshold, 0.72);
    stage.press("shift-left");
    assert_eq!(stage.last().mask.threshold, 0.718);
    stage.press("end home");
    assert_eq!(stage.last().mask.threshold, 0.0);
    stage.types("0.855").press("enter");
    assert_eq!(stage.last().mask.threshold, 0.855);
    stage.press("down end");
    assert_eq!(stage.last().mask.probability, 1.0);
    stage.press("backspace");
    assert_eq!(stage.last().mask.probability, 0.5);
}

#[test]
fn typing_a_wrong_number_explains_itself_and_keeps_the_old_value() {
    let mut stage = Stage::new();
    stage.types("7").types(".5").press("enter");
    let entry = stage.app.entry.clone().unwrap();
    assert_eq!(entry.error.as_deref(), Some("τ must be at most 1: 7.5"));
    assert_eq!(stage.app.doc.mask.threshold, 0.7);
    stage.press("ctrl-u").types("0.25").press("enter");
    assert_eq!((stage.app.entry.clone(), stage.app.doc.mask.threshold), (None, 0.25));
    stage.types("0.9").press("esc");
    assert_eq!((stage.app.entry.clone(), stage.app.doc.mask.threshold), (None, 0.25));
}

#[test]
fn settings_keys_work_from_any_pane_but_the_text() {
    let mut stage = Stage::new();
    stage.press("tab tab tab tab tab");
    assert_eq!(stage.app.view.focus, Pane::Map);
    stage.press("] ] . y d r S");
    let r = stage.last();
    assert_eq!((r.mask.threshold, r.mask.probability, r.mask.seed), (0.74, 0.52, 2));
    assert_eq!((r.mask.polarity, r.mask.op, r.mask.scale), (Polarity::Low, Op::Hide, Scale::Calibrated));
    let (text, mask) = (r.text.clone(), r.mask.clone());
    stage.press("i").types("]r");
    assert_eq!(stage.last().mask, mask);
    assert_eq!(&*stage.last().text, format!("{text}]r"));
}

#[test]
fn a_setting_that_is_put_back_restores_the_decision_exactly() {
    let mut stage = Stage::new();
    let before = stage.app.results.decision().cloned().unwrap();
    stage.press("] ] ] ] ] ]");
    assert_ne!(stage.app.results.decision().unwrap(), &before);
    stage.press("[ [ [ [ [ [");
    assert_eq!(stage.app.results.decision().unwrap(), &before);
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
    // Words typed are steps: "Two ", "words".
    stage.press("u");
    assert!(stage.app.doc.editor.text().ends_with("Two "), "{}", stage.app.doc.editor.text());
    stage.press("u");
    assert_eq!(stage.app.doc.snapshot().text, start.text);
    stage.press("u");
    assert_eq!(stage.app.doc.map, MapKind::Masked);
    stage.press("u");
    assert!(stage.app.doc.snapshot().same(&start), "three nudges are one step");
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
    let old = crate::app::testing::tokens("old text");
    stage.update(Update::Tokens { generation: g - 1, tokens: old.into(), truncated: None });
    assert_eq!(stage.app.results.len(), n);
    assert!(stage.app.busy());
    for update in crate::app::testing::answer(&stage.last()) {
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
    for update in crate::app::testing::answer(&stage.last()) {
        stage.update(update);
    }
    assert!(!stage.app.stale(stage.app.results.map.as_ref().unwrap()));
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
    stage.press("shift-tab shift-tab shift-tab shift-tab shift-tab shift-tab");
    assert_eq!(stage.app.view.focus, Pane::Tokens);
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
    stage.focus(Pane::Tokens).press("space");
    assert_eq!(stage.last().mask.pinned, vec![i..i + 1]);
    assert_eq!(stage.app.results.decision().unwrap().positions[i].state, State::Protected);
    stage.press("space");
    assert!(stage.last().mask.pinned.is_empty());
}

#[test]
fn layers_and_heads_run_through_the_mean() {
    let mut stage = Stage::new();
    let layers: Vec<Option<usize>> = (0..6)
        .map(|_| {
            stage.press("l");
            stage.last().heads.layer
        })
        .collect();
    assert_eq!(layers, [Some(0), Some(1), Some(2), Some(3), None, Some(0)]);
    stage.press("L H");
    assert_eq!((stage.last().heads.layer, stage.last().heads.head), (None, Some(3)));
}

#[test]
fn the_overview_asks_once_and_opens_a_head() {
    let mut stage = Stage::new();
    stage.press("o");
    assert!(stage.last().overview);
    let asked = stage.asked();
    stage.press("o");
    assert_eq!(stage.asked(), asked, "closing it needs nothing new");
    stage.press("o right down k home right enter");
    assert!(!stage.app.view.overview);
    let heads = &stage.app.results.overview.as_ref().unwrap().value;
    let best = crate::app::overview::order(heads, crate::app::overview::Sort::Sink)[1];
    assert_eq!(stage.last().heads.layer, Some(heads[best].layer));
    assert_eq!(stage.last().heads.head, Some(heads[best].head));
}

#[test]
fn zooming_keeps_the_crosshair_in_view() {
    let mut stage = Stage::new();
    stage.focus(Pane::Map);
    stage.act(|app| map::crosshair(app, 25, 20));
    stage.press("+ + + +");
    assert!(matches!(stage.app.view.zoom, Zoom::Level(_)));
    for keys in ["home", "end", "pageup", "pagedown pagedown", "shift-left", "shift-down"] {
        stage.press(keys);
        let v = crate::app::mapview::layout(
            stage.app.results.len(),
            stage.app.geometry().map.unwrap(),
            stage.app.view.zoom,
            stage.app.view.origin,
        );
        assert!(
            v.keys.of(stage.app.view.key).is_some() && v.queries.of(stage.app.view.query).is_some(),
            "{keys}"
        );
    }
    stage.press("0");
    assert_eq!(stage.app.view.zoom, Zoom::Fit);
}

#[test]
fn a_choice_is_taken_from_its_list() {
    let mut stage = Stage::new();
    stage.press("s");
    assert!(matches!(stage.app.popup, Some(Popup::Picker { path: ScoreSettings::reduction, .. })));
    stage.types("roll").press("enter");
    assert_eq!(stage.last().score.reduction.name(), "rollout");
    assert!(stage.app.popup.is_none());
}

#[test]
fn the_palette_runs_any_action() {
    let mut stage = Stage::new();
    stage.press("ctrl-p").types("re-roll the seed").press("enter");
    assert_eq!(stage.last().mask.seed, 2);
    stage.press(":").types("zzzz").press("enter");
    assert!(stage.app.popup.is_none());
}

#[test]
fn a_newer_version_is_offered_until_it_is_taken() {
    let mut stage = Stage::new();
    let possible = |s: &Stage| REFRESH_MODEL.possible(&s.app);
    assert!(!possible(&stage));
    stage.press("f5");
    assert!(stage.app.loading.is_none(), "there is nothing to fetch");
    stage.update(Update::ModelMoved { spec: "owner/name".into() });
    assert!(possible(&stage));
    stage.press("f5");
    assert!(
        matches!(stage.port.commands.borrow().last(), Some(Command::RefreshModel { spec }) if spec == "owner/name")
    );
    assert!(stage.app.can_cancel() && !possible(&stage));
    let failed =
        Update::ModelFailed { id: "owner/name".into(), message: "the connection broke".into(), hint: None };
    stage.update(failed);
    assert!(possible(&stage), "the offer stays where the fetch failed");
    stage.update(Update::ModelReady(model("owner/name", 2, 2)));
    assert!(!possible(&stage));
}

#[test]
fn models_are_loaded_cancelled_and_switched_with_everything_kept() {
    let mut stage = Stage::new();
    stage.press("] ] i").types(" More").press("esc l l h");
    let before = stage.last();
    stage.press("M").types("gpt2").press("enter");
    assert!(
        matches!(stage.port.commands.borrow().last(), Some(Command::LoadModel { spec }) if spec == "openai-community/gpt2")
    );
    let progress = LoadProgress {
        id: "openai-community/gpt2".into(),
        what: "model.safetensors".into(),
        done: 5,
        total: Some(9),
        rate: None,
    };
    stage.update(Update::ModelLoading(progress));
    assert!(stage.app.can_cancel() && stage.app.wake().is_some());
    stage.press("]");
    assert_eq!(stage.last().mask.threshold, 0.76, "the model in use stays usable");
    stage.press("x");
    assert!(matches!(stage.port.commands.borrow().last(), Some(Command::CancelLoad)));
    stage.press("M").types("my/own-model").press("enter");
    assert!(
        matches!(stage.port.commands.borrow().last(), Some(Command::LoadModel { spec }) if spec == "my/own-model")
    );
    let asked = stage.asked();
    stage.update(Update::ModelReady(model("my/own-model", 1, 2)));
    assert_eq!(stage.asked(), asked + 1);
    let after = stage.last();
    assert_eq!((after.text, after.score), (before.text, before.score));
    assert_eq!(after.heads.layer, Some(0), "a layer the model does not have is brought back");
    assert!(stage.app.loading.is_none());
}

#[test]
fn a_failed_load_becomes_a_card_with_retry() {
    let mut stage = Stage::new();
    stage.press("M").types("no/such").press("enter");
    stage.update(Update::ModelFailed {
        id: "no/such".into(),
        message: "not found".into(),
        hint: Some("check the id".into()),
    });
    assert_eq!(stage.app.cards.len(), 1);
    assert_eq!(stage.app.model.as_ref().unwrap().id, "demo");
    stage.press("ctrl-r");
    assert!(stage.app.cards.is_empty());
    assert!(
        matches!(stage.port.commands.borrow().last(), Some(Command::LoadModel { spec }) if spec == "no/such")
    );
    stage.update(Update::ModelFailed { id: "no/such".into(), message: "not found".into(), hint: None });
    stage.press("esc");
    assert!(stage.app.cards.is_empty());
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
fn background_work_is_started_counted_and_cancelled() {
    let mut stage = Stage::new();
    stage.press("R f");
    assert!(!stage.app.rerolling && !stage.app.costing, "both were answered in full");
    assert!(stage.app.results.rerolls.is_some() && stage.app.results.costs.is_some());
    stage.answering = false;
    stage.press("f");
    assert!(stage.app.costing && stage.app.can_cancel());
    stage.press("x");
    assert!(matches!(stage.port.commands.borrow().last(), Some(Command::CancelBackground)));
    assert!(!stage.app.costing);
}

#[test]
fn background_results_survive_looking_around_but_not_a_change() {
    let mut stage = Stage::new();
    stage.answering = false;
    stage.press("f");
    let generation = stage.app.generation;
    let costs =
        |done| Update::Cost { generation, done, of: 9, costs: vec![None; 31].into(), rows: vec![].into() };
    stage.press("l m ]");
    stage.update(costs(3));
    assert_eq!(stage.app.results.costs.as_ref().map(|c| c.value.done), Some(3));
    assert!(stage.app.costing, "a view or a mask changes nothing about the cost of a token");
    stage.press("R ]");
    assert!(!stage.app.rerolling && stage.app.costing);
    assert!(!matches!(stage.port.commands.borrow().last(), Some(Command::CancelBackground)));
    stage.press("i").types("x");
    assert!(!stage.app.costing);
    assert!(matches!(stage.port.commands.borrow().last(), Some(Command::CancelBackground)));
    stage.update(costs(9));
    assert_eq!(
        stage.app.results.costs.as_ref().map(|c| c.value.done),
        Some(3),
        "late, and about another text"
    );
}

#[test]
fn a_cancelled_load_stays_cancelled() {
    let mut stage = Stage::new();
    let progress =
        |done| LoadProgress { id: "my/model".into(), what: "x".into(), done, total: None, rate: None };
    stage.press("M").types("my/model").press("enter");
    stage.update(Update::ModelLoading(progress(1)));
    stage.press("x");
    stage.update(Update::ModelLoading(progress(2)));
    assert!(stage.app.loading.is_none());
    stage.press("M").types("my/model").press("enter");
    stage.update(Update::ModelLoading(progress(3)));
    assert!(stage.app.loading.is_some());
}

#[test]
fn a_curve_of_equal_rate_keeps_the_rate() {
    let mut stage = Stage::new();
    stage.focus(Pane::Plane);
    let rate = |s: &Stage| (1.0 - s.last().mask.threshold) * s.last().mask.probability;
    let before = rate(&stage);
    for _ in 0..10 {
        stage.press("pageup");
        assert!((rate(&stage) - before).abs() < 1e-9);
    }
    assert!(stage.last().mask.threshold > 0.8);
    for _ in 0..100 {
        stage.press("pageup");
    }
    assert!(stage.last().mask.probability <= 1.0 && (rate(&stage) - before).abs() < 1e-9);
}

#[test]
fn a_huge_paste_is_one_step() {
    let mut stage = Stage::new();
    stage.answering = false;
    let book = "It was a bright cold day in April.\r\n".repeat(30_000);
    stage.event(Event::Paste(book));
    assert_eq!(stage.app.view.focus, Pane::Text);
    assert!(!stage.last().text.contains('\r') && stage.last().text.len() > 1_000_000);
    stage.press("up pageup home end ctrl-left").press("ctrl-/");
    assert_eq!(&*stage.last().text, options().text.as_str());
}

#[test]
fn copy_cut_and_paste() {
    let mut stage = Stage::new();
    stage.press("i ctrl-a alt-c");
    assert!(matches!(stage.port.effects.borrow().last(), Some(Effect::Copy(s)) if *s == options().text));
    stage.press("end shift-left ctrl-x ctrl-v ctrl-v");
    assert!(stage.last().text.ends_with("morning.."));
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
    assert!(matches!(stage.port.effects.borrow().last(), Some(Effect::Suspend)));
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
fn the_tour_shows_every_stop_and_ends() {
    let mut stage = Stage::new();
    stage.press("f2");
    for stop in crate::app::tour::STOPS {
        assert_eq!(stage.app.recency(stop.pane), 0);
        stage.press("enter");
    }
    assert!(stage.app.popup.is_none());
    assert_eq!(stage.app.view.focus, Pane::Mask);
}

#[test]
fn an_arrow_too_many_stays_on_the_tours_last_stop() {
    let mut stage = Stage::new();
    let before = stage.app.doc.mask.probability;
    stage.press("f2");
    for _ in 0..=crate::app::tour::STOPS.len() {
        stage.press("right");
    }
    assert!(stage.app.popup.is_some());
    assert_eq!(stage.app.doc.mask.probability, before);
    stage.press("enter");
    assert!(stage.app.popup.is_none());
}

#[test]
fn users_keys_are_used_and_shown() {
    let keys: KeyOverrides = [("reroll".to_owned(), vec!["ctrl-n".to_owned()])].into_iter().collect();
    let mut stage = Stage::with(Options { keys, ..options() });
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
    for pane in Pane::ALL {
        for action in actions::all().filter(|a| *a != &QUIT) {
            stage.app.popup = None;
            stage.app.entry = None;
            stage.focus(*pane);
            stage.act(action.run);
            let _ = (lists::entries(&stage.app), hints(&stage.app), stage.app.contexts());
        }
    }
    assert!(!stage.app.quit);
    assert_eq!(stage.app.contexts().last(), Some(&Context::Anywhere));
}
