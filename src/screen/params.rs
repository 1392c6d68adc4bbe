//! The settings that can be changed on screen: the mask, its rolling window, the score, and the next run. What each one
//! is, its struct declares; here stands what changing one means for the others, and which mean something now. Pure.

use std::sync::LazyLock;

pub use crate::screen::inert::inert;

use crate::attention::types::ScoreSettings;
use crate::config::{self, PRESETS, Row, Section};
use crate::engine::types::GenerateSettings;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MaskSettings, Op, Scale, Scope};
use crate::screen::document::{DEFAULT, Document};
use crate::screen::options::Options;
use crate::screen::train::setup::RunSettings;
use crate::settings::{Choice, Kind, Value};
use crate::train::data::BUNDLED;
use crate::train::settings::TrainSettings;
use crate::train::spec::Arm;

/// What names a setting: `table.key`, from the constant of its struct.
pub type Path = &'static str;

/// The preset, which sets many.
pub const PRESET: Path = "mask.preset";

const PRESET_CHOICES: &[Choice] = &{
    let mut out = [Choice { name: DEFAULT, doc: "the settings at program start", was: &[] }; PRESETS.len()];
    let mut i = 1;
    while i < PRESETS.len() {
        out[i] = Choice { name: PRESETS[i].name, doc: PRESETS[i].doc, was: &[] };
        i += 1;
    }
    out
};

static PRESET_ROW: Row =
    Row::new(PRESET, "A complete set of settings", Kind::Choice(PRESET_CHOICES)).label("preset");

/// The track of τ under the raw scale, where attention is about 1/T and a linear one would be useless.
const RAW_THRESHOLD: Kind = Kind::Float { min: 1e-4, max: 1.0, step: 0.1, fine_step: 0.02, log: true };

/// Everything that can be changed.
fn rows() -> impl Iterator<Item = &'static Row> {
    let own = [
        MaskSettings::ROWS,
        RollingSettings::ROWS,
        ScoreSettings::ROWS,
        RunSettings::ROWS,
        TrainSettings::ROWS,
        GenerateSettings::ROWS,
    ];
    own.into_iter().flatten().chain([&PRESET_ROW])
}

/// What is declared of a setting.
pub fn row(path: Path) -> &'static Row {
    rows().find(|row| row.path == path).unwrap_or(&PRESET_ROW)
}

/// How a setting is called in a sentence: by its letter, where it has one.
pub(super) fn called(path: Path) -> &'static str {
    let row = row(path);
    if row.symbol.is_empty() { row.name() } else { row.symbol }
}

/// A line on a preset.
pub fn preset_doc(name: &str) -> &'static str {
    PRESET_CHOICES.iter().find(|choice| choice.name == name).map_or("", |choice| choice.doc)
}

fn sections(doc: &Document) -> [&dyn Section; 6] {
    [&doc.mask, &doc.rolling, &doc.score, &doc.generate, &doc.form.run, &doc.form.train]
}

fn section_mut<'a>(doc: &'a mut Document, path: &str) -> Option<&'a mut dyn Section> {
    let explorers: [&mut dyn Section; 4] =
        [&mut doc.mask, &mut doc.rolling, &mut doc.score, &mut doc.generate];
    let found = explorers.into_iter().find(|section| section.row(path).is_some());
    if found.is_some() {
        return found;
    }
    // Snapshots share the form, so it is copied only to be changed.
    let form = std::sync::Arc::make_mut(&mut doc.form);
    let of_run: [&mut dyn Section; 2] = [&mut form.run, &mut form.train];
    of_run.into_iter().find(|section| section.row(path).is_some())
}

/// What a setting takes as things stand: raw scores get a logarithmic track.
pub fn kind(doc: &Document, path: Path) -> Kind {
    match path {
        MaskSettings::threshold if doc.mask.scale == Scale::Raw => RAW_THRESHOLD,
        _ => row(path).kind,
    }
}

/// Whether a setting is one of a few names.
pub fn has_choices(path: Path) -> bool {
    !row(path).choices().is_empty()
}

/// Whether a setting is typed, rather than chosen, switched or mixed.
pub fn is_typed(path: Path) -> bool {
    path != MaskSettings::mix && row(path).kind != Kind::Bool && !has_choices(path)
}

/// Rows of the Mask pane, in their order: the preset behind what it does not set, the rolling window behind the scope
/// that brings it, the score before how it is scaled.
fn order_of_mask() -> &'static [Path] {
    static ORDER: LazyLock<Vec<Path>> = LazyLock::new(|| {
        let paths = |rows: &'static [Row]| rows.iter().map(|row| row.path);
        let mut out = Vec::new();
        for path in paths(MaskSettings::ROWS) {
            out.push(path);
            match path {
                MaskSettings::seed => out.push(PRESET),
                MaskSettings::scope => {
                    out.extend(paths(RollingSettings::ROWS).chain(paths(ScoreSettings::ROWS)));
                }
                _ => {}
            }
        }
        out
    });
    &ORDER
}

/// Every setting on screen.
pub fn all() -> impl Iterator<Item = Path> {
    order_of_mask().iter().chain(order_of_run()).copied()
}

/// Rows of a run's form, in their order. The arm is part of `masking`, which can be the explorer's policy, too.
fn order_of_run() -> &'static [Path] {
    static ORDER: LazyLock<Vec<Path>> = LazyLock::new(|| {
        let mut out = vec![RunSettings::data, RunSettings::column, RunSettings::validation];
        for row in TrainSettings::ROWS.iter().filter(|row| !row.hidden) {
            match row.path {
                TrainSettings::arm => out.push(RunSettings::masking),
                TrainSettings::steps => out.extend([row.path, RunSettings::minutes]),
                path => out.push(path),
            }
        }
        out.push(RunSettings::out);
        out
    });
    &ORDER
}

/// The place of a setting in the form, shown or not.
pub fn place_in_form(path: Path) -> usize {
    order_of_run().iter().position(|p| *p == path).unwrap_or(0)
}

fn own_shown(doc: &Document, path: Path) -> bool {
    sections(doc).iter().all(|section| section.row(path).is_none() || section.shown(path))
}

/// The settings of the Mask pane that mean something right now.
pub fn shown(doc: &Document) -> Vec<Path> {
    let block = doc.mask.scope == Scope::Block;
    let means_something = |path: &Path| match *path {
        RollingSettings::initial => true,
        path if doc.rolling.row(path).is_some() => block && own_shown(doc, path),
        path => own_shown(doc, path),
    };
    order_of_mask().iter().copied().filter(means_something).collect()
}

/// The settings of the form that mean something under the others' values.
pub fn shown_of_run(doc: &Document) -> Vec<Path> {
    let (run, train) = (&doc.form.run, &doc.form.train);
    // Twins bring arms of their own; what they share stands below.
    let twins = train.twins.is_some();
    let (explorer, none) = (run.masking.is_none() && !twins, run.masking == Some(Arm::None) && !twins);
    let by_attention = |arm: Option<Arm>| arm.is_some_and(Arm::needs_scores);
    let arms = train.twins.iter().flat_map(|twins| &twins.arms).map(|twin| Some(twin.arm));
    let means_something = |path: &Path| match *path {
        RunSettings::masking => !twins,
        TrainSettings::chat_template | TrainSettings::loss_on => run.may_be_table(),
        TrainSettings::joint => !twins && !none,
        TrainSettings::op | TrainSettings::mask_rate => !explorer && !none,
        TrainSettings::replacement => !explorer && !none && own_shown(doc, path),
        TrainSettings::mask_schedule
        | TrainSettings::mask_cool_down
        | TrainSettings::mask_clean_share
        | TrainSettings::gap_target => !none,
        TrainSettings::score_from => explorer || by_attention(run.masking) || arms.clone().any(by_attention),
        TrainSettings::joint_lambda
        | TrainSettings::joint_temperature
        | TrainSettings::joint_learning_rate => !none && own_shown(doc, path),
        path => own_shown(doc, path),
    };
    order_of_run().iter().copied().filter(means_something).collect()
}

/// Whether a cache policy with a budget decides, rather than τ and p.
pub fn by_budget(doc: &Document) -> bool {
    doc.mask.scope == Scope::Block && doc.rolling.by_budget()
}

/// The value of a setting.
pub fn value(doc: &Document, options: &Options, path: Path) -> Value {
    let own = || sections(doc).iter().find_map(|section| section.get(path));
    let preset = || Value::Text(doc.preset(options).unwrap_or("custom").to_owned());
    if path == PRESET { preset() } else { own().unwrap_or_else(preset) }
}

/// The value as text, the way `parse` reads it.
pub fn text(doc: &Document, options: &Options, path: Path) -> String {
    let of_mask = order_of_mask().contains(&path);
    match value(doc, options, path) {
        Value::Float(x) if of_mask && kind(doc, path) == RAW_THRESHOLD => format!("{x:.4}"),
        // Digits that come and go would make the numbers under a moving slider jump.
        Value::Float(x) if of_mask => format!("{x:.3}"),
        Value::Text(mix) if path == MaskSettings::mix && mix.is_empty() => "off".to_owned(),
        value => kind(doc, path).show(&value),
    }
}

/// Gives a setting a value, and brings the others in line with it.
///
/// # Errors
/// A sentence that says why not; nothing changes then.
pub fn put(doc: &mut Document, options: &Options, path: Path, value: Value) -> Result<(), String> {
    if path == PRESET {
        let name = value.to_string_plain();
        let preset =
            PRESETS.iter().find(|p| p.name == name).ok_or_else(|| format!("no such preset: {name}"))?;
        doc.take_preset(preset.name, options);
        return Ok(());
    }
    if path == RunSettings::data && value.to_string_plain().is_empty() {
        return Err(format!("a run needs data; {BUNDLED} is the bundled text"));
    }
    let Some(section) = section_mut(doc, path) else { return Err(format!("no such setting: {path}")) };
    config::put(section, path, row(path).kind, value).map_err(|error| format!("{} {error}", called(path)))?;
    match path {
        MaskSettings::scope => settle_scope(doc),
        RollingSettings::policy => settle_policy(doc, options),
        _ => {}
    }
    Ok(())
}

/// Takes a typed value. Nothing typed for a number brings back what the program started with.
///
/// # Errors
/// As [`put`].
pub fn parse(doc: &mut Document, options: &Options, path: Path, typed: &str) -> Result<(), String> {
    let (kind, typed) = (kind(doc, path), typed.trim());
    if typed.is_empty() && matches!(kind, Kind::Float { .. } | Kind::Int { .. }) {
        reset(doc, options, path);
        return Ok(());
    }
    let value = if path == PRESET { Ok(Value::Text(typed.to_owned())) } else { kind.parse(typed) };
    put(doc, options, path, value.map_err(|error| format!("{} {error}", called(path)))?)
}

/// What was read already cannot be replaced, dropped or skipped: block by block such operations become `hide`.
fn settle_scope(doc: &mut Document) {
    let scope = doc.mask.scope;
    if scope == Scope::Whole
        && let Some((op, mix)) = doc.set_aside.take()
        && (doc.mask.op, &doc.mask.mix) == (Op::Hide, &None)
    {
        (doc.mask.op, doc.mask.mix) = (op, mix);
    }
    let mix = doc.mask.mix.as_ref();
    let fits =
        mix.map_or(doc.mask.op.works_in_blocks(), |mix| mix.parts().iter().all(|p| p.op.works_in_blocks()));
    if scope == Scope::Block && !fits {
        doc.set_aside = Some((doc.mask.op, doc.mask.mix.clone()));
        doc.mask.mix = None;
        if !doc.mask.op.works_in_blocks() {
            doc.mask.op = Op::Hide;
        }
    }
}

/// A policy decides at boundaries, so it brings the scope `block` and, besides, what it implies; going back to the
/// threshold brings back what the program started with.
fn settle_policy(doc: &mut Document, options: &Options) {
    let start = &options.rolling;
    let base = RollingSettings {
        decay: start.decay,
        recent: start.recent,
        sticky: start.sticky,
        per_head: doc.rolling.per_head && doc.rolling.by_budget(),
        ..doc.rolling.clone()
    };
    doc.rolling = base.settled();
    if doc.rolling.policy.is_some() && doc.mask.scope == Scope::Whole {
        doc.mask.scope = Scope::Block;
        settle_scope(doc);
    }
}

/// Where a setting stands on its track, 0..1; `None` for anything without one.
pub fn fraction(doc: &Document, options: &Options, path: Path) -> Option<f64> {
    kind(doc, path).place(&value(doc, options, path))
}

/// The exact τ at a place on its track.
pub fn threshold_at(doc: &Document, place: f64) -> f64 {
    let place = if place.is_finite() { place } else { 0.0 };
    kind(doc, MaskSettings::threshold).exactly_at(place).unwrap_or(0.0)
}

/// The value at a place on a setting's track, on the grid of fine steps.
pub fn value_at(doc: &Document, path: Path, place: f64) -> Option<Value> {
    kind(doc, path).at_place(place)
}

/// The value some steps away (choices: places in the list, wrapping round); `None` for what is only typed.
pub fn stepped(doc: &Document, options: &Options, path: Path, by: i32, fine: bool) -> Option<Value> {
    kind(doc, path).step(&value(doc, options, path), by, fine)
}

/// Back to the value the program started with.
pub fn reset(doc: &mut Document, options: &Options, path: Path) {
    let fresh = Document::new(options);
    let value = if path == PRESET { Value::Text(DEFAULT.to_owned()) } else { value(&fresh, options, path) };
    // What the program started with has been taken before.
    let _ = put(doc, options, path, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Section;

    fn doc() -> (Document, Options) {
        let options = Options::default();
        (Document::new(&options), options)
    }

    fn step(d: &mut Document, o: &Options, path: Path, by: i32, fine: bool) {
        let value = stepped(d, o, path, by, fine).unwrap();
        put(d, o, path, value).unwrap();
    }

    #[test]
    fn every_value_reads_back_as_written() {
        for path in rows().map(|row| row.path) {
            // Afresh: other settings tried before would leave no preset in force.
            let (mut d, o) = doc();
            let before = text(&d, &o, path);
            parse(&mut d, &o, path, &before).unwrap_or_else(|e| panic!("{path}: {e}"));
            assert_eq!(text(&d, &o, path), before);
            for choice in kind(&d, path).choices() {
                parse(&mut d, &o, path, choice.name).unwrap_or_else(|e| panic!("{path}: {e}"));
                assert_eq!(text(&d, &o, path), choice.name);
                assert!(!choice.doc.is_empty(), "{path}: {}", choice.name);
            }
            reset(&mut d, &o, path);
        }
    }

    #[test]
    fn every_setting_of_the_mask_and_the_score_has_a_row_in_the_pane() {
        let wanted = [MaskSettings::ROWS, RollingSettings::ROWS, ScoreSettings::ROWS].concat();
        assert_eq!(order_of_mask().len(), wanted.len() + 1);
        assert!(wanted.iter().all(|row| order_of_mask().contains(&row.path)));
    }

    #[test]
    fn sliders_of_other_ranges_move_by_their_own_steps() {
        let (mut d, o) = doc();
        d.mask.scope = Scope::Block;
        let (history, budget) = (RollingSettings::history, RollingSettings::budget);
        assert!(shown(&d).contains(&history) && !shown(&d).contains(&budget));
        step(&mut d, &o, history, 1, false);
        assert_eq!(d.rolling.history, 1.5);
        step(&mut d, &o, history, -1, true);
        assert_eq!(d.rolling.history, 1.4);
        parse(&mut d, &o, RollingSettings::policy, "h2o").unwrap();
        assert!(shown(&d).contains(&budget) && !shown(&d).contains(&history));
        assert_eq!(inert(&d, MaskSettings::threshold).unwrap().who, "h2o decides");
        assert!(inert(&d, budget).is_none());
        step(&mut d, &o, budget, -2, false);
        assert_eq!(text(&d, &o, budget), "0.400");
        parse(&mut d, &o, RollingSettings::policy, "tova").unwrap();
        assert_eq!(text(&d, &o, budget), "0.400", "the budget stays with the next policy");
        parse(&mut d, &o, RollingSettings::policy, "threshold").unwrap();
        assert_eq!(d.rolling.decay, o.rolling.decay, "what H2O implied is gone with it");
    }

    #[test]
    fn steps_stay_on_a_clean_grid_and_inside() {
        let (mut d, o) = doc();
        let tau = MaskSettings::threshold;
        for _ in 0..5 {
            step(&mut d, &o, tau, 1, false);
        }
        assert_eq!((d.mask.threshold, text(&d, &o, tau).as_str()), (0.8, "0.800"));
        step(&mut d, &o, tau, -1, true);
        assert_eq!(d.mask.threshold, 0.798);
        step(&mut d, &o, tau, 1000, false);
        assert_eq!(d.mask.threshold, 1.0);
        d.mask.scale = Scale::Raw;
        let middle = value_at(&d, tau, 0.5).unwrap();
        put(&mut d, &o, tau, middle).unwrap();
        assert_eq!(d.mask.threshold, 0.01);
        assert!((fraction(&d, &o, tau).unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn bad_input_is_explained_and_changes_nothing() {
        let (mut d, o) = doc();
        for (path, typed, part) in [
            (MaskSettings::threshold, "1.5", "τ must be at most 1, not 1.5"),
            (MaskSettings::threshold, "abc", "τ must be a number, not abc"),
            (MaskSettings::probability, "NaN", "p must be a number, not NaN"),
            (MaskSettings::seed, "-1", "seed must be at least 0, not -1"),
            (ScoreSettings::layers, "3-1", "layers must be a list of whole numbers, not 3-1"),
            (MaskSettings::protect, "lust", "protect cannot be lust"),
            (MaskSettings::mix, "keep:0.5", "mix is invalid: the shares of a mix sum to 0.5, not 1"),
        ] {
            let error = parse(&mut d, &o, path, typed).unwrap_err();
            assert_eq!(error, part);
        }
        assert_eq!(d.snapshot().mask, o.mask);
        parse(&mut d, &o, MaskSettings::probability, "12.5 %").unwrap();
        assert_eq!(d.mask.probability, 0.125);
        parse(&mut d, &o, ScoreSettings::layers, "0-2,5").unwrap();
        assert_eq!(text(&d, &o, ScoreSettings::layers), "0-2,5");
    }

    #[test]
    fn bad_values_of_a_run_are_refused_in_a_sentence_and_change_nothing() {
        let (mut d, o) = doc();
        let before = d.form.clone();
        for (path, typed) in [
            (TrainSettings::steps, "0"),
            (TrainSettings::steps, "many"),
            (TrainSettings::learning_rate, "7"),
            (TrainSettings::dropout, "1.5"),
            (RunSettings::masking, "dyn"),
            (RunSettings::minutes, "-1"),
            (RunSettings::data, ""),
            (TrainSettings::trained, "some"),
            (TrainSettings::twins, "dyn-rand"),
            (TrainSettings::twins, "dyn-rand,n-rand"),
        ] {
            let problem = parse(&mut d, &o, path, typed).unwrap_err();
            assert!(!problem.is_empty() && !problem.ends_with('.'), "{problem}");
        }
        assert_eq!(d.form, before);
    }

    #[test]
    fn the_settings_of_a_run_follow_the_choices() {
        let (mut d, o) = doc();
        assert!(!shown_of_run(&d).contains(&TrainSettings::lora_rank));
        assert!(!shown_of_run(&d).contains(&TrainSettings::mask_rate));
        for (path, typed) in [
            (TrainSettings::trained, "lora"),
            (RunSettings::masking, "static-1"),
            (TrainSettings::lr_policy, "plateau"),
        ] {
            parse(&mut d, &o, path, typed).unwrap();
        }
        for path in [
            TrainSettings::lora_rank,
            TrainSettings::mask_rate,
            TrainSettings::replacement,
            TrainSettings::patience,
        ] {
            assert!(shown_of_run(&d).contains(&path), "{path}");
        }
        step(&mut d, &o, RunSettings::masking, -1, false);
        assert_eq!(text(&d, &o, RunSettings::masking), "none");
        assert!(!shown_of_run(&d).contains(&TrainSettings::op));
        step(&mut d, &o, TrainSettings::learning_rate, 1, false);
        assert!(d.form.train.learning_rate > 1e-3);
        step(&mut d, &o, TrainSettings::steps, -1, false);
        assert_eq!(text(&d, &o, TrainSettings::steps), "90");
        assert!(d.form.run.shown(RunSettings::data));
    }
}
