//! How the Hub is reached and where its cache lies: options given by the caller over the environment
//! variables that Python's `huggingface_hub` reads, over defaults.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::paths::expand;
use crate::support::visible::without_credentials;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// What a caller may set; everything left empty comes from the environment.
#[derive(Clone)]
pub struct HubOptions {
    /// Base address of the Hub; else `HF_ENDPOINT`, else `https://huggingface.co`.
    pub endpoint: Option<String>,
    /// Cache folder; else `HF_HUB_CACHE`, `HF_HOME/hub`, `XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub`.
    pub cache: Option<PathBuf>,
    /// Access token; else `HF_TOKEN`, the file `HF_TOKEN_PATH`, the file `HF_HOME/token`. Never shown.
    pub token: Option<String>,
    /// Never touch the network; also set by `HF_HUB_OFFLINE=1`.
    pub offline: bool,
    /// Ask the Hub whether the revision has moved even though the cached snapshot is whole.
    pub refresh: bool,
    /// A connection that delivers nothing for this long counts as stalled.
    pub stall_timeout: Duration,
    /// Tries after the first that bring nothing new before giving up.
    pub retries: u32,
    /// The wait before the second try; doubled for each further one.
    pub backoff: Duration,
}

impl Default for HubOptions {
    fn default() -> Self {
        HubOptions {
            endpoint: None,
            cache: None,
            token: None,
            offline: false,
            refresh: false,
            stall_timeout: Duration::from_secs(30),
            retries: 4,
            backoff: Duration::from_millis(500),
        }
    }
}

impl fmt::Debug for HubOptions {
    // By hand, so that neither the token nor a password can reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &self.endpoint.as_deref().map(without_credentials))
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("offline", &self.offline)
            .field("refresh", &self.refresh)
            .field("stall_timeout", &self.stall_timeout)
            .field("retries", &self.retries)
            .field("backoff", &self.backoff)
            .finish()
    }
}

/// Options with every gap filled.
#[derive(Clone)]
pub(super) struct ResolvedOptions {
    pub endpoint: String,
    pub cache: PathBuf,
    pub token: Option<String>,
    pub offline: bool,
    /// What the cache holds is compared with its checksums, and fetched again where it differs.
    pub refresh: bool,
    pub stall_timeout: Duration,
    pub retries: u32,
    pub backoff: Duration,
}

impl ResolvedOptions {
    /// Fills the gaps of `options` from this process's environment.
    pub fn from_environment(options: &HubOptions) -> Self {
        Self::resolve(options, &|name| std::env::var_os(name))
    }

    fn resolve(options: &HubOptions, env: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let yes = |name: &str| {
            text(name).is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_ascii_uppercase().as_str()))
        };
        let home = set("HOME").map(PathBuf::from).or_else(std::env::home_dir);
        let folder = |name: &str| set(name).map(|v| expand(&v.to_string_lossy(), home.as_deref()));

        let hf_home = folder("HF_HOME")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .unwrap_or_else(|| home.clone().unwrap_or_default().join(".cache/huggingface"));
        let cache = (options.cache.clone())
            .or_else(|| folder("HF_HUB_CACHE"))
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| hf_home.join("hub"));
        let read = |path: PathBuf| std::fs::read_to_string(path).ok().and_then(clean_token);
        let implicit_token = || {
            (text("HF_TOKEN").and_then(clean_token))
                .or_else(|| folder("HF_TOKEN_PATH").and_then(read))
                .or_else(|| read(hf_home.join("token")))
        };
        let token = (options.token.clone().and_then(clean_token))
            .or_else(|| (!yes("HF_HUB_DISABLE_IMPLICIT_TOKEN")).then(implicit_token).flatten());
        let endpoint = (options.endpoint.clone())
            .or_else(|| text("HF_ENDPOINT"))
            .unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());

        ResolvedOptions {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token,
            offline: options.offline || yes("HF_HUB_OFFLINE") || yes("TRANSFORMERS_OFFLINE"),
            refresh: options.refresh,
            stall_timeout: options.stall_timeout,
            retries: options.retries,
            backoff: options.backoff,
        }
    }
}

/// The token without the line end that editors leave behind; `None` for one that cannot be an HTTP header.
fn clean_token(token: String) -> Option<String> {
    let token = token.trim();
    (!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(options: &HubOptions, vars: &[(&str, &str)]) -> ResolvedOptions {
        ResolvedOptions::resolve(options, &|name| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
        })
    }

    #[test]
    fn cache_folder_follows_pythons_order() {
        let none = HubOptions::default();
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b"),
            ("HF_HOME", "~/c"),
            ("XDG_CACHE_HOME", "/d"),
            ("HOME", "/home/ada"),
        ];
        let given = HubOptions { cache: Some("/given".into()), ..HubOptions::default() };
        assert_eq!(resolve(&given, &all).cache, PathBuf::from("/given"));
        for (skip, cache) in [
            (0, "/a"),
            (1, "/b"),
            (2, "/home/ada/c/hub"),
            (3, "/d/huggingface/hub"),
            (4, "/home/ada/.cache/huggingface/hub"),
        ] {
            assert_eq!(resolve(&none, &all[skip..]).cache, PathBuf::from(cache));
        }
        assert_eq!(resolve(&none, &[("HF_HUB_CACHE", ""), ("HF_HOME", "/h")]).cache, PathBuf::from("/h/hub"));
    }

    #[test]
    fn token_comes_from_the_first_place_that_has_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "hf_file\n").unwrap();
        std::fs::write(dir.path().join("other"), "hf_other").unwrap();
        let home = dir.path().to_str().unwrap();
        let other = format!("{home}/other");
        let vars = [("HF_TOKEN", "hf_env\n"), ("HF_TOKEN_PATH", other.as_str()), ("HF_HOME", home)];
        let none = HubOptions::default();
        for (skip, token) in [(0, "hf_env"), (1, "hf_other"), (2, "hf_file")] {
            assert_eq!(resolve(&none, &vars[skip..]).token.as_deref(), Some(token));
        }
        let given = HubOptions { token: Some("hf_given".into()), ..HubOptions::default() };
        assert_eq!(resolve(&given, &vars).token.as_deref(), Some("hf_given"));
        let mut off = vars.to_vec();
        off.push(("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"));
        assert_eq!(resolve(&none, &off).token, None);
        assert_eq!(resolve(&none, &[("HF_TOKEN", "two words"), ("HF_HOME", "/nowhere")]).token, None);
        assert!(!format!("{given:?}").contains("hf_given"));
    }

    #[test]
    fn endpoint_and_offline_are_read_from_the_environment() {
        let none = HubOptions::default();
        assert_eq!(resolve(&none, &[]).endpoint, DEFAULT_ENDPOINT);
        assert_eq!(resolve(&none, &[("HF_ENDPOINT", "http://m:1/")]).endpoint, "http://m:1");
        for (value, offline) in [("1", true), ("yes", true), ("True", true), ("0", false), ("", false)] {
            assert_eq!(resolve(&none, &[("HF_HUB_OFFLINE", value)]).offline, offline, "{value:?}");
        }
    }
}
