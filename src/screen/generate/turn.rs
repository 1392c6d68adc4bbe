//! What a person says in a dialogue.

use ratatui::layout::Rect;

use crate::engine::types::GenerateCommand;
use crate::screen::actions::{Context, actions};
use crate::screen::app::App;
use crate::screen::generate::course::{DIALOGUE, send};
use crate::screen::generate::story;
use crate::screen::pane::{BLANK, Pane, TitlePart};
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::{clusters, width};

/// A turn being typed.
pub const CONTEXT: Context = Context("Your turn");

pub static PANE: Pane = Pane {
    name: "turn",
    title: "Your turn",
    screen: Screen::Generate,
    context: |_| CONTEXT,
    actions: &[ACTIONS],
    subtitle,
    draw,
    takes: |_, _| true,
    typed: |app, c| app.generate.turn.push(c),
    paste: Some(|app, text| {
        app.generate.turn.push_str(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    }),
    ..BLANK
};

actions! {
    CONTEXT {
        /// Say what was typed; the model answers
        SAY ["enter"] "say it" => say;
        /// Delete the last character
        TURN_BACKSPACE ["backspace" "ctrl-h"] => backspace;
        /// Delete everything typed
        TURN_CLEAR ["ctrl-u"] => |app| app.generate.turn.clear();
        /// Back to the text, where letters are keys
        TURN_LEAVE ["esc"] "letters are keys" => |app| app.focus(&story::PANE);
    }
}

fn backspace(app: &mut App) {
    let last = clusters(&app.generate.turn).last().map_or(0, |c| c.len);
    let keep = app.generate.turn.len() - last;
    app.generate.turn.truncate(keep);
}

fn say(app: &mut App) {
    if app.generate.turn.trim().is_empty() {
        return app.say("Type something to say first");
    }
    if !app.generate.talks() {
        (DIALOGUE.run)(app);
    }
    let said = std::mem::take(&mut app.generate.turn);
    app.generate.at = None;
    send(app, GenerateCommand::Say(said.trim().to_owned()));
}

fn subtitle(app: &App) -> Vec<TitlePart> {
    let how = app.generate.view.as_ref().and_then(|view| view.dialogue.clone());
    how.map(|how| TitlePart::new(how, Role::Dim)).into_iter().collect()
}

fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let (dim, strong, accent) = (c.style(Role::Dim), c.style(Role::Strong), c.theme.bold(Role::Accent));
    let focused = app.view.focus == &PANE;
    if !focused && app.generate.turn.is_empty() {
        let text = if app.generate.talks() {
            "Come here to say something".to_owned()
        } else {
            format!("{} begins a dialogue: the model answers what you type here", app.key_label(&DIALOGUE))
        };
        c.paragraph(area, &text, dim);
        return;
    }
    let x = c.text(area.x, area.y, if c.ascii() { "> " } else { "▸ " }, accent, area.width);
    let room = area.right().saturating_sub(x + 1);
    // The end is what is being typed: that must be in view.
    let mut tail = app.generate.turn.as_str();
    while width(tail) > room as usize {
        let first = clusters(tail).next().map_or(tail.len(), |c| c.len);
        tail = &tail[first..];
    }
    let end = c.text(x, area.y, tail, strong, room);
    if focused {
        c.caret = Some((end.min(area.right()), area.y));
    }
}
