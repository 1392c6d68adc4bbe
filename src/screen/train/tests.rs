//! Key strings in, state and effects out.

use std::path::PathBuf;

use crate::engine::types::{TrainCommand, TrainUpdate, Update};
use crate::mask::types::Op;
use crate::screen::explore::mask::settings::parse;
use crate::screen::mouse::Mouse;
use crate::screen::popups::Popup;
use crate::screen::popups::ask::Question;
use crate::screen::testing::Stage;
use crate::screen::tests::desk::{AREA, Desk};
use crate::screen::tests::fit;
use crate::screen::train::setup;
use crate::screen::train::{charts, run};
use crate::screen::view::Screen;
use crate::train::arm::TokenClass;
use crate::train::raster::{ClassShare, RasterStats};
use crate::train::report::{
    Compared, Live, LiveChange, Plan, RasterRow, Report, RunCommand, RunState, RunSummary, StepReport,
    TwinDifference, TwinStep, TwinVerdict, VerdictBasis,
};
use crate::train::settings::TrainSettings;
use crate::train::spec::{Arm, MaskingSpec, RunSpec};
use crate::train::twins::TwinSpec;

/// The spec a port would make of the form's defaults, for a run with masks.
pub fn spec() -> RunSpec {
    let mut masking = MaskingSpec { arm: Arm::DynAttnHigh, ..MaskingSpec::default() };
    masking.policy = Some(crate::mask::types::MaskSettings::default());
    serde_json::from_value(serde_json::json!({
        "model": "demo",
        "data": {},
        "trained": "all",
        "masking": masking,
        "steps": 200, "time_limit": null, "batch_size": 4, "accumulate": 1, "context": 64, "fixed_cuts": true,
        "learning_rate": { "policy": "constant", "peak": 1e-3, "min_ratio": 0.1, "warmup": 10, "progress": "steps",
                  "patience": 3, "factor": 0.5, "gap": null },
        "adamw": crate::tensor::adamw::AdamWSettings { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 },
        "clip": 1.0, "dropout": 0.0, "seed": 1, "eval_every": 50, "checkpoint_every": 100, "sample_every": 0,
        "sample_prompt": "The", "keep_last": 2, "on_disk_full": "continue", "out": "/runs/novels-explorer",
        "dtype": "f32"
    }))
    .unwrap()
}

pub fn report(stage: &mut Stage, report: Report) {
    let run = stage.app.train.number;
    stage.update(Update::Train(Box::new(TrainUpdate::Report { run, report })));
}

/// A loss that falls, wiggling.
fn loss(step: usize) -> f64 {
    2.0 + 3.0 * (-(step as f64) / 60.0).exp() + 0.3 * (crate::screen::testing::unit(step as u64, 9) - 0.5)
}

pub fn step(step: usize) -> Report {
    let mut report = StepReport {
        step,
        loss: loss(step),
        mask_rate: 0.15,
        realised_rate: 0.15 + 0.04 * (crate::screen::testing::unit(step as u64, 3) - 0.5),
        learning_rate: 1e-3 * (step as f64 / 10.0).min(1.0),
        grad_norm: 1.0 + 4.0 / step as f64,
        tokens: 256 * step as u64,
        tokens_per_second: 1500.0,
        memory: 300 << 20,
        eta: Some(0.2 * (200 - step.min(200)) as f64),
        ..StepReport::default()
    };
    let t = &mut report.time;
    (t.masking, t.forward, t.backward, t.optimizer, t.total) = (0.02, 0.05, 0.09, 0.01, 0.17);
    Report::Step { report, merged: 1 }
}

pub fn planned() -> Stage {
    let mut stage = Stage::new();
    stage.press("T space");
    let accepted = TrainUpdate::Accepted { run: 1, spec: Box::new(spec()) };
    stage.update(Update::Train(Box::new(accepted)));
    let plan = Plan {
        parameters: 1_700_000,
        trainable: 1_700_000,
        train_tokens: 33_000,
        train_documents: 27,
        validation_tokens: 4_000,
        validation_documents: 3,
        steps: 200,
        tokens_per_step: 256,
        epochs: 1.55,
        step_seconds: 0.17,
        probe_loss: 4.25,
        expected_seconds: 41.0,
        ..Plan::default()
    };
    report(&mut stage, Report::Planned(plan));
    report(&mut stage, Report::State { state: RunState::Planned });
    stage
}

fn stats(passes: usize) -> RasterStats {
    let masked = [3, 7, 5, 9, 30];
    let classes = TokenClass::ALL.iter().zip(masked).map(|(&class, masked)| ClassShare {
        class,
        positions: 60,
        masked,
    });
    RasterStats {
        passes,
        coverage: 0.8,
        overlap: Some(0.11),
        distinct: passes,
        rate: 0.19,
        classes: classes.collect(),
    }
}

/// A run that has done `steps` steps.
pub fn running(steps: usize) -> Stage {
    let mut stage = planned();
    stage.press("space");
    report(&mut stage, Report::State { state: RunState::Running });
    for i in 1..=steps {
        report(&mut stage, step(i));
        if i % 50 == 0 {
            let evaluated = Report::Evaluated {
                step: i,
                loss: loss(i) + 0.2,
                bits_per_byte: Some(1.2),
                masked_loss: None,
            };
            report(&mut stage, evaluated);
        }
        if i % 16 == 0 {
            let at = |k: usize, salt| crate::screen::testing::unit((i * 100 + k) as u64, salt);
            let ops = (0..64).map(|k| (at(k, 5) < 0.2).then_some(Op::Replace)).collect();
            let scores = (0..64).map(|k| (at(k, 6) * 255.0) as u8).collect();
            let row = RasterRow { step: i, pass: i as u32 / 16, sequence: 0, ops, scores };
            report(&mut stage, Report::Raster { row, stats: stats(i / 16) });
        }
    }
    stage
}

fn difference(arm: usize, value: f64, half: f64) -> TwinDifference {
    TwinDifference {
        arm,
        against: 0,
        value,
        low: Some(value - half),
        high: Some(value + half),
        documents: 12,
        differing: 12,
    }
}

/// Twins that have finished two seeds and are at `steps` of the third.
pub fn comparing(steps: usize) -> Stage {
    let mut stage = Stage::new();
    parse(&mut stage.app, TrainSettings::twins, "dyn-rand,dyn-attn-high,none").unwrap();
    stage.press("T space");
    let spec = RunSpec {
        twins: Some(TwinSpec { seeds: 6, .."dyn-rand,dyn-attn-high,none".parse().unwrap() }),
        ..spec()
    };
    stage.update(Update::Train(Box::new(TrainUpdate::Accepted { run: 1, spec: Box::new(spec) })));
    report(&mut stage, Report::Planned(Plan::default()));
    report(&mut stage, Report::State { state: RunState::Planned });
    stage.press("space");
    report(&mut stage, Report::State { state: RunState::Running });
    let compared = Compared { masked: 24_000, differently: 11_200, visits: 960, again: 480 };
    let held_out = "3 documents, 4,000 tokens held out of passages".to_owned();
    let basis = VerdictBasis { compared, passes: 2.0, epsilon: 0.01, held_out };
    let verdict = |(arm, against): (&str, &str), difference, verdict: &str, more_seeds| TwinVerdict {
        arm: arm.to_owned(),
        against: against.to_owned(),
        difference,
        verdict: verdict.to_owned(),
        more_seeds,
        seeds: 2,
        basis: basis.clone(),
        ..TwinVerdict::default()
    };
    for seed in 1..=2 {
        let losses = vec![3.0, 3.025 + 0.005 * seed as f64, 2.98];
        let verdicts = vec![
            verdict(("dyn-attn-high", "dyn-rand"), 0.03, "undecided", Some(4)),
            verdict(("none", "dyn-rand"), -0.02, "undecided", Some(11)),
            TwinVerdict {
                low: Some(-0.09),
                high: Some(-0.01),
                ..verdict(("none", "dyn-attn-high"), -0.05, "better", None)
            },
        ];
        report(&mut stage, Report::TwinSeed { seed, losses, verdicts });
    }
    for i in 1..=steps {
        let losses = vec![loss(i), loss(i) + 0.05, loss(i) - 0.1];
        let twin = TwinStep {
            seed: 3,
            step: i,
            losses: losses.clone(),
            realised: vec![0.15, 0.15, 0.0],
            tokens: 256 * i as u64,
            tokens_per_second: 900.0,
            eta: Some(90.0),
        };
        report(&mut stage, Report::TwinStep(twin));
        if i % 20 == 0 {
            let differences =
                vec![difference(1, 0.0005 * i as f64, 0.02), difference(2, -0.0003 * i as f64, 0.01)];
            report(&mut stage, Report::TwinEvaluated { seed: 3, step: i, losses, differences });
        }
    }
    stage
}

pub fn last(stage: &Stage) -> TrainCommand {
    stage.port.trains.borrow().last().unwrap().clone()
}

#[test]
fn the_explorers_exact_policy_is_handed_over() {
    let mut stage = Stage::new();
    stage.press("] ] . d y X space");
    let plans = stage.port.plans.borrow();
    let request = plans.last().unwrap();
    assert_eq!(request.policy.as_ref(), Some(&stage.app.doc.mask));
    assert_eq!(request.score, stage.app.doc.score);
    assert_eq!((request.model.as_str(), request.run.data.as_str()), ("demo", "passages"));
    assert_eq!(stage.app.screen(), Screen::Train);
}

#[test]
fn a_run_masks_nothing_unless_that_was_asked_for() {
    let mut stage = Stage::new();
    stage.press("] ] . T space");
    let request = stage.port.plans.borrow().last().unwrap().clone();
    assert_eq!((request.policy, request.train.arm), (None, Arm::None));
}

#[test]
fn esc_and_e_go_back_to_the_pane_that_was_left() {
    let mut stage = Stage::new();
    stage.press("tab tab");
    let before = stage.app.view.focus;
    for back in ["esc", "E"] {
        stage.press("T");
        assert_eq!(stage.app.screen(), Screen::Train);
        stage.press(back);
        assert_eq!((stage.app.screen(), stage.app.view.focus), (Screen::Explore, before));
    }
    assert_eq!(last(&stage), TrainCommand::List(PathBuf::from("runs")));
}

#[test]
fn letters_of_the_explorer_do_nothing_here() {
    let mut stage = Stage::new();
    stage.press("T");
    let before = stage.app.doc.snapshot();
    stage.press("l h m d r b P O a");
    assert!(stage.app.doc.snapshot().same(&before));
    assert!(stage.app.popup.is_none());
}

#[test]
fn settings_are_typed_chosen_refused_and_undone() {
    let mut stage = Stage::new();
    stage.press("T");
    while stage.app.train.field != TrainSettings::steps {
        stage.press("down");
    }
    stage.press("enter ctrl-u").types("12").press("enter");
    assert_eq!(stage.app.doc.form.train.steps, 12);
    stage.types("0").press("enter");
    let typing = stage.app.train.typing.clone().unwrap();
    assert!(typing.error.unwrap().contains("must be at least 1"));
    stage.press("esc u");
    assert_eq!(stage.app.doc.form.train.steps, 100);
    stage.press("pageup down down enter");
    assert!(matches!(stage.app.popup, Some(Popup::Picker { path: TrainSettings::trained, .. })));
    stage.types("lora").press("enter");
    assert_eq!(stage.app.doc.form.train.trained.name(), "lora");
}

#[test]
fn a_path_is_completed_as_far_as_the_offers_agree() {
    let mut stage = Stage::new();
    stage.press("T enter ctrl-u").types("/d/sp");
    assert_eq!(last(&stage), TrainCommand::Complete("/d/sp".to_owned()));
    let offers = vec!["/d/speech-a.txt".to_owned(), "/d/speech-b.txt".to_owned()];
    let late =
        TrainUpdate::Completed { typed: "/d/s".to_owned(), offers: vec!["/d/sx".to_owned()], problem: None };
    stage.update(Update::Train(Box::new(late)));
    let now = TrainUpdate::Completed { typed: "/d/sp".to_owned(), offers, problem: None };
    stage.update(Update::Train(Box::new(now)));
    stage.press("tab");
    assert_eq!(stage.app.train.typing.as_ref().unwrap().typed, "/d/speech-");
    stage.types("b.txt").press("enter");
    assert_eq!(stage.app.doc.form.run.data, "/d/speech-b.txt");
}

#[test]
fn plan_start_pause_resume_stop() {
    let mut stage = planned();
    assert_eq!(stage.port.plans.borrow().len(), 1);
    // A moved setting makes the plan void: space plans again.
    stage.press(") space");
    assert_eq!(stage.port.plans.borrow().len(), 2);
    stage.press("space");
    assert_eq!(last(&stage), TrainCommand::Tell(RunCommand::Resume));
    for (state, key, command) in [
        (RunState::Running, "space", RunCommand::Pause),
        (RunState::Paused, "space", RunCommand::Resume),
        (RunState::Running, "w", RunCommand::SaveNow),
        (RunState::Running, "g", RunCommand::Sample),
        (RunState::Running, "s", RunCommand::Stop),
    ] {
        report(&mut stage, Report::State { state });
        stage.press(key);
        assert_eq!(last(&stage), TrainCommand::Tell(command));
    }
    let plans = stage.port.plans.borrow().len();
    report(&mut stage, Report::State { state: RunState::Stopping });
    stage.press("space");
    assert_eq!(stage.port.plans.borrow().len(), plans, "nothing starts while a run stops");
}

#[test]
fn live_sliders_reach_the_run_and_leave_the_explorer_alone() {
    let mut stage = running(20);
    let tau = stage.app.doc.mask.threshold;
    stage.press("]");
    let TrainCommand::Tell(RunCommand::SetThreshold(new)) = last(&stage) else {
        panic!("{:?}", last(&stage))
    };
    assert!(new > tau);
    assert_eq!(stage.app.doc.mask.threshold, tau);
    stage.press(",");
    assert!(matches!(last(&stage), TrainCommand::Tell(RunCommand::SetProbability(_))));
    stage.press("(");
    let TrainCommand::Tell(RunCommand::SetLearningRate(Some(rate))) = last(&stage) else { panic!() };
    assert!(rate < 1e-3);
    let change = LiveChange { step: 21, what: Live::LearningRate, value: Some(rate) };
    report(&mut stage, Report::Changed(change));
    let run = stage.app.train.run.as_ref().unwrap();
    assert_eq!(run.series.changes, [change]);
    assert!(run.log.last().unwrap().text.starts_with("learning rate by hand"));
    stage.press("=");
    assert_eq!(last(&stage), TrainCommand::Tell(RunCommand::SetLearningRate(None)));
    // In the explorer the same keys move the explorer's own.
    stage.press("E ]");
    assert!(stage.app.doc.mask.threshold > tau);
}

#[test]
fn kill_and_leaving_ask_first() {
    let mut stage = running(5);
    let before = stage.port.trains.borrow().len();
    stage.press("K n");
    assert_eq!(stage.port.trains.borrow().len(), before);
    stage.press("K enter");
    assert_eq!(last(&stage), TrainCommand::Tell(RunCommand::Kill));
    stage.press("q");
    assert_eq!(stage.app.popup, Some(Popup::Ask(Question::Quit)));
    assert!(!stage.app.quit);
    stage.press("enter");
    assert_eq!(last(&stage), TrainCommand::Tell(RunCommand::Stop));
    assert!(!stage.app.quit, "it saves first");
    let summary = RunSummary {
        state: RunState::Stopped,
        steps: 5,
        tokens: 1,
        seconds: 1.0,
        train_loss: 2.0,
        stopped_early: true,
        ..RunSummary::default()
    };
    report(&mut stage, Report::Ended(summary.clone()));
    assert!(!stage.app.quit, "a person who is told that it will save must know that it could not");
    assert!(stage.app.cards.last().unwrap().message.contains("step 5 could not be saved"));
    stage.app.train.leaving = true;
    report(&mut stage, Report::Ended(RunSummary { saved: Some(5), ..summary }));
    assert!(stage.app.quit);
}

#[test]
fn reports_of_an_older_run_are_ignored() {
    let mut stage = running(5);
    let old = TrainUpdate::Report { run: 0, report: Report::State { state: RunState::Killed } };
    stage.update(Update::Train(Box::new(old)));
    assert_eq!(stage.app.train.state(), Some(RunState::Running));
}

#[test]
fn a_failure_is_a_card_with_its_hint_and_retry_plans_again() {
    let mut stage = running(5);
    let hint = Some("lower the learning rate".to_owned());
    report(&mut stage, Report::Failed { message: "step 6: the loss is not finite".to_owned(), hint });
    assert_eq!(stage.app.train.state(), Some(RunState::Failed));
    assert_eq!(stage.app.cards.len(), 1);
    let plans = stage.port.plans.borrow().len();
    stage.press("ctrl-r");
    assert_eq!(stage.port.plans.borrow().len(), plans + 1);
}

#[test]
fn the_explorer_follows_the_weights_and_comes_back() {
    let mut stage = running(5);
    stage.press("f");
    assert_eq!(last(&stage), TrainCommand::Follow(1));
    let name = format!("demo{}7", crate::engine::types::FOLLOWED);
    stage.update(Update::ModelReady(crate::screen::testing::model(&name, 4, 4)));
    assert!(crate::screen::train::runs::follows(&stage.app));
    stage.press("f f");
    assert_eq!(last(&stage), TrainCommand::Follow(100));
    stage.press("f");
    assert_eq!(last(&stage), TrainCommand::Follow(0));
    let loads = stage.port.commands.borrow();
    assert!(
        matches!(loads.last(), Some(crate::engine::types::Command::LoadModel { spec }) if spec == "demo"),
        "{loads:?}"
    );
}

#[test]
fn the_cursor_reads_exact_values() {
    let mut stage = running(60);
    stage.focus(&charts::LOSS);
    stage.press("home right right");
    let cursor = stage.app.train.chart.cursor.unwrap();
    assert!(cursor > 1 && cursor < 60);
    stage.press("end y t");
    assert_eq!(stage.app.train.chart.cursor, None);
    assert!(stage.app.train.chart.log && stage.app.train.chart.tail);
}

#[test]
fn the_train_screen_is_clickable() {
    use crate::engine::types::TrainCommand;
    use crate::train::report::RunCommand;
    use crate::train::settings::TrainSettings;
    let mut desk = Desk { stage: running(60), mouse: Mouse::default() };
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
