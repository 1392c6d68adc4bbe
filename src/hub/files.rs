//! Which files make up a checkpoint: the choice among what a repository or a folder offers, and the checks that
//! need no weights.
//!
//! One rule serves the Hub's listing, the cache and a plain folder, so that the three cannot disagree. Nothing
//! here reads weights or touches the network.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::error::{HubError, io, visible};
use crate::model::Config;
use crate::model::tokenizer::kinds;
use crate::support::files::{read_at_most, special};

pub(super) const CONFIG: &str = "config.json";
/// Calibrated nulls written by this program beside a checkpoint.
pub(super) const SIDE: &str = "maskscope.safetensors";
/// Fetched where present; nothing fails without them. A model's other tokenizer files come along: what is saved from it
/// is to hold everything that it came with.
pub(super) fn optional() -> impl Iterator<Item = &'static str> {
    kinds::all_files().chain([SIDE])
}

/// In order of preference: safetensors can be mapped and cannot run code.
const WEIGHTS: [WeightNames; 4] = [
    WeightNames::One("model.safetensors"),
    WeightNames::Index("model.safetensors.index.json"),
    WeightNames::One("pytorch_model.bin"),
    WeightNames::Index("pytorch_model.bin.index.json"),
];

/// The largest `config.json` and index that are read, in bytes; real ones are far smaller.
pub(super) const LARGEST_JSON: u64 = 16 << 20;

/// The files of a checkpoint in a folder; every path exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderFiles {
    pub dir: PathBuf,
    pub config: PathBuf,
    /// What the tokenizer is read from; empty in a local folder without one: ids can be run, text cannot.
    pub tokenizer: Vec<PathBuf>,
    pub weights: HubWeights,
    /// `maskscope.safetensors`, where there is one.
    pub side: Option<PathBuf>,
}

/// Weights in one file or in shards, shards in order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubWeights {
    Safetensors(Vec<PathBuf>),
    /// PyTorch pickles, to be scanned before they are trusted.
    Pickle(Vec<PathBuf>),
}

impl HubWeights {
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            HubWeights::Safetensors(paths) | HubWeights::Pickle(paths) => paths,
        }
    }
}

/// Why a folder is not a checkpoint.
#[derive(Debug)]
pub(super) enum Gap {
    /// This file is not there.
    Missing(String),
    /// What is there is wrong.
    Wrong(HubError),
}

impl FolderFiles {
    /// The checkpoint in `dir`, called `id` in messages, if it is whole and of the right kind.
    pub(super) fn find(dir: &Path, id: &str) -> Result<Self, Gap> {
        Self::find_with(dir, id, true)
    }

    /// As [`FolderFiles::find`], but a tokenizer may be missing, as in folders that were made for ids alone.
    pub(super) fn find_local(dir: &Path, id: &str) -> Result<Self, Gap> {
        Self::find_with(dir, id, false)
    }

    fn find_with(dir: &Path, id: &str, needs_tokenizer: bool) -> Result<Self, Gap> {
        let has = |name: &str| dir.join(name).is_file();
        if !has(CONFIG) {
            return Err(Gap::Missing(CONFIG.into()));
        }
        judge_config(&read_json(&dir.join(CONFIG)).map_err(Gap::Wrong)?, id).map_err(Gap::Wrong)?;
        let tokenizer = match choose_tokenizer(&has) {
            Ok(names) => names.iter().map(|name| dir.join(name)).collect(),
            Err(missing) if needs_tokenizer => return Err(Gap::Missing(missing)),
            Err(_) => Vec::new(),
        };
        let choice = choose_weights(&has).map_err(Gap::Missing)?;
        let names = match choice {
            WeightNames::One(name) => vec![name.to_owned()],
            WeightNames::Index(name) => {
                let index = read_json(&dir.join(name)).map_err(Gap::Wrong)?;
                parse_index(&index, choice, id).map_err(Gap::Wrong)?
            }
        };
        if let Some(absent) = names.iter().find(|name| !has(name)) {
            return Err(Gap::Missing(absent.clone()));
        }
        let paths = names.iter().map(|name| dir.join(name)).collect();
        Ok(FolderFiles {
            dir: dir.to_path_buf(),
            config: dir.join(CONFIG),
            tokenizer,
            weights: if choice.is_safetensors() {
                HubWeights::Safetensors(paths)
            } else {
                HubWeights::Pickle(paths)
            },
            side: has(SIDE).then(|| dir.join(SIDE)),
        })
    }
}

/// How the weights are stored, by file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WeightNames {
    One(&'static str),
    /// An index that names the shards.
    Index(&'static str),
}

impl WeightNames {
    pub fn name(self) -> &'static str {
        match self {
            WeightNames::One(name) | WeightNames::Index(name) => name,
        }
    }

    fn is_safetensors(self) -> bool {
        self.name().contains(".safetensors")
    }
}

/// The best weights available; the error lists what was looked for.
pub(super) fn choose_weights(has: &dyn Fn(&str) -> bool) -> Result<WeightNames, String> {
    WEIGHTS.into_iter().find(|w| has(w.name())).ok_or_else(|| "model.safetensors or pytorch_model.bin".into())
}

/// The tokenizer files available; the error lists what was looked for.
pub(super) fn choose_tokenizer(has: &dyn Fn(&str) -> bool) -> Result<&'static [&'static str], String> {
    kinds::choose(has).map(|(_, names)| names).ok_or_else(kinds::wanted)
}

/// Why `missing` is not in the folder `dir`: something else may have one of the names that were looked for, or the folder is of
/// a run that saved nothing.
pub(super) fn without(dir: &Path, missing: String) -> HubError {
    let weights = WEIGHTS.iter().map(|w| w.name());
    let names = std::iter::once(CONFIG).chain(optional()).chain(weights).map(|name| dir.join(name));
    for path in names.chain([dir.join(&missing)]) {
        if let Some(what) = special(&path) {
            return HubError::NotPlain { path, what };
        }
    }
    if dir.join("run.json").is_file() && !dir.join(CONFIG).is_file() {
        return HubError::NoCheckpoint { path: dir.to_owned() };
    }
    HubError::FolderIncomplete { path: dir.to_owned(), missing }
}

/// Reads a small JSON file; one of an absurd size, and what is no plain file, is refused unread.
pub(super) fn read_json(path: &Path) -> Result<Vec<u8>, HubError> {
    read_at_most(path, LARGEST_JSON).map_err(io("read", path))
}

/// Refuses a `config.json` that this program cannot run, by the one reader that decides.
pub(super) fn judge_config(config: &[u8], id: &str) -> Result<(), HubError> {
    Config::parse(config, CONFIG).map(|_| ()).map_err(|error| HubError::unusable(id, error))
}

/// The shards an index names, sorted, each once.
pub(super) fn parse_index(index: &[u8], kind: WeightNames, id: &str) -> Result<Vec<String>, HubError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let bad = |detail: String| HubError::BadFile { id: id.into(), file: kind.name().into(), detail };
    let index: Index = serde_json::from_slice(index).map_err(|e| bad(visible(&e.to_string())))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if shards.is_empty() {
        return Err(bad("it lists no files".into()));
    }
    let extension = if kind.is_safetensors() { ".safetensors" } else { ".bin" };
    match shards.iter().find(|s| !is_safe_path(s) || !s.ends_with(extension)) {
        Some(shard) => Err(HubError::UnsafePath { id: id.into(), path: visible(shard) }),
        None => Ok(shards.into_iter().collect()),
    }
}

/// Whether a name from outside stays inside the folder it is joined to, on every platform.
pub(super) fn is_safe_path(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', ':'])
        && !name.chars().any(char::is_control)
        && !name.split('/').any(|part| part.is_empty() || part == "." || part == "..")
        && Path::new(name).components().all(|c| matches!(c, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPT2: &str =
        r#"{"model_type":"gpt2","n_layer":1,"n_head":1,"n_embd":8,"n_positions":8,"vocab_size":8}"#;

    fn offer(names: &[&str]) -> impl Fn(&str) -> bool {
        move |name| names.contains(&name)
    }

    #[test]
    fn safetensors_come_before_pickles_and_single_files_before_shards() {
        for (names, chosen) in [
            (vec!["pytorch_model.bin", "model.safetensors", "tf_model.h5"], Some("model.safetensors")),
            (vec!["pytorch_model.bin", "model.safetensors.index.json"], Some("model.safetensors.index.json")),
            (vec!["pytorch_model.bin.index.json", "pytorch_model.bin"], Some("pytorch_model.bin")),
            (vec!["pytorch_model.bin.index.json"], Some("pytorch_model.bin.index.json")),
            (vec!["tf_model.h5", "flax_model.msgpack"], None),
        ] {
            assert_eq!(choose_weights(&offer(&names)).ok().map(WeightNames::name), chosen);
        }
    }

    #[test]
    fn half_a_tokenizer_is_none() {
        assert_eq!(
            choose_tokenizer(&offer(&["vocab.json", "merges.txt"])).unwrap(),
            ["vocab.json", "merges.txt"]
        );
        assert!(choose_tokenizer(&offer(&["vocab.json"])).unwrap_err().contains("spiece.model"));
    }

    #[test]
    fn what_is_no_gpt2_is_named() {
        for (config, found) in [
            (r#"{"model_type":"llama"}"#, "\"llama\""),
            (r#"{"model_type":"gpt_neo\u001b[31m"}"#, "gpt_neo"),
            (r#"{"architectures":["X"]}"#, "\"X\""),
            (r#"{"model_type":"gpt2"}"#, "vocab_size is missing"),
            ("", "empty"),
            ("[]", "a list"),
            ("{\"model_type\":", "not valid JSON"),
        ] {
            let error = judge_config(config.as_bytes(), "a/b").unwrap_err().to_string();
            assert!(error.starts_with("a/b: config.json") && error.contains(found), "{error}");
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
        assert!(judge_config(GPT2.as_bytes(), "a/b").is_ok());
    }

    #[test]
    fn an_index_cannot_reach_outside_its_folder() {
        let kind = WeightNames::Index("model.safetensors.index.json");
        let index = |shard: &str| serde_json::json!({"weight_map": {"w": shard}}).to_string().into_bytes();
        for shard in [
            "../x.safetensors",
            "a/../../x.safetensors",
            "/x.safetensors",
            "C:\\x.safetensors",
            "..\\x.safetensors",
            "a//x.safetensors",
            "./x.safetensors",
            "x\u{0}.safetensors",
            "x.bin",
            "run.py",
            "",
        ] {
            assert!(
                matches!(parse_index(&index(shard), kind, "a/b"), Err(HubError::UnsafePath { .. })),
                "{shard:?}"
            );
        }
        let two = serde_json::json!({"weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}});
        assert_eq!(
            parse_index(two.to_string().as_bytes(), kind, "a/b").unwrap(),
            ["1.safetensors", "2.safetensors"]
        );
        assert!(matches!(parse_index(b"{\"weight_map\":{}}", kind, "a/b"), Err(HubError::BadFile { .. })));
    }

    #[test]
    fn a_folder_is_whole_only_with_every_shard() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let missing = || match FolderFiles::find(dir.path(), "x") {
            Err(Gap::Missing(name)) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(missing(), CONFIG);
        write(CONFIG, GPT2);
        assert!(missing().contains("tokenizer.json"));
        write("vocab.json", "{}");
        write("merges.txt", "");
        assert!(missing().contains("model.safetensors"));
        write("model.safetensors.index.json", r#"{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#);
        write("1.safetensors", "");
        assert_eq!(missing(), "2.safetensors");
        write("2.safetensors", "");
        let found = FolderFiles::find(dir.path(), "x").unwrap();
        assert_eq!(
            found.weights,
            HubWeights::Safetensors(vec![dir.path().join("1.safetensors"), dir.path().join("2.safetensors")])
        );
        assert_eq!(found.tokenizer, [dir.path().join("vocab.json"), dir.path().join("merges.txt")]);
        assert_eq!(found.side, None);
        write("tokenizer.json", "{}");
        write(SIDE, "");
        let found = FolderFiles::find(dir.path(), "x").unwrap();
        assert_eq!(found.tokenizer, [dir.path().join("tokenizer.json")]);
        assert_eq!(found.side, Some(dir.path().join(SIDE)));
    }
}
