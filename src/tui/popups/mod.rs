//! What lies over the panes: help, tour, lists, error cards. Pure.

pub mod mix;

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::actions::{self, Action, Context};
use crate::app::lists;
use crate::app::params;
use crate::app::state::{App, Card, List, Popup};
use crate::app::tour::STOPS;
use crate::app::train::state::Question;
use crate::app::train::update::course;
use crate::app::update::{general, popups};
use crate::support::visible::width;
use crate::tui::canvas::Canvas;
use crate::tui::frames;
use crate::tui::layout::Layout;
use crate::tui::panes::bar::spinner;
use crate::tui::theme::Role;

/// Draws the open popup, if any, and the error cards.
pub fn draw(c: &mut Canvas, app: &App, layout: &Layout) {
    cards(c, app, layout);
    let (Some(popup), Some(area)) = (&app.popup, layout.popup) else { return };
    match popup {
        Popup::Help { scroll } => help(c, app, area, *scroll),
        Popup::Tour { step } => tour(c, app, layout, area, *step),
        Popup::Palette(l) => list(c, app, area, l, "Commands", "type to find an action"),
        Popup::Models(l) => models(c, app, area, l),
        Popup::Mix { row } => mix::draw(c, app, area, *row),
        Popup::Ask(question) => ask(c, app, area, question),
        Popup::Picker { path, list: l } => {
            let row = params::row(path);
            list(c, app, area, l, row.name(), row.doc);
        }
    }
}

/// A question, what either answer does, and the keys.
fn ask(c: &mut Canvas, app: &App, area: Rect, question: &Question) {
    let (title, text, yes, no) = match question {
        Question::Kill => (
            "Kill the run",
            "Nothing more is saved: what was learned since the last checkpoint is lost".to_owned(),
            "kill it",
            "let it go on",
        ),
        Question::Quit => (
            "Leave",
            "A run goes on. It finishes its step, saves, and then the program ends".to_owned(),
            "stop, save, leave",
            "stay",
        ),
        Question::Delete(run) => (
            "Delete a run",
            format!("All checkpoints and records in {} go", run.display()),
            "delete",
            "keep it",
        ),
    };
    let inner = open(c, area, title, "");
    let base = c.theme.popup();
    let (key, dim, strong) = (
        over(base, c.theme.bold(Role::Accent)),
        over(base, c.style(Role::Dim)),
        over(base, c.style(Role::Strong)),
    );
    c.paragraph(Rect { height: inner.height.saturating_sub(2), ..inner }, &text, strong);
    let (y, n) = (app.key_label(&course::ASK_YES), app.key_label(&course::ASK_NO));
    let pieces = [(y.as_str(), key), (" ", dim), (yes, dim), ("   ", dim), (&n, key), (" ", dim), (no, dim)];
    c.spans(inner.x, inner.bottom().saturating_sub(1), &pieces, inner.right());
}

/// Empties the area, frames it, and returns what is inside.
fn open(c: &mut Canvas, area: Rect, title: &str, note: &str) -> Rect {
    let style = c.theme.popup();
    c.clear(area, style);
    let border = over(style, c.style(Role::Focus));
    frames::border(c, area, border);
    let bold = over(style, c.theme.bold(Role::Strong));
    let x = c.label(area.x + 2, area.y, &format!(" {title} "), bold, area.width.saturating_sub(4));
    if !note.is_empty() {
        let dim = over(style, c.style(Role::Dim));
        c.label(x, area.y, &format!("{note} "), dim, area.right().saturating_sub(x + 2));
    }
    Rect::new(
        area.x + 2.min(area.width),
        area.y + 1.min(area.height),
        area.width.saturating_sub(4),
        area.height.saturating_sub(2),
    )
}

/// Foreground of one style on the background of another.
fn over(base: Style, style: Style) -> Style {
    base.patch(Style { bg: None, ..style })
}

/// First line of the entries of the open list, and how many fit; the first one drawn.
pub fn list_window(app: &App, area: Rect) -> (u16, usize, usize) {
    let loading = matches!(app.popup, Some(Popup::Models(_))) && app.loading.is_some();
    let top = area.y + 3;
    let bottom = area.bottom().saturating_sub(1 + if loading { 2 } else { 0 });
    let room = bottom.saturating_sub(top) as usize;
    let selected = match &app.popup {
        Some(Popup::Palette(l) | Popup::Models(l) | Popup::Picker { list: l, .. }) => l.selected,
        _ => 0,
    };
    (top, room, (selected + 1).saturating_sub(room))
}

fn list(c: &mut Canvas, app: &App, area: Rect, list: &List, title: &str, note: &str) {
    let inner = open(c, area, title, note);
    let base = c.theme.popup();
    let (accent, strong) = (over(base, c.theme.bold(Role::Accent)), over(base, c.theme.bold(Role::Strong)));
    let x = c.text(inner.x, inner.y, "› ", accent, inner.width);
    let x = c.text(x, inner.y, &list.typed, strong, inner.right().saturating_sub(x));
    c.caret = Some((x.min(inner.right().saturating_sub(1)), inner.y));
    let rule = over(base, c.style(Role::Border));
    c.line(inner.x, inner.y + 1, "─", inner.width, rule);
    let entries = lists::entries(app);
    let (top, room, first) = list_window(app, area);
    let dim = over(base, c.style(Role::Dim));
    if entries.is_empty() {
        c.label(inner.x, top, "nothing fits; Backspace takes back what was typed", dim, inner.width);
    }
    let longest = entries.iter().map(|e| width(&e.value)).max().unwrap_or(0);
    let column = (longest as u16 + 2).min(inner.width * 3 / 5);
    for (i, entry) in entries.iter().enumerate().skip(first).take(room) {
        let y = top + (i - first) as u16;
        let here = i == list.selected;
        let back = if here { c.theme.selected() } else { base };
        c.restyle(Rect { y, height: 1, ..inner }, back);
        let name = over(back, c.style(if here { Role::Strong } else { Role::Text }));
        c.label(inner.x, y, &entry.value, name, column.saturating_sub(1));
        let note = over(back, c.theme.bold(Role::Accent));
        let stop = c.right(inner.x + column, inner.right(), y, &entry.note, note);
        let doc = over(back, c.style(Role::Dim));
        c.label(inner.x + column, y, &entry.doc, doc, stop.saturating_sub(inner.x + column + 1));
    }
    let more = entries.len().saturating_sub(first + room);
    if more > 0 {
        c.right(inner.x, inner.right(), area.bottom() - 1, &format!(" {more} more ↓ "), dim);
    }
}

fn models(c: &mut Canvas, app: &App, area: Rect, l: &List) {
    list(c, app, area, l, "Models", "choose, or type a Hub id or a folder");
    if let Some(p) = &app.loading {
        let base = c.theme.popup();
        let (dim, accent) = (over(base, c.style(Role::Dim)), over(base, c.theme.bold(Role::Accent)));
        let y = area.bottom().saturating_sub(2);
        let done = match p.total.filter(|t| *t > 0) {
            Some(t) => format!("{:.0} %", p.done as f64 / t as f64 * 100.0),
            None => String::new(),
        };
        let pieces = [
            (spinner(app), accent),
            (" ", dim),
            (&p.id, accent),
            ("  ", dim),
            (&p.what, dim),
            ("  ", dim),
            (&done, accent),
        ];
        c.spans(area.x + 2, y, &pieces, area.right().saturating_sub(2));
    }
}

/// A line of help: a heading, or keys and what they do.
enum Line {
    Heading(&'static str),
    Action { keys: String, doc: &'static str },
    Blank,
}

fn help_lines(app: &App) -> Vec<Line> {
    let mut out = Vec::new();
    for (context, title) in Context::ALL {
        if !out.is_empty() {
            out.push(Line::Blank);
        }
        out.push(Line::Heading(title));
        for action in actions::of(*context) {
            let keys: Vec<String> = app.keymap.keys(action).iter().map(|k| k.label(app.look.ascii)).collect();
            out.push(Line::Action { keys: keys.join(" "), doc: action.doc });
        }
    }
    out
}

fn help(c: &mut Canvas, app: &App, area: Rect, scroll: usize) {
    let inner = open(c, area, "Keys", "every key and what it does; scroll with ↑ ↓");
    let base = c.theme.popup();
    let lines = help_lines(app);
    let room = inner.height as usize;
    let top = scroll.min(lines.len().saturating_sub(room));
    let column = 24.min(inner.width / 3);
    for (i, line) in lines.iter().skip(top).take(room).enumerate() {
        let y = inner.y + i as u16;
        match line {
            Line::Heading(text) => {
                let style = over(base, c.theme.bold(Role::Accent));
                c.label(inner.x, y, text, style, inner.width);
            }
            Line::Action { keys, doc } => {
                let (strong, text) =
                    (over(base, c.theme.bold(Role::Strong)), over(base, c.style(Role::Text)));
                c.label(inner.x + 2, y, keys, strong, column.saturating_sub(3));
                c.label(inner.x + column, y, doc, text, inner.width - column);
            }
            Line::Blank => {}
        }
    }
    let dim = over(base, c.style(Role::Dim));
    let place = format!(" {}–{} of {} ", top + 1, (top + room).min(lines.len()), lines.len());
    c.right(inner.x, inner.right(), area.bottom().saturating_sub(1), &place, dim);
}

fn tour(c: &mut Canvas, app: &App, layout: &Layout, area: Rect, step: usize) {
    let stop = &STOPS[step.min(STOPS.len() - 1)];
    if let Some(panel) = layout.panel(stop.pane) {
        let style = c.theme.bold(Role::Masked);
        frames::highlight(c, layout, panel.outer, style);
    }
    let inner = open(c, area, stop.title, &format!("{} of {}", step + 1, STOPS.len()));
    let base = c.theme.popup();
    let text = over(base, c.style(Role::Text));
    c.paragraph(Rect { height: inner.height.saturating_sub(1), ..inner }, stop.text, text);
    let (key, dim) = (over(base, c.theme.bold(Role::Accent)), over(base, c.style(Role::Dim)));
    let label = |action: &Action| app.key_here(action).unwrap_or_default();
    let last = step + 1 >= STOPS.len();
    let next = label(if last { &popups::PAGE_ADVANCE } else { &popups::PAGE_NEXT });
    let (back, close) = (label(&popups::PAGE_BACK), label(&popups::PAGE_CLOSE));
    let pieces = [
        (next.as_str(), key),
        (if last { " done   " } else { " next   " }, dim),
        (&back, key),
        (" back   ", dim),
        (&close, key),
        (" leave", dim),
    ];
    c.spans(inner.x, inner.bottom().saturating_sub(1), &pieces, inner.right());
}

/// Error cards, the newest on top, at the lower right: they take no keys away.
fn cards(c: &mut Canvas, app: &App, layout: &Layout) {
    let Some(card) = app.cards.last() else { return };
    let w = 64.min(layout.area.width.saturating_sub(2));
    let text_w = w.saturating_sub(4) as usize;
    let lines = |s: &str| s.lines().map(|l| crate::app::wrap::rows(l, text_w).len()).sum::<usize>() as u16;
    let hint = card.hint.as_deref().map_or(0, |h| lines(&format!("hint: {h}")));
    let wanted = lines(&card.message).min(6) + hint + 4;
    let h = wanted.min(layout.area.height.saturating_sub(2));
    let x = layout.area.right().saturating_sub(w + 1);
    let y = layout.area.bottom().saturating_sub(h + 2);
    card_at(c, app, card, Rect::new(x, y, w, h).intersection(layout.area));
}

fn card_at(c: &mut Canvas, app: &App, card: &Card, area: Rect) {
    let base = c.theme.popup();
    c.clear(area, base);
    let bad = over(base, c.theme.bold(Role::Bad));
    frames::border(c, area, bad);
    let more = if app.cards.len() > 1 { format!(" (1 of {})", app.cards.len()) } else { String::new() };
    c.label(area.x + 2, area.y, &format!(" ✗ {}{more} ", card.title), bad, area.width.saturating_sub(4));
    let inner =
        Rect::new(area.x + 2, area.y + 1, area.width.saturating_sub(4), area.height.saturating_sub(3));
    let text = over(base, c.style(Role::Text));
    let used = c.paragraph(Rect { height: inner.height.min(6), ..inner }, &card.message, text);
    if let Some(hint) = &card.hint {
        let style = over(base, c.style(Role::Accent));
        let rest = Rect { y: inner.y + used, height: inner.height.saturating_sub(used), ..inner };
        c.paragraph(rest, &format!("hint: {hint}"), style);
    }
    let (key, dim) = (over(base, c.theme.bold(Role::Accent)), over(base, c.style(Role::Dim)));
    let (retry, dismiss) = (app.key_label(&general::RETRY), app.key_label(&general::DISMISS));
    let pieces = [(retry.as_str(), key), (" retry   ", dim), (&dismiss, key), (" dismiss", dim)];
    c.spans(inner.x, area.bottom().saturating_sub(2), &pieces, inner.right());
}
