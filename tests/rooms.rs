//! The rules of the house: a room imports only what lies below it. Reads the sources, so that a broken rule names the
//! file and the line. The rooms and their order are those of `src/lib.rs`.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first. A room may import the rooms before it.
const ORDER: [&str; 14] = [
    "support",
    "settings",
    "tensor",
    "model",
    "hub",
    "attention",
    "mask",
    "train",
    "eval",
    "engine",
    "config",
    "app",
    "tui",
    "cli",
];

/// A room above that another one may still import: verdicts on runs are made with the same statistics as all others.
const MAY_ALSO_IMPORT: [(&str, &str); 1] = [("train", "eval")];

/// What a room reaches only through another one.
const THROUGH_APP: [(&str, &[&str]); 1] = [("tui", &["engine", "train"])];

const SCREEN: &[&str] = &["ratatui", "crossterm"];

/// Crates that a room must not name.
const BANNED_CRATES: [(&str, &[&str]); 13] = [
    ("support", &["ratatui", "crossterm", "candle_core", "candle_nn"]),
    ("settings", &["ratatui", "crossterm", "candle_core", "candle_nn"]),
    ("config", &["ratatui", "crossterm", "candle_core", "candle_nn"]),
    ("tensor", SCREEN),
    ("model", SCREEN),
    ("hub", SCREEN),
    ("attention", SCREEN),
    ("mask", SCREEN),
    ("train", SCREEN),
    ("eval", SCREEN),
    ("engine", SCREEN),
    ("app", &["ratatui", "candle_core", "candle_nn"]),
    ("tui", &["candle_core", "candle_nn"]),
];

/// Why `room` must not import the room `target`, if it must not.
fn forbidden(room: &str, target: &str) -> Option<String> {
    if room == target {
        return None;
    }
    let height = |name: &str| ORDER.iter().position(|room| *room == name);
    let (Some(ours), Some(theirs)) = (height(room), height(target)) else {
        return Some(format!("{target} is no room"));
    };
    if theirs > ours && !MAY_ALSO_IMPORT.contains(&(room, target)) {
        return Some(format!("{target} lies above {room}"));
    }
    let hidden = THROUGH_APP.iter().any(|(who, what)| *who == room && what.contains(&target));
    hidden.then(|| format!("{room} reaches {target} only through app"))
}

fn banned_crate(room: &str, name: &str) -> bool {
    BANNED_CRATES.iter().any(|(who, crates)| *who == room && crates.contains(&name))
}

/// A piece of Rust source: names, `::`, or a single other character.
#[derive(Clone, Debug, PartialEq)]
struct Piece {
    text: String,
    line: usize,
}

/// Cuts a source into pieces; comments, texts, characters and lifetimes are left out.
fn pieces(source: &str) -> Vec<Piece> {
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

/// A path that leaves its room, or names another crate.
#[derive(Debug, PartialEq)]
struct Import {
    /// The room, or the crate.
    target: String,
    is_crate: bool,
    line: usize,
}

/// Every path in `source` that starts at the root of the crate or at another crate. `module` is the module of the
/// file, e.g. `["app", "update"]`.
fn imports(source: &str, module: &[String]) -> Vec<Import> {
    let pieces = pieces(source);
    let at = |i: usize| pieces.get(i).map_or("", |piece| piece.text.as_str());
    let mut out = Vec::new();
    // One entry per open brace: whether it opened an inline module, which `super` has to climb out of.
    let mut braces: Vec<bool> = Vec::new();
    for i in 0..pieces.len() {
        let before = if i == 0 { "" } else { at(i - 1) };
        match at(i) {
            "{" => braces.push(i >= 2 && at(i - 2) == "mod"),
            "}" => {
                braces.pop();
            }
            "crate" | "maskscope" if before != "::" && at(i + 1) == "::" => {
                targets(&pieces, i + 2, &mut out);
            }
            "super" if before != "::" => {
                let mut next = i;
                let mut depth = module.len() + braces.iter().filter(|inline| **inline).count();
                while at(next) == "super" && at(next + 1) == "::" {
                    depth = depth.saturating_sub(1);
                    next += 2;
                }
                if depth == 0 {
                    targets(&pieces, next, &mut out);
                }
            }
            name if before != "::" && before != "." && (at(i + 1) == "::" || before == "use") => {
                out.push(Import { target: name.to_owned(), is_crate: true, line: pieces[i].line });
            }
            _ => {}
        }
    }
    out
}

/// The first names after a root: one, or every one in a `{…}` group.
fn targets(pieces: &[Piece], from: usize, out: &mut Vec<Import>) {
    let at = |i: usize| pieces.get(i).map_or("", |piece| piece.text.as_str());
    let mut push = |i: usize| {
        if let Some(Piece { text, line }) = pieces.get(i) {
            out.push(Import { target: text.clone(), is_crate: false, line: *line });
        }
    };
    if at(from) != "{" {
        return push(from);
    }
    let (mut i, mut depth) = (from + 1, 1usize);
    while i < pieces.len() && depth > 0 {
        if depth == 1 && matches!(at(i - 1), "{" | ",") && !matches!(at(i), "}" | ",") {
            push(i);
        }
        match at(i) {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        i += 1;
    }
}

/// What `source`, in `room`, must not import.
fn violations(source: &str, room: &str, module: &[String]) -> Vec<String> {
    let judge = |import: &Import| {
        if import.is_crate {
            let banned = banned_crate(room, &import.target);
            return banned.then(|| format!("{room} must not know {}", import.target));
        }
        // Names at the root that are no rooms are macros or `*`; the latter would hide everything.
        let is_room = ORDER.contains(&import.target.as_str()) || import.target == "config";
        match import.target.as_str() {
            "*" => Some("a glob import of the whole crate hides what is used".to_owned()),
            target if is_room => forbidden(room, target),
            _ => None,
        }
    };
    let found = imports(source, module);
    found.iter().filter_map(|import| Some(format!("{}: {}", import.line, judge(import)?))).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
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

/// `app/update/keys.rs` → `["app", "update", "keys"]`; `mod.rs` is its folder.
fn module_of(relative: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        relative.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.pop_if(|name| name == "mod");
    names
}

#[test]
fn no_room_imports_one_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for path in rust_files(&src) {
        let module = module_of(path.strip_prefix(&src).unwrap());
        let Some(room) = module.first().filter(|_| path.parent() != Some(src.as_path())) else { continue };
        let source = fs::read_to_string(&path).unwrap();
        let found = violations(&source, room, &module);
        broken.extend(found.into_iter().map(|why| format!("{}:{why}", path.display())));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_folder_is_a_room() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<_> = fs::read_dir(src)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut rooms: Vec<_> = ORDER.to_vec();
    rooms.sort_unstable();
    assert_eq!(folders, rooms);
}

fn found(room: &str, source: &str) -> Vec<String> {
    violations(source, room, &[room.to_owned(), "file".to_owned()])
}

#[test]
fn the_scanner_sees_every_way_to_write_an_import() {
    let bad = [
        ("mask", "use crate::engine::types::Work;"),
        ("mask", "use crate::{attention::types, engine::{self, types}};"),
        ("mask", "use crate::{\n    settings::choice,\n    tui,\n};"),
        ("mask", "fn f() -> crate::app::State { todo!() }"),
        ("mask", "use maskscope::cli;"),
        ("mask", "use super::super::engine::types;"),
        ("mask", "mod tests { use super::super::super::engine; }"),
        ("mask", "const C: char = '\\''; use crate::engine;"),
        ("mask", "const S: &str = r#\"\"\"#; use crate::engine;"),
        ("mask", "fn f<'a>(x: &'a str) { crate::engine::run(x) }"),
        ("mask", "/* /* */ */ use crate::engine;"),
        ("mask", "use crate::*;"),
        ("mask", "use ratatui::Frame;"),
        ("engine", "fn f() { crossterm::terminal::enable_raw_mode(); }"),
        ("app", "use candle_core::Tensor;"),
        ("tui", "use crate::engine::Handle;"),
        ("tui", "use crate::train::Run;"),
        ("engine", "use crate::config::Settings;"),
        ("settings", "use crate::tensor;"),
        ("support", "use crate::tensor;"),
        ("config", "use crate::app;"),
        ("tensor", "use crate::model;"),
    ];
    for (room, source) in bad {
        assert_eq!(found(room, source).len(), 1, "{room}: {source}: {:?}", found(room, source));
    }
}

#[test]
fn the_scanner_lets_the_allowed_pass() {
    let good = [
        ("mask", "use crate::attention::types::Reduction; use crate::settings::choice;"),
        ("mask", "// use crate::engine;\n/* crate::engine::x */ /// [`crate::engine::x`]\n"),
        ("mask", "const S: &str = \"use crate::engine;\"; const R: &str = r\"crate::engine\";"),
        ("mask", "use super::engine; use crate::mask::engine; use self::tui::x;"),
        ("mask", "mod tests { use super::super::engine; }"),
        ("tui", "use crate::app::App; use ratatui::Frame;"),
        ("cli", "use crate::config::Settings; use crate::tui;"),
        ("config", "use crate::support::files;"),
        ("app", "use crate::config::Settings; use crate::engine::types::Update;"),
    ];
    for (room, source) in good {
        assert_eq!(found(room, source), Vec::<String>::new(), "{room}: {source}");
    }
}

#[test]
fn a_broken_rule_names_its_line() {
    let source = "//! doc\n\nuse crate::attention;\nuse crate::{\n    attention,\n    engine,\n};\n";
    assert_eq!(found("mask", source), ["6: engine lies above mask"]);
}
