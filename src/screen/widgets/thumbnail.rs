//! A small picture of an attention map.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::canvas::Canvas;
use super::colours::step;
use super::theme::Paint;

/// A square map, row by row, `side` values a row, over an area: the strongest value under each pixel, on a scale that ends at the
/// strongest of all. Keys after their query are left blank.
pub fn draw(c: &mut Canvas, (side, values): (usize, &[f32]), area: Rect) {
    if side == 0 || values.len() < side * side || area.is_empty() {
        return;
    }
    let paint = c.theme.paint();
    let per_line = if paint == Paint::Half { 2 } else { 1 };
    let (w, h) = (area.width as usize, area.height as usize * per_line);
    let most = values.iter().filter(|v| v.is_finite()).fold(0f32, |m, v| m.max(*v)).max(1e-9);
    // Strongest value under the pixel: the thumbnail may be finer or coarser than the screen.
    let span =
        |i: usize, n: usize| i * side / n..((i + 1) * side).div_ceil(n).max(i * side / n + 1).min(side);
    let pixel = |x: usize, y: usize| -> Option<f64> {
        let mut best: Option<f32> = None;
        for q in span(y, h) {
            for k in span(x, w) {
                let v = values[q * side + k];
                if v.is_finite() && k <= q && best.is_none_or(|b| v > b) {
                    best = Some(v);
                }
            }
        }
        best.map(|v| f64::from((v / most).max(0.0)).sqrt())
    };
    for line in 0..area.height {
        for x in 0..area.width {
            let top = pixel(x as usize, line as usize * per_line);
            let (symbol, style) = if paint == Paint::Half {
                let bottom = pixel(x as usize, line as usize * 2 + 1);
                half(c, top, bottom)
            } else if paint == Paint::Solid {
                (" ", top.map_or_else(Style::new, |v| c.theme.on(c.theme.ramps.heat[step(v)])))
            } else {
                (top.map_or(" ", |v| c.theme.shade(v, false)), Style::new())
            };
            c.put(area.x + x, area.y + line, symbol, style);
        }
    }
}

fn half(c: &Canvas, top: Option<f64>, bottom: Option<f64>) -> (&'static str, Style) {
    let colour = |v: f64| c.theme.colour(c.theme.ramps.heat[step(v)]);
    match (top, bottom) {
        (Some(a), Some(b)) => ("▀", Style::new().fg(colour(a)).bg(colour(b))),
        (Some(a), None) => ("▀", Style::new().fg(colour(a))),
        (None, Some(b)) => ("▄", Style::new().fg(colour(b))),
        (None, None) => (" ", Style::new()),
    }
}
