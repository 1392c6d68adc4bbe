//! Keys as values and as strings (`ctrl-r`, `shift-left`, `?`). Pure; knows no terminal library.

use std::fmt;
use std::str::FromStr;

/// Which key, without its modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    Char(char),
    Enter,
    Esc,
    Tab,
    Backspace,
    Delete,
    Insert,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    PageUp,
    PageDown,
    F(u8),
}

const NAMED: &[(&str, Code)] = &[
    ("enter", Code::Enter),
    ("esc", Code::Esc),
    ("tab", Code::Tab),
    ("backspace", Code::Backspace),
    ("delete", Code::Delete),
    ("insert", Code::Insert),
    ("left", Code::Left),
    ("right", Code::Right),
    ("up", Code::Up),
    ("down", Code::Down),
    ("home", Code::Home),
    ("end", Code::End),
    ("pageup", Code::PageUp),
    ("pagedown", Code::PageDown),
    ("space", Code::Char(' ')),
];

/// A key press in its one normal form: a shifted character is the character itself (`R`, not shift-r).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub code: Code,
    pub ctrl: bool,
    pub alt: bool,
    pub shift: bool,
}

impl Key {
    /// Brings modifiers and character to the normal form.
    pub fn new(code: Code, ctrl: bool, alt: bool, shift: bool) -> Self {
        let (code, shift) = match code {
            // Terminals send ctrl-/ as byte 0x1f, which comes back as ctrl-7 or ctrl-_.
            Code::Char('7' | '_') if ctrl => (Code::Char('/'), false),
            Code::Char(c) if ctrl => (Code::Char(c.to_ascii_lowercase()), shift && c.is_ascii_alphabetic()),
            Code::Char(c) if shift => (Code::Char(c.to_uppercase().next().unwrap_or(c)), false),
            other => (other, shift),
        };
        Key { code, ctrl, alt, shift }
    }

    /// A key without modifiers.
    pub fn plain(code: Code) -> Self {
        Key::new(code, false, false, false)
    }

    /// The character to insert, where the key is one.
    pub fn typed(self) -> Option<char> {
        match self.code {
            Code::Char(c) if !self.ctrl && !self.alt => Some(c),
            _ => None,
        }
    }

    /// Short form for hints and help: `^R`, `⇧←`; for terminals with nothing but ASCII the form of settings files.
    pub fn label(self, ascii: bool) -> String {
        if ascii {
            return self.to_string();
        }
        let mut out = String::new();
        if self.ctrl {
            out.push('^');
        }
        if self.alt {
            out.push_str("M-");
        }
        if self.shift {
            out.push('⇧');
        }
        match self.code {
            Code::Char(' ') => out.push_str("space"),
            Code::Char(c) if self.ctrl => out.extend(c.to_uppercase()),
            Code::Char(c) => out.push(c),
            Code::Left => out.push('←'),
            Code::Right => out.push('→'),
            Code::Up => out.push('↑'),
            Code::Down => out.push('↓'),
            Code::Enter => out.push('⏎'),
            Code::F(n) => out.push_str(&format!("F{n}")),
            Code::PageUp => out.push_str("PgUp"),
            Code::PageDown => out.push_str("PgDn"),
            Code::Backspace => out.push('⌫'),
            Code::Delete => out.push_str("Del"),
            Code::Insert => out.push_str("Ins"),
            Code::Esc => out.push_str("Esc"),
            Code::Tab => out.push_str("Tab"),
            Code::Home => out.push_str("Home"),
            Code::End => out.push_str("End"),
        }
        out
    }
}

impl FromStr for Key {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (mut rest, mut ctrl, mut alt, mut shift) = (s.trim(), false, false, false);
        loop {
            let taken = [("ctrl-", &mut ctrl), ("alt-", &mut alt), ("shift-", &mut shift)]
                .into_iter()
                .find_map(|(prefix, flag)| rest.strip_prefix(prefix).map(|r| (r, flag)));
            match taken {
                Some((r, flag)) if !r.is_empty() => {
                    *flag = true;
                    rest = r;
                }
                _ => break,
            }
        }
        let mut chars = rest.chars();
        let code = match (chars.next(), chars.next()) {
            (Some(c), None) => Code::Char(c),
            _ => named_code(rest).ok_or_else(|| {
                format!("unknown key {s:?}; a character or one of enter, esc, tab, left, f1 …, with ctrl-, alt-, shift-")
            })?,
        };
        Ok(Key::new(code, ctrl, alt, shift))
    }
}

fn named_code(name: &str) -> Option<Code> {
    if let Some((_, code)) = NAMED.iter().find(|(n, _)| *n == name) {
        return Some(*code);
    }
    let n: u8 = name.strip_prefix('f')?.parse().ok()?;
    (1..=24).contains(&n).then_some(Code::F(n))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (on, prefix) in [(self.ctrl, "ctrl-"), (self.alt, "alt-"), (self.shift, "shift-")] {
            if on {
                f.write_str(prefix)?;
            }
        }
        if let Some((name, _)) = NAMED.iter().find(|(_, code)| *code == self.code) {
            return f.write_str(name);
        }
        match self.code {
            Code::Char(c) => write!(f, "{c}"),
            Code::F(n) => write!(f, "f{n}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_round_trip() {
        for s in
            ["ctrl-r", "shift-left", "?", "R", "-", "ctrl--", "alt-x", "f12", "space", "ctrl-shift-z", "esc"]
        {
            let key: Key = s.parse().unwrap();
            assert_eq!(key.to_string(), s);
        }
    }

    #[test]
    fn shifted_characters_have_one_form() {
        assert_eq!("shift-r".parse::<Key>().unwrap(), "R".parse().unwrap());
        assert_eq!("ctrl-R".parse::<Key>().unwrap(), Key::new(Code::Char('r'), true, false, false));
        assert_eq!("ctrl-7".parse::<Key>().unwrap(), "ctrl-/".parse().unwrap());
    }

    #[test]
    fn nonsense_is_explained() {
        for s in ["", "ctrl-", "hyper-x", "f99", "lefty"] {
            let err = s.parse::<Key>().unwrap_err();
            assert!(err.contains("unknown key"), "{err}");
        }
    }
}
