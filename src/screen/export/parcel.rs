//! A file that is to be written: what is in it, and where it goes. Made into bytes beside the screen.

use std::path::{Path, PathBuf};

use crate::config::ColourScale;
use crate::engine::types::ExportOutcome;
use crate::screen::export::figure::{self, MapFigure};
use crate::screen::export::numbers::PaneNumbers;
use crate::screen::export::part::ExportForm;
use crate::screen::export::session::SavedSession;
use crate::screen::export::{web, write};
use crate::support::files::{Outgoing, reason};

/// What a file holds.
#[derive(Clone, Debug)]
pub enum ParcelContents {
    /// Numbers in a form; of a map also a picture, with its colours, on a dark page or a light one.
    Numbers {
        numbers: Box<PaneNumbers>,
        form: ExportForm,
        colours: ColourScale,
        dark: bool,
    },
    Session(Box<SavedSession>),
    /// A picture, as an SVG.
    Picture(String),
}

/// A file to write.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub path: PathBuf,
    /// Whether one that is there already is replaced.
    pub replace: bool,
    pub contents: ParcelContents,
}

impl ParcelContents {
    /// The bytes of the file.
    ///
    /// # Errors
    /// What its form cannot hold, in a sentence.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            ParcelContents::Numbers { numbers, form, colours, dark } => {
                let figure = || {
                    MapFigure::new(numbers, *colours, *dark)
                        .ok_or_else(|| format!("{form} is for the map; save {} as json or csv", numbers.part))
                };
                Ok(match form {
                    ExportForm::Json => write::json(numbers)?.into_bytes(),
                    ExportForm::Csv => write::csv(numbers)?.into_bytes(),
                    ExportForm::Safetensors => write::safetensors(numbers)?,
                    ExportForm::Svg => figure::svg(&figure()?).into_bytes(),
                    ExportForm::Html => web::html(&figure()?)?.into_bytes(),
                    ExportForm::Toml => return Err("toml is for a session".to_owned()),
                })
            }
            ParcelContents::Session(session) => Ok(session.written()?.into_bytes()),
            ParcelContents::Picture(svg) => Ok(svg.clone().into_bytes()),
        }
    }

    /// The command line, where the file itself has no place for it.
    fn beside(&self) -> Option<&str> {
        match self {
            ParcelContents::Numbers { numbers, form: ExportForm::Csv, .. } => Some(&numbers.command),
            _ => None,
        }
    }
}

impl Parcel {
    /// Writes the file; it appears whole or not at all.
    pub fn write(&self) -> ExportOutcome {
        let path = self.path.clone();
        if !self.replace && path.exists() {
            return ExportOutcome::Exists { path };
        }
        match self.contents.bytes().and_then(|bytes| self.put(&bytes).map(|()| bytes.len() as u64)) {
            Ok(bytes) => ExportOutcome::Written { path, bytes },
            Err(message) => ExportOutcome::Failed { path, message },
        }
    }

    fn put(&self, bytes: &[u8]) -> Result<(), String> {
        write_whole(&self.path, bytes)?;
        match self.contents.beside() {
            Some(command) => write_whole(&command_file(&self.path), format!("{command}\n").as_bytes()),
            None => Ok(()),
        }
    }
}

/// `map.csv` → `map.csv.command`
pub fn command_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".command");
    name.into()
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let written = Outgoing::of(path).and_then(|out| {
        std::fs::write(out.path(), bytes)?;
        out.put()
    });
    written.map_err(|error| format!("{} cannot be written: {}", path.display(), reason(&error)))
}
