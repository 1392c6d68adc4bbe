//! Key strings in, the grid out.

use super::*;
use crate::engine::types::{TrainUpdate, Update};
use crate::screen::testing::Stage;
use crate::screen::tests::{fit, picture, text};
use crate::screen::train::tests::{planned, report, step};
use crate::screen::widgets::plot::Axis;
use crate::train::report::{Report, RunState};

fn running(steps: usize) -> Stage {
    let mut stage = planned();
    report(&mut stage, Report::State { state: RunState::Running });
    for n in 1..=steps {
        report(&mut stage, step(n));
    }
    let evaluated = Report::Evaluated { step: steps, loss: 2.5, bits_per_byte: None, masked_loss: Some(3.5) };
    report(&mut stage, evaluated);
    stage.app.focus(&PANE);
    stage
}

fn names(stage: &Stage) -> Vec<&'static str> {
    listed(&stage.app).0.iter().map(|m| m.name).collect()
}

#[test]
fn only_numbers_that_a_run_has_are_listed() {
    let stage = running(20);
    let names = names(&stage);
    for name in ["training loss", "validation loss", "masked validation loss", "learning rate", "mask rate"] {
        assert!(names.contains(&name), "{name}");
    }
    // Nothing measured a GPU, cores, or the loss at masked tokens.
    for name in ["GPU watts", "CPU cores busy", "loss at masked tokens"] {
        assert!(!names.contains(&name), "{name}");
    }
}

#[test]
fn a_filter_narrows_while_it_is_typed_and_letters_are_not_keys() {
    let mut stage = running(20);
    let all = names(&stage).len();
    stage.press("/").types("q LOSS");
    assert!(!stage.app.quit && names(&stage).is_empty());
    stage.press("ctrl-u").types("LOSS val");
    assert_eq!(names(&stage), ["validation loss", "masked validation loss"]);
    stage.press("enter");
    assert!(!stage.app.train.metrics.filtering);
    assert_eq!(names(&stage).len(), 2);
    stage.press("/ backspace backspace backspace enter");
    assert_eq!(stage.app.train.metrics.filter, "LOSS ");
    stage.press("/ esc");
    assert_eq!((names(&stage).len(), stage.app.train.metrics.filtering), (all, false));
    stage.press("/").types("ms");
    stage.press("enter backspace");
    assert_eq!(names(&stage).len(), all);
}

#[test]
fn axis_and_smoothing_turn_in_all_charts() {
    let mut stage = running(40);
    let axes: Vec<Axis> = (0..3)
        .map(|_| {
            stage.press("a");
            stage.app.train.chart.axis
        })
        .collect();
    assert_eq!(axes, [Axis::Tokens, Axis::Time, Axis::Steps]);
    stage.press("a");
    let run = stage.app.train.run.as_ref().unwrap();
    let frame = frame(&stage.app, Some(run), true);
    assert_eq!(frame.span, (256.0, 256.0 * 40.0));
    let before = run.series.last().unwrap().smooth;
    stage.press("S S");
    assert_eq!(stage.app.train.chart.smoothing.keep(), 0.0);
    let point = *stage.app.train.run.as_ref().unwrap().series.last().unwrap();
    assert_eq!(point.smooth, point.loss);
    assert_ne!(point.smooth, before);
    // A later step is averaged in the same way.
    report(&mut stage, step(41));
    let point = *stage.app.train.run.as_ref().unwrap().series.last().unwrap();
    assert_eq!(point.smooth, point.loss);
}

#[test]
fn a_marked_run_lies_over_the_charts_with_all_of_its_numbers() {
    let mut stage = running(20);
    let other = std::path::PathBuf::from("/runs/other");
    stage.app.train.runs.marked = vec![other.clone()];
    let reports: Vec<Report> = (1..=60)
        .map(|n| match step(n) {
            Report::Step { mut report, merged } => {
                report.cores = Some(1.9);
                Report::Step { report, merged }
            }
            other => other,
        })
        .collect();
    stage.update(Update::Train(Box::new(TrainUpdate::Curves { run: other, reports })));
    assert!(names(&stage).contains(&"CPU cores busy"));
    fit(&mut stage, 120, 40);
    stage.press("z");
    let shown = text(&picture(&mut stage, 120, 40));
    assert!(shown.contains("1 other"), "{shown}");
    stage.press("/").types("cores");
    let shown = text(&picture(&mut stage, 120, 40));
    assert!(shown.contains("CPU cores busy"), "{shown}");
    // The axis is as long as the longer run.
    assert!(shown.contains("step 60"), "{shown}");
}

#[test]
fn few_charts_take_the_room_of_many_and_the_last_row_can_be_reached() {
    let area = Rect::new(0, 0, 96, 30);
    let few = Grid::new(area, 1, 2);
    assert_eq!((few.columns, few.rows, few.cell(0).height), (2, 1, 29));
    let many = Grid::new(area, 0, 17);
    assert_eq!((many.columns, many.rows, many.most(17)), (3, 4, 2));
    for i in 0..12 {
        let cell = many.cell(i);
        assert!(cell.right() <= area.right() && cell.bottom() <= area.bottom());
        assert!((0..i).all(|j| !many.cell(j).intersects(cell)));
    }
    let tiny = Grid::new(Rect::new(0, 0, 12, 3), 2, 9);
    assert_eq!((tiny.columns, tiny.rows), (1, 1));
}

#[test]
fn scrolling_stops_at_the_ends() {
    let mut stage = running(20);
    fit(&mut stage, 80, 24);
    stage.press("down down down down down down down down down down down down down down down");
    let (grid, metrics) = grid(&stage.app, stage.app.area(&PANE).unwrap());
    assert_eq!(stage.app.train.metrics.top, grid.most(metrics.len()));
    let shown = text(&picture(&mut stage, 80, 24));
    let last = metrics.last().unwrap().name;
    assert!(shown.contains(last), "{last}: {shown}");
    stage.press("up up up up up up up up up up up up up up up up");
    assert_eq!(stage.app.train.metrics.top, 0);
}
