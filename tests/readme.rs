//! Starts a command in a pseudo-terminal, waits for its screen, sends `q`, and looks at how it left. The README's main
//! command is run only when asked for (`--ignored`, as `.ci/run` does): it may have to compile first.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

#[path = "support/pty.rs"]
mod pty;

use std::path::Path;
use std::time::{Duration, Instant};

use pty::{Program, Session, Start};

/// Starts a command of the shell, waits for its screen, sends `q`; what went wrong, if anything.
fn start_and_quit(line: &str, limit: Duration) -> Result<(), String> {
    // A `cargo run` inside finds its toolchain beside the home folder that it is not given.
    let folders = ["CARGO_HOME", "RUSTUP_HOME"].map(|name| {
        let usual = std::env::home_dir().unwrap().join(format!(".{}", name[..name.len() - 5].to_lowercase()));
        (name, std::env::var(name).unwrap_or_else(|_| usual.to_str().unwrap().to_owned()))
    });
    let env: Vec<(&str, &str)> = folders.iter().map(|(name, folder)| (*name, folder.as_str())).collect();
    let mut session = Session::start(&Start {
        program: Program::Shell(line),
        env: &env,
        size: (80, 24),
        ..Start::default()
    });
    let deadline = Instant::now() + limit;
    let failed = |what: &str, s: &Session| Err(format!("{what}; it shows:\n{}", s.screen().trim()));
    let open = |s: &Session| s.terminal.screen().alternate_screen() && !s.screen().trim().is_empty();
    if !session.reads(deadline, open) {
        return failed("never opened its screen", &session);
    }
    session.send("q");
    // The end of output is the end of the command: nothing else holds the terminal.
    session.reads(deadline, |_| false);
    if Instant::now() >= deadline {
        return failed("did not quit on q", &session);
    }
    let status = session.child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return failed(&format!("ended with {status}"), &session);
    }
    match session.left().as_slice() {
        [] => Ok(()),
        modes => failed(&format!("left modes {} switched", modes.join(", ")), &session),
    }
}

/// What stands between `<!-- name:begin -->` and `<!-- name:end -->`, without its fence.
fn readme_command(name: &str) -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let begin = readme.split(&format!("<!-- {name}:begin -->\n")).nth(1).unwrap();
    let block = begin.split(&format!("<!-- {name}:end -->")).next().unwrap();
    block.lines().filter(|line| !line.starts_with("```")).collect::<Vec<_>>().join("\n")
}

#[test]
#[ignore = "runs the README's main command, which may compile for minutes; .ci/run does it"]
fn the_main_command_opens_and_quits() {
    start_and_quit(&readme_command("run"), Duration::from_secs(240)).unwrap();
}

#[test]
fn the_readme_has_its_two_commands() {
    assert!(readme_command("run").starts_with("cargo run"));
    let test = readme_command("test");
    assert!(test.starts_with("cargo ") && test.contains("--release"), "{test}");
}

/// A well-behaved stand-in, and the ways to misbehave.
fn stand_in(enter: &str, leave: &str) -> String {
    format!("stty raw -echo; printf '{enter}'; head -c 1 >/dev/null; printf '{leave}'; stty sane")
}

const ENTER: &str = "\\033[?1049h\\033[?25l\\033[?1000h\\033[?2004hhello";
const LEAVE: &str = "\\033[?2004l\\033[?1000l\\033[?25h\\033[?1049l";

#[test]
fn a_clean_visitor_passes() {
    start_and_quit(&stand_in(ENTER, LEAVE), Duration::from_secs(30)).unwrap();
}

#[test]
fn every_kind_of_mess_is_seen() {
    let limit = Duration::from_secs(30);
    let fails = |command: &str, limit, why: &str| {
        let error = start_and_quit(command, limit).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    };
    fails(&stand_in(ENTER, "\\033[?2004l\\033[?1000l\\033[?25h"), limit, "modes 1049 ");
    fails(&stand_in(ENTER, "\\033[?2004l\\033[?1000l\\033[?1049l"), limit, "modes 25 ");
    fails(&stand_in(ENTER, "\\033[?2004l\\033[?25h\\033[?1049l"), limit, "modes 1000 ");
    fails(&stand_in(ENTER, "\\033[?1000l\\033[?25h\\033[?1049l"), limit, "modes 2004 ");
    fails(&format!("{}; exit 3", stand_in(ENTER, LEAVE)), limit, "ended with");
    fails("echo hello", limit, "never opened");
    fails(&format!("{}; exec sleep 60", stand_in(ENTER, LEAVE)), Duration::from_secs(2), "did not quit");
}
