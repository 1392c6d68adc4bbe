//! The map as a figure: cells, axes in tokens, a legend, and a caption with formula, settings and command.

use std::fmt::Write as _;

use crate::config::ColourScale;
use crate::engine::types::{MapFrame, MapKind};
use crate::screen::explore::map::kind_name;
use crate::screen::explore::map::scale::CellScale;
use crate::screen::export::frame::{hex, markup};
use crate::screen::export::numbers::{ColumnValues, PaneNumbers};
use crate::screen::options::Look;
use crate::screen::widgets::colours::{Rgb, step};
use crate::screen::widgets::theme::Theme;
use crate::support::visible::fit;

/// Tokens up to which every row and column has its own label.
const LABELLED: usize = 128;
/// Longest label, in columns.
const LABEL: usize = 14;

/// The map with what it is drawn with.
pub struct MapFigure<'a> {
    pub numbers: &'a PaneNumbers,
    pub frame: &'a MapFrame,
    pub scale: CellScale,
    theme: Theme,
}

impl<'a> MapFigure<'a> {
    /// `None` where the numbers are no map.
    pub fn new(numbers: &'a PaneNumbers, colours: ColourScale, dark: bool) -> Option<Self> {
        let frame = numbers.map.as_ref()?;
        let complete = frame.values.len() >= frame.len * frame.len;
        let theme = Theme::new(Look { dark, ..Look::default() });
        let scale = CellScale::of_whole(colours, frame);
        complete.then_some(MapFigure { numbers, frame, scale, theme })
    }

    pub fn token(&self, i: usize) -> &str {
        let tokens = self.numbers.columns.iter().find(|c| c.name == "token").map(|c| &c.values);
        match tokens {
            Some(ColumnValues::Text(all)) => all.get(i).map_or("", String::as_str),
            _ => "",
        }
    }

    fn row_max(&self, query: usize) -> f32 {
        let row = &self.frame.values[query * self.frame.len..][..=query];
        row.iter().filter(|v| v.is_finite()).fold(0f32, |m, v| m.max(v.abs()))
    }

    /// The colours of a query's cells, from the first key to itself; `None` for dropped tokens.
    pub fn row(&self, query: usize) -> Vec<Option<Rgb>> {
        let most = self.row_max(query);
        let row = &self.frame.values[query * self.frame.len..][..=query];
        let colour = |v: &f32| v.is_finite().then(|| self.scale.colour(&self.theme, *v, most));
        row.iter().map(colour).collect()
    }

    /// The colours from the lowest to the highest value.
    pub fn ramp(&self) -> Vec<Rgb> {
        let ramps = &self.theme.ramps;
        if self.scale.signed { ramps.difference.to_vec() } else { ramps.heat.to_vec() }
    }

    pub fn background(&self) -> Rgb {
        self.theme.background()
    }

    pub fn dropped(&self) -> Rgb {
        self.theme.dropped()
    }

    pub fn ink(&self) -> Rgb {
        if self.theme.look.dark { (205, 209, 222) } else { (44, 47, 58) }
    }

    /// What is shown, with what settings, in lines.
    pub fn caption(&self) -> Vec<String> {
        let fact = |name: &str| {
            let value = self.numbers.facts.iter().find(|(known, _)| *known == name).map(|(_, v)| v);
            value.map_or_else(String::new, |v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
        };
        let of = |what: &str, index: Option<usize>| {
            index.map_or_else(|| format!("mean over {what}s"), |i| format!("{what} {i}"))
        };
        let heads = self.frame.heads;
        let ends = match self.frame.kind {
            MapKind::Difference => format!("colours from −{0:.3} to {0:.3}", self.scale.max),
            _ if self.scale.kind == ColourScale::RowMax => {
                "colours relative to each row's strongest".to_owned()
            }
            _ => format!("colours from 0 to {:.3}", self.scale.max),
        };
        vec![
            format!(
                "{}: attention, {}, {}, {}; {ends} ({} scale)",
                fact("model"),
                kind_name(self.frame.kind),
                of("layer", heads.layer),
                of("head", heads.head),
                self.scale.kind
            ),
            format!("score: {}", fact("score")),
            format!(
                "τ {}, p {}, seed {}, operation {}, scope {}: {} of {} eligible tokens masked",
                fact("tau"),
                fact("p"),
                fact("seed"),
                fact("op"),
                fact("scope"),
                fact("selected"),
                fact("eligible")
            ),
            self.numbers.command.clone(),
        ]
    }

    /// Whether tokens stand at the axes, rather than numbers.
    fn labelled(&self) -> bool {
        self.frame.len <= LABELLED
    }
}

/// Where things stand in the picture, in user units.
struct Page {
    cell: f64,
    left: f64,
    top: f64,
    side: f64,
}

/// The figure as an SVG.
pub fn svg(figure: &MapFigure) -> String {
    let n = figure.frame.len;
    let cell = (640.0 / n as f64).clamp(1.0, 18.0).floor();
    let page = Page { cell, left: 130.0, top: 16.0, side: cell * n as f64 };
    let caption: Vec<String> =
        figure.caption().iter().flat_map(|line| lines(line, ((page.side + 230.0) / 6.2) as usize)).collect();
    let below = page.top + page.side + if figure.labelled() { 110.0 } else { 30.0 };
    let (w, h) = (page.left + page.side + 110.0, below + 14.0 * caption.len() as f64 + 10.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"10\" fill=\"{}\">\n\
         <rect width=\"{w}\" height=\"{h}\" fill=\"{}\"/>\n",
        hex(figure.ink()),
        hex(figure.background())
    );
    cells(&mut out, figure, &page);
    axes(&mut out, figure, &page);
    legend(&mut out, figure, &page);
    for (i, line) in caption.iter().enumerate() {
        let y = below + 14.0 * i as f64;
        let _ = writeln!(out, "<text x=\"10\" y=\"{y}\">{}</text>", markup(line));
    }
    out.push_str("</svg>\n");
    out
}

/// Pieces of at most `columns` characters.
fn lines(text: &str, columns: usize) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    all.chunks(columns.max(20)).map(|piece| piece.iter().collect()).collect()
}

/// One rectangle for every run of cells with the same colour.
fn cells(out: &mut String, figure: &MapFigure, page: &Page) {
    let _ = writeln!(out, "<g shape-rendering=\"crispEdges\">");
    for query in 0..figure.frame.len {
        let row = figure.row(query);
        let mut from = 0;
        while from < row.len() {
            let to = (from + 1..row.len()).find(|&i| row[i] != row[from]).unwrap_or(row.len());
            let _ = writeln!(
                out,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
                page.left + page.cell * from as f64,
                page.top + page.cell * query as f64,
                page.cell * (to - from) as f64,
                page.cell,
                hex(row[from].unwrap_or(figure.dropped()))
            );
            from = to;
        }
    }
    let _ = writeln!(out, "</g>");
}

/// Queries down the left side, keys below: tokens, or numbers where there are many.
fn axes(out: &mut String, figure: &MapFigure, page: &Page) {
    let n = figure.frame.len;
    let every = if figure.labelled() { (9.0 / page.cell).ceil() as usize } else { n.div_ceil(16) };
    let bottom = page.top + page.side;
    for i in (0..n).step_by(every.max(1)) {
        let name = if figure.labelled() { fit(figure.token(i), LABEL, "…") } else { i.to_string() };
        let middle = page.cell * (i as f64 + 0.5) + 3.0;
        let (y, x) = (page.top + middle, page.left + middle);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>",
            page.left - 5.0,
            markup(&name)
        );
        let _ = writeln!(
            out,
            "<text transform=\"translate({x} {}) rotate(-90)\" text-anchor=\"end\">{}</text>",
            bottom + 6.0,
            markup(&name)
        );
    }
    let _ = writeln!(out, "<text x=\"10\" y=\"{}\">query ↓ key →</text>", page.top + 8.0);
}

/// The colours with the values at their ends.
fn legend(out: &mut String, figure: &MapFigure, page: &Page) {
    let ramp = figure.ramp();
    let (x, height) = (page.left + page.side + 16.0, 128.0);
    for i in 0..64usize {
        let colour = ramp[step(1.0 - i as f64 / 63.0)];
        let y = page.top + height / 64.0 * i as f64;
        let _ =
            writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"12\" height=\"2.2\" fill=\"{}\"/>", hex(colour));
    }
    let max = figure.scale.max;
    let low = if figure.scale.signed { format!("−{max:.3}") } else { "0".to_owned() };
    let high =
        if figure.scale.kind == ColourScale::RowMax { "row max".to_owned() } else { format!("{max:.3}") };
    for (y, text) in [(page.top + 8.0, high), (page.top + height, low)] {
        let _ = writeln!(out, "<text x=\"{}\" y=\"{y}\">{text}</text>", x + 17.0);
    }
}
