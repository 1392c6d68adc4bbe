//! A real run from the Train screen, in a pseudo-terminal: plan, start, watch, pause, go on, move the learning rate, stop,
//! open the result; and how fast the explorer answers keys meanwhile.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/pty.rs"]
mod pty;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pty::{Session, Start};

/// A run small enough for a test: all of the bundled model on short sequences of the bundled text.
const SMALL: &[&str] = &[
    "--set",
    "ui.tour=false",
    "--set",
    "train.steps=100000",
    "--set",
    "train.batch_size=2",
    "--set",
    "train.context=32",
    "--set",
    "train.warmup_steps=5",
    "--set",
    "train.eval_every=100000",
    "--set",
    "train.checkpoint_every=100000",
];

fn first_line(screen: &str) -> &str {
    screen.lines().next().unwrap_or_default()
}

/// The newest step: `step 12  loss …`, above the losses.
fn step(screen: &str) -> Option<usize> {
    let line =
        screen.lines().find(|l| l.contains("step ") && (l.contains("  average ") || l.contains("  avg ")))?;
    line.split("step ").nth(1)?.split_whitespace().next()?.parse().ok()
}

fn wait_steps(session: &mut Session, more: usize) -> usize {
    let from = step(&session.screen()).unwrap_or(0);
    session.wait_for("more steps", |s| step(s).is_some_and(|n| n >= from + more));
    step(&session.screen()).unwrap()
}

/// A run in progress on the Train screen.
fn running(size: (u16, u16)) -> Session {
    let mut session = Session::start(&Start { args: SMALL, size, ..Start::default() });
    session.wait_text("Δ masked");
    session.send("X");
    session.wait_text("passages");
    session.send(" ");
    session.wait_text("space starts");
    session.send(" ");
    session.wait_for("the first steps", |s| step(s).is_some_and(|n| n >= 3));
    session
}

fn runs(session: &Session) -> Vec<PathBuf> {
    let folder = session.home.path().join(".local/share/maskscope/runs");
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|e| e.unwrap().path()).collect()
}

/// Lines of the run's metrics with this event.
fn events(run: &std::path::Path, event: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    lines.filter(|l| l["event"] == event).collect()
}

#[test]
fn a_run_from_the_panel_to_the_explorer() {
    let mut session = running((160, 50));
    let before = wait_steps(&mut session, 3);
    assert!(session.screen().chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "curves are drawn");
    session.send(" ");
    session.wait_for("a pause", |s| first_line(s).contains("paused"));
    let paused = step(&session.screen()).unwrap();
    assert!(paused >= before);
    session.send(" ");
    session.wait_for("the run again", |s| first_line(s).contains("running"));
    wait_steps(&mut session, 3);
    session.send("((");
    session.wait_text("learning rate by hand");
    session.send("]");
    session.wait_text("τ by hand");
    wait_steps(&mut session, 8);
    session.send("s");
    session.wait_for("the end", |s| first_line(s).contains("stopped"));
    session.wait_text("opens it in the explorer");
    let run = runs(&session).pop().unwrap();
    let changed = events(&run, "changed");
    let named =
        |what: &str| changed.iter().find(|c| c["what"] == what).unwrap_or_else(|| panic!("{changed:?}"));
    let (rate, tau) = (named("learning-rate"), named("threshold"));
    let last = changed.iter().rfind(|c| c["what"] == "learning-rate").unwrap();
    for line in events(&run, "step") {
        let at = line["step"].as_u64().unwrap();
        if at >= last["step"].as_u64().unwrap() {
            assert_eq!(line["learning_rate"], last["value"], "in force from the next step on");
        }
    }
    assert!(rate["step"].as_u64().unwrap() <= tau["step"].as_u64().unwrap());
    session.send("o");
    session.wait_for("the checkpoint in the explorer", |s| first_line(s).contains("step-0"));
    session.wait_text("Δ masked");
    session.send("q");
    assert!(session.wait_end().success());
    session.assert_restored();
}

#[test]
fn leaving_while_a_run_goes_on_asks_and_saves() {
    let mut session = running((80, 24));
    session.send("q");
    session.wait_text("stop, save, leave");
    session.send("\r");
    assert!(session.wait_end().success());
    session.assert_restored();
    let run = runs(&session).pop().unwrap();
    assert!(run.join("model.safetensors").is_file(), "saved before it left");
    assert_eq!(events(&run, "ended").len(), 1);
}

#[test]
fn a_file_that_is_not_there_is_one_sentence() {
    let mut session = Session::start(&Start { args: SMALL, size: (120, 40), ..Start::default() });
    session.wait_text("Δ masked");
    session.send("T");
    session.wait_text("passages");
    session.send("\r\u{15}/nowhere/x");
    session.wait_text("cannot read");
    session.send("\r ");
    session.wait_for("the refusal", |s| s.contains("/nowhere/x") && s.contains("✗ The run"));
    session.send("\u{1b}");
    // Escape and a letter in one read would be the letter with Alt.
    session.wait_for("the card gone", |s| !s.contains("✗ The run"));
    session.send("q");
    assert!(session.wait_end().success());
    session.assert_restored();
}

/// Typing in the explorer while a run goes on. The time is from the key written to the terminal to the frame that shows
/// it read back; what is asserted is that every key gets its frame. How fast is for benches.
#[test]
fn every_key_is_answered_while_a_run_goes_on() {
    let mut session = running((160, 50));
    session.send("Ei\u{1}");
    session.send("x");
    let mut times = Vec::new();
    let letters: Vec<char> = "the storm came over the grey sea and ".chars().cycle().take(200).collect();
    for (n, letter) in letters.iter().enumerate() {
        let frames = session.frames();
        let started = Instant::now();
        session.send(&letter.to_string());
        session.wait_frame(frames);
        times.push(started.elapsed());
        // As fast as a person types fast.
        let next = started + Duration::from_millis(60);
        session.read_until(next);
        assert!(n < 400);
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("key to frame while training: median {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0));
    let steps = first_line(&session.screen()).to_owned();
    assert!(steps.contains("running"), "{steps}");
    session.send("\u{3}");
    session.wait_text("stop, save, leave");
    session.send("\u{3}");
    session.wait_end();
}

#[test]
fn a_stopped_run_goes_on_from_the_list_with_its_charts() {
    let mut session = running((160, 50));
    wait_steps(&mut session, 5);
    session.send("s");
    session.wait_for("the end", |s| first_line(s).contains("stopped"));
    let run = runs(&session).pop().unwrap();
    let stopped = events(&run, "step").len();
    session.send("R");
    session.wait_for("the run in the list", |s| s.contains("go on") && s.contains("stopped"));
    session.send("a");
    session.wait_text("space starts");
    assert!(
        step(&session.screen()).is_some_and(|n| n == stopped),
        "its charts are there: {}",
        session.screen()
    );
    session.send(" ");
    session.wait_for("steps after the old ones", |s| step(s).is_some_and(|n| n >= stopped + 3));
    session.send("s");
    session.wait_for("the end", |s| first_line(s).contains("stopped"));
    assert_eq!(runs(&session).len(), 1, "the same folder");
    let steps: Vec<u64> = events(&run, "step").iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>(), "every step once");
    session.send("q");
    assert!(session.wait_end().success());
    session.assert_restored();
}
