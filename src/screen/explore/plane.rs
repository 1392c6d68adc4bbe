//! The τ × p plane: curves of equal rate, tinted by the rate, with a point to drag.

use ratatui::layout::Rect;

use crate::mask::types::MaskSettings;
use crate::screen::actions::Context;
use crate::screen::app::App;
use crate::screen::explore::explain;
use crate::screen::explore::mask::settings::POLICY;
use crate::screen::explore::mask::{rates, settings};
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart, Wheel, share};
use crate::screen::params;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::colours::step;
use crate::screen::widgets::theme::Role;

pub const CONTEXT: Context = Context("τ × p plane");

pub static PANE: Pane = Pane {
    name: "plane",
    title: "τ×p",
    context: |_| CONTEXT,
    subtitle,
    draw,
    explain: explain::of_plane,
    press,
    wheel: Some(wheel),
    ..BLANK
};

/// Rates that get a curve.
const CURVES: [f64; 6] = [0.05, 0.1, 0.2, 0.35, 0.5, 0.75];

/// Where the plane itself is within the pane: axis labels take a column pair and a line.
pub fn plot(area: Rect) -> Rect {
    let left = 4.min(area.width / 4);
    let below = u16::from(area.height >= 4);
    Rect::new(area.x + left, area.y, area.width - left, area.height - below)
}

/// Place of τ on its track and p, at a cell of the screen; beyond the edges counts as the edge.
pub fn point_at(area: Rect, x: u16, y: u16) -> (f64, f64) {
    let p = plot(area);
    let across = f64::from(x.saturating_sub(p.x)) / f64::from(p.width.max(2) - 1);
    let down = f64::from(y.saturating_sub(p.y)) / f64::from(p.height.max(2) - 1);
    (across.min(1.0), 1.0 - down.min(1.0))
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    if let Some(inert) = params::inert(&app.doc, MaskSettings::threshold) {
        return vec![TitlePart::new(inert.who, Role::Dim)];
    }
    let rate = rates::expected(&app.doc.mask, app.results.decision());
    vec![TitlePart::new(format!("rate {}", share(rate)), Role::Strong)]
}

/// The share of candidates at every column, left to right, `n` samples.
fn shares(app: &App, n: usize) -> Vec<f64> {
    let decision = app.results.decision();
    (0..n)
        .map(|i| {
            let place = i as f64 / (n.max(2) - 1) as f64;
            let tau = params::threshold_at(&app.doc, place);
            let mut mask = app.doc.mask.clone();
            mask.threshold = tau;
            mask.probability = 1.0;
            rates::expected(&mask, decision)
        })
        .collect()
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let plot = plot(area);
    if plot.width < 4 || plot.height < 2 {
        return;
    }
    if let Some(inert) = params::inert(&app.doc, MaskSettings::threshold) {
        let style = c.style(Role::Dim);
        let text = format!("{}; {} chooses who decides", inert.why, app.key_label(&POLICY));
        c.paragraph(area, &text, style);
        return;
    }
    let (w, h) = (plot.width as usize, plot.height as usize);
    let shares = shares(app, w * 2);
    tint(c, plot, &shares);
    let rate = rates::expected(&app.doc.mask, app.results.decision());
    let mut dots = Dots::new(w, h);
    for r in CURVES {
        dots.curve(&shares, r, false);
    }
    dots.curve(&shares, rate, true);
    dots.draw(c, plot);
    labels(c, plot, &shares);
    axes(c, app, area, plot);
    let at = params::fraction(&app.doc, &app.options, MaskSettings::threshold).unwrap_or(0.0);
    let x = plot.x + (at * (w - 1) as f64).round() as u16;
    let y = plot.y + ((1.0 - app.doc.mask.probability).clamp(0.0, 1.0) * (h - 1) as f64).round() as u16;
    let style = c.theme.bold(if app.view.focus == &PANE { Role::Strong } else { Role::Masked });
    let glyph = if c.ascii() { "@" } else { "◉" };
    c.put(x, y, glyph, style);
}

fn tint(c: &mut Canvas, plot: Rect, shares: &[f64]) {
    if !c.theme.rich() {
        return;
    }
    for y in 0..plot.height {
        let p = 1.0 - f64::from(y) / f64::from(plot.height - 1);
        for x in 0..plot.width {
            let rate = shares[x as usize * 2] * p;
            let style = c.theme.on(c.theme.ramps.plane[step(rate.sqrt())]);
            c.put(plot.x + x, plot.y + y, " ", style);
        }
    }
}

/// Braille dots, 2 × 4 to a cell, in two layers.
struct Dots {
    width: usize,
    height: usize,
    faint: Vec<u8>,
    strong: Vec<u8>,
}

impl Dots {
    fn new(width: usize, height: usize) -> Self {
        Dots { width, height, faint: vec![0; width * height], strong: vec![0; width * height] }
    }

    fn set(&mut self, x: usize, y: usize, strong: bool) {
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        if x < self.width * 2 && y < self.height * 4 {
            let layer = if strong { &mut self.strong } else { &mut self.faint };
            layer[y / 4 * self.width + x / 2] |= BITS[y % 4][x % 2];
        }
    }

    /// The curve p = rate / share, without gaps where it is steep.
    fn curve(&mut self, shares: &[f64], rate: f64, strong: bool) {
        let rows = self.height * 4 - 1;
        let mut last: Option<usize> = None;
        for (x, share) in shares.iter().enumerate() {
            let p = rate / share;
            if !p.is_finite() || p > 1.0 {
                last = None;
                continue;
            }
            let y = ((1.0 - p) * rows as f64).round() as usize;
            let from = last.map_or(y, |l| if l < y { l + 1 } else { l.saturating_sub(1).max(y) });
            for y in from.min(y)..=from.max(y) {
                self.set(x, y, strong);
            }
            last = Some(y);
        }
    }

    fn draw(&self, c: &mut Canvas, plot: Rect) {
        let (faint, accent) =
            (c.style(if c.theme.rich() { Role::Score } else { Role::Faint }), c.theme.bold(Role::Accent));
        for y in 0..self.height {
            for x in 0..self.width {
                let i = y * self.width + x;
                let (layer, style) = match (self.strong[i], self.faint[i]) {
                    (0, 0) => continue,
                    (0, f) => (f, faint),
                    (s, _) => (s, accent),
                };
                let braille = char::from_u32(0x2800 + u32::from(layer)).unwrap_or('.').to_string();
                let symbol = match (c.ascii(), self.strong[i] > 0) {
                    (true, true) => "*",
                    (true, false) => ".",
                    (false, _) => &braille,
                };
                c.put(plot.x + x as u16, plot.y + y as u16, symbol, style);
            }
        }
    }
}

/// The rate of each curve, written where it leaves the plane at the top.
fn labels(c: &mut Canvas, plot: Rect, shares: &[f64]) {
    let style = c.style(Role::Dim);
    let mut free = plot.right();
    for r in CURVES {
        let Some(x) = shares.iter().rposition(|s| *s >= r) else { continue };
        let text = format!("{:.0}%", r * 100.0);
        let w = text.len() as u16;
        let at = (plot.x + (x / 2) as u16).saturating_sub(w);
        if at >= plot.x && at + w < free {
            c.text(at, plot.y, &text, style, w);
            free = at;
        }
    }
}

fn axes(c: &mut Canvas, app: &App, area: Rect, plot: Rect) {
    let (dim, accent) = (c.style(Role::Dim), c.theme.bold(Role::Accent));
    let left = plot.x - area.x;
    if left >= 3 {
        c.right(area.x, plot.x - 1, plot.y, "p 1", dim);
        c.right(area.x, plot.x - 1, plot.bottom() - 1, "0", dim);
    }
    if area.bottom() > plot.bottom() {
        let y = plot.bottom();
        let ends = (params::threshold_at(&app.doc, 0.0), params::threshold_at(&app.doc, 1.0));
        c.text(plot.x, y, &format!("{}", ends.0), dim, plot.width);
        c.right(plot.x, plot.right(), y, &format!("{}", ends.1), dim);
        let text = format!(
            "τ {}  p {}",
            params::text(&app.doc, &app.options, MaskSettings::threshold),
            params::text(&app.doc, &app.options, MaskSettings::probability)
        );
        let w = text.chars().count() as u16;
        if w + 12 < plot.width {
            c.text(plot.x + (plot.width - w) / 2, y, &text, accent, w);
        }
    }
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let slide = |app: &mut App, area: Rect, (x, y): (u16, u16)| {
        let (tau, p) = point_at(area, x, y);
        app.act(|app| settings::set_point(app, tau, p));
    };
    app.hold();
    slide(app, area, (press.x, press.y));
    Some(Box::new(slide))
}

fn wheel(app: &mut App, _: Rect, wheel: Wheel) {
    let path = if wheel.shift { MaskSettings::threshold } else { MaskSettings::probability };
    settings::turn(app, path, Wheel { shift: false, ..wheel });
}

#[cfg(test)]
mod tests {

    use crate::screen::explore::plane;
    use crate::screen::testing::Stage;
    use crate::screen::tests::desk::Desk;

    #[test]
    fn a_curve_of_equal_rate_keeps_the_rate() {
        let mut stage = Stage::new();
        stage.focus(&plane::PANE);
        let rate = |s: &Stage| (1.0 - s.last().mask.threshold) * s.last().mask.probability;
        let before = rate(&stage);
        for _ in 0..10 {
            stage.press("pageup");
            assert!((rate(&stage) - before).abs() < 1e-9);
        }
        assert!(stage.last().mask.threshold > 0.8);
        for _ in 0..100 {
            stage.press("pageup");
        }
        assert!(stage.last().mask.probability <= 1.0 && (rate(&stage) - before).abs() < 1e-9);
    }

    #[test]
    fn the_point_of_the_plane_is_dragged() {
        let mut desk = Desk::new();
        let inner = desk.inner(&plane::PANE);
        let plot = plane::plot(inner);
        desk.drag((plot.x + 5, plot.y + 3), (plot.x, plot.y));
        let mask = desk.stage.last().mask;
        assert_eq!((mask.threshold, mask.probability), (0.0, 1.0));
        desk.drag((plot.x + 5, plot.y + 3), (plot.right() - 1, plot.bottom() - 1));
        let mask = desk.stage.last().mask;
        assert_eq!((mask.threshold, mask.probability), (1.0, 0.0));
    }
}
