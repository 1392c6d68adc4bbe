//! Frames to the terminal: each one is collected and written at once, inside a synchronized update. UI thread only.

use std::cell::RefCell;
use std::io;
use std::io::Write;
use std::rc::Rc;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;

use crate::screen::App;
use crate::screen::draw::draw;

const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// Collects bytes; flushing keeps them. The backend flushes in the middle of a frame, and a half-written frame must not
/// come out after a panic has put the terminal back.
#[derive(Clone, Default)]
struct Collected(Rc<RefCell<Vec<u8>>>);

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The terminal as something to draw on.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Collected>>,
    bytes: Collected,
}

impl Screen {
    pub fn new() -> io::Result<Self> {
        let bytes = Collected::default();
        let terminal = Terminal::new(CrosstermBackend::new(bytes.clone()))?;
        Ok(Screen { terminal, bytes })
    }

    pub fn area(&self) -> io::Result<Rect> {
        let size = self.terminal.size()?;
        Ok(Rect::new(0, 0, size.width, size.height))
    }

    /// Forgets what is on the terminal, so that the next frame is drawn whole.
    pub fn forget(&mut self) -> io::Result<()> {
        let area = self.area()?;
        self.terminal.resize(area)
    }

    /// Draws one frame.
    pub fn draw(&mut self, app: &App) -> io::Result<()> {
        // What `forget` wrote belongs into the same update, or the screen would flash.
        let earlier = std::mem::take(&mut *self.bytes.0.borrow_mut());
        self.bytes.write_all(BEGIN)?;
        self.bytes.write_all(&earlier)?;
        self.terminal.draw(|frame| {
            if let Some((x, y)) = draw(frame.buffer_mut(), app) {
                frame.set_cursor_position((x, y));
            }
        })?;
        self.bytes.write_all(END)?;
        self.send()
    }

    /// Writes bytes that are no part of a frame.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.write_all(bytes)?;
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut *self.bytes.0.borrow_mut());
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()
    }
}

/// The escape sequence that puts a text on the terminal's clipboard (OSC 52).
pub fn clipboard(text: &str) -> Vec<u8> {
    let mut out = b"\x1b]52;c;".to_vec();
    out.extend(base64(text.as_bytes()));
    out.extend(b"\x07");
    out
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { digit } else { b'=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipboard_text_is_encoded() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("τ ±", "z4QgwrE=")]
        {
            assert_eq!(clipboard(text), format!("\x1b]52;c;{encoded}\x07").into_bytes());
        }
    }
}
