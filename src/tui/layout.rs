//! Where everything is: screen size and state to rectangles. Pure; drawing, mouse and keys all ask here,
//! so a click always lands on what is seen.

use ratatui::layout::Rect;

use crate::app::lists;
use crate::app::state::{App, Geometry, Pane, Popup, Screen};
use crate::support::visible::width;
use crate::tui::{panes, popups};

/// How much screen there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
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

/// One pane that is on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panel {
    pub pane: Pane,
    /// With its frame.
    pub outer: Rect,
    /// What the pane itself draws on.
    pub inner: Rect,
}

/// Panes that share a place; the first is in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub panes: Vec<Pane>,
    pub front: Pane,
    pub outer: Rect,
}

/// The whole screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub class: Class,
    pub area: Rect,
    pub bar: Rect,
    pub status: Rect,
    pub hints: Rect,
    pub groups: Vec<Group>,
    /// Where the open list, help or tour is.
    pub popup: Option<Rect>,
}

impl Layout {
    /// Frames and contents of the panes on screen.
    pub fn panels(&self) -> impl Iterator<Item = Panel> + '_ {
        self.groups.iter().map(|g| Panel { pane: g.front, outer: g.outer, inner: self.inner(g) })
    }

    pub fn panel(&self, pane: Pane) -> Option<Panel> {
        self.panels().find(|p| p.pane == pane)
    }

    pub fn boxed(&self) -> bool {
        self.class >= Class::Medium
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

    /// Columns of the tab titles of a group: pane, first column, width.
    pub fn tabs(&self, group: &Group) -> Vec<(Pane, u16, u16)> {
        let left = group.outer.x + if self.boxed() { 2 } else { 0 };
        let right = group.outer.right().saturating_sub(1);
        let names = || group.panes.iter().map(|p| width(panes::title(*p)) as u16);
        // Where all titles with air around them do not fit, they stand closer.
        let (air, gap) =
            if left + names().map(|w| w + 3).sum::<u16>() <= right + 1 { (2, 1) } else { (1, 0) };
        let mut x = left;
        let mut out = Vec::new();
        for pane in &group.panes {
            let w = width(panes::title(*pane)) as u16 + air;
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
    let class = class(area.width, area.height);
    let mut layout = Layout {
        class,
        area,
        bar: row(area, 0),
        status: row(area, area.height.saturating_sub(2)),
        hints: row(area, area.height.saturating_sub(1)),
        groups: Vec::new(),
        popup: None,
    };
    if class == Class::Tiny {
        return layout;
    }
    let body = Rect::new(area.x, area.y + 1, area.width, area.height - 3);
    let mut build = Builder { app, groups: Vec::new() };
    if app.view.enlarged {
        build.add(&[app.view.focus], body);
    } else if app.screen() == Screen::Train {
        build.train(class, body);
    } else {
        match class {
            Class::Wide => build.wide(body),
            Class::Medium => build.medium(body),
            _ => build.small(body),
        }
    }
    layout.groups = build.groups;
    layout.popup = popup(area, app, &layout);
    layout
}

fn class(width: u16, height: u16) -> Class {
    match (width, height) {
        (w, h) if w >= 132 && h >= 36 => Class::Wide,
        (w, h) if w >= 96 && h >= 28 => Class::Medium,
        (w, h) if w >= NEEDED.0 && h >= NEEDED.1 => Class::Small,
        _ => Class::Tiny,
    }
}

fn row(area: Rect, y: u16) -> Rect {
    Rect::new(area.x, area.y + y.min(area.height), area.width, 1).intersection(area)
}

struct Builder<'a> {
    app: &'a App,
    groups: Vec<Group>,
}

impl Builder<'_> {
    fn add(&mut self, panes: &[Pane], outer: Rect) {
        let front = panes.iter().copied().min_by_key(|p| self.app.recency(*p));
        if let Some(front) = front
            && !outer.is_empty()
        {
            self.groups.push(Group { panes: panes.to_vec(), front, outer });
        }
    }

    /// Stacks groups in a column: each with its height; the last takes what is left.
    fn column(&mut self, area: Rect, parts: &[(&[Pane], u16)]) {
        let mut y = area.y;
        for (i, (panes, height)) in parts.iter().enumerate() {
            let left = area.bottom().saturating_sub(y);
            let h = if i + 1 == parts.len() { left } else { (*height).min(left) };
            self.add(panes, Rect::new(area.x, y, area.width, h));
            y += h;
        }
    }

    /// Text and tokens over the full width; returns what is left below.
    fn top(&mut self, body: Rect, text: u16, tokens: u16) -> Rect {
        self.add(&[Pane::Text], Rect { height: text, ..body });
        self.add(&[Pane::Tokens], Rect { y: body.y + text, height: tokens, ..body });
        let used = text + tokens;
        Rect { y: body.y + used, height: body.height - used, ..body }
    }

    /// The Train screen: what is told to a run at the left, what it reports beside it.
    fn train(&mut self, class: Class, body: Rect) {
        use Pane::{Batch, Log, Loss, Raster, Rates, Run, Runs, Samples, Setup, Speed, Twins};
        if class == Class::Small {
            let side = 36.min(body.width / 2);
            let left = Rect { width: body.width - side - 2, ..body };
            self.add(&[Loss, Rates, Speed, Twins, Raster, Batch, Samples, Log], left);
            self.add(&[Setup, Run, Runs], Rect { x: body.right() - side, width: side, ..body });
            return;
        }
        let side = if class == Class::Wide { 46 } else { 42 };
        let left = Rect { width: side, ..body };
        let setup = (body.height / 2).max(14);
        self.column(left, &[(&[Setup, Runs], setup), (&[Run], 0)]);
        let rest = Rect { x: left.right(), width: body.width - side, ..body };
        if class == Class::Medium {
            self.column(
                rest,
                &[(&[Loss, Rates, Speed, Twins], rest.height / 2), (&[Raster, Batch, Samples, Log], 0)],
            );
            return;
        }
        let charts = Rect { width: rest.width * 11 / 20, ..rest };
        let feeds = Rect { x: charts.right(), width: rest.width - charts.width, ..rest };
        self.column(charts, &[(&[Loss, Twins], charts.height * 9 / 20), (&[Rates, Speed], 0)]);
        self.column(feeds, &[(&[Raster, Batch], feeds.height * 11 / 20), (&[Samples, Log], 0)]);
    }

    fn wide(&mut self, body: Rect) {
        let rest = self.top(body, 5, if body.height >= 44 { 6 } else { 4 });
        let (middle, right) = (40, 43);
        let map = rest.width - middle - right;
        self.add(&[Pane::Map], Rect { width: map, ..rest });
        let middle = Rect { x: rest.x + map, width: middle, ..rest };
        let right = Rect { x: middle.right(), width: right, ..rest };
        if rest.height >= 30 {
            self.column(middle, &[(&[Pane::Effect], 20), (&[Pane::Why, Pane::Window, Pane::Cost], 0)]);
        } else {
            self.add(&[Pane::Effect, Pane::Why, Pane::Window, Pane::Cost], middle);
        }
        if rest.height >= 34 {
            let scores = 7 + (rest.height - 34) / 4;
            self.column(right, &[(&[Pane::Mask], 20), (&[Pane::Scores], scores), (&[Pane::Plane], 0)]);
        } else {
            self.column(right, &[(&[Pane::Mask], rest.height - 11), (&[Pane::Plane, Pane::Scores], 0)]);
        }
    }

    fn medium(&mut self, body: Rect) {
        let rest =
            self.top(body, if body.height >= 34 { 5 } else { 4 }, if body.height >= 30 { 6 } else { 4 });
        let side = 44;
        self.add(&[Pane::Map], Rect { width: rest.width - side, ..rest });
        let right = Rect { x: rest.right() - side, width: side, ..rest };
        const OTHERS: &[Pane] =
            &[Pane::Effect, Pane::Why, Pane::Scores, Pane::Plane, Pane::Window, Pane::Cost];
        if rest.height >= 23 {
            let mask = (rest.height - 14).min(20);
            self.column(right, &[(&[Pane::Mask], mask), (OTHERS, 0)]);
        } else {
            self.add(ALL_SIDE, right);
        }
    }

    fn small(&mut self, body: Rect) {
        let roomy = body.height >= 20;
        let rest = self.top(body, if roomy { 3 } else { 2 }, if roomy { 5 } else { 3 });
        let side = 36;
        let map = rest.width.saturating_sub(side + 2);
        if map >= 24 {
            self.add(&[Pane::Map], Rect { width: map, ..rest });
            self.add(ALL_SIDE, Rect { x: rest.right() - side, width: side, ..rest });
        } else {
            self.add(
                &[
                    Pane::Map,
                    Pane::Mask,
                    Pane::Effect,
                    Pane::Why,
                    Pane::Scores,
                    Pane::Plane,
                    Pane::Window,
                    Pane::Cost,
                ],
                rest,
            );
        }
    }
}

const ALL_SIDE: &[Pane] =
    &[Pane::Mask, Pane::Effect, Pane::Why, Pane::Scores, Pane::Plane, Pane::Window, Pane::Cost];

fn popup(area: Rect, app: &App, layout: &Layout) -> Option<Rect> {
    let size = match app.popup.as_ref()? {
        Popup::Help { .. } => (84, area.height.saturating_sub(4)),
        Popup::Palette(_) => (86, 20),
        Popup::Models(_) => (76, (app.options.known.len() as u16 + 9).clamp(10, 22)),
        Popup::Mix { .. } => popups::mix::SIZE,
        Popup::Ask(_) => (58, 7),
        Popup::Picker { .. } => (84, lists::entries(app).len().clamp(3, 14) as u16 + 6),
        Popup::Tour { step } => return Some(tour(area, layout, *step)),
    };
    let w = size.0.min(area.width.saturating_sub(4));
    let h = size.1.min(area.height.saturating_sub(2));
    Some(Rect::new(area.x + (area.width - w) / 2, area.y + (area.height - h) / 3, w, h))
}

/// The tour's box stands beside the pane it speaks of, never over it if that can be helped.
fn tour(area: Rect, layout: &Layout, step: usize) -> Rect {
    let (w, h) = (48.min(area.width), 9.min(area.height));
    let stop = &crate::app::tour::STOPS[step.min(crate::app::tour::STOPS.len() - 1)];
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

impl App {
    /// Where everything is now: what keys, the mouse and drawing go by.
    pub fn layout(&self) -> Layout {
        compute(Rect::new(0, 0, self.size.0, self.size.1), self)
    }

    /// Whether the terminal is large enough for the explorer.
    pub fn usable(&self) -> bool {
        class(self.size.0, self.size.1) != Class::Tiny
    }

    /// The sizes that moving around depends on.
    pub fn geometry(&self) -> Geometry {
        let mut g = Geometry::default();
        for panel in self.layout().panels() {
            let (w, h) = (panel.inner.width as usize, panel.inner.height as usize);
            match panel.pane {
                Pane::Text => g.text = Some((w, h)),
                Pane::Tokens => g.strip = Some((w, (h / 2).max(1))),
                Pane::Map => {
                    g.map = Some(panes::map::frame(self, panel.inner).room());
                    g.overview = Some(panes::overview::room(panel.inner));
                }
                Pane::Setup => g.form_rows = Some(panes::train::form::rows(panel.inner) as usize),
                Pane::Loss | Pane::Rates | Pane::Speed => {
                    g.chart_columns = Some(panes::train::charts::columns(panel.inner));
                }
                Pane::Mask => g.mask_rows = Some(panes::mask::rows(panel.inner) as usize),
                _ => {}
            }
        }
        g
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::options::Options;
    use proptest::prelude::*;

    #[test]
    fn classes() {
        assert_eq!(class(160, 50), Class::Wide);
        assert_eq!(class(120, 40), Class::Medium);
        assert_eq!(class(80, 24), Class::Small);
        assert_eq!(class(40, 12), Class::Tiny);
    }

    proptest! {
        #[test]
        fn panes_never_overlap_and_stay_inside(w in 0u16..220, h in 0u16..80, focus in 0usize..Pane::ALL.len(), big: bool) {
            let mut app = App::new(Options::default()).unwrap();
            app.view.focus = Pane::ALL[focus];
            app.raise(Pane::ALL[focus]);
            app.view.enlarged = big;
            let area = Rect::new(0, 0, w, h);
            let layout = compute(area, &app);
            let panels: Vec<Panel> = layout.panels().collect();
            for (i, a) in panels.iter().enumerate() {
                prop_assert_eq!(a.outer.intersection(area), a.outer);
                prop_assert_eq!(a.inner.intersection(a.outer), a.inner);
                for b in &panels[i + 1..] {
                    prop_assert!(a.outer.intersection(b.outer).is_empty());
                }
            }
            if layout.class != Class::Tiny {
                prop_assert!(layout.panel(app.view.focus).is_some(), "the focused pane is on screen");
            }
        }
    }
}
