//! The top line: which model on which device, how much text, how the last answer went.

use ratatui::layout::Rect;

use crate::mask::types::MaskSettings;
use crate::screen::app::App;
use crate::screen::params;
use crate::screen::train::{RunView, run};
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::units::count;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const SPINNER_ASCII: [&str; 4] = ["|", "/", "-", "\\"];

/// A frame of the spinner, from the clock.
pub fn spinner(app: &App) -> &'static str {
    let frame = (app.now.as_millis() / 100) as usize;
    if app.look.ascii { SPINNER_ASCII[frame % 4] } else { SPINNER[frame % 10] }
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let (dim, strong, accent) = (c.style(Role::Dim), c.theme.bold(Role::Strong), c.theme.bold(Role::Accent));
    let badge = c.theme.badge();
    let mut right = area.right();
    if let Some(run) = &app.train.run {
        right = indicator(c, run, area);
    }
    let mut right_text = state(app);
    if area.width < 96 && app.screen() == Screen::Explore {
        // The sliders may be behind another tab here.
        let last = right_text.split("  ").last().unwrap_or("").to_owned();
        right_text = match params::inert(&app.doc, MaskSettings::threshold) {
            Some(inert) => format!("{}  {last}", inert.who),
            None => format!("τ {:.3}  p {:.3}  {last}", app.doc.mask.threshold, app.doc.mask.probability),
        };
    }
    let stop =
        c.right(right.saturating_sub(right.min(60)), right.saturating_sub(1), area.y, &right_text, dim);
    let stop = stop.saturating_sub(1);
    let x = c.spans(area.x, area.y, &[(" maskscope ", badge), (" ", dim)], stop);
    let x = match &app.model {
        Some(m) => {
            let x = c.label(x, area.y, &name(&m.id), strong, stop.saturating_sub(x).min(40));
            let shape = format!(
                "  {} layers × {} heads · {} · {} · {}",
                m.n_layer,
                m.n_head,
                count(m.parameters),
                m.dtype,
                m.device
            );
            c.label(x, area.y, &shape, dim, stop.saturating_sub(x))
        }
        None => c.text(x, area.y, "no model yet", dim, stop.saturating_sub(x)),
    };
    if app.waiting() || app.background() || app.loading.is_some() || app.writes() {
        c.text(x + 1, area.y, spinner(app), accent, stop.saturating_sub(x + 1).min(1));
    }
}

/// The run, wherever one looks: its state, how far it is, its loss. Returns its first column.
fn indicator(c: &mut Canvas, run: &RunView, area: Rect) -> u16 {
    let state = c.theme.bold(run::role(run.state));
    let sign = run::sign(c, run.state);
    let loss = run.series.last().map_or(String::new(), |p| format!(" {:.3}", p.smooth));
    let far = if run.goes_on() { format!(" {:.0} %", 100.0 * run.progress()) } else { String::new() };
    let text = if area.width >= 96 {
        format!("{sign} {}{far}{loss}", run::name(run))
    } else {
        format!("{sign}{far}{loss}")
    };
    c.right(area.x, area.right().saturating_sub(1), area.y, &text, state).saturating_sub(1)
}

/// A model's id; of a folder its last part, which tells folders apart.
fn name(id: &str) -> String {
    match id.strip_prefix('/').and_then(|rest| rest.trim_end_matches('/').rsplit('/').next()) {
        Some(last) => format!("…/{last}"),
        None => id.to_owned(),
    }
}

/// Tokens of the text that is being written, and the time of the last one.
fn written(app: &App) -> String {
    let (Some(model), Some(view)) = (&app.model, &app.generate.view) else { return String::new() };
    let tokens = format!("{}/{} tokens", app.generate.tokens().len(), model.n_positions);
    if view.millis > 0.0 { format!("{tokens}  {:.1} ms a token", view.millis) } else { tokens }
}

/// Tokens, forwards and time of the last answer.
fn state(app: &App) -> String {
    let mut parts = Vec::new();
    if app.screen() == Screen::Train {
        return String::new();
    }
    if app.screen() == Screen::Generate {
        return written(app);
    }
    if let Some(m) = &app.model {
        parts.push(format!("{}/{} tokens", app.results.len(), m.n_positions));
    }
    if app.waiting() {
        let ms = app.now.saturating_sub(app.asked).as_millis();
        parts.push(if ms < 1000 {
            "computing".to_owned()
        } else {
            format!("computing {:.1} s", ms as f64 / 1000.0)
        });
    } else if let Some((forwards, millis)) = app.results.last {
        let noun = if forwards == 1 { "forward" } else { "forwards" };
        parts.push(format!("{forwards} {noun}"));
        parts.push(if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") });
    }
    parts.join("  ")
}
