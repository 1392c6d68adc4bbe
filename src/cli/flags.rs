//! Flags that mirror settings: their checks, choices and help come from the declarations.

use std::marker::PhantomData;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, ValueHint};

use crate::config::{self, AllSettings, Choice, FlagValue, Kind, Row, Settings, Value};
use crate::settings::Setting;

/// The flags of one command.
pub trait FlagSet {
    /// As `(long name, key)`.
    const FLAGS: &'static [(&'static str, &'static str)];
    /// Structs whose every setting has a flag of its own name.
    const ROWS: &'static [&'static [Row]] = &[];
}

/// All flags of a set, as `(long name, key)`.
fn flags<S: FlagSet>() -> impl Iterator<Item = (&'static str, &'static str)> {
    let own = |row: &Row| (long(row.path), row.path);
    S::FLAGS.iter().copied().chain(S::ROWS.iter().copied().flatten().map(own))
}

/// Flags under the names that settings had, as `(long name, old key)`: read, and not shown.
fn old_flags<S: FlagSet>() -> impl Iterator<Item = (&'static str, &'static str)> {
    S::ROWS.iter().copied().flatten().flat_map(|row| row.was).map(|old| (long(old), *old))
}

/// `train.mask_rate` → `mask-rate`.
fn long(path: &str) -> &'static str {
    // clap keeps names for as long as the program runs, and a set is made once for each command line.
    path.rsplit('.').next().unwrap_or(path).replace('_', "-").leak()
}

/// What was given of a [`FlagSet`]; flatten it into a command's arguments.
#[derive(Clone, Debug)]
pub struct ParameterFlags<S> {
    values: Vec<FlagValue>,
    set: PhantomData<S>,
}

impl<S> ParameterFlags<S> {
    /// In the order of the set, only those that were given.
    pub fn values(&self) -> &[FlagValue] {
        &self.values
    }
}

impl<S: FlagSet> FromArgMatches for ParameterFlags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = flags::<S>().chain(old_flags::<S>()).filter_map(|(flag, key)| {
            let value = matches.get_one::<String>(key)?.clone();
            Some(FlagValue { key: key.to_owned(), value, flag: format!("--{flag}") })
        });
        Ok(ParameterFlags { values: given.collect(), set: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let newer = Self::from_arg_matches(matches)?.values;
        self.values.retain(|old| newer.iter().all(|new| new.key != old.key));
        self.values.extend(newer);
        Ok(())
    }
}

impl<S: FlagSet> Args for ParameterFlags<S> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let defaults = config::defaults().unwrap_or_default();
        let command = command
            .args(flags::<S>().filter_map(|(flag, key)| Some(arg(flag, defaults.row(key)?, &defaults))));
        // The old key leads to the line that gives the new one.
        command.args(old_flags::<S>().map(|(flag, key)| Arg::new(key).long(flag).hide(true)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// A flag that takes a setting's values, with its doc as help. Its id is the key.
fn arg(flag: &'static str, row: &'static Row, defaults: &Settings) -> Arg {
    let arg = Arg::new(row.path)
        .long(flag)
        .help(help(row, defaults))
        .help_heading(heading(row.table()))
        .value_name(value_name(&row.kind))
        .value_parser(value_parser(row))
        .action(ArgAction::Set)
        .allow_negative_numbers(true);
    match row.kind {
        Kind::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Path => arg.value_hint(ValueHint::AnyPath),
        _ => arg,
    }
}

fn help(row: &Row, defaults: &Settings) -> String {
    let range = match row.kind {
        Kind::Float { .. } | Kind::Int { .. } | Kind::IntOr { .. } => format!("; {}", row.kind.describe()),
        _ => String::new(),
    };
    let default = defaults.get(row.path).map(|value| value.to_string()).unwrap_or_default();
    // A default as long as a sentence would drown the sentence that explains the flag.
    if default.len() <= 40 && default != "\"\"" && default != "[]" {
        format!("{}{range} [default: {}]", row.doc, default.trim_matches('"'))
    } else {
        format!("{}{range}", row.doc)
    }
}

fn heading(section: &str) -> &'static str {
    match section {
        "model" | "compute" => "Model and device",
        "mask" => "Mask",
        "score" => "Score",
        "train" => "Training",
        "generate" => "Writing",
        "hub" => "Hub",
        _ => "View",
    }
}

fn value_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Float { .. } => "NUMBER",
        Kind::Int { .. } | Kind::IntOr { .. } => "N",
        Kind::Bool => "BOOL",
        Kind::Choice(_) => "CHOICE",
        Kind::Terms { .. } | Kind::Texts => "LIST",
        Kind::Text => "TEXT",
        Kind::Path => "PATH",
        Kind::Ints { .. } => "N,N,…",
    }
}

fn value_parser(row: &'static Row) -> ValueParser {
    if let Kind::Choice(choices) = row.kind {
        return names(choices).into();
    }
    ValueParser::from(move |text: &str| match row.kind.parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(match error.hint() {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        }),
    })
}

/// The names of a choice, with a line of help for each. Old names are read, and not shown.
fn names(choices: &[Choice]) -> PossibleValuesParser {
    let value = |choice: &Choice| {
        let value = PossibleValue::new(choice.name).aliases(choice.was);
        if choice.doc.is_empty() { value } else { value.help(choice.doc) }
    };
    PossibleValuesParser::new(choices.iter().map(value))
}

/// Reads a whole number from `min` to `max`, and says of others what a setting would; for flags that set no setting.
pub fn whole<T: TryFrom<i64> + Clone + Send + Sync + 'static>(
    min: i64,
    max: i64,
) -> impl TypedValueParser<Value = T> {
    let kind = Kind::Int { min, max, step: 1 };
    move |text: &str| match kind.parse(text).map_err(|error| error.to_string())? {
        Value::Int(n) => T::try_from(n).map_err(|_| format!("must be at most {max}, not {n}")),
        other => Err(format!("must be a whole number, not {}", kind.show(&other))),
    }
}

/// Reads one of the names of `T`; for flags that set no setting.
pub fn one_of<T: Setting + Clone + Send + Sync + 'static>() -> impl TypedValueParser<Value = T> {
    names(T::KIND.choices()).try_map(|name| T::from_value(Value::Text(name)))
}

/// `--set KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub key: String,
    pub value: String,
}

/// Splits `KEY=VALUE`; key and value are checked when the settings are loaded, with all others.
pub fn assignment(text: &str) -> Result<Assignment, String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE, e.g. mask.threshold=0.8")?;
    Ok(Assignment { key: key.trim().to_owned(), value: value.to_owned() })
}

impl From<Assignment> for FlagValue {
    fn from(assignment: Assignment) -> FlagValue {
        let Assignment { key, value } = assignment;
        FlagValue { flag: "--set".to_owned(), key, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::types::MaskSettings;

    #[test]
    fn whole_numbers_out_of_range_are_refused_in_words() {
        let command = clap::Command::new("x").arg(Arg::new("n").value_parser(whole::<u16>(1, 10_000)));
        let said = |text: &str| command.clone().try_get_matches_from(["x", text]).map_err(|e| e.to_string());
        assert_eq!(said("12").unwrap().get_one::<u16>("n"), Some(&12));
        for (text, part) in [
            ("0", "must be at least 1, not 0"),
            ("10001", "must be at most 10000, not 10001"),
            ("many", "must be a whole number, not many"),
        ] {
            let error = said(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    /// Every flag of every set: a misspelt key would silently make no flag.
    #[test]
    fn every_flag_mirrors_a_setting() {
        fn check<S: FlagSet>() {
            let command = ParameterFlags::<S>::augment_args(clap::Command::new("x"));
            let made: Vec<_> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
            let wanted: Vec<_> = flags::<S>().chain(old_flags::<S>()).map(|(_, key)| key).collect();
            assert_eq!(made, wanted);
            command.debug_assert();
        }
        use crate::cli::{
            bench, calibrate, eval, export, generate, heads, intervene, mask, models, predict, screen, trace,
            train,
        };
        check::<screen::Flags>();
        check::<trace::Flags>();
        check::<predict::Flags>();
        check::<generate::Flags>();
        check::<heads::Flags>();
        check::<intervene::Flags>();
        check::<mask::Flags>();
        check::<export::Flags>();
        check::<eval::Flags>();
        check::<models::Flags>();
        check::<models::HubFlags>();
        check::<models::CacheFlags>();
        check::<calibrate::Flags>();
        check::<bench::Flags>();
        check::<train::Flags>();
    }

    #[test]
    fn help_says_what_is_declared() {
        let row = MaskSettings::ROWS[0];
        let help = help(&row, &Settings::default());
        assert!(help.contains(row.doc) && help.contains("from 0 to 1") && help.ends_with("[default: 0.7]"));
    }

    #[test]
    fn an_assignment_needs_an_equals_sign() {
        let parsed = assignment("explore.text=a=b").unwrap();
        assert_eq!((parsed.key.as_str(), parsed.value.as_str()), ("explore.text", "a=b"));
        assert!(assignment("mask.threshold").is_err());
    }
}
