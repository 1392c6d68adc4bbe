//! The Generate screen in a pseudo-terminal, with the bundled model: what a person does to let it write, steer it and talk
//! to it.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

#[path = "support/pty.rs"]
mod pty;

use pty::{Program, Session, Start};

const DEFAULT: Start<'static> = Start { program: Program::Binary, args: &[], env: &[], size: (0, 0) };

fn open() -> Session {
    let mut session = Session::start(&DEFAULT);
    session.wait_text("Δ masked");
    session.send("G");
    session.wait_text("without the mask");
    session.wait_text("Candidates");
    session
}

/// Everything that was asked for is written.
fn rests(session: &mut Session, written: usize) {
    let told = format!("{written} written");
    session.wait_for("a text at rest", |screen| screen.contains(&told) && !screen.contains("writing…"));
}

fn quit(mut session: Session) {
    session.send("q");
    assert!(session.wait_end().success());
    session.assert_restored();
}

/// The text at the left, without spaces and line ends.
fn left(session: &Session) -> String {
    let screen = session.screen();
    let lines = screen.lines().skip_while(|l| !l.contains("without the mask")).skip(1);
    let cells =
        lines.take_while(|l| !l.starts_with('╰')).filter_map(|l| l.split('│').nth(1).map(str::to_owned));
    bare(&cells.collect::<String>())
}

fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '↵' | '▁' | '▲' | '▼')).collect()
}

#[test]
fn a_text_is_written_struck_out_grown_again_and_brought_back() {
    let mut session = open();
    session.send(" ");
    rests(&mut session, 64);
    let first = left(&session);
    // The command draws the same.
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_maskscope"))
        .args([
            "generate",
            "--tokens",
            "64",
            "--json",
            "--text",
            maskscope::config::ExploreSettings::default().text.as_str(),
        ])
        .env("MASKSCOPE_CONFIG", "/dev/null")
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let text = told["turns"][0]["baseline"]["text"].as_str().unwrap();
    assert!(first.ends_with(&bare(text)), "{first}\n{text}");
    // Back to a token, and out with it.
    session.send(&"\u{1b}[D".repeat(30));
    session.wait_text("they part at");
    session.send("\u{7f}");
    session.wait_until("another text", |s| left(s) != first && !s.screen().contains("writing…"));
    rests(&mut session, 64);
    session.send("u");
    session.wait_until("the first text", |s| left(s) == first);
    // A candidate by its number, from the list.
    session.send("\t2");
    session.wait_until("a third text", |s| left(s) != first && !s.screen().contains("writing…"));
    rests(&mut session, 64);
    session.resize(80, 24);
    session.wait_text("Candidates");
    quit(session);
}

#[test]
fn writing_pauses_at_once_and_a_dialogue_answers() {
    let mut session = open();
    session.send(" ");
    session.wait_text("writing…");
    session.send(" ");
    session.wait_for("a pause", |screen| !screen.contains("writing…"));
    session.send("D");
    session.wait_text("Say something");
    session.send("Who are you?\r");
    session.wait_text("Who are you?");
    session.wait_for("an answer", |screen| screen.contains("written") && !screen.contains(" 0 written"));
    session.send("\u{1b}");
    session.wait_text("one token");
    session.send("E");
    session.wait_text("Attention");
    quit(session);
}
