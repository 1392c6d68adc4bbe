//! One name for one type in the whole crate, and limits for the size of files and functions. Reads the sources.

#![allow(clippy::unwrap_used)]

#[path = "support/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use source::{Piece, pieces, rust_files};

/// Most lines of a file.
const FILE_LINES: usize = 500;
/// Most lines of a function, from its name to its last brace.
const FUNCTION_LINES: usize = 60;

/// Names that several rooms give to a type, each with the reason.
const SHARED_NAMES: &[(&str, &str)] = &[
    ("Key", "a key of the keyboard; the counter that dropout draws from"),
    ("Kind", "the type of a setting, of a pickled object, of a tokenizer"),
    ("Place", "where a tensor's name puts it; where a tile lies in the output"),
    ("Plan", "what a run expects before it starts; the tiling of one matrix product"),
    ("Rules", "what a forward pass of one layer obeys; launch limits of a kernel"),
    ("Shared", "what readers of one pickle share; what threads of one kernel share"),
    ("Source", "where weights come from; where a tile is read from"),
    ("Step", "one layer of a pass; one optimizer step"),
    ("Store", "where weights are kept; where a packed matrix is kept"),
    ("Stored", "a stored matrix, in the model and as kernels see it"),
    ("Update", "what the engine tells the screen; one optimizer update on the GPU"),
    ("Value", "a setting's value; a pickled value"),
    ("View", "what the screen shows; a strided view of a matrix"),
];

/// Files above [`FILE_LINES`], by name.
const LONG_FILES: &[&str] = &[];

/// Functions above [`FUNCTION_LINES`], as (file, function).
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    ("model/forward.rs", "run_from"),
    ("kernels/by_hand.rs", "wide"),
    ("kernels/gemv.rs", "product"),
    ("kernels/matmul.rs", "raw"),
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The first folder under `src/`; `None` for files beside the rooms.
fn room(path: &Path) -> Option<String> {
    let relative = path.strip_prefix(src()).unwrap();
    let first = relative.components().next()?.as_os_str().to_string_lossy().into_owned();
    (!first.ends_with(".rs")).then_some(first)
}

/// Whether a file holds tests only.
fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    let in_tests = path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "testing");
    in_tests || name.ends_with("_tests.rs") || name == "tests.rs" || name == "testing.rs"
}

/// The pieces before the first `#[cfg(test)] mod … {`.
fn without_tests(pieces: &[Piece]) -> &[Piece] {
    const HEAD: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let starts = |window: &[Piece]| {
        HEAD.iter().zip(window).all(|(head, piece)| *head == piece.text) && window[HEAD.len() + 1].text == "{"
    };
    let end = pieces.windows(HEAD.len() + 2).position(starts);
    &pieces[..end.unwrap_or(pieces.len())]
}

/// The types that a source defines; associated types are none.
fn types(source: &str) -> Vec<String> {
    let all = pieces(source);
    let mut out = Vec::new();
    let mut depth = 0;
    let named = |name: &str| name.chars().next().is_some_and(char::is_uppercase);
    for pair in without_tests(&all).windows(2) {
        match pair[0].text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "struct" | "enum" | "trait" | "union" if named(&pair[1].text) => out.push(pair[1].text.clone()),
            "type" if depth == 0 && named(&pair[1].text) => out.push(pair[1].text.clone()),
            _ => {}
        }
    }
    out
}

/// Functions with a body, as (name, lines).
fn functions(source: &str) -> Vec<(String, usize)> {
    let pieces = pieces(source);
    let at = |i: usize| pieces.get(i).map_or("", |piece| piece.text.as_str());
    let mut out = Vec::new();
    for i in 0..pieces.len() {
        if at(i) != "fn" || !at(i + 1).starts_with(|c: char| c.is_alphabetic() || c == '_') {
            continue;
        }
        let (mut end, mut brackets) = (i + 2, 0);
        while end < pieces.len() && (brackets > 0 || !matches!(at(end), "{" | ";")) {
            brackets += i32::from(matches!(at(end), "(" | "[")) - i32::from(matches!(at(end), ")" | "]"));
            end += 1;
        }
        if at(end) != "{" {
            continue;
        }
        let mut depth = 0;
        while end < pieces.len() {
            depth += i32::from(at(end) == "{") - i32::from(at(end) == "}");
            if depth == 0 {
                out.push((at(i + 1).to_owned(), pieces[end].line - pieces[i].line + 1));
                break;
            }
            end += 1;
        }
    }
    out
}

#[test]
fn a_type_name_means_one_thing() {
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in rust_files(&src()).into_iter().filter(|path| !is_test(path)) {
        let Some(room) = room(&path) else { continue };
        for name in types(&fs::read_to_string(&path).unwrap()) {
            rooms.entry(name).or_default().insert(room.clone());
        }
    }
    rooms.retain(|_, rooms| rooms.len() > 1);
    let listed: BTreeSet<&str> = SHARED_NAMES.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = rooms.keys().map(String::as_str).collect();
    let new: Vec<_> = rooms.iter().filter(|(name, _)| !listed.contains(name.as_str())).collect();
    assert!(new.is_empty(), "several rooms define a type of one name; rename all but one: {new:?}");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "no longer shared, so take them off SHARED_NAMES: {gone:?}");
}

#[test]
fn files_and_functions_stay_short() {
    let (mut long_files, mut long_functions) = (Vec::new(), Vec::new());
    for path in rust_files(&src()) {
        let source = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(src()).unwrap().to_string_lossy().into_owned();
        for (function, lines) in functions(&source).into_iter().filter(|f| f.1 > FUNCTION_LINES) {
            long_functions.push((name.clone(), function, lines));
        }
        if source.lines().count() > FILE_LINES {
            long_files.push(name);
        }
    }
    let new: Vec<_> =
        long_files.iter().filter(|file| !LONG_FILES.iter().any(|old| file.ends_with(old))).collect();
    assert!(new.is_empty(), "above {FILE_LINES} lines, split them: {new:?}");
    let is =
        |old: &(&str, &str), found: &(String, String, usize)| found.0.ends_with(old.0) && found.1 == old.1;
    let new: Vec<_> =
        long_functions.iter().filter(|found| !LONG_FUNCTIONS.iter().any(|old| is(old, found))).collect();
    assert!(new.is_empty(), "above {FUNCTION_LINES} lines, split them: {new:?}");
    let gone: Vec<_> =
        LONG_FILES.iter().filter(|old| !long_files.iter().any(|file| file.ends_with(**old))).collect();
    assert!(gone.is_empty(), "short by now, so take them off LONG_FILES: {gone:?}");
    let gone: Vec<_> =
        LONG_FUNCTIONS.iter().filter(|old| !long_functions.iter().any(|found| is(old, found))).collect();
    assert!(gone.is_empty(), "short by now, so take them off LONG_FUNCTIONS: {gone:?}");
}

/// The lint for dead code does not see what is `pub`; so this looks for functions that nothing names but themselves.
#[test]
fn every_public_function_is_called() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    let mut public = Vec::new();
    for folder in ["src", "tests"] {
        for path in rust_files(&root.join(folder)) {
            let source = fs::read_to_string(&path).unwrap();
            let all = pieces(&source);
            for window in all.windows(3) {
                *named.entry(window[0].text.clone()).or_default() += 1;
                if folder == "src" && window[0].text == "pub" && window[1].text == "fn" {
                    public.push((window[2].text.clone(), path.clone()));
                }
            }
        }
    }
    assert!(public.len() > 1000, "only {} public functions were found", public.len());
    let alone: Vec<_> = public.iter().filter(|(name, _)| named.get(name) == Some(&1)).collect();
    assert!(alone.is_empty(), "nothing calls these: {alone:?}");
}

#[test]
fn the_scanner_finds_types_and_functions() {
    let source = "pub struct A<T>(T);\nimpl X for A {\n    type Err = E;\n}\ntype B = u8;\nchoice! { pub enum C { D = \"d\" } }\n\
                  // struct No;\n#[cfg(test)]\nmod tests {\n    struct Test;\n}\n";
    assert_eq!(types(source), ["A", "B", "C"]);
    let source = "trait T { fn none(&self, x: [u8; 3]); }\nfn one(f: fn(u8)) -> u8 { 1 }\nfn four(\n    x: u8,\n) {\n}\n";
    assert_eq!(functions(source), [("one".to_owned(), 1), ("four".to_owned(), 4)]);
}
