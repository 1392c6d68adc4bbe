//! What keys and the mouse do here, by whole events.

use crate::screen::explore::map;
use crate::screen::explore::map::view::Zoom;
use crate::screen::testing::Stage;
use crate::screen::tests::desk::Desk;

#[test]
fn zooming_keeps_the_crosshair_in_view() {
    let mut stage = Stage::new();
    stage.focus(&map::PANE);
    stage.act(|app| map::crosshair(app, 25, 20));
    stage.press("+ + + +");
    assert!(matches!(stage.app.view.zoom, Zoom::Level(_)));
    for keys in ["home", "end", "pageup", "pagedown pagedown", "shift-left", "shift-down"] {
        stage.press(keys);
        let v = map::view::layout(
            stage.app.results.len(),
            map::room(&stage.app).unwrap(),
            stage.app.view.zoom,
            stage.app.view.origin,
        );
        assert!(
            v.keys.of(stage.app.view.key).is_some() && v.queries.of(stage.app.view.query).is_some(),
            "{keys}"
        );
    }
    stage.press("0");
    assert_eq!(stage.app.view.zoom, Zoom::Fit);
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
