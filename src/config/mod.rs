//! All settings of the program together: each struct is declared by the room that owns it, in the form that
//! `settings/` gives. Here they become one `config.toml`, loaded through its layers, and presets over it.

mod preset;
mod screen;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::attention::types::ScoreSettings;
use crate::engine::settings::{ComputeSettings, ModelSettings};
use crate::engine::types::GenerateSettings;
use crate::hub::HubSettings;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::MaskSettings;
pub use crate::settings::{
    AllSettings, Choice, ConfigError, Env, Fault, FlagValue, Kind, Problem, Row, SaveError, Section, SetBy,
    Value, ValueError, put, splice, user_file,
};
use crate::settings::{
    Layers, reference as markdown, save as save_as, schema as json_schema, template as commented,
};
use crate::train::settings::TrainSettings;
pub use preset::{PRESETS, Preset};
pub use screen::{ColourScale, Depth, ExploreSettings, FirstFocus, ThemeName, UiSettings};

/// The defaults, as they lie in the repo.
pub const BUILT_IN: &str = include_str!("../../config.toml");

/// What `config.toml` says above its tables.
const HEADER: &str = "\
# maskscope's defaults, all of them.
#
# This file is generated from the declarations in src/ and compiled in: edit it and start the program with
# `cargo run --release` to change the defaults; `cargo test --release --test docs` then asks you to move the change to
# the declaration. To change only your own settings, write the keys that differ into ~/.config/maskscope/config.toml
# (or the file that $MASKSCOPE_CONFIG or --config names). Above that file come environment variables
# (MASKSCOPE_MASK__THRESHOLD=0.8) and flags (--threshold 0.8, --set mask.threshold=0.8). `maskscope config print`
# shows every value and where it comes from.
";

/// Every setting, valid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub model: ModelSettings,
    pub explore: ExploreSettings,
    pub mask: MaskSettings,
    pub rolling: RollingSettings,
    pub score: ScoreSettings,
    pub hub: HubSettings,
    pub ui: UiSettings,
    pub compute: ComputeSettings,
    pub generate: GenerateSettings,
    pub train: TrainSettings,
    /// Action name → keys; over the built-in bindings.
    pub keys: BTreeMap<String, Vec<String>>,
}

impl AllSettings for Settings {
    const BUILT_IN: &'static str = BUILT_IN;
    const REMOVED: &'static [(&'static str, &'static str)] = &[
        ("ui.input_fps", "a frame is drawn as soon as something has changed"),
        ("ui.background_fps", "a frame is drawn as soon as something has changed"),
    ];

    fn sections(&self) -> Vec<&dyn Section> {
        let Settings { model, explore, mask, rolling, score, hub, ui, compute, generate, train, keys } = self;
        vec![model, explore, mask, rolling, score, hub, ui, compute, generate, train, keys]
    }

    fn sections_mut(&mut self) -> Vec<&mut dyn Section> {
        let Settings { model, explore, mask, rolling, score, hub, ui, compute, generate, train, keys } = self;
        vec![model, explore, mask, rolling, score, hub, ui, compute, generate, train, keys]
    }
}

/// As in `config.toml`: tables of keys.
impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tables = self.tables();
        let mut map = serializer.serialize_map(Some(tables.len()))?;
        for (name, _) in tables {
            map.serialize_entry(name, &SettingsTable { settings: self, name })?;
        }
        map.end()
    }
}

struct SettingsTable<'a> {
    settings: &'a Settings,
    name: &'a str,
}

impl Serialize for SettingsTable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for path in self.settings.paths() {
            if let (Some((name, key)), Some(value)) = (path.split_once('.'), self.settings.get(&path))
                && name == self.name
            {
                map.serialize_entry(key, &value.to_json())?;
            }
        }
        map.end()
    }
}

/// Settings with the place each value came from.
pub type Loaded = crate::settings::LoadedSettings<Settings>;

/// Where settings come from. Later flags win over earlier ones.
#[derive(Clone, Debug, Default)]
pub struct SettingSources {
    pub env: Env,
    /// `--config FILE`: takes the place of the user's file and must exist.
    pub file: Option<PathBuf>,
    /// A named set of values (`--preset`), over the environment and under the flags.
    pub preset: Option<Preset>,
    pub flags: Vec<FlagValue>,
}

/// The built-in defaults alone.
///
/// # Errors
/// Only when the repo's `config.toml` is not what the declarations want.
pub fn defaults() -> Result<Settings, ConfigError> {
    Layers::built_in(None).finish(None).map(|loaded| loaded.settings)
}

/// Merges all layers: the built-in file < the user's < the environment < a preset < flags.
///
/// # Errors
/// Every unknown key, wrong type and value out of bounds, each with its place.
pub fn load(options: SettingSources) -> Result<Loaded, ConfigError> {
    let SettingSources { env, file, preset, flags } = options;
    let path = user_file(&env, file.as_deref());
    let named = file.is_some() || env.get("MASKSCOPE_CONFIG").is_some();
    let mut layers = Layers::<Settings>::built_in(env.home());
    if let Some(path) = &path {
        layers.user_file(path, named);
    }
    customary_variables(&mut layers, &env);
    layers.variables(&env);
    if let Some(preset) = preset {
        let origin = SetBy::Flag(format!("--preset {}", preset.name));
        for (path, value) in preset.values()? {
            if let Some(row) = preset::row(path) {
                layers.put(path, row.kind, value, (origin.clone(), origin.clone()));
            }
        }
    }
    for FlagValue { key, value, flag } in flags {
        layers.typed(&key, &value, SetBy::Flag(flag));
    }
    layers.finish(path)
}

/// What Python's `huggingface_hub` takes for yes in a switch; anything else is no.
const YES: [&str; 4] = ["1", "ON", "YES", "TRUE"];

/// Variables that other programs have made customary. `MASKSCOPE_…` goes over them.
fn customary_variables(layers: &mut Layers<Settings>, env: &Env) {
    let cache = env.path("HF_HOME").and_then(|home| home.join("hub").to_str().map(str::to_owned));
    let offline =
        env.text("HF_HUB_OFFLINE").map(|v| YES.contains(&v.to_ascii_uppercase().as_str()).to_string());
    // https://no-color.org: present and not empty, whatever the value.
    let colour = env.get("NO_COLOR").map(|_| "none".to_owned());
    for (name, path, value) in [
        ("HF_HOME", HubSettings::cache, cache),
        ("HF_ENDPOINT", HubSettings::endpoint, env.text("HF_ENDPOINT").map(str::to_owned)),
        ("HF_HUB_CACHE", HubSettings::cache, env.text("HF_HUB_CACHE").map(str::to_owned)),
        ("HF_HUB_OFFLINE", HubSettings::offline, offline),
        ("NO_COLOR", UiSettings::color, colour),
    ] {
        if let Some(value) = value {
            layers.typed(path, &value, SetBy::Env(name.to_owned()));
        }
    }
}

/// Sets `changes` (as from [`AllSettings::changed_since`]) in the file at `path`; comments and layout of the rest stay.
///
/// # Errors
/// A value that its setting does not allow, a file that is not TOML, or the disk; the file is then unchanged.
pub fn save(path: &std::path::Path, changes: &[(String, Value)]) -> Result<(), SaveError> {
    save_as::<Settings>(path, changes)
}

/// The repo's `config.toml` as the declarations give it.
pub fn template() -> String {
    commented(&Settings::default(), HEADER)
}

/// Every key with its range, default and meaning, as Markdown.
pub fn reference(defaults: &Settings) -> String {
    markdown(defaults)
}

/// JSON Schema of a settings file, for editors.
pub fn schema(defaults: &Settings) -> serde_json::Value {
    json_schema(defaults)
}
