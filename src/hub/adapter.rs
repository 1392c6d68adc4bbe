//! Adapter folders: a local folder with a LoRA adapter and no whole model names its base, which is looked up like any other
//! model. What is in an adapter is `model::adapter`'s to judge.

use std::path::Path;

use super::error::HubError;
use super::files::{self, read_json};
use super::spec::ModelSpec;
use crate::model::adapter::{Adapter, CONFIG, WEIGHTS};

/// Whether `folder` holds an adapter and no model of its own.
pub(super) fn is_adapter(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    has(CONFIG)
        && (files::choose_weights(&has).is_err() || !has(files::CONFIG))
        && WEIGHTS.iter().any(|name| has(name))
}

/// What the adapter in `folder` was trained on: a path from here or from the folder, or an id.
pub(super) fn base(folder: &Path) -> Result<ModelSpec, HubError> {
    let path = folder.join(CONFIG);
    let id = folder.display().to_string();
    let adapter =
        Adapter::parse(&read_json(&path)?, CONFIG).map_err(|error| HubError::unusable(&id, error))?;
    let beside = folder.join(&adapter.base);
    // A path may begin here or at the adapter; a folder here that only has the name is no model.
    let here = Path::new(&adapter.base);
    let is_model = |path: &Path| path.join("config.json").is_file();
    if beside.is_dir() && (!here.exists() || is_model(&beside) && !is_model(here)) {
        return Ok(ModelSpec::Folder(beside));
    }
    let spec: ModelSpec = adapter
        .base
        .parse()
        .map_err(|_| no_base(folder, &adapter.base, "it is neither a folder nor an id"))?;
    match spec {
        ModelSpec::Folder(base) if base.exists() && is_adapter(&base) => {
            Err(no_base(folder, &adapter.base, "it is an adapter itself"))
        }
        ModelSpec::Hub { id, .. } => Ok(ModelSpec::Hub { id, revision: adapter.revision }),
        other => Ok(other),
    }
}

/// The error of a base that could not be fetched, with the adapter it belongs to.
pub(super) fn without_base(folder: &Path, error: HubError) -> HubError {
    if error.is_cancelled() {
        return error;
    }
    HubError::NoBase { folder: folder.to_owned(), problem: error.to_string(), hint: error.hint() }
}

fn no_base(folder: &Path, base: &str, why: &str) -> HubError {
    let problem = format!("{}: {why}", super::error::visible(base));
    let hint = Some(format!("base_model_name_or_path in {CONFIG} names it"));
    HubError::NoBase { folder: folder.to_owned(), problem, hint }
}
