//! Interventions in a pseudo-terminal, with the bundled model: what a person does to take a head out, block attention and see what
//! that does.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

#[path = "support/pty.rs"]
mod pty;

use pty::{Program, Session, Start};

/// The KL of each intervention by the command, as the screen writes it.
fn by_command(args: &[&str]) -> Vec<String> {
    let text = maskscope::config::ExploreSettings::default().text;
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_maskscope"))
        .args(["intervene", "--json", "--text", &text])
        .args(args)
        .env("MASKSCOPE_CONFIG", "/dev/null")
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let all = told["interventions"].as_array().unwrap();
    all.iter().map(|e| format!("KL {:.4}", e["kl_nats"].as_f64().unwrap())).collect()
}

#[test]
fn a_head_is_taken_out_an_edge_is_blocked_and_undo_puts_both_back() {
    let mut session = Session::start(&Start { program: Program::Binary, args: &[], env: &[], size: (0, 0) });
    session.wait_text("Δ masked");
    // From the head that is open at the start to the first one of the first layer.
    session.send("LH");
    session.wait_text("layer 0 · head 0");
    session.send("t");
    session.wait_text("intervened run");
    session.wait_text("zero 0.0");
    session.send("In");
    session.wait_text("choose one, or type another");
    session.send("block 12:3@1\r");
    session.wait_text("block 12:3@1");
    session.wait_for("both verdicts", |screen| {
        screen.matches("stands out").count() + screen.matches("like random").count() == 2
    });
    let screen = session.screen();
    for kl in by_command(&["--ablate", "0.0", "--block", "12:3@1"]) {
        assert!(screen.contains(&kl), "{kl} is missing:\n{screen}");
    }
    // Mistakes stay to be mended, in the form that is read.
    session.send("nblock 12\r");
    session.wait_text("is not QUERY:KEY");
    session.send("\u{1b}");
    session.resize(80, 24);
    session.wait_text("block 12:3@1");
    session.send("u");
    session.wait_text("without block 12:3@1");
    session.send("u");
    session.wait_text("masked run");
    session.wait_text("Nothing is changed yet");
    session.send("q");
    assert!(session.wait_end().success());
    session.assert_restored();
}
