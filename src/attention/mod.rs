//! From a trace to maps, scores, nulls, sinks, roll-out and head statistics. Knows nothing of masks.

pub mod source;
pub mod types;
