//! Mouse events to actions, through the same layout that is drawn. Pure, except for what is being dragged.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::app::actions::Verb;
use crate::app::data::Live;
use crate::app::params::{self, Path};
use crate::app::state::{App, Pane, Popup};
use crate::app::update::Action;
use crate::mask::types::MaskSettings;
use crate::settings::Kind;
use crate::tui::layout::{self, Class, Layout};
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
    /// The actions of one event on a screen of this size.
    pub fn actions(&mut self, app: &App, area: Rect, event: MouseEvent) -> Vec<Action> {
        let layout = layout::compute(area, app);
        if layout.class == Class::Tiny {
            return Vec::new();
        }
        let (x, y) = (event.column, event.row);
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) => self.down(app, &layout, x, y, event.modifiers),
            MouseEventKind::Down(MouseButton::Right) => match at(&layout, x, y) {
                Some((Pane::Map, _)) if !app.view.overview => {
                    self.grip = Some(Grip::Map { x, y });
                    Vec::new()
                }
                _ => Vec::new(),
            },
            MouseEventKind::Drag(_) => self.drag(app, &layout, x, y),
            MouseEventKind::Up(_) => {
                if self.grip.take().is_some() {
                    vec![Action::Release]
                } else {
                    Vec::new()
                }
            }
            MouseEventKind::ScrollUp => wheel(app, &layout, x, y, -1, event.modifiers),
            MouseEventKind::ScrollDown => wheel(app, &layout, x, y, 1, event.modifiers),
            MouseEventKind::ScrollLeft => sideways(app, &layout, x, y, -1),
            MouseEventKind::ScrollRight => sideways(app, &layout, x, y, 1),
            _ => Vec::new(),
        }
    }

    fn down(&mut self, app: &App, layout: &Layout, x: u16, y: u16, modifiers: KeyModifiers) -> Vec<Action> {
        let double =
            self.last.is_some_and(|(lx, ly, t)| (lx, ly) == (x, y) && app.now.saturating_sub(t) < DOUBLE);
        self.last = if double { None } else { Some((x, y, app.now)) };
        if app.popup.is_some() {
            return popup(app, layout, x, y);
        }
        if y == layout.hints.y {
            return panes::hints::verb_at(app, layout.hints, x).map(Action::Do).into_iter().collect();
        }
        for group in &layout.groups {
            if y == group.outer.y {
                let tab = layout.tabs(group).into_iter().find(|(_, left, w)| (*left..left + w).contains(&x));
                if let Some((pane, ..)) = tab {
                    let again = pane == app.view.focus && double;
                    return vec![if again { Action::Do(Verb::Enlarge) } else { Action::Focus(pane) }];
                }
            }
        }
        let Some((pane, inner)) = at(layout, x, y) else { return Vec::new() };
        let mut out = vec![Action::Focus(pane)];
        out.extend(self.press(
            app,
            pane,
            inner,
            Press { x, y, double, shift: modifiers.contains(KeyModifiers::SHIFT) },
        ));
        out
    }

    fn press(&mut self, app: &App, pane: Pane, inner: Rect, press: Press) -> Vec<Action> {
        let Press { x, y, double, shift } = press;
        match pane {
            Pane::Text => {
                let offset = panes::text::offset_at(app, inner, x, y);
                self.grip = Some(Grip::Text);
                vec![if double {
                    Action::SelectWord { offset }
                } else {
                    Action::Caret { offset, extend: shift }
                }]
            }
            Pane::Tokens => {
                let token = panes::tokens::token_at(app, inner, x, y);
                let pin = (double && token.is_some()).then_some(Action::Do(Verb::Pin));
                token.map(Action::Token).into_iter().chain(pin).collect()
            }
            Pane::Map if app.view.overview => {
                let place = panes::overview::place_at(app, inner, x, y);
                let again = place == Some(app.view.head);
                place.map(|place| Action::Head { place, open: again || double }).into_iter().collect()
            }
            Pane::Map => {
                self.grip = Some(Grip::Crosshair);
                crosshair(app, inner, x, y)
            }
            Pane::Mask => self.press_mask(app, inner, press),
            Pane::Plane => {
                self.grip = Some(Grip::Plane);
                vec![Action::Hold, plane(inner, x, y)]
            }
            Pane::Scores => {
                self.grip = Some(Grip::Line);
                vec![Action::Hold, Action::SetLine(panes::scores::place_at(inner, x))]
            }
            Pane::Setup => self.press_form(app, inner, press),
            Pane::Run => match panes::train::plan::slider_at(app, inner, x, y) {
                Some((what, at)) => {
                    self.grip = Some(Grip::Live(what));
                    vec![Action::Live(what, at)]
                }
                None => Vec::new(),
            },
            Pane::Loss | Pane::Rates | Pane::Speed => {
                self.grip = Some(Grip::Cursor(pane));
                vec![Action::ChartCursor(panes::train::charts::place_at(inner, x))]
            }
            Pane::Runs => {
                let row = panes::train::runs::row_at(app, inner, y);
                row.map(|index| Action::RunRow { index, open: double }).into_iter().collect()
            }
            Pane::Effect | Pane::Why | Pane::Cost | Pane::Window | Pane::Twins => Vec::new(),
            Pane::Raster | Pane::Batch | Pane::Samples | Pane::Log => Vec::new(),
        }
    }

    fn press_form(&mut self, app: &App, inner: Rect, press: Press) -> Vec<Action> {
        let Some(field) = panes::train::form::field_at(app, inner, press.y) else { return Vec::new() };
        match panes::train::form::fraction_at(app, inner, field, press.x) {
            Some(at) => {
                self.grip = Some(Grip::Field(field));
                vec![Action::Field { path: field, open: false }, Action::Hold, Action::SetFraction(field, at)]
            }
            None => {
                let again = app.train.field == field && !params::is_typed(field);
                vec![Action::Field { path: field, open: press.double || again }]
            }
        }
    }

    fn press_mask(&mut self, app: &App, inner: Rect, press: Press) -> Vec<Action> {
        let Some(id) = panes::mask::item_at(app, inner, press.y) else { return Vec::new() };
        let mut out = vec![Action::Item(id)];
        match params::kind(&app.doc, id) {
            Kind::Float { .. } if panes::mask::COLUMNS.on_track(inner, press.x) => {
                self.grip = Some(Grip::Slider(id));
                out.push(Action::Hold);
                out.push(Action::SetFraction(id, panes::mask::COLUMNS.place_at(inner, press.x)));
            }
            Kind::Bool => out.push(Action::Nudge { path: id, steps: 1, fine: false }),
            _ if press.double || (app.view.item == id && params::has_choices(id)) => {
                out.push(Action::Open(id))
            }
            _ => {}
        }
        out
    }

    fn drag(&mut self, app: &App, layout: &Layout, x: u16, y: u16) -> Vec<Action> {
        let inner = |pane| layout.panel(pane).map(|p| p.inner);
        match self.grip {
            Some(Grip::Slider(id)) => inner(Pane::Mask)
                .map(|r| Action::SetFraction(id, panes::mask::COLUMNS.place_at(r, x)))
                .into_iter()
                .collect(),
            Some(Grip::Line) => inner(Pane::Scores)
                .map(|r| Action::SetLine(panes::scores::place_at(r, x)))
                .into_iter()
                .collect(),
            Some(Grip::Plane) => inner(Pane::Plane).map(|r| plane(r, x, y)).into_iter().collect(),
            Some(Grip::Text) => inner(Pane::Text)
                .map(|r| Action::Caret { offset: panes::text::offset_at(app, r, x, y), extend: true })
                .into_iter()
                .collect(),
            Some(Grip::Crosshair) => inner(Pane::Map).map(|r| crosshair(app, r, x, y)).unwrap_or_default(),
            Some(Grip::Map { x: from_x, y: from_y }) => {
                let Some(r) = inner(Pane::Map) else { return Vec::new() };
                let (keys, queries) = tokens_dragged(app, r, (from_x, from_y), (x, y));
                if keys == 0 && queries == 0 {
                    return Vec::new();
                }
                self.grip = Some(Grip::Map { x, y });
                vec![Action::Pan { queries, keys }]
            }
            Some(Grip::Field(field)) => inner(Pane::Setup)
                .and_then(|r| panes::train::form::fraction_at(app, r, field, x))
                .map(|at| Action::SetFraction(field, at))
                .into_iter()
                .collect(),
            Some(Grip::Live(what)) => inner(Pane::Run)
                .map(|r| Action::Live(what, panes::train::plan::fraction_at(r, x)))
                .into_iter()
                .collect(),
            Some(Grip::Cursor(pane)) => inner(pane)
                .map(|r| Action::ChartCursor(panes::train::charts::place_at(r, x)))
                .into_iter()
                .collect(),
            None => Vec::new(),
        }
    }
}

#[derive(Clone, Copy)]
struct Press {
    x: u16,
    y: u16,
    double: bool,
    shift: bool,
}

/// The pane at a cell, and where its contents are.
fn at(layout: &Layout, x: u16, y: u16) -> Option<(Pane, Rect)> {
    layout.panels().find(|p| p.outer.contains((x, y).into())).map(|p| (p.pane, p.inner))
}

fn plane(inner: Rect, x: u16, y: u16) -> Action {
    let (tau, p) = panes::plane::point_at(inner, x, y);
    Action::SetPoint { tau, p }
}

fn crosshair(app: &App, inner: Rect, x: u16, y: u16) -> Vec<Action> {
    let frame = panes::map::frame(app, inner);
    let view = panes::map::view(app, &frame);
    let hit = frame.at(&view, x, y);
    hit.map(|(query, key)| Action::Crosshair { query, key }).into_iter().collect()
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

fn wheel(app: &App, layout: &Layout, x: u16, y: u16, lines: i64, modifiers: KeyModifiers) -> Vec<Action> {
    if let Some(popup) = &app.popup {
        let verb = match (popup, lines < 0) {
            (Popup::Help { .. }, true) => Verb::PageUp,
            (Popup::Help { .. }, false) => Verb::PageDown,
            (Popup::Tour { .. } | Popup::Ask(_), _) => return Vec::new(),
            (Popup::Mix { .. }, true) => Verb::MixUp,
            (Popup::Mix { .. }, false) => Verb::MixDown,
            (_, true) => Verb::ListUp,
            (_, false) => Verb::ListDown,
        };
        return vec![Action::Do(verb)];
    }
    let Some((pane, inner)) = at(layout, x, y) else { return Vec::new() };
    let shift = modifiers.contains(KeyModifiers::SHIFT);
    match pane {
        Pane::Mask => match panes::mask::item_at(app, inner, y) {
            Some(path)
                if params::has_choices(path)
                    || matches!(params::kind(&app.doc, path), Kind::Float { .. }) =>
            {
                vec![Action::Nudge { path, steps: -lines as i32, fine: shift }]
            }
            _ => Vec::new(),
        },
        Pane::Plane => {
            let path = if shift { MaskSettings::threshold } else { MaskSettings::probability };
            vec![Action::Nudge { path, steps: -lines as i32, fine: false }]
        }
        Pane::Setup => vec![Action::Do(if lines < 0 { Verb::FieldUp } else { Verb::FieldDown })],
        Pane::Runs => vec![Action::Do(if lines < 0 { Verb::RunsUp } else { Verb::RunsDown })],
        Pane::Scores => {
            vec![Action::Nudge { path: MaskSettings::threshold, steps: -lines as i32, fine: shift }]
        }
        Pane::Map if app.view.overview => {
            vec![Action::Do(if lines < 0 { Verb::HeadUp } else { Verb::HeadDown })]
        }
        Pane::Map if modifiers.contains(KeyModifiers::CONTROL) => {
            vec![Action::Do(if lines < 0 { Verb::ZoomIn } else { Verb::ZoomOut })]
        }
        Pane::Map if shift => vec![Action::Pan { queries: 0, keys: 2 * lines }],
        Pane::Map => vec![Action::Pan { queries: 2 * lines, keys: 0 }],
        _ => vec![Action::Scroll { pane, lines: lines * NOTCH }],
    }
}

fn sideways(app: &App, layout: &Layout, x: u16, y: u16, tokens: i64) -> Vec<Action> {
    match at(layout, x, y) {
        Some((Pane::Map, _)) if app.popup.is_none() && !app.view.overview => {
            vec![Action::Pan { queries: 0, keys: 2 * tokens }]
        }
        _ => Vec::new(),
    }
}

/// Clicks while something is open: on an entry takes it, outside closes.
fn popup(app: &App, layout: &Layout, x: u16, y: u16) -> Vec<Action> {
    let Some(area) = layout.popup else { return Vec::new() };
    let inside = area.contains((x, y).into());
    match (&app.popup, inside) {
        (Some(Popup::Tour { .. }), true) => vec![Action::Do(Verb::PageAdvance)],
        (Some(Popup::Help { .. } | Popup::Tour { .. }), false) => vec![Action::Do(Verb::PageClose)],
        (Some(Popup::Ask(_)), true) => vec![Action::Do(Verb::AskYes)],
        (Some(Popup::Ask(_)), false) => vec![Action::Do(Verb::AskNo)],
        (Some(Popup::Help { .. }) | None, _) => Vec::new(),
        (Some(Popup::Mix { .. }), false) => vec![Action::Do(Verb::MixClose)],
        (Some(Popup::Mix { row }), true) => match popups::mix::at(area, *row, x, y) {
            Some((row, percent)) => {
                let percent = percent.unwrap_or(crate::app::mixing::shares(&app.doc.mask)[row]);
                vec![Action::Share { row, percent }]
            }
            None => Vec::new(),
        },
        (Some(_), false) => vec![Action::Do(Verb::ListClose)],
        (Some(_), true) => {
            let (top, room, first) = popups::list_window(app, area);
            let line = y.checked_sub(top).map(usize::from).filter(|l| *l < room);
            let index = line.map(|l| first + l).filter(|i| *i < crate::app::lists::entries(app).len());
            index.map(|index| Action::ListEntry { index, take: true }).into_iter().collect()
        }
    }
}
