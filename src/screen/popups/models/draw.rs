//! How the Models screen looks: a table of models, what is known of the selected one, downloads under way.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::engine::types::LoadProgress;
use crate::hub::{ModelDetails, ModelPlace};
use crate::screen::app::App;
use crate::screen::chrome::bar::spinner;
use crate::screen::chrome::status::numbers;
use crate::screen::popups::list::{self, List};
use crate::screen::popups::models::{MODELS_REFRESH, selected};
use crate::screen::popups::over;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::units::{bytes, count};

/// Lines of what is known of the selected model, with the rule above.
const DETAILS: u16 = 4;
/// Below this height the table has all lines.
const TALL: u16 = 14;
/// Columns that an id keeps; others go first.
const ID: u16 = 20;

/// Columns and lines that the popup asks for.
pub fn size(app: &App) -> (u16, u16) {
    (100, (app.models.listed.len() as u16 + DETAILS + 10).clamp(18, 28))
}

/// Lines above and below the entries: heads, details, downloads.
pub fn lines_around(app: &App, area: Rect) -> (u16, u16) {
    let downloads = 2 * downloads(app).count() as u16;
    if area.height < TALL { (0, downloads) } else { (1, DETAILS + downloads) }
}

/// What is being fetched: a model to open, a model to keep.
fn downloads(app: &App) -> impl Iterator<Item = &LoadProgress> {
    app.loading.iter().chain(&app.models.pulling)
}

/// A column of the table.
struct Column {
    head: &'static str,
    width: u16,
    /// The narrowest table that shows it, in columns.
    from: u16,
    text: fn(&App, &ModelDetails) -> String,
}

const COLUMNS: [Column; 5] = [
    Column {
        head: "size",
        width: 9,
        from: 40,
        text: |_, m| {
            m.size_bytes
                .filter(|_| m.place != ModelPlace::Partial)
                .or(m.download_bytes)
                .map_or_else(String::new, bytes)
        },
    },
    Column {
        head: "param.",
        width: 7,
        from: 50,
        text: |_, m| m.parameters.map_or_else(String::new, |n| count(n as usize)),
    },
    Column {
        head: "context",
        width: 8,
        from: 60,
        text: |_, m| m.context.map_or_else(String::new, |n| n.to_string()),
    },
    Column { head: "licence", width: 11, from: 72, text: |_, m| m.licence.clone().unwrap_or_default() },
    Column { head: "", width: 8, from: 30, text: |app, m| state(app, m) },
];

/// How a model stands, in a word or two.
fn state(app: &App, model: &ModelDetails) -> String {
    let progress = downloads(app).find(|p| p.id == model.id);
    if let Some(share) = progress.and_then(|p| Some(p.done as f64 / p.total.filter(|t| *t > 0)? as f64)) {
        return format!("{:.0} %", 100.0 * share.min(1.0));
    }
    let used = app.model.as_ref().is_some_and(|m| m.id == model.id);
    let newer = model.moved() == Some(true) || (used && app.moved.as_ref() == Some(&model.id));
    match model.place {
        _ if progress.is_some() => "asking",
        _ if newer => "newer",
        _ if used => "in use",
        place if model.problem.is_some() && place != ModelPlace::Cached => "refused",
        ModelPlace::Partial => "partial",
        ModelPlace::Hub => "",
        place => place.name(),
    }
    .to_owned()
}

/// Draws the models and what belongs to them.
pub fn draw(c: &mut Canvas, app: &App, area: Rect, l: &List) {
    let inner = list::head(c, area, l, "Models", "choose, or type a Hub id or a folder");
    let (above, below) = lines_around(app, area);
    let base = c.theme.popup();
    let dim = over(base, c.style(Role::Dim));
    let (top, room, first) = list::window(app, area);
    if above > 0 {
        row(c, inner, top - 1, "model", dim, |column| (column.head.to_owned(), dim));
    }
    let entries = list::entries(app);
    if entries.is_empty() {
        c.label(inner.x, top, "no match; Backspace deletes what was typed", dim, inner.width);
    }
    for (i, entry) in entries.iter().enumerate().skip(first).take(room) {
        let y = top + (i - first) as u16;
        let here = i == l.selected;
        let back = if here { c.theme.selected() } else { base };
        c.restyle(Rect { y, height: 1, ..inner }, back);
        let name = over(back, c.style(if here { Role::Strong } else { Role::Text }));
        let (plain, mark) = (over(back, c.style(Role::Dim)), over(back, c.theme.bold(Role::Accent)));
        let known = app.models.details(&entry.value);
        row(c, inner, y, &entry.value, name, |column| {
            let text = known.map_or_else(String::new, |model| (column.text)(app, model));
            (text, if column.head.is_empty() { mark } else { plain })
        });
    }
    let more = entries.len().saturating_sub(first + room);
    if more > 0 {
        let y = top + room as u16 - 1;
        c.right(inner.x, inner.right(), y.max(top), &format!(" {more} more ↓ "), dim);
    }
    let mut y = area.bottom().saturating_sub(1 + below);
    if above > 0 {
        details(c, app, Rect { y, height: DETAILS, ..inner });
        y += DETAILS;
    }
    for progress in downloads(app) {
        download(c, app, progress, Rect { y, height: 2, ..inner });
        y += 2;
    }
}

/// One line of the table: the name, and the columns that fit at its right.
fn row(
    c: &mut Canvas,
    inner: Rect,
    y: u16,
    name: &str,
    style: Style,
    cell: impl Fn(&Column) -> (String, Style),
) {
    let mut right = inner.right();
    for column in COLUMNS.iter().rev().filter(|column| column.from <= inner.width) {
        let left = right.saturating_sub(column.width).max(inner.x + ID);
        let (text, style) = cell(column);
        c.right(left, right, y, &text, style);
        right = left;
    }
    c.label(inner.x, y, name, style, right.saturating_sub(inner.x + 1));
}

/// What is known of the selected model, in three lines below a rule; in its place, what a typed path may go on to.
fn details(c: &mut Canvas, app: &App, area: Rect) {
    let base = c.theme.popup();
    let rule = over(base, c.style(Role::Border));
    c.line(area.x, area.y, "─", area.width, rule);
    let area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let (dim, text) = (over(base, c.style(Role::Dim)), over(base, c.style(Role::Text)));
    let (accent, warn) = (over(base, c.style(Role::Accent)), over(base, c.style(Role::Warn)));
    let Some(spec) = selected(app) else { return };
    if app.models.offers.len() > 1 {
        let start = app.models.typed.rfind('/').map_or(0, |i| i + 1);
        let names: Vec<&str> = app.models.offers.iter().map(|o| o.get(start..).unwrap_or(o)).collect();
        c.paragraph(area, &format!("tab: {}", names.join("  ")), accent);
        return;
    }
    let Some(model) = app.models.details(&spec) else {
        let said = app.models.silence(&spec).unwrap_or("asking about it…");
        let style = if app.models.silence(&spec).is_some() { warn } else { dim };
        c.label(area.x, area.y, &spec, text, area.width);
        c.paragraph(Rect { y: area.y + 1, height: 2, ..area }, said, style);
        return;
    };
    let x = c.label(area.x, area.y, &spec, text, area.width);
    match &model.problem {
        Some(problem) => c.label(x + 2, area.y, problem, warn, area.right().saturating_sub(x + 2)),
        None => c.label(x + 2, area.y, &model.doc, dim, area.right().saturating_sub(x + 2)),
    };
    c.label(area.x, area.y + 1, &shape(model), dim, area.width);
    let marked = model.moved() == Some(true);
    c.label(area.x, area.y + 2, &place(app, model), if marked { accent } else { dim }, area.width);
}

/// Sizes and licence, as far as they are known.
fn shape(model: &ModelDetails) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(model.licence.as_ref().map(|licence| format!("licence {licence}")));
    if let (Some(layers), Some(heads)) = (model.layers, model.heads) {
        parts.push(format!("{layers} layers × {heads} heads"));
    }
    parts.extend(model.width.map(|n| format!("width {n}")));
    parts.extend(model.context.map(|n| format!("context {n}")));
    parts.extend(model.vocabulary.map(|n| format!("vocabulary {n}")));
    parts.join(" · ")
}

/// Where the files are, and what a download would fetch.
fn place(app: &App, model: &ModelDetails) -> String {
    let mut parts = Vec::new();
    let size = model.size_bytes.map(bytes);
    match model.place {
        ModelPlace::Bundled => parts.push("part of this program".to_owned()),
        ModelPlace::Folder => parts.extend(size.map(|size| format!("{size} in this folder"))),
        ModelPlace::Cached => parts.extend(size.map(|size| format!("{size} in the cache"))),
        ModelPlace::Partial => parts.extend(size.map(|size| format!("{size} in the cache so far"))),
        ModelPlace::Hub => parts.push("not downloaded".to_owned()),
    }
    let whole = matches!(model.place, ModelPlace::Cached | ModelPlace::Bundled | ModelPlace::Folder);
    if let Some(missing) = model.missing_bytes.or(model.download_bytes).filter(|_| !whole) {
        parts.push(format!("{} to download", bytes(missing)));
    }
    if model.gated == Some(true) {
        parts.push("its owner must grant access first".to_owned());
    }
    match model.moved() {
        Some(true) => {
            let key = app.key_label(&MODELS_REFRESH);
            parts.push(format!("the Hub has a newer version: {key} fetches it"));
        }
        Some(false) => parts.push("as on the Hub".to_owned()),
        None => {}
    }
    if let Some(silence) = app.models.silence(&model.id) {
        parts.push(silence.to_owned());
    }
    parts.join(" · ")
}

/// One download in two lines: the file under way, and the whole model.
fn download(c: &mut Canvas, app: &App, p: &LoadProgress, area: Rect) {
    let base = c.theme.popup();
    let (dim, accent) = (over(base, c.style(Role::Dim)), over(base, c.theme.bold(Role::Accent)));
    let file = p.file.map(|(done, size)| LoadProgress { done, total: Some(size), ..p.clone() });
    let left = |x| Rect { x, width: area.right().saturating_sub(x), ..area };
    let x = c.spans(area.x, area.y, &[(spinner(app), accent), (" ", dim)], area.right());
    track(c, (&p.what, dim), file.as_ref(), left(x));
    track(c, (&p.id, accent), p.total.map(|_| p), Rect { y: area.y + 1, ..left(x) });
}

/// A line of words, and its numbers at the right with a bar before them where there is room for one.
fn track(c: &mut Canvas, (words, style): (&str, Style), progress: Option<&LoadProgress>, area: Rect) {
    const BAR: u16 = 12;
    let base = c.theme.popup();
    let (dim, faint) = (over(base, c.style(Role::Dim)), over(base, c.style(Role::Border)));
    let accent = over(base, c.style(Role::Accent));
    let said = progress.map(numbers).unwrap_or_default();
    let x = c.right(area.x, area.right(), area.y, &said, dim);
    let from = c.label(area.x, area.y, words, style, x.saturating_sub(area.x + 2));
    let Some(p) = progress else { return };
    let (Some(left), Some(total)) = (x.checked_sub(BAR + 1).filter(|left| *left > from), p.total) else {
        return;
    };
    let [full, empty] = if c.ascii() { ["#", "."] } else { ["━", "━"] };
    let done = (p.done as f64 / total.max(1) as f64).clamp(0.0, 1.0);
    c.line(left, area.y, empty, BAR, faint);
    c.line(left, area.y, full, (done * f64::from(BAR)).round() as u16, accent);
}
