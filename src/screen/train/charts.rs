//! Curves over steps, tokens or time: loss, rates, speed, and the cursor that reads them.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::screen::actions::{Context, TRAINING, actions};
use crate::screen::app::App;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart};
use crate::screen::train::empty::empty;
use crate::screen::train::series::{Point, Series, on};
use crate::screen::train::{RunView, metrics, runs};
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::plot::{self, Axis, Curve, Frame, Pen};
use crate::screen::widgets::theme::Role;
use crate::support::units::{duration, memory, short};
use crate::train::report::Live;

/// Charts of a run.
pub const CONTEXT: Context = Context("Charts");

pub static LOSS: Pane = Pane {
    name: "loss",
    title: "Loss",
    screen: Screen::Train,
    context: |_| CONTEXT,
    actions: &[ACTIONS],
    subtitle: loss_subtitle,
    draw: loss,
    press,
    ..BLANK
};

pub static RATES: Pane = Pane {
    name: "rates",
    title: "Rates",
    screen: Screen::Train,
    context: |_| CONTEXT,
    draw: rates,
    press,
    ..BLANK
};

pub static SPEED: Pane = Pane {
    name: "speed",
    title: "Speed",
    screen: Screen::Train,
    context: |_| CONTEXT,
    draw: speed,
    press,
    ..BLANK
};

/// Steps a chart shows where it shows the newest ones only.
pub const TAIL: usize = 200;

actions! {
    TRAINING {
        /// Logarithmic or linear axis of the losses
        CHART_LOG ["y"] "log" => |app| app.train.chart.log = !app.train.chart.log;
        /// Show the newest steps only, or all
        CHART_TAIL ["t"] "tail/all" => |app| app.train.chart.tail = !app.train.chart.tail;
        /// Axis of the charts: steps, tokens read, or time
        CHART_AXIS ["a"] "axis" if has_charts => turn_axis;
        /// Smoothing of the averages: none, 0.6, 0.9, 0.95 or 0.99 of the one before
        CHART_SMOOTHING ["S"] "smoothing" if has_charts => smooth;
    }
    CONTEXT {
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
        /// Remove the cursor and follow the newest step
        CURSOR_LAST ["end"] "newest" if has_steps => |app| app.train.chart.cursor = None;
    }
}

pub fn has_steps(app: &App) -> bool {
    app.train.run.as_ref().is_some_and(|r| !r.series.points.is_empty())
}

fn has_charts(app: &App) -> bool {
    has_steps(app) || comparing(app)
}

fn turn_axis(app: &mut App) {
    let axis = app.train.chart.axis.next();
    app.train.chart.axis = axis;
    app.say(format!("The charts run over {}", axis.name()));
}

fn smooth(app: &mut App) {
    let smoothing = app.train.chart.smoothing.next();
    app.train.chart.smoothing = smoothing;
    let keep = smoothing.keep();
    if let Some(run) = &mut app.train.run {
        run.series.smooth(keep);
    }
    app.train.runs.curves.values_mut().for_each(|series| series.smooth(keep));
    app.say(match keep {
        0.0 => "No smoothing: every step as it was".to_owned(),
        keep => format!("Smoothing {keep}: each average keeps that share of the one before"),
    });
}

/// Puts the cursor of the charts at a place of their axis.
pub fn cursor_at(app: &mut App, at: f64) {
    let Some(run) = &app.train.run else { return };
    let (from, to) = frame(app, Some(run), false).span;
    let at = if at.is_finite() { at.clamp(0.0, 1.0) } else { 1.0 };
    app.train.chart.cursor = Some(run.series.step_at(app.train.chart.axis, from + at * (to - from)));
}

pub fn move_cursor(app: &mut App, by: i64) {
    let Some(run) = &app.train.run else { return };
    let (from, to) = run.series.span(app.train.chart.tail.then_some(TAIL));
    let width = area_of(app).map_or(40, columns).max(1);
    let stride = ((to - from) / width).max(1) as i64;
    let now = app.train.chart.cursor.unwrap_or(to) as i64;
    app.train.chart.cursor = Some((now + by * stride).clamp(from as i64, to as i64) as usize);
}

const EVALUATED: Pen = Pen::Marks("◆", "o");
const COMPARED: [(Role, &str); 4] =
    [(Role::Protected, "1"), (Role::Draw, "2"), (Role::Good, "3"), (Role::Masked, "4")];

/// Place of a column on the steps' axis, 0..1.
pub fn place_at(area: Rect, x: u16) -> f64 {
    let inner = plot::field(area, true);
    f64::from(x.saturating_sub(inner.x)) / f64::from(inner.width.max(2) - 1)
}

/// Columns of the steps' axis.
pub fn columns(area: Rect) -> usize {
    plot::field(area, true).width as usize
}

/// First and last place of the axis that the charts of a run show.
fn span(app: &App, series: &Series) -> (f64, f64) {
    let (from, to) = series.span(app.train.chart.tail.then_some(TAIL));
    let axis = app.train.chart.axis;
    let (from, to) = (series.place(axis, from), series.place(axis, to));
    (from, if to > from { to } else { from + 1.0 })
}

/// The runs laid over the charts, with their colour and sign.
pub fn compared(app: &App) -> impl Iterator<Item = (&std::path::Path, &Series, (Role, &'static str))> {
    let known =
        app.train.runs.marked.iter().filter_map(|m| Some((m.as_path(), app.train.runs.curves.get(m)?)));
    known.enumerate().map(|(i, (path, series))| (path, series, COMPARED[i % COMPARED.len()]))
}

pub fn frame(app: &App, run: Option<&RunView>, steps: bool) -> Frame {
    let axis = app.train.chart.axis;
    let series = run.map(|r| &r.series);
    let mut span = series.map_or((0.0, 1.0), |series| span(app, series));
    if series.is_none_or(|series| series.points.is_empty()) {
        let ends = compared(app).filter_map(|(_, series, _)| series.last()).map(|p| on(axis, p));
        span = (0.0, ends.fold(1.0, f64::max));
    }
    if let Some(series) = series.filter(|_| !app.train.chart.tail) {
        // Evaluations stand at step 0 too, before the first update.
        let first = series.evaluated.first().map(|e| series.place(axis, e.0));
        span.0 = first.unwrap_or(span.0).min(span.0);
        let ends = compared(app).filter_map(|(_, series, _)| series.last()).map(|p| on(axis, p));
        span.1 = ends.fold(span.1, f64::max);
    }
    let place = |step| series.map_or(step as f64, |series| series.place(axis, step));
    let events = series.map(|s| s.changes.iter().map(|c| place(c.step)).collect()).unwrap_or_default();
    Frame { axis, span, cursor: app.train.chart.cursor.map(place), events, steps, ..Frame::default() }
}

/// One number of every step as a curve.
pub fn curve(
    (series, axis): (&Series, Axis),
    of: impl Fn(&Point) -> f64,
    pen: Pen,
    style: Style,
    ascii: &'static str,
) -> Curve {
    let points = series.points.iter().map(|p| (on(axis, p), of(p))).collect();
    Curve { points, pen, style, ascii }
}

/// The validation losses as marks.
fn evaluations(app: &App, series: &Series, pen: Pen, style: Style, ascii: &'static str) -> Curve {
    let axis = app.train.chart.axis;
    let points = series.evaluated.iter().map(|e| (series.place(axis, e.0), e.1)).collect();
    Curve { points, pen, style, ascii }
}

/// The step the numbers are of: under the cursor, or the newest.
pub fn at<'a>(app: &App, run: &'a RunView) -> Option<&'a Point> {
    match app.train.chart.cursor {
        Some(step) => run.series.nearest(step),
        None => run.series.last(),
    }
}

pub fn comparing(app: &App) -> bool {
    compared(app).next().is_some()
}

pub fn loss_subtitle(app: &App) -> Vec<TitlePart> {
    let scale = if app.train.chart.log { "log" } else { "linear" };
    let span = if app.train.chart.tail { "tail" } else { "all" };
    let over = match app.train.chart.axis {
        Axis::Steps => String::new(),
        axis => format!(", over {}", axis.name()),
    };
    let mut out = vec![TitlePart::new(format!("{scale}, {span}{over}"), Role::Dim)];
    if let Some(eta) = app.train.run.as_ref().and_then(|r| r.eta) {
        out.push(TitlePart::new(format!("{} left", duration(eta)), Role::Accent));
    }
    out
}

/// Training loss, its average, validation losses, and the runs that are compared.
pub fn loss(c: &mut Canvas, app: &App, area: Rect) {
    let run =
        app.train.run.as_ref().filter(|r| !r.series.points.is_empty() || !r.series.evaluated.is_empty());
    if run.is_none() && !comparing(app) {
        return empty(c, app, area, "Losses over steps: training faint, its average bold, validation ◆");
    }
    let mut y = area.y;
    if let Some(run) = run {
        loss_numbers(c, app, run, Rect { height: 1, ..area });
        y += 1;
    }
    for (path, _, (role, sign)) in compared(app) {
        let style = c.style(role);
        c.label(area.x, y, &format!("{sign} {}", runs::name(path)), style, area.width);
        y += 1;
    }
    let chart = Rect { y, height: area.bottom().saturating_sub(y), ..area };
    let mut curves = Vec::new();
    let axis = app.train.chart.axis;
    for (_, series, (role, sign)) in compared(app) {
        let style = c.style(role);
        curves.push(curve((series, axis), |p| p.smooth, Pen::Dots, style, sign));
        curves.push(evaluations(app, series, Pen::Marks("◇", sign), style, sign));
    }
    if let Some(run) = run {
        let (faint, bold, good) =
            (c.style(Role::Score), c.theme.bold(Role::Accent), c.theme.bold(Role::Masked));
        let of = (&run.series, axis);
        curves.push(curve(of, |p| p.loss, Pen::Dots, faint, "."));
        curves.push(curve(of, |p| p.smooth, Pen::Line, bold, "*"));
        curves.push(evaluations(app, &run.series, EVALUATED, good, "o"));
    }
    let mut frame = frame(app, run, true);
    frame.log = app.train.chart.log;
    plot::draw(c, chart, &frame, &curves);
}

fn loss_numbers(c: &mut Canvas, app: &App, run: &RunView, area: Rect) {
    let (dim, strong, accent) = (c.style(Role::Dim), c.theme.bold(Role::Strong), c.theme.bold(Role::Accent));
    let good = c.theme.bold(Role::Masked);
    let Some(p) = at(app, run) else { return };
    let evaluated = run.series.evaluation_at(p.step).map_or("–".to_owned(), |e| format!("{:.4}", e.1));
    let (raw, smooth) = (format!("{:.4}", p.loss), format!("{:.4}", p.smooth));
    let step = format!("step {}  ", p.step);
    // A narrow chart has room for the numbers, not for all of their names.
    let wide = area.width >= 52;
    let valid = match (wide, c.ascii()) {
        (true, false) => "  ◆ valid ",
        (true, true) => "  o valid ",
        (false, false) => "  ◆ ",
        (false, true) => "  o ",
    };
    let pieces = [
        (step.as_str(), strong),
        (if wide { "loss " } else { "" }, dim),
        (&raw, strong),
        (if wide { "  average " } else { "  avg " }, dim),
        (&smooth, accent),
        (valid, dim),
        (&evaluated, good),
    ];
    let end = c.spans(area.x, area.y, &pieces, area.right());
    let change = run.series.changes.iter().rev().find(|e| e.step == p.step);
    if let Some(change) = change {
        let what = match change.what {
            Live::LearningRate => "learning rate",
            Live::Threshold => "τ",
            Live::Probability => "p",
        };
        let value = change.value.map_or("schedule".to_owned(), short);
        let warn = c.style(Role::Warn);
        c.label(end, area.y, &format!("  {what} {value}"), warn, area.right().saturating_sub(end));
    }
}

/// One small chart with a heading.
struct Small<'a> {
    name: &'a str,
    value: String,
    curves: Vec<Curve>,
    zero: bool,
}

fn stack(c: &mut Canvas, app: &App, run: &RunView, area: Rect, charts: Vec<Small>) {
    let n = charts.len() as u16;
    // Below four lines a chart says nothing: then the first ones get the room.
    let fit = (area.height / 4).clamp(1, n);
    let each = area.height / fit;
    for (i, small) in charts.into_iter().take(fit as usize).enumerate() {
        let last = i as u16 + 1 == fit;
        let y = area.y + i as u16 * each;
        let height = if last { area.bottom() - y } else { each };
        let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
        c.spans(area.x, y, &[(small.name, dim), ("  ", dim), (&small.value, strong)], area.right());
        let mut frame = frame(app, Some(run), last);
        frame.zero = small.zero;
        plot::draw(c, Rect { y: y + 1, height: height - 1, ..area }, &frame, &small.curves);
    }
}

/// Learning rate, mask rate, gradient norm.
pub fn rates(c: &mut Canvas, app: &App, area: Rect) {
    let run = app.train.run.as_ref().filter(|r| !r.series.points.is_empty());
    let Some((run, p)) = run.and_then(|r| at(app, r).map(|p| (r, p))) else {
        return empty(c, app, area, "Learning rate, mask rate and gradient norm over steps");
    };
    let (accent, faint, masked) = (c.style(Role::Accent), c.style(Role::Score), c.style(Role::Masked));
    let axis = app.train.chart.axis;
    let mut charts = vec![Small {
        name: "learning rate",
        value: format!("{:.3e}", p.learning_rate),
        curves: vec![curve((&run.series, axis), |p| p.learning_rate, Pen::Line, accent, "*")],
        zero: true,
    }];
    charts.push(Small {
        name: "gradient norm",
        value: short(p.grad_norm),
        curves: vec![curve((&run.series, axis), |p| p.grad_norm, Pen::Line, accent, "*")],
        zero: true,
    });
    if run.masks() {
        charts.insert(
            1,
            Small {
                name: "mask rate  target line, actual dots",
                value: format!("{:.3} / {:.3}", p.mask_rate, p.realised_rate),
                curves: vec![
                    curve((&run.series, axis), |p| p.realised_rate, Pen::Dots, faint, "."),
                    curve((&run.series, axis), |p| p.mask_rate, Pen::Line, masked, "*"),
                ],
                zero: true,
            },
        );
    }
    stack(c, app, run, area, charts);
}

/// Tokens per second, where the time of a step goes, memory.
pub fn speed(c: &mut Canvas, app: &App, area: Rect) {
    let run = app.train.run.as_ref().filter(|r| !r.series.points.is_empty());
    let Some((run, p)) = run.and_then(|r| at(app, r).map(|p| (r, p))) else {
        return empty(c, app, area, "Tokens per second, time of a step by part, and memory");
    };
    let (accent, axis) = (c.style(Role::Accent), app.train.chart.axis);
    parts(c, p, area);
    let rest = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
    let mut charts = vec![
        Small {
            name: "tokens/s",
            value: format!("{:.0}", p.tokens_per_second),
            curves: vec![curve((&run.series, axis), |p| p.tokens_per_second, Pen::Line, accent, "*")],
            zero: true,
        },
        Small {
            name: "memory",
            value: memory(p.memory),
            curves: vec![curve(
                (&run.series, axis),
                |p| p.memory / f64::from(1 << 20),
                Pen::Line,
                accent,
                "*",
            )],
            zero: true,
        },
    ];
    if let Some(gpu) = &p.gpu {
        charts.push(Small {
            name: "GPU busy",
            value: format!(
                "{} %, {} of {}, {} °C, {:.0} W",
                gpu.busy,
                memory(gpu.used as f64),
                memory(gpu.total as f64),
                gpu.temperature,
                gpu.watts
            ),
            curves: vec![curve(
                (&run.series, axis),
                |p| p.gpu.map_or(f64::NAN, |g| f64::from(g.busy)),
                Pen::Line,
                accent,
                "*",
            )],
            zero: true,
        });
    }
    stack(c, app, run, rest, charts);
}

/// The time of a step as a bar of its parts.
fn parts(c: &mut Canvas, p: &Point, area: Rect) {
    let dim = c.style(Role::Dim);
    let parts = [
        ("mask", p.masking, Role::Masked, "▒", "m"),
        ("forward", p.forward, Role::Accent, "█", "f"),
        ("backward", p.backward, Role::Protected, "▓", "b"),
        ("optim", p.optimizer, Role::Draw, "░", "o"),
    ];
    let total = p.total.max(1e-9);
    let mut x = area.x;
    for (_, seconds, role, block, letter) in parts {
        let w = (seconds / total * f64::from(area.width)).round() as u16;
        let style = c.style(role);
        let w = w.min(area.right().saturating_sub(x));
        c.line(x, area.y, if c.ascii() { letter } else { block }, w, style);
        x += w;
    }
    let mut x = c.text(area.x, area.y + 1, &format!("step {:.0} ms ", 1e3 * p.total), dim, area.width);
    for (name, seconds, role, ..) in parts {
        let style = c.style(role);
        let text = format!("{name} {:.0} ", 1e3 * seconds);
        x = c.text(x, area.y + 1, &text, style, area.right().saturating_sub(x));
    }
}

/// Where a chart is on screen.
fn area_of(app: &App) -> Option<Rect> {
    [&LOSS, &RATES, &SPEED, &metrics::PANE].into_iter().find_map(|pane| app.area(pane))
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    point(app, area, (press.x, press.y));
    Some(Box::new(point))
}

/// Puts the cursor on a column.
fn point(app: &mut App, area: Rect, (x, _): (u16, u16)) {
    app.act(|app| cursor_at(app, place_at(area, x)));
}
