//! The settings as the mask pane shows them: name, doc, how to read and change each one. Bounds and steps come from the
//! parameter table; the words on screen, which are about the text in view, from the table beside this file. Pure.

mod table;
mod value;

use std::sync::LazyLock;

use table::PARAMS;
pub use value::{parse, text};

use crate::app::document::{DEFAULT, Document};
use crate::app::options::Options;
use crate::attention::types::Reduction;
use crate::config::{self, PRESETS, parameters};
use crate::mask::rolling::Policy;
use crate::mask::types::{Op, Scale, Scope};

/// One setting of the mask pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParamId {
    Preset,
    Threshold,
    Probability,
    Seed,
    Polarity,
    Op,
    Mix,
    Replacement,
    Positions,
    Score,
    Contribution,
    Window,
    Layers,
    Heads,
    Scale,
    Protect,
    Unit,
    ExactK,
    Scope,
    Policy,
    Budget,
    PerHead,
    RollWindow,
    Stride,
    Recent,
    Decay,
    History,
    Sticky,
    CoolDown,
    Initial,
}

/// How a setting is changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A number between two ends; `log` when the track is logarithmic.
    Slider {
        min: f64,
        max: f64,
        log: bool,
    },
    /// One of a few named values, with a line on each.
    Choice(&'static [(&'static str, &'static str)]),
    Toggle,
    /// Typed only.
    Typed,
    /// Shares of operations, which have an editor of their own.
    Mix,
}

/// What has to be computed again when a setting changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invalidates {
    /// The mask, from cached scores; no forward unless the mask changes.
    Decision,
    /// What the changed positions touch.
    Forward,
}

/// A row of the mask pane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Param {
    pub id: ParamId,
    /// Its row in the parameter table; empty for the preset, which sets many.
    pub key: &'static str,
    pub name: &'static str,
    pub symbol: &'static str,
    pub doc: &'static str,
    pub kind: Kind,
    pub invalidates: Invalidates,
}

static PRESET_CHOICES: LazyLock<Vec<(&'static str, &'static str)>> = LazyLock::new(|| {
    let doc = |p: &config::Preset| if p.name == DEFAULT { "what the program started with" } else { p.doc };
    PRESETS.iter().map(|p| (p.name, doc(p))).collect()
});

/// A line on a preset.
pub fn preset_doc(name: &str) -> &'static str {
    PRESET_CHOICES.iter().find(|(n, _)| *n == name).map_or("", |(_, doc)| doc)
}

/// The row of one setting, as it is under the current settings (raw scores get a logarithmic track).
pub fn param(doc: &Document, id: ParamId) -> Param {
    let mut p = PARAMS.iter().find(|p| p.id == id).copied().unwrap_or(PARAMS[0]);
    match p.kind {
        Kind::Slider { .. } => p.kind = slider(doc, &p),
        Kind::Choice(_) if id == ParamId::Preset => p.kind = Kind::Choice(&PRESET_CHOICES),
        _ => {}
    }
    p
}

fn slider(doc: &Document, p: &Param) -> Kind {
    let raw = p.id == ParamId::Threshold && doc.mask.scale == Scale::Raw;
    let kind = if raw { Some(parameters::RAW_THRESHOLD) } else { parameters::find(p.key).map(|p| p.kind) };
    match kind {
        Some(config::Kind::Float { min, max, log, .. }) => Kind::Slider { min, max, log },
        _ => p.kind,
    }
}

/// The settings that mean something right now, in the order of the pane.
pub fn shown(doc: &Document) -> Vec<ParamId> {
    let block = doc.mask.scope == Scope::Block;
    let by_threshold = matches!(doc.rolling.policy, Policy::Threshold);
    let by_budget = by_budget(doc);
    PARAMS
        .iter()
        .map(|p| p.id)
        .filter(|id| match id {
            ParamId::Replacement => doc.mask.op == Op::Replace,
            ParamId::Positions => doc.mask.op == Op::Drop,
            ParamId::Window => doc.score.reduction == Reduction::Window,
            // A budget asks neither τ nor p.
            ParamId::Threshold
            | ParamId::Probability
            | ParamId::Polarity
            | ParamId::Scale
            | ParamId::ExactK
            | ParamId::Initial => !by_budget,
            ParamId::Policy | ParamId::RollWindow | ParamId::Stride => block,
            ParamId::Budget | ParamId::PerHead => by_budget,
            ParamId::Recent | ParamId::Decay | ParamId::History | ParamId::Sticky => block && by_threshold,
            ParamId::CoolDown => block && by_threshold && !doc.rolling.sticky,
            _ => true,
        })
        .collect()
}

/// Whether a cache policy with a budget decides, rather than τ and p.
pub fn by_budget(doc: &Document) -> bool {
    doc.mask.scope == Scope::Block && matches!(doc.rolling.policy, Policy::Preset(p, _) if p.has_budget())
}

/// The number behind a slider, and behind a whole number that is typed.
fn number_of(doc: &Document, id: ParamId) -> Option<f64> {
    Some(match id {
        ParamId::Threshold => doc.mask.threshold,
        ParamId::Probability => doc.mask.probability,
        ParamId::Budget => value::budget(doc),
        ParamId::Decay => doc.rolling.decay,
        ParamId::History => doc.rolling.lambda,
        _ => return None,
    })
}

fn set_number(doc: &mut Document, id: ParamId, value: f64) {
    match id {
        ParamId::Threshold => doc.mask.threshold = value,
        ParamId::Probability => doc.mask.probability = value,
        ParamId::Budget => value::set_budget(doc, value),
        ParamId::Decay => doc.rolling.decay = value,
        ParamId::History => doc.rolling.lambda = value,
        _ => {}
    }
}

/// Where a slider stands on its track, 0..1; `None` for anything that is no slider.
pub fn fraction(doc: &Document, id: ParamId) -> Option<f64> {
    let Kind::Slider { min, max, log } = param(doc, id).kind else { return None };
    let value = number_of(doc, id)?;
    let at = |v: f64| if log { v.max(min).ln() } else { v };
    Some(((at(value) - at(min)) / (at(max) - at(min))).clamp(0.0, 1.0))
}

/// The exact value at a place on a slider's track; 0 for anything that is no slider.
pub fn value_at(doc: &Document, id: ParamId, place: f64) -> f64 {
    let Kind::Slider { min, max, log } = param(doc, id).kind else { return 0.0 };
    let place = if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 };
    if log { min * (max / min).powf(place) } else { min + place * (max - min) }
}

/// Puts a slider at a place on its track, on the grid of fine steps.
pub fn set_fraction(doc: &mut Document, options: &Options, id: ParamId, place: f64) {
    let exact = value_at(doc, id, place);
    set_value(doc, options, id, exact);
}

/// Gives a slider a value, brought into its range and onto the grid of fine steps.
pub fn set_value(doc: &mut Document, options: &Options, id: ParamId, exact: f64) {
    let Kind::Slider { min, max, log } = param(doc, id).kind else { return };
    let exact = if exact.is_finite() { exact.clamp(min, max) } else { min };
    let grid = if log {
        // Three significant digits are as fine as a logarithmic track of this length can be pointed at.
        10f64.powf(exact.log10().floor() - 2.0)
    } else {
        steps(options, id).1
    };
    let value = ((exact / grid).round() * grid).clamp(min, max);
    // The grid is decimal and binary fractions are not: 0.7000000000000001 is not what was meant.
    set_number(doc, id, (value * 1e9).round() / 1e9);
}

/// Step and fine step of a slider, in units of its value.
fn steps(options: &Options, id: ParamId) -> (f64, f64) {
    let own = PARAMS.iter().find(|p| p.id == id).and_then(|p| parameters::find(p.key)).map(|p| p.kind);
    match own {
        // τ and p share the steps that the settings may change.
        _ if matches!(id, ParamId::Threshold | ParamId::Probability) && options.steps.fine > 0.0 => {
            (options.steps.step, options.steps.fine)
        }
        Some(config::Kind::Float { step, fine_step, .. }) if fine_step > 0.0 => (step, fine_step),
        _ => (0.02, 1e-3),
    }
}

/// Changes a value by `steps` steps (choices: places in the list, wrapping round).
pub fn nudge(doc: &mut Document, options: &Options, id: ParamId, by: i32, fine: bool) {
    match param(doc, id).kind {
        Kind::Slider { min, max, .. } => {
            let (step, fine_step) = steps(options, id);
            let logarithmic = id == ParamId::Threshold && doc.mask.scale == Scale::Raw;
            let width = if logarithmic { 1.0 } else { max - min };
            let step = if fine { fine_step } else { step } / width;
            let at = fraction(doc, id).unwrap_or(0.0);
            set_fraction(doc, options, id, at + f64::from(by) * step);
        }
        Kind::Choice(list) => {
            let now = text(doc, options, id);
            let here = list.iter().position(|(name, _)| *name == now).map(|i| i as i32);
            let next = here.map_or(0, |i| (i + by).rem_euclid(list.len() as i32)) as usize;
            let _ = parse(doc, options, id, list[next].0);
        }
        Kind::Toggle => {
            let next = if text(doc, options, id) == "on" { "off" } else { "on" };
            let _ = parse(doc, options, id, next);
        }
        Kind::Typed => value::nudge_typed(doc, id, by),
        Kind::Mix => {}
    }
}

/// Back to the value the program started with.
pub fn reset(doc: &mut Document, options: &Options, id: ParamId) {
    let fresh = Document {
        mask: options.mask.clone(),
        score: options.score.clone(),
        rolling: options.rolling.clone(),
        ..doc.clone()
    };
    let value = if id == ParamId::Preset { DEFAULT.to_owned() } else { text(&fresh, options, id) };
    let _ = parse(doc, options, id, &value);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::table::*;
    use super::*;
    use crate::attention::types::Reduction;
    use crate::mask::initial::Pattern;
    use crate::mask::presets::Preset as CachePolicy;
    use crate::mask::types::{DropPositions, Polarity, Replacement, Unit};

    fn doc() -> (Document, Options) {
        let options = Options::default();
        (Document::new(&options), options)
    }

    #[test]
    fn every_value_reads_back_as_written() {
        let (mut d, o) = doc();
        for p in PARAMS {
            let before = text(&d, &o, p.id);
            parse(&mut d, &o, p.id, &before).unwrap_or_else(|e| panic!("{}: {e}", p.name));
            assert_eq!(text(&d, &o, p.id), before);
            if let Kind::Choice(list) = param(&d, p.id).kind {
                for (name, _) in list {
                    parse(&mut d, &o, p.id, name).unwrap_or_else(|e| panic!("{}: {e}", p.name));
                    assert_eq!(text(&d, &o, p.id), *name);
                }
            }
            reset(&mut d, &o, p.id);
        }
    }

    #[test]
    fn choices_name_every_variant() {
        let names = |list: &[(&'static str, &str)]| list.iter().map(|(n, _)| *n).collect::<Vec<_>>();
        assert_eq!(names(POLARITIES), Polarity::NAMES);
        assert_eq!(names(OPS), Op::NAMES);
        assert_eq!(names(REPLACEMENTS), Replacement::NAMES);
        assert_eq!(names(POSITIONS), DropPositions::NAMES);
        assert_eq!(names(SCORES), Reduction::NAMES);
        assert_eq!(names(SCALES), Scale::NAMES);
        assert_eq!(names(UNITS), Unit::NAMES);
        assert_eq!(names(SCOPES), Scope::NAMES);
        assert_eq!(names(POLICIES)[0], "threshold");
        assert_eq!(names(POLICIES)[1..], *CachePolicy::NAMES);
        assert_eq!(names(INITIAL)[0], "none");
        assert_eq!(names(INITIAL)[1..], *Pattern::NAMES);
    }

    #[test]
    fn every_row_stands_in_the_parameter_table() {
        let mut keys = BTreeSet::new();
        for p in PARAMS.iter().filter(|p| p.id != ParamId::Preset) {
            let row = parameters::find(p.key).unwrap_or_else(|| panic!("{} is no parameter", p.key));
            assert!(keys.insert(p.key), "{} twice", p.key);
            if let (Kind::Choice(list), config::Kind::Choice(names)) = (p.kind, row.kind) {
                assert_eq!(list.iter().map(|(n, _)| *n).collect::<Vec<_>>(), names, "{}", p.key);
            }
            assert_eq!(matches!(p.kind, Kind::Slider { .. }), matches!(row.kind, config::Kind::Float { .. }));
        }
        let section =
            |key: &str| parameters::find(key).is_some_and(|p| matches!(p.section(), "mask" | "score"));
        let all: BTreeSet<&str> =
            parameters::all().iter().map(|p| p.key).filter(|key| section(key)).collect();
        assert_eq!(keys, all, "every parameter of [mask] and [score] can be changed on screen");
    }

    #[test]
    fn sliders_of_other_ranges_move_by_their_own_steps() {
        let (mut d, o) = doc();
        d.mask.scope = Scope::Block;
        assert!(shown(&d).contains(&ParamId::History) && !shown(&d).contains(&ParamId::Budget));
        nudge(&mut d, &o, ParamId::History, 1, false);
        assert_eq!(d.rolling.lambda, 1.5);
        nudge(&mut d, &o, ParamId::History, -1, true);
        assert_eq!(d.rolling.lambda, 1.4);
        parse(&mut d, &o, ParamId::Policy, "h2o").unwrap();
        assert!(shown(&d).contains(&ParamId::Budget) && !shown(&d).contains(&ParamId::History));
        nudge(&mut d, &o, ParamId::Budget, -2, false);
        assert_eq!(text(&d, &o, ParamId::Budget), "0.400");
        parse(&mut d, &o, ParamId::Policy, "tova").unwrap();
        assert_eq!(text(&d, &o, ParamId::Budget), "0.400", "the budget stays with the next policy");
        parse(&mut d, &o, ParamId::Policy, "threshold").unwrap();
        assert_eq!(d.rolling.decay, o.rolling.decay, "what H2O implied is gone with it");
    }

    #[test]
    fn nudges_stay_on_a_clean_grid_and_inside() {
        let (mut d, o) = doc();
        for _ in 0..5 {
            nudge(&mut d, &o, ParamId::Threshold, 1, false);
        }
        assert_eq!(text(&d, &o, ParamId::Threshold), "0.800");
        assert_eq!(d.mask.threshold, 0.8);
        nudge(&mut d, &o, ParamId::Threshold, -1, true);
        assert_eq!(d.mask.threshold, 0.798);
        nudge(&mut d, &o, ParamId::Threshold, 1000, false);
        assert_eq!(d.mask.threshold, 1.0);
        d.mask.scale = Scale::Raw;
        set_fraction(&mut d, &o, ParamId::Threshold, 0.5);
        assert_eq!(d.mask.threshold, 0.01);
        assert!((fraction(&d, ParamId::Threshold).unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn bad_input_is_explained_and_changes_nothing() {
        let (mut d, o) = doc();
        for (id, typed, part) in [
            (ParamId::Threshold, "1.5", "τ goes from 0 to 1: 1.5"),
            (ParamId::Threshold, "abc", "τ is not a number: abc"),
            (ParamId::Probability, "NaN", "p goes from 0 to 1"),
            (ParamId::Seed, "-1", "seed is a whole number"),
            (ParamId::Layers, "3-1", "all, or a list"),
            (ParamId::Protect, "lust", "unknown protection"),
        ] {
            let err = parse(&mut d, &o, id, typed).unwrap_err();
            assert!(err.contains(part), "{err}");
        }
        assert_eq!(d.snapshot().mask, o.mask);
        parse(&mut d, &o, ParamId::Probability, "12.5 %").unwrap();
        assert_eq!(d.mask.probability, 0.125);
        parse(&mut d, &o, ParamId::Layers, "5,0-2").unwrap();
        assert_eq!(text(&d, &o, ParamId::Layers), "0-2,5");
    }
}
