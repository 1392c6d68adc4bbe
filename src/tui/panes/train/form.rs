//! The form of a run: one line a setting, with the doc or the problem of the one that is changed below.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::state::{App, Pane};
use crate::app::train::Field;
use crate::support::visible::width;
use crate::tui::canvas::Canvas;
use crate::tui::panes::Piece;
use crate::tui::theme::Role;

/// Columns of the name.
const NAME: u16 = 17;
/// Columns a track needs to be of use.
const TRACK: u16 = 8;
/// Columns of a number before its track.
const VALUE: u16 = 9;

/// Lines for settings; the rest explains.
pub fn rows(area: Rect) -> u16 {
    area.height.saturating_sub(footer(area)).max(1)
}

fn footer(area: Rect) -> u16 {
    if area.height >= 8 { 3 } else { 0 }
}

/// The setting at a line of the screen.
pub fn field_at(app: &App, area: Rect, y: u16) -> Option<Field> {
    let line = y.checked_sub(area.y).filter(|l| *l < rows(area))? as usize;
    app.doc.form.shown().get(app.train.field_top + line).copied()
}

/// First column and width of the tracks.
fn track(area: Rect) -> (u16, u16) {
    let x = area.x + NAME + VALUE + 1;
    (x.min(area.right()), area.right().saturating_sub(x + 1))
}

/// The place on the track at a column, if it is on one.
pub fn fraction_at(app: &App, area: Rect, field: Field, x: u16) -> Option<f64> {
    let (left, w) = track(area);
    app.doc.form.fraction(field)?;
    (w >= TRACK && x + 1 >= left && x <= left + w)
        .then(|| f64::from(x.saturating_sub(left)) / f64::from(w.max(2) - 1))
}

pub fn subtitle(app: &App) -> Vec<Piece> {
    let model = app.train.followed.as_deref().or(app.model.as_ref().map(|m| m.id.as_str()));
    model.map(|m| Piece::new(m, Role::Dim)).into_iter().collect()
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let shown = app.doc.form.shown();
    let visible = rows(area) as usize;
    for (i, field) in shown.iter().skip(app.train.field_top).take(visible).enumerate() {
        row(c, app, *field, Rect::new(area.x, area.y + i as u16, area.width, 1));
    }
    let style = c.style(Role::Accent);
    if app.train.field_top > 0 {
        c.put(area.right() - 1, area.y, "▲", style);
    }
    if app.train.field_top + visible < shown.len() {
        c.put(area.right() - 1, area.y + visible as u16 - 1, "▼", style);
    }
    explain(c, app, area);
}

fn row(c: &mut Canvas, app: &App, field: Field, area: Rect) {
    let current = app.train.field == field;
    let focused = app.view.focus == Pane::Setup;
    let bare = |style: Style| Style { bg: None, ..style };
    if current && focused {
        let style = c.theme.selected();
        c.restyle(area, style);
        c.put(area.x, area.y, "▸", style);
    }
    let name = bare(c.style(if current { Role::Strong } else { Role::Dim }));
    c.label(area.x + 1, area.y, field.label(), name, NAME - 2);
    let x = area.x + NAME;
    let room = area.right().saturating_sub(x + 1);
    let typing = app.train.typing.as_ref().filter(|t| t.field == Some(field));
    if let Some(typing) = typing {
        let style = bare(c.theme.bold(if typing.error.is_some() { Role::Bad } else { Role::Strong }));
        // The end is what is being typed: that must be in view.
        let typed: String = typing.typed.clone();
        let skip = width(&typed).saturating_sub(room as usize);
        let tail: String = typed.chars().skip(skip).collect();
        let end = c.text(x, area.y, &tail, style, room);
        c.caret = Some((end.min(area.right().saturating_sub(1)), area.y));
        return;
    }
    let value = app.doc.form.get(field);
    let strong = bare(c.style(Role::Strong));
    let faint = bare(c.style(if current && focused { Role::Accent } else { Role::Faint }));
    if !field.choices().is_empty() {
        let x = c.text(x, area.y, "‹ ", faint, room);
        let x = c.label(x, area.y, value, strong, area.right().saturating_sub(x + 3));
        c.text(x, area.y, " ›", faint, area.right().saturating_sub(x));
        return;
    }
    if value.is_empty() {
        let nothing = match field {
            Field::Validation => "last tenth of the data",
            Field::Minutes => "no limit",
            Field::Out => "a new one",
            _ => "–",
        };
        let dim = bare(c.style(Role::Dim));
        c.label(x, area.y, nothing, dim, room);
        return;
    }
    let (track_x, w) = track(area);
    match app.doc.form.fraction(field).filter(|_| w >= TRACK) {
        Some(at) => {
            c.label(x, area.y, value, strong, VALUE);
            let thumb = (at * f64::from(w - 1)).round() as u16;
            let (done, rest) = (bare(c.style(Role::Accent)), bare(c.style(Role::Faint)));
            c.line(track_x, area.y, if c.ascii() { "=" } else { "━" }, thumb, done);
            c.line(track_x + thumb + 1, area.y, "─", w - thumb - 1, rest);
            let knob = bare(c.theme.bold(Role::Strong));
            c.put(track_x + thumb, area.y, if c.ascii() { "O" } else { "●" }, knob);
        }
        None => {
            c.label(x, area.y, value, strong, room);
        }
    }
}

/// The explorer's policy in a few words.
fn policy(app: &App) -> String {
    let (m, s) = (&app.doc.mask, &app.doc.score);
    let (tau, p) = (m.threshold, m.probability);
    format!(
        "exactly what the explorer does: τ {tau:.3}, p {p:.3}, {}, {}, score {}",
        m.polarity, m.op, s.reduction
    )
}

/// The doc of the current setting, or what is wrong with what is typed, or what a path may go on to.
fn explain(c: &mut Canvas, app: &App, area: Rect) {
    let lines = footer(area);
    if lines == 0 {
        return;
    }
    let area = Rect { y: area.bottom() - lines, height: lines, ..area };
    let rule = c.style(Role::Border);
    c.line(area.x, area.y, "─", area.width, rule);
    let area = Rect { y: area.y + 1, height: lines - 1, ..area };
    let typing = app.train.typing.as_ref();
    if let Some(error) = typing.and_then(|t| t.error.as_ref()) {
        let style = c.style(Role::Bad);
        c.paragraph(area, error, style);
    } else if let Some(typing) = typing.filter(|t| !t.offers.is_empty()) {
        let start = typing.typed.rfind('/').map_or(0, |i| i + 1);
        let names: Vec<&str> = typing.offers.iter().map(|o| o.get(start..).unwrap_or(o)).collect();
        let style = c.style(Role::Accent);
        c.paragraph(area, &format!("tab: {}", names.join("  ")), style);
    } else if app.train.field == Field::Masking && app.doc.form.explorers_policy() {
        let style = c.style(Role::Dim);
        c.paragraph(area, &policy(app), style);
    } else {
        let style = c.style(Role::Dim);
        c.paragraph(area, app.train.field.doc(), style);
    }
}
