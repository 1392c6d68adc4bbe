//! Models at hand, against a Hub on 127.0.0.1: listed, described, downloaded, refreshed and removed, by command and on the
//! Models screen, alone and with another process beside. The cache is laid out as Python's `huggingface_hub` lays it out.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/hub_server.rs"]
mod hub_server;
#[path = "support/pty.rs"]
mod pty;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hub_server::{COMMIT, Fault, HubServer, Repo, noise};
use pty::{Session, Start};
use serde_json::Value;
use tempfile::TempDir;

const ID: &str = "owner/tiny";
const WEIGHTS: &str = "model.safetensors";
const NEXT_COMMIT: &str = "2222222222222222222222222222222222222222";
const FILES: [&str; 4] = ["config.json", "generation_config.json", WEIGHTS, "tokenizer.json"];

/// A server, and a home with an empty cache.
struct Bench {
    server: HubServer,
    home: TempDir,
}

impl Bench {
    fn new() -> Self {
        let repo = Repo { licence: Some("mit".into()), ..Repo::tiny(ID) };
        Bench { server: HubServer::start(vec![repo]), home: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
        command.arg("models").args(args).stdin(Stdio::null()).env("MASKSCOPE_CONFIG", "/dev/null");
        for name in ["HF_HUB_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "XDG_CACHE_HOME"] {
            command.env_remove(name);
        }
        command.env("HOME", self.home.path()).env("HF_HOME", self.home.path().join("hf"));
        command.env("HF_ENDPOINT", self.server.url());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let out = self.run(&[args, &["--json"]].concat());
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// Runs what fails with this code; gives its message.
    fn fails(&self, args: &[&str], code: i32) -> String {
        let out = self.run(args);
        let message = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{args:?}: {message}");
        assert!(out.stdout.is_empty(), "{args:?}");
        message
    }

    fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("hf/hub")
    }

    fn repo(&self) -> PathBuf {
        self.cache().join("models--owner--tiny")
    }

    /// Lets the next download of the weights take some seconds.
    fn slow(&self) {
        self.server.fault(WEIGHTS, Fault::Trickle { piece: 10_000, pause: Duration::from_millis(100) });
    }

    fn partial(&self) -> PathBuf {
        self.repo().join("blobs").join(format!("{}.incomplete", Repo::tiny(ID).etag(WEIGHTS)))
    }
}

/// Waits until something holds.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// Bytes of what is downloaded.
fn total(repo: &Repo) -> u64 {
    FILES.iter().map(|name| repo.content(name).len() as u64).sum()
}

/// A newer version of the repository: other weights, everything else the same.
fn newer() -> Repo {
    Repo { commit: NEXT_COMMIT.into(), ..Repo::tiny(ID) }.with_lfs(WEIGHTS, &noise(200_000, 5))
}

/// A snapshot as Python reads it: every file a relative link to a blob named by its ETag, references as plain text.
fn assert_layout(repo: &Path, of: &Repo) {
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), of.commit);
    let snapshot = repo.join("snapshots").join(&of.commit);
    let mut names: Vec<String> =
        fs::read_dir(&snapshot).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, FILES);
    for name in FILES {
        let link = fs::read_link(snapshot.join(name)).unwrap();
        assert_eq!(link, Path::new("../../blobs").join(of.etag(name)), "{name}");
        let blob = repo.join("blobs").join(of.etag(name));
        assert!(fs::symlink_metadata(&blob).unwrap().is_file(), "{name}");
        assert!(fs::read(&blob).unwrap() == of.content(name), "{name}");
    }
}

#[test]
fn a_model_is_described_before_anything_is_downloaded() {
    let bench = Bench::new();
    let info = bench.json(&["info", ID]);
    let repo = Repo::tiny(ID);
    assert_eq!((info["place"].as_str(), info["licence"].as_str()), (Some("hub"), Some("MIT")));
    assert_eq!((info["layers"].as_u64(), info["context"].as_u64()), (Some(1), Some(16)));
    assert_eq!(info["download_bytes"].as_u64(), Some(total(&repo)));
    assert_eq!(info["missing_bytes"], info["download_bytes"]);
    assert_eq!((info["hub_commit"].as_str(), info["cached_commit"].as_str()), (Some(COMMIT), None));
    assert!(info["parameters"].as_u64().is_some_and(|n| n > 800 && n < 2000), "{info}");
    assert!(!bench.cache().exists(), "nothing is kept");
    assert!(!bench.server.requests().iter().any(|r| r.path.contains(WEIGHTS)));
    let text = String::from_utf8(bench.run(&["info", ID]).stdout).unwrap();
    for part in ["1 layers × 2 heads, width 8", "16 tokens", "MIT", "300.", "opens"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // One that would not open says so.
    bench.server.publish(Repo::tiny("a/llama").with("config.json", br#"{"model_type": "llama"}"#));
    let info = bench.json(&["info", "a/llama"]);
    assert!(info["problem"].as_str().unwrap().contains("llama"), "{info}");
    // The bundled model and folders need no Hub.
    bench.server.forget();
    assert_eq!(bench.json(&["info", "demo", "--offline"])["place"], "bundled");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2-tiny-random");
    let info = bench.json(&["info", folder.to_str().unwrap()]);
    assert_eq!((info["place"].as_str(), info["layers"].as_u64()), (Some("folder"), Some(2)));
    assert_eq!(bench.server.requests(), []);
}

#[test]
fn a_model_is_pulled_listed_refreshed_and_removed() {
    let bench = Bench::new();
    let repo = Repo::tiny(ID);
    let pulled = bench.json(&["pull", ID]);
    assert_eq!((pulled["files"].as_u64(), pulled["bytes"].as_u64()), (Some(4), Some(total(&repo))));
    assert_eq!(pulled["fetched_bytes"], pulled["bytes"]);
    assert_eq!(pulled["commit"], COMMIT);
    assert_layout(&bench.repo(), &repo);
    bench.server.forget();
    assert_eq!(bench.json(&["pull", ID])["fetched_bytes"].as_u64(), Some(0));
    assert_eq!(bench.server.requests(), [], "what is there is not asked for");

    let listed = bench.json(&["list"]);
    let ours = &listed["cached"][0];
    assert_eq!((ours["id"].as_str(), ours["usable"].as_bool()), (Some(ID), Some(true)));
    assert_eq!((ours["bytes"].as_u64(), ours["context"].as_u64()), (Some(total(&repo)), Some(16)));
    assert_eq!(ours["revisions"][0]["names"][0], "main");
    assert_eq!(listed, bench.json(&[]), "a bare `models` lists");
    let info = bench.json(&["info", ID, "--offline"]);
    assert_eq!((info["place"].as_str(), info["cached_commit"].as_str()), (Some("cached"), Some(COMMIT)));

    bench.server.publish(newer());
    assert_eq!(bench.json(&["list", "--refresh"])["cached"][0]["moved"], true);
    let text = String::from_utf8(bench.run(&["info", ID]).stdout).unwrap();
    assert!(text.contains("maskscope models refresh owner/tiny"), "{text}");
    let refreshed = bench.json(&["refresh", ID]);
    assert_eq!(
        (refreshed["commit"].as_str(), refreshed["fetched_bytes"].as_u64()),
        (Some(NEXT_COMMIT), Some(200_000))
    );
    assert_layout(&bench.repo(), &newer());
    assert_eq!(bench.json(&["list", "--refresh"])["cached"][0]["moved"], false);

    // The old revision: only what the new one does not use goes.
    let removed = bench.json(&["remove", ID, "--revision", COMMIT, "--yes"]);
    assert_eq!((removed["bytes"].as_u64(), removed["whole"].as_bool()), (Some(300_000), Some(false)));
    assert!(!bench.repo().join("snapshots").join(COMMIT).exists());
    assert!(!bench.repo().join("blobs").join(repo.etag(WEIGHTS)).exists());
    assert_layout(&bench.repo(), &newer());

    let removed = bench.json(&["remove", ID, "--yes"]);
    assert_eq!((removed["bytes"].as_u64(), removed["whole"].as_bool()), (Some(total(&newer())), Some(true)));
    assert!(!bench.repo().exists());
    assert_eq!(bench.json(&["list"])["cached"], serde_json::json!([]));
    assert!(bench.fails(&["remove", ID, "--yes"], 3).contains("not in the cache"));
}

#[test]
fn a_revision_that_is_removed_takes_its_references_along() {
    let bench = Bench::new();
    bench.json(&["pull", ID]);
    bench.json(&["pull", ID, "--revision", COMMIT]);
    bench.server.publish(newer());
    bench.json(&["pull", &format!("{ID}@{NEXT_COMMIT}")]);
    assert_eq!(fs::read_to_string(bench.repo().join("refs/main")).unwrap(), COMMIT);
    bench.json(&["remove", ID, "--revision", "main", "--yes"]);
    assert!(!bench.repo().join("refs/main").exists(), "a reference to nothing");
    assert_eq!(bench.json(&["list"])["cached"][0]["revisions"][0]["commit"], NEXT_COMMIT);
    // The last revision takes the rest along.
    assert_eq!(bench.json(&["remove", ID, "--revision", NEXT_COMMIT, "--yes"])["whole"], true);
    assert!(!bench.repo().exists());
}

#[test]
fn a_pull_is_cancelled_at_once_and_resumed_where_it_stopped() {
    let bench = Bench::new();
    bench.slow();
    let child = bench.start(&["pull", ID]);
    wait_until("some bytes of the weights", || length(&bench.partial()) > 20_000);
    let pid = i32::try_from(child.id()).unwrap();
    let asked = Instant::now();
    // SAFETY: the child has not been waited for, so the id is its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    let out = child.wait_with_output().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(2), "a cancel waits for nothing");
    let message = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(130), "{message}");
    assert!(message.contains("downloading model.safetensors (4 of 4), 300.0 kB"), "{message}");
    assert!(message.contains("what was downloaded is kept"), "{message}");
    let kept = length(&bench.partial());
    assert!(kept > 20_000);
    let info = bench.json(&["info", ID]);
    assert_eq!(
        (info["place"].as_str(), info["missing_bytes"].as_u64()),
        (Some("incomplete"), Some(300_000 - kept))
    );
    bench.server.forget();
    let pulled = bench.json(&["pull", ID]);
    assert_eq!(pulled["fetched_bytes"].as_u64(), Some(300_000 - kept));
    assert_eq!(bench.server.downloads(WEIGHTS), [Some(format!("bytes={kept}-299999"))]);
    assert_layout(&bench.repo(), &Repo::tiny(ID));
}

#[test]
fn two_processes_at_once_do_not_disturb_each_other_and_a_removal_waits_for_neither() {
    let bench = Bench::new();
    bench.slow();
    let both = [bench.start(&["pull", ID]), bench.start(&["pull", ID])];
    wait_until("some bytes of the weights", || length(&bench.partial()) > 0);
    let message = bench.fails(&["remove", ID, "--yes"], 1);
    assert!(message.contains("being downloaded by another process"), "{message}");
    let outs = both.map(|child| child.wait_with_output().unwrap());
    for out in &outs {
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    let waited = |out: &Output| String::from_utf8_lossy(&out.stderr).contains("waiting: another process");
    assert!(outs.iter().any(waited), "one of them waits");
    assert_eq!(bench.server.downloads(WEIGHTS).len(), 1, "the weights come once");
    assert_layout(&bench.repo(), &Repo::tiny(ID));
    bench.json(&["remove", ID, "--yes"]);
    assert!(!bench.repo().exists());
}

#[test]
fn what_cannot_be_done_has_its_own_exit_code_and_a_sentence() {
    let bench = Bench::new();
    assert!(bench.fails(&["pull", "demo"], 2).contains("nothing to download"));
    assert!(bench.fails(&["pull", "not an id"], 2).contains("not a model id"));
    assert!(bench.fails(&["info", &format!("{ID}@main"), "--revision", "main"], 2).contains("twice"));
    assert!(bench.fails(&["remove", "demo", "--yes"], 2).contains("not a model of the cache"));
    assert!(bench.fails(&["info", "owner/none"], 3).contains("not found on the Hub"));
    assert!(bench.fails(&["pull", "owner/none"], 3).contains("not found on the Hub"));
    assert!(bench.fails(&["pull", ID, "--offline"], 3).contains("offline"));
    assert!(bench.fails(&["info", ID, "--offline"], 3).contains("offline"));
    bench.json(&["pull", ID]);
    assert!(bench.fails(&["remove", ID], 2).contains("needs --yes"));
    assert!(bench.repo().exists());
    bench.server.fault("/revision/", Fault::refusal(404, "RepoNotFound"));
    assert!(bench.fails(&["refresh", ID], 3).contains("was not refreshed"));
    // What the cache knows is said where the Hub is silent.
    let mut command = bench.command(&["info", ID, "--json"]);
    let out = command.env("HF_ENDPOINT", "http://127.0.0.1:9").output().unwrap();
    let info: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((info["place"].as_str(), info["hub_commit"].as_str()), (Some("cached"), None));
    assert!(String::from_utf8_lossy(&out.stderr).contains("the Hub was not heard"));
}

/// A FIFO where a file should be would keep a reader waiting without end.
#[test]
fn a_fifo_in_the_cache_keeps_nobody_waiting() {
    let bench = Bench::new();
    let snapshot = bench.repo().join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(bench.repo().join("refs")).unwrap();
    for path in [snapshot.join("config.json"), snapshot.join("README.md"), bench.repo().join("refs/main")] {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }
    assert_eq!(bench.json(&["list"])["cached"][0]["usable"], false);
    assert_eq!(bench.json(&["info", &format!("{ID}@{COMMIT}"), "--offline"])["place"], "incomplete");
    bench.json(&["remove", ID, "--yes"]);
    assert!(!bench.repo().exists());
}

fn on_terminal<'a>(args: &'a [&'a str], env: &'a [(&'a str, &'a str)]) -> Start<'a> {
    Start { args, env, size: (80, 24), ..Start::default() }
}

#[test]
fn removing_asks_on_a_terminal() {
    let bench = Bench::new();
    bench.json(&["pull", ID]);
    let (cache, url) = (bench.cache(), bench.server.url());
    let env = [("HF_HUB_CACHE", cache.to_str().unwrap()), ("HF_ENDPOINT", url.as_str())];
    for (answer, code) in [("n", 1), ("y", 0)] {
        let mut session = Session::start(&on_terminal(&["models", "remove", ID], &env));
        session.wait_text("which frees 300.");
        session.send(&format!("{answer}\r"));
        assert_eq!(session.wait_end().exit_code(), code);
        assert_eq!(bench.repo().exists(), code == 1);
    }
}

#[test]
fn a_pull_on_a_terminal_shows_the_file_and_the_whole() {
    let bench = Bench::new();
    bench.slow();
    let (cache, url) = (bench.cache(), bench.server.url());
    let env = [("HF_HUB_CACHE", cache.to_str().unwrap()), ("HF_ENDPOINT", url.as_str())];
    let mut session = Session::start(&on_terminal(&["models", "pull", ID], &env));
    session.reads(Instant::now() + Duration::from_secs(60), |s| s.screen().contains(" left"));
    let screen = session.screen();
    for part in [WEIGHTS, "of 300.0 kB", "in all, file 4 of 4", "/s"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    session.send("\u{3}");
    assert_eq!(session.wait_end().exit_code(), 130);
    assert!(length(&bench.partial()) > 0);
}

/// The Models screen, from the first look to the removal.
#[test]
fn the_models_screen_describes_downloads_resumes_refreshes_and_removes() {
    let bench = Bench::new();
    let (cache, url) = (bench.cache(), bench.server.url());
    let env = [("HF_HUB_CACHE", cache.to_str().unwrap()), ("HF_ENDPOINT", url.as_str())];
    let mut session = Session::start(&on_terminal(&[], &env));
    session.wait_text("Mask");
    session.send("M");
    session.wait_text("Models");
    for c in ID.chars() {
        session.send(&c.to_string());
    }
    session.wait_text("1 layers × 2 heads");
    session.wait_text("to download");
    assert!(session.screen().contains("licence MIT"));
    assert!(!bench.repo().exists(), "nothing is downloaded unasked");

    bench.slow();
    session.send("\u{4}");
    session.wait_text("model.safetensors (4 of 4)");
    session.wait_until("some bytes", |_| length(&bench.partial()) > 20_000);
    session.send("\u{7}");
    session.wait_text("cancelled");
    session.wait_text("in the cache so far");
    let kept = length(&bench.partial());
    assert!(kept < 300_000);
    session.send("\u{4}");
    session.wait_text("is in the cache");
    assert_layout(&bench.repo(), &Repo::tiny(ID));
    let ranges = bench.server.downloads(WEIGHTS);
    assert!(ranges.len() == 2 && ranges[1].as_ref().is_some_and(|r| r != "bytes=0-299999"), "{ranges:?}");

    bench.server.publish(newer());
    session.send("\u{1b}");
    session.wait_for("the explorer", |s| !s.contains("Models choose"));
    session.send("M");
    session.wait_text("newer");
    for c in ID.chars() {
        session.send(&c.to_string());
    }
    session.send("\u{1b}[15~");
    session.wait_for("the mark gone", |s| s.contains("as on the Hub") && !s.contains("newer"));
    assert_layout(&bench.repo(), &newer());

    session.send("\u{1b}[3~");
    session.wait_text("leaves the cache");
    session.send("\r");
    session.wait_text("removed, ");
    assert!(!bench.repo().exists());
    session.send("\u{1b}");
    session.wait_for("the explorer", |s| !s.contains("Models choose"));
    session.send("q");
    assert!(session.wait_end().success());
    session.assert_restored();
}
