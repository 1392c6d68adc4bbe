//! Documents that a command measures on: those of a file or folder, or the bundled passages.

use std::path::Path;

use super::error::CliError;
use super::output::note;
use crate::engine::loaded::{HELD_OUT_TEXT, LoadedModel};
use crate::train::data::{ChatStyle, Found, ReadOptions, documents_of, read};
use crate::train::records::MachineGauge;

/// Documents in any form that training reads, conversations in the style of `model`; what was left out is said on stderr.
/// Without a path, the held-out passages.
///
/// # Errors
/// As [`read`].
pub fn documents(
    path: Option<&Path>,
    column: Option<&str>,
    model: &LoadedModel,
) -> Result<Vec<String>, CliError> {
    let Some(path) = path else { return Ok(documents_of(HELD_OUT_TEXT)) };
    let style = model.tokenizer.as_ref().map(ChatStyle::of).transpose()?.unwrap_or_default();
    let how = ReadOptions { column, style: &style, memory: MachineGauge::available() };
    let Found { documents, account } = read(&[path.to_owned()], &how)?;
    account.sentences(&style).iter().for_each(|text| note(&format!("note: {text}")));
    Ok(documents.into_iter().map(|document| document.text).collect())
}
