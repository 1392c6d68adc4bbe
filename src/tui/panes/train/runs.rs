//! The runs on disk: how each ended, how far it came, its losses.

use ratatui::layout::Rect;

use crate::app::state::{App, Pane};
use crate::app::train::runs::name;
use crate::app::train::update::course::RUN;
use crate::support::units::memory;
use crate::tui::canvas::Canvas;
use crate::tui::panes::Piece;
use crate::tui::theme::Role;

pub fn subtitle(app: &App) -> Vec<Piece> {
    let n = app.train.runs.list.len();
    if n == 0 { Vec::new() } else { vec![Piece::new(n.to_string(), Role::Dim)] }
}

fn room(area: Rect) -> usize {
    area.height.saturating_sub(3).max(1) as usize
}

fn top(app: &App, area: Rect) -> usize {
    (app.train.runs.selected + 1).saturating_sub(room(area))
}

/// The run at a line of the screen.
pub fn row_at(app: &App, area: Rect, y: u16) -> Option<usize> {
    let line = y.checked_sub(area.y + 1)? as usize;
    let index = top(app, area) + line;
    (line < room(area) && index < app.train.runs.list.len()).then_some(index)
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let runs = &app.train.runs;
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    if runs.list.is_empty() {
        let text = if runs.known {
            let key = app.key_label(&RUN);
            format!("No runs yet in {}\n{key} plans the first", app.options.runs.display())
        } else {
            "Reading the folder of runs".to_owned()
        };
        c.paragraph(area, &text, dim);
        return;
    }
    let wide = area.width >= 60;
    // Name, state, steps, training loss, validation loss, size.
    let numbers: u16 = if wide { 45 } else { 19 };
    let name_w = area.width.saturating_sub(numbers + 3);
    let at = area.x + 3 + name_w;
    let heading = if wide { "state        steps    loss   valid      size" } else { "state      valid" };
    c.label(area.x + 3, area.y, "run", dim, name_w);
    c.label(at + 1, area.y, heading, dim, numbers);
    for (i, run) in runs.list.iter().enumerate().skip(top(app, area)).take(room(area)) {
        let y = area.y + 1 + (i - top(app, area)) as u16;
        let line = Rect::new(area.x, y, area.width, 1);
        let current = i == runs.selected;
        if current && app.view.focus == Pane::Runs {
            let style = c.theme.selected();
            c.restyle(line, style);
        }
        let place = runs.marked.iter().position(|m| *m == run.path).map(|p| (p % 4 + 1).to_string());
        let bare = |s: ratatui::style::Style| ratatui::style::Style { bg: None, ..s };
        let (accent, text, dim) = (bare(c.theme.bold(Role::Accent)), bare(strong), bare(dim));
        c.put(area.x, y, if current { "▸" } else { " " }, accent);
        c.text(area.x + 1, y, place.as_deref().unwrap_or(" "), accent, 1);
        c.label(area.x + 3, y, &name(&run.path), text, name_w);
        let live = app.train.busy() && app.train.run.as_ref().is_some_and(|r| r.spec.out == run.path);
        let state = if live { "running" } else { run.state() };
        let number = |x: Option<f64>| x.map_or("–".to_owned(), |v| format!("{v:.4}"));
        c.label(at + 1, y, state, dim, 11);
        if wide {
            c.right(at + 12, at + 19, y, &run.steps.to_string(), dim);
            c.right(at + 19, at + 27, y, &number(run.train_loss), dim);
            c.right(at + 27, at + 35, y, &number(run.validation_loss), text);
            c.right(at + 35, at + 45, y, &memory(run.bytes as f64), dim);
        } else {
            c.right(at + 11, at + 18, y, &number(run.validation_loss), text);
        }
    }
    if let Some(run) = runs.current() {
        let y = area.bottom().saturating_sub(1);
        let m = &run.spec.masking;
        let text = format!(
            "{} · {} · {} {} · {} steps kept",
            run.spec.model,
            run.spec.trained.name(),
            m.arm,
            m.op,
            run.checkpoints.len()
        );
        c.label(area.x, y, &text, dim, area.width);
    }
}
