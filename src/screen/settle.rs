//! Brings cursors and scroll positions back to where something is, after any change. What is not on screen keeps its
//! scroll position until it is.

use crate::screen::app::App;
use crate::screen::pane;

impl App {
    /// Has every pane bring its cursor and scroll position back to where something is.
    pub fn settle(&mut self) {
        let layout = self.layout();
        for pane in pane::all() {
            (pane.settle)(self, layout.panel(pane).map(|panel| panel.inner));
        }
    }
}

/// Scroll position nearest to `top` that shows row `row` of `rows` in `height` rows.
pub fn scrolled(top: usize, row: usize, rows: usize, height: usize) -> usize {
    let height = height.max(1);
    let top = top.min(rows.saturating_sub(height));
    top.clamp((row + 1).saturating_sub(height).min(row), row)
}
