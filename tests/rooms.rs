//! The rules of the house: a room imports only what lies below it. Reads the sources, so that a broken rule names the
//! file and the line. The rooms and their order are those of `src/lib.rs`.

#![allow(clippy::unwrap_used)]

#[path = "support/source.rs"]
mod source;

use std::fs;
use std::path::Path;

use source::{Piece, pieces, rust_files};

/// Lowest first. A room may import the rooms before it.
const ORDER: [&str; 13] = [
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
    "screen",
    "cli",
];

/// A room above that another one may still import: verdicts on runs are made with the same statistics as all others.
const MAY_ALSO_IMPORT: [(&str, &str); 1] = [("train", "eval")];

/// The screen sees what comes out of these rooms, not how they work: the modules that it may name.
const OF: [(&str, &str, &[&str]); 2] = [
    ("screen", "engine", &["types"]),
    ("screen", "train", &["arm", "data", "raster", "report", "runs", "settings", "spec", "twins"]),
];

const SCREEN: &[&str] = &["ratatui", "crossterm"];

/// Crates that a room must not name.
const BANNED_CRATES: [(&str, &[&str]); 12] = [
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
    ("screen", &["candle_core", "candle_nn"]),
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
    None
}

/// Why `room` must not name the module `inner` of the room `target`, if it must not.
fn inside(room: &str, target: &str, inner: &str) -> Option<String> {
    let (_, _, open) = OF.iter().find(|(who, of, _)| *who == room && *of == target)?;
    (!open.contains(&inner)).then(|| format!("{room} must not know the insides of {target}: {inner}"))
}

fn banned_crate(room: &str, name: &str) -> bool {
    BANNED_CRATES.iter().any(|(who, crates)| *who == room && crates.contains(&name))
}

/// A path that leaves its room, or names another crate.
#[derive(Debug, PartialEq)]
struct Import {
    /// The room, or the crate.
    target: String,
    /// The modules or items of the target that are named.
    inner: Vec<String>,
    is_crate: bool,
    line: usize,
}

/// Every path in `source` that starts at the root of the crate or at another crate. `module` is the module of the
/// file, e.g. `["screen", "train"]`.
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
                let (target, line) = (name.to_owned(), pieces[i].line);
                out.push(Import { target, inner: Vec::new(), is_crate: true, line });
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
            let inner = if at(i + 1) == "::" { names(pieces, i + 2) } else { Vec::new() };
            let inner = inner.into_iter().map(|at| pieces[at].text.clone()).collect();
            out.push(Import { target: text.clone(), inner, is_crate: false, line: *line });
        }
    };
    for i in names(pieces, from) {
        push(i);
    }
}

/// Where the names at the head of a path stand: one, or every one in a `{…}` group.
fn names(pieces: &[Piece], from: usize) -> Vec<usize> {
    let at = |i: usize| pieces.get(i).map_or("", |piece| piece.text.as_str());
    if at(from) != "{" {
        return if from < pieces.len() { vec![from] } else { Vec::new() };
    }
    let mut out = Vec::new();
    let (mut i, mut depth) = (from + 1, 1usize);
    while i < pieces.len() && depth > 0 {
        if depth == 1 && matches!(at(i - 1), "{" | ",") && !matches!(at(i), "}" | ",") {
            out.push(i);
        }
        match at(i) {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        i += 1;
    }
    out
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
            target if is_room => forbidden(room, target)
                .or_else(|| import.inner.iter().find_map(|inner| inside(room, target, inner))),
            _ => None,
        }
    };
    let found = imports(source, module);
    found.iter().filter_map(|import| Some(format!("{}: {}", import.line, judge(import)?))).collect()
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
        ("mask", "use crate::{\n    settings::choice,\n    screen,\n};"),
        ("mask", "fn f() -> crate::screen::App { loop {} }"),
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
        ("screen", "use candle_core::Tensor;"),
        ("screen", "use crate::engine::worker::Engine;"),
        ("screen", "use crate::train::{report::Live, run};"),
        ("engine", "use crate::config::Settings;"),
        ("settings", "use crate::tensor;"),
        ("support", "use crate::tensor;"),
        ("config", "use crate::screen;"),
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
        ("mask", "use super::engine; use crate::mask::engine; use self::screen::x;"),
        ("mask", "mod tests { use super::super::engine; }"),
        ("screen", "use crate::train::report::{Live, Plan}; use ratatui::Frame;"),
        ("cli", "use crate::config::Settings; use crate::screen;"),
        ("config", "use crate::support::files;"),
        ("screen", "use crate::config::Settings; use crate::engine::types::Update;"),
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
