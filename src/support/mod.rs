//! What every room needs once: atomic file writes, text made visible, home and cache folders, units, text tables, progress bars, numbers
//! from counters. Knows no other room.

pub mod files;
pub mod paths;
pub mod progress;
pub mod random;
pub mod table;
pub mod units;
pub mod visible;
