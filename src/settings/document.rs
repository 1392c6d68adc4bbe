//! A settings file taken apart: every key with its value and the place both were written.
//! Pure; must never judge a value (that is `kind.rs`).

use std::ops::Range;

use toml_edit::{Document, Item, TableLike};

use super::value::Value;

/// Line and column, from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextPlace {
    pub line: usize,
    pub column: usize,
}

/// Something written in the file.
#[derive(Debug, PartialEq)]
pub(super) enum FileEntry {
    Value {
        /// `section.field`.
        key: String,
        /// What was found instead, where it is not a value that settings use.
        value: Result<Value, String>,
        key_place: TextPlace,
        value_place: TextPlace,
    },
    /// A value at the top level.
    NotASection {
        name: String,
        place: TextPlace,
    },
    UnknownSection {
        name: String,
        place: TextPlace,
    },
}

/// The file is not TOML.
#[derive(Debug, PartialEq)]
pub(super) struct SyntaxError {
    pub place: TextPlace,
    pub message: String,
}

/// Everything in the file, table by table in the order written; `tables` are the known ones.
pub(super) fn entries(text: &str, tables: &[&str]) -> Result<Vec<FileEntry>, SyntaxError> {
    // Editors on Windows put a byte-order mark first; toml counts it as content.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = Document::parse(text).map_err(|error| SyntaxError {
        place: place(text, error.span()),
        message: error.message().lines().collect::<Vec<_>>().join(", "),
    })?;
    let mut entries = Vec::new();
    for (name, item) in document.iter() {
        let name_place = key_place(text, document.as_table(), name);
        let Some(section) = item.as_table_like() else {
            entries.push(FileEntry::NotASection { name: name.to_owned(), place: name_place });
            continue;
        };
        if !tables.contains(&name) {
            entries.push(FileEntry::UnknownSection { name: name.to_owned(), place: name_place });
            continue;
        }
        for (field, item) in section.iter() {
            entries.push(value_entry(text, section, (name, field), item));
        }
    }
    Ok(entries)
}

fn value_entry(text: &str, section: &dyn TableLike, (name, field): (&str, &str), item: &Item) -> FileEntry {
    let key_place = key_place(text, section, field);
    FileEntry::Value {
        key: format!("{name}.{field}"),
        value: Value::from_item(item),
        key_place,
        value_place: item.span().map_or(key_place, |span| place(text, Some(span))),
    }
}

fn key_place(text: &str, table: &dyn TableLike, name: &str) -> TextPlace {
    place(text, table.key(name).and_then(toml_edit::Key::span))
}

fn place(text: &str, span: Option<Range<usize>>) -> TextPlace {
    let at = span.map_or(0, |span| span.start).min(text.len());
    let before = text.get(..at).unwrap_or("");
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    TextPlace { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(usize, usize)> {
        let place = |entry| match entry {
            FileEntry::Value { value_place, .. } => value_place,
            FileEntry::NotASection { place, .. } | FileEntry::UnknownSection { place, .. } => place,
        };
        entries(text, &["mask"])
            .unwrap()
            .into_iter()
            .map(place)
            .map(|place| (place.line, place.column))
            .collect()
    }

    #[test]
    fn values_are_found_where_they_are_written() {
        assert_eq!(places("# τ\n[mask]\nthreshold = 0.5\n  seed =  3\n"), [(3, 13), (4, 11)]);
        assert_eq!(places("mask.threshold = 0.5"), [(1, 18)]);
        assert_eq!(places("mask = { threshold = 0.5, seed = 1 }"), [(1, 22), (1, 34)]);
        assert_eq!(places("\u{feff}[mask]\r\nseed = 1\r\n"), [(2, 8)]);
    }

    #[test]
    fn the_top_level_holds_sections_only() {
        assert_eq!(places("threshold = 1\n[maks]\nseed = 1\n"), [(1, 1), (2, 2)]);
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let error = entries("[mask]\nthreshold = \n", &[]).unwrap_err();
        assert_eq!(error.place.line, 2);
        assert!(!error.message.contains('\n'), "{}", error.message);
        let twice = entries("[mask]\nseed = 1\nseed = 2\n", &[]).unwrap_err();
        assert_eq!(twice.place, TextPlace { line: 3, column: 1 });
    }
}
