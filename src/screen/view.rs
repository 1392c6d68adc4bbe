//! What is looked at: the panes and where they belong, cursors and scroll positions. Pure.

use std::collections::BTreeMap;

pub use crate::config::ColourScale;
use crate::mask::types::MaskSettings;
use crate::screen::explore::map::view::Zoom;
use crate::screen::explore::mask;
use crate::screen::explore::overview::order::Sort;
use crate::screen::pane::Pane;
use crate::screen::params::Path;
use crate::settings::choice;

choice! {
    /// What fills the terminal.
    pub enum Screen { Explore = "explore", Train = "train", Generate = "generate" }
}

/// What is looked at; not undone, except through the document.
#[derive(Clone, Debug)]
pub struct View {
    pub focus: &'static Pane,
    /// Panes by how recently they were wanted: tabs show the first of theirs.
    pub recent: Vec<&'static Pane>,
    pub enlarged: bool,
    pub item: Path,
    /// First row of the mask pane on screen.
    pub item_top: usize,
    pub zoom: Zoom,
    /// First (query, key) on screen.
    pub origin: (usize, usize),
    pub colours: ColourScale,
    /// The crosshair; `key` is also the selected token.
    pub query: usize,
    pub key: usize,
    /// The token after which the next one is predicted, where a person pointed at one.
    pub position: Option<usize>,
    /// Whether a person has put the crosshair somewhere, rather than the program.
    pub placed: bool,
    pub overview: bool,
    pub sort: Sort,
    /// Chosen thumbnail, in the current order, and the first row of them on screen.
    pub head: usize,
    pub head_top: usize,
    pub effects: bool,
    /// The intervention under the cursor, and the first one on screen.
    pub intervention: usize,
    pub intervention_top: usize,
    /// Whether the grid of patches takes the place of the list of interventions; its layer and position under the cursor.
    pub patches: bool,
    pub patch: (usize, usize),
    /// First visible row of the editor: hard line, soft-wrapped row.
    pub text_top: (usize, usize),
    /// First visible row of the token strip.
    pub strip_top: usize,
    /// Lines scrolled, by the name of a pane.
    pub scroll: BTreeMap<&'static str, usize>,
}

impl View {
    /// How many lines a pane is scrolled.
    pub fn scrolled(&self, pane: &'static Pane) -> usize {
        self.scroll.get(pane.name).copied().unwrap_or(0)
    }
}

impl Default for View {
    fn default() -> Self {
        View {
            focus: &mask::PANE,
            recent: vec![&mask::PANE],
            enlarged: false,
            item: MaskSettings::threshold,
            item_top: 0,
            zoom: Zoom::Fit,
            origin: (0, 0),
            colours: ColourScale::Sqrt,
            query: 0,
            key: 0,
            position: None,
            placed: false,
            overview: false,
            sort: Sort::Place,
            head: 0,
            head_top: 0,
            effects: false,
            intervention: 0,
            intervention_top: 0,
            patches: false,
            patch: (0, 0),
            text_top: (0, 0),
            strip_top: 0,
            scroll: BTreeMap::new(),
        }
    }
}
