//! What a person may set about downloads.

use std::path::PathBuf;
use std::time::Duration;

use super::options::HubOptions;
use crate::settings::settings;

settings! {
    /// Downloads; the access token is read from HF_TOKEN and never from a file
    pub struct HubSettings in "hub" {
        /// Address of the Hub; empty is HF_ENDPOINT, else https://huggingface.co
        endpoint: Option<String> = None;
        /// Cache folder; empty is HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub
        cache: Option<PathBuf> = None;
        /// Use only what is cached; HF_HUB_OFFLINE=1 does the same
        offline: bool = false;
        /// Ask the Hub for a newer version of a cached model, and fetch it
        refresh: bool = false;
        /// Time without data after which a download is given up
        stall_seconds: u64 = 30, label("stall limit"), whole(1, 3600), step(5), unit("s");
    }
}

impl HubSettings {
    /// The options they come to; the token is looked up by the Hub room itself.
    pub fn options(&self) -> HubOptions {
        HubOptions {
            endpoint: self.endpoint.clone(),
            cache: self.cache.clone(),
            token: None,
            offline: self.offline,
            refresh: self.refresh,
            stall_timeout: Duration::from_secs(self.stall_seconds),
            ..HubOptions::default()
        }
    }
}
