//! `maskscope config`: the settings in force, where they come from, what there is to set, and setting it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::error::CliError;
use super::output::{JsonFlag, Output};
use super::{Common, context};
use crate::app::keymap::Keymap;
use crate::config::{
    Env, Invalidates, Kind, Loaded, Origin, Settings, binding_key, defaults, parameters, reference, save,
    user_file,
};

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
            let loaded = context(common, env, out, None, Vec::new())?.loaded;
            if flag.json { out.json(&print_json(&loaded)) } else { out.text(&print_toml(&loaded)) }
        }
        ConfigCommand::Path(flag) => path(*flag, &settings_path(&common, &env)?, out),
        ConfigCommand::Reference(flag) => {
            let defaults = defaults()?;
            if flag.json { out.json(&reference_json(&defaults)) } else { out.text(&reference(&defaults)) }
        }
        // Nothing is loaded here, so that a broken value can be set right.
        ConfigCommand::Set(args) => set(args, &settings_path(&common, &env)?, out),
    }
}

fn settings_path(common: &Common, env: &Env) -> Result<PathBuf, CliError> {
    user_file(env, common.config.as_deref()).ok_or_else(|| {
        CliError::failed("there is no home folder to keep settings in")
            .with_hint("name a file with --config or MASKSCOPE_CONFIG")
    })
}

#[derive(Serialize)]
struct Printed<'a> {
    path: Option<&'a Path>,
    settings: &'a Settings,
    /// Only what is not built in.
    origins: BTreeMap<String, String>,
}

fn keys_in_force(settings: &Settings) -> impl Iterator<Item = String> {
    let bindings = settings.keys.keys().map(|action| binding_key(action));
    parameters::all().iter().map(|parameter| parameter.key.to_owned()).chain(bindings)
}

fn print_json(loaded: &Loaded) -> Printed<'_> {
    let origins = keys_in_force(&loaded.settings).filter_map(|key| match loaded.origin(&key) {
        Origin::BuiltIn => None,
        origin => Some((key, origin.to_string())),
    });
    Printed { path: loaded.path.as_deref(), settings: &loaded.settings, origins: origins.collect() }
}

/// A TOML file that would give these settings, with the origin of what is not built in behind each value.
fn print_toml(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut section = "";
    let keys: Vec<_> = keys_in_force(&loaded.settings).collect();
    for key in &keys {
        let (name, field) = key.split_once('.').unwrap_or(("", key));
        let Some(value) = loaded.settings.get(key) else { continue };
        if name != section {
            let gap = if text.is_empty() { "" } else { "\n" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{gap}[{name}]");
            section = name;
        }
        let _ = match loaded.origin(key) {
            Origin::BuiltIn => writeln!(text, "{} = {value}", toml_key(field)),
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

/// One parameter, for programs.
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
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    choices: &'static [&'static str],
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'static str,
    default: serde_json::Value,
    invalidates: &'static str,
    variable: String,
}

fn reference_json(defaults: &Settings) -> Vec<ReferenceRow> {
    let tree = serde_json::to_value(defaults).unwrap_or_default();
    let row = |parameter: &parameters::Parameter| {
        let (kind, min, max, choices) = shape(parameter.kind);
        ReferenceRow {
            key: parameter.key,
            name: parameter.name,
            doc: parameter.doc,
            kind,
            min,
            max,
            choices,
            unit: parameter.unit,
            default: tree[parameter.section()][parameter.field()].clone(),
            invalidates: invalidates(parameter.invalidates),
            variable: parameter.variable(),
        }
    };
    parameters::all().iter().map(row).collect()
}

type Shape = (&'static str, Option<f64>, Option<f64>, &'static [&'static str]);

fn shape(kind: Kind) -> Shape {
    match kind {
        Kind::Float { min, max, .. } => ("number", Some(min), Some(max), &[]),
        Kind::Int { min, max, .. } => ("integer", Some(min as f64), Some(max as f64), &[]),
        Kind::IntOr { min, max, .. } => ("integer or word", Some(min as f64), Some(max as f64), &[]),
        Kind::Bool => ("boolean", None, None, &[]),
        Kind::Choice(names) => ("choice", None, None, names),
        Kind::Terms { terms, .. } => ("terms", None, None, terms),
        Kind::Text => ("text", None, None, &[]),
        Kind::Path => ("path", None, None, &[]),
        Kind::Ints { min, max } => ("integers", Some(min as f64), Some(max as f64), &[]),
        Kind::Texts => ("texts", None, None, &[]),
    }
}

fn invalidates(what: Invalidates) -> &'static str {
    match what {
        Invalidates::View => "view",
        Invalidates::Decision => "decision",
        Invalidates::Decode => "decode",
        Invalidates::Forward => "forward",
        Invalidates::All => "all",
        Invalidates::Restart => "restart",
    }
}

/// Keys for an action that does not exist, or that two actions want, are refused whatever the command.
pub(super) fn check_keys(settings: &Settings, origin: impl Fn(&str) -> Origin) -> Result<(), CliError> {
    Keymap::new(&settings.keys).map(drop).map_err(|error| {
        let place = match origin(&binding_key(error.action())) {
            Origin::Typed => String::new(),
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
    settings.set(&args.key, &args.value)?;
    check_keys(&settings, |_| Origin::Typed)?;
    let value = settings.get(&args.key).ok_or_else(|| CliError::failed("the value was not taken"))?;
    let shown = value.to_string();
    save(path, &[(args.key.clone(), value)])?;
    if args.output.json {
        out.json(&SetOutput { path, key: &args.key, value: shown })
    } else {
        out.text(&format!("{} = {shown} in {}\n", args.key, path.display()))
    }
}
