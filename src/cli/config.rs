//! `maskscope config`: print the settings and where they come from, list all of them, and change them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::error::CliError;
use super::output::{JsonFlag, Output};
use super::{Common, context};
use crate::config::{
    AllSettings, Choice, Env, Kind, Loaded, Row, SetBy, Settings, defaults, reference, save, schema,
    user_file,
};
use crate::screen::keymap::Keymap;
use crate::support::visible::without_credentials;

/// Show and change settings
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the settings in force, and where each one comes from
    Print(JsonFlag),
    /// Print the path of your settings file
    Path(JsonFlag),
    /// Print every key with its range, default and meaning
    Reference(JsonFlag),
    /// Print the JSON Schema of a settings file, for editors
    Schema,
    /// Write one key into your settings file
    Set(SetArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct SetArgs {
    /// Key, e.g. mask.threshold
    pub key: String,
    /// Value, e.g. 0.8
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    #[command(flatten)]
    pub output: JsonFlag,
}

pub fn run(args: &ConfigArgs, common: Common, env: Env, out: Output) -> Result<(), CliError> {
    match &args.command {
        ConfigCommand::Print(flag) => {
            let mut loaded = context(common, env, out, None, Vec::new())?.loaded;
            // Whoever reads the output needs no password that stands in the address.
            let endpoint = &mut loaded.settings.hub.endpoint;
            *endpoint = endpoint.take().map(|address| without_credentials(&address).into_owned());
            if flag.json { out.json(&print_json(&loaded)) } else { out.text(&print_toml(&loaded)) }
        }
        ConfigCommand::Path(flag) => path(*flag, &settings_path(&common, &env)?, out),
        ConfigCommand::Reference(flag) => {
            let defaults = defaults()?;
            if flag.json { out.json(&reference_json(&defaults)) } else { out.text(&reference(&defaults)) }
        }
        ConfigCommand::Schema => out.json(&schema(&defaults()?)),
        // Nothing is loaded here, so that a broken value can be set right.
        ConfigCommand::Set(args) => set(args, &settings_path(&common, &env)?, out),
    }
}

fn settings_path(common: &Common, env: &Env) -> Result<PathBuf, CliError> {
    user_file(env, common.config.as_deref()).ok_or_else(|| {
        CliError::failed("there is no home folder to keep settings in")
            .with_hint("pass a file with --config or MASKSCOPE_CONFIG")
    })
}

#[derive(Serialize)]
struct Printed<'a> {
    path: Option<&'a Path>,
    settings: &'a Settings,
    /// Only what is not built in.
    origins: BTreeMap<String, String>,
}

fn print_json(loaded: &Loaded) -> Printed<'_> {
    let origins = loaded.settings.paths().into_iter().filter_map(|key| match loaded.origin(&key) {
        SetBy::BuiltIn => None,
        origin => Some((key, origin.to_string())),
    });
    Printed { path: loaded.path.as_deref(), settings: &loaded.settings, origins: origins.collect() }
}

/// A TOML file that would give these settings, with the origin of what is not built in behind each value.
fn print_toml(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut section = "";
    for key in &loaded.settings.paths() {
        let (name, field) = key.split_once('.').unwrap_or(("", key));
        let Some(value) = loaded.settings.get(key) else { continue };
        if name != section {
            let gap = if text.is_empty() { "" } else { "\n" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{gap}[{name}]");
            section = name;
        }
        let _ = match loaded.origin(key) {
            SetBy::BuiltIn => writeln!(text, "{} = {value}", toml_key(field)),
            origin => writeln!(text, "{} = {value} # {origin}", toml_key(field)),
        };
    }
    text
}

/// Actions may have names that TOML wants in quotes.
fn toml_key(field: &str) -> String {
    toml_edit::Key::new(field).display_repr().into_owned()
}

#[derive(Serialize)]
struct PathOutput<'a> {
    path: &'a Path,
    exists: bool,
}

fn path(flag: JsonFlag, path: &Path, out: Output) -> Result<(), CliError> {
    if flag.json {
        out.json(&PathOutput { path, exists: path.exists() })
    } else {
        out.text(&format!("{}\n", path.display()))
    }
}

/// One setting, for programs.
#[derive(Serialize)]
struct ReferenceRow {
    key: &'static str,
    name: &'static str,
    doc: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'static str,
    default: serde_json::Value,
    variable: String,
}

fn reference_json(defaults: &Settings) -> Vec<ReferenceRow> {
    let row = |row: &'static Row| {
        let (kind, bounds, choices) = shape(row.kind);
        ReferenceRow {
            key: row.path,
            name: row.name(),
            doc: row.doc,
            kind,
            min: bounds.map(|(min, _)| min),
            max: bounds.map(|(_, max)| max),
            choices,
            unit: row.unit,
            default: defaults.get(row.path).map_or(serde_json::Value::Null, |value| value.to_json()),
            variable: row.variable(),
        }
    };
    defaults.rows().into_iter().map(row).collect()
}

type JsonType = (&'static str, Option<(f64, f64)>, Vec<&'static str>);

fn shape(kind: Kind) -> JsonType {
    let whole = |min: i64, max: i64| Some((min as f64, max as f64));
    let names = |choices: &[Choice]| choices.iter().map(|choice| choice.name).collect();
    match kind {
        Kind::Float { min, max, .. } => ("number", Some((min, max)), Vec::new()),
        Kind::Int { min, max, .. } => ("integer", whole(min, max), Vec::new()),
        Kind::IntOr { min, max, .. } => ("integer or word", whole(min, max), Vec::new()),
        Kind::Bool => ("boolean", None, Vec::new()),
        Kind::Choice(choices) => ("choice", None, names(choices)),
        Kind::Terms { terms, .. } => ("terms", None, terms.list()),
        Kind::Text => ("text", None, Vec::new()),
        Kind::Path => ("path", None, Vec::new()),
        Kind::Ints { min, max } => ("integers", whole(min, max), Vec::new()),
        Kind::Texts => ("texts", None, Vec::new()),
    }
}

/// Keys for an action that does not exist, or that two actions want, are refused whatever the command.
pub(super) fn check_keys(settings: &Settings, origin: impl Fn(&str) -> SetBy) -> Result<(), CliError> {
    Keymap::new(&settings.keys).map(drop).map_err(|error| {
        let place = match origin(&format!("keys.{}", error.action())) {
            SetBy::Typed => String::new(),
            origin => format!("{origin}: "),
        };
        CliError::usage(format!("{place}{error}")).with_hint_if(error.hint())
    })
}

#[derive(Serialize)]
struct SetOutput<'a> {
    path: &'a Path,
    key: &'a str,
    value: String,
}

fn set(args: &SetArgs, path: &Path, out: Output) -> Result<(), CliError> {
    let mut settings = defaults()?;
    let key = settings.set(&args.key, &args.value)?;
    check_keys(&settings, |_| SetBy::Typed)?;
    let value = settings.get(&key).ok_or_else(|| CliError::failed("the value was not applied"))?;
    let shown = without_credentials(&value.to_string()).into_owned();
    save(path, &[(key.clone(), value)])?;
    if args.output.json {
        out.json(&SetOutput { path, key: &key, value: shown })
    } else {
        out.text(&format!("{key} = {shown} in {}\n", path.display()))
    }
}
