//! Pictures of the main states, characters and styles.

use ratatui::buffer::Buffer;

use crate::engine::types::{LoadProgress, Update};
use crate::screen::App;
use crate::screen::explore::{effect, mask, plane, scores, why};
use crate::screen::options::{Depth, Look, Options};
use crate::screen::testing::{Stage, model, options};
use crate::screen::tests::{picture, roles, styles, text};
use crate::screen::train::raster;

/// Holds the characters and the roles of cells to the picture on file.
fn check(name: &str, stage: &mut Stage, width: u16, height: u16) {
    let buf = picture(stage, width, height);
    hold(name, &buf, roles(&buf, stage.app.look));
}

/// Holds the exact colours too.
fn check_colours(name: &str, stage: &mut Stage, width: u16, height: u16) {
    let buf = picture(stage, width, height);
    hold(name, &buf, styles(&buf));
}

fn hold(name: &str, buf: &Buffer, styles: String) {
    let name = format!("{name}_{}x{}", buf.area.width, buf.area.height);
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "pictures" }, {
        insta::assert_snapshot!(name, format!("{}\n{styles}", text(buf)));
    });
}

fn look(depth: Depth, dark: bool, ascii: bool) -> Stage {
    Stage::with(Options { look: Look { dark, depth, ascii }, ..options() })
}

#[test]
fn the_first_screen() {
    for (w, h) in [(160, 50), (120, 40), (80, 24), (60, 16), (40, 12), (1, 1)] {
        check("first", &mut Stage::new(), w, h);
    }
}

#[test]
fn looks() {
    check_colours("dark", &mut look(Depth::True, true, false), 80, 24);
    check_colours("light", &mut look(Depth::True, false, false), 80, 24);
    check_colours("indexed", &mut look(Depth::Indexed, true, false), 80, 24);
    check_colours("ansi", &mut look(Depth::Ansi, true, false), 80, 24);
    check_colours("colourless", &mut look(Depth::None, true, false), 80, 24);
    check("ascii", &mut look(Depth::None, true, true), 80, 24);
    check_colours("ascii", &mut look(Depth::True, true, true), 160, 50);
}

#[test]
fn maps() {
    let mut stage = Stage::new();
    stage.press("d d tab tab tab tab tab");
    check("map_dropped", &mut stage, 80, 24);
    stage.press("m m c c");
    check("map_difference_log", &mut stage, 160, 50);
    stage.press("m z");
    check("map_enlarged", &mut stage, 80, 24);
    stage.press("o k");
    check("overview", &mut stage, 80, 24);
    stage.press("z");
    check("overview", &mut stage, 160, 50);
}

#[test]
fn panes_side_by_side() {
    let mut stage = Stage::new();
    stage.press("R f");
    check("cost", &mut stage, 160, 50);
    stage.focus(&why::PANE);
    check("why", &mut stage, 80, 24);
    stage.press("e");
    check("effects", &mut stage, 80, 24);
    stage.focus(&effect::PANE).press("z");
    check("effects_enlarged", &mut stage, 160, 50);
    stage.press("z").focus(&plane::PANE);
    check("plane", &mut stage, 80, 24);
    stage.focus(&scores::PANE);
    check("scores", &mut stage, 80, 24);
}

#[test]
fn typing() {
    let mut stage = Stage::new();
    stage.press("i").types(" Hello").press("shift-left shift-left");
    check("editing", &mut stage, 80, 24);
    stage.press("esc esc").types("1.5").press("enter");
    check("wrong_number", &mut stage, 80, 24);
}

#[test]
fn popups() {
    let mut stage = Stage::new();
    stage.press("?");
    check("help", &mut stage, 80, 24);
    stage.press("esc ctrl-p").types("he");
    check("palette", &mut stage, 80, 24);
    stage.press("esc s");
    check("picker", &mut stage, 80, 24);
    stage.press("esc f2 enter enter");
    check("tour", &mut stage, 160, 50);
}

#[test]
fn mixes_windows_and_policies() {
    let mut stage = Stage::new();
    stage.press("O b down");
    check("mix", &mut stage, 80, 24);
    check("mix", &mut stage, 40, 12);
    stage.press("esc A");
    check("presets", &mut stage, 80, 24);
    stage.press("esc W");
    check("window_whole", &mut stage, 80, 24);
    stage.press("P").types("h2o").press("enter");
    check("window_policy", &mut stage, 160, 50);
    check("window_policy", &mut stage, 80, 24);
    stage.app.view.item = crate::mask::rolling::RollingSettings::per_head;
    stage.focus(&mask::PANE).press("right W");
    check("window_by_head", &mut stage, 80, 24);
    for (name, depth, ascii) in
        [("window_colourless", Depth::None, false), ("window_ascii", Depth::None, true)]
    {
        stage.app.look = Look { dark: true, depth, ascii };
        check(name, &mut stage, 80, 24);
    }
}

#[test]
fn loading_and_failing() {
    let mut stage = Stage::new();
    stage.update(Update::ModelLoading(LoadProgress {
        id: "openai-community/gpt2".into(),
        what: "model.safetensors".into(),
        done: 214_000_000,
        total: Some(548_000_000),
        rate: Some(12.3e6),
        file: Some((210_000_000, 544_000_000)),
    }));
    stage.press("M");
    check("loading", &mut stage, 80, 24);
    stage.press("esc");
    stage.update(Update::ModelFailed {
        id: "openai-community/gpt2".into(),
        message: "the Hub cannot be reached: connection refused".into(),
        hint: Some("check the network, or put the model's folder on this machine and type its path".into()),
    });
    check("failed", &mut stage, 80, 24);
}

#[test]
fn empty_states() {
    let mut stage = Stage::with(Options { text: String::new(), ..options() });
    check("empty", &mut stage, 160, 50);
    let app = App::new(options()).unwrap();
    stage.app = app;
    stage.answering = false;
    check("no_model", &mut stage, 80, 24);
    stage.answering = true;
    stage.app.start();
    stage.update(Update::ModelReady(model("demo", 4, 4)));
    stage.answering = false;
    stage.press("]").wait(400);
    check("stale", &mut stage, 80, 24);
}

#[test]
fn train_screen() {
    use crate::screen::train::tests::{comparing, planned, running};
    let mut empty = Stage::new();
    empty.press("T");
    check("train_empty", &mut empty, 80, 24);
    check("train_planned", &mut planned(), 160, 50);
    let mut stage = planned();
    check("train_planned", &mut stage, 80, 24);
    for (w, h) in [(160, 50), (120, 40), (80, 24)] {
        check("train_running", &mut running(120), w, h);
    }
    for (w, h) in [(160, 50), (80, 24)] {
        check("train_twins", &mut comparing(100), w, h);
    }
    let mut stage = running(120);
    stage.focus(&raster::PANE);
    check("train_raster", &mut stage, 80, 24);
    stage.press("K");
    check("train_kill", &mut stage, 80, 24);
}

#[test]
fn train_screen_without_colour() {
    use crate::screen::train::tests::running;
    for (name, depth, ascii) in [("train_colourless", Depth::None, false), ("train_ascii", Depth::None, true)]
    {
        let mut stage = running(120);
        stage.app.look = Look { dark: true, depth, ascii };
        check(name, &mut stage, 80, 24);
        stage.focus(&raster::PANE);
        check(&format!("{name}_raster"), &mut stage, 80, 24);
    }
}

#[test]
fn writing_on() {
    let mut stage = crate::screen::generate::tests::written();
    for (w, h) in [(160, 50), (120, 40), (80, 24), (60, 16)] {
        check("generate", &mut stage, w, h);
    }
    stage.press("m p");
    check("generate_parted", &mut stage, 160, 50);
    check("generate_parted", &mut stage, 80, 24);
    for (name, depth, ascii) in
        [("generate_colourless", Depth::None, false), ("generate_ascii", Depth::None, true)]
    {
        stage.app.look = Look { dark: true, depth, ascii };
        check(name, &mut stage, 80, 24);
    }
    let mut stage = Stage::new();
    stage.press("G D");
    check("dialogue_empty", &mut stage, 80, 24);
    stage.types("Who are you?").press("enter");
    check("dialogue", &mut stage, 120, 40);
}
