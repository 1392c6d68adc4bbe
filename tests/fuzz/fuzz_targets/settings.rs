#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use maskscope::config::{Env, SettingSources, load};

// A settings file: [mask] with its mixes and lists of protected tokens, and all other tables.
fuzz_target!(|data: &[u8]| {
    let file = Some(common::file("config.toml", data));
    let _ = load(SettingSources { env: Env::default(), file, ..SettingSources::default() });
});
