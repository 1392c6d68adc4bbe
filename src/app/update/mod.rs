//! `update`: state + action → state + effects. Pure; runs on the UI thread and never waits for anything.

mod action;
mod background;
mod map;
mod news;
pub(super) mod popups;
pub(crate) mod settings;
pub(super) mod settle;
mod text;

pub use action::{Action, Event};

use std::sync::Arc;

use crate::app::actions::Verb;
use crate::app::editor::Motion;
use crate::app::history::Kind;
use crate::app::keys::Key;
use crate::app::state::{App, Card, Effect, Pane, Popup, Screen};
use crate::app::strip;
use crate::app::train::update as train;
use crate::engine::types::{ExploreRequest, Update};

impl App {
    /// The first request. To be called once, before any event.
    pub fn start(&mut self) -> Vec<Effect> {
        self.settle();
        self.ask().into_iter().map(|r| Effect::Explore(Box::new(r))).collect()
    }

    /// Handles one event; `self.now` must be set before.
    pub fn handle(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Key(key) => match self.action_of(key) {
                Some(action) => update(self, action),
                None => Vec::new(),
            },
            Event::Paste(text) => update(self, Action::Paste(text)),
            Event::Act(action) => update(self, action),
            Event::Update(Update::Train(news)) => train::take(self, *news),
            Event::Update(news) => self.take_news(news),
            Event::Tick => {
                if self.notice.as_ref().is_some_and(|n| n.until <= self.now) {
                    self.notice = None;
                }
                Vec::new()
            }
            Event::Terminate => {
                self.quit = true;
                vec![Effect::Quit]
            }
        }
    }

    /// What a key means here and now.
    pub fn action_of(&self, key: Key) -> Option<Action> {
        if !self.geometry.usable && !self.small_screen_key(key) {
            return None;
        }
        if let Some(c) = key.typed().filter(|c| self.types(*c)) {
            return Some(Action::Type(c));
        }
        let verb = self.keymap.lookup(key, &self.contexts());
        if verb.is_some_and(|v| !train::belongs(self, v)) {
            return None;
        }
        let bound = verb.map(Action::Do);
        bound.or_else(|| key.typed().map(Action::Type))
    }

    /// Nothing is visible on a tiny screen, so only leaving makes sense there.
    fn small_screen_key(&self, key: Key) -> bool {
        matches!(self.keymap.lookup(key, &self.contexts()), Some(Verb::Quit | Verb::Suspend | Verb::Redraw))
    }

    /// Whether a character is typed rather than looked up.
    fn types(&self, c: char) -> bool {
        match (&self.popup, &self.entry) {
            (Some(Popup::Palette(_) | Popup::Models(_) | Popup::Picker { .. }), _) => true,
            (Some(_), _) => false,
            (None, Some(_)) => true,
            (None, None) if self.train.typing.is_some() => true,
            (None, None) => match self.view.focus {
                Pane::Text => true,
                Pane::Setup => c.is_ascii_digit(),
                Pane::Mask | Pane::Scores => c.is_ascii_digit(),
                _ => false,
            },
        }
    }

    /// Takes in news from the engine.
    fn take_news(&mut self, news: Update) -> Vec<Effect> {
        let again = news::take(self, news);
        self.settle();
        let request = if again { Some(self.ask_anew()) } else { None };
        request.into_iter().map(|r| Effect::Explore(Box::new(r))).collect()
    }

    /// The next request, if what is wanted differs from what was asked last.
    fn ask(&mut self) -> Option<ExploreRequest> {
        let wanted = self.wanted();
        if let Some(last) = &self.request
            && answers(last, &wanted)
        {
            return None;
        }
        Some(self.send(wanted))
    }

    /// The next request even if nothing changed on this side.
    fn ask_anew(&mut self) -> ExploreRequest {
        let wanted = self.wanted();
        self.send(wanted)
    }

    fn send(&mut self, mut wanted: ExploreRequest) -> ExploreRequest {
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
        wanted
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

/// Applies one action. Every change of the document becomes undoable and asks the engine anew.
pub fn update(app: &mut App, action: Action) -> Vec<Effect> {
    let before = app.doc.snapshot();
    app.touched = None;
    let kind = kind_of(app, &action);
    let undoing = matches!(action, Action::Do(Verb::Undo | Verb::Redo));
    let mut effects = apply(app, action);
    if !undoing && !before.same(&app.doc.snapshot()) {
        let setting = app.touched.map(Kind::Setting).filter(|_| kind == Kind::Single);
        app.history.record(setting.unwrap_or(kind), before, app.now);
    }
    app.settle();
    if let Some(request) = app.ask() {
        effects.push(Effect::Explore(Box::new(request)));
        effects.extend(background::overtaken(app).map(Effect::Command));
    }
    effects
}

fn apply(app: &mut App, action: Action) -> Vec<Effect> {
    match action {
        Action::Do(verb) => return perform(app, verb),
        Action::Type(c) => {
            popups::type_char(app, c);
            return train::complete(app);
        }
        Action::TypeRun(s) => app.doc.editor.insert(&s),
        Action::Paste(s) => {
            popups::paste(app, &s);
            return train::complete(app);
        }
        Action::Focus(pane) => focus(app, pane),
        Action::Item(id) => settings::select(app, id),
        Action::SetFraction(id, at) => settings::set_fraction(app, id, at),
        Action::SetLine(at) => settings::set_line(app, at),
        Action::Share { row, percent } => settings::set_share(app, row, percent),
        Action::SetPoint { tau, p } => settings::set_point(app, tau, p),
        Action::Nudge { path, steps, fine } => settings::nudge(app, path, steps, fine),
        Action::Open(id) => settings::open(app, id),
        Action::Token(i) => map::select_token(app, i),
        Action::Crosshair { query, key } => map::crosshair(app, query, key),
        Action::Caret { offset, extend } => {
            app.history.close();
            app.doc.editor.place(offset, extend);
            text::follow_caret(app);
        }
        Action::SelectWord { offset } => text::select_word(app, offset),
        Action::Pan { queries, keys } => map::pan(app, queries, keys),
        Action::Scroll { pane, lines } => scroll(app, pane, lines),
        Action::Head { place, open } => map::choose_head(app, place, open),
        Action::ListEntry { index, take } => return popups::list_entry(app, index, take),
        Action::Field { path, open } => return train::choose_field(app, path, open),
        Action::Live(what, at) => return train::live_fraction(app, what, at),
        Action::ChartCursor(at) => train::cursor_at(app, at),
        Action::RunRow { index, open } => return train::run_row(app, index, open),
        Action::Hold => app.history.hold(),
        Action::Release => app.history.close(),
    }
    Vec::new()
}

/// What undo should call the change, so that one gesture becomes one step; `Single` where the setting that was changed
/// says it.
fn kind_of(app: &App, action: &Action) -> Kind {
    match action {
        Action::TypeRun(_) => Kind::Typing,
        Action::Type(_) if app.popup.is_none() && app.entry.is_none() => Kind::Typing,
        Action::SetPoint { .. } => Kind::Plane,
        Action::Do(verb) => kind_of_verb(*verb),
        _ => Kind::Single,
    }
}

fn kind_of_verb(verb: Verb) -> Kind {
    use Verb as V;
    match verb {
        V::Backspace | V::Delete => Kind::Deleting,
        V::PlaneLeft | V::PlaneRight | V::PlaneUp | V::PlaneDown => Kind::Plane,
        V::PlaneFineLeft | V::PlaneFineRight | V::PlaneFineUp | V::PlaneFineDown => Kind::Plane,
        V::AlongLess | V::AlongMore => Kind::Plane,
        V::NextLayer | V::PreviousLayer | V::NextHead | V::PreviousHead | V::MapKind | V::HeadOpen => {
            Kind::View
        }
        _ => Kind::Single,
    }
}

fn perform(app: &mut App, verb: Verb) -> Vec<Effect> {
    use Verb as V;
    if let Some(effects) = train::perform(app, verb) {
        return effects;
    }
    match verb {
        V::Quit => {
            app.quit = true;
            return vec![Effect::Quit];
        }
        V::Suspend => return vec![Effect::Suspend],
        V::Redraw => return vec![Effect::Redraw],
        V::Theme => app.look.dark = !app.look.dark,
        V::NextPane | V::EntryComplete => cycle_focus(app, 1),
        V::PreviousPane => cycle_focus(app, -1),
        V::Undo | V::Redo => undo(app, verb == V::Undo),
        V::Retry => return background::retry(app),
        V::Cancel => return background::cancel(app),
        V::Dismiss => dismiss(app),
        V::Enlarge => app.view.enlarged = !app.view.enlarged,
        V::EditText => focus(app, Pane::Text),
        V::Rerolls => return background::start_rerolls(app),
        V::Cost => return background::start_cost(app),
        V::Leak => return background::start_leak(app),
        V::Window => focus(app, Pane::Window),
        V::Why => focus(app, Pane::Why),
        V::Refresh => return popups::refresh(app),
        V::UseCalibration => return vec![Effect::Command(crate::engine::types::Command::UseCalibration)],
        V::Effects => {
            app.view.effects = !app.view.effects;
            app.raise(Pane::Effect);
        }
        V::ScrollUp => scroll(app, app.view.focus, -1),
        V::ScrollDown => scroll(app, app.view.focus, 1),
        V::ScrollPageUp => scroll(app, app.view.focus, -8),
        V::ScrollPageDown => scroll(app, app.view.focus, 8),
        _ if text::perform(app, verb) => {}
        V::Copy | V::Cut => return text::copy(app, verb == V::Cut),
        _ if settings::perform(app, verb) => {}
        _ if map::perform(app, verb) => {}
        _ => return popups::perform(app, verb),
    }
    Vec::new()
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

fn cycle_focus(app: &mut App, step: isize) {
    const ORDER: &[Pane] = &[
        Pane::Mask,
        Pane::Scores,
        Pane::Plane,
        Pane::Text,
        Pane::Tokens,
        Pane::Map,
        Pane::Effect,
        Pane::Why,
        Pane::Window,
        Pane::Cost,
    ];
    const TRAIN: &[Pane] = &[
        Pane::Setup,
        Pane::Run,
        Pane::Loss,
        Pane::Rates,
        Pane::Speed,
        Pane::Twins,
        Pane::Raster,
        Pane::Batch,
        Pane::Samples,
        Pane::Log,
        Pane::Runs,
    ];
    let order = if app.screen() == Screen::Train { TRAIN } else { ORDER };
    let here = order.iter().position(|p| *p == app.view.focus).unwrap_or(0) as isize;
    let next = (here + step).rem_euclid(order.len() as isize) as usize;
    focus(app, order[next]);
}

fn undo(app: &mut App, back: bool) {
    let now = app.doc.snapshot();
    let step = if back { app.history.undo(now) } else { app.history.redo(now, app.now) };
    match step {
        Some(snapshot) => app.doc.restore(snapshot),
        None => app.say(if back { "Nothing left to undo" } else { "Nothing left to redo" }),
    }
}

fn dismiss(app: &mut App) {
    if app.cards.pop().is_some() {
        return;
    }
    if app.view.enlarged {
        app.view.enlarged = false;
    } else if app.view.overview && app.screen() == Screen::Explore {
        app.view.overview = false;
    } else if app.screen() == Screen::Train {
        train::leave(app);
    } else {
        app.notice = None;
    }
}

fn scroll(app: &mut App, pane: Pane, lines: i64) {
    match pane {
        Pane::Text if app.view.focus != Pane::Text => text::scroll(app, lines),
        Pane::Text => {
            let motion = if lines < 0 { Motion::Up } else { Motion::Down };
            for _ in 0..lines.unsigned_abs() {
                app.doc.editor.go(motion, false, app.geometry.text_columns, 1);
            }
        }
        Pane::Tokens => {
            for _ in 0..lines.unsigned_abs() {
                let n =
                    strip::beside(app.results.tokens(), app.geometry.strip_columns, app.view.key, lines > 0);
                map::select_token(app, n);
            }
        }
        _ => {
            let at = &mut app.view.scroll[pane as usize];
            *at = at.saturating_add_signed(lines as isize).min(4096);
        }
    }
}

/// A card on top of the screen; a second one about the same thing takes the first one's place.
pub(in crate::app) fn show_card(app: &mut App, card: Card) {
    app.cards.retain(|c| c.title != card.title);
    app.cards.push(card);
}
