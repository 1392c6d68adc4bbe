//! Some damaged files make the tokenizers library panic. Here that becomes an error that names the file.

use crate::model::error::ModelError;
use crate::support::caught::caught;

/// What to do about a tokenizer's file that cannot be used.
pub const FETCH_AGAIN: &str =
    "fetch the file again (--refresh for a model of the Hub), or copy it from where the model came from";

/// Reads a file of a tokenizer; a panic is an error that names it.
///
/// # Errors
/// What `read` says, or that the file is damaged.
pub fn guarded<T>(file: &str, read: impl FnOnce() -> Result<T, ModelError>) -> Result<T, ModelError> {
    let damaged = || {
        let problem = "not a tokenizer this program can read: it is damaged";
        Err(ModelError::file(file, problem).with_hint(FETCH_AGAIN))
    };
    caught(read).unwrap_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_sentence_that_names_the_file() {
        let lost: Result<(), ModelError> = guarded("spiece.model", || panic!("index out of bounds"));
        let error = lost.unwrap_err();
        assert!(error.to_string().starts_with("spiece.model: "), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--refresh")));
    }
}
