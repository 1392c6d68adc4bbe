#![no_main]

mod common;

use candle_core::Device;
use libfuzzer_sys::fuzz_target;
use maskscope::attention::types::ScoreSettings;
use maskscope::train::checkpoint::state;
use maskscope::train::settings::TrainSettings;
use maskscope::train::spec::DataSpec;

fuzz_target!(|data: &[u8]| {
    let step = "run/checkpoints/step-00000002";
    let spec = TrainSettings::default().spec(
        "tiny".to_owned(),
        (DataSpec::default(), "run".into()),
        None,
        &ScoreSettings::default(),
    );
    let run = common::file("run/run.json", &serde_json::to_vec(&spec).expect("a spec"));
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        common::file(&format!("{step}/{name}"), &common::tiny(name));
    }
    common::file(&format!("{step}/trainer.safetensors"), b"\x02\0\0\0\0\0\0\0{}");
    common::file(&format!("{step}/trainer.json"), data);
    let _ = state::resume(run.parent().expect("its folder"), &Device::Cpu).err();
});
