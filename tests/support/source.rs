//! Rust source cut into pieces, for tests that read the sources of the crate.

use std::fs;
use std::path::{Path, PathBuf};

/// A piece of Rust source: names, `::`, or a single other character.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub text: String,
    pub line: usize,
}

/// Cuts a source into pieces; comments, texts, characters and lifetimes are left out.
pub fn pieces(source: &str) -> Vec<Piece> {
    let chars: Vec<char> = source.chars().collect();
    let (mut i, mut line) = (0, 1);
    let mut out = Vec::new();
    while i < chars.len() {
        let start = i;
        let rest = &chars[i..];
        let text = match rest {
            ['/', '/', ..] => {
                i = end_of_line(&chars, i);
                None
            }
            ['/', '*', ..] => {
                i = end_of_comment(&chars, i);
                None
            }
            ['r', '"' | '#', ..] | ['b', 'r', '"' | '#', ..] if raw_text_end(&chars, i).is_some() => {
                i = raw_text_end(&chars, i).unwrap_or(i + 1);
                None
            }
            ['"', ..] => {
                i = end_of_text(&chars, i);
                None
            }
            ['\'', ..] => {
                i = end_of_char_or_lifetime(&chars, i);
                None
            }
            [':', ':', ..] => {
                i += 2;
                Some("::".to_owned())
            }
            [c, ..] if c.is_alphanumeric() || *c == '_' => {
                while i < chars.len() && (chars[i].is_alphanumeric() || chars[i] == '_') {
                    i += 1;
                }
                Some(chars[start..i].iter().collect())
            }
            [c, ..] => {
                i += 1;
                (!c.is_whitespace()).then(|| c.to_string())
            }
            [] => None,
        };
        out.extend(text.map(|text| Piece { text, line }));
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
    }
    out
}

fn end_of_line(chars: &[char], from: usize) -> usize {
    chars[from..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| from + n)
}

/// Comments nest.
fn end_of_comment(chars: &[char], from: usize) -> usize {
    let (mut i, mut depth) = (from, 0usize);
    while i < chars.len() {
        match &chars[i..] {
            ['/', '*', ..] => (i, depth) = (i + 2, depth + 1),
            ['*', '/', ..] => (i, depth) = (i + 2, depth - 1),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_text(chars: &[char], from: usize) -> usize {
    let mut i = from + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// The end of `r"…"`, `r#"…"#` or the same with `b`; `None` where it is none (`r#type`).
fn raw_text_end(chars: &[char], from: usize) -> Option<usize> {
    let mut i = from + usize::from(chars[from] == 'b') + 1;
    let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
    i += hashes;
    if chars.get(i) != Some(&'"') {
        return None;
    }
    i += 1;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(chars.len())
}

fn end_of_char_or_lifetime(chars: &[char], from: usize) -> usize {
    match &chars[from + 1..] {
        ['\\', ..] => {
            // After the backslash and what it escapes, up to the closing quote.
            let close = chars[from + 3..].iter().position(|c| *c == '\'');
            close.map_or(chars.len(), |n| from + 3 + n + 1)
        }
        [_, '\'', ..] => from + 3,
        _ => from + 1,
    }
}

/// Every `.rs` file under `folder`, sorted.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
