//! The generated files are what the declarations give. `UPDATE_DOCS=1 cargo test --release --test docs`
//! writes them.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use maskscope::config;

/// A document, the name of its markers, and what stands between them.
type Block = (&'static str, &'static str, fn() -> String);

const BLOCKS: &[Block] = &[
    ("assets/reference/settings.md", "config", config_reference),
    ("assets/reference/keys.md", "keys", maskscope::app::actions::markdown),
];

fn config_reference() -> String {
    config::reference(&config::defaults().unwrap())
}

#[test]
fn the_documents_say_what_the_tables_say() {
    for &(file, name, block) in BLOCKS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let committed = std::fs::read_to_string(&path).unwrap();
        let wanted = config::splice(&committed, name, &block())
            .unwrap_or_else(|| panic!("{file} needs one <!-- {name}:begin --> and one <!-- {name}:end -->"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, wanted).unwrap();
            continue;
        }
        let first = committed.lines().zip(wanted.lines()).position(|(old, new)| old != new);
        assert!(
            committed == wanted,
            "{file} differs from the tables from line {}; run UPDATE_DOCS=1 cargo test --release --test docs",
            first.unwrap_or(committed.lines().count().min(wanted.lines().count())) + 1
        );
    }
}

/// A newcomer reads this many words and no more.
#[test]
fn the_readme_is_short() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let words = readme.split_whitespace().count();
    assert!(words <= 2_500, "README.md has {words} words");
}

/// Generated whole: path and text.
fn generated() -> Vec<(&'static str, String)> {
    let settings = config::Settings::default();
    let schema = serde_json::to_string_pretty(&config::schema(&settings)).unwrap() + "\n";
    vec![("config.toml", config::template()), ("assets/reference/config.schema.json", schema)]
}

#[test]
fn generated_files_are_what_the_declarations_give() {
    for (name, wanted) in generated() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, wanted).unwrap();
            continue;
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let first = committed.lines().zip(wanted.lines()).find(|(old, new)| old != new);
        assert!(
            committed == wanted,
            "{name} differs from the declarations, first {first:?}; move a changed default to its declaration in src/, \
             then run UPDATE_DOCS=1 cargo test --release --test docs"
        );
    }
}
