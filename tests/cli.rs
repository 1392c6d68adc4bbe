//! The real binary, without a screen: settings, completions, exit codes, what goes to which stream.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use maskscope::config::{AllSettings, Settings};
use serde_json::Value;

/// The binary with an environment of its own.
fn maskscope(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
    command.env_clear().env("HOME", home);
    command
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    for text in [&stdout, &stderr] {
        assert!(!text.contains('\u{1b}'), "escapes in a pipe: {text:?}");
    }
    Ran { code: output.status.code().unwrap(), stdout, stderr }
}

fn in_fresh_home(args: &[&str]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    run(maskscope(home.path()).args(args))
}

fn toml_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

mod settings_files {
    use super::*;

    #[test]
    fn valid_ones_start() {
        let files = toml_files("valid_configs");
        assert!(files.len() >= 5);
        for file in files {
            let ran = in_fresh_home(&["--config", file.to_str().unwrap(), "config", "print"]);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", file.display());
        }
    }

    /// The first lines of each file are what must be printed, with `{file}` for its name.
    #[test]
    fn invalid_ones_are_refused_in_so_many_words() {
        let files = toml_files("invalid_configs");
        assert!(files.len() >= 20);
        let mut wrong = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let comments = text.lines().map_while(|line| line.strip_prefix("# "));
            let wanted: String =
                comments.map(|line| line.replace("{file}", file.to_str().unwrap()) + "\n").collect();
            assert!(wanted.starts_with("error: "), "{}", file.display());
            let ran = in_fresh_home(&["config", "print", "--config", file.to_str().unwrap()]);
            if (ran.stderr.as_str(), ran.code, ran.stdout.as_str()) != (wanted.as_str(), 2, "") {
                wrong.push(format!("wanted ({}):\n{wanted}got ({}):\n{}", 2, ran.code, ran.stderr));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

mod config {
    use super::*;

    #[test]
    fn print_gives_what_is_in_force_and_where_it_is_from() {
        let home = tempfile::tempdir().unwrap();
        let args = ["config", "print", "--set", "mask.threshold=0.25", "--set", "keys.run-kill=f12"];
        let ran = run(maskscope(home.path()).args(args).env("MASKSCOPE_MASK__SEED", "12"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        let lines: Vec<_> = ran.stdout.lines().collect();
        for line in [
            "threshold = 0.25 # --set",
            "seed = 12 # MASKSCOPE_MASK__SEED",
            "id = \"demo\"",
            "run-kill = [\"f12\"] # --set",
        ] {
            assert!(lines.contains(&line), "{line}: {}", ran.stdout);
        }
        // It is a settings file itself, and gives the same settings.
        let file = home.path().join("printed.toml");
        std::fs::write(&file, &ran.stdout).unwrap();
        let json = |ran: Ran| serde_json::from_str::<Value>(&ran.stdout).unwrap()["settings"].clone();
        let again = run(maskscope(home.path()).args(["config", "print", "--json", "--config"]).arg(&file));
        let direct = run(maskscope(home.path()).args(args).arg("--json").env("MASKSCOPE_MASK__SEED", "12"));
        assert_eq!(json(again), json(direct));
    }

    #[test]
    fn print_as_json() {
        let ran = in_fresh_home(&["config", "print", "--json", "--set", "explore.layer=3"]);
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(json["settings"]["mask"]["threshold"], 0.7);
        assert_eq!(json["settings"]["explore"]["layer"], 3);
        assert_eq!(json["settings"]["explore"]["head"], "mean");
        assert_eq!(json["origins"], serde_json::json!({ "explore.layer": "--set" }));
    }

    #[test]
    fn old_names_are_answered_on_stderr() {
        let ran = in_fresh_home(&["config", "print", "--set", "ui.background_fps=30"]);
        assert_eq!(ran.code, 0);
        assert_eq!(
            ran.stderr,
            "note: --set: ui.background_fps is no longer a setting: a frame is drawn as soon as something has changed\n"
        );
    }

    #[test]
    fn old_flags_and_old_names_of_choices_are_answered_on_stderr() {
        for (args, said) in [
            (
                &["train", "--joint-rate", "0.1", "--resume", "none"][..],
                "note: --joint-rate: train.joint_rate is now train.joint_learning_rate",
            ),
            (
                &["mask", "--score", "null", "--text", "a b c"],
                "note: --score: score.reduction = null is now distance-null",
            ),
        ] {
            let ran = in_fresh_home(args);
            assert_eq!(ran.stderr.lines().next(), Some(said), "{}", ran.stderr);
        }
    }

    #[test]
    fn the_schema_knows_every_key() {
        let json: Value = serde_json::from_str(&in_fresh_home(&["config", "schema"]).stdout).unwrap();
        for row in Settings::default().rows() {
            let schema = &json["properties"][row.table()]["properties"][row.key()];
            assert_eq!(schema["description"], row.doc, "{}", row.path);
            assert!(!schema["default"].is_null(), "{}", row.path);
        }
        assert_eq!(json["properties"]["keys"]["additionalProperties"]["anyOf"][0]["type"], "string");
    }

    #[test]
    fn path_follows_flag_variable_and_home() {
        let home = tempfile::tempdir().unwrap();
        let usual = home.path().join(".config/maskscope/config.toml");
        let ran = run(maskscope(home.path()).args(["config", "path"]));
        assert_eq!(ran.stdout, format!("{}\n", usual.display()));
        let ran =
            run(maskscope(home.path()).args(["config", "path", "--json"]).env("MASKSCOPE_CONFIG", "/a/b"));
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(json, serde_json::json!({ "path": "/a/b", "exists": false }));
        let ran = run(maskscope(home.path()).args(["config", "path", "--config", "/c"]));
        assert_eq!(ran.stdout, "/c\n");
        let ran = run(maskscope(home.path()).args(["config", "path"]).env_remove("HOME"));
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.starts_with("error: there is no home folder") && ran.stderr.contains("\nhint: "));
    }

    #[test]
    fn set_writes_and_print_reads() {
        let home = tempfile::tempdir().unwrap();
        let set = |key: &str, value: &str| run(maskscope(home.path()).args(["config", "set", key, value]));
        assert_eq!(set("mask.threshold", "0.9").code, 0);
        assert_eq!(set("keys.quit", "q,x").code, 0);
        assert_eq!(set("explore.text", "-- a text --").code, 0);
        let ran = run(maskscope(home.path()).args(["config", "print", "--json"]));
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(json["settings"]["mask"]["threshold"], 0.9);
        assert_eq!(json["settings"]["keys"]["quit"], serde_json::json!(["q", "x"]));
        assert_eq!(json["settings"]["explore"]["text"], "-- a text --");
        assert!(json["origins"]["mask.threshold"].as_str().unwrap().ends_with("config.toml:4:1"));

        let ran = set("mask.threshold", "9");
        assert_eq!(ran.code, 2);
        assert_eq!(
            ran.stderr,
            "error: mask.threshold must be at most 1, not 9\nhint: a number from 0 to 1\n"
        );
        let ran = set("mask.tau", "0.5");
        assert_eq!((ran.code, ran.stderr.lines().next()), (2, Some("error: unknown key: mask.tau")));
        let ran = set("keys.rerol", "m");
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (2, "error: unknown action: rerol\nhint: did you mean reroll?\n")
        );
    }

    #[test]
    fn set_mends_a_file_that_does_not_load() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("broken.toml");
        std::fs::write(&file, "[mask]\nthreshold = 7\n").unwrap();
        let run = |args: &[&str]| run(maskscope(home.path()).args(args).env("MASKSCOPE_CONFIG", &file));
        assert_eq!(run(&["config", "print"]).code, 2);
        assert_eq!(run(&["config", "set", "mask.threshold", "0.7"]).code, 0);
        assert_eq!(run(&["config", "print"]).code, 0);
    }

    #[test]
    fn reference_lists_every_key() {
        let text = in_fresh_home(&["config", "reference"]).stdout;
        let json: Value =
            serde_json::from_str(&in_fresh_home(&["config", "reference", "--json"]).stdout).unwrap();
        let keys: Vec<_> = Settings::default().rows().into_iter().map(|row| row.path).collect();
        let listed: Vec<_> =
            json.as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect();
        assert_eq!(listed, keys);
        assert!(keys.iter().all(|key| text.contains(&format!("| `{key}` |"))));
        assert!(json.as_array().unwrap().iter().all(|row| !row["default"].is_null()));
    }
}

mod frame {
    use super::*;

    #[test]
    fn usage_errors_are_2_and_go_to_stderr() {
        for args in [
            vec!["no-such-command"],
            vec!["--no-such-flag"],
            vec!["--device", "tpu"],
            vec!["--set", "mask.threshold"],
            vec!["config", "print", "--set", "mask.threshold=7"],
            vec!["config", "print", "--set", "no.such=7"],
            vec!["config", "print", "--config", "/nowhere/config.toml"],
            vec!["--model", "demo", "config", "print"],
            vec!["completions", "tcsh"],
        ] {
            let ran = in_fresh_home(&args);
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
            assert!(ran.stderr.starts_with("error: "), "{args:?}: {}", ran.stderr);
        }
    }

    #[test]
    fn help_and_version_are_0_and_go_to_stdout() {
        for args in [vec!["--help"], vec!["--version"], vec!["config", "--help"], vec!["config", "set", "-h"]]
        {
            let ran = in_fresh_home(&args);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
            assert!(!ran.stdout.is_empty());
        }
    }

    #[test]
    fn every_choice_of_a_flag_has_a_line_of_help() {
        for command in
            ["trace", "predict", "mask", "effect", "eval", "train", "models", "heads", "calibrate", "bench"]
        {
            let help = in_fresh_home(&[command, "--help"]).stdout;
            assert!(!help.contains("[possible values:"), "{command}: {help}");
            // A name of a choice is followed by its line.
            for line in help.lines().map(str::trim).filter(|line| line.starts_with("- ")) {
                assert!(line.contains(": "), "{command}: {line}");
            }
        }
        assert!(in_fresh_home(&["mask", "--help"]).stdout.contains("- distance-null: "));
    }

    #[test]
    fn a_flag_shows_what_the_table_says() {
        let help = in_fresh_home(&["--help"]).stdout;
        for key in ["model.id", "model.device", "explore.text"] {
            let row = Settings::default().row(key).unwrap();
            assert!(help.contains(row.doc), "{key}: {help}");
        }
        for device in ["- auto: CUDA where there is a GPU, else the CPU", "- cpu:  the CPU", "- cuda: "] {
            assert!(help.contains(device), "{help}");
        }
    }

    #[test]
    fn completions_for_every_shell() {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let ran = in_fresh_home(&["completions", shell]);
            assert_eq!(ran.code, 0);
            assert!(ran.stdout.contains("maskscope") && ran.stdout.contains("reference"), "{shell}");
            let json: Value =
                serde_json::from_str(&in_fresh_home(&["completions", shell, "--json"]).stdout).unwrap();
            assert_eq!(json["script"], ran.stdout);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        use std::process::{Command, Stdio};
        let mut child = Command::new(env!("CARGO_BIN_EXE_maskscope"))
            .args(["config", "reference"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // Closed before a byte was read; the text is longer than nothing, so the write must fail.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        assert_eq!(output.status.code(), Some(0));
    }
}
