//! The list of interventions: two lines each, with the effect and what random ones of its kind do.

use ratatui::layout::Rect;

use super::{INTERVENTION_ADD, INTERVENTIONS, PANE, PATCH_GRID, effect, report, stack};
use crate::engine::types::{ControlRange, InterventionEffect};
use crate::screen::app::App;
use crate::screen::explore::interventions::{BLOCK_EDGE, HEAD_OUT};
use crate::screen::pane::empty_text;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// Lines of one intervention.
const LINES: u16 = 2;

/// Lines above and below the list.
fn around(area: Rect) -> (u16, u16) {
    if area.height >= 6 { (1, 1) } else { (0, 0) }
}

/// How many interventions fit.
pub(super) fn room(area: Rect) -> usize {
    let (above, below) = around(area);
    (area.height.saturating_sub(above + below) / LINES).max(1) as usize
}

/// The intervention at a line.
pub(super) fn item_at(app: &App, area: Rect, y: u16) -> Option<usize> {
    let line = y.checked_sub(area.y + around(area).0)? / LINES;
    let at = app.view.intervention_top + line as usize;
    (at < app.doc.interventions.list.len() && (line as usize) < room(area)).then_some(at)
}

pub(super) fn draw(c: &mut Canvas, app: &App, area: Rect) {
    if app.results.is_empty() {
        return empty_text(c, app, area, "What interventions do appears here");
    }
    if app.doc.interventions.list.is_empty() {
        return nothing(c, app, area);
    }
    let (above, below) = around(area);
    let dim = c.style(Role::Dim);
    if above > 0 {
        c.label(area.x, area.y, &measure(app), dim, area.width);
    }
    let (top, room) = (app.view.intervention_top, room(area));
    for at in top..(top + room).min(app.doc.interventions.list.len()) {
        let y = area.y + above + (at - top) as u16 * LINES;
        item(c, app, at, Rect { y, height: LINES.min(area.bottom().saturating_sub(y)), ..area });
    }
    if below > 0 {
        together(c, app, Rect { y: area.bottom() - 1, height: 1, ..area });
    }
    if app.waiting() {
        c.fade(area);
    }
}

/// Nothing is in the stack: how something gets there.
fn nothing(c: &mut Canvas, app: &App, area: Rect) {
    let style = c.style(Role::Dim);
    c.paragraph(area, &how_to_begin(app), style);
}

fn how_to_begin(app: &App) -> String {
    let key = |action| app.key_label(action);
    format!(
        "Nothing is changed yet. On the map {} or a double click blocks the cell under the crosshair; {} takes out the head \
         shown; {} {} lists all interventions; {} patches every layer and position from another text",
        key(&BLOCK_EDGE),
        key(&HEAD_OUT),
        key(&INTERVENTIONS),
        key(&INTERVENTION_ADD),
        key(&PATCH_GRID),
    )
}

/// What effects are effects on.
fn measure(app: &App) -> String {
    match report(app).filter(|r| !r.measure.is_empty()) {
        Some(report) => format!("Δ {} after {}", report.measure, report.position),
        None => "measuring…".to_owned(),
    }
}

fn item(c: &mut Canvas, app: &App, at: usize, area: Rect) {
    let item = app.doc.interventions.list[at];
    let here = at == app.view.intervention && app.view.focus == &PANE;
    if here {
        let style = c.theme.selected();
        c.restyle(Rect { height: 1, ..area }, style);
    }
    let bare = |style: ratatui::style::Style| ratatui::style::Style { bg: None, ..style };
    let mark = match (item.on, c.ascii()) {
        (true, true) => "[x]",
        (false, true) => "[ ]",
        (true, false) => " ● ",
        (false, false) => " ○ ",
    };
    let role = if item.on { Role::Strong } else { Role::Faint };
    let (name, dim) = (bare(c.style(role)), bare(c.style(Role::Dim)));
    let known = effect(app, at);
    let kl = known.filter(|e| e.kl.is_finite()).map(|e| format!("KL {:.4}", e.kl)).unwrap_or_default();
    let stands_out = known.and_then(InterventionEffect::stands_out) == Some(true);
    let value = bare(if stands_out { c.theme.bold(Role::Warn) } else { c.style(Role::Text) });
    let x = c.text(area.x, area.y, mark, name, 4);
    let stop = c.right(x, area.right(), area.y, &kl, value);
    c.label(x, area.y, &item.what.to_string(), name, stop.saturating_sub(x + 1));
    if area.height > 1 {
        let told = known.map_or_else(|| "waiting to be measured".to_owned(), second_line);
        c.label(area.x + 3, area.y + 1, &told, dim, area.width.saturating_sub(3));
    }
}

/// Change, controls and verdict, or what is wrong.
fn second_line(e: &InterventionEffect) -> String {
    if let Some((problem, _)) = &e.problem {
        return problem.clone();
    }
    if let Some(note) = &e.note {
        return note.clone();
    }
    if !e.kl.is_finite() {
        return "waiting to be measured".to_owned();
    }
    let change = format!("Δ {:+.3}", e.change).replace('-', "−");
    match (e.controls, e.stands_out()) {
        (Some([kl, _]), Some(out)) => {
            // The verdict first: a narrow pane cuts the end.
            format!("{} {change} {}", if out { "stands out" } else { "like random" }, bound(&kl))
        }
        (Some([kl, _]), None) => format!("{change}  {} so far, {} of {}", bound(&kl), e.done, e.of),
        (None, _) if e.of > 0 => format!("{change}  random 0 of {}", e.of),
        (None, _) => change,
    }
}

/// What random ones stay below.
fn bound(range: &ControlRange) -> String {
    format!("{:.0} % ≤ {:.4}", 100.0 * range.covers, range.high)
}

/// All that are on, at once.
fn together(c: &mut Canvas, app: &App, area: Rect) {
    let (dim, text, warn) = (c.style(Role::Dim), c.theme.bold(Role::Text), c.style(Role::Warn));
    let Some(report) = report(app) else { return };
    if let Some((problem, _)) = &report.problem {
        c.label(area.x, area.y, problem, warn, area.width);
        return;
    }
    let Some((kl, change, next)) = &report.together else { return };
    let numbers = format!("KL {kl:.4} Δ {change:+.3}").replace('-', "−");
    let next = next.first().map_or(String::new(), |n| format!(" → “{}” {:.0} %", n.display, 100.0 * n.p));
    c.spans(area.x, area.y, &[("all on: ", dim), (&numbers, text), (&next, dim)], area.right());
}

/// The intervention under the cursor, with its numbers.
pub(super) fn explain(app: &App) -> String {
    let Some(item) = app.doc.interventions.list.get(app.view.intervention) else { return how_to_begin(app) };
    let mut out =
        format!("{}{}.", stack::words(app, &item.what), if item.on { "" } else { " (switched off)" });
    let Some(e) = effect(app, app.view.intervention) else { return out };
    if let Some((problem, hint)) = &e.problem {
        let hint = hint.as_ref().map_or(String::new(), |hint| format!(": {hint}"));
        return format!("{out} It cannot be carried out: {problem}{hint}.");
    }
    if e.kl.is_finite() {
        let about = measure(app);
        out.push_str(&format!(
            " Alone it moves the prediction by KL {:.4} nats; {about}: {:+.4}.",
            e.kl, e.change
        ));
    }
    if let Some([kl, change]) = e.controls {
        out.push_str(&format!(
            " Of {} random interventions of its kind half stay at or below KL {:.4} (Δ {:.4} either way), and a further one stays \
             at or below {:.4} (Δ {:.4}) in {:.0} % of cases.",
            kl.n,
            kl.median,
            change.median,
            kl.high,
            change.high,
            100.0 * kl.covers
        ));
    }
    if let Some(note) = &e.note {
        out.push_str(&format!(" It has {note}."));
    }
    out
}
