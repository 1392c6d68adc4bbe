//! Actions of the text editor.

use crate::app::actions::Verb;
use crate::app::editor::Motion;
use crate::app::state::{App, Effect, Pane};
use crate::app::update::{focus, news};
use crate::app::wrap;

/// Performs an editor action; says whether it was one.
pub fn perform(app: &mut App, verb: Verb) -> bool {
    if let Some((motion, extend)) = motion_of(verb) {
        let (columns, page) = (app.geometry.text_columns, app.geometry.text_rows);
        app.history.close();
        app.doc.editor.go(motion, extend, columns, page);
        follow_caret(app);
        return true;
    }
    match verb {
        Verb::LeaveText => leave(app),
        Verb::NewLine => {
            app.history.close();
            app.doc.editor.insert("\n");
            app.history.close();
        }
        Verb::SelectAll => app.doc.editor.select_all(),
        Verb::Paste => {
            let text = app.clipboard.clone();
            if text.is_empty() {
                app.say("Nothing was copied here yet; paste with the terminal's own key");
            }
            app.history.close();
            app.doc.editor.insert(&text);
        }
        Verb::Backspace => app.doc.editor.delete(Motion::Left),
        Verb::Delete => app.doc.editor.delete(Motion::Right),
        Verb::BackspaceWord => app.doc.editor.delete(Motion::WordLeft),
        Verb::DeleteWord => app.doc.editor.delete(Motion::WordRight),
        Verb::DeleteToStart => app.doc.editor.delete(Motion::Home),
        Verb::DeleteToEnd => app.doc.editor.delete(Motion::End),
        _ => return false,
    }
    true
}

/// One typed character; a new word is a new step of undo.
pub fn type_char(app: &mut App, c: char) {
    let caret = app.doc.editor.caret();
    let after_space = app.doc.editor.text()[..caret].ends_with(char::is_whitespace);
    if after_space && !c.is_whitespace() {
        app.history.close();
    }
    app.doc.editor.insert(c.encode_utf8(&mut [0; 4]));
}

/// Copies the selection; `cut` deletes it as well.
pub fn copy(app: &mut App, cut: bool) -> Vec<Effect> {
    let Some(text) = app.doc.editor.selected().map(str::to_owned) else {
        app.say("Nothing is selected: shift and the arrows select");
        return Vec::new();
    };
    app.say(format!("Copied {} characters", text.chars().count()));
    if cut {
        app.history.close();
        app.doc.editor.insert("");
    }
    app.clipboard.clone_from(&text);
    vec![Effect::Copy(text)]
}

/// Selects the word at a byte offset (double click).
pub fn select_word(app: &mut App, offset: usize) {
    let (columns, page) = (app.geometry.text_columns, app.geometry.text_rows);
    let editor = &mut app.doc.editor;
    editor.place(offset, false);
    editor.go(Motion::WordRight, false, columns, page);
    editor.go(Motion::WordLeft, false, columns, page);
    editor.go(Motion::WordRight, true, columns, page);
}

/// The token at the caret becomes the selected one.
pub fn follow_caret(app: &mut App) {
    if app.view.focus == Pane::Text {
        news::follow_caret(app);
    }
}

/// Moves the text under the frame, for reading; the caret stays where it is.
pub fn scroll(app: &mut App, lines: i64) {
    let columns = app.geometry.text_columns;
    let editor = &app.doc.editor;
    let rows = |line: usize| wrap::rows(editor.line(line), columns).len();
    let (mut line, mut row) = app.view.text_top;
    for _ in 0..lines.unsigned_abs() {
        if lines < 0 && row > 0 {
            row -= 1;
        } else if lines < 0 && line > 0 {
            line -= 1;
            row = rows(line) - 1;
        } else if lines > 0 && row + 1 < rows(line) {
            row += 1;
        } else if lines > 0 && line + 1 < editor.line_count() {
            (line, row) = (line + 1, 0);
        }
    }
    app.view.text_top = (line, row);
}

fn leave(app: &mut App) {
    if app.doc.editor.selection().is_some() {
        let caret = app.doc.editor.caret();
        app.doc.editor.place(caret, false);
        return;
    }
    let before = app.view.recent.iter().copied().find(|p| *p != Pane::Text).unwrap_or(Pane::Mask);
    focus(app, before);
}

fn motion_of(verb: Verb) -> Option<(Motion, bool)> {
    use Verb as V;
    Some(match verb {
        V::CaretLeft => (Motion::Left, false),
        V::CaretRight => (Motion::Right, false),
        V::CaretUp => (Motion::Up, false),
        V::CaretDown => (Motion::Down, false),
        V::CaretWordLeft => (Motion::WordLeft, false),
        V::CaretWordRight => (Motion::WordRight, false),
        V::CaretHome => (Motion::Home, false),
        V::CaretEnd => (Motion::End, false),
        V::CaretPageUp => (Motion::PageUp, false),
        V::CaretPageDown => (Motion::PageDown, false),
        V::CaretTop => (Motion::Top, false),
        V::CaretBottom => (Motion::Bottom, false),
        V::SelectLeft => (Motion::Left, true),
        V::SelectRight => (Motion::Right, true),
        V::SelectUp => (Motion::Up, true),
        V::SelectDown => (Motion::Down, true),
        V::SelectWordLeft => (Motion::WordLeft, true),
        V::SelectWordRight => (Motion::WordRight, true),
        V::SelectHome => (Motion::Home, true),
        V::SelectEnd => (Motion::End, true),
        _ => return None,
    })
}
