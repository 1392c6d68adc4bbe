//! A list with something typed above it: its keys and clicks, and how it looks. What stands in it is said by
//! `palette`, `models` and `picker`.

use ratatui::layout::Rect;

use crate::screen::actions::{self, LIST, actions};
use crate::screen::app::App;
use crate::screen::explore::interventions::add;
use crate::screen::explore::mask::settings;
use crate::screen::popups::{Popup, models, open, over, palette, picker};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::width;

/// What was typed, and which of the fitting entries is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub typed: String,
    pub selected: usize,
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What taking it means: an action's name, a model, a value.
    pub value: String,
    pub doc: String,
    /// At the right edge: its key, or a mark.
    pub note: String,
}

actions! {
    LIST {
        /// Entry above
        LIST_UP ["up" "shift-tab"] => |app| step(app, -1);
        /// Entry below
        LIST_DOWN ["down" "tab"] "choose" => |app| step(app, 1);
        /// Eight entries up
        LIST_PAGE_UP ["pageup"] => |app| step(app, -8);
        /// Eight entries down
        LIST_PAGE_DOWN ["pagedown"] => |app| step(app, 8);
        /// Take the entry
        LIST_ACCEPT ["enter"] "take" => accept;
        /// Close the list
        LIST_CLOSE ["esc"] "close" => |app| app.popup = None;
        /// Delete the last character typed
        LIST_BACKSPACE ["backspace" "ctrl-h"] => |app| edit_list(app, |typed| { typed.pop(); });
        /// Delete everything typed
        LIST_CLEAR ["ctrl-u"] => |app| edit_list(app, String::clear);
    }
}

/// The entries of the open list that fit what was typed, best first.
pub fn entries(app: &App) -> Vec<Entry> {
    match &app.popup {
        Some(Popup::Palette(list)) => palette::entries(app, &list.typed),
        Some(Popup::Models(list)) => models::entries(app, &list.typed),
        Some(Popup::Intervene(list)) => add::entries(app, &list.typed),
        Some(Popup::Picker { path, list }) => picker::entries(app, path, &list.typed),
        _ => Vec::new(),
    }
}

fn list_mut(app: &mut App) -> Option<&mut List> {
    match &mut app.popup {
        Some(Popup::Palette(l) | Popup::Models(l) | Popup::Intervene(l) | Popup::Picker { list: l, .. }) => {
            Some(l)
        }
        _ => None,
    }
}

fn step(app: &mut App, by: isize) {
    let n = entries(app).len();
    if let Some(list) = list_mut(app) {
        list.selected = list.selected.saturating_add_signed(by).min(n.saturating_sub(1));
    }
}

/// Changes what is typed; the best entry is selected again.
pub fn edit_list(app: &mut App, edit: impl Fn(&mut String)) {
    if let Some(list) = list_mut(app) {
        edit(&mut list.typed);
        list.selected = 0;
    }
}

/// Takes an entry that the mouse points at.
pub fn take_entry(app: &mut App, index: usize) {
    if let Some(list) = list_mut(app) {
        list.selected = index;
    }
    accept(app);
}

/// Takes the selected entry of the open list, and closes it.
fn accept(app: &mut App) {
    let entries = entries(app);
    let Some(selected) = list_mut(app).map(|list| list.selected) else { return };
    let (Some(popup), Some(entry)) = (app.popup.take(), entries.get(selected)) else { return };
    match popup {
        Popup::Palette(_) => {
            if let Some(action) = actions::by_name(&entry.value) {
                app.count_use(action);
                (action.run)(app);
            }
        }
        Popup::Models(_) => models::load(app, entry.value.clone()),
        Popup::Intervene(_) => add::take(app, &entry.value),
        // The lists hold only values that parse.
        Popup::Picker { path, .. } => {
            let _ = settings::parse(app, path, &entry.value);
        }
        Popup::Help { .. } | Popup::Explain { .. } | Popup::Mix { .. } | Popup::Export(_) | Popup::Ask(_) => {
        }
    }
}

/// Selects an entry without taking it.
pub fn select(app: &mut App, index: usize) {
    if let Some(list) = list_mut(app) {
        list.selected = index;
    }
}

/// A click on an entry takes it.
pub fn press(app: &mut App, area: Rect, y: u16) {
    if let Some(index) = index_at(app, area, y) {
        app.act(|app| take_entry(app, index));
    }
}

/// The entry of the open list at a line of the screen.
pub fn index_at(app: &App, area: Rect, y: u16) -> Option<usize> {
    let (top, room, first) = window(app, area);
    let line = y.checked_sub(top).map(usize::from).filter(|line| *line < room)?;
    Some(first + line).filter(|index| *index < entries(app).len())
}

/// First line of the entries of the open list, and how many fit; the first one drawn.
pub fn window(app: &App, area: Rect) -> (u16, usize, usize) {
    let (above, below) = match app.popup {
        Some(Popup::Models(_)) => models::lines_around(app, area),
        _ => (0, 0),
    };
    let top = area.y + 3 + above;
    let bottom = area.bottom().saturating_sub(1 + below);
    let room = bottom.saturating_sub(top) as usize;
    let selected = app.popup.as_ref().and_then(Popup::list).map_or(0, |list| list.selected);
    (top, room, (selected + 1).saturating_sub(room))
}

/// Draws the frame of the open list and what is typed above it; returns what is inside.
pub fn head(c: &mut Canvas, area: Rect, list: &List, title: &str, note: &str) -> Rect {
    let inner = open(c, area, title, note);
    let base = c.theme.popup();
    let (accent, strong) = (over(base, c.theme.bold(Role::Accent)), over(base, c.theme.bold(Role::Strong)));
    let x = c.text(inner.x, inner.y, "› ", accent, inner.width);
    let x = c.text(x, inner.y, &list.typed, strong, inner.right().saturating_sub(x));
    c.caret = Some((x.min(inner.right().saturating_sub(1)), inner.y));
    let rule = over(base, c.style(Role::Border));
    c.line(inner.x, inner.y + 1, "─", inner.width, rule);
    inner
}

/// Draws the open list.
pub fn draw(c: &mut Canvas, app: &App, area: Rect, list: &List, title: &str, note: &str) {
    let inner = head(c, area, list, title, note);
    let base = c.theme.popup();
    let entries = entries(app);
    let (top, room, first) = window(app, area);
    let dim = over(base, c.style(Role::Dim));
    if entries.is_empty() {
        c.paragraph(
            Rect { y: top, height: room as u16, ..inner },
            &palette::nothing_called(&list.typed),
            dim,
        );
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

#[cfg(test)]
mod tests {
    use crate::attention::types::ScoreSettings;
    use crate::screen::popups::Popup;
    use crate::screen::testing::Stage;

    #[test]
    fn a_choice_is_taken_from_its_list() {
        let mut stage = Stage::new();
        stage.press("s");
        assert!(matches!(stage.app.popup, Some(Popup::Picker { path: ScoreSettings::reduction, .. })));
        stage.types("roll").press("enter");
        assert_eq!(stage.last().score.reduction.name(), "rollout");
        assert!(stage.app.popup.is_none());
    }

    #[test]
    fn the_palette_runs_any_action() {
        let mut stage = Stage::new();
        stage.press("ctrl-p").types("re-roll the seed").press("enter");
        assert_eq!(stage.last().mask.seed, 2);
        stage.press(":").types("zzzz").press("enter");
        assert!(stage.app.popup.is_none());
    }
}
