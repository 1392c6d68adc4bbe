//! The line above the hints: failures, downloads, messages, what the decision has to say, what is on offer.

use std::time::Duration;

use ratatui::layout::Rect;

use crate::engine::types::LoadProgress;
use crate::screen::app::App;
use crate::screen::general::{CANCEL, MODELS, REFRESH_MODEL};
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let x = area.x + 1;
    let width = area.width.saturating_sub(2);
    if let Some(failure) = &app.results.failure {
        let (bad, dim) = (c.theme.bold(Role::Bad), c.style(Role::Dim));
        let hint = failure.value.hint.as_ref().map_or_else(String::new, |h| format!("   hint: {h}"));
        c.spans(x, area.y, &[("✗ ", bad), (&failure.value.message, bad), (&hint, dim)], x + width);
    } else if let Some(loading) = app.loading.as_ref().or(app.models.pulling.as_ref()) {
        progress(c, app, loading, Rect { x, width, ..area });
    } else if let Some(notice) = &app.notice {
        let style = c.style(Role::Accent);
        c.label(x, area.y, &notice.text, style, width);
    } else if let Some(note) = app.results.decided.as_ref().and_then(|d| d.value.note.as_ref())
        && app.screen() == Screen::Explore
    {
        let style = c.style(Role::Warn);
        c.label(x, area.y, note, style, width);
    } else if let (Some(stand_in), Some((done, of)), Screen::Explore) =
        (app.stand_in(), app.measuring, app.screen())
    {
        let style = c.style(Role::Warn);
        let text = format!(
            "{stand_in} stands in for the distance null of this model, which is being measured: {done} of {of} windows"
        );
        c.label(x, area.y, &text, style, width);
    } else {
        quiet(c, app, Rect { x, width, ..area });
    }
}

/// With nothing to report: the text as the model reads it, and the model on offer. A narrow line has room for one.
fn quiet(c: &mut Canvas, app: &App, area: Rect) {
    if app.screen() == Screen::Train {
        // The last thing the run had to say.
        if let Some(line) = app.train.run.as_ref().and_then(|r| r.log.last()) {
            let dim = c.style(Role::Dim);
            // Before the first step there is none to name.
            let when = if line.step > 0 { format!("step {}: ", line.step) } else { String::new() };
            c.label(area.x, area.y, &format!("{when}{}", line.text), dim, area.width);
        }
        return;
    }
    if app.screen() == Screen::Generate {
        let failure = app.generate.failure.as_ref();
        let (bad, dim) = (c.theme.bold(Role::Bad), c.style(Role::Dim));
        if let Some((message, hint)) = failure {
            let hint = hint.as_ref().map_or_else(String::new, |h| format!("   hint: {h}"));
            c.spans(area.x, area.y, &[("✗ ", bad), (message, bad), (&hint, dim)], area.right());
        }
        return;
    }
    let (accent, faint, dim) = (c.theme.bold(Role::Accent), c.style(Role::Faint), c.style(Role::Dim));
    let mut right = area.right();
    if let Some((key, offer)) = offer(app) {
        let w = (crate::support::visible::width(&key) + 1 + crate::support::visible::width(&offer)) as u16;
        let x = if area.width > w + 50 { right - w } else { area.x };
        c.spans(x, area.y, &[(&key, accent), (" ", dim), (&offer, dim)], right);
        right = x.saturating_sub(3);
    }
    if let Some(decided) = app.results.decided.as_ref().filter(|_| right > area.x + 20) {
        let at = c.text(area.x, area.y, "reads: ", faint, area.width);
        c.label(at, area.y, &decided.value.masked_text, dim, right.saturating_sub(at));
        if app.stale(decided) {
            c.fade(Rect { width: right.saturating_sub(area.x), ..area });
        }
    }
}

/// The configured model, while another one is in use, or the newer version of this one; for a while only.
fn offer(app: &App) -> Option<(String, String)> {
    if app.now >= app.offered_until {
        return None;
    }
    if let Some(moved) = app.moved.as_ref().filter(|_| app.entry.is_none()) {
        return Some((
            app.key_label(&REFRESH_MODEL),
            format!("fetches the newer {moved}; the current one stays in use until the download completes"),
        ));
    }
    let wanted = app.options.wanted.as_ref()?;
    let model = app.model.as_ref()?;
    if model.id == *wanted || app.entry.is_some() {
        return None;
    }
    Some((
        app.key_label(&MODELS),
        format!("loads {wanted} from the Hub; {} stays usable meanwhile", model.id),
    ))
}

fn progress(c: &mut Canvas, app: &App, p: &LoadProgress, area: Rect) {
    let (dim, strong, accent) = (c.style(Role::Dim), c.theme.bold(Role::Strong), c.style(Role::Accent));
    let cancel = app.key_here(&CANCEL).map_or_else(String::new, |k| format!("{k} cancels"));
    let right = c.right(area.x + area.width / 2, area.right(), area.y, &cancel, dim).saturating_sub(2);
    let what = if area.width >= 110 { format!("  {}", p.what) } else { String::new() };
    let x = c.spans(area.x, area.y, &[("↓ ", accent), (&p.id, strong), (&what, dim), ("  ", dim)], right);
    let numbers = numbers(p);
    let bar = right.saturating_sub(x + numbers.chars().count() as u16 + 2).min(30);
    let x = match p.total.filter(|t| *t > 0 && bar >= 6) {
        Some(total) => {
            let faint = c.style(Role::Border);
            c.line(x, area.y, if c.ascii() { "." } else { "━" }, bar, faint);
            let done = (p.done as f64 / total as f64).clamp(0.0, 1.0);
            let n = (done * f64::from(bar)).round() as u16;
            c.line(x, area.y, if c.ascii() { "#" } else { "━" }, n, accent);
            x + bar + 2
        }
        None => x,
    };
    c.label(x, area.y, &numbers, dim, right.saturating_sub(x));
}

/// `214 / 548 MB · 12.3 MB/s · 0:27 left`.
pub fn numbers(p: &LoadProgress) -> String {
    let mb = |bytes: f64| bytes / 1e6;
    let size =
        |bytes: f64| if mb(bytes) < 10.0 { format!("{:.1}", mb(bytes)) } else { format!("{:.0}", mb(bytes)) };
    let mut parts = Vec::new();
    match p.total {
        Some(total) => parts.push(format!("{} / {} MB", size(p.done as f64), size(total as f64))),
        None if p.done > 0 => parts.push(format!("{} MB", size(p.done as f64))),
        None => {}
    }
    if let Some(rate) = p.rate.filter(|r| *r > 1.0) {
        parts.push(format!("{:.1} MB/s", mb(rate)));
        if let Some(left) = p.total.and_then(|t| t.checked_sub(p.done)).filter(|l| *l > 0) {
            let seconds = Duration::from_secs_f64((left as f64 / rate).min(360_000.0)).as_secs();
            parts.push(format!("{}:{:02} left", seconds / 60, seconds % 60));
        }
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_size_speed_and_time() {
        let p = LoadProgress {
            id: "gpt2".into(),
            what: "model.safetensors".into(),
            done: 214_000_000,
            total: Some(548_000_000),
            rate: Some(12.3e6),
            file: None,
        };
        assert_eq!(numbers(&p), "214 / 548 MB · 12.3 MB/s · 0:27 left");
        let unknown = LoadProgress { total: None, rate: Some(0.0), done: 2_500_000, ..p };
        assert_eq!(numbers(&unknown), "2.5 MB");
    }
}
