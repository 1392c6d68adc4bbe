//! What starts, pauses and steers the writing; what the engine is told when settings change. Pure.

use crate::engine::types::{Command, GenerateCommand, GenerateMask, GenerateRequest, HeadChoice, Prompt};
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MaskSettings, Op};
use crate::screen::actions::{GENERATING, actions};
use crate::screen::app::{App, Request};
use crate::screen::explore::mask::settings;
use crate::screen::generate::{story, turn};
use crate::screen::pane::Pane;
use crate::screen::view::Screen;

actions! {
    GENERATING {
        /// Write on, or pause
        WRITE ["space"] "write/pause" => write;
        /// Write one token
        WRITE_ONE ["n"] "one token" => |app| send(app, GenerateCommand::Step);
        /// Start again from the explorer's text
        WRITE_ANEW ["r"] "start again" => start;
        /// Undo what was written or done by hand last
        UNDO_WRITING ["u" "ctrl-/" "alt-u"] "undo" if can_undo => |app| travel(app, true);
        /// Redo what was undone
        REDO_WRITING ["U" "ctrl-y" "alt-r"] if can_redo => |app| travel(app, false);
        /// Write a second time under the mask, or only without it
        COMPARE ["c"] "compare" => compare;
        /// Look at the other continuation
        OTHER_SIDE ["m"] "other side" if has_two => other_side;
        /// Go to the token at which the two continuations part
        PLACE_PARTED ["p"] "where they part" if parts => to_parted;
        /// Choose who decides what leaves the cache: the threshold or a cache policy
        WRITE_POLICY ["P"] "cache policy" => |app| settings::pick(app, RollingSettings::policy);
        /// Begin a dialogue: the model answers what you type
        DIALOGUE ["D"] "dialogue" => dialogue;
        /// Show the attention of the next layer, or the mean over layers
        READS_LAYER ["l"] "layer/head" with [READS_HEAD] => |app| turn_heads(app, true, 1);
        /// Show the attention of the layer before
        READS_LAYER_BACK ["L"] => |app| turn_heads(app, true, -1);
        /// Show the attention of the next head, or the mean over heads
        READS_HEAD ["h"] => |app| turn_heads(app, false, 1);
        /// Show the attention of the head before
        READS_HEAD_BACK ["H"] => |app| turn_heads(app, false, -1);
        /// Go back to the explorer
        LEAVE_WRITING ["E"] "explore" => leave;
    }
}

fn has_two(app: &App) -> bool {
    app.generate.continuations().len() > 1
}

fn parts(app: &App) -> bool {
    app.generate.view.as_ref().is_some_and(|view| view.parted.is_some())
}

fn to_parted(app: &mut App) {
    match app.generate.view.as_ref().and_then(|view| view.parted) {
        Some(place) => story::go(app, place),
        None => app.say("The two continuations are the same so far"),
    }
}

fn other_side(app: &mut App) {
    if !has_two(app) {
        return app.say("There is one continuation only");
    }
    app.generate.side = 1 - app.generate.side;
}

fn can_undo(app: &App) -> bool {
    app.generate.view.as_ref().is_some_and(|view| view.can_undo)
}

fn can_redo(app: &App) -> bool {
    app.generate.view.as_ref().is_some_and(|view| view.can_redo)
}

/// Opens the screen where it was left; the first time, on the explorer's text.
pub fn enter(app: &mut App) {
    let recent = app.view.recent.iter().copied().find(|p| p.screen == Screen::Generate);
    let pane: &'static Pane = recent.unwrap_or(&story::PANE);
    app.focus(pane);
    app.view.enlarged = false;
    match &app.generate.told {
        None => start(app),
        Some(GenerateRequest { prompt: Prompt::Text(text), .. }) if text != app.doc.editor.text() => {
            let key = app.key_label(&WRITE_ANEW);
            app.say(format!("The explorer has another text now: {key} starts again from it"));
        }
        Some(_) => {}
    }
}

/// Back to the explorer. Writing pauses: it would slow down what is looked at there.
pub fn leave(app: &mut App) {
    if app.generate.writing() {
        send(app, GenerateCommand::Pause);
    }
    crate::screen::train::run::course::leave(app);
}

/// Tells the engine something about the text, if there is one.
pub fn send(app: &mut App, command: GenerateCommand) {
    if app.generate.told.is_none() {
        start(app);
    }
    app.generate.failure = None;
    app.emit(Request::Command(Command::Generate(command)));
}

/// What happens to a masked token while text is written. Where `hide` only stands in for what scope `block` cannot do,
/// and for what cannot be done to a token that was read, its keys and values leave the cache.
pub fn op(app: &App) -> Op {
    let doc = &app.doc;
    let stands_in = doc.mask.op == Op::Hide && doc.set_aside.is_some();
    if stands_in { Op::Evict } else { doc.mask.op }
}

fn mask(app: &App) -> Option<GenerateMask> {
    let doc = &app.doc;
    app.generate.compare.then(|| GenerateMask {
        mask: MaskSettings { op: op(app), ..doc.mask.clone() },
        score: doc.score.clone(),
        rolling: doc.rolling.clone().settled(),
    })
}

fn begin(app: &mut App, prompt: Prompt) {
    if app.model.is_none() {
        return app.say("There is no model yet to write with");
    }
    let request = GenerateRequest {
        prompt,
        settings: app.doc.generate.clone(),
        mask: mask(app),
        top: app.options.settings.explore.top,
    };
    app.generate.begin(request.clone());
    app.emit(Request::Command(Command::Generate(GenerateCommand::Start(Box::new(request)))));
}

/// Starts from the explorer's text.
pub fn start(app: &mut App) {
    let text = app.doc.editor.text().clone();
    begin(app, Prompt::Text(text));
}

fn dialogue(app: &mut App) {
    begin(app, Prompt::Dialogue);
    app.focus(&turn::PANE);
    app.say("Say something; Enter sends it");
}

fn write(app: &mut App) {
    if app.generate.writing() {
        return send(app, GenerateCommand::Pause);
    }
    if app.generate.told.is_none() {
        start(app);
    }
    if app.generate.talks() && app.generate.tokens().is_empty() {
        app.focus(&turn::PANE);
        return app.say("Say something first; Enter sends it");
    }
    let ended = |c: &crate::engine::types::ContinuationView| c.end.is_some();
    if !app.generate.continuations().is_empty() && app.generate.continuations().iter().all(ended) {
        let why = app.generate.end().map_or("it has ended", |end| end.name());
        return app.say(format!(
            "Nothing more is written: {why}; strike out a token or take another to go on from there"
        ));
    }
    app.generate.at = None;
    send(app, GenerateCommand::Run);
}

fn travel(app: &mut App, back: bool) {
    let possible = if back { can_undo(app) } else { can_redo(app) };
    if !possible {
        return app.say(if back { "Nothing left to undo" } else { "Nothing left to redo" });
    }
    send(app, if back { GenerateCommand::Undo } else { GenerateCommand::Redo });
}

fn compare(app: &mut App) {
    app.generate.compare = !app.generate.compare;
    app.say(if app.generate.compare {
        "The text is written under the mask, too"
    } else {
        "The text is written without the mask only"
    });
}

/// Tells the engine what has changed since it was told last: how to draw, and the mask.
pub fn keep_up(app: &mut App) {
    if app.screen() != Screen::Generate {
        return;
    }
    let (drawing, mask) = (app.doc.generate.clone(), mask(app));
    let Some(told) = &mut app.generate.told else { return };
    let mut news = Vec::new();
    if told.settings != drawing {
        told.settings = drawing.clone();
        news.push(GenerateCommand::Settings(drawing));
    }
    if told.mask != mask {
        told.mask.clone_from(&mask);
        news.push(GenerateCommand::Mask(mask.map(Box::new)));
    }
    for command in news {
        send(app, command);
    }
}

/// Another layer or head for the attention shown; past the last one comes the mean.
fn turn_heads(app: &mut App, layers: bool, by: i64) {
    let Some(model) = &app.model else { return };
    let HeadChoice { layer, head } = app.generate.heads;
    let step = |now: Option<usize>, n: usize| {
        // The mean is one more place.
        let next = (now.map_or(n, |i| i) as i64 + by).rem_euclid(n as i64 + 1) as usize;
        (next < n).then_some(next)
    };
    app.generate.heads = if layers {
        HeadChoice { layer: step(layer, model.n_layer), head }
    } else {
        HeadChoice { layer, head: step(head, model.n_head) }
    };
}
