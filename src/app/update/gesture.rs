//! What happens (`Event`) and what a key or the mouse asks for (`Gesture`), as values.

use crate::app::actions::Action;
use crate::app::keys::Key;
use crate::app::params::ParamId;
use crate::app::state::Pane;
use crate::app::train::Field;
use crate::engine::types::Update;
use crate::train::report::Live;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    Key(Key),
    Paste(String),
    /// What the screen made of a mouse event.
    Act(Gesture),
    /// News from the engine.
    Update(Update),
    /// The terminal has so many columns and rows now.
    Resize(u16, u16),
    /// Only time has passed.
    Tick,
    /// A signal asks the program to leave.
    Terminate,
}

/// What a key or the mouse asks for: an action, or what no action can name, such as a character or a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Gesture {
    Do(&'static Action),
    /// A printable key that is bound to nothing.
    Type(char),
    /// Characters that came at once, typed into the text.
    TypeRun(String),
    Paste(String),
    Focus(Pane),
    Item(ParamId),
    /// A slider's place on its track, 0..1.
    SetFraction(ParamId, f64),
    /// The point of the plane: place of τ on its track, and p.
    SetPoint {
        tau: f64,
        p: f64,
    },
    /// The line of τ in the histogram: a place on its axis, 0..1.
    SetLine(f64),
    /// A row of the mix editor gets so much.
    Share {
        row: usize,
        percent: u32,
    },
    /// One step of a setting.
    Nudge {
        param: ParamId,
        steps: i32,
        fine: bool,
    },
    /// Type or choose a setting's value.
    Open(ParamId),
    Token(usize),
    Crosshair {
        query: usize,
        key: usize,
    },
    /// Put the caret at a byte offset.
    Caret {
        offset: usize,
        extend: bool,
    },
    SelectWord {
        offset: usize,
    },
    /// Move the map by tokens.
    Pan {
        queries: i64,
        keys: i64,
    },
    Scroll {
        pane: Pane,
        lines: i64,
    },
    /// A thumbnail, by its place in the current order.
    Head {
        place: usize,
        open: bool,
    },
    /// A setting of a run.
    Field {
        field: Field,
        open: bool,
    },
    /// A number of the form: a place on its track, 0..1.
    FieldFraction(Field, f64),
    /// A slider of the run that goes on: a place on its track, 0..1.
    Live(Live, f64),
    /// The cursor of the charts: a place on their axis, 0..1.
    ChartCursor(f64),
    /// A run of the list.
    RunRow {
        index: usize,
        open: bool,
    },
    /// An entry of the open list.
    ListEntry {
        index: usize,
        take: bool,
    },
    /// A drag begins, or ends.
    Hold,
    Release,
}
