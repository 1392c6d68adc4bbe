//! Every number of a run as a small chart, all in one grid: narrowed by a filter, with the marked runs laid over.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::screen::actions::{Context, actions};
use crate::screen::app::App;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart, Wheel};
use crate::screen::train::charts::{at, compared, cursor_at, curve, frame, has_steps, move_cursor, place_at};
use crate::screen::train::empty::empty;
use crate::screen::train::runs;
use crate::screen::train::series::{Average, Point, Series};
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::plot::{self, Curve, Frame, Pen};
use crate::screen::widgets::theme::Role;
use crate::support::units::{memory, short};
use crate::support::visible::width;

/// Metrics.
pub const CONTEXT: Context = Context("Metrics");
/// Typing the filter.
pub const FILTERING: Context = Context("Filter of the metrics");

pub static PANE: Pane = Pane {
    name: "metrics",
    title: "Metrics",
    screen: Screen::Train,
    context: |app| if app.train.metrics.filtering { FILTERING } else { CONTEXT },
    actions: &[ACTIONS],
    subtitle,
    draw,
    settle,
    takes: |app, _| app.train.metrics.filtering,
    typed: |app, c| app.act(|app| edit(app, |filter| filter.push(c))),
    paste: Some(|app, text| {
        let line = text.lines().next().unwrap_or("").to_owned();
        app.train.metrics.filtering = true;
        edit(app, |filter| filter.push_str(&line));
    }),
    press,
    wheel: Some(wheel),
    ..BLANK
};

/// How the grid looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsView {
    /// Words that the name of a metric must have, each of them.
    pub filter: String,
    /// The filter is being typed.
    pub filtering: bool,
    /// Rows of charts above the first one shown.
    pub top: usize,
}

/// Where the values of a metric come from.
enum Values {
    Steps(fn(&Point) -> f64),
    /// Of the evaluations: clean and masked loss.
    Evaluations(fn(f64, Option<f64>) -> f64),
}

/// One number of a run.
struct Metric {
    /// With its unit.
    name: &'static str,
    values: Values,
    shown: fn(f64) -> String,
    /// The axis begins at 0.
    zero: bool,
    /// Noisy enough from step to step for an average to help.
    averaged: bool,
}

const fn metric(name: &'static str, of: fn(&Point) -> f64) -> Metric {
    Metric { name, values: Values::Steps(of), shown: short, zero: true, averaged: false }
}

const fn loss(name: &'static str, of: fn(&Point) -> f64) -> Metric {
    Metric { name, values: Values::Steps(of), shown: four, zero: false, averaged: true }
}

fn four(x: f64) -> String {
    format!("{x:.4}")
}

fn gpu(p: &Point, of: fn(&crate::tensor::meter::GpuFigures) -> f64) -> f64 {
    p.gpu.as_ref().map_or(f64::NAN, of)
}

static METRICS: &[Metric] = &[
    loss("training loss", |p| p.loss),
    Metric {
        name: "validation loss",
        values: Values::Evaluations(|clean, _| clean),
        shown: four,
        zero: false,
        averaged: false,
    },
    Metric {
        name: "masked validation loss",
        values: Values::Evaluations(|_, masked| masked.unwrap_or(f64::NAN)),
        shown: four,
        zero: false,
        averaged: false,
    },
    loss("loss at masked tokens", |p| p.masked_token_loss),
    loss("loss at unmasked tokens", |p| p.unmasked_token_loss),
    Metric { shown: |x| format!("{x:.3e}"), ..metric("learning rate", |p| p.learning_rate) },
    Metric { averaged: true, ..metric("gradient norm", |p| p.grad_norm) },
    metric("mask rate", |p| p.mask_rate),
    Metric { averaged: true, ..metric("actual mask rate", |p| p.realised_rate) },
    Metric { averaged: true, ..metric("tokens/s", |p| p.tokens_per_second) },
    Metric { averaged: true, ..metric("step ms", |p| 1e3 * p.total) },
    Metric { averaged: true, ..metric("mask ms", |p| 1e3 * p.masking) },
    Metric { averaged: true, ..metric("forward ms", |p| 1e3 * p.forward) },
    Metric { averaged: true, ..metric("backward ms", |p| 1e3 * p.backward) },
    Metric { averaged: true, ..metric("optimizer ms", |p| 1e3 * p.optimizer) },
    Metric { shown: |x| memory(x * 1e6), ..metric("memory MB", |p| p.memory / 1e6) },
    metric("CPU cores busy", |p| p.cores),
    metric("GPU busy %", |p| gpu(p, |g| f64::from(g.busy))),
    Metric { shown: |x| memory(x * 1e6), ..metric("GPU memory MB", |p| gpu(p, |g| g.used as f64 / 1e6)) },
    metric("GPU °C", |p| gpu(p, |g| f64::from(g.temperature))),
    metric("GPU watts", |p| gpu(p, |g| g.watts)),
];

impl Metric {
    /// Whether a run has a value of it.
    fn has(&self, series: &Series) -> bool {
        match self.values {
            // Numbers that are 0 throughout say nothing: masks of a run without them.
            Values::Steps(of) => series.points.iter().any(|p| of(p).is_finite() && of(p) != 0.0),
            Values::Evaluations(of) => series.evaluated.iter().any(|e| of(e.1, e.2).is_finite()),
        }
    }

    /// Its curves: faint as it was, and its average where that helps.
    fn curves(&self, app: &App, series: &Series, style: [Style; 2], sign: [&'static str; 2]) -> Vec<Curve> {
        let axis = app.train.chart.axis;
        match self.values {
            Values::Evaluations(of) => {
                let points = series.evaluated.iter().map(|e| (series.place(axis, e.0), of(e.1, e.2)));
                let points: Vec<(f64, f64)> = points.collect();
                let curve = |points, pen| Curve { points, pen, style: style[1], ascii: sign[1] };
                vec![curve(points.clone(), Pen::Marks("◆", "o")), curve(points, Pen::Line)]
            }
            Values::Steps(of) if self.averaged && app.train.chart.smoothing.keep() > 0.0 => {
                let raw = curve((series, axis), of, Pen::Dots, style[0], sign[0]);
                let mut average = Average::new(app.train.chart.smoothing.keep());
                let steps = series.points.iter().map(|p| p.merged);
                let points = raw.points.iter().zip(steps).map(|(&(x, y), n)| (x, average.next(y, n)));
                let smooth =
                    Curve { points: points.collect(), pen: Pen::Line, style: style[1], ascii: sign[1] };
                vec![raw, smooth]
            }
            Values::Steps(of) => vec![curve((series, axis), of, Pen::Line, style[1], sign[1])],
        }
    }

    /// Its value at the cursor, or the newest.
    fn value(&self, series: &Series, step: Option<usize>, point: Option<&Point>) -> Option<f64> {
        match self.values {
            Values::Steps(of) => point.map(of),
            Values::Evaluations(of) => match step {
                Some(step) => series.evaluation_at(step).map(|e| of(e.1, e.2)),
                None => series.evaluated.last().map(|e| of(e.1, e.2)),
            },
        }
        .filter(|value| value.is_finite())
    }
}

actions! {
    CONTEXT {
        /// Type words to narrow the metrics: loss, ms, GPU …
        METRICS_FILTER ["/"] "filter" => |app| app.train.metrics.filtering = true;
        /// Scroll the metrics up
        METRICS_UP ["up"] "scroll" with [METRICS_DOWN] => |app| scroll(app, -1);
        /// Scroll the metrics down
        METRICS_DOWN ["down"] => |app| scroll(app, 1);
        /// Move the cursor of all charts to earlier steps
        METRICS_LEFT ["left"] "cursor" with [METRICS_RIGHT] if has_steps => |app| move_cursor(app, -1);
        /// Move the cursor of all charts to later steps
        METRICS_RIGHT ["right"] => |app| move_cursor(app, 1);
        /// Put the cursor of all charts on the first step
        METRICS_FIRST ["home"] => |app| cursor_at(app, 0.0);
        /// Remove the cursor and follow the newest step in all charts
        METRICS_LAST ["end"] "newest" if has_steps => |app| app.train.chart.cursor = None;
        /// Show all metrics again
        METRICS_ALL ["backspace" "delete"] => |app| edit(app, String::clear);
    }
    FILTERING {
        /// Keep the filter
        FILTER_KEEP ["enter" "tab"] "keep" => |app| app.train.metrics.filtering = false;
        /// Show all metrics again
        FILTER_DROP ["esc"] "show all" => drop_filter;
        /// Delete the last character of the filter
        FILTER_BACKSPACE ["backspace" "ctrl-h"] => |app| edit(app, |filter| { filter.pop(); });
        /// Delete the whole filter
        FILTER_CLEAR ["ctrl-u"] => |app| edit(app, String::clear);
    }
}

fn edit(app: &mut App, change: impl FnOnce(&mut String)) {
    let view = &mut app.train.metrics;
    change(&mut view.filter);
    view.top = 0;
}

fn drop_filter(app: &mut App) {
    app.train.metrics = MetricsView::default();
}

fn scroll(app: &mut App, by: isize) {
    let top = &mut app.train.metrics.top;
    *top = top.saturating_add_signed(by);
}

fn wheel(app: &mut App, _: Rect, wheel: Wheel) {
    app.act(|app| scroll(app, wheel.by as isize));
}

/// The metrics that a shown run has and that fit the filter; and how many there are without it.
fn listed(app: &App) -> (Vec<&'static Metric>, usize) {
    let own = app.train.run.as_ref().map(|r| &r.series);
    let all: Vec<&Metric> = METRICS
        .iter()
        .filter(|m| own.is_some_and(|s| m.has(s)) || compared(app).any(|(_, s, _)| m.has(s)))
        .collect();
    let n = all.len();
    let filter = app.train.metrics.filter.to_lowercase();
    let fits = |m: &&Metric| filter.split_whitespace().all(|word| m.name.to_lowercase().contains(word));
    (all.into_iter().filter(fits).collect(), n)
}

/// Lines and columns that a chart needs.
const CELL: (u16, u16) = (7, 30);

/// Where the charts are: columns and rows of the grid, and the size of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    area: Rect,
    columns: usize,
    rows: usize,
}

impl Grid {
    /// Below `head` lines; few charts take the room of many.
    fn new(area: Rect, head: u16, charts: usize) -> Self {
        let head = head.min(area.height);
        let area = Rect { y: area.y + head, height: area.height - head, ..area };
        let columns = usize::from((area.width / CELL.1).clamp(1, 4)).min(charts.max(1));
        let rows = usize::from((area.height / CELL.0).max(1)).min(charts.div_ceil(columns).max(1));
        Grid { area, columns, rows }
    }

    fn cell(&self, i: usize) -> Rect {
        let (w, h) = (self.area.width / self.columns as u16, self.area.height / self.rows as u16);
        let (x, y) = ((i % self.columns) as u16, (i / self.columns) as u16);
        // A column stays free between two charts.
        let gap = u16::from(usize::from(x) + 1 < self.columns);
        Rect::new(self.area.x + x * w, self.area.y + y * h, w.saturating_sub(gap), h)
    }

    /// Rows that can be scrolled away.
    fn most(&self, charts: usize) -> usize {
        charts.div_ceil(self.columns).saturating_sub(self.rows)
    }
}

/// Lines above the grid: the filter, and a name for every run laid over.
fn head(app: &App) -> u16 {
    let runs = compared(app).count() as u16;
    u16::from(app.train.metrics.filtering || !app.train.metrics.filter.is_empty()) + runs
}

fn grid(app: &App, area: Rect) -> (Grid, Vec<&'static Metric>) {
    let (metrics, _) = listed(app);
    (Grid::new(area, head(app), metrics.len()), metrics)
}

fn settle(app: &mut App, area: Option<Rect>) {
    let Some(area) = area else {
        app.train.metrics.filtering = false;
        return;
    };
    let (grid, metrics) = grid(app, area);
    let top = &mut app.train.metrics.top;
    *top = (*top).min(grid.most(metrics.len()));
}

fn subtitle(app: &App) -> Vec<TitlePart> {
    let (shown, all) = listed(app);
    if all == 0 {
        return Vec::new();
    }
    let chart = app.train.chart;
    let many = if shown.len() == all { format!("{all}") } else { format!("{} of {all}", shown.len()) };
    let smoothing = match chart.smoothing.keep() {
        0.0 => "no smoothing".to_owned(),
        keep => format!("smoothing {keep}"),
    };
    vec![TitlePart::new(format!("{many}, over {}, {smoothing}", chart.axis.name()), Role::Dim)]
}

fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let (grid, metrics) = grid(app, area);
    if listed(app).1 == 0 {
        return empty(
            c,
            app,
            area,
            "Every number of a run as a chart: losses, rates, times, memory, cores, GPU",
        );
    }
    let y = draw_filter(c, app, area);
    for (i, (path, _, (role, sign))) in compared(app).enumerate() {
        let style = c.style(role);
        let text = format!("{sign} {}", runs::name(path));
        c.label(area.x, y + i as u16, &text, style, area.width);
    }
    if metrics.is_empty() {
        let text = format!("No metric is called “{}”", app.train.metrics.filter.trim());
        let dim = c.style(Role::Dim);
        c.paragraph(grid.area, &text, dim);
        return;
    }
    let skipped = app.train.metrics.top.min(grid.most(metrics.len())) * grid.columns;
    let shown = grid.columns * grid.rows;
    let last = metrics.len().saturating_sub(skipped).min(shown);
    for (i, metric) in metrics.iter().skip(skipped).take(shown).enumerate() {
        // Numbers stand below the last chart of every column.
        draw_metric(c, app, grid.cell(i), metric, i + grid.columns >= last);
    }
    draw_more(c, &grid, (skipped, metrics.len()));
}

/// The filter as it is typed; returns the line below it.
fn draw_filter(c: &mut Canvas, app: &App, area: Rect) -> u16 {
    let view = &app.train.metrics;
    if !view.filtering && view.filter.is_empty() {
        return area.y;
    }
    let (dim, strong, accent) = (c.style(Role::Dim), c.theme.bold(Role::Strong), c.theme.bold(Role::Accent));
    let caret = match (view.filtering, c.ascii()) {
        (false, _) => "",
        (true, false) => "▏",
        (true, true) => "_",
    };
    c.spans(area.x, area.y, &[("filter ", dim), (&view.filter, strong), (caret, accent)], area.right());
    area.y + 1
}

/// How many metrics are above and below, at the right end of the last line.
fn draw_more(c: &mut Canvas, grid: &Grid, (skipped, all): (usize, usize)) {
    let below = all.saturating_sub(skipped + grid.columns * grid.rows);
    let (up, down) = if c.ascii() { ("^", "v") } else { ("↑", "↓") };
    let text = match (skipped, below) {
        (0, 0) => return,
        (0, below) => format!(" {down} {below} more "),
        (above, 0) => format!(" {up} {above} more "),
        (above, below) => format!(" {up} {above}  {down} {below} more "),
    };
    let (area, dim) = (grid.area, c.style(Role::Accent));
    let from = area.right().saturating_sub(width(&text) as u16).max(area.x);
    c.right(from, area.right(), area.bottom().saturating_sub(1), &text, dim);
}

fn draw_metric(c: &mut Canvas, app: &App, area: Rect, metric: &Metric, numbers: bool) {
    let run = app.train.run.as_ref().filter(|r| metric.has(&r.series));
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    let value = run.and_then(|r| metric.value(&r.series, app.train.chart.cursor, at(app, r)));
    let value = value.map_or(String::new(), metric.shown);
    c.spans(area.x, area.y, &[(metric.name, dim), ("  ", dim), (&value, strong)], area.right());
    let mut curves = Vec::new();
    for (_, series, (role, sign)) in compared(app).filter(|(_, series, _)| metric.has(series)) {
        let style = c.style(role);
        // Only the average of a run that is laid over: two clouds of dots cannot be told apart.
        curves.extend(metric.curves(app, series, [style, style], [sign, sign]).pop());
    }
    if let Some(run) = run {
        let style = [c.style(Role::Score), c.theme.bold(Role::Accent)];
        curves.extend(metric.curves(app, &run.series, style, [".", "*"]));
    }
    let frame = Frame { zero: metric.zero, ..frame(app, app.train.run.as_ref(), numbers) };
    plot::draw(c, Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area }, &frame, &curves);
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let (grid, _) = grid(app, area);
    let place = (0..grid.columns * grid.rows).map(|i| grid.cell(i));
    let cell = place.into_iter().find(|cell| cell.contains((press.x, press.y).into()))?;
    let point = move |app: &mut App, _: Rect, (x, _): (u16, u16)| {
        app.act(|app| cursor_at(app, place_at(cell, x)));
    };
    point(app, area, (press.x, press.y));
    Some(Box::new(point))
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
