//! What a run hands out as it goes: raster, batch, samples, log. Scrolled, and paged by sequence.

use crate::screen::actions::{Context, actions};
use crate::screen::app::App;
use crate::screen::explore::details::scroll;
use crate::screen::train::batch;

/// Raster, batch, samples and log.
pub const FEED: Context = Context("Raster, batch, samples, log");

actions! {
    FEED {
        /// Scroll up
        FEED_UP ["up"] "scroll" with [FEED_DOWN] => |app| scroll(app, app.view.focus, -1);
        /// Scroll down
        FEED_DOWN ["down"] => |app| scroll(app, app.view.focus, 1);
        /// Scroll one page up
        FEED_PAGE_UP ["pageup"] => |app| scroll(app, app.view.focus, -8);
        /// Scroll one page down
        FEED_PAGE_DOWN ["pagedown"] => |app| scroll(app, app.view.focus, 8);
        /// Show the sequence before
        FEED_PREVIOUS ["left"] "sequence" with [FEED_NEXT] if |app| app.view.focus == &batch::PANE => previous;
        /// Show the next sequence
        FEED_NEXT ["right"] => |app| app.train.sequence += 1;
    }
}

fn previous(app: &mut App) {
    app.train.sequence = app.train.sequence.saturating_sub(1);
}
