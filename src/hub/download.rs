//! One file of a snapshot: from the Hub into its blob, going on where an earlier try broke off.
//!
//! Bytes are appended to `blobs/<etag>.incomplete` under the blob's lock, counted, hashed on the way, and renamed
//! into place only when length and SHA-256 are right. Only files named by a SHA-256 are resumed: for the small
//! others nothing would tell a wrong join from a right one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::cache::{BlobLock, RepoCache};
use super::error::{HubError, io};
use super::progress::{Phase, ProgressReporter};
use super::remote::{Item, Remote};
use super::verify::is_as_named;
use super::wait::{POLL, Tries};

/// How much of a partial file is read at a time, in bytes.
const BLOCK: usize = 1 << 20;
/// How much of a file's beginning is compared to see whether a server ignored a range, in bytes.
const HEAD: usize = 4096;

/// Brings `item` of `commit` into the cache and links it into the snapshot; does nothing where it is there already.
pub(super) async fn fetch_file(
    remote: &Remote<'_>,
    cache: &RepoCache,
    commit: &str,
    item: &Item,
    reporter: &mut ProgressReporter<'_>,
) -> Result<(), HubError> {
    fetch_blob(remote, cache, commit, item, reporter).await?;
    link(cache, commit, item)
}

/// Links a fetched `item` into the snapshot of `commit`.
pub(super) fn link(cache: &RepoCache, commit: &str, item: &Item) -> Result<(), HubError> {
    match has_length(&cache.snapshot(commit).join(&item.name), item.size) {
        true => Ok(()),
        false => cache.link(commit, &item.name, &item.etag),
    }
}

/// Brings the content of `item` into the cache, unless the snapshot of `commit` leads to it already.
pub(super) async fn fetch_blob(
    remote: &Remote<'_>,
    cache: &RepoCache,
    commit: &str,
    item: &Item,
    reporter: &mut ProgressReporter<'_>,
) -> Result<(), HubError> {
    reporter.file(&item.name);
    if remote.settings.refresh {
        discard_damaged(remote, cache, commit, item, reporter).await?;
    }
    if !has_length(&cache.snapshot(commit).join(&item.name), item.size) {
        let blob = cache.blob(&item.etag);
        if !has_length(&blob, item.size) {
            let _lock = lock(remote, cache, item, reporter).await?;
            // Whoever held the lock may have fetched it.
            if !has_length(&blob, item.size) {
                let partial = cache.partial(&item.etag);
                Transfer::open(remote, commit, item, &partial, reporter)?.run(reporter).await?;
                std::fs::rename(&partial, &blob).map_err(io("rename", &partial))?;
            }
        }
    }
    reporter.file_done(item.size);
    Ok(())
}

/// Removes what the cache holds of `item` where its content is not what its name says, so that it is fetched again.
async fn discard_damaged(
    remote: &Remote<'_>,
    cache: &RepoCache,
    commit: &str,
    item: &Item,
    reporter: &mut ProgressReporter<'_>,
) -> Result<(), HubError> {
    // The pointer first: where a disk has no links it is the file itself.
    for path in [cache.snapshot(commit).join(&item.name), cache.blob(&item.etag)] {
        if !has_length(&path, item.size) {
            continue;
        }
        reporter.phase(Phase::Checking);
        if !is_as_named(&path, &item.etag, Some(remote.wait))? {
            let _lock = lock(remote, cache, item, reporter).await?;
            std::fs::remove_file(&path).or_else(absent).map_err(io("remove", &path))?;
        }
    }
    Ok(())
}

/// A file that is not there needs no removing.
fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Bytes that `item` still needs on the disk.
pub(super) fn missing_bytes(cache: &RepoCache, commit: &str, item: &Item) -> u64 {
    let there = [cache.snapshot(commit).join(&item.name), cache.blob(&item.etag)];
    if there.iter().any(|path| has_length(path, item.size)) {
        return 0;
    }
    let partial = std::fs::metadata(cache.partial(&item.etag)).map_or(0, |m| m.len());
    if item.sha256().is_some() { item.size.saturating_sub(partial) } else { item.size }
}

fn has_length(path: &Path, size: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == size)
}

async fn lock(
    remote: &Remote<'_>,
    cache: &RepoCache,
    item: &Item,
    reporter: &mut ProgressReporter<'_>,
) -> Result<BlobLock, HubError> {
    let mut told = false;
    loop {
        if let Some(lock) = cache.try_lock(&item.etag)? {
            return Ok(lock);
        }
        if !told {
            reporter.phase(Phase::Waiting);
            told = true;
        }
        remote.wait.pause(POLL).await?;
    }
}

/// A partial file on its way to being whole.
struct Transfer<'a> {
    remote: &'a Remote<'a>,
    commit: &'a str,
    item: &'a Item,
    path: &'a Path,
    file: File,
    /// Bytes of the file that lie on disk and have been hashed.
    offset: u64,
    hasher: Sha256,
    /// Whether those bytes include some from an earlier run, which may be bad through no fault of this one.
    inherited: bool,
}

impl<'a> Transfer<'a> {
    /// Opens or makes the partial file; the caller holds the blob's lock.
    fn open(
        remote: &'a Remote<'a>,
        commit: &'a str,
        item: &'a Item,
        path: &'a Path,
        reporter: &mut ProgressReporter<'_>,
    ) -> Result<Self, HubError> {
        let file = (OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(path)
            .map_err(io("open", path))?;
        let length = file.metadata().map_err(io("read", path))?.len();
        let mut transfer =
            Transfer { remote, commit, item, path, file, offset: 0, hasher: Sha256::new(), inherited: false };
        if item.sha256().is_some() && (1..=item.size).contains(&length) {
            reporter.phase(Phase::Checking);
            transfer.hash_what_is_there(reporter)?;
            transfer.inherited = true;
        } else {
            transfer.start_over()?;
        }
        Ok(transfer)
    }

    fn hash_what_is_there(&mut self, reporter: &mut ProgressReporter<'_>) -> Result<(), HubError> {
        let mut block = vec![0; BLOCK];
        loop {
            self.remote.wait.check()?;
            let read = self.file.read(&mut block).map_err(io("read", self.path))?;
            if read == 0 {
                return Ok(());
            }
            self.hasher.update(&block[..read]);
            self.offset += read as u64;
            reporter.position(self.offset, 0);
        }
    }

    fn start_over(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(io("empty", self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(io("empty", self.path))?;
        (self.offset, self.inherited) = (0, false);
        self.hasher = Sha256::new();
        Ok(())
    }

    /// Fetches what is missing and checks the whole. A partial file that can serve the next try is left in place.
    async fn run(mut self, reporter: &mut ProgressReporter<'_>) -> Result<(), HubError> {
        loop {
            self.fill(reporter).await?;
            if self.checksum_matches() {
                break;
            }
            if !self.inherited {
                return Err(self.discard(HubError::Checksum { file: self.item.name.clone() }));
            }
            self.start_over()?;
        }
        // A blob's name vouches for its content, also after a power cut.
        self.file.sync_all().map_err(|e| self.write_error(e))
    }

    /// Streams until the length is right, again and again while tries are left.
    async fn fill(&mut self, reporter: &mut ProgressReporter<'_>) -> Result<(), HubError> {
        let mut tries = Tries::new(self.remote.settings);
        let mut furthest = self.offset;
        while self.offset < self.item.size {
            reporter.phase(Phase::Downloading);
            reporter.resume_clock();
            let Err(error) = self.stream(reporter).await else { continue };
            if self.offset > furthest {
                furthest = self.offset;
                tries.progressed();
            }
            let Some(pause) = tries.after(&error) else { return Err(self.give_up(error)) };
            reporter.failed(&error);
            self.remote.wait.pause_with(pause, &mut |left| reporter.retrying(left)).await?;
        }
        Ok(())
    }

    /// One request: from the current offset to the end, or until it breaks.
    async fn stream(&mut self, reporter: &mut ProgressReporter<'_>) -> Result<(), HubError> {
        if self.item.sha256().is_none() {
            self.start_over()?;
        }
        let (name, size, wait) = (&self.item.name, self.item.size, self.remote.wait);
        let from = self.offset;
        let range = (from > 0).then_some(from..size);
        let (length, mut chunks) = self.remote.stream(self.commit, name, range).await?;
        if from == 0 && length.is_some_and(|length| length != size) {
            return Err(self.wrong_length(length.unwrap_or_default()));
        }
        // An announced length of just the rest proves that the range was heeded.
        let mut unproven = from > 0 && length != Some(size - from);
        loop {
            let on_disk = self.offset;
            let mut tick = || reporter.position(on_disk, 0);
            let Some(chunk) = wait.guard_with(name, chunks.next(), &mut tick).await? else { break };
            let chunk = chunk?;
            let bytes = chunk.as_ref();
            if std::mem::take(&mut unproven) && self.begins_with(bytes)? {
                self.start_over()?;
            }
            if self.offset + bytes.len() as u64 > size {
                return Err(self.wrong_length(self.offset + bytes.len() as u64));
            }
            self.file.write_all(bytes).map_err(|e| self.write_error(e))?;
            self.hasher.update(bytes);
            self.offset += bytes.len() as u64;
            reporter.position(self.offset, bytes.len() as u64);
        }
        if self.offset < size {
            return Err(HubError::Broken { what: name.clone(), detail: "it ended early".into() });
        }
        Ok(())
    }

    /// Whether `bytes` are the file's beginning, sent by a server that ignores ranges. hf-hub does not tell the
    /// status, and some mirrors announce the length of the whole file even for a part.
    fn begins_with(&mut self, bytes: &[u8]) -> Result<bool, HubError> {
        let length = bytes.len().min(HEAD).min(usize::try_from(self.offset).unwrap_or(HEAD));
        let mut head = vec![0; length];
        let mut read = || {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.read_exact(&mut head)?;
            self.file.seek(SeekFrom::Start(self.offset))
        };
        read().map_err(io("read", self.path))?;
        Ok(head == bytes[..length])
    }

    fn checksum_matches(&self) -> bool {
        let Some(expected) = self.item.sha256() else { return true };
        let digest = self.hasher.clone().finalize();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        hex.eq_ignore_ascii_case(expected)
    }

    /// After the last try: a file that always ends early, or whose rest the server does not have, is no use.
    fn give_up(&self, error: HubError) -> HubError {
        match error {
            HubError::Server { status: 416, .. } | HubError::Storage { status: 416, .. } => {
                self.discard(self.wrong_length(self.offset))
            }
            HubError::WrongLength { .. } => self.discard(error),
            error => error,
        }
    }

    fn wrong_length(&self, got: u64) -> HubError {
        HubError::WrongLength { file: self.item.name.clone(), expected: self.item.size, got }
    }

    /// Removes the partial file, so that the next try is clean.
    fn discard(&self, error: HubError) -> HubError {
        match std::fs::remove_file(self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound => io("remove", self.path)(e),
            _ => error,
        }
    }

    fn write_error(&self, error: std::io::Error) -> HubError {
        if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
            let folder = self.path.parent().unwrap_or(self.path);
            return HubError::DiskFull {
                needed: self.item.size - self.offset,
                free: free_space(folder).unwrap_or(0),
                path: folder.to_path_buf(),
            };
        }
        io("write", self.path)(error)
    }
}

/// Bytes free on the disk that holds `folder`, which exists; `None` where the system does not tell.
fn free_space(folder: &Path) -> Option<u64> {
    fs4::available_space(folder).ok()
}

/// Refuses a download that the disk cannot hold.
pub(super) fn check_space(needed: u64, folder: PathBuf) -> Result<(), HubError> {
    match free_space(&folder) {
        Some(free) if free < needed => Err(HubError::DiskFull { needed, free, path: folder }),
        _ => Ok(()),
    }
}
