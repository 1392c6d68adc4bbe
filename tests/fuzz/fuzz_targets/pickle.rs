#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use maskscope::model::pickle;

fuzz_target!(|data: &[u8]| {
    let _ = pickle::all(&common::file("pytorch_model.bin", data));
});
