//! Brings cursors and scroll positions back to where something is, after any change.

use crate::app::params;
use crate::app::state::{App, Pane};
use crate::app::{mapview, overview, strip, wrap};

impl App {
    /// Brings cursors and scroll positions back to where something is, after any change.
    pub fn settle(&mut self) {
        let n = self.results.len();
        self.view.key = self.view.key.min(n.saturating_sub(1));
        self.view.query = self.view.query.min(n.saturating_sub(1));
        self.settle_text();
        let g = self.geometry;
        let rows = strip::rows(self.results.tokens(), g.strip_columns);
        let row = rows.iter().position(|r| r.contains(&self.view.key)).unwrap_or(0);
        self.view.strip_top = scrolled(self.view.strip_top, row, rows.len(), g.strip_rows);
        self.settle_map();
        let shown = params::shown(&self.doc);
        if !shown.contains(&self.view.item) {
            self.view.item = shown.first().copied().unwrap_or(params::PRESET);
        }
        let item = shown.iter().position(|p| *p == self.view.item).unwrap_or(0);
        self.view.item_top = scrolled(self.view.item_top, item, shown.len(), g.mask_rows);
        let shown = params::shown_of_run(&self.doc);
        let place = params::place_in_form(self.train.field);
        let here = shown.iter().position(|f| params::place_in_form(f) >= place);
        let here = here.unwrap_or(shown.len().saturating_sub(1));
        self.train.field = shown.get(here).copied().unwrap_or(self.train.field);
        self.train.field_top = scrolled(self.train.field_top, here, shown.len(), g.form_rows);
        let sequences =
            self.train.run.as_ref().and_then(|r| r.batch.as_ref()).map_or(0, |b| b.sequences.len());
        self.train.sequence = self.train.sequence.min(sequences.saturating_sub(1));
    }

    fn settle_map(&mut self) {
        let n = self.results.len();
        let v = mapview::layout(n, self.geometry.map, self.view.zoom, self.view.origin);
        let origin = (v.queries.start, v.keys.start);
        let followed = (
            mapview::follow(&v.queries, origin.0, self.view.query),
            mapview::follow(&v.keys, origin.1, self.view.key),
        );
        self.view.origin = followed;
        if let Some(overview) = &self.results.overview {
            let heads = overview.value.len();
            self.view.head = self.view.head.min(heads.saturating_sub(1));
            let natural = self.model.as_ref().map_or(1, |m| m.n_head);
            let grid = overview::grid(heads, natural, self.geometry.overview);
            self.view.head_top =
                scrolled(self.view.head_top, self.view.head / grid.per_row, grid.rows, grid.visible);
        }
    }

    fn settle_text(&mut self) {
        if self.view.focus != Pane::Text {
            // Reading, not typing: the caret need not be in view, but the text must be.
            self.view.text_top = self.view.text_top.min(self.last_text_top());
            return;
        }
        let columns = self.geometry.text_columns;
        let editor = &self.doc.editor;
        let line = editor.line_of(editor.caret());
        let rows = wrap::rows(editor.line(line), columns);
        let here = (line, wrap::locate(editor.line(line), &rows, editor.caret() - editor.line_start(line)).0);
        // The lowest top that still shows the caret; and where the pane grew, no empty rows below the text.
        let top = self.screen_above(here);
        self.view.text_top = self.view.text_top.clamp(top, here).min(self.last_text_top());
    }

    /// The top that shows the end of the text in the pane's last row.
    fn last_text_top(&self) -> (usize, usize) {
        let editor = &self.doc.editor;
        let line = editor.line_count() - 1;
        let rows = wrap::rows(editor.line(line), self.geometry.text_columns).len();
        self.screen_above((line, rows.saturating_sub(1)))
    }

    /// The row that stands at the top where `row` (line, and row within it) stands at the bottom of the text pane.
    fn screen_above(&self, row: (usize, usize)) -> (usize, usize) {
        let (mut top, mut left) = (row, self.geometry.text_rows.max(1) - 1);
        while left > 0 {
            if top.1 > 0 {
                let step = top.1.min(left);
                top.1 -= step;
                left -= step;
            } else if top.0 > 0 {
                top.0 -= 1;
                top.1 = wrap::rows(self.doc.editor.line(top.0), self.geometry.text_columns).len() - 1;
                left -= 1;
            } else {
                break;
            }
        }
        top
    }
}

/// Scroll position nearest to `top` that shows row `row` of `rows` in `height` rows.
fn scrolled(top: usize, row: usize, rows: usize, height: usize) -> usize {
    let height = height.max(1);
    let top = top.min(rows.saturating_sub(height));
    top.clamp((row + 1).saturating_sub(height).min(row), row)
}
