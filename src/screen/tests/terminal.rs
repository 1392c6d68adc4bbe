//! The real loop in a pseudo-terminal: this test binary starts itself again there, with a stand-in for the engine. Looks
//! at what a terminal would show, and at what is left behind.

use crossbeam_channel::Sender;

use crate::engine::types::{Command, ExploreRequest, Update};
use crate::pty::{Program, Session, Start};
use crate::screen::terminal::run;
use crate::screen::testing::{answer, model, options};
use crate::screen::tests::ROLE;
use crate::screen::{App, Port, ScreenError, TerminalOptions};

/// Answers at once, on the caller's thread: the channel is the only thing between it and the screen.
struct Answering {
    to: Sender<Update>,
    role: String,
}

impl Port for Answering {
    fn plan(&self, _: crate::screen::train::RunRequest) {}

    fn train(&self, _: crate::engine::types::TrainCommand) {}

    fn models(&self, _: crate::engine::types::ModelsCommand) {}

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
    let ended = run(app, &Answering { to, role }, updates, TerminalOptions::default());
    if let Err(ScreenError::Signal(signal)) = ended {
        std::process::exit(128 + signal);
    }
    ended.unwrap();
    println!("back in the shell");
}

fn start(role: &str) -> Session {
    let env = [(ROLE, role), ("RUST_BACKTRACE", "0")];
    Session::start(&Start {
        program: Program::Inside("screen::tests::terminal::inside"),
        env: &env,
        ..Start::default()
    })
}

/// The first answer is on screen: from here on, news come only from what the test does.
fn ready(role: &str) -> Session {
    let mut session = start(role);
    session.wait_text("2 forwards");
    session
}

/// It ends, and leaves the terminal as it was; whether it did so of its own will.
fn ends(mut session: Session) -> bool {
    let status = session.wait_end();
    session.assert_restored();
    status.success()
}

#[test]
fn opens_moves_and_leaves_the_terminal_as_it_was() {
    let mut s = ready("plain");
    s.wait_text("0.700");
    s.send("]]]");
    s.wait_text("0.760");
    s.send("\x1b[C");
    s.wait_text("0.780");
    s.send("[[[[");
    s.wait_text("0.700");
    s.send("q");
    s.wait_text("back in the shell");
    assert!(ends(s));
}

#[test]
fn fast_typing_ends_with_the_final_text() {
    let mut s = ready("plain");
    s.send("i");
    s.wait_text("done");
    s.send("\x01\x7f");
    let text: String =
        (0..200).map(|i| if i % 6 == 5 { ' ' } else { char::from(b'a' + (i % 26) as u8) }).collect();
    s.send(&text);
    let tail = text[180..].trim().to_owned();
    s.wait_text(&tail);
    let tokens = format!("{} tokens", crate::screen::testing::tokens(&text).len());
    s.wait_text(&tokens);
    s.send("\x03");
    ends(s);
}

#[test]
fn a_bracketed_paste_goes_into_the_text_whatever_it_holds() {
    let mut s = ready("plain");
    s.send("\x1b[200~q pasted \x1b[31m\tline\r\nsecond\x1b[201~");
    s.wait_text("␛[31m→line");
    s.wait_text("second");
    s.signal(libc::SIGTERM);
    ends(s);
}

#[test]
fn signals_leave_it_as_it_was() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        let mut s = ready("plain");
        s.signal(signal);
        assert_eq!(s.wait_end().exit_code(), 128 + signal as u32);
        s.assert_restored();
    }
}

#[test]
fn a_panic_in_the_ui_leaves_it_as_it_was_and_is_readable() {
    let mut s = start("broken");
    s.wait_text("a panic that a test asked for");
    assert!(!ends(s));
}

#[test]
fn an_overflowing_stack_and_an_abort_leave_it_as_it_was() {
    for role in ["overflowing", "aborting"] {
        let mut s = start(role);
        s.wait_text("ended by an internal fault");
        assert!(!ends(s), "{role}");
    }
}

#[test]
fn a_panic_elsewhere_leaves_the_screen_alone() {
    let mut s = ready("panicking");
    s.send("R");
    s.wait_text("a worker has panicked");
    assert!(!s.screen().contains("a worker's panic text"), "{}", s.screen());
    assert!(s.terminal.screen().alternate_screen());
    s.send("]");
    s.wait_text("0.720");
    s.send("q");
    ends(s);
}

#[cfg(target_os = "linux")]
#[test]
fn it_stops_and_comes_back() {
    for by_key in [true, false] {
        let mut s = ready("plain");
        if by_key {
            s.send("\x1a");
        } else {
            s.signal(libc::SIGTSTP);
        }
        s.wait_until("stopped", |s| s.process_state() == 'T');
        s.wait_until("modes undone", |s| s.left().is_empty());
        s.assert_restored();
        s.signal(libc::SIGCONT);
        s.wait_until("the screen is back", |s| {
            s.terminal.screen().alternate_screen() && s.screen().contains("Attention")
        });
        s.send("]");
        s.wait_text("0.720");
        s.send("q");
        ends(s);
    }
}

#[test]
fn any_size_and_back() {
    let mut s = ready("plain");
    for (rows, cols) in [(1, 1), (12, 40), (24, 80), (3, 200), (50, 160)] {
        s.resize(cols, rows);
        if (rows, cols) == (12, 40) {
            s.wait_text("needs 60 × 16 cells");
        }
        if (rows, cols) == (24, 80) {
            s.wait_text("Attention");
        }
    }
    s.wait_text("Attention");
    s.wait_text("0.700");
    s.send("q");
    ends(s);
}

#[test]
fn a_silent_engine_never_holds_up_a_key() {
    let mut s = ready("silent");
    s.send("]");
    s.wait_text("computing");
    s.send("]]]]");
    s.wait_text("0.800");
    s.send("q");
    ends(s);
}
