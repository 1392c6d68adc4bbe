//! Undo and redo over snapshots of the document. Changes of one gesture (a word typed, a slider dragged) become one
//! step. Pure: the clock is passed in.

use std::time::Duration;

use crate::screen::document::Snapshot;
use crate::screen::params::Path;

/// Two changes of one kind further apart than this are two steps.
const PAUSE: Duration = Duration::from_millis(1200);
/// Steps kept; older ones are forgotten.
const DEPTH: usize = 500;

/// What kind of change a step is; neighbours of the same kind may merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EditKind {
    /// Characters typed into one word.
    Typing,
    /// Characters deleted one after another.
    Deleting,
    /// One setting changed again and again.
    Setting(Path),
    /// The point of the τ × p plane.
    Plane,
    /// Layer, head, which run.
    View,
    /// Always a step of its own.
    #[default]
    Single,
    /// Undo and redo: no step at all.
    Travel,
}

#[derive(Clone, Debug)]
struct UndoStep {
    kind: EditKind,
    at: Duration,
    before: Snapshot,
}

/// The past and, after an undo, the future.
#[derive(Clone, Debug, Default)]
pub struct History {
    past: Vec<UndoStep>,
    future: Vec<Snapshot>,
    /// Of the change that is being made.
    kind: EditKind,
    /// The next change starts a new step whatever its kind.
    closed: bool,
    /// A drag is on: its changes merge however slow they are.
    held: bool,
}

impl History {
    /// A change may come: a step of its own, unless it says otherwise.
    pub fn begin(&mut self) {
        self.kind = EditKind::Single;
    }

    /// The change that is being made may join the step before, if that is of the same kind.
    pub fn joins(&mut self, kind: EditKind) {
        self.kind = kind;
    }

    /// The change that is being made is one of this setting, unless it was said to be of another kind: changes of one
    /// setting in a row are one step.
    pub fn touches(&mut self, path: Path) {
        if self.kind == EditKind::Single {
            self.kind = EditKind::Setting(path);
        }
    }

    /// Notes that the document was `before` and has just changed.
    pub fn record(&mut self, before: Snapshot, now: Duration) {
        let kind = self.kind;
        if kind == EditKind::Travel {
            return;
        }
        self.future.clear();
        if let Some(last) = self.past.last_mut()
            && !self.closed
            && kind != EditKind::Single
            && last.kind == kind
            && (self.held || now.saturating_sub(last.at) < PAUSE)
        {
            last.at = now;
            return;
        }
        self.closed = false;
        self.past.push(UndoStep { kind, at: now, before });
        if self.past.len() > DEPTH {
            self.past.remove(0);
        }
    }

    /// The gesture is over: the next change is a step of its own.
    pub fn close(&mut self) {
        self.closed = true;
        self.held = false;
    }

    /// A drag begins: until `close`, its changes are one step.
    pub fn hold(&mut self) {
        self.closed = true;
        self.held = true;
    }

    /// One step back, given the document as it is.
    pub fn undo(&mut self, now: Snapshot) -> Option<Snapshot> {
        let step = self.past.pop()?;
        self.future.push(now);
        (self.closed, self.kind) = (true, EditKind::Travel);
        Some(step.before)
    }

    /// One step forward again.
    pub fn redo(&mut self, now: Snapshot, at: Duration) -> Option<Snapshot> {
        let next = self.future.pop()?;
        self.past.push(UndoStep { kind: EditKind::Single, at, before: now });
        (self.closed, self.kind) = (true, EditKind::Travel);
        Some(next)
    }

    /// What one step back would bring.
    pub fn before(&self) -> Option<&Snapshot> {
        self.past.last().map(|step| &step.before)
    }

    pub fn can_undo(&self) -> bool {
        !self.past.is_empty()
    }

    pub fn can_redo(&self) -> bool {
        !self.future.is_empty()
    }
}
