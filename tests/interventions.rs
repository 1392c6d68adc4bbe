//! Interventions in the forward pass: cut attention weights, scaled and averaged heads, patches from another text; their
//! effects beside those of random ones; torch's values.

#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::{Device, Tensor};
use maskscope::engine::explorer::Explorer;
use maskscope::engine::intervene::controls::{controls, range};
use maskscope::engine::intervene::measure::{GridTask, StackTask};
use maskscope::engine::intervene::{Lab, plan};
use maskscope::engine::loader::{LoadOptions, Purpose, load};
use maskscope::engine::types::{Intervention, InterventionReport, Interventions, StackItem};
use maskscope::hub::HubOptions;
use maskscope::mask::draw::{Draws, Stream};
use maskscope::model::forward::Reuse;
use maskscope::model::hooks::{EdgeCut, HeadChange, HeadOutput, Hooks, Patch};
use maskscope::model::{Config, Input, Model, Trace, WeightType};
use maskscope::tensor::host;
use maskscope::train::init;
use serde_json::Value;

const IDS: [u32; 12] = [3, 10, 17, 24, 31, 1, 8, 15, 22, 29, 36, 6];
const OTHER: [u32; 12] = [3, 10, 18, 24, 30, 1, 9, 15, 21, 29, 35, 6];

fn model() -> Model {
    let json = r#"{"model_type": "gpt2", "vocab_size": 37, "n_positions": 24, "n_embd": 16, "n_layer": 3,
        "n_head": 2, "initializer_range": 0.4}"#;
    let config = Config::parse(json.as_bytes(), "config.json").unwrap();
    let weights = init::weights(&config, 3, &Device::Cpu).unwrap();
    Model::from_tensors(&config, &weights, &Device::Cpu).unwrap()
}

fn run(model: &Model, ids: &[u32], hooks: Hooks) -> Trace {
    let input = Input { hooks, ..Input::plain(ids.to_vec()) };
    model.run(Arc::new(input), Reuse::default()).unwrap()
}

/// Logits of every row, bit for bit.
fn bits(model: &Model, trace: &Trace) -> Vec<u32> {
    let logits = model.logits(&trace.hidden, 0, trace.len()).unwrap();
    logits.into_iter().map(f32::to_bits).collect()
}

fn cut(layer: Option<usize>, head: Option<usize>, queries: Range<usize>, keys: Range<usize>) -> EdgeCut {
    EdgeCut { layer, head, queries, keys }
}

fn cuts(cuts: Vec<EdgeCut>) -> Hooks {
    Hooks { cuts, ..Hooks::default() }
}

fn change(layer: usize, head: usize, to: HeadOutput) -> Hooks {
    Hooks { heads: vec![HeadChange { layer, head, to }], ..Hooks::default() }
}

fn refusal(ids: &[u32], hooks: Hooks) -> String {
    let input = Input { hooks, ..Input::plain(ids.to_vec()) };
    model().run(Arc::new(input), Reuse::default()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn cut_weights_are_exactly_zero_and_rows_sum_to_one() {
    let model = model();
    let blocked =
        [cut(Some(1), Some(0), 7..8, 2..3), cut(None, None, 5..12, 0..1), cut(Some(2), None, 9..12, 3..7)];
    let trace = run(&model, &IDS, cuts(blocked.to_vec()));
    let plain = run(&model, &IDS, Hooks::default());
    let (mut map, mut before) = (vec![0f32; 144], vec![0f32; 144]);
    let mut zeros = 0;
    for (layer, head) in (0..3).flat_map(|l| (0..2).map(move |h| (l, h))) {
        trace.map_into(layer, head, &mut map).unwrap();
        plain.map_into(layer, head, &mut before).unwrap();
        for t in 0..12 {
            let sum: f64 = map[t * 12..][..=t].iter().map(|x| f64::from(*x)).sum();
            assert!((sum - 1.0).abs() < 1e-6, "layer {layer} head {head} query {t}: {sum}");
            for i in 0..=t {
                let cut = blocked.iter().any(|c| {
                    c.layer.is_none_or(|l| l == layer)
                        && c.head.is_none_or(|h| h == head)
                        && c.queries.contains(&t)
                        && c.keys.contains(&i)
                });
                assert_eq!(map[t * 12 + i] == 0.0, cut, "layer {layer} head {head}: {t} reads {i}");
                assert!(before[t * 12 + i] > 0.0);
                zeros += usize::from(cut);
            }
        }
    }
    assert_eq!(zeros, 1 + 7 * 6 + 12 * 2);
    // The first layer sees the same rows: what is left is the old row, renormalised.
    let (t, i) = (8, 3);
    trace.map_into(0, 1, &mut map).unwrap();
    plain.map_into(0, 1, &mut before).unwrap();
    let wanted = before[t * 12 + i] / (1.0 - before[t * 12]);
    assert!((map[t * 12 + i] - wanted).abs() < 1e-6);
}

#[test]
fn a_query_that_would_read_nothing_is_refused() {
    let said = refusal(&IDS, cuts(vec![cut(Some(1), Some(0), 7..8, 0..8)]));
    assert_eq!(said, "query 7 would have nothing to read in layer 1, head 0: all its 8 keys are blocked");
    // Two cuts together.
    let halves = vec![cut(Some(1), None, 7..8, 0..4), cut(None, None, 7..9, 4..8)];
    assert!(refusal(&IDS, cuts(halves)).starts_with("query 7 would have nothing to read in layer 1: all"));
    assert!(
        refusal(&IDS, cuts(vec![cut(None, None, 0..12, 0..1)])).starts_with("query 0 would have nothing")
    );
    for (hooks, part) in [
        (cuts(vec![cut(Some(3), None, 1..2, 0..1)]), "there is no layer 3"),
        (change(0, 2, HeadOutput::Mean), "there is no head 2"),
        (cuts(vec![cut(None, None, 12..13, 0..1)]), "there is no position 12"),
        (
            Hooks {
                patches: vec![Patch { layer: 0, head: Some(0), position: 0, values: vec![0.0; 16].into() }],
                ..Hooks::default()
            },
            "a patch has another width",
        ),
    ] {
        assert!(refusal(&IDS, hooks).contains(part), "{part}");
    }
}

#[test]
fn a_gate_of_one_changes_nothing_and_of_zero_takes_the_head_out() {
    let model = model();
    let plain = bits(&model, &run(&model, &IDS, Hooks::default()));
    assert_eq!(bits(&model, &run(&model, &IDS, change(1, 1, HeadOutput::Scaled(1.0)))), plain);
    let gated = bits(&model, &run(&model, &IDS, change(1, 1, HeadOutput::Scaled(0.0))));
    assert_ne!(gated, plain);
    // The same by the weights: the head's rows of the output matrix are zero.
    let mut tensors = model.tensors().unwrap();
    let name = "h.1.attn.c_proj.weight";
    let mut rows = tensors[name].to_vec2::<f32>().unwrap();
    rows[8..16].iter_mut().for_each(|row| row.fill(0.0));
    tensors.insert(name.to_owned(), Tensor::new(rows, &Device::Cpu).unwrap());
    let without = Model::from_tensors(&model.config, &tensors, &Device::Cpu).unwrap();
    let by_weights = without.logits(&run(&without, &IDS, Hooks::default()).hidden, 0, 12).unwrap();
    let by_hook =
        model.logits(&run(&model, &IDS, change(1, 1, HeadOutput::Scaled(0.0))).hidden, 0, 12).unwrap();
    assert!(by_weights.iter().zip(&by_hook).all(|(a, b)| (a - b).abs() < 1e-5));
    // Undone: the pass is the plain one again.
    assert_eq!(bits(&model, &run(&model, &IDS, Hooks::default())), plain);
}

#[test]
fn a_mean_is_that_of_the_positions_up_to_the_query() {
    let model = model();
    let keep = Hooks { keep_heads: true, ..Hooks::default() };
    let heads = host::values(run(&model, &IDS, keep).layers[0].heads.as_ref().unwrap()).unwrap();
    let mean = |t: usize, c: usize| -> f32 {
        ((0..=t).map(|r| f64::from(heads[r * 16 + c])).sum::<f64>() / (t + 1) as f64) as f32
    };
    let patches = (0..12).map(|t| Patch {
        layer: 0,
        head: Some(1),
        position: t,
        values: (8..16).map(|c| mean(t, c)).collect(),
    });
    let patched = Hooks { patches: patches.collect(), ..Hooks::default() };
    let by_mean = run(&model, &IDS, change(0, 1, HeadOutput::Mean));
    assert_eq!(bits(&model, &by_mean), bits(&model, &run(&model, &IDS, patched)));
    // Rows that are taken over from a pass with the same change need the earlier outputs.
    let longer = Input { hooks: change(0, 1, HeadOutput::Mean), ..Input::plain(IDS.to_vec()) };
    let prefix = run(&model, &IDS[..7], change(0, 1, HeadOutput::Mean));
    let grown = model.run(Arc::new(longer), Reuse { traces: &[&prefix], cancel: None }).unwrap();
    assert!(grown.reused > 0);
    let (a, b) = (host::values(&grown.hidden).unwrap(), host::values(&by_mean.hidden).unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5));
}

/// Patches of one layer, at every position, from another pass.
fn patches_of(trace: &Trace, layer: usize, head: Option<usize>) -> Vec<Patch> {
    let part = &trace.layers[layer];
    let (from, width, values) = match head {
        None => (0, 16, part.residual.with_slice(<[f32]>::to_vec).unwrap()),
        Some(h) => (h * 8, 8, host::values(part.heads.as_ref().unwrap()).unwrap()),
    };
    let row = |t: usize| values[t * 16 + from..][..width].into();
    (0..12).map(|t| Patch { layer, head, position: t, values: row(t) }).collect()
}

#[test]
fn patching_everything_gives_the_other_run_and_nothing_this_one() {
    let model = model();
    let keep = Hooks { keep_heads: true, ..Hooks::default() };
    let (this, other) = (run(&model, &IDS, Hooks::default()), run(&model, &OTHER, keep.clone()));
    let with = |patches: Vec<Patch>| run(&model, &IDS, Hooks { patches, ..Hooks::default() });
    assert_ne!(bits(&model, &this), bits(&model, &other));
    for layer in 0..3 {
        let all = with(patches_of(&other, layer, None));
        assert_eq!(bits(&model, &all), bits(&model, &other), "all positions before layer {layer}");
    }
    assert_eq!(bits(&model, &with(Vec::new())), bits(&model, &this));
    let own = run(&model, &IDS, keep);
    assert_eq!(bits(&model, &own), bits(&model, &this), "looking at heads changes nothing");
    for head in [None, Some(0), Some(1)] {
        let same = (0..3).flat_map(|layer| patches_of(&own, layer, head)).collect();
        assert_eq!(bits(&model, &with(same)), bits(&model, &this), "its own rows");
    }
    // One head alone is neither.
    let single = bits(&model, &with(patches_of(&other, 1, Some(0))));
    assert!(single != bits(&model, &this) && single != bits(&model, &other));
    // A patch at one place, with and without the rows before it taken over.
    let one = Hooks { patches: vec![patches_of(&other, 1, None).remove(6)], ..Hooks::default() };
    let fresh = run(&model, &IDS, one.clone());
    let input = Arc::new(Input { hooks: one, ..Input::plain(IDS.to_vec()) });
    let reused = model.run(input, Reuse { traces: &[&this], cancel: None }).unwrap();
    assert_eq!(reused.reused, 3 * 6);
    let (a, b) = (host::values(&reused.hidden).unwrap(), host::values(&fresh.hidden).unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn hooks_follow_the_rows_that_are_left() {
    let hooks = Hooks {
        cuts: vec![cut(None, None, 4..9, 0..3), cut(Some(0), None, 5..6, 1..2)],
        patches: vec![Patch { layer: 0, head: None, position: 6, values: vec![0.0; 16].into() }],
        ..Hooks::default()
    };
    let left = Input { hooks: hooks.clone(), ..Input::plain(IDS.to_vec()) }.of_rows(&[0, 2, 6, 8, 9]).hooks;
    assert_eq!(left.cuts, [cut(None, None, 2..4, 0..2)]);
    assert_eq!(left.patches[0].position, 2);
    assert_eq!((hooks.first_row(), Hooks::default().first_row()), (4, usize::MAX));
}

fn tiny() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2-tiny-random");
    folder.to_str().unwrap().to_owned()
}

fn explorer(spec: &str, ids: &[u32]) -> Explorer {
    let options = LoadOptions {
        hub: HubOptions { offline: true, ..HubOptions::default() },
        device: Device::Cpu,
        device_name: "cpu",
        purpose: Purpose::Explore(WeightType::F32),
    };
    let loaded = load(spec, &options, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    let mut explorer = Explorer::new(Arc::new(loaded));
    explorer.set_ids(ids).unwrap();
    explorer
}

/// Of the file that `values.py` beside it wrote.
fn torch() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/interventions/values.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn numbers<T: TryFrom<u64>>(value: &Value) -> Vec<T> {
    let all = value.as_array().unwrap().iter();
    all.map(|x| T::try_from(x.as_u64().unwrap()).ok().unwrap()).collect()
}

#[test]
fn every_kind_gives_the_logits_of_plain_torch_hooks() {
    let known = torch();
    let (ids, other): (Vec<u32>, Vec<u32>) = (numbers(&known["ids"]), numbers(&known["other_ids"]));
    let positions: Vec<usize> = numbers(&known["positions"]);
    let explorer = explorer(&tiny(), &ids);
    let model = &explorer.loaded.model;
    let source = run(model, &other, Hooks { keep_heads: true, ..Hooks::default() });
    let rows = |name: &str| -> Vec<f32> {
        let rows = known["logits"][name].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        rows.map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let largest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    let cases: Vec<&String> = known["logits"].as_object().unwrap().keys().collect();
    assert_eq!(cases.len(), 15);
    for name in cases {
        let what = (name != "plain").then(|| Intervention::parse(name).unwrap());
        let hooks = plan::hooks(what.as_slice(), ids.len(), Some(&source)).unwrap();
        let trace = run(model, &ids, hooks);
        let wanted = rows(name);
        let shown = wanted.len() / positions.len();
        let got: Vec<f32> = positions
            .iter()
            .flat_map(|at| model.logits(&trace.hidden, *at, 1).unwrap()[..shown].to_vec())
            .collect();
        let apart = largest(&got, &wanted);
        assert!(apart < 1e-4, "{name}: {apart}");
        // Without its hook each of these would fail, but for the edge that leads nowhere.
        let moved = largest(&wanted, &rows("plain"));
        let nowhere = ["plain", "block 7:2@1.0"].contains(&name.as_str());
        assert_eq!(moved > 1e-2, !nowhere, "{name}: {moved}");
    }
}

fn stack(all: &[&str]) -> Interventions {
    let item = |text: &&str| StackItem { what: Intervention::parse(text).unwrap(), on: true };
    Interventions { list: all.iter().map(item).collect(), controls: 20, seed: 1, ..Interventions::default() }
}

fn measured(explorer: &mut Explorer, asked: &Interventions) -> InterventionReport {
    let mut task = StackTask::new(explorer, Arc::new(asked.clone()), 3, None);
    let mut passes = 0;
    while !task.is_over() {
        task.step(explorer, None).unwrap();
        passes += 1;
        assert!(passes < 1000);
    }
    task.report()
}

#[test]
fn effects_are_measured_beside_controls_and_nothing_is_told_with_its_reason() {
    let known = torch();
    let (ids, other): (Vec<u32>, Vec<u32>) = (numbers(&known["ids"]), numbers(&known["other_ids"]));
    let mut explorer = explorer(&tiny(), &ids);
    let all = [
        "zero 1.0",
        "gate 1.0=1",
        "block 7:2@1.0",
        "block 39:3",
        "block all:0",
        "patch 3@1",
        "patch 30@1",
        "block 0:0",
        "zero 7.0",
    ];
    let asked = Interventions { other_ids: Some(other), ..stack(&all) };
    let report = measured(&mut explorer, &asked);
    assert_eq!((report.position, report.done), (39, report.of));
    let at = |text: &str| &report.effects[all.iter().position(|name| *name == text).unwrap()];
    let zero = at("zero 1.0");
    assert!(zero.kl > 0.01 && zero.change.abs() > 0.01 && zero.note.is_none());
    // Two layers of four heads: seven others.
    let [kl, change] = zero.controls.unwrap();
    assert_eq!((kl.n, change.n, kl.covers, zero.of), (7, 7, 0.875, 7));
    assert_eq!((at("block 39:3").of, at("block 39:3").done), (20, 20));
    for (text, part) in [
        ("gate 1.0=1", "no effect: a gate of 1 leaves the head as it is"),
        ("block 7:2@1.0", "no effect: after the last layer only position 39 is read"),
        ("patch 3@1", "no effect: both texts are the same up to position 3"),
    ] {
        let e = at(text);
        assert!(e.note.as_deref().is_some_and(|note| note.starts_with(part)), "{text}: {:?}", e.note);
        assert!(e.kl.abs() < 1e-8, "{text}: {}", e.kl);
    }
    assert!(at("patch 30@1").kl > 1e-4 && at("patch 30@1").of == 20);
    let problem = |text: &str| at(text).problem.clone().unwrap().0;
    assert_eq!(problem("block 0:0"), "query 0 would have nothing to read: its only key is blocked");
    assert_eq!(problem("zero 7.0"), "there is no layer 7 in a model of 2");
    // What cannot be carried out is left out of the whole.
    let (kl, _, next) = report.together.clone().unwrap();
    assert!(kl > 0.0 && next.len() == 3);
    // The same seed gives the same numbers, and another one other controls.
    let told = |report: &InterventionReport| format!("{report:?}");
    assert_eq!(told(&measured(&mut explorer, &asked)), told(&report));
    let other_seed = measured(&mut explorer, &Interventions { seed: 2, ..asked.clone() });
    let edge = all.iter().position(|name| *name == "block 39:3").unwrap();
    assert_ne!(other_seed.effects[edge].controls, report.effects[edge].controls);
    assert_eq!(other_seed.effects[edge].kl, report.effects[edge].kl);
    // After a position in the middle, what comes later has no effect.
    explorer.position = Some(20);
    let report = measured(&mut explorer, &Interventions { list: stack(&["block 30:2"]).list, ..asked });
    let note = report.effects[0].note.as_deref();
    assert_eq!(note, Some("no effect: query 30 comes after position 20, whose prediction is measured"));
}

#[test]
fn a_stack_that_grows_keeps_what_is_known_and_undo_gives_the_plain_pass() {
    let ids: Vec<u32> = numbers(&torch()["ids"]);
    let mut explorer = explorer(&tiny(), &ids);
    let baseline = explorer.baseline(None).unwrap();
    let mut task = StackTask::new(&explorer, Arc::new(stack(&["zero 1.0"])), 3, None);
    while !task.is_over() {
        task.step(&mut explorer, None).unwrap();
    }
    let (first, passes) = (task.report(), explorer.forwards);
    let mut task = StackTask::new(&explorer, Arc::new(stack(&["zero 1.0", "mean 0.0"])), 3, Some(task));
    assert_eq!(task.report().effects[0], first.effects[0]);
    while !task.is_over() {
        task.step(&mut explorer, None).unwrap();
    }
    // The new one with its seven controls, and both at once.
    assert_eq!(explorer.forwards - passes, 9);
    // Given up: what is known stays, nothing more is done.
    let mut task = StackTask::new(&explorer, Arc::new(stack(&["block 39:3"])), 3, None);
    for _ in 0..7 {
        task.step(&mut explorer, None).unwrap();
    }
    task.give_up();
    assert!(task.is_over() && task.report().effects[0].done == task.report().effects[0].of);
    // The run under the stack, and the plain one again: the very same pass.
    let run = explorer.intervened(&stack(&["zero 1.0", "mean 0.0"]), None).unwrap();
    assert_ne!(run.last, baseline.last);
    let mut off = stack(&["zero 1.0"]);
    off.list[0].on = false;
    for asked in [Interventions::default(), off, stack(&["gate 1.0=1"])] {
        let back = explorer.intervened(&asked, None).unwrap();
        assert!(Arc::ptr_eq(&back, &baseline));
    }
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    let fresh = explorer.loaded.model.run(Arc::new(Input::plain(ids.clone())), Reuse::default()).unwrap();
    let logits = |trace: &Trace| explorer.loaded.model.logits(&trace.hidden, 0, ids.len()).unwrap();
    assert_eq!(bits(&logits(&fresh)), bits(&logits(&baseline.trace)));
    // A blocked weight is 0 in the map that is shown.
    let run = explorer.intervened(&stack(&["block 39:3@0.1"]), None).unwrap();
    let map = run.map(maskscope::engine::types::HeadChoice { layer: Some(0), head: Some(1) });
    assert!(map[39 * 40 + 3] == 0.0 && map[39 * 40 + 4] > 0.0 && map[38 * 40 + 3] > 0.0);
}

#[test]
fn a_grid_of_patches_fills_in_and_its_cells_are_single_patches() {
    let known = torch();
    let (ids, other): (Vec<u32>, Vec<u32>) = (numbers(&known["ids"]), numbers(&known["other_ids"]));
    let mut explorer = explorer(&tiny(), &ids);
    let asked = Interventions { other_ids: Some(other), ..Interventions::default() };
    let mut task = GridTask::new(&mut explorer, &asked, None).unwrap();
    // Both begin with the same five tokens, in two layers.
    assert_eq!(task.grid().done(), 10);
    while !task.is_over() {
        task.step(&mut explorer, None).unwrap();
    }
    let grid = task.grid().clone();
    assert_eq!((grid.layers, grid.positions, grid.cells.len()), (2, 40, 80));
    let lab = Lab::new(&mut explorer, &asked, None).unwrap();
    for (layer, position) in [(0, 5), (1, 23), (1, 39), (0, 2)] {
        let what = Intervention::parse(&format!("patch {position}@{layer}")).unwrap();
        let with = lab.read_with(&mut explorer, &[what], None).unwrap();
        let (kl, change) = lab.effect(&with);
        let cell = grid.cells[layer * 40 + position].unwrap();
        assert!((cell.0 - kl).abs() < 1e-9 && (cell.1 - change).abs() < 1e-4, "{cell:?} {kl} {change}");
    }
    // The last row into the last layer with all others: the other text's prediction.
    let whole = lab.read_with(&mut explorer, &[Intervention::parse("patch all@1").unwrap()], None).unwrap();
    assert!((lab.measure.of(&whole) - grid.ends.1).abs() < 1e-4);
}

/// A text of random tokens that begins again once, and the place of the token after the earlier copy of its last one.
fn repeated(case: usize) -> (Vec<u32>, usize) {
    let draws = Draws { sequence: case as u32, ..Draws::new(11) };
    let period = 12 + draws.below(Stream::Length, 0, 19);
    let length = period + 2 + draws.below(Stream::Length, 1, period - 2);
    let ids = (0..length).map(|i| draws.below(Stream::Replacement, i % period, 511) as u32).collect();
    (ids, length - period)
}

#[test]
fn the_planted_edge_stands_out_and_random_ones_do_as_often_as_chance_has_it() {
    const CASES: usize = 200;
    let (mut planted, mut others) = (0, 0);
    let mut explorer = explorer("copier", &[1]);
    for case in 0..CASES {
        let (ids, key) = repeated(case);
        explorer.set_ids(&ids).unwrap();
        let lab = Lab::new(&mut explorer, &Interventions::default(), None).unwrap();
        let mut stands_out = |what: &Intervention, seed: u64| {
            let mut kl = |what: &Intervention| {
                let with = lab.read_with(&mut explorer, &[*what], None).unwrap();
                lab.effect(&with).0
            };
            let values: Vec<f64> = controls(what, lab.space(), 20, seed).iter().map(&mut kl).collect();
            let bound = range(&values).unwrap();
            assert_eq!((bound.n, bound.covers), (20, 0.95));
            kl(what) > bound.high
        };
        // The induction heads of the copier are those of its last layer.
        let edge = Intervention::parse(&format!("block {}:{key}@1", ids.len() - 1)).unwrap();
        planted += usize::from(stands_out(&edge, case as u64));
        let other = controls(&edge, lab.space(), 1, 1000 + case as u64)[0];
        others += usize::from(stands_out(&other, 2000 + case as u64));
    }
    assert!(planted >= 195, "{planted} of {CASES} planted edges stand out");
    // 5 % and three standard errors of 200 cases.
    let most = CASES as f64 * (0.05 + 3.0 * (0.05 * 0.95 / CASES as f64).sqrt());
    assert!((others as f64) <= most, "{others} of {CASES} random edges stand out, more than {most:.1}");
}

fn maskscope(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
    command.args(args).env("MASKSCOPE_CONFIG", "/dev/null").output().unwrap()
}

#[test]
fn the_command_prints_effects_controls_and_the_grid() {
    let ids = "5,17,80,33,41,9,120,64,77,31,201,5,17,80";
    let base = ["intervene", "--model", "copier", "--ids", ids, "--offline"];
    let with = |more: &[&str]| maskscope(&[&base[..], more].concat());
    let told =
        with(&["--block", "13:3@1", "--ablate", "0.0", "--gate", "1.2=0.5", "--mean", "1.0", "--json"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let out: Value = serde_json::from_slice(&told.stdout).unwrap();
    let all = out["interventions"].as_array().unwrap();
    let names: Vec<&str> = all.iter().map(|e| e["intervention"].as_str().unwrap()).collect();
    assert_eq!(names, ["block 13:3@1", "zero 0.0", "mean 1.0", "gate 1.2=0.5"]);
    assert_eq!(all[0]["stands_out"], Value::Bool(true), "{out}");
    assert_eq!(
        (all[0]["controls_kl"]["n"].as_u64(), all[1]["controls_kl"]["n"].as_u64()),
        (Some(20), Some(7))
    );
    assert!(all[0]["kl_nats"].as_f64().unwrap() > 1.0 && all[0]["change"].as_f64().unwrap() < -1.0);
    assert!(out["together"]["kl_nats"].as_f64().unwrap() > 0.0);
    let text = String::from_utf8(with(&["--block", "13:3@1", "--controls", "5"]).stdout).unwrap();
    for part in ["block 13:3@1", "stands out", "(83 %)", "next", "with"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let other = "5,17,80,34,41,9,120,64,77,31,201,5,17,80";
    let told = with(&["--grid", "--from-ids", other, "--json"]);
    let out: Value = serde_json::from_slice(&told.stdout).unwrap();
    let change = out["grid"]["change"].as_array().unwrap();
    assert_eq!((change.len(), change[0].as_array().unwrap().len()), (2, 14));
    // One token is exchanged: at its place the whole of the other text's prediction goes over.
    let (this, there) = (out["grid"]["this"].as_f64().unwrap(), out["grid"]["other"].as_f64().unwrap());
    assert!((change[0][3].as_f64().unwrap() - (there - this)).abs() < 1e-3, "{out}");
}

#[test]
fn the_command_teaches_what_it_cannot_read() {
    for (args, code, part) in [
        (vec!["--ids", "1,2,3"], 2, "no intervention given"),
        (vec!["--ids", "1,2,3", "--block", "7"], 2, "is not QUERY:KEY, e.g. 7:2"),
        (vec!["--ids", "1,2,3", "--gate", "1.0=9"], 2, "with a factor from 0 to 2"),
        (vec!["--ids", "1,2,3", "--patch", "1@1"], 2, "a patch needs another text"),
        (vec!["--ids", "1,2,3", "--block", "0:0"], 1, "query 0 would have nothing to read"),
        (vec!["--ids", "1,2,3", "--block", "1:2"], 1, "no query reads a later key"),
        (vec!["--ids", "1,2,3", "--ablate", "9.0"], 1, "there is no layer 9 in a model of 2"),
        (
            vec!["--ids", "1,2,3", "--patch", "1@1", "--from-ids", "1,2"],
            1,
            "the other text has 2 tokens, this one 3",
        ),
        (
            vec!["--text", "abc", "--ablate", "1.0", "--contrast", "no such token"],
            1,
            "tokens of this model, not one",
        ),
        (vec!["--ids", "1,2,3", "--ablate", "1.0", "--position", "3"], 2, "beyond the last token"),
    ] {
        let told = maskscope(&[&["intervene", "--model", "copier", "--offline"], &args[..]].concat());
        let said = String::from_utf8_lossy(&told.stderr);
        assert!(said.contains(part), "{args:?}: {said}");
        assert_eq!(told.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains("hint: ") || code == 2 || part.contains("beyond"), "{said}");
    }
}
