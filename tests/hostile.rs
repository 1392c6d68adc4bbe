//! Files that are damaged, hostile or something else, given to the commands of the real binary: a sentence, a hint, an
//! exit code, and nothing of a person's that is lost.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use safetensors::SafeTensors;
use support::tiny_folder;

fn maskscope(args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
    command.args(args).env("MASKSCOPE_CONFIG", "/dev/null").env("XDG_CACHE_HOME", home.path());
    command.env_remove("HF_ENDPOINT").output().unwrap()
}

/// The exit code and what was said; a hint must be among it.
fn refused(args: &[&str]) -> (i32, String) {
    let out = maskscope(args);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("hint: ") && out.stdout.is_empty(), "{args:?}: {said}");
    (out.status.code().expect("no signal"), said)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A copy of the tiny model.
fn copied() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(tiny_folder().join(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn weights_that_are_no_numbers_end_every_command_with_exit_1() {
    let folder = copied();
    let file = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let values = SafeTensors::deserialize(&bytes).unwrap();
    let names = values.names();
    let name = names.into_iter().find(|n| n.ends_with("h.0.attn.c_attn.weight")).unwrap().to_owned();
    let first = values.tensor(&name).unwrap().data().as_ptr() as usize - bytes.as_ptr() as usize;
    for (value, what) in [(f32::NAN, "NaN at [0, 0]"), (f32::INFINITY, "an infinite value at [0, 0]")] {
        bytes[first..first + 4].copy_from_slice(&value.to_le_bytes());
        std::fs::write(&file, &bytes).unwrap();
        for command in ["predict", "mask", "effect", "heads"] {
            let mut args = vec![command, "--model", text(folder.path())];
            if command != "heads" {
                args.extend(["--text", "one two three four"]);
            }
            let (code, said) = refused(&args);
            assert_eq!(code, 1, "{command}: {said}");
            assert!(said.contains("h.0.attn.c_attn.weight") && said.contains(what), "{command}: {said}");
        }
    }
}

#[test]
fn a_file_named_as_a_model_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "Once upon a time.\n").unwrap();
    let (code, said) = refused(&["predict", "--model", text(&file), "--text", "a"]);
    assert!(code == 3 && said.contains("notes.txt: the file is a text file"), "{code} {said}");
    let weights = tiny_folder().join("model.safetensors");
    let (code, said) = refused(&["predict", "--model", text(&weights), "--text", "a"]);
    assert!(
        code == 3 && said.contains("is a safetensors file") && said.contains("pass the folder"),
        "{said}"
    );
}

#[test]
fn damaged_tokenizers_name_their_file() {
    let folder = copied();
    let file = folder.path().join("tokenizer.json");
    let whole: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let double = serde_json::json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    for (part, value, what) in [
        ("decoder", serde_json::json!({"type": "Byte"}), "not a tokenizer"),
        (
            "normalizer",
            serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAP////94AA=="}),
            "",
        ),
        (
            "normalizer",
            serde_json::json!({"type": "Sequence", "normalizers": vec![double; 40]}),
            "a normaliser",
        ),
    ] {
        let mut changed = whole.clone();
        changed[part] = value;
        std::fs::write(&file, changed.to_string()).unwrap();
        let out = maskscope(&["predict", "--model", text(folder.path()), "--text", "a banana"]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(matches!(out.status.code(), Some(1 | 3)), "{part}: {:?} {said}", out.status);
        assert!(!said.contains("panicked") && said.contains(what), "{part}: {said}");
        assert!(said.contains("tokeni"), "{part}: {said}");
    }
}

#[test]
fn a_text_is_judged_by_its_size_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.txt");
    std::fs::File::create(&file).unwrap().set_len(10_000_000_000).unwrap();
    for command in ["predict", "mask", "effect"] {
        let model = tiny_folder();
        let (code, said) = refused(&[command, "--model", text(&model), "--text-file", text(&file)]);
        assert!(code == 1 && said.contains("large.txt has 10.0 GB, more text than fits into"), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn results_go_through_links_to_plain_files_and_nowhere_else() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (folder, model) = (tempfile::tempdir().unwrap(), tiny_folder());
    let at = |name: &str| folder.path().join(name);
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    for (out, what) in
        [(at("fifo"), "a FIFO"), (folder.path().to_owned(), "a folder"), ("/dev/full".into(), "a device")]
    {
        for args in [&["trace", "--text", "a"][..], &["calibrate"]] {
            let (code, said) = refused(&[args, &["--model", text(&model), "--out", text(&out)]].concat());
            assert!(code == 1 && said.contains(&format!("cannot be written: it is {what}")), "{said}");
        }
    }
    std::fs::File::create(at("usual")).unwrap();
    symlink("real.safetensors", at("link")).unwrap();
    let out = at("link");
    let done = maskscope(&["trace", "--model", text(&model), "--text", "a b c", "--out", text(&out)]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(std::fs::symlink_metadata(&out).unwrap().is_symlink());
    let mode = |name: &str| std::fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("real.safetensors"), mode("usual"));
    SafeTensors::deserialize(&std::fs::read(at("real.safetensors")).unwrap()).unwrap();
}

/// A run of two steps of the tiny model.
fn small_run(folder: &Path) -> std::path::PathBuf {
    let (data, out) = (folder.join("data.txt"), folder.join("run"));
    std::fs::write(&data, "one two three four five six seven eight nine ten\n\n".repeat(40)).unwrap();
    let done = maskscope(&train(&data, &out, &["--steps", "2", "--no-plan"]));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    out
}

fn train<'a>(data: &'a Path, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    // Lives as long as the test binary; there are few.
    let model: &str = Box::leak(text(&tiny_folder()).to_owned().into_boxed_str());
    let fixed = ["train", "--model", model, "--data", text(data), "--out", text(out)];
    [&fixed[..], &["--context", "8", "--batch-size", "2"], more].concat()
}

#[test]
fn files_of_a_run_are_held_to_bounds_with_a_plan_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let run = small_run(folder.path());
    let trainer = run.join("checkpoints/step-00000002/trainer.json");
    let big = 1u64 << 62;
    for (file, path, value, what) in [
        (
            run.join("run.json"),
            "/batch_size",
            serde_json::json!(1u64 << 32),
            "batch_size must be at most 65536, not 4294967296",
        ),
        (run.join("run.json"), "/steps", serde_json::json!(big), "steps must be at most 1000000000"),
        (run.join("run.json"), "/context", serde_json::json!(big), "context must be at most 65536"),
        (run.join("run.json"), "/adamw/beta1", serde_json::json!(7), "beta1 must be at most"),
        (
            trainer.clone(),
            "/config/n_layer",
            serde_json::json!(big),
            "n_layer is 4611686018427387904, outside 1 to 512",
        ),
        (trainer.clone(), "/counters/step", serde_json::json!(big), "step must be at most 1000000000"),
    ] {
        let whole = std::fs::read(&file).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        *json.pointer_mut(path).unwrap() = value;
        std::fs::write(&file, json.to_string()).unwrap();
        for plan in ["--plan", "--no-plan"] {
            let out = maskscope(&["train", "--resume", text(&run), "--steps", "4", plan]);
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(1), "{path} {plan}: {said}");
            assert!(
                said.contains(what) && said.contains(text(file.file_name().map(Path::new).unwrap())),
                "{said}"
            );
        }
        std::fs::write(&file, whole).unwrap();
    }
    let fine = maskscope(&["train", "--resume", text(&run), "--steps", "3", "--no-plan"]);
    assert!(fine.status.success(), "{}", String::from_utf8_lossy(&fine.stderr));
}

#[test]
fn a_run_that_cannot_fit_is_refused_without_a_plan_too() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data.txt"), folder.path().join("run"));
    std::fs::write(&data, "one two three four five six seven eight nine ten\n\n".repeat(40)).unwrap();
    let sizes = ["--batch-size", "65536", "--accumulate", "65536"];
    for plan in [&["--no-plan"][..], &[]] {
        let fixed =
            ["train", "--model", "demo", "--data", text(&data), "--out", text(&out), "--context", "64"];
        let (code, said) = refused(&[&fixed[..], &sizes, plan].concat());
        assert!(code == 1 && said.contains("GB on top of what is loaded"), "{said}");
    }
    assert!(!out.join("run.json").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_last_checkpoint_does_not_fit_ends_with_exit_1() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data.txt"), folder.path().join("run"));
    std::fs::write(&data, "one two three four five six seven eight nine ten\n\n".repeat(40)).unwrap();
    // Files of at most 8 kB; writing more is an error then, not a signal.
    let line = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
    let done = Command::new("sh")
        .args(["-c", line, env!("CARGO_BIN_EXE_maskscope")])
        .args(train(&data, &out, &["--steps", "2"]))
        .env("MASKSCOPE_CONFIG", "/dev/null")
        .env("XDG_CACHE_HOME", folder.path())
        .output()
        .unwrap();
    let (said, printed) = (
        String::from_utf8_lossy(&done.stderr).into_owned(),
        String::from_utf8_lossy(&done.stdout).into_owned(),
    );
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("step 2 could not be saved for lack of space: nothing is saved"), "{said}");
    assert!(printed.contains("saved: nothing") && said.contains("hint: "), "{printed}");
    let (code, said) = refused(&["predict", "--model", text(&out), "--text", "a"]);
    assert!(code == 3 && said.contains("a training run without a saved checkpoint"), "{said}");
}

#[cfg(unix)]
#[test]
fn signals_end_a_run_with_128_and_their_number() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.txt");
    std::fs::write(&data, "one two three four five six seven eight nine ten\n\n".repeat(40)).unwrap();
    for (signal, twice) in [(libc::SIGINT, false), (libc::SIGTERM, false), (libc::SIGTERM, true)] {
        let out = folder.path().join(format!("run-{signal}-{twice}"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_maskscope"))
            .args(train(&data, &out, &["--steps", "100000", "--no-plan"]))
            .env("MASKSCOPE_CONFIG", "/dev/null")
            .env("XDG_CACHE_HOME", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with("step 1:")), "the run begins");
        // SAFETY: the child has not been waited for, so the id is its own.
        let send = || unsafe { libc::kill(child.id() as i32, signal) };
        assert_eq!(send(), 0);
        if twice {
            send();
        }
        let rest: Vec<String> = lines.collect();
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(128 + signal), "{rest:?}");
        assert!(twice || out.join("model.safetensors").is_file(), "one signal stops and saves: {rest:?}");
    }
}

#[test]
fn a_plan_needs_no_folder_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.txt");
    // Enough text for its tokens to be kept on the disk, were it a run.
    std::fs::write(&data, "one two three four five six seven eight nine ten\n\n".repeat(30_000)).unwrap();
    let plan = |cache: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
        command.args([
            "train",
            "--plan",
            "--model",
            text(&tiny_folder()),
            "--context",
            "8",
            "--data",
            text(&data),
        ]);
        command.env("MASKSCOPE_CONFIG", "/dev/null").env("XDG_CACHE_HOME", cache).output().unwrap()
    };
    let cache = folder.path().join("cache");
    let planned = plan(&cache);
    assert!(planned.status.success(), "{}", String::from_utf8_lossy(&planned.stderr));
    assert!(String::from_utf8_lossy(&planned.stdout).contains("plan: "));
    assert!(!cache.join("maskscope/tokens").exists(), "tokens are not kept");
}

#[test]
fn documents_shorter_than_a_window_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.txt");
    let long = "one two three four five six seven eight nine ten ".repeat(60);
    std::fs::write(&data, format!("a short one\n\n{long}\n\nanother short one\n")).unwrap();
    let model = tiny_folder();
    let out = maskscope(&["heads", "--model", text(&model), "--text-file", text(&data), "--windows", "1"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.success() && said.contains("2 of 3 documents are shorter than one window of"),
        "{said}"
    );
    std::fs::write(&data, "a short one\n\nanother short one\n").unwrap();
    let (code, said) = refused(&["heads", "--model", text(&model), "--text-file", text(&data)]);
    assert!(code == 1 && said.contains("every document is shorter than one window of"), "{said}");
}

#[test]
fn what_turns_text_round_and_what_is_long_never_reaches_the_terminal_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let evil = "x\u{202e}y\u{2066}z\u{9b}31m";
    let file = folder.path().join(format!("{evil}.txt"));
    std::fs::write(&file, format!("one {evil} two\n")).unwrap();
    let long = "y".repeat(100_000);
    let (model, missing) = (tiny_folder(), folder.path().join(evil));
    let assignment = format!("mask.threshold={long}");
    for args in [
        &["predict", "--model", text(&model), "--text-file", text(&file)][..],
        &["predict", "--model", text(&model), "--text-file", text(&file), "--json"],
        &["mask", "--model", text(&model), "--text", evil, "--json"],
        &["predict", "--model", text(&missing), "--text", "a"],
        &["predict", "--model", evil, "--text", "a"],
        &["predict", "--model", &long, "--text", "a"],
        &["predict", evil],
        &[evil],
        &[long.as_str()],
        &["predict", "--text", "a", "--set", &assignment],
        &["train", "--data", text(&missing), "--out", text(&missing)],
        &["runs", "list", text(&missing)],
    ] {
        let out = maskscope(args);
        let (said, printed) = (String::from_utf8_lossy(&out.stderr), String::from_utf8_lossy(&out.stdout));
        let unsafe_one = |c: char| c != '\n' && c != '\t' && maskscope::support::visible::is_unsafe(c);
        let shown: Vec<String> = args.iter().map(|arg| arg.chars().take(20).collect()).collect();
        assert!(!said.contains(unsafe_one) && !printed.contains(unsafe_one), "{shown:?}: {said:?}");
        assert!(said.chars().count() < 5000, "{shown:?} says {} characters", said.chars().count());
    }
}
