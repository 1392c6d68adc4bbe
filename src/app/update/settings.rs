//! Actions on the mask settings: sliders, choices, the plane.

use crate::app::actions::Verb;
use crate::app::document::{ARTICLE, DEFAULT};
use crate::app::mixing;
use crate::app::params::{self, Kind, ParamId};
use crate::app::rates;
use crate::app::state::{App, Entry, List, Pane, Popup};
use crate::app::update::focus;

/// Performs a settings action; says whether it was one.
pub fn perform(app: &mut App, verb: Verb) -> bool {
    use Verb as V;
    let item = app.view.item;
    match verb {
        V::ThresholdDown => nudge(app, ParamId::Threshold, -1, false),
        V::ThresholdUp => nudge(app, ParamId::Threshold, 1, false),
        V::ThresholdFineDown => nudge(app, ParamId::Threshold, -1, true),
        V::ThresholdFineUp => nudge(app, ParamId::Threshold, 1, true),
        V::ProbabilityDown => nudge(app, ParamId::Probability, -1, false),
        V::ProbabilityUp => nudge(app, ParamId::Probability, 1, false),
        V::ProbabilityFineDown => nudge(app, ParamId::Probability, -1, true),
        V::ProbabilityFineUp => nudge(app, ParamId::Probability, 1, true),
        V::Reroll => {
            nudge(app, ParamId::Seed, 1, false);
            app.history.close();
            app.say(format!("Seed {}: new draws", app.doc.mask.seed));
        }
        V::Polarity => cycle(app, ParamId::Polarity),
        V::Scale => cycle(app, ParamId::Scale),
        V::Op => cycle(app, ParamId::Op),
        V::Replacement => cycle(app, ParamId::Replacement),
        V::Protect => cycle(app, ParamId::Protect),
        V::Contribution => cycle(app, ParamId::Contribution),
        V::Article => switch_preset(app),
        V::Score => open(app, ParamId::Score),
        V::Presets => open(app, ParamId::Preset),
        V::Policy => open(app, ParamId::Policy),
        V::Mix => open(app, ParamId::Mix),
        V::Scope => cycle(app, ParamId::Scope),
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
        V::ValueReset => params::reset(&mut app.doc, &app.options, item),
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
            mixing::apply(&mut app.doc.mask, shares);
        }
        V::MixClose => app.popup = None,
        _ => return false,
    }
    true
}

fn give(app: &mut App, row: usize, percent: i32) {
    let shares = mixing::shares(&app.doc.mask);
    let share = shares[row].saturating_add_signed(percent);
    mixing::apply(&mut app.doc.mask, mixing::with_share(shares, row, share));
}

/// Gives an operation its share of the mix, in percent.
pub fn set_share(app: &mut App, row: usize, percent: u32) {
    app.popup = Some(Popup::Mix { row });
    let shares = mixing::shares(&app.doc.mask);
    mixing::apply(&mut app.doc.mask, mixing::with_share(shares, row, percent));
}

fn plane(app: &mut App, verb: Verb) -> bool {
    use Verb as V;
    match verb {
        V::PlaneLeft => nudge(app, ParamId::Threshold, -1, false),
        V::PlaneRight => nudge(app, ParamId::Threshold, 1, false),
        V::PlaneFineLeft => nudge(app, ParamId::Threshold, -1, true),
        V::PlaneFineRight => nudge(app, ParamId::Threshold, 1, true),
        V::PlaneUp => nudge(app, ParamId::Probability, 1, false),
        V::PlaneDown => nudge(app, ParamId::Probability, -1, false),
        V::PlaneFineUp => nudge(app, ParamId::Probability, 1, true),
        V::PlaneFineDown => nudge(app, ParamId::Probability, -1, true),
        V::AlongLess => along(app, 1.0),
        V::AlongMore => along(app, -1.0),
        _ => return false,
    }
    true
}

/// Moves τ by one step and p with it, so that the expected rate stays.
fn along(app: &mut App, direction: f64) {
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

/// Changes one setting by steps, from wherever the focus is.
pub fn nudge(app: &mut App, id: ParamId, steps: i32, fine: bool) {
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

pub fn set_fraction(app: &mut App, id: ParamId, at: f64) {
    params::set_fraction(&mut app.doc, &app.options, id, at);
}

/// Puts the line of τ at a place on the histogram's axis.
pub fn set_line(app: &mut App, at: f64) {
    let (Some(scores), Some(decision)) = (&app.results.scores, app.results.decision()) else { return };
    if let Some(tau) = rates::threshold_at(&app.doc.mask, &scores.value.values, decision, at) {
        params::set_value(&mut app.doc, &app.options, ParamId::Threshold, tau);
    }
}

pub fn set_point(app: &mut App, tau: f64, p: f64) {
    params::set_fraction(&mut app.doc, &app.options, ParamId::Threshold, tau);
    params::set_fraction(&mut app.doc, &app.options, ParamId::Probability, p);
}

/// Makes a setting the current one.
pub fn select(app: &mut App, id: ParamId) {
    focus(app, Pane::Mask);
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
        Kind::Mix => {
            let shares = mixing::shares(&app.doc.mask);
            let row = (0..shares.len()).max_by_key(|i| (shares[*i], usize::MAX - i)).unwrap_or(0);
            app.popup = Some(Popup::Mix { row });
        }
        Kind::Choice(list) => {
            let now = params::text(&app.doc, &app.options, id);
            let selected = list.iter().position(|(n, _)| *n == now).unwrap_or(0);
            app.popup = Some(Popup::Picker { param: id, list: List { typed: String::new(), selected } });
        }
        Kind::Toggle => nudge(app, id, 1, false),
        Kind::Slider { .. } | Kind::Typed => type_value(app, id, String::new()),
    }
}

/// Starts typing a value.
pub fn type_value(app: &mut App, id: ParamId, typed: String) {
    focus(app, Pane::Mask);
    app.view.item = id;
    app.entry = Some(Entry { param: id, typed, error: None });
}

/// Takes the typed value, or says what is wrong with it and keeps it for correction.
pub fn accept(app: &mut App) {
    let Some(mut entry) = app.entry.take() else { return };
    if entry.typed.trim().is_empty() {
        return;
    }
    if let Err(error) = params::parse(&mut app.doc, &app.options, entry.param, &entry.typed) {
        app.say(error.clone());
        entry.error = Some(error);
        app.entry = Some(entry);
    }
}
