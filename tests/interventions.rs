//! Interventions in the forward pass: cut attention weights, scaled and averaged heads, patches from another text; their
//! effects beside those of random ones; torch's values.

#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use maskscope::model::forward::Reuse;
use maskscope::model::hooks::{EdgeCut, HeadChange, HeadOutput, Hooks, Patch};
use maskscope::model::{Config, Input, Model, Trace};
use maskscope::tensor::host;
use maskscope::train::init;

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
