//! One model's folder in the cache, laid out as Python's `huggingface_hub` lays it out, so that both share it:
//!
//! ```text
//! .locks/models--owner--name/<etag>.lock
//! models--owner--name/blobs/<etag>              and <etag>.incomplete while it arrives
//! models--owner--name/refs/<revision>           the commit, as text
//! models--owner--name/snapshots/<commit>/<file> → ../../blobs/<etag>
//! ```
//!
//! Only paths and small file operations; the network is elsewhere.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::dataset::PREFIX;
use super::error::{HubError, io};
use crate::support::files::{Aside, replace};

/// Tells backup programs that a folder can be fetched again (<https://bford.info/cachedir/>).
const CACHE_TAG: (&str, &str) = (
    "CACHEDIR.TAG",
    "Signature: 8a477f597d28d172789f06886806bc55\n# This file marks a cache directory of Hugging Face models.\n",
);

pub(super) struct RepoCache {
    root: PathBuf,
    /// `models--owner--name`, or `datasets--owner--name`.
    name: String,
}

/// Held while a blob is written; released by closing the file, also when the process dies.
pub(super) struct BlobLock {
    _file: File,
}

impl RepoCache {
    /// `id` must have passed `valid_id`; that of a data set begins with `datasets/`.
    pub fn new(cache: &Path, id: &str) -> Self {
        let kind = if id.starts_with(PREFIX) { "" } else { "models--" };
        RepoCache { root: cache.to_path_buf(), name: format!("{kind}{}", id.replace('/', "--")) }
    }

    pub fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    pub fn blob(&self, etag: &str) -> PathBuf {
        self.folder().join("blobs").join(etag)
    }

    pub fn partial(&self, etag: &str) -> PathBuf {
        self.folder().join("blobs").join(format!("{etag}.incomplete"))
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit)
    }

    /// The commit that `revision` stood for when it was last fetched; a full commit stands for itself.
    pub fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let path = self.folder().join("refs").join(revision);
        // Reading a FIFO would wait without end.
        let text = path.is_file().then(|| std::fs::read_to_string(&path).ok()).flatten()?;
        let commit = text.trim();
        is_name(commit).then(|| commit.to_owned())
    }

    /// Makes the folders that a download into `commit` needs.
    pub fn prepare(&self, commit: &str) -> Result<(), HubError> {
        for dir in [self.folder().join("blobs"), self.snapshot(commit), self.locks()] {
            std::fs::create_dir_all(&dir).map_err(io("make the folder", &dir))?;
        }
        let tag = self.root.join(CACHE_TAG.0);
        if !tag.exists() {
            // Only a courtesy to backup programs.
            let _ = std::fs::write(tag, CACHE_TAG.1);
        }
        Ok(())
    }

    /// Records what `revision` stands for; readers see the old text or the new, never half of it.
    pub fn write_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision == commit || self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder().join("refs").join(revision);
        replace(&path, commit.as_bytes()).map_err(io("write", &path))
    }

    /// Lets `file` of `commit` lead to its blob by a relative link. Readers see the old link or the new.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let pointer = self.snapshot(commit).join(file);
        let up = "../".repeat(2 + file.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        let aside = Aside::of(&pointer).map_err(io("link", &pointer))?;
        symlink(&target, aside.path())
            .and_then(|()| aside.put())
            // A disk without links: the file itself takes the link's place, as Python does it.
            .or_else(|_| std::fs::rename(self.blob(etag), &pointer))
            .map_err(io("link", &pointer))
    }

    /// The lock of a blob, or `None` while another process has it.
    pub fn try_lock(&self, etag: &str) -> Result<Option<BlobLock>, HubError> {
        let path = self.locks().join(format!("{etag}.lock"));
        let is_new = !path.exists();
        // Not truncated: the file may belong to the process that holds the lock.
        let file = (OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&path)
            .map_err(io("open", &path))?;
        if is_new {
            open_to_group(&file);
        }
        match file.try_lock() {
            Ok(()) if was_unlinked(&file) => Ok(None),
            Ok(()) => Ok(Some(BlobLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            // A file system without locks: the checksum still guards what is written.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {
                Ok(Some(BlobLock { _file: file }))
            }
            Err(TryLockError::Error(e)) => Err(io("lock", &path)(e)),
        }
    }

    /// Whether some process downloads into this folder right now: it holds the lock of a blob.
    pub fn is_busy(&self) -> bool {
        let files = std::fs::read_dir(self.locks()).into_iter().flatten().flatten();
        let held = |path: PathBuf| {
            let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
            Some(matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
        };
        files
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .any(|entry| held(entry.path()) == Some(true))
    }

    fn locks(&self) -> PathBuf {
        self.root.join(".locks").join(&self.name)
    }
}

/// Everything under `folder` that is no folder, each with what it is itself: links are not followed.
pub(super) fn entries_under(folder: &Path) -> Vec<(PathBuf, Metadata)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(about) if about.is_dir() => folders.push(entry.path()),
                Ok(about) => found.push((entry.path(), about)),
                Err(_) => {}
            }
        }
    }
    found
}

/// Bytes of the plain files under `folder`.
pub(super) fn occupied(folder: &Path) -> u64 {
    entries_under(folder).iter().filter(|(_, about)| about.is_file()).map(|(_, about)| about.len()).sum()
}

/// Several people may share a cache: Python gives its locks the same mode, whatever the umask. A file system
/// without modes loses nothing.
#[cfg(unix)]
fn open_to_group(file: &File) {
    use std::os::unix::fs::PermissionsExt;
    let _ = file.set_permissions(std::fs::Permissions::from_mode(0o664));
}

#[cfg(not(unix))]
fn open_to_group(_: &File) {}

/// A lock on a file that no name leads to any more keeps nobody out.
#[cfg(unix)]
fn was_unlinked(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|m| m.nlink() == 0)
}

#[cfg(not(unix))]
fn was_unlinked(_: &File) -> bool {
    false
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

/// A full git commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether an ETag or a commit from outside can be used as a file name.
pub(super) fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn refs_are_written_read_and_trusted_only_as_names() {
        let dir = tempfile::tempdir().unwrap();
        let repo = RepoCache::new(dir.path(), "owner/name");
        assert_eq!(repo.commit_of("main"), None);
        assert_eq!(repo.commit_of(COMMIT).as_deref(), Some(COMMIT));
        repo.write_ref("refs/pr/1", COMMIT).unwrap();
        let path = dir.path().join("models--owner--name/refs/refs/pr/1");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), COMMIT);
        assert_eq!(repo.commit_of("refs/pr/1").as_deref(), Some(COMMIT));
        std::fs::write(&path, "../../elsewhere").unwrap();
        assert_eq!(repo.commit_of("refs/pr/1"), None);
        repo.write_ref(COMMIT, COMMIT).unwrap();
        assert!(!dir.path().join("models--owner--name/refs").join(COMMIT).exists());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_relative_at_any_depth() {
        let dir = tempfile::tempdir().unwrap();
        let repo = RepoCache::new(dir.path(), "owner/name");
        repo.prepare(COMMIT).unwrap();
        std::fs::write(repo.blob("abc"), "content").unwrap();
        for (file, target) in [("a.bin", "../../blobs/abc"), ("sub/a.bin", "../../../blobs/abc")] {
            repo.link(COMMIT, file, "abc").unwrap();
            repo.link(COMMIT, file, "abc").unwrap();
            let pointer = repo.snapshot(COMMIT).join(file);
            assert_eq!(std::fs::read_link(&pointer).unwrap(), PathBuf::from(target));
            assert_eq!(std::fs::read_to_string(&pointer).unwrap(), "content");
        }
        assert!(
            std::fs::read_to_string(dir.path().join("CACHEDIR.TAG")).unwrap().starts_with("Signature: 8a47")
        );
    }

    #[test]
    fn a_lock_keeps_others_out_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let repo = RepoCache::new(dir.path(), "owner/name");
        repo.prepare(COMMIT).unwrap();
        let held = repo.try_lock("abc").unwrap();
        assert!(held.is_some());
        assert!(repo.try_lock("abc").unwrap().is_none());
        assert!(repo.try_lock("other").unwrap().is_some());
        drop(held);
        assert!(repo.try_lock("abc").unwrap().is_some());
    }

    #[test]
    fn names_from_outside_stay_names() {
        for good in [COMMIT, "a-b_c.d", "5d41402abc4b2a76b9719d911017c592"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", "a b", "x\u{0}", "ü", &"a".repeat(129)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
