//! The worker that serves the explorer: one-slot mailbox, generation numbers, reuse cache, streaming of results.
//! Runs on its own thread; knows nothing of the terminal.

pub mod types;
