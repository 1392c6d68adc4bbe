//! What the mouse does, through the same layout that is drawn: which pane, popup or tab an event is for.

use std::fmt;
use std::time::Duration;

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::screen::app::App;
use crate::screen::chrome::hints;
use crate::screen::explore::details;
use crate::screen::layout::{Layout, SizeClass};
use crate::screen::pane::{Drag, Pane, Press, Wheel};
use crate::screen::{general, popups};

/// The mouse between two events.
#[derive(Default)]
pub struct Mouse {
    /// The pane that the button went down on: it keeps the mouse until the button comes up, wherever that is.
    held: Option<(&'static Pane, Drag)>,
    /// Where and when the last click was, for double clicks.
    last: Option<(u16, u16, Duration)>,
}

impl fmt::Debug for Mouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mouse")
            .field("held", &self.held.as_ref().map(|(pane, _)| pane))
            .finish_non_exhaustive()
    }
}

/// Two clicks on a cell within this are one double click.
const DOUBLE: Duration = Duration::from_millis(400);

impl Mouse {
    /// Does what one event asks for.
    pub fn handle(&mut self, app: &mut App, event: MouseEvent) {
        let layout = app.layout();
        if layout.class == SizeClass::Tiny {
            return;
        }
        let (x, y) = (event.column, event.row);
        let mut wheel = |by: i64, sideways: bool| {
            let held = |modifier| event.modifiers.contains(modifier);
            let (shift, control) = (held(KeyModifiers::SHIFT), held(KeyModifiers::CONTROL));
            turn(app, &layout, Wheel { x, y, by, sideways, shift, control });
        };
        match event.kind {
            MouseEventKind::ScrollUp => wheel(-1, false),
            MouseEventKind::ScrollDown => wheel(1, false),
            MouseEventKind::ScrollLeft => wheel(-1, true),
            MouseEventKind::ScrollRight => wheel(1, true),
            MouseEventKind::Down(MouseButton::Left) => self.down(app, &layout, x, y, event.modifiers),
            MouseEventKind::Down(MouseButton::Right) => {
                if let Some((pane, drag)) =
                    at(&layout, x, y).and_then(|(pane, _)| Some((pane, (pane.pull)(app, (x, y))?)))
                {
                    self.held = Some((pane, drag));
                }
            }
            MouseEventKind::Drag(_) => self.drag(app, &layout, x, y),
            MouseEventKind::Up(_) if self.held.take().is_some() => app.release(),
            _ => {}
        }
    }

    fn down(&mut self, app: &mut App, layout: &Layout, x: u16, y: u16, modifiers: KeyModifiers) {
        let now = app.now;
        let again = |(lx, ly, t): (u16, u16, Duration)| (lx, ly) == (x, y) && now.saturating_sub(t) < DOUBLE;
        let double = self.last.is_some_and(again);
        self.last = if double { None } else { Some((x, y, now)) };
        if app.popup.is_some() {
            return popups::press(app, layout, x, y);
        }
        if layout.tour.is_some_and(|strip| strip.contains((x, y).into())) {
            return app.act(popups::tour::TOUR_NEXT.run);
        }
        if y == layout.hints.y {
            if let Some(action) = hints::action_at(app, layout.hints, x) {
                app.act(action.run);
            }
            return;
        }
        for group in layout.groups.iter().filter(|g| y == g.outer.y) {
            let tab = layout.tabs(group).into_iter().find(|(_, left, w)| (*left..left + w).contains(&x));
            if let Some((pane, ..)) = tab {
                let enlarge = pane == app.view.focus && double;
                return if enlarge { app.act(general::ENLARGE.run) } else { app.act(|app| app.focus(pane)) };
            }
        }
        let Some((pane, inner)) = at(layout, x, y) else { return };
        let press = Press { x, y, double, shift: modifiers.contains(KeyModifiers::SHIFT) };
        // A text looks for the character under the mouse before the focus may scroll it.
        if !pane.focuses {
            app.act(|app| app.focus(pane));
        }
        self.held = (pane.press)(app, inner, press).map(|drag| (pane, drag));
    }

    fn drag(&mut self, app: &mut App, layout: &Layout, x: u16, y: u16) {
        if let Some((pane, drag)) = &mut self.held
            && let Some(panel) = layout.panel(pane)
        {
            drag(app, panel.inner, (x, y));
        }
    }
}

/// The pane at a cell, and where its contents are.
fn at(layout: &Layout, x: u16, y: u16) -> Option<(&'static Pane, Rect)> {
    layout.panels().find(|p| p.outer.contains((x, y).into())).map(|p| (p.pane, p.inner))
}

fn turn(app: &mut App, layout: &Layout, wheel: Wheel) {
    if app.popup.is_some() {
        if !wheel.sideways {
            popups::wheel(app, wheel.by < 0);
        }
        return;
    }
    let Some((pane, inner)) = at(layout, wheel.x, wheel.y) else { return };
    match pane.wheel {
        Some(turn) if !wheel.sideways || pane.sideways => turn(app, inner, wheel),
        None if !wheel.sideways => app.act(|app| details::scroll(app, pane, wheel.by)),
        _ => {}
    }
}
