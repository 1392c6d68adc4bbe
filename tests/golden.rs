//! What the declarations come to, as a person or a program meets it: every help text, the reference, the settings in
//! force, the rows of the Mask pane under each preset, the rows of a run's form. Kept as files that a person can review:
//! `UPDATE_GOLDEN=1 cargo test --release --test golden` writes them, and the difference says what has changed.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::Path;

use assert_cmd::Command;
use maskscope::attention::types::ScoreSettings as Score;
use maskscope::mask::rolling::RollingSettings as Rolling;
use maskscope::mask::types::MaskSettings as Mask;
use maskscope::screen::document::Document;
use maskscope::screen::options::Options;
use maskscope::screen::params;
use maskscope::screen::train::RunSettings as Run;
use maskscope::train::settings::TrainSettings as Train;

/// Compares with the committed file, or writes it.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let first = committed.lines().zip(text.lines()).find(|(old, new)| old != new);
    assert!(
        committed == text,
        "{name} is not what the program says, first at {first:?}; UPDATE_GOLDEN=1 cargo test --release --test golden \
         writes it again"
    );
}

fn stdout(args: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
    let output = command.env_clear().env("HOME", home.path()).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().replace(home.path().to_str().unwrap(), "~")
}

/// Names of the subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty());
    names.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().map(str::to_owned)).collect()
}

fn helps(path: &[&str], out: &mut String) {
    let help = stdout(&[path, &["--help"]].concat());
    write!(out, "$ maskscope {}\n\n{help}\n", [path, &["--help"]].concat().join(" ")).unwrap();
    for name in subcommands(&help) {
        helps(&[path, &[name.as_str()]].concat(), out);
    }
}

#[test]
fn help() {
    let mut text = String::new();
    helps(&[], &mut text);
    assert!(text.matches("$ maskscope").count() > 12, "{text}");
    golden("help.txt", &text);
}

#[test]
fn reference() {
    golden("reference.md", &stdout(&["config", "reference"]));
    golden("reference.json", &stdout(&["config", "reference", "--json"]));
}

#[test]
fn settings_in_force() {
    golden("print.toml", &stdout(&["config", "print"]));
    golden("print.json", &stdout(&["config", "print", "--json"]));
}

#[test]
fn keys() {
    golden("keys.md", &maskscope::screen::actions::markdown());
}

#[test]
fn rows_of_the_mask_pane() {
    let options = Options::default();
    let mut text = String::new();
    for preset in maskscope::config::PRESETS {
        let mut doc = Document::new(&options);
        doc.take_preset(preset.name, &options);
        writeln!(text, "## {}: {}", preset.name, params::preset_doc(preset.name)).unwrap();
        for id in params::shown(&doc) {
            let value = params::text(&doc, &options, id);
            writeln!(text, "{:<13} {value}", params::row(id).name()).unwrap();
        }
        text.push('\n');
    }
    golden("mask_pane.txt", &text);
}

#[test]
fn docs_of_the_mask_pane() {
    let options = Options::default();
    let mut text = String::new();
    let mut seen = Vec::new();
    // Between them the presets show most settings; these changes show the rest.
    let changes = [
        (Mask::scope, "block"),
        (Rolling::sticky, "off"),
        (Rolling::policy, "h2o"),
        (Mask::scope, "whole"),
        (Mask::op, "drop"),
        (Score::reduction, "window"),
    ];
    let mut doc = Document::new(&options);
    for change in [None].into_iter().chain(changes.into_iter().map(Some)) {
        if let Some((id, value)) = change {
            params::parse(&mut doc, &options, id, value).unwrap();
        }
        for id in params::shown(&doc) {
            if !seen.contains(&id) {
                seen.push(id);
                let row = params::row(id);
                writeln!(text, "{} {}: {}", row.symbol, row.name(), row.doc).unwrap();
                choices(id, &mut text);
            }
        }
    }
    golden("mask_docs.txt", &text);
}

fn choices(path: params::Path, text: &mut String) {
    let row = params::row(path);
    if row.choices().is_empty() {
        writeln!(text, "    {}", row.kind.describe()).unwrap();
    }
    for choice in row.choices() {
        writeln!(text, "    {}: {}", choice.name, choice.doc).unwrap();
    }
}

#[test]
fn rows_of_the_form() {
    let options = Options::default();
    let changes: &[&[(params::Path, &str)]] = &[
        &[],
        &[(Run::masking, "none")],
        &[(Run::masking, "dyn-attn-high"), (Train::joint, "soft-thresholds")],
        &[(Run::masking, "static-1"), (Train::joint, "bandit"), (Train::op, "hide")],
        &[(Train::trained, "lora"), (Train::lr_policy, "plateau"), (Train::sample_every, "50")],
        &[(Train::trained, "last-blocks"), (Run::data, "a.csv")],
        &[(Train::twins, "dyn-rand,dyn-attn-high")],
    ];
    let mut text = String::new();
    for changes in changes {
        let mut doc = Document::new(&options);
        for (path, value) in *changes {
            params::parse(&mut doc, &options, path, value).unwrap();
        }
        let name = |path| params::row(path).name();
        let title: Vec<String> = changes.iter().map(|(path, v)| format!("{} = {v}", name(path))).collect();
        writeln!(text, "## {}", title.join(", ")).unwrap();
        for path in params::shown_of_run(&doc) {
            let value = params::text(&doc, &options, path);
            writeln!(text, "{:<20} {value:<20} {}", name(path), params::row(path).doc).unwrap();
        }
        text.push('\n');
    }
    golden("form.txt", &text);
}

#[test]
fn choices_of_the_form() {
    let mut text = String::new();
    let paths = [Run::ROWS, Train::ROWS].concat();
    for path in paths.iter().filter(|row| !row.choices().is_empty() && !row.hidden).map(|row| row.path) {
        writeln!(text, "{}", params::row(path).name()).unwrap();
        choices(path, &mut text);
    }
    golden("form_choices.txt", &text);
}
