//! From layers to settings: built-in `config.toml` < the user's file < environment < flags. Every layer is checked
//! against the declarations and every problem is reported, not the first alone. Must never write a file.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::document::{self, FileEntry, TextPlace};
use super::env::Env;
use super::kind::Kind;
use super::problem::{ConfigError, Fault, Problem, SetBy};
use super::section::{AllSettings, NamedKey, named};
use super::suggest::nearest;
use super::value::Value;
use crate::support::files::reason;

/// Far more than anyone writes; a wrong path must not fill the memory.
const LARGEST_FILE: u64 = 1_000_000;

pub(super) const VARIABLE_PREFIX: &str = "MASKSCOPE_";

/// A value from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagValue {
    pub key: String,
    pub value: String,
    /// As typed, for messages: `--threshold`.
    pub flag: String,
}

/// Settings with the place each value came from.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedSettings<C> {
    pub settings: C,
    /// The user's file, whether or not it exists yet; `None` where there is no home folder.
    pub path: Option<PathBuf>,
    /// What was read under an old name, a sentence each.
    pub notes: Vec<String>,
    origins: BTreeMap<String, SetBy>,
}

impl<C> LoadedSettings<C> {
    /// Where the value of `table.key` (or the binding `keys.action`) is from.
    pub fn origin(&self, key: &str) -> SetBy {
        self.origins.get(key).cloned().unwrap_or_default()
    }
}

/// The user's settings file: `--config`, `$MASKSCOPE_CONFIG`, or the usual place.
pub fn user_file(env: &Env, flag: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = flag {
        return Some(path.to_owned());
    }
    env.path("MASKSCOPE_CONFIG").or_else(|| usual_file(env))
}

/// `$XDG_CONFIG_HOME/maskscope/config.toml`, by default under `~/.config`.
fn usual_file(env: &Env) -> Option<PathBuf> {
    // The XDG specification wants relative paths in its variables ignored.
    let xdg = env.path("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let folder = xdg.or_else(|| env.home().map(|home| home.join(".config")))?;
    Some(folder.join("maskscope").join("config.toml"))
}

/// Settings so far, and what was wrong on the way. Later layers go over earlier ones.
pub struct Layers<C> {
    config: C,
    origins: BTreeMap<String, SetBy>,
    problems: Vec<Problem>,
    notes: Vec<String>,
    home: Option<PathBuf>,
}

impl<C: AllSettings> Layers<C> {
    /// The lowest layer: what is declared, and over it the built-in file.
    pub fn built_in(home: Option<PathBuf>) -> Self {
        let (origins, problems, notes) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut layers = Layers { config: C::default(), origins, problems, notes, home };
        layers.text(C::BUILT_IN, |_| SetBy::BuiltIn);
        layers
    }

    /// The user's file.
    pub fn user_file(&mut self, path: &Path, must_exist: bool) {
        let unreadable = |why: String| Fault::Unreadable { path: path.to_owned(), why };
        match read(path) {
            Ok(Some(text)) => self.text(&text, |place| SetBy::File {
                path: path.to_owned(),
                line: place.line,
                column: place.column,
            }),
            Ok(None) if !must_exist => {}
            Ok(None) => self.refuse(SetBy::BuiltIn, unreadable("no such file".to_owned())),
            Err(fault) => self.refuse(SetBy::BuiltIn, fault),
        }
    }

    fn refuse(&mut self, origin: SetBy, fault: Fault) {
        self.problems.push(Problem::new(origin, fault));
    }

    fn text(&mut self, text: &str, origin: impl Fn(TextPlace) -> SetBy) {
        let tables: Vec<&'static str> = self.config.tables().into_iter().map(|(name, _)| name).collect();
        // A key may have moved from a table that is no more.
        let rows = self.config.rows();
        let old = rows.iter().flat_map(|row| row.was).chain(C::REMOVED.iter().map(|(path, _)| path));
        let read: Vec<&str> = old
            .filter_map(|path| path.split_once('.'))
            .map(|(t, _)| t)
            .chain(tables.iter().copied())
            .collect();
        match document::entries(text, &read) {
            Ok(entries) => entries.into_iter().for_each(|entry| self.entry(entry, &origin, &tables)),
            Err(error) => self.refuse(origin(error.place), Fault::Syntax(error.message)),
        }
    }

    fn entry(&mut self, entry: FileEntry, origin: &impl Fn(TextPlace) -> SetBy, tables: &[&'static str]) {
        match entry {
            FileEntry::Value { key, value, key_place, value_place } => {
                let Some((path, kind)) = self.resolve(&key, origin(key_place)) else { return };
                match value.map_err(|found| kind.wrong_type(found)) {
                    Ok(value) => self.put(&path, kind, value, (origin(key_place), origin(value_place))),
                    Err(error) => self.problems.push(Problem::value(origin(value_place), &path, error)),
                }
            }
            FileEntry::NotASection { name, place } => {
                // A lone key at the top is more often a forgotten table than a table misused.
                let fault = if is_token(&name) {
                    Fault::Token
                } else if tables.contains(&name.as_str()) {
                    Fault::NotASection { name }
                } else {
                    self.config.unknown(&name)
                };
                self.refuse(origin(place), fault);
            }
            FileEntry::UnknownSection { name, place } => {
                let near = nearest(&name, tables.iter().copied());
                self.refuse(origin(place), Fault::UnknownSection { name, near, known: tables.to_vec() });
            }
        }
    }

    /// The setting that a key names; an unknown key is a problem, and an old name is worth a note.
    fn resolve(&mut self, key: &str, origin: SetBy) -> Option<(String, Kind)> {
        match named(&self.config, key) {
            Ok(NamedKey::Key { path, kind }) => {
                if path != key {
                    self.notes.push(format!("{origin}: {key} is now {path}"));
                }
                Some((path, kind))
            }
            Ok(NamedKey::Removed(why)) => {
                self.notes.push(format!("{origin}: {key} is no longer a setting: {why}"));
                None
            }
            Err(_) if is_token(key) => {
                self.refuse(origin, Fault::Token);
                None
            }
            Err(fault) => {
                self.refuse(origin, fault);
                None
            }
        }
    }

    /// `MASKSCOPE_TABLE__KEY` variables.
    pub fn variables(&mut self, env: &Env) {
        for (name, value) in env.named() {
            // Without the double underline it is a switch of the program, not a setting.
            let Some((table, key)) = name.strip_prefix(VARIABLE_PREFIX).and_then(|n| n.split_once("__"))
            else {
                continue;
            };
            let key = format!("{table}.{key}").to_lowercase();
            let origin = SetBy::Env(name.to_owned());
            match value.to_str() {
                Some(value) => self.typed(&key, value, origin),
                None => {
                    let valid = value.to_string_lossy().find('\u{fffd}').unwrap_or(0);
                    self.refuse(origin, Fault::Encoding(valid));
                }
            }
        }
    }

    /// One setting, from text as a person types it.
    pub fn typed(&mut self, key: &str, text: &str, origin: SetBy) {
        let Some((path, kind)) = self.resolve(key, origin.clone()) else { return };
        match kind.read(text) {
            Ok(value) => self.put(&path, kind, value, (origin.clone(), origin)),
            Err(error) => self.problems.push(Problem::value(origin, &path, error)),
        }
    }

    /// One setting's value, from the place of its key and its own.
    pub fn put(&mut self, path: &str, kind: Kind, value: Value, (key, place): (SetBy, SetBy)) {
        let value = match value {
            Value::Text(text) if kind == Kind::Path => Value::Text(self.expand_home(text)),
            value => value,
        };
        if let (Kind::Choice(choices), Value::Text(name)) = (kind, &value)
            && let Some(choice) = choices.iter().find(|choice| choice.was.contains(&name.as_str()))
        {
            self.notes.push(format!("{place}: {path} = {name} is now {}", choice.name));
        }
        match self.config.put(path, value) {
            Ok(()) => {
                self.origins.insert(path.to_owned(), key);
            }
            Err(problem) => self.problems.push(Problem { origin: place, ..problem }),
        }
    }

    fn expand_home(&self, text: String) -> String {
        let home = self.home.as_ref().and_then(|home| home.to_str());
        match (text.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => format!("{}/{rest}", home.trim_end_matches('/')),
            _ => text,
        }
    }

    /// # Errors
    /// Everything that was wrong.
    pub fn finish(self, path: Option<PathBuf>) -> Result<LoadedSettings<C>, ConfigError> {
        let Layers { config, origins, problems, notes, .. } = self;
        if problems.is_empty() {
            Ok(LoadedSettings { settings: config, path, notes, origins })
        } else {
            Err(ConfigError { problems })
        }
    }
}

fn is_token(key: &str) -> bool {
    matches!(key.rsplit('.').next(), Some("token" | "hf_token" | "api_key"))
}

/// The text of a settings file; `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, Fault> {
    let unreadable = |why: String| Fault::Unreadable { path: path.to_owned(), why };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(reason(&error))),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| unreadable(reason(&error)))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(unreadable("longer than 1 MB".to_owned()));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| unreadable(format!("not UTF-8 text at byte {}", error.utf8_error().valid_up_to())))
}

#[cfg(test)]
mod tests {
    use super::super::section::Section;
    use super::super::settings;
    use super::*;

    settings! {
        /// How a walk goes
        struct Walk in "walk" {
            /// Steps in a second
            /// A brisk walk has two.
            pace: f64 = 1.5, label("steps"), symbol("v"), range(0.5, 3.0, 0.5, 0.1), unit("1/s"),
                was(&["walk.speed", "stroll.speed"]);
            /// With a dog
            dog: bool = false => |w| w.pace < 2.0;
            /// Where to
            goal: Option<String> = None;
        } with {
            /// No setting.
            steps: usize = 7;
        }
    }

    #[derive(Clone, Default)]
    struct All(Walk);

    impl AllSettings for All {
        const BUILT_IN: &'static str = "[walk]\npace = 2.0\n";
        const REMOVED: &'static [(&'static str, &'static str)] = &[("walk.hat", "hats are out")];
        fn sections(&self) -> Vec<&dyn Section> {
            vec![&self.0]
        }
        fn sections_mut(&mut self) -> Vec<&mut dyn Section> {
            vec![&mut self.0]
        }
    }

    fn loaded(text: &str) -> Result<LoadedSettings<All>, ConfigError> {
        let mut layers = Layers::built_in(None);
        layers.text(text, |place| SetBy::File { path: "f".into(), line: place.line, column: place.column });
        layers.finish(None)
    }

    #[test]
    fn a_declaration_gives_its_row_and_its_default() {
        let row = Walk::ROWS[0];
        assert_eq!(
            (row.path, row.doc, row.notes),
            (Walk::pace, "Steps in a second", &[" A brisk walk has two."][..])
        );
        assert_eq!((row.name(), row.symbol, row.unit), ("steps", "v", "1/s"));
        assert_eq!(Walk::ROWS[1].name(), "dog");
        assert_eq!(Walk::default(), Walk { pace: 1.5, dog: false, goal: None, steps: 7 });
        let fast = Walk { pace: 2.5, ..Walk::default() };
        assert!(Walk::default().shown(Walk::dog) && !fast.shown(Walk::dog) && fast.shown(Walk::pace));
        assert_eq!(fast.doc(), "How a walk goes");
        let read: Walk = serde_json::from_str("{\"pace\": 2.5}").unwrap();
        assert_eq!(read, fast, "what a file does not say is the default");
    }

    #[test]
    fn the_built_in_file_goes_over_the_declared_default() {
        assert_eq!(loaded("").unwrap().settings.0.pace, 2.0);
    }

    #[test]
    fn old_paths_are_read_wherever_they_stood() {
        for (text, old) in [
            ("[walk]\nspeed = 1\nhat = true\n", "f:2:1: walk.speed is now walk.pace"),
            ("[stroll]\nspeed = 1\n", "f:2:1: stroll.speed is now walk.pace"),
        ] {
            let loaded = loaded(text).unwrap();
            assert_eq!((loaded.settings.0.pace, loaded.notes[0].as_str()), (1.0, old));
        }
        let loaded = loaded("[walk]\nhat = true\n").unwrap();
        assert_eq!(loaded.notes, ["f:2:1: walk.hat is no longer a setting: hats are out"]);
        assert_eq!(All::default().set("walk.speed", "1").unwrap(), Walk::pace);
    }

    #[test]
    fn bounds_hold_under_old_paths_too() {
        let error = loaded("[stroll]\nspeed = 9\n").err().unwrap();
        assert_eq!(error.to_string(), "f:2:9: walk.pace must be at most 3, not 9");
        assert!(loaded("[stroll]\ndog = true\n").is_err(), "only what was there once");
    }

    #[test]
    fn the_template_says_all_there_is_to_know() {
        let text = crate::settings::template(&All::default(), "# head\n");
        assert_eq!(
            text,
            "# head\n\n# How a walk goes.\n[walk]\n# Steps in a second (0.5 to 3 1/s).\n# A brisk walk has two.\n\
             pace = 1.5\n# With a dog.\ndog = false\n# Where to.\ngoal = \"\"\n"
        );
    }

    #[test]
    fn saving_takes_the_old_name_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, "[walk]\n# mine\nspeed = 1.0\n").unwrap();
        crate::settings::save::<All>(&file, &[("walk.pace".to_owned(), Value::Float(2.5))]).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("pace = 2.5") && !text.contains("speed"), "{text}");
    }
}
