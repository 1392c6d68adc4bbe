//! The keys of pages on top of the screen: help and tour.

use crate::screen::actions::{PAGE, actions};
use crate::screen::app::App;
use crate::screen::explore::mask;
use crate::screen::popups::tour::{self, STOPS};
use crate::screen::popups::{Popup, help};

actions! {
    PAGE {
        /// Close
        PAGE_CLOSE ["esc" "q" "?" "f1"] "close" => close_page;
        /// Next step of the tour; after the last it ends
        PAGE_ADVANCE ["enter" "space"] => advance;
        /// Next step of the tour
        PAGE_NEXT ["right"] "next" if on_tour => |app| turn(app, 1, 10);
        /// Previous step of the tour
        PAGE_BACK ["left" "backspace"] "back" if on_tour => |app| turn(app, -1, -10);
        /// Scroll up
        PAGE_UP ["up"] => |app| turn(app, -1, -1);
        /// Scroll down
        PAGE_DOWN ["down"] "scroll" => |app| turn(app, 1, 1);
        /// Scroll one page up
        PAGE_PAGE_UP ["pageup"] => |app| turn(app, -1, -10);
        /// Scroll one page down
        PAGE_PAGE_DOWN ["pagedown"] => |app| turn(app, 1, 10);
    }
}

fn on_tour(app: &App) -> bool {
    matches!(app.popup, Some(Popup::Tour { .. }))
}

/// Turns the tour by steps, or help by lines.
fn turn(app: &mut App, steps: isize, lines: isize) {
    match &mut app.popup {
        Some(Popup::Tour { step }) => {
            let next = step.saturating_add_signed(steps);
            // One press too many must not reach the sliders behind it.
            if next < STOPS.len() {
                tour::go_to(app, next);
            }
        }
        // The screen knows how long the page is; far beyond its end there is nothing to come back from.
        Some(Popup::Help { scroll }) => {
            *scroll = scroll.saturating_add_signed(lines).min(help::most_lines());
        }
        _ => {}
    }
}

fn advance(app: &mut App) {
    match app.popup {
        Some(Popup::Tour { step }) if step + 1 >= STOPS.len() => close_page(app),
        _ => turn(app, 1, 10),
    }
}

fn close_page(app: &mut App) {
    match app.popup {
        Some(Popup::Tour { .. }) => {
            app.popup = None;
            app.focus(&mask::PANE);
        }
        Some(Popup::Help { .. }) => app.popup = None,
        _ => {}
    }
}
