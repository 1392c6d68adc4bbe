//! What successive passes over one sequence have in common. Pure.

use std::collections::HashSet;

use crate::mask::types::Op;
use crate::train::report::RasterRow;

/// Numbers beside the raster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shared {
    pub passes: usize,
    /// Share of the positions that were masked at least once.
    pub coverage: f64,
    /// Mean Jaccard index of successive passes: 1 where the mask never changes.
    pub overlap: Option<f64>,
    pub distinct: usize,
    /// Masked share of all positions, over all passes.
    pub rate: f64,
}

/// Of the rows of one sequence.
pub fn shared<'a>(rows: impl Iterator<Item = &'a RasterRow>) -> Shared {
    let rows: Vec<&[Option<Op>]> = rows.map(|r| r.ops.as_slice()).collect();
    let n = rows.iter().map(|r| r.len()).max().unwrap_or(0);
    let masked = |row: &[Option<Op>], i: usize| row.get(i).copied().flatten().is_some();
    let times: Vec<usize> = (0..n).map(|i| rows.iter().filter(|r| masked(r, i)).count()).collect();
    let overlaps: Vec<f64> = rows
        .windows(2)
        .filter_map(|two| {
            let both = (0..n).filter(|i| masked(two[0], *i) && masked(two[1], *i)).count();
            let any = (0..n).filter(|i| masked(two[0], *i) || masked(two[1], *i)).count();
            (any > 0).then(|| both as f64 / any as f64)
        })
        .collect();
    let share = |part: usize, of: usize| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    Shared {
        passes: rows.len(),
        coverage: share(times.iter().filter(|t| **t > 0).count(), n),
        overlap: (!overlaps.is_empty()).then(|| overlaps.iter().sum::<f64>() / overlaps.len() as f64),
        distinct: rows.iter().collect::<HashSet<_>>().len(),
        rate: share(times.iter().sum(), n * rows.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(masked: &[usize]) -> RasterRow {
        let ops = (0..10).map(|i| masked.contains(&i).then_some(Op::Hide)).collect();
        RasterRow { step: 1, pass: 0, sequence: 0, ops, scores: vec![0; 10] }
    }

    #[test]
    fn static_rows_overlap_fully_and_moving_ones_do_not() {
        let still: Vec<RasterRow> = (0..5).map(|_| row(&[1, 4])).collect();
        let s = shared(still.iter());
        assert_eq!((s.passes, s.distinct, s.overlap), (5, 1, Some(1.0)));
        assert!((s.coverage - 0.2).abs() < 1e-12 && (s.rate - 0.2).abs() < 1e-12);
        let moving = [row(&[0, 1]), row(&[1, 2]), row(&[7, 8])];
        let s = shared(moving.iter());
        assert_eq!(s.distinct, 3);
        assert!((s.overlap.unwrap() - (1.0 / 3.0) / 2.0).abs() < 1e-12);
        assert!((s.coverage - 0.5).abs() < 1e-12);
        assert_eq!(shared([].iter()).overlap, None);
    }
}
