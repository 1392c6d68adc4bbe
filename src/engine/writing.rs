//! The worker's part in writing on: what the Generate screen asks for, done piece by piece between requests.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::explorer::ExploreError;
use super::generate::WritingSession;
use super::loaded::LoadedModel;
use super::types::{GenerateCommand, GenerateUpdate};

/// The text that is being written on, if any.
#[derive(Default)]
pub struct Writing {
    session: Option<WritingSession>,
}

impl Writing {
    /// Whether there is a piece of work to do.
    pub fn busy(&self) -> bool {
        self.session.as_ref().is_some_and(WritingSession::busy)
    }

    /// Does what was asked for; returns what became of it.
    pub fn command(&mut self, command: GenerateCommand, loaded: &Arc<LoadedModel>) -> Vec<GenerateUpdate> {
        let done = match (command, &mut self.session) {
            (GenerateCommand::Start(request), _) => {
                // Whatever comes of it, the old text is not what was asked about.
                self.session = None;
                WritingSession::start(loaded.clone(), &request).map(|session| self.session = Some(session))
            }
            (_, None) => Ok(()),
            (GenerateCommand::Step, Some(session)) => {
                session.run(Some(1));
                Ok(())
            }
            (GenerateCommand::Run, Some(session)) => {
                session.run(None);
                Ok(())
            }
            (GenerateCommand::Pause, Some(session)) => {
                session.pause();
                Ok(())
            }
            (GenerateCommand::Take { continuation, at, id }, Some(session)) => {
                session.take(continuation, at, id);
                Ok(())
            }
            (GenerateCommand::Strike { continuation, at }, Some(session)) => {
                session.strike(continuation, at);
                Ok(())
            }
            (GenerateCommand::Say(text), Some(session)) => session.say(&text),
            (GenerateCommand::Undo, Some(session)) => {
                session.travel(true);
                Ok(())
            }
            (GenerateCommand::Redo, Some(session)) => {
                session.travel(false);
                Ok(())
            }
            (GenerateCommand::Settings(settings), Some(session)) => session.set(settings),
            (GenerateCommand::Mask(mask), Some(session)) => session.mask(mask.as_deref()),
        };
        self.told(done)
    }

    /// One piece of work.
    pub fn work(&mut self, cancel: &AtomicBool) -> Vec<GenerateUpdate> {
        let done = self.session.as_mut().map_or(Ok(()), |session| session.work(Some(cancel)));
        match done {
            Err(e) if e.is_cancelled() => Vec::new(),
            done => self.told(done),
        }
    }

    /// The state, after what went wrong, where something did: then nothing more is tried.
    fn told(&mut self, done: Result<(), ExploreError>) -> Vec<GenerateUpdate> {
        let mut out = Vec::new();
        if let Err(e) = done {
            if let Some(session) = &mut self.session {
                session.give_up();
            }
            out.push(GenerateUpdate::Failed { message: e.to_string(), hint: e.hint() });
        }
        out.extend(self.session.as_ref().map(|session| GenerateUpdate::State(session.view())));
        out
    }
}
