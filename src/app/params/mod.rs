//! The settings as the mask pane shows them: name, doc, range, step, how to read and change each one. The one place
//! where sliders get their bounds and words from. Pure.

mod table;

use std::str::FromStr;

use table::{PARAMS, PRESETS};

use crate::app::document::{Document, Preset};
use crate::app::options::Options;
use crate::attention::types::Reduction;
use crate::mask::types::{DropPositions, Op, Polarity, Protect, Replacement, Scale, Scope, Unit};

/// One setting of the mask pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParamId {
    Preset,
    Threshold,
    Probability,
    Seed,
    Polarity,
    Op,
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
    pub name: &'static str,
    pub symbol: &'static str,
    pub doc: &'static str,
    pub kind: Kind,
    pub invalidates: Invalidates,
}

/// A line on a preset.
pub fn preset_doc(preset: Preset) -> &'static str {
    PRESETS.iter().find(|(name, _)| *name == preset.name()).map_or("", |(_, doc)| doc)
}

/// Lowest threshold of the logarithmic slider that raw attention gets.
const RAW_MIN: f64 = 1e-4;

/// The row of one setting, as it is under the current settings (raw scores get a logarithmic track).
pub fn param(doc: &Document, id: ParamId) -> Param {
    let mut p = PARAMS.iter().find(|p| p.id == id).copied().unwrap_or(PARAMS[0]);
    if id == ParamId::Threshold && doc.mask.scale == Scale::Raw {
        p.kind = Kind::Slider { min: RAW_MIN, max: 1.0, log: true };
    }
    p
}

/// The settings that mean something right now, in the order of the pane.
pub fn shown(doc: &Document) -> Vec<ParamId> {
    PARAMS
        .iter()
        .map(|p| p.id)
        .filter(|id| match id {
            ParamId::Replacement => doc.mask.op == Op::Replace,
            ParamId::Positions => doc.mask.op == Op::Drop,
            ParamId::Window => doc.score.reduction == Reduction::Window,
            _ => true,
        })
        .collect()
}

/// The value as text, the way `parse` reads it.
pub fn text(doc: &Document, options: &Options, id: ParamId) -> String {
    let (m, s) = (&doc.mask, &doc.score);
    match id {
        ParamId::Preset => doc.preset(options).map_or("custom", Preset::name).to_owned(),
        ParamId::Threshold if m.scale == Scale::Raw => format!("{:.4}", m.threshold),
        ParamId::Threshold => format!("{:.3}", m.threshold),
        ParamId::Probability => format!("{:.3}", m.probability),
        ParamId::Seed => m.seed.to_string(),
        ParamId::Polarity => m.polarity.to_string(),
        ParamId::Op => m.op.to_string(),
        ParamId::Replacement => m.replacement.to_string(),
        ParamId::Positions => m.drop_positions.to_string(),
        ParamId::Score => s.reduction.to_string(),
        ParamId::Contribution => on_off(s.contribution).to_owned(),
        ParamId::Window => s.window.to_string(),
        ParamId::Layers => list_text(&s.layers),
        ParamId::Heads => list_text(&s.heads),
        ParamId::Scale => m.scale.to_string(),
        ParamId::Protect => m.protect.to_string(),
        ParamId::Unit => m.unit.to_string(),
        ParamId::ExactK => on_off(m.exact_k).to_owned(),
        ParamId::Scope => m.scope.to_string(),
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Takes a typed value, or says in a sentence why not. Nothing changes on an error.
pub fn parse(doc: &mut Document, options: &Options, id: ParamId, typed: &str) -> Result<(), String> {
    let typed = typed.trim();
    match id {
        ParamId::Threshold => doc.mask.threshold = number(doc, id, typed)?,
        ParamId::Probability => doc.mask.probability = number(doc, id, typed)?,
        ParamId::Seed => {
            let wrong = |_| format!("a seed is a whole number from 0 to {}: {typed}", u64::MAX);
            doc.mask.seed = typed.parse().map_err(wrong)?;
        }
        ParamId::Preset => doc.take_preset(Preset::from_str(typed)?, options),
        ParamId::Polarity => doc.mask.polarity = Polarity::from_str(typed)?,
        ParamId::Op => doc.mask.op = Op::from_str(typed)?,
        ParamId::Replacement => doc.mask.replacement = Replacement::from_str(typed)?,
        ParamId::Positions => doc.mask.drop_positions = DropPositions::from_str(typed)?,
        ParamId::Score => doc.score.reduction = Reduction::from_str(typed)?,
        ParamId::Contribution => doc.score.contribution = switch(typed)?,
        ParamId::Window => {
            let n: usize =
                typed.parse().map_err(|_| format!("W is a whole number from 1 to 1024: {typed}"))?;
            if !(1..=1024).contains(&n) {
                return Err(format!("W is a whole number from 1 to 1024: {typed}"));
            }
            doc.score.window = n;
        }
        ParamId::Layers => doc.score.layers = list(typed)?,
        ParamId::Heads => doc.score.heads = list(typed)?,
        ParamId::Scale => doc.mask.scale = Scale::from_str(typed)?,
        ParamId::Protect => doc.mask.protect = Protect::from_str(typed)?,
        ParamId::Unit => doc.mask.unit = Unit::from_str(typed)?,
        ParamId::ExactK => doc.mask.exact_k = switch(typed)?,
        ParamId::Scope => doc.mask.scope = Scope::from_str(typed)?,
    }
    Ok(())
}

fn switch(typed: &str) -> Result<bool, String> {
    match typed {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("on or off, not: {typed}")),
    }
}

fn number(doc: &Document, id: ParamId, typed: &str) -> Result<f64, String> {
    let p = param(doc, id);
    let Kind::Slider { min, max, .. } = p.kind else {
        return Err(format!("{} is not a number", p.name));
    };
    let (digits, percent) = typed.strip_suffix('%').map_or((typed, 1.0), |d| (d.trim_end(), 100.0));
    let value: f64 =
        digits.replace(',', ".").parse().map_err(|_| format!("{} is not a number: {typed}", p.symbol))?;
    let value = value / percent;
    if !(min..=max).contains(&value) {
        return Err(format!("{} goes from {min} to {max}: {typed}", p.symbol));
    }
    Ok(value)
}

/// `all`, or numbers and ranges: `0,3-5`.
fn list(typed: &str) -> Result<Vec<usize>, String> {
    if typed.is_empty() || typed == "all" {
        return Ok(Vec::new());
    }
    let wrong = || format!("all, or a list such as 0,3-5: {typed}");
    let mut out = Vec::new();
    for part in typed.split(',').map(str::trim) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (usize, usize) =
            (from.trim().parse().map_err(|_| wrong())?, to.trim().parse().map_err(|_| wrong())?);
        if from > to || to > 1023 {
            return Err(wrong());
        }
        out.extend(from..=to);
    }
    out.sort_unstable();
    out.dedup();
    Ok(out)
}

fn list_text(list: &[usize]) -> String {
    if list.is_empty() {
        return "all".to_owned();
    }
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &i in list {
        match parts.last_mut() {
            Some((_, to)) if *to + 1 == i => *to = i,
            _ => parts.push((i, i)),
        }
    }
    let part = |(a, b): (usize, usize)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    parts.into_iter().map(part).collect::<Vec<_>>().join(",")
}

/// Where a slider stands on its track, 0..1; `None` for anything that is no slider.
pub fn fraction(doc: &Document, id: ParamId) -> Option<f64> {
    let Kind::Slider { min, max, log } = param(doc, id).kind else { return None };
    let value = if id == ParamId::Threshold { doc.mask.threshold } else { doc.mask.probability };
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
    } else if options.steps.fine > 0.0 {
        options.steps.fine
    } else {
        1e-3
    };
    let value = ((exact / grid).round() * grid).clamp(min, max);
    // The grid is decimal and binary fractions are not: 0.7000000000000001 is not what was meant.
    let value = (value * 1e9).round() / 1e9;
    match id {
        ParamId::Threshold => doc.mask.threshold = value,
        ParamId::Probability => doc.mask.probability = value,
        _ => {}
    }
}

/// Changes a value by `steps` steps (choices: places in the list, wrapping round).
pub fn nudge(doc: &mut Document, options: &Options, id: ParamId, steps: i32, fine: bool) {
    match param(doc, id).kind {
        Kind::Slider { .. } => {
            let step = if fine { options.steps.fine } else { options.steps.step };
            let at = fraction(doc, id).unwrap_or(0.0);
            set_fraction(doc, options, id, at + f64::from(steps) * step);
        }
        Kind::Choice(list) => {
            let now = text(doc, options, id);
            let here = list.iter().position(|(name, _)| *name == now).map(|i| i as i32);
            let next = here.map_or(0, |i| (i + steps).rem_euclid(list.len() as i32)) as usize;
            let _ = parse(doc, options, id, list[next].0);
        }
        Kind::Toggle => {
            let next = if text(doc, options, id) == "on" { "off" } else { "on" };
            let _ = parse(doc, options, id, next);
        }
        Kind::Typed => nudge_typed(doc, id, steps),
    }
}

fn nudge_typed(doc: &mut Document, id: ParamId, steps: i32) {
    match id {
        ParamId::Seed => doc.mask.seed = doc.mask.seed.wrapping_add_signed(i64::from(steps)),
        ParamId::Window => {
            doc.score.window = doc.score.window.saturating_add_signed(steps as isize).clamp(1, 1024);
        }
        ParamId::Layers => step_list(&mut doc.score.layers, steps),
        ParamId::Heads => step_list(&mut doc.score.heads, steps),
        _ => {}
    }
}

/// all → 0 → 1 → …, and back.
fn step_list(list: &mut Vec<usize>, steps: i32) {
    let next = list.first().map_or(-1, |i| *i as i64) + i64::from(steps);
    *list = usize::try_from(next).map_or(Vec::new(), |i| vec![i.min(1023)]);
}

/// Back to the value the program started with.
pub fn reset(doc: &mut Document, options: &Options, id: ParamId) {
    let fresh = Document { mask: options.mask.clone(), score: options.score.clone(), ..doc.clone() };
    let value =
        if id == ParamId::Preset { Preset::Default.name().to_owned() } else { text(&fresh, options, id) };
    let _ = parse(doc, options, id, &value);
}

#[cfg(test)]
mod tests {
    use super::table::*;
    use super::*;

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
            if let Kind::Choice(list) = p.kind {
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
        assert_eq!(names(PRESETS), Preset::NAMES);
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
            (ParamId::Seed, "-1", "a seed is a whole number"),
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
