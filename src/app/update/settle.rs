//! Brings cursors and scroll positions back to where something is, after any change. What is not on screen keeps its
//! scroll position until it is.

use crate::app::mapview::{self, Room};
use crate::app::state::{App, Pane};
use crate::app::{overview, params, strip, wrap};

impl App {
    /// Brings cursors and scroll positions back to where something is, after any change.
    pub fn settle(&mut self) {
        let n = self.results.len();
        self.view.key = self.view.key.min(n.saturating_sub(1));
        self.view.query = self.view.query.min(n.saturating_sub(1));
        let g = self.geometry();
        if let Some(room) = g.text {
            self.settle_text(room);
        }
        if let Some((columns, height)) = g.strip {
            let rows = strip::rows(self.results.tokens(), columns);
            let row = rows.iter().position(|r| r.contains(&self.view.key)).unwrap_or(0);
            self.view.strip_top = scrolled(self.view.strip_top, row, rows.len(), height);
        }
        if let Some(room) = g.map {
            self.settle_map(room);
        }
        self.settle_overview(g.overview);
        self.settle_settings(g.mask_rows);
        self.settle_form(g.form_rows);
        let batch = self.train.run.as_ref().and_then(|r| r.batch.as_ref());
        let sequences = batch.map_or(0, |b| b.sequences.len());
        self.train.sequence = self.train.sequence.min(sequences.saturating_sub(1));
    }

    fn settle_map(&mut self, room: Room) {
        let v = mapview::layout(self.results.len(), room, self.view.zoom, self.view.origin);
        self.view.origin = (
            mapview::follow(&v.queries, v.queries.start, self.view.query),
            mapview::follow(&v.keys, v.keys.start, self.view.key),
        );
    }

    fn settle_overview(&mut self, room: Option<(usize, usize)>) {
        let Some(heads) = self.results.overview.as_ref().map(|o| o.value.len()) else { return };
        self.view.head = self.view.head.min(heads.saturating_sub(1));
        if let Some(room) = room {
            let grid = overview::grid(heads, self.model.as_ref().map_or(1, |m| m.n_head), room);
            let row = self.view.head / grid.per_row;
            self.view.head_top = scrolled(self.view.head_top, row, grid.rows, grid.visible);
        }
    }

    fn settle_settings(&mut self, height: Option<usize>) {
        let shown = params::shown(&self.doc);
        if !shown.contains(&self.view.item) {
            self.view.item = shown.first().copied().unwrap_or(params::PRESET);
        }
        if let Some(height) = height {
            let item = shown.iter().position(|p| *p == self.view.item).unwrap_or(0);
            self.view.item_top = scrolled(self.view.item_top, item, shown.len(), height);
        }
    }

    fn settle_form(&mut self, height: Option<usize>) {
        let shown = params::shown_of_run(&self.doc);
        let place = params::place_in_form(self.train.field);
        let here = shown.iter().position(|f| params::place_in_form(f) >= place);
        let here = here.unwrap_or(shown.len().saturating_sub(1));
        self.train.field = shown.get(here).copied().unwrap_or(self.train.field);
        if let Some(height) = height {
            self.train.field_top = scrolled(self.train.field_top, here, shown.len(), height);
        }
    }

    fn settle_text(&mut self, room: (usize, usize)) {
        let last = self.last_text_top(room);
        if self.view.focus != Pane::Text {
            // Reading, not typing: the caret need not be in view, but the text must be.
            self.view.text_top = self.view.text_top.min(last);
            return;
        }
        let editor = &self.doc.editor;
        let line = editor.line_of(editor.caret());
        let rows = wrap::rows(editor.line(line), room.0);
        let here = (line, wrap::locate(editor.line(line), &rows, editor.caret() - editor.line_start(line)).0);
        // The lowest top that still shows the caret; and where the pane grew, no empty rows below the text.
        let top = self.screen_above(here, room);
        self.view.text_top = self.view.text_top.clamp(top, here).min(last);
    }

    /// The top that shows the end of the text in the pane's last row.
    fn last_text_top(&self, room: (usize, usize)) -> (usize, usize) {
        let editor = &self.doc.editor;
        let line = editor.line_count() - 1;
        let rows = wrap::rows(editor.line(line), room.0).len();
        self.screen_above((line, rows.saturating_sub(1)), room)
    }

    /// The row that stands at the top where `row` (line, and row within it) stands at the bottom of the text pane.
    fn screen_above(&self, row: (usize, usize), (columns, height): (usize, usize)) -> (usize, usize) {
        let (mut top, mut left) = (row, height.max(1) - 1);
        while left > 0 {
            if top.1 > 0 {
                let step = top.1.min(left);
                top.1 -= step;
                left -= step;
            } else if top.0 > 0 {
                top.0 -= 1;
                top.1 = wrap::rows(self.doc.editor.line(top.0), columns).len() - 1;
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
