//! The runs on disk: how each ended, how far it came; marked for comparison, followed, opened, deleted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::engine::types::{FOLLOWED, TrainCommand};
use crate::screen::actions::{Context, TRAINING, actions};
use crate::screen::app::{App, Request};
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart};
use crate::screen::popups::ask::Question;
use crate::screen::popups::{Popup, models};
use crate::screen::train::past;
use crate::screen::train::run::course::{self, RUN};
use crate::screen::train::series::Series;
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::units::memory;
use crate::train::report::RunCommand;
use crate::train::runs::RunInfo;

/// The list of runs.
pub const CONTEXT: Context = Context("Runs");

pub static PANE: Pane = Pane {
    name: "runs",
    title: "Runs",
    screen: Screen::Train,
    context: |_| CONTEXT,
    subtitle,
    draw,
    press,
    wheel: Some(|app, _, wheel| app.act(if wheel.by < 0 { RUNS_UP.run } else { RUNS_DOWN.run })),
    ..BLANK
};

/// The list of runs.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    pub list: Vec<RunInfo>,
    /// Whether the folder was read at all.
    pub known: bool,
    pub selected: usize,
    /// Runs whose curves are laid over the chart.
    pub marked: Vec<PathBuf>,
    pub curves: BTreeMap<PathBuf, Series>,
}

impl Runs {
    pub fn current(&self) -> Option<&RunInfo> {
        self.list.get(self.selected)
    }

    /// Takes over a fresh list; the selected run stays selected.
    pub fn take(&mut self, list: Vec<RunInfo>) {
        let was = self.current().map(|r| r.path.clone());
        self.known = true;
        self.list = list;
        let place = was.and_then(|p| self.list.iter().position(|r| r.path == p));
        self.selected = place.unwrap_or(self.selected).min(self.list.len().saturating_sub(1));
        self.marked.retain(|m| self.list.iter().any(|r| r.path == *m));
    }

    /// Marks the selected run, or takes the mark off; returns the run whose curves are to be read.
    pub fn toggle(&mut self) -> Option<PathBuf> {
        let path = self.current()?.path.clone();
        if let Some(i) = self.marked.iter().position(|m| *m == path) {
            self.marked.remove(i);
            return None;
        }
        self.marked.push(path.clone());
        Some(path)
    }
}

/// The last part of a run's path.
pub fn name(run: &Path) -> String {
    run.file_name().map_or_else(|| run.display().to_string(), |n| n.to_string_lossy().into_owned())
}

actions! {
    TRAINING {
        /// Save a checkpoint now
        RUN_SAVE ["w"] "save" if keeps_weights =>
            |app| course::tell_run(app, RunCommand::SaveNow, "Saving after this step");
        /// Let the model write a sample now
        RUN_SAMPLE ["g"] "sample" if keeps_weights =>
            |app| course::tell_run(app, RunCommand::Sample, "Sampling after this step");
        /// Measure the validation loss now
        RUN_EVALUATE ["v"] if course::goes_on =>
            |app| course::tell(app, RunCommand::EvaluateNow, "Measuring the validation loss after this step");
        /// Let the explorer follow the training weights: every step, every 10, every 100, or not
        FOLLOW ["f"] "follow" if can_follow => follow;
        /// Open the newest checkpoint of this run in the explorer
        RUN_OPEN ["o"] "open result" if has_result => open_result;
        /// Show the runs on disk
        RUNS ["R"] "runs" => show;
    }
    CONTEXT {
        /// Go to the run above
        RUNS_UP ["up"] "run" with [RUNS_DOWN] => |app| step(app, -1);
        /// Go to the run below
        RUNS_DOWN ["down"] => |app| step(app, 1);
        /// Add the losses of this run to the chart, or remove them
        RUNS_MARK ["m"] "compare" if any => mark;
        /// Open the best checkpoint of this run in the explorer, or show what twins came to
        RUNS_OPEN ["enter"] "open" if any => open_selected;
        /// Show the charts of this run, and the verdicts of twins
        RUNS_SHOW ["c"] "charts" if any => show_selected;
        /// Open the newest checkpoint of this run in the explorer
        RUNS_NEWEST ["n"] "newest" if any => past::open_newest;
        /// Plan this run to go on from its newest checkpoint; a finished one takes more steps, passes or seeds from Setup
        RUNS_GO_ON ["a"] "go on" if any => past::go_on;
        /// Copy the settings of this run to Setup
        RUNS_COPY ["y"] "copy settings" if any => past::copy;
        /// Show in which settings this run differs from the one marked last, or from Setup
        RUNS_DIFFER ["d"] "differences" if any => past::differ;
        /// Delete the run and its checkpoints, after a question
        RUNS_DELETE ["delete" "D"] "delete" if any => ask_delete;
        /// Read the runs folder again
        RUNS_READ ["r"] "read again" => |app| { list(app); reread(app, |_| true); };
    }
}

fn can_follow(app: &App) -> bool {
    app.train.followed.is_some() || keeps_weights(app) && is_of_the_model(app)
}

/// A run of the model that is open, so that its weights fit what the explorer shows.
fn is_of_the_model(app: &App) -> bool {
    app.train.run.as_ref().is_some_and(|run| course::model(app).as_ref() == Some(&run.spec.model))
}

/// A run is in progress that keeps weights, as twins do not.
fn keeps_weights(app: &App) -> bool {
    course::goes_on(app) && !course::twins(app)
}

fn has_result(app: &App) -> bool {
    app.train.run.as_ref().is_some_and(|r| r.saved.is_some())
}

fn any(app: &App) -> bool {
    app.train.runs.current().is_some()
}

fn show(app: &mut App) {
    app.focus(&PANE);
    list(app);
}

/// Has the runs folder read.
pub(crate) fn list(app: &mut App) {
    app.emit(Request::Train(TrainCommand::List(app.options.runs.clone())));
}

/// Has the curves of marked runs read again, of those that `which` takes.
pub(crate) fn reread(app: &mut App, which: impl Fn(&RunInfo) -> bool) {
    let runs = &app.train.runs;
    let marked = runs.marked.iter().filter(|path| runs.list.iter().any(|r| r.path == **path && which(r)));
    let asked: Vec<Request> = marked.map(|path| Request::Train(TrainCommand::Curves(path.clone()))).collect();
    app.requests.extend(asked);
}

fn step(app: &mut App, by: isize) {
    let runs = &mut app.train.runs;
    runs.selected = runs.selected.saturating_add_signed(by).min(runs.list.len().saturating_sub(1));
}

fn mark(app: &mut App) {
    let marked = app.train.runs.toggle();
    app.requests.extend(marked.map(|run| Request::Train(TrainCommand::Curves(run))));
}

fn follow(app: &mut App) {
    if !can_follow(app) {
        return app.say("No running training of this model to follow");
    }
    app.train.follow = match app.train.follow {
        0 if keeps_weights(app) => 1,
        1 if keeps_weights(app) => 10,
        10 if keeps_weights(app) => 100,
        _ => 0,
    };
    let every = app.train.follow;
    app.emit(Request::Train(TrainCommand::Follow(every)));
    if every == 0 {
        app.say("The explorer goes back to the model the run started from");
        if let Some(model) = app.train.followed.take() {
            models::load(app, model);
        }
        return;
    }
    let often = if every == 1 { "after every step".to_owned() } else { format!("every {every} steps") };
    app.say(format!("The explorer shows the weights of this run {often}"));
    if app.train.followed.is_none() {
        app.train.followed = app.model.as_ref().map(|m| m.id.clone());
    }
}

/// Follows no weights any more.
pub(crate) fn unfollow(app: &mut App) {
    if app.train.follow > 0 {
        app.train.follow = 0;
        app.emit(Request::Train(TrainCommand::Follow(0)));
    }
}

fn open_result(app: &mut App) {
    match app.train.run.as_ref().and_then(|r| r.saved.clone()) {
        Some((_, path)) => open_checkpoint(app, &path),
        None => app.say(format!("This run has no checkpoint yet: {} saves one", app.key_label(&RUN_SAVE))),
    }
}

fn open_selected(app: &mut App) {
    let Some(run) = app.train.runs.current() else {
        return app.say("There is no run to open");
    };
    if run.spec.twins.is_some() {
        return show_selected(app);
    }
    if run.checkpoints.is_empty() {
        return app.say("This run has no checkpoint");
    }
    // At the top of a run's folder lies its best checkpoint.
    let path = run.path.clone();
    open_checkpoint(app, &path);
}

fn show_selected(app: &mut App) {
    let Some(run) = app.train.runs.current() else { return };
    let path = run.path.clone();
    if !app.train.free() {
        return app.say("A run is in progress, and its charts are on screen: stop it first");
    }
    app.emit(Request::Train(TrainCommand::Reopen(path)));
}

pub(crate) fn open_checkpoint(app: &mut App, path: &Path) {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    unfollow(app);
    app.train.followed = None;
    course::leave(app);
    models::load(app, path.display().to_string());
}

fn ask_delete(app: &mut App) {
    let Some(run) = app.train.runs.current() else { return };
    let path = run.path.clone();
    let in_use = app.train.busy() && app.train.run.as_ref().is_some_and(|r| same(&r.spec.out, &path));
    if in_use {
        app.say("This run is still in progress: stop it first");
    } else {
        app.popup = Some(Popup::Ask(Question::Delete(path)));
    }
}

fn same(a: &Path, b: &Path) -> bool {
    let whole = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_owned());
    whole(a) == whole(b)
}

/// The mouse points at a run.
pub fn run_row(app: &mut App, index: usize, open: bool) {
    if index < app.train.runs.list.len() {
        app.train.runs.selected = index;
        if open {
            open_selected(app);
        }
    }
}

/// Whether the explorer shows weights of a run.
pub fn follows(app: &App) -> bool {
    app.model.as_ref().is_some_and(|m| m.id.contains(FOLLOWED))
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let n = app.train.runs.list.len();
    if n == 0 { Vec::new() } else { vec![TitlePart::new(n.to_string(), Role::Dim)] }
}

fn room(area: Rect) -> usize {
    area.height.saturating_sub(3).max(1) as usize
}

fn top(app: &App, area: Rect) -> usize {
    (app.train.runs.selected + 1).saturating_sub(room(area))
}

/// The run at a line of the screen.
pub fn row_at(app: &App, area: Rect, y: u16) -> Option<usize> {
    let line = y.checked_sub(area.y + 1)? as usize;
    let index = top(app, area) + line;
    (line < room(area) && index < app.train.runs.list.len()).then_some(index)
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let runs = &app.train.runs;
    let dim = c.style(Role::Dim);
    if runs.list.is_empty() {
        let text = if runs.known {
            let key = app.key_label(&RUN);
            format!("No runs yet in {}\n{key} plans the first", app.options.runs.display())
        } else {
            "Reading the folder of runs".to_owned()
        };
        c.paragraph(area, &text, dim);
        return;
    }
    let columns = Columns::of(area);
    let heading =
        if columns.wide { "state        steps    loss   valid      size" } else { "state      valid" };
    c.label(area.x + 3, area.y, "run", dim, columns.name);
    c.label(columns.numbers + 1, area.y, heading, dim, area.right().saturating_sub(columns.numbers + 1));
    let top = top(app, area);
    for (i, run) in runs.list.iter().enumerate().skip(top).take(room(area)) {
        let line = Rect::new(area.x, area.y + 1 + (i - top) as u16, area.width, 1);
        row(c, app, (run, i == runs.selected), &columns, line);
    }
    let Some(run) = runs.current() else { return };
    let m = &run.spec.masking;
    let (model, trained, kept) = (&run.spec.model, run.spec.trained.name(), run.checkpoints.len());
    let s = if kept == 1 { "" } else { "s" };
    let text = format!("{model} · {trained} · {} {} · {kept} checkpoint{s}", m.arm, m.op);
    c.label(area.x, area.bottom().saturating_sub(1), &text, dim, area.width);
}

/// Where the numbers of a run stand.
struct Columns {
    /// Whether there is room for state, steps, training loss, validation loss and size, not only for state and
    /// validation loss.
    wide: bool,
    /// Columns of the name.
    name: u16,
    /// First column of the numbers.
    numbers: u16,
}

impl Columns {
    fn of(area: Rect) -> Self {
        let wide = area.width >= 60;
        let name = area.width.saturating_sub(if wide { 48 } else { 22 });
        Columns { wide, name, numbers: area.x + 3 + name }
    }
}

/// One run; the selected one is marked.
fn row(c: &mut Canvas, app: &App, (run, current): (&RunInfo, bool), columns: &Columns, line: Rect) {
    let y = line.y;
    if current && app.view.focus == &PANE {
        let style = c.theme.selected();
        c.restyle(line, style);
    }
    let marked = app.train.runs.marked.iter().position(|m| *m == run.path);
    let place = marked.map(|p| (p % 4 + 1).to_string());
    let bare = |style: Style| Style { bg: None, ..style };
    let (accent, text) = (bare(c.theme.bold(Role::Accent)), bare(c.theme.bold(Role::Strong)));
    let dim = bare(c.style(Role::Dim));
    c.put(line.x, y, if current { "▸" } else { " " }, accent);
    c.text(line.x + 1, y, place.as_deref().unwrap_or(" "), accent, 1);
    c.label(line.x + 3, y, &name(&run.path), text, columns.name);
    let live = app.train.busy() && app.train.run.as_ref().is_some_and(|r| r.spec.out == run.path);
    let number = |x: Option<f64>| x.map_or("–".to_owned(), |v| format!("{v:.4}"));
    let at = columns.numbers;
    c.label(at + 1, y, if live { "running" } else { run.state() }, dim, 11);
    if columns.wide {
        c.right(at + 12, at + 19, y, &run.steps.to_string(), dim);
        c.right(at + 19, at + 27, y, &number(run.train_loss), dim);
        c.right(at + 27, at + 35, y, &number(run.validation_loss), text);
        c.right(at + 35, at + 45, y, &memory(run.bytes as f64), dim);
    } else {
        c.right(at + 11, at + 18, y, &number(run.validation_loss), text);
    }
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let index = row_at(app, area, press.y)?;
    app.act(|app| run_row(app, index, press.double));
    None
}
