//! The settings: two sliders, choices, and what they amount to. The one list where everything about the mask is changed.

pub mod entry;
pub mod rates;
pub mod settings;
pub mod short;

use ratatui::layout::Rect;

use crate::attention::types::ScoreSettings;
use crate::mask::types::{MaskSettings, Scope};
use crate::screen::actions::{Action, Context};
use crate::screen::app::App;
use crate::screen::explore::mask::settings::{MIX, REROLL};
use crate::screen::explore::{explain, scores};
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart, Wheel, share};
use crate::screen::params::{self, PRESET, Path};
use crate::screen::settle::scrolled;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::list::{self, Columns, Line, Look};
use crate::screen::widgets::theme::Role;
use crate::settings::Kind;

/// The list of settings.
pub const CONTEXT: Context = Context("Mask settings");

pub static PANE: Pane = Pane {
    name: "mask",
    title: "Mask",
    context: |_| CONTEXT,
    actions: &[settings::ACTIONS, entry::ACTIONS],
    subtitle,
    draw,
    explain: explain::setting,
    settle,
    takes: |_, c| c.is_ascii_digit(),
    typed: entry::type_char,
    press,
    wheel: Some(wheel),
    ..BLANK
};

pub const COLUMNS: Columns = Columns { name: 15, value: 7 };

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
pub fn item_at(app: &App, area: Rect, y: u16) -> Option<Path> {
    let line = y.checked_sub(area.y).filter(|l| *l < rows(area))? as usize;
    params::shown(&app.doc).get(app.view.item_top + line).copied()
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let mut out = Vec::new();
    if app.doc.mask.scope == Scope::Whole {
        out.push(TitlePart::new("whole: look-ahead", Role::Dim));
    } else {
        out.push(TitlePart::new("block: past only", Role::Dim));
    }
    out
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let shown = params::shown(&app.doc);
    let visible = rows(area) as usize;
    for (i, id) in shown.iter().skip(app.view.item_top).take(visible).enumerate() {
        row(c, app, id, Rect::new(area.x, area.y + i as u16, area.width, 1));
    }
    list::more(c, area, (app.view.item_top, visible, shown.len()));
    summary(c, app, area);
}

fn row(c: &mut Canvas, app: &App, path: Path, area: Rect) {
    let declared = params::row(path);
    let mut value = params::text(&app.doc, &app.options, path);
    if path == PRESET && app.doc.preset(&app.options).is_none() {
        // With only the sliders moved it is still that preset, and says so.
        value = app.doc.nearest_preset(&app.options).map_or(value, |p| format!("{p}, moved"));
    }
    if let Some((used, why)) = app.other_score().filter(|_| path == ScoreSettings::reduction) {
        value = format!("{used} ({})", why.name());
    }
    let typing = app.entry.as_ref().filter(|e| e.path == path);
    let look = match declared.kind {
        _ if typing.is_some_and(|e| e.error.is_some()) => Look::Typing { refused: true },
        _ if typing.is_some() => Look::Typing { refused: false },
        Kind::Float { .. } => Look::Track(params::fraction(&app.doc, &app.options, path).unwrap_or(0.0)),
        Kind::Bool => Look::Switch(value == "on"),
        _ if path == MaskSettings::mix && app.doc.mask.mix.is_none() => Look::Unset("off"),
        _ if params::has_choices(path) => Look::Choice,
        _ => Look::Plain,
    };
    let inert = params::inert(&app.doc, path);
    let look = inert.as_ref().map_or(look, |inert| Look::Inert(&inert.who));
    let key = |action: &Action, does: &str| format!("  {} {does}", app.key_label(action));
    let hint = match path {
        MaskSettings::mix => key(&MIX, "edits"),
        MaskSettings::seed => key(&REROLL, "re-rolls"),
        _ => String::new(),
    };
    let line = Line {
        symbol: declared.symbol,
        name: declared.name(),
        value: typing.map_or(&value, |e| &e.typed),
        look,
        hint: &hint,
        current: app.view.item == path,
        focused: [&PANE, &scores::PANE].contains(&app.view.focus),
    };
    list::draw(c, COLUMNS, &line, area);
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
        let doc = params::row(app.view.item).doc;
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
    let by_budget = params::by_budget(&app.doc);
    let (what, e) = if by_budget { ("keeps ", short(app.doc.rolling.budget)) } else { ("expected ", e) };
    // A budget is about what stays: what the cache holds stands beside it, not what left.
    let holds =
        app.results.decided.as_ref().and_then(|d| d.value.window.as_ref()).map(|w| short(w.cache_share));
    let (was, r) = match holds.filter(|_| by_budget) {
        Some(holds) => ("  holds ", holds),
        None => ("  actual ", r),
    };
    c.spans(area.x, y, &[(what, dim), (&e, strong), (was, dim), (&r, masked), (&count, dim)], area.right());
    if app.results.decided.as_ref().is_some_and(|d| app.stale(d)) {
        c.fade(Rect { y, height: 1, ..area });
    }
    if lines > 1 {
        let expected = (!by_budget).then_some(expected);
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

fn settle(app: &mut App, area: Option<Rect>) {
    let shown = params::shown(&app.doc);
    if !shown.contains(&app.view.item) {
        app.view.item = shown.first().copied().unwrap_or(PRESET);
    }
    if let Some(area) = area {
        let item = shown.iter().position(|p| *p == app.view.item).unwrap_or(0);
        app.view.item_top = scrolled(app.view.item_top, item, shown.len(), rows(area) as usize);
    }
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let path = item_at(app, area, press.y)?;
    let again = app.view.item == path;
    app.act(|app| settings::select(app, path));
    match params::kind(&app.doc, path) {
        Kind::Float { .. } if COLUMNS.on_track(area, press.x) => {
            let slide = move |app: &mut App, area: Rect, (x, _): (u16, u16)| {
                app.act(|app| settings::set_fraction(app, path, COLUMNS.place_at(area, x)));
            };
            app.hold();
            slide(app, area, (press.x, press.y));
            return Some(Box::new(slide));
        }
        Kind::Bool => app.act(|app| settings::nudge(app, path, 1, false)),
        _ if press.double || (again && params::has_choices(path)) => {
            app.act(|app| settings::open(app, path));
        }
        _ => {}
    }
    None
}

fn wheel(app: &mut App, area: Rect, wheel: Wheel) {
    let Some(path) = item_at(app, area, wheel.y) else { return };
    if params::has_choices(path) || matches!(params::kind(&app.doc, path), Kind::Float { .. }) {
        settings::turn(app, path, wheel);
    }
}

#[cfg(test)]
mod tests;
