//! What keys and reports do to the Train screen. Pure; everything asked of a run goes out as an effect.

mod course;
mod fields;
mod live;
mod news;
mod results;

pub use self::course::{leave, plan, plan_holds};
pub use self::fields::{choose_field, complete, type_char};
pub use self::live::{live_fraction, live_place};
pub use self::news::take;
pub use self::results::{follows, run_row};

use super::state::RunView;
use crate::app::actions::{Context, Verb};
use crate::app::state::{App, Effect, Pane, Screen};
use crate::app::update::{focus, settings};
use crate::engine::types::TrainCommand;
use crate::train::report::{Command, Live};

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
    let twins = run.is_some_and(|r| r.twins.is_some());
    match verb {
        V::RunStop | V::RunKill => app.train.busy(),
        V::RunEvaluate => goes_on,
        V::RunSave | V::RunSample => goes_on && !twins,
        V::RateDown | V::RateUp if goes_on => !twins,
        V::Follow => (goes_on && !twins) || app.train.followed.is_some(),
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
    if let Some(effects) = fields::typing(app, verb) {
        return Some(effects);
    }
    let none = Vec::new();
    Some(match verb {
        V::Quit => return course::quit(app),
        V::Train => course::enter(app),
        V::Explore => {
            leave(app);
            none
        }
        V::RunGo => course::go(app),
        V::RunStop => course::stop(app),
        V::RunKill => course::kill(app),
        V::RunSave => course::tell_run(app, Command::SaveNow, "Saving after this step"),
        V::RunSample => course::tell_run(app, Command::Sample, "A sample comes after this step"),
        V::RunEvaluate => {
            course::tell(app, Command::EvaluateNow, "Measuring the validation loss after this step")
        }
        V::RateDown => live::rate(app, -1),
        V::RateUp => live::rate(app, 1),
        V::RateSchedule => live::rate_schedule(app),
        V::Follow => results::follow(app),
        V::RunOpen => results::open_result(app),
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
            return live::live(app, Live::Threshold, by, fine);
        }
        V::ProbabilityDown | V::ProbabilityUp | V::ProbabilityFineDown | V::ProbabilityFineUp => {
            let by = if matches!(verb, V::ProbabilityDown | V::ProbabilityFineDown) { -1 } else { 1 };
            let fine = matches!(verb, V::ProbabilityFineDown | V::ProbabilityFineUp);
            return live::live(app, Live::Probability, by, fine);
        }
        V::AskYes => course::answer(app, true),
        V::AskNo => course::answer(app, false),
        _ => return panes(app, verb),
    })
}

/// Actions of single panes.
fn panes(app: &mut App, verb: Verb) -> Option<Vec<Effect>> {
    use Verb as V;
    let field = app.train.field;
    match verb {
        V::FieldUp => fields::step_field(app, -1),
        V::FieldDown => fields::step_field(app, 1),
        V::FieldFirst => fields::step_field(app, isize::MIN / 2),
        V::FieldLast => fields::step_field(app, isize::MAX / 2),
        V::FieldLess => settings::nudge(app, field, -1, false),
        V::FieldMore => settings::nudge(app, field, 1, false),
        V::FieldFineLess => settings::nudge(app, field, -1, true),
        V::FieldFineMore => settings::nudge(app, field, 1, true),
        V::FieldOpen => return Some(fields::open_field(app, field)),
        V::FieldReset => settings::reset(app, field),
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
        V::RunsOpen => return Some(results::open_selected(app)),
        V::RunsDelete => results::ask_delete(app),
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
