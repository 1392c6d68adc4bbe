//! The generated files, and the generated parts of the README, are those that the declarations give. `UPDATE_DOCS=1 cargo test --release --test docs`
//! writes them.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use maskscope::config;

/// Marker name and what stands between its markers.
type Block = (&'static str, fn() -> String);

const BLOCKS: &[Block] = &[("config", config_reference), ("keys", maskscope::app::actions::markdown)];

fn config_reference() -> String {
    config::reference(&config::defaults().unwrap())
}

#[test]
fn the_readme_says_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let committed = std::fs::read_to_string(&path).unwrap();
    let mut wanted = committed.clone();
    for (name, block) in BLOCKS {
        wanted = config::splice(&wanted, name, &block()).unwrap_or_else(|| {
            panic!("README.md needs one <!-- {name}:begin --> and one <!-- {name}:end -->")
        });
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    let first = committed.lines().zip(wanted.lines()).position(|(old, new)| old != new);
    assert!(
        committed == wanted,
        "README.md differs from the tables from line {}; run UPDATE_DOCS=1 cargo test --release --test docs",
        first.map_or(committed.lines().count().min(wanted.lines().count()), |line| line) + 1
    );
}

/// Generated whole: path and text.
fn generated() -> Vec<(&'static str, String)> {
    let settings = config::Settings::default();
    let schema = serde_json::to_string_pretty(&config::schema(&settings)).unwrap() + "\n";
    vec![
        ("config.toml", config::template()),
        ("assets/reference/settings.md", format!("# Settings\n\n{}", config::reference(&settings))),
        ("assets/reference/keys.md", format!("# Keys\n\n{}", maskscope::app::actions::markdown())),
        ("assets/reference/config.schema.json", schema),
    ]
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
