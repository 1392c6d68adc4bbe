//! The batch of the last step: every token with its mask, its draw, why, and what predicting the next one cost.

use ratatui::layout::Rect;

use crate::mask::types::State;
use crate::screen::app::App;
use crate::screen::pane::{BLANK, Pane, TitlePart};
use crate::screen::train::empty::empty;
use crate::screen::train::feed::FEED;
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::width;

pub static PANE: Pane = Pane {
    name: "batch",
    title: "Batch",
    screen: Screen::Train,
    context: |_| FEED,
    subtitle,
    draw,
    settle,
    ..BLANK
};

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let batch = app.train.run.as_ref().and_then(|r| r.batch.as_ref());
    let piece = |b: &crate::train::report::BatchView| {
        format!("step {}, sequence {} of {}", b.step, app.train.sequence + 1, b.sequences.len())
    };
    batch.map(|b| TitlePart::new(piece(b), Role::Dim)).into_iter().collect()
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let batch = app.train.run.as_ref().and_then(|r| r.batch.as_ref());
    let Some(tokens) = batch.and_then(|b| b.sequences.get(app.train.sequence)) else {
        return empty(c, app, area, "The tokens of the last step, with masks, draws and losses");
    };
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    let wide = area.width >= 70;
    let heading = if wide {
        "    token              score   draw    loss  why"
    } else {
        "    token              score   draw    loss"
    };
    c.label(area.x, area.y, heading, dim, area.width);
    let rows = area.height.saturating_sub(1) as usize;
    let top = app.view.scrolled(&PANE).min(tokens.len().saturating_sub(rows));
    for (i, t) in tokens.iter().skip(top).take(rows).enumerate() {
        let y = area.y + 1 + i as u16;
        let role = c.theme.state_role(t.state);
        let (glyph, style) = (c.theme.state_glyph(t.state, t.op), c.style(role));
        c.put(area.x + 1, y, glyph, style);
        let bold = if t.state == State::Masked { c.theme.bold(role) } else { strong };
        c.label(area.x + 4, y, &t.text, bold, 17);
        let number = |x: Option<f64>| x.map_or("–".to_owned(), |v| format!("{v:.3}"));
        c.right(area.x + 21, area.x + 28, y, &number(t.score), dim);
        c.right(area.x + 28, area.x + 35, y, &number(Some(t.draw)), dim);
        let loss = t.loss.map_or(dim, |l| c.style(if l > 6.0 { Role::Bad } else { Role::Text }));
        c.right(area.x + 35, area.x + 43, y, &number(t.loss), loss);
        if wide {
            c.label(area.x + 45, y, &t.why, style, area.width.saturating_sub(45));
        } else if !t.why.is_empty() && area.width > 46 {
            let room = area.width - 45;
            let text = if width(&t.why) > room as usize { t.state.name() } else { &t.why };
            c.label(area.x + 45, y, text, style, room);
        }
    }
}

fn settle(app: &mut App, _: Option<Rect>) {
    let batch = app.train.run.as_ref().and_then(|run| run.batch.as_ref());
    let sequences = batch.map_or(0, |batch| batch.sequences.len());
    app.train.sequence = app.train.sequence.min(sequences.saturating_sub(1));
}
