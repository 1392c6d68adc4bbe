//! How a command fails: one sentence, a hint, and an exit code that scripts may rely on.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::{ConfigError, Problem, SaveError};
use crate::engine::explorer::ExploreError;
use crate::hub::HubError;
use crate::model::ModelError;
use crate::screen::ScreenError;
use crate::support::visible::{lines, without_credentials};
use crate::train::TrainError;

/// What an exit code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// 1: the work failed.
    Failed,
    /// 2: the command line or the settings are at fault.
    Usage,
    /// 3: the model or the device is not available.
    Unavailable,
    /// 0, without a message: the reader of our output has gone (`maskscope … | head`).
    ReaderGone,
    /// 128 and the number of the signal that ended it, as shells have it; without a message where that is empty.
    Signal(u8),
}

impl ExitKind {
    pub fn code(self) -> u8 {
        match self {
            ExitKind::ReaderGone => 0,
            ExitKind::Failed => 1,
            ExitKind::Usage => 2,
            ExitKind::Unavailable => 3,
            ExitKind::Signal(number) => 128 | number,
        }
    }
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    pub kind: ExitKind,
    /// One sentence without a full stop.
    pub message: String,
    pub hint: Option<String>,
    /// Further faults found in the same go, each with its own hint.
    pub more: Vec<(String, Option<String>)>,
}

impl CliError {
    pub fn new(kind: ExitKind, message: impl Into<String>) -> CliError {
        CliError { kind, message: message.into(), hint: None, more: Vec::new() }
    }

    pub fn failed(message: impl Into<String>) -> CliError {
        CliError::new(ExitKind::Failed, message)
    }

    pub fn usage(message: impl Into<String>) -> CliError {
        CliError::new(ExitKind::Usage, message)
    }

    pub fn unavailable(message: impl Into<String>) -> CliError {
        CliError::new(ExitKind::Unavailable, message)
    }

    /// Ended as a signal asked: nothing more to say.
    pub fn signal(number: i32) -> CliError {
        CliError::new(ExitKind::Signal(u8::try_from(number).unwrap_or_default()), "")
    }

    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> CliError {
        CliError { hint: Some(hint.into()), ..self }
    }

    /// As [`CliError::with_hint`], for errors whose hint is optional.
    #[must_use]
    pub fn with_hint_if(self, hint: Option<String>) -> CliError {
        CliError { hint: hint.or(self.hint), ..self }
    }

    /// Writes the error to stderr and gives the exit code.
    fn report(&self) -> ExitCode {
        if self.kind != ExitKind::ReaderGone && !self.message.is_empty() {
            // Nobody is left to tell when stderr is closed.
            let _ = write!(io::stderr().lock(), "{self}");
        }
        ExitCode::from(self.kind.code())
    }
}

/// The longest message that is written whole, in characters: a value from a command line may be of any length.
const LONGEST: usize = 1200;

/// Text made safe for a terminal, its middle left out where it is long.
pub(super) fn told(text: &str) -> String {
    let text = lines(&without_credentials(text));
    let length = text.chars().count();
    if length <= LONGEST {
        return text;
    }
    let half = LONGEST / 2;
    let (head, tail): (String, String) =
        (text.chars().take(half).collect(), text.chars().skip(length - half).collect());
    format!("{head} … {} characters left out … {tail}", length - 2 * half)
}

/// Writes to stderr what ended a command, and gives the exit code.
pub fn report(error: anyhow::Error) -> ExitCode {
    let known = error
        .downcast::<CliError>()
        .or_else(|e| e.downcast::<TrainError>().map(CliError::from))
        .or_else(|e| e.downcast::<ExploreError>().map(CliError::from))
        .or_else(|e| e.downcast::<ModelError>().map(CliError::from));
    known.unwrap_or_else(|e| CliError::failed(format!("{e:#}"))).report()
}

/// `error: …` and `hint: …` lines.
impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = std::iter::once((&self.message, &self.hint));
        for (message, hint) in first.chain(self.more.iter().map(|(message, hint)| (message, hint))) {
            writeln!(f, "error: {}", told(message))?;
            if let Some(hint) = hint {
                writeln!(f, "hint: {}", told(hint))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}

/// Errors of the rooms below: a sentence, and what to do where that is known.
macro_rules! of_rooms {
    ($($error:ty),+) => {$(
        impl From<$error> for CliError {
            fn from(error: $error) -> CliError {
                CliError::failed(error.to_string()).with_hint_if(error.hint())
            }
        }
    )+};
}
of_rooms!(ExploreError, HubError, ModelError);

impl From<ScreenError> for CliError {
    fn from(error: ScreenError) -> CliError {
        match error {
            ScreenError::Signal(number) => CliError::signal(number),
            other => CliError::failed(other.to_string()).with_hint_if(other.hint()),
        }
    }
}

impl From<TrainError> for CliError {
    fn from(error: TrainError) -> CliError {
        let kind = match error {
            TrainError::Unavailable { .. } => ExitKind::Unavailable,
            _ => ExitKind::Failed,
        };
        CliError::new(kind, error.to_string()).with_hint_if(error.hint())
    }
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> CliError {
        CliError::new(ExitKind::Usage, problem.to_string()).with_hint_if(problem.hint())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> CliError {
        let mut errors = error.problems.into_iter().map(CliError::from);
        let Some(first) = errors.next() else { return CliError::failed("settings did not load") };
        CliError { more: errors.map(|error| (error.message, error.hint)).collect(), ..first }
    }
}

impl From<SaveError> for CliError {
    fn from(error: SaveError) -> CliError {
        match error {
            SaveError::Problem(problem) => problem.into(),
            SaveError::Write { .. } => CliError::failed(error.to_string()).with_hint_if(error.hint()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_sentence_and_a_hint() {
        let error = CliError::usage("no \u{1b}[31msuch key").with_hint("try another");
        assert_eq!(error.to_string(), "error: no \\u{1b}[31msuch key\nhint: try another\n");
        assert_eq!(CliError::failed("it broke").to_string(), "error: it broke\n");
    }

    #[test]
    fn exit_codes_are_what_the_help_says() {
        let codes = [ExitKind::ReaderGone, ExitKind::Failed, ExitKind::Usage, ExitKind::Unavailable];
        assert_eq!(codes.map(ExitKind::code), [0, 1, 2, 3]);
        assert_eq!(CliError::signal(15).kind.code(), 143);
    }

    #[test]
    fn long_values_lose_their_middle_and_addresses_their_passwords() {
        let long = format!("begin {} end", "x".repeat(100_000));
        let said = CliError::failed(long).to_string();
        assert!(said.chars().count() < 1300 && said.starts_with("error: begin") && said.ends_with("x end\n"));
        assert!(said.contains("characters left out"), "{said}");
        let said = CliError::failed("https://me:secret@host/ failed").to_string();
        assert_eq!(said, "error: https://host/ failed\n");
    }
}
