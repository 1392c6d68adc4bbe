//! Text as it is written: tokens may end in the middle of a character, which waits for its rest.

use super::super::error::CliError;
use super::super::output::Output;

/// Writes bytes of tokens as text.
pub struct TextStream {
    out: Output,
    quiet: bool,
    waiting: Vec<u8>,
}

impl TextStream {
    /// A quiet one writes nothing: the JSON comes at the end.
    pub fn new(out: Output, quiet: bool) -> Self {
        TextStream { out, quiet, waiting: Vec::new() }
    }

    /// A line above the text.
    pub fn heading(&self, text: &str) -> Result<(), CliError> {
        self.write(&format!("{text}:\n"))
    }

    fn write(&self, text: &str) -> Result<(), CliError> {
        if self.quiet || text.is_empty() { Ok(()) } else { self.out.text(text) }
    }

    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.waiting.extend_from_slice(bytes);
        let text = whole_characters(&mut self.waiting);
        self.write(&text)
    }

    /// What still waits never becomes a character; the line ends.
    pub fn end(&mut self) -> Result<(), CliError> {
        let rest = std::mem::take(&mut self.waiting);
        self.write(&format!("{}\n", String::from_utf8_lossy(&rest)))
    }
}

/// Takes what is whole off `waiting`; bytes that belong to no character become U+FFFD.
fn whole_characters(waiting: &mut Vec<u8>) -> String {
    let mut out = String::new();
    loop {
        match std::str::from_utf8(waiting) {
            Ok(text) => {
                out.push_str(text);
                waiting.clear();
                return out;
            }
            Err(error) => {
                let valid = error.valid_up_to();
                out.push_str(&String::from_utf8_lossy(&waiting[..valid]));
                let Some(bad) = error.error_len() else {
                    waiting.drain(..valid);
                    return out;
                };
                out.push(char::REPLACEMENT_CHARACTER);
                waiting.drain(..valid + bad);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_over_two_tokens_comes_whole() {
        let mut waiting = "né".as_bytes()[..2].to_vec();
        assert_eq!(whole_characters(&mut waiting), "n");
        waiting.push(0xa9);
        assert_eq!(whole_characters(&mut waiting), "é");
        waiting.extend(b"a\xffb\xe2\x82");
        assert_eq!(whole_characters(&mut waiting), "a\u{fffd}b");
        assert_eq!(waiting, b"\xe2\x82");
    }
}
