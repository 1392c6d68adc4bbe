//! How the text grew: what the cache held at every token, what each token computed and reused; the timeline is scrubbed by
//! key or mouse.

use ratatui::layout::Rect;

use crate::engine::types::Outlook;
use crate::mask::types::Op;
use crate::screen::actions::{Context, actions};
use crate::screen::app::App;
use crate::screen::generate::{course, story};
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart};
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::units;

/// The timeline.
pub const CONTEXT: Context = Context("Timeline");

pub static PANE: Pane = Pane {
    name: "timeline",
    title: "Timeline",
    screen: Screen::Generate,
    context: |_| CONTEXT,
    actions: &[ACTIONS],
    subtitle,
    draw,
    press,
    wheel: Some(|app, _, wheel| app.act(if wheel.by < 0 { SCRUB_BACK.run } else { SCRUB_ON.run })),
    ..BLANK
};

actions! {
    CONTEXT {
        /// Go back in time by a token
        SCRUB_BACK ["left"] "scrub" with [SCRUB_ON] => |app| story::go(app, app.generate.place().saturating_sub(1));
        /// Go on in time by a token
        SCRUB_ON ["right"] => |app| story::go(app, app.generate.place() + 1);
        /// Go back by eight tokens
        SCRUB_FAR_BACK ["pageup" "shift-left"] => |app| story::go(app, app.generate.place().saturating_sub(8));
        /// Go on by eight tokens
        SCRUB_FAR_ON ["pagedown" "shift-right"] => |app| story::go(app, app.generate.place() + 8);
        /// Go to the beginning
        SCRUB_FIRST ["home"] => |app| story::go(app, 0);
        /// Follow what is written
        SCRUB_LAST ["end"] "follow" => |app| app.generate.at = None;
    }
}

/// What decides on the mask, in a few words.
pub fn policy(app: &App) -> String {
    let (mask, rolling) = (&app.doc.mask, &app.doc.rolling);
    match rolling.policy {
        Some(policy) if policy.has_budget() => format!("{policy} {:.0} %", 100.0 * rolling.budget),
        Some(policy) => policy.to_string(),
        None => format!("τ {:.2} p {:.2}", mask.threshold, mask.probability),
    }
}

fn subtitle(app: &App) -> Vec<TitlePart> {
    let n = app.generate.tokens().len();
    if n == 0 {
        return Vec::new();
    }
    let place = app.generate.place();
    vec![TitlePart::new(format!("token {place} of {n}"), Role::Dim)]
}

/// What was known at a place of the continuation that is looked at; given tokens have none.
fn outlooks(app: &App) -> Vec<Option<&Outlook>> {
    let tokens = app.generate.tokens().iter();
    let next = app.generate.current().and_then(|c| c.next.as_deref());
    tokens.map(|t| t.written.as_ref().map(|w| &*w.outlook)).chain([next]).collect()
}

/// The places of a column of a line that stands for all.
fn places(x: usize, columns: usize, n: usize) -> std::ops::Range<usize> {
    let used = columns.min(n).max(1);
    let (from, to) = (x * n / used, (x + 1) * n / used);
    from.min(n)..to.max(from + 1).min(n)
}

fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let dim = c.style(Role::Dim);
    let all = outlooks(app);
    if app.generate.tokens().is_empty() {
        c.paragraph(area, "How the cache fills and empties appears here", dim);
        return;
    }
    let (n, columns) = (all.len(), area.width as usize);
    let most = all.iter().flatten().map(|o| o.cache.bytes).max().unwrap_or(1).max(1);
    let (kept, faint, mark) = (c.style(Role::Accent), c.style(Role::Faint), c.theme.bold(Role::Strong));
    for x in 0..columns.min(n) {
        let here = places(x, columns, n);
        let bytes = all[here.clone()].iter().flatten().map(|o| o.cache.bytes).max();
        match bytes {
            Some(bytes) => {
                let level = c.theme.level(bytes as f64 / most as f64);
                c.put(area.x + x as u16, area.y, level, kept);
            }
            None => c.put(area.x + x as u16, area.y, "·", faint),
        }
        if here.contains(&app.generate.place()) && area.height > 1 {
            c.put(area.x + x as u16, area.y + 1, if c.ascii() { "^" } else { "▲" }, mark);
        }
    }
    let rest = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
    facts(c, app, rest);
}

/// Columns of what a line is about.
const NAME: u16 = 9;

fn facts(c: &mut Canvas, app: &App, area: Rect) {
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    let Some(o) = app.generate.outlook() else {
        c.paragraph(area, "this token was given", dim);
        return;
    };
    let cache = &o.cache;
    let mut lines: Vec<(&str, String)> = vec![
        ("readable", format!("{} of {} tokens", cache.readable, cache.seen)),
        ("cache", format!("{}, {} evicted", units::bytes(cache.bytes), units::bytes(cache.evicted_bytes))),
        ("work", format!("{} rows computed, {} reused", o.work.computed, o.work.reused)),
    ];
    if (cache.read_share - cache.readable as f64 / cache.seen.max(1) as f64).abs() > 5e-4 {
        lines.push(("by head", format!("{:.0} % of all keys readable", 100.0 * cache.read_share)));
    }
    if cache.reencoded > 0 {
        lines.push(("context", format!("was full, encoded again {}×", cache.reencoded)));
    }
    let masked = app.generate.current().is_some_and(|c| c.masked);
    if masked {
        let op = Some(course::op(app)).filter(|op| op.works_in_blocks()).unwrap_or(Op::Evict);
        lines.push(("mask", format!("{op} by {}", policy(app))));
    }
    if let Some(view) = app.generate.view.as_ref().filter(|view| view.millis > 0.0) {
        lines.push(("time", format!("{:.1} ms for the last token", view.millis)));
    }
    let mut y = area.y;
    for (name, value) in lines {
        if y >= area.bottom() {
            return;
        }
        c.label(area.x, y, name, dim, NAME);
        c.label(area.x + NAME, y, &value, strong, area.width.saturating_sub(NAME));
        y += 1;
    }
    if let Some(note) = app.generate.view.as_ref().and_then(|v| v.note.as_ref()).filter(|_| masked) {
        let warn = c.style(Role::Warn);
        c.paragraph(Rect { y, height: area.bottom().saturating_sub(y), ..area }, note, warn);
    }
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    if press.y > area.y + 1 {
        return None;
    }
    let scrub = |app: &mut App, area: Rect, (x, _): (u16, u16)| {
        let n = app.generate.tokens().len() + 1;
        let at = places(x.saturating_sub(area.x) as usize, area.width as usize, n).start;
        app.act(|app| story::go(app, at));
    };
    scrub(app, area, (press.x, press.y));
    Some(Box::new(scrub))
}
