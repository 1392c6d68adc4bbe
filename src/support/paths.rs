//! The home folder and the folders of this program in it.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

const PROGRAM: &str = "maskscope";

/// A path as typed, with `~` and `~/` standing for the home folder.
pub fn expand_home(text: &str) -> PathBuf {
    expand(text, std::env::home_dir().as_deref())
}

/// The same with the home folder given.
pub fn expand(text: &str, home: Option<&Path>) -> PathBuf {
    match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    }
}

/// `$XDG_CACHE_HOME/maskscope/NAME`; none without a home.
pub fn cache(name: &str) -> Option<PathBuf> {
    base().map(|base| base.cache_dir().join(PROGRAM).join(name))
}

/// `$XDG_DATA_HOME/maskscope`, where runs go.
pub fn data() -> Option<PathBuf> {
    base().map(|base| base.data_dir().join(PROGRAM))
}

/// `$XDG_STATE_HOME/maskscope`, where the log goes; the cache on systems that have no such folder.
pub fn state() -> Option<PathBuf> {
    base().map(|base| base.state_dir().unwrap_or_else(|| base.cache_dir()).join(PROGRAM))
}

fn base() -> Option<impl BaseStrategy> {
    etcetera::choose_base_strategy().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tilde_of_its_own_is_the_home_folder() {
        let home = Some(Path::new("/home/me"));
        for (text, path) in [
            ("~", "/home/me"),
            ("~/", "/home/me/"),
            ("~/a/b", "/home/me/a/b"),
            ("~other/a", "~other/a"),
            ("a/~/b", "a/~/b"),
            ("/x", "/x"),
        ] {
            assert_eq!(expand(text, home), Path::new(path));
        }
        assert_eq!(expand("~/a", None), Path::new("~/a"));
    }
}
