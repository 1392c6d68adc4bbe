//! The text editor.

use ratatui::layout::Rect;

use crate::app::state::{App, Pane};
use crate::app::update::text::EDIT_TEXT;
use crate::app::wrap;
use crate::support::visible::clusters;
use crate::tui::canvas::Canvas;
use crate::tui::panes::Piece;
use crate::tui::theme::Role;

/// A row of the text on screen: hard line, and the bytes of the whole text it shows.
pub struct Row {
    pub line: usize,
    pub bytes: std::ops::Range<usize>,
}

/// The rows on screen, from the scroll position on.
pub fn rows(app: &App, area: Rect) -> Vec<Row> {
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
            out.push(Row { line, bytes: start + r.start..start + r.end });
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

pub fn subtitle(app: &App) -> Vec<Piece> {
    let editor = &app.doc.editor;
    let mut out = Vec::new();
    if let Some(selected) = editor.selected() {
        out.push(Piece::new(format!("{} selected", selected.chars().count()), Role::Accent));
    }
    let line = editor.line_of(editor.caret());
    if editor.line_count() > 1 {
        out.push(Piece::new(format!("line {} of {}", line + 1, editor.line_count()), Role::Dim));
    }
    if let Some(used) = app.results.truncated {
        out.push(Piece::new(format!("the model's context is full: {used} tokens left out"), Role::Warn));
    }
    out
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let editor = &app.doc.editor;
    if editor.text().is_empty() {
        let key = app.key_label(&EDIT_TEXT);
        let say = if app.view.focus == Pane::Text {
            "Type here, or paste: every keystroke goes through the model".to_owned()
        } else {
            format!("Press {key} and type, or paste a text: every keystroke goes through the model")
        };
        let style = c.style(Role::Dim);
        c.label(area.x, area.y, &say, style, area.width);
    }
    let selection = editor.selection().unwrap_or(0..0);
    let (plain, marked) = (c.style(Role::Text), c.theme.marked());
    for (i, row) in rows(app, area).iter().enumerate() {
        let y = area.y + i as u16;
        let mut x = area.x;
        for cluster in clusters(&editor.text()[row.bytes.clone()]) {
            let inside = selection.contains(&(row.bytes.start + cluster.offset));
            let style = if inside { marked } else { plain };
            x = c.text(x, y, &cluster.text, style, area.right().saturating_sub(x));
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

fn caret(c: &mut Canvas, app: &App, row: &Row, area: Rect, y: u16) {
    let editor = &app.doc.editor;
    let at = editor.caret();
    let start = editor.line_start(row.line);
    let ends_line = row.bytes.end == start + editor.line(row.line).len();
    let here = row.bytes.contains(&at) || (ends_line && at == row.bytes.end);
    if app.view.focus != Pane::Text || !here || app.popup.is_some() {
        return;
    }
    let columns: usize = clusters(&editor.text()[row.bytes.start..at]).map(|g| g.width).sum();
    c.caret = Some(((area.x + columns as u16).min(area.right().saturating_sub(1)), y));
}
