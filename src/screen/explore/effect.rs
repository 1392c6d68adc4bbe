//! What the mask did: next tokens of baseline and masked run side by side, KL, Δ log-probability, work; or every
//! operation at once.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::engine::types::{Candidate, MaskEffect, RerollRow, Work};
use crate::mask::types::{Op, Scope, State};
use crate::screen::app::App;
use crate::screen::explore::background::{self, REROLLS};
use crate::screen::explore::details::{self, PANEL};
use crate::screen::explore::explain;
use crate::screen::explore::mask::settings::{
    POLICY, PROBABILITY_UP, PROTECT, REROLL, SCOPE, THRESHOLD_DOWN,
};
use crate::screen::pane::{BLANK, Pane, TitlePart, empty_text, percent, signed};
use crate::screen::params;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::{fit, width};

pub static PANE: Pane = Pane {
    name: "effect",
    title: "Effect",
    context: |_| PANEL,
    actions: &[details::ACTIONS, background::ACTIONS],
    subtitle,
    draw,
    explain: explain::of_effect,
    ..BLANK
};

/// Columns that one operation needs when all stand side by side with their next tokens.
const BESIDE: u16 = 19;
/// Lines below the next tokens.
const NUMBERS: u16 = 7;
/// Lines that the next tokens keep: two of headings, three of tokens.
const LEAST_LIST: u16 = 5;

/// The token after which the next one is predicted.
pub fn after(app: &App) -> String {
    let tokens = app.results.tokens();
    let token = app.position().and_then(|i| tokens.get(i)).or(tokens.last());
    token.map_or(String::new(), |t| t.display.clone())
}

/// A divergence with four decimals; a dash where nothing is predicted.
fn nats(kl: f32) -> String {
    if kl.is_finite() { format!("{kl:.4}") } else { "–".to_owned() }
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    if app.view.effects {
        return vec![TitlePart::new("all operations", Role::Strong)];
    }
    let mut out = Vec::new();
    if let Some(effect) = &app.results.masked {
        out.push(TitlePart::new(effect.value.op.name(), Role::Masked));
        let stale = app.stale(effect);
        let role = if stale { Role::Faint } else { Role::Strong };
        out.push(TitlePart::new(format!("KL {}", nats(effect.value.kl)), role));
        if stale {
            out.push(TitlePart::new("old", Role::Warn));
        }
    }
    out
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    if app.results.baseline.is_none() {
        empty_text(c, app, area, "What the mask does to the next token appears here");
        return;
    }
    if app.view.effects {
        all(c, app, area);
        return;
    }
    // What is predicted comes first where there is little room.
    let numbers = NUMBERS.min(area.height.saturating_sub(LEAST_LIST));
    let list = Rect { height: area.height - numbers, ..area };
    next_tokens(c, app, list);
    let figured = Rect { y: list.bottom(), height: numbers, ..area };
    figures(c, app, figured);
    if app.results.masked.as_ref().is_some_and(|m| app.stale(m)) {
        c.fade(figured);
    }
}

/// What the lists are about; of a token within the text also what came after it.
fn heading(c: &mut Canvas, app: &App, area: Rect) {
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    let tokens = app.results.tokens();
    let at = app.position().unwrap_or(tokens.len().saturating_sub(1));
    let (name, place) = (after(app), format!(" ({at})"));
    let pieces = [("Next token after ", dim), (name.as_str(), strong), (place.as_str(), dim)];
    let end = c.spans(area.x, area.y, &pieces, area.right());
    if let Some(came) = tokens.get(at + 1) {
        let came = format!("; then came {}", came.display);
        if width(&came) <= area.right().saturating_sub(end) as usize {
            c.text(end, area.y, &came, dim, area.right().saturating_sub(end));
        }
    }
}

fn next_tokens(c: &mut Canvas, app: &App, area: Rect) {
    let Some(baseline) = &app.results.baseline else { return };
    heading(c, app, area);
    let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let masked = app.results.masked.as_ref();
    let half = area.width / 2;
    let base = &baseline.value.0.next;
    let (left, right) = (
        Rect { width: half.saturating_sub(1), ..area },
        Rect { x: area.x + half + 1, width: area.width - half - 1, ..area },
    );
    let (protected, strong) = (c.theme.bold(Role::Protected), c.theme.bold(Role::Masked));
    c.label(left.x, area.y, "without the mask", protected, left.width);
    c.label(right.x, area.y, "masked run", strong, right.width);
    let border = c.style(Role::Border);
    for y in area.top()..area.bottom() {
        c.put(area.x + half, y, "│", border);
    }
    let first = |list: &[Candidate]| list.first().map_or(0.0, |b| b.p);
    let top = first(base).max(masked.map_or(0.0, |m| first(&m.value.prediction.next)));
    let bar = bar_columns(left.width.min(right.width));
    let body = |r: Rect| Rect { y: r.y + 1, height: r.height.saturating_sub(1), ..r };
    Listing { list: base, against: None, top, bar, role: Role::Protected }.draw(c, body(left));
    match masked {
        Some(m) if m.value.prediction.next.is_empty() => {
            let style = c.style(Role::Dim);
            c.paragraph(body(right), "it was dropped, so nothing is predicted after it", style);
        }
        Some(m) => {
            let list = &m.value.prediction.next;
            Listing { list, against: Some(base), top, bar, role: Role::Masked }.draw(c, body(right));
        }
        None => {
            let style = c.style(Role::Dim);
            c.paragraph(body(right), "computing…", style);
        }
    }
    if app.stale(baseline) {
        c.fade(body(left));
    }
    if masked.is_some_and(|m| app.stale(m)) {
        c.fade(body(right));
    }
}

/// One list of next tokens: token, bar, percentage; against another list also how the rank moved.
struct Listing<'a> {
    list: &'a [Candidate],
    against: Option<&'a [Candidate]>,
    /// Probability of a full bar, and its columns: those of all lists side by side, so that equal bars mean the same.
    top: f32,
    bar: u16,
    role: Role,
}

/// Columns of a percentage, and of how the rank moved.
const NUMBER: u16 = 6;
const MOVED: u16 = 3;

/// Columns that every one of the lists side by side has for its bars, the narrowest being so wide.
fn bar_columns(width: u16) -> u16 {
    width.saturating_sub(NUMBER + MOVED) * 2 / 5
}

impl Listing<'_> {
    fn draw(&self, c: &mut Canvas, area: Rect) {
        let moved_w = if self.against.is_some() { MOVED } else { 0 };
        let right = area.right().saturating_sub(moved_w);
        let label = area.width.saturating_sub(NUMBER + moved_w + self.bar).max(3).min(area.width);
        let bar_x = area.x + label;
        for (i, candidate) in self.list.iter().take(area.height as usize).enumerate() {
            let y = area.y + i as u16;
            let text = if i == 0 { c.theme.bold(Role::Strong) } else { c.style(Role::Text) };
            c.label(area.x, y, &candidate.display, text, label.saturating_sub(1));
            let style = c.style(self.role);
            let bar = self.bar.min(right.saturating_sub(NUMBER + bar_x));
            c.bar(bar_x, y, bar, f64::from(candidate.p / self.top.max(1e-9)), style);
            c.right(right.saturating_sub(NUMBER), right, y, &percent(candidate.p), text);
            if moved_w > 0 {
                let (mark, role) = moved(candidate.id, i, self.against.unwrap_or(&[]));
                let style = c.style(role);
                c.right(right, area.right(), y, &mark, style);
            }
        }
    }
}

fn moved(id: u32, now: usize, before: &[Candidate]) -> (String, Role) {
    match before.iter().position(|b| b.id == id) {
        None => ("new".to_owned(), Role::Accent),
        Some(was) if was > now => (format!("▲{}", (was - now).min(9)), Role::Good),
        Some(was) if was < now => (format!("▼{}", (now - was).min(9)), Role::Dim),
        Some(_) => (String::new(), Role::Dim),
    }
}

/// The numbers of the effect, from the top of an area down.
fn figures(c: &mut Canvas, app: &App, area: Rect) {
    let mut lines = Lines { area, y: area.y };
    if nothing_masked(c, app, &mut lines) {
        return;
    }
    if let Some(effect) = app.results.masked.as_ref().map(|m| &m.value) {
        losses(c, app, effect, &mut lines);
    }
    let bar = Rect { y: lines.y, height: 1, ..area };
    if lines.y + 1 < area.bottom() {
        lines.y += 1;
    }
    rerolls(c, app, &mut lines);
    if bar.y + 1 < area.bottom()
        && let Some(effect) = app.results.masked.as_ref()
    {
        work_bar(c, bar, effect.value.work);
    }
}

/// Where nothing is masked there is no effect: says why, and which key changes that.
fn nothing_masked(c: &mut Canvas, app: &App, lines: &mut Lines) -> bool {
    let Some(decision) = app.results.decision().filter(|d| d.selected == 0) else { return false };
    let warn = c.theme.bold(Role::Warn);
    lines.put(c, &[("nothing is masked: no effect", warn)]);
    let note = app.results.decided.as_ref().and_then(|d| d.value.note.as_deref()).unwrap_or_default();
    let why = note.strip_prefix("nothing selected, because ").unwrap_or(note);
    let key = |action| app.key_label(action);
    let drawn = decision.positions.iter().any(|p| p.state == State::Draw);
    let remedy = match () {
        () if params::by_budget(&app.doc) => format!("{} lists policies", key(&POLICY)),
        () if decision.eligible == 0 => format!("{} protects fewer tokens", key(&PROTECT)),
        () if drawn => format!("{} draws again, {} raises p", key(&REROLL), key(&PROBABILITY_UP)),
        () => format!("{} lowers τ", key(&THRESHOLD_DOWN)),
    };
    let (dim, accent) = (c.style(Role::Dim), c.style(Role::Accent));
    let rest = Rect { y: lines.y, height: lines.area.bottom().saturating_sub(lines.y + 1), ..lines.area };
    let used = c.paragraph(rest, why, dim);
    lines.y = rest.y + used;
    lines.put(c, &[(&remedy, accent)]);
    true
}

/// Lines of an area, as many as fit.
struct Lines {
    area: Rect,
    y: u16,
}

impl Lines {
    fn put(&mut self, c: &mut Canvas, pieces: &[(&str, Style)]) {
        if self.y < self.area.bottom() {
            c.spans(self.area.x, self.y, pieces, self.area.right());
            self.y += 1;
        }
    }
}

/// How far apart the distributions are, what the mask did to the losses, and the rows that were computed.
fn losses(c: &mut Canvas, app: &App, effect: &MaskEffect, lines: &mut Lines) {
    let (dim, text, strong) = (c.style(Role::Dim), c.style(Role::Text), c.theme.bold(Role::Strong));
    let kl = nats(effect.kl);
    lines.put(c, &[("KL(baseline‖masked) ", dim), (&kl, strong), (" nats", dim)]);
    let (masked, unmasked) = (signed(effect.delta_masked), signed(effect.delta_unmasked));
    lines.put(c, &[("Δ masked ", dim), (&masked, text), ("  unmasked ", dim), (&unmasked, text)]);
    let loss = |l: Option<f32>| l.map_or("–".to_owned(), |v| format!("{v:.4}"));
    let before = loss(app.results.prediction().and_then(|p| p.loss));
    let after = loss(effect.prediction.loss);
    let scope = if app.doc.mask.scope == Scope::Whole { "  (look-ahead)" } else { "  (block)" };
    lines.put(c, &[("loss  ", dim), (&before, text), (" → ", dim), (&after, text), (scope, dim)]);
    let w = effect.work;
    let [computed, reused, saved] = [w.computed, w.reused, w.saved].map(|n| n.to_string());
    let computed = [(computed.as_str(), text), (" computed ", dim)];
    let reused = [(reused.as_str(), text), (" reused ", dim)];
    lines.put(c, &[&computed[..], &reused, &[(&saved, text), (" saved", dim)]].concat());
}

/// Mean and spread over many seeds, or the key that measures them.
fn rerolls(c: &mut Canvas, app: &App, lines: &mut Lines) {
    let (dim, text, strong) = (c.style(Role::Dim), c.style(Role::Text), c.theme.bold(Role::Strong));
    let Some(r) = &app.results.rerolls else {
        let key = app.key_label(&REROLLS);
        let hint = format!("{key} re-rolls {} seeds: mean ± spread", app.options.settings.explore.rerolls);
        let faint = c.style(Role::Faint);
        return lines.put(c, &[(&hint, faint)]);
    };
    let v = &r.value;
    let old = match r.generation {
        g if g < app.mask_since => " (for an earlier mask)",
        g if g < app.position_since => " (for another position)",
        _ => "",
    };
    let count = if v.done < v.of {
        format!("{}/{} re-rolls{old}", v.done, v.of)
    } else {
        format!("{} re-rolls{old}", v.of)
    };
    lines.put(c, &[(&count, dim)]);
    let kl = v.rows.first().map_or("–".to_owned(), |r| format!("{:.4} ± {:.4}", r.kl.mean, r.kl.sd));
    let rate = format!("{:.1} ± {:.1} %", v.rate.mean * 100.0, v.rate.sd * 100.0);
    lines.put(c, &[("KL ", dim), (&kl, strong), ("  rate ", dim), (&rate, text)]);
}

/// Computed, reused and saved as shares of one bar.
fn work_bar(c: &mut Canvas, area: Rect, work: Work) {
    let total = (work.computed + work.reused + work.saved) as f64;
    let width = area.width.saturating_sub(1);
    if total <= 0.0 || width == 0 {
        return;
    }
    let mut x = area.x;
    let parts = [
        (work.computed, "━", "#", Role::Masked),
        (work.reused, "━", "=", Role::Protected),
        (work.saved, "╌", ".", Role::Good),
    ];
    for (n, symbol, ascii, role) in parts {
        let columns = (n as f64 / total * f64::from(width)).round() as u16;
        let columns = columns.min((area.x + width).saturating_sub(x));
        let style = c.style(role);
        c.line(x, area.y, if c.ascii() { ascii } else { symbol }, columns, style);
        x += columns;
    }
}

/// Every operation side by side: with next tokens where there is room, else as a table.
fn all(c: &mut Canvas, app: &App, area: Rect) {
    heading(c, app, area);
    let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if app.doc.mask.scope == Scope::Block {
        let style = c.style(Role::Dim);
        let text = format!(
            "Block by block a token that was read cannot be replaced, dropped or skipped any more, so operations do not stand \
             side by side; {} decides with the whole text in view, {} shows the chosen operation",
            app.key_label(&SCOPE),
            app.key_label(&details::EFFECTS)
        );
        c.paragraph(area, &text, style);
        return;
    }
    let Some(effects) = app.results.effects.as_ref() else {
        let style = c.style(Role::Dim);
        c.paragraph(area, "computing every operation…", style);
        return;
    };
    let list: &[MaskEffect] = &effects.value;
    if area.width >= BESIDE * (list.len() as u16 + 1) && area.height >= 8 {
        beside(c, app, list, area);
    } else {
        table(c, app, list, area);
    }
    if app.stale(effects) {
        c.fade(area);
    }
}

fn beside(c: &mut Canvas, app: &App, list: &[MaskEffect], area: Rect) {
    let columns = list.len() as u16 + 1;
    let width = area.width / columns;
    let Some(base) = app.results.prediction() else { return };
    let first = |p: &crate::engine::types::Prediction| p.next.first().map_or(0.0, |c| c.p);
    let top = list.iter().map(|e| first(&e.prediction)).fold(first(base), f32::max);
    let rows = (base.next.len() as u16).min(area.height.saturating_sub(6));
    let bar = bar_columns(width - 2);
    for i in 0..columns {
        let x = area.x + i * width;
        let part = Rect { x, width: width - 2, ..area };
        let body = Rect { y: area.y + 1, height: rows, ..part };
        let y = body.bottom();
        let Some(effect) = (i as usize).checked_sub(1).and_then(|i| list.get(i)) else {
            let style = c.theme.bold(Role::Protected);
            c.label(x, area.y, "without the mask", style, part.width);
            Listing { list: &base.next, against: None, top, bar, role: Role::Protected }.draw(c, body);
            let dim = c.style(Role::Dim);
            for (line, name) in ["KL, nats", "Δ masked", "Δ unmasked", "rows saved"].iter().enumerate() {
                c.label(x, y + 1 + line as u16, name, dim, part.width);
            }
            continue;
        };
        let style = c.theme.bold(if effect.op == app.doc.mask.op { Role::Masked } else { Role::Text });
        c.label(x, area.y, effect.op.name(), style, part.width);
        let list = &effect.prediction.next;
        Listing { list, against: Some(&base.next), top, bar, role: Role::Masked }.draw(c, body);
        let text = c.style(Role::Text);
        let numbers = [
            match spread(app, effect.op) {
                Some(r) => format!("{} ({:.4} ± {:.4})", nats(effect.kl), r.kl.mean, r.kl.sd),
                None => nats(effect.kl),
            },
            signed(effect.delta_masked),
            signed(effect.delta_unmasked),
            saved(effect.work),
        ];
        for (line, number) in numbers.iter().enumerate() {
            c.label(x, y + 1 + line as u16, number, text, part.width);
        }
    }
}

/// What re-rolls say of one operation, where they have been made for the mask on screen.
fn spread(app: &App, op: Op) -> Option<&RerollRow> {
    let stats =
        app.results.rerolls.as_ref().filter(|r| r.generation >= app.mask_since.max(app.position_since))?;
    stats.value.rows.iter().find(|r| r.op == op)
}

fn saved(work: Work) -> String {
    let total = work.computed + work.reused + work.saved;
    if total == 0 { "–".to_owned() } else { format!("{:.0}%", work.saved as f64 / total as f64 * 100.0) }
}

fn table(c: &mut Canvas, app: &App, list: &[MaskEffect], area: Rect) {
    let dim = c.style(Role::Dim);
    let head = format!("{:<9}{:>6} {:>9} {:>10} {:>6}", "", "KL", "Δ masked", "Δ unmasked", "saved");
    c.spans(area.x, area.y, &[(&head, dim)], area.right());
    let most = list.iter().map(|e| e.kl).fold(0f32, f32::max).max(1e-9);
    // With a line to spare for each, the next token and a bar of KL stand below.
    let lines = if usize::from(area.height) > 2 * list.len() { 2 } else { 1 };
    for (i, e) in list.iter().enumerate() {
        let chosen = e.op == app.doc.mask.op;
        let y = area.y + 1 + lines * i as u16;
        if y >= area.bottom() {
            break;
        }
        let name = if chosen { c.theme.bold(Role::Masked) } else { c.style(Role::Text) };
        let text = c.style(if chosen { Role::Strong } else { Role::Text });
        c.label(area.x, y, e.op.name(), name, 9);
        let row = format!(
            "{:>6} {:>9} {:>10} {:>6}",
            nats(e.kl),
            signed(e.delta_masked),
            signed(e.delta_unmasked),
            saved(e.work)
        );
        c.spans(area.x + 9, y, &[(&row, text)], area.right());
        if lines > 1 && y + 1 < area.bottom() {
            let rerolled = spread(app, e.op).map(|r| format!("{:.4} ± {:.4}", r.kl.mean, r.kl.sd));
            let next = e
                .prediction
                .next
                .first()
                .map_or(String::new(), |n| format!("→ {} {}", fit(&n.display, 9, "…"), percent(n.p)));
            c.label(area.x, y + 1, rerolled.as_ref().unwrap_or(&next), dim, 18);
            let style = c.style(Role::Masked);
            c.bar(area.x + 19, y + 1, area.width.saturating_sub(20), f64::from(e.kl / most), style);
        }
    }
}

#[cfg(test)]
#[path = "effect_tests.rs"]
mod tests;
