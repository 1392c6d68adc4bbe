//! The generated parts of the README are those that the tables give. `UPDATE_DOCS=1 cargo test --release --test docs`
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
