//! Questions on top of the screen: what they ask, and what the answer does.

use std::path::PathBuf;

use ratatui::layout::Rect;

use crate::engine::types::TrainCommand;
use crate::screen::actions::{ASK, actions};
use crate::screen::app::{App, Request};
use crate::screen::popups::{Popup, open, over};
use crate::screen::train::run::course;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::train::report::RunCommand;

/// A question on screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// End the run without saving.
    Kill,
    /// Leave although a run is in progress.
    Quit,
    Delete(PathBuf),
}

actions! {
    ASK {
        /// Do it
        ASK_YES ["enter" "y"] "yes" => |app| answer(app, true);
        /// Leave everything as it is
        ASK_NO ["esc" "n" "q"] "no" => |app| answer(app, false);
    }
}

fn answer(app: &mut App, yes: bool) {
    let Some(Popup::Ask(question)) = app.popup.take().filter(|_| yes) else { return };
    match question {
        Question::Kill => course::send(app, RunCommand::Kill),
        Question::Quit => {
            app.train.leaving = true;
            app.say("Leaving as soon as the run has saved");
            course::send(app, if course::goes_on(app) { RunCommand::Stop } else { RunCommand::Kill });
        }
        Question::Delete(run) => {
            app.train.runs.curves.remove(&run);
            app.emit(Request::Train(TrainCommand::Delete { run, folder: app.options.runs.clone() }));
        }
    }
}

/// A question, what either answer does, and the keys.
pub fn draw(c: &mut Canvas, app: &App, area: Rect, question: &Question) {
    let (title, text, yes, no) = match question {
        Question::Kill => (
            "Kill the run",
            match app.train.run.as_ref().and_then(|run| run.saved.as_ref()) {
                Some((step, _)) => {
                    format!("Nothing more is saved: what was learned since step {step} is lost")
                }
                None => {
                    "Nothing is saved yet: its folder keeps the records of the run, and no weights".to_owned()
                }
            },
            "kill it",
            "keep running",
        ),
        Question::Quit => (
            "Leave",
            "A run is in progress. It will finish its step and save; then the program exits".to_owned(),
            "stop, save, leave",
            "stay",
        ),
        Question::Delete(run) => (
            "Delete a run",
            format!("All checkpoints and records in {} will be deleted", run.display()),
            "delete",
            "keep it",
        ),
    };
    let inner = open(c, area, title, "");
    let base = c.theme.popup();
    let (key, dim, strong) = (
        over(base, c.theme.bold(Role::Accent)),
        over(base, c.style(Role::Dim)),
        over(base, c.style(Role::Strong)),
    );
    c.paragraph(Rect { height: inner.height.saturating_sub(2), ..inner }, &text, strong);
    let (y, n) = (app.key_label(&ASK_YES), app.key_label(&ASK_NO));
    let pieces = [(y.as_str(), key), (" ", dim), (yes, dim), ("   ", dim), (&n, key), (" ", dim), (no, dim)];
    c.spans(inner.x, inner.bottom().saturating_sub(1), &pieces, inner.right());
}
