//! The charts of a run: their axes and the cursor that reads them.

use crate::app::actions::actions;
use crate::app::state::App;

/// Steps a chart shows where it shows the newest ones only.
pub const TAIL: usize = 200;

actions! {
    Train {
        /// Logarithmic or linear axis of the losses
        CHART_LOG ["y"] "log" => |app| app.train.chart.log = !app.train.chart.log;
        /// Show the newest steps only, or all
        CHART_TAIL ["t"] "tail/all" => |app| app.train.chart.tail = !app.train.chart.tail;
    }
    Chart {
        /// Move the cursor one column to earlier steps
        CURSOR_LEFT ["left"] "cursor" with [CURSOR_RIGHT] if has_steps => |app| move_cursor(app, -1);
        /// Move the cursor one column to later steps
        CURSOR_RIGHT ["right"] => |app| move_cursor(app, 1);
        /// Move the cursor ten columns to earlier steps
        CURSOR_FAR_LEFT ["shift-left" "pageup"] => |app| move_cursor(app, -10);
        /// Move the cursor ten columns to later steps
        CURSOR_FAR_RIGHT ["shift-right" "pagedown"] => |app| move_cursor(app, 10);
        /// Put the cursor on the first step
        CURSOR_FIRST ["home"] => |app| cursor_at(app, 0.0);
        /// Take the cursor away: the newest step counts
        CURSOR_LAST ["end"] "newest" if has_steps => |app| app.train.chart.cursor = None;
    }
}

fn has_steps(app: &App) -> bool {
    app.train.run.as_ref().is_some_and(|r| !r.series.points.is_empty())
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
    let width = app.geometry().chart_columns.unwrap_or(40).max(1);
    let stride = ((to - from) / width).max(1) as i64;
    let now = app.train.chart.cursor.unwrap_or(to) as i64;
    app.train.chart.cursor = Some((now + columns * stride).clamp(from as i64, to as i64) as usize);
}
