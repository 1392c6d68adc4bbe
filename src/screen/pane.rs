//! What a pane is: its name, its keys, and the functions that draw it and answer the mouse. Every pane declares one
//! [`Pane`] beside those functions; the `mod.rs` of each screen (`explore/`, `train/`, `generate/`) lists them and says where they
//! stand.

use std::fmt;

use ratatui::layout::Rect;

use crate::screen::actions::{Action, Context, PANES};
use crate::screen::app::App;
use crate::screen::explore::text::EDIT_TEXT;
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::screen::{explore, generate, train};

/// What the mouse does while its button is down: called with the pane's contents and the cell under the mouse.
pub type Drag = Box<dyn FnMut(&mut App, Rect, (u16, u16))>;

/// A click of the left button.
#[derive(Clone, Copy, Debug)]
pub struct Press {
    pub x: u16,
    pub y: u16,
    /// The second of two clicks on the same cell.
    pub double: bool,
    pub shift: bool,
}

/// A notch of the wheel.
#[derive(Clone, Copy, Debug)]
pub struct Wheel {
    pub x: u16,
    pub y: u16,
    /// −1 is up or left, 1 is down or right.
    pub by: i64,
    pub sideways: bool,
    pub shift: bool,
    pub control: bool,
}

/// A pane. Known by its name; [`BLANK`] has what most panes have in common.
pub struct Pane {
    pub name: &'static str,
    /// On its frame.
    pub title: &'static str,
    pub screen: Screen,
    /// Where its own keys apply.
    pub context: fn(&App) -> Context,
    /// The actions that are declared for it.
    pub actions: &'static [&'static [&'static Action]],
    /// A few words after the title: what is shown right now.
    pub subtitle: fn(&App) -> Vec<TitlePart>,
    pub draw: fn(&mut Canvas, &App, Rect),
    /// What is under the pane's cursor, in a sentence or two with the numbers of this moment; empty where nothing is.
    pub explain: fn(&App) -> String,
    /// Moves cursor and scroll position to where something is, after any change. Without an area, the pane is hidden.
    pub settle: fn(&mut App, Option<Rect>),
    /// Whether a printable key is typed here instead of looked up.
    pub takes: fn(&App, char) -> bool,
    pub typed: fn(&mut App, char),
    /// Takes pasted text; without it, the text goes where its screen puts it.
    pub paste: Option<fn(&mut App, &str)>,
    /// A click. The focus is here by then.
    pub press: fn(&mut App, Rect, Press) -> Option<Drag>,
    /// What the right button takes hold of.
    pub pull: fn(&App, (u16, u16)) -> Option<Drag>,
    /// Whether `press` itself moves the focus here.
    pub focuses: bool,
    /// Without it, the wheel scrolls the pane by lines.
    pub wheel: Option<fn(&mut App, Rect, Wheel)>,
    /// Whether the wheel also turns sideways here.
    pub sideways: bool,
}

/// A pane that only shows something.
pub const BLANK: Pane = Pane {
    name: "",
    title: "",
    screen: Screen::Explore,
    context: |_| PANES,
    actions: &[],
    subtitle: |_| Vec::new(),
    draw: |_, _, _| {},
    explain: |_| String::new(),
    settle: |_, _| {},
    takes: |_, _| false,
    typed: |_, _| {},
    paste: None,
    press: |_, _, _| None,
    pull: |_, _| None,
    focuses: false,
    wheel: None,
    sideways: false,
};

impl PartialEq for Pane {
    fn eq(&self, other: &Pane) -> bool {
        self.name == other.name
    }
}

impl Eq for Pane {}

impl fmt::Debug for Pane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Every pane, in the order in which the focus goes round; those of the explorer come first.
pub fn all() -> impl Iterator<Item = &'static Pane> {
    explore::PANES.iter().chain(train::PANES).chain(generate::PANES).copied()
}

/// A few words of a frame's title.
#[derive(Clone, Debug)]
pub struct TitlePart {
    pub text: String,
    pub role: Role,
}

impl TitlePart {
    pub fn new(text: impl Into<String>, role: Role) -> Self {
        TitlePart { text: text.into(), role }
    }
}

/// What an empty pane says: why it is empty and what to do.
pub fn empty_text(c: &mut Canvas, app: &App, area: Rect, what: &str) {
    let help = if app.doc.editor.text().is_empty() {
        format!("There is no text yet: press {} and type, or paste a file", app.key_label(&EDIT_TEXT))
    } else if let Some(failure) = &app.results.failure {
        failure.value.message.clone()
    } else if app.model.is_none() {
        "The model is being loaded".to_owned()
    } else if app.busy() {
        "Computing…".to_owned()
    } else {
        "Nothing to show for this text".to_owned()
    };
    let y = area.y + area.height.saturating_sub(3) / 4;
    let style = c.style(Role::Dim);
    let head = Rect::new(area.x, y, area.width, 1);
    c.label(head.x, head.y, what, style, head.width);
    let rest = Rect::new(area.x, y + 1, area.width, area.bottom().saturating_sub(y + 1));
    let faint = c.style(Role::Dim);
    c.paragraph(rest, &help, faint);
}

/// Probability as a percentage of four to five columns.
pub fn percent(p: f32) -> String {
    let x = p * 100.0;
    if !x.is_finite() {
        "–".to_owned()
    } else if x >= 99.95 {
        "100%".to_owned()
    } else if x >= 0.1 || x == 0.0 {
        format!("{x:.1}%")
    } else {
        "<0.1%".to_owned()
    }
}

/// A share as a percentage with one decimal and a space, for running text.
pub fn share(x: f64) -> String {
    if x.is_finite() { format!("{:.1} %", x * 100.0) } else { "–".to_owned() }
}

/// Signed, four decimals, with a true minus sign; a dash where there is nothing.
pub fn signed(x: Option<f32>) -> String {
    match x.filter(|v| v.is_finite()) {
        Some(v) if v.abs() < 5e-5 => "0.0000".to_owned(),
        Some(v) if v < 0.0 => format!("−{:.4}", -v),
        Some(v) => format!("+{v:.4}"),
        None => "–".to_owned(),
    }
}
