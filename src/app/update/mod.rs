//! State + event → state + effects. Pure; runs on the UI thread and never waits for anything. What an action does
//! stands beside its declaration, one file a subject.

pub(crate) mod background;
pub(crate) mod entry;
pub(crate) mod general;
mod gesture;
pub(crate) mod heads;
pub(crate) mod map;
pub(crate) mod mix;
mod news;
pub(crate) mod panels;
pub(crate) mod popups;
pub(crate) mod settings;
pub(super) mod settle;
pub(crate) mod text;
pub(crate) mod tokens;

pub use gesture::{Event, Gesture};

use std::sync::Arc;

use crate::app::keys::Key;
use crate::app::state::{App, Card, Effect, Pane, Popup};
use crate::app::train::update::{charts, fields, live, news as train_news, results};
use crate::engine::types::{ExploreRequest, Update};

impl App {
    /// The first request. To be called once, before any event.
    pub fn start(&mut self) -> Vec<Effect> {
        self.settle();
        self.ask();
        std::mem::take(&mut self.effects)
    }

    /// Handles one event; `self.now` must be set before.
    pub fn handle(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Key(key) => {
                if let Some(gesture) = self.gesture_of(key) {
                    follow(self, gesture);
                }
            }
            Event::Paste(text) => follow(self, Gesture::Paste(text)),
            Event::Act(gesture) => follow(self, gesture),
            Event::Resize(columns, rows) => {
                self.size = (columns, rows);
                self.settle();
            }
            Event::Update(Update::Train(news)) => train_news::take(self, *news),
            Event::Update(news) => self.take_news(news),
            Event::Tick => self.notice = self.notice.take().filter(|n| n.until > self.now),
            Event::Terminate => {
                self.quit = true;
                self.emit(Effect::Quit);
            }
        }
        std::mem::take(&mut self.effects)
    }

    /// What a key means here and now.
    pub fn gesture_of(&self, key: Key) -> Option<Gesture> {
        if let Some(c) = key.typed().filter(|c| self.usable() && self.types(*c)) {
            return Some(Gesture::Type(c));
        }
        let action = self.keymap.lookup(key, &self.contexts())?;
        // Nothing is visible on a tiny screen, so only leaving makes sense there.
        let small = [&general::QUIT, &general::SUSPEND, &general::REDRAW];
        (self.usable() || small.contains(&action)).then_some(Gesture::Do(action))
    }

    /// Whether a character is typed rather than looked up.
    fn types(&self, c: char) -> bool {
        match (&self.popup, &self.entry) {
            (
                Some(Popup::Palette(_) | Popup::Models(_) | Popup::Picker { .. } | Popup::Choices { .. }),
                _,
            ) => true,
            (Some(_), _) => false,
            (None, Some(_)) => true,
            (None, None) if self.train.typing.is_some() => true,
            (None, None) => match self.view.focus {
                Pane::Text => true,
                // What numbers and paths begin with.
                Pane::Setup => c.is_ascii_digit() || matches!(c, '/' | '~'),
                Pane::Mask | Pane::Scores => c.is_ascii_digit(),
                _ => false,
            },
        }
    }

    /// Takes in news from the engine.
    fn take_news(&mut self, news: Update) {
        let again = news::take(self, news);
        self.settle();
        if again {
            self.ask_anew();
        }
    }

    /// Asks the engine for what is wanted, if that differs from what was asked last; says whether it does.
    fn ask(&mut self) -> bool {
        let wanted = self.wanted();
        let answered = self.request.as_ref().is_some_and(|last| answers(last, &wanted));
        if !answered {
            self.send(wanted);
        }
        !answered
    }

    /// Asks even if nothing changed on this side.
    fn ask_anew(&mut self) {
        self.send(self.wanted());
    }

    fn send(&mut self, mut wanted: ExploreRequest) {
        // Impatience is counted from the first unanswered request: while someone types on, each new one is young.
        if !self.busy() {
            self.asked = self.now;
        }
        self.generation += 1;
        wanted.generation = self.generation;
        let last = self.request.as_ref();
        if last.is_none_or(|l| l.text != wanted.text) {
            self.text_since = self.generation;
        }
        if last.is_none_or(|l| !same_mask(l, &wanted)) {
            self.mask_since = self.generation;
        }
        self.request = Some(wanted.clone());
        self.emit(Effect::Explore(Box::new(wanted)));
    }

    fn wanted(&self) -> ExploreRequest {
        ExploreRequest {
            generation: 0,
            text: self.doc.editor.text().clone(),
            mask: self.doc.mask.clone(),
            score: self.doc.score.clone(),
            rolling: self.doc.rolling.clone(),
            map: self.doc.map,
            heads: self.doc.heads,
            top: self.options.top,
            overview: self.view.overview,
            effects: self.view.effects,
        }
    }
}

/// Whether both requests come to the same mask.
fn same_mask(a: &ExploreRequest, b: &ExploreRequest) -> bool {
    a.text == b.text && a.mask == b.mask && a.score == b.score && a.rolling == b.rolling
}

/// Whether the answer to `last` already holds everything `wanted` asks for.
fn answers(last: &ExploreRequest, wanted: &ExploreRequest) -> bool {
    let same_text = Arc::ptr_eq(&last.text, &wanted.text) || last.text == wanted.text;
    same_text
        && last.mask == wanted.mask
        && last.score == wanted.score
        && last.rolling == wanted.rolling
        && last.map == wanted.map
        && last.heads == wanted.heads
        && last.top == wanted.top
        && (last.overview || !wanted.overview)
        && (last.effects || !wanted.effects)
}

/// Follows one gesture. Every change of the document becomes undoable and asks the engine again.
fn follow(app: &mut App, gesture: Gesture) {
    let before = app.doc.snapshot();
    app.history.begin();
    apply(app, gesture);
    if !before.same(&app.doc.snapshot()) {
        app.history.record(before, app.now);
    }
    app.settle();
    if app.ask() {
        background::overtaken(app);
    }
}

fn apply(app: &mut App, gesture: Gesture) {
    match gesture {
        Gesture::Do(action) => (action.run)(app),
        Gesture::Type(c) => popups::type_char(app, c),
        Gesture::TypeRun(s) => text::type_run(app, &s),
        Gesture::Paste(s) => popups::paste(app, &s),
        Gesture::Focus(pane) => focus(app, pane),
        Gesture::Item(id) => settings::select(app, id),
        Gesture::SetFraction(id, at) => settings::drag(app, id, at),
        Gesture::SetLine(at) => settings::set_line(app, at),
        Gesture::Share { row, percent } => mix::set_share(app, row, percent),
        Gesture::SetPoint { tau, p } => settings::set_point(app, tau, p),
        Gesture::Nudge { param, steps, fine } => settings::slide(app, param, steps, fine),
        Gesture::Open(id) => settings::open(app, id),
        Gesture::Token(i) => tokens::select_token(app, i),
        Gesture::Crosshair { query, key } => map::crosshair(app, query, key),
        Gesture::Caret { offset, extend } => text::place(app, offset, extend),
        Gesture::SelectWord { offset } => text::select_word(app, offset),
        Gesture::Pan { queries, keys } => map::pan(app, queries, keys),
        Gesture::Scroll { pane, lines } => panels::scroll(app, pane, lines),
        Gesture::Head { place, open } => heads::choose(app, place, open),
        Gesture::ListEntry { index, take } => popups::list_entry(app, index, take),
        Gesture::Field { field, open } => fields::choose(app, field, open),
        Gesture::FieldFraction(field, at) => fields::drag(app, field, at),
        Gesture::Live(what, at) => live::drag(app, what, at),
        Gesture::ChartCursor(at) => charts::cursor_at(app, at),
        Gesture::RunRow { index, open } => results::run_row(app, index, open),
        Gesture::Hold => app.history.hold(),
        Gesture::Release => app.history.close(),
    }
}

/// Gives a pane the focus and puts it in front of its tab group.
pub(in crate::app) fn focus(app: &mut App, pane: Pane) {
    app.entry = None;
    app.train.typing = None;
    if app.view.focus != pane {
        app.history.close();
    }
    app.view.focus = pane;
    app.raise(pane);
}

/// A card on top of the screen; a second one about the same thing takes the first one's place.
pub(in crate::app) fn show_card(app: &mut App, card: Card) {
    app.cards.retain(|c| c.title != card.title);
    app.cards.push(card);
}
