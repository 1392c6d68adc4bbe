//! How values of one map become places on a colour table. The scale is that of what is on screen: a high quantile of the
//! cells in view. The diagonal and the first column, which are strong in most heads, do not count, so that they cannot
//! make all other cells dark.

use crate::engine::types::{MapFrame, MapKind};
use crate::screen::app::App;
use crate::screen::explore::map::view::{Axis, MapView};
use crate::screen::view::ColourScale;
use crate::screen::widgets::colours::{Rgb, step};
use crate::screen::widgets::theme::Theme;

/// Lowest value that the logarithmic scale tells from nothing.
pub const LOG_FLOOR: f32 = 1e-4;
/// The share of the cells in view that lies within the scale.
const QUANTILE: f64 = 0.99;
/// The end of the scale is at least this share of the strongest cell that counts, so that a single strong cell among very
/// weak ones stands out.
const LEAST: f32 = 0.25;
/// About as many cells are looked at for the quantile; a long text has millions.
const SAMPLE: usize = 1 << 16;

/// The scale of one map in one view.
#[derive(Clone, Copy, Debug)]
pub struct CellScale {
    pub kind: ColourScale,
    pub signed: bool,
    /// The value (or its size, in a difference) that gets the last colour, as does everything above it.
    pub max: f32,
    /// The largest value in view.
    pub top: f32,
}

impl CellScale {
    pub fn of(app: &App, map: &MapFrame, view: &MapView) -> Self {
        let signed = map.kind == MapKind::Difference;
        let (max, top) = ends(map, &view.queries, &view.keys);
        CellScale { kind: app.view.colours, signed, max, top }
    }

    /// The scale of a whole map.
    pub fn of_whole(kind: ColourScale, map: &MapFrame) -> Self {
        let axis = Axis { len: map.len, start: 0, span: map.len, pixels: 1, size: map.len };
        let (max, top) = ends(map, &axis, &axis);
        CellScale { kind, signed: map.kind == MapKind::Difference, max, top }
    }

    /// Strength of a value, 0..1; `row` is the largest of its row.
    pub fn strength(&self, value: f32, row: f32) -> f64 {
        let v = f64::from(value.abs());
        let max = f64::from(if self.kind == ColourScale::RowMax { row } else { self.max });
        if v <= 0.0 || max <= 0.0 {
            return 0.0;
        }
        match self.kind {
            ColourScale::Sqrt => (v / max).sqrt(),
            ColourScale::Linear | ColourScale::RowMax => v / max,
            ColourScale::Log => {
                let floor = f64::from(LOG_FLOOR).ln();
                (v.ln() - floor) / (max.ln() - floor).max(1e-9)
            }
        }
        .clamp(0.0, 1.0)
    }

    pub fn colour(&self, theme: &Theme, value: f32, row: f32) -> Rgb {
        let s = self.strength(value, row);
        if self.signed {
            theme.ramps.difference[step(0.5 + 0.5 * s * f64::from(value.signum()))]
        } else {
            theme.ramps.heat[step(s)]
        }
    }
}

/// The end of the scale and the largest value in view.
fn ends(map: &MapFrame, queries: &Axis, keys: &Axis) -> (f32, f32) {
    let n = map.len;
    let (rows, columns) =
        (queries.start..(queries.start + queries.span).min(n), keys.start..(keys.start + keys.span).min(n));
    let every = (rows.len() * columns.len()).div_ceil(SAMPLE).max(1);
    let (mut top, mut strongest, mut counted) = (0f32, 0f32, 0usize);
    let mut sample = Vec::new();
    for q in rows {
        let row = &map.values[q * n..q * n + q + 1];
        for (k, v) in row.iter().enumerate().take(columns.end).skip(columns.start) {
            let v = v.abs();
            if !v.is_finite() {
                continue;
            }
            top = top.max(v);
            if k == 0 || k == q {
                continue;
            }
            strongest = strongest.max(v);
            if counted.is_multiple_of(every) {
                sample.push(v);
            }
            counted += 1;
        }
    }
    if sample.is_empty() {
        return (top, top);
    }
    let at = ((sample.len() - 1) as f64 * QUANTILE).ceil() as usize;
    let (_, quantile, _) = sample.select_nth_unstable_by(at, f32::total_cmp);
    let end = quantile.max(strongest * LEAST);
    (if end > 0.0 { end } else { top }, top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::types::HeadChoice;
    use crate::screen::explore::map::view::{Room, Zoom, layout};

    fn frame(n: usize, value: impl Fn(usize, usize) -> f32) -> MapFrame {
        let values =
            (0..n * n).map(|i| if i % n <= i / n { value(i / n, i % n) } else { 0.0 }).collect::<Vec<_>>();
        MapFrame { kind: MapKind::Masked, heads: HeadChoice::default(), len: n, values: values.into() }
    }

    fn of(map: &MapFrame, zoom: Zoom, origin: (usize, usize)) -> (f32, f32) {
        let view = layout(map.len, Room { width: 40, height: 40, per_line: 2 }, zoom, origin);
        ends(map, &view.queries, &view.keys)
    }

    #[test]
    fn sink_and_diagonal_do_not_make_the_rest_dark() {
        let map = frame(30, |q, k| if k == 0 || k == q { 0.9 } else { 0.02 + 0.001 * k as f32 });
        let (max, top) = of(&map, Zoom::Fit, (0, 0));
        assert!(max > 0.04 && max < 0.05 && top == 0.9, "{max} {top}");
    }

    #[test]
    fn the_scale_is_that_of_what_is_in_view() {
        let map = frame(200, |q, k| if q >= 160 && k >= 100 { 0.5 } else { 0.05 });
        assert_eq!(of(&map, Zoom::Level(1), (60, 40)).0, 0.05);
        assert_eq!(of(&map, Zoom::Level(1), (170, 120)).0, 0.5);
    }

    #[test]
    fn one_strong_cell_is_not_lost_among_weak_ones_and_odd_maps_have_a_scale() {
        let map = frame(300, |q, k| if (q, k) == (200, 100) { 0.8 } else { 1e-4 });
        assert_eq!(of(&map, Zoom::Fit, (0, 0)), (0.2, 0.8));
        assert_eq!(of(&frame(1, |_, _| 1.0), Zoom::Fit, (0, 0)), (1.0, 1.0));
        assert_eq!(of(&frame(2, |q, _| if q == 0 { 1.0 } else { 0.5 }), Zoom::Fit, (0, 0)), (1.0, 1.0));
        assert_eq!(of(&frame(9, |_, _| 0.0), Zoom::Fit, (0, 0)), (0.0, 0.0));
        assert_eq!(of(&frame(9, |_, _| f32::NAN), Zoom::Fit, (0, 0)), (0.0, 0.0));
    }
}
