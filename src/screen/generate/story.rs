//! The text and its continuations: without the mask at the left, under it at the right. The tokens that the one under the
//! cursor read are tinted, those that have left the cache are crossed out, and the place where the two part is marked.

use std::ops::Range;
use std::sync::Arc;

use ratatui::layout::Rect;
use ratatui::style::Modifier;

use crate::engine::types::{ContinuationView, GenerateCommand, TextToken, TokenOrigin};
use crate::screen::actions::{Context, actions};
use crate::screen::app::App;
use crate::screen::generate::course::{self, WRITE, send};
use crate::screen::generate::reads;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart};
use crate::screen::settle::scrolled;
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::colours::step;
use crate::screen::widgets::theme::Role;
use crate::support::visible::{fit, visible, width};

/// The written text.
pub const CONTEXT: Context = Context("Written text");

pub static PANE: Pane = Pane {
    name: "writing",
    title: "Text",
    screen: Screen::Generate,
    context: |_| CONTEXT,
    actions: &[ACTIONS, course::ACTIONS],
    subtitle,
    draw,
    explain,
    settle,
    press,
    wheel: Some(|app, area, wheel| app.act(|app| by_rows(app, area, wheel.by))),
    ..BLANK
};

actions! {
    CONTEXT {
        /// Go to the token before
        PLACE_BACK ["left"] "token" with [PLACE_ON] => |app| go(app, app.generate.place().saturating_sub(1));
        /// Go to the token after
        PLACE_ON ["right"] => |app| go(app, app.generate.place() + 1);
        /// Go one row up
        PLACE_UP ["up"] => |app| beside(app, -1);
        /// Go one row down
        PLACE_DOWN ["down"] => |app| beside(app, 1);
        /// Go to the first token that was written
        PLACE_FIRST ["home"] => first_written;
        /// Follow what is written
        PLACE_LAST ["end"] "follow" => |app| app.generate.at = None;
        /// Strike out the token, and let what followed be written again
        STRIKE ["delete" "backspace"] "strike out" if on_a_token => strike;
    }
}

fn on_a_token(app: &App) -> bool {
    app.generate.token().is_some()
}

/// Puts the cursor on a place; behind the last token it follows.
pub fn go(app: &mut App, place: usize) {
    let len = app.generate.tokens().len();
    app.generate.at = (place < len).then_some(place);
    app.generate.candidate = 0;
}

fn first_written(app: &mut App) {
    let first = app.generate.tokens().iter().position(|t| t.written.is_some());
    go(app, first.unwrap_or(0));
}

fn strike(app: &mut App) {
    let (continuation, at) = (app.generate.side, app.generate.place());
    if app.generate.token().is_none() {
        return app.say("There is no token here to strike out");
    }
    let given = app.generate.tokens().iter().filter(|t| t.written.is_none()).count();
    if given < 2 && app.generate.tokens()[at].written.is_none() {
        return app.say("The last token that was given stays: there would be nothing to write on from");
    }
    send(app, GenerateCommand::Strike { continuation, at });
}

/// What is drawn of a token: its text with a space for the dot, which a row does not begin with.
fn shown(token: &TextToken, begins_row: bool) -> String {
    match token.token.display.strip_prefix('·') {
        Some(rest) if begins_row && !rest.is_empty() => rest.to_owned(),
        Some(rest) => format!(" {rest}"),
        None => token.token.display.clone(),
    }
}

fn columns_of(token: &TextToken, begins_row: bool, columns: usize) -> usize {
    width(&visible(&shown(token, begins_row))).clamp(1, columns.max(1))
}

/// Token ranges of the rows of a text `columns` wide; a row ends where a token ends a line.
pub fn rows(tokens: &[Arc<TextToken>], columns: usize) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (i, token) in tokens.iter().enumerate() {
        let broken = i > 0 && tokens[i - 1].token.bytes.contains(&b'\n');
        if i > start && (used + columns_of(token, false, columns) > columns || broken) {
            out.push(start..i);
            (start, used) = (i, 0);
        }
        used += columns_of(token, i == start, columns);
    }
    // The place of the next token is a cell of its own.
    if used + 1 > columns && start < tokens.len() {
        out.push(start..tokens.len());
        start = tokens.len();
    }
    out.push(start..tokens.len());
    out
}

/// Where the bodies of the continuations are.
fn bodies(app: &App, area: Rect) -> Vec<Rect> {
    let n = app.generate.continuations().len();
    let body = Rect { y: area.y + 1.min(area.height), height: area.height.saturating_sub(1), ..area };
    // Two texts need some room side by side.
    if n < 2 || area.width < 24 {
        return (0..n).map(|i| if i == app.generate.side { body } else { Rect::default() }).collect();
    }
    let half = area.width.saturating_sub(2) / 2;
    vec![Rect { width: half, ..body }, Rect { x: area.right() - half, width: half, ..body }]
}

/// The continuation and the place at a cell of the screen.
fn place_at(app: &App, area: Rect, (x, y): (u16, u16)) -> Option<(usize, usize)> {
    let bodies = bodies(app, area);
    let side = bodies.iter().position(|r| (r.left()..r.right()).contains(&x))?;
    let body = bodies[side];
    let tokens = &app.generate.continuations()[side].tokens;
    if y < body.y {
        return Some((side, tokens.len()));
    }
    let row = app.generate.tops[side.min(1)] + (y - body.y) as usize;
    let rows = rows(tokens, body.width as usize);
    let Some(row) = rows.get(row) else { return Some((side, tokens.len())) };
    let mut used = body.x as usize;
    for place in row.clone() {
        used += columns_of(&tokens[place], place == row.start, body.width as usize);
        if (x as usize) < used {
            return Some((side, place));
        }
    }
    Some((side, row.end))
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let (side, place) = place_at(app, area, (press.x, press.y))?;
    app.act(|app| {
        app.generate.side = side;
        go(app, place);
    });
    if press.double {
        app.act(STRIKE.run);
    }
    None
}

fn beside(app: &mut App, by: i64) {
    let area = app.area(&PANE).unwrap_or(Rect::new(0, 0, 78, 10));
    by_rows(app, area, by);
}

fn by_rows(app: &mut App, area: Rect, by: i64) {
    let bodies = bodies(app, area);
    let Some(columns) = bodies.get(app.generate.side).map(|b| b.width as usize) else { return };
    let rows = rows(app.generate.tokens(), columns);
    let here = app.generate.place();
    let row = rows.iter().position(|r| r.contains(&here)).unwrap_or(rows.len().saturating_sub(1));
    let next = row.saturating_add_signed(by as isize).min(rows.len().saturating_sub(1));
    let place = (rows[next].start + here.saturating_sub(rows[row].start)).min(rows[next].end.max(1) - 1);
    go(
        app,
        if next == rows.len() - 1 && next != row && by > 0 { place.max(rows[next].start) } else { place },
    );
}

fn settle(app: &mut App, area: Option<Rect>) {
    let n = app.generate.continuations().len();
    app.generate.side = app.generate.side.min(n.saturating_sub(1));
    let Some(area) = area else { return };
    for (side, body) in bodies(app, area).into_iter().enumerate().take(2) {
        let tokens = &app.generate.continuations()[side].tokens;
        let rows = rows(tokens, body.width as usize);
        let place = app.generate.at.map_or(tokens.len(), |at| at.min(tokens.len()));
        let row = rows.iter().position(|r| r.contains(&place)).unwrap_or(rows.len() - 1);
        app.generate.tops[side] = scrolled(app.generate.tops[side], row, rows.len(), body.height as usize);
    }
}

fn subtitle(app: &App) -> Vec<TitlePart> {
    let g = &app.generate;
    let mut out = Vec::new();
    if g.view.is_none() {
        return out;
    }
    if g.writing() {
        out.push(TitlePart::new("writing…", Role::Accent));
    }
    out.push(TitlePart::new(format!("{} written", g.written()), Role::Dim));
    if let Some(parted) = g.view.as_ref().and_then(|view| view.parted) {
        out.push(TitlePart::new(format!("they part at {parted}"), Role::Warn));
    } else if g.continuations().len() > 1 && g.written() > 0 {
        out.push(TitlePart::new("the same so far", Role::Dim));
    }
    out
}

/// What the screen says while nothing is written.
pub fn empty(app: &App) -> String {
    if let Some((message, hint)) = &app.generate.failure {
        let hint = hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
        return format!("{message}{hint}");
    }
    if app.model.is_none() {
        return "The model is being loaded".to_owned();
    }
    match &app.generate.view {
        None => format!("{} reads the explorer's text and writes it on", app.key_label(&WRITE)),
        Some(_) => "Type what you say to the model below; Enter sends it".to_owned(),
    }
}

fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let dim = c.style(Role::Dim);
    if app.generate.tokens().is_empty() {
        c.paragraph(area, &empty(app), dim);
        return;
    }
    let bodies = bodies(app, area);
    for (side, (view, body)) in app.generate.continuations().iter().zip(&bodies).enumerate() {
        if body.width > 0 {
            heading(c, app, (side, view), Rect { y: area.y, height: 1, ..*body });
            continuation(c, app, (side, view), *body);
        }
    }
    if let [left, right] = bodies[..]
        && left.width > 0
        && right.width > 0
    {
        let border = c.style(Role::Border);
        for y in area.top()..area.bottom() {
            c.put(left.right(), y, "│", border);
        }
    }
}

fn heading(c: &mut Canvas, app: &App, (side, view): (usize, &ContinuationView), area: Rect) {
    let role = if view.masked { Role::Masked } else { Role::Protected };
    let style = if side == app.generate.side { c.theme.bold(role) } else { c.style(role) };
    let name = if view.masked { "under the mask" } else { "without the mask" };
    let end = c.label(area.x, area.y, name, style, area.width);
    let dim = c.style(Role::Dim);
    let told = match view.end {
        Some(end) => format!("  {}", end.name()),
        None if view.masked => format!("  {}", super::timeline::policy(app)),
        None => String::new(),
    };
    c.label(end, area.y, &told, dim, area.right().saturating_sub(end));
}

fn continuation(c: &mut Canvas, app: &App, (side, view): (usize, &ContinuationView), body: Rect) {
    let rows = rows(&view.tokens, body.width as usize);
    let top = app.generate.tops[side.min(1)];
    let current = side == app.generate.side;
    let tints = if current { reads::levels(app) } else { Vec::new() };
    let hidden = if current { app.generate.outlook().map(|o| o.hidden.clone()) } else { None };
    for (i, row) in rows.iter().skip(top).take(body.height as usize).enumerate() {
        let (mut x, y) = (body.x, body.y + i as u16);
        for place in row.clone() {
            let token = &view.tokens[place];
            let begins = place == row.start;
            let w = columns_of(token, begins, body.width as usize) as u16;
            let gone = hidden.as_ref().is_some_and(|h| h.binary_search(&place).is_ok());
            let mark = Marks {
                tint: tints.get(place).copied().unwrap_or(0.0),
                gone,
                parted: app.generate.view.as_ref().is_some_and(|v| v.parted == Some(place)),
                under_cursor: current && app.generate.at == Some(place),
            };
            draw_token(c, token, &shown(token, begins), &mark, Rect::new(x, y, w, 1));
            x += w;
        }
        if row.end == view.tokens.len() && view.end.is_none() {
            // Where the next token will stand.
            let style =
                if current && app.generate.at.is_none() { c.theme.selected() } else { c.style(Role::Faint) };
            c.put(x, y, if c.ascii() { "_" } else { "▁" }, style);
        }
    }
    crate::screen::widgets::list::more(c, body, (top, body.height as usize, rows.len()));
}

/// What is special about a token's place.
struct Marks {
    tint: f64,
    gone: bool,
    parted: bool,
    under_cursor: bool,
}

fn draw_token(c: &mut Canvas, token: &TextToken, text: &str, mark: &Marks, area: Rect) {
    let role = match token.origin {
        TokenOrigin::Prompt => Role::Dim,
        TokenOrigin::Said => Role::Protected,
        TokenOrigin::Written => Role::Text,
        TokenOrigin::Taken => Role::Strong,
    };
    let mut style = c.style(role);
    if mark.tint > 0.0 && c.theme.rich() {
        style = style.patch(c.theme.on(c.theme.ramps.tint[step(mark.tint)]));
    }
    if mark.gone {
        style = style.patch(c.style(Role::Masked)).add_modifier(Modifier::CROSSED_OUT);
    }
    if token.origin == TokenOrigin::Taken {
        style = style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
    }
    if mark.parted {
        style = style.patch(c.theme.bold(Role::Warn)).add_modifier(Modifier::UNDERLINED);
    }
    if mark.under_cursor {
        style = style.patch(c.theme.selected());
    }
    c.text(area.x, area.y, &fit(text, area.width as usize, "…"), style, area.width);
    // A token of no width still has its cell.
    c.restyle(area, style);
}

fn explain(app: &App) -> String {
    let g = &app.generate;
    let place = g.place();
    let Some(token) = g.token() else {
        return match g.current().and_then(|c| c.next.as_ref()) {
            Some(next) => format!(
                "The next token, at place {place}: most probable is {} with {:.1} %.",
                next.candidates.first().map_or("–", |c| c.display.as_str()),
                next.candidates.first().map_or(0.0, |c| 100.0 * c.p)
            ),
            None => String::new(),
        };
    };
    let name = &token.token.display;
    match (&token.written, token.origin) {
        (Some(w), TokenOrigin::Taken) => {
            format!("{name} at place {place} was taken by hand; the model gave it {:.1} %.", 100.0 * w.p)
        }
        (Some(w), _) => format!(
            "{name} at place {place} was drawn. The model gave it {:.1} %, the draw {:.1} %: temperature, top-k, top-p and \
             penalty make the difference. Its draw depends on the seed and the place alone.",
            100.0 * w.p,
            100.0 * w.chance
        ),
        (None, TokenOrigin::Said) => format!("{name} at place {place} is part of what was said."),
        (None, _) => format!("{name} at place {place} was given."),
    }
}
