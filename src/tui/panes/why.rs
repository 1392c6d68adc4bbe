//! The line of reasoning for the token under the cursor: score against τ, draw against p, the verdict.

use ratatui::layout::Rect;

use crate::app::rates;
use crate::app::state::App;
use crate::app::why::{Test, explain};
use crate::mask::types::{Polarity, State};
use crate::tui::canvas::Canvas;
use crate::tui::panes::{Piece, empty_text, signed};
use crate::tui::theme::Role;

pub fn subtitle(app: &App) -> Vec<Piece> {
    match app.results.tokens().get(app.view.key) {
        Some(t) => vec![
            Piece::new(t.display.clone(), Role::Strong),
            Piece::new(format!("position {} · id {}", app.view.key, t.id), Role::Dim),
        ],
        None => Vec::new(),
    }
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let i = app.view.key;
    let why = app.results.decision().and_then(|d| explain(&app.doc.mask, d, i));
    let (Some(why), Some(decided)) = (why, &app.results.decided) else {
        empty_text(c, app, area, "Why a token is masked, or not, appears here");
        return;
    };
    let right = area.right();
    let mut y = area.y;
    let op = decided.value.decision.positions.get(i).and_then(|p| p.op);
    let role = c.theme.state_role(why.state);
    let (glyph, style) = (c.theme.state_glyph(why.state, op), c.theme.bold(role));
    let after = c.spans(area.x, y, &[(glyph, style), (" ", style)], right);
    let rest = Rect { x: after, y, width: right.saturating_sub(after), height: area.bottom() - y };
    y += c.paragraph(rest, &why.sentence, style).max(1);
    if area.height > 8 {
        y += 1;
    }
    let rank = why.rank.map_or_else(String::new, |(r, n)| format!("rank {r}/{n}"));
    let limit = if app.doc.mask.polarity == Polarity::Low { "1−τ" } else { "τ" };
    match &why.score {
        Some(test) => {
            y = ruler(c, area, y, "score", test, limit, role_of(test), &rank);
        }
        None if why.state != State::Protected && app.doc.mask.polarity == Polarity::Random => {
            y = note(c, area, y, "score", "ignored: polarity random");
        }
        None => {}
    }
    if let Some(test) = &why.draw {
        let limit = if app.doc.mask.polarity == Polarity::Random { "(1−τ)p" } else { "p" };
        y = ruler(c, area, y, "draw", test, limit, role_of(test), "");
    }
    details(c, app, area, y);
    if app.stale(decided) {
        c.fade(area);
    }
}

fn role_of(test: &Test) -> Role {
    if test.passes() { Role::Masked } else { Role::Dim }
}

fn note(c: &mut Canvas, area: Rect, y: u16, name: &str, text: &str) -> u16 {
    if y < area.bottom() {
        let dim = c.style(Role::Dim);
        c.spans(area.x, y, &[(name, dim), ("  ", dim), (text, dim)], area.right());
    }
    y + 1
}

/// A value and its limit: in numbers, and on a ruler from 0 to 1 with the passing side marked.
#[allow(clippy::too_many_arguments)]
fn ruler(
    c: &mut Canvas,
    area: Rect,
    y: u16,
    name: &str,
    test: &Test,
    limit: &str,
    role: Role,
    extra: &str,
) -> u16 {
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    let verdict = c.theme.bold(role);
    if y >= area.bottom() {
        return y;
    }
    let digits = |v: f64| if v != 0.0 && v.abs() < 0.01 { format!("{v:.5}") } else { format!("{v:.4}") };
    let (value, bound) = (digits(test.value), digits(test.limit));
    let mark = if test.passes() { " ✓" } else { " ✗" };
    let end = c.spans(
        area.x,
        y,
        &[
            (&format!("{name:<6}"), dim),
            (&value, strong),
            (&format!(" {} ", test.sign()), verdict),
            (limit, dim),
            (" ", dim),
            (&bound, strong),
            (mark, verdict),
        ],
        area.right(),
    );
    c.right(end + 1, area.right(), y, extra, dim);
    if y + 1 >= area.bottom() || area.height < 7 {
        return y + 1;
    }
    let (x, width) = (area.x + 6, area.width.saturating_sub(7));
    if width < 8 {
        return y + 1;
    }
    let place = |v: f64| (v.clamp(0.0, 1.0) * f64::from(width - 1)).round() as u16;
    let cut = place(test.limit);
    let (pass, fail) = (c.style(Role::Masked), c.style(Role::Border));
    for i in 0..width {
        let passing = if test.above { i > cut } else { i < cut };
        let symbol = if passing { "━" } else { "─" };
        c.put(
            x + i,
            y + 1,
            if c.ascii() && passing { "=" } else { symbol },
            if passing { pass } else { fail },
        );
    }
    let accent = c.theme.bold(Role::Accent);
    c.put(x + cut, y + 1, "│", accent);
    c.put(x + place(test.value), y + 1, if c.ascii() { "O" } else { "●" }, strong);
    y + 2
}

/// Unscaled score, surprisal before and after, the exact bytes.
fn details(c: &mut Canvas, app: &App, area: Rect, from: u16) {
    let i = app.view.key;
    let mut y = from + u16::from(area.height > 11);
    let mut line = |c: &mut Canvas, name: &str, value: &str| {
        if y < area.bottom() && !value.is_empty() {
            let (dim, text) = (c.style(Role::Dim), c.style(Role::Text));
            let x = c.text(area.x, y, &format!("{name:<11}"), dim, area.width);
            c.label(x, y, value, text, area.right().saturating_sub(x));
            y += 1;
        }
    };
    let raw = app.results.scores.as_ref().and_then(|s| s.value.0.get(i).copied().flatten());
    if let Some(raw) = raw {
        let share =
            app.results.decision().map(|d| rates::share(app.doc.mask.polarity, app.doc.mask.threshold, d));
        let among = share.map_or_else(String::new, |s| format!("  ({:.0} % beyond τ)", s * 100.0));
        line(c, "unscaled", &format!("{raw:.5}{among}"));
    }
    let base = app.results.prediction().and_then(|p| p.surprisal.get(i).copied().flatten());
    let masked =
        app.results.masked.as_ref().and_then(|m| m.value.prediction.surprisal.get(i).copied().flatten());
    if let Some(b) = base {
        let change = masked.map_or_else(String::new, |m| format!(" → {m:.3}  ({})", signed(Some(m - b))));
        line(c, "surprisal", &format!("{b:.3}{change} nats"));
    }
    if let Some(token) = app.results.tokens().get(i) {
        let hex: Vec<String> = token.bytes.iter().take(24).map(|b| format!("{b:02x}")).collect();
        line(c, "bytes", &hex.join(" "));
    }
    let pinned = app.doc.mask.pinned.iter().any(|r| r.contains(&i));
    if pinned {
        line(c, "pinned", "space unpins it");
    }
}
