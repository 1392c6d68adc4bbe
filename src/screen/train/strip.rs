//! The seeds of a comparison as dots on a line, with the interval of their mean and the band that counts as no difference.

use ratatui::layout::Rect;

use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::units::short;
use crate::train::report::TwinVerdict;

/// Columns of the number at either end.
const END: u16 = 8;

/// A line with 0 in its middle: a dot for every seed's difference, the interval as a bar, ±ε as marks, the ends as numbers.
pub fn draw(c: &mut Canvas, area: Rect, differences: &[f64], verdict: &TwinVerdict) {
    let width = area.width.saturating_sub(2 * END);
    if width < 9 {
        return;
    }
    let ends = [verdict.low, verdict.high].into_iter().flatten();
    let epsilon = verdict.basis.epsilon;
    let reach = differences.iter().copied().chain(ends).chain([epsilon]).map(f64::abs).fold(0.0, f64::max);
    let reach = if reach > 0.0 { 1.05 * reach } else { 1.0 };
    let (left, middle) = (area.x + END, f64::from(width - 1) / 2.0);
    let at = |value: f64| left + (middle + middle * (value / reach).clamp(-1.0, 1.0)).round() as u16;
    let (dim, faint, strong) = (c.style(Role::Dim), c.style(Role::Faint), c.theme.bold(Role::Strong));
    let ascii = c.ascii();
    let sign = |unicode: &'static str, plain: &'static str| if ascii { plain } else { unicode };
    c.right(area.x, area.x + END - 1, area.y, &short(-reach), dim);
    c.text(left + width + 1, area.y, &format!("+{}", short(reach)), dim, END - 1);
    c.line(left, area.y, sign("·", "."), width, faint);
    for edge in [-epsilon, epsilon] {
        c.put(at(edge), area.y, sign("┊", ":"), dim);
    }
    c.put(at(0.0), area.y, sign("│", "|"), dim);
    if let (Some(low), Some(high)) = (verdict.low, verdict.high) {
        let (from, to) = (at(low), at(high));
        let accent = c.style(Role::Accent);
        c.line(from, area.y, sign("━", "="), to + 1 - from, accent);
        c.put(from, area.y, sign("┣", "["), accent);
        c.put(to, area.y, sign("┫", "]"), accent);
    }
    for value in differences {
        c.put(at(*value), area.y, sign("●", "o"), strong);
    }
}
