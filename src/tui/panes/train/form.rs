//! The form of a run: one line a setting, with the doc or the problem of the one that is changed below.

use ratatui::layout::Rect;

use crate::app::params::{self, Path};
use crate::app::state::{App, Pane};
use crate::app::train::RunSettings;
use crate::tui::canvas::Canvas;
use crate::tui::panes::Piece;
use crate::tui::panes::list::{self, Columns, Line, Look};
use crate::tui::theme::Role;

pub const COLUMNS: Columns = Columns { name: 17, value: 9 };

/// Lines for settings; the rest explains.
pub fn rows(area: Rect) -> u16 {
    area.height.saturating_sub(footer(area)).max(1)
}

fn footer(area: Rect) -> u16 {
    if area.height >= 8 { 3 } else { 0 }
}

/// The setting at a line of the screen.
pub fn field_at(app: &App, area: Rect, y: u16) -> Option<Path> {
    let line = y.checked_sub(area.y).filter(|l| *l < rows(area))? as usize;
    params::shown_of_run(&app.doc).get(app.train.field_top + line).copied()
}

/// The place on a setting's track at a column, if it is on one.
pub fn fraction_at(app: &App, area: Rect, path: Path, x: u16) -> Option<f64> {
    params::fraction(&app.doc, &app.options, path)?;
    COLUMNS.on_track(area, x).then(|| COLUMNS.place_at(area, x))
}

pub fn subtitle(app: &App) -> Vec<Piece> {
    let model = app.train.followed.as_deref().or(app.model.as_ref().map(|m| m.id.as_str()));
    model.map(|m| Piece::new(m, Role::Dim)).into_iter().collect()
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let shown = params::shown_of_run(&app.doc);
    let visible = rows(area) as usize;
    for (i, field) in shown.iter().skip(app.train.field_top).take(visible).enumerate() {
        row(c, app, field, Rect::new(area.x, area.y + i as u16, area.width, 1));
    }
    list::more(c, area, (app.train.field_top, visible, shown.len()));
    explain(c, app, area);
}

fn row(c: &mut Canvas, app: &App, path: Path, area: Rect) {
    let value = params::text(&app.doc, &app.options, path);
    let typing = app.train.typing.as_ref().filter(|t| t.field == Some(path));
    let look = match params::fraction(&app.doc, &app.options, path) {
        _ if typing.is_some_and(|t| t.error.is_some()) => Look::Typing { refused: true },
        _ if typing.is_some() => Look::Typing { refused: false },
        _ if params::has_choices(path) => Look::Choice,
        _ if path == RunSettings::minutes && app.doc.form.run.minutes == 0.0 => Look::Unset("no limit"),
        Some(place) => Look::Track(place),
        None if value.is_empty() => Look::Unset(match path {
            RunSettings::validation => "last tenth of the data",
            RunSettings::out => "a new one",
            _ => "–",
        }),
        None => Look::Plain,
    };
    let line = Line {
        symbol: "",
        name: params::row(path).name(),
        value: typing.map_or(&value, |t| &t.typed),
        look,
        hint: "",
        current: app.train.field == path,
        focused: app.view.focus == Pane::Setup,
    };
    list::draw(c, COLUMNS, &line, area);
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
    } else if app.train.field == RunSettings::masking && app.doc.form.explorers_policy() {
        let style = c.style(Role::Dim);
        c.paragraph(area, &policy(app), style);
    } else {
        let style = c.style(Role::Dim);
        c.paragraph(area, params::row(app.train.field).doc, style);
    }
}
