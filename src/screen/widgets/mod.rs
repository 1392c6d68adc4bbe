//! What panes draw with: canvas, colours, lists of settings with sliders, charts.

pub mod canvas;
pub mod colours;
pub mod list;
pub mod plot;
pub mod theme;
pub mod thumbnail;
