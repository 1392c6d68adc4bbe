//! What an empty pane of the Train screen says.

use ratatui::layout::Rect;

use crate::screen::app::App;
use crate::screen::train::run::course::RUN;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// What an empty pane says: what will stand here, and the key that brings it.
pub fn empty(c: &mut Canvas, app: &App, area: Rect, what: &str) {
    let key = app.key_label(&RUN);
    let text = match app.train.state() {
        None => format!("{what}\n{key} plans a run"),
        Some(state) if state.is_over() => format!("{what}\nThis run ended without any data for this pane"),
        Some(_) => format!("{what}\nNo data yet"),
    };
    let style = c.style(Role::Dim);
    let area = Rect { y: area.y + area.height / 4, height: area.height - area.height / 4, ..area };
    c.paragraph(area, &text, style);
}
