//! A one-slot mailbox: the newest request replaces an older one that has not started, and a flag asks work in progress to
//! give up between two blocks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::types::{Command, ExploreRequest};

#[derive(Default)]
struct Waiting {
    request: Option<ExploreRequest>,
    commands: VecDeque<Command>,
}

/// Shared by the screen's side and the worker.
#[derive(Default)]
pub struct Mailbox {
    slot: Mutex<Waiting>,
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
    fn slot(&self) -> MutexGuard<'_, Waiting> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request in place of any that has not started; work in progress gives up at its next block.
    pub fn explore(&self, request: ExploreRequest) {
        let mut slot = self.slot();
        self.cancel.store(true, Ordering::Relaxed);
        slot.request = Some(request);
        self.wake.notify_one();
    }

    /// Queues a command; commands are served before requests, in order.
    pub fn command(&self, command: Command) {
        let mut slot = self.slot();
        self.cancel.store(true, Ordering::Relaxed);
        slot.commands.push_back(command);
        self.wake.notify_one();
    }

    /// The next thing to do. Blocks unless `busy` (background work waits).
    pub fn take(&self, busy: bool) -> Mail {
        let mut slot = self.slot();
        loop {
            self.cancel.store(false, Ordering::Relaxed);
            if let Some(command) = slot.commands.pop_front() {
                return Mail::Command(command);
            }
            if let Some(request) = slot.request.take() {
                return Mail::Explore(Box::new(request));
            }
            if busy {
                return Mail::Nothing;
            }
            slot = self.wake.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts back a request that was cancelled, by a command say, unless a newer one has come.
    pub fn put_back(&self, request: ExploreRequest) {
        self.slot().request.get_or_insert(request);
    }

    /// Whether work in progress should give up; checked between blocks.
    pub fn cancel_flag(&self) -> &AtomicBool {
        &self.cancel
    }
}
