//! A person at work for a while, in a pseudo-terminal: typing, sliders, views, two models in turn, a training run, resizes. Memory,
//! threads and open files must not grow. `MASKSCOPE_SOAK=3600 cargo test --release --test soak -- --ignored --nocapture` takes
//! an hour; without the variable it takes a minute and a half.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/pty.rs"]
mod pty;

use std::path::Path;
use std::time::{Duration, Instant};

use maskscope::model::Tokenizer;
use pty::{Session, Start};
use serde_json::json;

/// Growth that counts as none: allocators and caches keep what they were given once.
const SHARE: f64 = 0.05;
/// Frames may lie in the pipe and pages of the binary come in late: so much is noise, in bytes.
const NOISE: u64 = 6_000_000;

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory: u64,
    threads: usize,
    files: usize,
}

impl Held {
    fn by(session: &Session) -> Held {
        Held::of(session.child.process_id().unwrap())
    }

    fn of(process: u32) -> Held {
        let process = format!("/proc/{process}");
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let files = std::fs::read_dir(format!("{process}/fd")).unwrap().count();
        Held { memory: 1024 * number("VmRSS:"), threads: number("Threads:") as usize, files }
    }
}

fn first_line(session: &Session) -> String {
    session.screen().lines().next().unwrap_or_default().to_owned()
}

/// Opens the models, types one and waits for it.
fn switch(session: &mut Session, model: &str, name: &str) {
    session.send("M");
    session.wait_text("Models");
    session.send(model);
    session.wait_text(model);
    session.send("\r");
    session.wait_until(name, |s| first_line(s).contains(name));
    session.wait_text("Next token after");
}

/// One round of everything but training.
fn explore(session: &mut Session, round: usize, tiny: &Path) {
    // A text is typed over the old one, and then one more word.
    session.send("i\u{1}");
    session.send(&format!("the whale in round {round} was larger than the ship "));
    session.wait_text(&format!("round {round}"));
    session.send("of the captain");
    session.wait_text("of the captain");
    // Alone: with keys right behind it, Esc is read as Alt.
    session.send("\u{1b}");
    session.wait_text("write here");
    for keys in ["]]]]]", "[[[[[", "...", ",,,", "lhlh", "mmm", "oo", "ddddddd", "r", "r"] {
        let frames = session.frames();
        session.send(keys);
        session.wait_frame(frames);
    }
    for (columns, rows) in [(80, 24), (200, 60), (40, 10), (160, 50)] {
        session.resize(columns, rows);
        let frames = session.frames();
        session.wait_frame(frames);
    }
    // Until it has grown again, keys do nothing.
    session.wait_text("write here");
    switch(session, tiny.to_str().unwrap(), "gpt2-tiny-random");
    switch(session, "demo", "demo");
}

/// A run from its plan to its end, with a look at the explorer meanwhile.
fn train(session: &mut Session) {
    session.send("T");
    session.wait_text("space start");
    session.send(" ");
    session.wait_text("space starts");
    session.send(" ");
    session.wait_until("a step", |s| first_line(s).contains("running"));
    session.send("((");
    session.send("E");
    session.wait_text("Next token after");
    session.send("]][[");
    session.send("T");
    session.wait_until("the end", |s| first_line(s).contains("finished"));
    session.send("E");
    session.wait_text("Next token after");
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// The library's caches live as long as a thread: those of a tokenizer that is gone must not.
#[test]
fn tokenizers_that_are_gone_leave_nothing_behind() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let text = std::fs::read_to_string(root.join("calibration.txt")).unwrap();
    let open_and_read = || {
        let tokenizer = Tokenizer::from_folder(&root, &json!({"model_type": "gpt2"})).unwrap().unwrap();
        assert!(tokenizer.ids(&text).unwrap().len() > 20_000);
    };
    (0..5).for_each(|_| open_and_read());
    let before = Held::of(std::process::id());
    (0..40).for_each(|_| open_and_read());
    let after = Held::of(std::process::id());
    assert!(after.memory < before.memory + 2 * NOISE, "{before:?}, then {after:?}");
    assert!(after.threads <= before.threads, "{before:?}, then {after:?}");
}

#[test]
#[ignore = "takes as long as it is told to: see MASKSCOPE_SOAK"]
fn use_over_time_takes_no_more_memory_threads_or_files() {
    let told = std::env::var("MASKSCOPE_SOAK").ok().and_then(|t| t.parse().ok());
    let length = Duration::from_secs(told.unwrap_or(90));
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2-tiny-random");
    let args: Vec<&str> = [
        "ui.tour=false",
        "train.steps=20",
        "train.batch_size=2",
        "train.context=32",
        "train.eval_every=10",
        "train.checkpoint_every=10",
        "train.keep_last=1",
    ]
    .into_iter()
    .flat_map(|setting| ["--set", setting])
    .collect();
    let mut session = Session::start(&Start { args: &args, ..Start::default() });
    session.wait_text("Next token after");
    // The text has the keyboard at the start.
    session.send("\u{1b}");
    session.wait_text("write here");
    let (start, mut held, mut round) = (Instant::now(), Vec::new(), 0);
    while start.elapsed() < length || held.len() < 4 {
        explore(&mut session, round, &tiny);
        train(&mut session);
        round += 1;
        // The first rounds fill what is filled once: threads, kernels, the allocator's pools.
        if round > 2 {
            let now = Held::by(&session);
            println!("{:>5} s, round {round}: {now:?}", start.elapsed().as_secs());
            held.push(now);
        }
        // What was read is looked at above; keeping it would be this test's own growth.
        session.raw.clear();
    }
    let quarter = held.len().div_ceil(4);
    let (early, late) = (&held[..quarter], &held[held.len() - quarter..]);
    let memory = |of: &[Held]| median(of.iter().map(|h| h.memory).collect());
    // What comes and goes, such as the threads of a run, is not there in every round; what leaks is.
    let least = |of: &[Held], what: fn(&Held) -> usize| of.iter().map(what).min().unwrap();
    let (before, after) = (memory(early), memory(late));
    println!("{round} rounds: memory {} → {} kB", before / 1000, after / 1000);
    assert!(after as f64 <= before as f64 * (1.0 + SHARE) + NOISE as f64, "memory grows: {held:?}");
    assert!(least(late, |h| h.threads) <= least(early, |h| h.threads), "threads grow: {held:?}");
    assert!(least(late, |h| h.files) <= least(early, |h| h.files), "open files grow: {held:?}");
    session.send("q");
    assert!(session.wait_end().success());
    session.assert_restored();
}
