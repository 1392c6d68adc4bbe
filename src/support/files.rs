//! Files that appear whole or not at all: written beside their target, synced, renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::units::bytes as human_bytes;
/// Why a file cannot be read, in a sentence: `cannot read notes.txt: no such file`.
pub fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {}", path.display(), reason(error))
}

/// What the system says of a file, to follow a colon; its numbers help nobody.
pub fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        return "no such file".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// A name beside `target` for what will take its place; whatever is there is removed unless it is
/// [`put`](Aside::put) in place.
#[derive(Debug)]
pub struct Aside {
    target: PathBuf,
    path: PathBuf,
}

impl Aside {
    /// `.NAME.PID-N.tmp` in the folder of `target`, so that the rename stays on one file system and no two writers meet.
    /// Makes that folder.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn of(target: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(folder(target))?;
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = beside(target, &format!("{}-{n}.tmp", std::process::id()));
        Ok(Aside { target: target.to_owned(), path })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames what was written onto the target. A file reaches the disk first: without that, a power cut could leave an
    /// empty one.
    ///
    /// # Errors
    /// The target stays as it was, and nothing is left beside it.
    pub fn put(self) -> io::Result<()> {
        if fs::symlink_metadata(&self.path)?.is_file() {
            OpenOptions::new().write(true).open(&self.path)?.sync_all()?;
        }
        fs::rename(&self.path, &self.target)?;
        sync_folder(folder(&self.target));
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Gone already where it was renamed.
        let _ = fs::remove_file(&self.path);
    }
}

/// Replaces `path`, or makes it, with these bytes in one step; keeps its permissions.
///
/// # Errors
/// A file that is read-only: renaming over it would work, but it was made read-only on purpose. Otherwise what the disk
/// says; `path` is as it was then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let permissions = fs::metadata(path).ok().map(|metadata| metadata.permissions());
    if permissions.as_ref().is_some_and(fs::Permissions::readonly) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
    }
    let aside = Aside::of(path)?;
    fs::write(aside.path(), bytes)?;
    if let Some(permissions) = permissions {
        fs::set_permissions(aside.path(), permissions)?;
    }
    aside.put()
}

/// The file that a chain of links ends at, so that a link into a dotfiles folder stays a link.
pub fn follow_links(path: &Path) -> PathBuf {
    // The limit is Linux's own; past it, opening reports the loop.
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = match path.parent() {
            Some(folder) if target.is_relative() => folder.join(target),
            _ => target,
        };
    }
    path
}

/// A file that a person named for results: it appears whole, at the end of the links that lead to it, with the permissions
/// of the file that it replaces or else those that the umask gives.
#[derive(Debug)]
pub struct Outgoing {
    aside: Aside,
    permissions: fs::Permissions,
}

impl Outgoing {
    /// Where a file named `path` is written.
    ///
    /// # Errors
    /// What is no plain file (a folder, a FIFO, a device, a socket), by name; a file that is read-only.
    pub fn judge(path: &Path) -> io::Result<PathBuf> {
        let target = follow_links(path);
        let refused = |kind, text: String| Err(io::Error::new(kind, text));
        match fs::metadata(path) {
            Ok(about) if !about.is_file() => {
                let text = format!("it is {}, not a plain file", kind_of(about.file_type()));
                refused(io::ErrorKind::InvalidInput, text)
            }
            Ok(about) if about.permissions().readonly() => {
                refused(io::ErrorKind::PermissionDenied, "the file is read-only".to_owned())
            }
            Ok(_) => Ok(target),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(target),
            Err(e) => Err(e),
        }
    }

    /// Begins a file named `path`; makes its folder.
    ///
    /// # Errors
    /// As [`Outgoing::judge`]; a folder in which nothing can be made.
    pub fn of(path: &Path) -> io::Result<Self> {
        let target = Self::judge(path)?;
        let aside = Aside::of(&target)?;
        // A new file says what the umask gives, whatever a library that replaces it does.
        let fresh = File::create_new(aside.path())?.metadata()?.permissions();
        let permissions = fs::metadata(&target).map_or(fresh, |about| about.permissions());
        Ok(Outgoing { aside, permissions })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.aside.path()
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// The place stays as it was, and nothing is left beside it.
    pub fn put(self) -> io::Result<()> {
        fs::set_permissions(self.aside.path(), self.permissions)?;
        self.aside.put()
    }
}

/// Opens a plain file. Anything else is refused unopened: a FIFO would wait for somebody to write into it.
///
/// # Errors
/// What is no plain file, by what it is; otherwise what the disk says.
pub fn plain(path: &Path) -> io::Result<File> {
    match special(path) {
        Some(what) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a plain file")))
        }
        None => File::open(path),
    }
}

/// The bytes of a file that was opened.
///
/// # Errors
/// What the disk says.
pub fn whole(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of a plain file of at most `most` bytes.
///
/// # Errors
/// As [`plain`]; a longer file, unread.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    plain(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let problem = format!("it is larger than {}, more than such a file ever is", human_bytes(most));
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(bytes)
}

/// What is at `path` (or at the end of its links) where that is neither a file nor a folder: "a FIFO (a named pipe)".
pub fn special(path: &Path) -> Option<&'static str> {
    let kind = fs::metadata(path).ok()?.file_type();
    (!kind.is_file() && !kind.is_dir()).then(|| kind_of(kind))
}

/// What is there, for a message.
fn kind_of(kind: fs::FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a FIFO (a named pipe)";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_block_device() || kind.is_char_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a folder" } else { "something else" }
}

/// `.NAME.SUFFIX` in the folder of `path`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{suffix}"))
}

/// Removes what writers that were killed left in `folder`, which nobody writes to now.
///
/// # Errors
/// What the disk says; a folder that is not there holds nothing.
pub fn clear_asides(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let entry = entry?;
        if is_aside(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// `.NAME.PID-N.tmp`
fn is_aside(name: &str) -> bool {
    let numbers =
        name.strip_prefix('.').and_then(|n| n.strip_suffix(".tmp")).and_then(|n| n.rsplit_once('.'));
    let number = |text: &str| text.parse::<u64>().is_ok();
    numbers.and_then(|(_, n)| n.split_once('-')).is_some_and(|(pid, n)| number(pid) && number(n))
}

/// Makes renames within `folder` last; not every file system can, and the renames are atomic already.
pub fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.txt");
        let said = |path: &Path| unreadable(path, &fs::read(path).unwrap_err());
        assert_eq!(said(&path), format!("cannot read {}: no such file", path.display()));
        let other = said(folder.path());
        assert!(other.starts_with("cannot read ") && !other.contains("os error"), "{other}");
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/file");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let aside = Aside::of(&path).unwrap();
        fs::write(aside.path(), b"half").unwrap();
        let left = Aside::of(&path).unwrap();
        fs::write(left.path(), b"killed").unwrap();
        std::mem::forget(left);
        let foreign = path.with_file_name(".mine.tmp");
        fs::write(&foreign, b"").unwrap();
        drop(aside);
        clear_asides(path.parent().unwrap()).unwrap();
        fs::remove_file(foreign).unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(path.parent().unwrap())),
            (b"two".to_vec(), vec!["file".to_owned()])
        );
    }

    #[cfg(unix)]
    #[test]
    fn permissions_stay_and_a_read_only_file_stays_as_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        replace(&path, b"one").unwrap();
        let mode = |mode: u32| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o640);
        replace(&path, b"two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        mode(0o440);
        assert_eq!(replace(&path, b"three").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(
            (fs::read(&path).unwrap(), names(root.path())),
            (b"two".to_vec(), vec!["file".to_owned()])
        );
    }

    #[cfg(unix)]
    #[test]
    fn results_follow_links_and_have_the_permissions_of_any_new_file() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        let write = |name: &str, bytes: &[u8]| {
            let out = Outgoing::of(&at(name)).unwrap();
            // As libraries do it: a file that nobody else may read takes the place of what was made.
            let own = tempfile::NamedTempFile::new_in(root.path()).unwrap();
            fs::write(own.path(), bytes).unwrap();
            own.persist(out.path()).unwrap();
            out.put().unwrap();
        };
        File::create(at("usual")).unwrap();
        write("new", b"one");
        assert_eq!(mode("new"), mode("usual"), "the umask decides, not a temporary file");
        fs::set_permissions(at("new"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("new", at("link")).unwrap();
        symlink("link", at("chain")).unwrap();
        write("chain", b"two");
        assert_eq!((fs::read(at("new")).unwrap(), mode("new")), (b"two".to_vec(), 0o640));
        assert!(fs::symlink_metadata(at("chain")).unwrap().is_symlink());
        // A link to a file that is not there yet makes it.
        symlink("later", at("dangling")).unwrap();
        write("dangling", b"three");
        assert_eq!(fs::read(at("later")).unwrap(), b"three");
        drop(Outgoing::of(&at("given up")).unwrap());
        let mut left = names(root.path());
        left.sort();
        assert_eq!(left, ["chain", "dangling", "later", "link", "new", "usual"]);
    }

    #[cfg(unix)]
    #[test]
    fn results_go_to_plain_files_only() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
        assert!(made.success());
        symlink("fifo", at("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (path, what) in [
            (at("fifo"), "a FIFO"),
            (at("link"), "a FIFO"),
            (at("socket"), "a socket"),
            (root.path().to_owned(), "a folder"),
            (PathBuf::from("/dev/null"), "a device"),
        ] {
            let error = Outgoing::of(&path).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("it is {what}")) && error.ends_with("not a plain file"),
                "{error}"
            );
        }
        symlink("loop", at("loop")).unwrap();
        assert!(Outgoing::of(&at("loop")).is_err());
    }
}
