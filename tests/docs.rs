//! The generated files are what the declarations give. `UPDATE_DOCS=1 cargo test --release --test docs`
//! writes them.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use maskscope::config;
use maskscope::model::formats::{Format, WEIGHTS, models};
use maskscope::model::tokenizer::kinds::{BESIDE, KINDS};
use maskscope::train::data::forms::{COLUMNS, FORMS, PACKINGS};

/// A document, the name of its markers, and what stands between them.
type Block = (&'static str, &'static str, fn() -> String);

const BLOCKS: &[Block] = &[
    ("README.md", "opens", opens),
    ("assets/reference/formats.md", "tokenizers", tokenizers),
    ("assets/reference/formats.md", "data", data),
    ("assets/reference/settings.md", "config", config_reference),
    ("assets/reference/keys.md", "keys", maskscope::screen::actions::markdown),
];

fn config_reference() -> String {
    config::reference(&config::defaults().unwrap())
}

/// Rows of models and weights, and one each for tokenizers and data: what a newcomer asks.
fn opens() -> String {
    let answer = |f: &Format| format!("| {} | {} | {} |", f.name, if f.opens { "yes" } else { "no" }, f.doc);
    let names = |all: Vec<&str>| all.join(", ");
    let kinds = names(KINDS.iter().map(|kind| kind.name).collect());
    let extensions = names(FORMS.iter().flat_map(|form| form.extensions).copied().collect());
    let columns = COLUMNS.map(|(name, _)| name).join("; ");
    let rest = [
        format!("| tokenizers | yes | {kinds}; token ids only without one |"),
        format!(
            "| data: files and folders | yes | {extensions}, also packed ({}) |",
            PACKINGS.map(|p| p.extension).join(", ")
        ),
        format!("| data: columns | yes | {columns} |"),
    ];
    let rows: Vec<String> = models().iter().chain(WEIGHTS).map(answer).chain(rest).collect();
    assert!(rows.len() <= 12, "{} rows", rows.len());
    format!("| you have | opens | how |\n|---|---|---|\n{}\n", rows.join("\n"))
}

fn tokenizers() -> String {
    let files = |all: &[&[&str]]| {
        all.iter().map(|way| format!("`{}`", way.join("` with `"))).collect::<Vec<_>>().join(" or ")
    };
    let rows: Vec<String> = KINDS
        .iter()
        .map(|kind| format!("| {} | {} | {} |", kind.name, files(kind.files), kind.doc))
        .collect();
    format!(
        "| tokenizer | files | what opens |\n|---|---|---|\n{}\n\nThe small files beside it are read and saved along: `{}`.\n",
        rows.join("\n"),
        BESIDE.join("`, `")
    )
}

fn data() -> String {
    let forms = FORMS.iter().map(|form| format!("| .{} | {} |", form.extensions.join(", ."), form.doc));
    let packed = PACKINGS.iter().map(|p| format!("| .{} around any of these | {} |", p.extension, p.doc));
    let columns = COLUMNS.iter().map(|(name, doc)| format!("| column `{name}` | {doc} |"));
    let rows: Vec<String> = forms.chain(packed).chain(columns).collect();
    format!("| data | what is read |\n|---|---|\n{}\n", rows.join("\n"))
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
