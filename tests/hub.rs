//! The Hub room against a Hub on 127.0.0.1: what is fetched, how it lies in the cache, and every way it goes wrong.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/hub_server.rs"]
mod hub_server;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hub_server::{COMMIT, Fault, GPT2_CONFIG, HubServer, Repo, TOKENIZER, noise};
use maskscope::hub::{
    FetchProgress, Files, FolderFiles, HubError, HubOptions, HubWeights, ModelSnapshot, ModelSpec, Phase,
    cached_models, embedded, fetch, fetch_dataset, find_local, moved,
};
use tempfile::TempDir;

const ID: &str = "owner/name";
const WEIGHTS: &str = "model.safetensors";
const NEXT_COMMIT: &str = "2222222222222222222222222222222222222222";

/// A server, an empty cache, and options that join them.
struct Bench {
    server: HubServer,
    cache: TempDir,
    options: HubOptions,
}

impl Bench {
    fn new(repo: Repo) -> Self {
        let server = HubServer::start(vec![repo]);
        let cache = tempfile::tempdir().unwrap();
        let options = HubOptions {
            endpoint: Some(server.url()),
            cache: Some(cache.path().into()),
            token: Some("hf_secret".into()),
            stall_timeout: Duration::from_secs(20),
            retries: 2,
            backoff: Duration::from_millis(1),
            ..HubOptions::default()
        };
        Bench { server, cache, options }
    }

    fn fetch(&self) -> Result<ModelSnapshot, HubError> {
        self.fetch_spec(ID)
    }

    fn fetch_spec(&self, spec: &str) -> Result<ModelSnapshot, HubError> {
        fetch(&spec.parse().unwrap(), &self.options, &mut |_| {}, &AtomicBool::new(false))
    }

    /// Fetches, and cancels once `enough` holds of a report.
    fn fetch_until(&self, enough: impl Fn(&FetchProgress) -> bool) -> Result<ModelSnapshot, HubError> {
        let cancel = AtomicBool::new(false);
        let mut watch = |p: &FetchProgress| {
            if enough(p) {
                cancel.store(true, Ordering::Relaxed);
            }
        };
        fetch(&ID.parse().unwrap(), &self.options, &mut watch, &cancel)
    }

    fn repo_dir(&self) -> PathBuf {
        self.cache.path().join("models--owner--name")
    }

    fn partial(&self, repo: &Repo) -> PathBuf {
        self.repo_dir().join("blobs").join(format!("{}.incomplete", repo.etag(WEIGHTS)))
    }
}

fn files(snapshot: &ModelSnapshot) -> &FolderFiles {
    match &snapshot.files {
        Files::Folder(files) => files,
        other => panic!("{other:?}"),
    }
}

/// Every file under `dir` by its path from there, sorted.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(dir).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

fn assert_weights(bench: &Bench, repo: &Repo, result: Result<ModelSnapshot, HubError>) {
    let snapshot = result.unwrap();
    assert!(fs::read(snapshot.dir().unwrap().join(WEIGHTS)).unwrap() == repo.content(WEIGHTS));
    assert!(!bench.partial(repo).exists());
}

// ---- what is fetched, and how it lies ----------------------------------------------------------------------------

#[test]
fn a_model_is_fetched_into_pythons_layout() {
    let repo = Repo::tiny(ID).with_lfs("maskscope.safetensors", b"nulls");
    let bench = Bench::new(repo.clone());
    let snapshot = bench.fetch().unwrap();
    assert_eq!((snapshot.id.as_str(), snapshot.revision.as_deref()), (ID, Some(COMMIT)));
    assert_eq!(snapshot.note, None);

    let wanted =
        ["config.json", "generation_config.json", "maskscope.safetensors", WEIGHTS, "tokenizer.json"];
    let mut expected: Vec<String> = vec!["CACHEDIR.TAG".into(), "models--owner--name/refs/main".into()];
    for name in wanted {
        let etag = repo.etag(name);
        expected.push(format!(".locks/models--owner--name/{etag}.lock"));
        expected.push(format!("models--owner--name/blobs/{etag}"));
        expected.push(format!("models--owner--name/snapshots/{COMMIT}/{name}"));
    }
    expected.sort();
    assert_eq!(tree(bench.cache.path()), expected);
    assert_eq!(fs::read_to_string(bench.repo_dir().join("refs/main")).unwrap(), COMMIT);

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let lock = format!(".locks/models--owner--name/{}.lock", repo.etag(WEIGHTS));
        let mode = fs::metadata(bench.cache.path().join(lock)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o664);
    }
    let dir = bench.repo_dir().join("snapshots").join(COMMIT);
    assert_eq!(snapshot.dir(), Some(dir.as_path()));
    for name in wanted {
        assert!(fs::read(dir.join(name)).unwrap() == repo.content(name), "{name}");
        #[cfg(unix)]
        assert_eq!(
            fs::read_link(dir.join(name)).unwrap(),
            Path::new("../../blobs").join(repo.etag(name)),
            "{name}"
        );
    }
    let found = files(&snapshot);
    assert_eq!(found.weights, HubWeights::Safetensors(vec![dir.join(WEIGHTS)]));
    assert_eq!(found.tokenizer, [dir.join("tokenizer.json")]);
    assert_eq!(found.side, Some(dir.join("maskscope.safetensors")));
}

#[test]
fn nothing_is_asked_for_that_is_not_there_and_the_token_stays_with_the_hub() {
    let bench = Bench::new(Repo::tiny(ID));
    bench.fetch().unwrap();
    let requests = bench.server.requests();
    for request in &requests {
        let name = request.path.rsplit('/').next().unwrap();
        assert!(
            ["main?blobs=true", "config.json", "tokenizer.json", "generation_config.json", WEIGHTS]
                .contains(&name),
            "{request:?}"
        );
        let token = (!request.cdn).then_some("Bearer hf_secret");
        assert_eq!(request.authorization.as_deref(), token, "{request:?}");
    }
    assert!(requests.iter().any(|r| r.cdn));
}

#[test]
fn a_whole_snapshot_starts_without_the_network() {
    let bench = Bench::new(Repo::tiny(ID));
    let first = bench.fetch().unwrap();
    bench.server.forget();
    let again = bench.fetch().unwrap();
    let pinned = bench.fetch_spec(&format!("{ID}@{COMMIT}")).unwrap();
    let offline = HubOptions { offline: true, ..bench.options.clone() };
    let spec: ModelSpec = ID.parse().unwrap();
    let unplugged = fetch(&spec, &offline, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    let local = find_local(&spec, &bench.options).unwrap();
    for snapshot in [&again, &pinned, &unplugged, &local] {
        assert_eq!(files(snapshot), files(&first));
        assert_eq!(snapshot.note, None);
    }
    assert_eq!(bench.server.requests(), []);
}

#[test]
fn progress_counts_every_byte_once() {
    let repo = Repo::tiny(ID);
    let bench = Bench::new(repo.clone());
    let mut seen: Vec<FetchProgress> = Vec::new();
    let mut watch = |p: &FetchProgress| seen.push(p.clone());
    fetch(&ID.parse().unwrap(), &bench.options, &mut watch, &AtomicBool::new(false)).unwrap();
    let total: usize = ["config.json", "tokenizer.json", "generation_config.json", WEIGHTS]
        .iter()
        .map(|name| repo.content(name).len())
        .sum();
    assert_eq!(seen[0].phase, Phase::Asking);
    let last = seen.last().unwrap();
    assert_eq!((last.phase, last.done, last.total), (Phase::Finished, total as u64, total as u64));
    assert_eq!((last.number, last.files), (4, 4));
    assert!(seen.windows(2).all(|w| w[0].done <= w[1].done));
    assert!(seen.iter().any(|p| p.phase == Phase::Downloading && p.file == WEIGHTS));
}

#[test]
fn old_formats_are_the_last_resort() {
    let repo = Repo::empty("owner/name")
        .with("config.json", GPT2_CONFIG.as_bytes())
        .with("vocab.json", b"{}")
        .with("merges.txt", b"#version: 0.2\n")
        .with_lfs("pytorch_model.bin", b"pickle");
    let bench = Bench::new(repo);
    let snapshot = bench.fetch().unwrap();
    assert!(matches!(&files(&snapshot).weights, HubWeights::Pickle(paths) if paths.len() == 1));
    assert_eq!(files(&snapshot).tokenizer.len(), 2);
}

#[test]
fn every_small_file_of_a_tokenizer_comes_along() {
    let small = ["spiece.model", "added_tokens.json", "special_tokens_map.json", "chat_template.jinja"];
    let content =
        |name: &str| if name.ends_with(".json") { b"{}".to_vec() } else { name.as_bytes().to_vec() };
    let mut repo = Repo::tiny(ID).with("tokenizer.model.v3", b"no such file");
    for name in small {
        repo = repo.with(name, &content(name));
    }
    let bench = Bench::new(repo);
    let snapshot = bench.fetch().unwrap();
    let dir = snapshot.dir().unwrap();
    for name in small {
        assert_eq!(fs::read(dir.join(name)).unwrap(), content(name));
    }
    assert!(!dir.join("tokenizer.model.v3").exists());
    assert_eq!(files(&snapshot).tokenizer, [dir.join("tokenizer.json")]);
}

#[test]
fn an_empty_file_is_a_file() {
    let bench = Bench::new(Repo::tiny(ID).with("special_tokens_map.json", b""));
    let dir = bench.fetch().unwrap().dir().unwrap().to_path_buf();
    assert_eq!(fs::read(dir.join("special_tokens_map.json")).unwrap(), b"");
}

fn sharded(map: &serde_json::Value) -> Repo {
    Repo::tiny(ID)
        .without(WEIGHTS)
        .with("model.safetensors.index.json", serde_json::json!({"weight_map": map}).to_string().as_bytes())
        .with_lfs("model-00001-of-00002.safetensors", &noise(1000, 3))
        .with_lfs("model-00002-of-00002.safetensors", &noise(2000, 4))
}

#[test]
fn shards_are_fetched_by_their_index() {
    let repo = sharded(&serde_json::json!({
        "a": "model-00001-of-00002.safetensors",
        "b": "model-00002-of-00002.safetensors",
        "c": "model-00001-of-00002.safetensors",
    }));
    let bench = Bench::new(repo.clone());
    let snapshot = bench.fetch().unwrap();
    let paths = files(&snapshot).weights.paths();
    assert_eq!(paths.len(), 2);
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(fs::read(path).unwrap() == repo.content(name));
    }
    // One shard gone: no longer whole, and only that shard is fetched again.
    fs::remove_file(fs::canonicalize(&paths[1]).unwrap()).unwrap();
    assert!(matches!(find_local(&ID.parse().unwrap(), &bench.options), Err(HubError::Offline { .. })));
    bench.server.forget();
    bench.fetch().unwrap();
    let fetched: Vec<_> =
        bench.server.requests().into_iter().filter(|r| r.cdn && r.method == "GET").collect();
    assert_eq!(fetched.len(), 1, "{fetched:?}");
}

#[test]
fn an_index_that_points_outside_is_refused() {
    let bench = Bench::new(sharded(&serde_json::json!({"a": "../../../evil.safetensors"})));
    let error = bench.fetch().unwrap_err();
    assert!(matches!(&error, HubError::UnsafePath { path, .. } if path.contains("evil")), "{error}");
    assert!(!bench.server.requests().iter().any(|r| r.path.contains("evil")));
    let bench = Bench::new(sharded(&serde_json::json!({"a": "absent.safetensors"})));
    let error = bench.fetch().unwrap_err();
    assert!(matches!(&error, HubError::FileNotFound { file, .. } if file == "absent.safetensors"), "{error}");
}

#[test]
fn another_architecture_is_named_before_its_weights_are_fetched() {
    let bench = Bench::new(Repo::tiny(ID).with("config.json", br#"{"model_type": "llama"}"#));
    let error = bench.fetch().unwrap_err();
    assert_eq!(error.to_string(), "owner/name: config.json: model_type is \"llama\", not \"gpt2\"");
    assert!(!bench.server.requests().iter().any(|r| r.path.contains(WEIGHTS)));
}

/// Whatever keeps a model shut is said before its weights are asked for.
#[test]
fn a_model_that_cannot_open_costs_no_weights() {
    let config = |field: &str, value: serde_json::Value| {
        let mut json: serde_json::Value = serde_json::from_str(GPT2_CONFIG).unwrap();
        json[field] = value;
        json.to_string()
    };
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:38ba\nsize 907\n";
    for (file, content, cause) in [
        ("config.json", config("vocab_size", "many".into()), "vocab_size"),
        ("config.json", config("n_head", 3.into()), "n_head 3"),
        ("config.json", config("activation_function", "prelu".into()), "prelu"),
        ("config.json", config("attention_head_type", "multiquery".into()), "multiquery"),
        ("config.json", pointer.to_owned(), "Git LFS pointer"),
        ("config.json", "<!doctype html>".to_owned(), "HTML"),
        ("tokenizer.json", "{\"version\": \"1.0\"}".to_owned(), "tokenizer.json"),
        ("tokenizer.json", pointer.to_owned(), "tokenizer.json"),
    ] {
        let bench = Bench::new(Repo::tiny(ID).with(file, content.as_bytes()));
        let error = bench.fetch().unwrap_err();
        assert!(error.to_string().contains(cause), "{error}");
        assert!(error.hint().is_some(), "{error}");
        let asked = bench.server.requests();
        assert!(!asked.iter().any(|r| r.path.contains(WEIGHTS) || r.cdn), "{cause}: {asked:?}");
    }
}

#[test]
fn a_repository_without_usable_weights_or_tokenizer_says_so() {
    let no_weights = Repo::tiny(ID).without(WEIGHTS).without("pytorch_model.bin");
    let error = Bench::new(no_weights).fetch().unwrap_err();
    assert!(matches!(&error, HubError::Incomplete { missing, .. } if missing.contains(WEIGHTS)), "{error}");
    let error = Bench::new(Repo::tiny(ID).without("tokenizer.json")).fetch().unwrap_err();
    assert!(matches!(&error, HubError::Incomplete { missing, .. } if missing.contains("merges")), "{error}");
}

#[test]
fn a_mirror_that_lists_names_only_is_asked_file_by_file() {
    let repo = Repo { bare_listing: true, ..Repo::tiny(ID) };
    let bench = Bench::new(repo.clone());
    assert_weights(&bench, &repo, bench.fetch());
    assert!(bench.repo_dir().join("blobs").join(repo.etag(WEIGHTS)).is_file());
}

#[test]
fn a_renamed_model_is_followed() {
    let repo = Repo { renamed_from: Some(ID.into()), bare_listing: true, ..Repo::tiny("owner/new-name") };
    let bench = Bench::new(repo.clone());
    assert_weights(&bench, &repo, bench.fetch());
}

#[test]
fn a_model_cached_under_its_old_id_is_found() {
    let bench = Bench::new(Repo::tiny("gpt2"));
    let old = ModelSpec::Hub { id: "gpt2".into(), revision: None };
    fetch(&old, &bench.options, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    bench.server.forget();
    let snapshot = bench.fetch_spec("gpt2").unwrap();
    assert_eq!(snapshot.id, "openai-community/gpt2");
    assert!(snapshot.dir().unwrap().starts_with(bench.cache.path().join("models--gpt2")));
    assert_eq!(bench.server.requests(), []);
}

// ---- newer revisions ---------------------------------------------------------------------------------------------

#[test]
fn a_refresh_takes_the_new_commit_and_fetches_only_what_changed() {
    let old = Repo::tiny(ID);
    let mut bench = Bench::new(old.clone());
    let first = bench.fetch().unwrap();
    let new = Repo { commit: NEXT_COMMIT.into(), ..old.clone() }
        .with("tokenizer.json", newer_tokenizer().as_bytes());
    bench.server.publish(new);
    assert_eq!(bench.fetch().unwrap().revision.as_deref(), Some(COMMIT));
    bench.options.refresh = true;
    bench.server.forget();
    let second = bench.fetch().unwrap();
    assert_eq!(second.revision.as_deref(), Some(NEXT_COMMIT));
    assert_eq!(bench.server.downloads(WEIGHTS), []);
    assert_eq!(bench.server.downloads("tokenizer.json").len(), 1);
    assert!(first.dir().unwrap().join(WEIGHTS).is_file());
}

/// A tokenizer that differs from the old one in its bytes.
fn newer_tokenizer() -> String {
    TOKENIZER.replace("\"version\": \"1.0\"", "\"version\":  \"1.0\"")
}

#[test]
fn a_branch_that_moved_is_noticed_by_one_small_request() {
    let old = Repo::tiny(ID);
    let bench = Bench::new(old.clone());
    let ask = |spec: &str, options: &HubOptions| {
        moved(&spec.parse().unwrap(), options, &AtomicBool::new(false)).unwrap()
    };
    assert_eq!(ask(ID, &bench.options), None, "nothing is cached");
    bench.fetch().unwrap();
    assert_eq!(ask(ID, &bench.options), None);
    bench.server.publish(Repo { commit: NEXT_COMMIT.into(), ..old });
    bench.server.forget();
    assert_eq!(ask(ID, &bench.options).as_deref(), Some(NEXT_COMMIT));
    let requests = bench.server.requests();
    assert!(requests.len() == 1 && requests[0].path.ends_with("main?blobs=true"), "{requests:?}");
    // A commit cannot move, and offline nobody asks.
    assert_eq!(ask(&format!("{ID}@{COMMIT}"), &bench.options), None);
    let offline = HubOptions { offline: true, ..bench.options.clone() };
    assert_eq!(ask(ID, &offline), None);
    assert_eq!(ask("demo", &bench.options), None);
    assert_eq!(bench.server.requests().len(), 1);
    // Asking fetched nothing: the old one is what opens.
    assert_eq!(bench.fetch().unwrap().revision.as_deref(), Some(COMMIT));
}

#[test]
fn an_interrupted_update_leaves_the_old_one_and_goes_on_from_there() {
    let old = Repo::tiny(ID);
    let mut bench = Bench::new(old.clone());
    let first = bench.fetch().unwrap();
    let new = Repo { commit: NEXT_COMMIT.into(), ..old.clone() }.with_lfs(WEIGHTS, &noise(300_000, 5));
    bench.server.publish(new.clone());
    bench.options.refresh = true;
    bench.server.fault(WEIGHTS, Fault::Stall { after: 65_536 });
    let cancelled = bench.fetch_until(|p| p.file == WEIGHTS && p.done > 40_000);
    assert!(cancelled.unwrap_err().is_cancelled());
    bench.options.refresh = false;
    let kept = bench.fetch().unwrap();
    assert_eq!((kept.revision.as_deref(), kept.note.as_deref()), (Some(COMMIT), None));
    assert_weights(&bench, &old, Ok(kept));
    bench.options.refresh = true;
    let second = bench.fetch().unwrap();
    assert_eq!(second.revision.as_deref(), Some(NEXT_COMMIT));
    assert_weights(&bench, &new, Ok(second));
    assert!(first.dir().unwrap().join(WEIGHTS).is_file());
}

#[test]
fn a_newer_version_that_does_not_open_is_said_and_the_old_one_used() {
    let old = Repo::tiny(ID);
    let mut bench = Bench::new(old.clone());
    bench.fetch().unwrap();
    let new = Repo { commit: NEXT_COMMIT.into(), ..old }.with("config.json", br#"{"model_type": "llama"}"#);
    bench.server.publish(new);
    bench.options.refresh = true;
    let snapshot = bench.fetch().unwrap();
    assert_eq!(snapshot.revision.as_deref(), Some(COMMIT));
    let note = snapshot.note.unwrap();
    assert!(note.contains("llama") && note.contains("the cached snapshot is used"), "{note}");
}

#[test]
fn a_repository_with_an_adapter_alone_names_its_base() {
    let told =
        serde_json::json!({"peft_type": "LORA", "lora_alpha": 8, "base_model_name_or_path": "owner/base"});
    let repo = Repo::empty(ID)
        .with("adapter_config.json", told.to_string().as_bytes())
        .with_lfs("adapter_model.safetensors", &noise(1000, 6));
    let bench = Bench::new(repo);
    let error = bench.fetch().unwrap_err();
    assert_eq!(error.to_string(), "owner/name: a LoRA adapter of owner/base, not a model");
    assert_eq!(bench.server.downloads("adapter_model.safetensors"), []);
}

#[test]
fn an_adapter_brings_its_base_from_the_hub() {
    let bench = Bench::new(Repo::tiny(ID));
    let folder = tempfile::tempdir().unwrap();
    let told = serde_json::json!({"peft_type": "LORA", "lora_alpha": 8, "base_model_name_or_path": ID});
    fs::write(folder.path().join("adapter_config.json"), told.to_string()).unwrap();
    fs::write(folder.path().join("adapter_model.safetensors"), b"").unwrap();
    let spec = folder.path().to_str().unwrap().to_owned();
    let error = find_local(&spec.parse().unwrap(), &bench.options).unwrap_err();
    assert!(
        error.to_string().contains("the adapter's base model") && error.to_string().contains(ID),
        "{error}"
    );
    let snapshot = bench.fetch_spec(&spec).unwrap();
    assert_eq!((snapshot.id.as_str(), snapshot.adapter.as_deref()), (spec.as_str(), Some(folder.path())));
    assert_eq!(files(&snapshot).dir, bench.repo_dir().join("snapshots").join(COMMIT));
    assert!(find_local(&spec.parse().unwrap(), &bench.options).is_ok());
}

#[test]
fn an_update_that_fails_leaves_the_old_revision_in_use() {
    let old = Repo::tiny(ID);
    let mut bench = Bench::new(old.clone());
    bench.fetch().unwrap();
    bench.server.publish(Repo { commit: NEXT_COMMIT.into(), ..old }.with_lfs(WEIGHTS, &noise(300_000, 5)));
    bench.options.refresh = true;
    bench.server.faults(WEIGHTS, Fault::status(500), 9);
    let snapshot = bench.fetch().unwrap();
    assert_eq!(snapshot.revision.as_deref(), Some(COMMIT));
    assert!(snapshot.note.unwrap().contains("the cached snapshot is used"));
    bench.options.refresh = false;
    assert_eq!(bench.fetch().unwrap().revision.as_deref(), Some(COMMIT));
}

#[test]
fn without_a_network_the_cache_serves_and_says_so() {
    let mut bench = Bench::new(Repo::tiny(ID));
    bench.fetch().unwrap();
    bench.options.endpoint = Some(unreachable());
    assert_eq!(bench.fetch().unwrap().note, None);
    bench.options.refresh = true;
    let note = bench.fetch().unwrap().note.unwrap();
    assert!(note.contains("could not be reached"), "{note}");
}

// ---- broken connections ------------------------------------------------------------------------------------------

/// An address on which nobody listens.
fn unreachable() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn a_cut_connection_is_resumed_where_it_broke() {
    let repo = Repo::tiny(ID);
    let bench = Bench::new(repo.clone());
    bench.server.fault(WEIGHTS, Fault::Cut { after: 100_000 });
    bench.server.fault(WEIGHTS, Fault::Cut { after: 50_000 });
    assert_weights(&bench, &repo, bench.fetch());
    let ranges = bench.server.downloads(WEIGHTS);
    assert_eq!(ranges, [None, Some("bytes=100000-299999".into()), Some("bytes=150000-299999".into())]);
}

#[test]
fn many_cuts_are_survived_as_long_as_each_try_brings_something() {
    let repo = Repo::tiny(ID);
    let bench = Bench::new(repo.clone());
    bench.server.faults(WEIGHTS, Fault::Cut { after: 30_000 }, 9);
    assert_weights(&bench, &repo, bench.fetch());
    assert_eq!(bench.server.downloads(WEIGHTS).len(), 10);
}

#[test]
fn a_connection_that_brings_nothing_is_given_up_and_the_part_is_kept() {
    let repo = Repo::tiny(ID);
    let bench = Bench::new(repo.clone());
    bench.server.fault(WEIGHTS, Fault::Cut { after: 1000 });
    bench.server.faults(WEIGHTS, Fault::Cut { after: 0 }, 2);
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, HubError::Broken { .. }), "{error}");
    assert_eq!(fs::read(bench.partial(&repo)).unwrap(), repo.content(WEIGHTS)[..1000]);
    // The next call continues from there.
    bench.server.forget();
    assert_weights(&bench, &repo, bench.fetch());
    assert_eq!(bench.server.downloads(WEIGHTS), [Some("bytes=1000-299999".into())]);
}

#[test]
fn a_small_file_is_fetched_again_after_a_cut() {
    // White space behind a JSON value changes nothing.
    let long = TOKENIZER.to_owned() + &" ".repeat(50_000);
    let repo = Repo::tiny(ID).with("tokenizer.json", long.as_bytes());
    let bench = Bench::new(repo.clone());
    bench.server.fault("tokenizer.json", Fault::Cut { after: 20_000 });
    let snapshot = bench.fetch().unwrap();
    assert!(
        fs::read(snapshot.dir().unwrap().join("tokenizer.json")).unwrap() == repo.content("tokenizer.json")
    );
    assert_eq!(bench.server.downloads("tokenizer.json"), [None, None]);
}

#[test]
fn a_cancel_ends_a_silent_connection_and_keeps_the_part() {
    let repo = Repo::tiny(ID);
    let mut bench = Bench::new(repo.clone());
    bench.options.stall_timeout = Duration::from_secs(600);
    bench.server.fault(WEIGHTS, Fault::Stall { after: 65_536 });
    let start = Instant::now();
    let error = bench.fetch_until(|p| p.file == WEIGHTS && p.done > 40_000).unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    // Long before the stall is noticed.
    assert!(start.elapsed() < bench.options.stall_timeout / 2);
    let kept = fs::read(bench.partial(&repo)).unwrap();
    assert!(!kept.is_empty() && repo.content(WEIGHTS).starts_with(&kept));
    assert!(!bench.repo_dir().join("refs/main").exists());
    bench.server.forget();
    assert_weights(&bench, &repo, bench.fetch());
    assert_eq!(bench.server.downloads(WEIGHTS), [Some(format!("bytes={}-299999", kept.len()))]);
}

#[test]
fn a_cancel_before_the_start_asks_nothing() {
    let bench = Bench::new(Repo::tiny(ID));
    let error = bench.fetch_until(|_| true).unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(bench.server.requests(), []);
}

#[test]
fn a_cancel_ends_the_pause_before_another_try() {
    let mut bench = Bench::new(Repo::tiny(ID));
    bench.options.backoff = Duration::from_secs(600);
    bench.server.fault(WEIGHTS, Fault::status(503));
    let start = Instant::now();
    let error = bench.fetch_until(|p| p.phase == Phase::Retrying && p.pause.is_some()).unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    assert!(start.elapsed() < bench.options.backoff / 2);
}

#[test]
fn silence_is_noticed() {
    let repo = Repo::tiny(ID);
    let mut bench = Bench::new(repo.clone());
    bench.options.stall_timeout = Duration::from_millis(300);
    bench.server.fault(WEIGHTS, Fault::Stall { after: 10_000 });
    bench.server.faults(WEIGHTS, Fault::Stall { after: 0 }, 2);
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, HubError::Stalled { .. }), "{error}");
    assert_eq!(fs::read(bench.partial(&repo)).unwrap(), repo.content(WEIGHTS)[..10_000]);
}

#[test]
fn slowness_is_not_silence() {
    let repo = Repo::tiny(ID);
    let mut bench = Bench::new(repo.clone());
    // The whole takes longer than the timeout, each piece far less.
    bench.options.stall_timeout = Duration::from_millis(800);
    bench.server.fault(WEIGHTS, Fault::Trickle { piece: 30_000, pause: Duration::from_millis(100) });
    assert_weights(&bench, &repo, bench.fetch());
    assert_eq!(bench.server.downloads(WEIGHTS).len(), 1);
}

// ---- wrong bytes -------------------------------------------------------------------------------------------------

#[test]
fn a_damaged_file_is_refused_and_removed() {
    let repo = Repo::tiny(ID);
    let bench = Bench::new(repo.clone());
    bench.server.fault(WEIGHTS, Fault::Corrupt);
    let error = bench.fetch().unwrap_err();
    assert!(matches!(&error, HubError::Checksum { file } if file == WEIGHTS), "{error}");
    assert!(!bench.partial(&repo).exists());
    assert!(!bench.repo_dir().join("blobs").join(repo.etag(WEIGHTS)).exists());
    assert_weights(&bench, &repo, bench.fetch());
}

#[test]
fn a_part_left_by_someone_else_is_not_trusted() {
    let repo = Repo::tiny(ID);
    for left in [noise(70_000, 8), noise(300_000, 8), noise(400_000, 8)] {
        let bench = Bench::new(repo.clone());
        fs::create_dir_all(bench.partial(&repo).parent().unwrap()).unwrap();
        fs::write(bench.partial(&repo), &left).unwrap();
        assert_weights(&bench, &repo, bench.fetch());
        assert_eq!(bench.server.downloads(WEIGHTS).last(), Some(&None));
    }
}

#[test]
fn a_part_that_is_whole_needs_no_request() {
    let repo = Repo::tiny(ID);
    let bench = Bench::new(repo.clone());
    fs::create_dir_all(bench.partial(&repo).parent().unwrap()).unwrap();
    fs::write(bench.partial(&repo), repo.content(WEIGHTS)).unwrap();
    assert_weights(&bench, &repo, bench.fetch());
    assert_eq!(bench.server.downloads(WEIGHTS), []);
}

#[test]
fn a_server_that_ignores_ranges_still_gives_the_right_file() {
    let repo = Repo::tiny(ID);
    let bench = Bench::new(repo.clone());
    bench.server.fault(WEIGHTS, Fault::Cut { after: 100_000 });
    bench.server.fault(WEIGHTS, Fault::IgnoreRange);
    assert_weights(&bench, &repo, bench.fetch());
    assert_eq!(bench.server.downloads(WEIGHTS).len(), 2);
}

#[test]
fn a_mirror_that_announces_the_whole_length_for_a_part_is_understood() {
    let repo = Repo { direct: true, ..Repo::tiny(ID) };
    let bench = Bench::new(repo.clone());
    bench.server.fault(WEIGHTS, Fault::Cut { after: 100_000 });
    assert_weights(&bench, &repo, bench.fetch());
    assert_eq!(bench.server.downloads(WEIGHTS), [None, Some("bytes=100000-299999".into())]);
}

#[test]
fn a_body_of_the_wrong_length_is_refused() {
    let mut repo = Repo::tiny(ID);
    let bench = Bench::new(repo.clone());
    bench.server.fault(WEIGHTS, Fault::Long { by: 10 });
    let error = bench.fetch().unwrap_err();
    assert!(
        matches!(&error, HubError::WrongLength { expected: 300_000, got, .. } if *got > 300_000),
        "{error}"
    );
    assert!(!bench.partial(&repo).exists());
    assert_weights(&bench, &repo, bench.fetch());

    repo.files.get_mut(WEIGHTS).unwrap().listed_size = Some(300_100);
    let bench = Bench::new(repo.clone());
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, HubError::WrongLength { expected: 300_100, got: 300_000, .. }), "{error}");
    assert!(!bench.partial(&repo).exists());
}

#[test]
fn a_body_that_ends_early_without_a_word_is_continued() {
    let repo = Repo::tiny(ID);
    let bench = Bench::new(repo.clone());
    bench.server.fault(WEIGHTS, Fault::Short { after: 100_000 });
    assert_weights(&bench, &repo, bench.fetch());
    assert_eq!(bench.server.downloads(WEIGHTS), [None, Some("bytes=100000-299999".into())]);
}

#[test]
fn a_download_that_the_disk_cannot_hold_is_refused_with_numbers() {
    let mut repo = Repo::tiny(ID);
    repo.files.get_mut(WEIGHTS).unwrap().listed_size = Some(1 << 60);
    let bench = Bench::new(repo);
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, HubError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("1.2 EB needed"), "{error}");
    assert!(!bench.server.requests().iter().any(|r| r.path.contains(WEIGHTS)));
}

// ---- refusals ----------------------------------------------------------------------------------------------------

#[test]
fn refusals_of_the_listing_are_told_apart() {
    type Expected = fn(&HubError) -> bool;
    let cases: [(Fault, Expected); 7] = [
        (Fault::status(404), |e| matches!(e, HubError::NotFound { .. })),
        (Fault::refusal(401, "RepoNotFound"), |e| matches!(e, HubError::NotFound { .. })),
        (Fault::refusal(404, "RevisionNotFound"), |e| matches!(e, HubError::RevisionNotFound { .. })),
        (Fault::status(401), |e| matches!(e, HubError::Unauthorised { with_token: true, .. })),
        (Fault::status(403), |e| matches!(e, HubError::Unauthorised { .. })),
        (Fault::refusal(403, "GatedRepo"), |e| matches!(e, HubError::Gated { .. })),
        (Fault::status(501), |e| matches!(e, HubError::Server { status: 501, .. })),
    ];
    for (fault, expected) in cases {
        let bench = Bench::new(Repo::tiny(ID));
        bench.server.fault("/api/", fault.clone());
        let error = bench.fetch().unwrap_err();
        assert!(expected(&error), "{fault:?}: {error}");
        assert!(error.hint().is_some());
        assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("hf_secret"));
        assert_eq!(bench.server.requests().len(), 1, "{fault:?}");
    }
}

#[test]
fn an_unknown_model_and_an_unknown_revision_are_told_apart() {
    let bench = Bench::new(Repo::tiny(ID));
    let error = bench.fetch_spec("owner/other").unwrap_err();
    assert_eq!(error.to_string(), "model owner/other not found on the Hub");
    let error = bench.fetch_spec("owner/name@v9").unwrap_err();
    assert_eq!(error.to_string(), "owner/name has no revision v9");
}

#[test]
fn a_gated_model_lists_but_does_not_deliver() {
    let bench = Bench::new(Repo::tiny(ID));
    bench.server.fault("config.json", Fault::refusal(403, "GatedRepo"));
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, HubError::Gated { .. }), "{error}");
    assert!(error.hint().unwrap().contains(&format!("{}/{ID}", bench.server.url())));
}

#[test]
fn passing_failures_are_tried_again() {
    for fault in [
        Fault::Status { status: 429, code: None, retry_after: Some(0) },
        Fault::status(429),
        Fault::status(500),
        Fault::status(503),
    ] {
        for target in ["/api/", "config.json", WEIGHTS] {
            let repo = Repo::tiny(ID);
            let bench = Bench::new(repo.clone());
            bench.server.faults(target, fault.clone(), 2);
            assert_weights(&bench, &repo, bench.fetch());
        }
    }
}

#[test]
fn a_hub_that_keeps_refusing_is_believed() {
    let bench = Bench::new(Repo::tiny(ID));
    bench.server.faults("/api/", Fault::status(429), 99);
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, HubError::RateLimited { wait: None }), "{error}");
    assert_eq!(bench.server.requests().len(), 3);

    let bench = Bench::new(Repo::tiny(ID));
    bench.server.fault("/api/", Fault::Status { status: 429, code: None, retry_after: Some(7200) });
    let error = bench.fetch().unwrap_err();
    assert_eq!(error.to_string(), "rate limit of the Hub reached; retry in 7200 s");
}

#[test]
fn a_redirect_without_end_is_not_followed() {
    let bench = Bench::new(Repo::tiny(ID));
    bench.server.faults("/api/", Fault::RedirectLoop, 99);
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, HubError::Redirect { .. }), "{error}");
}

#[test]
fn no_network_and_no_cache_is_one_clear_sentence() {
    let mut bench = Bench::new(Repo::tiny(ID));
    bench.options.endpoint = Some(unreachable());
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, HubError::NoNetwork { .. }), "{error}");
    bench.options.offline = true;
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, HubError::Offline { .. }), "{error}");
    assert!(error.hint().unwrap().contains("every file"), "{:?}", error.hint());
    bench.options.offline = false;
    for endpoint in ["no address", "mailto:a@b", "ftp://127.0.0.1"] {
        bench.options.endpoint = Some(endpoint.into());
        assert!(bench.fetch().is_err(), "{endpoint}");
    }
}

#[test]
fn an_answer_that_is_no_listing_is_refused() {
    let mut hostile = Repo::tiny(ID);
    hostile.commit = "../../outside".into();
    let error = Bench::new(hostile).fetch().unwrap_err();
    assert!(matches!(error, HubError::BadAnswer { .. }), "{error}");
}

// ---- sharing the cache -------------------------------------------------------------------------------------------

#[test]
fn a_file_that_another_process_fetches_is_waited_for() {
    let repo = Repo::tiny(ID);
    let bench = Bench::new(repo.clone());
    let lock_path = bench.cache.path().join(".locks/models--owner--name");
    fs::create_dir_all(&lock_path).unwrap();
    let other = fs::File::create(lock_path.join(format!("{}.lock", repo.etag(WEIGHTS)))).unwrap();
    other.lock().unwrap();
    let mut other = Some(other);
    let blob = bench.repo_dir().join("blobs").join(repo.etag(WEIGHTS));
    let mut watch = |p: &FetchProgress| {
        if p.phase == Phase::Waiting {
            // The other process finishes.
            fs::write(&blob, repo.content(WEIGHTS)).unwrap();
            other = None;
        }
    };
    let result = fetch(&ID.parse().unwrap(), &bench.options, &mut watch, &AtomicBool::new(false));
    assert!(other.is_none());
    assert_weights(&bench, &repo, result);
    assert_eq!(bench.server.downloads(WEIGHTS), []);
}

#[test]
fn several_at_once_fetch_the_weights_once() {
    let repo = Repo::tiny(ID);
    for _ in 0..5 {
        let bench = Bench::new(repo.clone());
        std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..6).map(|_| scope.spawn(|| bench.fetch())).collect();
            for task in tasks {
                assert_weights(&bench, &repo, task.join().unwrap());
            }
        });
        assert_eq!(bench.server.downloads(WEIGHTS).len(), 1);
        assert!(!tree(bench.cache.path()).iter().any(|path| path.ends_with(".tmp")));
    }
}

#[test]
fn the_cache_is_listed_with_what_can_be_loaded() {
    let bench = Bench::new(Repo::tiny(ID));
    assert_eq!(cached_models(&bench.options).unwrap(), []);
    bench.fetch().unwrap();
    bench.server.publish(Repo::tiny("a/other").with("config.json", br#"{"model_type": "bert"}"#));
    bench.fetch_spec("a/other").unwrap_err();
    // Passed over: no models of the Hub.
    fs::create_dir_all(bench.cache.path().join("datasets--a--b")).unwrap();
    fs::write(bench.cache.path().join("version.txt"), "1").unwrap();

    let models = cached_models(&bench.options).unwrap();
    assert_eq!(models.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["a/other", ID]);
    assert_eq!(models[0].revisions[0].model_type.as_deref(), Some("bert"));
    assert!(!models[0].is_usable());
    let ours = &models[1];
    assert!(ours.is_usable());
    assert_eq!(ours.path, bench.repo_dir());
    let blobs: u64 = tree(&ours.path.join("blobs"))
        .iter()
        .map(|name| fs::metadata(ours.path.join("blobs").join(name)).unwrap().len())
        .sum();
    assert_eq!(ours.size_bytes, blobs);
    assert!(blobs > 300_000);
    assert_eq!(
        (ours.revisions[0].commit.as_str(), ours.revisions[0].names.as_slice()),
        (COMMIT, &["main".into()][..])
    );

    let nowhere = HubOptions { cache: Some(bench.cache.path().join("nowhere")), ..HubOptions::default() };
    assert_eq!(cached_models(&nowhere).unwrap(), []);
}

// ---- folders and the bundled model -------------------------------------------------------------------------------

#[test]
fn a_folder_is_a_model_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ModelSpec::Folder(dir.path().into());
    let options = HubOptions::default();
    let error = find_local(&spec, &options).unwrap_err();
    assert!(error.to_string().contains("has no config.json"), "{error}");
    for (name, content) in [("config.json", GPT2_CONFIG), ("tokenizer.json", "{}"), (WEIGHTS, "")] {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let snapshot = fetch(&spec, &options, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    assert_eq!((snapshot.dir(), snapshot.revision.as_deref()), (Some(dir.path()), None));
    let gone = ModelSpec::Folder(dir.path().join("gone"));
    assert!(matches!(find_local(&gone, &options), Err(HubError::NoFolder { .. })));
    // A file may be a checkpoint of nanoGPT; whether it is one is seen when it is read.
    let file = dir.path().join("ckpt.pt");
    fs::write(&file, "").unwrap();
    let found = find_local(&ModelSpec::Folder(file.clone()), &options).unwrap();
    assert!(matches!(found.files, Files::File(path) if path == file));
}

#[test]
fn the_bundled_model_is_embedded_or_clearly_absent() {
    let result = find_local(&ModelSpec::Demo, &HubOptions::default());
    match embedded(&ModelSpec::Demo) {
        Some(files) => {
            let snapshot = result.unwrap();
            assert!(matches!(snapshot.files, Files::Embedded(held) if std::ptr::eq(held, files)));
            assert_eq!(snapshot.dir(), None);
        }
        None => assert!(matches!(result, Err(HubError::NoBundledModel))),
    }
}

#[test]
fn a_data_set_is_fetched_by_its_splits_and_found_again_without_the_network() {
    let repo = Repo::empty("datasets/owner/texts")
        .with("README.md", b"# texts")
        .with("data/extra.csv", b"text\nunwanted\n")
        .with_lfs("data/train-00000-of-00002.parquet", &noise(40_000, 1))
        .with_lfs("data/train-00001-of-00002.parquet", &noise(20_000, 2))
        .with_lfs("data/test-00000-of-00001.parquet", &noise(5_000, 3))
        .with_lfs("data/validation-00000-of-00001.parquet", &noise(6_000, 4));
    let bench = Bench::new(repo);
    let get =
        |name: &str, options: &HubOptions| fetch_dataset(name, options, &mut |_| {}, &AtomicBool::new(false));
    let got = get("datasets/owner/texts", &bench.options).unwrap();
    assert_eq!(got.revision, COMMIT);
    assert_eq!((got.train.len(), got.held.len()), (2, 1));
    assert_eq!(fs::read(&got.train[1]).unwrap(), noise(20_000, 2));
    assert_eq!(fs::read(&got.held[0]).unwrap(), noise(6_000, 4), "validation before test");
    let folder = bench.cache.path().join("datasets--owner--texts/snapshots").join(COMMIT);
    assert!(got.train[0].starts_with(&folder) && !folder.join("data/extra.csv").exists());
    let asked = bench.server.downloads("data/train-00000-of-00002.parquet").len();
    let offline = HubOptions { offline: true, ..bench.options.clone() };
    assert_eq!(get("datasets/owner/texts", &offline).unwrap(), got);
    assert_eq!(get("datasets/owner/texts", &bench.options).unwrap(), got);
    assert_eq!(bench.server.downloads("data/train-00000-of-00002.parquet").len(), asked);
    assert!(matches!(get("datasets/owner/other", &offline), Err(HubError::Offline { .. })));
    let unknown = get("datasets/owner/other", &bench.options).unwrap_err();
    assert_eq!(unknown.to_string(), "data set owner/other not found on the Hub");
    for bad in ["datasets/../x", "datasets/", "owner/name", "datasets/a/b@../c"] {
        assert!(matches!(get(bad, &bench.options), Err(HubError::BadSpec { .. })), "{bad}");
    }
    let bare = Bench::new(Repo::empty("datasets/owner/bare").with("image.png", b"x"));
    let wrong = get("datasets/owner/bare", &bare.options).unwrap_err();
    assert!(wrong.to_string().contains(".parquet"), "{wrong}");
    assert!(cached_models(&bench.options).unwrap().is_empty(), "a data set is no model");
}
