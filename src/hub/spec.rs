//! What a person types to name a model: `demo` or `copier`, a folder, or an id on the Hub.
//!
//! Parsing looks at the disk only to see whether a path exists; it never asks the network.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::{HubError, visible};
use crate::support::paths::expand_home;

/// Ids from before the Hub had owners, and where those models live now. Python's cache may hold either name.
const LEGACY_IDS: [(&str, &str); 5] = [
    ("gpt2", "openai-community/gpt2"),
    ("gpt2-medium", "openai-community/gpt2-medium"),
    ("gpt2-large", "openai-community/gpt2-large"),
    ("gpt2-xl", "openai-community/gpt2-xl"),
    ("distilgpt2", "distilbert/distilgpt2"),
];

/// Addresses of model pages that people paste instead of ids.
const PAGE_PREFIXES: [&str; 4] =
    ["https://huggingface.co/", "http://huggingface.co/", "huggingface.co/", "https://hf.co/"];

/// The longest id the Hub allows, in characters.
const LONGEST_ID: usize = 96;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModelSpec {
    /// The model bundled with the program.
    Demo,
    /// The small bundled model that copies, and nothing else.
    Copier,
    /// A folder that holds `config.json`, a tokenizer and weights.
    Folder(PathBuf),
    /// A model on the Hub; `revision` is a branch, a tag or a commit, `main` when absent.
    Hub { id: String, revision: Option<String> },
}

impl ModelSpec {
    /// The present id of a model that may be given by one from before ids had owners.
    pub(super) fn present_id(id: &str) -> &str {
        LEGACY_IDS.iter().find(|(old, _)| *old == id).map_or(id, |(_, now)| now)
    }

    /// The id under which Python may have cached the same model before ids had owners.
    pub(super) fn legacy_id(id: &str) -> Option<&'static str> {
        LEGACY_IDS.iter().find(|(_, now)| *now == id).map(|(old, _)| *old)
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelSpec::Demo => f.write_str("demo"),
            ModelSpec::Copier => f.write_str("copier"),
            ModelSpec::Folder(path) => write!(f, "{}", path.display()),
            ModelSpec::Hub { id, revision: None } => f.write_str(id),
            ModelSpec::Hub { id, revision: Some(revision) } => write!(f, "{id}@{revision}"),
        }
    }
}

impl FromStr for ModelSpec {
    type Err = HubError;

    /// `demo` and `copier`; a path that exists or that starts like one (`./`, `../`, `/`, `~`); `owner/name`, with
    /// `@revision` if wanted; a well-known id without an owner (`gpt2`); the address of a model's page.
    fn from_str(text: &str) -> Result<Self, HubError> {
        let text = text.trim();
        match text {
            "demo" => return Ok(ModelSpec::Demo),
            "copier" => return Ok(ModelSpec::Copier),
            _ => {}
        }
        if text.is_empty() {
            return Err(HubError::BadSpec { text: String::new() });
        }
        if looks_like_path(text) || Path::new(text).exists() {
            return Ok(ModelSpec::Folder(expand_home(text)));
        }
        let (id, revision) = split_page_address(text).unwrap_or_else(|| split_revision(text));
        let id = ModelSpec::present_id(id);
        if !valid_id(id) || !revision.is_none_or(valid_revision) {
            return Err(HubError::BadSpec { text: visible(text) });
        }
        Ok(ModelSpec::Hub { id: id.to_owned(), revision: revision.map(str::to_owned) })
    }
}

fn looks_like_path(text: &str) -> bool {
    matches!(text, "." | ".." | "~")
        || ["./", "../", "/", "~/", ".\\", "..\\"].iter().any(|p| text.starts_with(p))
        || text.as_bytes().get(1..3) == Some(b":\\")
}

fn split_revision(text: &str) -> (&str, Option<&str>) {
    text.split_once('@').map_or((text, None), |(id, revision)| (id, Some(revision)))
}

/// `…/owner/name` and `…/owner/name/tree/revision`.
fn split_page_address(text: &str) -> Option<(&str, Option<&str>)> {
    let rest = PAGE_PREFIXES.iter().find_map(|p| text.strip_prefix(p))?.trim_end_matches('/');
    Some(rest.split_once("/tree/").map_or((rest, None), |(id, revision)| (id, Some(revision))))
}

/// The Hub's own rule: one or two parts of `[A-Za-z0-9._-]`, none starting or ending in `.` or `-`, no `--`, no `..`.
/// It also keeps an id from reaching outside the cache folder.
pub(super) fn valid_id(id: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty()
            && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !p.starts_with(['.', '-'])
            && !p.ends_with(['.', '-'])
    };
    id.len() <= LONGEST_ID
        && id.split('/').count() <= 2
        && id.split('/').all(part)
        && !id.contains("--")
        && !id.contains("..")
}

/// A git ref that is also a safe relative path, since it names a file under `refs/`.
pub(super) fn valid_revision(revision: &str) -> bool {
    revision.len() <= 255
        && revision.split('/').all(|p| !p.is_empty() && p != "." && !p.contains("..") && !p.ends_with(".tmp"))
        && revision.chars().all(|c| c.is_ascii_graphic() && !"\\:~^?*[@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(id: &str, revision: Option<&str>) -> ModelSpec {
        ModelSpec::Hub { id: id.into(), revision: revision.map(Into::into) }
    }

    #[test]
    fn every_way_to_name_a_model() {
        for (text, spec) in [
            ("demo", ModelSpec::Demo),
            (" demo ", ModelSpec::Demo),
            ("copier", ModelSpec::Copier),
            ("gpt2", hub("openai-community/gpt2", None)),
            ("gpt2-xl@main", hub("openai-community/gpt2-xl", Some("main"))),
            ("distilgpt2", hub("distilbert/distilgpt2", None)),
            ("some-old-id", hub("some-old-id", None)),
            ("microsoft/DialoGPT-small", hub("microsoft/DialoGPT-small", None)),
            ("a/b@refs/pr/3", hub("a/b", Some("refs/pr/3"))),
            ("https://huggingface.co/a/b", hub("a/b", None)),
            ("https://huggingface.co/gpt2/", hub("openai-community/gpt2", None)),
            ("huggingface.co/a/b/tree/v1.0", hub("a/b", Some("v1.0"))),
            ("./demo", ModelSpec::Folder("./demo".into())),
            ("../x", ModelSpec::Folder("../x".into())),
            ("/nowhere/at/all", ModelSpec::Folder("/nowhere/at/all".into())),
            // Exists in the package folder, where tests run.
            ("src/hub", ModelSpec::Folder("src/hub".into())),
        ] {
            assert_eq!(text.parse::<ModelSpec>().unwrap(), spec, "{text}");
        }
    }

    #[test]
    fn text_that_names_no_model_is_refused() {
        let long = "x".repeat(LONGEST_ID + 1);
        for text in
            ["", "  ", "a/b/c", "a//b", "a/..", "a/b--c", "-a/b", "a/b.", "a b", "a/b@", "a/b@../main", &long]
        {
            let error = text.parse::<ModelSpec>().unwrap_err();
            assert!(matches!(error, HubError::BadSpec { .. }), "{text:?}: {error}");
        }
        for revision in ["../x", "a/../b", "/abs", "a\\b", "a b", "x\u{1b}[2J", "main.tmp", "./a", "a//b"] {
            assert!(!valid_revision(revision), "{revision:?}");
        }
    }

    #[test]
    fn printed_specs_parse_back() {
        for text in ["demo", "copier", "a/b", "a/b@v1", "./here"] {
            assert_eq!(text.parse::<ModelSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn home_is_expanded_only_at_the_front() {}

    #[test]
    fn old_ids_lead_back_from_new_ones() {
        assert_eq!(ModelSpec::legacy_id("openai-community/gpt2"), Some("gpt2"));
        assert_eq!(ModelSpec::legacy_id("a/b"), None);
    }
}
