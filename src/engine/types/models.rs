//! What crosses between the Models screen and the library of models.

use super::LoadProgress;
use crate::hub::ModelDetails;

/// What the Models screen asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelsCommand {
    /// What is at hand; then, one by one, what the Hub says about the cached ones.
    List,
    /// All there is to know about a model, from the Hub too. Only the newest one is answered for certain.
    Describe(String),
    /// Download a model without opening it; `refresh` asks for the newest version of a cached one.
    Pull {
        spec: String,
        refresh: bool,
    },
    CancelPull,
    /// Take a model out of the cache.
    Remove(String),
    /// What a typed path may go on to.
    Complete(String),
}

impl ModelsCommand {
    /// The model that it is about.
    pub fn spec(&self) -> Option<&String> {
        match self {
            ModelsCommand::Describe(spec)
            | ModelsCommand::Pull { spec, .. }
            | ModelsCommand::Remove(spec) => Some(spec),
            ModelsCommand::List | ModelsCommand::CancelPull | ModelsCommand::Complete(_) => None,
        }
    }

    /// What has failed where it failed.
    pub fn failure(&self) -> &'static str {
        match self {
            ModelsCommand::Pull { .. } => "the download failed",
            ModelsCommand::Remove(_) => "not removed",
            _ => "the cache cannot be listed",
        }
    }
}

/// What the library of models says.
#[derive(Clone, Debug)]
pub enum ModelsUpdate {
    /// The bundled model, the cached ones, the known ones.
    Listed(Vec<ModelDetails>),
    /// About the model that was asked for by this name; else why there is no answer.
    Described {
        spec: String,
        details: Result<Box<ModelDetails>, String>,
    },
    Pulling(LoadProgress),
    Pulled {
        spec: String,
        note: Option<String>,
    },
    /// The model is out of the cache; so many bytes became free.
    Removed {
        spec: String,
        bytes: u64,
    },
    /// A pull or a removal went wrong.
    Failed {
        command: ModelsCommand,
        message: String,
        hint: Option<String>,
    },
    Completed {
        typed: String,
        offers: Vec<String>,
    },
}
