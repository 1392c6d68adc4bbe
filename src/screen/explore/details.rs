//! What the panes beside the map show, and how far they are scrolled.

use crate::screen::actions::{Context, EXPLORER, actions};
use crate::screen::app::App;
use crate::screen::explore::{effect, tokens, why, window};
use crate::screen::pane::Pane;

/// Effect, why, window and cost: panes that show something about the token under the cursor.
pub const PANEL: Context = Context("Effect, why, window, cost");

actions! {
    EXPLORER {
        /// Show the effect of every operation side by side, or of the chosen one
        EFFECTS ["e"] "all operations" => toggle_effects;
        /// Show the rolling window: the state of every token at every boundary, and its history
        WINDOW ["W"] => |app| app.focus(&window::PANE);
        /// Show why the token under the cursor is masked or not
        WHY ["Y"] => |app| app.focus(&why::PANE);
    }
    PANEL {
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
        /// Select the first token
        PANEL_TOKEN_FIRST ["home"] => |app| tokens::select_token(app, 0);
        /// Select the last token: what comes after the whole text
        PANEL_TOKEN_LAST ["end"] => |app| tokens::select_token(app, usize::MAX);
    }
}

fn toggle_effects(app: &mut App) {
    app.view.effects = !app.view.effects;
    app.raise(&effect::PANE);
}

/// Scrolls a pane by lines; it need not have the focus.
pub fn scroll(app: &mut App, pane: &'static Pane, lines: i64) {
    let at = app.view.scroll.entry(pane.name).or_default();
    *at = at.saturating_add_signed(lines as isize).min(4096);
}
