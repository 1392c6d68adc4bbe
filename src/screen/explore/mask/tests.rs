//! What keys and the mouse do here, by whole events.

use crate::engine::types::Update;
use crate::mask::presets::CachePolicy;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MaskSettings, Op, Polarity, Scale, Scope};
use crate::screen::explore::{map, mask};
use crate::screen::params::shown;
use crate::screen::testing::{Stage, options};
use crate::screen::tests::desk::{AREA, Desk};
use crate::screen::tests::{mix_of, picture, text as screen_text};

#[test]
fn sliders_move_by_steps_fine_steps_ends_and_typed_numbers() {
    let mut stage = Stage::new();
    stage.press("right");
    assert_eq!(stage.last().mask.threshold, 0.72);
    stage.press("shift-left");
    assert_eq!(stage.last().mask.threshold, 0.718);
    stage.press("end home");
    assert_eq!(stage.last().mask.threshold, 0.0);
    stage.types("0.855").press("enter");
    assert_eq!(stage.last().mask.threshold, 0.855);
    stage.press("down end");
    assert_eq!(stage.last().mask.probability, 1.0);
    stage.press("backspace");
    assert_eq!(stage.last().mask.probability, 0.5);
}

#[test]
fn typing_a_wrong_number_explains_itself_and_keeps_the_old_value() {
    let mut stage = Stage::new();
    stage.types("7").types(".5").press("enter");
    let entry = stage.app.entry.clone().unwrap();
    assert_eq!(entry.error.as_deref(), Some("τ must be at most 1, not 7.5"));
    assert_eq!(stage.app.doc.mask.threshold, 0.7);
    stage.press("ctrl-u").types("0.25").press("enter");
    assert_eq!((stage.app.entry.clone(), stage.app.doc.mask.threshold), (None, 0.25));
    stage.types("0.9").press("esc");
    assert_eq!((stage.app.entry.clone(), stage.app.doc.mask.threshold), (None, 0.25));
}

#[test]
fn settings_keys_work_from_any_pane_but_the_text() {
    let mut stage = Stage::new();
    stage.press("tab tab tab tab tab");
    assert_eq!(stage.app.view.focus, &map::PANE);
    stage.press("] ] . y d r S");
    let r = stage.last();
    assert_eq!((r.mask.threshold, r.mask.probability, r.mask.seed), (0.74, 0.52, 2));
    assert_eq!((r.mask.polarity, r.mask.op, r.mask.scale), (Polarity::Low, Op::Hide, Scale::Calibrated));
    let (text, mask) = (r.text.clone(), r.mask.clone());
    stage.press("i").types("]r");
    assert_eq!(stage.last().mask, mask);
    assert_eq!(&*stage.last().text, format!("{text}]r"));
}

#[test]
fn a_setting_that_is_put_back_restores_the_decision_exactly() {
    let mut stage = Stage::new();
    let before = stage.app.results.decision().cloned().unwrap();
    stage.press("] ] ] ] ] ]");
    assert_ne!(stage.app.results.decision().unwrap(), &before);
    stage.press("[ [ [ [ [ [");
    assert_eq!(stage.app.results.decision().unwrap(), &before);
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
fn block_scope_turns_what_cannot_be_decided_late_into_hiding() {
    let mut stage = Stage::new();
    stage.press("O b enter b");
    let r = stage.last();
    assert_eq!((r.mask.scope, r.mask.op, r.mask.mix.as_ref()), (Scope::Block, Op::Hide, None));
    assert!(r.rolling.check(&r.mask, 256).is_ok());
    // What was set aside comes back with the whole text, and the change was said.
    stage.press("b");
    assert_eq!(
        (stage.last().mask.scope, mix_of(&stage).as_str()),
        (Scope::Whole, "replace/mean:0.8,replace/uniform:0.1,keep:0.1")
    );
    let mut stage = Stage::new();
    stage.press("b");
    assert!(stage.app.notice.as_ref().unwrap().text.contains("replace is now hide"));
    stage.press("b");
    assert_eq!(stage.last().mask, options().mask, "twice is not at all");
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
    assert!(listed.contains(&MaskSettings::threshold), "it stays, and is grey");
    let before = stage.last();
    for keys in ["]", ".", "y", "S"] {
        stage.press(keys);
        assert_eq!(stage.last().mask, before.mask, "{keys}");
        let said = stage.app.notice.clone().unwrap().text;
        assert!(said.contains("h2o decides"), "{keys}: {said}");
    }
    let seen = screen_text(&picture(&mut stage, 160, 50));
    assert!(seen.contains("0.700  h2o decides") && seen.contains("h2o decides, by a"), "{seen}");
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
    for (name, preset) in crate::screen::options::presets() {
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
fn the_score_in_use_is_the_score_named_until_the_null_is_measured_and_after() {
    let mut stage = Stage::new();
    let mut bare = crate::screen::testing::model("other", 4, 4);
    bare.calibrated = false;
    stage.update(Update::ModelReady(bare));
    let seen = |stage: &mut Stage, what: &str| {
        let all = screen_text(&picture(stage, 160, 50));
        assert!(all.contains(what), "no {what} in\n{all}");
    };
    seen(&mut stage, "‹ corrected (stand-in) ›");
    stage.update(Update::Calibrating { done: 12, of: 64 }).wait(60_000);
    seen(
        &mut stage,
        "corrected stands in for the distance null of this model, which is being measured: 12 of 64",
    );
    let asked = stage.asked();
    stage.update(Update::CalibrationReady);
    assert_eq!(stage.asked(), asked + 1, "the mask is decided again");
    seen(&mut stage, "‹ distance-null ›");
    let said = stage.app.notice.as_ref().unwrap().text.clone();
    assert!(said.contains("here, by command and next time: the mask is the same"), "{said}");
    // Literal attention has a score of its own.
    stage.press("S S");
    seen(&mut stage, "‹ plain (raw scale) ›");
}

#[test]
fn a_slider_follows_the_mouse_and_keeps_it() {
    let mut desk = Desk::new();
    let inner = desk.inner(&mask::PANE);
    let (x, width) = mask::COLUMNS.track(inner);
    desk.drag((x + 3, inner.y), (x + width - 1, inner.y + 30));
    assert_eq!(desk.stage.last().mask.threshold, 1.0);
    desk.drag((x + 3, inner.y + 1), (0, 0));
    assert_eq!(desk.stage.last().mask.probability, 0.0);
    assert_eq!(desk.stage.app.view.item, MaskSettings::probability);
    desk.stage.press("u u");
    assert_eq!((desk.stage.last().mask.threshold, desk.stage.last().mask.probability), (0.7, 0.5));
}

#[test]
fn the_slider_is_drawn_where_it_is_grabbed() {
    let mut desk = Desk::new();
    let inner = desk.inner(&mask::PANE);
    let (x, width) = mask::COLUMNS.track(inner);
    for i in 0..width {
        desk.click(x + i, inner.y);
        let buf = picture(&mut desk.stage, AREA.width, AREA.height);
        assert_eq!(buf[(x + i, inner.y)].symbol(), "●");
    }
}
