//! What stands around the panes: the bar on top, frames with their tabs, the status line and the hints.

pub mod bar;
pub mod cards;
pub mod frames;
pub mod hints;
pub mod status;
