//! The last way out: a process that is aborted (a stack that overflowed, memory that ran out, a panic while panicking) or that
//! reads a mapped file which somebody cut short still puts the terminal back. Everything here runs inside a signal handler:
//! it only reads what was prepared and makes two system calls.

use std::sync::OnceLock;

use signal_hook::SigId;
use signal_hook::consts::signal::{SIGABRT, SIGBUS};

use super::guard::{LEAVE_ALL, was_active};

/// The terminal's own modes, from before the screen.
static MODES: OnceLock<libc::termios> = OnceLock::new();

const SENTENCE: &str = "\r\nmaskscope ended by an internal fault; the log has the details\r\n";

/// Watches while the screen is up.
pub struct CrashWatch {
    ids: Vec<SigId>,
}

impl CrashWatch {
    /// To be called before the terminal's modes are changed.
    ///
    /// # Errors
    /// Signals that cannot be handled.
    pub fn install() -> std::io::Result<Self> {
        if let Some(modes) = modes() {
            let _ = MODES.set(modes);
        }
        let mut ids = Vec::new();
        for signal in [SIGABRT, SIGBUS] {
            // SAFETY: the action is safe inside a signal handler: it reads atomics and constants, and calls write and
            // tcsetattr, which POSIX lists as such. What the signal does without it still happens afterwards.
            ids.push(unsafe { signal_hook::low_level::register(signal, put_back) }?);
        }
        Ok(CrashWatch { ids })
    }
}

impl Drop for CrashWatch {
    fn drop(&mut self) {
        self.ids.drain(..).for_each(|id| {
            signal_hook::low_level::unregister(id);
        });
    }
}

fn modes() -> Option<libc::termios> {
    // SAFETY: an all-zero termios is a valid value to be overwritten.
    let mut modes: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for the call, which only writes to it.
    (unsafe { libc::tcgetattr(libc::STDIN_FILENO, &raw mut modes) } == 0).then_some(modes)
}

fn put_back() {
    if !was_active() {
        return;
    }
    for (to, text) in [(libc::STDOUT_FILENO, LEAVE_ALL), (libc::STDERR_FILENO, SENTENCE)] {
        // SAFETY: the pointer and the length are of a constant.
        unsafe { libc::write(to, text.as_ptr().cast(), text.len()) };
    }
    if let Some(modes) = MODES.get() {
        // SAFETY: the modes were filled by tcgetattr.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, modes) };
    }
}
