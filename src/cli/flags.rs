//! Flags that mirror parameters: their checks, choices and help come from the parameter table.

use std::marker::PhantomData;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, ValueHint};

use crate::config::{self, FlagValue, Kind, Parameter, parameters};

/// The flags of one command, as `(long name, key)`.
pub trait FlagSet {
    const FLAGS: &'static [(&'static str, &'static str)];
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
        let given = S::FLAGS.iter().filter_map(|(flag, key)| {
            let value = matches.get_one::<String>(key)?.clone();
            Some(FlagValue { key: (*key).to_owned(), value, flag: format!("--{flag}") })
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
        let defaults = config::defaults().ok();
        command.args(S::FLAGS.iter().filter_map(|(flag, key)| {
            let parameter = parameters::find(key)?;
            let default =
                defaults.as_ref().and_then(|settings| settings.get(key)).map(|value| value.to_string());
            Some(parameter_arg(flag, parameter, default.as_deref()))
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// A flag that takes a parameter's values, with its doc as help. Its id is the key.
fn parameter_arg(flag: &'static str, parameter: &'static Parameter, default: Option<&str>) -> Arg {
    let arg = Arg::new(parameter.key)
        .long(flag)
        .help(help(parameter, default))
        .help_heading(heading(parameter.section()))
        .value_name(value_name(&parameter.kind))
        .value_parser(value_parser(parameter))
        .action(ArgAction::Set)
        .allow_negative_numbers(true);
    match parameter.kind {
        Kind::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Path => arg.value_hint(ValueHint::AnyPath),
        _ => arg,
    }
}

fn help(parameter: &Parameter, default: Option<&str>) -> String {
    let range = match parameter.kind {
        Kind::Float { .. } | Kind::Int { .. } | Kind::IntOr { .. } => {
            format!("; {}", parameter.kind.describe())
        }
        _ => String::new(),
    };
    match default {
        // A default as long as a sentence would drown the sentence that explains the flag.
        Some(default) if default.len() <= 40 && default != "\"\"" && default != "[]" => {
            format!("{}{range} [default: {}]", parameter.doc, default.trim_matches('"'))
        }
        _ => format!("{}{range}", parameter.doc),
    }
}

fn heading(section: &str) -> &'static str {
    match section {
        "model" | "compute" => "Model and device",
        "mask" => "Mask",
        "score" => "Score",
        "train" => "Training",
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

fn value_parser(parameter: &'static Parameter) -> ValueParser {
    match parameter.kind {
        Kind::Choice(names) => PossibleValuesParser::new(names).into(),
        _ => ValueParser::from(move |text: &str| match parameter.parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(match error.hint() {
                Some(hint) => format!("{error} ({hint})"),
                None => error.to_string(),
            }),
        }),
    }
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
    use crate::cli::{heads, mask, predict, screen, trace, train};

    /// Every flag of a set names a parameter: a misspelt key would silently make no flag.
    fn check<S: FlagSet>() {
        for (flag, key) in S::FLAGS {
            assert!(parameters::find(key).is_some(), "--{flag} mirrors no parameter: {key}");
        }
        let command = ParameterFlags::<S>::augment_args(clap::Command::new("x"));
        assert_eq!(command.get_arguments().count(), S::FLAGS.len());
        command.debug_assert();
    }

    #[test]
    fn every_flag_mirrors_a_parameter() {
        check::<screen::Flags>();
        check::<trace::Flags>();
        check::<predict::Flags>();
        check::<heads::Flags>();
        check::<mask::Flags>();
        check::<train::Flags>();
    }

    #[test]
    fn help_says_what_the_table_says() {
        let parameter = parameters::find("mask.threshold").unwrap();
        let help = help(parameter, Some("0.7"));
        assert!(
            help.contains(parameter.doc) && help.contains("from 0 to 1") && help.ends_with("[default: 0.7]")
        );
    }

    #[test]
    fn an_assignment_needs_an_equals_sign() {
        let parsed = assignment("explore.text=a=b").unwrap();
        assert_eq!((parsed.key.as_str(), parsed.value.as_str()), ("explore.text", "a=b"));
        assert!(assignment("mask.threshold").is_err());
    }
}
