//! The text: typing, selecting, copying, and how it wraps.

pub mod editor;
pub mod wrap;

use ratatui::layout::Rect;
use ratatui::style::Modifier;

use crate::mask::types::Scope;
use crate::screen::actions::{Context, EXPLORER, actions};
use crate::screen::app::{App, Request};
use crate::screen::explore::mask::settings::SCOPE;
use crate::screen::explore::text::editor::{Editor, Motion};
use crate::screen::explore::{explain, mask};
use crate::screen::history::EditKind;
use crate::screen::news;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::clusters;

/// The editor.
pub const CONTEXT: Context = Context("Text");

pub static PANE: Pane = Pane {
    name: "text",
    title: "Text",
    context: |_| CONTEXT,
    actions: &[ACTIONS],
    subtitle,
    draw,
    explain: explain::of_text,
    settle,
    takes: |_, _| true,
    typed: type_char,
    press,
    focuses: true,
    wheel: Some(|app, _, wheel| app.act(|app| scroll(app, wheel.by))),
    ..BLANK
};

actions! {
    EXPLORER {
        /// Type in the text editor
        EDIT_TEXT ["i"] "edit text" if |app| app.view.focus != &PANE => |app| app.focus(&PANE);
    }
    CONTEXT {
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
        /// Open the example text; undo brings yours back
        EXAMPLE_TEXT ["alt-e"] => example;
    }
}

/// Columns and rows of the pane; those of a small one while it is not on screen.
fn room(app: &App) -> (usize, usize) {
    app.area(&PANE).map_or((78, 3), |area| (area.width as usize, area.height as usize))
}

/// Moves the caret; `extend` selects on the way.
fn go(app: &mut App, motion: Motion, extend: bool) {
    let (columns, page) = room(app);
    app.history.close();
    app.doc.editor.go(motion, extend, columns, page);
    follow_caret(app);
}

/// The text that the settings name, in place of what is open.
fn example(app: &mut App) {
    app.history.close();
    app.doc.editor = Editor::new(&app.options.settings.explore.text);
    app.history.close();
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
    app.history.joins(EditKind::Deleting);
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
    app.history.joins(EditKind::Typing);
    app.doc.editor.insert(c.encode_utf8(&mut [0; 4]));
}

/// Characters that came at once; a single one is as typed.
pub fn type_run(app: &mut App, s: &str) {
    let mut chars = s.chars();
    match (chars.next(), chars.next()) {
        (Some('\n'), None) => new_line(app),
        (Some(c), None) => type_char(app, c),
        _ => {
            app.history.joins(EditKind::Typing);
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
    app.emit(Request::Copy(text));
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
    if app.view.focus == &PANE {
        news::follow_caret(app);
    }
}

/// Moves the text under the frame, for reading; while one types, the caret moves.
pub fn scroll(app: &mut App, lines: i64) {
    if app.view.focus == &PANE {
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
    let before = app.view.recent.iter().copied().find(|p| *p != &PANE).unwrap_or(&mask::PANE);
    app.focus(before);
}

/// A row of the text on screen: hard line, and the bytes of the whole text it shows.
pub struct TextRow {
    pub line: usize,
    pub bytes: std::ops::Range<usize>,
}

/// The rows on screen, from the scroll position on.
pub fn rows(app: &App, area: Rect) -> Vec<TextRow> {
    let editor = &app.doc.editor;
    let (first, skip) = app.view.text_top;
    let mut out = Vec::new();
    for line in first..editor.line_count() {
        let start = editor.line_start(line);
        let skip = if line == first { skip } else { 0 };
        for r in wrap::rows(editor.line(line), area.width as usize).into_iter().skip(skip) {
            if out.len() >= area.height as usize {
                return out;
            }
            out.push(TextRow { line, bytes: start + r.start..start + r.end });
        }
    }
    out
}

/// The byte offset at a cell of the screen.
pub fn offset_at(app: &App, area: Rect, x: u16, y: u16) -> usize {
    let editor = &app.doc.editor;
    let rows = rows(app, area);
    let Some(row) = rows.get(y.saturating_sub(area.y) as usize).or(rows.last()) else {
        return editor.text().len();
    };
    let start = editor.line_start(row.line);
    let line = editor.line(row.line);
    let range = row.bytes.start - start..row.bytes.end - start;
    start + wrap::offset_at(line, &range, x.saturating_sub(area.x) as usize, range.end == line.len())
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let editor = &app.doc.editor;
    let mut out = vec![how_to_write(app)];
    if let Some(selected) = editor.selected() {
        out.push(TitlePart::new(format!("{} selected", selected.chars().count()), Role::Accent));
    }
    let line = editor.line_of(editor.caret());
    if editor.line_count() > 1 {
        out.push(TitlePart::new(format!("line {} of {}", line + 1, editor.line_count()), Role::Dim));
    }
    if let Some(left_out) = app.results.truncated {
        let offer = match app.doc.mask.scope {
            Scope::Whole => format!("; {} reads on, block by block", app.key_label(&SCOPE)),
            Scope::Block => String::new(),
        };
        let read = app.results.len();
        let text = format!("{read} tokens are read, {left_out} do not fit the context{offer}");
        // Before how to write: this is what is news.
        out.insert(0, TitlePart::new(text, Role::Warn));
    }
    out
}

/// The byte from which on the text is not read, where it is longer than the context.
fn border(app: &App) -> Option<usize> {
    app.results.truncated?;
    let tokens = app.results.tokens.as_ref().filter(|t| t.generation >= app.text_since)?;
    tokens.value.last().map(|token| token.span.1)
}

/// How to write here; or, while the letters go into the text, how to get the other keys back.
fn how_to_write(app: &App) -> TitlePart {
    if app.view.focus == &PANE {
        let keys = app.key_label(&LEAVE_TEXT);
        TitlePart::new(format!("you are writing here; {keys} makes letters keys again"), Role::Accent)
    } else {
        TitlePart::new(format!("{} or a click: write here", app.key_label(&EDIT_TEXT)), Role::Dim)
    }
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let editor = &app.doc.editor;
    if editor.text().is_empty() {
        let key = app.key_label(&EDIT_TEXT);
        let say = if app.view.focus == &PANE {
            "Type here, or paste: every keystroke goes through the model".to_owned()
        } else {
            format!("Press {key} and type, or paste a text: every keystroke goes through the model")
        };
        let style = c.style(Role::Dim);
        c.label(area.x, area.y, &say, style, area.width);
    }
    let selection = editor.selection().unwrap_or(0..0);
    let (plain, marked) = (c.style(Role::Text), c.theme.marked());
    let border = border(app).unwrap_or(usize::MAX);
    let (unread, edge) = (c.style(Role::Faint), c.theme.bold(Role::Warn).add_modifier(Modifier::UNDERLINED));
    for (i, row) in rows(app, area).iter().enumerate() {
        let y = area.y + i as u16;
        let mut x = area.x;
        for cluster in clusters(&editor.text()[row.bytes.clone()]) {
            let inside = selection.contains(&(row.bytes.start + cluster.offset));
            let at = row.bytes.start + cluster.offset;
            let style = match (inside, at) {
                (true, _) => marked,
                (_, at) if at < border => plain,
                (_, at) if at == border => edge,
                _ => unread,
            };
            // Most tokens begin with a space: there the border has a place of its own.
            let bar = at == border && cluster.text == " ";
            let symbol = if bar { if c.ascii() { "|" } else { "┃" } } else { &cluster.text };
            x = c.text(x, y, symbol, style, area.right().saturating_sub(x));
        }
        // A selected line break would otherwise be invisible.
        if selection.contains(&row.bytes.end)
            && editor.text()[row.bytes.end..].starts_with('\n')
            && x < area.right()
        {
            c.put(x, y, " ", marked);
        }
        caret(c, app, row, area, y);
    }
}

fn caret(c: &mut Canvas, app: &App, row: &TextRow, area: Rect, y: u16) {
    let editor = &app.doc.editor;
    let at = editor.caret();
    let start = editor.line_start(row.line);
    let ends_line = row.bytes.end == start + editor.line(row.line).len();
    let here = row.bytes.contains(&at) || (ends_line && at == row.bytes.end);
    if app.view.focus != &PANE || !here || app.popup.is_some() {
        return;
    }
    let columns: usize = clusters(&editor.text()[row.bytes.start..at]).map(|g| g.width).sum();
    c.caret = Some(((area.x + columns as u16).min(area.right().saturating_sub(1)), y));
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let offset = offset_at(app, area, press.x, press.y);
    app.act(|app| {
        app.focus(&PANE);
        if press.double {
            select_word(app, offset);
        } else {
            place(app, offset, press.shift);
        }
    });
    Some(Box::new(|app, area, (x, y)| {
        let offset = offset_at(app, area, x, y);
        app.act(|app| place(app, offset, true));
    }))
}

fn settle(app: &mut App, area: Option<Rect>) {
    let Some(room) = area.map(|area| (area.width as usize, area.height as usize)) else { return };
    let last = last_top(&app.doc.editor, room);
    if app.view.focus != &PANE {
        // Reading, not typing: the caret need not be in view, but the text must be.
        app.view.text_top = app.view.text_top.min(last);
        return;
    }
    let editor = &app.doc.editor;
    let line = editor.line_of(editor.caret());
    let rows = wrap::rows(editor.line(line), room.0);
    let here = (line, wrap::locate(editor.line(line), &rows, editor.caret() - editor.line_start(line)).0);
    // The lowest top that still shows the caret; and where the pane grew, no empty rows below the text.
    let top = top_above(editor, here, room);
    app.view.text_top = app.view.text_top.clamp(top, here).min(last);
}

/// The top that shows the end of the text in the pane's last row.
fn last_top(editor: &Editor, room: (usize, usize)) -> (usize, usize) {
    let line = editor.line_count() - 1;
    let rows = wrap::rows(editor.line(line), room.0).len();
    top_above(editor, (line, rows.saturating_sub(1)), room)
}

/// The row that is at the top where `row` (line, and row within it) is at the bottom of the pane.
fn top_above(editor: &Editor, row: (usize, usize), (columns, height): (usize, usize)) -> (usize, usize) {
    let (mut top, mut left) = (row, height.max(1) - 1);
    while left > 0 {
        if top.1 > 0 {
            let step = top.1.min(left);
            top.1 -= step;
            left -= step;
        } else if top.0 > 0 {
            top.0 -= 1;
            top.1 = wrap::rows(editor.line(top.0), columns).len() - 1;
            left -= 1;
        } else {
            break;
        }
    }
    top
}

/// Inserts text that was pasted outside of any field, as a step of undo of its own.
pub fn insert(app: &mut App, text: &str) {
    app.focus(&PANE);
    app.history.close();
    app.doc.editor.insert(text);
    app.history.close();
}

#[cfg(test)]
mod tests;
