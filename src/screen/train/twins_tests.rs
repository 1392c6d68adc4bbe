//! Twins on screen: asked for, watched, and shown again.

use std::path::PathBuf;

use crate::engine::types::{TrainCommand, TrainUpdate, Update};
use crate::screen::params;
use crate::screen::testing::Stage;
use crate::screen::train::setup::RunSettings;
use crate::screen::train::tests::{comparing, last, report};
use crate::screen::train::twins;
use crate::train::report::{Report, RunCommand, RunState, TwinStep};
use crate::train::runs::RunInfo;
use crate::train::settings::TrainSettings;

#[test]
fn twins_are_asked_for_watched_and_told_apart_by_seed() {
    let mut stage = comparing(50);
    let plans = stage.port.plans.borrow().clone();
    assert_eq!(plans[0].train.twins, Some("dyn-rand,dyn-attn-high,none".parse().unwrap()));
    assert_eq!(plans[0].policy, None, "the explorer's policy is no arm");
    let shown = params::shown_of_run(&stage.app.doc);
    assert!(shown.contains(&TrainSettings::twin_seeds) && !shown.contains(&RunSettings::masking));
    assert!(shown.contains(&TrainSettings::mask_rate), "what the arms share is still set here");
    assert_eq!(stage.app.view.focus, &twins::PANE);
    let twins = stage.app.train.run.as_ref().unwrap().twins.clone().unwrap();
    assert_eq!((twins.seed, twins.step, twins.curves[2].points.len()), (3, 50, 50));
    assert_eq!((twins.differences.len(), twins.finished.len()), (2, 2));
    // Nothing of a run that keeps to its plan moves by hand.
    let before = stage.port.trains.borrow().len();
    stage.press("] , ( w");
    assert_eq!(stage.port.trains.borrow().len(), before, "{:?}", stage.port.trains.borrow());
    stage.press("space");
    assert_eq!(last(&stage), TrainCommand::Tell(RunCommand::Pause));
    let next = TwinStep { seed: 4, step: 1, losses: vec![5.0; 3], ..TwinStep::default() };
    report(&mut stage, Report::TwinStep(next));
    let twins = stage.app.train.run.as_ref().unwrap().twins.clone().unwrap();
    assert_eq!((twins.seed, twins.curves[0].points.len(), twins.differences.len()), (4, 1, 0));
    assert!((stage.app.train.run.as_ref().unwrap().progress() - 601.0 / 1200.0).abs() < 1e-9);
}

#[test]
fn twins_of_the_past_are_shown_again_with_their_verdicts() {
    let before = comparing(40).app.train.run.unwrap();
    let told = before.twins.clone().unwrap();
    let mut stage = Stage::new();
    stage.press("T");
    let info = RunInfo {
        path: PathBuf::from("/runs/twins"),
        spec: before.spec.clone(),
        summary: None,
        cut: None,
        steps: 0,
        train_loss: None,
        validation_loss: None,
        checkpoints: Vec::new(),
        bytes: 0,
        modified: None,
    };
    stage.update(Update::Train(Box::new(TrainUpdate::Runs(vec![info]))));
    stage.press("R enter");
    assert_eq!(last(&stage), TrainCommand::Reopen(PathBuf::from("/runs/twins")));
    let seed = |seed: usize| Report::TwinSeed {
        seed,
        losses: told.finished[seed - 1].clone(),
        verdicts: told.verdicts.clone(),
    };
    let step = Report::TwinStep(TwinStep { seed: 1, step: 1, losses: vec![3.0; 3], ..TwinStep::default() });
    let reports = vec![Report::State { state: RunState::Running }, step, seed(1), seed(2)];
    let again = TrainUpdate::Reopened { spec: Box::new(before.spec), reports };
    stage.update(Update::Train(Box::new(again)));
    let run = stage.app.train.run.as_ref().unwrap();
    let twins = run.twins.as_ref().unwrap();
    assert_eq!((&twins.finished, &twins.verdicts), (&told.finished, &told.verdicts));
    assert!(run.state.is_over() && stage.app.train.free() && stage.app.view.focus == &twins::PANE);
}
