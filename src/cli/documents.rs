//! Documents that a command measures on: what a file or folder holds, or the passages that travel along.

use std::path::Path;

use super::error::CliError;
use super::output::note;
use crate::engine::loaded::{HELD_OUT_TEXT, Loaded};
use crate::train::TrainError;
use crate::train::data::{ChatStyle, Found, Reading, documents_of, read};
use crate::train::records::Memory;

/// Documents in any form that training reads, conversations in the style of `model`; what was left out is said on stderr.
/// Without a path, the held-out passages.
///
/// # Errors
/// As [`read`].
pub fn documents(path: Option<&Path>, column: Option<&str>, model: &Loaded) -> Result<Vec<String>, CliError> {
    let failed = |error: TrainError| CliError::failed(error.to_string()).with_hint_if(error.hint());
    let Some(path) = path else { return Ok(documents_of(HELD_OUT_TEXT)) };
    let style = model.tokenizer.as_ref().map(ChatStyle::of).transpose().map_err(failed)?.unwrap_or_default();
    let how = Reading { column, style: &style, memory: Memory::available() };
    let Found { documents, account } = read(&[path.to_owned()], &how).map_err(failed)?;
    account.sentences(&style).iter().for_each(|text| note(&format!("note: {text}")));
    Ok(documents)
}
