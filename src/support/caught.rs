//! A panic inside a library as a value like any other failure; nothing is printed about it. Damaged files make some
//! libraries panic, and a damaged file must never end the program.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// A panic on this thread is expected and will be caught.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; `None` where it panicked. Calls may be nested.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let former = take_hook();
        set_hook(Box::new(move |info| {
            if EXPECTED.get() {
                tracing::error!("caught: {info}");
            } else {
                former(info);
            }
        }));
    });
    let outer = EXPECTED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(outer);
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_value_also_inside_another_call() {
        assert_eq!(caught(|| 3), Some(3));
        assert_eq!(caught(|| (caught(|| panic!("inner")), EXPECTED.get())), Some((None::<()>, true)));
        assert!(!EXPECTED.get());
    }
}
