//! The whole state of the screen: what is being looked at, what was answered, what is open. Owned by the UI thread;
//! changed only by `update` and `take_update`, never by drawing.

use std::time::Duration;

use crate::app::actions::{Context, Verb};
use crate::app::document::Document;
use crate::app::history::History;
use crate::app::keymap::{Keymap, KeymapError};
use crate::app::mapview::{Room, Zoom};
use crate::app::options::{Look, Options};
use crate::app::overview::Sort;
use crate::app::params::Path;
use crate::app::results::{Results, Slot};
use crate::app::train::state::Question;
use crate::app::train::{RunRequest, TrainState};
pub use crate::config::ColourScale;
use crate::engine::types::{ExploreRequest, LoadProgress, ModelInfo, TrainCommand};
use crate::mask::types::MaskSettings;
use crate::settings::choice;

/// Answers that take longer than this are announced: the old picture is dimmed and a spinner turns. Shorter waits
/// would only flicker.
pub const PATIENCE: Duration = Duration::from_millis(150);
/// How long a passing message stays.
pub const NOTICE: Duration = Duration::from_secs(5);

choice! {
    /// A pane of the explorer.
    pub enum Pane {
        Text = "text",
        Tokens = "tokens",
        Map = "map",
        Effect = "effect",
        Why = "why",
        Cost = "cost",
        Mask = "mask",
        Scores = "scores",
        Window = "window",
        Plane = "plane",
        Setup = "setup",
        Run = "run",
        Runs = "runs",
        Loss = "loss",
        Rates = "rates",
        Speed = "speed",
        Twins = "twins",
        Raster = "raster",
        Batch = "batch",
        Samples = "samples",
        Log = "log",
    }
}

choice! {
    /// What fills the terminal.
    pub enum Screen { Explore = "explore", Train = "train" }
}

impl Pane {
    /// The screen a pane belongs to; the focused pane decides which screen is shown.
    pub fn screen(self) -> Screen {
        match self {
            Pane::Text
            | Pane::Tokens
            | Pane::Map
            | Pane::Effect
            | Pane::Why
            | Pane::Cost
            | Pane::Mask
            | Pane::Scores
            | Pane::Window
            | Pane::Plane => Screen::Explore,
            Pane::Setup
            | Pane::Run
            | Pane::Runs
            | Pane::Loss
            | Pane::Rates
            | Pane::Speed
            | Pane::Twins
            | Pane::Raster
            | Pane::Batch
            | Pane::Samples
            | Pane::Log => Screen::Train,
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

/// Sizes on screen that moving around depends on; told by the screen whenever its layout changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub text_columns: usize,
    pub text_rows: usize,
    pub strip_columns: usize,
    /// Rows of tokens that fit.
    pub strip_rows: usize,
    pub map: Room,
    /// Columns and lines for thumbnails.
    pub overview: (usize, usize),
    /// Lines for the list of settings.
    pub mask_rows: usize,
    /// Lines for the form of a run, columns of its charts.
    pub form_rows: usize,
    pub chart_columns: usize,
    /// The whole screen is large enough for the explorer.
    pub usable: bool,
}

impl Default for Geometry {
    fn default() -> Self {
        Geometry {
            text_columns: 78,
            text_rows: 3,
            strip_columns: 78,
            strip_rows: 2,
            map: Room { width: 40, height: 20, per_line: 2 },
            overview: (48, 12),
            mask_rows: 16,
            form_rows: 16,
            chart_columns: 40,
            usable: true,
        }
    }
}

/// A list with something typed above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub typed: String,
    pub selected: usize,
}

/// What lies over the panes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Popup {
    Help {
        scroll: usize,
    },
    Tour {
        step: usize,
    },
    Palette(List),
    Models(List),
    /// Shares of operations; the row that is being changed.
    Mix {
        row: usize,
    },
    /// All values of one setting.
    Picker {
        path: Path,
        list: List,
    },
    /// Something to confirm.
    Ask(Question),
}

/// A value being typed into a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: Path,
    pub typed: String,
    pub error: Option<String>,
}

/// What `retry` does about a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    Load(String),
    Ask,
    /// Plan the run anew.
    Plan,
}

/// An error that stays on screen until it is dismissed, retried or overtaken by success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub title: String,
    pub message: String,
    pub hint: Option<String>,
    pub remedy: Remedy,
}

/// A passing message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    pub until: Duration,
}

/// What `update` wants done outside the state.
#[derive(Clone, Debug)]
pub enum Effect {
    Explore(Box<ExploreRequest>),
    Command(crate::engine::types::Command),
    /// Prepare a run.
    Plan(Box<RunRequest>),
    Train(TrainCommand),
    /// Put on the clipboard of the terminal.
    Copy(String),
    Suspend,
    /// Forget what is on the terminal and draw all of it.
    Redraw,
    Quit,
}

/// The screen's whole state.
#[derive(Clone, Debug)]
pub struct App {
    pub options: Options,
    pub keymap: Keymap,
    pub look: Look,
    pub doc: Document,
    pub view: View,
    pub train: TrainState,
    pub results: Results,
    pub popup: Option<Popup>,
    pub entry: Option<Entry>,
    /// The setting that the action at hand has changed.
    pub touched: Option<Path>,
    pub cards: Vec<Card>,
    pub notice: Option<Notice>,
    /// A distance null was measured for the model in use and waits to be taken.
    pub null_ready: bool,
    /// What to load again for the newer version that the Hub has of the model in use.
    pub moved: Option<String>,
    pub model: Option<ModelInfo>,
    pub loading: Option<LoadProgress>,
    /// The engine is at work on re-rolls, on true costs, on the leak meter.
    pub rerolling: bool,
    pub costing: bool,
    pub leaking: bool,
    /// Since which generation the text, and since which everything that makes the mask, has been as it is: background
    /// results of these generations still hold when only the view has changed.
    pub text_since: u64,
    pub mask_since: u64,
    pub geometry: Geometry,
    pub quit: bool,
    /// Time since the program started; set before every event.
    pub now: Duration,
    /// Generation of the newest request.
    pub generation: u64,
    /// When it was sent.
    pub asked: Duration,
    pub(super) request: Option<ExploreRequest>,
    pub(super) history: History,
    pub(super) clipboard: String,
    /// The load that was cancelled last: what is still reported of it is ignored.
    pub(super) cancelled: Option<String>,
}

impl App {
    /// Fails only on the user's key settings.
    pub fn new(options: Options) -> Result<Self, KeymapError> {
        let keymap = Keymap::new(&options.keys)?;
        let popup = options.tour.then_some(Popup::Tour { step: 0 });
        Ok(App {
            keymap,
            look: options.look,
            doc: Document::new(&options),
            view: View::default(),
            train: TrainState::default(),
            results: Results::default(),
            popup,
            entry: None,
            touched: None,
            cards: Vec::new(),
            notice: None,
            null_ready: false,
            moved: None,
            model: None,
            loading: None,
            rerolling: false,
            costing: false,
            leaking: false,
            text_since: 0,
            mask_since: 0,
            geometry: Geometry::default(),
            quit: false,
            now: Duration::ZERO,
            generation: 0,
            asked: Duration::ZERO,
            request: None,
            history: History::default(),
            clipboard: String::new(),
            cancelled: None,
            options,
        })
    }

    /// Active contexts, innermost first.
    pub fn contexts(&self) -> Vec<Context> {
        use Context as C;
        match (&self.popup, &self.entry) {
            (Some(Popup::Help { .. } | Popup::Tour { .. }), _) => vec![C::Page, C::Anywhere],
            (Some(Popup::Mix { .. }), _) => vec![C::Mix, C::Anywhere],
            (Some(Popup::Ask(_)), _) => vec![C::Ask, C::Anywhere],
            (Some(_), _) => vec![C::List, C::Anywhere],
            (None, Some(_)) => vec![C::Entry, C::Anywhere],
            (None, None) if self.train.typing.is_some() => vec![C::Entry, C::Anywhere],
            (None, None) => match self.view.focus {
                Pane::Text => vec![C::Text, C::Anywhere],
                Pane::Tokens => vec![C::Tokens, C::Panes, C::Anywhere],
                Pane::Map if self.view.overview => vec![C::Overview, C::Panes, C::Anywhere],
                Pane::Map => vec![C::Map, C::Panes, C::Anywhere],
                Pane::Mask | Pane::Scores => vec![C::Mask, C::Panes, C::Anywhere],
                Pane::Plane => vec![C::Plane, C::Panes, C::Anywhere],
                Pane::Effect | Pane::Why | Pane::Cost | Pane::Window => vec![C::Panel, C::Panes, C::Anywhere],
                Pane::Setup => vec![C::Setup, C::Train, C::Panes, C::Anywhere],
                Pane::Loss | Pane::Rates | Pane::Speed => vec![C::Chart, C::Train, C::Panes, C::Anywhere],
                Pane::Runs => vec![C::Runs, C::Train, C::Panes, C::Anywhere],
                Pane::Run | Pane::Twins => vec![C::Train, C::Panes, C::Anywhere],
                Pane::Raster | Pane::Batch | Pane::Samples | Pane::Log => {
                    vec![C::Feed, C::Train, C::Panes, C::Anywhere]
                }
            },
        }
    }

    /// Which screen is shown.
    pub fn screen(&self) -> Screen {
        self.view.focus.screen()
    }

    /// The engine has not yet answered the newest request.
    pub fn busy(&self) -> bool {
        self.request.is_some() && self.results.done < self.generation
    }

    /// It has not for so long that it should be said.
    pub fn waiting(&self) -> bool {
        self.busy() && self.now.saturating_sub(self.asked) >= PATIENCE
    }

    /// Whether an answer should be dimmed: it belongs to an older request, and for long enough to be noticed.
    pub fn stale<T>(&self, slot: &Slot<T>) -> bool {
        slot.generation < self.generation && (self.waiting() || !self.busy())
    }

    /// When the screen has to be drawn again although nothing happens; `None` lets the program sleep.
    pub fn wake(&self) -> Option<Duration> {
        let notice = self.notice.as_ref().map(|n| n.until.saturating_sub(self.now));
        let moving = self.train.busy() || self.busy() || self.loading.is_some() || self.background();
        let spin = moving.then_some(Duration::from_millis(100));
        notice.into_iter().chain(spin).min()
    }

    /// The shortest key of an action, whatever the context; empty where it has none.
    pub fn key_label(&self, verb: Verb) -> String {
        let labels = self.keymap.keys(verb).iter().map(|k| k.label(self.look.ascii));
        labels.min_by_key(|l| l.chars().count()).unwrap_or_default()
    }

    /// The key of an action that works here and now.
    pub fn key_here(&self, verb: Verb) -> Option<String> {
        self.keymap.label(verb, &self.contexts(), self.look.ascii)
    }

    /// Says something in passing.
    pub fn say(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), until: self.now + NOTICE });
    }

    pub fn can_undo(&self) -> bool {
        self.history.can_undo()
    }

    pub fn can_redo(&self) -> bool {
        self.history.can_redo()
    }

    /// Something runs that `cancel` would stop.
    pub fn can_cancel(&self) -> bool {
        self.loading.is_some() || self.background()
    }

    /// The engine is at work on something nobody waits for.
    pub fn background(&self) -> bool {
        self.rerolling || self.costing || self.leaking
    }

    /// The engine's results have all the pictures of the newest request.
    pub fn settled(&self) -> bool {
        !self.busy()
    }

    /// Puts a pane in front of the others of its tab group.
    pub fn raise(&mut self, pane: Pane) {
        self.view.recent.retain(|p| *p != pane);
        self.view.recent.insert(0, pane);
    }

    /// How recently a pane was wanted; 0 is the latest.
    pub fn recency(&self, pane: Pane) -> usize {
        self.view.recent.iter().position(|p| *p == pane).unwrap_or(usize::MAX)
    }
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
            colours: ColourScale::Root,
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
