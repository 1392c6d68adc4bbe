//! Command lines as people write them, without running them.

use clap::{CommandFactory, Parser};

use super::*;
use crate::attention::types::Reduction;
use crate::config::load;
use crate::mask::types::{Op, Polarity, Scale};
#[cfg(unix)]
use crate::pty::{Program, Session, Start};

#[derive(Debug, Parser)]
struct Wrapped<A: clap::Args> {
    #[command(flatten)]
    args: A,
}

fn parsed<A: clap::Args>(line: &str) -> Result<A, String> {
    let words = std::iter::once("x").chain(line.split_whitespace());
    Wrapped::<A>::try_parse_from(words).map(|wrapped| wrapped.args).map_err(|error| error.to_string())
}

#[test]
fn every_command_is_well_formed() {
    Cli::command().debug_assert();
    Wrapped::<trace::TraceArgs>::command().debug_assert();
    Wrapped::<predict::PredictArgs>::command().debug_assert();
    Wrapped::<mask::MaskArgs>::command().debug_assert();
    Wrapped::<train::TrainArgs>::command().debug_assert();
    Wrapped::<models::ModelsArgs>::command().debug_assert();
    Wrapped::<doctor::DoctorArgs>::command().debug_assert();
}

#[test]
fn a_mask_command_becomes_settings() {
    let line = "--model gpt2 --text hi --threshold 0.8 --probability 0.5 --seed 1 --polarity low --scale raw \
                --op drop --protect first,last:4 --score sum --contribution=false --exact-k --layers 0,3 --top 5 --json";
    let args: mask::MaskArgs = parsed(line).unwrap();
    assert!(args.output.json && args.preset.is_none());
    let flags = args.parameters.values().to_vec();
    let settings = load(SettingSources { flags, ..SettingSources::default() }).unwrap().settings;
    let mask = settings.mask;
    assert_eq!((mask.threshold, mask.probability, mask.seed, mask.exact_k), (0.8, 0.5, 1, true));
    assert_eq!((mask.polarity, mask.scale, mask.op), (Polarity::Low, Scale::Raw, Op::Drop));
    assert_eq!(mask.protect.to_string(), "first,last:4");
    assert_eq!((settings.score.reduction, settings.score.contribution), (Reduction::Sum, false));
    assert_eq!((settings.score.layers, settings.explore.top), (vec![0, 3], 5));
    assert_eq!(settings.model.id, "gpt2");
}

#[test]
fn a_preset_is_named_and_flags_go_over_it() {
    let args: mask::MaskArgs = parsed("--text hi --preset article --threshold 0.2").unwrap();
    let context = context(
        Common::default(),
        Env::default(),
        Output::stdout(),
        args.preset,
        args.parameters.values().to_vec(),
    );
    let mask = context.unwrap().loaded.settings.mask;
    assert_eq!((mask.threshold, mask.scale), (0.2, Scale::Raw));
    assert!(parsed::<mask::MaskArgs>("--text hi --preset artcle").unwrap_err().contains("article"));
}

#[test]
fn values_out_of_bounds_are_refused_with_the_bounds() {
    for (line, says) in [
        ("--text hi --threshold 1.5", "must be at most 1, not 1.5 (a number from 0 to 1)"),
        ("--text hi --threshold -1", "must be at least 0, not -1"),
        ("--text hi --seed x", "must be a whole number, not x"),
        ("--text hi --op relpace", "replace"),
        ("--text hi --protect frist", "did you mean first?"),
        ("--threshold 0.5", "--text <TEXT>"),
    ] {
        let error = parsed::<mask::MaskArgs>(line).unwrap_err();
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn training_starts_from_a_model_or_from_a_shape() {
    let args: train::TrainArgs =
        parsed("--data a.txt b.txt --init c.json --out runs/1 --steps 10 --threads 2").unwrap();
    assert_eq!(args.data.len(), 2);
    assert_eq!(args.init, Some("c.json".into()));
    assert!(parsed::<train::TrainArgs>("--data a --model demo --out b").is_ok());
    assert!(parsed::<train::TrainArgs>("--data a --model demo --init c.json --out b").is_err());
    assert!(parsed::<train::TrainArgs>("--data a --steps 10").unwrap_err().contains("--out"));
    assert!(parsed::<train::TrainArgs>("--out b").unwrap_err().contains("--data"));
}

#[test]
fn a_trace_takes_ids() {
    let args: trace::TraceArgs = parsed("--model m --ids 1,2,3 --out f.safetensors").unwrap();
    assert_eq!(args.source.read(8), Ok(source::TextOrIds::Ids(vec![1, 2, 3])));
    assert!(parsed::<trace::TraceArgs>("--ids 1,2,3").unwrap_err().contains("--out"));
}

#[test]
fn screen_flags_stand_before_no_subcommand() {
    let line = |line: &str| parse(line.split_whitespace().map(OsString::from));
    assert!(line("maskscope --model demo --offline").is_ok());
    assert!(line("maskscope --set mask.seed=1 config print --config f").is_ok());
    let error = line("maskscope --model demo config print").unwrap_err().to_string();
    assert!(error.contains("--model belongs after the subcommand"), "{error}");
}

/// Set in the process inside the pseudo-terminal.
const INSIDE: &str = "MASKSCOPE_TEST_INSIDE";

#[cfg(unix)]
#[test]
#[ignore = "started by the next one, inside a pseudo-terminal"]
fn inside() {
    if std::env::var_os(INSIDE).is_some() {
        main(["maskscope".into()], Env::of_process());
    }
}

/// The engine of a test binary panics on this one text.
#[cfg(unix)]
#[test]
fn a_panic_of_the_engine_becomes_a_message_and_the_screen_goes_on() {
    let program = Program::Inside("cli::tests::inside");
    let mut session = Session::start(&Start { program, env: &[(INSIDE, "1")], ..Start::default() });
    session.wait_text("Δ masked");
    session.send("i\u{1}");
    session.send("\u{1b}[200~panic\u{1b}[201~");
    session.wait_text("a panic that a test asked for");
    assert!(session.terminal.screen().alternate_screen());
    assert!(!String::from_utf8_lossy(&session.raw).contains("panicked at"), "nothing tears the screen");
    // Another text, and everything is as before.
    session.send(" is what the captain never knew");
    session.wait_text("Δ masked");
    session.wait_for("tokens of the new text", |s| s.contains("·captain"));
    session.send("\u{3}");
    assert!(session.wait_end().success());
    session.assert_restored();
}
