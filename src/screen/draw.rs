//! One frame: state to cells. Pure; never changes the state and never waits.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::screen::app::App;
use crate::screen::chrome::{cards, frames};
use crate::screen::general::QUIT;
use crate::screen::layout::{self, NEEDED, SizeClass};
use crate::screen::popups::{self, Popup};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::{Role, Theme};
use crate::support::visible::width;

/// Draws the whole screen; returns where the terminal's caret should stand, if anywhere.
pub fn draw(buf: &mut Buffer, app: &App) -> Option<(u16, u16)> {
    let area = buf.area;
    let theme = Theme::new(app.look);
    let mut c = Canvas { buf, theme: &theme, caret: None };
    let base = theme.base();
    c.clear(area, base);
    let layout = layout::compute(area, app);
    if layout.class == SizeClass::Tiny {
        tiny(&mut c, app, area);
        return None;
    }
    crate::screen::chrome::bar::draw(&mut c, app, layout.bar);
    for group in &layout.groups {
        frames::draw(&mut c, app, &layout, group);
    }
    for panel in layout.panels() {
        if !panel.inner.is_empty() {
            (panel.pane.draw)(&mut c, app, panel.inner);
        }
    }
    popups::tour::draw(&mut c, app, &layout);
    crate::screen::chrome::status::draw(&mut c, app, layout.status);
    crate::screen::chrome::hints::draw(&mut c, app, layout.hints);
    // What fails on the Models screen is said on top of it.
    if matches!(app.popup, Some(Popup::Models(_))) {
        popups::draw(&mut c, app, &layout);
        cards::draw(&mut c, app, &layout);
    } else {
        cards::draw(&mut c, app, &layout);
        popups::draw(&mut c, app, &layout);
    }
    c.caret.filter(|(x, y)| area.contains((*x, *y).into()))
}

/// Too small: says what is needed, as far as there is room to say it.
fn tiny(c: &mut Canvas, app: &App, area: Rect) {
    let decision = app.results.decision();
    let quit = app.key_here(&QUIT).unwrap_or_default();
    let lines = [
        ("maskscope".to_owned(), c.theme.bold(Role::Accent)),
        (format!("needs {} × {} cells", NEEDED.0, NEEDED.1), c.theme.bold(Role::Strong)),
        (format!("this terminal has {} × {}", area.width, area.height), c.style(Role::Dim)),
        (String::new(), c.style(Role::Dim)),
        (
            format!(
                "τ {:.3}  p {:.3}  masked {}",
                app.doc.mask.threshold,
                app.doc.mask.probability,
                decision.map_or("–".to_owned(), |d| format!("{}/{}", d.selected, d.eligible))
            ),
            c.style(Role::Dim),
        ),
        (format!("enlarge it, or press {quit} to quit"), c.style(Role::Dim)),
    ];
    let n = lines.len() as u16;
    // Where not all fit, what is needed comes first.
    let skip = if area.height < n { 1 } else { 0 };
    let top = area.y + area.height.saturating_sub(n) / 2;
    for (i, (text, style)) in lines.iter().enumerate().skip(skip) {
        let y = top + (i - skip) as u16;
        if y >= area.bottom() {
            break;
        }
        let w = (width(text) as u16).min(area.width);
        c.label(area.x + (area.width - w) / 2, y, text, *style, w);
    }
}
