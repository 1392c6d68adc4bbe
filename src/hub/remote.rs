//! The Hub's side: what a revision holds, and the stream of one file.
//!
//! Files are resolved, authenticated and streamed by hf-hub, whether they come over plain HTTP or through Xet.
//! What hf-hub 1.0 cannot tell is asked here: its listings drop the SHA-256 of large files, which is the ETag that
//! names a blob in the cache, and its metadata request follows redirects past the headers that carry it.
//! Runs inside the runtime that `fetch` makes on its caller's thread; never writes to the disk.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use hf_hub::{HFClient, HFError, HFRepository, RepoTypeDataset, RepoTypeModel, split_id};
use reqwest::header::{self, HeaderMap};
use reqwest::redirect;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use super::cache::is_name;
use super::dataset::PREFIX;
use super::error::{HubError, named, visible};
use super::options::ResolvedOptions;
use super::wait::Wait;
use crate::support::visible::without_credentials;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 10;
/// The largest listing that is read, in bytes; the largest real ones have a few thousand files.
const LARGEST_LISTING: usize = 32 << 20;
const USER_AGENT: &str = concat!("maskscope/", env!("CARGO_PKG_VERSION"), "; hf-hub/1.0");

/// What a revision holds.
pub(super) struct RemoteListing {
    pub commit: String,
    pub files: BTreeMap<String, RemoteEntry>,
}

/// What the listing says of a file; a mirror may say less than the Hub does.
#[derive(Clone, Default)]
pub(super) struct RemoteEntry {
    pub size: Option<u64>,
    pub etag: Option<String>,
}

/// A file to fetch: everything that the cache needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub name: String,
    pub size: u64,
    pub etag: String,
}

impl Item {
    /// The SHA-256 of the content in hex. Git LFS names a file by it; small files are named by their git object.
    pub fn sha256(&self) -> Option<&str> {
        (self.etag.len() == 64 && self.etag.bytes().all(|b| b.is_ascii_hexdigit()))
            .then_some(self.etag.as_str())
    }
}

pub(super) struct Remote<'a> {
    pub settings: &'a ResolvedOptions,
    pub id: &'a str,
    revision: &'a str,
    pub wait: Wait<'a>,
    http: Client,
    /// Stops at redirects: their own headers are what is wanted.
    head: Client,
    repo: Repository,
}

/// hf-hub keeps the kind of a repository in its type.
enum Repository {
    Model(HFRepository<RepoTypeModel>),
    Dataset(HFRepository<RepoTypeDataset>),
}

impl<'a> Remote<'a> {
    pub fn new(
        settings: &'a ResolvedOptions,
        id: &'a str,
        revision: &'a str,
        wait: Wait<'a>,
    ) -> Result<Self, HubError> {
        let build = |policy| {
            Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(policy)
                .build()
                .map_err(|e| HubError::BadAnswer {
                    what: visible(&settings.endpoint),
                    detail: root_cause(&e),
                })
        };
        let http = build(redirect_policy())?;
        // Tries are counted here, where a cancel is seen and the Hub's own waiting time is kept.
        let mut client = HFClient::builder()
            .endpoint(&settings.endpoint)
            .client(http.clone())
            .cache_dir(&settings.cache)
            .retry_max_attempts(0);
        if let Some(token) = &settings.token {
            client = client.token(token);
        }
        let client = client.build().map_err(|e| HubError::BadAnswer {
            what: format!("the endpoint {}", visible(&settings.endpoint)),
            detail: visible(&e.to_string()),
        })?;
        let repo = match id.strip_prefix(PREFIX) {
            None => {
                let (owner, name) = split_id(id);
                Repository::Model(client.model(owner, name))
            }
            Some(id) => {
                let (owner, name) = split_id(id);
                Repository::Dataset(client.dataset(owner, name))
            }
        };
        Ok(Remote { settings, id, revision, wait, http, head: build(redirect::Policy::none())?, repo })
    }

    /// Asks what the revision holds: one request for the commit, every file name, size and ETag.
    pub async fn listing(&self) -> Result<RemoteListing, HubError> {
        let what = format!("the listing of {}", named(self.id));
        let kind: &[&str] = if self.id.starts_with(PREFIX) { &["api"] } else { &["api", "models"] };
        let mut url = self.url(kind)?;
        extend(&mut url, self.id.split('/').chain(["revision", self.revision]));
        url.set_query(Some("blobs=true"));
        let request = self.authorised(self.http.get(url)).send();
        let response = self.wait.guard(&what, request).await?.map_err(|e| self.transport(&what, &e))?;
        if !response.status().is_success() {
            return Err(self.refused(
                response.status(),
                response.headers(),
                &what,
                HubError::NotFound { id: self.id.into() },
            ));
        }
        let body = self.read(&what, response).await?;
        let bad = |detail: String| HubError::BadAnswer { what: what.clone(), detail };
        let info: Info = serde_json::from_slice(&body).map_err(|e| bad(visible(&e.to_string())))?;
        if !is_name(&info.sha) {
            return Err(bad("the commit id is invalid".into()));
        }
        let files = info.siblings.into_iter().map(|s| (s.rfilename.clone(), s.entry())).collect();
        Ok(RemoteListing { commit: info.sha, files })
    }

    /// A listed file with its size and ETag, asked for one by one where the listing left them out.
    pub async fn item(&self, listing: &RemoteListing, name: &str) -> Result<Item, HubError> {
        let listed = listing.files.get(name).cloned().unwrap_or_default();
        let (size, etag) = match (listed.size, listed.etag) {
            (Some(size), Some(etag)) => (size, etag),
            _ => self.metadata(&listing.commit, name).await?,
        };
        if !is_name(&etag) {
            return Err(HubError::BadAnswer { what: name.into(), detail: "its ETag is not usable".into() });
        }
        Ok(Item { name: name.into(), size, etag })
    }

    /// Size and ETag from the headers of a file's address, before any redirect to another host.
    async fn metadata(&self, commit: &str, name: &str) -> Result<(u64, String), HubError> {
        let mut url = self.url(&[])?;
        extend(&mut url, self.id.split('/').chain(["resolve", commit]).chain(name.split('/')));
        for _ in 0..MOST_REDIRECTS {
            let request = self.authorised(self.head.head(url.clone())).send();
            let response = self.wait.guard(name, request).await?.map_err(|e| self.transport(name, &e))?;
            let headers = response.headers();
            if let Some(next) = same_origin_redirect(&response) {
                url = next;
                continue;
            }
            if !response.status().is_success() && !response.status().is_redirection() {
                return Err(self.refused(response.status(), headers, name, self.no_file(name)));
            }
            let size = text(headers, "x-linked-size").or_else(|| text(headers, "content-length"));
            let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
            let etag = etag.map(|e| e.trim_start_matches("W/").trim_matches('"').to_owned());
            return match (size.and_then(|s| s.parse().ok()), etag) {
                (Some(size), Some(etag)) => Ok((size, etag)),
                _ => Err(HubError::BadAnswer {
                    what: name.into(),
                    detail: "its size or ETag is missing".into(),
                }),
            };
        }
        Err(HubError::Redirect { what: name.into(), detail: "there were too many".into() })
    }

    /// The content of a file, or of a range of it, and the length that the answer announced. Whether the server
    /// heeded the range is not told; the caller must see for itself.
    pub async fn stream(
        &self,
        commit: &str,
        name: &str,
        range: Option<Range<u64>>,
    ) -> Result<(Option<u64>, impl Stream<Item = Result<impl AsRef<[u8]>, HubError>> + Unpin), HubError> {
        let answer = match &self.repo {
            Repository::Model(repo) => {
                let request = repo.download_file_stream().filename(name).revision(commit).maybe_range(range);
                self.wait.guard(name, request.send()).await?
            }
            Repository::Dataset(repo) => {
                let request = repo.download_file_stream().filename(name).revision(commit).maybe_range(range);
                self.wait.guard(name, request.send()).await?
            }
        };
        let (length, stream) = answer.map_err(|e| self.failed(name, e))?;
        Ok((length, stream.map(move |chunk| chunk.map_err(|e| self.failed(name, e)))))
    }

    fn url(&self, parts: &[&str]) -> Result<Url, HubError> {
        let what = || format!("the endpoint {}", visible(&self.settings.endpoint));
        let mut url = Url::parse(&self.settings.endpoint)
            .map_err(|e| HubError::BadAnswer { what: what(), detail: e.to_string() })?;
        if url.cannot_be_a_base() {
            return Err(HubError::BadAnswer { what: what(), detail: "it is not a web address".into() });
        }
        extend(&mut url, parts.iter().copied());
        Ok(url)
    }

    /// Whether an address is the Hub's own, and not that of the storage that it leads to.
    fn is_own(&self, address: &str) -> bool {
        match (Url::parse(address), Url::parse(&self.settings.endpoint)) {
            (Ok(address), Ok(own)) => address.origin() == own.origin(),
            _ => true,
        }
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.settings.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn read(&self, what: &str, mut response: Response) -> Result<Vec<u8>, HubError> {
        let mut body = Vec::new();
        while let Some(chunk) =
            self.wait.guard(what, response.chunk()).await?.map_err(|e| self.transport(what, &e))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_LISTING {
                return Err(HubError::BadAnswer { what: what.into(), detail: "it does not end".into() });
            }
        }
        Ok(body)
    }

    fn no_file(&self, name: &str) -> HubError {
        HubError::FileNotFound { id: self.id.into(), file: name.into() }
    }

    /// An answer that is neither content nor a redirect; `absent` is what a plain 404 means here.
    fn refused(&self, status: StatusCode, headers: &HeaderMap, what: &str, absent: HubError) -> HubError {
        let wait = text(headers, "retry-after").and_then(retry_after);
        self.status(HubRefusal { status, code: text(headers, "x-error-code"), wait, what, absent })
    }

    fn status(&self, refusal: HubRefusal<'_>) -> HubError {
        let HubRefusal { status, code, wait, what, absent } = refusal;
        let id = || self.id.to_owned();
        let with_token = self.settings.token.is_some();
        match (status.as_u16(), code) {
            (401 | 403 | 404, Some("RepoNotFound")) => HubError::NotFound { id: id() },
            (401 | 403 | 404, Some("GatedRepo")) => HubError::Gated {
                id: id(),
                page: without_credentials(&format!("{}/{}", self.settings.endpoint, self.id)).into_owned(),
                with_token,
            },
            (404, Some("RevisionNotFound")) => {
                HubError::RevisionNotFound { id: id(), revision: self.revision.into() }
            }
            (404, _) => absent,
            (401 | 403, _) => HubError::Unauthorised { id: id(), with_token },
            (429, _) => HubError::RateLimited { wait },
            (status, _) => HubError::Server { status, what: what.to_owned() },
        }
    }

    /// No answer, or one that broke off.
    fn transport(&self, what: &str, error: &reqwest::Error) -> HubError {
        let (what, detail) = (what.to_owned(), root_cause(error));
        if error.is_redirect() {
            HubError::Redirect { what, detail }
        } else if error.is_connect() {
            HubError::NoNetwork { endpoint: visible(&self.settings.endpoint), detail }
        } else {
            HubError::Broken { what, detail }
        }
    }

    /// hf-hub's errors, whose own texts hold addresses that may be signed.
    fn failed(&self, file: &str, error: HFError) -> HubError {
        let (context, wait) = match error {
            HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::Conflict { context }
            | HFError::Http { context }
            | HFError::EntryNotFound { context: Some(context), .. }
            | HFError::RepoNotFound { context: Some(context), .. }
            | HFError::RevisionNotFound { context: Some(context), .. } => (context, None),
            HFError::RateLimited { retry_after, context } => (context, retry_after),
            HFError::EntryNotFound { .. } => return self.no_file(file),
            HFError::RepoNotFound { .. } => return HubError::NotFound { id: self.id.into() },
            HFError::Request { source, .. } => return self.transport(file, &source),
            HFError::Xet { source, .. } => {
                let detail = format!("Xet: {}", visible(&source.to_string()));
                return HubError::Broken { what: file.into(), detail };
            }
            other => {
                let detail = visible(&other.to_string());
                return HubError::BadAnswer { what: file.into(), detail };
            }
        };
        let from_hub = context.error_code.is_some() || self.is_own(&context.url);
        if !from_hub && context.status != StatusCode::TOO_MANY_REQUESTS {
            // A signed link that has ended says nothing about tokens.
            let status = context.status.as_u16();
            return HubError::Storage { status, file: file.into() };
        }
        let code = context.error_code.as_deref();
        self.status(HubRefusal { status: context.status, code, wait, what: file, absent: self.no_file(file) })
    }
}

struct HubRefusal<'a> {
    status: StatusCode,
    /// The Hub's `X-Error-Code`.
    code: Option<&'a str>,
    /// Its `Retry-After`.
    wait: Option<Duration>,
    what: &'a str,
    absent: HubError,
}

/// The part of the Hub's model info that is used.
#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Sibling {
    fn entry(self) -> RemoteEntry {
        match self.lfs {
            Some(lfs) => RemoteEntry { size: lfs.size.or(self.size), etag: lfs.sha256 },
            None => RemoteEntry { size: self.size, etag: self.blob_id },
        }
    }
}

fn extend<'a>(url: &mut Url, parts: impl Iterator<Item = &'a str>) {
    // Only fails for addresses that `Remote::url` has refused.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(parts);
    }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(date.signed_duration_since(chrono::Utc::now()).to_std().unwrap_or_default())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Follows a limited number of redirects, never from an encrypted address to an open one.
fn redirect_policy() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let was_encrypted = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > MOST_REDIRECTS {
            attempt.error("there were too many")
        } else if was_encrypted && attempt.url().scheme() != "https" {
            attempt.error("it leads from https to plain http")
        } else {
            attempt.follow()
        }
    })
}

/// Where a redirect on the same host leads: a model that was renamed, or an id in other letters.
fn same_origin_redirect(response: &Response) -> Option<Url> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let next = response.url().join(location).ok()?;
    (next.origin() == response.url().origin()).then_some(next)
}

/// The innermost cause, without the address that reqwest prints around it.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    visible(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_tells_size_and_etag_of_small_and_large_files() {
        let info: Info = serde_json::from_str(
            r#"{"id":"a/b","sha":"abc","gated":false,"siblings":[
                {"rfilename":"config.json","size":665,"blobId":"10c6"},
                {"rfilename":"model.safetensors","size":134,"blobId":"ffff",
                 "lfs":{"sha256":"248d","size":548105171,"pointerSize":134}},
                {"rfilename":"bare"}]}"#,
        )
        .unwrap();
        let entries: Vec<_> =
            info.siblings.into_iter().map(Sibling::entry).map(|e| (e.size, e.etag)).collect();
        assert_eq!(
            entries,
            [(Some(665), Some("10c6".into())), (Some(548_105_171), Some("248d".into())), (None, None)]
        );
    }

    #[test]
    fn only_a_full_sha256_is_taken_for_one() {
        let item = |etag: &str| Item { name: "x".into(), size: 1, etag: etag.into() };
        assert!(item(&"a".repeat(64)).sha256().is_some());
        assert!(item(&"a".repeat(40)).sha256().is_none());
        assert!(item(&"g".repeat(64)).sha256().is_none());
    }

    #[test]
    fn revisions_take_one_part_of_an_address() {
        let mut url = Url::parse("http://hub/mirror/").unwrap();
        extend(&mut url, "a/b".split('/').chain(["resolve", "refs/pr/1", "x y"]));
        assert_eq!(url.as_str(), "http://hub/mirror/a/b/resolve/refs%2Fpr%2F1/x%20y");
    }
}
