//! The smoke set: what every build of the program must do on the machine it finds, GPU or not, with its own kernels and
//! with composed operators. `MASKSCOPE_BIN=path cargo test --release --test gpu_smoke` runs it on another binary, such
//! as one with CUDA.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/pty.rs"]
mod pty;
mod support;

use std::path::Path;
use std::process::{Command, Output};

use pty::{Session, Start, binary};
use safetensors::SafeTensors;
use serde_json::Value;
use support::{Reference, largest_difference, tiny_folder};

/// With the kernels of the device, and with composed operators.
const WAYS: [&str; 2] = ["", "plain"];

fn maskscope(kernels: &str, args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(args).env("MASKSCOPE_CONFIG", "/dev/null").env("XDG_CACHE_HOME", home.path());
    command.env("MASKSCOPE_KERNELS", kernels).env_remove("HF_ENDPOINT").output().unwrap()
}

fn json(kernels: &str, args: &[&str]) -> Value {
    let out = maskscope(kernels, args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// What doctor says of one thing: its state and finding.
fn check(doctor: &Value, name: &str) -> Option<(String, String)> {
    let found = doctor["checks"].as_array().unwrap().iter().find(|c| c["name"] == name)?;
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    Some((text("state"), text("finding")))
}

/// Whether the binary holds CUDA, and whether it found a GPU.
fn abilities() -> (bool, bool) {
    let doctor = json("", &["doctor", "--json"]);
    let built = check(&doctor, "program").unwrap().1.contains("built with CUDA");
    (built, check(&doctor, "gpu").is_some())
}

#[test]
fn doctor_says_what_was_tried_in_one_line_each() {
    let doctor = json("", &["doctor", "--json"]);
    let (built, gpu) = abilities();
    let (state, finding) = check(&doctor, "device").unwrap();
    match (built, gpu) {
        (_, true) => {
            assert_eq!((state.as_str(), finding.as_str()), ("ok", "cuda"));
            assert!(check(&doctor, "gpu").unwrap().1.contains("compute capability"));
        }
        (true, false) => {
            assert!(state == "note" && finding.starts_with("cpu; CUDA is not available: "), "{finding}");
        }
        (false, _) => assert!(finding.contains("built without the cuda feature"), "{finding}"),
    }
    assert_eq!(built, check(&doctor, "nvml").is_some());
    for c in doctor["checks"].as_array().unwrap() {
        assert!(!c["finding"].as_str().unwrap().contains('\n'), "{c}");
    }
    let plain = json("plain", &["doctor", "--json"]);
    assert!(check(&plain, "kernels").unwrap().1.contains("composed"));
}

#[test]
fn demanding_a_gpu_fails_in_one_sentence_and_auto_goes_on() {
    let (built, gpu) = abilities();
    let demanded = maskscope("", &["predict", "--text", "It was a", "--device", "cuda"]);
    if gpu {
        assert!(demanded.status.success());
        return;
    }
    assert_eq!(demanded.status.code(), Some(3));
    let said = String::from_utf8(demanded.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("error: device cuda is not available: "), "{said}");
    assert!(lines[1].starts_with("hint: "), "{said}");
    let auto = maskscope("", &["predict", "--text", "It was a"]);
    assert!(auto.status.success());
    let said = String::from_utf8(auto.stderr).unwrap();
    // Once, in one line, and only by a binary that could have used one.
    assert_eq!(
        said.matches("running on the CPU, since CUDA does not work here: ").count(),
        usize::from(built)
    );
    assert!(said.lines().count() <= 1, "{said}");
}

#[test]
fn traces_are_hugging_faces_numbers() {
    let reference = Reference::open();
    let ids: Vec<String> = reference.ids("causal.input_ids").iter().map(u32::to_string).collect();
    let (ids, model) = (ids.join(","), tiny_folder());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace.safetensors");
    for kernels in WAYS {
        let (model, file) = (model.to_str().unwrap(), file.to_str().unwrap());
        json(kernels, &["trace", "--model", model, "--ids", &ids, "--out", file, "--json"]);
        let bytes = std::fs::read(file).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        for name in ["logits", "attentions", "hidden_states"] {
            let data = tensors.tensor(name).unwrap().data().to_vec();
            let ours: Vec<f32> =
                data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            let theirs = reference.floats(&format!("causal.{name}"));
            let scale = theirs.iter().fold(1e-6f32, |m, x| m.max(x.abs()));
            // A GPU may use another order of summation; its products are full f32.
            let off = largest_difference(&ours, &theirs) / scale;
            assert!(off < 1e-3, "{name}, {kernels:?}: {off}");
            assert!(abilities().1 || off < 2e-5, "{name}, {kernels:?}: {off}");
        }
    }
}

const TEXT: &str = "It was a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.";

#[test]
fn masks_and_effects_do_not_depend_on_the_operators() {
    for op in ["replace", "hide", "drop", "skip"] {
        let args = ["mask", "--text", TEXT, "--probability", "1", "--op", op, "--json"];
        let (own, plain) = (json("", &args), json("plain", &args));
        assert!(own["selected"].as_u64().unwrap() > 0);
        let states = |v: &Value| -> Vec<Value> {
            v["positions"].as_array().unwrap().iter().map(|p| p["state"].clone()).collect()
        };
        assert_eq!(states(&own), states(&plain), "{op}");
        let kl = |v: &Value| v["kl_nats"].as_f64().unwrap();
        assert!((kl(&own) - kl(&plain)).abs() < 1e-3 * kl(&own).max(1e-2), "{op}");
    }
    let args = ["effect", "--text", TEXT, "--probability", "1", "--json"];
    let (own, plain) = (json("", &args), json("plain", &args));
    let losses = |v: &Value| -> Vec<f64> {
        v["effects"].as_array().unwrap().iter().filter_map(|e| e["loss"].as_f64()).collect()
    };
    assert!(losses(&own).len() > 3);
    for (a, b) in losses(&own).iter().zip(losses(&plain)) {
        assert!((a - b).abs() < 1e-3 * a, "{a} against {b}");
    }
}

/// A short run from nothing; its validation loss.
fn trained(kernels: &str, dir: &Path, more: &[&str]) -> Value {
    let data = dir.join("data.txt");
    let paragraph = "The whale swam past the old ship, and the captain counted his men again.\n";
    let documents: Vec<String> = (0..4).map(|i| format!("Chapter {i}\n{}", paragraph.repeat(40))).collect();
    std::fs::write(&data, documents.join("\n")).unwrap();
    let (init, out) = (dir.join("init.json"), dir.join(format!("run-{kernels}-{}", more.len())));
    let config = r#"{"vocab_size": 300, "n_positions": 32, "n_embd": 32, "n_layer": 3, "n_head": 2}"#;
    std::fs::write(&init, config).unwrap();
    let paths = [&data, &init, &out].map(|p| p.to_str().unwrap().to_owned());
    let args = ["train", "--data", &paths[0], "--init", &paths[1], "--out", &paths[2]];
    let settings =
        "--steps 30 --context 32 --batch-size 4 --learning-rate 3e-3 --warmup-steps 5 --eval-every 1000";
    let settings: Vec<&str> = settings.split(' ').collect();
    json(kernels, &[&args[..], &settings, more, &["--json"]].concat())
}

#[test]
fn short_runs_agree_and_resume() {
    let dir = tempfile::tempdir().unwrap();
    for more in [&[][..], &["--arm", "dyn-attn-high", "--op", "skip", "--mask-rate", "0.3"]] {
        let loss = |v: &Value| v["summary"]["validation_loss"].as_f64().unwrap();
        let (own, plain) = (trained("", dir.path(), more), trained("plain", dir.path(), more));
        assert!(loss(&own) < 5.0, "ln 300 is 5.7: {}", loss(&own));
        assert!((loss(&own) - loss(&plain)).abs() < 2e-2 * loss(&own), "{} {}", loss(&own), loss(&plain));
    }
    // Each continues what the other wrote, moments included.
    let run = dir.path().join("run-plain-0");
    let more = json("", &["train", "--resume", run.to_str().unwrap(), "--steps", "40", "--json"]);
    assert_eq!(more["summary"]["steps"], 40);
}

#[test]
fn bf16_without_a_gpu_is_refused_with_what_to_do() {
    if abilities().1 {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data.txt"), dir.path().join("run"));
    std::fs::write(&data, "The whale swam past the old ship.\n".repeat(2000)).unwrap();
    let (data, out) = (data.to_str().unwrap(), out.to_str().unwrap());
    let refused = maskscope("", &["train", "--data", data, "--out", out, "--precision", "bf16"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("training in bf16 needs a GPU") && said.contains("hint: set train.precision"),
        "{said}"
    );
}

#[test]
fn the_screen_opens_and_leaves_the_terminal_as_it_was() {
    for kernels in WAYS {
        let env = [("MASKSCOPE_KERNELS", kernels)];
        let mut session = Session::start(&Start { env: &env, ..Start::default() });
        session.wait_text("Δ masked");
        session.send("]");
        session.send("q");
        assert!(session.wait_end().success());
        session.assert_restored();
    }
}
