//! The token strip: every token in a box, shaded by its surprisal; below it the mark of its mask state and a bar.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::app::state::App;
use crate::app::strip;
use crate::mask::types::{Op, PositionDecision, State};
use crate::support::visible::fit;
use crate::tui::canvas::Canvas;
use crate::tui::colours::step;
use crate::tui::panes::{Piece, empty_text};
use crate::tui::theme::Role;

/// Surprisal that gets the strongest shade, nats: about one in 22,000.
const FULL: f64 = 10.0;

/// The token at a cell of the screen.
pub fn token_at(app: &App, area: Rect, x: u16, y: u16) -> Option<usize> {
    let tokens = app.results.tokens();
    let columns = area.width as usize;
    let row = app.view.strip_top + y.checked_sub(area.y)? as usize / 2;
    let rows = strip::rows(tokens, columns);
    strip::token_at(tokens, rows.get(row)?, x.checked_sub(area.x)? as usize, columns)
}

pub fn subtitle(app: &App) -> Vec<Piece> {
    let n = app.results.len();
    let mut out = Vec::new();
    if n == 0 {
        return out;
    }
    if app.results.tokens.as_ref().is_some_and(|t| app.stale(t)) {
        out.push(Piece::new("old, computing…", Role::Warn));
    }
    out.push(Piece::new(format!("{n} tokens"), Role::Dim));
    if let Some(d) = app.results.decision() {
        let role = if d.selected > 0 { Role::Masked } else { Role::Dim };
        out.push(Piece::new(format!("{} of {} eligible masked", d.selected, d.eligible), role));
    }
    out
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let tokens = app.results.tokens();
    if tokens.is_empty() {
        empty_text(c, app, area, "What the model reads appears here, token by token");
        return;
    }
    let columns = area.width as usize;
    let rows = strip::rows(tokens, columns);
    let per = if area.height < 2 { 1 } else { 2 };
    for (i, row) in rows.iter().skip(app.view.strip_top).take((area.height / per).max(1) as usize).enumerate()
    {
        let y = area.y + i as u16 * per;
        let mut x = area.x;
        for token in row.clone() {
            let w = strip::box_width(&tokens[token], columns) as u16;
            draw_token(c, app, token, Rect::new(x, y, w, per).intersection(area));
            x += w;
        }
    }
    more(c, app, area, rows.len(), per);
    if app.results.tokens.as_ref().is_some_and(|t| app.stale(t)) {
        c.fade(area);
    }
}

/// Says at the right edge that there is more above or below.
fn more(c: &mut Canvas, app: &App, area: Rect, rows: usize, per: u16) {
    let style = c.style(Role::Accent);
    if app.view.strip_top > 0 {
        c.put(area.right() - 1, area.y, "▲", style);
    }
    if app.view.strip_top + ((area.height / per) as usize) < rows {
        c.put(area.right() - 1, area.bottom() - 1, "▼", style);
    }
}

fn draw_token(c: &mut Canvas, app: &App, i: usize, area: Rect) {
    let token = &app.results.tokens()[i];
    let decision = app.results.decision().and_then(|d| d.positions.get(i));
    let state = decision.map_or(State::Score, |d| d.state);
    let op = decision.and_then(|d| d.op);
    let masked = state == State::Masked;
    let surprisal = app.results.prediction().and_then(|p| p.surprisal.get(i).copied().flatten());
    let level = surprisal.map_or(0.0, |s| f64::from(s) / FULL);
    let selected = i == app.view.key;

    let mut style = c.style(if masked { Role::Masked } else { Role::Text });
    style = style.patch(c.theme.on(c.theme.ramps.tint[step(level)]));
    if masked {
        style = style.add_modifier(Modifier::BOLD);
        if op == Some(Op::Drop) {
            style = style.add_modifier(Modifier::CROSSED_OUT);
        }
    }
    if selected {
        style = style.patch(c.theme.selected());
        if masked {
            style = style.patch(c.style(Role::Masked));
        }
    }
    let inner = area.width.saturating_sub(2);
    if c.theme.rich() {
        // The gap between boxes is the last column; the first one belongs to the box.
        c.restyle(Rect { width: area.width.saturating_sub(1), height: 1, ..area }, style);
        let edge = if selected { "▸" } else { " " };
        c.put(area.x, area.y, edge, style);
        c.text(area.x + 1, area.y, &fit(&token.display, inner as usize, "…"), style, inner);
    } else {
        let edges = if selected { ("<", ">") } else { ("[", "]") };
        let edge = c.style(Role::Dim);
        c.put(area.x, area.y, edges.0, edge);
        c.text(area.x + 1, area.y, &fit(&token.display, inner as usize, "…"), style, inner);
        c.put(area.right().saturating_sub(1), area.y, edges.1, edge);
    }
    if area.height > 1 {
        under(c, decision, surprisal, area);
    }
}

/// The line below a box: mark, surprisal as a level, and a bar that ties both to the box.
fn under(c: &mut Canvas, decision: Option<&PositionDecision>, surprisal: Option<f32>, area: Rect) {
    let y = area.y + 1;
    let state = decision.map_or(State::Score, |d| d.state);
    let role = c.theme.state_role(state);
    let style = if state == State::Masked { c.theme.bold(role) } else { c.style(role) };
    let glyph = decision.map_or(" ", |d| c.theme.state_glyph(d.state, d.op));
    c.put(area.x, y, glyph, style);
    if let Some(s) = surprisal
        && area.width > 2
    {
        let level = c.theme.level(f64::from(s) / FULL);
        let faint = if c.theme.rich() { c.style(Role::Faint) } else { Style::new() };
        c.put(area.x + 1, y, level, faint);
    }
    if matches!(state, State::Masked | State::Draw) {
        let rule = if state == State::Masked { "━" } else { "╌" };
        c.line(area.x + 2, y, rule, area.width.saturating_sub(3), style);
    }
}
