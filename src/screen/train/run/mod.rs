//! The run: its state, what it will cost, how far it is, and the sliders that move it.

pub mod course;
pub mod live;

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::screen::actions::TRAINING;
use crate::screen::app::App;
use crate::screen::chrome::bar::spinner;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart};
use crate::screen::train::RunView;
use crate::screen::train::past;
use crate::screen::train::run::course::{RUN, RUN_KILL};
use crate::screen::train::runs::{self, RUN_OPEN};
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::units::{count, duration, memory};
use crate::train::report::{Live, Plan, RunState};

pub static PANE: Pane = Pane {
    name: "run",
    title: "Run",
    screen: Screen::Train,
    context: |_| TRAINING,
    actions: &[course::ACTIONS, live::ACTIONS, runs::ACTIONS],
    subtitle,
    draw,
    press,
    ..BLANK
};

/// Columns of names, and of a slider's number.
const NAME: u16 = 15;
const VALUE: u16 = 9;

/// How a state looks.
pub fn role(state: RunState) -> Role {
    match state {
        RunState::Running | RunState::Finished => Role::Good,
        RunState::Paused | RunState::Stopping | RunState::Planned | RunState::Preparing => Role::Warn,
        RunState::Failed | RunState::Killed => Role::Bad,
        RunState::Stopped => Role::Strong,
    }
}

/// A sign of each state, so that none needs its colour.
pub fn sign(c: &Canvas, state: RunState) -> &'static str {
    match (state, c.ascii()) {
        (RunState::Running, false) => "▶",
        (RunState::Running, true) => ">",
        (RunState::Paused, false) => "‖",
        (RunState::Paused, true) => "=",
        (RunState::Finished, false) => "✓",
        (RunState::Finished, true) => "v",
        (RunState::Failed | RunState::Killed, false) => "✗",
        (RunState::Failed | RunState::Killed, true) => "x",
        (RunState::Stopped, _) => "#",
        _ => "~",
    }
}

/// A state in a word; a plan that was not taken up was not killed.
pub fn name(run: &RunView) -> &'static str {
    if run.state == RunState::Killed && !run.begun { "dropped" } else { run.state.name() }
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let Some(run) = &app.train.run else { return Vec::new() };
    vec![TitlePart::new(name(run), role(run.state))]
}

/// Sliders of a run: line from the bottom, what, name.
fn sliders(run: &RunView) -> Vec<(Live, &'static str)> {
    if run.twins.is_some() {
        return Vec::new();
    }
    let mut out = vec![(Live::LearningRate, "learning rate")];
    if run.masks() {
        out.insert(0, (Live::Probability, "p probability"));
        out.insert(0, (Live::Threshold, "τ threshold"));
    }
    out
}

fn track(area: Rect) -> (u16, u16) {
    let x = area.x + NAME + VALUE + 1;
    (x.min(area.right()), area.right().saturating_sub(x + 1))
}

/// First line of the sliders.
fn slider_top(run: &RunView, area: Rect) -> u16 {
    area.bottom().saturating_sub(sliders(run).len() as u16)
}

/// The slider at a cell, and the place on its track.
pub fn slider_at(app: &App, area: Rect, x: u16, y: u16) -> Option<(Live, f64)> {
    let run = app.train.run.as_ref().filter(|r| r.goes_on())?;
    let line = y.checked_sub(slider_top(run, area))? as usize;
    let (what, _) = *sliders(run).get(line)?;
    Some((what, fraction_at(area, x)))
}

/// The place on a track at a column; columns beyond its ends count as the ends.
pub fn fraction_at(area: Rect, x: u16) -> f64 {
    let (left, w) = track(area);
    (f64::from(x.saturating_sub(left)) / f64::from(w.max(2) - 1)).min(1.0)
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let Some(run) = &app.train.run else {
        let key = app.key_label(&RUN);
        let text = format!(
            "No run yet\n{key} plans one: memory, the time of a measured step and of the whole run are shown before \
             anything starts. The bundled text is there, so a first run needs no file"
        );
        let style = c.style(Role::Dim);
        c.paragraph(area, &text, style);
        return;
    };
    let bottom = if run.goes_on() { slider_top(run, area) } else { area.bottom() };
    let top = Rect { height: bottom.saturating_sub(area.y), ..area };
    let used = head(c, app, run, top);
    let rest = Rect { y: top.y + used, height: top.height.saturating_sub(used), ..top };
    match (&run.failure, &run.summary, &run.plan) {
        (Some((message, hint)), ..) => failure(c, rest, message, hint.as_deref()),
        (_, Some(_), _) => summary(c, app, run, rest),
        (_, _, Some(plan)) if run.state == RunState::Planned => planned(c, app, run, plan, rest),
        (_, _, plan) => going(c, app, run, plan.as_ref(), rest),
    }
    if run.goes_on() {
        for (i, (what, name)) in sliders(run).into_iter().enumerate() {
            slider(c, run, (what, name), Rect { y: bottom + i as u16, height: 1, ..area });
        }
    }
}

/// State, progress, what to press; returns the lines used.
fn head(c: &mut Canvas, app: &App, run: &RunView, area: Rect) -> u16 {
    let (dim, key) = (c.style(Role::Dim), c.theme.bold(Role::Accent));
    let state = c.theme.bold(role(run.state));
    let sign = format!("{} {}", sign(c, run.state), name(run));
    let busy = matches!(run.state, RunState::Preparing | RunState::Stopping);
    let turning = if busy { format!(" {}", spinner(app)) } else { String::new() };
    let x = c.spans(area.x, area.y, &[(&sign, state), (&turning, state), ("  ", dim)], area.right());
    c.label(x, area.y, &runs::name(&run.spec.out), dim, area.right().saturating_sub(x));
    if area.height < 3 {
        return 1;
    }
    let y = area.y + 1;
    if run.state == RunState::Planned {
        return 1;
    }
    let text = match &run.twins {
        Some(t) => format!(" seed {}/{} · {}/{}", t.seed, t.seeds, t.step, t.steps),
        None => format!(" {}/{}", run.step(), run.spec.steps),
    };
    let w = area.width.saturating_sub(text.chars().count() as u16 + 1);
    let (rail, done) = (c.style(Role::Border), c.style(Role::Accent));
    c.line(area.x, y, if c.ascii() { "." } else { "━" }, w, rail);
    let n = (run.progress() * f64::from(w)).round() as u16;
    c.line(area.x, y, if c.ascii() { "#" } else { "━" }, n, done);
    c.text(area.x + w, y, &text, dim, area.width - w);
    let label = app.key_label(&RUN);
    if run.state == RunState::Paused {
        c.spans(area.x, y + 1, &[(&label, key), (" resumes", dim)], area.right());
        return 3;
    }
    2
}

fn line(c: &mut Canvas, area: Rect, y: &mut u16, name: &str, value: &str) {
    if *y >= area.bottom() {
        return;
    }
    let (dim, strong) = (c.style(Role::Dim), c.style(Role::Strong));
    c.label(area.x, *y, name, dim, NAME - 1);
    c.label(area.x + NAME, *y, value, strong, area.width.saturating_sub(NAME));
    *y += 1;
}

fn planned(c: &mut Canvas, app: &App, run: &RunView, plan: &Plan, area: Rect) {
    let mut y = area.y;
    let (warn, key, dim) = (c.style(Role::Warn), c.theme.bold(Role::Accent), c.style(Role::Dim));
    let (go, drop) = (app.key_label(&RUN), app.key_label(&RUN_KILL));
    if course::plan_holds(app) {
        c.spans(
            area.x,
            y,
            &[(&go, key), (" starts   ", dim), (&drop, key), (" discards the plan", dim)],
            area.right(),
        );
    } else {
        c.spans(area.x, y, &[("settings changed: ", warn), (&go, key), (" plans again", dim)], area.right());
    }
    y += 1;
    numbers(c, run, plan, area, &mut y);
}

/// What the run was expected to cost.
fn numbers(c: &mut Canvas, run: &RunView, plan: &Plan, area: Rect, y: &mut u16) {
    let share = 100.0 * plan.trainable as f64 / plan.parameters.max(1) as f64;
    let trainable =
        format!("{} of {} ({share:.1} %)", count(plan.trainable as usize), count(plan.parameters as usize));
    line(c, area, y, "starts from", &past::origin(&run.spec.model));
    line(c, area, y, "whole run", &format!("about {}", duration(plan.expected_seconds)));
    line(
        c,
        area,
        y,
        "measured step",
        &format!("{:.0} ms, loss {:.3}", 1e3 * plan.step_seconds, plan.probe_loss),
    );
    let free = memory(plan.memory.available as f64);
    line(c, area, y, "memory needed", &format!("{} of {free}", memory(plan.memory.total as f64)));
    line(c, area, y, "trained", &trainable);
    let data = format!("{} tok, {} docs", count(plan.train_tokens as usize), plan.train_documents);
    line(c, area, y, "data", &data);
    let held = format!("{} tok, {} docs", count(plan.validation_tokens as usize), plan.validation_documents);
    line(c, area, y, "validation", &held);
    let steps = format!("{} × {} tok, {:.1} epochs", plan.steps, plan.tokens_per_step, plan.epochs);
    line(c, area, y, "steps", &steps);
    let m = &run.spec.masking;
    let masking = if let Some(t) = &run.twins {
        t.arms.join(" · ")
    } else if run.masks() {
        format!("{} {} {:.1} %", m.arm, m.op, 100.0 * m.rate)
    } else {
        "none".to_owned()
    };
    line(c, area, y, "masking", &masking);
    let detail = format!(
        "grad {} · moments {} · activ {}",
        memory(plan.memory.gradients as f64),
        memory(plan.memory.optimizer as f64),
        memory(plan.memory.activations as f64)
    );
    line(c, area, y, "by part", &detail);
    line(c, area, y, "folder", &run.spec.out.display().to_string());
    let warn = c.style(Role::Warn);
    for note in &plan.notes {
        if *y < area.bottom() {
            let rest = Rect { y: *y, height: area.bottom() - *y, ..area };
            *y += c.paragraph(rest, note, warn);
        }
    }
}

fn going(c: &mut Canvas, app: &App, run: &RunView, plan: Option<&Plan>, area: Rect) {
    let mut y = area.y;
    if run.state == RunState::Preparing {
        let style = c.style(Role::Dim);
        if let Some((what, done, total)) = &run.loading {
            // On a line of its own: what a file is called may take all of this one.
            line(c, area, &mut y, "preparing", what);
            if *done > 0 || total.is_some() {
                let of = total.map_or(String::new(), |t| format!(" of {}", memory(t as f64)));
                line(c, area, &mut y, "fetched", &format!("{}{of}", memory(*done as f64)));
            }
        }
        let area = Rect { y, height: area.bottom().saturating_sub(y), ..area };
        let text = format!(
            "Reading {} and the weights of {}, then measuring one step; {} cancels",
            run.spec.data.train.first().map(|p| p.display().to_string()).unwrap_or_default(),
            run.spec.model,
            app.key_label(&RUN_KILL)
        );
        c.paragraph(area, &text, style);
        return;
    }
    let eta = run.eta.map_or("measuring".to_owned(), duration);
    line(c, area, &mut y, "time left", if run.state == RunState::Paused { "paused" } else { &eta });
    if let Some(p) = run.series.last() {
        line(c, area, &mut y, "loss", &format!("{:.3}, average {:.3}", p.loss, p.smooth));
        let speed = format!("{:.0} tok/s, {:.0} ms/step", p.tokens_per_second, 1e3 * p.total);
        line(c, area, &mut y, "speed", &speed);
        if run.masks() {
            let rate = format!("{:.1} %, actual {:.1} %", 100.0 * p.mask_rate, 100.0 * p.realised_rate);
            line(c, area, &mut y, "mask rate", &rate);
        }
    }
    if let Some((done, total)) = run.measuring {
        let share = 100 * done / total.max(1);
        line(c, area, &mut y, "validation", &format!("measuring, {share} %"));
    } else if let Some((step, loss, _)) = run.series.evaluated.last() {
        line(c, area, &mut y, "validation", &format!("{loss:.4} at step {step}"));
    }
    line(c, area, &mut y, "tokens", &count(run.tokens as usize));
    if let Some((step, _)) = &run.saved {
        line(c, area, &mut y, "saved", &format!("at step {step}"));
    }
    if app.train.follow > 0 {
        let every = format!("the explorer shows these weights, every {} steps", app.train.follow);
        line(c, area, &mut y, "followed", &every);
    }
    if let Some(plan) = plan.filter(|_| area.bottom() > y + 5) {
        y += 1;
        numbers(c, run, plan, area, &mut y);
    }
}

fn summary(c: &mut Canvas, app: &App, run: &RunView, area: Rect) {
    let Some(s) = &run.summary else { return };
    let mut y = area.y;
    let (bad, warn) = (c.style(Role::Bad), c.style(Role::Warn));
    let unsaved = s.unsaved();
    let problems = s.problem.iter().chain(&unsaved).map(|t| (t, bad));
    for (text, style) in problems.chain(s.reason.iter().map(|t| (t, warn))) {
        let rest = Rect { y, height: area.bottom().saturating_sub(y), ..area };
        y += c.paragraph(rest, text, style);
    }
    line(c, area, &mut y, "took", &format!("{}, {} tokens", duration(s.seconds), count(s.tokens as usize)));
    if let Some(twins) = &s.twins {
        let strong = c.theme.bold(Role::Strong);
        let dim = c.style(Role::Dim);
        let said = twins.nothing.iter().map(|text| (text.clone(), strong));
        let verdicts = twins.verdicts.iter();
        let verdicts = verdicts.flat_map(|v| [(v.to_string(), strong), (v.basis.to_string(), dim)]);
        for (text, style) in said.chain(verdicts) {
            let rest = Rect { y, height: area.bottom().saturating_sub(y), ..area };
            y += c.paragraph(rest, &text, style);
        }
        let seeds = format!("{} finished of {}", twins.seeds, run.spec.twins.as_ref().map_or(0, |t| t.seeds));
        line(c, area, &mut y, "seeds", &seeds);
    } else {
        line(c, area, &mut y, "training loss", &format!("{:.4}", s.train_loss));
    }
    if let Some(peak) = s.peak_memory {
        line(c, area, &mut y, "peak memory", &memory(peak as f64));
    }
    if let Some(loss) = s.validation_loss {
        let bits = s.bits_per_byte.map_or(String::new(), |b| format!(", {b:.4} bits per byte"));
        let start = s.start_validation_loss.map_or(String::new(), |l| format!("{l:.4} → "));
        line(c, area, &mut y, "validation", &format!("{start}{loss:.4}{bits}"));
    }
    if let Some((step, loss)) = s.best {
        line(c, area, &mut y, "best", &format!("{loss:.4} at step {step}"));
    }
    if let Some(step) = s.saved {
        let end = if step == s.steps { "" } else { ", not the end" };
        line(c, area, &mut y, "newest saved", &format!("step {step}{end}"));
    }
    line(c, area, &mut y, "folder", &run.spec.out.display().to_string());
    let (key, dim) = (c.theme.bold(Role::Accent), c.style(Role::Dim));
    let (open, go) = (app.key_label(&RUN_OPEN), app.key_label(&RUN));
    if y + 1 < area.bottom() {
        let open = if run.saved.is_some() { open } else { String::new() };
        let opens = if open.is_empty() { "" } else { " opens it in the explorer   " };
        c.spans(
            area.x,
            y + 1,
            &[(&open, key), (opens, dim), (&go, key), (" plans the next", dim)],
            area.right(),
        );
    }
}

fn failure(c: &mut Canvas, area: Rect, message: &str, hint: Option<&str>) {
    let (bad, accent) = (c.style(Role::Bad), c.style(Role::Accent));
    let used = c.paragraph(area, message, bad);
    if let Some(hint) = hint {
        let rest = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
        c.paragraph(rest, &format!("hint: {hint}"), accent);
    }
}

fn slider(c: &mut Canvas, run: &RunView, (what, name): (Live, &str), area: Rect) {
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    let (value, text) = match what {
        Live::Threshold => (run.threshold, format!("{:.3}", run.threshold)),
        Live::Probability => (run.probability, format!("{:.3}", run.probability)),
        Live::LearningRate => (run.rate(), format!("{:.2e}", run.rate())),
    };
    c.label(area.x, area.y, name, dim, NAME - 1);
    c.right(area.x + NAME - 1, area.x + NAME + VALUE - 1, area.y, &text, strong);
    let (x, w) = track(area);
    let Some(at) = live::live_place(what, value).filter(|_| w >= 4) else { return };
    let thumb = (at * f64::from(w - 1)).round() as u16;
    let by_hand = what == Live::LearningRate && run.learning_rate.is_none();
    let done: Style = c.style(if by_hand { Role::Faint } else { Role::Accent });
    let rest = c.style(Role::Faint);
    c.line(x, area.y, if c.ascii() { "=" } else { "━" }, thumb, done);
    c.line(x + thumb + 1, area.y, "─", w - thumb - 1, rest);
    let knob = c.theme.bold(Role::Strong);
    c.put(x + thumb, area.y, if c.ascii() { "O" } else { "●" }, knob);
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let (what, at) = slider_at(app, area, press.x, press.y)?;
    app.act(|app| live::drag(app, what, at));
    Some(Box::new(move |app, area, (x, _)| app.act(|app| live::drag(app, what, fraction_at(area, x)))))
}
