//! What the screen knows of models: those at hand, what was learnt about one since, and a download that opens nothing.

use std::collections::BTreeMap;

use crate::engine::types::{LoadProgress, ModelsUpdate};
use crate::hub::ModelDetails;
use crate::screen::app::{App, Card, Remedy};
use crate::screen::events::show_card;
use crate::support::units::bytes;

/// The Models screen's state, kept while it is closed.
#[derive(Clone, Debug, Default)]
pub struct ModelShelf {
    /// The bundled model, the cached ones, the known ones.
    pub listed: Vec<ModelDetails>,
    /// What the Hub or a folder said about a model, by the name that was asked for; else why there is nothing.
    pub described: BTreeMap<String, Result<ModelDetails, String>>,
    pub pulling: Option<LoadProgress>,
    /// The download that was cancelled last: what is still reported of it is ignored.
    pub cancelled: Option<String>,
    /// The model that was asked about last.
    pub asked: Option<String>,
    /// The path whose continuations were asked for last, and what it may go on to.
    pub typed: String,
    pub offers: Vec<String>,
}

impl ModelShelf {
    pub fn new(listed: Vec<ModelDetails>) -> Self {
        ModelShelf { listed, ..ModelShelf::default() }
    }

    /// What is known of a model.
    pub fn details(&self, spec: &str) -> Option<&ModelDetails> {
        let described = self.described.get(spec).and_then(|described| described.as_ref().ok());
        described.or_else(|| self.listed.iter().find(|model| model.id == spec))
    }

    /// Why the last question about a model has no answer.
    pub fn silence(&self, spec: &str) -> Option<&str> {
        self.described.get(spec)?.as_ref().err().map(String::as_str)
    }

    /// Forgets what was learnt about a model whose files have changed.
    fn forget(&mut self, spec: &str) {
        self.described.remove(spec);
        self.asked = None;
    }

    /// Takes in a new list; of what was learnt before, everything but the place of the files still holds.
    fn list(&mut self, listed: Vec<ModelDetails>) {
        for model in &listed {
            if let Some(Ok(known)) = self.described.get_mut(&model.id)
                && known.place != model.place
            {
                (known.place, known.size_bytes) = (model.place, model.size_bytes);
                known.cached_commit.clone_from(&model.cached_commit);
                known.missing_bytes =
                    known.download_bytes.map(|all| all.saturating_sub(model.size_bytes.unwrap_or(0)));
            }
        }
        self.listed = listed;
    }
}

/// Takes in what the library of models says.
pub fn take(app: &mut App, news: ModelsUpdate) {
    match news {
        ModelsUpdate::Listed(models) => app.models.list(models),
        ModelsUpdate::Described { spec, details } => {
            app.models.described.insert(spec, details.map(|details| *details));
        }
        ModelsUpdate::Pulling(progress) => {
            if app.models.cancelled.as_ref() != Some(&progress.id) {
                app.models.pulling = Some(progress);
            }
        }
        ModelsUpdate::Pulled { spec, note } => {
            app.models.pulling = None;
            app.models.forget(&spec);
            app.cards.retain(
                |card| !matches!(&card.remedy, Remedy::Models(command) if command.spec() == Some(&spec)),
            );
            match note {
                Some(note) => app.say(format!("{spec}: {note}")),
                None => app.say(format!("{spec} is in the cache")),
            }
        }
        ModelsUpdate::Removed { spec, bytes: freed } => {
            app.models.forget(&spec);
            app.say(format!("{spec} removed, {} freed", bytes(freed)));
        }
        ModelsUpdate::Failed { command, message, hint } => {
            let title = match command.spec() {
                Some(spec) => format!("{spec}: {}", command.failure()),
                None => command.failure().to_owned(),
            };
            if app.models.pulling.as_ref().is_some_and(|p| Some(&p.id) == command.spec()) {
                app.models.pulling = None;
            }
            show_card(app, Card { title, message, hint, remedy: Remedy::Models(command) });
        }
        ModelsUpdate::Completed { typed, offers } => {
            if typed == app.models.typed {
                app.models.offers = offers;
            }
        }
    }
    super::look(app);
}
