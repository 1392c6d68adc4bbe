//! A stage that a mouse can reach.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::screen::layout::Layout;
use crate::screen::mouse::Mouse;
use crate::screen::pane::Pane;
use crate::screen::testing::Stage;
use crate::screen::tests::{fit, picture, text};

pub const AREA: Rect = Rect::new(0, 0, 160, 50);

/// A stage at a size, with a mouse.
pub struct Desk {
    pub stage: Stage,
    pub mouse: Mouse,
}

impl Desk {
    pub fn new() -> Self {
        let mut stage = Stage::new();
        fit(&mut stage, AREA.width, AREA.height);
        Desk { stage, mouse: Mouse::default() }
    }

    pub fn layout(&self) -> Layout {
        self.stage.app.layout()
    }

    pub fn inner(&self, pane: &'static Pane) -> Rect {
        self.layout().panel(pane).unwrap().inner
    }

    pub fn send(&mut self, kind: MouseEventKind, x: u16, y: u16) {
        let event = MouseEvent { kind, column: x, row: y, modifiers: KeyModifiers::NONE };
        self.stage.mouse(&mut self.mouse, event);
    }

    pub fn click(&mut self, x: u16, y: u16) {
        self.send(MouseEventKind::Down(MouseButton::Left), x, y);
        self.send(MouseEventKind::Up(MouseButton::Left), x, y);
        self.stage.wait(1000);
    }

    pub fn drag(&mut self, from: (u16, u16), to: (u16, u16)) {
        self.send(MouseEventKind::Down(MouseButton::Left), from.0, from.1);
        self.send(MouseEventKind::Drag(MouseButton::Left), to.0, to.1);
        self.send(MouseEventKind::Up(MouseButton::Left), to.0, to.1);
    }

    /// Where a text stands on screen.
    pub fn find(&mut self, what: &str) -> (u16, u16) {
        let all = text(&picture(&mut self.stage, AREA.width, AREA.height));
        let (y, line) =
            all.lines().enumerate().find(|(_, l)| l.contains(what)).unwrap_or_else(|| panic!("no {what}"));
        let x = line[..line.find(what).unwrap()].chars().count();
        (x as u16, y as u16)
    }
}
