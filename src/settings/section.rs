//! Structs of settings behind one interface, and all of them together.

use std::collections::BTreeMap;

use super::declare::Row;
use super::kind::{Kind, ValueError};
use super::problem::{Fault, Problem, SetBy};
use super::suggest::nearest;
use super::value::Value;

/// A struct of settings; what [`settings!`](super::settings) writes. Two of them may share a table.
pub trait Section {
    /// Its table in `config.toml`.
    fn table(&self) -> &'static str;
    /// One line, no full stop.
    fn doc(&self) -> &'static str;
    fn rows(&self) -> &'static [Row];
    /// The value of one of its rows.
    fn value(&self, row: &Row) -> Option<Value>;
    /// Sets a value that the row's kind has checked.
    ///
    /// # Errors
    /// What the type has against it; nothing changes then.
    fn take(&mut self, path: &str, value: Value) -> Result<(), String>;
    /// Whether a setting means something under the others' values.
    fn shown(&self, path: &str) -> bool;

    /// The kind of any key, in a table that takes any.
    fn open(&self) -> Option<Kind> {
        None
    }
    /// Paths of what is set.
    fn paths(&self) -> Vec<String> {
        self.rows().iter().map(|row| row.path.to_owned()).collect()
    }
    fn row(&self, path: &str) -> Option<&'static Row> {
        self.rows().iter().find(|row| row.path == path)
    }
    fn get(&self, path: &str) -> Option<Value> {
        self.value(self.row(path)?)
    }
}

/// Bindings: action → keys. Takes any key, since actions are not this room's business.
impl Section for BTreeMap<String, Vec<String>> {
    fn table(&self) -> &'static str {
        "keys"
    }
    fn doc(&self) -> &'static str {
        "Key bindings over the built-in ones: action = [\"key\", …]; an empty list unbinds"
    }
    fn rows(&self) -> &'static [Row] {
        &[]
    }
    fn value(&self, _: &Row) -> Option<Value> {
        None
    }
    fn take(&mut self, path: &str, value: Value) -> Result<(), String> {
        if let (Some((_, action)), Value::Texts(keys)) = (path.split_once('.'), value) {
            self.insert(action.to_owned(), keys);
        }
        Ok(())
    }
    fn shown(&self, _: &str) -> bool {
        true
    }
    fn open(&self) -> Option<Kind> {
        Some(Kind::Texts)
    }
    fn paths(&self) -> Vec<String> {
        self.keys().map(|action| format!("keys.{action}")).collect()
    }
    fn get(&self, path: &str) -> Option<Value> {
        let (_, action) = path.split_once('.')?;
        self.get(action).map(|keys| Value::Texts(keys.clone()))
    }
}

/// Checks a value against the row of `path` and puts it in.
///
/// # Errors
/// A value out of its bounds, or one that the type refuses; nothing changes then.
pub fn put(section: &mut dyn Section, path: &str, kind: Kind, value: Value) -> Result<(), ValueError> {
    let value = kind.check(value)?;
    section.take(path, value).map_err(|why| ValueError::Unusable { why, allowed: kind.describe() })
}

/// The first number of a section that lies outside its bounds, by its key. What came in through [`put`] never does; what was
/// read from a file of another kind may.
///
/// # Errors
/// What the setting's kind has against it.
pub fn check_numbers(section: &dyn Section) -> Result<(), (&'static str, ValueError)> {
    for row in section.rows() {
        let is_number = matches!(
            row.kind,
            Kind::Float { .. } | Kind::Int { .. } | Kind::IntOr { .. } | Kind::Ints { .. }
        );
        if let Some(value) = section.value(row).filter(|_| is_number) {
            row.kind.check(value).map_err(|error| (row.key(), error))?;
        }
    }
    Ok(())
}

/// What a key names.
pub(super) enum NamedKey {
    Key {
        path: String,
        kind: Kind,
    },
    /// It is not a setting any more.
    Removed(&'static str),
}

/// All settings of the program.
pub trait AllSettings: Clone + Default {
    /// The text of the built-in `config.toml`, the lowest layer.
    const BUILT_IN: &'static str;
    /// Former settings, each with the reason for its removal.
    const REMOVED: &'static [(&'static str, &'static str)];

    /// In the order of `config.toml`.
    fn sections(&self) -> Vec<&dyn Section>;
    fn sections_mut(&mut self) -> Vec<&mut dyn Section>;

    /// Names and docs of the tables, each once.
    fn tables(&self) -> Vec<(&'static str, &'static str)> {
        let mut out: Vec<(&str, &str)> = Vec::new();
        for section in self.sections() {
            if out.iter().all(|(name, _)| *name != section.table()) {
                out.push((section.table(), section.doc()));
            }
        }
        out
    }

    fn rows(&self) -> Vec<&'static Row> {
        self.sections().iter().flat_map(|section| section.rows()).collect()
    }

    fn row(&self, path: &str) -> Option<&'static Row> {
        self.sections().iter().find_map(|section| section.row(path))
    }

    /// Paths of everything that is set, in the order of `config.toml`; bindings last.
    fn paths(&self) -> Vec<String> {
        self.sections().iter().flat_map(|section| section.paths()).collect()
    }

    /// The value of `table.key`.
    fn get(&self, path: &str) -> Option<Value> {
        self.sections().iter().find_map(|section| section.get(path))
    }

    /// Puts in a value.
    ///
    /// # Errors
    /// An unknown key, or a value out of its bounds; `self` is then unchanged.
    fn put(&mut self, path: &str, value: Value) -> Result<(), Problem> {
        for section in self.sections_mut() {
            let open = section.open().filter(|_| is_in(path, section.table()));
            if let Some(kind) = section.row(path).map(|row| row.kind).or(open) {
                let put = put(section, path, kind, value);
                return put.map_err(|error| Problem::value(SetBy::Typed, path, error));
            }
        }
        Err(Problem::new(SetBy::Typed, self.unknown(path)))
    }

    /// Puts in what a person typed; gives the path under its name of today.
    ///
    /// # Errors
    /// As [`AllSettings::put`].
    fn set(&mut self, path: &str, text: &str) -> Result<String, Problem> {
        let NamedKey::Key { path, kind } =
            named(self, path).map_err(|fault| Problem::new(SetBy::Typed, fault))?
        else {
            return Err(Problem::new(SetBy::Typed, self.unknown(path)));
        };
        let value = kind.parse(text).map_err(|error| Problem::value(SetBy::Typed, &path, error))?;
        self.put(&path, value)?;
        Ok(path)
    }

    /// What differs from `base`, in the order of `config.toml`; bindings last. This is what saving writes.
    fn changed_since(&self, base: &Self) -> Vec<(String, Value)> {
        let differs = |path: String| {
            let value = self.get(&path)?;
            (base.get(&path).as_ref() != Some(&value)).then_some((path, value))
        };
        self.paths().into_iter().filter_map(differs).collect()
    }

    /// The fault for an unknown key.
    fn unknown(&self, key: &str) -> Fault {
        Fault::UnknownKey { key: key.to_owned(), near: nearest_key(&self.rows(), key) }
    }
}

fn is_in(path: &str, table: &str) -> bool {
    path.split_once('.').is_some_and(|(name, key)| name == table && !key.is_empty())
}

/// What a key names: under its name of today, or one of before.
pub(super) fn named<C: AllSettings>(config: &C, key: &str) -> Result<NamedKey, Fault> {
    if let Some((_, why)) = C::REMOVED.iter().find(|(gone, _)| *gone == key) {
        return Ok(NamedKey::Removed(why));
    }
    let rows = config.rows();
    if let Some(row) = rows.iter().find(|row| row.path == key || row.was.contains(&key)) {
        return Ok(NamedKey::Key { path: row.path.to_owned(), kind: row.kind });
    }
    let open = config.sections().iter().find(|s| is_in(key, s.table())).and_then(|s| s.open());
    open.map(|kind| NamedKey::Key { path: key.to_owned(), kind }).ok_or_else(|| config.unknown(key))
}

/// The key that a misspelt one most likely meant.
fn nearest_key(rows: &[&'static Row], key: &str) -> Option<&'static str> {
    // The same last part in another table is a better guess than a similar whole.
    let last = key.rsplit('.').next().unwrap_or(key);
    let same = rows.iter().find(|row| row.key() == last).map(|row| row.path);
    let table = key.split_once('.').map_or("", |(table, _)| table);
    if rows.iter().any(|row| row.table() == table) {
        let inside = rows.iter().filter(|row| row.table() == table);
        let near = nearest(last, inside.clone().map(|row| row.key()));
        return near
            .and_then(|near| inside.clone().find(|row| row.key() == near))
            .map(|row| row.path)
            .or(same);
    }
    same.or_else(|| nearest(key, rows.iter().map(|row| row.path)))
}
