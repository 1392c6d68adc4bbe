//! The real loop in a pseudo-terminal: this test binary starts itself again there, with a stand-in for the engine. Looks
//! at what a terminal would show, and at what is left behind.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::app::data::{Command, ExploreRequest, Update};
use crate::app::testing::{answer, model, options};
use crate::app::{App, Port};
use crate::tui::{TerminalOptions, run};

/// Set in the process inside the pseudo-terminal; its value says what its engine does.
const ROLE: &str = "MASKSCOPE_TEST_ROLE";
const DEADLINE: Duration = Duration::from_secs(30);

/// Answers at once, on the caller's thread: the channel is the only thing between it and the screen.
struct Answering {
    to: Sender<Update>,
    role: String,
}

impl Port for Answering {
    fn plan(&self, _: crate::app::train::RunRequest) {}

    fn train(&self, _: crate::app::data::TrainCommand) {}

    fn explore(&self, request: ExploreRequest) {
        if self.role == "silent" && request.generation > 2 {
            return;
        }
        for update in answer(&request) {
            let _ = self.to.send(update);
        }
    }
    fn command(&self, command: Command) {
        if let (Command::Rerolls { .. }, "panicking") = (&command, self.role.as_str()) {
            let _ = std::thread::spawn(|| panic!("a worker's panic text")).join();
            let _ = self.to.send(Update::Crashed { message: "a worker has panicked".into() });
        }
    }
}

#[test]
#[ignore = "started by the others, inside a pseudo-terminal"]
fn inside() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (to, updates) = crossbeam_channel::unbounded();
    to.send(Update::ModelReady(model("demo", 4, 4))).unwrap();
    let app = App::new(options()).unwrap();
    run(app, &Answering { to, role }, updates, TerminalOptions::default()).unwrap();
    println!("back in the shell");
}

fn cells(n: u16) -> std::num::NonZero<u16> {
    std::num::NonZero::new(n).unwrap()
}

struct Session {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    parser: Arc<Mutex<vt100::Parser>>,
    raw: Arc<Mutex<Vec<u8>>>,
    termios: String,
}

impl Session {
    fn start(role: &str, env: &[(&str, &str)]) -> Self {
        let size = PtySize { rows: 50, cols: 160, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let termios = format!("{:?}", pair.master.get_termios());
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["tui::tests::terminal::inside", "--exact", "--ignored", "--nocapture"]);
        command.env(ROLE, role);
        command.env("TERM", "xterm-256color");
        command.env("RUST_BACKTRACE", "0");
        for (k, v) in env {
            command.env(k, v);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let parser = Arc::new(Mutex::new(vt100::Parser::new(cells(50), cells(160), 0)));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let (p, r) = (parser.clone(), raw.clone());
        std::thread::spawn(move || {
            let mut buf = [0; 65536];
            while let Ok(n) = reader.read(&mut buf) {
                if n == 0 {
                    return;
                }
                p.lock().unwrap().process(&buf[..n]);
                r.lock().unwrap().extend_from_slice(&buf[..n]);
            }
        });
        // The slave stays open, so that the terminal's settings can be read after the child has gone.
        std::mem::forget(pair.slave);
        Session {
            child,
            writer: pair.master.take_writer().unwrap(),
            master: pair.master,
            parser,
            raw,
            termios,
        }
    }

    fn send(&mut self, bytes: &str) {
        self.writer.write_all(bytes.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    fn contents(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }

    #[track_caller]
    fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < DEADLINE, "never: {what}\n{}", self.contents());
            std::thread::yield_now();
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        self.until(text, |s| s.contents().contains(text));
    }

    /// The first answer is on screen: from here on, news come only from what the test does.
    #[track_caller]
    fn ready(&self) {
        self.shows("2 forwards");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.process_id().unwrap().to_string();
        std::process::Command::new("kill").args([format!("-{name}"), pid]).status().unwrap();
    }

    /// The process state letter of Linux, e.g. T for stopped.
    #[cfg(target_os = "linux")]
    fn process_state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.process_id()?)).ok()?;
        stat.rsplit(')').next()?.trim().chars().next()
    }

    #[track_caller]
    fn is_as_before(&self) {
        self.until("modes undone", |s| {
            let parser = s.parser.lock().unwrap();
            let screen = parser.screen();
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && !screen.bracketed_paste()
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
        });
        self.until("terminal settings restored", |s| format!("{:?}", s.master.get_termios()) == s.termios);
        let raw = self.raw.lock().unwrap();
        let count = |needle: &[u8]| raw.windows(needle.len()).filter(|w| *w == needle).count();
        assert_eq!(count(b"\x1b[?1004h") > 0, count(b"\x1b[?1004l") > 0, "focus events");
        // Nothing of a frame may follow the way out.
        let last_leave = raw.windows(8).rposition(|w| w == b"\x1b[?1049l").unwrap();
        assert!(!raw[last_leave..].windows(8).any(|w| w == b"\x1b[?2026h"), "a frame after leaving");
    }

    #[track_caller]
    fn ends(&mut self) -> u32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(start.elapsed() < DEADLINE, "did not end\n{}", self.contents());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
fn opens_moves_and_leaves_the_terminal_as_it_was() {
    let mut s = Session::start("plain", &[]);
    s.ready();
    s.shows("0.700");
    s.send("]]]");
    s.shows("0.760");
    s.send("\x1b[C");
    s.shows("0.780");
    s.send("[[[[");
    s.shows("0.700");
    s.send("q");
    s.shows("back in the shell");
    assert_eq!(s.ends(), 0);
    s.is_as_before();
}

#[test]
fn fast_typing_ends_with_the_final_text() {
    let mut s = Session::start("plain", &[]);
    s.ready();
    s.send("i");
    s.shows("done");
    s.send("\x01\x7f");
    let text: String =
        (0..200).map(|i| if i % 6 == 5 { ' ' } else { char::from(b'a' + (i % 26) as u8) }).collect();
    s.send(&text);
    let tail = text[180..].trim().to_owned();
    s.shows(&tail);
    let tokens = format!("{} tokens", crate::app::testing::tokens(&text).len());
    s.shows(&tokens);
    s.send("\x03");
    s.ends();
    s.is_as_before();
}

#[test]
fn a_bracketed_paste_goes_into_the_text_whatever_it_holds() {
    let mut s = Session::start("plain", &[]);
    s.ready();
    s.send("\x1b[200~q pasted \x1b[31m\tline\r\nsecond\x1b[201~");
    s.shows("␛[31m→line");
    s.shows("second");
    s.signal("TERM");
    s.ends();
    s.is_as_before();
}

#[test]
fn signals_leave_it_as_it_was() {
    for signal in ["TERM", "HUP", "INT"] {
        let mut s = Session::start("plain", &[]);
        s.ready();
        s.signal(signal);
        s.ends();
        s.is_as_before();
    }
}

#[test]
fn a_panic_in_the_ui_leaves_it_as_it_was_and_is_readable() {
    let mut s = Session::start("plain", &[("MASKSCOPE_TEST_PANIC", "ui")]);
    s.shows("asked to by MASKSCOPE_TEST_PANIC");
    assert_ne!(s.ends(), 0);
    s.is_as_before();
}

#[test]
fn a_panic_elsewhere_leaves_the_screen_alone() {
    let mut s = Session::start("panicking", &[]);
    s.ready();
    s.send("R");
    s.shows("a worker has panicked");
    assert!(!s.contents().contains("a worker's panic text"), "{}", s.contents());
    assert!(s.parser.lock().unwrap().screen().alternate_screen());
    s.send("]");
    s.shows("0.720");
    s.send("q");
    s.ends();
    s.is_as_before();
}

#[cfg(target_os = "linux")]
#[test]
fn it_stops_and_comes_back() {
    for by_key in [true, false] {
        let mut s = Session::start("plain", &[]);
        s.ready();
        if by_key {
            s.send("\x1a");
        } else {
            s.signal("TSTP");
        }
        s.until("stopped", |s| s.process_state() == Some('T'));
        s.is_as_before();
        s.signal("CONT");
        s.until("the screen is back", |s| {
            s.parser.lock().unwrap().screen().alternate_screen() && s.contents().contains("Attention")
        });
        s.send("]");
        s.shows("0.720");
        s.send("q");
        s.ends();
        s.is_as_before();
    }
}

#[test]
fn any_size_and_back() {
    let mut s = Session::start("plain", &[]);
    s.ready();
    for (rows, cols) in [(1, 1), (12, 40), (24, 80), (3, 200), (50, 160)] {
        s.parser.lock().unwrap().screen_mut().set_size(cells(rows), cells(cols));
        s.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        if (rows, cols) == (12, 40) {
            s.shows("needs 60 × 16 cells");
        }
        if (rows, cols) == (24, 80) {
            s.shows("Attention");
        }
    }
    s.shows("Attention");
    s.shows("0.700");
    s.send("q");
    s.ends();
    s.is_as_before();
}

#[test]
fn a_silent_engine_never_holds_up_a_key() {
    let mut s = Session::start("silent", &[]);
    s.ready();
    s.send("]");
    s.shows("computing");
    let start = Instant::now();
    s.send("]]]]");
    s.shows("0.800");
    assert!(start.elapsed() < Duration::from_secs(2));
    s.send("q");
    s.ends();
    s.is_as_before();
}
