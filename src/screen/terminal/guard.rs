//! Owns the terminal's modes: enters them, and undoes every one of them on every way out: normal end, error, panic in the
//! UI thread, signals, suspension. Used by the UI thread only. A panic in any other thread must leave the screen alone.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, panic, thread};

use crossterm::terminal::{disable_raw_mode, enable_raw_mode};

/// Whether the terminal is in our modes. One per process, as there is one terminal: the panic hook has no other way to
/// know.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// Alternate screen, bracketed paste, focus events, hidden cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?2004h\x1b[?1004h\x1b[?25l";
/// Buttons, drags, and coordinates beyond column 223.
const MOUSE: &str = "\x1b[?1000h\x1b[?1002h\x1b[?1006h";
/// Tell escape sequences from the Esc key.
const KEYBOARD: &str = "\x1b[>1u";
/// Everything back, whether it was entered or not: undoing a mode that is off does nothing. The synchronized update
/// comes first, since the panic may have come in the middle of one; the keyboard flags belong to the alternate screen.
const LEAVE: &str =
    "\x1b[?2026l\x1b[?1006l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1004l\x1b[?2004l\x1b[0m\x1b[?25h";
const LEAVE_KEYBOARD: &str = "\x1b[<1u";
const LEAVE_SCREEN: &str = "\x1b[?1049l";

/// All of them at once, for a signal handler; popping keyboard flags that were not pushed does nothing.
pub(super) const LEAVE_ALL: &str = "\x1b[?2026l\x1b[?1006l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1004l\x1b[?2004l\x1b[0m\x1b[?25h\
    \x1b[<1u\x1b[?1049l";

/// Whether the terminal is in our modes; from now on it counts as put back.
pub(super) fn was_active() -> bool {
    ACTIVE.swap(false, Ordering::SeqCst)
}

static KEYBOARD_PUSHED: AtomicBool = AtomicBool::new(false);

/// The terminal in our modes; dropping it puts everything back.
#[derive(Debug)]
pub struct Guard {
    mouse: bool,
    keyboard: bool,
}

impl Guard {
    /// Enters raw mode, the alternate screen and the rest.
    pub fn enter(mouse: bool, keyboard: bool) -> io::Result<Self> {
        let guard = Guard { mouse, keyboard };
        guard.apply()?;
        Ok(guard)
    }

    /// Enters the modes (again): at the start, after a suspension.
    pub fn apply(&self) -> io::Result<()> {
        // While the process was stopped the shell may have set its own modes, which "already raw" would not see.
        let _ = disable_raw_mode();
        enable_raw_mode()?;
        ACTIVE.store(true, Ordering::SeqCst);
        let mut out = String::from(ENTER);
        if self.mouse {
            out.push_str(MOUSE);
        }
        if self.keyboard && !KEYBOARD_PUSHED.swap(true, Ordering::SeqCst) {
            out.push_str(KEYBOARD);
        }
        write(&out)
    }

    /// Puts everything back, e.g. before a suspension.
    pub fn leave(&self) {
        leave();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave();
    }
}

/// Puts everything back, once. Errors are ignored: on the way out there is nobody left to tell.
fn leave() {
    if !ACTIVE.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = String::from(LEAVE);
    if KEYBOARD_PUSHED.swap(false, Ordering::SeqCst) {
        out.push_str(LEAVE_KEYBOARD);
    }
    out.push_str(LEAVE_SCREEN);
    let _ = write(&out);
    let _ = disable_raw_mode();
}

fn write(s: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(s.as_bytes())?;
    out.flush()
}

/// Whether the terminal is known to understand the keyboard protocol. Asking it could take seconds where nobody answers,
/// so only well-known names count.
pub fn knows_keyboard_protocol() -> bool {
    let is =
        |name: &str, values: &[&str]| std::env::var(name).is_ok_and(|v| values.iter().any(|x| v.contains(x)));
    std::env::var_os("KITTY_WINDOW_ID").is_some()
        || is("TERM", &["kitty", "foot", "ghostty", "alacritty"])
        || is("TERM_PROGRAM", &["WezTerm", "ghostty", "rio"])
}

/// The panic hook while the screen is up; dropping it puts the former hook back.
pub struct PanicHook {
    former: Arc<dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync>,
}

impl PanicHook {
    /// To be called on the UI thread.
    pub fn install() -> Self {
        let former: Arc<dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync> = Arc::from(panic::take_hook());
        let ui = thread::current().id();
        let next = former.clone();
        panic::set_hook(Box::new(move |info| {
            if thread::current().id() == ui || !ACTIVE.load(Ordering::SeqCst) {
                leave();
                next(info);
            } else {
                // A worker's panic is caught where it runs and becomes a message on screen; printing it here would
                // only tear the picture.
                tracing::error!("{info}");
            }
        }));
        PanicHook { former }
    }
}

impl Drop for PanicHook {
    fn drop(&mut self) {
        // Hooks cannot be changed while panicking, and the process is ending then anyway.
        if !thread::panicking() {
            let former = self.former.clone();
            panic::set_hook(Box::new(move |info| former(info)));
        }
    }
}
