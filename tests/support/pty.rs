//! A program in a pseudo-terminal, with a terminal emulator and the raw bytes it wrote. Every wait is for a condition with a
//! deadline.

// Every test file that includes this uses its own part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::RawFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;

fn cell(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap()
}

/// Longer than anything takes on a busy machine; a test that waits this long has failed.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Session {
    pub child: Box<dyn Child + Send + Sync>,
    input: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    pub terminal: vt100::Parser,
    /// Everything that was written to the terminal.
    pub raw: Vec<u8>,
    master: Box<dyn MasterPty + Send>,
    before: Modes,
    /// Home, cache and state of this run alone.
    pub home: TempDir,
}

/// Line settings of the terminal, compared as a whole.
#[derive(Clone, Debug, PartialEq)]
struct Modes {
    flags: [libc::tcflag_t; 4],
}

impl Modes {
    fn of(fd: RawFd) -> Modes {
        // SAFETY: an all-zero termios is a valid value to be overwritten, and fd is the open master.
        let mut t: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: both arguments are valid for the call.
        assert_eq!(unsafe { libc::tcgetattr(fd, &raw mut t) }, 0);
        Modes { flags: [t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag] }
    }
}

/// What a session starts.
#[derive(Clone, Copy, Default)]
pub enum Program<'a> {
    /// What was just built, or what `MASKSCOPE_BIN` names.
    #[default]
    Binary,
    /// This test binary again, with this one ignored test.
    Inside(&'a str),
    /// A command of the shell.
    Shell(&'a str),
}

impl Program<'_> {
    fn command(self) -> CommandBuilder {
        match self {
            Program::Binary => CommandBuilder::new(binary()),
            Program::Inside(test) => {
                let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
                command.args([test, "--exact", "--ignored", "--nocapture"]);
                command
            }
            Program::Shell(line) => {
                let mut command = CommandBuilder::new("sh");
                command.args(["-c", line]);
                command.cwd(env!("CARGO_MANIFEST_DIR"));
                command
            }
        }
    }
}

/// How a session is started.
#[derive(Clone, Default)]
pub struct Start<'a> {
    pub program: Program<'a>,
    pub args: &'a [&'a str],
    pub env: &'a [(&'a str, &'a str)],
    /// Columns and rows; 160 × 50 when zero.
    pub size: (u16, u16),
}

/// The program under test: what was just built, or the one that `MASKSCOPE_BIN` names.
pub fn binary() -> std::ffi::OsString {
    let built = || option_env!("CARGO_BIN_EXE_maskscope").map(Into::into);
    std::env::var_os("MASKSCOPE_BIN").or_else(built).expect("unit tests have no binary")
}

impl Session {
    pub fn start(start: &Start<'_>) -> Session {
        Self::start_in(start, tempfile::tempdir().unwrap())
    }

    pub fn start_in(start: &Start<'_>, home: TempDir) -> Session {
        let (cols, rows) = if start.size == (0, 0) { (160, 50) } else { start.size };
        let pair =
            native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = start.program.command();
        command.args(start.args);
        command.env_clear();
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let Ok(value) = std::env::var(name) {
                command.env(name, value);
            }
        }
        for (name, folder) in [
            ("HOME", ""),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_STATE_HOME", "state"),
        ] {
            command.env(name, home.path().join(folder));
        }
        // Most tests press keys at once; those about the first screen ask for its own focus.
        command.env("MASKSCOPE_UI__FOCUS", "mask");
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("LANG", "C.UTF-8");
        for (name, value) in start.env {
            command.env(name, value);
        }
        let before = Modes::of(pair.master.as_raw_fd().unwrap());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
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
            terminal: vt100::Parser::new(cell(rows), cell(cols), 0),
            raw: Vec::new(),
            master: pair.master,
            before,
            home,
        }
    }

    /// Sends bytes as if typed.
    pub fn send(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    pub fn resize(&mut self, cols: u16, rows: u16) {
        self.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        self.terminal.screen_mut().set_size(cell(rows), cell(cols));
    }

    pub fn screen(&self) -> String {
        self.terminal.screen().contents()
    }

    /// Reads on until `ready`; false when the time is up or nothing more can come.
    pub fn reads(&mut self, deadline: Instant, ready: impl Fn(&Session) -> bool) -> bool {
        while !ready(self) {
            if self.take(deadline.saturating_duration_since(Instant::now())).is_err() {
                return false;
            }
        }
        true
    }

    fn take(&mut self, wait: Duration) -> Result<(), RecvTimeoutError> {
        let bytes = self.output.recv_timeout(wait)?;
        self.terminal.process(&bytes);
        self.raw.extend(bytes);
        Ok(())
    }

    /// No frame is half read: each stands between the marks of a synchronized update.
    pub fn frame_is_whole(&self) -> bool {
        let last = |mark: &[u8]| self.raw.windows(mark.len()).rposition(|w| w == mark);
        last(b"\x1b[?2026h") <= last(b"\x1b[?2026l")
    }

    /// Reads on until a whole frame satisfies `ready`.
    pub fn wait_for(&mut self, what: &str, ready: impl Fn(&str) -> bool) {
        let seen = self.reads(Instant::now() + LIMIT, |s| s.frame_is_whole() && ready(&s.screen()));
        assert!(seen, "never saw {what}; the screen shows:\n{}", self.screen());
    }

    /// Reads on until a text is on screen.
    pub fn wait_text(&mut self, text: &str) {
        self.wait_for(text, |screen| screen.contains(text));
    }

    /// Reads until the command has ended and everything it wrote has been read.
    pub fn wait_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.take(left) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("did not end; the screen shows:\n{}", self.screen()),
            }
        }
        self.child.wait().unwrap()
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.process_id().unwrap()).unwrap();
        // SAFETY: the child has not been waited for, so the id is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// `R`, `S`, `T` … from `/proc`.
    #[cfg(target_os = "linux")]
    pub fn process_state(&self) -> char {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.process_id().unwrap())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().chars().next().unwrap()
    }

    /// Reads whatever comes while waiting for a condition outside the screen.
    pub fn wait_until(&mut self, what: &str, ready: impl Fn(&Session) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !self.frame_is_whole() || !ready(self) {
            assert!(Instant::now() < deadline, "never came: {what}; the screen shows:\n{}", self.screen());
            let _ = self.take(Duration::from_millis(20));
        }
    }

    /// Whole frames that were read so far.
    pub fn frames(&self) -> usize {
        self.raw.windows(8).filter(|w| w == b"\x1b[?2026l").count()
    }

    /// Reads on until another frame than the first `known` is whole.
    pub fn wait_frame(&mut self, known: usize) {
        let from = self.raw.len().saturating_sub(7);
        let deadline = Instant::now() + LIMIT;
        while !self.raw[from..].windows(8).any(|w| w == b"\x1b[?2026l") {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(self.take(left).is_ok(), "no frame after {known}");
        }
    }

    /// Takes in whatever comes until a moment.
    pub fn read_until(&mut self, moment: Instant) {
        while let Some(left) = moment.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) {
            if self.take(left).is_err() {
                return;
            }
        }
    }

    /// Every private mode that was switched, and how it was left.
    pub fn modes(&self) -> BTreeMap<String, bool> {
        let mut modes = BTreeMap::new();
        let text = String::from_utf8_lossy(&self.raw);
        for part in text.split("\u{1b}[?").skip(1) {
            let end = part.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(part.len());
            let on = match part[end..].chars().next() {
                Some('h') => true,
                Some('l') => false,
                _ => continue,
            };
            for mode in part[..end].split(';') {
                modes.insert(mode.to_owned(), on);
            }
        }
        modes
    }

    /// Modes that were left other than they were found: 25 is the visible cursor, everything else was off.
    pub fn left(&self) -> Vec<String> {
        self.modes().into_iter().filter(|(mode, on)| *on != (mode == "25")).map(|(mode, _)| mode).collect()
    }

    /// The terminal is as it was before the program started.
    pub fn assert_restored(&self) {
        assert_eq!(self.left(), [""; 0], "modes were left switched");
        let last = |bytes: &[u8]| self.raw.windows(8).rposition(|w| w == bytes);
        assert!(last(b"\x1b[?2026h") < last(b"\x1b[?1049l"), "a frame after leaving");
        assert_eq!(Modes::of(self.master.as_raw_fd().unwrap()), self.before, "line settings differ");
        assert!(!self.terminal.screen().alternate_screen());
        assert!(!self.terminal.screen().hide_cursor());
    }

    /// Text of the log, where there is one.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("state/maskscope/maskscope.log")).unwrap_or_default()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It has ended already in a test that passed.
        let _ = self.child.kill();
    }
}
