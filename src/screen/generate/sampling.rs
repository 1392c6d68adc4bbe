//! How tokens are drawn: temperature, top-k, top-p, penalty, seed. A change counts from the next token on.

use ratatui::layout::Rect;

use crate::engine::types::GenerateSettings;
use crate::screen::actions::{Context, actions};
use crate::screen::app::{App, Entry};
use crate::screen::explore::mask::settings;
use crate::screen::pane::{BLANK, Drag, Pane, Press};
use crate::screen::params::{self, Path};
use crate::screen::settle::scrolled;
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::list::{self, Columns, Line, Look};
use crate::screen::widgets::theme::Role;

/// The settings of the draw.
pub const CONTEXT: Context = Context("Sampling");

pub static PANE: Pane = Pane {
    name: "sampling",
    title: "Sampling",
    screen: Screen::Generate,
    context: |_| CONTEXT,
    actions: &[ACTIONS],
    draw,
    settle,
    takes: |_, c| c.is_ascii_digit(),
    typed: |app, c| begin(app, c.to_string()),
    press,
    wheel: Some(|app, _, wheel| app.act(if wheel.by < 0 { SAMPLING_UP.run } else { SAMPLING_DOWN.run })),
    ..BLANK
};

actions! {
    CONTEXT {
        /// Go to the setting above
        SAMPLING_UP ["up"] "setting" with [SAMPLING_DOWN] => |app| step(app, -1);
        /// Go to the setting below
        SAMPLING_DOWN ["down"] => |app| step(app, 1);
        /// Lower the value by one step, or take the choice before
        SAMPLING_LESS ["left"] "change" with [SAMPLING_MORE] => |app| settings::nudge(app, app.generate.field, -1, false);
        /// Raise the value by one step, or take the next choice
        SAMPLING_MORE ["right"] => |app| settings::nudge(app, app.generate.field, 1, false);
        /// Lower the value by a fine step
        SAMPLING_FINE_LESS ["shift-left"] => |app| settings::nudge(app, app.generate.field, -1, true);
        /// Raise the value by a fine step
        SAMPLING_FINE_MORE ["shift-right"] => |app| settings::nudge(app, app.generate.field, 1, true);
        /// Type the value, or choose from all of them
        SAMPLING_OPEN ["enter"] "type / choose" => open;
        /// Back to the configured value
        SAMPLING_RESET ["backspace" "delete"] => |app| settings::reset(app, app.generate.field);
    }
}

const COLUMNS: Columns = Columns { name: 19, value: 6 };

fn fields() -> Vec<Path> {
    GenerateSettings::ROWS.iter().map(|row| row.path).collect()
}

fn step(app: &mut App, by: isize) {
    let all = fields();
    let here = all.iter().position(|f| *f == app.generate.field).unwrap_or(0);
    app.generate.field = all[here.saturating_add_signed(by).min(all.len() - 1)];
}

fn open(app: &mut App) {
    if params::is_typed(app.generate.field) {
        begin(app, String::new());
    } else {
        settings::pick(app, app.generate.field);
    }
}

fn begin(app: &mut App, typed: String) {
    let path = app.generate.field;
    if !params::is_typed(path) {
        let key = app.key_label(&SAMPLING_OPEN);
        return app.say(format!("This setting has names, not numbers: {key} lists them"));
    }
    app.entry = Some(Entry { path, typed, error: None });
}

/// Lines for settings; the rest explains.
fn lines(area: Rect) -> u16 {
    let footer = if area.height >= 7 { 3 } else { 0 };
    area.height.saturating_sub(footer).max(1)
}

fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let all = fields();
    let visible = lines(area) as usize;
    for (i, path) in all.iter().skip(app.generate.field_top).take(visible).enumerate() {
        let line = Rect::new(area.x, area.y + i as u16, area.width, 1).intersection(area);
        row(c, app, path, line);
    }
    list::more(c, area, (app.generate.field_top, visible, all.len()));
    if area.height > visible as u16 {
        let below = Rect { y: area.y + visible as u16, height: area.height - visible as u16, ..area };
        let rule = c.style(Role::Border);
        c.line(below.x, below.y, "─", below.width, rule);
        let text = Rect { y: below.y + 1, height: below.height - 1, ..below };
        match app.entry.as_ref().and_then(|e| e.error.as_ref()) {
            Some(error) => {
                let bad = c.style(Role::Bad);
                c.paragraph(text, error, bad);
            }
            None => {
                let dim = c.style(Role::Dim);
                c.paragraph(text, params::row(app.generate.field).doc, dim);
            }
        }
    }
}

fn row(c: &mut Canvas, app: &App, path: Path, area: Rect) {
    let value = params::text(&app.doc, &app.options, path);
    let typing = app.entry.as_ref().filter(|e| e.path == path);
    let look = match params::fraction(&app.doc, &app.options, path) {
        _ if typing.is_some_and(|t| t.error.is_some()) => Look::Typing { refused: true },
        _ if typing.is_some() => Look::Typing { refused: false },
        _ if params::has_choices(path) => Look::Choice,
        Some(place) if path != GenerateSettings::seed => Look::Track(place),
        _ => Look::Plain,
    };
    let line = Line {
        symbol: "",
        name: params::row(path).name(),
        value: typing.map_or(&value, |t| &t.typed),
        look,
        hint: "",
        current: app.generate.field == path,
        focused: app.view.focus == &PANE,
    };
    list::draw(c, COLUMNS, &line, area);
}

fn settle(app: &mut App, area: Option<Rect>) {
    let all = fields();
    let here = all.iter().position(|f| *f == app.generate.field).unwrap_or(0);
    app.generate.field = all[here];
    if let Some(area) = area {
        app.generate.field_top = scrolled(app.generate.field_top, here, all.len(), lines(area) as usize);
    }
}

fn field_at(app: &App, area: Rect, y: u16) -> Option<Path> {
    let line = y.checked_sub(area.y).filter(|l| *l < lines(area))? as usize;
    fields().get(app.generate.field_top + line).copied()
}

fn fraction_at(app: &App, area: Rect, path: Path, x: u16) -> Option<f64> {
    if path == GenerateSettings::seed {
        return None;
    }
    params::fraction(&app.doc, &app.options, path)?;
    COLUMNS.on_track(area, x).then(|| COLUMNS.place_at(area, x))
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let path = field_at(app, area, press.y)?;
    if fraction_at(app, area, path, press.x).is_none() {
        let again = app.generate.field == path && !params::is_typed(path);
        app.act(|app| {
            app.generate.field = path;
            if press.double || again {
                open(app);
            }
        });
        return None;
    }
    app.act(|app| app.generate.field = path);
    let slide = move |app: &mut App, area: Rect, (x, _): (u16, u16)| {
        if let Some(at) = fraction_at(app, area, path, x) {
            app.act(|app| settings::set_fraction(app, path, at));
        }
    };
    app.hold();
    slide(app, area, (press.x, press.y));
    Some(Box::new(slide))
}
