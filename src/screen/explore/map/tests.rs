//! What keys and the mouse do here, by whole events.

use crate::screen::explore::map;
use crate::screen::explore::map::view::Zoom;
use crate::screen::testing::Stage;
use crate::screen::tests::desk::Desk;
use crate::screen::tests::{picture, text};

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

#[test]
fn room_that_the_cells_leave_shows_what_the_query_reads_most() {
    use crate::screen::options::Options;
    use crate::screen::testing::options;
    let words = "one two three four five six seven eight nine ten ".repeat(4);
    let mut stage = Stage::with(Options { text: words.trim().to_owned(), ..options() });
    let seen = text(&picture(&mut stage, 160, 50));
    assert!(seen.contains("·ten reads most:"), "{seen}");
    // The strongest key of the row, with its number.
    let map = stage.app.results.map.as_ref().unwrap().value.frame.clone();
    let row = &map.values[39 * 40..];
    let most = row[..40].iter().fold(0f32, |a, b| a.max(*b));
    assert!(seen.contains(&format!("{most:.3}")), "{most} {seen}");
    // Where cells of 2 × 1 fit, they take the room.
    let mut stage = Stage::new();
    picture(&mut stage, 160, 50);
    let frame = map::frame(&stage.app, stage.app.area(&map::PANE).unwrap());
    let view = map::view(&stage.app, &frame);
    assert_eq!((view.keys.pixels, view.queries.pixels), (2, 2));
}

#[test]
fn pooled_cells_say_so_and_every_one_of_1024_tokens_can_be_reached() {
    use crate::screen::options::Options;
    use crate::screen::testing::options;
    let mut stage = Stage::with(Options { text: "word ".repeat(1023), ..options() });
    let seen = text(&picture(&mut stage, 160, 50));
    let area = stage.app.area(&map::PANE).unwrap();
    let (keys, _) = map::view::pooled(&map::view(&stage.app, &map::frame(&stage.app, area))).unwrap();
    assert!(keys > 10 && seen.contains(&format!("a cell: the most of {keys}×")), "{keys} {seen}");
    let seen = text(&picture(&mut stage, 80, 24));
    let area = stage.app.area(&map::PANE).unwrap();
    let (keys, queries) = map::view::pooled(&map::view(&stage.app, &map::frame(&stage.app, area))).unwrap();
    assert!(seen.contains(&format!("{keys}×{queries}")), "{seen}");
    stage.focus(&map::PANE).act(|app| map::crosshair(app, 1023, 1000));
    stage.press("+ + + + + + + +");
    let shown =
        |stage: &Stage| map::view(&stage.app, &map::frame(&stage.app, stage.app.area(&map::PANE).unwrap()));
    let v = shown(&stage);
    assert!(v.keys.of(1000).is_some() && v.queries.of(1023).is_some() && !v.keys.pooled());
    for _ in 0..1100 {
        stage.press("shift-left shift-up");
    }
    let v = shown(&stage);
    assert_eq!((v.keys.start, v.queries.start), (0, 0));
    stage.press("0");
    assert_eq!(shown(&stage).keys.span, 1024);
}

#[test]
fn the_legend_names_the_end_of_the_scale_and_the_strongest_cell() {
    let mut stage = Stage::new();
    let seen = text(&picture(&mut stage, 160, 50));
    assert!(seen.contains(" and more, to 1.000"), "{seen}");
}
