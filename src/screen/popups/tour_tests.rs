//! The tour shows every stop, and what a stop asks for takes it on.

use super::*;
use crate::screen::testing::Stage;
use crate::screen::tests::desk::Desk;
use crate::screen::tests::{picture, text as screen_text};

#[test]
fn the_tour_shows_every_stop_and_puts_the_panes_back() {
    let mut stage = Stage::new();
    stage.focus(&tokens::PANE);
    let before = stage.app.view.clone();
    stage.press("f2");
    for stop in STOPS {
        assert_eq!(stage.app.view.focus, stop.pane);
        stage.press("enter");
    }
    assert!(stage.app.tour.is_none());
    assert_eq!((stage.app.view.focus, &stage.app.view.recent), (before.focus, &before.recent));
    stage.press("f2 enter enter e o esc");
    assert!(stage.app.tour.is_none() && !stage.app.view.overview && !stage.app.view.effects);
    assert_eq!(stage.app.view.focus, &tokens::PANE);
}

#[test]
fn what_a_stop_asks_for_works_and_takes_it_on() {
    let mut stage = Stage::new();
    let text = stage.last().text.clone();
    stage.press("f2").types(" hello q");
    assert_eq!(*stage.last().text, format!("{text} hello q"));
    assert_eq!(stage.app.tour.as_ref().unwrap().step, 0, "not while somebody types");
    assert!(stage.app.wake().is_some());
    stage.wait(3000);
    assert_eq!(stage.app.tour.as_ref().unwrap().step, 1);
    stage.press("left").wait(9000);
    assert_eq!(stage.app.tour.as_ref().unwrap().step, 1, "one of two was done");
    stage.press("space").wait(3000);
    assert_eq!(stage.app.tour.as_ref().unwrap().step, 2);
    stage.press("l m").wait(3000);
    assert_eq!(stage.app.view.focus, &mask::PANE);
    // A number is typed and taken, although Enter means the next stop.
    stage.types("0.9").press("enter");
    assert_eq!(stage.last().mask.threshold, 0.9);
    stage.press("r").wait(3000);
    assert_eq!(stage.app.view.focus, &plane::PANE);
    stage
        .press("up")
        .wait(3000)
        .press("e")
        .wait(3000)
        .press("a")
        .wait(3000)
        .press("b")
        .wait(3000)
        .press("space")
        .wait(3000);
    assert_eq!(stage.app.tour.as_ref().unwrap().step, STOPS.len() - 1);
    stage.press("f").wait(9000);
    assert!(stage.app.tour.is_some(), "the last stop stays until it is left");
}

#[test]
fn a_drag_goes_through_and_a_click_on_the_strip_goes_on() {
    let mut desk = Desk::new();
    desk.stage.press("f2 enter enter enter enter");
    assert_eq!(desk.stage.app.view.focus, &plane::PANE);
    let plot = plane::plot(desk.inner(&plane::PANE));
    desk.drag((plot.x + 5, plot.y + 3), (plot.x, plot.y));
    assert_eq!(desk.stage.last().mask.threshold, 0.0);
    let strip = desk.layout().tour.unwrap();
    desk.click(strip.x + 3, strip.y + 1);
    assert_eq!(desk.stage.app.view.focus, &effect::PANE);
}

/// Without frames and line ends.
fn flat(seen: &str) -> String {
    seen.split(|c: char| c.is_whitespace() || c == '│')
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn it_covers_no_pane_and_explains_the_marks() {
    for (w, h) in [(160, 50), (120, 40), (80, 24), (60, 16)] {
        let mut stage = Stage::new();
        stage.press("f2");
        for stop in STOPS {
            let seen = screen_text(&picture(&mut stage, w, h));
            let layout = stage.app.layout();
            let strip = layout.tour.unwrap();
            assert!(layout.panels().all(|p| p.outer.intersection(strip).is_empty()), "{}", stop.title);
            assert!(layout.panel(stop.pane).is_some_and(|p| !p.inner.is_empty()), "{} {w}", stop.title);
            if stop.pane == &tokens::PANE && h > 16 {
                for mark in ["◆ masked", "○ its score", "▪ protected", "surprised"] {
                    assert!(flat(&seen).contains(mark), "{mark} at {w}: {seen}");
                }
            }
            stage.press("enter");
        }
    }
}

#[test]
fn every_key_that_a_stop_speaks_of_is_the_one_bound_now() {
    for stop in STOPS {
        assert_eq!(stop.text.matches("{}").count(), stop.keys.len(), "{}", stop.title);
        for task in stop.tasks {
            assert_eq!(task.text.matches("{}").count(), task.keys.len(), "{}", task.text);
        }
    }
}
