//! The disk as the checkpoint writer sees it; a trait, so that a test can make it full at any byte.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::support::files::Aside;

/// A file being written.
pub trait NewFile: Write {
    /// Everything down to the device.
    fn sync(&mut self) -> io::Result<()>;
}

/// Where new files go.
pub trait Disk: Send + Sync {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;
}

/// The real one.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

struct RealFile(BufWriter<File>);

impl Write for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl NewFile for RealFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.0.get_ref().sync_all()
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(RealFile(BufWriter::with_capacity(1 << 20, File::create(path)?))))
    }
}

/// Whether an error says that there is no room left.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Writes a whole file and syncs it.
pub fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = disk.create(path)?;
    file.write_all(bytes)?;
    file.sync()
}

/// Replaces `path` by `bytes` in one step.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = Aside::of(path)?;
    write(disk, aside.path(), bytes)?;
    aside.put()
}
