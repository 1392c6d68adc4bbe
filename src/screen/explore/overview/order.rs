//! The grid of all heads: order and layout of the thumbnails. Pure.

use crate::engine::types::HeadSummary;
use crate::settings::choice;

choice! {
    /// What the thumbnails are sorted by.
    pub enum Sort {
        /// by layer and head
        Place = "place",
        /// by share of attention on position 0
        Sink = "sink",
        /// by mean row entropy, nats
        Entropy = "entropy",
        /// by attention to the previous token
        Previous = "previous",
        /// by attention to what followed an earlier copy
        Induction = "induction",
        /// by attention on masked keys
        MaskMass = "mask mass",
    }
}

impl Sort {
    /// The number sorted by; `None` where it is not defined, and for the natural order.
    pub fn value(self, head: &HeadSummary) -> Option<f32> {
        match self {
            Sort::Place => None,
            Sort::Sink => Some(head.sink),
            Sort::Entropy => Some(head.entropy),
            Sort::Previous => Some(head.previous),
            Sort::Induction => head.induction,
            Sort::MaskMass => Some(head.mask_mass),
        }
    }
}

/// Indices of `heads` in the chosen order: largest first, undefined last, ties by layer and head.
pub fn order(heads: &[HeadSummary], sort: Sort) -> Vec<usize> {
    let mut out: Vec<usize> = (0..heads.len()).collect();
    let key = |i: &usize| sort.value(&heads[*i]).filter(|v| v.is_finite());
    out.sort_by(|a, b| {
        let place = |i: &usize| (heads[*i].layer, heads[*i].head);
        let by_value = key(b).partial_cmp(&key(a)).unwrap_or(std::cmp::Ordering::Equal);
        by_value.then(place(a).cmp(&place(b)))
    });
    out
}

/// Thumbnails in rows. All sizes in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub per_row: usize,
    /// Width and height of one thumbnail with its label, if it has one of its own, and its gap.
    pub cell: (usize, usize),
    /// Rows in all, and rows that fit.
    pub rows: usize,
    pub visible: usize,
    /// Columns that fit.
    pub visible_columns: usize,
    /// Columns and lines before the first thumbnail: names of the layers and of the heads.
    pub margin: (usize, usize),
}

/// Columns of a layer's name, and the line of the heads' names.
const MARGIN: (usize, usize) = (4, 1);

/// One grid of all heads, a layer per row, without labels of their own.
pub fn by_place(layers: usize, heads: usize, (columns, lines): (usize, usize)) -> Grid {
    let (width, height) = (columns.saturating_sub(MARGIN.0), lines.saturating_sub(MARGIN.1));
    if layers == 0 || heads == 0 || width == 0 || height == 0 {
        return Grid {
            per_row: heads.max(1),
            cell: (1, 1),
            rows: 0,
            visible: 0,
            visible_columns: 0,
            margin: MARGIN,
        };
    }
    // Square pictures: twice as many columns as lines, and a gap.
    let h = (height / layers).max(1);
    let w = (width / heads).clamp(2, 34).min(2 * h + 1);
    let h = h.min(w.div_ceil(2).max(1));
    Grid {
        per_row: heads,
        cell: (w, h),
        rows: layers,
        visible: (height / h).min(layers),
        visible_columns: (width / w).clamp(1, heads),
        margin: MARGIN,
    }
}

/// Smallest useful thumbnail: 8 columns of picture and a gap, one label line above 4 lines of picture.
const SMALLEST: (usize, usize) = (9, 4);

/// Lays out `n` thumbnails; `natural` is how many make a row of the model (its heads), which is kept where it fits.
pub fn grid(n: usize, natural: usize, (columns, lines): (usize, usize)) -> Grid {
    if n == 0 || columns == 0 || lines == 0 {
        return Grid { per_row: 1, cell: (1, 1), rows: 0, visible: 0, visible_columns: 1, margin: (0, 0) };
    }
    let most = (columns / SMALLEST.0).clamp(1, n);
    let cells = |per_row: usize| cell(n.div_ceil(per_row), per_row, (columns, lines));
    let area = |per_row: &usize| {
        let (w, h) = cells(*per_row);
        // Rows that do not fit are worth nothing.
        w * h * (lines / h).max(1).min(n.div_ceil(*per_row)) * per_row
    };
    // A row of the model is a row on screen, unless that wastes the room.
    let best = (1..=most).max_by_key(|p| area(p)).unwrap_or(1);
    let natural = natural.clamp(1, n);
    let per_row = if natural <= most && area(&natural) * 2 >= area(&best) { natural } else { best };
    let height = cells(per_row).1;
    Grid {
        per_row,
        cell: cells(per_row),
        rows: n.div_ceil(per_row),
        visible: (lines / height).max(1),
        visible_columns: per_row,
        margin: (0, 0),
    }
}

/// Width and height of thumbnails in so many rows and columns.
fn cell(rows: usize, per_row: usize, (columns, lines): (usize, usize)) -> (usize, usize) {
    // A picture of w columns is square with w/2 lines; above it stands the label.
    let width = (columns / per_row).clamp(1, 34);
    let square = (width.saturating_sub(1) / 2 + 1).max(2);
    let height = (lines / rows).clamp(SMALLEST.1, square.max(SMALLEST.1));
    (width.min(((height - 1) * 2 + 2).max(SMALLEST.0)).min(columns), height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(layer: usize, head: usize, sink: f32, induction: Option<f32>) -> HeadSummary {
        HeadSummary {
            layer,
            head,
            side: 1,
            thumbnail: vec![0.0],
            sink,
            entropy: 0.0,
            previous: 0.0,
            induction,
            mask_mass: 0.0,
        }
    }

    #[test]
    fn largest_first_undefined_last() {
        let heads = [head(0, 0, 0.1, None), head(0, 1, 0.9, Some(0.2)), head(1, 0, f32::NAN, Some(0.4))];
        assert_eq!(order(&heads, Sort::Place), [0, 1, 2]);
        assert_eq!(order(&heads, Sort::Sink), [1, 0, 2]);
        assert_eq!(order(&heads, Sort::Induction), [2, 1, 0]);
    }

    #[test]
    fn a_model_keeps_its_shape_where_it_fits() {
        let g = grid(16, 4, (74, 34));
        assert_eq!((g.per_row, g.rows, g.visible), (4, 4, 4));
        let g = grid(144, 12, (120, 60));
        assert_eq!((g.per_row, g.rows), (12, 12));
    }

    #[test]
    fn twelve_by_twelve_heads_fit_with_a_layer_per_row() {
        // The map's pane at 160 × 50.
        let g = by_place(12, 12, (71, 31));
        assert_eq!((g.per_row, g.visible, g.visible_columns), (12, 12, 12));
        assert_eq!(g.cell, (5, 2));
        let g = by_place(6, 4, (71, 31));
        assert_eq!((g.visible, g.visible_columns, g.cell), (6, 4, (11, 5)));
        let g = by_place(48, 25, (38, 8));
        assert!(g.visible == 7 && g.visible_columns == 17, "{g:?}");
    }

    proptest! {
        #[test]
        fn the_grid_fits_its_room(n in 0usize..400, natural in 0usize..30, c in 0usize..200, l in 0usize..60) {
            let g = grid(n, natural, (c, l));
            if n > 0 && c > 0 && l > 0 {
                prop_assert!(g.per_row * g.cell.0 <= c.max(1));
                prop_assert!(g.per_row * g.rows >= n);
                prop_assert!(g.visible >= 1);
            }
        }
    }
}
