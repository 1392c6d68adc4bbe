//! What commands write to stdout: text and JSON, never an escape sequence, silent when the reader has gone.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::error::{CliError, ExitKind};
use crate::support::files::Outgoing;
use crate::support::visible::{is_unsafe, lines};

/// The `--json` flag.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct JsonFlag {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Output(());

impl Output {
    pub fn stdout() -> Output {
        Output(())
    }

    /// Writes text; control characters other than line ends and tabs are made visible.
    ///
    /// # Errors
    /// A full disk; a closed pipe ends the command quietly.
    pub fn text(self, text: &str) -> Result<(), CliError> {
        self.raw(lines(text).as_bytes())
    }

    /// Writes a value as indented JSON with a line end.
    ///
    /// # Errors
    /// As [`Output::text`], and values that JSON cannot hold.
    pub fn json<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        self.raw(json_text(value)?.as_bytes())
    }

    fn raw(self, bytes: &[u8]) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::new(ExitKind::ReaderGone, "the reader has gone"),
            _ => CliError::failed(format!("cannot write to stdout: {error}")),
        })
    }
}

fn json_text<T: Serialize>(value: &T) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::failed(format!("cannot write JSON: {error}")))?;
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // JSON leaves these as they are, but U+009B starts a control sequence in a terminal, and U+202E turns text round.
        // They can stand in strings only, where the escape means the same.
        if c != '\n' && is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    Ok(out)
}

/// Refuses an `--out` that cannot take a file, before any work is done.
///
/// # Errors
/// As [`Outgoing::judge`].
pub fn check_out(path: &Path) -> Result<(), CliError> {
    Outgoing::judge(path).map(|_| ()).map_err(|e| unwritable(path, &e))
}

/// Writes the file of `--out` by `write`, which is given the place to write to; it appears whole or not at all.
///
/// # Errors
/// As [`check_out`]; those of `write`; a full disk.
pub fn write_out(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), CliError> {
    let written = Outgoing::of(path).and_then(|out| {
        write(out.path())?;
        out.put()
    });
    written.map_err(|e| unwritable(path, &e))
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    let error = CliError::failed(format!("{} cannot be written: {error}", path.display()));
    error.with_hint("pass a new file, or a plain file to replace, to --out")
}

/// Writes a remark to stderr, where it cannot mix with results.
pub fn note(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{}", lines(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_sequence_gets_through() {
        let evil = "a\u{1b}[2J\u{9b}31m\u{7f}\u{7}\r\u{202e}\u{2066}\u{e0041}";
        for text in [lines(evil), json_text(&evil).unwrap()] {
            assert!(!text.trim_end().chars().any(is_unsafe), "{text:?}");
        }
        let back: String = serde_json::from_str(&json_text(&evil).unwrap()).unwrap();
        assert_eq!(back, evil);
    }
}
