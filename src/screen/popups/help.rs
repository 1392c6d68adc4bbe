//! Help: what the marks mean, then every key and what it does, from the table that runs them. Typing narrows it.

use ratatui::layout::Rect;

use crate::mask::types::{Op, State};
use crate::screen::actions;
use crate::screen::app::App;
use crate::screen::popups::{open, over, palette};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::{Role, Theme};

/// Upper bound for the lines of help, headings included.
pub fn most_lines() -> usize {
    actions::gathered().count() + 2 * actions::contexts().len() + LEGEND_LINES
}

const LEGEND_LINES: usize = 16;
/// Columns of a mark.
const MARK: u16 = 10;

/// A line of help: a heading, or keys (or a mark) and what they do.
enum HelpLine {
    Heading(&'static str),
    Entry { keys: String, doc: String },
    Mark { mark: String, doc: String },
    Blank,
}

/// The marks of tokens and map, and what they mean.
fn legend(app: &App) -> Vec<HelpLine> {
    let theme = Theme::new(app.look);
    let ascii = app.look.ascii;
    let mark = |state| theme.state_glyph(state, None).to_owned();
    let entry = |mark: &str, doc: &str| HelpLine::Mark { mark: mark.to_owned(), doc: doc.to_owned() };
    let mut out = vec![HelpLine::Heading("Marks")];
    for op in Op::ALL {
        let glyph = theme.state_glyph(State::Masked, Some(*op));
        let does = op.consequence(&app.doc.mask);
        out.push(entry(glyph, &format!("masked, {op}: {does}")));
    }
    out.extend([
        entry(&mark(State::Draw), "its score is on the masked side of τ, but its draw is not below p"),
        entry(&mark(State::Score), "its score is not on the masked side of τ"),
        entry(&mark(State::Protected), "protected: never masked"),
        entry(if ascii { "0 to 7" } else { "▁▃▅█" }, "how much a token surprised the model, as its tint"),
        entry(
            if ascii { "/ x" } else { "╱ ╳" },
            "in the map: a later token, not to be read; a dropped token",
        ),
        entry(if ascii { "@" } else { "◉" }, "scores and plane: the selected token; τ and p"),
        HelpLine::Blank,
    ]);
    out
}

fn lines(app: &App, typed: &str) -> Vec<HelpLine> {
    let mut out = if typed.trim().is_empty() { legend(app) } else { Vec::new() };
    for context in actions::contexts() {
        let entry = |action: &'static actions::Action| {
            let keys: Vec<String> = app.keymap.keys(action).iter().map(|k| k.label(app.look.ascii)).collect();
            let keys = keys.join(" ");
            let fits = palette::fits(typed, action, &keys);
            fits.then(|| HelpLine::Entry { keys, doc: action.doc.to_owned() })
        };
        let entries: Vec<HelpLine> = actions::of(context).filter_map(entry).collect();
        if !entries.is_empty() {
            if matches!(out.last(), Some(HelpLine::Entry { .. })) {
                out.push(HelpLine::Blank);
            }
            out.push(HelpLine::Heading(context.0));
            out.extend(entries);
        }
    }
    out
}

/// Draws the page from line `scroll` on.
pub fn draw(c: &mut Canvas, app: &App, area: Rect, (typed, scroll): (&str, usize)) {
    let note = if typed.is_empty() { "type to narrow; scroll with ↑ ↓" } else { "" };
    let inner = open(c, area, "Marks and keys", note);
    let base = c.theme.popup();
    let accent = over(base, c.theme.bold(Role::Accent));
    let strong = over(base, c.theme.bold(Role::Strong));
    let x = c.text(inner.x, inner.y, "› ", accent, inner.width);
    let x = c.text(x, inner.y, typed, strong, inner.right().saturating_sub(x));
    c.caret = Some((x.min(inner.right().saturating_sub(1)), inner.y));
    let body = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
    let lines = lines(app, typed);
    let room = body.height as usize;
    let top = scroll.min(lines.len().saturating_sub(room));
    let column = 24.min(inner.width / 3);
    let (text, dim) = (over(base, c.style(Role::Text)), over(base, c.style(Role::Dim)));
    if lines.is_empty() {
        c.paragraph(body, &palette::nothing_called(typed), dim);
    }
    for (i, line) in lines.iter().skip(top).take(room).enumerate() {
        let y = body.y + i as u16;
        match line {
            HelpLine::Heading(heading) => {
                c.label(inner.x, y, heading, accent, inner.width);
            }
            HelpLine::Entry { keys, doc } => {
                c.label(inner.x + 2, y, keys, strong, column.saturating_sub(3));
                c.label(inner.x + column, y, doc, text, inner.width - column);
            }
            HelpLine::Mark { mark, doc } => {
                c.label(inner.x + 2, y, mark, strong, MARK - 3);
                c.label(inner.x + MARK, y, doc, text, inner.width.saturating_sub(MARK));
            }
            HelpLine::Blank => {}
        }
    }
    let place =
        format!(" {}–{} of {} ", (top + 1).min(lines.len()), (top + room).min(lines.len()), lines.len());
    c.right(inner.x, inner.right(), area.bottom().saturating_sub(1), &place, dim);
}

#[cfg(test)]
mod tests {
    use crate::screen::popups::Popup;
    use crate::screen::testing::Stage;
    use crate::screen::tests::{picture, text};

    #[test]
    fn help_opens_with_the_marks_and_narrows_while_one_types() {
        let mut stage = Stage::new();
        stage.press("?");
        let seen = text(&picture(&mut stage, 80, 24));
        for what in ["◆", "protected: never masked", "how much a token surprised"] {
            assert!(seen.contains(what), "{seen}");
        }
        stage.types("induc");
        let seen = text(&picture(&mut stage, 80, 24));
        assert!(seen.contains("induction") && !seen.contains("Lower the threshold"), "{seen}");
        stage.press("ctrl-u").types("exit");
        assert!(text(&picture(&mut stage, 80, 24)).contains("Quit and restore"), "other words for it count");
        stage.press("ctrl-u").types("zzzz");
        assert!(text(&picture(&mut stage, 80, 24)).contains("nothing here is called “zzzz”"));
        assert!(matches!(stage.app.popup, Some(Popup::Help { .. })) && !stage.app.quit);
        stage.press("ctrl-u ?");
        assert!(stage.app.popup.is_none());
    }
}
