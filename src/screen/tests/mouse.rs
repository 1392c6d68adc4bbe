//! The mouse on real layouts: what is clicked is what is seen.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::mask::types::MaskSettings;
use crate::screen::explore::{cost, map, mask, plane, scores, tokens};
use crate::screen::layout::Layout;
use crate::screen::mouse::Mouse;
use crate::screen::pane::Pane;
use crate::screen::popups::Popup;
use crate::screen::testing::Stage;
use crate::screen::tests::{fit, picture, text};
use crate::screen::train::{charts, run, setup};

const AREA: Rect = Rect::new(0, 0, 160, 50);

struct Desk {
    stage: Stage,
    mouse: Mouse,
}

impl Desk {
    fn new() -> Self {
        let mut stage = Stage::new();
        fit(&mut stage, AREA.width, AREA.height);
        Desk { stage, mouse: Mouse::default() }
    }

    fn layout(&self) -> Layout {
        self.stage.app.layout()
    }

    fn inner(&self, pane: &'static Pane) -> Rect {
        self.layout().panel(pane).unwrap().inner
    }

    fn send(&mut self, kind: MouseEventKind, x: u16, y: u16) {
        let event = MouseEvent { kind, column: x, row: y, modifiers: KeyModifiers::NONE };
        self.stage.mouse(&mut self.mouse, event);
    }

    fn click(&mut self, x: u16, y: u16) {
        self.send(MouseEventKind::Down(MouseButton::Left), x, y);
        self.send(MouseEventKind::Up(MouseButton::Left), x, y);
        self.stage.wait(1000);
    }

    fn drag(&mut self, from: (u16, u16), to: (u16, u16)) {
        self.send(MouseEventKind::Down(MouseButton::Left), from.0, from.1);
        self.send(MouseEventKind::Drag(MouseButton::Left), to.0, to.1);
        self.send(MouseEventKind::Up(MouseButton::Left), to.0, to.1);
    }

    /// Where a text stands on screen.
    fn find(&mut self, what: &str) -> (u16, u16) {
        let all = text(&picture(&mut self.stage, AREA.width, AREA.height));
        let (y, line) =
            all.lines().enumerate().find(|(_, l)| l.contains(what)).unwrap_or_else(|| panic!("no {what}"));
        let x = line[..line.find(what).unwrap()].chars().count();
        (x as u16, y as u16)
    }
}

#[test]
fn a_slider_follows_the_mouse_and_keeps_it() {
    let mut desk = Desk::new();
    let inner = desk.inner(&mask::PANE);
    let (x, width) = mask::COLUMNS.track(inner);
    desk.drag((x + 3, inner.y), (x + width - 1, inner.y + 30));
    assert_eq!(desk.stage.last().mask.threshold, 1.0);
    desk.drag((x + 3, inner.y + 1), (0, 0));
    assert_eq!(desk.stage.last().mask.probability, 0.0);
    assert_eq!(desk.stage.app.view.item, MaskSettings::probability);
    desk.stage.press("u u");
    assert_eq!((desk.stage.last().mask.threshold, desk.stage.last().mask.probability), (0.7, 0.5));
}

#[test]
fn the_slider_is_drawn_where_it_is_grabbed() {
    let mut desk = Desk::new();
    let inner = desk.inner(&mask::PANE);
    let (x, width) = mask::COLUMNS.track(inner);
    for i in 0..width {
        desk.click(x + i, inner.y);
        let buf = picture(&mut desk.stage, AREA.width, AREA.height);
        assert_eq!(buf[(x + i, inner.y)].symbol(), "●");
    }
}

#[test]
fn the_point_of_the_plane_is_dragged() {
    let mut desk = Desk::new();
    let inner = desk.inner(&plane::PANE);
    let plot = plane::plot(inner);
    desk.drag((plot.x + 5, plot.y + 3), (plot.x, plot.y));
    let mask = desk.stage.last().mask;
    assert_eq!((mask.threshold, mask.probability), (0.0, 1.0));
    desk.drag((plot.x + 5, plot.y + 3), (plot.right() - 1, plot.bottom() - 1));
    let mask = desk.stage.last().mask;
    assert_eq!((mask.threshold, mask.probability), (1.0, 0.0));
}

#[test]
fn the_line_of_tau_is_dragged_in_the_histogram() {
    let mut desk = Desk::new();
    let inner = desk.inner(&scores::PANE);
    desk.drag((inner.x + 3, inner.y), (inner.right() - 1, inner.y));
    assert!(desk.stage.last().mask.threshold > 0.95);
    desk.drag((inner.x + 3, inner.y), (inner.x, inner.y));
    assert!(desk.stage.last().mask.threshold < 0.05);
}

#[test]
fn a_click_selects_the_token_that_is_seen_there() {
    let mut desk = Desk::new();
    let (x, y) = desk.find("·sailor ");
    desk.click(x + 1, y);
    let key = desk.stage.app.view.key;
    assert_eq!(desk.stage.app.results.tokens()[key].display, "·sailor");
    assert_eq!(desk.stage.app.view.focus, &tokens::PANE);
}

#[test]
fn a_click_in_the_map_sets_the_crosshair() {
    let mut desk = Desk::new();
    let inner = desk.inner(&map::PANE);
    let frame = map::frame(&desk.stage.app, inner);
    let view = map::view(&desk.stage.app, &frame);
    let (q, k) = (20, 7);
    let x = frame.plot.x + view.keys.of(k).unwrap().start as u16;
    let y = frame.plot.y + (view.queries.of(q).unwrap().start / frame.room().per_line) as u16;
    desk.click(x, y);
    let app = &desk.stage.app;
    assert!(view.queries.at((y - frame.plot.y) as usize * frame.room().per_line).contains(&app.view.query));
    assert_eq!((app.view.query / 2, app.view.key), (q / 2, k));
}

#[test]
fn the_caret_goes_where_the_click_is_and_drags_select() {
    let mut desk = Desk::new();
    let (x, y) = desk.find("looked at the grey");
    desk.click(x, y);
    assert!(desk.stage.app.doc.editor.text()[desk.stage.app.doc.editor.caret()..].starts_with("looked"));
    desk.drag((x, y), (x + 6, y));
    assert_eq!(desk.stage.app.doc.editor.selected(), Some("looked"));
}

#[test]
fn tabs_hints_and_popups_take_clicks() {
    let mut desk = Desk::new();
    let (x, y) = desk.find("Cost ");
    desk.click(x, y);
    assert_eq!(desk.stage.app.view.focus, &cost::PANE);
    let (x, y) = desk.find("? help");
    desk.click(x, y);
    assert!(matches!(desk.stage.app.popup, Some(Popup::Help { .. })));
    desk.click(0, 0);
    assert!(desk.stage.app.popup.is_none());
    desk.stage.press("s");
    let (x, y) = desk.find("attention roll-out");
    desk.click(x, y);
    assert_eq!(desk.stage.last().score.reduction.name(), "rollout");
}

#[test]
fn the_wheel_turns_what_is_under_it() {
    let mut desk = Desk::new();
    let inner = desk.inner(&mask::PANE);
    desk.send(MouseEventKind::ScrollUp, inner.x + 2, inner.y);
    assert_eq!(desk.stage.last().mask.threshold, 0.72);
    desk.stage.press("o");
    let map = desk.inner(&map::PANE);
    desk.send(MouseEventKind::ScrollDown, map.x + 2, map.y + 2);
    assert_eq!(desk.stage.app.view.head, 4);
}

#[test]
fn the_train_screen_is_clickable() {
    use crate::engine::types::TrainCommand;
    use crate::train::report::Command as RunCommand;
    use crate::train::settings::TrainSettings;
    let mut desk = Desk { stage: crate::screen::train::tests::running(60), mouse: Mouse::default() };
    fit(&mut desk.stage, AREA.width, AREA.height);
    // A setting, its track, a choice.
    let (x, y) = desk.find("steps ");
    desk.click(x, y);
    assert_eq!((desk.stage.app.view.focus, desk.stage.app.train.field), (&setup::PANE, TrainSettings::steps));
    let (x, y) = desk.find("trained ");
    desk.click(x, y);
    desk.click(x, y);
    assert!(matches!(desk.stage.app.popup, Some(Popup::Picker { path: TrainSettings::trained, .. })));
    desk.stage.press("esc");
    // A live slider keeps the mouse until the button comes up.
    let inner = desk.inner(&run::PANE);
    let (_, y) = desk.find("τ threshold");
    desk.drag((inner.right() - 6, y), (inner.right() - 1, y + 20));
    let told = desk.stage.port.trains.borrow().last().cloned();
    assert_eq!(told, Some(TrainCommand::Tell(RunCommand::SetThreshold(1.0))));
    // The cursor of the charts.
    let inner = desk.inner(&charts::LOSS);
    desk.click(inner.x + 8, inner.y + 4);
    assert_eq!(desk.stage.app.train.chart.cursor, Some(1));
    desk.drag((inner.x + 8, inner.y + 4), (inner.right() + 9, inner.y + 4));
    assert_eq!(desk.stage.app.train.chart.cursor, Some(60));
}
