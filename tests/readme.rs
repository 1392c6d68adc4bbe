//! Starts a command in a pseudo-terminal, waits for its screen, sends `q`, and looks at how it left. The README's main
//! command is run only when asked for (`--ignored`, as `.ci/run` does): it may have to compile first.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const ROWS: NonZeroU16 = NonZeroU16::new(24).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(80).unwrap();

/// A command in its own pseudo-terminal, with the terminal's view of it.
struct Session {
    child: Box<dyn Child + Send + Sync>,
    input: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    terminal: vt100::Parser,
    deadline: Instant,
    // Dropping it hangs up on the command.
    _master: Box<dyn MasterPty + Send>,
}

impl Session {
    fn start(shell_command: &str, limit: Duration) -> Session {
        let size = PtySize { rows: ROWS.get(), cols: COLUMNS.get(), pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new("sh");
        command.args(["-c", shell_command]);
        command.cwd(env!("CARGO_MANIFEST_DIR"));
        command.env("TERM", "xterm-256color");
        // The person's own settings must not decide what is seen.
        command.env("MASKSCOPE_CONFIG", "/dev/null");
        command.env_remove("NO_COLOR");
        // What `cargo test` tells this test about itself must not reach a `cargo run` inside: it would build anew.
        for (name, _) in std::env::vars() {
            let about_this_test = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
            if about_this_test.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Session {
            child,
            input: pair.master.take_writer().unwrap(),
            output,
            terminal: vt100::Parser::new(ROWS, COLUMNS, 0),
            deadline: Instant::now() + limit,
            _master: pair.master,
        }
    }

    /// Reads on until `ready` says so; false when the time is up or the command has hung up.
    fn read_until(&mut self, ready: impl Fn(&vt100::Screen) -> bool) -> bool {
        while !ready(self.terminal.screen()) {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.terminal.process(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }

    fn shown(&self) -> String {
        self.terminal.screen().contents().trim().to_owned()
    }
}

/// Something is drawn on the alternate screen.
fn is_open(screen: &vt100::Screen) -> bool {
    screen.alternate_screen() && !screen.contents().trim().is_empty()
}

/// Starts, waits for the screen, sends `q`; what went wrong, if anything.
fn start_and_quit(shell_command: &str, limit: Duration) -> Result<(), String> {
    let mut session = Session::start(shell_command, limit);
    let result = quit(&mut session);
    if result.is_err() {
        // It may have ended by itself, and then there is nothing to kill.
        let _ = session.child.kill();
    }
    result
}

fn quit(session: &mut Session) -> Result<(), String> {
    if !session.read_until(is_open) {
        return Err(format!("never opened its screen; it shows:\n{}", session.shown()));
    }
    session.input.write_all(b"q").map_err(|error| error.to_string())?;
    // The end of output is the end of the command: nothing else holds the terminal.
    session.read_until(|_| false);
    if Instant::now() >= session.deadline {
        return Err(format!("did not quit on q; it shows:\n{}", session.shown()));
    }
    let status = session.child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("ended with {status}; it shows:\n{}", session.shown()));
    }
    let screen = session.terminal.screen();
    let left_on = [
        ("the alternate screen", screen.alternate_screen()),
        ("a hidden cursor", screen.hide_cursor()),
        ("mouse reports", screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None),
        ("bracketed paste", screen.bracketed_paste()),
    ];
    let left_on: Vec<_> = left_on.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    if left_on.is_empty() { Ok(()) } else { Err(format!("left the terminal with {}", left_on.join(", "))) }
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
    fails(&stand_in(ENTER, "\\033[?2004l\\033[?1000l\\033[?25h"), limit, "the alternate screen");
    fails(&stand_in(ENTER, "\\033[?2004l\\033[?1000l\\033[?1049l"), limit, "a hidden cursor");
    fails(&stand_in(ENTER, "\\033[?2004l\\033[?25h\\033[?1049l"), limit, "mouse reports");
    fails(&stand_in(ENTER, "\\033[?1000l\\033[?25h\\033[?1049l"), limit, "bracketed paste");
    fails(&format!("{}; exit 3", stand_in(ENTER, LEAVE)), limit, "ended with");
    fails("echo hello", limit, "never opened");
    fails(&format!("{}; exec sleep 60", stand_in(ENTER, LEAVE)), Duration::from_secs(2), "did not quit");
}
