//! The keys of help: scrolling, and what is typed to narrow it.

use crate::screen::actions::{PAGE, actions};
use crate::screen::app::App;
use crate::screen::popups::{Popup, help};

actions! {
    PAGE {
        /// Close
        PAGE_CLOSE ["esc" "f1" "f3" "enter" "K"] "close" => close;
        /// Scroll up
        PAGE_UP ["up"] => |app| turn(app, -1);
        /// Scroll down
        PAGE_DOWN ["down"] "scroll" => |app| turn(app, 1);
        /// Scroll one page up
        PAGE_PAGE_UP ["pageup"] => |app| turn(app, -10);
        /// Scroll one page down
        PAGE_PAGE_DOWN ["pagedown"] => |app| turn(app, 10);
        /// Delete the last character typed
        PAGE_BACKSPACE ["backspace" "ctrl-h"] => |app| edit(app, |typed| { typed.pop(); });
        /// Delete everything typed
        PAGE_CLEAR ["ctrl-u"] => |app| edit(app, String::clear);
    }
}

/// Help, with nothing typed.
pub fn help() -> Popup {
    Popup::Help { typed: String::new(), scroll: 0 }
}

fn turn(app: &mut App, lines: isize) {
    if let Some(Popup::Help { scroll, .. }) = &mut app.popup {
        // The screen knows how long the page is; far beyond its end there is nothing to come back from.
        *scroll = scroll.saturating_add_signed(lines).min(help::most_lines());
    }
}

/// Changes what is typed; what is left of help is shown from its start.
pub fn edit(app: &mut App, change: impl Fn(&mut String)) {
    if let Some(Popup::Help { typed, scroll }) = &mut app.popup {
        change(typed);
        *scroll = 0;
    }
}

/// A typed character narrows help; its own key, typed first, closes it again.
pub fn type_char(app: &mut App, c: char) {
    match &app.popup {
        Some(Popup::Help { typed, .. }) if typed.is_empty() && c == '?' => close(app),
        _ => edit(app, |typed| typed.push(c)),
    }
}

fn close(app: &mut App) {
    if matches!(app.popup, Some(Popup::Help { .. } | Popup::Explain { .. })) {
        app.popup = None;
    }
}
