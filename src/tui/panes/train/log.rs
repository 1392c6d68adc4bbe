//! Samples of text as the model learns, and what the run had to say; the newest first.

use ratatui::layout::Rect;

use super::empty;
use crate::app::state::{App, Pane};
use crate::app::train::state::Grade;
use crate::app::train::update::results::RUN_SAMPLE;
use crate::tui::canvas::Canvas;
use crate::tui::panes::Piece;
use crate::tui::theme::Role;

pub fn samples_subtitle(app: &App) -> Vec<Piece> {
    let n = app.train.run.as_ref().map_or(0, |r| r.samples.len());
    if n == 0 { Vec::new() } else { vec![Piece::new(n.to_string(), Role::Dim)] }
}

pub fn samples(c: &mut Canvas, app: &App, area: Rect) {
    let Some(run) = app.train.run.as_ref().filter(|r| !r.samples.is_empty()) else {
        let key = app.key_label(&RUN_SAMPLE);
        return empty(c, app, area, &format!("Texts that the model writes as it learns; {key} asks for one"));
    };
    let (head, prompt, text) = (c.theme.bold(Role::Accent), c.style(Role::Dim), c.style(Role::Text));
    let mut y = area.y;
    for sample in
        run.samples.iter().rev().skip(app.view.scroll[Pane::Samples as usize].min(run.samples.len() - 1))
    {
        if y >= area.bottom() {
            return;
        }
        let x = c.text(area.x, y, &format!("step {}  ", sample.step), head, area.width);
        c.label(x, y, &sample.prompt, prompt, area.right().saturating_sub(x));
        y += 1;
        let rest = Rect { y, height: area.bottom().saturating_sub(y), ..area };
        // The prompt stands in the heading already.
        let body = sample.text.strip_prefix(&sample.prompt).unwrap_or(&sample.text).replace('\n', " ");
        y += c.paragraph(rest, body.trim(), text) + 1;
    }
}

pub fn log_subtitle(app: &App) -> Vec<Piece> {
    let warnings = app
        .train
        .run
        .as_ref()
        .map_or(0, |r| r.log.iter().filter(|l| matches!(l.grade, Grade::Warning | Grade::Bad)).count());
    match warnings {
        0 => Vec::new(),
        1 => vec![Piece::new("1 warning", Role::Warn)],
        n => vec![Piece::new(format!("{n} warnings"), Role::Warn)],
    }
}

pub fn log(c: &mut Canvas, app: &App, area: Rect) {
    let Some(run) = app.train.run.as_ref().filter(|r| !r.log.is_empty()) else {
        return empty(c, app, area, "What the run says: states, checkpoints, changes by hand, warnings");
    };
    let dim = c.style(Role::Dim);
    let mut y = area.y;
    for line in run.log.iter().rev().skip(app.view.scroll[Pane::Log as usize].min(run.log.len() - 1)) {
        if y >= area.bottom() {
            return;
        }
        let (role, sign) = match line.grade {
            Grade::Said => (Role::Text, " "),
            Grade::Good => (Role::Good, "+"),
            Grade::Warning => (Role::Warn, "!"),
            Grade::Bad => (Role::Bad, "✗"),
        };
        let style = c.style(role);
        c.right(area.x, area.x + 6, y, &line.step.to_string(), dim);
        c.put(area.x + 7, y, sign, style);
        let rest = Rect::new(area.x + 9, y, area.width.saturating_sub(9), area.bottom() - y);
        y += c.paragraph(rest, &line.text, style).max(1);
    }
}
