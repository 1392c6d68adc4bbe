//! Settings: the parameter table, the layers (built-in `config.toml` < user file < environment < flags), typed
//! settings, saving with comments kept, and the reference made from the table.
//! Imports no other room; `app` and `cli` translate settings into the types of the rooms they drive.

mod document;
mod env;
mod kind;
mod load;
pub mod parameters;
mod preset;
mod problem;
mod reference;
mod save;
mod settings;
mod slider;
mod suggest;
mod table;
mod value;

pub use env::Env;
pub use kind::{Kind, ValueError};
pub use load::{BUILT_IN, FlagValue, LoadOptions, Loaded, binding_key, defaults, load, user_file};
pub use parameters::{Invalidates, Parameter, Section};
pub use preset::{PRESETS, Preset};
pub use problem::{ConfigError, Fault, Origin, Problem};
pub use reference::{reference, splice};
pub use save::{SaveError, save};
pub use settings::{Compute, Explore, Hub, Mask, Model, Score, Settings, SettingsError, Train, Ui};
pub use value::Value;
