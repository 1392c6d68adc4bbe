//! The rolling window: one line per boundary with every position's standing, what is remembered of the selected token, and
//! what the mask tells about the next token (the leak meter).

use ratatui::layout::Rect;

use crate::engine::types::{Standing, WindowReport};
use crate::mask::types::Scope;
use crate::screen::app::App;
use crate::screen::explore::background::LEAK;
use crate::screen::explore::details::PANEL;
use crate::screen::explore::explain;
use crate::screen::explore::mask::settings::{PRESETS, SCOPE};
use crate::screen::pane::{BLANK, Pane, TitlePart, empty_text, signed};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

pub static PANE: Pane = Pane {
    name: "window",
    title: "Window",
    context: |_| PANEL,
    subtitle,
    draw,
    explain: explain::of_window,
    ..BLANK
};

/// Columns of a boundary's number.
const LABEL: u16 = 5;

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    match report(app) {
        Some(w) if !w.reencoded.is_empty() => {
            let at: Vec<String> = w.reencoded.iter().map(usize::to_string).collect();
            vec![TitlePart::new(format!("re-encoded at {}", at.join(", ")), Role::Warn)]
        }
        Some(w) => {
            let what = if w.rows.len() == 1 { "boundary" } else { "boundaries" };
            let cache = format!("cache {:.0} %", 100.0 * w.cache_share);
            vec![
                TitlePart::new(format!("{} {what}", w.rows.len()), Role::Dim),
                TitlePart::new(cache, Role::Text),
            ]
        }
        None if app.doc.mask.scope == Scope::Whole => vec![TitlePart::new("whole: look-ahead", Role::Dim)],
        None => Vec::new(),
    }
}

fn report(app: &App) -> Option<&WindowReport> {
    app.results.decided.as_ref()?.value.window.as_deref()
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    if app.results.is_empty() {
        empty_text(c, app, area, "How the window rolls along the text appears here");
        return;
    }
    // The leak meter stands at the foot, whatever the scope.
    let foot = if area.height >= 6 { 2 } else { 1 };
    let body = Rect { height: area.height.saturating_sub(foot), ..area };
    leak(c, app, Rect { y: body.bottom(), height: foot, ..area });
    let Some(w) = report(app) else {
        whole(c, app, body);
        return;
    };
    let told = if body.height >= 8 { 3 } else { 1 };
    let grid = Rect { height: body.height.saturating_sub(told), ..body };
    boundaries(c, app, w, grid);
    history(c, app, w, Rect { y: grid.bottom(), height: told, ..body });
    if app.results.decided.as_ref().is_some_and(|d| app.stale(d)) {
        c.fade(body);
    }
}

fn whole(c: &mut Canvas, app: &App, area: Rect) {
    let style = c.style(Role::Dim);
    if app.doc.mask.scope == Scope::Block {
        let text = "Decided block by block, but there is no answer yet: see the message below for the reason";
        c.paragraph(area, text, style);
        return;
    }
    let text = format!(
        "One decision with the whole text in view: later tokens count, so its losses are called look-ahead. {} decides block by block, from the past only; {} lists cache policies",
        app.key_label(&SCOPE),
        app.key_label(&PRESETS)
    );
    c.paragraph(area, &text, style);
}

/// One line per boundary, the newest last; scrolled back with the pane's scroll.
fn boundaries(c: &mut Canvas, app: &App, w: &WindowReport, area: Rect) {
    let dim = c.style(Role::Dim);
    if w.rows.is_empty() {
        let n = app.results.len();
        let text = format!(
            "The text of {n} tokens ends before the first boundary at {}: a smaller first window decides sooner",
            app.doc.rolling.window
        );
        c.paragraph(area, &text, dim);
        return;
    }
    let room = area.height as usize;
    let hidden = w.rows.len().saturating_sub(room);
    let back = if app.view.focus == &PANE { app.view.scrolled(&PANE) } else { 0 };
    let first = hidden.saturating_sub(back);
    let width = area.width.saturating_sub(LABEL);
    let n = w.positions.len();
    for (line, row) in w.rows.iter().skip(first).take(room).enumerate() {
        let y = area.y + line as u16;
        c.right(area.x, area.x + LABEL - 1, y, &row.end.to_string(), dim);
        for x in 0..width.min(n as u16) {
            let (from, to) = span(x, width, n);
            let Some(standing) = (from..to).filter_map(|i| row.standing.get(i)).max_by_key(|s| weight(**s))
            else {
                continue;
            };
            let (symbol, role) = mark(*standing, c.ascii());
            let here = (from..to).contains(&app.view.key);
            let style = if here { c.theme.selected().patch(c.theme.bold(role)) } else { c.style(role) };
            c.put(area.x + LABEL + x, y, symbol, style);
        }
    }
    let accent = c.style(Role::Accent);
    if first > 0 {
        c.put(area.right().saturating_sub(1), area.y, if c.ascii() { "^" } else { "▲" }, accent);
    }
    if first + room < w.rows.len() {
        c.put(area.right().saturating_sub(1), area.bottom() - 1, if c.ascii() { "v" } else { "▼" }, accent);
    }
}

/// The positions that share column `x`.
fn span(x: u16, width: u16, n: usize) -> (usize, usize) {
    if n <= width as usize {
        return (x as usize, x as usize + 1);
    }
    let at = |x: usize| x * n / width as usize;
    (at(x as usize), at(x as usize + 1).max(at(x as usize) + 1))
}

/// Where several positions share a column the rarest news wins, so that a single masked token never vanishes.
fn weight(standing: Standing) -> u8 {
    match standing {
        Standing::Masked => 5,
        Standing::Gone => 4,
        Standing::Partly => 3,
        Standing::Protected => 2,
        Standing::Kept => 1,
        Standing::Recent => 0,
    }
}

fn mark(standing: Standing, ascii: bool) -> (&'static str, Role) {
    let (symbol, plain, role) = match standing {
        Standing::Masked => ("■", "#", Role::Masked),
        Standing::Gone => ("▪", "x", Role::Dim),
        Standing::Partly => ("▫", "o", Role::Masked),
        Standing::Protected => ("▒", "P", Role::Protected),
        Standing::Kept => ("·", ".", Role::Text),
        Standing::Recent => ("░", ":", Role::Accent),
    };
    (if ascii { plain } else { symbol }, role)
}

/// What is remembered of the selected token, and what the marks mean.
fn history(c: &mut Canvas, app: &App, w: &WindowReport, area: Rect) {
    let (dim, text, strong) = (c.style(Role::Dim), c.style(Role::Text), c.theme.bold(Role::Strong));
    let i = app.view.key;
    let Some(p) = w.positions.get(i) else { return };
    let label = app.results.tokens().get(i).map_or(String::new(), |t| t.display.clone());
    let score = p.score.map_or("no score".to_owned(), |s| format!("score {s:.3}"));
    let times = if p.times == 0 { "never masked".to_owned() } else { format!("masked {}×", p.times) };
    c.spans(
        area.x,
        area.y,
        &[(&label, strong), (&format!(" at {i}: "), dim), (&score, text), (", ", dim), (&times, text)],
        area.right(),
    );
    if area.height < 3 {
        return;
    }
    let seen = match p.hidden {
        None if p.heads.is_some_and(|(kept, of)| kept < of) => {
            let (kept, of) = p.heads.unwrap_or_default();
            format!("{kept} of {of} heads keep it")
        }
        None => "every later query can read it".to_owned(),
        Some((from, None)) => format!("hidden from query {from} on"),
        Some((from, Some(to))) => format!("hidden from queries {from} to {}", to.saturating_sub(1)),
    };
    c.label(area.x, area.y + 1, &seen, text, area.width);
    let mut pieces: Vec<(String, ratatui::style::Style)> = Vec::new();
    let each = app.doc.rolling.per_head;
    let all = [
        Standing::Masked,
        Standing::Gone,
        Standing::Partly,
        Standing::Kept,
        Standing::Protected,
        Standing::Recent,
    ];
    for standing in all.into_iter().filter(|s| each || *s != Standing::Partly) {
        let (symbol, role) = mark(standing, c.ascii());
        pieces.push((symbol.to_owned(), c.style(role)));
        let name = if standing == Standing::Masked { "now" } else { standing.name() };
        pieces.push((format!(" {name}  "), dim));
    }
    let borrowed: Vec<(&str, ratatui::style::Style)> = pieces.iter().map(|(t, s)| (t.as_str(), *s)).collect();
    c.spans(area.x, area.y + 2, &borrowed, area.right());
}

fn leak(c: &mut Canvas, app: &App, area: Rect) {
    let (dim, text, strong) = (c.style(Role::Dim), c.style(Role::Text), c.theme.bold(Role::Strong));
    let y = area.bottom().saturating_sub(1);
    if area.height > 1 {
        let border = c.style(Role::Border);
        c.line(area.x, area.y, if c.ascii() { "-" } else { "─" }, area.width, border);
    }
    let Some(slot) = &app.results.leak else {
        let faint = c.style(Role::Faint);
        let key = app.key_label(&LEAK);
        let what = if app.leaking {
            "reading held-out text…".to_owned()
        } else {
            format!("{key} measures how much the mask reveals about the next token")
        };
        c.label(area.x, y, &what, faint, area.width);
        return;
    };
    let v = slot.value;
    // What is out of date says so first, where a narrow pane cannot cut it.
    let name = if slot.generation < app.mask_since { "earlier mask: leak " } else { "leak " };
    match v.report {
        Some(r) => {
            let number = |x: f64| signed(Some(x as f32));
            let bits = number(r.bits);
            let verdict = if r.low > 0.0 { "" } else { ": none shown" };
            let interval = format!(" [{}, {}] bits/token{verdict}", number(r.low), number(r.high));
            let role = if r.low > 0.0 { c.theme.bold(Role::Warn) } else { strong };
            c.spans(area.x, y, &[(name, dim), (&bits, role), (&interval, text)], area.right());
        }
        None if v.done < v.of => {
            let what = format!("leak: window {} of {} of held-out text", v.done, v.of);
            c.label(area.x, y, &what, dim, area.width);
        }
        None => {
            c.label(area.x, y, "leak: too little held-out text to tell", dim, area.width);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::types::{Command, LeakReport, Standing, Update};
    use crate::mask::rolling::RollingSettings;
    use crate::screen::explore::mask::settings::SCOPE;
    use crate::screen::explore::{mask, window};
    use crate::screen::options::Options;
    use crate::screen::testing::{Stage, options};

    #[test]
    fn the_window_pane_follows_the_scope() {
        let mut stage = Stage::new();
        stage.press("W");
        assert_eq!(stage.app.view.focus, &window::PANE);
        assert!(stage.app.results.decided.as_ref().unwrap().value.window.is_none());
        stage.press("b");
        let window = stage.app.results.decided.as_ref().unwrap().value.window.clone().unwrap();
        assert!(!window.rows.is_empty() && window.rows.iter().all(|r| r.standing.len() == r.end));
        assert_eq!(window.positions.len(), stage.app.results.len());
        assert!(window.rows.iter().any(|r| r.standing.contains(&Standing::Recent)));
    }

    #[test]
    fn the_leak_meter_is_asked_for_and_says_when_the_mask_is_another() {
        let mut stage = Stage::new();
        stage.press("k");
        let asked = stage.port.commands.borrow().iter().any(|c| matches!(c, Command::Leak { .. }));
        assert!(asked && stage.app.leaking);
        let generation = stage.app.generation;
        let report = LeakReport { bits: 0.02, low: 0.01, high: 0.03, tokens: 6000 };
        stage.update(Update::Leak { generation, done: 48, of: 48, report: Some(report) });
        assert!(!stage.app.leaking);
        assert!(stage.app.results.leak.as_ref().unwrap().generation >= stage.app.mask_since);
        stage.focus(&mask::PANE).press("right");
        assert!(stage.app.results.leak.as_ref().is_none_or(|l| l.generation < stage.app.mask_since));
    }

    #[test]
    fn a_window_longer_than_the_context_is_said_not_crashed() {
        let mut stage = Stage::with(Options { text: "one two three".to_owned(), ..options() });
        stage.press("b");
        stage.app.view.item = RollingSettings::window;
        stage.press("enter").press("ctrl-u").types("99999").press("enter");
        let r = stage.last();
        assert!(
            stage.app.entry.as_ref().is_some_and(|e| e.error.is_some())
                || r.rolling.check(&r.mask, 256).is_err()
        );
        assert!(!stage.app.key_label(&SCOPE).is_empty());
    }
}
