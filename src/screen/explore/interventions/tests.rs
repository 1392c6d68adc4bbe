use std::sync::Arc;

use crate::engine::types::{Command, Intervention, MapKind, StackItem, Update};
use crate::screen::explore::{interventions, map, overview};
use crate::screen::popups::Popup;
use crate::screen::testing::Stage;
use crate::screen::testing::interventions::grid;
use crate::screen::tests::{picture, text};

/// The pane over the whole screen.
fn text_of(stage: &mut Stage) -> String {
    stage.act(|app| app.view.enlarged = true);
    let text = text(&picture(stage, 100, 24));
    stage.act(|app| app.view.enlarged = false);
    text
}

fn written(stage: &Stage) -> Vec<String> {
    let item = |item: &StackItem| format!("{}{}", item.what, if item.on { "" } else { " off" });
    stage.last().interventions.list.iter().map(item).collect()
}

/// A stage with the crosshair of the map on a cell, in one head.
fn at_cell(query: usize, key: usize) -> Stage {
    let mut stage = Stage::new();
    stage.act(|app| (app.doc.heads.layer, app.doc.heads.head) = (Some(1), Some(2)));
    stage.focus(&map::PANE).act(|app| map::crosshair(app, query, key));
    stage
}

#[test]
fn the_cell_under_the_crosshair_is_blocked_shown_and_put_back() {
    let mut stage = at_cell(7, 2);
    stage.press("delete");
    assert_eq!(written(&stage), ["block 7:2@1.2"]);
    assert_eq!(stage.last().map, MapKind::Intervened);
    assert!(stage.app.notice.as_ref().unwrap().text.contains("does not read 2"), "{:?}", stage.app.notice);
    assert_eq!(stage.last().interventions.controls, 20);
    // Undo brings back the stack and the map in one step, redo both again.
    stage.press("u");
    assert!(written(&stage).is_empty());
    assert_eq!(stage.last().map, MapKind::Masked);
    stage.press("U");
    assert_eq!((written(&stage).len(), stage.last().map), (1, MapKind::Intervened));
    // The same key takes it back.
    stage.press("delete");
    assert!(written(&stage).is_empty());
    stage.press("D");
    assert_eq!(written(&stage), ["block all:2@1.2"]);
    // Means over heads block in all of them.
    stage.act(|app| (app.doc.heads.layer, app.doc.heads.head) = (None, None));
    stage.press("backspace");
    assert_eq!(written(&stage), ["block all:2@1.2", "block 7:2"]);
}

#[test]
fn what_would_leave_nothing_to_read_or_does_not_exist_is_refused() {
    for (query, key, said) in [(0, 0, "nothing to read"), (3, 9, "No query reads a later key")] {
        let mut stage = at_cell(query, key);
        stage.press("delete");
        assert!(written(&stage).is_empty());
        assert!(stage.app.notice.as_ref().unwrap().text.contains(said), "{:?}", stage.app.notice);
    }
}

#[test]
fn heads_are_taken_out_from_the_map_and_from_the_overview() {
    let mut stage = at_cell(7, 2);
    stage.press("t");
    assert_eq!(written(&stage), ["zero 1.2"]);
    stage.press("t");
    assert!(written(&stage).is_empty());
    stage.press("o right right right right right");
    let (layer, head) = overview::chosen(&stage.app).unwrap();
    stage.press("t");
    assert_eq!(written(&stage), [format!("zero {layer}.{head}")]);
    let mut stage = Stage::new();
    stage.press("t");
    assert!(written(&stage).is_empty() && stage.app.notice.as_ref().unwrap().text.contains("one head"));
}

#[test]
fn the_list_is_walked_switched_changed_and_emptied_by_keys() {
    let mut stage = at_cell(7, 2);
    stage.press("delete t I");
    assert_eq!(stage.app.view.focus, &interventions::PANE);
    assert_eq!(written(&stage), ["block 7:2@1.2", "zero 1.2"]);
    stage.press("down up space");
    assert_eq!(written(&stage), ["block 7:2@1.2 off", "zero 1.2"]);
    stage.press("down right right right");
    assert_eq!(written(&stage)[1], "gate 1.2=0.3");
    stage.press("left left left left");
    assert_eq!(written(&stage)[1], "mean 1.2");
    stage.press("right");
    assert_eq!(written(&stage)[1], "zero 1.2");
    stage.press("up right");
    assert_eq!(written(&stage)[0], "block 7:2 off");
    stage.press("delete delete");
    assert!(written(&stage).is_empty());
    assert_eq!(stage.last().map, MapKind::Masked);
    // One undo a step, back to the beginning of the list.
    for _ in 0..20 {
        stage.press("u");
    }
    assert!(written(&stage).is_empty());
}

#[test]
fn effects_stand_beside_what_random_ones_do() {
    let mut stage = at_cell(7, 2);
    stage.press("delete t I");
    let text = text_of(&mut stage);
    for part in
        ["block 7:2@1.2", "zero 1.2", "KL 0.", "95 % ≤ 0.0312", "all on: KL 0.3000", "logit of “·the”"]
    {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let told = (interventions::PANE.explain)(&stage.app);
    assert!(told.contains("Of 20 random interventions of its kind"), "{told}");
}

#[test]
fn anything_can_be_added_by_typing_and_mistakes_are_explained() {
    let mut stage = at_cell(7, 2);
    stage.press("I n").types("block 9-8").press("enter");
    assert!(matches!(stage.app.popup, Some(Popup::Intervene(_))), "what is wrong stays to be mended");
    assert!(stage.app.notice.as_ref().unwrap().text.contains("is not QUERY:KEY"));
    stage.press("ctrl-u").types("gate 0.1=1.5").press("enter");
    assert_eq!(written(&stage), ["gate 0.1=1.5"]);
    // A suggestion suits the crosshair.
    stage.press("n").types("block all").press("enter");
    assert_eq!(written(&stage)[1], "block all:2");
    // A patch asks for the other text first.
    stage.press("n").types("patch 5@1").press("enter");
    assert_eq!(stage.app.popup.as_ref().and_then(Popup::list).unwrap().typed, "from ");
    stage.types("another text").press("enter");
    assert_eq!(stage.last().interventions.other.as_deref(), Some("another text"));
    stage.press("n").types("patch 5@1").press("enter");
    assert_eq!(written(&stage)[2], "patch 5@1");
    stage.press("n").types("contrast sea | \"storm\"").press("enter");
    let contrast = stage.last().interventions.contrast.clone();
    assert_eq!(contrast, Some((" sea".to_owned(), Some("storm".to_owned()))));
    stage.press("u");
    assert_eq!(stage.last().interventions.contrast, None);
}

#[test]
fn the_grid_fills_in_a_patch_is_kept_and_the_work_is_cancelled() {
    let mut stage = at_cell(7, 2);
    stage.press("I p");
    assert!(matches!(stage.app.popup, Some(Popup::Intervene(_))), "without another text it is asked for");
    stage.types("another text").press("enter").press("p");
    assert!(stage.app.view.patches);
    assert!(matches!(stage.port.commands.borrow().last(), Some(Command::PatchGrid { .. })));
    assert!(interventions::measuring(&stage.app) && stage.app.can_cancel());
    stage.press("down right right");
    assert_eq!(stage.app.view.patch, (1, 2));
    let text = text_of(&mut stage);
    assert!(text.contains("3.21 here, −1.50 there") || text.contains("3.21 here, -1.50 there"), "{text}");
    stage.press("x");
    assert!(matches!(stage.port.commands.borrow().last(), Some(Command::CancelIntervening)));
    stage.press("enter");
    assert_eq!(written(&stage), ["patch 2@1"]);
    assert!(!stage.app.view.patches);
    // What belongs to an older request is not taken.
    stage.update(grid(1, 9));
    assert_ne!(stage.app.results.patches.as_ref().map(|slot| slot.value.positions), Some(9));
}

#[test]
fn a_problem_is_told_where_it_stands() {
    let mut stage = at_cell(7, 2);
    stage.press("delete I");
    let slot = stage.app.results.interventions.clone().unwrap();
    let mut report = (*slot.value).clone();
    report.effects[0].problem = Some(("query 7 would have nothing to read".to_owned(), None));
    stage.update(Update::Intervened { generation: slot.generation, report: Arc::new(report) });
    assert!(text_of(&mut stage).contains("nothing to read"));
    assert!((interventions::PANE.explain)(&stage.app).contains("cannot be carried out"));
    assert!(Intervention::parse("block 7:2@1.2").is_ok());
}
