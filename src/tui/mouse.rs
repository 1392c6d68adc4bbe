//! What the mouse does, through the same layout that is drawn.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::app::actions::Action;
use crate::app::data::Live;
use crate::app::params::{self, Path};
use crate::app::state::{App, Pane, Popup};
use crate::app::train::update::{charts, course, fields, live, results};
use crate::app::update::popups::{
    LIST_CLOSE, LIST_DOWN, LIST_UP, PAGE_ADVANCE, PAGE_CLOSE, PAGE_DOWN, PAGE_UP, take_entry,
};
use crate::app::update::{general, heads, map, mix, panels, settings, text, tokens};
use crate::mask::types::MaskSettings;
use crate::settings::Kind;
use crate::tui::layout::{Class, Layout};
use crate::tui::{panes, popups};

/// What the button went down on: it keeps the mouse until the button comes up, wherever that is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Grip {
    Slider(Path),
    Plane,
    Line,
    Text,
    Map { x: u16, y: u16 },
    Crosshair,
    Field(Path),
    Live(Live),
    Cursor(Pane),
}

/// The mouse between two events.
#[derive(Debug, Default)]
pub struct Mouse {
    grip: Option<Grip>,
    /// Where and on what the last click was, for double clicks.
    last: Option<(u16, u16, std::time::Duration)>,
}

/// Two clicks on a cell within this are one double click.
const DOUBLE: std::time::Duration = std::time::Duration::from_millis(400);
/// Tokens or lines that a notch of the wheel moves.
const NOTCH: i64 = 1;

impl Mouse {
    /// Does what one event asks for.
    pub fn handle(&mut self, app: &mut App, event: MouseEvent) {
        let layout = app.layout();
        if layout.class == Class::Tiny {
            return;
        }
        let (x, y) = (event.column, event.row);
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) => self.down(app, &layout, x, y, event.modifiers),
            MouseEventKind::Down(MouseButton::Right) if on_map(app, &layout, x, y) => {
                self.grip = Some(Grip::Map { x, y });
            }
            MouseEventKind::Drag(_) => self.drag(app, &layout, x, y),
            MouseEventKind::Up(_) if self.grip.take().is_some() => app.release(),
            MouseEventKind::ScrollUp => wheel(app, &layout, x, y, -1, event.modifiers),
            MouseEventKind::ScrollDown => wheel(app, &layout, x, y, 1, event.modifiers),
            MouseEventKind::ScrollLeft => sideways(app, &layout, x, y, -1),
            MouseEventKind::ScrollRight => sideways(app, &layout, x, y, 1),
            _ => {}
        }
    }

    fn down(&mut self, app: &mut App, layout: &Layout, x: u16, y: u16, modifiers: KeyModifiers) {
        let double =
            self.last.is_some_and(|(lx, ly, t)| (lx, ly) == (x, y) && app.now.saturating_sub(t) < DOUBLE);
        self.last = if double { None } else { Some((x, y, app.now)) };
        if app.popup.is_some() {
            return popup(app, layout, x, y);
        }
        if y == layout.hints.y {
            if let Some(action) = panes::hints::action_at(app, layout.hints, x) {
                app.act(action.run);
            }
            return;
        }
        for group in layout.groups.iter().filter(|g| y == g.outer.y) {
            let tab = layout.tabs(group).into_iter().find(|(_, left, w)| (*left..left + w).contains(&x));
            if let Some((pane, ..)) = tab {
                let again = pane == app.view.focus && double;
                return if again { app.act(general::ENLARGE.run) } else { app.act(|app| app.focus(pane)) };
            }
        }
        let Some((pane, inner)) = at(layout, x, y) else { return };
        let press = Press {
            x,
            y,
            double,
            shift: modifiers.contains(KeyModifiers::SHIFT),
            item: app.view.item,
            offset: if pane == Pane::Text { panes::text::offset_at(app, inner, x, y) } else { 0 },
        };
        app.act(|app| app.focus(pane));
        self.press(app, pane, inner, press);
    }

    fn press(&mut self, app: &mut App, pane: Pane, inner: Rect, press: Press) {
        let Press { x, y, double, shift, offset, .. } = press;
        match pane {
            Pane::Text => {
                self.grip = Some(Grip::Text);
                if double {
                    app.act(|app| text::select_word(app, offset));
                } else {
                    app.act(|app| text::place(app, offset, shift));
                }
            }
            Pane::Tokens => {
                if let Some(token) = panes::tokens::token_at(app, inner, x, y) {
                    app.act(|app| tokens::select_token(app, token));
                    if double {
                        app.act(tokens::PIN.run);
                    }
                }
            }
            Pane::Map if app.view.overview => {
                if let Some(place) = panes::overview::place_at(app, inner, x, y) {
                    let open = double || place == app.view.head;
                    app.act(|app| heads::choose(app, place, open));
                }
            }
            Pane::Map => {
                self.grip = Some(Grip::Crosshair);
                crosshair(app, inner, x, y);
            }
            Pane::Mask => self.press_mask(app, inner, press),
            Pane::Plane => self.hold(app, Grip::Plane, inner, (x, y)),
            Pane::Scores => self.hold(app, Grip::Line, inner, (x, y)),
            Pane::Setup => self.press_form(app, inner, press),
            Pane::Run => {
                if let Some((what, at)) = panes::train::plan::slider_at(app, inner, x, y) {
                    self.grip = Some(Grip::Live(what));
                    app.act(|app| live::drag(app, what, at));
                }
            }
            Pane::Loss | Pane::Rates | Pane::Speed => {
                self.grip = Some(Grip::Cursor(pane));
                app.act(|app| charts::cursor_at(app, panes::train::charts::place_at(inner, x)));
            }
            Pane::Runs => {
                if let Some(index) = panes::train::runs::row_at(app, inner, y) {
                    app.act(|app| results::run_row(app, index, double));
                }
            }
            Pane::Effect | Pane::Why | Pane::Cost | Pane::Window | Pane::Twins => {}
            Pane::Raster | Pane::Batch | Pane::Samples | Pane::Log => {}
        }
    }

    /// Takes hold of something: what it does until the button comes up is one step of undo.
    fn hold(&mut self, app: &mut App, grip: Grip, inner: Rect, at: (u16, u16)) {
        self.grip = Some(grip);
        app.hold();
        drag(app, grip, inner, at);
    }

    fn press_form(&mut self, app: &mut App, inner: Rect, press: Press) {
        let Some(field) = panes::train::form::field_at(app, inner, press.y) else { return };
        if panes::train::form::fraction_at(app, inner, field, press.x).is_some() {
            app.act(|app| fields::choose(app, field, false));
            self.hold(app, Grip::Field(field), inner, (press.x, press.y));
        } else {
            let again = app.train.field == field && !params::is_typed(field);
            app.act(|app| fields::choose(app, field, press.double || again));
        }
    }

    fn press_mask(&mut self, app: &mut App, inner: Rect, press: Press) {
        let Some(id) = panes::mask::item_at(app, inner, press.y) else { return };
        app.act(|app| settings::select(app, id));
        match params::kind(&app.doc, id) {
            Kind::Float { .. } if panes::mask::COLUMNS.on_track(inner, press.x) => {
                self.hold(app, Grip::Slider(id), inner, (press.x, press.y));
            }
            Kind::Bool => app.act(|app| settings::nudge(app, id, 1, false)),
            _ if press.double || (press.item == id && params::has_choices(id)) => {
                app.act(|app| settings::open(app, id));
            }
            _ => {}
        }
    }

    fn drag(&mut self, app: &mut App, layout: &Layout, x: u16, y: u16) {
        let Some(grip) = self.grip else { return };
        let pane = match grip {
            Grip::Slider(_) => Pane::Mask,
            Grip::Line => Pane::Scores,
            Grip::Plane => Pane::Plane,
            Grip::Text => Pane::Text,
            Grip::Crosshair | Grip::Map { .. } => Pane::Map,
            Grip::Field(_) => Pane::Setup,
            Grip::Live(_) => Pane::Run,
            Grip::Cursor(pane) => pane,
        };
        let Some(inner) = layout.panel(pane).map(|p| p.inner) else { return };
        if let Grip::Map { x: from_x, y: from_y } = grip {
            let (keys, queries) = tokens_dragged(app, inner, (from_x, from_y), (x, y));
            if (keys, queries) != (0, 0) {
                self.grip = Some(Grip::Map { x, y });
                app.act(|app| map::pan(app, queries, keys));
            }
            return;
        }
        drag(app, grip, inner, (x, y));
    }
}

/// Moves what is held to a cell of the screen.
fn drag(app: &mut App, grip: Grip, inner: Rect, (x, y): (u16, u16)) {
    match grip {
        Grip::Slider(id) => {
            app.act(|app| settings::set_fraction(app, id, panes::mask::COLUMNS.place_at(inner, x)));
        }
        Grip::Line => app.act(|app| settings::set_line(app, panes::scores::place_at(inner, x))),
        Grip::Plane => {
            let (tau, p) = panes::plane::point_at(inner, x, y);
            app.act(|app| settings::set_point(app, tau, p));
        }
        Grip::Text => {
            let offset = panes::text::offset_at(app, inner, x, y);
            app.act(|app| text::place(app, offset, true));
        }
        Grip::Crosshair => crosshair(app, inner, x, y),
        Grip::Map { .. } => {}
        Grip::Field(field) => {
            if let Some(at) = panes::train::form::fraction_at(app, inner, field, x) {
                app.act(|app| settings::set_fraction(app, field, at));
            }
        }
        Grip::Live(what) => app.act(|app| live::drag(app, what, panes::train::plan::fraction_at(inner, x))),
        Grip::Cursor(_) => app.act(|app| charts::cursor_at(app, panes::train::charts::place_at(inner, x))),
    }
}

#[derive(Clone, Copy)]
struct Press {
    x: u16,
    y: u16,
    double: bool,
    shift: bool,
    /// The setting that was at hand before.
    item: Path,
    /// Of the text, as it was drawn: the focus may scroll it.
    offset: usize,
}

/// The pane at a cell, and where its contents are.
fn at(layout: &Layout, x: u16, y: u16) -> Option<(Pane, Rect)> {
    layout.panels().find(|p| p.outer.contains((x, y).into())).map(|p| (p.pane, p.inner))
}

/// Whether the map of one head is at a cell.
fn on_map(app: &App, layout: &Layout, x: u16, y: u16) -> bool {
    matches!(at(layout, x, y), Some((Pane::Map, _))) && !app.view.overview
}

fn crosshair(app: &mut App, inner: Rect, x: u16, y: u16) {
    let frame = panes::map::frame(app, inner);
    let view = panes::map::view(app, &frame);
    if let Some((query, key)) = frame.at(&view, x, y) {
        app.act(|app| map::crosshair(app, query, key));
    }
}

/// How many tokens (keys, queries) the map moves when dragged from one cell to another.
fn tokens_dragged(app: &App, inner: Rect, from: (u16, u16), to: (u16, u16)) -> (i64, i64) {
    let frame = panes::map::frame(app, inner);
    let view = panes::map::view(app, &frame);
    let per_line = frame.room().per_line as i64;
    let moved = |a: u16, b: u16, pixels: i64, axis: &crate::app::mapview::Axis| {
        let px = (i64::from(a) - i64::from(b)) * pixels;
        if axis.pixels > 0 {
            px / axis.pixels as i64
        } else {
            px * axis.span as i64 / axis.size.max(1) as i64
        }
    };
    (moved(from.0, to.0, 1, &view.keys), moved(from.1, to.1, per_line, &view.queries))
}

fn wheel(app: &mut App, layout: &Layout, x: u16, y: u16, lines: i64, modifiers: KeyModifiers) {
    let up = lines < 0;
    let either = |app: &mut App, above: &Action, below: &Action| {
        app.act(if up { above.run } else { below.run });
    };
    match &app.popup {
        Some(Popup::Help { .. }) => return either(app, &PAGE_UP, &PAGE_DOWN),
        Some(Popup::Tour { .. } | Popup::Ask(_)) => return,
        Some(Popup::Mix { .. }) => return either(app, &mix::MIX_UP, &mix::MIX_DOWN),
        Some(_) => return either(app, &LIST_UP, &LIST_DOWN),
        None => {}
    }
    let Some((pane, inner)) = at(layout, x, y) else { return };
    let shift = modifiers.contains(KeyModifiers::SHIFT);
    let nudge = |app: &mut App, id, fine| app.act(|app| settings::nudge(app, id, -lines as i32, fine));
    match pane {
        Pane::Mask => {
            if let Some(id) = panes::mask::item_at(app, inner, y)
                && (params::has_choices(id) || matches!(params::kind(&app.doc, id), Kind::Float { .. }))
            {
                nudge(app, id, shift);
            }
        }
        Pane::Plane if shift => nudge(app, MaskSettings::threshold, false),
        Pane::Plane => nudge(app, MaskSettings::probability, false),
        Pane::Setup => either(app, &fields::FIELD_UP, &fields::FIELD_DOWN),
        Pane::Runs => either(app, &results::RUNS_UP, &results::RUNS_DOWN),
        Pane::Scores => nudge(app, MaskSettings::threshold, shift),
        Pane::Map if app.view.overview => either(app, &heads::HEAD_UP, &heads::HEAD_DOWN),
        Pane::Map if modifiers.contains(KeyModifiers::CONTROL) => either(app, &map::ZOOM_IN, &map::ZOOM_OUT),
        Pane::Map if shift => app.act(|app| map::pan(app, 0, 2 * lines)),
        Pane::Map => app.act(|app| map::pan(app, 2 * lines, 0)),
        _ => app.act(|app| panels::scroll(app, pane, lines * NOTCH)),
    }
}

fn sideways(app: &mut App, layout: &Layout, x: u16, y: u16, tokens: i64) {
    if app.popup.is_none() && on_map(app, layout, x, y) {
        app.act(|app| map::pan(app, 0, 2 * tokens));
    }
}

/// Clicks while something is open: on an entry takes it, outside closes.
fn popup(app: &mut App, layout: &Layout, x: u16, y: u16) {
    let Some(area) = layout.popup else { return };
    let inside = area.contains((x, y).into());
    match (&app.popup, inside) {
        (Some(Popup::Tour { .. }), true) => app.act(PAGE_ADVANCE.run),
        (Some(Popup::Help { .. } | Popup::Tour { .. }), false) => app.act(PAGE_CLOSE.run),
        (Some(Popup::Ask(_)), true) => app.act(course::ASK_YES.run),
        (Some(Popup::Ask(_)), false) => app.act(course::ASK_NO.run),
        (Some(Popup::Help { .. }) | None, _) => {}
        (Some(Popup::Mix { .. }), false) => app.act(mix::MIX_CLOSE.run),
        (Some(Popup::Mix { row }), true) => {
            if let Some((row, percent)) = popups::mix::at(area, *row, x, y) {
                let percent = percent.unwrap_or(crate::app::mixing::shares(&app.doc.mask)[row]);
                app.act(|app| mix::set_share(app, row, percent));
            }
        }
        (Some(_), false) => app.act(LIST_CLOSE.run),
        (Some(_), true) => {
            let (top, room, first) = popups::list_window(app, area);
            let line = y.checked_sub(top).map(usize::from).filter(|l| *l < room);
            let index = line.map(|l| first + l).filter(|i| *i < crate::app::lists::entries(app).len());
            if let Some(index) = index {
                app.act(|app| take_entry(app, index));
            }
        }
    }
}
