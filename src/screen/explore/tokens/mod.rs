//! The token strip: surprisal as a tint, under every token the mark of what the mask does to it.

pub mod strip;

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::mask::types::{Op, PositionDecision, State};
use crate::screen::actions::{Context, actions};
use crate::screen::app::App;
use crate::screen::explore::explain;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart, empty_text};
use crate::screen::settle::scrolled;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::colours::step;
use crate::screen::widgets::theme::Role;
use crate::support::visible::fit;

/// The token strip.
pub const CONTEXT: Context = Context("Tokens");

pub static PANE: Pane = Pane {
    name: "tokens",
    title: "Tokens",
    context: |_| CONTEXT,
    actions: &[ACTIONS],
    subtitle,
    draw,
    explain: explain::of_token,
    settle,
    press,
    wheel: Some(|app, _, wheel| app.act(|app| scroll(app, wheel.by))),
    ..BLANK
};

actions! {
    CONTEXT {
        /// Select the token before
        TOKEN_PREVIOUS ["left"] "token" with [TOKEN_NEXT] => previous;
        /// Select the token after
        TOKEN_NEXT ["right"] => next;
        /// Select the token one row up
        TOKEN_UP ["up"] => |app| select_beside(app, false);
        /// Select the token one row down
        TOKEN_DOWN ["down"] => |app| select_beside(app, true);
        /// Select the first token
        TOKEN_FIRST ["home"] => |app| select_token(app, 0);
        /// Select the last token
        TOKEN_LAST ["end"] => |app| select_token(app, usize::MAX);
        /// Select the next masked token
        NEXT_MASKED ["n"] "next masked" => |app| next_masked(app, true);
        /// Select the previous masked token
        PREVIOUS_MASKED ["N"] => |app| next_masked(app, false);
        /// Pin the token, so that it is never masked, or unpin it
        PIN ["space"] "pin" => pin;
    }
}

pub(crate) fn previous(app: &mut App) {
    select_token(app, app.view.key.saturating_sub(1));
}

pub(crate) fn next(app: &mut App) {
    select_token(app, app.view.key + 1);
}

/// Selects a token: the key of the crosshair, with a query that can see it.
pub fn select_token(app: &mut App, token: usize) {
    app.view.placed = true;
    app.view.key = token.min(app.results.len().saturating_sub(1));
    app.view.query = app.view.query.max(app.view.key);
    app.view.position = Some(app.view.key);
}

/// Selects the token one row further down, or up.
fn select_beside(app: &mut App, down: bool) {
    let columns = app.area(&PANE).map_or(78, |area| room(area).0);
    select_token(app, strip::beside(app.results.tokens(), columns, app.view.key, down));
}

/// Goes through the strip by rows.
pub fn scroll(app: &mut App, rows: i64) {
    for _ in 0..rows.unsigned_abs() {
        select_beside(app, rows > 0);
    }
}

fn next_masked(app: &mut App, forward: bool) {
    let Some(decision) = app.results.decision() else { return };
    let n = decision.positions.len();
    let masked = |i: &usize| decision.positions[*i].state == State::Masked;
    let step = |d: usize| if forward { (app.view.key + d) % n } else { (app.view.key + n - d % n) % n };
    let found = (1..=n).map(step).find(masked);
    match found {
        Some(i) => select_token(app, i),
        None => app.say("No token is masked"),
    }
}

pub(crate) fn pin(app: &mut App) {
    let i = app.view.key;
    if i >= app.results.len() {
        return;
    }
    app.view.placed = true;
    app.doc.toggle_pin(i);
    let on = app.doc.mask.pinned.iter().any(|r| r.contains(&i));
    app.say(if on {
        format!("Token {i} pinned: never masked")
    } else {
        format!("Token {i} no longer pinned")
    });
}

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

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let n = app.results.len();
    let mut out = Vec::new();
    if n == 0 {
        return out;
    }
    if app.results.tokens.as_ref().is_some_and(|t| app.stale(t)) {
        out.push(TitlePart::new("old, computing…", Role::Warn));
    }
    out.push(TitlePart::new(format!("{n} tokens"), Role::Dim));
    if let Some(d) = app.results.decision() {
        let old = app.results.decided.as_ref().is_some_and(|d| app.stale(d));
        let role = match d.selected {
            _ if old => Role::Faint,
            0 => Role::Dim,
            _ => Role::Masked,
        };
        let window = app.results.decided.as_ref().and_then(|d| d.value.window.as_deref());
        match window.map_or(0, |w| w.left) {
            0 => out.push(TitlePart::new(format!("{} of {} eligible masked", d.selected, d.eligible), role)),
            left => {
                let by_rule = d.selected.saturating_sub(left);
                out.push(TitlePart::new(format!("{by_rule} masked by the rule"), role));
                out.push(TitlePart::new(format!("{left} left the context"), Role::Warn));
            }
        }
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

/// The strip on screen: its columns, and rows of tokens with the marks below them.
fn room(area: Rect) -> (usize, usize) {
    (area.width as usize, (area.height as usize / 2).max(1))
}

fn settle(app: &mut App, area: Option<Rect>) {
    app.view.key = app.view.key.min(app.results.len().saturating_sub(1));
    let Some((columns, height)) = area.map(room) else { return };
    let rows = strip::rows(app.results.tokens(), columns);
    let row = rows.iter().position(|r| r.contains(&app.view.key)).unwrap_or(0);
    app.view.strip_top = scrolled(app.view.strip_top, row, rows.len(), height);
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let token = token_at(app, area, press.x, press.y)?;
    app.act(|app| select_token(app, token));
    if press.double {
        app.act(PIN.run);
    }
    None
}

#[cfg(test)]
mod tests;
