//! Effects, perplexity, statistics and verdicts. Knows nothing of screens.

pub mod documents;
pub mod heads;
pub mod hidden;
pub mod leak;
pub mod probe;
pub mod stats;
