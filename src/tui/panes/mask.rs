//! The settings: two sliders, choices, and what they amount to. The one list where everything about the mask is changed.

use ratatui::layout::Rect;

use crate::app::params::{self, Kind, ParamId};
use crate::app::rates;
use crate::app::state::{App, Pane};
use crate::app::update::settings::{MIX, REROLL};
use crate::mask::presets::Budget;
use crate::mask::rolling::Policy;
use crate::mask::types::Scope;
use crate::tui::canvas::Canvas;
use crate::tui::panes::{Piece, share};
use crate::tui::theme::Role;

/// Columns of the name, and of a slider's number.
const NAME: u16 = 15;
const VALUE: u16 = 7;

/// Lines for settings; the rest says what they amount to.
pub fn rows(area: Rect) -> u16 {
    area.height.saturating_sub(footer(area)).max(1)
}

fn footer(area: Rect) -> u16 {
    match area.height {
        0..=5 => 0,
        6..=9 => 1,
        _ => 2,
    }
}

/// The setting at a line of the screen.
pub fn item_at(app: &App, area: Rect, y: u16) -> Option<ParamId> {
    let line = y.checked_sub(area.y).filter(|l| *l < rows(area))? as usize;
    params::shown(&app.doc).get(app.view.item_top + line).copied()
}

/// First column and width of the sliders' track.
pub fn track(area: Rect) -> (u16, u16) {
    let x = area.x + NAME + VALUE + 2;
    (x.min(area.right()), area.right().saturating_sub(x + 1))
}

/// The place on the track at a column, 0..1; columns beyond its ends count as the ends.
pub fn fraction_at(area: Rect, x: u16) -> f64 {
    let (left, width) = track(area);
    f64::from(x.saturating_sub(left)) / f64::from(width.max(2) - 1)
}

/// Whether a column is on the track.
pub fn on_track(area: Rect, x: u16) -> bool {
    let (left, width) = track(area);
    x + 1 >= left && x <= left + width
}

pub fn subtitle(app: &App) -> Vec<Piece> {
    let mut out = Vec::new();
    if app.doc.mask.scope == Scope::Whole {
        out.push(Piece::new("whole: look-ahead", Role::Dim));
    } else {
        out.push(Piece::new("block: past only", Role::Dim));
    }
    out
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let shown = params::shown(&app.doc);
    let visible = rows(area) as usize;
    for (i, id) in shown.iter().skip(app.view.item_top).take(visible).enumerate() {
        row(c, app, *id, Rect::new(area.x, area.y + i as u16, area.width, 1));
    }
    let style = c.style(Role::Accent);
    if app.view.item_top > 0 {
        c.put(area.right() - 1, area.y, "▲", style);
    }
    if app.view.item_top + visible < shown.len() {
        c.put(area.right() - 1, area.y + visible as u16 - 1, "▼", style);
    }
    summary(c, app, area);
}

fn row(c: &mut Canvas, app: &App, id: ParamId, area: Rect) {
    let p = params::param(&app.doc, id);
    let focused = matches!(app.view.focus, Pane::Mask | Pane::Scores);
    let current = app.view.item == id;
    let typing = app.entry.as_ref().filter(|e| e.param == id);
    if current && focused {
        let style = c.theme.selected();
        c.restyle(area, style);
        c.put(area.x, area.y, "▸", style);
    }
    let over = |style: ratatui::style::Style| {
        // The row's background stays; only the writing changes.
        ratatui::style::Style { bg: None, ..style }
    };
    let name = over(c.style(if current { Role::Strong } else { Role::Dim }));
    let mut x = area.x + 1;
    if !p.symbol.is_empty() {
        let symbol = over(c.theme.bold(Role::Accent));
        x = c.text(x, area.y, p.symbol, symbol, 2) + 1;
    }
    c.label(x, area.y, p.name, name, (area.x + NAME).saturating_sub(x));
    let value_x = area.x + NAME;
    if let Some(entry) = typing {
        let style = over(c.theme.bold(if entry.error.is_some() { Role::Bad } else { Role::Strong }));
        let end = c.text(value_x, area.y, &entry.typed, style, area.right().saturating_sub(value_x + 1));
        c.caret = Some((end.min(area.right().saturating_sub(1)), area.y));
        return;
    }
    let mut value = params::text(&app.doc, &app.options, id);
    if id == ParamId::Preset && app.doc.preset(&app.options).is_none() {
        // With only the sliders moved it is still that preset, and says so.
        value = app.doc.nearest_preset(&app.options).map_or(value, |p| format!("{p}, moved"));
    }
    match p.kind {
        Kind::Slider { .. } => slider(c, app, id, &value, area),
        Kind::Choice(_) => {
            let arrows = over(c.style(if current && focused { Role::Accent } else { Role::Faint }));
            let style = over(c.style(Role::Strong));
            c.spans(value_x, area.y, &[("‹ ", arrows), (&value, style), (" ›", arrows)], area.right());
        }
        Kind::Toggle => {
            let on = value == "on";
            let style = over(c.style(if on { Role::Strong } else { Role::Dim }));
            let mark = if on { "● " } else { "○ " };
            let mark_style = over(c.style(if on { Role::Accent } else { Role::Dim }));
            c.spans(value_x, area.y, &[(mark, mark_style), (&value, style)], area.right());
        }
        Kind::Mix => {
            let style = over(c.style(if app.doc.mask.mix.is_some() { Role::Strong } else { Role::Dim }));
            let end = c.label(value_x, area.y, &value, style, area.right().saturating_sub(value_x));
            let hint = format!("  {} edits", app.key_label(&MIX));
            let faint = over(c.style(Role::Faint));
            c.text(end, area.y, &hint, faint, area.right().saturating_sub(end));
        }
        Kind::Typed => {
            let style = over(c.style(Role::Strong));
            let end = c.label(value_x, area.y, &value, style, area.right().saturating_sub(value_x));
            if id == ParamId::Seed {
                let hint = over(c.style(Role::Faint));
                let hint_text = format!("  {} re-rolls", app.key_label(&REROLL));
                c.text(end, area.y, &hint_text, hint, area.right().saturating_sub(end));
            }
        }
    }
}

fn slider(c: &mut Canvas, app: &App, id: ParamId, value: &str, area: Rect) {
    let bare = |style: ratatui::style::Style| ratatui::style::Style { bg: None, ..style };
    let y = area.y;
    let number = bare(c.theme.bold(Role::Strong));
    c.right(area.x + NAME, area.x + NAME + VALUE, y, value, number);
    let (x, width) = track(area);
    if width < 3 {
        return;
    }
    let at = params::fraction(&app.doc, id).unwrap_or(0.0);
    let thumb = (at * f64::from(width - 1)).round() as u16;
    let (done, rest) = (bare(c.style(Role::Accent)), bare(c.style(Role::Faint)));
    c.line(x, y, if c.ascii() { "=" } else { "━" }, thumb, done);
    c.line(x + thumb + 1, y, "─", width - thumb - 1, rest);
    let knob = bare(c.theme.bold(Role::Strong));
    c.put(x + thumb, y, if c.ascii() { "O" } else { "●" }, knob);
}

/// What the settings amount to: expected and realised rate; or what is wrong with what is being typed.
fn summary(c: &mut Canvas, app: &App, area: Rect) {
    let lines = footer(area);
    if lines == 0 {
        return;
    }
    let y = area.bottom() - 1;
    if let Some(error) = app.entry.as_ref().and_then(|e| e.error.as_ref()) {
        let style = c.style(Role::Bad);
        c.label(area.x, y, error, style, area.width);
        return;
    }
    if app.entry.is_some() {
        let style = c.style(Role::Dim);
        let doc = params::param(&app.doc, app.view.item).doc;
        c.label(area.x, y, doc, style, area.width);
        return;
    }
    let decision = app.results.decision();
    let expected = rates::expected(&app.doc.mask, decision);
    let realised = decision.map(crate::mask::types::Decision::rate);
    let (dim, strong, masked) = (c.style(Role::Dim), c.style(Role::Strong), c.theme.bold(Role::Masked));
    let short = |x: f64| share(x).replace(' ', "");
    let (e, r) = (short(expected), realised.map_or("–".to_owned(), short));
    let count = decision.map_or_else(String::new, |d| format!(" {}/{}", d.selected, d.eligible));
    let (what, e) = match app.doc.rolling.policy {
        Policy::Preset(_, Budget::Share(kept)) if params::by_budget(&app.doc) => ("keeps ", short(kept)),
        _ => ("expected ", e),
    };
    // A budget is about what stays: what the cache holds stands beside it, not what left.
    let holds =
        app.results.decided.as_ref().and_then(|d| d.value.window.as_ref()).map(|w| short(w.cache_share));
    let (was, r) = match holds.filter(|_| params::by_budget(&app.doc)) {
        Some(holds) => ("  holds ", holds),
        None => ("  realised ", r),
    };
    c.spans(area.x, y, &[(what, dim), (&e, strong), (was, dim), (&r, masked), (&count, dim)], area.right());
    if lines > 1 {
        let expected = if params::by_budget(&app.doc) { None } else { Some(expected) };
        gauge(c, area, y - 1, expected, realised.unwrap_or(0.0));
    }
}

/// Realised rate as a bar, the expected one as a mark on it.
fn gauge(c: &mut Canvas, area: Rect, y: u16, expected: Option<f64>, realised: f64) {
    let width = area.width.saturating_sub(1);
    if width < 4 {
        return;
    }
    let (faint, masked, accent) = (c.style(Role::Border), c.style(Role::Masked), c.theme.bold(Role::Accent));
    c.line(area.x, y, if c.ascii() { "." } else { "▁" }, width, faint);
    let filled = (realised.clamp(0.0, 1.0) * f64::from(width)).round() as u16;
    c.line(area.x, y, if c.ascii() { "#" } else { "▄" }, filled, masked);
    let Some(expected) = expected else { return };
    let mark = (expected.clamp(0.0, 1.0) * f64::from(width - 1)).round() as u16;
    c.put(area.x + mark, y, if c.ascii() { "|" } else { "┃" }, accent);
}
