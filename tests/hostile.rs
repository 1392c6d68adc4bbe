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
