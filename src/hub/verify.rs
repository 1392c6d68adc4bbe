//! Whether what lies in the cache is what the Hub sent: a blob is named after its content, large files by their SHA-256, small
//! ones by their git hash. A disk, a crash or an editor may have changed it since.
//!
//! Reads whole files; runs where a person asked for it (`refresh`) or where a file could not be used.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::error::{HubError, io};
use super::wait::Wait;
use crate::support::files::plain;
use crate::support::units::hex;

/// How much is read at a time, in bytes.
const BLOCK: usize = 1 << 20;

/// Whether the file at `path` has the content that its blob's name `etag` says; true where the name is no hash, as those of
/// some mirrors are not.
///
/// # Errors
/// A file that cannot be read; cancelled.
pub(super) fn is_as_named(path: &Path, etag: &str, wait: Option<Wait<'_>>) -> Result<bool, HubError> {
    let is_hex = etag.bytes().all(|b| b.is_ascii_hexdigit());
    let digest = match etag.len() {
        64 if is_hex => digest(path, Sha256::new(), wait)?,
        40 if is_hex => {
            let length = std::fs::metadata(path).map_err(io("read", path))?.len();
            digest(path, Sha1::new().chain_update(format!("blob {length}\0")), wait)?
        }
        _ => return Ok(true),
    };
    Ok(digest.eq_ignore_ascii_case(etag))
}

fn digest(path: &Path, mut hash: impl Digest, wait: Option<Wait<'_>>) -> Result<String, HubError> {
    let mut file = plain(path).map_err(io("read", path))?;
    let mut block = vec![0; BLOCK];
    loop {
        wait.map_or(Ok(()), |wait| wait.check())?;
        match file.read(&mut block).map_err(io("read", path))? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&block[..read]),
        }
    }
}

/// A file of a cached snapshot that is not what the Hub sent, the smallest of them; files of more than `most` bytes are not
/// judged. Takes as long as reading the files.
pub(super) fn damaged(snapshot: &Path, most: u64) -> Option<String> {
    let mut names = Vec::new();
    names_in(snapshot, "", &mut names);
    let size = |name: &String| std::fs::metadata(snapshot.join(name)).map_or(0, |about| about.len());
    names.retain(|name| size(name) <= most);
    names.sort_by_cached_key(|name| (size(name), name.clone()));
    let is_damaged = |name: &String| {
        let Some(etag) = blob_of(&snapshot.join(name)) else { return false };
        matches!(is_as_named(&snapshot.join(name), &etag, None), Ok(false))
    };
    names.into_iter().find(is_damaged)
}

/// The name of the blob that a file of a snapshot leads to.
fn blob_of(pointer: &Path) -> Option<String> {
    let target: PathBuf = std::fs::read_link(pointer).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

/// The files in a snapshot, by their names in it.
pub(super) fn names_in(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            names_in(&path, &format!("{name}/"), names);
        } else {
            names.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_compared_with_the_name_of_its_blob() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "hello\n").unwrap();
        let right = |etag: &str| is_as_named(&file, etag, None).unwrap();
        // `git hash-object` and `sha256sum` of the same file.
        assert!(right("ce013625030ba8dba906f756967f9e9ca394464a"));
        assert!(right("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"));
        assert!(right("5891B5B522D5DF086D0FF0B110FBD9D21BB4FC7163AF34D08286A2E846F6BE03"));
        assert!(!right(&"0".repeat(40)) && !right(&"0".repeat(64)));
        assert!(right("b1946ac92492d2347c6235b4d2611184"), "an MD5 is not judged");
        assert!(is_as_named(&folder.path().join("none"), &"0".repeat(40), None).is_err());
    }
}
