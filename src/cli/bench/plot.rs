//! Cost against length and against model size as an SVG, with the course of the arithmetic beside it.

use std::fmt::Write as _;

use super::arithmetic::ModelSizes;
use super::report::{BenchOutput, ModelReport};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 56.0;
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A measured curve and what its arithmetic costs at the same places.
struct PlotCurve {
    name: String,
    /// `(x, milliseconds)`, ascending in x.
    points: Vec<(f64, f64)>,
    /// Multiplications at the same x.
    work: Vec<f64>,
}

/// Multiply-adds of a forward over `tokens`.
fn arithmetic(model: &ModelReport, tokens: f64) -> f64 {
    let matrices = 12.0 * (model.width * model.width) as f64;
    let (layers, width, vocabulary) = (model.layers, model.width, model.vocabulary);
    ModelSizes { layers, width, vocabulary, matrices }.forward(tokens)
}

fn forwards(model: &ModelReport) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> =
        model.cases.iter().filter(|c| c.name == "forward").map(|c| (c.tokens as f64, c.best_ms)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// Two panels: milliseconds against tokens, one curve a model, and against parameters, one curve a length. Dotted: the
/// arithmetic, scaled to go through the fastest point per multiplication.
pub fn svg(report: &BenchOutput) -> String {
    let by_length: Vec<PlotCurve> = report
        .models
        .iter()
        .map(|m| {
            let points = forwards(m);
            let work = points.iter().map(|p| arithmetic(m, p.0)).collect();
            PlotCurve { name: m.id.clone(), points, work }
        })
        .collect();
    let mut lengths: Vec<usize> = by_length.iter().flat_map(|c| &c.points).map(|p| p.0 as usize).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let by_size: Vec<PlotCurve> = lengths
        .iter()
        .map(|&n| {
            let mut rows: Vec<(f64, f64, f64)> = report
                .models
                .iter()
                .filter_map(|m| {
                    let point = forwards(m).into_iter().find(|p| p.0 as usize == n)?;
                    Some((m.parameters as f64 / 1e6, point.1, arithmetic(m, n as f64)))
                })
                .collect();
            rows.sort_by(|a, b| a.0.total_cmp(&b.0));
            PlotCurve {
                name: format!("{n} tokens"),
                points: rows.iter().map(|r| (r.0, r.1)).collect(),
                work: rows.iter().map(|r| r.2).collect(),
            }
        })
        .collect();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * WIDTH
    );
    panel(&mut out, 0.0, "tokens", &by_length);
    panel(&mut out, WIDTH, "million parameters", &by_size);
    out.push_str("</svg>\n");
    out
}

/// A logarithmic axis that covers `values`, with some room.
struct PlotAxis {
    low: f64,
    high: f64,
}

impl PlotAxis {
    fn over(values: impl Iterator<Item = f64>) -> PlotAxis {
        let (mut low, mut high) = (f64::INFINITY, 0f64);
        for v in values.filter(|v| *v > 0.0) {
            (low, high) = (low.min(v), high.max(v));
        }
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        PlotAxis { low: low.log10() - 0.1, high: high.log10() + 0.1 }
    }

    /// 0 to 1 along the axis.
    fn at(&self, v: f64) -> f64 {
        (v.log10() - self.low) / (self.high - self.low)
    }

    /// 1, 2 and 5 of every decade.
    fn ticks(&self) -> Vec<f64> {
        let decades = self.low.floor() as i32..=self.high.ceil() as i32;
        decades
            .flat_map(|d| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(d)))
            .filter(|v| (0.0..=1.0).contains(&self.at(*v)))
            .collect()
    }
}

/// Lines and numbers at the ticks of both axes.
fn grid(out: &mut String, left: f64, x: &PlotAxis, y: &PlotAxis) {
    let (w, h) = (WIDTH - 2.0 * MARGIN, HEIGHT - 2.0 * MARGIN);
    for v in x.ticks() {
        let at = left + MARGIN + w * x.at(v);
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} {MARGIN}V{:.1}\" stroke=\"#e0e0e0\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{v}</text>",
            MARGIN + h,
            MARGIN + h + 14.0
        );
    }
    for v in y.ticks() {
        let at = MARGIN + h * (1.0 - y.at(v));
        let _ = writeln!(
            out,
            "<path d=\"M{:.1} {at:.1}H{:.1}\" stroke=\"#e0e0e0\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{v}</text>",
            left + MARGIN,
            left + MARGIN + w,
            left + MARGIN - 4.0,
            at + 4.0
        );
    }
}

fn panel(out: &mut String, left: f64, label: &str, curves: &[PlotCurve]) {
    let x = PlotAxis::over(curves.iter().flat_map(|c| &c.points).map(|p| p.0));
    let y = PlotAxis::over(curves.iter().flat_map(|c| &c.points).map(|p| p.1));
    let (w, h) = (WIDTH - 2.0 * MARGIN, HEIGHT - 2.0 * MARGIN);
    let place = |(px, py): (f64, f64)| (left + MARGIN + w * x.at(px), MARGIN + h * (1.0 - y.at(py)));
    grid(out, left, &x, &y);
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\
         <text x=\"{:.1}\" y=\"{:.1}\">forward, ms; dotted: its arithmetic</text>",
        left + WIDTH / 2.0,
        MARGIN + h + 34.0,
        left + MARGIN,
        MARGIN - 24.0
    );
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let path = |points: &[(f64, f64)]| {
            let steps = points.iter().map(|&p| {
                let (px, py) = place(p);
                format!("{px:.1} {py:.1}")
            });
            format!("M{}", steps.collect::<Vec<_>>().join("L"))
        };
        if curve.points.is_empty() {
            continue;
        }
        let fastest =
            curve.points.iter().zip(&curve.work).map(|(p, w)| p.1 / w).fold(f64::INFINITY, f64::min);
        let ideal: Vec<(f64, f64)> =
            curve.points.iter().zip(&curve.work).map(|(p, w)| (p.0, w * fastest)).collect();
        let _ = writeln!(
            out,
            "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-dasharray=\"2 3\"/>",
            path(&curve.points),
            path(&ideal)
        );
        for &p in &curve.points {
            let (px, py) = place(p);
            let _ = writeln!(out, "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let name = curve.name.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            left + MARGIN + 6.0,
            MARGIN + 14.0 + 13.0 * i as f64
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::{Case, MachineOutput};
    use super::*;

    #[test]
    fn every_point_is_drawn_inside_the_picture() {
        let case = |n, ms| Case::new("forward", n, vec![ms], &[ms], None);
        let model = |id: &str, cases| ModelReport {
            id: id.to_owned(),
            parameters: 1_000_000,
            layers: 2,
            heads: 2,
            width: 64,
            context: 128,
            vocabulary: 100,
            cases,
        };
        let models = vec![model("a<b", vec![case(64, 1.0), case(8, 0.2)]), model("empty", Vec::new())];
        let svg = svg(&BenchOutput::new(MachineOutput::now(), Vec::new(), models));
        assert_eq!(svg.matches("<circle").count(), 4, "two points in each panel");
        assert!(svg.contains("a&lt;b") && !svg.contains("NaN") && !svg.contains("inf"));
    }
}
