//! State + event → state + requests. Pure; runs on the UI thread and never waits for anything.

use std::sync::Arc;

use crate::engine::types::{ExploreRequest, Update};
use crate::screen::actions::Action;
use crate::screen::app::{App, Card, Request};
use crate::screen::explore::mask::{entry, short};
use crate::screen::explore::{background, interventions, text};
use crate::screen::export::{self, dialog};
use crate::screen::general::EXPLORE;
use crate::screen::generate::{course, news as generate_news};
use crate::screen::keys::Key;
use crate::screen::pane::Pane;
use crate::screen::popups::{Popup, list, models, page, tour};
use crate::screen::train::{news as train_news, setup};
use crate::screen::view::Screen;
use crate::screen::{general, news};

/// Something that happened. The mouse is the screen's: it calls `App::act`.
#[derive(Clone, Debug)]
pub enum Event {
    Key(Key),
    /// Characters that came at once, for the text.
    Typed(String),
    Paste(String),
    /// The terminal has so many columns and rows now.
    Resize(u16, u16),
    /// News from the engine.
    Update(Update),
    /// Only time has passed.
    Tick,
    /// A signal asks the program to leave.
    Terminate,
}

/// What a key means.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// A character for what is being typed.
    Type(char),
    Do(&'static Action),
}

impl App {
    /// The first request. To be called once, before any event.
    pub fn start(&mut self) -> Vec<Request> {
        self.settle();
        self.ask();
        self.take_requests()
    }

    /// Handles one event; `self.now` must be set before.
    pub fn handle(&mut self, event: Event) -> Vec<Request> {
        match event {
            Event::Key(key) => match self.meaning(key) {
                Some(Meaning::Type(c)) => self.act(|app| app.type_char(c)),
                Some(Meaning::Do(action)) => {
                    self.count_use(action);
                    self.act(action.run);
                }
                None => self.no_meaning(key),
            },
            Event::Typed(text) => self.act(|app| text::type_run(app, &text)),
            Event::Paste(text) => self.act(|app| app.paste(&text)),
            Event::Resize(columns, rows) => {
                self.size = (columns, rows);
                self.settle();
            }
            Event::Update(Update::Train(news)) => train_news::take(self, *news),
            Event::Update(Update::Fingerprint { hash, .. }) => export::fingerprint_known(self, hash),
            Event::Update(Update::Exported(outcome)) => export::written(self, outcome),
            Event::Update(Update::Generate(news)) => generate_news::take(self, *news),
            Event::Update(news) => self.take_news(news),
            Event::Tick => {
                self.notice = self.notice.take().filter(|n| n.until > self.now);
                tour::follow(self, false);
                self.settle();
            }
            Event::Terminate => {
                self.quit = true;
                self.emit(Request::Quit);
            }
        }
        self.take_requests()
    }

    /// Does something. A change of the document becomes one step of undo, and the engine is asked for what is wanted
    /// then.
    pub fn act(&mut self, change: impl FnOnce(&mut App)) {
        let before = self.doc.snapshot();
        let said = self.notice.clone();
        self.history.begin();
        change(self);
        if !before.same(&self.doc.snapshot()) {
            self.history.record(before, self.now);
            // What was said about the document as it was may no longer be so.
            self.notice = self.notice.take().filter(|now| Some(now) != said.as_ref());
        }
        models::look(self);
        tour::follow(self, true);
        self.settle();
        if self.ask() {
            background::overtaken(self);
        }
        course::keep_up(self);
    }

    /// What is to be done outside since it was asked last.
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    /// A drag begins: until it is over, what it changes is one step of undo.
    pub fn hold(&mut self) {
        self.history.hold();
    }

    pub fn release(&mut self) {
        self.history.close();
    }

    /// Gives a pane the focus and puts it in front of its tab group.
    pub fn focus(&mut self, pane: &'static Pane) {
        self.entry = None;
        self.train.typing = None;
        if self.view.focus != pane {
            self.history.close();
        }
        self.view.focus = pane;
        self.raise(pane);
    }

    /// What a key means here and now.
    pub fn meaning(&self, key: Key) -> Option<Meaning> {
        if let Some(c) = key.typed().filter(|c| self.usable() && self.types(*c)) {
            return Some(Meaning::Type(c));
        }
        let action = self.keymap.lookup(key, &self.contexts())?;
        // Nothing is visible on a tiny screen, so only leaving makes sense there.
        let small = [&general::QUIT, &general::SUSPEND, &general::REDRAW];
        (self.usable() || small.contains(&action)).then_some(Meaning::Do(action))
    }

    /// A key that means nothing here says so, rather than leave one in doubt.
    fn no_meaning(&mut self, key: Key) {
        if self.usable() && self.popup.is_none() {
            let (label, help) = (key.label(self.look.ascii), self.key_here(&general::HELP));
            let help = help.map_or(String::new(), |h| format!("; {h} lists the keys"));
            self.say(format!("{label} does nothing here{help}"));
        }
    }

    /// Whether a character is typed rather than looked up.
    fn types(&self, c: char) -> bool {
        match &self.popup {
            Some(popup) => popup.is_typed_in(),
            None => self.entry.is_some() || self.train.typing.is_some() || (self.view.focus.takes)(self, c),
        }
    }

    /// A printable key goes to whatever is being typed in.
    pub(crate) fn type_char(&mut self, c: char) {
        if let Some(Popup::Help { .. }) = self.popup {
            page::type_char(self, c);
        } else if let Some(Popup::Export(_)) = self.popup {
            dialog::edit(self, |file| file.push(c));
        } else if self.popup.is_some() {
            list::edit_list(self, |typed| typed.push(c));
        } else if self.entry.is_some() {
            entry::edit(self, |typed| typed.push(c));
        } else if self.train.typing.is_some() {
            (setup::PANE.typed)(self, c);
        } else if (self.view.focus.takes)(self, c) {
            (self.view.focus.typed)(self, c);
        }
    }

    /// Pasted text goes where typed text would go; outside any field it goes into the text.
    pub(crate) fn paste(&mut self, s: &str) {
        let first_line = || s.lines().next().unwrap_or("").to_owned();
        let field = self.train.typing.as_ref().map(|_| &setup::PANE).or(Some(self.view.focus));
        if self.popup.is_some() {
            list::edit_list(self, |typed| typed.push_str(&first_line()));
            dialog::edit(self, |file| file.push_str(&first_line()));
            page::edit(self, |typed| typed.push_str(&first_line()));
        } else if self.entry.is_some() {
            entry::edit(self, |typed| typed.push_str(&first_line()));
        } else if let Some(paste) = field.and_then(|pane| pane.paste) {
            paste(self, s);
        } else if self.screen() != Screen::Explore {
            let back = if self.screen() == Screen::Train { &EXPLORE } else { &course::LEAVE_WRITING };
            self.say(format!("This pane takes no text; {} goes back to the explorer", self.key_label(back)));
        } else {
            text::insert(self, s);
        }
    }

    /// Takes in news from the engine.
    fn take_news(&mut self, news: Update) {
        let settled = matches!(news, Update::Done { .. });
        let again = news::take(self, news);
        self.settle();
        if again {
            self.ask_again();
        }
        // A caret within the text is at another token now.
        if settled && self.ask() {
            background::overtaken(self);
        }
        if self.opening {
            short::adapt(self);
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
    pub(crate) fn ask_again(&mut self) {
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
        if last.is_none_or(|l| l.position != wanted.position) {
            self.position_since = self.generation;
        }
        self.request = Some(wanted.clone());
        self.emit(Request::Explore(Box::new(wanted)));
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
            top: self.options.settings.explore.top,
            overview: self.view.overview,
            effects: self.view.effects,
            position: self.position(),
            interventions: interventions::asked(self),
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
        && last.position == wanted.position
        && last.interventions == wanted.interventions
        && (last.overview || !wanted.overview)
        && (last.effects || !wanted.effects)
}

/// A card on top of the screen; a second one about the same thing takes the first one's place.
pub(crate) fn show_card(app: &mut App, card: Card) {
    app.cards.retain(|c| c.title != card.title);
    app.cards.push(card);
}
