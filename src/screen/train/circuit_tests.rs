//! Growing a circuit on screen: one key, pictures that light up, words at the end.

use crate::engine::types::{TrainCommand, TrainUpdate, Update};
use crate::screen::testing::Stage;
use crate::screen::tests::{fit, picture, text};
use crate::screen::train::circuit;
use crate::screen::train::tests::{last, report, spec};
use crate::train::report::{
    Ablation, Circuit, HeadClock, HeadScore, HeadsReport, Report, RunCommand, RunState, RunSummary,
};
use crate::train::spec::RunSpec;

/// Two layers of four heads; one of each kind has passed.
fn heads(step: usize) -> HeadsReport {
    let mut out = HeadsReport { step, n_head: 4, ..HeadsReport::default() };
    for i in 0..8usize {
        let mut thumbnail = vec![0.01; 64];
        (1..8).for_each(|q| thumbnail[q * 8 + q - 1] = if i == 1 { 1.0 } else { 0.02 });
        let (previous, induction) = match i {
            1 => (0.46, 0.02),
            6 => (0.05, 0.71),
            _ => (0.1, 0.05),
        };
        out.heads.push(HeadScore { previous, induction, side: 8, thumbnail });
        out.passed.push(HeadClock { previous: (i == 1).then_some(210), induction: (i == 6).then_some(120) });
    }
    out
}

fn growing() -> Stage {
    let mut stage = Stage::new();
    fit(&mut stage, 100, 30);
    stage.press("T G");
    let spec = RunSpec { model: "grow induction".to_owned(), steps: 400, ..spec() };
    stage.update(Update::Train(Box::new(TrainUpdate::Accepted { run: 1, spec: Box::new(spec) })));
    report(&mut stage, Report::State { state: RunState::Planned });
    stage
}

#[test]
fn one_key_asks_for_the_recipe_and_the_run_starts_by_itself() {
    let mut stage = growing();
    let request = stage.port.plans.borrow().last().unwrap().clone();
    assert!(request.grows);
    assert_eq!(last(&stage), TrainCommand::Tell(RunCommand::Resume));
    assert_eq!(stage.app.view.focus, &circuit::PANE);
    report(&mut stage, Report::State { state: RunState::Running });
    // Its weights are not of the model that is open.
    let before = stage.port.trains.borrow().len();
    stage.press("f");
    assert_eq!((stage.port.trains.borrow().len(), stage.app.train.follow), (before, 0));
    stage.press("G");
    assert_eq!(stage.port.plans.borrow().len(), 1, "not while one is in progress");
    stage.press("s");
    assert_eq!(last(&stage), TrainCommand::Tell(RunCommand::Stop));
}

#[test]
fn a_plan_of_the_form_waits_as_ever() {
    let mut stage = Stage::new();
    stage.press("T space");
    stage.update(Update::Train(Box::new(TrainUpdate::Accepted { run: 1, spec: Box::new(spec()) })));
    let before = stage.port.trains.borrow().len();
    report(&mut stage, Report::State { state: RunState::Planned });
    assert_eq!(stage.port.trains.borrow().len(), before);
}

#[test]
fn heads_light_up_at_every_size_and_the_end_says_what_they_are_worth() {
    let mut stage = growing();
    report(&mut stage, Report::State { state: RunState::Running });
    report(&mut stage, Report::Heads(heads(210)));
    for ((width, height), labels) in [
        ((80, 24), ["●0.1 p.46", "●1.2 i.71"]),
        ((100, 30), ["●0.1 p@210", "●1.2 i@120"]),
        ((160, 50), ["●0.1 p@210", "●1.2 i@120"]),
        ((200, 60), ["●0.1 p.46@210", "●1.2 i.71@120"]),
    ] {
        let shown = text(&picture(&mut stage, width, height));
        for part in ["Heads", "step 210", "2 of 8 heads passed 0.4"].into_iter().chain(labels) {
            assert!(shown.contains(part), "{part} at {width}x{height}:\n{shown}");
        }
    }
    let ablation = |heads, share| Some(Ablation { heads, loss: 7.5, share });
    let circuit = Circuit {
        n_head: 4,
        passed: heads(400).passed,
        chance: 6.2,
        loss: 0.1,
        clocked: ablation(2, 1.55),
        others: ablation(6, 0.04),
    };
    let state = RunState::Finished;
    report(
        &mut stage,
        Report::Ended(RunSummary { state, circuit: Some(Box::new(circuit)), ..RunSummary::default() }),
    );
    let shown = text(&picture(&mut stage, 160, 50)).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("155 %"), "{shown}");
}

#[test]
fn without_a_look_the_pane_says_how_to_get_one() {
    let mut stage = Stage::new();
    stage.press("T");
    stage.focus(&circuit::PANE);
    let shown = text(&picture(&mut stage, 120, 40)).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("G grows a small model"), "{shown}");
}
