//! The dialog: what, in which form, into which file; then save, or copy the command.

use ratatui::layout::Rect;

use crate::screen::actions::{Context, actions};
use crate::screen::app::App;
use crate::screen::export::part::{ExportForm, ExportPart};
use crate::screen::export::{copy_command, save};
use crate::screen::popups::{Popup, open, over};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::width;

/// While the dialog is open.
pub const EXPORTING: Context = Context("Export");

/// What is being asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportDialog {
    pub part: ExportPart,
    pub form: ExportForm,
    /// As typed; `~` is the home folder.
    pub file: String,
    /// A person has typed the name, so that it stays.
    own: bool,
    row: usize,
    /// The file may be replaced: that it exists was said.
    pub replace: bool,
    /// What is going on, or why it did not work.
    pub told: String,
}

const PART: usize = 0;
const FORM: usize = 1;
const FILE: usize = 2;
const SAVE: usize = 3;
const COPY: usize = 4;
const ROWS: usize = 5;

/// Size of the box.
pub const SIZE: (u16, u16) = (72, 13);
/// Columns of the names of the rows.
const NAME: u16 = 7;

actions! {
    EXPORTING {
        /// Row above
        EXPORT_UP ["up" "shift-tab"] => |app| step(app, ROWS - 1);
        /// Row below
        EXPORT_DOWN ["down" "tab"] "row" => |app| step(app, 1);
        /// What or form before
        EXPORT_BEFORE ["left"] => |app| change(app, false);
        /// What or form after
        EXPORT_AFTER ["right"] "change" => |app| change(app, true);
        /// Save the file, or copy the command on its row
        EXPORT_DO ["enter"] "save" => accept;
        /// Copy the command line that prints the same numbers
        EXPORT_COPY ["y"] "copy the command" => copy;
        /// Delete the last character of the file's name
        EXPORT_BACKSPACE ["backspace" "ctrl-h"] => |app| edit(app, |file| { file.pop(); });
        /// Delete the whole name
        EXPORT_CLEAR ["ctrl-u"] => |app| edit(app, String::clear);
        /// Close without saving
        EXPORT_CLOSE ["esc"] "close" => close;
    }
}

impl ExportDialog {
    pub fn new(part: ExportPart) -> Self {
        let form = part.forms()[0];
        let told = String::new();
        ExportDialog { part, form, file: file_name(part, form), own: false, row: PART, replace: false, told }
    }

    /// Whether letters are typed into the name.
    pub fn is_typed_in(&self) -> bool {
        self.row == FILE
    }
}

fn file_name(part: ExportPart, form: ExportForm) -> String {
    match part {
        ExportPart::Session => format!("session.{form}"),
        _ => format!("maskscope-{part}.{form}"),
    }
}

fn dialog_mut(app: &mut App) -> Option<&mut ExportDialog> {
    match &mut app.popup {
        Some(Popup::Export(dialog)) => Some(dialog),
        _ => None,
    }
}

fn step(app: &mut App, rows: usize) {
    if let Some(dialog) = dialog_mut(app) {
        dialog.row = (dialog.row + rows) % ROWS;
    }
}

/// The value after or before, round and round; the name of the file follows until one is typed.
fn change(app: &mut App, onwards: bool) {
    fn next<T: Copy + PartialEq>(all: &[T], now: T, onwards: bool) -> T {
        let here = all.iter().position(|v| *v == now).unwrap_or(0);
        all[(here + if onwards { 1 } else { all.len() - 1 }) % all.len()]
    }
    let Some(dialog) = dialog_mut(app) else { return };
    match dialog.row {
        PART => {
            dialog.part = next(ExportPart::ALL, dialog.part, onwards);
            let forms = dialog.part.forms();
            dialog.form = if forms.contains(&dialog.form) { dialog.form } else { forms[0] };
        }
        FORM => dialog.form = next(dialog.part.forms(), dialog.form, onwards),
        _ => return,
    }
    if !dialog.own {
        dialog.file = file_name(dialog.part, dialog.form);
    }
    dialog.told.clear();
    dialog.replace = false;
}

/// Changes the name of the file; its ending says the form, where it is one.
pub fn edit(app: &mut App, edit: impl Fn(&mut String)) {
    if let Some(dialog) = dialog_mut(app) {
        edit(&mut dialog.file);
        let ending = dialog.file.rsplit_once('.').map(|(_, ending)| ending.trim_end());
        let form = dialog.part.forms().iter().find(|form| Some(form.name()) == ending);
        dialog.form = form.copied().unwrap_or(dialog.form);
        dialog.row = FILE;
        dialog.own = true;
        dialog.replace = false;
        dialog.told.clear();
    }
}

fn accept(app: &mut App) {
    let Some(dialog) = dialog_mut(app).cloned() else { return };
    if dialog.row == COPY { copy(app) } else { save(app, &dialog) }
}

fn copy(app: &mut App) {
    if let Some(part) = dialog_mut(app).map(|dialog| dialog.part) {
        copy_command(app, part);
        if let (Some(said), Some(dialog)) = (app.notice.clone(), dialog_mut(app)) {
            dialog.told = said.text;
        }
    }
}

fn close(app: &mut App) {
    if dialog_mut(app).is_some() {
        app.popup = None;
    }
}

/// Draws the dialog.
pub fn draw(c: &mut Canvas, app: &App, area: Rect, dialog: &ExportDialog) {
    let inner = open(c, area, "Export", dialog.part.doc());
    let base = c.theme.popup();
    let values = [dialog.part.name(), dialog.form.name(), dialog.file.as_str(), "", ""];
    let names = ["what", "form", "file", "Save", "Copy the command that prints the same numbers"];
    for (row, (name, value)) in names.iter().zip(values).enumerate() {
        let y = inner.y + row as u16;
        if y >= inner.bottom() {
            return;
        }
        let here = row == dialog.row;
        let back = if here { c.theme.selected() } else { base };
        c.restyle(Rect { y, height: 1, ..inner }, back);
        let (dim, strong) = (over(back, c.style(Role::Dim)), over(back, c.style(Role::Strong)));
        if row >= SAVE {
            c.label(inner.x, y, name, strong, inner.width);
            continue;
        }
        c.label(inner.x, y, name, dim, NAME);
        let (x, room) = (inner.x + NAME, inner.width.saturating_sub(NAME + 1));
        if row == FILE {
            // The end of a long name is where one types.
            let mut from = 0;
            while width(&value[from..]) > room as usize {
                from += value[from..].chars().next().map_or(1, char::len_utf8);
            }
            let end = c.text(x, y, &value[from..], strong, room);
            if here {
                c.caret = Some((end, y));
            }
        } else {
            let arrows = if c.ascii() { ("< ", " >") } else { ("‹ ", " ›") };
            let doc = if row == FORM { dialog.form.doc() } else { "" };
            let pieces = [(arrows.0, dim), (value, strong), (arrows.1, dim), ("  ", dim), (doc, dim)];
            c.spans(x, y, &pieces, inner.right());
        }
    }
    let y = inner.y + ROWS as u16 + 1;
    let told = over(base, c.style(if dialog.replace { Role::Warn } else { Role::Text }));
    let room = Rect { y, height: inner.bottom().saturating_sub(y + 1), ..inner };
    c.paragraph(room, &dialog.told, told);
    keys(c, app, inner);
}

/// The keys in the last line.
fn keys(c: &mut Canvas, app: &App, inner: Rect) {
    let base = c.theme.popup();
    let (key, dim) = (over(base, c.theme.bold(Role::Accent)), over(base, c.style(Role::Dim)));
    let label = |action| app.key_label(action);
    let labels = [label(&EXPORT_DOWN), label(&EXPORT_AFTER), label(&EXPORT_DO), label(&EXPORT_CLOSE)];
    let pieces = [
        (labels[0].as_str(), key),
        (" row   ", dim),
        (&labels[1], key),
        (" change   ", dim),
        (&labels[2], key),
        (" save   ", dim),
        (&labels[3], key),
        (" close", dim),
    ];
    c.spans(inner.x, inner.bottom().saturating_sub(1), &pieces, inner.right());
}

/// A click selects a row; on what and form it takes the next value, on the last two it does what they say.
pub fn press(app: &mut App, area: Rect, y: u16) {
    let Some(row) = y.checked_sub(area.y + 1).map(usize::from).filter(|row| *row < ROWS) else { return };
    app.act(|app| {
        if let Some(dialog) = dialog_mut(app) {
            dialog.row = row;
        }
        match row {
            PART | FORM => change(app, true),
            FILE => {}
            _ => accept(app),
        }
    });
}
