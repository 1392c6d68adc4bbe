//! What every room needs once: atomic file writes, text made visible, home and cache folders, units, text tables, progress bars, numbers
//! from counters, panics of libraries caught. Knows no other room.

pub mod caught;
pub mod files;
pub mod paths;
pub mod progress;
pub mod random;
pub mod table;
pub mod units;
pub mod visible;
