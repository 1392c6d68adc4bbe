//! The whole state of the screen: what is being looked at, what was answered, what is open. Owned by the UI thread;
//! changed only by events, never by drawing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::attention::types::Reduction;
use crate::config::FirstFocus;
use crate::engine::types::{ExploreRequest, LoadProgress, ModelInfo, ModelsCommand, TrainCommand};
use crate::mask::decide::score_in_force;
use crate::screen::actions::{
    ANYWHERE, Action, Context, ENTRY, EXPLORER, GENERATING, LIST, MODEL_LIST, PANES, TOUR, TRAINING,
};
use crate::screen::document::Document;
use crate::screen::explore::{interventions, mask, text};
use crate::screen::export::ExportState;
use crate::screen::export::parcel::Parcel;
use crate::screen::generate::{GenerateState, turn};
use crate::screen::history::History;
use crate::screen::keymap::{Keymap, KeymapError};
use crate::screen::options::{Look, Options};
use crate::screen::pane::Pane;
use crate::screen::params::Path;
use crate::screen::popups::Popup;
use crate::screen::popups::models::ModelShelf;
use crate::screen::popups::tour::{self, Tour};
use crate::screen::results::{Answer, Results};
use crate::screen::train::{RunRequest, TrainState, metrics};
use crate::screen::view::{Screen, View};
use crate::train::report::RunState;

/// Answers that take longer than this are announced: the old picture is dimmed and a spinner turns. Shorter waits
/// would only flicker.
pub const PATIENCE: Duration = Duration::from_millis(150);
/// How long a passing message stays.
pub const NOTICE: Duration = Duration::from_secs(5);
/// How long the status line offers the configured model, or a newer version of the one in use.
pub const OFFER: Duration = Duration::from_secs(8);

/// Why another score than the chosen one is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherScore {
    StandIn,
    RawScale,
}

impl OtherScore {
    /// In a word or two, to stand in brackets.
    pub fn name(self) -> &'static str {
        match self {
            OtherScore::StandIn => "stand-in",
            OtherScore::RawScale => "raw scale",
        }
    }
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
    /// Write a file.
    Export(Box<Parcel>),
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
    pub generate: GenerateState,
    pub(crate) export: ExportState,
    pub results: Results,
    pub popup: Option<Popup>,
    pub tour: Option<Tour>,
    pub entry: Option<Entry>,
    pub cards: Vec<Card>,
    pub notice: Option<Notice>,
    /// Windows read and to be read while the distance null of the model in use is measured.
    pub measuring: Option<(usize, usize)>,
    /// The masked positions under the stand-in, when the measured null has just taken its place.
    pub(crate) under_stand_in: Option<Vec<usize>>,
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
    /// The same for the position whose next token is predicted.
    pub position_since: u64,
    /// How often actions were asked for by key or by name.
    pub(crate) used: BTreeMap<&'static str, u32>,
    /// The text that was opened has no decision yet.
    pub(crate) opening: bool,
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
        let focus = match options.settings.ui.focus {
            FirstFocus::Text => &text::PANE,
            FirstFocus::Mask => &mask::PANE,
        };
        let tour = options.settings.ui.tour;
        let models = ModelShelf::new(options.known.clone());
        let mut app = App {
            keymap,
            look: options.look,
            doc: Document::new(&options),
            view: View { focus, ..View::default() },
            train: TrainState::default(),
            generate: GenerateState::default(),
            export: ExportState::default(),
            results: Results::default(),
            popup: None,
            tour: None,
            entry: None,
            cards: Vec::new(),
            notice: None,
            measuring: None,
            under_stand_in: None,
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
            position_since: 0,
            used: BTreeMap::new(),
            opening: true,
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
        };
        if tour {
            tour::start(&mut app);
        }
        Ok(app)
    }

    /// Active contexts, innermost first.
    pub fn contexts(&self) -> Vec<Context> {
        let inner = match &self.popup {
            Some(popup) => popup.context(),
            None if self.entry.is_some() || self.train.typing.is_some() => ENTRY,
            None => (self.view.focus.context)(self),
        };
        let mut contexts = match self.screen() {
            _ if inner == MODEL_LIST => vec![MODEL_LIST, LIST, ANYWHERE],
            _ if self.popup.is_some()
                || [ENTRY, text::CONTEXT, turn::CONTEXT, metrics::FILTERING].contains(&inner) =>
            {
                vec![inner, ANYWHERE]
            }
            Screen::Explore => vec![inner, EXPLORER, PANES, ANYWHERE],
            Screen::Train => vec![inner, TRAINING, PANES, ANYWHERE],
            Screen::Generate => vec![inner, GENERATING, PANES, ANYWHERE],
        };
        if self.tour.is_some() && self.popup.is_none() && inner != ENTRY {
            contexts.insert(0, TOUR);
        }
        contexts
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
            || self.background()
            || self.generate.writing();
        let spin = moving.then_some(Duration::from_millis(100));
        notice.into_iter().chain(offer).chain(spin).chain(tour::wake(self)).min()
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

    /// Counts that an action was asked for: the palette puts what is used first.
    pub(crate) fn count_use(&mut self, action: &'static Action) {
        *self.used.entry(action.name).or_default() += 1;
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
        self.loading.is_some()
            || self.models.pulling.is_some()
            || self.background()
            || self.preparing()
            || self.writes()
    }

    /// A text is being written, and one looks at it.
    pub fn writes(&self) -> bool {
        self.screen() == Screen::Generate && self.generate.writing()
    }

    /// A run is being prepared: data and model are fetched and read.
    pub fn preparing(&self) -> bool {
        self.screen() == Screen::Train && self.train.state() == Some(RunState::Preparing)
    }

    /// The engine is at work on something nobody waits for.
    pub fn background(&self) -> bool {
        self.rerolling || self.costing || self.leaking || interventions::measuring(self)
    }

    /// The engine's results have all the pictures of the newest request.
    pub fn settled(&self) -> bool {
        !self.busy()
    }

    /// The score in use, where it is not the chosen one, and why: the raw scale asks for literal attention, and another
    /// score stands in while this model's distance null is not measured.
    pub fn other_score(&self) -> Option<(Reduction, OtherScore)> {
        let used = score_in_force(self.doc.mask.scale, &self.doc.score).reduction;
        if used != self.doc.score.reduction {
            return Some((used, OtherScore::RawScale));
        }
        let missing = self.model.as_ref().is_some_and(|m| !m.calibrated);
        (missing && used == Reduction::DistanceNull).then_some((Reduction::Corrected, OtherScore::StandIn))
    }

    /// The score that stands in for the distance null, while that is not measured.
    pub fn stand_in(&self) -> Option<Reduction> {
        self.other_score().filter(|(_, why)| *why == OtherScore::StandIn).map(|(score, _)| score)
    }

    /// The token after which the next one is predicted; `None` is the last.
    pub fn position(&self) -> Option<usize> {
        self.view.position.filter(|i| i + 1 < self.results.len())
    }

    /// The text is still the one that was opened: nobody has typed.
    pub fn untouched(&self) -> bool {
        **self.doc.editor.text() == *self.options.text
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
