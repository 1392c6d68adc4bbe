//! Keys, mouse, paste, resize and signals: read on threads of their own, handed to the UI thread through a channel.
//! These threads only block, translate and send; they never touch the state or the screen.

use crossbeam_channel::Sender;
use crossterm::event;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent};

use crate::screen::keys::{Code, Key};

/// What the UI thread is told.
#[derive(Clone, Debug)]
pub enum TerminalInput {
    Key(Key),
    Mouse(MouseEvent),
    Paste(String),
    Resize(u16, u16),
    /// The terminal window was left: a button held down may come up unseen.
    FocusLost,
    Signal(Signal),
    /// The terminal is gone.
    Closed(String),
}

/// Signals, by what they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To end, with its number.
    Terminate(i32),
    Suspend,
    /// The process runs again after it was stopped.
    Continue,
}

/// Starts reading the terminal. The thread lives until the process ends: a blocking read cannot be cancelled.
pub fn spawn(to: Sender<TerminalInput>) -> std::io::Result<()> {
    std::thread::Builder::new().name("input".to_owned()).spawn(move || read(&to))?;
    Ok(())
}

fn read(to: &Sender<TerminalInput>) {
    loop {
        let input = match event::read() {
            Ok(event) => translate(event),
            Err(error) => Some(TerminalInput::Closed(error.to_string())),
        };
        let closed = matches!(input, Some(TerminalInput::Closed(_)));
        if let Some(input) = input
            && to.send(input).is_err()
        {
            return;
        }
        if closed {
            return;
        }
    }
}

fn translate(event: event::Event) -> Option<TerminalInput> {
    match event {
        event::Event::Key(key) => translate_key(key).map(TerminalInput::Key),
        event::Event::Mouse(mouse) => Some(TerminalInput::Mouse(mouse)),
        event::Event::Paste(text) => Some(TerminalInput::Paste(text)),
        event::Event::Resize(w, h) => Some(TerminalInput::Resize(w, h)),
        event::Event::FocusGained => None,
        event::Event::FocusLost => Some(TerminalInput::FocusLost),
    }
}

/// A terminal library's key as ours; `None` for releases and keys nothing is bound to.
pub fn translate_key(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let m = key.modifiers;
    let (ctrl, alt) = (m.contains(KeyModifiers::CONTROL), m.contains(KeyModifiers::ALT));
    let shift = m.contains(KeyModifiers::SHIFT);
    let code = match key.code {
        KeyCode::Char(c) if c.is_control() => return None,
        KeyCode::Char(c) => Code::Char(c),
        KeyCode::Enter => Code::Enter,
        KeyCode::Esc => Code::Esc,
        KeyCode::Tab => Code::Tab,
        KeyCode::BackTab => return Some(Key::new(Code::Tab, ctrl, alt, true)),
        KeyCode::Backspace => Code::Backspace,
        KeyCode::Delete => Code::Delete,
        KeyCode::Insert => Code::Insert,
        KeyCode::Left => Code::Left,
        KeyCode::Right => Code::Right,
        KeyCode::Up => Code::Up,
        KeyCode::Down => Code::Down,
        KeyCode::Home => Code::Home,
        KeyCode::End => Code::End,
        KeyCode::PageUp => Code::PageUp,
        KeyCode::PageDown => Code::PageDown,
        KeyCode::F(n) => Code::F(n),
        _ => return None,
    };
    Some(Key::new(code, ctrl, alt, shift))
}

/// Starts listening for signals.
#[cfg(unix)]
pub fn spawn_signals(to: Sender<TerminalInput>) -> std::io::Result<()> {
    use signal_hook::consts::signal::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
    let mut signals =
        signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let signal = match signal {
                SIGTSTP => Signal::Suspend,
                SIGCONT => Signal::Continue,
                other => Signal::Terminate(other),
            };
            if to.send(TerminalInput::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

#[cfg(not(unix))]
pub fn spawn_signals(_to: Sender<TerminalInput>) -> std::io::Result<()> {
    Ok(())
}

/// Stops the process until the shell resumes it; returns after that.
#[cfg(unix)]
pub fn stop() {
    let _ = signal_hook::low_level::emulate_default_handler(signal_hook::consts::signal::SIGTSTP);
}

#[cfg(not(unix))]
pub fn stop() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_translated_to_their_normal_form() {
        let key = |code, m| translate_key(KeyEvent::new(code, m)).map(|k| k.to_string());
        assert_eq!(key(KeyCode::Char('R'), KeyModifiers::SHIFT).unwrap(), "R");
        assert_eq!(key(KeyCode::Char('7'), KeyModifiers::CONTROL).unwrap(), "ctrl-/");
        assert_eq!(key(KeyCode::BackTab, KeyModifiers::SHIFT).unwrap(), "shift-tab");
        assert_eq!(key(KeyCode::Left, KeyModifiers::SHIFT).unwrap(), "shift-left");
        assert_eq!(key(KeyCode::Char('\u{1b}'), KeyModifiers::NONE), None);
        let release = KeyEvent { kind: KeyEventKind::Release, ..KeyEvent::from(KeyCode::Enter) };
        assert_eq!(translate_key(release), None);
    }
}
