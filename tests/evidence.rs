//! The commands that gather evidence, as a person runs them: stopped and continued, split and merged; perplexity against Hugging
//! Face's, and never where a mask has looked ahead.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use maskscope::eval::sliding::Scorer;
use maskscope::model::{Checkpoint, ModelFiles};
use serde_json::Value;
use support::{Reference, tiny_folder};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
    command.args(args).env("MASKSCOPE_CONFIG", "/dev/null").env_remove("HF_ENDPOINT");
    command.env("XDG_CACHE_HOME", std::env::temp_dir().join("maskscope-evidence"));
    command
}

fn maskscope(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let out = maskscope(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn authors() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/authors.tsv").display().to_string()
}

/// Starts a command, interrupts it once `file` has a line, and waits.
fn interrupted(args: &[&str], file: &Path) -> Output {
    let child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(240);
    while std::fs::read_to_string(file).map_or(0, |text| text.lines().count()) < 2 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGINT) };
    child.wait_with_output().unwrap()
}

#[test]
fn perplexity_in_windows_that_overlap_is_hugging_faces() {
    // tests/references/sliding.py
    let files = ModelFiles::Folder(tiny_folder());
    let model = Checkpoint::load(&files, &candle_core::Device::Cpu).unwrap().model;
    let ids = Reference::open().ids("causal.input_ids");
    for (context, stride, wanted) in
        [(16, 16, 9.724_249_999_397_31), (16, 6, 9.408_365_877_352_932), (40, 40, 9.153_732_902_324_368)]
    {
        let got = Scorer::new(&model, context, stride).unwrap().score(&ids, None).unwrap();
        let loss = got.nats / got.labels as f64;
        assert!((loss - wanted).abs() < 1e-4, "{context} {stride}: {loss}");
        assert_eq!((got.labels, got.right), (39, 0));
    }
}

#[test]
fn eval_by_document_reports_perplexity_accuracy_and_overlapping_windows() {
    let apart = json(&["eval", "--by-document", "--length", "64", "--json"]);
    let overlapping = json(&["eval", "--by-document", "--length", "64", "--stride", "16", "--json"]);
    for e in [&apart, &overlapping] {
        let of = |name: &str| e[name].as_f64().unwrap();
        let loss = e["loss"]["value"].as_f64().unwrap();
        assert!((of("perplexity") / loss.exp() - 1.0).abs() < 1e-5);
        assert!((0.05..0.9).contains(&of("accuracy")));
    }
    assert_eq!((apart["stride"].as_u64(), overlapping["stride"].as_u64()), (Some(64), Some(16)));
    let loss = |e: &Value| e["loss"]["value"].as_f64().unwrap();
    assert!(loss(&overlapping) < loss(&apart), "more context helps this model");
    let long = maskscope(&["eval", "--by-document", "--length", "64", "--stride", "65"]);
    assert_eq!(long.status.code(), Some(2));
}

/// Every object with `look_ahead` in a value.
fn look_ahead(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            if fields.get("look_ahead") == Some(&Value::Bool(true)) {
                found.push(value.clone());
            }
            fields.values().for_each(|v| look_ahead(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| look_ahead(v, found)),
        _ => {}
    }
}

#[test]
fn no_loss_of_a_mask_that_looked_ahead_is_called_a_perplexity() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("sweep").display().to_string();
    let sweep = [
        "sweep",
        "--out",
        &out,
        "--thresholds",
        "0.8",
        "--probabilities",
        "0.5,1",
        "--windows",
        "2",
        "--length",
        "32",
    ];
    let text = "--text=It was a truth universally acknowledged, that a single man must be in want of a wife.";
    let eval = ["eval", "--windows", "2", "--length", "64"];
    let commands: [&[&str]; 3] = [&eval, &sweep, &["effect", text]];
    for args in commands {
        let mut all = Vec::new();
        look_ahead(&json(&[args, &["--json"]].concat()), &mut all);
        assert!(!all.is_empty(), "{args:?}");
        for object in &all {
            // A table of several scopes stands in an object of its own.
            let named: Vec<&String> =
                object.as_object().unwrap().keys().filter(|key| key.contains("perplexity")).collect();
            assert!(named.is_empty(), "{args:?}: {named:?}");
        }
        let plain = String::from_utf8(maskscope(args).stdout).unwrap();
        let headed = plain.lines().find(|line| line.contains("perplexity") && line.contains("scope"));
        for line in plain.lines().filter(|line| line.contains("look-ahead")) {
            assert!(!line.contains("perplexity"), "{args:?}: {line}");
            if let Some(head) = headed {
                let at =
                    head.split("  ").filter(|cell| !cell.is_empty()).position(|c| c.trim() == "perplexity");
                let cell = line.split("  ").filter(|cell| !cell.is_empty()).nth(at.unwrap()).unwrap();
                assert_eq!(cell.trim(), "–", "{line}");
            }
        }
    }
    for name in ["results.md", "results.csv"] {
        let text = std::fs::read_to_string(Path::new(&out).join(name)).unwrap();
        let numbers = text.lines().skip(1).filter(|line| line.contains("true"));
        assert!(numbers.clone().count() > 0 || name == "results.md");
        numbers.for_each(|line| assert!(line.ends_with(','), "{line}"));
        assert!(name == "results.csv" || !text.contains("perplexity"));
    }
}

#[test]
fn a_sweep_stopped_half_way_and_one_in_four_parts_are_that_of_one_go() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let run = |name: &str, more: &[&str]| -> Vec<String> {
        let mut args: Vec<String> =
            ["sweep", "--windows", "3", "--length", "48", "--ops", "hide,drop", "--out"]
                .map(str::to_owned)
                .to_vec();
        args.push(at(name).display().to_string());
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        args
    };
    let text =
        |args: &[String]| -> Output { maskscope(&args.iter().map(String::as_str).collect::<Vec<_>>()) };
    let whole = text(&run("whole", &[]));
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let args = run("stopped", &[]);
    let stopped =
        interrupted(&args.iter().map(String::as_str).collect::<Vec<_>>(), &at("stopped/cells.jsonl"));
    assert_eq!(stopped.status.code(), Some(130), "{}", String::from_utf8_lossy(&stopped.stderr));
    assert!(!at("stopped/results.json").exists());
    assert!(text(&run("stopped", &[])).status.success());
    for part in ["3/4", "1/4", "4/4", "2/4"] {
        assert!(text(&run(&format!("part{}", &part[..1]), &["--shard", part])).status.success());
    }
    let parts: Vec<String> = (1..=4).map(|n| at(&format!("part{n}")).display().to_string()).collect();
    let merged = at("merged").display().to_string();
    let mut args = vec!["sweep", "--out", &merged, "--merge"];
    args.extend(parts.iter().map(String::as_str));
    let out = maskscope(&args);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.stdout.len(), whole.stdout.len() - "whole".len() + "merged".len());
    for name in ["results.json", "results.csv", "results.md"] {
        let wanted = std::fs::read(at("whole").join(name)).unwrap();
        for folder in ["stopped", "merged"] {
            assert!(std::fs::read(at(folder).join(name)).unwrap() == wanted, "{folder}/{name}");
        }
    }
    let other = text(&run("whole", &["--thresholds", "0.5"]));
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("another --out folder"));
    assert_eq!(text(&run("x", &["--shard", "5/4"])).status.code(), Some(2));
    assert_eq!(
        text(&run("x", &["--scope", "block"])).status.code(),
        Some(2),
        "drop is no operation for blocks"
    );
}

fn classify_args(out: &Path, more: &[&str]) -> Vec<String> {
    let data = authors();
    let fixed = [
        "classify",
        "--data",
        &data,
        "--label",
        "author",
        "--split",
        "split",
        "--passes",
        "2",
        "--tokens",
        "4000",
        "--seeds",
        "3",
        "--learner",
        "head",
        "--out",
    ];
    let mut args: Vec<String> = fixed.map(str::to_owned).to_vec();
    args.push(out.display().to_string());
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    args
}

#[test]
fn classify_judges_two_by_two_and_goes_on_after_a_stop() {
    let place = tempfile::tempdir().unwrap();
    let (whole, stopped): (PathBuf, PathBuf) = (place.path().join("whole"), place.path().join("stopped"));
    let args = classify_args(&whole, &["--json"]);
    let found = json(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let summary = &found["summary"];
    assert_eq!(summary["seeds"], 3);
    let names: Vec<&str> =
        summary["arms"].as_array().unwrap().iter().map(|arm| arm["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["naive Bayes", "none", "static-1", "static-attn", "dyn-rand", "dyn-attn-high"]);
    let rate = |i: usize| summary["arms"][i]["rate"].as_f64().unwrap();
    assert_eq!(rate(1), 0.0);
    // Every masking arm masks as much of every text.
    assert!((3..6).all(|i| (rate(i) - rate(2)).abs() < 0.005 && (0.12..0.18).contains(&rate(i))));
    let accuracy = |i: usize| summary["arms"][i]["accuracy"]["value"].as_f64().unwrap();
    assert!(accuracy(0) > 0.6 && accuracy(1) > 0.55, "better than one of two: {summary}");
    let contrasts = summary["contrasts"].as_array().unwrap();
    assert_eq!(contrasts.len(), 8);
    let words = ["better", "worse", "equivalent", "undecided"];
    assert!(contrasts.iter().all(|c| words.contains(&c["verdict"].as_str().unwrap())));
    assert!(summary["procedure"].as_str().unwrap().contains("Holm over 8 comparisons"));
    let args = classify_args(&stopped, &[]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let out = interrupted(&args, &stopped.join("rows.jsonl"));
    assert_eq!(out.status.code(), Some(130), "{}", String::from_utf8_lossy(&out.stderr));
    let out = maskscope(&args);
    assert!(out.status.success());
    for name in ["rows.jsonl", "summary.json", "report.md"] {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(read(&whole) == read(&stopped), "{name}");
    }
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("naive Bayes") && text.contains("dynamic − static"), "{text}");
}

#[test]
fn classify_says_what_is_wrong_with_its_data() {
    let place = tempfile::tempdir().unwrap();
    let said = |data: &str, more: &[&str]| {
        let out = place.path().join("out").display().to_string();
        let args = [&["classify", "--data", data, "--out", &out, "--seeds", "1"], more].concat();
        let out = maskscope(&args);
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (code, text) = said(&authors(), &["--label", "writer"]);
    assert!(code == Some(1) && text.contains("its columns: author, split, text"), "{text}");
    let one = file("one.csv", "text,label\na b c,x\nd e f,x\n");
    assert!(said(&one, &[]).1.contains("a single class"));
    let plain = file("plain.txt", "no columns here\n");
    assert!(said(&plain, &[]).1.contains("no rows with text and label"));
    assert!(said("/nowhere.csv", &[]).1.contains("no such file"));
    assert_eq!(said(&one, &["--rate", "1.5"]).0, Some(2));
    // Labels may be numbers, texts under another name, and rows without a label are left out and counted.
    let rows: String = (0..40)
        .map(|i| {
            format!(
                "{{\"sentence\": \"some words {} here\", \"label\": {}}}\n",
                ["red", "blue"][i % 2],
                i % 2
            )
        })
        .chain(["{\"sentence\": \"lost\", \"label\": null}\n".to_owned()])
        .collect();
    let lines = file("rows.jsonl", &rows);
    let (code, text) = said(&lines, &["--arms", "none", "--tokens", "400", "--learner", "head"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 row without label was left out"), "{text}");
}
