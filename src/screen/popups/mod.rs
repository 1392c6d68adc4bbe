//! What lies over the panes, one file each: lists (palette, models, values of a setting), help, questions, the mix
//! of operations; and the tour, in a strip below them. This file says which of them a key, a click or a frame is for.

pub mod ask;
pub mod fuzzy;
pub mod help;
pub mod list;
pub mod mix;
pub mod models;
pub mod page;
pub mod palette;
pub mod picker;
pub mod tour;

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::screen::actions::{ASK, Context, LIST, MIX, MODEL_LIST, PAGE};
use crate::screen::app::App;
use crate::screen::chrome::frames;
use crate::screen::explore::text::wrap;
use crate::screen::export::dialog::{self, EXPORTING, ExportDialog};
use crate::screen::layout::Layout;
use crate::screen::params::{self, Path};
use crate::screen::popups::ask::Question;
use crate::screen::popups::list::List;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::visible;

/// What lies over the panes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Popup {
    Help {
        typed: String,
        scroll: usize,
    },
    /// What was under the cursor.
    Explain {
        title: &'static str,
        text: String,
    },
    Palette(List),
    Models(List),
    /// What can be done differently in the run without a mask.
    Intervene(List),
    /// Shares of operations; the row that is being changed.
    Mix {
        row: usize,
    },
    /// All values of one setting.
    Picker {
        path: Path,
        list: List,
    },
    /// What is exported, and where to.
    Export(ExportDialog),
    /// Something to confirm.
    Ask(Question),
}

impl Popup {
    /// Where its keys apply.
    pub fn context(&self) -> Context {
        match self {
            Popup::Help { .. } | Popup::Explain { .. } => PAGE,
            Popup::Mix { .. } => MIX,
            Popup::Ask(_) => ASK,
            Popup::Export(_) => EXPORTING,
            Popup::Models(_) => MODEL_LIST,
            Popup::Palette(_) | Popup::Intervene(_) | Popup::Picker { .. } => LIST,
        }
    }

    /// What is typed into it.
    pub fn list(&self) -> Option<&List> {
        match self {
            Popup::Palette(list)
            | Popup::Models(list)
            | Popup::Intervene(list)
            | Popup::Picker { list, .. } => Some(list),
            Popup::Help { .. }
            | Popup::Explain { .. }
            | Popup::Mix { .. }
            | Popup::Export(_)
            | Popup::Ask(_) => None,
        }
    }

    /// Whether letters are typed into it, rather than keys.
    pub fn is_typed_in(&self) -> bool {
        match self {
            Popup::Help { .. } => true,
            Popup::Export(dialog) => dialog.is_typed_in(),
            other => other.list().is_some(),
        }
    }
}

/// Where the open popup stands.
pub fn place(area: Rect, app: &App) -> Option<Rect> {
    let (columns, lines) = match app.popup.as_ref()? {
        Popup::Help { .. } => (84, area.height.saturating_sub(4)),
        Popup::Explain { text, .. } => {
            let columns = 72.min(area.width.saturating_sub(8));
            let rows = |line: &str| wrap::rows(&visible(line), columns as usize).len().max(1);
            (columns + 4, text.lines().map(rows).sum::<usize>() as u16 + 4)
        }
        Popup::Palette(_) => (86, 20),
        Popup::Intervene(_) => (96, 16),
        Popup::Models(_) => models::size(app),
        Popup::Mix { .. } => mix::SIZE,
        Popup::Export(_) => dialog::SIZE,
        Popup::Ask(_) => (58, 7),
        Popup::Picker { .. } => (84, list::entries(app).len().clamp(3, 14) as u16 + 6),
    };
    let w = columns.min(area.width.saturating_sub(4));
    let h = lines.min(area.height.saturating_sub(2));
    Some(Rect::new(area.x + (area.width - w) / 2, area.y + (area.height - h) / 3, w, h))
}

/// Draws the open popup.
pub fn draw(c: &mut Canvas, app: &App, layout: &Layout) {
    let (Some(popup), Some(area)) = (&app.popup, layout.popup) else { return };
    match popup {
        Popup::Help { typed, scroll } => help::draw(c, app, area, (typed, *scroll)),
        Popup::Explain { title, text } => explained(c, app, area, (title, text)),
        Popup::Palette(list) => list::draw(c, app, area, list, "Commands", "type to find an action"),
        Popup::Intervene(list) => {
            list::draw(c, app, area, list, "Intervene", "choose one, or type another");
        }
        Popup::Models(list) => models::draw(c, app, area, list),
        Popup::Mix { row } => mix::draw(c, app, area, *row),
        Popup::Export(export) => dialog::draw(c, app, area, export),
        Popup::Ask(question) => ask::draw(c, app, area, question),
        Popup::Picker { path, list } => {
            let row = params::row(path);
            list::draw(c, app, area, list, row.name(), row.doc);
        }
    }
}

/// An explanation, and how to close it.
fn explained(c: &mut Canvas, app: &App, area: Rect, (title, text): (&str, &str)) {
    let inner = open(c, area, title, "");
    let base = c.theme.popup();
    let (style, dim) = (over(base, c.style(Role::Text)), over(base, c.style(Role::Dim)));
    c.paragraph(Rect { height: inner.height.saturating_sub(1), ..inner }, text, style);
    let key = app.keymap.keys(&page::PAGE_CLOSE).first().map(|k| k.label(app.look.ascii));
    let close = format!("{} closes", key.unwrap_or_default());
    c.label(inner.x, inner.bottom().saturating_sub(1), &close, dim, inner.width);
}

/// A click while something is open: on an entry it takes it, outside it closes.
pub fn press(app: &mut App, layout: &Layout, x: u16, y: u16) {
    let (Some(popup), Some(area)) = (&app.popup, layout.popup) else { return };
    let inside = area.contains((x, y).into());
    match popup {
        Popup::Help { .. } if inside => {}
        Popup::Help { .. } | Popup::Explain { .. } => app.act(page::PAGE_CLOSE.run),
        Popup::Ask(_) if inside => app.act(ask::ASK_YES.run),
        Popup::Ask(_) => app.act(ask::ASK_NO.run),
        Popup::Mix { row } if inside => mix::press(app, area, *row, x, y),
        Popup::Mix { .. } => app.act(mix::MIX_CLOSE.run),
        Popup::Export(_) if inside => dialog::press(app, area, y),
        Popup::Export(_) => app.act(dialog::EXPORT_CLOSE.run),
        Popup::Models(_) if inside => models::press(app, area, y),
        _ if inside => list::press(app, area, y),
        _ => app.act(list::LIST_CLOSE.run),
    }
}

/// A notch of the wheel while something is open.
pub fn wheel(app: &mut App, up: bool) {
    let (above, below) = match app.popup {
        Some(Popup::Help { .. }) => (&page::PAGE_UP, &page::PAGE_DOWN),
        Some(Popup::Explain { .. } | Popup::Export(_) | Popup::Ask(_)) | None => return,
        Some(Popup::Mix { .. }) => (&mix::MIX_UP, &mix::MIX_DOWN),
        Some(_) => (&list::LIST_UP, &list::LIST_DOWN),
    };
    app.act(if up { above.run } else { below.run });
}

/// Empties the area, frames it, and returns what is inside.
pub(crate) fn open(c: &mut Canvas, area: Rect, title: &str, note: &str) -> Rect {
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
pub(crate) fn over(base: Style, style: Style) -> Style {
    base.patch(Style { bg: None, ..style })
}
