//! What *a setting* is. A struct declares its settings once, with [`settings!`]: type, default, bounds, step, unit, doc.
//! From that come the rows that screens list, flags, `config.toml` with its comments, the layers it is loaded through,
//! messages, the reference and the JSON schema. Knows none of the settings there are.

mod choice;
mod declare;
mod document;
mod env;
mod kind;
mod load;
mod problem;
mod save;
mod section;
mod setting;
mod slider;
mod suggest;
mod value;
mod write;

pub use choice::{Choice, with_first};
pub(crate) use choice::{choice, optional};
pub use declare::Row;
pub(crate) use declare::settings;
pub use env::Env;
pub use kind::{Kind, ValueError};
pub use load::{FlagValue, Layers, LoadedSettings, user_file};
pub use problem::{ConfigError, Fault, Problem, SetBy};
pub use save::{SaveError, save};
pub use section::{AllSettings, Section, check_numbers, put};
pub use setting::Setting;
pub(crate) use setting::text_setting;
pub use value::Value;
pub use write::{reference, schema, splice, template};
