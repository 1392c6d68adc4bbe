//! `maskscope grow induction`: the run it makes, what it says of its heads, and the model it leaves.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn maskscope(args: &[&str], home: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
    command.args(args).env("MASKSCOPE_CONFIG", "/dev/null").env("HOME", home).env("XDG_DATA_HOME", home);
    command.env("XDG_CACHE_HOME", home).output().unwrap()
}

fn grown(steps: &str, seed: &str, home: &Path) -> (Value, Vec<Value>) {
    let out = home.join("run");
    let told = maskscope(
        &["grow", "induction", "--steps", steps, "--seed", seed, "--out", out.to_str().unwrap(), "--json"],
        home,
    );
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let lines = String::from_utf8(told.stderr).unwrap();
    let reports = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (serde_json::from_slice(&told.stdout).unwrap(), reports)
}

fn first(circuit: &Value, what: &str) -> Option<u64> {
    circuit["passed"].as_array().unwrap().iter().filter_map(|head| head[what].as_u64()).min()
}

#[test]
fn a_short_run_looks_at_every_head_and_leaves_a_model_that_opens() {
    let home = tempfile::tempdir().unwrap();
    let (report, said) = grown("12", "4", home.path());
    let looks: Vec<&Value> = said.iter().filter(|line| line["event"] == "heads").collect();
    let steps: Vec<u64> = looks.iter().map(|look| look["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 10]);
    for look in looks {
        let heads = look["heads"].as_array().unwrap();
        assert_eq!((heads.len(), look["n_head"].as_u64()), (8, Some(4)));
        for score in heads.iter().flat_map(|h| [&h["previous"], &h["induction"]]) {
            assert!((0.0..0.4).contains(&score.as_f64().unwrap()), "nothing is learned in ten steps: {look}");
        }
    }
    let summary = &report["summary"];
    let losses =
        [&summary["start_validation_loss"], &summary["validation_loss"]].map(|l| l.as_f64().unwrap());
    assert!(losses[1] < losses[0], "{losses:?}");
    assert!(summary["bits_per_byte"].is_null(), "random ids are no bytes");
    let circuit = &summary["circuit"];
    assert!((circuit["chance"].as_f64().unwrap() - 511f64.ln()).abs() < 1e-9, "the end mark is never drawn");
    assert!(circuit["clocked"].is_null() && first(circuit, "induction").is_none());
    assert!(report["processor_seconds"].as_f64().unwrap() > 0.0);
    // The result reads any text, and the same seed gives the same run.
    let out = home.path().join("run");
    let told =
        maskscope(&["heads", "--model", out.to_str().unwrap(), "--windows", "2", "--json"], home.path());
    let heads: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((heads["heads"].as_array().unwrap().len(), heads["tokens"].as_u64()), (8, Some(64)));
    let again = tempfile::tempdir().unwrap();
    let (second, _) = grown("12", "4", again.path());
    assert_eq!(second["summary"]["validation_loss"], summary["validation_loss"]);
    let taken = maskscope(&["grow", "induction", "--out", out.to_str().unwrap()], home.path());
    assert!(String::from_utf8_lossy(&taken.stderr).contains("already contains a run"));
    assert_eq!(taken.status.code(), Some(1));
}

#[test]
fn a_run_without_text_needs_every_sequence_made_up_and_resumes_to_the_bit() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config.json");
    let shape = r#"{"model_type": "gpt2", "vocab_size": 64, "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}"#;
    std::fs::write(&config, shape).unwrap();
    let train = |rest: &[&str]| {
        let all = [
            &["train", "--init", config.to_str().unwrap(), "--synthetic", "recall", "--synthetic-least", "2"],
            rest,
        ];
        maskscope(&all.concat(), home.path())
    };
    let common = [
        "--synthetic-most",
        "6",
        "--context",
        "32",
        "--batch-size",
        "4",
        "--checkpoint-every",
        "5",
        "--no-plan",
    ];
    let refused = train(&[&common[..], &["--out", "none"]].concat());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("there is no text to train on") && said.contains("--synthetic-share 1"), "{said}");
    let run = |name: &str, steps: &str| {
        let out = home.path().join(name);
        let told = train(
            &[
                &common[..],
                &[
                    "--synthetic-share",
                    "1",
                    "--steps",
                    steps,
                    "--lr-policy",
                    "constant",
                    "--out",
                    out.to_str().unwrap(),
                ],
            ]
            .concat(),
        );
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        out
    };
    let (whole, halves) = (run("whole", "10"), run("halves", "5"));
    let told = maskscope(
        &["train", "--resume", halves.to_str().unwrap(), "--steps", "10", "--no-plan"],
        home.path(),
    );
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let weights =
        |run: &Path| std::fs::read(run.join("checkpoints/step-00000010/model.safetensors")).unwrap();
    assert_eq!(weights(&whole), weights(&halves));
}

#[test]
fn the_bundled_copier_shows_the_circuit_offline() {
    let home = tempfile::tempdir().unwrap();
    let told =
        maskscope(&["heads", "--model", "copier", "--offline", "--windows", "8", "--json"], home.path());
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let report: Value = serde_json::from_slice(&told.stdout).unwrap();
    let kinds: Vec<&str> =
        report["heads"].as_array().unwrap().iter().filter_map(|head| head["kind"].as_str()).collect();
    assert_eq!(
        kinds,
        ["previous token", "previous token", "induction", "induction", "induction", "induction"]
    );
    let listed = maskscope(&["models", "list"], home.path());
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.lines().any(|line| line.starts_with("copier") && line.contains("bundled")), "{text}");
}

/// The whole recipe under one seed, a minute or two of processor time; `tests/bench/grow_seeds.py` does it for ten.
#[test]
#[ignore = "a minute or two of processor time"]
fn a_circuit_grows_and_is_what_copies() {
    let home = tempfile::tempdir().unwrap();
    let (report, _) = grown("400", "1", home.path());
    let circuit = &report["summary"]["circuit"];
    assert!(first(circuit, "induction").unwrap() <= 200, "{circuit}");
    assert!(first(circuit, "previous").unwrap() <= 300, "{circuit}");
    assert!(circuit["clocked"]["share"].as_f64().unwrap() >= 0.8, "{circuit}");
    assert!(circuit["others"].is_null() || circuit["others"]["share"].as_f64().unwrap() <= 0.1, "{circuit}");
    assert!(report["processor_seconds"].as_f64().unwrap() <= 150.0, "{report}");
}
