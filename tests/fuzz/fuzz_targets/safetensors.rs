#![no_main]

mod common;

use candle_core::Device;
use libfuzzer_sys::fuzz_target;
use maskscope::model::Config;
use maskscope::model::weights::{Source, load};

fuzz_target!(|data: &[u8]| {
    let config = Config::parse(&common::tiny("config.json"), "config.json").expect("the tests' own");
    if let Ok(source) = Source::open(&common::file("model.safetensors", data)) {
        let _ = load(&config, &[source], &Device::Cpu);
    }
});
