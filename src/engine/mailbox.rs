//! A one-slot mailbox: the newest request replaces an older one that has not started, and a flag asks work in progress to
//! give up between two blocks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::types::{Command, ExploreRequest};

/// A slider that is held down would starve every result if each move cancelled the pass before it; after this long
/// without a result, a pass over the same text is let through.
const PATIENCE: Duration = Duration::from_millis(120);

#[derive(Default)]
struct Slot {
    request: Option<ExploreRequest>,
    commands: Vec<Command>,
    /// Text of the request being served.
    running: Option<Arc<str>>,
    last_result: Option<Instant>,
}

/// Shared by the screen's side and the worker.
#[derive(Default)]
pub struct Mailbox {
    slot: Mutex<Slot>,
    wake: Condvar,
    cancel: AtomicBool,
}

/// What the worker finds.
pub enum Mail {
    Explore(Box<ExploreRequest>),
    Command(Command),
    /// Nothing to do; only returned when the worker said it has background work.
    Nothing,
}

impl Mailbox {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request in place of any that has not started.
    pub fn explore(&self, request: ExploreRequest) {
        let mut slot = self.slot();
        let other_text = slot.running.as_ref().is_some_and(|text| **text != *request.text);
        let recent = slot.last_result.is_some_and(|at| at.elapsed() < PATIENCE);
        if slot.running.is_some() && (other_text || recent) {
            self.cancel.store(true, Ordering::Relaxed);
        }
        if slot.running.is_none() {
            // Background work, if any, makes room at once.
            self.cancel.store(true, Ordering::Relaxed);
        }
        slot.request = Some(request);
        self.wake.notify_one();
    }

    /// Queues a command; commands are served before requests, in order.
    pub fn command(&self, command: Command) {
        let mut slot = self.slot();
        self.cancel.store(true, Ordering::Relaxed);
        slot.commands.push(command);
        self.wake.notify_one();
    }

    /// The next thing to do. Blocks unless `busy` (background work waits).
    pub fn take(&self, busy: bool) -> Mail {
        let mut slot = self.slot();
        loop {
            self.cancel.store(false, Ordering::Relaxed);
            if !slot.commands.is_empty() {
                return Mail::Command(slot.commands.remove(0));
            }
            if let Some(request) = slot.request.take() {
                slot.running = Some(request.text.clone());
                return Mail::Explore(Box::new(request));
            }
            if busy {
                return Mail::Nothing;
            }
            slot = self.wake.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Called after a request was served. One that was cancelled and not replaced goes back into the slot.
    pub fn finished(&self, cancelled: Option<ExploreRequest>) {
        let mut slot = self.slot();
        slot.running = None;
        match cancelled {
            Some(request) if slot.request.is_none() => slot.request = Some(request),
            Some(_) => {}
            None => slot.last_result = Some(Instant::now()),
        }
    }

    /// Whether work in progress should give up; checked between blocks.
    pub fn cancel_flag(&self) -> &AtomicBool {
        &self.cancel
    }
}
