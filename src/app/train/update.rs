//! What keys and reports do to the Train screen. Pure; everything asked of a run goes out as an effect.

use std::path::Path;

use super::form::{Field, RunRequest};
use super::state::{Question, RunView, Typing};
use super::table::Entered;
use crate::app::actions::{Context, Verb};
use crate::app::state::{App, Card, Effect, List, Pane, Popup, Remedy, Screen};
use crate::app::update::{focus, popups, show_card};
use crate::config::parameters;
use crate::engine::types::{FOLLOWED, TrainCommand, TrainUpdate};
use crate::train::report::{Command, Live, Report, RunState};

/// Steps a chart shows where it shows the newest ones only.
pub const TAIL: usize = 200;

/// Whether an action has a meaning on the screen that is shown: most of the explorer's single letters have none here.
pub fn belongs(app: &App, verb: Verb) -> bool {
    use Verb as V;
    if app.screen() != Screen::Train || verb.spec().context != Context::Panes {
        return true;
    }
    matches!(
        verb,
        V::Dismiss
            | V::Enlarge
            | V::ThresholdDown
            | V::ThresholdUp
            | V::ThresholdFineDown
            | V::ThresholdFineUp
            | V::ProbabilityDown
            | V::ProbabilityUp
            | V::ProbabilityFineDown
            | V::ProbabilityFineUp
    )
}

/// Whether an action of this screen would do anything now.
pub fn possible(app: &App, verb: Verb) -> bool {
    use Verb as V;
    let run = app.train.run.as_ref();
    let goes_on = run.is_some_and(RunView::goes_on);
    match verb {
        V::RunStop | V::RunKill => app.train.busy(),
        V::RunSave | V::RunSample | V::RunEvaluate => goes_on,
        V::Follow => goes_on || app.train.followed.is_some(),
        V::RunOpen => run.is_some_and(|r| r.saved.is_some()),
        V::RateSchedule => goes_on && run.is_some_and(|r| r.learning_rate.is_some()),
        V::RunsMark | V::RunsOpen | V::RunsDelete => app.train.runs.current().is_some(),
        V::ThresholdDown | V::ProbabilityDown if app.screen() == Screen::Train => {
            if goes_on {
                run.is_some_and(RunView::masks)
            } else {
                app.doc.form.explorers_policy()
            }
        }
        V::CursorLeft | V::CursorLast => run.is_some_and(|r| !r.series.points.is_empty()),
        V::FeedPrevious => app.view.focus == Pane::Batch,
        _ => true,
    }
}

/// Actions of this screen, and those of others that mean something else here; `None` for the rest.
pub fn perform(app: &mut App, verb: Verb) -> Option<Vec<Effect>> {
    use Verb as V;
    if let Some(effects) = typing(app, verb) {
        return Some(effects);
    }
    let none = Vec::new();
    Some(match verb {
        V::Quit => return quit(app),
        V::Train => enter(app),
        V::Explore => {
            leave(app);
            none
        }
        V::RunGo => go(app),
        V::RunStop => stop(app),
        V::RunKill => kill(app),
        V::RunSave => tell(app, Command::SaveNow, "Saving after this step"),
        V::RunSample => tell(app, Command::Sample, "A sample comes after this step"),
        V::RunEvaluate => tell(app, Command::EvaluateNow, "Measuring the validation loss after this step"),
        V::RateDown => rate(app, -1),
        V::RateUp => rate(app, 1),
        V::RateSchedule => rate_schedule(app),
        V::Follow => follow(app),
        V::RunOpen => open_result(app),
        V::ChartLog => {
            app.train.chart.log = !app.train.chart.log;
            none
        }
        V::ChartTail => {
            app.train.chart.tail = !app.train.chart.tail;
            none
        }
        V::RunsShow => {
            focus(app, Pane::Runs);
            vec![list(app)]
        }
        V::ThresholdDown | V::ThresholdUp | V::ThresholdFineDown | V::ThresholdFineUp => {
            let by = if matches!(verb, V::ThresholdDown | V::ThresholdFineDown) { -1 } else { 1 };
            let fine = matches!(verb, V::ThresholdFineDown | V::ThresholdFineUp);
            return live(app, Live::Threshold, by, fine);
        }
        V::ProbabilityDown | V::ProbabilityUp | V::ProbabilityFineDown | V::ProbabilityFineUp => {
            let by = if matches!(verb, V::ProbabilityDown | V::ProbabilityFineDown) { -1 } else { 1 };
            let fine = matches!(verb, V::ProbabilityFineDown | V::ProbabilityFineUp);
            return live(app, Live::Probability, by, fine);
        }
        V::AskYes => answer(app, true),
        V::AskNo => answer(app, false),
        _ => return panes(app, verb),
    })
}

/// Actions of single panes.
fn panes(app: &mut App, verb: Verb) -> Option<Vec<Effect>> {
    use Verb as V;
    let field = app.train.field;
    match verb {
        V::FieldUp => step_field(app, -1),
        V::FieldDown => step_field(app, 1),
        V::FieldFirst => step_field(app, isize::MIN / 2),
        V::FieldLast => step_field(app, isize::MAX / 2),
        V::FieldLess => app.doc.form.nudge(field, -1, false),
        V::FieldMore => app.doc.form.nudge(field, 1, false),
        V::FieldFineLess => app.doc.form.nudge(field, -1, true),
        V::FieldFineMore => app.doc.form.nudge(field, 1, true),
        V::FieldOpen => return Some(open_field(app, field)),
        V::FieldReset => app.doc.form.reset(field, app.options.settings.as_deref()),
        V::CursorLeft => move_cursor(app, -1),
        V::CursorRight => move_cursor(app, 1),
        V::CursorFarLeft => move_cursor(app, -10),
        V::CursorFarRight => move_cursor(app, 10),
        V::CursorFirst => cursor_at(app, 0.0),
        V::CursorLast => app.train.chart.cursor = None,
        V::RunsUp => app.train.runs.selected = app.train.runs.selected.saturating_sub(1),
        V::RunsDown => {
            let last = app.train.runs.list.len().saturating_sub(1);
            app.train.runs.selected = (app.train.runs.selected + 1).min(last);
        }
        V::RunsMark => {
            let marked = app.train.runs.toggle();
            return Some(marked.map(|run| Effect::Train(TrainCommand::Curves(run))).into_iter().collect());
        }
        V::RunsOpen => return Some(open_selected(app)),
        V::RunsDelete => ask_delete(app),
        V::RunsRead => return Some(vec![list(app)]),
        V::FeedUp => scroll(app, -1),
        V::FeedDown => scroll(app, 1),
        V::FeedPageUp => scroll(app, -8),
        V::FeedPageDown => scroll(app, 8),
        V::FeedPrevious => app.train.sequence = app.train.sequence.saturating_sub(1),
        V::FeedNext => app.train.sequence += 1,
        _ => return None,
    }
    Some(Vec::new())
}

fn scroll(app: &mut App, lines: isize) {
    let at = &mut app.view.scroll[app.view.focus as usize];
    *at = at.saturating_add_signed(lines).min(4096);
}

fn list(app: &App) -> Effect {
    Effect::Train(TrainCommand::List(app.options.runs.clone()))
}

/// Opens the screen where it was left.
fn enter(app: &mut App) -> Vec<Effect> {
    let pane = recent(app, Screen::Train).unwrap_or(Pane::Setup);
    focus(app, pane);
    app.view.enlarged = false;
    if app.train.runs.known { Vec::new() } else { vec![list(app)] }
}

/// Back to the explorer; a run goes on.
pub fn leave(app: &mut App) {
    let pane = recent(app, Screen::Explore).unwrap_or(Pane::Mask);
    focus(app, pane);
    app.view.enlarged = false;
}

fn recent(app: &App, screen: Screen) -> Option<Pane> {
    app.view.recent.iter().copied().find(|p| p.screen() == screen)
}

/// The model that a run starts from: followed weights are of a run, not of a model.
fn model(app: &App) -> Option<String> {
    app.train.followed.clone().or_else(|| app.model.as_ref().map(|m| m.id.clone()))
}

fn request(app: &App) -> Option<RunRequest> {
    model(app).map(|m| app.doc.form.request(&m, &app.doc.mask, &app.doc.score))
}

/// Whether the plan on screen is for what the form says now.
pub fn plan_holds(app: &App) -> bool {
    app.train.planned.is_some() && app.train.planned == request(app)
}

/// Asks for a plan.
pub fn plan(app: &mut App) -> Vec<Effect> {
    if !app.train.free() {
        app.say("A run goes on already: stop it first");
        return Vec::new();
    }
    let Some(request) = request(app) else {
        app.say("There is no model yet to train");
        return Vec::new();
    };
    app.cards.retain(|c| c.remedy != Remedy::Plan);
    app.train.planned = Some(request.clone());
    app.train.chart.cursor = None;
    focus(app, Pane::Run);
    vec![Effect::Plan(Box::new(request))]
}

fn go(app: &mut App) -> Vec<Effect> {
    let say = |app: &mut App, text: &str| {
        app.say(text);
        Vec::new()
    };
    match app.train.state() {
        None | Some(RunState::Stopped | RunState::Finished | RunState::Killed | RunState::Failed) => {
            plan(app)
        }
        Some(RunState::Planned) if !plan_holds(app) => plan(app),
        Some(RunState::Planned) => {
            if app.view.focus == Pane::Run || app.view.focus == Pane::Setup {
                focus(app, Pane::Loss);
            }
            vec![Effect::Train(TrainCommand::Tell(Command::Resume))]
        }
        Some(RunState::Running) => vec![Effect::Train(TrainCommand::Tell(Command::Pause))],
        Some(RunState::Paused) => vec![Effect::Train(TrainCommand::Tell(Command::Resume))],
        Some(RunState::Preparing) => say(app, "The plan is being made; K gives it up"),
        Some(RunState::Stopping) => say(app, "The run is stopping: it finishes its step and saves"),
    }
}

fn stop(app: &mut App) -> Vec<Effect> {
    match app.train.state() {
        Some(RunState::Running | RunState::Paused) => {
            vec![Effect::Train(TrainCommand::Tell(Command::Stop))]
        }
        Some(RunState::Preparing) => vec![Effect::Train(TrainCommand::Tell(Command::Kill))],
        Some(RunState::Stopping) => tell(app, Command::Stop, "It is stopping already"),
        _ => {
            app.say("No run goes on");
            Vec::new()
        }
    }
}

fn kill(app: &mut App) -> Vec<Effect> {
    match app.train.state() {
        Some(RunState::Preparing | RunState::Planned) => {
            vec![Effect::Train(TrainCommand::Tell(Command::Kill))]
        }
        Some(state) if !state.is_over() => {
            app.popup = Some(Popup::Ask(Question::Kill));
            Vec::new()
        }
        _ => {
            app.say("No run goes on");
            Vec::new()
        }
    }
}

/// Tells a run something and says so; without a run, says that instead.
fn tell(app: &mut App, command: Command, said: &str) -> Vec<Effect> {
    if app.train.run.as_ref().is_some_and(RunView::goes_on) {
        app.say(said);
        return vec![Effect::Train(TrainCommand::Tell(command))];
    }
    app.say("No run goes on");
    Vec::new()
}

/// Leaving while a run goes on asks first; asked twice, it ends the run.
fn quit(app: &mut App) -> Option<Vec<Effect>> {
    if !app.train.busy() || app.quit {
        return None;
    }
    if app.popup == Some(Popup::Ask(Question::Quit)) || app.train.leaving {
        app.quit = true;
        return Some(vec![Effect::Train(TrainCommand::Tell(Command::Kill)), Effect::Quit]);
    }
    app.popup = Some(Popup::Ask(Question::Quit));
    Some(Vec::new())
}

fn answer(app: &mut App, yes: bool) -> Vec<Effect> {
    let Some(Popup::Ask(question)) = app.popup.take() else { return Vec::new() };
    if !yes {
        return Vec::new();
    }
    match question {
        Question::Kill => vec![Effect::Train(TrainCommand::Tell(Command::Kill))],
        Question::Quit => {
            app.train.leaving = true;
            app.say("Leaving as soon as the run has saved");
            let prepared = app.train.run.as_ref().is_some_and(RunView::goes_on);
            let command = if prepared { Command::Stop } else { Command::Kill };
            vec![Effect::Train(TrainCommand::Tell(command))]
        }
        Question::Delete(run) => {
            app.train.runs.curves.remove(&run);
            vec![Effect::Train(TrainCommand::Delete { run, folder: app.options.runs.clone() })]
        }
    }
}

/// τ or p of the run that goes on; without one, the explorer's own, which the next run takes over.
fn live(app: &mut App, what: Live, by: i32, fine: bool) -> Option<Vec<Effect>> {
    if app.screen() != Screen::Train {
        return None;
    }
    let run = app.train.run.as_ref().filter(|r| r.goes_on())?;
    if !run.masks() {
        app.say("This run masks nothing");
        return Some(Vec::new());
    }
    let now = if what == Live::Threshold { run.threshold } else { run.probability };
    let kind = parameters::find(key_of(what))?.kind;
    let next = kind.nudge(now, by, fine)?;
    Some(set_live(app, what, next))
}

fn key_of(what: Live) -> &'static str {
    match what {
        Live::Threshold => "mask.threshold",
        Live::Probability => "mask.probability",
        Live::LearningRate => "train.learning_rate",
    }
}

fn set_live(app: &mut App, what: Live, value: f64) -> Vec<Effect> {
    let Some(run) = &mut app.train.run else { return Vec::new() };
    let command = match what {
        Live::Threshold => {
            run.threshold = value;
            Command::SetThreshold(value)
        }
        Live::Probability => {
            run.probability = value;
            Command::SetProbability(value)
        }
        Live::LearningRate => {
            run.learning_rate = Some(value);
            Command::SetLearningRate(Some(value))
        }
    };
    vec![Effect::Train(TrainCommand::Tell(command))]
}

/// A slider of the run is dragged.
pub fn live_fraction(app: &mut App, what: Live, at: f64) -> Vec<Effect> {
    let kind = parameters::find(key_of(what)).map(|p| p.kind);
    let Some(value) = kind.and_then(|k| k.at_fraction(at)) else { return Vec::new() };
    match &app.train.run {
        Some(run) if run.goes_on() && (what == Live::LearningRate || run.masks()) => {
            set_live(app, what, value)
        }
        _ => Vec::new(),
    }
}

/// The learning rate of the run that goes on; without one, of the next.
fn rate(app: &mut App, by: i32) -> Vec<Effect> {
    let Some(run) = app.train.run.as_ref().filter(|r| r.goes_on()) else {
        app.doc.form.nudge(Field::LearningRate, by, false);
        let value = app.doc.form.get(Field::LearningRate).to_owned();
        app.say(format!("Learning rate of the next run: {value}"));
        return Vec::new();
    };
    let kind = parameters::find(key_of(Live::LearningRate)).map(|p| p.kind);
    match kind.and_then(|k| k.nudge(run.rate(), by, false)) {
        Some(next) => set_live(app, Live::LearningRate, next),
        None => Vec::new(),
    }
}

fn rate_schedule(app: &mut App) -> Vec<Effect> {
    let said = "The learning rate follows its schedule again";
    let effects = tell(app, Command::SetLearningRate(None), said);
    if let Some(run) = &mut app.train.run {
        run.learning_rate = None;
    }
    effects
}

fn follow(app: &mut App) -> Vec<Effect> {
    let goes_on = app.train.run.as_ref().is_some_and(RunView::goes_on);
    if !goes_on && app.train.followed.is_none() {
        app.say("No run goes on whose weights could be followed");
        return Vec::new();
    }
    app.train.follow = match app.train.follow {
        0 if goes_on => 1,
        1 if goes_on => 10,
        10 if goes_on => 100,
        _ => 0,
    };
    let every = app.train.follow;
    let mut effects = vec![Effect::Train(TrainCommand::Follow(every))];
    if every == 0 {
        app.say("The explorer goes back to the model the run started from");
        if let Some(model) = app.train.followed.take() {
            effects.extend(popups::load(app, model));
        }
    } else {
        let every = if every == 1 { "after every step".to_owned() } else { format!("every {every} steps") };
        app.say(format!("The explorer shows the weights of this run {every}"));
        if app.train.followed.is_none() {
            app.train.followed = app.model.as_ref().map(|m| m.id.clone());
        }
    }
    effects
}

fn open_result(app: &mut App) -> Vec<Effect> {
    let saved = app.train.run.as_ref().and_then(|r| r.saved.clone());
    match saved {
        Some((_, path)) => open_checkpoint(app, &path),
        None => {
            app.say("This run has no checkpoint yet: w saves one");
            Vec::new()
        }
    }
}

fn open_selected(app: &mut App) -> Vec<Effect> {
    let Some(run) = app.train.runs.current() else {
        app.say("There is no run to open");
        return Vec::new();
    };
    if run.checkpoints.is_empty() {
        app.say("This run has no checkpoint");
        return Vec::new();
    }
    // At the top of a run's folder lies its newest checkpoint.
    let path = run.path.clone();
    open_checkpoint(app, &path)
}

fn open_checkpoint(app: &mut App, path: &Path) -> Vec<Effect> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut effects = Vec::new();
    if app.train.follow > 0 {
        app.train.follow = 0;
        effects.push(Effect::Train(TrainCommand::Follow(0)));
    }
    app.train.followed = None;
    leave(app);
    effects.extend(popups::load(app, path.display().to_string()));
    effects
}

fn ask_delete(app: &mut App) {
    let Some(run) = app.train.runs.current() else { return };
    let path = run.path.clone();
    let in_use = app.train.busy() && app.train.run.as_ref().is_some_and(|r| same(&r.spec.out, &path));
    if in_use {
        app.say("This run goes on: stop it first");
    } else {
        app.popup = Some(Popup::Ask(Question::Delete(path)));
    }
}

fn same(a: &Path, b: &Path) -> bool {
    let whole = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_owned());
    whole(a) == whole(b)
}

/// The mouse points at a run.
pub fn run_row(app: &mut App, index: usize, open: bool) -> Vec<Effect> {
    if index >= app.train.runs.list.len() {
        return Vec::new();
    }
    app.train.runs.selected = index;
    if open { open_selected(app) } else { Vec::new() }
}

/// Puts the cursor of the charts at a place of their axis.
pub fn cursor_at(app: &mut App, at: f64) {
    let Some(run) = &app.train.run else { return };
    let (from, to) = run.series.span(app.train.chart.tail.then_some(TAIL));
    let at = if at.is_finite() { at.clamp(0.0, 1.0) } else { 1.0 };
    app.train.chart.cursor = Some(from + (at * (to - from) as f64).round() as usize);
}

fn move_cursor(app: &mut App, columns: i64) {
    let Some(run) = &app.train.run else { return };
    let (from, to) = run.series.span(app.train.chart.tail.then_some(TAIL));
    let stride = ((to - from) / app.geometry.chart_columns.max(1)).max(1) as i64;
    let now = app.train.chart.cursor.unwrap_or(to) as i64;
    app.train.chart.cursor = Some((now + columns * stride).clamp(from as i64, to as i64) as usize);
}

fn step_field(app: &mut App, by: isize) {
    let shown = app.doc.form.shown();
    let here = shown.iter().position(|f| *f == app.train.field).unwrap_or(0) as isize;
    let next = here.saturating_add(by).clamp(0, shown.len() as isize - 1) as usize;
    app.train.field = shown[next];
    app.history.close();
}

/// The mouse points at a setting.
pub fn choose_field(app: &mut App, field: Field, open: bool) -> Vec<Effect> {
    app.train.field = field;
    app.train.typing = None;
    if open { open_field(app, field) } else { Vec::new() }
}

fn open_field(app: &mut App, field: Field) -> Vec<Effect> {
    let choices = field.choices();
    if !choices.is_empty() {
        let selected = choices.iter().position(|c| *c == app.doc.form.get(field)).unwrap_or(0);
        app.popup = Some(Popup::Choices { field, list: List { typed: String::new(), selected } });
        return Vec::new();
    }
    let typed = app.doc.form.get(field).to_owned();
    app.train.typing = Some(Typing { field: Some(field), typed, ..Typing::default() });
    complete(app)
}

/// Asks what a typed path may go on to.
pub fn complete(app: &App) -> Vec<Effect> {
    let typing = app.train.typing.as_ref();
    let path = typing.filter(|t| t.field.is_some_and(|f| f.entered() == Entered::Path));
    path.map(|t| Effect::Train(TrainCommand::Complete(t.typed.clone()))).into_iter().collect()
}

/// A character for the value being typed, or the first of a new one.
pub fn type_char(app: &mut App, c: char) {
    if app.train.typing.is_none() {
        let field = app.train.field;
        if !field.choices().is_empty() {
            app.say("This setting has names, not numbers: Enter shows them");
            return;
        }
        app.train.typing = Some(Typing { field: Some(field), ..Typing::default() });
    }
    edit(app, |typed| typed.push(c));
}

fn edit(app: &mut App, change: impl Fn(&mut String)) {
    if let Some(typing) = &mut app.train.typing {
        change(&mut typing.typed);
        typing.error = None;
        typing.offers.clear();
    }
}

/// Keys while a value of the form is typed.
fn typing(app: &mut App, verb: Verb) -> Option<Vec<Effect>> {
    use Verb as V;
    let path = app.train.typing.as_ref()?.field.is_some_and(|f| f.entered() == Entered::Path);
    match verb {
        V::EntryAccept => accept(app),
        V::EntryCancel => app.train.typing = None,
        V::EntryBackspace => edit(app, |t| {
            t.pop();
        }),
        V::EntryClear => edit(app, String::clear),
        V::EntryComplete if path => take_completion(app),
        _ => return None,
    }
    Some(complete(app))
}

fn accept(app: &mut App) {
    let Some(typing) = app.train.typing.take() else { return };
    let Some(field) = typing.field else { return };
    if let Err(problem) = app.doc.form.set(field, &typing.typed) {
        app.train.typing = Some(Typing { error: Some(problem), ..typing });
    }
}

/// Goes on as far as all offers agree; a single one is taken whole.
fn take_completion(app: &mut App) {
    let Some(typing) = &mut app.train.typing else { return };
    let Some(first) = typing.offers.first().cloned() else { return };
    let common = typing.offers.iter().fold(first, |common, offer| {
        common.chars().zip(offer.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    });
    if common.len() > typing.typed.len() {
        typing.typed = common;
    }
}

/// Takes in news from the trainer.
pub fn take(app: &mut App, news: TrainUpdate) -> Vec<Effect> {
    let effects = match news {
        TrainUpdate::Accepted { run, spec } => {
            app.train.number = run;
            app.train.sequence = 0;
            app.train.run = Some(RunView::new(*spec, app.now));
            Vec::new()
        }
        TrainUpdate::Report { run, report } => {
            if run == app.train.number {
                reported(app, report)
            } else {
                Vec::new()
            }
        }
        TrainUpdate::Runs(runs) => {
            app.train.runs.take(runs);
            Vec::new()
        }
        TrainUpdate::Curves { run, train, validation } => {
            app.train.runs.curves.insert(run, super::runs::Curves { train, validation });
            Vec::new()
        }
        TrainUpdate::Completed { typed, offers, problem } => {
            if let Some(typing) = app.train.typing.as_mut().filter(|t| t.typed == typed) {
                typing.offers = offers;
                typing.error = problem;
            }
            Vec::new()
        }
        TrainUpdate::Problem { message, hint } => {
            failed(app, message, hint);
            Vec::new()
        }
    };
    app.settle();
    effects
}

fn failed(app: &mut App, message: String, hint: Option<String>) {
    show_card(app, Card { title: "The run".to_owned(), message, hint, remedy: Remedy::Plan });
}

fn reported(app: &mut App, report: Report) -> Vec<Effect> {
    let now = app.now;
    let Some(run) = &mut app.train.run else { return Vec::new() };
    let last = matches!(report, Report::Ended(_) | Report::Failed { .. });
    let refused = match &report {
        Report::Failed { message, hint } if run.state != RunState::Killed => {
            Some((message.clone(), hint.clone()))
        }
        _ => None,
    };
    run.take(report, now);
    if let Some((message, hint)) = refused {
        failed(app, message, hint);
    }
    if last {
        return ended(app);
    }
    Vec::new()
}

/// What the end of a run brings: the list is read anew, nothing is followed, a person who waited to leave leaves.
fn ended(app: &mut App) -> Vec<Effect> {
    let mut effects = vec![list(app)];
    if app.train.follow > 0 {
        app.train.follow = 0;
        effects.push(Effect::Train(TrainCommand::Follow(0)));
    }
    if app.train.leaving {
        app.quit = true;
        effects.push(Effect::Quit);
    }
    let state = app.train.state().map_or("", RunState::name);
    if app.screen() == Screen::Explore {
        app.say(format!("The run has {state}"));
    }
    effects
}

/// Whether the explorer shows weights of a run.
pub fn follows(app: &App) -> bool {
    app.model.as_ref().is_some_and(|m| m.id.contains(FOLLOWED))
}

/// Where a value stands on the track of its slider, 0..1.
pub fn live_place(what: Live, value: f64) -> Option<f64> {
    parameters::find(key_of(what)).and_then(|p| p.kind.fraction(value))
}
