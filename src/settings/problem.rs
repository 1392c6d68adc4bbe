//! What can be wrong with settings, as one sentence with the place it was written and a hint.

use std::fmt;
use std::path::PathBuf;

use super::kind::ValueError;
use super::value::shown;

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SetBy {
    /// The repo's `config.toml`, compiled in.
    #[default]
    BuiltIn,
    /// The user's file; line and column count from 1.
    File { path: PathBuf, line: usize, column: usize },
    /// An environment variable.
    Env(String),
    /// A flag or another word of the command line, as it was typed.
    Flag(String),
    /// A field on screen.
    Typed,
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetBy::BuiltIn => f.write_str("built-in"),
            SetBy::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            SetBy::Env(name) => f.write_str(name),
            SetBy::Flag(flag) => f.write_str(flag),
            SetBy::Typed => f.write_str("typed in"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub origin: SetBy,
    pub fault: Fault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("unknown key: {key}")]
    UnknownKey { key: String, near: Option<&'static str> },
    #[error("unknown section: {name}")]
    UnknownSection { name: String, near: Option<&'static str>, known: Vec<&'static str> },
    #[error("{key} {error}")]
    Value { key: String, error: Box<ValueError> },
    #[error("{name} is a section, not a value")]
    NotASection { name: String },
    #[error("an access token must not be in a settings file")]
    Token,
    #[error("{0}")]
    Syntax(String),
    #[error("not UTF-8 text at byte {0}")]
    Encoding(usize),
    #[error("cannot read {path}: {why}")]
    Unreadable { path: PathBuf, why: String },
}

impl Problem {
    pub(super) fn new(origin: SetBy, fault: Fault) -> Problem {
        Problem { origin, fault }
    }

    pub(super) fn value(origin: SetBy, key: &str, error: ValueError) -> Problem {
        Problem::new(origin, Fault::Value { key: key.to_owned(), error: Box::new(error) })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match &self.fault {
            Fault::UnknownKey { near: Some(near), .. } => Some(format!("did you mean {near}?")),
            Fault::UnknownKey { .. } => Some("`maskscope config reference` lists every key".to_owned()),
            Fault::UnknownSection { near: Some(near), .. } => Some(format!("did you mean [{near}]?")),
            Fault::UnknownSection { known, .. } => Some(format!("one of: {}", known.join(", "))),
            Fault::Value { error, .. } => error.hint(),
            Fault::NotASection { name } => Some(format!("write [{name}] and the keys under it")),
            Fault::Token => Some("set the variable HF_TOKEN instead".to_owned()),
            Fault::Syntax(_) => Some("the file is TOML: key = value lines under [section] lines".to_owned()),
            Fault::Encoding(_) | Fault::Unreadable { .. } => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = shown_line(&self.fault.to_string());
        match (&self.origin, &self.fault) {
            (SetBy::BuiltIn, Fault::Unreadable { .. }) | (SetBy::Typed, _) => f.write_str(&fault),
            (SetBy::BuiltIn, _) => write!(f, "built-in config.toml: {fault}"),
            (origin, _) => write!(f, "{origin}: {fault}"),
        }
    }
}

impl std::error::Error for Problem {}

/// Nothing from a file or the command line reaches a terminal raw.
fn shown_line(text: &str) -> String {
    text.split_inclusive(' ')
        .map(|word| if word.chars().any(char::is_control) { shown(word) } else { word.to_owned() })
        .collect()
}

/// Everything that is wrong, in the order found; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        ConfigError { problems: vec![problem] }
    }
}

impl ConfigError {
    /// The first problem's hint.
    pub fn hint(&self) -> Option<String> {
        self.problems.first().and_then(Problem::hint)
    }
}

/// The first problem, and how many more there are.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.problems.first() else { return f.write_str("no problem") };
        write!(f, "{first}")?;
        match self.problems.len() - 1 {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl std::error::Error for ConfigError {}
