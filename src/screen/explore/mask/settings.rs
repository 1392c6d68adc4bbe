//! Actions on the mask settings: sliders, choices, the plane; and the one door through which any setting changes.

use crate::attention::types::ScoreSettings;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::MaskSettings;
use crate::screen::actions::{EXPLORER, PANES, actions};
use crate::screen::app::App;
use crate::screen::document::{ARTICLE, DEFAULT};
use crate::screen::explore::mask::{self, CONTEXT, entry, rates};
use crate::screen::explore::plane::CONTEXT as PLANE;
use crate::screen::history::EditKind;
use crate::screen::pane::Wheel;
use crate::screen::params::{self, Path};
use crate::screen::popups::list::List;
use crate::screen::popups::{Popup, mix};
use crate::screen::train::run::live;
use crate::settings::{Kind, Value};
use crate::train::report::Live;

actions! {
    PANES {
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
    EXPLORER {
        /// Re-roll the seed: new draws, everything else unchanged
        REROLL ["r"] "re-roll" => reroll;
        /// Next polarity: high, low, random
        POLARITY ["y"] => |app| cycle(app, MaskSettings::polarity);
        /// Next scale of the score: rank, calibrated, raw
        SCALE ["S"] => |app| cycle(app, MaskSettings::scale);
        /// Choose the score: how the attention a token receives becomes a number
        SCORE ["s"] "score" => |app| open(app, ScoreSettings::reduction);
        /// Weight attention by the size of the values, or not
        CONTRIBUTION ["v"] => |app| cycle(app, ScoreSettings::contribution);
        /// Next operation: replace, hide, drop, evict, skip, keep
        OP ["d"] "operation" => |app| cycle(app, MaskSettings::op);
        /// Next replacement: what a replaced token becomes
        REPLACEMENT ["w"] if |app| params::inert(&app.doc, MaskSettings::replacement).is_none() =>
            |app| cycle(app, MaskSettings::replacement);
        /// Next protection: which tokens are never masked
        PROTECT ["g"] => |app| cycle(app, MaskSettings::protect);
        /// Switch between the default settings and the article's
        PRESET ["a"] => switch_preset;
        /// Choose among all presets: the article, BERT, cache policies, controls
        PRESETS ["A"] "presets" => |app| open(app, params::PRESET);
        /// Edit the mix: shares of operations, each masked token drawing its own
        MIX ["O"] => |app| open(app, MaskSettings::mix);
        /// Decide with the whole text in view, or block by block from the past only
        SCOPE ["b"] => |app| cycle(app, MaskSettings::scope);
        /// Choose who decides at a boundary: the threshold or a cache policy
        POLICY ["P"] => |app| open(app, RollingSettings::policy);
    }
    CONTEXT {
        /// Go to the setting above
        ITEM_UP ["up"] "setting" with [ITEM_DOWN] => |app| step_item(app, -1);
        /// Go to the setting below
        ITEM_DOWN ["down"] => |app| step_item(app, 1);
        /// Go to the first setting
        ITEM_FIRST ["pageup"] => |app| step_item(app, isize::MIN);
        /// Go to the last setting
        ITEM_LAST ["pagedown"] => |app| step_item(app, isize::MAX);
        /// Lower the value by one step, or take the choice before
        VALUE_DOWN ["left"] "change" with [VALUE_UP] => |app| nudge(app, app.view.item, -1, false);
        /// Raise the value by one step, or take the next choice
        VALUE_UP ["right"] => |app| nudge(app, app.view.item, 1, false);
        /// Lower the value by a fine step
        VALUE_FINE_DOWN ["shift-left"] "fine" with [VALUE_FINE_UP] =>
            |app| nudge(app, app.view.item, -1, true);
        /// Raise the value by a fine step
        VALUE_FINE_UP ["shift-right"] => |app| nudge(app, app.view.item, 1, true);
        /// Lowest value
        VALUE_MIN ["home"] => |app| set_fraction(app, app.view.item, 0.0);
        /// Highest value
        VALUE_MAX ["end"] => |app| set_fraction(app, app.view.item, 1.0);
        /// Type the value, or choose from all of them
        VALUE_OPEN ["enter"] "type / choose" => |app| open(app, app.view.item);
        /// Back to the default value
        VALUE_RESET ["backspace" "delete"] "reset" => |app| reset(app, app.view.item);
    }
    PLANE {
        /// Lower the threshold τ
        PLANE_LEFT ["left"] "move" with [PLANE_UP PLANE_DOWN PLANE_RIGHT] =>
            |app| move_point(app, MaskSettings::threshold, -1, false);
        /// Raise the threshold τ
        PLANE_RIGHT ["right"] => |app| move_point(app, MaskSettings::threshold, 1, false);
        /// Raise the probability p
        PLANE_UP ["up"] => |app| move_point(app, MaskSettings::probability, 1, false);
        /// Lower the probability p
        PLANE_DOWN ["down"] => |app| move_point(app, MaskSettings::probability, -1, false);
        /// Lower the threshold τ by a fine step
        PLANE_FINE_LEFT ["shift-left"] => |app| move_point(app, MaskSettings::threshold, -1, true);
        /// Raise the threshold τ by a fine step
        PLANE_FINE_RIGHT ["shift-right"] => |app| move_point(app, MaskSettings::threshold, 1, true);
        /// Raise the probability p by a fine step
        PLANE_FINE_UP ["shift-up"] => |app| move_point(app, MaskSettings::probability, 1, true);
        /// Lower the probability p by a fine step
        PLANE_FINE_DOWN ["shift-down"] => |app| move_point(app, MaskSettings::probability, -1, true);
        /// Slide along the curve of equal rate: fewer candidates, surer draws
        ALONG_LESS ["pageup"] "same rate" with [ALONG_MORE] => |app| along(app, 1);
        /// Slide along the curve of equal rate: more candidates, rarer draws
        ALONG_MORE ["pagedown"] => |app| along(app, -1);
    }
}

/// τ or p by steps: of the run in progress, on the Train screen; else of the explorer, which the next run takes over.
fn step(app: &mut App, what: Live, steps: i32, fine: bool) {
    if live::in_force(app) {
        return live::nudge(app, what, steps, fine);
    }
    let path = if what == Live::Threshold { MaskSettings::threshold } else { MaskSettings::probability };
    nudge(app, path, steps, fine);
}

/// Moves the point of the plane.
fn move_point(app: &mut App, path: Path, steps: i32, fine: bool) {
    app.history.joins(EditKind::Plane);
    nudge(app, path, steps, fine);
}

fn reroll(app: &mut App) {
    nudge(app, MaskSettings::seed, 1, false);
    app.history.close();
    app.say(format!("Seed {}: new draws", app.doc.mask.seed));
}

/// Moves τ by one step and p with it, so that the expected rate stays.
fn along(app: &mut App, direction: i32) {
    if says_why_inert(app, MaskSettings::threshold) {
        return;
    }
    app.history.joins(EditKind::Plane);
    let decision = app.results.decision();
    let rate = rates::expected(&app.doc.mask, decision);
    let mut next = app.doc.clone();
    if let Some(tau) = params::stepped(&next, &app.options, MaskSettings::threshold, direction, false) {
        // A step stays within the bounds.
        let _ = params::put(&mut next, &app.options, MaskSettings::threshold, tau);
    }
    match rates::probability_for(&app.doc, decision, next.mask.threshold, rate) {
        Some(p) => {
            // Off the grid on purpose: on it, the rate would creep away step by step.
            next.mask.probability = p;
            app.doc = next;
        }
        None => app.say("The curve of equal rate ends here"),
    }
}

/// Gives a setting a value: the one door to all of them. Changes of one setting in a row are one step of the history.
///
/// # Errors
/// A sentence that says why not; nothing changes then.
pub fn set(app: &mut App, path: Path, value: Value) -> Result<(), String> {
    params::put(&mut app.doc, &app.options, path, value)?;
    app.history.touches(path);
    Ok(())
}

/// Takes typed or chosen text for a setting; a step of its own, whatever was changed before.
///
/// # Errors
/// As [`set`].
pub fn parse(app: &mut App, path: Path, typed: &str) -> Result<(), String> {
    app.history.close();
    params::parse(&mut app.doc, &app.options, path, typed)?;
    app.history.touches(path);
    Ok(())
}

/// Whether a setting does nothing now; what decides instead is said.
fn says_why_inert(app: &mut App, path: Path) -> bool {
    let inert = params::inert(&app.doc, path);
    if let Some(inert) = &inert {
        app.say(inert.why.clone());
    }
    inert.is_some()
}

/// What a slider or a step gives, which is within the bounds.
fn take(app: &mut App, path: Path, value: Option<Value>) {
    if says_why_inert(app, path) {
        return;
    }
    if let Some(value) = value
        && let Err(error) = set(app, path, value)
    {
        app.say(error);
    }
}

/// Back to the value the program started with.
pub fn reset(app: &mut App, path: Path) {
    params::reset(&mut app.doc, &app.options, path);
    app.history.touches(path);
}

/// Changes one setting by steps, from wherever the focus is.
pub fn nudge(app: &mut App, path: Path, steps: i32, fine: bool) {
    let value = params::stepped(&app.doc, &app.options, path, steps, fine);
    take(app, path, value);
}

/// Next choice of a setting, said aloud since its row may not be on screen.
fn cycle(app: &mut App, path: Path) {
    if says_why_inert(app, path) {
        return;
    }
    app.history.close();
    let before = app.doc.mask.op;
    nudge(app, path, 1, false);
    app.history.close();
    if params::shown(&app.doc).contains(&path) {
        app.view.item = path;
    }
    let row = params::row(path);
    let value = params::text(&app.doc, &app.options, path);
    let doc = row.choices().iter().find(|choice| choice.name == value).map_or(row.doc, |choice| choice.doc);
    let op = app.doc.mask.op;
    let followed = path == MaskSettings::scope && op != before;
    let changed = if followed { format!("; {before} is now {op}") } else { String::new() };
    app.say(format!("{} {value}: {doc}{changed}", row.name()));
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

/// Puts a setting at a place on its track, 0..1.
pub fn set_fraction(app: &mut App, path: Path, at: f64) {
    let value = params::value_at(&app.doc, path, at);
    take(app, path, value);
}

/// Puts the line of τ at a place on the histogram's axis.
pub fn set_line(app: &mut App, at: f64) {
    let (Some(scores), Some(decision)) = (&app.results.scores, app.results.decision()) else { return };
    if let Some(tau) = rates::threshold_at(&app.doc.mask, &scores.value.values, decision, at) {
        let value = params::kind(&app.doc, MaskSettings::threshold).on_grid(tau);
        take(app, MaskSettings::threshold, value);
    }
}

/// Moves the point of the plane to a place on both tracks, 0..1.
pub fn set_point(app: &mut App, tau: f64, p: f64) {
    if says_why_inert(app, MaskSettings::threshold) {
        return;
    }
    app.history.joins(EditKind::Plane);
    set_fraction(app, MaskSettings::threshold, tau);
    set_fraction(app, MaskSettings::probability, p);
}

/// Makes a setting the current one.
pub fn select(app: &mut App, path: Path) {
    app.focus(&mask::PANE);
    app.view.item = path;
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

/// Opens the list of a setting's choices.
pub fn pick(app: &mut App, path: Path) {
    let now = params::text(&app.doc, &app.options, path);
    let choices = params::kind(&app.doc, path).choices();
    let selected = choices.iter().position(|choice| choice.name == now).unwrap_or(0);
    app.popup = Some(Popup::Picker { path, list: List { typed: String::new(), selected } });
}

/// Lets the value be typed, or chosen from a list.
pub fn open(app: &mut App, path: Path) {
    app.view.item = path;
    if says_why_inert(app, path) {
        return;
    }
    if path == MaskSettings::mix {
        mix::start(app);
    } else if params::is_typed(path) {
        entry::start(app, path, String::new());
    } else if params::row(path).kind == Kind::Bool {
        nudge(app, path, 1, false);
    } else {
        pick(app, path);
    }
}

/// The wheel over a setting: up is more.
pub fn turn(app: &mut App, path: Path, wheel: Wheel) {
    app.act(|app| nudge(app, path, -wheel.by as i32, wheel.shift));
}
