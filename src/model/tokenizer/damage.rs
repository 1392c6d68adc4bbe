//! Some damaged files make the tokenizers library panic. Here that becomes a value like any other failure, and nothing
//! is printed about it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::model::error::ModelError;

thread_local! {
    /// A panic on this thread is expected and will be caught.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; `None` where it panicked.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let former = take_hook();
        set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                former(info);
            }
        }));
    });
    EXPECTED.set(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(false);
    done.ok()
}

/// Reads a file of a tokenizer; a panic is an error that names it.
///
/// # Errors
/// What `read` says, or that the file is damaged.
pub fn guarded<T>(file: &str, read: impl FnOnce() -> Result<T, ModelError>) -> Result<T, ModelError> {
    let damaged = || Err(ModelError::file(file, "not a tokenizer this program can read: it is damaged"));
    caught(read).unwrap_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_sentence_that_names_the_file() {
        assert_eq!(caught(|| 3), Some(3));
        let lost: Result<(), ModelError> = guarded("spiece.model", || panic!("index out of bounds"));
        assert!(lost.unwrap_err().to_string().starts_with("spiece.model: "));
    }
}
