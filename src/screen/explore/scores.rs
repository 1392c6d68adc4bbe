//! The distribution of the score: one dot per token where they fit, stacked by what became of them, with the line of τ.

use ratatui::layout::Rect;

use crate::mask::types::{MaskSettings, State};
use crate::screen::app::App;
use crate::screen::explore::explain;
use crate::screen::explore::mask::rates::{self, Histogram};
use crate::screen::explore::mask::{self, settings};
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart, empty_text};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

pub static PANE: Pane = Pane {
    name: "scores",
    title: "Scores",
    context: |_| mask::CONTEXT,
    subtitle,
    draw,
    explain: explain::of_scores,
    takes: mask::PANE.takes,
    typed: mask::PANE.typed,
    press,
    wheel: Some(|app, _, wheel| settings::turn(app, MaskSettings::threshold, wheel)),
    ..BLANK
};

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    match &app.results.scores {
        Some(s) => vec![TitlePart::new(s.value.formula.clone(), Role::Dim)],
        None => Vec::new(),
    }
}

/// The place on the axis at a column, 0..1.
pub fn place_at(area: Rect, x: u16) -> f64 {
    (f64::from(x.saturating_sub(area.x)) / f64::from(area.width.max(2) - 1)).min(1.0)
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let (Some(scores), Some(decision)) = (&app.results.scores, app.results.decision()) else {
        empty_text(c, app, area, "The score of every token appears here");
        return;
    };
    let lines = if area.height >= 3 { 1 } else { 0 };
    let plot = Rect { height: area.height - lines, ..area };
    let Some(h) = rates::histogram(&app.doc.mask, &scores.value.values, decision, plot.width as usize) else {
        let style = c.style(Role::Dim);
        c.label(area.x, area.y, "No token is eligible: nothing to score", style, area.width);
        return;
    };
    line(c, &h, plot);
    stacks(c, app, &h, plot);
    if lines > 0 {
        axis(c, app, &h, area);
    }
    if app.stale(scores) {
        c.fade(area);
    }
}

fn stacks(c: &mut Canvas, app: &App, h: &Histogram, plot: Rect) {
    let tallest = h.bins.iter().map(|b| b.positions.len()).max().unwrap_or(1).max(1);
    // So many tokens share a dot; with few tokens every one has its own.
    let per = tallest.div_ceil(plot.height.max(1) as usize).max(1);
    for (x, bin) in h.bins.iter().enumerate() {
        for (level, chunk) in bin.positions.chunks(per).enumerate() {
            let y = plot.bottom().saturating_sub(1 + level as u16);
            let (_, state) = chunk[0];
            let here = chunk.iter().any(|(i, _)| *i == app.view.key);
            let role = c.theme.state_role(state);
            let glyph = match (state, per > 1, c.ascii()) {
                (_, true, false) if here => "◉",
                (State::Masked, true, false) => "█",
                (State::Draw, true, false) => "▒",
                (_, true, false) => "░",
                (_, false, false) if here => "◉",
                (State::Masked, false, false) => "◆",
                (State::Draw, false, false) => "○",
                (_, false, false) => "●",
                (_, _, true) if here => "@",
                (State::Masked, _, true) => "#",
                (State::Draw, _, true) => "o",
                (_, _, true) => ".",
            };
            let style = if here { c.theme.bold(role) } else { c.style(role) };
            c.put(plot.x + x as u16, y, glyph, style);
        }
    }
}

fn column(plot: Rect, place: f64) -> u16 {
    plot.x + (place * f64::from(plot.width.max(1) - 1)).round() as u16
}

fn line(c: &mut Canvas, h: &Histogram, plot: Rect) {
    let Some(place) = h.line else { return };
    let style = c.style(Role::Accent);
    for y in plot.top()..plot.bottom() {
        c.put(column(plot, place), y, "╎", style);
    }
}

fn axis(c: &mut Canvas, app: &App, h: &Histogram, area: Rect) {
    let y = area.bottom() - 1;
    let dim = c.style(Role::Dim);
    let end = c.text(area.x, y, &number(h.low), dim, area.width);
    let high = if h.log { format!("log {}", number(h.high)) } else { number(h.high) };
    let start = c.right(end, area.right(), y, &high, dim);
    if let Some(place) = h.line {
        let label = format!("τ {:.3}", app.doc.mask.threshold);
        let w = label.chars().count() as u16;
        let x = column(area, place).saturating_sub(w / 2).max(end + 1);
        if x + w < start {
            let style = c.theme.bold(Role::Accent);
            c.text(x, y, &label, style, w);
        }
    }
}

/// Three significant digits.
fn number(v: f64) -> String {
    let a = v.abs();
    if a == 0.0 {
        "0".to_owned()
    } else if a < 0.001 {
        format!("{v:.1e}")
    } else if a < 1.0 {
        format!("{v:.3}")
    } else if a < 100.0 {
        format!("{v:.2}")
    } else {
        format!("{v:.0}")
    }
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let slide = |app: &mut App, area: Rect, (x, _): (u16, u16)| {
        app.act(|app| settings::set_line(app, place_at(area, x)));
    };
    app.hold();
    slide(app, area, (press.x, press.y));
    Some(Box::new(slide))
}

#[cfg(test)]
mod tests {

    use crate::screen::explore::scores;
    use crate::screen::tests::desk::Desk;

    #[test]
    fn the_line_of_tau_is_dragged_in_the_histogram() {
        let mut desk = Desk::new();
        let inner = desk.inner(&scores::PANE);
        desk.drag((inner.x + 3, inner.y), (inner.right() - 1, inner.y));
        assert!(desk.stage.last().mask.threshold > 0.95);
        desk.drag((inner.x + 3, inner.y), (inner.x, inner.y));
        assert!(desk.stage.last().mask.threshold < 0.05);
    }
}
