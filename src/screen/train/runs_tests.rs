//! What can be done with runs of the past: they go on, lend their settings, are compared and opened.

use std::path::PathBuf;

use super::tests::{last, planned, report, spec, step};
use crate::engine::types::{Command, GoOn, TrainCommand, TrainUpdate, Update};
use crate::screen::popups::Popup;
use crate::screen::testing::Stage;
use crate::screen::tests::{picture, text};
use crate::screen::train::past::origin;
use crate::screen::train::{RunForm, run, setup};
use crate::train::report::{Report, RunCommand, RunState, RunSummary};
use crate::train::runs::RunInfo;
use crate::train::spec::RunSpec;

fn info(name: &str, spec: RunSpec, saved: &[usize]) -> RunInfo {
    let path = PathBuf::from("/runs").join(name);
    RunInfo {
        spec: RunSpec { out: path.clone(), ..spec },
        path,
        summary: Some(RunSummary { state: RunState::Stopped, ..RunSummary::default() }),
        cut: None,
        steps: saved.last().copied().unwrap_or(0),
        train_loss: Some(3.0),
        validation_loss: Some(3.1),
        checkpoints: saved.to_vec(),
        bytes: 1,
        modified: None,
    }
}

/// The Train screen with these runs listed.
fn listed(runs: Vec<RunInfo>) -> Stage {
    let mut stage = Stage::new();
    stage.press("T");
    stage.update(Update::Train(Box::new(TrainUpdate::Runs(runs))));
    stage.press("R");
    stage
}

fn said(stage: &Stage) -> String {
    stage.app.notice.as_ref().map_or_else(String::new, |notice| notice.text.clone())
}

#[test]
fn a_stopped_run_goes_on_with_its_own_settings_under_a_plan_of_its_own() {
    let own = RunSpec { steps: 50, ..spec() };
    let mut stage = listed(vec![info("stopped", own.clone(), &[10, 20])]);
    stage.press("a");
    let run = PathBuf::from("/runs/stopped");
    assert_eq!(last(&stage), TrainCommand::GoOn(GoOn { run: run.clone(), ..GoOn::default() }));
    assert_eq!(stage.app.view.focus, &run::PANE);
    let accepted = TrainUpdate::Accepted { run: 1, spec: Box::new(own) };
    stage.update(Update::Train(Box::new(accepted)));
    report(&mut stage, step(20));
    report(&mut stage, Report::State { state: RunState::Planned });
    // Its plan holds whatever the form says, and starts it.
    stage.press("space");
    assert_eq!(last(&stage), TrainCommand::Tell(RunCommand::Resume));
    assert_eq!(stage.app.train.run.as_ref().unwrap().step(), 20, "what it had done is on the charts");
}

#[test]
fn a_finished_run_goes_on_for_the_steps_that_the_form_adds() {
    let own = RunSpec { steps: 20, ..spec() };
    let mut stage = listed(vec![info("done", own, &[20])]);
    let form = |stage: &mut Stage, steps: usize, epochs: f64| {
        let form = std::sync::Arc::make_mut(&mut stage.app.doc.form);
        (form.train.steps, form.train.epochs) = (steps, epochs);
    };
    form(&mut stage, 20, 0.0);
    let before = stage.port.trains.borrow().len();
    stage.press("a");
    assert!(said(&stage).contains("Its 20 steps are done: set more steps in Setup"), "{}", said(&stage));
    assert_eq!(stage.port.trains.borrow().len(), before);
    form(&mut stage, 80, 0.0);
    stage.press("a");
    let run = PathBuf::from("/runs/done");
    assert_eq!(
        last(&stage),
        TrainCommand::GoOn(GoOn { run: run.clone(), steps: Some(80), ..GoOn::default() })
    );
    form(&mut stage, 80, 3.0);
    stage.press("R a");
    assert_eq!(last(&stage), TrainCommand::GoOn(GoOn { run, epochs: Some(3.0), ..GoOn::default() }));
    let mut stage = listed(vec![info("empty", spec(), &[])]);
    stage.press("a");
    assert!(said(&stage).contains("no checkpoint to go on from"));
}

#[test]
fn settings_of_a_run_are_copied_to_the_form_and_undone() {
    let mut other = RunSpec { steps: 77, batch_size: 3, ..spec() };
    other.learning_rate.peak = 5e-4;
    other.data.train = vec!["/texts/a.jsonl".into()];
    let mut stage = listed(vec![info("other", other.clone(), &[77])]);
    let before = stage.app.doc.form.clone();
    stage.press("y");
    let form = stage.app.doc.form.clone();
    assert_eq!(*form, RunForm::of(&other));
    assert_eq!((form.train.steps, form.train.batch_size, form.run.data.as_str()), (77, 3, "/texts/a.jsonl"));
    assert_eq!(stage.app.view.focus, &setup::PANE);
    assert!(said(&stage).starts_with("Setup has the settings of other"), "{}", said(&stage));
    stage.press("u");
    assert_eq!(stage.app.doc.form, before);
}

#[test]
fn what_differs_is_listed_by_setting_against_a_marked_run_or_the_form() {
    let (a, b) = (RunSpec { steps: 50, ..spec() }, RunSpec { steps: 80, context: 128, ..spec() });
    let mut stage = listed(vec![info("a", a, &[50]), info("b", b, &[80])]);
    stage.press("m down d");
    let Some(Popup::Explain { text, .. }) = stage.app.popup.clone() else { panic!("no list") };
    assert!(text.starts_with("b → a\n"), "{text}");
    assert!(text.contains("\nsteps: 80 → 50") && text.contains("\ncontext: 128 → 64"), "{text}");
    stage.press("esc up m d");
    let Some(Popup::Explain { text, .. }) = stage.app.popup.clone() else { panic!("no list") };
    assert!(text.starts_with("a → Setup"), "{text}");
}

#[test]
fn best_and_newest_are_opened_and_the_next_run_says_what_it_starts_from() {
    let mut stage = listed(vec![info("run", spec(), &[10, 30])]);
    let opened = |stage: &Stage| match stage.port.commands.borrow().last().cloned() {
        Some(Command::LoadModel { spec }) => spec,
        other => panic!("{other:?}"),
    };
    stage.press("enter");
    assert_eq!(opened(&stage), "/runs/run");
    stage.press("T R n");
    assert_eq!(opened(&stage), "/runs/run/checkpoints/step-00000030");
    assert_eq!(origin("/runs/run/checkpoints/step-00000030"), "step 30 of run");
    assert_eq!((origin("/runs/run").as_str(), origin("gpt2").as_str()), ("run", "gpt2"));
    let mut stage = planned();
    stage.app.train.run.as_mut().unwrap().spec.model = "/runs/run/checkpoints/step-00000030".to_owned();
    assert!(text(&picture(&mut stage, 160, 50)).contains("step 30 of run"));
}

#[test]
fn the_form_is_kept_but_for_what_a_person_chooses_each_time() {
    let mut form = RunForm::default();
    (form.train.steps, form.train.learning_rate) = (300, 2e-4);
    form.run.data = "/texts".to_owned();
    form.run.out = "/elsewhere".to_owned();
    form.run.masking = None;
    let kept = form.kept();
    let mut again = RunForm::default();
    again.recall(&kept, &|key| key == "train.steps");
    assert_eq!((again.train.learning_rate, again.run.data.as_str()), (2e-4, "/texts"));
    assert_eq!(again.train.steps, RunForm::default().train.steps, "given on the command line");
    assert_eq!((again.run.out.as_str(), again.run.masking), ("", RunForm::default().run.masking));
    let mut broken = kept.clone();
    broken.insert("train.steps".to_owned(), "many".to_owned());
    broken.insert("train.gone".to_owned(), "1".to_owned());
    again.recall(&broken, &|_| false);
    assert_eq!((again.train.steps, again.run.data.as_str()), (RunForm::default().train.steps, "/texts"));
}
