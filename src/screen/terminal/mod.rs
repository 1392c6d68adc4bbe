//! The UI thread's loop: drain everything that waits, then draw once; sleep while nothing happens.

mod buffer;
#[cfg(unix)]
mod crash;
mod guard;
mod input;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use crossterm::event::MouseEventKind;

use crate::engine::types::{ExploreRequest, Update};
use crate::screen::app::{Card, Remedy};
use crate::screen::events::{Event, Meaning};
use crate::screen::explore::text::{self, NEW_LINE};
use crate::screen::mouse::Mouse;
use crate::screen::terminal::buffer::{Screen, clipboard};
use crate::screen::terminal::guard::{Guard, PanicHook, knows_keyboard_protocol};
use crate::screen::terminal::input::{Signal, TerminalInput};
use crate::screen::{App, Port, Request};

/// After input, a frame is drawn at once, but frames keep this distance.
const INPUT_FRAME: Duration = Duration::from_millis(8);
/// News that come one after the other, such as steps of a run, are drawn at most this often.
const BACKGROUND_FRAME: Duration = Duration::from_millis(33);

/// What the command line decides about the terminal.
#[derive(Clone, Copy, Debug)]
pub struct TerminalOptions {
    /// Whether the mouse is ours; without it the terminal's own selection works.
    pub mouse: bool,
}

impl Default for TerminalOptions {
    fn default() -> Self {
        TerminalOptions { mouse: true }
    }
}

/// Why the screen could not be shown, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    #[error("the explorer needs a terminal, but stdin or stdout is not a terminal")]
    NotATerminal,
    #[error("the terminal failed: {0}")]
    Terminal(#[from] std::io::Error),
    #[error("the terminal is gone: {0}")]
    Gone(String),
    /// It was left as a signal asked, by its number.
    #[error("ended by signal {0}")]
    Signal(i32),
}

impl ScreenError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ScreenError::NotATerminal => {
                Some("run it in a terminal, or use a subcommand such as mask or predict".to_owned())
            }
            _ => None,
        }
    }
}

/// Runs the explorer until it is left. The terminal is put back on every way out.
pub fn run(
    mut app: App,
    port: &dyn Port,
    updates: Receiver<Update>,
    options: TerminalOptions,
) -> Result<(), ScreenError> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(ScreenError::NotATerminal);
    }
    // Order matters on the way out: the hook outlives the guard, the guard outlives the screen.
    let _hook = PanicHook::install();
    #[cfg(unix)]
    let _crash = crash::CrashWatch::install()?;
    let guard = Guard::enter(options.mouse, knows_keyboard_protocol())?;
    let (to, from) = crossbeam_channel::unbounded();
    input::spawn_signals(to.clone())?;
    input::spawn(to)?;
    let screen = Screen::new()?;
    let area = screen.area()?;
    app.size = (area.width, area.height);
    let mut ui = Ui {
        app,
        port,
        screen,
        guard: &guard,
        mouse: Mouse::default(),
        start: Instant::now(),
        dirty: Dirty::TerminalInput,
        last_frame: None,
        request: None,
        signal: None,
    };
    let ended = ui.run(&from, updates);
    // However it ended, what was written is not lost.
    port.keep(ui.app.doc.editor.text());
    ended
}

/// Whether, and how soon, a frame is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    No,
    Background,
    /// Input, or a part of the answer to it.
    TerminalInput,
    /// Nothing more comes: an answer is complete.
    Answer,
}

impl Dirty {
    /// How soon news of the engine are to be seen.
    fn after(news: &Update) -> Self {
        match news {
            Update::Done { .. } | Update::Failed { .. } | Update::Crashed { .. } => Dirty::Answer,
            Update::Rerolls { done, of, .. }
            | Update::Leak { done, of, .. }
            | Update::Cost { done, of, .. } => {
                if done == of {
                    Dirty::Answer
                } else {
                    Dirty::Background
                }
            }
            Update::Tokens { .. }
            | Update::Baseline { .. }
            | Update::Scored { .. }
            | Update::Decided { .. }
            | Update::Masked { .. }
            | Update::Effects { .. }
            | Update::Map { .. }
            | Update::Overview { .. }
            | Update::Generate(_) => Dirty::TerminalInput,
            Update::Intervened { report, .. } if report.done == report.of => Dirty::Answer,
            Update::Intervened { .. } | Update::PatchGrid { .. } => Dirty::Background,
            Update::CalibrationReady
            | Update::Calibrating { .. }
            | Update::Models(_)
            | Update::Fingerprint { .. }
            | Update::Exported(_)
            | Update::ModelLoading(_)
            | Update::ModelReady(_)
            | Update::ModelMoved { .. }
            | Update::ModelFailed { .. }
            | Update::Train(_) => Dirty::Background,
        }
    }

    /// The least time between the last frame and the next; `None` where none is due.
    fn distance(self) -> Option<Duration> {
        match self {
            Dirty::No => None,
            Dirty::Background => Some(BACKGROUND_FRAME),
            Dirty::TerminalInput => Some(INPUT_FRAME),
            Dirty::Answer => Some(Duration::ZERO),
        }
    }
}

struct Ui<'a> {
    app: App,
    port: &'a dyn Port,
    screen: Screen,
    guard: &'a Guard,
    mouse: Mouse,
    start: Instant,
    dirty: Dirty,
    last_frame: Option<Instant>,
    /// The newest request of this round; older ones of the round need not be sent.
    request: Option<ExploreRequest>,
    /// The signal that asked it to end.
    signal: Option<i32>,
}

impl Ui<'_> {
    fn run(
        &mut self,
        inputs: &Receiver<TerminalInput>,
        mut updates: Receiver<Update>,
    ) -> Result<(), ScreenError> {
        let first = self.app.start();
        self.perform(first)?;
        self.send();
        loop {
            if self.due().is_some_and(|at| at <= Instant::now()) {
                self.frame()?;
            }
            self.wait(inputs, &mut updates)?;
            self.drain(inputs, &updates)?;
            self.send();
            if self.app.quit {
                return self.signal.map_or(Ok(()), |signal| Err(ScreenError::Signal(signal)));
            }
        }
    }

    /// When the next frame is to be drawn.
    fn due(&self) -> Option<Instant> {
        let distance = self.dirty.distance()?;
        Some(self.last_frame.map_or_else(Instant::now, |t| t + distance))
    }

    /// Sleeps until something comes, a frame is due, or time itself changes the picture.
    fn wait(
        &mut self,
        inputs: &Receiver<TerminalInput>,
        updates: &mut Receiver<Update>,
    ) -> Result<(), ScreenError> {
        let frame = self.due().map(|at| at.saturating_duration_since(Instant::now()));
        let tick = self.app.wake();
        let timeout = frame.into_iter().chain(tick).min();
        let clock = match timeout {
            Some(t) => crossbeam_channel::after(t),
            None => crossbeam_channel::never(),
        };
        select! {
            recv(inputs) -> input => match input {
                Ok(input) => self.input(input)?,
                Err(_) => return Err(ScreenError::Gone("input has ended".to_owned())),
            },
            recv(updates) -> update => match update {
                Ok(update) => self.news(update)?,
                Err(_) => {
                    *updates = crossbeam_channel::never();
                    self.engine_gone();
                }
            },
            recv(clock) -> _ => {
                if tick.is_some() && tick == timeout {
                    self.event(Event::Tick, Dirty::Background)?;
                }
            }
        }
        Ok(())
    }

    /// Takes in everything that waits already. A run of typed characters counts as one, so that a paste into a terminal
    /// without bracketed paste costs one step and not one per character.
    fn drain(
        &mut self,
        inputs: &Receiver<TerminalInput>,
        updates: &Receiver<Update>,
    ) -> Result<(), ScreenError> {
        while let Ok(update) = updates.try_recv() {
            self.news(update)?;
        }
        let mut typed = String::new();
        while let Ok(input) = inputs.try_recv() {
            match self.typed(&input) {
                Some(c) => typed.push(c),
                None => {
                    self.type_run(&mut typed)?;
                    self.input(input)?;
                }
            }
        }
        self.type_run(&mut typed)
    }

    /// The character that an input types into the text, if it does just that.
    fn typed(&self, input: &TerminalInput) -> Option<char> {
        let TerminalInput::Key(key) = input else { return None };
        let plain =
            self.app.view.focus == &text::PANE && self.app.popup.is_none() && self.app.entry.is_none();
        match self.app.meaning(*key) {
            Some(Meaning::Type(c)) if plain => Some(c),
            Some(Meaning::Do(action)) if plain && *action == NEW_LINE => Some('\n'),
            _ => None,
        }
    }

    fn type_run(&mut self, typed: &mut String) -> Result<(), ScreenError> {
        if typed.is_empty() {
            return Ok(());
        }
        self.event(Event::Typed(std::mem::take(typed)), Dirty::TerminalInput)
    }

    fn input(&mut self, input: TerminalInput) -> Result<(), ScreenError> {
        match input {
            TerminalInput::Key(key) => self.event(Event::Key(key), Dirty::TerminalInput),
            TerminalInput::Paste(text) => self.event(Event::Paste(text), Dirty::TerminalInput),
            TerminalInput::Mouse(event) => {
                self.app.now = self.start.elapsed();
                if event.kind != MouseEventKind::Moved {
                    self.mouse.handle(&mut self.app, event);
                    self.dirty = Dirty::TerminalInput;
                }
                let requests = self.app.take_requests();
                self.perform(requests)
            }
            TerminalInput::Resize(w, h) => {
                self.event(Event::Resize(w, h), Dirty::TerminalInput)?;
                // Even back at the same size, the terminal may have lost cells on the way.
                self.screen.forget()?;
                Ok(())
            }
            TerminalInput::FocusLost => {
                self.mouse = Mouse::default();
                self.app.release();
                Ok(())
            }
            TerminalInput::Signal(Signal::Terminate(signal)) => {
                self.signal = Some(signal);
                self.event(Event::Terminate, Dirty::TerminalInput)
            }
            TerminalInput::Signal(Signal::Suspend) => self.suspend(),
            TerminalInput::Signal(Signal::Continue) => self.resume(),
            TerminalInput::Closed(why) => Err(ScreenError::Gone(why)),
        }
    }

    fn news(&mut self, update: Update) -> Result<(), ScreenError> {
        let dirty = Dirty::after(&update);
        self.event(Event::Update(update), dirty)
    }

    fn event(&mut self, event: Event, dirty: Dirty) -> Result<(), ScreenError> {
        self.app.now = self.start.elapsed();
        let requests = self.app.handle(event);
        self.dirty = self.dirty.max(dirty);
        self.perform(requests)
    }

    fn perform(&mut self, requests: Vec<Request>) -> Result<(), ScreenError> {
        for request in requests {
            match request {
                Request::Explore(request) => self.request = Some(*request),
                Request::Command(command) => {
                    // A command may speak of the newest generation: the engine must have heard of it.
                    self.send();
                    self.port.command(command);
                }
                Request::Plan(request) => self.port.plan(*request),
                Request::Train(command) => self.port.train(command),
                Request::Models(command) => self.port.models(command),
                Request::Export(parcel) => self.port.export(*parcel),
                Request::Copy(text) => self.screen.raw(&clipboard(&text))?,
                Request::Suspend => self.suspend()?,
                Request::Redraw => self.screen.forget()?,
                Request::Quit => self.app.quit = true,
            }
        }
        Ok(())
    }

    fn send(&mut self) {
        if let Some(request) = self.request.take() {
            self.port.explore(request);
        }
    }

    fn frame(&mut self) -> Result<(), ScreenError> {
        self.app.now = self.start.elapsed();
        self.screen.draw(&self.app)?;
        self.last_frame = Some(Instant::now());
        self.dirty = Dirty::No;
        #[cfg(test)]
        super::tests::fail_as_asked();
        Ok(())
    }

    fn suspend(&mut self) -> Result<(), ScreenError> {
        self.guard.leave();
        input::stop();
        self.resume()
    }

    /// Back from a stop, however it came about: the shell may have changed every mode.
    fn resume(&mut self) -> Result<(), ScreenError> {
        self.guard.apply()?;
        let area = self.screen.area()?;
        self.screen.forget()?;
        self.event(Event::Resize(area.width, area.height), Dirty::TerminalInput)
    }

    fn engine_gone(&mut self) {
        self.app.cards.push(Card {
            title: "The engine has stopped".to_owned(),
            message: "Nothing more will be computed in this session".to_owned(),
            hint: Some("leave and start again".to_owned()),
            remedy: Remedy::Ask,
        });
        self.dirty = Dirty::TerminalInput;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_answer_waits_for_nothing_and_its_parts_as_little_as_a_key() {
        let distance = |news: &Update| Dirty::after(news).distance().unwrap();
        let done = Update::Done { generation: 1, forwards: 1, millis: 3.0 };
        assert_eq!(distance(&done), Duration::ZERO);
        let costs = |done| Update::Cost { generation: 1, done, of: 8, costs: [].into(), rows: [].into() };
        assert_eq!(distance(&costs(8)), Duration::ZERO);
        assert_eq!(distance(&costs(7)), BACKGROUND_FRAME, "more comes");
        let part = Update::Scored { generation: 1, scores: [].into(), formula: String::new() };
        assert_eq!(distance(&part), INPUT_FRAME);
        assert!(Dirty::after(&done) > Dirty::after(&part), "the most urgent news decides");
        assert_eq!(Dirty::No.distance(), None);
    }
}
