//! Whole-app tests of everything that decides a mask but τ and p: mix editor, presets, policies, scope, window, leak meter.

use crate::app::mixing;
use crate::app::options::Options;
use crate::app::params::shown;
use crate::app::state::{Pane, Popup};
use crate::app::testing::{Stage, options};
use crate::app::update::background::USE_CALIBRATION;
use crate::app::update::mix;
use crate::app::update::settings::SCOPE;
use crate::engine::types::{Command, LeakReport, Standing, Update};
use crate::mask::presets::CachePolicy;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MaskSettings, Op, Scale, Scope};

fn mix(stage: &Stage) -> String {
    stage.last().mask.mix.map_or(format!("only {}", stage.last().mask.op), |m| m.to_string())
}

#[test]
fn presets_and_the_article() {
    let mut stage = Stage::new();
    stage.press("a");
    let r = stage.last();
    assert_eq!((r.mask.threshold, r.mask.scale, r.score.contribution), (0.9, Scale::Raw, false));
    stage.press("a");
    assert_eq!(stage.last().mask, options().mask);
}

#[test]
fn the_mix_editor_moves_shares_and_undo_takes_them_back() {
    let mut stage = Stage::new();
    let before = stage.last().mask;
    stage.press("O");
    assert_eq!(stage.app.popup, Some(Popup::Mix { row: 0 }));
    stage.press("left left");
    assert_eq!(mix(&stage), "replace:0.9,keep:0.1");
    stage.press("shift-left");
    assert_eq!(mix(&stage), "replace:0.89,keep:0.11");
    // Up from the first row is the last one.
    stage.press("up");
    assert_eq!(stage.app.popup, Some(Popup::Mix { row: mixing::ROWS.len() - 1 }));
    stage.press("right right");
    assert_eq!(mix(&stage), "replace:0.79,keep:0.21");
    stage.press("down down");
    stage.press("right");
    assert!(mix(&stage).contains("replace/mean:0.05"), "{}", mix(&stage));
    stage.press("home");
    assert_eq!(mixing::shares(&stage.last().mask)[1], 0);
    stage.press("end");
    assert_eq!((mix(&stage).as_str(), stage.last().mask.replacement.name()), ("only replace", "mean"));
    stage.press("b");
    assert_eq!(mix(&stage), "replace:0.8,replace/uniform:0.1,keep:0.1");
    stage.press("esc");
    assert_eq!(stage.app.popup, None);
    for _ in 0..20 {
        stage.press("u");
    }
    assert_eq!(stage.last().mask, before);
}

#[test]
fn berts_mix_uses_a_trained_mask_row_where_there_is_one() {
    let mut stage = Stage::new();
    let mut trained = crate::app::testing::model("trained", 4, 4);
    trained.has_mask_row = true;
    stage.update(Update::ModelReady(trained));
    stage.press("O b");
    assert_eq!(mix(&stage), "replace/mask:0.8,replace/uniform:0.1,keep:0.1");
}

#[test]
fn a_share_can_be_set_with_the_mouse() {
    let mut stage = Stage::new();
    stage.press("O").act(|app| mix::set_share(app, 6, 30));
    assert_eq!(mix(&stage), "replace:0.7,drop:0.3");
    assert_eq!(stage.app.popup, Some(Popup::Mix { row: 6 }));
}

#[test]
fn block_scope_turns_what_cannot_be_decided_late_into_hiding() {
    let mut stage = Stage::new();
    stage.press("O b enter b");
    let r = stage.last();
    assert_eq!((r.mask.scope, r.mask.op, r.mask.mix.as_ref()), (Scope::Block, Op::Hide, None));
    assert!(r.rolling.check(&r.mask, 256).is_ok());
    // What was set aside comes back with the whole text, and the change was said.
    stage.press("b");
    assert_eq!(
        (stage.last().mask.scope, mix(&stage).as_str()),
        (Scope::Whole, "replace:0.8,replace/uniform:0.1,keep:0.1")
    );
    let mut stage = Stage::new();
    stage.press("b");
    assert!(stage.app.notice.as_ref().unwrap().text.contains("replace is now hide"));
    stage.press("b");
    assert_eq!(stage.last().mask, options().mask, "twice is not at all");
}

#[test]
fn a_measured_null_that_waits_is_offered_until_it_is_taken() {
    let mut stage = Stage::new();
    let offered = |s: &Stage| USE_CALIBRATION.possible(&s.app);
    assert!(!offered(&stage));
    let mut bare = crate::app::testing::model("other", 4, 4);
    bare.calibrated = false;
    stage.update(Update::ModelReady(bare.clone()));
    assert!(!offered(&stage), "nothing was measured yet");
    stage.update(Update::CalibrationReady).wait(60_000);
    assert!(offered(&stage), "a notice passes, the offer stays");
    bare.calibrated = true;
    stage.update(Update::ModelReady(bare));
    assert!(!offered(&stage));
}

#[test]
fn a_policy_brings_its_scope_and_its_settings() {
    let mut stage = Stage::new();
    stage.press("P").types("h2o").press("enter");
    let r = stage.last();
    assert_eq!(r.mask.scope, Scope::Block);
    assert_eq!(r.rolling.policy, Some(CachePolicy::H2o));
    assert_eq!((r.rolling.decay, r.rolling.sticky, r.rolling.per_head), (1.0, true, false));
    let listed = shown(&stage.app.doc);
    assert!(listed.contains(&RollingSettings::budget) && listed.contains(&RollingSettings::per_head));
    assert!(!listed.contains(&MaskSettings::threshold), "a budget asks neither τ nor p");
    stage.app.view.item = RollingSettings::per_head;
    stage.press("right");
    assert!(stage.last().rolling.per_head);
    // A threshold knows no heads: switching to it must not leave a setting that is refused.
    stage.press("P").types("threshold").press("enter");
    let r = stage.last();
    assert!(!r.rolling.per_head && r.rolling.check(&r.mask, 256).is_ok());
    assert_eq!(r.rolling.decay, options().rolling.decay, "what the policy had implied is gone again");
}

#[test]
fn every_preset_can_be_taken_and_undone() {
    for (name, preset) in crate::app::options::presets() {
        let mut stage = Stage::new();
        let before = stage.last();
        stage.press("A").types(name).press("enter");
        let r = stage.last();
        assert_eq!((r.mask.scope, r.rolling.policy), (preset.mask.scope, preset.rolling.policy), "{name}");
        assert!(r.rolling.check(&r.mask, 256).is_ok() || r.mask.scope == Scope::Whole, "{name}");
        stage.press("u");
        assert_eq!((stage.last().mask, stage.last().rolling), (before.mask, before.rolling), "{name}");
    }
}

#[test]
fn the_window_pane_follows_the_scope() {
    let mut stage = Stage::new();
    stage.press("W");
    assert_eq!(stage.app.view.focus, Pane::Window);
    assert!(stage.app.results.decided.as_ref().unwrap().value.window.is_none());
    stage.press("b");
    let window = stage.app.results.decided.as_ref().unwrap().value.window.clone().unwrap();
    assert!(!window.rows.is_empty() && window.rows.iter().all(|r| r.standing.len() == r.end));
    assert_eq!(window.positions.len(), stage.app.results.len());
    assert!(window.rows.iter().any(|r| r.standing.contains(&Standing::Recent)));
}

#[test]
fn the_leak_meter_is_asked_for_and_says_when_the_mask_is_another() {
    let mut stage = Stage::new();
    stage.press("k");
    let asked = stage.port.commands.borrow().iter().any(|c| matches!(c, Command::Leak { .. }));
    assert!(asked && stage.app.leaking);
    let generation = stage.app.generation;
    let report = LeakReport { bits: 0.02, low: 0.01, high: 0.03, tokens: 6000 };
    stage.update(Update::Leak { generation, done: 48, of: 48, report: Some(report) });
    assert!(!stage.app.leaking);
    assert!(stage.app.results.leak.as_ref().unwrap().generation >= stage.app.mask_since);
    stage.focus(Pane::Mask).press("right");
    assert!(stage.app.results.leak.as_ref().is_none_or(|l| l.generation < stage.app.mask_since));
}

#[test]
fn a_window_longer_than_the_context_is_said_not_crashed() {
    let mut stage = Stage::with(Options { text: "one two three".to_owned(), ..options() });
    stage.press("b");
    stage.app.view.item = RollingSettings::window;
    stage.press("enter").press("ctrl-u").types("99999").press("enter");
    let r = stage.last();
    assert!(
        stage.app.entry.as_ref().is_some_and(|e| e.error.is_some()) || r.rolling.check(&r.mask, 256).is_err()
    );
    assert!(!stage.app.key_label(&SCOPE).is_empty());
}
