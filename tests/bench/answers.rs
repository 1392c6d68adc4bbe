//! How long a key takes until its final answer is on screen: the real program in a pseudo-terminal, with random weights of
//! GPT-2 small's shape and a text of 200 tokens. `cargo bench --bench answers`, with `-- --train` while a run trains.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/pty.rs"]
mod pty;

use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::Device;
use maskscope::engine::loaded::HELD_OUT_TEXT;
use maskscope::model::Config;
use maskscope::train::init;
use pty::{Session, Start};

/// Bytes of the bundled text that are 200 tokens for the bundled tokenizer.
const TEXT: usize = 852;
/// The byte before which letters are typed.
const MIDDLE: usize = 433;
/// Keys of each kind.
const ROUNDS: usize = 8;

const CONFIG: &str = r#"{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 50257,
    "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "tie_word_embeddings": true}"#;

const SETTINGS: [&str; 8] = [
    "ui.tour=false",
    "explore.rerolls=32",
    "train.steps=100000",
    "train.batch_size=2",
    "train.context=128",
    "train.warmup_steps=5",
    "train.eval_every=100000",
    "train.checkpoint_every=100000",
];

fn main() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let text: String = HELD_OUT_TEXT.replace('\n', " ").chars().take(TEXT).collect();
    let model = folder.path().to_str().unwrap();
    let mut args = vec!["--model", model, "--text", &text, "--offline"];
    args.extend(SETTINGS.iter().flat_map(|setting| ["--set", *setting]));
    let env = [("MASKSCOPE_LOG", "debug")];
    let mut session = Session::start(&Start { args: &args, env: &env, ..Start::default() });
    session.wait_for("the model with its text", |s| first_line(s).contains("200/1024 tokens"));
    // Until the distance null is known, the engine measures it between two keys.
    session.wait_text("Distance null ready");
    session.send("C");
    session
        .wait_for("the first answer with it", |s| s.contains("distance-null") && !s.contains("null ready"));
    if std::env::args().any(|arg| arg == "--train") {
        train(&mut session);
    }
    println!("{:<22}{:>12}{:>12}{:>10}{:>16}", "key", "median ms", "slowest ms", "forwards", "rows x layers");
    gesture(&mut session, "threshold", "]");
    gesture(&mut session, "re-roll", "r");
    session.send("i\u{1b}[1;5H");
    session.send(&"\u{1b}[C".repeat(MIDDLE));
    session.read_until(Instant::now() + Duration::from_secs(1));
    gesture(&mut session, "letter in the middle", "a");
    session.send("\u{1b}");
    session.read_until(Instant::now() + Duration::from_secs(1));
    let started = Instant::now();
    session.send("R");
    session.wait_for("all re-rolls", |s| s.contains("32 re-rolls") && !s.contains("/32"));
    println!("{:<22}{:>12.0}", "32 re-rolls", millis(started.elapsed()));
    let _ = session.child.kill();
}

fn write_model(folder: &Path) {
    let config = Config::parse(CONFIG.as_bytes(), "config.json").unwrap();
    let weights = init::weights(&config, 1, &Device::Cpu).unwrap();
    candle_core::safetensors::save(&weights, folder.join("model.safetensors")).unwrap();
    std::fs::write(folder.join("config.json"), CONFIG).unwrap();
    let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tokenizer.json");
    std::fs::copy(tokenizer, folder.join("tokenizer.json")).unwrap();
}

/// Starts a run of the same model and goes back to the explorer.
fn train(session: &mut Session) {
    session.send("T");
    session.wait_text("novels");
    session.send(" ");
    session.wait_text("space starts");
    session.send(" ");
    session.wait_for("the first steps", |s| s.contains("step 2"));
    session.send("E");
    session.wait_text("200/1024 tokens");
}

fn first_line(screen: &str) -> &str {
    screen.lines().next().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// An answer as the log tells of it.
struct Answered {
    forwards: usize,
    rows: usize,
    /// As the top line shows it.
    shown: String,
}

/// The answers in the log.
fn answers(session: &Session) -> Vec<Answered> {
    let number = |line: &str, name: &str| -> f64 {
        let value = line.split(name).nth(1).and_then(|rest| rest.split_whitespace().next());
        value.and_then(|v| v.parse().ok()).unwrap_or(0.0)
    };
    let log = session.log();
    let lines = log.lines().filter(|line| line.contains("answered"));
    let answered = lines.map(|line| {
        let (forwards, millis) = (number(line, "forwards=") as usize, number(line, "millis="));
        let time = if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") };
        Answered { forwards, rows: number(line, "rows=") as usize, shown: format!("  {time}") }
    });
    answered.collect()
}

/// Presses a key again and again, each time until the final answer is on screen.
fn gesture(session: &mut Session, name: &str, key: &str) {
    let mut times = Vec::new();
    let (mut forwards, mut rows) = (0, 0);
    for _ in 0..ROUNDS {
        let known = answers(session).len();
        let started = Instant::now();
        session.send(key);
        // When each frame came, and its top line.
        let mut frames: Vec<(Duration, String)> = Vec::new();
        let (time, answer) = loop {
            session.read_until(Instant::now() + Duration::from_millis(1));
            if session.frame_is_whole() {
                let top = first_line(&session.screen()).to_owned();
                if frames.last().is_none_or(|(_, last)| *last != top) {
                    frames.push((started.elapsed(), top));
                }
            }
            let answer = answers(session).into_iter().nth(known);
            let shown = answer.and_then(|answer| {
                let frame = frames.iter().find(|(_, top)| top.contains(&answer.shown))?;
                Some((frame.0, answer))
            });
            if let Some(shown) = shown {
                break shown;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "no answer:\n{}", session.screen());
        };
        times.push(millis(time));
        (forwards, rows) = (forwards + answer.forwards, rows + answer.rows);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{name:<22}{:>12.0}{:>12.0}{:>10.1}{:>16.0}",
        times[ROUNDS / 2],
        times[ROUNDS - 1],
        forwards as f64 / ROUNDS as f64,
        rows as f64 / ROUNDS as f64
    );
}
