//! From a trace to maps, scores, nulls, sinks, roll-out and head statistics. Knows nothing of masks.
//!
//! Runs on whichever thread calls it and spreads heads over rayon's pool; results never depend on the number
//! of threads, because each head is summed alone and heads are combined in a fixed order. Never holds all maps.

pub mod calibration;
pub mod calibration_file;
pub mod decayed;
pub mod distance_null;
pub mod formula;
pub mod heads;
pub mod maps;
pub mod score;
pub mod sinks;
pub mod source;
pub mod sweep;
#[cfg(test)]
pub(crate) mod testing;
pub mod types;
