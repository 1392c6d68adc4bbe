//! Error cards: what failed, why, and what to do about it. They take no keys away from the panes.

use ratatui::layout::Rect;

use crate::screen::app::{App, Card};
use crate::screen::chrome::frames;
use crate::screen::explore::text::wrap;
use crate::screen::general;
use crate::screen::layout::Layout;
use crate::screen::popups::over;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// Error cards, the newest on top, at the lower right: they take no keys away.
pub fn draw(c: &mut Canvas, app: &App, layout: &Layout) {
    let Some(card) = app.cards.last() else { return };
    let w = 64.min(layout.area.width.saturating_sub(2));
    let text_w = w.saturating_sub(4) as usize;
    let lines = |s: &str| s.lines().map(|l| wrap::rows(l, text_w).len()).sum::<usize>() as u16;
    let hint = card.hint.as_deref().map_or(0, |h| lines(&format!("hint: {h}")));
    let wanted = lines(&card.message).min(6) + hint + 4;
    let h = wanted.min(layout.area.height.saturating_sub(2));
    let x = layout.area.right().saturating_sub(w + 1);
    let y = layout.area.bottom().saturating_sub(h + 2);
    card_at(c, app, card, Rect::new(x, y, w, h).intersection(layout.area));
}

fn card_at(c: &mut Canvas, app: &App, card: &Card, area: Rect) {
    let base = c.theme.popup();
    c.clear(area, base);
    let bad = over(base, c.theme.bold(Role::Bad));
    frames::border(c, area, bad);
    let more = if app.cards.len() > 1 { format!(" (1 of {})", app.cards.len()) } else { String::new() };
    c.label(area.x + 2, area.y, &format!(" ✗ {}{more} ", card.title), bad, area.width.saturating_sub(4));
    let inner =
        Rect::new(area.x + 2, area.y + 1, area.width.saturating_sub(4), area.height.saturating_sub(3));
    let text = over(base, c.style(Role::Text));
    let used = c.paragraph(Rect { height: inner.height.min(6), ..inner }, &card.message, text);
    if let Some(hint) = &card.hint {
        let style = over(base, c.style(Role::Accent));
        let rest = Rect { y: inner.y + used, height: inner.height.saturating_sub(used), ..inner };
        c.paragraph(rest, &format!("hint: {hint}"), style);
    }
    let (key, dim) = (over(base, c.theme.bold(Role::Accent)), over(base, c.style(Role::Dim)));
    let (retry, dismiss) = (app.key_label(&general::RETRY), app.key_label(&general::DISMISS));
    let pieces = [(retry.as_str(), key), (" retry   ", dim), (&dismiss, key), (" dismiss", dim)];
    c.spans(inner.x, area.bottom().saturating_sub(2), &pieces, inner.right());
}
