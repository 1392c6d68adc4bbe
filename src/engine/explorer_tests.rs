//! What an exploration keeps while a person works.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::explorer::{Explorer, MaskPolicy, Reach};
use super::loader::{LoadOptions, Purpose, load};
use crate::attention::types::ScoreSettings;
use crate::hub::HubOptions;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::MaskSettings;
use crate::model::WeightType;

#[test]
fn an_hour_of_typing_keeps_no_more_runs_than_a_minute() {
    let options = LoadOptions {
        hub: HubOptions::default(),
        device: candle_core::Device::Cpu,
        device_name: "cpu",
        purpose: Purpose::Explore(WeightType::F32),
    };
    let loaded = load("demo", &options, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    let mut explorer = Explorer::new(Arc::new(loaded));
    let (score, rolling) = (ScoreSettings::default(), RollingSettings::default());
    let mut kept = Vec::new();
    for edit in 0..60 {
        explorer
            .set_text(&format!("the whale in round {edit} was larger than the ship"), Reach::Context)
            .unwrap();
        for seed in 0..4 {
            let mask = MaskSettings { seed: 4 * edit + seed, probability: 1.0, ..MaskSettings::default() };
            let policy = MaskPolicy { mask: &mask, score: &score, rolling: &rolling };
            let choice = explorer.choose(policy, None).unwrap();
            let run = explorer.masked(&choice.plan, None).unwrap();
            // Counted with the rows kept free behind a text, which are most of a short one.
            let config = &explorer.loaded.model.config;
            assert!(run.bytes() > 4 * 64 * 4 * config.n_embd * config.n_layer);
        }
        kept.push(explorer.runs.len());
    }
    let most = |of: &[usize]| of.iter().copied().max();
    assert!(kept[0] >= 1, "nothing is kept: {kept:?}");
    assert!(most(&kept[40..]) <= most(&kept[..20]), "runs pile up: {kept:?}");
}
