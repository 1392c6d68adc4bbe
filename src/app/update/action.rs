//! What happens (`Event`) and what is to be done (`Action`), as values.

use crate::app::actions::Verb;
use crate::app::keys::Key;
use crate::app::params::Path;
use crate::app::state::Pane;
use crate::engine::types::Update;
use crate::train::report::Live;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    Key(Key),
    Paste(String),
    /// What the screen made of a mouse event.
    Act(Action),
    /// News from the engine.
    Update(Update),
    /// Only time has passed.
    Tick,
    /// A signal asks the program to leave.
    Terminate,
}

/// Something to do. The mouse can point at places that keys cannot name, so there is more here than in the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Do(Verb),
    /// A printable key that is bound to nothing.
    Type(char),
    /// Characters that came at once, typed into the text.
    TypeRun(String),
    Paste(String),
    Focus(Pane),
    Item(Path),
    /// A setting's place on its track, 0..1.
    SetFraction(Path, f64),
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
        path: Path,
        steps: i32,
        fine: bool,
    },
    /// Type or choose a setting's value.
    Open(Path),
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
        path: Path,
        open: bool,
    },
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
