//! What the panes beside the map show, and how far they are scrolled.

use crate::app::actions::actions;
use crate::app::state::{App, Pane};
use crate::app::update::{text, tokens};

actions! {
    Explore {
        /// Show the effect of every operation side by side, or of the chosen one
        EFFECTS ["e"] "all operations" => toggle_effects;
        /// Show the rolling window: how every token stood at every boundary, and its history
        WINDOW ["W"] => |app| app.focus(Pane::Window);
        /// Show why the token under the cursor is masked or not
        WHY ["Y"] => |app| app.focus(Pane::Why);
    }
    Panel {
        /// Scroll up
        SCROLL_UP ["up"] "scroll" with [SCROLL_DOWN] => |app| scroll(app, app.view.focus, -1);
        /// Scroll down
        SCROLL_DOWN ["down"] => |app| scroll(app, app.view.focus, 1);
        /// Scroll one page up
        SCROLL_PAGE_UP ["pageup"] => |app| scroll(app, app.view.focus, -8);
        /// Scroll one page down
        SCROLL_PAGE_DOWN ["pagedown"] => |app| scroll(app, app.view.focus, 8);
        /// Select the token before
        PANEL_TOKEN_PREVIOUS ["left"] "token" with [PANEL_TOKEN_NEXT] => tokens::previous;
        /// Select the token after
        PANEL_TOKEN_NEXT ["right"] => tokens::next;
    }
}

fn toggle_effects(app: &mut App) {
    app.view.effects = !app.view.effects;
    app.raise(Pane::Effect);
}

/// Scrolls a pane, which need not have the focus.
pub fn scroll(app: &mut App, pane: Pane, lines: i64) {
    match pane {
        Pane::Text => text::scroll(app, lines),
        Pane::Tokens => tokens::scroll(app, lines),
        _ => {
            let at = &mut app.view.scroll[pane as usize];
            *at = at.saturating_add_signed(lines as isize).min(4096);
        }
    }
}
