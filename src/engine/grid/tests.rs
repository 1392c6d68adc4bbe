use std::sync::Arc;

use super::*;
use crate::attention::types::ScoreSettings;
use crate::engine::loaded::LoadedModel;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MaskSettings, Op, Polarity, Scope};
use crate::model::{Config, Model};
use crate::train::init;

fn loaded() -> Arc<LoadedModel> {
    let json = br#"{"vocab_size": 50, "n_positions": 24, "n_embd": 16, "n_head": 2, "n_layer": 2, "initializer_range": 0.3}"#;
    let config = Config::parse(json, "config.json").unwrap();
    let tensors = init::weights(&config, 3, &candle_core::Device::Cpu).unwrap();
    let model = Model::from_tensors(&config, &tensors, &candle_core::Device::Cpu).unwrap();
    Arc::new(LoadedModel::of_model("tiny".to_owned(), model.freeze().unwrap(), "cpu"))
}

fn windows() -> Vec<Vec<u32>> {
    (0..4).map(|n| (0..24).map(|i| (i * i * (n + 3) + 7 * i) % 49).collect()).collect()
}

fn plan(scope: Scope) -> GridPlan {
    GridPlan {
        model: "tiny".to_owned(),
        weights: "w".to_owned(),
        data: "d".to_owned(),
        text: "t".to_owned(),
        windows: 4,
        tokens_per_window: 24,
        thresholds: vec![0.3, 0.7],
        probabilities: vec![0.1, 0.5, 1.0],
        ops: if scope == Scope::Whole { vec![Op::Hide, Op::Replace] } else { vec![Op::Hide] },
        polarities: vec![Polarity::High, Polarity::Random],
        mask: MaskSettings { scope, ..MaskSettings::default() },
        score: ScoreSettings::default(),
        rolling: RollingSettings { window: 8, stride: 4, recent: 2, ..RollingSettings::default() },
    }
}

/// Computes at most `most` cells of what a shard has left.
fn work(folder: &mut GridFolder, most: usize) {
    let (loaded, windows, cells) = (loaded(), windows(), folder.plan.cells());
    for number in folder.left().into_iter().take(most) {
        let row = folder.plan.measure(&loaded, (number, cells[number]), &windows, &mut || true).unwrap();
        folder.add(&row.unwrap()).unwrap();
    }
}

fn results(path: &Path) -> Vec<Vec<u8>> {
    ["results.json", "results.csv", "results.md"].map(|name| std::fs::read(path.join(name)).unwrap()).to_vec()
}

#[test]
fn stopped_sharded_and_merged_grids_end_with_the_bits_of_a_whole_one() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let plan = plan(Scope::Whole);
    let mut whole = GridFolder::open(&at("whole"), plan.clone(), Shard::WHOLE).unwrap();
    assert_eq!(whole.left().len(), 24);
    work(&mut whole, 100);
    assert!(whole.publish().unwrap());
    // Stopped twice, and continued by another process each time.
    for most in [5, 9, 100] {
        let mut part = GridFolder::open(&at("stopped"), plan.clone(), Shard::WHOLE).unwrap();
        work(&mut part, most);
        assert_eq!(part.publish().unwrap(), most == 100);
    }
    // Four shards in one folder, in any order, and four folders that are merged.
    for number in [3, 1, 4, 2] {
        let shard = Shard { number, of: 4 };
        let mut one = GridFolder::open(&at("shards"), plan.clone(), shard).unwrap();
        assert_eq!(one.left().len(), 6);
        work(&mut one, 100);
        assert_eq!(one.publish().unwrap(), number == 2);
        let mut own = GridFolder::open(&at(&format!("part{number}")), plan.clone(), shard).unwrap();
        work(&mut own, 100);
    }
    let parts: Vec<PathBuf> = [2, 4, 1, 3].map(|n| at(&format!("part{n}"))).to_vec();
    assert!(GridFolder::merged(&at("merged"), &parts).unwrap().publish().unwrap());
    let wanted = results(&at("whole"));
    for name in ["stopped", "shards", "merged"] {
        assert_eq!(results(&at(name)), wanted, "{name}");
    }
    let other = GridPlan { windows: 3, ..plan };
    assert!(GridFolder::open(&at("whole"), other, Shard::WHOLE).is_err());
}

#[test]
fn only_masks_that_know_the_past_alone_have_a_perplexity() {
    let place = tempfile::tempdir().unwrap();
    for scope in [Scope::Whole, Scope::Block] {
        let mut folder =
            GridFolder::open(&place.path().join(scope.name()), plan(scope), Shard::WHOLE).unwrap();
        work(&mut folder, 100);
        folder.publish().unwrap();
        assert!(folder.rows.values().all(|row| row.perplexity.is_some() == (scope == Scope::Block)));
        assert!(folder.rows.values().all(|row| row.look_ahead == (scope == Scope::Whole)));
        let text = folder.plan.plain(&folder.rows);
        assert_eq!(text.contains("look-ahead"), scope == Scope::Whole, "{text}");
        assert!(!text.contains("perplexity"));
        // A higher p masks more, and what is masked costs.
        let of = |cell: usize| &folder.rows[&cell];
        assert!(of(2).rate > of(0).rate && of(2).rises.len() == 4);
    }
}

#[test]
fn shards_are_read_and_refused_and_a_stop_leaves_the_cell_open() {
    assert_eq!("2/4".parse(), Ok(Shard { number: 2, of: 4 }));
    for bad in ["0/4", "5/4", "2", "a/b", "1/0", ""] {
        assert!(bad.parse::<Shard>().is_err(), "{bad:?}");
    }
    let plan = plan(Scope::Whole);
    let cell = (0, plan.cells()[0]);
    assert_eq!(plan.measure(&loaded(), cell, &windows(), &mut || false).unwrap(), None);
    let empty = plan.tables(&BTreeMap::new());
    assert_eq!((empty.len(), empty[0].1.len(), empty[0].1[1][1].as_str()), (4, 3, "·"));
}
