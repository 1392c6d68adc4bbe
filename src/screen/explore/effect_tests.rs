//! What the effect shows, by whole events.

use ratatui::layout::Rect;
use ratatui::style::Color;

use crate::screen::explore::{effect, map, tokens};
use crate::screen::options::Options;
use crate::screen::testing::{Stage, options};
use crate::screen::tests::{picture, text};

#[test]
fn both_columns_have_one_scale_at_every_width() {
    for (w, h) in [(160, 50), (120, 40), (80, 24)] {
        let mut stage = Stage::new();
        // Nothing is changed by it, so both columns are the same.
        stage.press("d d d d d").focus(&effect::PANE);
        let buf = picture(&mut stage, w, h);
        let area = stage.app.area(&effect::PANE).unwrap();
        // Below the heading and the names of the columns.
        let bars = |from: u16, to: u16| {
            let symbols = (from..to).map(|x| buf[(x, area.y + 2)].symbol());
            symbols.filter(|s| s.chars().all(|c| ('\u{2588}'..='\u{258f}').contains(&c))).count()
        };
        let middle = area.x + area.width / 2;
        assert!(bars(area.x, middle) > 0, "{}", text(&buf));
        assert_eq!(bars(area.x, middle), bars(middle + 1, area.right()), "{w}: {}", text(&buf));
    }
}

#[test]
fn the_prediction_is_in_sight_beside_the_sliders_and_says_after_what() {
    for (w, h) in [(160, 50), (120, 40), (80, 24)] {
        let seen = text(&picture(&mut Stage::new(), w, h));
        assert!(seen.contains("τ threshold"), "{seen}");
        if w != 120 {
            assert!(seen.contains("Next token after . (30)") && seen.contains("·the"), "{seen}");
        }
    }
}

#[test]
fn a_mean_is_never_called_a_mask_token() {
    let seen = text(&picture(&mut Stage::with(Options { wanted: None, ..options() }), 160, 50));
    assert!(seen.contains("[mean]") && !seen.contains("[MASK]"), "{seen}");
}

#[test]
fn where_nothing_is_masked_the_effect_says_so_with_the_key_that_changes_it() {
    let mut stage = Stage::new();
    stage.focus(&effect::PANE).act(|app| app.doc.mask.threshold = 1.0);
    let seen = text(&picture(&mut stage, 160, 50));
    assert!(seen.contains("nothing is masked: no effect") && seen.contains("[ lowers τ"), "{seen}");
    stage.act(|app| (app.doc.mask.threshold, app.doc.mask.probability) = (0.2, 0.0));
    assert!(text(&picture(&mut stage, 160, 50)).contains("r draws again"));
    let mut stage = Stage::with(Options { text: "Hi you".to_owned(), ..options() });
    assert!(text(&picture(&mut stage, 160, 50)).contains("g protects fewer tokens"));
}

#[test]
fn old_numbers_are_dimmed_while_new_ones_are_computed() {
    let mut stage = Stage::new();
    let area = |stage: &Stage| stage.app.area(&effect::PANE).unwrap();
    let ink = |stage: &mut Stage, area: Rect| -> Vec<Color> {
        let buf = picture(stage, 160, 50);
        let cells = area.positions().map(|at| &buf[at]);
        cells.filter(|cell| !cell.symbol().trim().is_empty() && cell.symbol() != "│").map(|c| c.fg).collect()
    };
    picture(&mut stage, 160, 50);
    let area = area(&stage);
    let figures = Rect { y: area.bottom() - 7, height: 7, ..area };
    let fresh = ink(&mut stage, figures);
    stage.answering = false;
    stage.press("]").wait(400);
    let old = ink(&mut stage, figures);
    assert_eq!(fresh.len(), old.len());
    assert!(fresh.iter().zip(&old).all(|(a, b)| a != b), "every number is dimmed");
    stage.answering = true;
    stage.press("[");
    assert_eq!(ink(&mut stage, figures), fresh);
}

#[test]
fn the_effect_can_be_asked_for_any_position() {
    let mut stage = Stage::new();
    assert_eq!(stage.last().position, None);
    stage.focus(&tokens::PANE).press("home right right");
    assert_eq!(stage.last().position, Some(2));
    let seen = text(&picture(&mut stage, 160, 50));
    assert!(seen.contains("Next token after ·looked (2)"), "{seen}");
    stage.press("e").focus(&effect::PANE).press("z");
    let seen = text(&picture(&mut stage, 160, 50));
    assert!(seen.contains("Next token after ·looked (2); then came ·at"), "{seen}");
    stage.press("e z").focus(&tokens::PANE);
    stage.press("end");
    assert_eq!(stage.last().position, None, "after the last token nothing has come yet");
    // A row of the map reads to predict what follows it.
    stage.focus(&map::PANE).act(|app| map::crosshair(app, 12, 3));
    assert_eq!(stage.last().position, Some(12));
    // So does the token at the caret.
    stage.press("i ctrl-home right");
    assert_eq!(stage.last().position, Some(0));
    let asked = stage.asked();
    stage.press("right");
    assert_eq!(stage.asked(), asked, "within one token there is nothing new to ask");
}
