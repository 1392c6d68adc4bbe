//! The text editor: what its keys do.

use crate::app::actions::actions;
use crate::app::editor::Motion;
use crate::app::history::Kind;
use crate::app::state::{App, Effect, Pane};
use crate::app::update::news;
use crate::app::wrap;

actions! {
    Explore {
        /// Type in the text editor
        EDIT_TEXT ["i"] "edit text" if |app| app.view.focus != Pane::Text => |app| app.focus(Pane::Text);
    }
    Text {
        /// Go back to the pane you came from
        LEAVE_TEXT ["esc"] "done" => leave;
        /// Break the line
        NEW_LINE ["enter"] => new_line;
        /// Move one character left
        CARET_LEFT ["left"] => |app| go(app, Motion::Left, false);
        /// Move one character right
        CARET_RIGHT ["right"] => |app| go(app, Motion::Right, false);
        /// Move one line up
        CARET_UP ["up"] => |app| go(app, Motion::Up, false);
        /// Move one line down
        CARET_DOWN ["down"] => |app| go(app, Motion::Down, false);
        /// Move one word left
        CARET_WORD_LEFT ["ctrl-left" "alt-left" "alt-b"] => |app| go(app, Motion::WordLeft, false);
        /// Move one word right
        CARET_WORD_RIGHT ["ctrl-right" "alt-right" "alt-f"] => |app| go(app, Motion::WordRight, false);
        /// Move to the start of the line
        CARET_HOME ["home"] => |app| go(app, Motion::Home, false);
        /// Move to the end of the line
        CARET_END ["end" "ctrl-e"] => |app| go(app, Motion::End, false);
        /// Move one page up
        CARET_PAGE_UP ["pageup"] => |app| go(app, Motion::PageUp, false);
        /// Move one page down
        CARET_PAGE_DOWN ["pagedown"] => |app| go(app, Motion::PageDown, false);
        /// Move to the start of the text
        CARET_TOP ["ctrl-home"] => |app| go(app, Motion::Top, false);
        /// Move to the end of the text
        CARET_BOTTOM ["ctrl-end"] => |app| go(app, Motion::Bottom, false);
        /// Select one character left
        SELECT_LEFT ["shift-left"] => |app| go(app, Motion::Left, true);
        /// Select one character right
        SELECT_RIGHT ["shift-right"] => |app| go(app, Motion::Right, true);
        /// Select one line up
        SELECT_UP ["shift-up"] => |app| go(app, Motion::Up, true);
        /// Select one line down
        SELECT_DOWN ["shift-down"] => |app| go(app, Motion::Down, true);
        /// Select one word left
        SELECT_WORD_LEFT ["ctrl-shift-left"] => |app| go(app, Motion::WordLeft, true);
        /// Select one word right
        SELECT_WORD_RIGHT ["ctrl-shift-right"] => |app| go(app, Motion::WordRight, true);
        /// Select to the start of the line
        SELECT_HOME ["shift-home"] => |app| go(app, Motion::Home, true);
        /// Select to the end of the line
        SELECT_END ["shift-end"] => |app| go(app, Motion::End, true);
        /// Select the whole text
        SELECT_ALL ["ctrl-a"] "select all" => |app| app.doc.editor.select_all();
        /// Copy the selection to the clipboard (OSC 52)
        COPY ["alt-c" "ctrl-insert"] "copy" if selected => |app| copy(app, false);
        /// Cut the selection to the clipboard
        CUT ["ctrl-x"] if selected => |app| copy(app, true);
        /// Paste what was last copied or cut here
        PASTE ["ctrl-v"] => paste;
        /// Delete the character before the caret
        BACKSPACE ["backspace" "ctrl-h"] => |app| delete_one(app, Motion::Left);
        /// Delete the character after the caret
        DELETE ["delete" "ctrl-d"] => |app| delete_one(app, Motion::Right);
        /// Delete the word before the caret
        BACKSPACE_WORD ["ctrl-w" "alt-backspace" "ctrl-backspace"] =>
            |app| app.doc.editor.delete(Motion::WordLeft);
        /// Delete the word after the caret
        DELETE_WORD ["alt-d" "ctrl-delete"] => |app| app.doc.editor.delete(Motion::WordRight);
        /// Delete to the start of the line
        DELETE_TO_START ["ctrl-u"] "clear line" => |app| app.doc.editor.delete(Motion::Home);
        /// Delete to the end of the line
        DELETE_TO_END ["ctrl-k"] => |app| app.doc.editor.delete(Motion::End);
    }
}

/// Columns and rows of the pane; those of a small one while it is not on screen.
fn room(app: &App) -> (usize, usize) {
    app.geometry().text.unwrap_or((78, 3))
}

/// Moves the caret; `extend` selects on the way.
fn go(app: &mut App, motion: Motion, extend: bool) {
    let (columns, page) = room(app);
    app.history.close();
    app.doc.editor.go(motion, extend, columns, page);
    follow_caret(app);
}

fn new_line(app: &mut App) {
    app.history.close();
    app.doc.editor.insert("\n");
    app.history.close();
}

fn paste(app: &mut App) {
    let text = app.clipboard.clone();
    if text.is_empty() {
        app.say("Nothing was copied here yet; paste with the terminal's own key");
    }
    app.history.close();
    app.doc.editor.insert(&text);
}

/// Characters deleted one after another are one step of undo.
fn delete_one(app: &mut App, motion: Motion) {
    app.history.joins(Kind::Deleting);
    app.doc.editor.delete(motion);
}

fn selected(app: &App) -> bool {
    app.doc.editor.selection().is_some()
}

/// One typed character; a new word is a new step of undo.
pub fn type_char(app: &mut App, c: char) {
    let caret = app.doc.editor.caret();
    let after_space = app.doc.editor.text()[..caret].ends_with(char::is_whitespace);
    if after_space && !c.is_whitespace() {
        app.history.close();
    }
    app.history.joins(Kind::Typing);
    app.doc.editor.insert(c.encode_utf8(&mut [0; 4]));
}

/// Characters that came at once; a single one is as typed.
pub fn type_run(app: &mut App, s: &str) {
    let mut chars = s.chars();
    match (chars.next(), chars.next()) {
        (Some('\n'), None) => new_line(app),
        (Some(c), None) => type_char(app, c),
        _ => {
            app.history.joins(Kind::Typing);
            app.doc.editor.insert(s);
        }
    }
}

/// Puts the caret at a byte offset; `extend` selects up to there.
pub fn place(app: &mut App, offset: usize, extend: bool) {
    app.history.close();
    app.doc.editor.place(offset, extend);
    follow_caret(app);
}

/// Copies the selection; `cut` deletes it as well.
fn copy(app: &mut App, cut: bool) {
    let Some(text) = app.doc.editor.selected().map(str::to_owned) else {
        app.say("Nothing is selected: shift and the arrows select");
        return;
    };
    app.say(format!("Copied {} characters", text.chars().count()));
    if cut {
        app.history.close();
        app.doc.editor.insert("");
    }
    app.clipboard.clone_from(&text);
    app.emit(Effect::Copy(text));
}

/// Selects the word at a byte offset (double click).
pub fn select_word(app: &mut App, offset: usize) {
    let (columns, page) = room(app);
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

/// Moves the text under the frame, for reading; while one types, the caret moves.
pub fn scroll(app: &mut App, lines: i64) {
    if app.view.focus == Pane::Text {
        let motion = if lines < 0 { Motion::Up } else { Motion::Down };
        let (columns, _) = room(app);
        for _ in 0..lines.unsigned_abs() {
            app.doc.editor.go(motion, false, columns, 1);
        }
        return;
    }
    let (columns, _) = room(app);
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
    app.focus(before);
}
