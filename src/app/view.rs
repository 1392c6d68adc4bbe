//! What is looked at: the panes and where they belong, cursors and scroll positions. Pure.

use crate::app::actions::Context;
use crate::app::mapview::{Room, Zoom};
use crate::app::overview::Sort;
use crate::app::params::Path;
pub use crate::config::ColourScale;
use crate::mask::types::MaskSettings;
use crate::settings::choice;

choice! {
    /// A pane, in the order in which the focus goes round; those of the explorer come first.
    pub enum Pane {
        Mask = "mask",
        Scores = "scores",
        Plane = "plane",
        Text = "text",
        Tokens = "tokens",
        Map = "map",
        Effect = "effect",
        Why = "why",
        Window = "window",
        Cost = "cost",
        Setup = "setup",
        Run = "run",
        Loss = "loss",
        Rates = "rates",
        Speed = "speed",
        Twins = "twins",
        Raster = "raster",
        Batch = "batch",
        Samples = "samples",
        Log = "log",
        Runs = "runs",
    }
}

choice! {
    /// What fills the terminal.
    pub enum Screen { Explore = "explore", Train = "train" }
}

impl Pane {
    /// The screen a pane belongs to; the focused pane decides which screen is shown.
    pub fn screen(self) -> Screen {
        if (self as usize) < Pane::Setup as usize { Screen::Explore } else { Screen::Train }
    }

    /// Where its own actions apply.
    pub(super) fn context(self) -> Context {
        match self {
            Pane::Mask | Pane::Scores => Context::Mask,
            Pane::Plane => Context::Plane,
            Pane::Text => Context::Text,
            Pane::Tokens => Context::Tokens,
            Pane::Map => Context::Map,
            Pane::Effect | Pane::Why | Pane::Window | Pane::Cost => Context::Panel,
            Pane::Setup => Context::Setup,
            Pane::Run | Pane::Twins => Context::Train,
            Pane::Loss | Pane::Rates | Pane::Speed => Context::Chart,
            Pane::Raster | Pane::Batch | Pane::Samples | Pane::Log => Context::Feed,
            Pane::Runs => Context::Runs,
        }
    }
}

/// What is looked at; not undone, except through the document.
#[derive(Clone, Debug)]
pub struct View {
    pub focus: Pane,
    /// Panes by how recently they were wanted: tabs show the first of theirs.
    pub recent: Vec<Pane>,
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
    /// Whether a person has put the crosshair somewhere, rather than the program.
    pub placed: bool,
    pub overview: bool,
    pub sort: Sort,
    /// Chosen thumbnail, in the current order, and the first row of them on screen.
    pub head: usize,
    pub head_top: usize,
    pub effects: bool,
    /// First visible row of the editor: hard line, soft-wrapped row.
    pub text_top: (usize, usize),
    /// First visible row of the token strip.
    pub strip_top: usize,
    /// Lines scrolled, by pane.
    pub scroll: [usize; Pane::ALL.len()],
}

/// Sizes that moving around depends on, of the panes that are on screen. A function of the state and the terminal's
/// size, see `App::geometry`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// Columns and rows for the text.
    pub text: Option<(usize, usize)>,
    /// Columns and rows of tokens.
    pub strip: Option<(usize, usize)>,
    pub map: Option<Room>,
    /// Columns and lines for thumbnails.
    pub overview: Option<(usize, usize)>,
    /// Lines for the list of settings.
    pub mask_rows: Option<usize>,
    /// Lines for the form of a run.
    pub form_rows: Option<usize>,
    pub chart_columns: Option<usize>,
}

impl Default for View {
    fn default() -> Self {
        View {
            focus: Pane::Mask,
            recent: vec![
                Pane::Mask,
                Pane::Map,
                Pane::Effect,
                Pane::Why,
                Pane::Scores,
                Pane::Plane,
                Pane::Window,
                Pane::Cost,
                Pane::Tokens,
                Pane::Text,
                Pane::Setup,
                Pane::Loss,
                Pane::Run,
                Pane::Raster,
                Pane::Rates,
                Pane::Log,
                Pane::Speed,
                Pane::Twins,
                Pane::Samples,
                Pane::Batch,
                Pane::Runs,
            ],
            enlarged: false,
            item: MaskSettings::threshold,
            item_top: 0,
            zoom: Zoom::Fit,
            origin: (0, 0),
            colours: ColourScale::Sqrt,
            query: 0,
            key: 0,
            placed: false,
            overview: false,
            sort: Sort::Place,
            head: 0,
            head_top: 0,
            effects: false,
            text_top: (0, 0),
            strip_top: 0,
            scroll: [0; Pane::ALL.len()],
        }
    }
}
