//! One way to draw curves over steps: braille where the terminal has it, single characters where not; one style of axes
//! for every chart. Pure.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::units::{count, duration, short};

/// What the axis below the curves counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axis {
    #[default]
    Steps,
    /// Tokens read.
    Tokens,
    /// Seconds since the first step began.
    Time,
}

impl Axis {
    pub fn name(self) -> &'static str {
        match self {
            Axis::Steps => "steps",
            Axis::Tokens => "tokens",
            Axis::Time => "time",
        }
    }

    pub fn next(self) -> Self {
        match self {
            Axis::Steps => Axis::Tokens,
            Axis::Tokens => Axis::Time,
            Axis::Time => Axis::Steps,
        }
    }

    /// A number of the axis.
    fn number(self, x: f64) -> String {
        match self {
            Axis::Steps => format!("{x:.0}"),
            Axis::Tokens => count(x.max(0.0) as usize),
            Axis::Time => duration(x),
        }
    }

    /// The last number of the axis, with what it counts.
    fn last(self, x: f64) -> String {
        match self {
            Axis::Steps => format!("step {x:.0}"),
            Axis::Tokens => format!("{} tokens", self.number(x)),
            Axis::Time => self.number(x),
        }
    }
}

/// Columns of the numbers left of the axis.
const LABELS: u16 = 8;

/// How a curve is drawn, so that curves differ without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pen {
    /// Single dots.
    Dots,
    /// Dots joined by lines.
    Line,
    /// A mark of its own at every point.
    Marks(&'static str, &'static str),
}

/// A curve: (place on the axis, value), by place.
pub struct Curve {
    pub points: Vec<(f64, f64)>,
    pub pen: Pen,
    pub style: Style,
    /// The character for ASCII terminals.
    pub ascii: &'static str,
}

/// What is drawn around the curves.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// What the axis counts, and its first and last number.
    pub axis: Axis,
    pub span: (f64, f64),
    pub log: bool,
    /// The axis includes 0.
    pub zero: bool,
    pub cursor: Option<f64>,
    /// Places of the axis with something to point at.
    pub events: Vec<f64>,
    /// Numbers below the axis.
    pub steps: bool,
}

/// Where the curves themselves are drawn.
pub fn field(area: Rect, steps: bool) -> Rect {
    let left = LABELS.min(area.width);
    let foot = u16::from(steps && area.height > 3);
    Rect::new(area.x + left, area.y, area.width - left, area.height - foot)
}

/// Draws curves, the later ones over the earlier ones.
pub fn draw(c: &mut Canvas, area: Rect, frame: &Frame, curves: &[Curve]) {
    let inner = field(area, frame.steps);
    if inner.width < 4 || inner.height < 2 {
        return;
    }
    let Some(range) = range(frame, curves) else { return };
    axes(c, area, inner, frame, range);
    let mut grid = Grid::new(inner, c.ascii());
    let place = |x: f64, y: f64| {
        let (from, to) = frame.span;
        let at = (x - from) / (to - from).max(1e-9);
        let up = (scaled(y, frame.log) - range.0) / (range.1 - range.0).max(1e-12);
        (at, up)
    };
    for (i, curve) in curves.iter().enumerate() {
        let inside =
            curve.points.iter().filter(|(x, y)| *x >= frame.span.0 && *x <= frame.span.1 && y.is_finite());
        let mut last = None;
        for &(x, y) in inside {
            let (at, up) = place(x, y);
            if !up.is_finite() {
                continue;
            }
            let here = grid.pixel(at, up);
            match curve.pen {
                Pen::Dots => grid.set(here, i),
                Pen::Line => grid.join(last.unwrap_or(here), here, i),
                Pen::Marks(..) => grid.mark(here, i),
            }
            last = Some(here);
        }
    }
    grid.paint(c, curves);
    cursor(c, inner, frame);
}

fn scaled(y: f64, log: bool) -> f64 {
    if log { y.max(1e-12).log10() } else { y }
}

/// Lowest and highest scaled value on screen, with a little air.
fn range(frame: &Frame, curves: &[Curve]) -> Option<(f64, f64)> {
    let (from, to) = frame.span;
    let mut low = f64::INFINITY;
    let mut high = f64::NEG_INFINITY;
    for (x, y) in curves.iter().flat_map(|c| &c.points) {
        if *x >= from && *x <= to && y.is_finite() && (!frame.log || *y > 0.0) {
            let y = scaled(*y, frame.log);
            (low, high) = (low.min(y), high.max(y));
        }
    }
    if low > high {
        return None;
    }
    if frame.zero && !frame.log {
        low = low.min(0.0);
    }
    let air = if high > low { (high - low) * 0.04 } else { high.abs().max(1e-6) * 0.1 };
    Some((if frame.zero && low == 0.0 { 0.0 } else { low - air }, high + air))
}

fn axes(c: &mut Canvas, area: Rect, inner: Rect, frame: &Frame, range: (f64, f64)) {
    let (dim, faint) = (c.style(Role::Dim), c.style(Role::Faint));
    let ascii = c.ascii();
    let rows = inner.height;
    let ticks: &[u16] = match rows {
        0..=3 => &[0, 2],
        4..=8 => &[0, 1, 2],
        _ => &[0, 1, 2, 3, 4],
    };
    let n = ticks.last().copied().unwrap_or(1);
    for y in inner.y..inner.bottom() {
        c.put(inner.x - 1, y, if ascii { "|" } else { "│" }, faint);
    }
    for tick in ticks {
        let y = inner.y + (rows - 1) * tick / n;
        let up = 1.0 - f64::from(y - inner.y) / f64::from((rows - 1).max(1));
        let value = range.0 + up * (range.1 - range.0);
        let value = if frame.log { 10f64.powf(value) } else { value };
        c.right(area.x, inner.x - 1, y, &short(value), dim);
        c.put(inner.x - 1, y, if ascii { "+" } else { "┤" }, faint);
    }
    let events = c.style(Role::Warn);
    for x in &frame.events {
        if let Some(x) = column(inner, frame, *x) {
            for y in inner.y..inner.bottom() {
                c.put(x, y, if ascii { ":" } else { "┊" }, events);
            }
        }
    }
    if area.height > inner.height {
        let y = inner.bottom();
        let middle = (frame.span.0 + frame.span.1) / 2.0;
        c.text(inner.x, y, &frame.axis.number(frame.span.0), dim, inner.width);
        if inner.width >= 36 {
            let text = frame.axis.number(middle);
            c.text(inner.x + inner.width / 2 - text.len() as u16 / 2, y, &text, dim, 12);
        }
        c.right(inner.x + inner.width / 3, inner.right(), y, &frame.axis.last(frame.span.1), dim);
    }
}

fn column(inner: Rect, frame: &Frame, step: f64) -> Option<u16> {
    let at = (step - frame.span.0) / (frame.span.1 - frame.span.0).max(1e-9);
    (0.0..=1.0).contains(&at).then(|| inner.x + (at * f64::from(inner.width - 1)).round() as u16)
}

fn cursor(c: &mut Canvas, inner: Rect, frame: &Frame) {
    let Some(x) = frame.cursor.and_then(|s| column(inner, frame, s)) else { return };
    let style = c.theme.bold(Role::Strong);
    for y in inner.y..inner.bottom() {
        let cell = Rect::new(x, y, 1, 1);
        let blank = c.buf[(x, y)].symbol() == " ";
        if blank {
            c.put(x, y, if c.ascii() { "|" } else { "╎" }, style);
        } else {
            c.restyle(cell, style);
        }
    }
}

/// Dots of a cell, and whose they are.
#[derive(Clone, Copy, Default)]
struct Dot {
    bits: u8,
    /// Number of the curve on top, and whether it is a mark.
    curve: usize,
    mark: bool,
}

/// Dots of a chart: 2 × 4 a cell in braille, one a cell in ASCII.
struct Grid {
    area: Rect,
    across: i64,
    up: i64,
    ascii: bool,
    cells: Vec<Dot>,
}

/// Bits of the braille dots by column and row.
const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

impl Grid {
    fn new(area: Rect, ascii: bool) -> Self {
        let (w, h) = (i64::from(area.width), i64::from(area.height));
        let cells = vec![Dot::default(); (w * h) as usize];
        let (across, up) = if ascii { (w, h) } else { (2 * w, 4 * h) };
        Grid { area, across, up, ascii, cells }
    }

    fn pixel(&self, at: f64, up: f64) -> (i64, i64) {
        let x = (at * (self.across - 1) as f64).round() as i64;
        let y = ((1.0 - up) * (self.up - 1) as f64).round() as i64;
        (x.clamp(0, self.across - 1), y.clamp(0, self.up - 1))
    }

    fn cell(&mut self, (x, y): (i64, i64)) -> Option<(&mut Dot, u8)> {
        let (dx, dy) = if self.ascii { (1, 1) } else { (2, 4) };
        let bit = if self.ascii { 1 } else { BITS[(x % 2) as usize][(y % 4) as usize] };
        let i = (y / dy) * i64::from(self.area.width) + x / dx;
        self.cells.get_mut(usize::try_from(i).ok()?).map(|c| (c, bit))
    }

    fn set(&mut self, at: (i64, i64), curve: usize) {
        if let Some((cell, bit)) = self.cell(at) {
            cell.bits |= bit;
            if !cell.mark {
                cell.curve = curve;
            }
        }
    }

    fn mark(&mut self, at: (i64, i64), curve: usize) {
        if let Some((cell, _)) = self.cell(at) {
            *cell = Dot { bits: 0, curve, mark: true };
        }
    }

    /// A straight line of dots.
    fn join(&mut self, from: (i64, i64), to: (i64, i64), curve: usize) {
        let n = (to.0 - from.0).abs().max((to.1 - from.1).abs()).max(1);
        for i in 0..=n {
            let at = |a: i64, b: i64| a + ((b - a) * i + n / 2).div_euclid(n);
            self.set((at(from.0, to.0), at(from.1, to.1)), curve);
        }
    }

    fn paint(&self, c: &mut Canvas, curves: &[Curve]) {
        for (i, dot) in self.cells.iter().enumerate() {
            if dot.bits == 0 && !dot.mark {
                continue;
            }
            let Some(curve) = curves.get(dot.curve) else { continue };
            let x = self.area.x + (i % self.area.width as usize) as u16;
            let y = self.area.y + (i / self.area.width as usize) as u16;
            match (curve.pen, dot.mark) {
                (Pen::Marks(rich, plain), true) => {
                    c.put(x, y, if self.ascii { plain } else { rich }, curve.style);
                }
                _ if self.ascii => c.put(x, y, curve.ascii, curve.style),
                _ => {
                    let symbol = char::from_u32(0x2800 + u32::from(dot.bits)).unwrap_or(' ');
                    c.put(x, y, symbol.encode_utf8(&mut [0; 4]), curve.style);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::options::Look;
    use crate::screen::widgets::theme::Theme;
    use ratatui::buffer::Buffer;

    fn picture(ascii: bool, points: Vec<(f64, f64)>, log: bool) -> Vec<String> {
        let area = Rect::new(0, 0, 28, 7);
        let mut buf = Buffer::empty(area);
        let theme = Theme::new(Look { ascii, ..Look::default() });
        let mut c = Canvas { buf: &mut buf, theme: &theme, caret: None };
        let frame = Frame { span: (0.0, 10.0), log, steps: true, ..Frame::default() };
        let curve = Curve { points, pen: Pen::Line, style: Style::new(), ascii: "*" };
        draw(&mut c, area, &frame, &[curve]);
        (0..7).map(|y| (0..28).map(|x| buf[(x, y)].symbol()).collect::<String>()).collect()
    }

    #[test]
    fn a_falling_line_goes_from_the_upper_left_to_the_lower_right() {
        for ascii in [false, true] {
            let rows = picture(ascii, (0..=10).map(|i| (f64::from(i), 10.0 - f64::from(i))).collect(), false);
            let drawn = |row: &str| {
                let chars: Vec<char> = row.chars().skip(8).collect();
                let is = |c: &char| *c == '*' || ('\u{2801}'..='\u{28ff}').contains(c);
                (chars.iter().position(is), chars.iter().rposition(is))
            };
            let (top, bottom) = (drawn(&rows[0]), drawn(&rows[5]));
            assert!(top.0.unwrap() < 2 && bottom.1.unwrap() > 17, "{rows:#?}");
            assert!(top.1.unwrap() < bottom.0.unwrap() + 1, "{rows:#?}");
            assert!(rows[6].contains("step 10") && rows[0].contains("10"), "{rows:#?}");
        }
    }

    #[test]
    fn infinite_and_missing_values_are_left_out() {
        let rows = picture(false, vec![(0.0, f64::NAN), (1.0, f64::INFINITY)], false);
        assert!(rows.iter().all(|r| r.trim().is_empty()));
        picture(true, vec![(0.0, 0.0), (5.0, 1.0)], true);
        picture(false, vec![(3.0, 2.0)], false);
    }
}
