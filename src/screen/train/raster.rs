//! The mask raster: rows are passes over one sequence, the newest below; columns are positions. Where a row is masked
//! the operation shows by glyph and colour, its brightness is the score. A static arm shows identical rows.

use ratatui::layout::Rect;

use crate::mask::types::State;
use crate::screen::app::App;
use crate::screen::pane::{BLANK, Pane, TitlePart};
use crate::screen::train::empty::empty;
use crate::screen::train::feed::{self, FEED};
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::colours::{mix, step};
use crate::screen::widgets::theme::Role;
use crate::train::raster::RasterStats;
use crate::train::report::RasterRow;

pub static PANE: Pane = Pane {
    name: "raster",
    title: "Raster",
    screen: Screen::Train,
    context: |_| FEED,
    actions: &[feed::ACTIONS],
    subtitle,
    draw,
    ..BLANK
};

/// Columns of a row's step.
const STEP: u16 = 6;

/// Rows of the sequence that was seen last.
fn rows(app: &App) -> Vec<&RasterRow> {
    let Some(run) = &app.train.run else { return Vec::new() };
    let Some(sequence) = run.raster.back().map(|r| r.sequence) else { return Vec::new() };
    run.raster.iter().filter(|r| r.sequence == sequence).collect()
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let rows = rows(app);
    let Some(last) = rows.last() else { return Vec::new() };
    vec![TitlePart::new(format!("sequence {}, {} passes", last.sequence, rows.len()), Role::Dim)]
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let rows = rows(app);
    if rows.is_empty() {
        return empty(c, app, area, "Masks of every pass over one sequence, position by position");
    }
    let numbers = match app.train.run.as_ref().and_then(|r| r.raster_stats.as_ref()) {
        Some(s) => {
            let lines = stats(c, s, area);
            lines + legend(c, Rect { y: area.y + lines, height: area.height - lines, ..area })
        }
        None => 0,
    };
    let area = Rect { y: area.y + numbers, height: area.height - numbers, ..area };
    let n = rows.iter().map(|r| r.ops.len()).max().unwrap_or(0);
    let columns = area.width.saturating_sub(STEP).max(1) as usize;
    let per = n.div_ceil(columns).max(1);
    let skip = rows.len().saturating_sub(area.height as usize + app.view.scrolled(&PANE));
    let dim = c.style(Role::Dim);
    for (i, row) in rows.iter().skip(skip).take(area.height as usize).enumerate() {
        let y = area.y + i as u16;
        c.right(area.x, area.x + STEP - 1, y, &row.step.to_string(), dim);
        for x in 0..n.div_ceil(per) {
            cell(c, row, (x * per)..((x + 1) * per).min(n), (area.x + STEP + x as u16, y));
        }
    }
}

/// What the numbers mean, where the rows leave room for it; returns the lines used.
fn legend(c: &mut Canvas, area: Rect) -> u16 {
    if area.height < 14 {
        return 0;
    }
    let text = "coverage: masked in at least one pass; overlap: shared by successive masks, 1 is the same mask; \
                patterns: different masks";
    let style = c.style(Role::Faint);
    c.paragraph(area, text, style)
}

/// A cell stands for one position or more: the masked one with the strongest score wins, so that none vanishes.
fn cell(c: &mut Canvas, row: &RasterRow, positions: std::ops::Range<usize>, (x, y): (u16, u16)) {
    let score = |i: &usize| row.scores.get(*i).copied().unwrap_or(0);
    let masked = positions.clone().filter(|i| row.ops.get(*i).copied().flatten().is_some()).max_by_key(score);
    let strongest = positions.max_by_key(score).map_or(0, |i| score(&i));
    let shade = f64::from(masked.map_or(strongest, |i| score(&i))) / 255.0;
    match masked.and_then(|i| row.ops.get(i).copied().flatten()) {
        Some(op) => {
            let background = c.theme.on(c.theme.op(op, 0.35 + 0.65 * shade));
            let ink = c.theme.background();
            let style = if c.theme.rich() {
                background.fg(c.theme.colour(ink))
            } else if shade > 0.5 {
                c.theme.bold(Role::Masked)
            } else {
                c.style(Role::Masked)
            };
            let glyph = c.theme.state_glyph(State::Masked, Some(op));
            c.put(x, y, glyph, style);
        }
        None if c.theme.rich() => {
            let (from, to) = (c.theme.background(), c.theme.ramps.tint[step(shade)]);
            let background = c.theme.on(mix(from, to, 0.8 * shade));
            c.put(x, y, " ", background);
        }
        None => {
            let style = c.style(Role::Faint);
            let glyph = c.theme.shade(shade, false);
            c.put(x, y, if shade > 0.5 { glyph } else { " " }, style);
        }
    }
}

/// Numbers of the passes together; returns the lines used.
fn stats(c: &mut Canvas, s: &RasterStats, area: Rect) -> u16 {
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    let coverage = format!("{:.1} %", 100.0 * s.coverage);
    let overlap = s.overlap.map_or("–".to_owned(), |o| format!("{o:.2}"));
    let patterns = format!("{} of {}", s.distinct, s.passes);
    let rate = format!("{:.1} %", 100.0 * s.rate);
    let first = [("coverage ", dim), (coverage.as_str(), strong), ("  masked ", dim), (&rate, strong)];
    c.spans(area.x, area.y, &first, area.right());
    let second = [("overlap ", dim), (overlap.as_str(), strong), ("  patterns ", dim), (&patterns, strong)];
    if area.height < 2 {
        return 1;
    }
    c.spans(area.x, area.y + 1, &second, area.right());
    // Below that the rows need the room more than the classes do.
    if area.height < 8 {
        return 2;
    }
    let mut x = area.x;
    for class in &s.classes {
        let Some(share) = class.share() else { continue };
        // The last column of a class is a space, so that the next one stands apart.
        let name = format!("{} ", class.class);
        let value = format!("{:.0} %  ", 100.0 * share);
        if x + (name.len() + value.len()) as u16 > area.right() + 2 {
            break;
        }
        x = c.spans(x, area.y + 2, &[(&name, dim), (&value, strong)], area.right());
    }
    3
}
