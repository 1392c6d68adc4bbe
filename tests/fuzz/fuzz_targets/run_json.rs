#![no_main]

mod common;

use candle_core::Device;
use libfuzzer_sys::fuzz_target;
use maskscope::train::checkpoint::state;
use maskscope::train::runs::RunInfo;

fuzz_target!(|data: &[u8]| {
    let run = common::file("run/run.json", data);
    let folder = run.parent().expect("its folder");
    let _ = (RunInfo::read(folder), state::resume(folder, &Device::Cpu).err());
});
