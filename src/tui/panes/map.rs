//! The heatmap of one layer and head: queries down, keys right, the future hatched, dropped tokens hatched in place.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::app::mapview::{self, MapView, Room};
use crate::app::state::{App, ColourScale};
use crate::app::visible::{clusters, visible, width};
use crate::engine::types::{HeadChoice, MapFrame, MapKind, Token};
use crate::mask::types::State;
use crate::tui::canvas::Canvas;
use crate::tui::colours::{Rgb, mix, step};
use crate::tui::panes::{Piece, empty_text};
use crate::tui::theme::{Paint, Role, Theme};

/// Longest label beside a row, in columns.
const LABEL: usize = 12;
/// Lowest value that the logarithmic scale tells from nothing.
const LOG_FLOOR: f32 = 1e-4;

/// Where the parts of the pane are.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Row labels and marks, left of the plot.
    pub gutter: u16,
    pub plot: Rect,
    /// Lines under the plot for column marks and labels.
    pub labels: u16,
    /// Lines at the bottom for the value under the crosshair and the colour bar.
    pub footer: u16,
    per_line: usize,
}

impl Frame {
    /// Room for pixels.
    pub fn room(&self) -> Room {
        let (width, lines) = (self.plot.width as usize, self.plot.height as usize);
        Room { width, height: lines * self.per_line, per_line: self.per_line }
    }

    /// The (query, key) at a cell of the screen.
    pub fn at(&self, view: &MapView, x: u16, y: u16) -> Option<(usize, usize)> {
        let (dx, dy) = (x.checked_sub(self.plot.x)?, y.checked_sub(self.plot.y)?);
        let queries = view.queries.at(dy as usize * self.per_line);
        let keys = view.keys.at(dx as usize);
        (!queries.is_empty() && !keys.is_empty()).then_some((queries.start, keys.start))
    }
}

/// The tokens that the axes name: those of the map on screen, else the newest.
fn tokens(app: &App) -> &[Token] {
    match &app.results.map {
        Some(map) if map.value.tokens.len() == map.value.frame.len => &map.value.tokens,
        _ => app.results.tokens(),
    }
}

/// Divides the pane.
pub fn frame(app: &App, area: Rect) -> Frame {
    let per_line = if Theme::new(app.look).paint() == Paint::Half { 2 } else { 1 };
    let tokens = tokens(app);
    let longest = tokens.iter().map(|t| width(&visible(&t.display))).max().unwrap_or(0);
    let gutter = (longest.min(LABEL) + 3).min(area.width as usize / 3) as u16;
    let footer = match area.height {
        0..=4 => 0,
        5..=15 => 1,
        _ => 2,
    };
    let columns = area.width.saturating_sub(gutter) as usize;
    let free = area.height.saturating_sub(footer + 1) as usize;
    // Labels under the columns only take lines that the map does not need.
    let wanted = if columns >= tokens.len() * 5 { 1 } else { longest.min(5) };
    let spare = free.saturating_sub(tokens.len().div_ceil(per_line).min(free));
    let labels = if free < 4 { 0 } else { 1 + wanted.min(spare.max(free / 9)) as u16 };
    let height = area.height.saturating_sub(footer + labels);
    Frame {
        gutter,
        plot: Rect::new(area.x + gutter, area.y, area.width - gutter, height),
        labels,
        footer,
        per_line,
    }
}

/// The layout of the map that is on screen.
pub fn view(app: &App, frame: &Frame) -> MapView {
    let n = app.results.map.as_ref().map_or(app.results.len(), |m| m.value.frame.len);
    mapview::layout(n, frame.room(), app.view.zoom, app.view.origin)
}

/// The frame's title: which run, which heads.
pub fn subtitle(app: &App) -> Vec<Piece> {
    let (kind, heads) = app
        .results
        .map
        .as_ref()
        .map_or((app.doc.map, app.doc.heads), |m| (m.value.frame.kind, m.value.frame.heads));
    let mut out = vec![
        Piece::new(kind_name(kind), if kind == MapKind::Baseline { Role::Protected } else { Role::Masked }),
        Piece::new(heads_name(app, heads), Role::Strong),
    ];
    if app.results.map.as_ref().is_some_and(|m| app.stale(m)) {
        out.push(Piece::new("old, computing…", Role::Warn));
    }
    out
}

/// The words for what is shown.
pub fn kind_name(kind: MapKind) -> &'static str {
    match kind {
        MapKind::Masked => "masked run",
        MapKind::Baseline => "baseline",
        MapKind::Difference => "masked − baseline",
    }
}

/// `layer 3 · head 7`, with how many there are.
pub fn heads_name(app: &App, heads: HeadChoice) -> String {
    let part = |name: &str, at: Option<usize>, n: Option<usize>| match (at, n) {
        (Some(i), Some(n)) => format!("{name} {i}/{}", n.saturating_sub(1)),
        (Some(i), None) => format!("{name} {i}"),
        (None, Some(n)) => format!("mean of {n} {name}s"),
        (None, None) => format!("mean of {name}s"),
    };
    let model = app.model.as_ref();
    format!(
        "{} · {}",
        part("layer", heads.layer, model.map(|m| m.n_layer)),
        part("head", heads.head, model.map(|m| m.n_head))
    )
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let Some(shown) = app.results.map.as_ref().filter(|m| m.value.frame.len > 0) else {
        empty_text(c, app, area, "Attention appears here");
        return;
    };
    let map = &shown.value.frame;
    if map.values.len() < map.len * map.len {
        return;
    }
    let frame = frame(app, area);
    let view = view(app, &frame);
    let painter = Painter { app, map, view, frame, scale: Scale::of(app, map) };
    painter.cells(c);
    painter.rows(c);
    painter.columns(c);
    if app.stale(shown) {
        c.fade(Rect { height: area.height - frame.footer, ..area });
    }
    painter.footer(c, area);
}

/// How values of one map become places on a colour table.
#[derive(Clone, Copy)]
struct Scale {
    kind: ColourScale,
    signed: bool,
    max: f32,
}

impl Scale {
    fn of(app: &App, map: &MapFrame) -> Self {
        let signed = map.kind == MapKind::Difference;
        let n = map.len;
        let rows = (0..n).flat_map(|q| map.values[q * n..q * n + q + 1].iter());
        let max = rows.filter(|v| v.is_finite()).fold(0f32, |m, v| m.max(v.abs()));
        Scale { kind: app.view.colours, signed, max }
    }

    /// Strength of a value, 0..1; `row` is the largest of its row.
    fn strength(&self, value: f32, row: f32) -> f64 {
        let v = f64::from(value.abs());
        let max = f64::from(if self.kind == ColourScale::RowMax { row } else { self.max });
        if v <= 0.0 || max <= 0.0 {
            return 0.0;
        }
        match self.kind {
            ColourScale::Root => (v / max).sqrt(),
            ColourScale::Linear | ColourScale::RowMax => v / max,
            ColourScale::Log => {
                let floor = f64::from(LOG_FLOOR).ln();
                (v.ln() - floor) / (max.ln() - floor).max(1e-9)
            }
        }
        .clamp(0.0, 1.0)
    }

    fn colour(&self, theme: &Theme, value: f32, row: f32) -> Rgb {
        let s = self.strength(value, row);
        if self.signed {
            theme.ramps.difference[step(0.5 + 0.5 * s * f64::from(value.signum()))]
        } else {
            theme.ramps.heat[step(s)]
        }
    }
}

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

struct Painter<'a> {
    app: &'a App,
    map: &'a MapFrame,
    view: MapView,
    frame: Frame,
    scale: Scale,
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

    fn cells(&self, c: &mut Canvas) {
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
                    Paint::Half => self.half(c.theme, pixels[0], pixels[1], lit(0), lit(1)),
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

    fn half(
        &self,
        theme: &Theme,
        top: Pixel,
        bottom: Pixel,
        lit_top: bool,
        lit_bottom: bool,
    ) -> (&'static str, Style) {
        let colour = |p: Pixel, lit: bool| match p {
            Pixel::Value(v, row) => Some(lighten(theme, self.scale.colour(theme, v, row), lit)),
            _ => None,
        };
        match (colour(top, lit_top), colour(bottom, lit_bottom)) {
            (Some(a), Some(b)) if a == b => (" ", theme.on(a)),
            (Some(a), Some(b)) => ("▀", theme.on(b).fg(theme.colour(a))),
            (Some(a), None) => ("▀", Style::new().fg(theme.colour(a))),
            (None, Some(b)) => ("▄", Style::new().fg(theme.colour(b))),
            (None, None) => {
                hatch(theme, if top == Pixel::Outside { bottom } else { top }, lit_top || lit_bottom)
            }
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

    /// Labels and marks of the queries.
    fn rows(&self, c: &mut Canvas) {
        let tokens = tokens(self.app);
        let gutter = self.frame.gutter;
        for line in 0..self.frame.plot.height {
            let first = line as usize * self.frame.per_line;
            let range = self.view.queries.at(first);
            // A token of several lines is named once; a line of several tokens by the most telling one.
            let rest =
                (1..self.frame.per_line).map(|i| self.view.queries.at(first + i)).filter(|r| !r.is_empty());
            let range = range.start..rest.map(|r| r.end).max().unwrap_or(range.end).max(range.end);
            if range.is_empty() || range.start >= tokens.len() {
                continue;
            }
            let above = first > 0 && self.view.queries.at(first - 1).contains(&range.start);
            if above && range.len() == 1 {
                continue;
            }
            let crossed = range.contains(&self.app.view.query);
            let (query, state) = self.telling(range, self.app.view.query);
            let y = self.frame.plot.y + line;
            let left = self.frame.plot.x - gutter;
            let style = label_style(c.theme, state, crossed);
            if crossed {
                c.restyle(Rect::new(left, y, gutter.saturating_sub(1), 1), c.theme.selected());
            }
            let style = if crossed { c.theme.selected().patch(style) } else { style };
            c.right(
                left,
                left + gutter.saturating_sub(3),
                y,
                &tokens[query.min(tokens.len() - 1)].display,
                style,
            );
            self.mark(c, left + gutter.saturating_sub(2), y, query);
        }
    }

    /// Of several tokens in one place, the one to name: under the crosshair, else masked, else the first.
    fn telling(&self, range: std::ops::Range<usize>, cursor: usize) -> (usize, Option<State>) {
        let state = |i: usize| self.app.results.decision().and_then(|d| d.positions.get(i)).map(|p| p.state);
        let masked = range.clone().find(|i| state(*i) == Some(State::Masked));
        let pick = if range.contains(&cursor) { cursor } else { masked.unwrap_or(range.start) };
        (pick, state(pick))
    }

    fn mark(&self, c: &mut Canvas, x: u16, y: u16, token: usize) {
        let Some(p) = self.app.results.decision().and_then(|d| d.positions.get(token)) else { return };
        let style = c.style(c.theme.state_role(p.state));
        c.put(x, y, c.theme.state_glyph(p.state, p.op), style);
    }

    /// Marks and labels of the keys, under the plot.
    fn columns(&self, c: &mut Canvas) {
        let tokens = tokens(self.app);
        let (plot, labels) = (self.frame.plot, self.frame.labels);
        let used = self.view.queries.size.div_ceil(self.frame.per_line) as u16;
        let y = plot.y + used.min(plot.height);
        let room = labels + plot.height - used.min(plot.height);
        let mut x = 0;
        while (x as usize) < self.view.keys.size && labels > 0 {
            let range = self.view.keys.at(x as usize);
            let columns = self.view.keys.of(range.start).map_or(1, |r| r.len().max(1)) as u16;
            let crossed = range.contains(&self.app.view.key);
            let (key, state) = self.telling(range, self.app.view.key);
            let place = plot.x + x + (columns - 1) / 2;
            self.mark(c, place, y, key);
            if let Some(token) = tokens.get(key) {
                let style = label_style(c.theme, state, crossed);
                let style = if crossed { c.theme.selected().patch(style) } else { style };
                if columns >= 5 {
                    let text = visible(&token.display);
                    let w = (width(&text) as u16).min(columns - 1);
                    c.label(plot.x + x + (columns - 1 - w) / 2, y + 1, &text, style, columns - 1);
                } else {
                    vertical(c, place, y + 1, room.saturating_sub(1), &token.display, style);
                }
            }
            x += columns;
        }
    }

    /// The value under the crosshair.
    fn value(&self) -> Option<f32> {
        let (q, k) = (self.app.view.query, self.app.view.key);
        (k <= q && q < self.map.len).then(|| self.map.values[q * self.map.len + k])
    }

    fn footer(&self, c: &mut Canvas, area: Rect) {
        if self.frame.footer == 0 {
            return;
        }
        let y = area.bottom() - 1;
        let tokens = tokens(self.app);
        let (q, k) = (self.app.view.query, self.app.view.key);
        let name = |i: usize| tokens.get(i).map_or("", |t| t.display.as_str());
        let (value, role) = match self.value() {
            None => ("in the future: not visible".to_owned(), Role::Dim),
            Some(v) if v.is_nan() => ("dropped".to_owned(), Role::Masked),
            Some(v) if self.scale.signed => (format!("Δα {v:+.6}"), Role::Strong),
            Some(v) => (format!("α {v:.6}"), Role::Strong),
        };
        let legend = 30;
        let split = self.frame.footer == 1 && area.width > legend + 46;
        let right = if split { area.right() - legend } else { area.right() };
        let (dim, text) = (c.style(Role::Dim), c.style(Role::Text));
        let (qs, ks) = (format!("{q} "), format!("{k} "));
        let value_style = c.theme.bold(role);
        let short = |s: &str| crate::app::visible::fit(s, 14, "…");
        let (qn, kn) = (short(name(q)), short(name(k)));
        c.spans(
            area.x,
            y,
            &[
                ("query ", dim),
                (&qs, dim),
                (&qn, text),
                (" → key ", dim),
                (&ks, dim),
                (&kn, text),
                ("  ", dim),
                (&value, value_style),
            ],
            right,
        );
        if self.frame.footer == 2 {
            self.legend(c, area.x, y - 1, area.right());
        } else if split {
            self.legend(c, area.right() - legend + 2, y, area.right());
        }
    }

    /// The colour bar with the values of its ends.
    fn legend(&self, c: &mut Canvas, x: u16, y: u16, right: u16) {
        let dim = c.style(Role::Dim);
        let max = self.scale.max;
        let (low, high) = match (self.scale.signed, self.scale.kind) {
            (true, ColourScale::RowMax) => ("−row max".to_owned(), "+row max".to_owned()),
            (true, _) => (format!("−{max:.3}"), format!("+{max:.3}")),
            (false, ColourScale::Log) => (format!("≤{LOG_FLOOR}"), format!("{max:.3}")),
            (false, ColourScale::RowMax) => ("0".to_owned(), "row max".to_owned()),
            (false, _) => ("0".to_owned(), format!("{max:.3}")),
        };
        let mut at = c.text(x, y, &low, dim, right.saturating_sub(x)) + 1;
        let n = 16.min(right.saturating_sub(at));
        for i in 0..n {
            let f = f64::from(i) / f64::from(n.max(2) - 1);
            let (symbol, style) = if c.theme.rich() {
                let ramp = if self.scale.signed { &c.theme.ramps.difference } else { &c.theme.ramps.heat };
                (" ", c.theme.on(ramp[step(f)]))
            } else if self.scale.signed {
                (c.theme.shade((2.0 * f - 1.0).abs(), f < 0.5), c.theme.shade_style(f < 0.5))
            } else {
                (c.theme.shade(f, false), Style::new())
            };
            c.put(at + i, y, symbol, style);
        }
        at += n + 1;
        at = c.text(at, y, &high, dim, right.saturating_sub(at));
        let scale = format!("  {}", self.scale.kind);
        at = c.text(at, y, &scale, c.style(Role::Faint), right.saturating_sub(at));
        let hatched: [(&str, Style); 4] = [
            ("  ", dim),
            (if c.ascii() { "/" } else { "╱" }, c.style(Role::Faint)),
            (" future", dim),
            ("  ", dim),
        ];
        if right.saturating_sub(at) > 22 {
            at = c.spans(at, y, &hatched, right);
            c.spans(
                at,
                y,
                &[(if c.ascii() { "x" } else { "╳" }, c.style(Role::Masked)), (" dropped", dim)],
                right,
            );
        }
    }
}

/// Row and column of the crosshair are lit, so that the eye finds its way to the labels.
fn lighten(theme: &Theme, rgb: Rgb, lit: bool) -> Rgb {
    let towards = if theme.look.dark { (255, 255, 255) } else { (0, 0, 0) };
    if lit { mix(rgb, towards, 0.16) } else { rgb }
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

fn label_style(theme: &Theme, state: Option<State>, crossed: bool) -> Style {
    let style = match state {
        Some(State::Masked) => theme.style(Role::Masked),
        _ if crossed => theme.style(Role::Strong),
        _ => theme.style(Role::Dim),
    };
    if crossed { style.add_modifier(Modifier::BOLD) } else { style }
}

/// A label written downwards; a wide character does not fit into one column and becomes a dot.
fn vertical(c: &mut Canvas, x: u16, y: u16, rows: u16, text: &str, style: Style) {
    for (i, cluster) in clusters(text).take(rows as usize).enumerate() {
        let symbol = if cluster.width == 1 { &cluster.text } else { "·" };
        c.put(x, y + i as u16, symbol, style);
    }
}
