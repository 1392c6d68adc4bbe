//! `maskscope train` and `runs` as a person uses them: data of prompts and answers, passes, runs that go on, seeds that are
//! added, heads on the way.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const CONFIG: &str = r#"{"model_type": "gpt2", "vocab_size": 300, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2}"#;

/// A folder with a configuration and data, in which commands run.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Desk(tempfile::tempdir().unwrap());
        desk.write("config.json", CONFIG);
        let row = |i: usize| {
            json!({"instruction": format!("Say {i} twice."), "input": "", "output": format!("{i} {i}")})
                .to_string()
        };
        desk.write("rows.jsonl", &(0..80).map(row).collect::<Vec<_>>().join("\n"));
        let text =
            |i: usize| format!("number {i} stands before {} and\nafter {}", i + 1, i.saturating_sub(1));
        desk.write("text.txt", &(0..120).map(text).collect::<Vec<_>>().join("\n\n"));
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, args: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
        command.args(args.split_whitespace()).current_dir(self.0.path());
        command.env("MASKSCOPE_CONFIG", "/dev/null").env("HOME", self.0.path()).env_remove("HF_ENDPOINT");
        command.env("XDG_CACHE_HOME", self.0.path().join("cache")).output().unwrap()
    }

    /// What a command prints.
    fn said(&self, args: &str) -> String {
        let out = self.run(args);
        assert!(out.status.success(), "{args}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    fn json(&self, args: &str) -> Value {
        serde_json::from_str(&self.said(args)).unwrap()
    }

    /// Exit status and message of a command that fails.
    fn refused(&self, args: &str) -> (i32, String) {
        let out = self.run(args);
        (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
    }

    fn spec(&self, run: &str) -> Value {
        let text = std::fs::read(self.0.path().join(run).join("run.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

/// A small run from scratch; the tokenizer is learned from the data.
const SMALL: &str = "--init config.json --context 24 --batch-size 4 --eval-every 100 --seed 3";

fn notes(plan: &Value) -> String {
    plan["notes"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn rows_of_instructions_say_in_the_plan_what_is_learned_of_them() {
    let desk = Desk::new();
    let plan = desk.json(&format!("train {SMALL} --data rows.jsonl --chat-template alpaca --plan --json"));
    let said = notes(&plan);
    assert!(
        said.contains("80 conversations (instruction + output), written by the chat template alpaca; loss on the answers alone"),
        "{said}"
    );
    let counted = said.lines().find(|l| l.starts_with("the loss is on the answers: ")).unwrap();
    let numbers: Vec<u64> = counted.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[0] * 5 < numbers[1], "answers are short: {counted}");
    let all = desk.json(&format!("train {SMALL} --data rows.jsonl --loss-on all --plan --json"));
    assert!(notes(&all).contains("loss on every token") && !notes(&all).contains("tokens count"));
    let apart = desk.json(&format!("train {SMALL} --data rows.jsonl --packing one-per-row --plan --json"));
    assert!(notes(&apart).contains("rows of one document each"), "{}", notes(&apart));
}

#[test]
fn passes_become_steps_and_both_are_said() {
    let desk = Desk::new();
    let plan = desk.json(&format!("train {SMALL} --data text.txt --epochs 3 --plan --json"));
    let (steps, epochs) = (plan["steps"].as_u64().unwrap(), plan["epochs"].as_f64().unwrap());
    assert!((3.0..3.2).contains(&epochs) && steps > 10, "{steps} steps, {epochs} passes");
    let said = desk.said(&format!("train {SMALL} --data text.txt --epochs 3 --plan"));
    assert!(
        said.contains(&format!("{steps} steps")) && said.contains("3.0") && said.contains("epochs"),
        "{said}"
    );
    let (code, said) = desk.refused(&format!("train {SMALL} --data text.txt --epochs 3 --steps 5 --plan"));
    assert!(code == 2 && said.contains("give one of them"), "{said}");
    desk.said(&format!("train {SMALL} --data text.txt --epochs 1 --out run"));
    assert_eq!(desk.spec("run")["steps"].as_u64(), Some(steps.div_ceil(3)));
    let on = desk.json("train --resume run --epochs 2 --json");
    assert_eq!(on["summary"]["steps"], desk.spec("run")["steps"], "the folder says what was done");
    assert!(on["summary"]["steps"].as_u64().unwrap() > steps.div_ceil(3));
    for (flags, named) in [
        ("--learning-rate 1", "--learning-rate"),
        ("--model gpt2", "--model"),
        ("--save-dtype f16", "--save-dtype"),
    ] {
        let (code, said) = desk.refused(&format!("train --resume run {flags}"));
        assert!(code == 2 && said.contains(&format!("{named} cannot change")), "{said}");
        assert!(said.contains("--resume takes --steps or --epochs"), "{said}");
    }
}

#[test]
fn heads_are_recorded_at_ten_spaced_checkpoints_and_runs_say_what_differs() {
    let desk = Desk::new();
    desk.said(&format!("train {SMALL} --data text.txt --steps 60 --keep-spaced 12 --out a"));
    desk.said(&format!("train {SMALL} --data text.txt --steps 6 --lr-policy one-cycle --out b"));
    let told = desk.json("runs heads a --json");
    let steps: Vec<u64> =
        told["steps"].as_array().unwrap().iter().map(|s| s["step"].as_u64().unwrap()).collect();
    assert!(steps.len() >= 10 && steps[0] == 1 && steps.last() == Some(&60), "{steps:?}");
    for step in &steps {
        assert!(
            desk.0.path().join(format!("a/checkpoints/step-{step:08}/model.safetensors")).is_file(),
            "{step}"
        );
    }
    let heads = told["steps"][3]["heads"].as_array().unwrap();
    assert_eq!(heads.len(), 4);
    let entropy = heads[0]["entropy"].as_f64().unwrap();
    assert!(entropy > 0.5 && entropy < 24f64.ln(), "{entropy}");
    let table = desk.said("runs heads a");
    assert!(table.contains("entropy in nats") && table.lines().count() >= 12, "{table}");
    let (code, said) = desk.refused("runs heads b");
    assert!(code == 1 && said.contains("--keep-spaced"), "{said}");
    let compared = desk.said("runs compare a b");
    for line in
        ["steps: 6 instead of 60", "LR policy: one-cycle instead of wsd", "spaced, kept: 0 instead of 12"]
    {
        assert!(compared.contains(line), "{compared}");
    }
}

#[test]
fn seeds_are_added_to_twins_that_started_from_nothing() {
    let desk = Desk::new();
    desk.said(&format!(
        "train {SMALL} --data text.txt --twins none,dyn-rand --twin-seeds 1 --steps 4 --replacement mean --out twins"
    ));
    let elsewhere = desk.0.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    assert!(Path::new(desk.spec("twins")["init"]["config"].as_str().unwrap()).is_absolute());
    let more = desk.json("train --resume twins --twin-seeds 2 --json");
    assert_eq!(more["summary"]["twins"]["seeds"].as_u64(), Some(2));
}

/// The rows of a batch outweigh everything else here: eight blocks over 8,192 tokens.
#[test]
fn gradient_checkpointing_takes_less_memory_at_its_peak() {
    let desk = Desk::new();
    desk.write(
        "wide.json",
        r#"{"model_type": "gpt2", "vocab_size": 300, "n_positions": 256, "n_embd": 128, "n_layer": 8, "n_head": 4}"#,
    );
    let long = |i: usize| format!("{} after {i}", "word ".repeat(40));
    desk.write("long.txt", &(0..300).map(long).collect::<Vec<_>>().join("\n\n"));
    let peak = |again: bool| {
        let told = desk.json(&format!(
            "train --init wide.json --data long.txt --steps 1 --batch-size 32 --context 256 --validation-tokens 300 \
             --no-plan --gradient-checkpointing={again} --out wide-{again} --json"
        ));
        let summary = &told["summary"];
        (summary["peak_memory"].as_f64().unwrap(), summary["train_loss"].as_f64().unwrap().to_bits())
    };
    let ((kept, loss), (again, same)) = (peak(false), peak(true));
    assert_eq!(loss, same);
    assert!(again < 0.7 * kept, "{again} bytes at the peak instead of {kept}");
}
