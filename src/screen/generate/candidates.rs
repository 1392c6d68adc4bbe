//! The candidates of the token under the cursor: the model's probability of each, and its probability in the draw. One can
//! be taken; what followed is then written again.

use ratatui::layout::Rect;

use crate::engine::types::{Chance, GenerateCommand};
use crate::screen::actions::{Context, actions};
use crate::screen::app::App;
use crate::screen::generate::course::send;
use crate::screen::generate::story;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart, percent};
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// The candidates.
pub const CONTEXT: Context = Context("Candidates");

pub static PANE: Pane = Pane {
    name: "candidates",
    title: "Candidates",
    screen: Screen::Generate,
    context: |_| CONTEXT,
    actions: &[ACTIONS],
    subtitle,
    draw,
    settle,
    takes: |_, c| c.is_ascii_digit() && c != '0',
    typed: |app, c| take(app, (c as usize).saturating_sub('1' as usize)),
    press,
    wheel: Some(|app, _, wheel| app.act(if wheel.by < 0 { CANDIDATE_UP.run } else { CANDIDATE_DOWN.run })),
    ..BLANK
};

actions! {
    CONTEXT {
        /// Go to the candidate above
        CANDIDATE_UP ["up"] "candidate" with [CANDIDATE_DOWN] => |app| app.generate.candidate = app.generate.candidate.saturating_sub(1);
        /// Go to the candidate below
        CANDIDATE_DOWN ["down"] => |app| app.generate.candidate += 1;
        /// Take the candidate; 1 to 9 take one by its place in the list
        TAKE ["enter"] "take it" => |app| take(app, app.generate.candidate);
        /// Go to the token before
        CANDIDATES_BACK ["left"] "token" with [CANDIDATES_ON] => |app| story::go(app, app.generate.place().saturating_sub(1));
        /// Go to the token after
        CANDIDATES_ON ["right"] => |app| story::go(app, app.generate.place() + 1);
    }
}

fn candidates(app: &App) -> &[Chance] {
    app.generate.outlook().map_or(&[], |o| &o.candidates)
}

/// Takes a candidate by its place in the list.
fn take(app: &mut App, which: usize) {
    let Some(id) = candidates(app).get(which).map(|c| c.id) else {
        return app.say("There is no such candidate");
    };
    if app.generate.token().is_some_and(|t| t.written.is_none()) {
        return app.say("This token was given: strike it out, or go to one that was written");
    }
    let (continuation, at) = (app.generate.side, app.generate.outlook().map_or(0, |o| o.position));
    app.generate.candidate = 0;
    send(app, GenerateCommand::Take { continuation, at, id });
    story::go(app, at + 1);
}

fn subtitle(app: &App) -> Vec<TitlePart> {
    let g = &app.generate;
    let Some(outlook) = g.outlook() else { return Vec::new() };
    let before = outlook.position.checked_sub(1).and_then(|i| g.tokens().get(i));
    before.map(|t| TitlePart::new(format!("after {}", t.token.display), Role::Strong)).into_iter().collect()
}

fn settle(app: &mut App, _: Option<Rect>) {
    app.generate.candidate = app.generate.candidate.min(candidates(app).len().saturating_sub(1));
}

/// Columns of a percentage.
const NUMBER: u16 = 6;

fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let dim = c.style(Role::Dim);
    let list = candidates(app);
    if list.is_empty() {
        let what = if app.generate.token().is_some() {
            "This token was given: go to one that was written, or to the end".to_owned()
        } else {
            "What may come next appears here".to_owned()
        };
        c.paragraph(area, &what, dim);
        return;
    }
    let right = area.right();
    c.label(area.x, area.y, "token", dim, area.width);
    c.right(area.x, right.saturating_sub(NUMBER + 1), area.y, "model", dim);
    c.right(right.saturating_sub(NUMBER), right, area.y, "draw", dim);
    let stands = app.generate.token().map(|t| t.token.id);
    let top = list[0].p.max(1e-9);
    let focused = app.view.focus == &PANE;
    for (i, candidate) in list.iter().take(area.height.saturating_sub(1) as usize).enumerate() {
        let line = Rect { y: area.y + 1 + i as u16, height: 1, ..area };
        if focused && i == app.generate.candidate {
            let style = c.theme.selected();
            c.restyle(line, style);
        }
        row(c, (i, candidate), (top, stands == Some(candidate.id)), line);
    }
}

fn row(c: &mut Canvas, (i, candidate): (usize, &Chance), (top, stands): (f32, bool), line: Rect) {
    let bare = |style: ratatui::style::Style| ratatui::style::Style { bg: None, ..style };
    let (faint, accent) = (bare(c.style(Role::Faint)), bare(c.theme.bold(Role::Accent)));
    let possible = candidate.chance > 0.0;
    let text = bare(match (stands, possible) {
        (true, _) => c.theme.bold(Role::Strong),
        (false, true) => c.style(Role::Text),
        (false, false) => c.style(Role::Faint),
    });
    let numbers = 2 * (NUMBER + 1);
    let right = line.right();
    let label = (line.width.saturating_sub(numbers + 4) / 2).max(4);
    let number = if i < 9 { (i + 1).to_string() } else { String::new() };
    c.text(line.x, line.y, &number, faint, 1);
    c.put(
        line.x + 1,
        line.y,
        if !stands {
            " "
        } else if c.ascii() {
            ">"
        } else {
            "●"
        },
        accent,
    );
    c.label(line.x + 2, line.y, &candidate.display, text, label);
    let bar_x = line.x + 3 + label;
    let bar = right.saturating_sub(numbers + bar_x);
    let style = bare(c.style(if possible { Role::Accent } else { Role::Faint }));
    c.bar(bar_x, line.y, bar, f64::from(candidate.p / top), style);
    c.right(bar_x, right.saturating_sub(NUMBER + 1), line.y, &percent(candidate.p), text);
    let chance = if possible { percent(candidate.chance) } else { "–".to_owned() };
    c.right(right.saturating_sub(NUMBER), right, line.y, &chance, text);
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let which = press.y.checked_sub(area.y + 1)? as usize;
    if which < candidates(app).len() {
        let again = app.generate.candidate == which;
        app.act(|app| app.generate.candidate = which);
        if press.double || again {
            app.act(|app| take(app, which));
        }
    }
    None
}
