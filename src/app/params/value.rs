//! The values of settings as text, and typed text as values. Pure.

use std::str::FromStr;

use super::{Kind, ParamId, param};
use crate::app::document::Document;
use crate::app::options::Options;
use crate::attention::types::Reduction;
use crate::config::{self, PRESETS, parameters};
use crate::mask::initial::Pattern;
use crate::mask::mix::Mix;
use crate::mask::presets::{Budget, Preset as CachePolicy};
use crate::mask::rolling::{Policy, RollingSettings};
use crate::mask::types::{DropPositions, Op, Polarity, Protect, Replacement, Scale, Scope, Unit};

/// What a mix reads as where there is none.
const NO_MIX: &str = "off";

/// The value as text, the way `parse` reads it.
pub fn text(doc: &Document, options: &Options, id: ParamId) -> String {
    let (m, s, r) = (&doc.mask, &doc.score, &doc.rolling);
    match id {
        ParamId::Preset => doc.preset(options).unwrap_or("custom").to_owned(),
        ParamId::Threshold if m.scale == Scale::Raw => format!("{:.4}", m.threshold),
        ParamId::Threshold => format!("{:.3}", m.threshold),
        ParamId::Probability => format!("{:.3}", m.probability),
        ParamId::Seed => m.seed.to_string(),
        ParamId::Polarity => m.polarity.to_string(),
        ParamId::Op => m.op.to_string(),
        ParamId::Mix => m.mix.as_ref().map_or(NO_MIX.to_owned(), Mix::to_string),
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
        ParamId::Policy => match r.policy {
            Policy::Threshold => "threshold".to_owned(),
            Policy::Preset(p, _) => p.to_string(),
        },
        ParamId::Budget => format!("{:.3}", budget(doc)),
        ParamId::PerHead => on_off(r.per_head).to_owned(),
        ParamId::RollWindow => r.window.to_string(),
        ParamId::Stride => r.stride.to_string(),
        ParamId::Recent => r.recent.to_string(),
        ParamId::Decay => format!("{:.3}", r.decay),
        ParamId::History => format!("{:.3}", r.lambda),
        ParamId::Sticky => on_off(r.sticky).to_owned(),
        ParamId::CoolDown => r.cool_down.to_string(),
        ParamId::Initial => r.initial.map_or("none".to_owned(), |p| p.to_string()),
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// The share that a cache policy keeps; the default where a threshold decides.
pub(super) fn budget(doc: &Document) -> f64 {
    match (doc.rolling.policy, Budget::default()) {
        (Policy::Preset(_, Budget::Share(share)), _) | (_, Budget::Share(share)) => share,
        _ => 1.0,
    }
}

pub(super) fn set_budget(doc: &mut Document, share: f64) {
    if let Policy::Preset(_, budget) = &mut doc.rolling.policy {
        *budget = Budget::Share(share);
    }
}

/// Takes a typed value, or says in a sentence why not. Nothing changes on an error.
pub fn parse(doc: &mut Document, options: &Options, id: ParamId, typed: &str) -> Result<(), String> {
    let typed = typed.trim();
    match id {
        ParamId::Threshold | ParamId::Probability | ParamId::Budget | ParamId::Decay | ParamId::History => {
            let value = number(doc, id, typed)?;
            super::set_number(doc, id, value);
        }
        ParamId::Seed => doc.mask.seed = whole(id, typed)? as u64,
        ParamId::Preset => match PRESETS.iter().find(|p| p.name == typed) {
            Some(preset) => doc.take_preset(preset.name, options),
            None => return Err(format!("no such preset: {typed}")),
        },
        ParamId::Polarity => doc.mask.polarity = Polarity::from_str(typed)?,
        ParamId::Op => doc.mask.op = Op::from_str(typed)?,
        ParamId::Mix => doc.mask.mix = if matches!(typed, NO_MIX | "") { None } else { Some(typed.parse()?) },
        ParamId::Replacement => doc.mask.replacement = Replacement::from_str(typed)?,
        ParamId::Positions => doc.mask.drop_positions = DropPositions::from_str(typed)?,
        ParamId::Score => doc.score.reduction = Reduction::from_str(typed)?,
        ParamId::Contribution => doc.score.contribution = switch(typed)?,
        ParamId::Window => doc.score.window = whole(id, typed)? as usize,
        ParamId::Layers => doc.score.layers = list(typed)?,
        ParamId::Heads => doc.score.heads = list(typed)?,
        ParamId::Scale => doc.mask.scale = Scale::from_str(typed)?,
        ParamId::Protect => doc.mask.protect = Protect::from_str(typed)?,
        ParamId::Unit => doc.mask.unit = Unit::from_str(typed)?,
        ParamId::ExactK => doc.mask.exact_k = switch(typed)?,
        ParamId::Scope => set_scope(doc, Scope::from_str(typed)?),
        ParamId::Policy => set_policy(doc, options, typed)?,
        ParamId::PerHead => doc.rolling.per_head = switch(typed)?,
        ParamId::RollWindow => doc.rolling.window = whole(id, typed)? as usize,
        ParamId::Stride => doc.rolling.stride = whole(id, typed)? as usize,
        ParamId::Recent => doc.rolling.recent = whole(id, typed)? as usize,
        ParamId::CoolDown => doc.rolling.cool_down = u32::try_from(whole(id, typed)?).unwrap_or(u32::MAX),
        ParamId::Sticky => doc.rolling.sticky = switch(typed)?,
        ParamId::Initial => {
            doc.rolling.initial = if typed == "none" { None } else { Some(Pattern::from_str(typed)?) };
        }
    }
    Ok(())
}

/// What was read already cannot be replaced, dropped or skipped: block by block such operations become `hide`.
fn set_scope(doc: &mut Document, scope: Scope) {
    doc.mask.scope = scope;
    if scope == Scope::Whole
        && let Some((op, mix)) = doc.set_aside.take()
        && (doc.mask.op, &doc.mask.mix) == (Op::Hide, &None)
    {
        (doc.mask.op, doc.mask.mix) = (op, mix);
    }
    let possible = |op: Op| matches!(op, Op::Hide | Op::Evict | Op::Keep);
    let mix = doc.mask.mix.as_ref();
    let fits =
        mix.map_or(possible(doc.mask.op), |m| m.parts().iter().all(|p| p.share == 0.0 || possible(p.op)));
    if scope == Scope::Block && !fits {
        doc.set_aside = Some((doc.mask.op, doc.mask.mix.clone()));
        doc.mask.mix = None;
        if !possible(doc.mask.op) {
            doc.mask.op = Op::Hide;
        }
    }
}

/// A policy decides at boundaries, so it brings the scope `block` and, besides, what it implies; going back to the threshold brings back what the program started with.
fn set_policy(doc: &mut Document, options: &Options, typed: &str) -> Result<(), String> {
    let share = Budget::Share(budget(doc));
    let start = &options.rolling;
    let base = RollingSettings {
        decay: start.decay,
        recent: start.recent,
        sticky: start.sticky,
        policy: Policy::Threshold,
        ..doc.rolling.clone()
    };
    if typed == "threshold" {
        doc.rolling = RollingSettings { per_head: false, ..base };
        return Ok(());
    }
    let policy = CachePolicy::from_str(typed)?;
    let per_head = base.per_head && policy.has_budget();
    doc.rolling = RollingSettings { per_head, ..base.with_preset(policy, share) };
    if doc.mask.scope == Scope::Whole {
        set_scope(doc, Scope::Block);
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
    let called = if p.symbol.is_empty() { p.name } else { p.symbol };
    let (digits, percent) = typed.strip_suffix('%').map_or((typed, 1.0), |d| (d.trim_end(), 100.0));
    let value: f64 =
        digits.replace(',', ".").parse().map_err(|_| format!("{called} is not a number: {typed}"))?;
    let value = value / percent;
    if !(min..=max).contains(&value) {
        return Err(format!("{called} goes from {min} to {max}: {typed}"));
    }
    Ok(value)
}

/// Bounds of a whole number, from the parameter table.
fn bounds(id: ParamId) -> (i64, i64) {
    let row = super::PARAMS.iter().find(|p| p.id == id).and_then(|p| parameters::find(p.key));
    match row.map(|p| p.kind) {
        Some(config::Kind::Int { min, max, .. }) => (min, max),
        _ => (0, i64::MAX),
    }
}

fn whole(id: ParamId, typed: &str) -> Result<i64, String> {
    let (min, max) = bounds(id);
    let name = super::PARAMS.iter().find(|p| p.id == id).map_or("", |p| p.name);
    let value = typed.parse().ok().filter(|n| (min..=max).contains(n));
    value.ok_or_else(|| format!("{name} is a whole number from {min} to {max}: {typed}"))
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

pub(super) fn nudge_typed(doc: &mut Document, id: ParamId, by: i32) {
    let (min, max) = bounds(id);
    // Sizes of windows move by eights, which is how they are thought of; small counts by ones.
    let moved = |now: usize, step: i64| {
        (now as i64).saturating_add(i64::from(by) * step).clamp(min.max(1), max) as usize
    };
    match id {
        ParamId::Seed => {
            let next = (doc.mask.seed as i64).saturating_add(i64::from(by));
            doc.mask.seed = if next < min {
                max
            } else if next > max {
                min
            } else {
                next
            } as u64;
        }
        ParamId::Window => doc.score.window = moved(doc.score.window, 1),
        ParamId::RollWindow => doc.rolling.window = moved(doc.rolling.window, 8),
        ParamId::Stride => doc.rolling.stride = moved(doc.rolling.stride, 8),
        ParamId::Recent => {
            doc.rolling.recent = doc.rolling.recent.saturating_add_signed(by as isize).min(max as usize);
        }
        ParamId::CoolDown => {
            doc.rolling.cool_down = doc.rolling.cool_down.saturating_add_signed(by).min(max as u32);
        }
        ParamId::Layers => step_list(&mut doc.score.layers, by),
        ParamId::Heads => step_list(&mut doc.score.heads, by),
        _ => {}
    }
}

/// all → 0 → 1 → …, and back.
fn step_list(list: &mut Vec<usize>, steps: i32) {
    let next = list.first().map_or(-1, |i| *i as i64) + i64::from(steps);
    *list = usize::try_from(next).map_or(Vec::new(), |i| vec![i.min(1023)]);
}
