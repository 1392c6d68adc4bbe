//! What lies in the cache and is not what it should be, subsets of data sets, limits and refusals of the Hub, and addresses with
//! passwords; against a Hub on 127.0.0.1.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/hub_server.rs"]
mod hub_server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hub_server::{COMMIT, Fault, HubServer, Repo};
use maskscope::hub::{Dataset, FetchProgress, HubError, HubOptions, Phase, fetch_dataset};

const ID: &str = "owner/name";

/// The tiny reference checkpoint as a repository: small files by git, weights by LFS.
fn whole() -> Repo {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2-tiny-random");
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    Repo::empty(ID)
        .with("config.json", &read("config.json"))
        .with("tokenizer.json", &read("tokenizer.json"))
        .with_lfs("model.safetensors", &read("model.safetensors"))
}

struct Bench {
    server: HubServer,
    home: tempfile::TempDir,
}

impl Bench {
    fn new(repo: Repo) -> Self {
        Bench { server: HubServer::start(vec![repo]), home: tempfile::tempdir().unwrap() }
    }

    fn run(&self, args: &[&str]) -> Output {
        self.run_at(&self.server.url(), args)
    }

    fn run_at(&self, endpoint: &str, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
        command.args(args).env("MASKSCOPE_CONFIG", "/dev/null").env("HOME", self.home.path());
        command.env("HF_HOME", self.home.path().join("hf")).env("HF_ENDPOINT", endpoint);
        command.env("RUST_BACKTRACE", "1");
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"] {
            command.env_remove(name);
        }
        command.output().unwrap()
    }

    fn predict(&self, more: &[&str]) -> Output {
        self.run(&[&["predict", "--model", ID, "--text", "one two"], more].concat())
    }

    fn repo(&self) -> PathBuf {
        self.home.path().join("hf/hub/models--owner--name")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.repo().join("snapshots").join(COMMIT).join(name)
    }

    fn options(&self) -> HubOptions {
        HubOptions {
            endpoint: Some(self.server.url()),
            cache: Some(self.home.path().join("hf/hub")),
            token: Some("hf_secret".into()),
            retries: 2,
            backoff: Duration::from_millis(1),
            ..HubOptions::default()
        }
    }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// Changes a byte in the middle of what a link leads to; its length stays.
fn damage(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_blob_is_named_and_a_refresh_fetches_it_again() {
    let bench = Bench::new(whole());
    let first = bench.predict(&[]);
    assert!(first.status.success(), "{}", said(&first));
    for (name, at) in [("model.safetensors", 9), ("config.json", 0), ("tokenizer.json", 1)] {
        damage(&bench.file(name), at);
        let out = bench.predict(&[]);
        let text = said(&out);
        assert_eq!(out.status.code(), Some(3), "{name}: {text}");
        assert!(text.contains(&format!("{ID}: {name} is damaged in the cache")), "{text}");
        assert!(text.contains("--refresh") && text.contains(&format!("models remove {ID}")), "{text}");
        assert!(!text.contains("delete the file") && !text.contains("stack backtrace"), "{text}");
        bench.server.forget();
        let healed = bench.predict(&["--refresh"]);
        assert!(healed.status.success(), "{name}: {}", said(&healed));
        assert_eq!(healed.stdout, first.stdout);
        assert_eq!(bench.server.downloads(name).len(), 1, "{name} is fetched again");
        let fetched = bench
            .server
            .requests()
            .iter()
            .filter(|r| r.method == "GET" && r.path.contains("/resolve/"))
            .count();
        assert_eq!(fetched, 1, "and nothing else: {:?}", bench.server.requests());
        assert!(bench.predict(&[]).status.success(), "and stays whole");
    }
    assert!(fs::symlink_metadata(bench.file("config.json")).unwrap().is_symlink());
}

#[test]
fn a_file_that_is_whole_but_of_no_use_offers_refresh_and_remove() {
    let bench = Bench::new(whole().with_lfs("model.safetensors", &[7; 5000]));
    let out = bench.predict(&[]);
    let text = said(&out);
    assert!(!out.status.success() && !text.contains("is damaged in the cache"), "{text}");
    assert!(text.contains("model.safetensors") && text.contains("hint: "), "{text}");
}

#[test]
fn fifos_and_sockets_in_the_cache_and_in_model_folders_hang_nothing() {
    let bench = Bench::new(whole());
    assert!(bench.predict(&[]).status.success());
    let fifo = |path: &Path| {
        fs::remove_file(path).ok();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    fifo(&bench.file("config.json"));
    let start = Instant::now();
    for args in [&["models"][..], &["doctor"], &["models", "--json"]] {
        assert!(bench.run(args).status.success(), "{args:?}");
    }
    let folder = bench.home.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fifo(&folder.join("config.json"));
    fifo(&bench.home.path().join("pipe"));
    let socket = bench.home.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (model, what) in [
        (folder.clone(), "config.json is a FIFO (a named pipe)"),
        (bench.home.path().join("pipe"), "pipe is a FIFO (a named pipe)"),
        (socket, "socket is a socket"),
        ("/dev/null".into(), "/dev/null is a device"),
    ] {
        let out = bench.run(&["predict", "--text", "a", "--model", model.to_str().unwrap()]);
        assert!(out.status.code() == Some(3) && said(&out).contains(what), "{}", said(&out));
    }
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2-tiny-random");
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::remove_file(folder.join(name)).ok();
        fs::copy(tiny.join(name), folder.join(name)).unwrap();
    }
    for name in ["maskscope.safetensors", "model.safetensors", "tokenizer.json"] {
        fifo(&folder.join(name));
        let out = bench.run(&["predict", "--text", "a", "--model", folder.to_str().unwrap()]);
        let text = said(&out);
        assert!(out.status.code().is_some_and(|code| code != 101), "{name}: {text}");
    }
    assert!(start.elapsed() < Duration::from_secs(60), "nothing waits for a writer");
}

#[test]
fn a_folder_of_a_run_without_weights_says_what_it_is() {
    let bench = Bench::new(whole());
    let folder = bench.home.path().join("run");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("run.json"), "{}").unwrap();
    let out = bench.run(&["predict", "--text", "a", "--model", folder.to_str().unwrap()]);
    let text = said(&out);
    assert!(text.contains("a training run without a saved checkpoint, so it has no weights"), "{text}");
}

// ---- data sets ---------------------------------------------------------------------------------------------------

const CARD: &[u8] = b"---\nconfigs:\n- config_name: en\n  data_files:\n  - split: train\n    path: en/a-*\n  - split: test\n    \
    path: en/b.csv\n- config_name: de\n  data_files: de/*.csv\n---\n# Texts\n";

fn texts() -> Repo {
    Repo::empty("datasets/owner/texts")
        .with("README.md", CARD)
        .with("en/a-0.csv", b"text\none\n")
        .with("en/a-1.csv", b"text\ntwo\n")
        .with("en/b.csv", b"text\nthree\n")
        .with("de/train.csv", b"text\neins\n")
}

fn get(name: &str, options: &HubOptions) -> Result<Dataset, HubError> {
    fetch_dataset(name, options, &mut |_| {}, &AtomicBool::new(false))
}

#[test]
fn a_subset_is_asked_for_and_fetched_alone() {
    let bench = Bench::new(texts());
    let options = bench.options();
    let error = get("datasets/owner/texts", &options).unwrap_err();
    assert_eq!(error.to_string(), "data set owner/texts has 2 subsets: en, de");
    assert_eq!(error.hint().unwrap(), "name one: datasets/owner/texts:en");
    let error = get("datasets/owner/texts:fr", &options).unwrap_err();
    assert!(error.to_string().contains("no subset fr") && error.hint().unwrap().contains("en, de"));
    let names = |paths: &[PathBuf]| -> Vec<String> {
        paths.iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let english = get("datasets/owner/texts:en", &options).unwrap();
    assert_eq!(
        (names(&english.train), names(&english.held)),
        (vec!["a-0.csv".into(), "a-1.csv".into()], vec!["b.csv".into()])
    );
    assert!(bench.server.downloads("de/train.csv").is_empty());
    let offline = HubOptions { offline: true, ..options.clone() };
    assert_eq!(get("datasets/owner/texts:en", &offline).unwrap(), english);
    assert!(
        matches!(get("datasets/owner/texts:de", &offline), Err(HubError::Offline { .. })),
        "not fetched yet"
    );
    assert!(matches!(get("datasets/owner/texts", &offline), Err(HubError::Subsets { .. })));
    let german = get("datasets/owner/texts:de@main", &options).unwrap();
    assert_eq!((names(&german.train), german.held.len()), (vec!["train.csv".into()], 0));
    for bad in ["datasets/owner/texts:", "datasets/owner/texts:@main"] {
        assert!(matches!(get(bad, &options), Err(HubError::BadSpec { .. })), "{bad}");
    }
}

#[test]
fn a_subset_that_was_cut_off_is_not_taken_for_whole() {
    let bench = Bench::new(texts());
    let options = bench.options();
    get("datasets/owner/texts:de", &options).unwrap();
    bench.server.faults("en/a-1.csv", Fault::status(501), 9);
    assert!(get("datasets/owner/texts:en", &options).is_err());
    let offline = HubOptions { offline: true, ..options };
    assert!(matches!(get("datasets/owner/texts:en", &offline), Err(HubError::Offline { .. })));
}

#[test]
fn messages_about_data_sets_say_so() {
    for (fault, what) in [
        (Fault::status(401), "access to data set owner/texts was refused"),
        (Fault::refusal(403, "GatedRepo"), "data set owner/texts is gated"),
        (Fault::refusal(404, "RevisionNotFound"), "data set owner/texts has no revision main"),
        (Fault::status(501), "the listing of data set owner/texts"),
    ] {
        let bench = Bench::new(texts());
        bench.server.fault("/api/", fault);
        let error = get("datasets/owner/texts:en", &bench.options()).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(!error.hint().unwrap().contains("model"), "{:?}", error.hint());
    }
}

// ---- limits and refusals -----------------------------------------------------------------------------------------

#[test]
fn the_seconds_that_the_hub_wants_are_counted_down() {
    let bench = Bench::new(texts());
    bench.server.fault("/api/", Fault::Status { status: 429, code: None, retry_after: Some(2) });
    let mut pauses = Vec::new();
    let mut watch = |p: &FetchProgress| {
        if p.phase == Phase::Limited {
            pauses.push(p.pause.unwrap().as_secs_f64().ceil() as u64);
        }
    };
    let start = Instant::now();
    let got = fetch_dataset("datasets/owner/texts:de", &bench.options(), &mut watch, &AtomicBool::new(false));
    assert!(got.is_ok() && start.elapsed() >= Duration::from_secs(2));
    assert_eq!(pauses, [2, 1]);
}

#[test]
fn a_refusal_of_the_storage_says_nothing_of_tokens() {
    let bench = Bench::new(whole());
    bench.server.faults("/cdn/", Fault::status(403), 1);
    assert!(bench.predict(&[]).status.success(), "a new link is asked for");
    let bench = Bench::new(whole());
    bench.server.faults("/cdn/", Fault::status(403), 99);
    let options = bench.options();
    let fetched = maskscope::hub::fetch(&ID.parse().unwrap(), &options, &mut |_| {}, &AtomicBool::new(false));
    let error = fetched.unwrap_err();
    assert_eq!(error.to_string(), "the storage behind the Hub refused model.safetensors with status 403");
    assert!(!error.hint().unwrap().contains("token"), "{:?}", error.hint());
}

#[test]
fn passwords_in_addresses_are_never_printed() {
    let bench = Bench::new(whole());
    let with_password = bench.server.url().replace("http://", "http://ada:s3cret@");
    let closed = "http://ada:s3cret@127.0.0.1:1";
    for (endpoint, args) in [
        (closed, &["predict", "--model", "a/b", "--text", "x"][..]),
        (with_password.as_str(), &["predict", "--model", "owner/other", "--text", "x"]),
        ("nonsense://ada:s3cret@host", &["predict", "--model", "a/b", "--text", "x"]),
        (closed, &["doctor"]),
        (closed, &["config", "print", "--set", "hub.endpoint=https://ada:s3cret@host/x"]),
        (closed, &["config", "print", "--json", "--set", "hub.endpoint=https://ada:s3cret@host/x"]),
        (closed, &["train", "--plan", "--data", "datasets/a/b"]),
    ] {
        let out = bench.run_at(endpoint, args);
        let all = said(&out) + &String::from_utf8_lossy(&out.stdout);
        assert!(!all.contains("s3cret") && !all.contains("ada:"), "{args:?}: {all}");
        assert!(!all.contains("stack backtrace"), "{all}");
    }
    bench.server.fault("/api/", Fault::refusal(403, "GatedRepo"));
    let gated = bench.run_at(&with_password, &["predict", "--model", ID, "--text", "x"]);
    assert!(said(&gated).contains("ask for access at http://127.0.0.1"), "{}", said(&gated));
}
