//! Key strings and clicks in, state and commands out.

use std::sync::Arc;

use crate::engine::types::{
    Command, GenerateCommand, GenerateSettings, GenerateUpdate, GenerateView, Prompt, TokenOrigin, Update,
};
use crate::mask::presets::CachePolicy;
use crate::mask::types::Op;
use crate::screen::generate::{candidates, reads, sampling, story, timeline, turn};
use crate::screen::options::Options;
use crate::screen::testing::{Stage, TEXT, model, options};
use crate::screen::tests::desk::Desk;
use crate::screen::tests::{picture, text};
use crate::screen::view::Screen;

/// A stage on the Generate screen with a text that was written on.
pub fn written() -> Stage {
    let mut stage = Stage::new();
    stage.press("G space");
    stage
}

fn commands(stage: &Stage) -> Vec<GenerateCommand> {
    let commands = stage.port.commands.borrow();
    commands
        .iter()
        .filter_map(|c| if let Command::Generate(c) = c { Some(c.clone()) } else { None })
        .collect()
}

fn last(stage: &Stage) -> GenerateCommand {
    commands(stage).pop().unwrap()
}

fn said(stage: &Stage) -> String {
    stage.app.notice.as_ref().map_or(String::new(), |n| n.text.clone())
}

fn seen(stage: &mut Stage, w: u16, h: u16) -> String {
    text(&picture(stage, w, h))
}

/// The view as it is, being written.
fn writing(stage: &mut Stage) {
    let view = GenerateView { writing: true, ..(**stage.app.generate.view.as_ref().unwrap()).clone() };
    stage.update(Update::Generate(Box::new(GenerateUpdate::State(view))));
}

#[test]
fn it_opens_on_the_explorers_text_and_writes_on_and_pauses() {
    let mut stage = Stage::new();
    stage.press("G");
    assert_eq!((stage.app.screen(), stage.app.view.focus), (Screen::Generate, &story::PANE));
    let GenerateCommand::Start(request) = last(&stage) else { panic!("{:?}", last(&stage)) };
    assert_eq!(request.prompt, Prompt::Text(TEXT.into()));
    assert_eq!(request.mask.unwrap().mask, stage.app.doc.mask);
    stage.press("n space");
    assert_eq!(commands(&stage)[1..], [GenerateCommand::Step, GenerateCommand::Run]);
    assert_eq!(stage.app.generate.written(), 41);
    writing(&mut stage);
    assert!(stage.app.can_cancel() && stage.app.wake().is_some());
    stage.press("space");
    assert_eq!(last(&stage), GenerateCommand::Pause);
    writing(&mut stage);
    stage.press("x");
    assert_eq!((last(&stage), said(&stage).as_str()), (GenerateCommand::Pause, "Paused"));
    writing(&mut stage);
    let n = commands(&stage).len();
    stage.press("E");
    assert_eq!(stage.app.screen(), Screen::Explore);
    assert_eq!(commands(&stage).len(), n + 1, "leaving pauses");
    stage.press("G");
    assert_eq!(commands(&stage).len(), n + 1, "what was written is still there");
    stage.press("E i").types(" more").press("esc esc G");
    assert!(said(&stage).contains("another text now: r starts again"), "{}", said(&stage));
    stage.press("r");
    assert!(
        matches!(last(&stage), GenerateCommand::Start(r) if r.prompt == Prompt::Text(format!("{TEXT} more").into()))
    );
    stage.press("esc");
    assert_eq!(stage.app.screen(), Screen::Explore);
}

#[test]
fn candidates_are_taken_and_tokens_struck_out_by_key_and_by_click() {
    let mut desk = Desk::new();
    desk.stage.press("G space left left left tab down enter");
    let GenerateCommand::Take { continuation: 0, at: place, .. } = last(&desk.stage) else {
        panic!("{:?}", last(&desk.stage))
    };
    assert_eq!(place, desk.stage.app.generate.tokens().len() - 3);
    assert_eq!(desk.stage.app.generate.tokens()[place].origin, TokenOrigin::Taken);
    desk.stage.press("left").types("3");
    let third = desk.stage.app.generate.tokens()[place].written.as_ref().unwrap().outlook.candidates[2].id;
    assert_eq!(last(&desk.stage), GenerateCommand::Take { continuation: 0, at: place, id: third });
    let inner = desk.inner(&candidates::PANE);
    desk.stage.press("left");
    desk.click(inner.x + 4, inner.y + 5);
    let before = commands(&desk.stage).len();
    desk.click(inner.x + 4, inner.y + 5);
    assert_eq!(commands(&desk.stage).len(), before + 1, "a second click takes it");
    // The other side, a token there, and out with it.
    desk.stage.focus(&story::PANE).press("m home delete");
    let first = TEXT.split(' ').count() + 2;
    assert!(
        matches!(last(&desk.stage), GenerateCommand::Strike { continuation: 1, at } if at.abs_diff(first) < 3)
    );
    desk.stage.press("u");
    assert_eq!(last(&desk.stage), GenerateCommand::Undo);
    desk.stage.press("U");
    assert_eq!(last(&desk.stage), GenerateCommand::Redo);
    let inner = desk.inner(&story::PANE);
    desk.click(inner.x + 2, inner.y + 2);
    assert_eq!(desk.stage.app.generate.side, 0);
    assert!(desk.stage.app.generate.at.is_some());
    // A given token has no candidates, and says so.
    desk.stage.focus(&candidates::PANE).press("enter");
    assert!(!said(&desk.stage).is_empty());
}

#[test]
fn the_timeline_is_scrubbed_and_follows_again() {
    let mut stage = written();
    let len = stage.app.generate.tokens().len();
    assert_eq!((stage.app.generate.at, stage.app.generate.place()), (None, len));
    let next = stage.app.generate.outlook().unwrap().clone();
    stage.press("left");
    assert_eq!(stage.app.generate.at, Some(len - 1));
    assert!(!Arc::ptr_eq(stage.app.generate.outlook().unwrap(), &next));
    stage.press("right right right");
    assert_eq!(stage.app.generate.at, None);
    stage.focus(&timeline::PANE).press("pageup left");
    assert_eq!(stage.app.generate.at, Some(len - 9));
    stage.press("end");
    assert_eq!(stage.app.generate.at, None);
    let mut desk = Desk::new();
    desk.stage.press("G space");
    let inner = desk.inner(&timeline::PANE);
    desk.drag((inner.x + 30, inner.y), (inner.x, inner.y));
    assert_eq!(desk.stage.app.generate.at, Some(0));
    let inner = desk.inner(&reads::PANE);
    desk.stage.press("end");
    desk.click(inner.x + 6, inner.y + 2);
    assert!(desk.stage.app.generate.at.is_some(), "a token of the list is gone to");
    desk.stage.press("p");
    assert_eq!(desk.stage.app.generate.at, desk.stage.app.generate.view.as_ref().unwrap().parted);
    assert!(desk.stage.app.generate.at.is_some());
}

#[test]
fn sliders_of_the_draw_and_of_the_mask_reach_the_engine() {
    let mut stage = written();
    stage.focus(&sampling::PANE).press("right");
    assert!(matches!(last(&stage), GenerateCommand::Settings(s) if s.temperature > 0.8));
    stage.types("1.25").press("enter");
    assert!(matches!(last(&stage), GenerateCommand::Settings(s) if s.temperature == 1.25));
    stage.types("9").press("enter");
    assert!(said(&stage).contains("temperature must be at most 5"), "{}", said(&stage));
    stage.press("esc backspace");
    assert!(matches!(last(&stage), GenerateCommand::Settings(s) if s == GenerateSettings::default()));
    stage.press("]");
    let tau = stage.app.doc.mask.threshold;
    assert!(matches!(last(&stage), GenerateCommand::Mask(Some(m)) if m.mask.threshold == tau));
    stage.press("P").types("h2o").press("enter");
    assert!(
        matches!(last(&stage), GenerateCommand::Mask(Some(m)) if m.rolling.policy == Some(CachePolicy::H2o) && m.mask.op == Op::Evict)
    );
    stage.press("c");
    assert_eq!(last(&stage), GenerateCommand::Mask(None));
    assert_eq!(stage.app.generate.continuations().len(), 1);
    stage.press("c");
    assert_eq!(stage.app.generate.continuations().len(), 2);
    // In the explorer a slider writes nothing.
    let n = commands(&stage).len();
    stage.press("E ] ]");
    assert_eq!(commands(&stage).len(), n);
    stage.press("G");
    assert!(matches!(last(&stage), GenerateCommand::Mask(Some(_))), "coming back it does");
}

#[test]
fn a_dialogue_takes_turns_and_letters_are_text() {
    let mut stage = Stage::new();
    stage.press("G D");
    assert_eq!(stage.app.view.focus, &turn::PANE);
    assert!(matches!(last(&stage), GenerateCommand::Start(r) if r.prompt == Prompt::Dialogue));
    stage.types("Who are you? q").press("backspace backspace enter");
    assert_eq!(last(&stage), GenerateCommand::Say("Who are you?".to_owned()));
    assert!(!stage.app.quit && stage.app.generate.turn.is_empty());
    assert_eq!(stage.app.generate.written(), 6);
    let n = commands(&stage).len();
    stage.press("enter");
    assert_eq!((commands(&stage).len(), said(&stage).as_str()), (n, "Type something to say first"));
    stage.act(|app| app.paste("two\nlines"));
    assert_eq!(stage.app.generate.turn, "two lines");
    let hints = crate::screen::chrome::hints::hints(&stage.app);
    assert!(
        hints.iter().all(|h| h.keys.chars().count() > 1 || !h.keys.is_ascii()),
        "no letter is a key here: {hints:?}"
    );
    stage.press("esc");
    assert_eq!(stage.app.view.focus, &story::PANE);
    assert!(seen(&mut stage, 160, 50).contains("two lines"));
}

#[test]
fn empty_states_failures_and_ends_are_said() {
    let mut stage = Stage::with(options());
    stage.answering = false;
    stage.press("G");
    assert!(seen(&mut stage, 80, 24).contains("reads the explorer's text"));
    let failed =
        GenerateUpdate::Failed { message: "the text is too long".into(), hint: Some("shorten it".into()) };
    stage.update(Update::Generate(Box::new(failed)));
    let all = seen(&mut stage, 80, 24);
    assert!(all.contains("the text is too long"), "{all}");
    // Another model: nothing of the old one's text stays.
    let mut stage = written();
    stage.update(Update::ModelReady(model("other", 2, 2)));
    assert!(stage.app.generate.view.is_none() && stage.app.generate.told.is_none());
    stage.press("space");
    assert!(stage.app.generate.written() > 0, "it starts by itself");
    for _ in 0..8 {
        stage.press("space");
    }
    assert!(said(&stage).contains("context full"), "{}", said(&stage));
    stage.press("home left left delete").press("right right right right right right");
    let empty = Stage::with(Options { text: String::new(), ..options() });
    assert!(empty.app.generate.view.is_none());
}

#[test]
fn heads_are_chosen_for_the_attention_shown() {
    let mut stage = written();
    stage.press("l h h");
    let heads = stage.app.generate.heads;
    assert_eq!((heads.layer, heads.head), (Some(0), Some(1)));
    assert!(seen(&mut stage, 160, 50).contains("layer 0 head 1"));
    stage.press("L H H");
    assert_eq!(stage.app.generate.heads, Default::default());
}

#[test]
fn every_token_is_where_a_click_finds_it_at_any_width() {
    let stage = written();
    let tokens = stage.app.generate.tokens();
    for columns in 1..60 {
        let rows = story::rows(tokens, columns);
        assert_eq!(
            rows.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
            (0..tokens.len()).collect::<Vec<_>>()
        );
        assert!(rows[..rows.len() - 1].iter().all(|r| !r.is_empty()));
    }
}
