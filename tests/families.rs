//! What is a model family's own stays in its folder: reads the sources, so that a broken rule names the file and the line.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Files outside its folder that may name what is a family's own: its line in the list, the benchmark of its published shapes, and
/// the reference, whose texts a person reads.
const MAY_NAME_A_FAMILY: [&str; 3] = ["model/family.rs", "cli/bench/shape.rs", "model/formats.rs"];

/// A source without comments and without what only tests compile.
fn shipped(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut numbered = source.lines().enumerate().peekable();
    std::iter::from_fn(move || {
        loop {
            let (at, line) = numbered.next()?;
            let next = numbered.peek().map_or("", |(_, next)| next.trim_start());
            if line.starts_with("#[cfg(test)]") && next.starts_with("mod ") && next.ends_with('{') {
                return None;
            }
            if !line.trim_start().starts_with("//") {
                return Some((at + 1, line));
            }
        }
    })
}

/// What is GPT-2's own: types, parts of tensor names, fields of its `config.json`.
fn names_of_gpt2() -> Vec<String> {
    let json = br#"{"model_type": "gpt2", "vocab_size": 9, "n_positions": 8, "n_embd": 4, "n_layer": 1, "n_head": 2}"#;
    let config = maskscope::model::Config::parse(json, "config.json").unwrap();
    let mut names: Vec<String> = vec!["Gpt2".to_owned()];
    // The sizes that every family has are called as in `Config`.
    names.extend(config.own.keys().filter(|name| *name != "n_inner").cloned());
    let conventions = config.family.conventions();
    names
        .extend(conventions.aliases.iter().chain([&conventions.architecture]).map(|name| (*name).to_owned()));
    let common = ["h", "0", "attn", "mlp", "weight", "bias", "lm_head"];
    for parameter in config.named_parameters() {
        let parts = parameter.name.split('.').filter(|part| !common.contains(part));
        names.extend(parts.map(str::to_owned));
    }
    names.sort();
    names.dedup();
    names
}

#[test]
fn no_file_outside_its_folder_names_what_is_a_familys_own() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names = names_of_gpt2();
    assert!(names.len() > 15, "{names:?}");
    let mut broken = Vec::new();
    for path in rust_files(&src) {
        let relative = path.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        let stem = path.file_stem().unwrap().to_string_lossy();
        let test =
            stem == "rotary" || stem == "testing" || stem.ends_with("tests") || relative.contains("/tests/");
        if test || relative.starts_with("model/gpt2/") || MAY_NAME_A_FAMILY.contains(&relative.as_str()) {
            continue;
        }
        for (at, line) in shipped(&fs::read_to_string(&path).unwrap()) {
            if line.contains("gpt2::") {
                broken.push(format!("{relative}:{at}: gpt2::"));
            }
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-' && c != '/');
            broken.extend(
                words
                    .filter(|word| names.iter().any(|name| name == word))
                    .map(|word| format!("{relative}:{at}: {word}")),
            );
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let list = fs::read_to_string(src.join("model/family.rs")).unwrap();
    assert_eq!(shipped(&list).filter(|(_, line)| line.to_lowercase().contains("gpt2")).count(), 1);
}
