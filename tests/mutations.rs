//! Mutated files, given to the readers of the program: each ends in a result or a sentence. A panic, a signal, more than 2 GB of
//! memory or more than 10 seconds for one file fail the test. Every mutation follows from a seed, a kind and a number.
//!
//! `cargo test --release --test mutations mutated -- --nocapture` tries 100 of each kind; `MASKSCOPE_MUTATIONS=2000`
//! tries more of them, `MASKSCOPE_MUTATIONS_SEED` others, and `MASKSCOPE_MUTATED_ONLY=run` one kind.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/mutate.rs"]
mod mutate;
mod support;
#[path = "support/pickle.rs"]
mod support_pickle;
#[path = "support/tiny_run.rs"]
mod tiny_run;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use candle_core::Device;
use maskscope::config::{Env, SettingSources, load as load_settings};
use maskscope::engine::loader::{LoadOptions, Purpose, load};
use maskscope::hub::HubOptions;
use maskscope::model::forward::Reuse;
use maskscope::model::input::Input;
use maskscope::model::{Checkpoint, ModelFiles, WeightType};
use maskscope::train::checkpoint::state;
use maskscope::train::data::{ChatStyle, ReadOptions, read};
use maskscope::train::run::{Learner, Run, Setup};
use maskscope::train::runs;
use mutate::Mutator;

/// What is mutated.
const KINDS: [&str; 7] = ["config", "tokenizer", "pickle", "header", "run", "data", "settings"];
const MOST_TIME: Duration = Duration::from_secs(10);
const MOST_MEMORY: u64 = 2_000_000_000;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What one kind came to.
#[derive(Default)]
struct Count {
    fine: usize,
    refused: usize,
    slowest: (u64, usize),
    peak: u64,
}

/// Runs the cases of one kind in a process of its own; the error names the case that fell.
fn in_a_process(kind: &str, cases: u64) -> Result<Count, String> {
    let limit = MOST_MEMORY / 1024;
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -d {limit}; exec \"$0\" inside --exact --ignored --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env("MASKSCOPE_MUTATED_KIND", kind)
        .env("MASKSCOPE_MUTATIONS", cases.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (send, lines) = channel();
    let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
    });
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = err.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let (mut count, mut last) = (Count::default(), 0);
    loop {
        match lines.recv_timeout(3 * MOST_TIME) {
            Ok(line) => {
                let words: Vec<&str> = line.split(' ').collect();
                match words[..] {
                    ["case", n, millis, outcome] => {
                        last = n.parse().unwrap();
                        let millis: u64 = millis.parse().unwrap();
                        if outcome == "panicked" || millis > MOST_TIME.as_millis() as u64 {
                            let _ = (child.kill(), child.wait());
                            let text = errors.join().unwrap_or_default();
                            return Err(format!("{kind} {n}: {outcome} after {millis} ms\n{text}"));
                        }
                        count.slowest = count.slowest.max((millis, last));
                        *if outcome == "fine" { &mut count.fine } else { &mut count.refused } += 1;
                    }
                    ["peak", bytes] => count.peak = bytes.parse().unwrap(),
                    _ => {}
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(_) => {
                let _ = (child.kill(), child.wait());
                return Err(format!("{kind}: hangs after case {last}"));
            }
        }
    }
    let status = child.wait().unwrap();
    let text = errors.join().unwrap_or_default();
    match status.success() && count.fine + count.refused == cases as usize && count.peak <= MOST_MEMORY {
        true => Ok(count),
        false => Err(format!("{kind}: {status} after case {last}, peak {} bytes\n{text}", count.peak)),
    }
}

#[test]
fn mutated_files_end_in_a_result_or_a_sentence() {
    let cases = number("MASKSCOPE_MUTATIONS", 100);
    let only = std::env::var("MASKSCOPE_MUTATED_ONLY").ok();
    let mut fallen = Vec::new();
    for kind in KINDS.into_iter().filter(|kind| only.as_deref().is_none_or(|only| only == *kind)) {
        let start = Instant::now();
        match in_a_process(kind, cases) {
            Ok(c) => println!(
                "{kind:>9}: {cases} mutations, {} fine, {} refused, slowest {} ms (case {}), peak {} MB, {:.0} s",
                c.fine,
                c.refused,
                c.slowest.0,
                c.slowest.1,
                c.peak / 1_000_000,
                start.elapsed().as_secs_f64()
            ),
            Err(problem) => fallen.push(problem),
        }
    }
    assert!(fallen.is_empty(), "{}", fallen.join("\n\n"));
}

#[test]
#[ignore = "started by the other, once for each kind"]
fn inside() {
    let Ok(kind) = std::env::var("MASKSCOPE_MUTATED_KIND") else { return };
    let seed = number("MASKSCOPE_MUTATIONS_SEED", 18);
    let at = KINDS.iter().position(|known| *known == kind).unwrap() as u64;
    let bench = Bench::new();
    for case in number("MASKSCOPE_MUTATIONS_FROM", 0)..number("MASKSCOPE_MUTATIONS", 100) {
        let mut mutator = Mutator::new(seed + 1000 * at, case);
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| bench.try_one(&kind, &mut mutator)));
        let outcome = match outcome {
            Ok(true) => "fine",
            Ok(false) => "refused",
            Err(_) => "panicked",
        };
        println!("case {case} {} {outcome}", start.elapsed().as_millis());
    }
    let peak = maskscope::train::records::MachineGauge::peak().unwrap_or(0);
    println!("peak {peak}");
}

/// Whole files to mutate, and a folder to put them into.
struct Bench {
    folder: tempfile::TempDir,
    tiny: PathBuf,
    run: PathBuf,
    pickle: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("whole run");
        let spec = maskscope::train::spec::RunSpec { steps: 4, checkpoint_every: 2, ..tiny_run::spec(&run) };
        tiny_run::drive(tiny_run::setup(spec), Vec::new());
        fs::write(run.join("metrics.jsonl"), "{\"event\":\"step\",\"step\":3,\"loss\":1.5}\n").unwrap();
        Bench { run, pickle: pickled(), tiny: support::tiny_folder(), folder }
    }

    /// Whether the mutated files were of use.
    fn try_one(&self, kind: &str, mutator: &mut Mutator) -> bool {
        match kind {
            "config" => self.model("config.json", mutator),
            "header" => self.model("model.safetensors", mutator),
            "tokenizer" => self.tokenizer(mutator),
            "pickle" => self.pickled(mutator),
            "run" => self.resumed(mutator),
            "data" => self.data(mutator),
            _ => self.settings(mutator),
        }
    }

    fn fresh(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn model(&self, changed: &str, mutator: &mut Mutator) -> bool {
        let folder = self.fresh("model");
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            let whole = fs::read(self.tiny.join(name)).unwrap();
            let bytes = match name == changed {
                true if name == "config.json" => mutator.json(&whole),
                true => mutator.safetensors(&whole),
                false => whole,
            };
            fs::write(folder.join(name), bytes).unwrap();
        }
        opens(&folder)
    }

    fn tokenizer(&self, mutator: &mut Mutator) -> bool {
        let folder = self.fresh("tokenizer");
        for name in ["config.json", "model.safetensors"] {
            fs::copy(self.tiny.join(name), folder.join(name)).unwrap();
        }
        let whole = fs::read(self.tiny.join("tokenizer.json")).unwrap();
        fs::write(folder.join("tokenizer.json"), mutator.json(&whole)).unwrap();
        if mutator.one_in(3) {
            let extra: &[u8] =
                br#"{"bos_token": "<|endoftext|>", "model_max_length": 1024, "add_prefix_space": false,
                "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}"#;
            fs::write(folder.join("tokenizer_config.json"), mutator.json(extra)).unwrap();
        }
        opens(&folder)
    }

    fn pickled(&self, mutator: &mut Mutator) -> bool {
        let folder = self.fresh("pickled");
        for name in ["config.json", "tokenizer.json"] {
            fs::copy(self.tiny.join(name), folder.join(name)).unwrap();
        }
        fs::write(folder.join("pytorch_model.bin"), mutator.zipped(&self.pickle, "data.pkl")).unwrap();
        opens(&folder)
    }

    fn resumed(&self, mutator: &mut Mutator) -> bool {
        let run = self.folder.path().join("run");
        let _ = fs::remove_dir_all(&run);
        copy_all(&self.run, &run);
        let step = run.join("checkpoints/step-00000004");
        let files = [
            run.join("run.json"),
            step.join("trainer.json"),
            step.join("config.json"),
            step.join("trainer.safetensors"),
            step.join("model.safetensors"),
            run.join("metrics.jsonl"),
        ];
        let file = &files[mutator.below(files.len())];
        let whole = fs::read(file).unwrap();
        let is_json = file.extension().is_some_and(|e| e == "json");
        let is_tensors = file.extension().is_some_and(|e| e == "safetensors");
        let bytes = match (is_json, is_tensors) {
            (true, _) => mutator.json(&whole),
            (_, true) => mutator.safetensors(&whole),
            _ => mutator.bytes(&whole),
        };
        fs::write(file, bytes).unwrap();
        let _ = (runs::list(&run), runs::curves(&run));
        let Ok(mut resumed) = state::resume(&run, &Device::Cpu) else { return false };
        let done = resumed.counters.step;
        resumed.spec.steps = resumed.spec.steps.min(done.saturating_add(2));
        // A prompt may be long, and whatever else takes its time is cut short by the clock.
        resumed.spec.time_limit = Some(resumed.counters.seconds + 1.0);
        let Ok(mut run) = Run::new(Setup::resume(resumed, tiny_run::data(), Device::Cpu)) else {
            return false;
        };
        run.fits().is_ok() && run.drive(&mut tiny_run::Log::default()).is_ok()
    }

    fn data(&self, mutator: &mut Mutator) -> bool {
        let forms = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/forms");
        let mut files: Vec<PathBuf> = fs::read_dir(forms).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|path| path.is_file() && !path.ends_with("expected.json"));
        files.sort();
        let file = &files[mutator.below(files.len())];
        let whole = fs::read(file).unwrap();
        let is_json = file.to_string_lossy().ends_with(".json");
        let bytes = if is_json && mutator.one_in(2) { mutator.json(&whole) } else { mutator.bytes(&whole) };
        let path = self.fresh("data").join(file.file_name().unwrap());
        fs::write(&path, bytes).unwrap();
        let style = ChatStyle::default();
        // As on a machine with a gigabyte free.
        let how = ReadOptions { column: None, style: &style, memory: 1_000_000_000 };
        read(&[path], &how).is_ok()
    }

    fn settings(&self, mutator: &mut Mutator) -> bool {
        let path = self.fresh("settings").join("config.toml");
        let whole = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml")).unwrap();
        fs::write(&path, mutator.bytes(&whole)).unwrap();
        let sources = SettingSources { env: Env::default(), file: Some(path), ..SettingSources::default() };
        load_settings(sources).is_ok()
    }
}

/// Loads a model as a command does, and runs it over a few tokens.
fn opens(folder: &Path) -> bool {
    let options = LoadOptions {
        hub: HubOptions { offline: true, ..HubOptions::default() },
        device: Device::Cpu,
        device_name: "cpu",
        purpose: Purpose::Explore(WeightType::F32),
    };
    let loaded = load(folder.to_str().unwrap(), &options, &mut |_| {}, &AtomicBool::new(false));
    // As `train` and its samples read it.
    let _ = Checkpoint::load(&ModelFiles::Folder(folder.to_owned()), &Device::Cpu);
    let Ok(loaded) = loaded else { return false };
    if let Some(tokenizer) = &loaded.tokenizer {
        for text in ["one two three", "ﬁne 漢字 👩‍🚀\n\n\t x\u{301} <|endoftext|>", ""] {
            let Ok(ids) = tokenizer.ids(text) else { return false };
            let _ = (tokenizer.decode(&ids), ids.first().map(|id| tokenizer.display(*id)));
        }
    }
    let ids: Vec<u32> = [0u32, 1, 2, 1].into_iter().filter(|id| loaded.check_rows(&[*id]).is_ok()).collect();
    if ids.is_empty() || ids.len() > loaded.model.config.n_positions {
        return false;
    }
    loaded.model.run(Arc::new(Input::plain(ids)), Reuse::default()).is_ok()
}

/// The tiny checkpoint as `torch.save` writes it.
fn pickled() -> Vec<u8> {
    let bytes = fs::read(support::tiny_folder().join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let entries: Vec<support_pickle::Entry> = file
        .iter()
        .map(|(name, view)| support_pickle::Entry {
            name: name.to_owned(),
            storage: "FloatStorage",
            shape: view.shape().to_vec(),
            data: view.data().to_vec(),
        })
        .collect();
    support_pickle::write(&entries)
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = {
            let e = entry.unwrap();
            (e.path(), to.join(e.file_name()))
        };
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
