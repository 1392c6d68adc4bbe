//! Writes changed settings into the user's `config.toml`: comments, order and layout of the rest stay.
//! Atomic: a reader sees the old file or the new one, and a crash leaves one of them whole.
//! Must never write a token, or a file that would not load again.

use std::io;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table};

use super::document;
use super::load::read;
use super::problem::{Fault, Problem, SetBy};
use super::section::{AllSettings, NamedKey, named};
use super::value::Value;
use crate::support::files::{follow_links, replace};

const HEADER: &str = "\
# Your settings for maskscope. Keys that are not here keep their defaults; `maskscope config reference` lists them all.
";

/// Saving failed; the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The file on disk is broken, or a value would break it.
    #[error("{0}")]
    Problem(Problem),
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

impl SaveError {
    pub fn hint(&self) -> Option<String> {
        match self {
            SaveError::Problem(problem) => problem.hint(),
            SaveError::Write { .. } => {
                Some("choose another file with --config or MASKSCOPE_CONFIG".to_owned())
            }
        }
    }
}

impl From<Problem> for SaveError {
    fn from(problem: Problem) -> Self {
        SaveError::Problem(problem)
    }
}

/// Sets `changes` (as from [`AllSettings::changed_since`]) in the file at `path`, which is created with a short header when
/// absent.
///
/// # Errors
/// A value that its setting does not allow, a file that is not TOML, or the disk; the file is then unchanged.
pub fn save<C: AllSettings>(path: &Path, changes: &[(String, Value)]) -> Result<(), SaveError> {
    let target = follow_links(path);
    let unreadable = |fault| Problem::new(SetBy::BuiltIn, fault);
    let old = read(&target).map_err(unreadable)?;
    let text = edited::<C>(old.as_deref().unwrap_or(HEADER), changes, path)?;
    if old.as_deref() == Some(text.as_str()) {
        return Ok(());
    }
    replace(&target, text.as_bytes()).map_err(|source| SaveError::Write { path: path.to_owned(), source })
}

/// `text` with `changes` set in it.
fn edited<C: AllSettings>(text: &str, changes: &[(String, Value)], path: &Path) -> Result<String, Problem> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let place = document::entries(text, &[]).err().map(|error| error.place);
        let (line, column) = place.map_or((1, 1), |place| (place.line, place.column));
        let origin = SetBy::File { path: path.to_owned(), line, column };
        Problem::new(origin, Fault::Syntax(error.message().to_owned()))
    })?;
    let sections: Vec<String> = document.iter().map(|(name, _)| name.to_owned()).collect();
    let config = C::default();
    for (key, value) in changes {
        put(&mut document, &config, key, value)?;
    }
    keep_last_comment_in_place(&mut document, &sections);
    Ok(document.to_string())
}

/// A comment at the end of a file stays where it is when sections come after it.
fn keep_last_comment_in_place(document: &mut DocumentMut, old_sections: &[String]) {
    let mut comment = document.trailing().as_str().unwrap_or_default().to_owned();
    if comment.trim().is_empty() {
        return;
    }
    if !comment.ends_with('\n') {
        comment.push('\n');
    }
    let is_new = |name: &str| old_sections.iter().all(|old| old != name);
    let new = document.iter_mut().find(|(name, _)| is_new(name)).map(|(_, item)| item);
    if let Some(table) = new.and_then(Item::as_table_mut) {
        table.decor_mut().set_prefix(format!("{comment}\n"));
        document.set_trailing("");
    }
}

fn put<C: AllSettings>(
    document: &mut DocumentMut,
    config: &C,
    key: &str,
    value: &Value,
) -> Result<(), Problem> {
    let unknown = |fault| Problem::new(SetBy::Typed, fault);
    let NamedKey::Key { path, kind } = named(config, key).map_err(unknown)? else {
        return Err(unknown(config.unknown(key)));
    };
    let key = path.as_str();
    let checked = kind.check(value.clone()).map_err(|error| Problem::value(SetBy::Typed, key, error))?;
    for old in config.row(key).map_or(&[][..], |row| row.was) {
        remove(document, old);
    }
    let (section, field) = key.split_once('.').unwrap_or(("", key));
    let section_item = document.entry(section).or_insert_with(|| Item::Table(Table::new()));
    let Some(table) = section_item.as_table_like_mut() else {
        let fault = Fault::NotASection { name: section.to_owned() };
        return Err(Problem::new(SetBy::Typed, fault));
    };
    let mut new = checked.to_edit();
    if let Some(old) = table.get(field).and_then(Item::as_value) {
        // The decor is the space before the value and the comment behind it.
        *new.decor_mut() = old.decor().clone();
    }
    match table.get_mut(field) {
        Some(item) => *item = Item::Value(new),
        None => {
            table.insert(field, Item::Value(new));
        }
    }
    Ok(())
}

/// Takes a key out that is no longer called so.
fn remove(document: &mut DocumentMut, key: &str) {
    let (table, key) = key.split_once('.').unwrap_or(("", key));
    if let Some(table) = document.get_mut(table).and_then(Item::as_table_like_mut) {
        table.remove(key);
    }
}
