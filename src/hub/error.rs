//! Everything that can go wrong between a model's name and its files, as one sentence for a person and a hint.
//!
//! Text from the Hub passes through [`visible`] before it enters a message, and no message holds a token or a
//! signed address.

use std::path::PathBuf;
use std::time::Duration;

use super::dataset::PREFIX;
use crate::model::ModelError;
use crate::model::tokenizer::kinds;
use crate::support::units::bytes;
use crate::support::visible::{shortened, without_credentials};

/// Why a model could not be resolved to files.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("not a model id, a folder or \"demo\": {text:?}")]
    BadSpec { text: String },
    #[error("this build has no bundled model")]
    NoBundledModel,
    #[error("no such folder: {}", path.display())]
    NoFolder { path: PathBuf },
    #[error("{} is {what}, not a file or folder with a model", path.display())]
    NotPlain { path: PathBuf, what: &'static str },
    #[error("the folder {} is a training run without a saved checkpoint, so it has no weights", path.display())]
    NoCheckpoint { path: PathBuf },
    #[error("the folder {} has no {missing}", path.display())]
    FolderIncomplete { path: PathBuf, missing: String },

    #[error("{} not found on the Hub", asked_for(id))]
    NotFound { id: String },
    #[error("{} has no revision {revision}", named(id))]
    RevisionNotFound { id: String, revision: String },
    #[error("the file {file} of {} is listed but could not be downloaded", named(id))]
    FileNotFound { id: String, file: String },
    #[error("access to {} was refused: {}", named(id), if *with_token { "the token lacks access" } else { "it needs a token" })]
    Unauthorised { id: String, with_token: bool },
    #[error("{} is gated: its owner must grant you access first", named(id))]
    Gated { id: String, page: String, with_token: bool },
    #[error("rate limit of the Hub reached{}", wait.map(|w| format!("; retry in {} s", w.as_secs())).unwrap_or_default())]
    RateLimited { wait: Option<Duration> },
    /// The host that large files are sent from; its links are signed and end after a while.
    #[error("the storage behind the Hub refused {file} with status {status}")]
    Storage { status: u16, file: String },
    #[error("the Hub failed with status {status} on {what}")]
    Server { status: u16, what: String },
    #[error("unexpected response from the Hub about {what}: {detail}")]
    BadAnswer { what: String, detail: String },
    #[error("a redirect on {what} was not followed: {detail}")]
    Redirect { what: String, detail: String },

    #[error("{endpoint} could not be reached: {detail}")]
    NoNetwork { endpoint: String, detail: String },
    #[error("{} is incomplete in the cache, and offline mode is on", named(id))]
    Offline { id: String, missing: String },
    #[error("nothing arrived for {} s while fetching {what}", after.as_secs_f32())]
    Stalled { what: String, after: Duration },
    #[error("the connection broke while fetching {what}: {detail}")]
    Broken { what: String, detail: String },
    #[error("{file} has the wrong length: {got} bytes instead of {expected}")]
    WrongLength { file: String, expected: u64, got: u64 },
    #[error("{file} arrived damaged: its SHA-256 checksum differs")]
    Checksum { file: String },
    #[error("not enough space in {}: {} needed, {} free", path.display(), bytes(*needed), bytes(*free))]
    DiskFull { needed: u64, free: u64, path: PathBuf },
    #[error("cancelled")]
    Cancelled,
    #[error("{id} is not in the cache")]
    NotCached { id: String },
    #[error("{id} is being downloaded by another process")]
    InUse { id: String },

    #[error("{} has no {missing} that this program reads", named(id))]
    Incomplete { id: String, missing: String },
    #[error("{}: {file} is damaged in the cache: it is not what the Hub sent", named(id))]
    Damaged { id: String, file: String },
    #[error("{} has {} subsets: {}", named(id), known.len(), visible(&known.join(", ")))]
    Subsets { id: String, known: Vec<String> },
    #[error("{} has no subset {asked}{}", named(id), if known.is_empty() { ": its card names none" } else { "" })]
    NoSubset { id: String, asked: String, known: Vec<String> },
    #[error("{id}: {file} is not usable: {detail}")]
    BadFile { id: String, file: String, detail: String },
    #[error("the adapter's base model could not be loaded ({}): {problem}", folder.display())]
    NoBase { folder: PathBuf, problem: String, hint: Option<String> },
    /// The reader of the model refuses one of its files.
    #[error("{id}: {problem}")]
    Unusable { id: String, problem: String, hint: Option<String> },
    #[error("{} lists an unsafe path: {path:?}", named(id))]
    UnsafePath { id: String, path: String },
    #[error("the download client could not be started: {0}")]
    Runtime(std::io::Error),
    #[error("could not {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

impl HubError {
    /// What the reader of models said of a file of `id`.
    pub(super) fn unusable(id: &str, error: ModelError) -> Self {
        HubError::Unusable { id: id.into(), problem: visible(&error.to_string()), hint: error.hint() }
    }

    /// What to do about it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            HubError::BadSpec { .. } => {
                "write owner/name, owner/name@revision, ./folder or demo; gpt2 is the classic one".into()
            }
            HubError::NoBundledModel
            | HubError::NotPlain { .. }
            | HubError::NoCheckpoint { .. }
            | HubError::NoFolder { .. } => self.place_hint().into(),
            HubError::Incomplete { id, .. } if id.starts_with(PREFIX) => {
                "choose another data set, or download its files and name them".into()
            }
            HubError::FolderIncomplete { .. } | HubError::Incomplete { .. } => {
                format!("needed: config.json, {}, and model.safetensors or pytorch_model.bin", kinds::wanted())
            }
            HubError::NotFound { .. } | HubError::Unauthorised { .. } | HubError::Gated { .. } => self.access_hint(),
            HubError::RevisionNotFound { .. } => "a revision is a branch, a tag or a commit, such as main".into(),
            HubError::RateLimited { .. } => "try again in a few minutes; a token (HF_TOKEN) raises the limit".into(),
            HubError::Server { .. } | HubError::FileNotFound { .. } => "try again later".into(),
            HubError::Storage { .. } => {
                "try again; if it stays so, a proxy or a firewall may block that host".into()
            }
            HubError::Damaged { id, .. } => again(id),
            HubError::Subsets { id, known } | HubError::NoSubset { id, known, .. } => self.subsets_hint(id, known),
            HubError::BadAnswer { .. } | HubError::Redirect { .. } => {
                "check HF_ENDPOINT, and any proxy between here and the Hub".into()
            }
            HubError::NoNetwork { .. } => {
                "check the connection, HF_ENDPOINT and proxy settings; cached models and `demo` work without it".into()
            }
            HubError::Offline { missing, .. } => {
                format!("missing: {missing}; run once without --offline and HF_HUB_OFFLINE to download it")
            },
            HubError::Stalled { .. } | HubError::Broken { .. } => {
                "what was downloaded is kept; the next attempt continues from there".into()
            }
            HubError::WrongLength { .. } | HubError::Checksum { .. } => {
                "the damaged file was removed: try again".into()
            }
            HubError::DiskFull { .. } => "free some space, or set HF_HUB_CACHE to another disk".into(),
            HubError::NoBase { hint, .. } => return hint.clone(),
            HubError::Unusable { hint, .. } => {
                return Some(hint.clone().unwrap_or_else(|| "check the file, or choose another model or revision".into()));
            }
            HubError::BadFile { id, .. } | HubError::UnsafePath { id, .. } => {
                format!("choose another {} or revision", kind(id))
            }
            HubError::Io { .. } => "check the folder's permissions, or set HF_HUB_CACHE to another folder".into(),
            HubError::NotCached { .. } => "`maskscope models list` shows what is".into(),
            HubError::InUse { .. } => "let that end, or stop it, and try again".into(),
            HubError::Cancelled | HubError::Runtime(_) => return None,
        })
    }

    /// What helps where the Hub shows nothing without the right account.
    fn access_hint(&self) -> String {
        const LOGIN: &str = "set HF_TOKEN or run `hf auth login`";
        match self {
            HubError::NotFound { id } => format!("check the spelling; for a private {}, {LOGIN}", kind(id)),
            HubError::Unauthorised { with_token: false, .. } => LOGIN.into(),
            HubError::Unauthorised { with_token: true, id } => {
                format!("the token may have expired or lack the right to read this {}", kind(id))
            }
            HubError::Gated { page, with_token, .. } => {
                let login = if *with_token { String::new() } else { format!(", then {LOGIN}") };
                format!("ask for access at {page}{login}")
            }
            _ => LOGIN.into(),
        }
    }

    /// What helps where the place that was named holds no model.
    fn place_hint(&self) -> &'static str {
        match self {
            HubError::NoBundledModel => "choose a model on the Hub instead: gpt2",
            HubError::NoCheckpoint { .. } => {
                "train again with a checkpoint (--checkpoint-every), or remove it with maskscope runs delete"
            }
            HubError::NoFolder { .. } => "a folder starts with ./, ../, / or ~/",
            _ => "name a folder with config.json and the weights, or an id on the Hub",
        }
    }

    /// How a subset of the data set `id` is named.
    fn subsets_hint(&self, id: &str, known: &[String]) -> String {
        match (self, known.first()) {
            (_, None) => format!("leave it out: {id}"),
            (HubError::Subsets { .. }, Some(first)) => format!("name one: {id}:{first}"),
            (_, Some(_)) => format!("its subsets: {}", visible(&known.join(", "))),
        }
    }

    /// Whether the person stopped it.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, HubError::Cancelled)
    }

    /// Whether another try may well succeed.
    pub(super) fn is_passing(&self) -> bool {
        use HubError::{Broken, RateLimited, Stalled, Storage};
        matches!(self, Stalled { .. } | Broken { .. } | RateLimited { .. } | Storage { status: 403, .. })
            || matches!(
                self,
                HubError::Server { status: 408 | 500 | 502 | 503 | 504, .. }
                    | Storage { status: 408 | 500 | 502 | 503 | 504, .. }
            )
    }
}

/// A model or a data set by what it is and its id.
fn asked_for(id: &str) -> String {
    match id.strip_prefix(PREFIX) {
        Some(_) => named(id),
        None => format!("model {id}"),
    }
}

/// A model by its id, a data set as one.
pub(super) fn named(id: &str) -> String {
    match id.strip_prefix(PREFIX) {
        Some(id) => format!("data set {id}"),
        None => id.to_owned(),
    }
}

fn kind(id: &str) -> &'static str {
    if id.starts_with(PREFIX) { "data set" } else { "model" }
}

/// What to do about a cached file of `id` that cannot be used.
pub(super) fn again(id: &str) -> String {
    match id.starts_with(PREFIX) {
        true => "fetch it again with --refresh".into(),
        false => format!("fetch it again with --refresh, or remove it with maskscope models remove {id}"),
    }
}

/// An `Io` error's constructor for `map_err`.
pub(super) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> HubError {
    let path = path.to_path_buf();
    move |source| HubError::Io { action, path, source }
}

/// Text from outside made safe and short enough for a message.
pub(super) fn visible(text: &str) -> String {
    shortened(&without_credentials(text), 240)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\n");
        assert_eq!(visible(&"x".repeat(500)).chars().count(), 241);
        assert_eq!(visible("modèle"), "modèle");
    }

    #[test]
    fn messages_are_one_sentence_without_a_full_stop() {
        let id = || "a/b".to_string();
        for error in [
            HubError::Unauthorised { id: id(), with_token: true },
            HubError::RateLimited { wait: Some(Duration::from_secs(7)) },
            HubError::DiskFull { needed: 548_105_171, free: 1_000_000, path: "/c".into() },
            HubError::unusable(
                "a/b",
                ModelError::file("config.json", "model_type is \"llama\", not \"gpt2\""),
            ),
        ] {
            let text = error.to_string();
            assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
            assert!(error.hint().is_some_and(|h| !h.ends_with('.')), "{error:?}");
        }
        let full = HubError::DiskFull { needed: 548_105_171, free: 1_000_000, path: "/c".into() };
        assert_eq!(full.to_string(), "not enough space in /c: 548.1 MB needed, 1.0 MB free");
    }
}
