//! Effects, perplexity, statistics and verdicts. Knows nothing of screens.

pub mod bayes;
pub mod classes;
pub mod classify;
pub mod documents;
pub mod heads;
pub mod hidden;
pub mod leak;
pub mod probe;
pub mod rows;
pub mod sliding;
pub mod stats;
