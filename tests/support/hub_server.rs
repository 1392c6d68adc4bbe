//! A Hub on 127.0.0.1 for tests: model info, `resolve` with redirects to a second host, ranges, and faults on demand.
//!
//! ```ignore
//! let server = HubServer::start(vec![Repo::tiny("owner/name")]);
//! // … run something with HF_ENDPOINT = server.url() …
//! server.fault("model.safetensors", Fault::Cut { after: 1000 });
//! assert_eq!(server.downloads("model.safetensors").len(), 1);
//! ```
//!
//! One thread per connection, one request per connection. Everything stops when the server is dropped.

#![allow(dead_code)] // Each test program that includes this file uses a part of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use maskscope::support::random::splitmix64;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A model repository as it stands at its newest commit.
#[derive(Clone)]
pub struct Repo {
    pub id: String,
    pub commit: String,
    pub files: BTreeMap<String, RepoFile>,
    /// Listings name files only, without size and ETag, as some mirrors do.
    pub bare_listing: bool,
    /// Large files come from the Hub's own address, with headers for the whole file, instead of a redirect.
    pub direct: bool,
    /// Answers for this id redirect to the repository's present name.
    pub renamed_from: Option<String>,
}

#[derive(Clone)]
pub struct RepoFile {
    pub content: Vec<u8>,
    /// Stored in Git LFS: the ETag is its SHA-256.
    pub lfs: bool,
    /// What the listing claims, where it is to be wrong.
    pub listed_size: Option<u64>,
}

pub const COMMIT: &str = "1111111111111111111111111111111111111111";
pub const GPT2_CONFIG: &str =
    r#"{"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 8, "n_positions": 16, "vocab_size": 3}"#;
/// A byte-level BPE with no merges.
pub const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
    "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2}, "merges": []}}"#;

impl Repo {
    /// No files at all.
    pub fn empty(id: &str) -> Self {
        Repo {
            id: id.into(),
            commit: COMMIT.into(),
            files: BTreeMap::new(),
            bare_listing: false,
            direct: false,
            renamed_from: None,
        }
    }

    /// Files of the right names; 300,000 bytes of noise for weights, and some that nobody should ask for.
    pub fn tiny(id: &str) -> Self {
        Repo::empty(id)
            .with("config.json", GPT2_CONFIG.as_bytes())
            .with("tokenizer.json", TOKENIZER.as_bytes())
            .with("generation_config.json", b"{}")
            .with("README.md", b"# tiny")
            .with("onnx/model.onnx", b"unwanted")
            .with_lfs("tf_model.h5", &noise(5_000, 9))
            .with_lfs("pytorch_model.bin", &noise(300_000, 2))
            .with_lfs("model.safetensors", &noise(300_000, 1))
    }

    pub fn with(mut self, name: &str, content: &[u8]) -> Self {
        let file = RepoFile { content: content.to_vec(), lfs: false, listed_size: None };
        self.files.insert(name.into(), file);
        self
    }

    pub fn with_lfs(mut self, name: &str, content: &[u8]) -> Self {
        let file = RepoFile { content: content.to_vec(), lfs: true, listed_size: None };
        self.files.insert(name.into(), file);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.files.remove(name);
        self
    }

    pub fn content(&self, name: &str) -> &[u8] {
        &self.files[name].content
    }

    pub fn etag(&self, name: &str) -> String {
        self.files[name].etag()
    }
}

impl RepoFile {
    /// The name of its blob: the SHA-256 for LFS files, otherwise the hash that git has for it.
    pub fn etag(&self) -> String {
        if self.lfs { hex(&Sha256::digest(&self.content)) } else { self.git_hash() }
    }

    fn git_hash(&self) -> String {
        hex(&Sha1::new()
            .chain_update(format!("blob {}\0", self.content.len()))
            .chain_update(&self.content)
            .finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Reproducible bytes without structure.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    (0..length as u64).map(|n| splitmix64(seed, n) as u8).collect()
}

/// What goes wrong once, with one request for a file.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Instead of an answer; `code` is the Hub's `X-Error-Code`, `retry_after` in seconds.
    Status { status: u16, code: Option<&'static str>, retry_after: Option<u64> },
    /// The connection closes after this many bytes of the body.
    Cut { after: usize },
    /// Nothing more comes after this many bytes, but the connection stays open.
    Stall { after: usize },
    /// A body without announced length that ends cleanly after this many bytes.
    Short { after: usize },
    /// A body without announced length that goes on for this many bytes too many.
    Long { by: usize },
    /// The first byte of the body is not what it should be.
    Corrupt,
    /// The body comes in pieces of this size with this pause between them.
    Trickle { piece: usize, pause: Duration },
    /// The whole file, whatever range was asked for.
    IgnoreRange,
    /// The answer leads back to its own address.
    RedirectLoop,
}

impl Fault {
    pub fn status(status: u16) -> Self {
        Fault::Status { status, code: None, retry_after: None }
    }

    pub fn refusal(status: u16, code: &'static str) -> Self {
        Fault::Status { status, code: Some(code), retry_after: None }
    }

    /// Whether it strikes any request for the file rather than only the one that delivers content.
    fn strikes_early(&self) -> bool {
        matches!(self, Fault::Status { .. } | Fault::RedirectLoop)
    }
}

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
    /// Answered by the second host, to which large files are redirected.
    pub cdn: bool,
}

struct Shared {
    repos: Mutex<Vec<Repo>>,
    requests: Mutex<Vec<Request>>,
    /// Part of a path, the fault, how often it still strikes.
    faults: Mutex<Vec<(String, Fault, usize)>>,
    stopped: Mutex<bool>,
    stop: Condvar,
    hub: SocketAddr,
    cdn: SocketAddr,
}

pub struct HubServer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl HubServer {
    pub fn start(repos: Vec<Repo>) -> Self {
        let listeners = [false, true].map(|cdn| (TcpListener::bind("127.0.0.1:0").unwrap(), cdn));
        let shared = Arc::new(Shared {
            repos: Mutex::new(repos),
            requests: Mutex::default(),
            faults: Mutex::default(),
            stopped: Mutex::new(false),
            stop: Condvar::new(),
            hub: listeners[0].0.local_addr().unwrap(),
            cdn: listeners[1].0.local_addr().unwrap(),
        });
        let threads = listeners
            .into_iter()
            .map(|(listener, cdn)| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || accept(&listener, cdn, &shared))
            })
            .collect();
        HubServer { shared, threads }
    }

    /// For `HF_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.hub)
    }

    /// Replaces or adds a repository.
    pub fn publish(&self, repo: Repo) {
        let mut repos = self.shared.repos.lock().unwrap();
        repos.retain(|r| r.id != repo.id);
        repos.push(repo);
    }

    /// Lets `fault` strike the next request whose path contains `target`.
    pub fn fault(&self, target: &str, fault: Fault) {
        self.faults(target, fault, 1);
    }

    /// Lets `fault` strike the next `times` such requests. Faults of one target strike in the order given.
    pub fn faults(&self, target: &str, fault: Fault, times: usize) {
        self.shared.faults.lock().unwrap().push((target.into(), fault, times));
    }

    /// Everything asked so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.requests.lock().unwrap().clear();
    }

    /// The ranges of the requests that were to deliver content of a file (`None`: the whole file).
    pub fn downloads(&self, name: &str) -> Vec<Option<String>> {
        let direct = self.shared.repos.lock().unwrap().iter().any(|r| r.direct);
        let lfs = self.shared.repos.lock().unwrap().iter().any(|r| r.files.get(name).is_some_and(|f| f.lfs));
        self.requests()
            .into_iter()
            .filter(|r| r.method == "GET" && r.path.ends_with(&format!("/{name}")))
            .filter(|r| r.cdn == (lfs && !direct))
            .map(|r| r.range)
            .collect()
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        *self.shared.stopped.lock().unwrap() = true;
        self.shared.stop.notify_all();
        for address in [self.shared.hub, self.shared.cdn] {
            // Wakes the thread that waits in `accept`.
            let _ = TcpStream::connect(address);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, cdn: bool, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if *shared.stopped.lock().unwrap() {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // A client that goes away in the middle is part of what is tested.
        std::thread::spawn(move || drop(serve(&stream, cdn, &shared)));
    }
}

fn serve(stream: &TcpStream, cdn: bool, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let Some(request) = read_request(stream, cdn)? else { return Ok(()) };
    shared.requests.lock().unwrap().push(request.clone());
    let mut answer = Answer { stream, shared, head: request.method == "HEAD" };
    let early = shared.take_fault(&request.path, Fault::strikes_early);
    match early {
        Some(Fault::Status { status, code, retry_after }) => {
            let mut headers = Vec::new();
            headers.extend(code.map(|c| ("X-Error-Code".to_owned(), c.to_owned())));
            headers.extend(retry_after.map(|s| ("Retry-After".to_owned(), s.to_string())));
            answer.plain(status, &headers, br#"{"error": "as asked"}"#)
        }
        Some(Fault::RedirectLoop) => answer.plain(302, &[("Location".to_owned(), request.path.clone())], b""),
        _ => route(&request, &mut answer),
    }?;
    stream.shutdown(Shutdown::Write)
}

fn read_request(stream: &TcpStream, cdn: bool) -> std::io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut request =
        Request { method: method.into(), path: path.into(), range: None, authorization: None, cdn };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { return Ok(Some(request)) };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.into()),
            "authorization" => request.authorization = Some(value.into()),
            _ => {}
        }
    }
}

impl Shared {
    fn take_fault(&self, path: &str, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let first = faults.iter().position(|(target, fault, _)| path.contains(target) && wanted(fault))?;
        let fault = faults[first].1.clone();
        faults[first].2 -= 1;
        if faults[first].2 == 0 {
            faults.remove(first);
        }
        Some(fault)
    }

    /// Waits, at most until the server stops.
    fn wait(&self, length: Duration) {
        let stopped = self.stopped.lock().unwrap();
        drop(self.stop.wait_timeout_while(stopped, length, |stopped| !*stopped).unwrap());
    }
}

fn route(request: &Request, answer: &mut Answer<'_>) -> std::io::Result<()> {
    let path = request.path.split('?').next().unwrap_or_default();
    let blobs = request.path.contains("blobs=true");
    let repos = answer.shared.repos.lock().unwrap().clone();
    for repo in &repos {
        let old = repo.renamed_from.as_deref();
        if let Some(old) = old
            && (path.starts_with(&format!("/api/models/{old}/")) || path.starts_with(&format!("/{old}/")))
        {
            return answer.plain(307, &[("Location".into(), request.path.replace(old, &repo.id))], b"");
        }
        let kind = if repo.id.starts_with("datasets/") { "" } else { "models/" };
        if let Some(rest) = path.strip_prefix(&format!("/api/{kind}{}", repo.id)) {
            let revision = rest.strip_prefix("/revision/").or_else(|| rest.strip_prefix("/tree/"));
            return match (rest.starts_with("/tree/"), revision.unwrap_or("main")) {
                (_, revision) if !repo.has(revision) => answer.missing("RevisionNotFound"),
                (true, _) => answer.json(&repo.tree()),
                (false, _) => answer.json(&repo.info(blobs)),
            };
        }
        if let Some(rest) = path.strip_prefix(&format!("/{}/resolve/", repo.id)) {
            let Some((revision, name)) = rest.split_once('/') else { break };
            return match repo.files.get(name) {
                _ if !repo.has(revision) => answer.missing("RevisionNotFound"),
                None => answer.missing("EntryNotFound"),
                Some(file) => answer.resolve(request, repo, name, file),
            };
        }
        if let Some(name) = path.strip_prefix(&format!("/cdn/{}/", repo.id))
            && let Some(file) = repo.files.get(name)
        {
            let headers = vec![("ETag".into(), "\"of-the-second-host\"".into())];
            return answer.content(request, file, headers);
        }
    }
    answer.missing("RepoNotFound")
}

impl Repo {
    fn has(&self, revision: &str) -> bool {
        revision == "main" || revision == self.commit
    }

    fn info(&self, blobs: bool) -> serde_json::Value {
        let siblings: Vec<_> = (self.files.iter())
            .map(|(name, file)| {
                let mut entry = serde_json::json!({"rfilename": name});
                if blobs && !self.bare_listing {
                    let size = file.listed_size.unwrap_or(file.content.len() as u64);
                    entry["size"] = size.into();
                    entry["blobId"] = file.git_hash().into();
                    if file.lfs {
                        entry["lfs"] =
                            serde_json::json!({"sha256": file.etag(), "size": size, "pointerSize": 134});
                    }
                }
                entry
            })
            .collect();
        serde_json::json!({"id": self.id, "sha": self.commit, "gated": false, "siblings": siblings})
    }

    fn tree(&self) -> serde_json::Value {
        let entry = |(name, file): (&String, &RepoFile)| {
            let mut entry = serde_json::json!({
                "type": "file", "path": name, "oid": file.git_hash(), "size": file.content.len()
            });
            if file.lfs {
                let (oid, size) = (file.etag(), file.content.len());
                entry["lfs"] = serde_json::json!({"oid": oid, "size": size, "pointerSize": 134});
            }
            entry
        };
        self.files.iter().map(entry).collect()
    }
}

type Headers = Vec<(String, String)>;

struct Answer<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    /// To a HEAD request, whose answer has headers only.
    head: bool,
}

impl Answer<'_> {
    fn plain(&mut self, status: u16, headers: &[(String, String)], body: &[u8]) -> std::io::Result<()> {
        let mut headers = headers.to_vec();
        headers.push(("Content-Length".into(), body.len().to_string()));
        self.start(status, &headers)?;
        self.send(body)
    }

    fn json(&mut self, value: &serde_json::Value) -> std::io::Result<()> {
        let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
        self.plain(200, &headers, value.to_string().as_bytes())
    }

    fn missing(&mut self, code: &str) -> std::io::Result<()> {
        self.plain(404, &[("X-Error-Code".to_owned(), code.to_owned())], br#"{"error": "not here"}"#)
    }

    fn start(&mut self, status: u16, headers: &[(String, String)]) -> std::io::Result<()> {
        let mut text = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        self.stream.write_all(text.as_bytes())
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.head { Ok(()) } else { self.stream.write_all(bytes) }
    }

    fn resolve(
        &mut self,
        request: &Request,
        repo: &Repo,
        name: &str,
        file: &RepoFile,
    ) -> std::io::Result<()> {
        let mut headers: Headers = vec![
            ("X-Repo-Commit".into(), repo.commit.clone()),
            ("ETag".into(), format!("\"{}\"", file.git_hash())),
        ];
        if !file.lfs {
            return self.content(request, file, headers);
        }
        headers.push(("X-Linked-Etag".into(), format!("\"{}\"", file.etag())));
        headers.push(("X-Linked-Size".into(), file.content.len().to_string()));
        if repo.direct {
            return self.content(request, file, headers);
        }
        let target = format!("http://{}/cdn/{}/{name}", self.shared.cdn, repo.id);
        headers.push(("Location".into(), target));
        self.plain(302, &headers, b"")
    }

    /// The file or the part of it that was asked for, spoiled by whatever fault is due.
    fn content(&mut self, request: &Request, file: &RepoFile, mut headers: Headers) -> std::io::Result<()> {
        let fault = match self.head {
            true => None,
            false => self.shared.take_fault(&request.path, |f| !f.strikes_early()),
        };
        let total = file.content.len();
        let range = match fault {
            Some(Fault::IgnoreRange) => None,
            _ => request.range.as_deref().and_then(|r| parse_range(r, total)),
        };
        if range.as_ref().is_some_and(|r| r.start >= total) {
            return self.plain(416, &[], b"");
        }
        let status = if range.is_some() { 206 } else { 200 };
        if let Some(range) = &range {
            let text = format!("bytes {}-{}/{total}", range.start, range.end - 1);
            headers.push(("Content-Range".into(), text));
        }
        let mut body = file.content[range.unwrap_or(0..total)].to_vec();
        match &fault {
            Some(Fault::Short { after }) => body.truncate(*after),
            Some(Fault::Long { by }) => body.extend(noise(*by, 77)),
            Some(Fault::Corrupt) => body[0] ^= 1,
            _ => {}
        }
        if !matches!(fault, Some(Fault::Short { .. } | Fault::Long { .. })) {
            // Without it, the end of the connection is the end of the body.
            headers.push(("Content-Length".into(), body.len().to_string()));
        }
        self.start(status, &headers)?;
        match fault {
            Some(Fault::Cut { after }) => self.send(&body[..after.min(body.len())]),
            Some(Fault::Stall { after }) => {
                self.send(&body[..after.min(body.len())])?;
                self.shared.wait(Duration::from_secs(60));
                Ok(())
            }
            Some(Fault::Trickle { piece, pause }) => body.chunks(piece).try_for_each(|piece| {
                self.send(piece)?;
                self.shared.wait(pause);
                Ok(())
            }),
            _ => self.send(&body),
        }
    }
}

/// `bytes=a-b` and `bytes=a-`.
fn parse_range(text: &str, total: usize) -> Option<Range<usize>> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start = start.parse().ok()?;
    let end = end.parse::<usize>().map_or(total, |last| (last + 1).min(total));
    Some(start..end)
}
