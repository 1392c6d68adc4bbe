//! Writing on: one token after another over the keys and values of what was read, under a mask that decides at window
//! boundaries from the past only. Without threads; the engine's worker and the command `generate` are thin layers over
//! [`WritingSession`].

mod cache;
mod continuation;
mod dialogue;
mod sampling;
mod session;

pub use continuation::Continuation;
pub use session::WritingSession;
