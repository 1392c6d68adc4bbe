//! From layers to settings: built-in `config.toml` < the user's file < environment < flags.
//! Called once at the start, on the main thread. Every layer is checked against the parameter table and every
//! problem is reported, not the first alone. Must never write a file.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::document::{self, Entry};
use super::env::Env;
use super::kind::Kind;
use super::parameters::{self, KEYS_SECTION};
use super::problem::{ConfigError, Fault, Origin, Problem};
use super::settings::{Settings, binding};
use super::value::Value;

/// The defaults, as they lie in the repo.
pub const BUILT_IN: &str = include_str!("../../config.toml");

/// Far more than anyone writes; a wrong path must not fill the memory.
const LARGEST_FILE: u64 = 1 << 20;

const VARIABLE_PREFIX: &str = "MASKSCOPE_";

/// Variables that other programs have made customary, and what they set. `MASKSCOPE_…` goes over them.
const CUSTOMARY: [(&str, &str); 2] = [("HF_ENDPOINT", "hub.endpoint"), ("HF_HUB_CACHE", "hub.cache")];

/// What Python's `huggingface_hub` takes for yes in a switch; anything else is no.
const YES: [&str; 4] = ["1", "ON", "YES", "TRUE"];

/// A value from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagValue {
    pub key: String,
    pub value: String,
    /// As typed, for messages: `--threshold`.
    pub flag: String,
}

/// Where settings come from. Later flags win over earlier ones.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    pub env: Env,
    /// `--config FILE`: takes the place of the user's file and must exist.
    pub file: Option<PathBuf>,
    /// A named set of values (`--preset`), over the environment and under the flags.
    pub preset: Option<super::Preset>,
    pub flags: Vec<FlagValue>,
}

/// Settings with the place each value came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub settings: Settings,
    /// The user's file, whether or not it exists yet; `None` where there is no home folder.
    pub path: Option<PathBuf>,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where the value of `section.key` (or the binding `keys.action`) is from.
    pub fn origin(&self, key: &str) -> Origin {
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

/// The built-in defaults alone.
///
/// # Errors
/// Only when the repo's `config.toml` is not what the table wants.
pub fn defaults() -> Result<Settings, ConfigError> {
    let mut layers = Layers::default();
    layers.built_in();
    layers.finish(None).map(|loaded| loaded.settings)
}

/// Merges all layers.
///
/// # Errors
/// Every unknown key, wrong type and value out of bounds, each with its place.
pub fn load(options: LoadOptions) -> Result<Loaded, ConfigError> {
    let LoadOptions { env, file, preset, flags } = options;
    let path = user_file(&env, file.as_deref());
    let named = file.is_some() || env.get("MASKSCOPE_CONFIG").is_some();
    let mut layers = Layers { home: env.home(), ..Layers::default() };
    layers.built_in();
    if let Some(path) = &path {
        layers.user_file(path, named);
    }
    layers.customary_variables(&env);
    layers.variables(&env);
    if let Some(preset) = preset {
        layers.preset(preset);
    }
    for FlagValue { key, value, flag } in flags {
        layers.typed(&key, &value, Origin::Flag(flag));
    }
    layers.finish(path)
}

/// The checked value of `section.key` or `keys.action`, from typed-in text.
pub(super) fn parse_typed<'k>(key: &'k str, text: &str) -> Result<(&'k str, Value), Problem> {
    let kind = kind_of(key).map_err(|fault| Problem::new(Origin::Typed, fault))?;
    let value = kind.parse(text).map_err(|error| Problem::value(Origin::Typed, key, error))?;
    Ok((key, value))
}

fn kind_of(key: &str) -> Result<Kind, Fault> {
    if let Some(parameter) = parameters::find(key) {
        return Ok(parameter.kind);
    }
    if binding(key).is_some() {
        return Ok(Kind::Texts);
    }
    Err(Fault::UnknownKey { key: key.to_owned(), near: parameters::nearest_key(key) })
}

/// Values so far, and what was wrong on the way.
#[derive(Default)]
struct Layers {
    values: BTreeMap<&'static str, Value>,
    keys: BTreeMap<String, Vec<String>>,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
    home: Option<PathBuf>,
}

impl Layers {
    fn built_in(&mut self) {
        match document::entries(BUILT_IN) {
            Ok(entries) => entries.into_iter().for_each(|entry| self.entry(entry, |_| Origin::BuiltIn)),
            Err(error) => self.problems.push(Problem::new(Origin::BuiltIn, Fault::Syntax(error.message))),
        }
        let missing = parameters::all().iter().filter(|parameter| !self.values.contains_key(parameter.key));
        self.problems.extend(missing.map(|parameter| Problem::internal("missing key", parameter.key)));
    }

    fn user_file(&mut self, path: &Path, must_exist: bool) {
        let text = match read(path) {
            Ok(Some(text)) => text,
            Ok(None) if !must_exist => return,
            Ok(None) => {
                let why = "no such file".to_owned();
                let fault = Fault::Unreadable { path: path.to_owned(), why };
                return self.problems.push(Problem::new(Origin::BuiltIn, fault));
            }
            Err(fault) => return self.problems.push(Problem::new(Origin::BuiltIn, fault)),
        };
        let origin = |place: document::Place| Origin::File {
            path: path.to_owned(),
            line: place.line,
            column: place.column,
        };
        match document::entries(&text) {
            Ok(entries) => entries.into_iter().for_each(|entry| self.entry(entry, origin)),
            Err(error) => {
                self.problems.push(Problem::new(origin(error.place), Fault::Syntax(error.message)));
            }
        }
    }

    fn entry(&mut self, entry: Entry, origin: impl Fn(document::Place) -> Origin) {
        match entry {
            Entry::Value { key, value, key_place, value_place } => match kind_of(&key) {
                Err(Fault::UnknownKey { key, .. }) if is_token(&key) => {
                    self.problems.push(Problem::new(origin(key_place), Fault::Token));
                }
                Err(fault) => self.problems.push(Problem::new(origin(key_place), fault)),
                Ok(kind) => match value.map_err(|found| kind.wrong_type(found)).and_then(|v| kind.check(v)) {
                    Ok(value) => self.put(&key, value, origin(key_place)),
                    Err(error) => self.problems.push(Problem::value(origin(value_place), &key, error)),
                },
            },
            Entry::NotASection { name, place } => {
                // A lone key at the top is more often a forgotten section than a section misused.
                let fault = if is_token(&name) {
                    Fault::Token
                } else if parameters::sections().iter().any(|section| section.name == name) {
                    Fault::NotASection { name }
                } else {
                    let near = parameters::nearest_key(&name);
                    Fault::UnknownKey { key: name, near }
                };
                self.problems.push(Problem::new(origin(place), fault));
            }
            Entry::UnknownSection { name, place } => {
                let near = parameters::nearest_section(&name);
                self.problems.push(Problem::new(origin(place), Fault::UnknownSection { name, near }));
            }
        }
    }

    fn customary_variables(&mut self, env: &Env) {
        if let Some(home) = env.path("HF_HOME").and_then(|home| home.join("hub").to_str().map(str::to_owned))
        {
            self.typed("hub.cache", &home, Origin::Env("HF_HOME".to_owned()));
        }
        for (name, key) in CUSTOMARY {
            if let Some(value) = env.text(name) {
                self.typed(key, value, Origin::Env(name.to_owned()));
            }
        }
        if let Some(value) = env.text("HF_HUB_OFFLINE") {
            let offline = YES.contains(&value.to_ascii_uppercase().as_str());
            self.typed("hub.offline", &offline.to_string(), Origin::Env("HF_HUB_OFFLINE".to_owned()));
        }
        // https://no-color.org: present and not empty, whatever the value.
        if env.get("NO_COLOR").is_some() {
            self.typed("ui.color", "none", Origin::Env("NO_COLOR".to_owned()));
        }
    }

    fn variables(&mut self, env: &Env) {
        for (name, value) in env.named() {
            // Without the double underline it is a switch of the program, not a setting.
            let Some((section, field)) = name.strip_prefix(VARIABLE_PREFIX).and_then(|n| n.split_once("__"))
            else {
                continue;
            };
            let key = format!("{section}.{field}").to_lowercase();
            let origin = Origin::Env(name.to_owned());
            match value.to_str() {
                Some(value) => self.typed(&key, value, origin),
                None => {
                    let valid = value.to_string_lossy().find('\u{fffd}').unwrap_or(0);
                    self.problems.push(Problem::new(origin, Fault::Encoding(valid)));
                }
            }
        }
    }

    fn preset(&mut self, preset: super::Preset) {
        match preset.values() {
            Ok(values) => {
                for (key, value) in values {
                    self.put(key, value, Origin::Flag(format!("--preset {}", preset.name)));
                }
            }
            Err(error) => self.problems.extend(error.problems),
        }
    }

    fn typed(&mut self, key: &str, text: &str, origin: Origin) {
        match parse_typed(key, text) {
            Ok((key, value)) => self.put(key, value, origin),
            Err(problem) => self.problems.push(Problem { origin, ..problem }),
        }
    }

    fn put(&mut self, key: &str, value: Value, origin: Origin) {
        if let Some(parameter) = parameters::find(key) {
            let value = match value {
                Value::Text(text) if parameter.kind == Kind::Path => Value::Text(self.expand_home(text)),
                value => value,
            };
            self.values.insert(parameter.key, value);
        } else if let (Some(action), Value::Texts(texts)) = (binding(key), value) {
            self.keys.insert(action.to_owned(), texts);
        }
        self.origins.insert(key.to_owned(), origin);
    }

    fn expand_home(&self, text: String) -> String {
        let home = self.home.as_ref().and_then(|home| home.to_str());
        match (text.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => format!("{}/{rest}", home.trim_end_matches('/')),
            _ => text,
        }
    }

    fn finish(self, path: Option<PathBuf>) -> Result<Loaded, ConfigError> {
        if !self.problems.is_empty() {
            return Err(ConfigError { problems: self.problems });
        }
        let values = self.values.iter().map(|(key, value)| (*key, value));
        let settings = Settings::from_values(values, &self.keys)
            .map_err(|error| Problem::internal("settings", &error.to_string()))?;
        Ok(Loaded { settings, path, origins: self.origins })
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
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(unreadable("longer than 1 MiB".to_owned()));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| unreadable(format!("not UTF-8 text at byte {}", error.utf8_error().valid_up_to())))
}

/// The key of a binding.
pub fn binding_key(action: &str) -> String {
    format!("{KEYS_SECTION}.{action}")
}
