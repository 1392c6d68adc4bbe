//! The commands of the real binary: numbers against Hugging Face's, JSON that explains itself, exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/hub_server.rs"]
mod hub_server;
mod support;

use std::path::Path;
use std::process::{Command, Output};

use maskscope::mask::decide::rule;
use maskscope::mask::types::Polarity;
use safetensors::SafeTensors;
use serde_json::Value;
use support::{Reference, largest_difference, tiny_folder};

fn maskscope(args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
    command.args(args).env("MASKSCOPE_CONFIG", "/dev/null").env("XDG_CACHE_HOME", home.path());
    command.env_remove("HF_ENDPOINT").output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let out = maskscope(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

const TEXT: &str = "It was a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.";

#[test]
fn trace_writes_hugging_faces_numbers() {
    let reference = Reference::open();
    let dir = tempfile::tempdir().unwrap();
    let (file, model) = (dir.path().join("trace.safetensors"), tiny_folder());
    let ids: Vec<String> = reference.ids("causal.input_ids").iter().map(u32::to_string).collect();
    let summary = json(&[
        "trace",
        "--model",
        model.to_str().unwrap(),
        "--ids",
        &ids.join(","),
        "--out",
        file.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(summary["tokens"], 40);
    let bytes = std::fs::read(&file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        tensors
            .tensor(name)
            .unwrap()
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    for (name, shape, tolerance) in [
        ("logits", vec![40, 512], 2e-5),
        ("attentions", vec![2, 4, 40, 40], 2e-6),
        ("hidden_states", vec![3, 40, 64], 2e-5),
        ("loss", vec![], 1e-5),
    ] {
        assert_eq!(tensors.tensor(name).unwrap().shape(), shape, "{name}");
        let worst = largest_difference(&floats(name), &reference.floats(&format!("causal.{name}")));
        assert!(worst <= tolerance, "{name}: {worst}");
    }
}

#[test]
fn predict_agrees_with_the_trace() {
    let p = json(&["predict", "--text", TEXT, "--top", "3", "--json"]);
    let surprisal: Vec<Option<f64>> = p["surprisal"].as_array().unwrap().iter().map(Value::as_f64).collect();
    assert_eq!(surprisal[0], None);
    let known: Vec<f64> = surprisal.iter().flatten().copied().collect();
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    assert!((mean - p["loss"].as_f64().unwrap()).abs() < 1e-5);
    assert_eq!(p["next"].as_array().unwrap().len(), 3);
    let text: String = p["tokens"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    assert_eq!(text, TEXT);
}

#[test]
fn heads_are_named_after_what_they_read() {
    let report = json(&["heads", "--windows", "3", "--json"]);
    let heads = report["heads"].as_array().unwrap();
    assert_eq!(heads.len(), 24);
    assert_eq!((report["windows"].as_u64(), report["tokens"].as_u64()), (Some(3), Some(128)));
    for head in heads {
        let marked = |key: &str| head["after_mark"][key].as_f64().unwrap();
        for key in ["sink", "previous", "induction"] {
            assert!((0.0..=1.0).contains(&head[key].as_f64().unwrap()), "{head}");
            assert!((0.0..=1.0).contains(&marked(key)), "{head}");
            assert_ne!(head[key].as_f64(), Some(marked(key)), "a mark moves every number: {head}");
        }
        // What a head is named after may show with or without the mark.
        let share = |key: &str| head[key].as_f64().unwrap().max(marked(key));
        // At most the entropy of reading all of 128 tokens alike.
        assert!((0.0..=128f64.ln()).contains(&head["entropy"].as_f64().unwrap()), "{head}");
        match head["kind"].as_str() {
            Some("previous token") => assert!(share("previous") >= 0.4),
            Some(kind) => assert!(share(kind) >= 0.4, "{head}"),
            None => assert!(share("previous").max(share("sink")).max(share("induction")) < 0.4, "{head}"),
        }
    }
    let most = heads.iter().filter_map(|h| h["previous"].as_f64()).fold(0.0, f64::max);
    // A uniform reader of 128 tokens gives the one before it 0.04 on average.
    assert!(most > 0.2, "some heads of this model read the token before: {most}");
    assert_eq!(report, json(&["heads", "--windows", "3", "--json"]), "the same seed, the same numbers");
}

#[test]
fn the_rule_can_be_recomputed_from_what_mask_prints() {
    for polarity in ["high", "low", "random"] {
        let m = json(&[
            "mask",
            "--text",
            TEXT,
            "--threshold",
            "0.6",
            "--polarity",
            polarity,
            "--op",
            "hide",
            "--json",
        ]);
        let (tau, p) = (m["tau"].as_f64().unwrap(), m["p"].as_f64().unwrap());
        let kind: Polarity = polarity.parse().unwrap();
        let (mut eligible, mut selected) = (0, 0);
        for position in m["positions"].as_array().unwrap() {
            let state = position["state"].as_str().unwrap();
            if state == "protected" {
                assert!(position["score"].is_null());
                continue;
            }
            eligible += 1;
            selected += usize::from(state == "masked");
            let (score, draw) = (position["score"].as_f64().unwrap(), position["draw"].as_f64().unwrap());
            assert_eq!(rule(kind, tau, p, score, draw).name(), state, "{position}");
            assert_eq!(position["op"].is_null(), state != "masked");
        }
        assert_eq!((m["eligible"].as_u64(), m["selected"].as_u64()), (Some(eligible), Some(selected as u64)));
    }
}

#[test]
fn keep_and_zero_probability_change_nothing_and_drop_is_the_shorter_text() {
    let plain = json(&["predict", "--text", TEXT, "--json"]);
    for args in [["--op", "keep", "--probability", "1"], ["--op", "replace", "--probability", "0"]] {
        let m = json(&[&["mask", "--text", TEXT, "--json"][..], &args[..]].concat());
        assert_eq!(m["kl_nats"], 0.0);
        assert_eq!(m["masked"], m["baseline"]);
        assert_eq!(m["baseline"], plain["next"]);
        assert_eq!(m["loss_masked"], m["loss_baseline"]);
    }
    let m =
        json(&["mask", "--text", TEXT, "--op", "drop", "--probability", "1", "--threshold", "0.5", "--json"]);
    assert!(m["selected"].as_u64().unwrap() > 3);
    let ids: Vec<String> = m["masked_ids"].as_array().unwrap().iter().map(Value::to_string).collect();
    let short = json(&["predict", "--ids", &ids.join(","), "--json"]);
    for (a, b) in m["masked"].as_array().unwrap().iter().zip(short["next"].as_array().unwrap()) {
        assert_eq!(a["id"], b["id"]);
        assert!((a["p"].as_f64().unwrap() - b["p"].as_f64().unwrap()).abs() < 1e-6);
    }
}

#[test]
fn the_rule_holds_for_every_scale_and_scope_that_goes_by_threshold() {
    let long = TEXT.repeat(3);
    for extra in [
        &["--scale", "raw", "--score", "plain", "--threshold", "0.03", "--protect", "none"][..],
        &["--scale", "calibrated", "--threshold", "0.5"],
        &["--unit", "token", "--exact-k=false", "--score", "window", "--threshold", "0.4"],
    ] {
        let m = json(&[&["mask", "--text", &long, "--op", "hide", "--json"][..], extra].concat());
        let (tau, p) = (m["tau"].as_f64().unwrap(), m["p"].as_f64().unwrap());
        assert!(m["selected"].as_u64().unwrap() > 0, "{extra:?}");
        for position in m["positions"].as_array().unwrap() {
            assert!(!position["reason"].as_str().unwrap().is_empty());
            if position["state"] != "protected" {
                let (score, draw) = (position["score"].as_f64().unwrap(), position["draw"].as_f64().unwrap());
                let state = rule(Polarity::High, tau, p, score, draw).name();
                assert_eq!(state, position["state"].as_str().unwrap(), "{extra:?}: {position}");
            }
        }
    }
    let block = ["--scope", "block", "--op", "evict", "--window", "16", "--stride", "8", "--recent", "4"];
    let m = json(&[&["mask", "--text", &long, "--threshold", "0.4", "--json"][..], &block].concat());
    assert!(m["boundaries"].as_array().unwrap().len() > 3 && m["look_ahead"] == false);
    assert!(m["positions"].as_array().unwrap().iter().all(|p| !p["reason"].as_str().unwrap().is_empty()));
}

#[test]
fn effect_says_what_the_screen_says_and_rerolls_repeat() {
    let text = ["--text", TEXT, "--threshold", "0.6", "--seed", "5", "--op", "hide", "--json"];
    let one = json(&[&["effect"][..], &text].concat());
    let mask = json(&[&["mask"][..], &text].concat());
    assert_eq!((&one["selected"], &one["rate"]), (&mask["selected"], &mask["rate"]));
    let effects = one["effects"].as_array().unwrap();
    let ops: Vec<&str> = effects.iter().map(|e| e["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["hide", "keep", "replace", "drop", "evict", "skip"], "all six stand side by side");
    assert_eq!(effects[0]["kl_nats"], mask["kl_nats"]);
    assert_eq!(effects[0]["next"], mask["masked"]);
    assert_eq!((effects[1]["kl_nats"].as_f64(), &effects[1]["loss"]), (Some(0.0), &one["baseline"]["loss"]));
    let n = mask["positions"].as_array().unwrap().len() as u64;
    let selected = one["selected"].as_u64().unwrap();
    assert!(selected > 0);
    let drop = &effects[3];
    assert_eq!(drop["alignment"].as_array().unwrap().len() as u64, n - selected);
    assert_eq!(drop["tokens_saved"].as_u64(), Some(selected));
    assert!(drop["saved_multiply_adds"].as_u64().unwrap() > 0);
    assert!(one["rerolled_rate"].is_null() && drop["rerolls"].is_null());
    let rerolled = |k: &str| json(&[&["effect", "--rerolls", k][..], &text].concat());
    let (a, b) = (rerolled("8"), rerolled("8"));
    assert_eq!(a, b, "the same seeds give the same numbers");
    for e in a["effects"].as_array().unwrap() {
        assert_eq!(e["rerolls"]["kl_nats"]["n"], 8);
        assert!(e["rerolls"]["kl_nats"]["sd"].as_f64().unwrap() >= 0.0);
    }
    let first = rerolled("1");
    let kl = |e: &Value| (e["rerolls"]["kl_nats"]["mean"].as_f64().unwrap(), e["kl_nats"].as_f64().unwrap());
    for e in first["effects"].as_array().unwrap() {
        let (mean, own) = kl(e);
        assert!((mean - own).abs() < 1e-6, "one re-roll is the seed itself");
    }
    for bad in [&["effect", "--text", "x", "--rerolls", "0"][..], &["effect", "--rerolls", "3"]] {
        assert_eq!(maskscope(bad).status.code(), Some(2), "{bad:?}");
    }
}

#[test]
fn eval_compares_polarities_under_both_scopes() {
    let e = json(&["eval", "--windows", "6", "--length", "96", "--json"]);
    let arms = e["arms"].as_array().unwrap();
    let names: Vec<(&str, &str)> =
        arms.iter().map(|a| (a["scope"].as_str().unwrap(), a["polarity"].as_str().unwrap())).collect();
    let polarities = ["high", "random", "low"];
    let wanted: Vec<(&str, &str)> =
        ["block", "whole"].iter().flat_map(|s| polarities.iter().map(move |p| (*s, *p))).collect();
    assert_eq!(names, wanted);
    for a in arms {
        let rise = &a["loss_rise"];
        let at = |k: &str| rise[k].as_f64().unwrap();
        assert!(at("low") <= at("value") && at("value") <= at("high"));
        let rate = a["rate"].as_f64().unwrap();
        assert!((rate - 0.15).abs() < 0.06, "{a}");
        assert_eq!(a["look_ahead"], a["scope"] == "whole");
        assert_eq!(a["perplexity"].is_null(), a["scope"] == "whole", "a look-ahead loss is no perplexity");
    }
    let rise = |i: usize| arms[i]["loss_rise"]["value"].as_f64().unwrap();
    assert!(rise(3) > rise(5), "hiding what is read most costs more than hiding what is read least");
    let replaced = json(&["eval", "--windows", "2", "--length", "32", "--op", "replace", "--json"]);
    assert_eq!(replaced["arms"].as_array().unwrap().len(), 3, "only whole texts can be replaced in");
    let refused = maskscope(&["eval", "--rate", "0.5", "--probability", "0.2"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn the_first_screen_masks_at_least_two_tokens_of_at_least_twenty() {
    let settings = maskscope::config::defaults().unwrap();
    let m = json(&["mask", "--text", &settings.explore.text, "--json"]);
    assert!(m["positions"].as_array().unwrap().len() >= 20);
    assert!(m["selected"].as_u64().unwrap() >= 2);
}

#[test]
fn the_article_on_hello_world() {
    let article = json(&["mask", "--preset", "article", "--text", "Hello World", "--json"]);
    assert_eq!(article["settings"]["scale"], "raw");
    assert_eq!(article["settings"]["protect"], "none");
    assert_eq!((article["tau"].as_f64(), article["p"].as_f64()), (Some(0.9), Some(0.5)));
    let m = json(&["mask", "--text", "Hello", "--json"]);
    assert_eq!(m["selected"], 0);
    assert!(m["note"].as_str().unwrap().starts_with("nothing selected, because"));
}

#[test]
fn the_bundled_calibration_belongs_to_the_bundled_weights() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("calibration.safetensors");
    json(&["calibrate", "--out", file.to_str().unwrap(), "--json"]);
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/calibration.safetensors");
    let source = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        maskscope::attention::calibration::Calibration::from_bytes(&bytes).unwrap().source
    };
    assert_eq!(source(&file), source(&committed));
}

fn fails(args: &[&str], code: i32, words: &[&str]) {
    let out = maskscope(args);
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{args:?}: {err}");
    assert!(out.stdout.is_empty());
    assert!(err.starts_with("error: "), "{err}");
    for word in words {
        assert!(err.contains(word), "{args:?}: {err:?} does not say {word:?}");
    }
}

#[test]
fn failures_have_their_own_exit_codes_and_one_sentence() {
    fails(&["predict", "--text", ""], 1, &["the text is empty"]);
    fails(
        &["predict", "--ids", "1,999999"],
        1,
        &["id 999999 at position 1", "vocabulary has 4096 tokens (0 to 4095)"],
    );
    fails(&["predict", "--text", &"word ".repeat(400)], 1, &["context of 256", "hint:"]);
    fails(&["predict", "--model", "./no-such-folder", "--text", "x"], 3, &["no-such-folder"]);
    fails(&["predict", "--model", "owner/none", "--offline", "--text", "x"], 3, &["owner/none", "hint:"]);
    fails(&["mask", "--text", "a b", "--threshold", "1.5"], 2, &["threshold"]);
    if !cfg!(feature = "cuda") {
        let words =
            ["cuda is not available: this binary was built without the cuda feature", "hint: ", "doctor"];
        fails(&["predict", "--device", "cuda", "--text", "x"], 3, &words);
    }
}

#[test]
fn doctor_and_models_report() {
    let doctor = json(&["doctor", "--json"]);
    assert!(doctor["checks"].as_array().unwrap().iter().any(|c| c["name"] == "device"));
    let models = json(&["models", "--json"]);
    assert!(models["known"].as_array().unwrap().iter().any(|m| m["id"] == "openai-community/gpt2"));
}

#[test]
fn a_short_run_learns_and_its_checkpoint_loads() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data.txt");
    let paragraph = "The whale swam past the old ship, and the captain counted his men again.\n";
    let documents: Vec<String> = (0..4).map(|i| format!("Chapter {i}\n{}", paragraph.repeat(40))).collect();
    std::fs::write(&data, documents.join("\n")).unwrap();
    let init = dir.path().join("init.json");
    let config = r#"{"vocab_size": 300, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2}"#;
    std::fs::write(&init, config).unwrap();
    let out = dir.path().join("run");
    let train = |steps: &str, from: [&str; 2], out: &Path| {
        json(&[
            "train",
            "--data",
            data.to_str().unwrap(),
            from[0],
            from[1],
            "--steps",
            steps,
            "--out",
            out.to_str().unwrap(),
            "--context",
            "32",
            "--batch-size",
            "4",
            "--learning-rate",
            "3e-3",
            "--warmup-steps",
            "5",
            "--eval-every",
            "1000",
            "--json",
        ])
    };
    let first = train("60", ["--init", init.to_str().unwrap()], &out);
    let loss = first["summary"]["validation_loss"].as_f64().unwrap();
    assert!(loss < 3.0, "{loss}: ln 300 is 5.7");
    // The same command gives the same run, to the last digit.
    let again = train("60", ["--init", init.to_str().unwrap()], &dir.path().join("again"));
    assert_eq!(again["summary"]["validation_loss"], first["summary"]["validation_loss"]);
    let model = out.to_str().unwrap();
    let p =
        json(&["predict", "--model", model, "--text", "The whale swam past the old", "--top", "1", "--json"]);
    assert_eq!(p["next"][0]["token"].as_str().map(str::trim), Some("ship"));
    let tuned = train("20", ["--model", model], &dir.path().join("tuned"));
    assert!(tuned["summary"]["validation_loss"].as_f64().unwrap() < loss);
    assert!(dir.path().join("tuned/tokenizer.json").is_file());
}

#[test]
fn bad_data_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data.txt");
    let out = dir.path().join("out");
    for (bytes, word) in [
        (&b""[..], "is empty"),
        (b"ab\0cd", "byte at offset 2"),
        (b"abc\xff", "byte offset 3"),
        (b" \n\n ", "no text"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let args = ["train", "--data", file.to_str().unwrap(), "--out", out.to_str().unwrap()];
        fails(&args, 1, &["data.txt", word]);
    }
    fails(&["train", "--data", "/nowhere/at/all", "--out", out.to_str().unwrap()], 1, &["/nowhere/at/all"]);
    assert!(!out.exists());
}

#[test]
fn a_folder_without_a_tokenizer_runs_ids_and_refuses_text() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(tiny_folder().join(name), dir.path().join(name)).unwrap();
    }
    let model = dir.path().to_str().unwrap();
    let p = json(&["predict", "--model", model, "--ids", "1,2,3", "--json"]);
    assert_eq!(p["ids"], serde_json::json!([1, 2, 3]));
    fails(&["predict", "--model", model, "--text", "x"], 1, &["no tokenizer", "hint:"]);
}

/// A model of a few thousand weights and a text it can learn, in a folder.
struct Small {
    dir: tempfile::TempDir,
}

impl Small {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let documents: Vec<String> = (0..12)
            .map(|i| {
                format!("Document {i}: the whale swam past ship {i} and the captain counted men. ").repeat(8)
            })
            .collect();
        std::fs::write(dir.path().join("data.txt"), documents.join("\n\n")).unwrap();
        let config = r#"{"vocab_size": 300, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2}"#;
        std::fs::write(dir.path().join("init.json"), config).unwrap();
        Small { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn train(&self, from: [&str; 2], out: &str, more: &[&str]) -> Output {
        let (data, out) = (self.path("data.txt"), self.path(out));
        let mut args = vec!["train", "--data", &data, from[0], from[1], "--out", &out, "--context", "32"];
        args.extend(["--batch-size", "4", "--warmup-steps", "5", "--json"]);
        if !more.contains(&"--learning-rate") {
            args.extend(["--learning-rate", "3e-3"]);
        }
        args.extend(more);
        maskscope(&args)
    }

    fn init(&self, out: &str, more: &[&str]) -> Output {
        self.train(["--init", &self.path("init.json")], out, more)
    }
}

fn parsed(out: &Output) -> Value {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn twins_are_compared_by_one_command() {
    let small = Small::new();
    parsed(&small.init("base", &["--steps", "1"]));
    let base = small.path("base");
    let short = small.train(["--model", &base], "short", &["--twins", "static-1,dyn-rand", "--steps", "2"]);
    let said = String::from_utf8_lossy(&short.stderr).into_owned();
    assert!(short.status.code() == Some(1) && said.contains("would hardly differ"), "{said}");
    let more = ["--twins", "none,dyn-rand", "--twin-seeds", "2", "--steps", "8", "--eval-every", "4"];
    let got = parsed(&small.train(["--model", &base], "twins", &more));
    let twins = &got["summary"]["twins"];
    assert_eq!(twins["seeds"], 2);
    let verdict = &twins["verdicts"][0];
    assert_eq!((&verdict["verdict"], &verdict["against"]), (&"undecided".into(), &"none".into()));
    assert!(verdict["basis"]["compared"]["differently"].as_u64().unwrap() > 0, "{verdict}");
    assert!(verdict["basis"]["held_out"].as_str().unwrap().contains("held out of data.txt"), "{verdict}");
    let listed = maskscope(&["runs", "list", &small.path("twins")]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("16 of 16"), "{listed:?}");
    fails(
        &["runs", "compare", "nowhere", "else"],
        1,
        &["nowhere is not a run folder", "maskscope runs list"],
    );
    fails(&["train", "--data", "none.txt", "--out", "x"], 1, &["cannot read none.txt: no such file"]);
    let wrong = small.init("wrong", &["--twins", "dyn-rand"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("2 to 4 arms"));
    // Seeds are added to what is finished.
    let folder = small.path("twins");
    fails(&["train", "--resume", &folder], 1, &["all 2 seeds", "--twin-seeds"]);
    fails(&["train", "--resume", &folder, "--learning-rate", "1"], 2, &["--learning-rate cannot change"]);
    fails(&["train", "--resume", &folder, "--steps", "9"], 1, &["as long as the finished ones"]);
    let more = maskscope(&["train", "--resume", &folder, "--twin-seeds", "3"]);
    assert!(more.status.success(), "{}", String::from_utf8_lossy(&more.stderr));
    let said = String::from_utf8_lossy(&more.stdout).into_owned();
    for words in
        ["3 finished seeds", "over 3 seeds", "masked differently: ", "after the first", "ε 0.01", "data.txt"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let metrics = std::fs::read_to_string(small.path("twins/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().filter(|l| l.contains(r#""event":"twin-seed""#)).count(), 3);
}

#[test]
fn a_run_says_what_it_saved_and_fails_when_it_has_diverged() {
    let small = Small::new();
    let wild = ["--steps", "40", "--learning-rate", "1", "--clip", "0", "--lr-policy", "constant"];
    let out = small.init("wild", &wild);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("diverged") || said.contains("is not finite"), "{said}");
    let tame = maskscope(&[
        "train",
        "--init",
        &small.path("init.json"),
        "--data",
        &small.path("data.txt"),
        "--out",
        &small.path("tame"),
        "--steps",
        "4",
        "--batch-size",
        "1",
        "--mask-schedule",
        "per-sequence",
        "--mask-clean-share",
        "0.2",
        "--arm",
        "dyn-rand",
    ]);
    let said = String::from_utf8_lossy(&tame.stdout).into_owned();
    assert!(tame.status.success(), "{}", String::from_utf8_lossy(&tame.stderr));
    assert!(said.contains("saved: ") && said.contains("(step 4)"), "{said}");
}

#[test]
fn two_models_are_compared_by_document_with_intervals() {
    let small = Small::new();
    parsed(&small.init("before", &["--steps", "5"]));
    let before = small.path("before");
    parsed(&small.train(["--model", &before], "after", &["--steps", "60"]));
    let (data, after) = (small.path("data.txt"), small.path("after"));
    let args = ["eval", "--model", &before, "--against", &after, "--data", &data, "--by-document", "--json"];
    let e = json(&args);
    let documents = e["documents"].as_array().unwrap();
    assert_eq!(documents.len(), 12);
    let number = |v: &Value| v.as_f64().unwrap();
    let weighted = |key: &str| {
        let tokens: f64 = documents.iter().map(|d| number(&d["tokens"])).sum();
        documents.iter().map(|d| number(&d["tokens"]) * number(&d[key])).sum::<f64>() / tokens
    };
    assert!((weighted("loss") - number(&e["loss"]["value"])).abs() < 1e-9);
    assert!((weighted("against") - number(&e["against_loss"]["value"])).abs() < 1e-9);
    let difference = &e["difference"];
    assert!(number(&difference["high"]) < -0.3, "{difference}");
    assert!((number(&difference["value"]) - weighted("against") + weighted("loss")).abs() < 1e-9);
    let itself =
        json(&["eval", "--model", &before, "--against", &before, "--data", &data, "--by-document", "--json"]);
    assert_eq!(itself["difference"]["low"], 0.0);
    assert_eq!(itself["difference"]["high"], 0.0);
    fails(
        &["eval", "--model", &before, "--against", "demo", "--data", &data, "--by-document"],
        1,
        &["tokenize this text differently"],
    );
    assert_eq!(maskscope(&["eval", "--against", "demo"]).status.code(), Some(2), "only document by document");
}

#[test]
fn a_trained_mask_row_opens_with_its_checkpoint_and_goes_on_from_there() {
    let small = Small::new();
    let masks = ["--arm", "dyn-rand", "--replacement", "mask", "--mask-rate", "0.4"];
    parsed(&small.init("plain", &["--steps", "5"]));
    parsed(&small.init("masked", &[&masks[..], &["--steps", "40"]].concat()));
    let row = |folder: &str| {
        let bytes = std::fs::read(small.path(&format!("{folder}/maskscope.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let data = file.tensor("mask_row").unwrap().data().to_vec();
        data.chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect::<Vec<f32>>()
    };
    let effect = |model: &str, replacement: &str| {
        let model = small.path(model);
        let text = "the whale swam past ship 3 and the captain counted men";
        maskscope(&["mask", "--model", &model, "--text", text, "--replacement", replacement, "--json"])
    };
    let known = parsed(&effect("masked", "mask"));
    let logits = |replacement: &str| {
        let loaded = small.path("masked");
        let text = "the whale swam past ship 3 and the captain counted men";
        json(&["effect", "--model", &loaded, "--text", text, "--replacement", replacement, "--json"])
    };
    assert_ne!(logits("mask").to_string(), logits("mean").to_string(), "the trained row is not the mean");
    assert!(known.to_string().contains("mask"));
    let none = effect("plain", "mask");
    assert!(!none.status.success(), "a model without a row has none to put in");
    // A run that starts from the folder starts from its row.
    let (masked, start) = (small.path("masked"), row("masked"));
    let barely = ["--steps", "1", "--learning-rate", "1e-8"];
    parsed(&small.train(["--model", &masked], "again", &[&masks[..], &barely].concat()));
    let far = row("again").iter().zip(&start).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-6, "{far}");
    // A damaged side file is named, not ignored.
    std::fs::write(small.path("masked/maskscope.safetensors"), b"nothing").unwrap();
    fails(&["predict", "--model", &masked, "--text", "the"], 3, &["maskscope.safetensors"]);
}

#[test]
fn a_data_set_of_the_hub_is_fetched_split_and_trained_on() {
    let small = Small::new();
    let rows = |from: usize, n: usize| -> Vec<u8> {
        let row = |i| {
            format!(
                r#"{{"text": "Row {i}: the whale swam past the ship and the captain counted. The whale swam past the ship again."}}"#
            )
        };
        (from..from + n).map(row).collect::<Vec<_>>().join("\n").into_bytes()
    };
    let repo = hub_server::Repo::empty("datasets/owner/texts")
        .with("train.jsonl", &rows(0, 30))
        .with("validation.jsonl", &[rows(100, 5), b"\n".to_vec(), rows(3, 1)].concat());
    let server = hub_server::HubServer::start(vec![repo]);
    let train = |data: &str, out: &str, offline: bool| {
        let home = small.dir.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
        command.args([
            "train",
            "--data",
            data,
            "--init",
            &small.path("init.json"),
            "--out",
            &small.path(out),
        ]);
        command.args(["--steps", "3", "--context", "32", "--batch-size", "2"]);
        command.env("MASKSCOPE_CONFIG", "/dev/null").env("XDG_CACHE_HOME", home.join("cache"));
        command.env("HF_HUB_CACHE", home.join("hub")).env("HF_ENDPOINT", server.url());
        if offline {
            command.env("HF_HUB_OFFLINE", "1");
        }
        command.output().unwrap()
    };
    let text = |out: &Output| String::from_utf8_lossy(&out.stderr).into_owned();
    let first = train("datasets/owner/texts", "first", false);
    assert!(first.status.success(), "{}", text(&first));
    assert!(text(&first).contains("in 30 documents"), "{}", text(&first));
    assert!(text(&first).contains("validation tokens in 2 documents"), "{}", text(&first));
    assert!(
        text(&first).contains("1 validation documents are also in the training data"),
        "{}",
        text(&first)
    );
    let again = train("datasets/owner/texts", "again", true);
    assert!(again.status.success(), "what is cached needs no network: {}", text(&again));
    for (name, offline, words) in [
        ("datasets/owner/none", false, "data set owner/none not found"),
        ("datasets/owner/none", true, "offline mode is on"),
    ] {
        let out = train(name, "none", offline);
        assert_eq!(out.status.code(), Some(1), "{}", text(&out));
        assert!(text(&out).contains(words), "{}", text(&out));
    }
}

#[test]
fn long_texts_are_tokenised_once() {
    let small = Small::new();
    let line = "The whale swam past the old ship, and the captain counted his men again, all of them.\n";
    let text: String =
        (0..60).map(|i| format!("Chapter {i}\n{}", line.repeat(240))).collect::<Vec<_>>().join("\n");
    std::fs::write(small.path("long.txt"), &text).unwrap();
    assert!(text.len() > 1 << 20);
    let run = |what: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
        let (data, out) = (small.path("long.txt"), small.path("none"));
        command.args(["train", "--data", &data, "--out", &out, "--context", "32", "--batch-size", "1"]);
        command.args(what).env("MASKSCOPE_CONFIG", "/dev/null");
        command.env("XDG_CACHE_HOME", small.dir.path().join("cache")).output().unwrap()
    };
    // A plan reads the cache and leaves it as it is; a run keeps its tokens there.
    let first = run(&["--plan"]);
    let trained = run(&["--steps", "1", "--no-plan"]);
    let second = run(&["--plan"]);
    for out in [&first, &trained, &second] {
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    let said = |out: &Output| String::from_utf8_lossy(&out.stderr).contains("come from the cache");
    assert_eq!((said(&first), said(&second)), (false, true));
    let counts = |out: &Output| String::from_utf8_lossy(&out.stdout).lines().next().map(str::to_owned);
    assert_eq!(counts(&first), counts(&second));
    // A terminal shows both streams: every line of the plan once.
    let both = [first.stdout, first.stderr].concat();
    let mut lines: Vec<_> = String::from_utf8(both).unwrap().lines().map(str::to_owned).collect();
    lines.retain(|line| line.starts_with("plan: "));
    let all = lines.len();
    lines.sort();
    lines.dedup();
    assert!(all >= 4 && lines.len() == all, "{lines:?}");
}

#[test]
fn the_memory_that_was_announced_is_the_memory_that_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    for (batch, context, trained) in [("8", "256", "all"), ("2", "128", "all"), ("8", "256", "lora")] {
        let out = dir.path().join(format!("{batch}-{trained}"));
        let run = maskscope(&[
            "train",
            "--data",
            "passages",
            "--out",
            out.to_str().unwrap(),
            "--steps",
            "3",
            "--batch-size",
            batch,
            "--context",
            context,
            "--trained",
            trained,
            "--threads",
            "2",
            "--json",
        ]);
        let summary = parsed(&run)["summary"].clone();
        let plan = String::from_utf8_lossy(&run.stderr)
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok())
            .find(|l| l["event"] == "planned")
            .unwrap();
        let Some(peak) = summary["peak_memory"].as_f64() else { return };
        let memory = &plan["memory"];
        let expected = memory["resident"].as_f64().unwrap() + memory["total"].as_f64().unwrap();
        let ratio = peak / expected;
        println!(
            "batch {batch}, context {context}, {trained}: {:.0} MiB of {:.0} announced",
            peak / 1048576.0,
            expected / 1048576.0
        );
        assert!((0.75..1.25).contains(&ratio), "{ratio}: {peak} against {memory}");
    }
}

#[test]
fn a_plan_says_what_was_read_what_was_left_out_and_what_was_chosen() {
    let small = Small::new();
    let rows: String = (0..80)
        .map(|i| match i % 4 {
            0 => format!("{{\"id\": {i}, \"note\": \"removed\"}}\n"),
            1 => format!(
                "{{\"id\": {i}, \"text\": \"Letter {i} about the stone in the garden.\", \"note\": NaN}}\n"
            ),
            _ => format!("{{\"id\": {i}, \"text\": \"Row {i}: the whale swam past the ship again.\"}}\n"),
        })
        .collect();
    std::fs::write(small.path("rows.jsonl"), rows).unwrap();
    let plan = |data: &str, from: [&str; 2], more: &[&str]| {
        let (data, out) = (small.path(data), small.path("none"));
        let plan = [
            "train",
            "--data",
            &data,
            "--out",
            &out,
            "--steps",
            "1",
            "--batch-size",
            "1",
            "--plan",
            "--json",
        ];
        maskscope(&[&plan[..], &from, more].concat())
    };
    let notes = |of: &Value| -> Vec<String> {
        of["notes"].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect()
    };
    let init = small.path("init.json");
    let fresh = parsed(&plan("rows.jsonl", ["--init", &init], &[]));
    assert_eq!((&fresh["train_documents"], &fresh["validation_documents"]), (&54.into(), &3.into()));
    let said = notes(&fresh).join("\n");
    for words in [
        "tokenizer: none beside",
        "byte-level BPE of up to 300 ids is learned",
        "20 rows without text were left out",
        "context 32: the model takes at most that many tokens",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let asked = plan("rows.jsonl", ["--init", &init], &["--context", "64"]);
    assert_eq!(asked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("a context of 64 is not possible: this model takes 1 to 32 tokens"), "{said}");

    // The tokenizer of another model: named, or found beside the configuration, or too large for it.
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/forms/tokenizers/metaspace.json");
    let named = plan("rows.jsonl", ["--init", &init], &["--tokenizer", tokenizer.to_str().unwrap()]);
    assert!(notes(&parsed(&named))[0].starts_with("tokenizer: the one in"), "{named:?}");
    std::fs::create_dir(small.path("shape")).unwrap();
    std::fs::copy(&init, small.path("shape/config.json")).unwrap();
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tokenizer.json"),
        small.path("shape/tokenizer.json"),
    )
    .unwrap();
    let large = plan("rows.jsonl", ["--init", &small.path("shape/config.json")], &[]);
    let said = String::from_utf8_lossy(&large.stderr).into_owned();
    assert!(said.contains("ids, but vocab_size in") && said.contains("--tokenizer"), "{said}");

    let turns = r#"{"messages": [{"role": "user", "content": "Where is the whale?"}, {"role": "assistant", "content": "Past the ship, and it swam far."}]}"#;
    let three: String = (0..3).map(|i| turns.replace("whale?", &format!("whale {i}?"))).collect();
    std::fs::write(small.path("one.json"), three).unwrap();
    let chats = parsed(&plan("one.json", ["--model", "demo"], &["--context", "8"]));
    assert_eq!((&chats["train_documents"], &chats["validation_documents"]), (&2.into(), &1.into()));
    assert!(
        notes(&chats)[0].starts_with("3 conversations (messages), turns joined by <|endoftext|>"),
        "{chats}"
    );
    let single = parsed(&plan("data.txt", ["--model", "demo"], &["--context", "8"]));
    assert!(!notes(&single).iter().any(|n| n.starts_with("no validation")), "{single}");
    std::fs::write(small.path("single.txt"), "The whale swam past the ship. ".repeat(9)).unwrap();
    let single = parsed(&plan("single.txt", ["--model", "demo"], &["--context", "8"]));
    assert!(
        notes(&single).iter().any(|n| n.starts_with("no validation loss: the data is one document")),
        "{single}"
    );
}

#[test]
fn what_follows_any_token_is_what_follows_the_text_up_to_there() {
    let model = tiny_folder();
    let model = model.to_str().unwrap();
    let whole = json(&[
        "mask",
        "--model",
        model,
        "--ids",
        "5,9,200,31,77,8",
        "--position",
        "2",
        "--op",
        "hide",
        "--threshold",
        "0.3",
        "--probability",
        "1",
        "--json",
    ]);
    let prefix = json(&["predict", "--model", model, "--ids", "5,9,200", "--json"]);
    for (a, b) in whole["baseline"].as_array().unwrap().iter().zip(prefix["next"].as_array().unwrap()) {
        assert_eq!(a["id"], b["id"]);
        assert!((a["p"].as_f64().unwrap() - b["p"].as_f64().unwrap()).abs() < 1e-6);
    }
    assert!(whole["kl_nats"].as_f64().unwrap() >= 0.0);
    let beyond = maskscope(&["mask", "--model", model, "--ids", "5,9", "--position", "2"]);
    assert_eq!(beyond.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&beyond.stderr).contains("position 2 is beyond the last token, 1"));
}

#[test]
fn the_score_in_use_is_named_with_the_one_asked_for() {
    let named = |args: &[&str]| {
        let out = json(&[&["mask", "--text", TEXT, "--json"], args].concat());
        [&out["settings"]["score_in_force"], &out["settings"]["score_asked"]]
            .map(|v| v.as_str().unwrap().to_owned())
    };
    assert_eq!(named(&[]), ["distance-null", "distance-null"]);
    assert_eq!(named(&["--scale", "raw"]), ["plain", "distance-null"]);
}
