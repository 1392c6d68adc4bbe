//! Actions on the mask settings: sliders, choices, the plane.

use crate::app::actions::Verb;
use crate::app::document::{ARTICLE, DEFAULT};
use crate::app::mixing;
use crate::app::params::{self, PRESET, Path};
use crate::app::rates;
use crate::app::state::{App, Entry, List, Pane, Popup};
use crate::app::update::focus;
use crate::attention::types::ScoreSettings;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::MaskSettings;
use crate::settings::{Kind, Value};

/// Performs a settings action; says whether it was one.
pub fn perform(app: &mut App, verb: Verb) -> bool {
    use Verb as V;
    let item = app.view.item;
    match verb {
        V::ThresholdDown => nudge(app, MaskSettings::threshold, -1, false),
        V::ThresholdUp => nudge(app, MaskSettings::threshold, 1, false),
        V::ThresholdFineDown => nudge(app, MaskSettings::threshold, -1, true),
        V::ThresholdFineUp => nudge(app, MaskSettings::threshold, 1, true),
        V::ProbabilityDown => nudge(app, MaskSettings::probability, -1, false),
        V::ProbabilityUp => nudge(app, MaskSettings::probability, 1, false),
        V::ProbabilityFineDown => nudge(app, MaskSettings::probability, -1, true),
        V::ProbabilityFineUp => nudge(app, MaskSettings::probability, 1, true),
        V::Reroll => {
            nudge(app, MaskSettings::seed, 1, false);
            app.history.close();
            app.say(format!("Seed {}: new draws", app.doc.mask.seed));
        }
        V::Polarity => cycle(app, MaskSettings::polarity),
        V::Scale => cycle(app, MaskSettings::scale),
        V::Op => cycle(app, MaskSettings::op),
        V::Replacement => cycle(app, MaskSettings::replacement),
        V::Protect => cycle(app, MaskSettings::protect),
        V::Contribution => cycle(app, ScoreSettings::contribution),
        V::Article => switch_preset(app),
        V::Score => open(app, ScoreSettings::reduction),
        V::Presets => open(app, PRESET),
        V::Policy => open(app, RollingSettings::policy),
        V::Mix => open(app, MaskSettings::mix),
        V::Scope => cycle(app, MaskSettings::scope),
        V::ItemUp => step_item(app, -1),
        V::ItemDown => step_item(app, 1),
        V::ItemFirst => step_item(app, isize::MIN),
        V::ItemLast => step_item(app, isize::MAX),
        V::ValueDown => nudge(app, item, -1, false),
        V::ValueUp => nudge(app, item, 1, false),
        V::ValueFineDown => nudge(app, item, -1, true),
        V::ValueFineUp => nudge(app, item, 1, true),
        V::ValueMin => set_fraction(app, item, 0.0),
        V::ValueMax => set_fraction(app, item, 1.0),
        V::ValueOpen => open(app, item),
        V::ValueReset => reset(app, item),
        _ => return mix(app, verb) || plane(app, verb),
    }
    true
}

fn mix(app: &mut App, verb: Verb) -> bool {
    use Verb as V;
    let Some(Popup::Mix { row }) = app.popup else { return false };
    let last = mixing::ROWS.len() - 1;
    match verb {
        V::MixUp => app.popup = Some(Popup::Mix { row: row.checked_sub(1).unwrap_or(last) }),
        V::MixDown => app.popup = Some(Popup::Mix { row: if row == last { 0 } else { row + 1 } }),
        V::MixLess => give(app, row, -5),
        V::MixMore => give(app, row, 5),
        V::MixFineLess => give(app, row, -1),
        V::MixFineMore => give(app, row, 1),
        V::MixNone => give(app, row, -100),
        V::MixAll => give(app, row, 100),
        V::MixBert => {
            let mask_row = app.model.as_ref().is_some_and(|m| m.has_mask_row);
            let mut shares = mixing::Shares::default();
            // Without a trained [MASK] row, what the setting `with` says takes its place.
            shares[if mask_row { 2 } else { 0 }] = 80;
            (shares[3], shares[last]) = (10, 10);
            take_shares(app, shares);
        }
        V::MixClose => app.popup = None,
        _ => return false,
    }
    true
}

fn give(app: &mut App, row: usize, percent: i32) {
    let shares = mixing::shares(&app.doc.mask);
    let share = shares[row].saturating_add_signed(percent);
    take_shares(app, mixing::with_share(shares, row, share));
}

/// Gives an operation its share of the mix, in percent.
pub fn set_share(app: &mut App, row: usize, percent: u32) {
    app.popup = Some(Popup::Mix { row });
    let shares = mixing::shares(&app.doc.mask);
    take_shares(app, mixing::with_share(shares, row, percent));
}

fn plane(app: &mut App, verb: Verb) -> bool {
    use Verb as V;
    match verb {
        V::PlaneLeft => nudge(app, MaskSettings::threshold, -1, false),
        V::PlaneRight => nudge(app, MaskSettings::threshold, 1, false),
        V::PlaneFineLeft => nudge(app, MaskSettings::threshold, -1, true),
        V::PlaneFineRight => nudge(app, MaskSettings::threshold, 1, true),
        V::PlaneUp => nudge(app, MaskSettings::probability, 1, false),
        V::PlaneDown => nudge(app, MaskSettings::probability, -1, false),
        V::PlaneFineUp => nudge(app, MaskSettings::probability, 1, true),
        V::PlaneFineDown => nudge(app, MaskSettings::probability, -1, true),
        V::AlongLess => along(app, 1),
        V::AlongMore => along(app, -1),
        _ => return false,
    }
    true
}

fn take_shares(app: &mut App, shares: mixing::Shares) {
    app.touched = Some(MaskSettings::mix);
    mixing::apply(&mut app.doc.mask, shares);
}

/// Moves τ by one step and p with it, so that the expected rate stays.
fn along(app: &mut App, direction: i32) {
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
    app.touched = Some(path);
    Ok(())
}

/// Takes typed or chosen text for a setting; a step of its own, whatever was changed before.
///
/// # Errors
/// As [`set`].
pub fn parse(app: &mut App, path: Path, typed: &str) -> Result<(), String> {
    app.history.close();
    params::parse(&mut app.doc, &app.options, path, typed)?;
    app.touched = Some(path);
    Ok(())
}

/// What a slider or a step gives, which is within the bounds.
fn take(app: &mut App, path: Path, value: Option<Value>) {
    if let Some(value) = value
        && let Err(error) = set(app, path, value)
    {
        app.say(error);
    }
}

/// Back to the value the program started with.
pub fn reset(app: &mut App, path: Path) {
    params::reset(&mut app.doc, &app.options, path);
    app.touched = Some(path);
}

/// Changes one setting by steps, from wherever the focus is.
pub fn nudge(app: &mut App, path: Path, steps: i32, fine: bool) {
    let value = params::stepped(&app.doc, &app.options, path, steps, fine);
    take(app, path, value);
}

/// Next choice of a setting, said aloud since its row may not be on screen.
fn cycle(app: &mut App, path: Path) {
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

pub fn set_point(app: &mut App, tau: f64, p: f64) {
    set_fraction(app, MaskSettings::threshold, tau);
    set_fraction(app, MaskSettings::probability, p);
}

/// Makes a setting the current one.
pub fn select(app: &mut App, path: Path) {
    focus(app, Pane::Mask);
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
    if path == MaskSettings::mix {
        let shares = mixing::shares(&app.doc.mask);
        let row = (0..shares.len()).max_by_key(|i| (shares[*i], usize::MAX - i)).unwrap_or(0);
        app.popup = Some(Popup::Mix { row });
    } else if params::is_typed(path) {
        type_value(app, path, String::new());
    } else if params::row(path).kind == Kind::Bool {
        nudge(app, path, 1, false);
    } else {
        pick(app, path);
    }
}

/// Starts typing a value.
pub fn type_value(app: &mut App, path: Path, typed: String) {
    focus(app, Pane::Mask);
    app.view.item = path;
    app.entry = Some(Entry { path, typed, error: None });
}

/// Takes the typed value, or says what is wrong with it and keeps it for correction.
pub fn accept(app: &mut App) {
    let Some(mut entry) = app.entry.take() else { return };
    if entry.typed.trim().is_empty() {
        return;
    }
    if let Err(error) = parse(app, entry.path, &entry.typed) {
        app.say(error.clone());
        entry.error = Some(error);
        app.entry = Some(entry);
    }
}
