//! The whole state of the screen: what is being looked at, what was answered, what is open. Owned by the UI thread;
//! changed only by events, never by drawing.

use std::time::Duration;

use crate::engine::types::{ExploreRequest, LoadProgress, ModelInfo, ModelsCommand, TrainCommand};
use crate::screen::actions::{ANYWHERE, Action, Context, ENTRY, EXPLORER, LIST, MODEL_LIST, PANES, TRAINING};
use crate::screen::document::Document;
use crate::screen::explore::text;
use crate::screen::history::History;
use crate::screen::keymap::{Keymap, KeymapError};
use crate::screen::options::{Look, Options};
use crate::screen::pane::Pane;
use crate::screen::params::Path;
use crate::screen::popups::Popup;
use crate::screen::popups::models::ModelShelf;
use crate::screen::results::{Answer, Results};
use crate::screen::train::{RunRequest, TrainState};
use crate::screen::view::{Screen, View};

/// Answers that take longer than this are announced: the old picture is dimmed and a spinner turns. Shorter waits
/// would only flicker.
pub const PATIENCE: Duration = Duration::from_millis(150);
/// How long a passing message stays.
pub const NOTICE: Duration = Duration::from_secs(5);
/// How long the status line offers the configured model, or a newer version of the one in use.
pub const OFFER: Duration = Duration::from_secs(8);

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
    /// Plan the run again.
    Plan,
    /// Ask the library of models again.
    Models(ModelsCommand),
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

/// What [`App::handle`] asks for outside the state: of the engine, the trainer or the terminal.
#[derive(Clone, Debug)]
pub enum Request {
    Explore(Box<ExploreRequest>),
    Command(crate::engine::types::Command),
    /// Prepare a run.
    Plan(Box<RunRequest>),
    Train(TrainCommand),
    Models(ModelsCommand),
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
    pub cards: Vec<Card>,
    pub notice: Option<Notice>,
    /// A distance null was measured for the model in use and waits to be taken.
    pub null_ready: bool,
    /// What to load again for the newer version that the Hub has of the model in use.
    pub moved: Option<String>,
    /// When a model on offer is no longer mentioned in the status line.
    pub offered_until: Duration,
    pub models: ModelShelf,
    pub model: Option<ModelInfo>,
    pub loading: Option<LoadProgress>,
    /// The engine is at work on re-rolls, on costs, on the leak meter.
    pub rerolling: bool,
    pub costing: bool,
    pub leaking: bool,
    /// Since which generation the text, and since which everything that makes the mask, has been as it is: background
    /// results of these generations still hold when only the view has changed.
    pub text_since: u64,
    pub mask_since: u64,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    pub quit: bool,
    /// Time since the program started; set before every event.
    pub now: Duration,
    /// Generation of the newest request.
    pub generation: u64,
    /// When it was sent.
    pub asked: Duration,
    pub(crate) request: Option<ExploreRequest>,
    /// What is to be done outside, in this order, since the last event.
    pub(crate) requests: Vec<Request>,
    pub(crate) history: History,
    pub(crate) clipboard: String,
    /// The load that was cancelled last: what is still reported of it is ignored.
    pub(crate) cancelled: Option<String>,
}

impl App {
    /// Fails only on the user's key settings.
    pub fn new(options: Options) -> Result<Self, KeymapError> {
        let keymap = Keymap::new(&options.settings.keys)?;
        let models = ModelShelf::new(options.known.clone());
        let popup = options.settings.ui.tour.then_some(Popup::Tour { step: 0 });
        Ok(App {
            keymap,
            look: options.look,
            doc: Document::new(&options),
            view: View::default(),
            train: TrainState::default(),
            results: Results::default(),
            popup,
            entry: None,
            cards: Vec::new(),
            notice: None,
            null_ready: false,
            moved: None,
            offered_until: Duration::ZERO,
            models,
            model: None,
            loading: None,
            rerolling: false,
            costing: false,
            leaking: false,
            text_since: 0,
            mask_since: 0,
            size: (80, 24),
            quit: false,
            now: Duration::ZERO,
            generation: 0,
            asked: Duration::ZERO,
            request: None,
            requests: Vec::new(),
            history: History::default(),
            clipboard: String::new(),
            cancelled: None,
            options,
        })
    }

    /// Active contexts, innermost first.
    pub fn contexts(&self) -> Vec<Context> {
        let inner = match &self.popup {
            Some(popup) => popup.context(),
            None if self.entry.is_some() || self.train.typing.is_some() => ENTRY,
            None => (self.view.focus.context)(self),
        };
        match self.screen() {
            _ if inner == MODEL_LIST => vec![MODEL_LIST, LIST, ANYWHERE],
            _ if self.popup.is_some() || [ENTRY, text::CONTEXT].contains(&inner) => vec![inner, ANYWHERE],
            Screen::Explore => vec![inner, EXPLORER, PANES, ANYWHERE],
            Screen::Train => vec![inner, TRAINING, PANES, ANYWHERE],
        }
    }

    /// Which screen is shown.
    pub fn screen(&self) -> Screen {
        self.view.focus.screen
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
    pub fn stale<T>(&self, slot: &Answer<T>) -> bool {
        slot.generation < self.generation && (self.waiting() || !self.busy())
    }

    /// When the screen has to be drawn again although nothing happens; `None` lets the program sleep.
    pub fn wake(&self) -> Option<Duration> {
        let notice = self.notice.as_ref().map(|n| n.until.saturating_sub(self.now));
        let offer = self.offered_until.checked_sub(self.now).filter(|left| !left.is_zero());
        let moving = self.train.busy()
            || self.busy()
            || self.loading.is_some()
            || self.models.pulling.is_some()
            || self.background();
        let spin = moving.then_some(Duration::from_millis(100));
        notice.into_iter().chain(offer).chain(spin).min()
    }

    /// The shortest key of an action, whatever the context; empty where it has none.
    pub fn key_label(&self, action: &Action) -> String {
        let labels = self.keymap.keys(action).iter().map(|k| k.label(self.look.ascii));
        labels.min_by_key(|l| l.chars().count()).unwrap_or_default()
    }

    /// The key of an action that works here and now.
    pub fn key_here(&self, action: &Action) -> Option<String> {
        self.keymap.label(action, &self.contexts(), self.look.ascii)
    }

    /// Says something in passing.
    pub fn say(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), until: self.now + NOTICE });
    }

    /// Has something done outside the state.
    pub(crate) fn emit(&mut self, request: Request) {
        self.requests.push(request);
    }

    /// Mentions the model on offer in the status line for a while.
    pub fn offer(&mut self) {
        self.offered_until = self.now + OFFER;
    }

    pub fn can_undo(&self) -> bool {
        self.history.can_undo()
    }

    pub fn can_redo(&self) -> bool {
        self.history.can_redo()
    }

    /// Something runs that `cancel` would stop.
    pub fn can_cancel(&self) -> bool {
        self.loading.is_some() || self.models.pulling.is_some() || self.background()
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
    pub fn raise(&mut self, pane: &'static Pane) {
        self.view.recent.retain(|p| *p != pane);
        self.view.recent.insert(0, pane);
    }

    /// How recently a pane was wanted; 0 is the latest.
    pub fn recency(&self, pane: &Pane) -> usize {
        self.view.recent.iter().position(|p| *p == pane).unwrap_or(usize::MAX)
    }
}
