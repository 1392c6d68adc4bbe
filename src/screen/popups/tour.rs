//! The tour: a handful of steps, each pointing at a real pane.

use ratatui::layout::Rect;

use crate::screen::actions::Action;
use crate::screen::app::App;
use crate::screen::chrome::frames;
use crate::screen::explore::mask::{entry, settings};
use crate::screen::explore::{
    background, cost, details, effect, map, mask, overview, plane, text, tokens, why, window,
};
use crate::screen::general;
use crate::screen::layout::Layout;
use crate::screen::pane::Pane;
use crate::screen::popups::{Popup, open, over, page};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// One stop.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// The pane it points at.
    pub pane: &'static Pane,
    pub title: &'static str,
    /// Each `{}` is the label of the next of `keys`.
    pub text: &'static str,
    pub keys: &'static [&'static Action],
}

/// The stops in order.
pub const STOPS: &[Stop] = &[
    Stop {
        pane: &text::PANE,
        title: "A text",
        text: "Press {} and type: the model runs again after every keystroke. {} leaves the text, {} undoes anything.",
        keys: &[&text::EDIT_TEXT, &text::LEAVE_TEXT, &general::UNDO],
    },
    Stop {
        pane: &tokens::PANE,
        title: "Its tokens",
        text: "What the model really reads. The brighter a box, the more the token surprised it; the mark \
               below says what the mask does to it. {} {} walk, {} pins a token so that it is never masked.",
        keys: &[&tokens::TOKEN_PREVIOUS, &tokens::TOKEN_NEXT, &tokens::PIN],
    },
    Stop {
        pane: &map::PANE,
        title: "Attention",
        text: "Rows are queries, columns the keys they read; the future is hatched. {} and {} change layer and head, \
               {} shows all heads, {} switches masked run, baseline and difference.",
        keys: &[&overview::NEXT_LAYER, &overview::NEXT_HEAD, &overview::OVERVIEW, &map::MAP_KIND],
    },
    Stop {
        pane: &mask::PANE,
        title: "Two sliders",
        text: "A token is masked when its score exceeds τ and its draw falls below p. Arrows or the mouse \
               move them, {} {} and {} {} from anywhere; type a number and {}. {} re-rolls the draws.",
        keys: &[
            &settings::THRESHOLD_DOWN,
            &settings::THRESHOLD_UP,
            &settings::PROBABILITY_DOWN,
            &settings::PROBABILITY_UP,
            &entry::ENTRY_ACCEPT,
            &settings::REROLL,
        ],
    },
    Stop {
        pane: &plane::PANE,
        title: "One rate, two ways",
        text: "Along a curve the rate (1−τ)·p is the same: few sure candidates on one end, many unlikely ones \
               on the other. Drag the point.",
        keys: &[],
    },
    Stop {
        pane: &effect::PANE,
        title: "What it did",
        text: "The next token before and after, and how far apart they are (KL). {} compares all operations, {} \
               re-rolls many seeds and gives mean and spread.",
        keys: &[&details::EFFECTS, &background::REROLLS],
    },
    Stop {
        pane: &why::PANE,
        title: "Why this token",
        text: "Score against τ, draw against p: the rule for the token under the cursor, with its numbers. Try it: \
               type Hello World alone and press {}: the article's 0.9 is above every attention there is, so nothing is \
               selected, and the line below says why.",
        keys: &[&settings::PRESET],
    },
    Stop {
        pane: &window::PANE,
        title: "Only the past",
        text: "{} decides block by block, from the past only: each line is a boundary, each mark a token kept, masked or \
               gone. {} lists cache policies (H2O, SnapKV, …), {} measures how much a mask reveals.",
        keys: &[&settings::SCOPE, &settings::PRESETS, &background::LEAK],
    },
    Stop {
        pane: &cost::PANE,
        title: "Does attention predict importance?",
        text: "{} measures what hiding each token really costs and how well each score predicted it. \
               That was the tour: {} lists every key, {} finds any command.",
        keys: &[&background::COST, &general::HELP, &general::PALETTE],
    },
];

/// Shows a stop of the tour, with its pane in front.
pub fn go_to(app: &mut App, step: usize) {
    app.popup = Some(Popup::Tour { step });
    app.entry = None;
    app.view.enlarged = false;
    app.raise(STOPS[step].pane);
}

/// The tour's box stands beside the pane it speaks of, never over it if that can be helped.
pub fn place(area: Rect, layout: &Layout, step: usize) -> Rect {
    let (w, h) = (48.min(area.width), 9.min(area.height));
    let stop = &STOPS[step.min(STOPS.len() - 1)];
    let target = layout.panel(stop.pane).map_or(area, |p| p.outer);
    let fits = |x: i32, y: i32| {
        let inside = x >= i32::from(area.x)
            && y >= i32::from(area.y)
            && x + i32::from(w) <= i32::from(area.right())
            && y + i32::from(h) <= i32::from(area.bottom());
        inside.then(|| Rect::new(x as u16, y as u16, w, h))
    };
    let (left, top) = (i32::from(target.x), i32::from(target.y));
    let right = i32::from(target.right());
    let bottom = i32::from(target.bottom());
    fits(right + 1, top)
        .or_else(|| fits(left - i32::from(w) - 1, top))
        .or_else(|| fits(left + 4, bottom))
        .or_else(|| fits(left, top - i32::from(h)))
        .unwrap_or_else(|| {
            Rect::new(area.x + (area.width - w) / 2, area.bottom().saturating_sub(h + 2).max(area.y), w, h)
                .intersection(area)
        })
}

/// The text of a stop, with the keys as they are bound now.
fn text_of(app: &App, stop: &Stop) -> String {
    let mut out = String::new();
    let mut keys = stop.keys.iter();
    for (i, part) in stop.text.split("{}").enumerate() {
        if i > 0 {
            out.push_str(&keys.next().map_or_else(String::new, |key| app.key_label(key)));
        }
        out.push_str(part);
    }
    out
}

/// Draws a stop: its box, and a mark around its pane.
pub fn draw(c: &mut Canvas, app: &App, layout: &Layout, area: Rect, step: usize) {
    let stop = &STOPS[step.min(STOPS.len() - 1)];
    if let Some(panel) = layout.panel(stop.pane) {
        let style = c.theme.bold(Role::Masked);
        frames::highlight(c, layout, panel.outer, style);
    }
    let inner = open(c, area, stop.title, &format!("{} of {}", step + 1, STOPS.len()));
    let base = c.theme.popup();
    let text = over(base, c.style(Role::Text));
    c.paragraph(Rect { height: inner.height.saturating_sub(1), ..inner }, &text_of(app, stop), text);
    let (key, dim) = (over(base, c.theme.bold(Role::Accent)), over(base, c.style(Role::Dim)));
    let label = |action: &Action| app.key_here(action).unwrap_or_default();
    let last = step + 1 >= STOPS.len();
    let next = label(if last { &page::PAGE_ADVANCE } else { &page::PAGE_NEXT });
    let (back, close) = (label(&page::PAGE_BACK), label(&page::PAGE_CLOSE));
    let pieces = [
        (next.as_str(), key),
        (if last { " done   " } else { " next   " }, dim),
        (&back, key),
        (" back   ", dim),
        (&close, key),
        (" leave", dim),
    ];
    c.spans(inner.x, inner.bottom().saturating_sub(1), &pieces, inner.right());
}

#[cfg(test)]
mod tests {

    use crate::screen::explore::mask;
    use crate::screen::testing::Stage;

    #[test]
    fn the_tour_shows_every_stop_and_ends() {
        let mut stage = Stage::new();
        stage.press("f2");
        for stop in crate::screen::popups::tour::STOPS {
            assert_eq!(stage.app.recency(stop.pane), 0);
            stage.press("enter");
        }
        assert!(stage.app.popup.is_none());
        assert_eq!(stage.app.view.focus, &mask::PANE);
    }

    #[test]
    fn every_key_that_a_stop_speaks_of_is_the_one_bound_now() {
        let stage = Stage::new();
        for stop in super::STOPS {
            assert_eq!(stop.text.matches("{}").count(), stop.keys.len(), "{}", stop.title);
            assert!(!super::text_of(&stage.app, stop).contains("{}"));
        }
        let first = super::text_of(&stage.app, &super::STOPS[0]);
        assert!(first.starts_with("Press i and type"), "{first}");
    }

    #[test]
    fn an_arrow_too_many_stays_on_the_tours_last_stop() {
        let mut stage = Stage::new();
        let before = stage.app.doc.mask.probability;
        stage.press("f2");
        for _ in 0..=crate::screen::popups::tour::STOPS.len() {
            stage.press("right");
        }
        assert!(stage.app.popup.is_some());
        assert_eq!(stage.app.doc.mask.probability, before);
        stage.press("enter");
        assert!(stage.app.popup.is_none());
    }
}
