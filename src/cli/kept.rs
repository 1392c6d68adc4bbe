//! The text and the form of the screen from one start to the next: what was written is kept when the screen is left, and opened
//! again.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::CliError;
use super::{CommandContext, source};
use crate::config::SetBy;
use crate::screen::document::Document;
use crate::screen::train::{RunForm, RunRequest};
use crate::support::{files, paths};

/// The key of the text that the settings name.
const TEXT: &str = "explore.text";

/// Bytes of the largest form that is read.
const LARGEST_FORM: u64 = 1 << 20;

/// The text that the screen opens with, and where what is made of it is kept.
pub struct KeptText {
    /// What the screen opens with.
    pub opened: String,
    /// It is what was kept last time.
    pub reopened: bool,
    /// What the settings name.
    example: String,
    file: Option<PathBuf>,
    said: RefCell<Option<String>>,
}

impl KeptText {
    /// The file named on the command line, else the text named there, else what was kept, else what the settings name.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(file: Option<&Path>, context: &CommandContext) -> Result<KeptText, CliError> {
        let given = matches!(context.loaded.origin(TEXT), SetBy::Flag(_));
        let kept = paths::state().map(|folder| folder.join("text.txt"));
        let example = context.loaded.settings.explore.text.clone();
        let (opened, reopened) = match file {
            Some(path) => (source::read_for_screen(path)?, false),
            None if given => (example.clone(), false),
            // A damaged or missing file is no reason not to start.
            None => match kept.as_deref().and_then(|path| source::read_for_screen(path).ok()) {
                Some(text) => (text, true),
                None => (example.clone(), false),
            },
        };
        Ok(KeptText { opened, reopened, example, file: kept, said: RefCell::default() })
    }

    /// Keeps what is open on leaving, unless there is nothing of one's own in it.
    pub fn keep(&self, text: &str) {
        let Some(file) = &self.file else { return };
        if text == self.opened {
            return;
        }
        if text.trim().is_empty() || text == self.example {
            // The next start opens the example again.
            let _ = std::fs::remove_file(file);
            return;
        }
        let written = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        let said = match written.and_then(|()| files::replace(file, text.as_bytes())) {
            Ok(()) => "your text is kept: the next start opens it".to_owned(),
            Err(error) => format!("your text could not be kept in {}: {error}", file.display()),
        };
        *self.said.borrow_mut() = Some(said);
    }

    /// What to say of it once the terminal is the shell's again.
    pub fn said(&self) -> Option<String> {
        self.said.borrow().clone()
    }
}

/// The form of a run from one start to the next: the settings of the run that was planned last.
#[derive(Clone, Debug)]
pub struct KeptForm(Option<PathBuf>);

impl KeptForm {
    /// Where it is kept.
    pub fn at_home() -> Self {
        KeptForm(paths::state().map(|folder| folder.join("form.json")))
    }

    /// Keeps what a run was asked for. A folder that cannot be written is no reason not to plan it.
    pub fn keep(&self, request: &RunRequest) {
        let Some(file) = &self.0 else { return };
        let form = RunForm { run: request.run.clone(), train: request.train.clone() };
        let written =
            serde_json::to_string_pretty(&form.kept()).map_err(std::io::Error::other).and_then(|text| {
                file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                files::replace(file, text.as_bytes())
            });
        if let Err(error) = written {
            tracing::warn!("the form could not be kept in {}: {error}", file.display());
        }
    }

    /// Fills the form with what was kept, but for settings that are `given` otherwise; whether that changed anything.
    pub fn recall(&self, doc: &mut Document, given: &dyn Fn(&str) -> bool) -> bool {
        let text = self.0.as_deref().and_then(|path| files::read_at_most(path, LARGEST_FORM).ok());
        // A damaged or missing file is no reason not to start.
        let Some(kept) = text.and_then(|text| serde_json::from_slice(&text).ok()) else { return false };
        let before = doc.form.clone();
        Arc::make_mut(&mut doc.form).recall(&kept, given);
        doc.form != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(file: &Path, opened: &str) -> KeptText {
        KeptText {
            opened: opened.to_owned(),
            reopened: false,
            example: "an example".to_owned(),
            file: Some(file.to_owned()),
            said: RefCell::default(),
        }
    }

    #[test]
    fn what_was_written_is_kept_and_what_was_not_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/text.txt");
        kept(&file, "an example").keep("an example");
        assert!(!file.exists(), "nothing was written");
        let text = kept(&file, "an example");
        text.keep("my own words");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "my own words");
        assert_eq!(text.said().unwrap(), "your text is kept: the next start opens it");
        kept(&file, "given by a flag").keep("given by a flag");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "my own words");
        kept(&file, "my own words").keep("  ");
        assert!(!file.exists(), "the next start opens the example again");
    }
}
