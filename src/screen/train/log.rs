//! Samples of text as the model learns, and what the run had to say; the newest first.

use ratatui::layout::Rect;

use crate::screen::app::App;
use crate::screen::pane::{BLANK, Pane, TitlePart};
use crate::screen::train::empty::empty;
use crate::screen::train::feed::FEED;
use crate::screen::train::runs::RUN_SAMPLE;
use crate::screen::train::state::Grade;
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

pub static SAMPLES: Pane = Pane {
    name: "samples",
    title: "Samples",
    screen: Screen::Train,
    context: |_| FEED,
    subtitle: samples_subtitle,
    draw: samples,
    ..BLANK
};

pub static LOG: Pane = Pane {
    name: "log",
    title: "Log",
    screen: Screen::Train,
    context: |_| FEED,
    subtitle: log_subtitle,
    draw: log,
    ..BLANK
};

pub fn samples_subtitle(app: &App) -> Vec<TitlePart> {
    let n = app.train.run.as_ref().map_or(0, |r| r.samples.len());
    if n == 0 { Vec::new() } else { vec![TitlePart::new(n.to_string(), Role::Dim)] }
}

pub fn samples(c: &mut Canvas, app: &App, area: Rect) {
    let Some(run) = app.train.run.as_ref().filter(|r| !r.samples.is_empty()) else {
        let key = app.key_label(&RUN_SAMPLE);
        return empty(
            c,
            app,
            area,
            &format!("Texts that the model writes as it learns; press {key} for a sample now"),
        );
    };
    let (head, prompt, text) = (c.theme.bold(Role::Accent), c.style(Role::Dim), c.style(Role::Text));
    let mut y = area.y;
    for sample in run.samples.iter().rev().skip(app.view.scrolled(&SAMPLES).min(run.samples.len() - 1)) {
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

pub fn log_subtitle(app: &App) -> Vec<TitlePart> {
    let warnings = app
        .train
        .run
        .as_ref()
        .map_or(0, |r| r.log.iter().filter(|l| matches!(l.grade, Grade::Warning | Grade::Bad)).count());
    match warnings {
        0 => Vec::new(),
        1 => vec![TitlePart::new("1 warning", Role::Warn)],
        n => vec![TitlePart::new(format!("{n} warnings"), Role::Warn)],
    }
}

pub fn log(c: &mut Canvas, app: &App, area: Rect) {
    let Some(run) = app.train.run.as_ref().filter(|r| !r.log.is_empty()) else {
        return empty(c, app, area, "What the run says: states, checkpoints, changes by hand, warnings");
    };
    let dim = c.style(Role::Dim);
    let mut y = area.y;
    for line in run.log.iter().rev().skip(app.view.scrolled(&LOG).min(run.log.len() - 1)) {
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
