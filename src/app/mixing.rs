//! The mix editor's arithmetic: shares of operations in whole percent that always sum to 100. Pure.

use crate::mask::mix::{Mix, MixPart};
use crate::mask::types::{MaskSettings, Op, Replacement};

/// What can be given a share. `replace` without a name replaces with what the setting `with` says.
pub const ROWS: [(Op, Option<Replacement>); 10] = [
    (Op::Replace, None),
    (Op::Replace, Some(Replacement::Mean)),
    (Op::Replace, Some(Replacement::Mask)),
    (Op::Replace, Some(Replacement::Uniform)),
    (Op::Replace, Some(Replacement::Unigram)),
    (Op::Hide, None),
    (Op::Drop, None),
    (Op::Evict, None),
    (Op::Skip, None),
    (Op::Keep, None),
];

/// Percent of every row.
pub type Shares = [u32; ROWS.len()];

const WHOLE: u32 = 100;

/// How a row is called.
pub fn name(row: usize) -> String {
    match ROWS[row] {
        (op, Some(replacement)) => format!("{op}/{replacement}"),
        (op, None) => op.to_string(),
    }
}

/// The shares in force; without a mix the operation has all of it.
pub fn shares(mask: &MaskSettings) -> Shares {
    let mut exact = [0f64; ROWS.len()];
    match &mask.mix {
        None => exact[row_of(mask.op, None)] = 1.0,
        Some(mix) => {
            for part in mix.parts() {
                exact[row_of(part.op, part.replacement)] += part.share;
            }
        }
    }
    whole(exact)
}

fn row_of(op: Op, replacement: Option<Replacement>) -> usize {
    let exact = ROWS.iter().position(|row| *row == (op, replacement));
    // The end-of-text token as a replacement has no row of its own.
    exact.or_else(|| ROWS.iter().position(|row| row.0 == op)).unwrap_or(0)
}

/// Whole percents with the same sum: the largest remainders are rounded up.
fn whole(exact: [f64; ROWS.len()]) -> Shares {
    let total: f64 = exact.iter().sum();
    let scaled = exact.map(|x| x / total.max(1e-12) * f64::from(WHOLE));
    let mut out = scaled.map(|x| (x + 1e-9).floor() as u32);
    let mut order: Vec<usize> = (0..ROWS.len()).collect();
    order.sort_by(|&a, &b| scaled[b].fract().total_cmp(&scaled[a].fract()));
    let missing = WHOLE.saturating_sub(out.iter().sum());
    for &row in order.iter().cycle().take(missing as usize) {
        out[row] += 1;
    }
    out
}

/// Gives a row a share; the others make room, or fill up, in proportion to what they have. Where they have nothing,
/// what is left is kept (and what `keep` gives up is replaced).
pub fn with_share(shares: Shares, row: usize, percent: u32) -> Shares {
    let percent = percent.min(WHOLE);
    let others: u32 = WHOLE - shares[row];
    let left = f64::from(WHOLE - percent);
    let mut exact = shares.map(f64::from);
    if others == 0 {
        let keep = ROWS.len() - 1;
        exact = [0.0; ROWS.len()];
        exact[if row == keep { 0 } else { keep }] = left;
    } else {
        exact.iter_mut().for_each(|x| *x *= left / f64::from(others));
    }
    exact[row] = 0.0;
    let mut out = if left > 0.0 { scaled_to(exact, WHOLE - percent) } else { [0; ROWS.len()] };
    out[row] = percent;
    out
}

fn scaled_to(exact: [f64; ROWS.len()], total: u32) -> Shares {
    let mut out = exact.map(|x| (x + 1e-9).floor() as u32);
    let mut order: Vec<usize> = (0..ROWS.len()).filter(|&i| exact[i] > 0.0).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = total.saturating_sub(out.iter().sum());
    for &row in order.iter().cycle().take(missing as usize) {
        out[row] += 1;
    }
    out
}

/// Takes shares over: a single operation with all of it needs no mix.
pub fn apply(mask: &mut MaskSettings, shares: Shares) {
    let used: Vec<usize> = (0..ROWS.len()).filter(|&row| shares[row] > 0).collect();
    if let [only] = used[..] {
        let (op, replacement) = ROWS[only];
        mask.op = op;
        mask.replacement = replacement.unwrap_or(mask.replacement);
        mask.mix = None;
        return;
    }
    let part = |&row: &usize| {
        let (op, replacement) = ROWS[row];
        MixPart { op, replacement, share: f64::from(shares[row]) / f64::from(WHOLE) }
    };
    // Percents that sum to 100 are always a mix.
    mask.mix = Mix::new(used.iter().map(part).collect()).ok();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn berts_mix_reads_and_comes_back() {
        let mut mask = MaskSettings { mix: Some(Mix::bert()), ..MaskSettings::default() };
        let found = shares(&mask);
        assert_eq!((found[2], found[3], found[9]), (80, 10, 10));
        apply(&mut mask, found);
        assert_eq!(mask.mix.unwrap().to_string(), "replace/mask:0.8,replace/uniform:0.1,keep:0.1");
    }

    #[test]
    fn one_operation_alone_is_no_mix() {
        let mut mask = MaskSettings::default();
        assert_eq!(shares(&mask)[0], 100);
        let half = with_share(shares(&mask), 6, 50);
        apply(&mut mask, half);
        assert_eq!(mask.mix.as_ref().unwrap().to_string(), "replace:0.5,drop:0.5");
        let all = with_share(shares(&mask), 6, 100);
        apply(&mut mask, all);
        assert_eq!((mask.op, mask.mix), (Op::Drop, None));
        let less = with_share([100, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0, 60);
        assert_eq!((less[0], less[9]), (60, 40), "what nobody else has is kept");
    }

    proptest! {
        #[test]
        fn shares_always_sum_to_the_whole(moves in prop::collection::vec((0usize..10, 0u32..130), 1..30)) {
            let mut mask = MaskSettings::default();
            for (row, percent) in moves {
                let next = with_share(shares(&mask), row, percent);
                prop_assert_eq!(next.iter().sum::<u32>(), 100);
                prop_assert_eq!(next[row], percent.min(100));
                apply(&mut mask, next);
                prop_assert_eq!(shares(&mask).iter().sum::<u32>(), 100);
            }
        }
    }
}
