//! What a typed path may go on to.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use crate::support::files::unreadable;
use crate::support::paths::expand_home;

/// Entries that completing a path offers.
const COMPLETIONS: usize = 200;

/// Files and folders whose names begin as `typed` does and that are `wanted`, as they would be typed, folders with a slash
/// at their end; sorted. Hidden ones need a typed dot.
///
/// # Errors
/// A folder that cannot be read and a path that leads nowhere, in a sentence.
pub fn complete(typed: &str, wanted: impl Fn(&DirEntry) -> bool) -> Result<Vec<String>, String> {
    let expanded = expand_home(typed);
    let (folder, start) = if typed.ends_with('/') {
        (expanded.clone(), String::new())
    } else {
        let start = expanded.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        (expanded.parent().map(Path::to_owned).unwrap_or_default(), start)
    };
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    let prefix = typed.strip_suffix(start.as_str()).unwrap_or(typed);
    let entries = std::fs::read_dir(&folder).map_err(|e| unreadable(&folder, &e))?;
    let mut offers: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(wanted)
        .filter_map(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && !start.starts_with('.');
            let tail = if e.path().is_dir() { "/" } else { "" };
            (name.starts_with(&start) && !hidden).then(|| format!("{prefix}{name}{tail}"))
        })
        .take(COMPLETIONS)
        .collect();
    offers.sort();
    if offers.is_empty() && !expanded.exists() {
        return Err(format!("nothing matches {}", expanded.display()));
    }
    Ok(offers)
}
