#![no_main]

use libfuzzer_sys::fuzz_target;
use maskscope::model::Config;

fuzz_target!(|data: &[u8]| {
    if let Ok(config) = Config::parse(data, "config.json") {
        let written = serde_json::to_vec(&config).expect("what was read can be written");
        Config::parse(&written, "config.json").expect("and read again");
    }
});
