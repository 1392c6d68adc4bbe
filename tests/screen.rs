//! The real program in a pseudo-terminal: what a person sees and does, and how the terminal is left.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server.rs"]
mod hub_server;
#[path = "support/pty.rs"]
mod pty;

use std::path::Path;
use std::time::Duration;

use hub_server::{Fault, HubServer, Repo};
use pty::{Program, Session, Start};

const DEFAULT: Start<'static> = Start { program: Program::Binary, args: &[], env: &[], size: (0, 0) };

/// The panes whose content follows from text and settings alone: no counters, no timings, no key hints.
fn panes(session: &Session) -> String {
    let screen = session.screen();
    let lines: Vec<&str> = screen.lines().collect();
    let from = lines.iter().position(|l| l.contains("Attention")).unwrap_or(0);
    lines[from..lines.len() - 2]
        .iter()
        .filter(|l| !l.contains("computed"))
        .map(|l| l.chars().take(110).collect::<String>() + "\n")
        .collect()
}

fn open(start: &Start<'_>) -> Session {
    let mut session = Session::start(start);
    session.wait_text("Δ masked");
    settled(&mut session);
    session
}

/// The newest request has been answered in full.
fn settled(session: &mut Session) {
    session.wait_for("an idle engine", |screen| {
        let first = screen.lines().next().unwrap_or_default();
        first.contains(" ms") && !first.contains('…')
    });
}

fn quit(mut session: Session) {
    session.send("q");
    assert!(session.wait_end().success());
    session.assert_restored();
}

#[test]
fn opens_on_the_bundled_model_and_leaves_the_terminal_as_it_was() {
    let session = open(&DEFAULT);
    assert!(session.screen().contains("demo"));
    assert!(session.screen().contains("eligible masked"));
    assert!(session.modes()["1049"]);
    quit(session);
}

#[test]
fn moving_the_threshold_changes_map_and_prediction_and_moving_it_back_restores_them() {
    let mut session = open(&DEFAULT);
    // A click on the strip chooses a token, so that the crosshair does not follow the mask; a late one, since the effect is
    // then that on what follows it.
    session.send("\u{1b}[<0;20;10M\u{1b}[<0;20;10m");
    session.wait_text("▸,");
    settled(&mut session);
    let before = panes(&session);
    let kl = |s: &Session| {
        s.screen()
            .split("KL(baseline‖masked)")
            .nth(1)
            .map(|t| t.split_whitespace().next().unwrap().to_owned())
    };
    let first = kl(&session).unwrap();
    for _ in 0..10 {
        session.send("]");
    }
    session.wait_text("0.900");
    session.wait_until("another KL", |s| kl(s).is_some_and(|now| now != first));
    settled(&mut session);
    assert_ne!(panes(&session), before);
    for _ in 0..10 {
        session.send("[");
    }
    session.wait_until("the first KL", |s| kl(s) == Some(first.clone()));
    settled(&mut session);
    let after = panes(&session);
    for (old, new) in before.lines().zip(after.lines()) {
        assert_eq!(old, new);
    }
    assert_eq!(before, after);
    quit(session);
}

#[test]
fn typing_fast_ends_with_the_final_text_only() {
    let mut session = open(&DEFAULT);
    session.send("i\u{1}");
    let sentence =
        "It is a truth that a whale is larger than a boat, and she was not so very happy to see it. ";
    let typed: String = sentence.chars().cycle().take(199).chain(['Z']).collect();
    // Select everything, then type over it.
    session.send(&typed);
    session.wait_for("the whole text", |screen| screen.contains('Z'));
    session.wait_for("as many tokens as the text has", |screen| {
        let count = |l: &str| {
            l.split_whitespace().find_map(|w| w.strip_suffix("/256").and_then(|n| n.parse::<usize>().ok()))
        };
        screen.lines().next().and_then(count).is_some_and(|n| n > 30)
    });
    settled(&mut session);
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_maskscope"))
        .args(["predict", "--top", "1", "--json", "--text", &text_on_screen(&session)])
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let top = json["next"][0]["token"].as_str().unwrap().trim().to_owned();
    let p = format!("{:.1}%", 100.0 * json["next"][0]["p"].as_f64().unwrap());
    session.wait_for("the prediction for the final text", |screen| {
        screen.lines().any(|l| l.contains(&p) && (top.is_empty() || l.contains(&top)))
    });
    session.send("\u{3}");
    assert!(session.wait_end().success());
    session.assert_restored();
}

/// The text pane's content, as far as it is one paragraph on screen.
fn text_on_screen(session: &Session) -> String {
    let screen = session.screen();
    let lines = screen.lines().skip(2).take_while(|l| !l.starts_with('╰'));
    lines
        .map(|l| l.trim_start_matches('│').trim_end_matches('│').trim_start_matches(' ').to_owned())
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[test]
fn queued_slider_moves_cost_at_most_two_passes() {
    let mut session = open(&Start { env: &[("MASKSCOPE_LOG", "debug")], ..DEFAULT });
    let passes = |s: &Session| -> usize {
        s.log()
            .split("forwards=")
            .skip(1)
            .filter_map(|t| t.split_whitespace().next()?.parse::<usize>().ok())
            .sum()
    };
    session.wait_until("the first answer in the log", |s| s.log().contains("forwards="));
    let before = passes(&session);
    let answers = session.log().matches("forwards=").count();
    // One write: all fifty moves wait when the program reads its input.
    let moves: String = "]".repeat(28) + &"[".repeat(22);
    assert_eq!(moves.len(), 50);
    session.send(&moves);
    session.wait_text("0.560");
    settled(&mut session);
    session.wait_until("an answer in the log", |s| s.log().matches("forwards=").count() > answers);
    session.wait_text("0.560");
    assert!(passes(&session) - before <= 2, "{} passes for 50 moves", passes(&session) - before);
    quit(session);
}

/// What a key cost, from the log and from the Effect pane.
struct Answered {
    forwards: usize,
    /// Rows computed by all passes, and computed, reused and saved by the masked one; all summed over layers.
    rows: usize,
    masked: [usize; 3],
}

/// `216 computed 24 reused 0 saved`, from the Effect pane.
fn masked_work(screen: &str) -> Option<[usize; 3]> {
    let words: Vec<&str> = screen.lines().find(|l| l.contains(" computed "))?.split_whitespace().collect();
    let before = |name: &str| words[words.iter().position(|w| *w == name)? - 1].parse().ok();
    Some([before("computed")?, before("reused")?, before("saved")?])
}

/// Presses a key and reads on until its final answer is on screen.
fn answered(session: &mut Session, key: &str) -> Answered {
    let answers = |s: &Session| -> Vec<String> {
        s.log()
            .lines()
            .filter(|l| l.contains("answered") && l.contains("millis="))
            .map(str::to_owned)
            .collect()
    };
    let number = |line: &str, name: &str| -> f64 {
        line.split(name).nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap()
    };
    let known = answers(session).len();
    session.send(key);
    session.wait_until("an answer in the log", |s| answers(s).len() > known);
    // A letter moves the caret too, and what is about its token is another answer, without a pass.
    let work = |s: &Session| {
        let new = answers(s).split_off(known);
        let passes = |line: &String| (number(line, "forwards=") as usize, number(line, "rows=") as usize);
        (
            new.iter().map(passes).max().unwrap(),
            passes(new.last().unwrap()).0,
            number(new.last().unwrap(), "millis="),
        )
    };
    session.wait_until("the final answer", |s| {
        let ((forwards, rows), last, millis) = work(s);
        let noun = if last == 1 { "forward" } else { "forwards" };
        let time = if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") };
        let screen = s.screen();
        // One pass is the masked one: its work is that of the answer.
        let shown = masked_work(&screen).is_some_and(|work| forwards != 1 || work[0] == rows);
        shown && screen.lines().next().unwrap_or_default().contains(&format!("{last} {noun}  {time}"))
    });
    let ((forwards, rows), ..) = work(session);
    Answered { forwards, rows, masked: masked_work(&session.screen()).unwrap() }
}

#[test]
fn a_key_computes_only_what_it_changed() {
    let mut session = open(&Start { env: &[("MASKSCOPE_LOG", "debug")], ..DEFAULT });
    session.wait_until("the first answer in the log", |s| s.log().contains("answered"));
    let up: Vec<Answered> = (0..8).map(|_| answered(&mut session, "]")).collect();
    let all: usize = up[0].masked.iter().sum();
    assert!(up.iter().all(|answer| answer.forwards <= 1 && answer.masked.iter().sum::<usize>() == all));
    assert!(up.iter().any(|answer| answer.forwards == 0), "a mask that stays costs nothing");
    let rows: usize = up.iter().map(|answer| answer.rows).sum();
    assert!(
        rows > 0 && rows < 4 * all,
        "{rows} rows of {all} in eight notches: rows before the change are known"
    );
    for _ in 0..8 {
        let back = answered(&mut session, "[");
        assert_eq!((back.forwards, back.rows), (0, 0), "a mask that was there before is known");
    }
    let redrawn = answered(&mut session, "r");
    assert!(redrawn.forwards == 1 && redrawn.rows <= all);
    session.send("i\u{1b}[1;5H");
    // About the middle of the text.
    answered(&mut session, &"\u{1b}[C".repeat(80));
    let typed = answered(&mut session, "q");
    assert_eq!(typed.forwards, 2, "the text, and the text under its mask");
    let (baseline, all) = (typed.rows - typed.masked[0], typed.masked.iter().sum::<usize>());
    assert!(
        baseline > 0 && baseline < all * 3 / 4,
        "{baseline} rows of {all}: rows before the letter are known"
    );
    session.send("\u{3}");
    assert!(session.wait_end().success());
    session.assert_restored();
}

#[test]
fn any_size_will_do() {
    let mut session = open(&DEFAULT);
    for (cols, rows) in [(1, 1), (2, 1), (1, 40), (40, 12), (80, 24), (200, 60), (1, 1)] {
        let written = session.raw.len();
        session.resize(cols, rows);
        session.wait_until("a frame after the resize", |s| {
            s.raw.len() > written && s.raw.ends_with(b"\x1b[?2026l")
        });
    }
    session.resize(160, 50);
    session.wait_text("eligible masked");
    quit(session);
}

#[cfg(target_os = "linux")]
#[test]
fn suspends_and_resumes() {
    let mut session = open(&DEFAULT);
    session.send("\u{1a}");
    session.wait_until("a stopped process", |s| s.process_state() == 'T');
    session.wait_until("the normal screen", |s| !s.terminal.screen().alternate_screen());
    session.assert_restored();
    session.signal(libc::SIGCONT);
    session.wait_until("the screen again", |s| s.terminal.screen().alternate_screen());
    session.wait_text("eligible masked");
    quit(session);
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        let mut session = open(&DEFAULT);
        session.signal(signal);
        session.wait_end();
        session.assert_restored();
    }
}

#[test]
fn control_characters_never_reach_the_terminal_raw() {
    let mut session = open(&DEFAULT);
    session.send("i\u{1}");
    session.send("\u{1b}[200~evil \u{1b}]0;OWNED\u{7}\u{1b}[31mred\u{9b}32m\u{202e}x\u{1b}[201~");
    session.wait_text("evil");
    session.wait_text("OWNED");
    settled(&mut session);
    let raw = String::from_utf8_lossy(&session.raw).into_owned();
    assert!(!raw.contains("\u{1b}]0;OWNED"));
    assert!(!raw.contains("\u{1b}[31mred"));
    assert!(!raw.contains('\u{9b}') && !raw.contains('\u{202e}') && !raw.contains('\u{7}'));
    session.send("\u{3}");
    assert!(session.wait_end().success());
    session.assert_restored();
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2-tiny-random").join(name))
        .unwrap()
}

fn tiny_repo(id: &str) -> Repo {
    Repo::empty(id)
        .with("config.json", &file("config.json"))
        .with("tokenizer.json", &file("tokenizer.json"))
        .with_lfs("model.safetensors", &file("model.safetensors"))
}

#[test]
fn a_hub_model_downloads_beside_the_bundled_one_and_opens_offline_next_time() {
    let server = HubServer::start(vec![tiny_repo("owner/tiny")]);
    server.fault("model.safetensors", Fault::Trickle { piece: 16_384, pause: Duration::from_millis(40) });
    let url = server.url();
    let start = Start { args: &["--model", "owner/tiny"], env: &[("HF_ENDPOINT", &url)], ..DEFAULT };
    let mut session = Session::start(&start);
    session.wait_text("model.safetensors");
    session.wait_text("Δ masked");
    assert!(
        session.screen().lines().next().unwrap().contains("demo"),
        "the bundled model is in use meanwhile"
    );
    session.wait_for("the new model", |s| s.lines().next().unwrap_or_default().contains("owner/tiny"));
    session.wait_text("Ahab");
    settled(&mut session);
    let cache = session.home.path().join("cache/huggingface/hub/models--owner--tiny");
    let cache = if cache.exists() {
        cache
    } else {
        session.home.path().join(".cache/huggingface/hub/models--owner--tiny")
    };
    assert!(cache.join("refs/main").is_file(), "{}", cache.display());
    let commit = std::fs::read_to_string(cache.join("refs/main")).unwrap();
    let link = cache.join("snapshots").join(commit.trim()).join("model.safetensors");
    assert!(std::fs::read_link(&link).unwrap().starts_with("../../blobs"));
    session.send("q");
    assert!(session.wait_end().success());
    session.assert_restored();

    let home = std::mem::replace(&mut session.home, tempfile::tempdir().unwrap());
    drop(server);
    let offline = Start { env: &[("HF_ENDPOINT", &url), ("HF_HUB_OFFLINE", "1")], ..start };
    let mut again = Session::start_in(&offline, home);
    again.wait_for("the cached model", |s| s.lines().next().unwrap_or_default().contains("owner/tiny"));
    again.wait_text("Δ masked");
    quit(again);
}

#[test]
fn a_model_that_moved_upstream_is_offered_and_fetched_by_a_key() {
    const NEWER: &str = "2222222222222222222222222222222222222222";
    let server = HubServer::start(vec![tiny_repo("owner/tiny")]);
    let url = server.url();
    let start = Start { args: &["--model", "owner/tiny"], env: &[("HF_ENDPOINT", &url)], ..DEFAULT };
    let mut session = Session::start(&start);
    session.wait_for("the model", |s| s.lines().next().unwrap_or_default().contains("owner/tiny"));
    settled(&mut session);
    session.send("q");
    assert!(session.wait_end().success());
    let home = std::mem::replace(&mut session.home, tempfile::tempdir().unwrap());

    let newer = Repo { commit: NEWER.into(), ..tiny_repo("owner/tiny") };
    server.publish(newer.with("generation_config.json", b"{\"_from_model_config\": true}"));
    let mut again = Session::start_in(&start, home);
    again.wait_text("fetches the newer owner/tiny");
    let places = ["cache", ".cache"]
        .map(|cache| again.home.path().join(cache).join("huggingface/hub/models--owner--tiny/refs/main"));
    let main = move || places.iter().find_map(|place| std::fs::read_to_string(place).ok()).unwrap();
    assert_ne!(main(), NEWER, "nothing is fetched unasked");
    // F5.
    again.send("\u{1b}[15~");
    again.wait_for("the offer gone", |s| !s.contains("fetches the newer"));
    again.wait_for("the newer version in the cache", |_| main() == NEWER);
    settled(&mut again);
    quit(again);
}

#[test]
fn no_network_and_no_cache_is_one_sentence_and_the_bundled_model_goes_on() {
    // A port that nobody listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let mut session =
        Session::start(&Start { args: &["--model", "owner/none"], env: &[("HF_ENDPOINT", &url)], ..DEFAULT });
    session.wait_text("owner/none could not be loaded");
    session.wait_text("Δ masked");
    assert!(session.screen().lines().next().unwrap().contains("demo"));
    session.send("\u{1b}");
    session.wait_for("the card gone", |s| !s.contains("could not be loaded"));
    quit(session);
}

#[test]
fn what_was_typed_at_once_is_kept_on_leaving_and_opened_again() {
    let fresh = Start { env: &[("MASKSCOPE_UI__FOCUS", "text")], ..DEFAULT };
    let mut session = open(&fresh);
    session.send(" quick brown fox");
    session.wait_text("quick brown fox");
    session.send("\u{3}");
    assert!(session.wait_end().success());
    session.assert_restored();
    assert!(session.screen().contains("your text is kept: the next start opens it"), "{}", session.screen());
    let home = std::mem::replace(&mut session.home, tempfile::tempdir().unwrap());
    let mut again = Session::start_in(&fresh, home);
    again.wait_text("Your text of last time");
    again.wait_text("quick brown fox");
    // A signal is a way of leaving, too.
    again.send(" jumps");
    again.wait_text("jumps");
    again.signal(libc::SIGTERM);
    again.wait_end();
    let home = std::mem::replace(&mut again.home, tempfile::tempdir().unwrap());
    let mut third = Session::start_in(&fresh, home);
    third.wait_text("fox jumps");
    third.send("\u{3}");
    assert!(third.wait_end().success());
}

#[test]
fn a_text_file_opens_and_a_short_text_starts_with_something_masked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.txt");
    std::fs::write(&path, "Call me Ishmael.").unwrap();
    let mut session = Session::start(&Start { args: &["--text-file", path.to_str().unwrap()], ..DEFAULT });
    session.wait_text("Call me Ishmael.");
    session.wait_text("Δ masked");
    assert!(!session.screen().contains("0 of"), "{}", session.screen());
    quit(session);
}

#[test]
fn without_a_terminal_it_says_so() {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_maskscope")).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(err.contains("error: the explorer needs a terminal"), "{err}");
    assert!(out.stdout.is_empty());
}
