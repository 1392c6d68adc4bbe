//! Soft wrapping: one hard line of text to rows of at most `columns` columns. Pure; the editor moves by these rows and
//! the screen draws them, so both must ask here.

use std::ops::Range;

use crate::support::visible::clusters;

/// Byte ranges of the rows of `line` (which holds no line break). Breaks after spaces where possible, inside words
/// where not. Always at least one row; the ranges join without gaps.
pub fn rows(line: &str, columns: usize) -> Vec<Range<usize>> {
    let columns = columns.max(2);
    if line.len() <= columns && line.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return std::iter::once(0..line.len()).collect();
    }
    let mut out = Vec::new();
    let (mut start, mut used, mut breakable) = (0, 0, None);
    for c in clusters(line) {
        if used == columns && c.text == " " {
            // A space may hang over the edge: it would only look like an indent of the next row.
            out.push(start..c.offset + c.len);
            (start, used, breakable) = (c.offset + c.len, 0, None);
            continue;
        }
        // Twice at most: what follows a space may itself be too long together with this one.
        while used + c.width > columns && c.offset > start {
            let at = breakable.take().unwrap_or(c.offset);
            out.push(start..at);
            start = at;
            used = columns_between(line, at, c.offset);
        }
        used += c.width;
        if c.text == " " {
            breakable = Some(c.offset + c.len);
        }
    }
    if start < line.len() || out.is_empty() {
        out.push(start..line.len());
    }
    out
}

fn columns_between(line: &str, from: usize, to: usize) -> usize {
    if from >= to { 0 } else { clusters(&line[from..to]).map(|c| c.width).sum() }
}

/// Which row holds the byte offset `at`, and the column there.
pub fn locate(line: &str, rows: &[Range<usize>], at: usize) -> (usize, usize) {
    let row = rows.iter().rposition(|r| r.start <= at).unwrap_or(0);
    let start = rows.get(row).map_or(0, |r| r.start);
    (row, columns_between(line, start, at.min(line.len())))
}

/// The byte offset at (or just before) `column` of one row.
pub fn offset_at(line: &str, row: &Range<usize>, column: usize, last: bool) -> usize {
    let mut used = 0;
    let mut previous = row.start;
    for c in clusters(&line[row.clone()]) {
        if used + c.width > column {
            return row.start + c.offset;
        }
        used += c.width;
        previous = row.start + c.offset;
    }
    // The end of a soft-wrapped row is the start of the next one; stay on this row.
    if last { row.end } else { previous }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(line: &str, columns: usize) -> Vec<&str> {
        rows(line, columns).into_iter().map(|r| &line[r]).collect()
    }

    #[test]
    fn words_stay_whole_where_they_fit() {
        assert_eq!(texts("the quick brown fox", 10), ["the quick ", "brown fox"]);
        assert_eq!(texts("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(texts("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(texts("", 5), [""]);
        assert_eq!(texts("abcde fgh", 5), ["abcde ", "fgh"]);
    }

    #[test]
    fn places_are_found_both_ways() {
        let line = "the quick brown fox";
        let r = rows(line, 10);
        assert_eq!(locate(line, &r, 12), (1, 2));
        assert_eq!(offset_at(line, &r[1], 2, true), 12);
        assert_eq!(offset_at(line, &r[1], 99, true), line.len());
        assert_eq!(offset_at(line, &r[0], 99, false), 9);
    }

    proptest! {
        #[test]
        fn rows_cover_the_line_and_fit(line in "[ a-z漢é\u{301}\u{1b}]{0,60}", columns in 2usize..20) {
            let r = rows(&line, columns);
            prop_assert_eq!(r[0].start, 0);
            prop_assert_eq!(r[r.len() - 1].end, line.len());
            for pair in r.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
            }
            for row in &r {
                let text = &line[row.clone()];
                let hanging = usize::from(text.ends_with(' '));
                prop_assert!(columns_between(&line, row.start, row.end) <= columns + hanging);
            }
        }
    }
}
