//! The form of a run: what it holds, typing and choosing, and how it looks.

use std::collections::BTreeMap;

use ratatui::layout::Rect;

use crate::attention::types::ScoreSettings;
use crate::config::Settings;
use crate::engine::types::TrainCommand;
use crate::mask::types::MaskSettings;
use crate::screen::actions::{Context, actions};
use crate::screen::app::{App, Request};
use crate::screen::explore::mask::settings;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart};
use crate::screen::params::{self, Path};
use crate::screen::settle::scrolled;
use crate::screen::train::state::Typing;
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::list::{self, Columns, Line, Look};
use crate::screen::widgets::theme::Role;
use crate::settings::{Kind, Row, Section, optional, put, settings};
use crate::train::data::{BUNDLED, forms, is_bundled};
use crate::train::settings::TrainSettings;
use crate::train::spec::{Arm, RunSpec};

/// The form of a run.
pub const CONTEXT: Context = Context("Settings of a run");

pub static PANE: Pane = Pane {
    name: "setup",
    title: "Setup",
    screen: Screen::Train,
    context: |_| CONTEXT,
    actions: &[ACTIONS],
    subtitle,
    draw,
    settle,
    // What numbers and paths begin with.
    takes: |_, c| c.is_ascii_digit() || matches!(c, '/' | '~'),
    typed: |app, c| type_text(app, c.encode_utf8(&mut [0; 4])),
    paste: Some(|app, text| type_text(app, text.lines().next().unwrap_or(""))),
    press,
    wheel: Some(|app, _, wheel| app.act(if wheel.by < 0 { FIELD_UP.run } else { FIELD_DOWN.run })),
    ..BLANK
};

optional!(Arm, "explorer", "exactly what the explorer does now: τ, p, polarity, score, operation");

settings! {
    /// What belongs to one run alone
    pub struct RunSettings in "run" {
        /// Texts, JSON, CSV, TSV, Parquet, a folder, or datasets/owner/name of the Hub; passages is bundled, 130 KB
        /// The bundled passages are of novels and of State of the Union addresses.
        data: String = BUNDLED.to_owned(), path();
        /// Column of the text or the conversations; empty takes text, messages, or the only one there is
        column: String = String::new() => |run| run.may_be_table();
        /// What losses are measured on; empty holds out a tenth of the documents, drawn from the whole text
        validation: String = String::new(), path();
        /// Who is masked: nobody, by one of the training arms, or by the explorer's exact policy
        masking: Option<Arm> = Some(Arm::None);
        /// The run ends after so many minutes even if steps are left; 0 sets no limit
        minutes: f64 = 0.0, range(0.0, 1_000_000.0, 1.0, 0.1);
        /// Folder of the run; empty makes a new one among your runs
        out: String = String::new(), label("output folder"), path();
    }
}

impl RunSettings {
    /// A folder's name does not tell what lies in it.
    pub fn may_be_table(&self) -> bool {
        let folder = forms::extension(std::path::Path::new(&self.data)).is_empty() && !is_bundled(&self.data);
        forms::has_columns(&self.data) || folder
    }
}

/// What the next run is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunForm {
    pub run: RunSettings,
    pub train: TrainSettings,
}

/// What starting a run asks for; the port makes a spec of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRequest {
    /// Model id or folder.
    pub model: String,
    pub run: RunSettings,
    pub train: TrainSettings,
    /// The explorer's exact policy, where the run is to mask by it.
    pub policy: Option<MaskSettings>,
    pub score: ScoreSettings,
    /// Nothing of the above but the seed counts: a small model grows a circuit.
    pub grows: bool,
}

impl RunForm {
    /// The form with the configured values.
    pub fn new(settings: &Settings) -> Self {
        let train = settings.train.clone();
        RunForm { run: RunSettings { masking: Some(train.arm), ..RunSettings::default() }, train }
    }

    /// The form that a run was made of, which goes to a new folder.
    pub fn of(spec: &RunSpec) -> Self {
        let path =
            |all: &[std::path::PathBuf]| all.first().map_or_else(String::new, |p| p.display().to_string());
        let run = RunSettings {
            data: path(&spec.data.train),
            column: spec.data.column.clone().unwrap_or_default(),
            validation: path(&spec.data.validation),
            masking: spec.masking.policy.is_none().then_some(spec.masking.arm),
            minutes: spec.time_limit.map_or(0.0, |seconds| seconds / 60.0),
            out: String::new(),
        };
        RunForm { run, train: TrainSettings::of(spec) }
    }

    /// What is kept of it from one start to the next, by key. Its folder, and whether it masks as the explorer does,
    /// are asked for again.
    pub fn kept(&self) -> BTreeMap<String, String> {
        let sections: [&dyn Section; 2] = [&self.run, &self.train];
        let of = |section: &dyn Section| -> Vec<(String, String)> {
            let one = |row: &Row| Some((row.path.to_owned(), row.kind.show(&section.value(row)?)));
            section.rows().iter().filter_map(one).collect()
        };
        let mut all: BTreeMap<String, String> = sections.into_iter().flat_map(of).collect();
        all.remove(RunSettings::out);
        if self.explorers_policy() {
            all.remove(RunSettings::masking);
        }
        all
    }

    /// Takes back what was kept, but for settings that are `given` otherwise; what is no longer valid is left.
    pub fn recall(&mut self, kept: &BTreeMap<String, String>, given: &dyn Fn(&str) -> bool) {
        for (path, text) in kept.iter().filter(|(path, _)| !given(path)) {
            let sections: [&mut dyn Section; 2] = [&mut self.run, &mut self.train];
            for section in sections {
                if let Some(row) = section.row(path)
                    && let Ok(value) = row.kind.parse(text)
                {
                    // A value that the setting no longer takes stays as it is.
                    let _ = put(section, row.path, row.kind, value);
                }
            }
        }
    }

    /// Whether the run masks by the explorer's policy.
    pub fn explorers_policy(&self) -> bool {
        self.run.masking.is_none()
    }

    /// The request for a run of `model` under the explorer's settings.
    pub fn request(&self, model: &str, mask: &MaskSettings, score: &ScoreSettings) -> RunRequest {
        let arm = self.run.masking.unwrap_or(self.train.arm);
        // Twins bring their own arms; the explorer's policy is none of them.
        let policy = (self.explorers_policy() && self.train.twins.is_none()).then(|| mask.clone());
        RunRequest {
            model: model.to_owned(),
            run: self.run.clone(),
            train: TrainSettings { arm, ..self.train.clone() },
            policy,
            score: score.clone(),
            grows: false,
        }
    }
}

actions! {
    CONTEXT {
        /// Go to the setting above
        FIELD_UP ["up"] "setting" with [FIELD_DOWN] => |app| step(app, -1);
        /// Go to the setting below
        FIELD_DOWN ["down"] => |app| step(app, 1);
        /// Go to the first setting
        FIELD_FIRST ["pageup"] => |app| step(app, isize::MIN);
        /// Go to the last setting
        FIELD_LAST ["pagedown"] => |app| step(app, isize::MAX);
        /// Lower the value by one step, or take the choice before
        FIELD_LESS ["left"] "change" with [FIELD_MORE] => |app| settings::nudge(app, app.train.field, -1, false);
        /// Raise the value by one step, or take the next choice
        FIELD_MORE ["right"] => |app| settings::nudge(app, app.train.field, 1, false);
        /// Lower the value by a fine step
        FIELD_FINE_LESS ["shift-left"] => |app| settings::nudge(app, app.train.field, -1, true);
        /// Raise the value by a fine step
        FIELD_FINE_MORE ["shift-right"] => |app| settings::nudge(app, app.train.field, 1, true);
        /// Type the value, or choose from all of them
        FIELD_OPEN ["enter"] "type / choose" => |app| open(app, app.train.field);
        /// Back to the configured value
        FIELD_RESET ["backspace" "delete"] => |app| settings::reset(app, app.train.field);
    }
}

fn step(app: &mut App, by: isize) {
    let shown = params::shown_of_run(&app.doc);
    let here = shown.iter().position(|f| *f == app.train.field).unwrap_or(0);
    let next = here.saturating_add_signed(by).min(shown.len() - 1);
    app.train.field = shown[next];
    app.history.close();
}

/// The mouse points at a setting.
pub fn choose(app: &mut App, path: Path, opens: bool) {
    app.train.field = path;
    app.train.typing = None;
    if opens {
        open(app, path);
    }
}

fn open(app: &mut App, path: Path) {
    if !params::is_typed(path) {
        return settings::pick(app, path);
    }
    let typed = params::text(&app.doc, &app.options, path);
    app.train.typing = Some(Typing { field: Some(path), typed, ..Typing::default() });
    ask_completion(app);
}

/// Whether a path is being typed.
pub fn types_path(app: &App) -> bool {
    let field = app.train.typing.as_ref().and_then(|t| t.field);
    field.is_some_and(|path| params::row(path).kind == Kind::Path)
}

/// Asks what a typed path may go on to.
fn ask_completion(app: &mut App) {
    let path = app.train.typing.as_ref().filter(|_| types_path(app)).map(|t| t.typed.clone());
    app.requests.extend(path.map(|path| Request::Train(TrainCommand::Complete(path))));
}

/// Characters for the value being typed, or the first of a new one.
pub fn type_text(app: &mut App, text: &str) {
    if app.train.typing.is_none() {
        let field = app.train.field;
        if !params::is_typed(field) {
            let key = app.key_label(&FIELD_OPEN);
            return app.say(format!("This setting has names, not numbers: {key} lists them"));
        }
        app.train.typing = Some(Typing { field: Some(field), ..Typing::default() });
    }
    edit(app, |typed| typed.push_str(text));
}

/// Changes what was typed so far.
pub fn edit(app: &mut App, change: impl Fn(&mut String)) {
    if let Some(typing) = &mut app.train.typing {
        change(&mut typing.typed);
        typing.error = None;
        typing.offers.clear();
    }
    ask_completion(app);
}

/// Takes the typed value, or keeps it with what is wrong with it.
pub fn accept(app: &mut App) {
    let Some(typing) = app.train.typing.take() else { return };
    let Some(field) = typing.field else { return };
    if let Err(problem) = settings::parse(app, field, &typing.typed) {
        app.train.typing = Some(Typing { error: Some(problem), ..typing });
        ask_completion(app);
    }
}

/// Completes a path as far as all offers agree; a single one is taken whole.
pub fn complete(app: &mut App) {
    if let Some(typing) = &mut app.train.typing {
        let common = typing.offers.iter().cloned().reduce(|common, offer| {
            common.chars().zip(offer.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
        });
        if let Some(common) = common.filter(|c| c.len() > typing.typed.len()) {
            typing.typed = common;
        }
    }
    ask_completion(app);
}

pub const COLUMNS: Columns = Columns { name: 17, value: 9 };

/// Lines for settings; the rest explains.
pub fn rows(area: Rect) -> u16 {
    area.height.saturating_sub(footer(area)).max(1)
}

fn footer(area: Rect) -> u16 {
    if area.height >= 8 { 3 } else { 0 }
}

/// The setting at a line of the screen.
pub fn field_at(app: &App, area: Rect, y: u16) -> Option<Path> {
    let line = y.checked_sub(area.y).filter(|l| *l < rows(area))? as usize;
    params::shown_of_run(&app.doc).get(app.train.field_top + line).copied()
}

/// The place on a setting's track at a column, if it is on one.
pub fn fraction_at(app: &App, area: Rect, path: Path, x: u16) -> Option<f64> {
    params::fraction(&app.doc, &app.options, path)?;
    COLUMNS.on_track(area, x).then(|| COLUMNS.place_at(area, x))
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let model = app.train.followed.as_deref().or(app.model.as_ref().map(|m| m.id.as_str()));
    model.map(|m| TitlePart::new(m, Role::Dim)).into_iter().collect()
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let shown = params::shown_of_run(&app.doc);
    let visible = rows(area) as usize;
    for (i, field) in shown.iter().skip(app.train.field_top).take(visible).enumerate() {
        row(c, app, field, Rect::new(area.x, area.y + i as u16, area.width, 1));
    }
    list::more(c, area, (app.train.field_top, visible, shown.len()));
    explain(c, app, area);
}

fn row(c: &mut Canvas, app: &App, path: Path, area: Rect) {
    let value = match path {
        RunSettings::masking if app.doc.form.explorers_policy() => "as in explorer".to_owned(),
        path => params::text(&app.doc, &app.options, path),
    };
    let typing = app.train.typing.as_ref().filter(|t| t.field == Some(path));
    let look = match params::fraction(&app.doc, &app.options, path) {
        _ if typing.is_some_and(|t| t.error.is_some()) => Look::Typing { refused: true },
        _ if typing.is_some() => Look::Typing { refused: false },
        _ if params::has_choices(path) => Look::Choice,
        _ if path == RunSettings::minutes && app.doc.form.run.minutes == 0.0 => Look::Unset("no limit"),
        _ if path == TrainSettings::epochs && app.doc.form.train.epochs == 0.0 => {
            Look::Unset("as the steps say")
        }
        Some(place) => Look::Track(place),
        None if value.is_empty() => Look::Unset(match path {
            RunSettings::validation => "a tenth of the data",
            RunSettings::out => "a new one",
            _ => "–",
        }),
        None => Look::Plain,
    };
    let line = Line {
        symbol: "",
        name: params::row(path).name(),
        value: typing.map_or(&value, |t| &t.typed),
        look,
        hint: "",
        current: app.train.field == path,
        focused: app.view.focus == &PANE,
    };
    list::draw(c, COLUMNS, &line, area);
}

/// The explorer's policy in a few words.
fn policy(app: &App) -> String {
    let (m, s) = (&app.doc.mask, &app.doc.score);
    let (tau, p) = (m.threshold, m.probability);
    format!(
        "exactly what the explorer does: τ {tau:.3}, p {p:.3}, {}, {}, score {}",
        m.polarity, m.op, s.reduction
    )
}

/// The doc of the current setting, or what is wrong with what is typed, or what a path may go on to.
fn explain(c: &mut Canvas, app: &App, area: Rect) {
    let lines = footer(area);
    if lines == 0 {
        return;
    }
    let area = Rect { y: area.bottom() - lines, height: lines, ..area };
    let rule = c.style(Role::Border);
    c.line(area.x, area.y, "─", area.width, rule);
    let area = Rect { y: area.y + 1, height: lines - 1, ..area };
    let typing = app.train.typing.as_ref();
    if let Some(error) = typing.and_then(|t| t.error.as_ref()) {
        let style = c.style(Role::Bad);
        c.paragraph(area, error, style);
    } else if let Some(typing) = typing.filter(|t| !t.offers.is_empty()) {
        let start = typing.typed.rfind('/').map_or(0, |i| i + 1);
        let names: Vec<&str> = typing.offers.iter().map(|o| o.get(start..).unwrap_or(o)).collect();
        let style = c.style(Role::Accent);
        c.paragraph(area, &format!("tab: {}", names.join("  ")), style);
    } else if app.train.field == RunSettings::masking && app.doc.form.explorers_policy() {
        let style = c.style(Role::Dim);
        c.paragraph(area, &policy(app), style);
    } else {
        let style = c.style(Role::Dim);
        c.paragraph(area, params::row(app.train.field).doc, style);
    }
}

fn settle(app: &mut App, area: Option<Rect>) {
    let shown = params::shown_of_run(&app.doc);
    let place = params::place_in_form(app.train.field);
    let here = shown.iter().position(|f| params::place_in_form(f) >= place);
    let here = here.unwrap_or(shown.len().saturating_sub(1));
    app.train.field = shown.get(here).copied().unwrap_or(app.train.field);
    if let Some(area) = area {
        app.train.field_top = scrolled(app.train.field_top, here, shown.len(), rows(area) as usize);
    }
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let path = field_at(app, area, press.y)?;
    if fraction_at(app, area, path, press.x).is_none() {
        let again = app.train.field == path && !params::is_typed(path);
        app.act(|app| choose(app, path, press.double || again));
        return None;
    }
    app.act(|app| choose(app, path, false));
    let slide = move |app: &mut App, area: Rect, (x, _): (u16, u16)| {
        if let Some(at) = fraction_at(app, area, path, x) {
            app.act(|app| settings::set_fraction(app, path, at));
        }
    };
    app.hold();
    slide(app, area, (press.x, press.y));
    Some(Box::new(slide))
}
