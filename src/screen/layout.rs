//! Where everything is: screen size and state to rectangles. Pure; drawing, mouse and keys all ask here,
//! so a click always lands on what is seen.

use ratatui::layout::Rect;

use crate::screen::app::App;
use crate::screen::pane::Pane;
use crate::screen::view::Screen;
use crate::screen::{explore, generate, popups, train};
use crate::support::visible::width;

/// How much screen there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SizeClass {
    /// Too small: says what it needs.
    Tiny,
    /// Headings instead of boxes; one tab group beside the map.
    Small,
    /// Boxes; one column beside the map.
    Medium,
    /// Boxes; two columns beside the map.
    Wide,
}

/// Smallest screen the explorer works on.
pub const NEEDED: (u16, u16) = (60, 16);

/// Lines that the panes keep, however much the tour has to say.
const LEAST_BODY: u16 = 8;

/// One pane that is on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaneArea {
    pub pane: &'static Pane,
    /// With its frame.
    pub outer: Rect,
    /// What the pane itself draws on.
    pub inner: Rect,
}

/// Panes that share a place; the first is in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub panes: Vec<&'static Pane>,
    pub front: &'static Pane,
    pub outer: Rect,
}

/// The whole screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub class: SizeClass,
    pub area: Rect,
    pub bar: Rect,
    pub status: Rect,
    pub hints: Rect,
    pub groups: Vec<Group>,
    /// Where the open list or help is.
    pub popup: Option<Rect>,
    /// The strip of the tour, under the panes.
    pub tour: Option<Rect>,
}

impl Layout {
    /// Frames and contents of the panes on screen.
    pub fn panels(&self) -> impl Iterator<Item = PaneArea> + '_ {
        self.groups.iter().map(|g| PaneArea { pane: g.front, outer: g.outer, inner: self.inner(g) })
    }

    pub fn panel(&self, pane: &'static Pane) -> Option<PaneArea> {
        self.panels().find(|p| p.pane == pane)
    }

    pub fn boxed(&self) -> bool {
        self.class >= SizeClass::Medium
    }

    fn inner(&self, group: &Group) -> Rect {
        let o = group.outer;
        if self.boxed() {
            // One column of air on each side: numbers glued to a border are hard to read.
            let w = o.width.saturating_sub(4);
            Rect::new(o.x + 2.min(o.width), o.y + 1.min(o.height), w, o.height.saturating_sub(2))
        } else {
            Rect::new(o.x, o.y + 1.min(o.height), o.width, o.height.saturating_sub(1))
        }
    }

    /// Columns of the tab titles of a group: pane, first column, width. Where not all titles fit, the first ones make room
    /// for that of the pane in front.
    pub fn tabs(&self, group: &Group) -> Vec<(&'static Pane, u16, u16)> {
        let left = group.outer.x + if self.boxed() { 2 } else { 0 };
        let right = group.outer.right().saturating_sub(1);
        let names = || group.panes.iter().map(|p| width(p.title) as u16);
        // Where all titles with air around them do not fit, they stand closer.
        let (air, gap) =
            if left + names().map(|w| w + 3).sum::<u16>() <= right + 1 { (2, 1) } else { (1, 0) };
        let front = group.panes.iter().position(|p| *p == group.front).unwrap_or(0);
        let taken = |from: usize| {
            let shown = group.panes.get(from..=front).unwrap_or_default();
            shown.iter().map(|p| width(p.title) as u16 + air + gap).sum::<u16>() - gap
        };
        let first = (0..front).find(|from| left + taken(*from) <= right + 1).unwrap_or(front);
        let mut x = left;
        let mut out = Vec::new();
        for pane in group.panes.iter().skip(first) {
            let w = width(pane.title) as u16 + air;
            if x + w > right + 1 {
                break;
            }
            out.push((*pane, x, w));
            x += w + gap;
        }
        out
    }
}

/// Lays out a screen.
pub fn compute(area: Rect, app: &App) -> Layout {
    let class = class_of(area.width, area.height);
    let mut layout = Layout {
        class,
        area,
        bar: row(area, 0),
        status: row(area, area.height.saturating_sub(2)),
        hints: row(area, area.height.saturating_sub(1)),
        groups: Vec::new(),
        popup: None,
        tour: None,
    };
    if class == SizeClass::Tiny {
        return layout;
    }
    let mut body = Rect::new(area.x, area.y + 1, area.width, area.height - 3);
    let strip = popups::tour::height(app, area.width).min(body.height.saturating_sub(LEAST_BODY));
    if strip > 0 {
        body.height -= strip;
        layout.tour = Some(Rect { y: body.bottom(), height: strip, ..body });
    }
    // With the strip, fewer lines are left: the panes stand as on a screen so much lower.
    let class = class.min(class_of(area.width, area.height - strip));
    layout.class = class.max(SizeClass::Small);
    let mut build = Builder { app, groups: Vec::new() };
    match app.screen() {
        _ if app.view.enlarged => build.add(&[app.view.focus], body),
        Screen::Explore => explore::arrange(&mut build, layout.class, body),
        Screen::Train => train::arrange(&mut build, layout.class, body),
        Screen::Generate => generate::arrange(&mut build, layout.class, body),
    }
    layout.groups = build.groups;
    layout.popup = popups::place(area, app);
    layout
}

fn class_of(width: u16, height: u16) -> SizeClass {
    match (width, height) {
        (w, h) if w >= 132 && h >= 36 => SizeClass::Wide,
        (w, h) if w >= 96 && h >= 28 => SizeClass::Medium,
        (w, h) if w >= NEEDED.0 && h >= NEEDED.1 => SizeClass::Small,
        _ => SizeClass::Tiny,
    }
}

fn row(area: Rect, y: u16) -> Rect {
    Rect::new(area.x, area.y + y.min(area.height), area.width, 1).intersection(area)
}

/// Puts groups of panes on the screen.
pub struct Builder<'a> {
    app: &'a App,
    groups: Vec<Group>,
}

impl Builder<'_> {
    /// Panes that share a place; the one that was wanted last is in front, or else the first.
    pub fn add(&mut self, panes: &[&'static Pane], outer: Rect) {
        let front = panes.iter().copied().min_by_key(|p| self.app.recency(p));
        if let Some(front) = front
            && !outer.is_empty()
        {
            self.groups.push(Group { panes: panes.to_vec(), front, outer });
        }
    }

    /// Stacks groups in a column: each with its height; the last takes what is left.
    pub fn column(&mut self, area: Rect, parts: &[(&[&'static Pane], u16)]) {
        let mut y = area.y;
        for (i, (panes, height)) in parts.iter().enumerate() {
            let left = area.bottom().saturating_sub(y);
            let h = if i + 1 == parts.len() { left } else { (*height).min(left) };
            self.add(panes, Rect::new(area.x, y, area.width, h));
            y += h;
        }
    }
}

impl App {
    /// Where everything is now: what keys, the mouse and drawing go by.
    pub fn layout(&self) -> Layout {
        compute(Rect::new(0, 0, self.size.0, self.size.1), self)
    }

    /// Whether the terminal is large enough for the explorer.
    pub fn usable(&self) -> bool {
        class_of(self.size.0, self.size.1) != SizeClass::Tiny
    }

    /// Where the contents of a pane are, while it is on screen.
    pub fn area(&self, pane: &'static Pane) -> Option<Rect> {
        self.layout().panel(pane).map(|panel| panel.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::options::Options;
    use crate::screen::pane;
    use proptest::prelude::*;

    #[test]
    fn classes() {
        assert_eq!(class_of(160, 50), SizeClass::Wide);
        assert_eq!(class_of(120, 40), SizeClass::Medium);
        assert_eq!(class_of(80, 24), SizeClass::Small);
        assert_eq!(class_of(40, 12), SizeClass::Tiny);
    }

    proptest! {
        #[test]
        fn panes_never_overlap_and_stay_inside(w in 0u16..220, h in 0u16..80, focus in 0usize..pane::all().count(), big: bool) {
            let mut app = App::new(Options::default()).unwrap();
            let focused = pane::all().nth(focus).unwrap();
            app.view.focus = focused;
            app.raise(focused);
            app.view.enlarged = big;
            let area = Rect::new(0, 0, w, h);
            let layout = compute(area, &app);
            let panels: Vec<PaneArea> = layout.panels().collect();
            for (i, a) in panels.iter().enumerate() {
                prop_assert_eq!(a.outer.intersection(area), a.outer);
                prop_assert_eq!(a.inner.intersection(a.outer), a.inner);
                for b in &panels[i + 1..] {
                    prop_assert!(a.outer.intersection(b.outer).is_empty());
                }
            }
            if layout.class != SizeClass::Tiny {
                prop_assert!(layout.panel(app.view.focus).is_some(), "the focused pane is on screen");
            }
        }
    }
}
