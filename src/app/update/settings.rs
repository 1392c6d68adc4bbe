//! Actions on the mask settings: sliders, choices, the plane.

use crate::app::actions::actions;
use crate::app::data::Live;
use crate::app::document::{ARTICLE, DEFAULT};
use crate::app::history::Kind as Step;
use crate::app::params::{self, Kind, ParamId};
use crate::app::rates;
use crate::app::state::{App, List, Pane, Popup};
use crate::app::train::update::live;
use crate::app::update::{entry, mix};
use crate::mask::types::Op;

actions! {
    Panes {
        /// Lower the threshold τ by one step
        THRESHOLD_DOWN ["["] "τ" with [THRESHOLD_UP] if live::movable =>
            |app| step(app, Live::Threshold, -1, false);
        /// Raise the threshold τ by one step
        THRESHOLD_UP ["]"] => |app| step(app, Live::Threshold, 1, false);
        /// Lower the threshold τ by a fine step
        THRESHOLD_FINE_DOWN ["{"] => |app| step(app, Live::Threshold, -1, true);
        /// Raise the threshold τ by a fine step
        THRESHOLD_FINE_UP ["}"] => |app| step(app, Live::Threshold, 1, true);
        /// Lower the probability p by one step
        PROBABILITY_DOWN [","] "p" with [PROBABILITY_UP] if live::movable =>
            |app| step(app, Live::Probability, -1, false);
        /// Raise the probability p by one step
        PROBABILITY_UP ["."] => |app| step(app, Live::Probability, 1, false);
        /// Lower the probability p by a fine step
        PROBABILITY_FINE_DOWN ["<"] => |app| step(app, Live::Probability, -1, true);
        /// Raise the probability p by a fine step
        PROBABILITY_FINE_UP [">"] => |app| step(app, Live::Probability, 1, true);
    }
    Explore {
        /// Re-roll the seed: new draws, everything else unchanged
        REROLL ["r"] "re-roll" => reroll;
        /// Next polarity: high, low, random
        POLARITY ["y"] => |app| cycle(app, ParamId::Polarity);
        /// Next scale of the score: rank, calibrated, raw
        SCALE ["S"] => |app| cycle(app, ParamId::Scale);
        /// Choose the score: how the attention a token receives becomes a number
        SCORE ["s"] "score" => |app| open(app, ParamId::Score);
        /// Weight attention by the size of the values, or not
        CONTRIBUTION ["v"] => |app| cycle(app, ParamId::Contribution);
        /// Next operation: replace, hide, drop, evict, skip, keep
        OP ["d"] "operation" => |app| cycle(app, ParamId::Op);
        /// Next replacement: what a replaced token becomes
        REPLACEMENT ["w"] if |app| app.doc.mask.op == Op::Replace => |app| cycle(app, ParamId::Replacement);
        /// Next protection: which tokens are never masked
        PROTECT ["g"] => |app| cycle(app, ParamId::Protect);
        /// Switch between the default settings and the article's
        PRESET ["a"] => switch_preset;
        /// Choose among all presets: the article, BERT, cache policies, controls
        PRESETS ["A"] "presets" => |app| open(app, ParamId::Preset);
        /// Edit the mix: shares of operations, each masked token drawing its own
        MIX ["O"] => |app| open(app, ParamId::Mix);
        /// Decide with the whole text in view, or block by block from the past only
        SCOPE ["b"] => |app| cycle(app, ParamId::Scope);
        /// Choose who decides at a boundary: the threshold or a cache policy
        POLICY ["P"] => |app| open(app, ParamId::Policy);
    }
    Mask {
        /// Go to the setting above
        ITEM_UP ["up"] "setting" with [ITEM_DOWN] => |app| step_item(app, -1);
        /// Go to the setting below
        ITEM_DOWN ["down"] => |app| step_item(app, 1);
        /// Go to the first setting
        ITEM_FIRST ["pageup"] => |app| step_item(app, isize::MIN);
        /// Go to the last setting
        ITEM_LAST ["pagedown"] => |app| step_item(app, isize::MAX);
        /// Lower the value by one step, or take the choice before
        VALUE_DOWN ["left"] "change" with [VALUE_UP] => |app| slide(app, app.view.item, -1, false);
        /// Raise the value by one step, or take the next choice
        VALUE_UP ["right"] => |app| slide(app, app.view.item, 1, false);
        /// Lower the value by a fine step
        VALUE_FINE_DOWN ["shift-left"] "fine" with [VALUE_FINE_UP] =>
            |app| slide(app, app.view.item, -1, true);
        /// Raise the value by a fine step
        VALUE_FINE_UP ["shift-right"] => |app| slide(app, app.view.item, 1, true);
        /// Lowest value
        VALUE_MIN ["home"] => |app| set_fraction(app, app.view.item, 0.0);
        /// Highest value
        VALUE_MAX ["end"] => |app| set_fraction(app, app.view.item, 1.0);
        /// Type the value, or choose from all of them
        VALUE_OPEN ["enter"] "type / choose" => |app| open(app, app.view.item);
        /// Back to the default value
        VALUE_RESET ["backspace" "delete"] "reset" =>
            |app| params::reset(&mut app.doc, &app.options, app.view.item);
    }
    Plane {
        /// Lower the threshold τ
        PLANE_LEFT ["left"] "move" with [PLANE_UP PLANE_DOWN PLANE_RIGHT] =>
            |app| move_point(app, ParamId::Threshold, -1, false);
        /// Raise the threshold τ
        PLANE_RIGHT ["right"] => |app| move_point(app, ParamId::Threshold, 1, false);
        /// Raise the probability p
        PLANE_UP ["up"] => |app| move_point(app, ParamId::Probability, 1, false);
        /// Lower the probability p
        PLANE_DOWN ["down"] => |app| move_point(app, ParamId::Probability, -1, false);
        /// Lower the threshold τ by a fine step
        PLANE_FINE_LEFT ["shift-left"] => |app| move_point(app, ParamId::Threshold, -1, true);
        /// Raise the threshold τ by a fine step
        PLANE_FINE_RIGHT ["shift-right"] => |app| move_point(app, ParamId::Threshold, 1, true);
        /// Raise the probability p by a fine step
        PLANE_FINE_UP ["shift-up"] => |app| move_point(app, ParamId::Probability, 1, true);
        /// Lower the probability p by a fine step
        PLANE_FINE_DOWN ["shift-down"] => |app| move_point(app, ParamId::Probability, -1, true);
        /// Slide along the curve of equal rate: fewer candidates, surer draws
        ALONG_LESS ["pageup"] "same rate" with [ALONG_MORE] => |app| along(app, 1.0);
        /// Slide along the curve of equal rate: more candidates, rarer draws
        ALONG_MORE ["pagedown"] => |app| along(app, -1.0);
    }
}

/// τ or p by steps: of the run that goes on, on the Train screen; else of the explorer, which the next run takes over.
fn step(app: &mut App, what: Live, steps: i32, fine: bool) {
    if live::in_force(app) {
        return live::nudge(app, what, steps, fine);
    }
    let id = if what == Live::Threshold { ParamId::Threshold } else { ParamId::Probability };
    slide(app, id, steps, fine);
}

/// Changes one setting by steps; changes in a row are one step of undo.
pub fn slide(app: &mut App, id: ParamId, steps: i32, fine: bool) {
    app.history.joins(Step::Slider(id));
    nudge(app, id, steps, fine);
}

/// Moves the point of the plane.
fn move_point(app: &mut App, id: ParamId, steps: i32, fine: bool) {
    app.history.joins(Step::Plane);
    nudge(app, id, steps, fine);
}

fn reroll(app: &mut App) {
    nudge(app, ParamId::Seed, 1, false);
    app.history.close();
    app.say(format!("Seed {}: new draws", app.doc.mask.seed));
}

/// Moves τ by one step and p with it, so that the expected rate stays.
fn along(app: &mut App, direction: f64) {
    app.history.joins(Step::Plane);
    let decision = app.results.decision();
    let rate = rates::expected(&app.doc.mask, decision);
    let at =
        params::fraction(&app.doc, ParamId::Threshold).unwrap_or(0.0) + direction * app.options.steps.step;
    let mut next = app.doc.clone();
    params::set_fraction(&mut next, &app.options, ParamId::Threshold, at);
    match rates::probability_for(&app.doc, decision, next.mask.threshold, rate) {
        Some(p) => {
            // Off the grid on purpose: on it, the rate would creep away step by step.
            next.mask.probability = p;
            app.doc = next;
        }
        None => app.say("The curve of equal rate ends here"),
    }
}

fn nudge(app: &mut App, id: ParamId, steps: i32, fine: bool) {
    params::nudge(&mut app.doc, &app.options, id, steps, fine);
}

/// Next choice of a setting, said aloud since its row may not be on screen.
fn cycle(app: &mut App, id: ParamId) {
    app.history.close();
    let before = app.doc.mask.op;
    nudge(app, id, 1, false);
    app.history.close();
    if params::shown(&app.doc).contains(&id) {
        app.view.item = id;
    }
    let p = params::param(&app.doc, id);
    let value = params::text(&app.doc, &app.options, id);
    let doc = match p.kind {
        Kind::Choice(list) => list.iter().find(|(n, _)| *n == value).map_or(p.doc, |(_, d)| *d),
        _ => p.doc,
    };
    let op = app.doc.mask.op;
    let changed =
        if id == ParamId::Scope && op != before { format!("; {before} is now {op}") } else { String::new() };
    app.say(format!("{} {value}: {doc}{changed}", p.name));
}

/// To the article's settings, or back from them (moved or not) to the default ones.
fn switch_preset(app: &mut App) {
    let next = match app.doc.nearest_preset(&app.options) {
        Some(DEFAULT) => ARTICLE,
        _ => DEFAULT,
    };
    app.doc.take_preset(next, &app.options);
    app.say(format!("Preset {next}: {}", params::preset_doc(next)));
}

/// Drags a slider to a place on its track.
pub fn drag(app: &mut App, id: ParamId, at: f64) {
    app.history.joins(Step::Slider(id));
    set_fraction(app, id, at);
}

fn set_fraction(app: &mut App, id: ParamId, at: f64) {
    params::set_fraction(&mut app.doc, &app.options, id, at);
}

/// Puts the line of τ at a place on the histogram's axis.
pub fn set_line(app: &mut App, at: f64) {
    app.history.joins(Step::Slider(ParamId::Threshold));
    let (Some(scores), Some(decision)) = (&app.results.scores, app.results.decision()) else { return };
    if let Some(tau) = rates::threshold_at(&app.doc.mask, &scores.value.values, decision, at) {
        params::set_value(&mut app.doc, &app.options, ParamId::Threshold, tau);
    }
}

pub fn set_point(app: &mut App, tau: f64, p: f64) {
    app.history.joins(Step::Plane);
    params::set_fraction(&mut app.doc, &app.options, ParamId::Threshold, tau);
    params::set_fraction(&mut app.doc, &app.options, ParamId::Probability, p);
}

/// Makes a setting the current one.
pub fn select(app: &mut App, id: ParamId) {
    app.focus(Pane::Mask);
    app.view.item = id;
}

fn step_item(app: &mut App, step: isize) {
    let shown = params::shown(&app.doc);
    let here = shown.iter().position(|p| *p == app.view.item).unwrap_or(0);
    let next = here.saturating_add_signed(step).min(shown.len() - 1);
    if app.view.item != shown[next] {
        app.history.close();
    }
    app.view.item = shown[next];
}

/// Lets the value be typed, or chosen from a list.
pub fn open(app: &mut App, id: ParamId) {
    app.view.item = id;
    match params::param(&app.doc, id).kind {
        Kind::Mix => mix::open(app),
        Kind::Choice(list) => {
            let now = params::text(&app.doc, &app.options, id);
            let selected = list.iter().position(|(n, _)| *n == now).unwrap_or(0);
            app.popup = Some(Popup::Picker { param: id, list: List { typed: String::new(), selected } });
        }
        Kind::Toggle => nudge(app, id, 1, false),
        Kind::Slider { .. } | Kind::Typed => entry::start(app, id, String::new()),
    }
}
