//! The cells of the map: values to colours, max-pooled, with hatching and crosshair.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::engine::types::MapFrame;
use crate::screen::app::App;
use crate::screen::explore::map::Frame;
use crate::screen::explore::map::scale::CellScale;
use crate::screen::explore::map::view::MapView;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::colours::{Rgb, mix};
use crate::screen::widgets::theme::{Paint, Role, Theme};

/// What a pixel shows.
#[derive(Clone, Copy, PartialEq)]
enum Pixel {
    Outside,
    /// All its keys come after all its queries.
    Future,
    /// All its cells belong to dropped tokens.
    Dropped,
    /// The strongest value under it, and the largest of that value's row.
    Value(f32, f32),
}

/// One map in one place.
pub struct Painter<'a> {
    pub app: &'a App,
    pub map: &'a MapFrame,
    pub view: MapView,
    pub frame: Frame,
    pub scale: CellScale,
}

impl Painter<'_> {
    /// Max-pooled by strength, so that one strong cell never vanishes among weak ones.
    fn pixel(&self, x: usize, y: usize, row_max: &[f32]) -> Pixel {
        let (keys, queries) = (self.view.keys.at(x), self.view.queries.at(y));
        if keys.is_empty() || queries.is_empty() {
            return Pixel::Outside;
        }
        let n = self.map.len;
        let mut best: Option<(f32, f32)> = None;
        let mut past = false;
        for q in queries {
            for k in keys.clone().take_while(|k| *k <= q) {
                past = true;
                let v = self.map.values[q * n + k];
                if v.is_finite() && best.is_none_or(|(b, _)| v.abs() > b.abs()) {
                    best = Some((v, row_max[q]));
                }
            }
        }
        match best {
            Some((v, row)) => Pixel::Value(v, row),
            None if past => Pixel::Dropped,
            None => Pixel::Future,
        }
    }

    fn row_max(&self) -> Vec<f32> {
        let n = self.map.len;
        let row = |q: usize| {
            let values = self.map.values[q * n..q * n + q + 1].iter();
            values.filter(|v| v.is_finite()).fold(0f32, |m, v| m.max(v.abs()))
        };
        (0..n).map(row).collect()
    }

    pub fn cells(&self, c: &mut Canvas) {
        let row_max = self.row_max();
        let paint = c.theme.paint();
        let plot = self.frame.plot;
        let cross_x = self.view.keys.of(self.app.view.key).unwrap_or(0..0);
        let cross_y = self.view.queries.of(self.app.view.query).unwrap_or(0..0);
        for line in 0..plot.height {
            for x in 0..plot.width {
                let (px, py) = (x as usize, line as usize * self.frame.per_line);
                let second = paint == Paint::Half;
                let below = if second { self.pixel(px, py + 1, &row_max) } else { Pixel::Outside };
                let pixels = [self.pixel(px, py, &row_max), below];
                let lit = |i: usize| cross_x.contains(&px) || cross_y.contains(&(py + i));
                let (symbol, style) = match paint {
                    Paint::Half => self.half(c.theme, pixels, [lit(0), lit(1)]),
                    _ => self.single(c.theme, pixels[0], lit(0), paint),
                };
                c.put(plot.x + x, plot.y + line, symbol, style);
            }
        }
        self.mark_cross(c, cross_x, cross_y);
    }

    /// The cell under the crosshair gets a mark, in the colour that stands out from it.
    fn mark_cross(&self, c: &mut Canvas, xs: std::ops::Range<usize>, ys: std::ops::Range<usize>) {
        if xs.is_empty() || ys.is_empty() {
            return;
        }
        let x = self.frame.plot.x + (xs.start + (xs.len() - 1) / 2) as u16;
        let y = self.frame.plot.y + ((ys.start + (ys.len() - 1) / 2) / self.frame.per_line) as u16;
        if c.theme.paint() == Paint::Shade {
            c.restyle(Rect::new(x, y, 1, 1), Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD));
            return;
        }
        let value = self.value().filter(|v| v.is_finite());
        let row = self.row_max().get(self.app.view.query).copied().unwrap_or(1.0);
        let strong = value.is_some_and(|v| self.scale.strength(v, row) > 0.62);
        let bright = c.theme.look.dark != strong || self.scale.signed;
        let ink = if bright == c.theme.look.dark { (255, 255, 255) } else { (0, 0, 0) };
        let ink = if c.theme.look.dark { ink } else { (255 - ink.0, 255 - ink.1, 255 - ink.2) };
        let bg = match value {
            Some(v) => self.scale.colour(c.theme, v, row),
            None => c.theme.background(),
        };
        let ink =
            if value.is_none() { c.theme.style(Role::Accent) } else { Style::new().fg(c.theme.colour(ink)) };
        c.put(x, y, "◆", ink.bg(c.theme.colour(bg)).add_modifier(Modifier::BOLD));
    }

    fn half(&self, theme: &Theme, [top, bottom]: [Pixel; 2], lit: [bool; 2]) -> (&'static str, Style) {
        let colour = |p: Pixel, lit: bool| match p {
            Pixel::Value(v, row) => Some(lighten(theme, self.scale.colour(theme, v, row), lit)),
            // Half a character has no room for hatching.
            Pixel::Dropped if top != bottom => Some(theme.dropped()),
            _ => None,
        };
        match (colour(top, lit[0]), colour(bottom, lit[1])) {
            (Some(a), Some(b)) if a == b => (" ", theme.on(a)),
            (Some(a), Some(b)) => ("▀", theme.on(b).fg(theme.colour(a))),
            (Some(a), None) => ("▀", Style::new().fg(theme.colour(a))),
            (None, Some(b)) => ("▄", Style::new().fg(theme.colour(b))),
            (None, None) => hatch(theme, if top == Pixel::Outside { bottom } else { top }, lit[0] || lit[1]),
        }
    }

    fn single(&self, theme: &Theme, pixel: Pixel, lit: bool, paint: Paint) -> (&'static str, Style) {
        match pixel {
            Pixel::Value(v, row) if paint == Paint::Solid => {
                (" ", theme.on(lighten(theme, self.scale.colour(theme, v, row), lit)))
            }
            Pixel::Value(v, row) => {
                let negative = self.scale.signed && v < 0.0;
                let style = if self.scale.signed { theme.shade_style(negative) } else { Style::new() };
                (theme.shade(self.scale.strength(v, row), negative), style)
            }
            other => hatch(theme, other, lit),
        }
    }

    /// The value under the crosshair; `None` in the future.
    pub fn value(&self) -> Option<f32> {
        let (q, k) = (self.app.view.query, self.app.view.key);
        (k <= q && q < self.map.len).then(|| self.map.values[q * self.map.len + k])
    }
}

/// Row and column of the crosshair are lit, so that the eye finds its way to the labels.
fn lighten(theme: &Theme, rgb: Rgb, lit: bool) -> Rgb {
    let towards = if theme.look.dark { (255, 255, 255) } else { (0, 0, 0) };
    if lit { mix(rgb, towards, 0.13) } else { rgb }
}

fn hatch(theme: &Theme, pixel: Pixel, lit: bool) -> (&'static str, Style) {
    let ascii = theme.look.ascii;
    match pixel {
        Pixel::Future => {
            let style = theme.style(if lit { Role::Faint } else { Role::Border });
            (if ascii { "/" } else { "╱" }, style)
        }
        Pixel::Dropped => {
            let style = theme.style(if lit { Role::Masked } else { Role::Faint });
            (if ascii { "x" } else { "╳" }, style)
        }
        _ => (" ", Style::new()),
    }
}
