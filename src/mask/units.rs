//! What is masked together: tokens, words (BPE pieces up to the next space-prefixed one), or all copies of a token.

use std::collections::BTreeMap;

use super::types::Unit;

/// Which of `len` tokens begin a word: the first, and those of which `begins` says so.
///
/// `special(i)` marks a token that stands for no text (an end, a beginning, padding); it is a word alone.
pub fn word_starts(len: usize, begins: impl Fn(usize) -> bool, special: impl Fn(usize) -> bool) -> Vec<bool> {
    (0..len).map(|i| i == 0 || begins(i) || special(i) || special(i - 1)).collect()
}

/// Splits the eligible positions into units, each ascending, ordered by their first position.
///
/// `word_starts[i]` says whether token `i` begins a word; without it every token is a word.
/// Positions that are not eligible belong to no unit, so a protected piece stays while the rest of its word may go.
pub fn group(unit: Unit, eligible: &[bool], ids: &[u32], word_starts: &[bool]) -> Vec<Vec<usize>> {
    if unit == Unit::Token {
        return (0..eligible.len()).filter(|&i| eligible[i]).map(|i| vec![i]).collect();
    }
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut word = 0u64;
    for (i, &is_eligible) in eligible.iter().enumerate() {
        if word_starts.get(i).copied().unwrap_or(true) {
            word = i as u64;
        }
        if is_eligible {
            let key = match unit {
                Unit::Token => i as u64,
                Unit::Word => word,
                Unit::Type => ids.get(i).map_or(i as u64, |&id| u64::from(id)),
            };
            groups.entry(key).or_default().push(i);
        }
    }
    let mut out: Vec<Vec<usize>> = groups.into_values().collect();
    out.sort_by_key(|members| members[0]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_run_to_the_next_space_prefixed_piece() {
        let pieces = ["The", " qu", "ick", ",", " fox", "<eot>", "New", "\n", "line"];
        let begins = |i: usize| pieces[i].starts_with(char::is_whitespace);
        let starts = word_starts(pieces.len(), begins, |i| i == 5);
        assert_eq!(starts, [true, true, false, false, true, true, true, true, false]);
        let eligible = [true, true, false, true, true, false, true, true, true];
        let words = group(Unit::Word, &eligible, &[0; 9], &starts);
        assert_eq!(words, vec![vec![0], vec![1, 3], vec![4], vec![6], vec![7, 8]]);
    }

    #[test]
    fn types_gather_all_copies_and_tokens_stand_alone() {
        let ids = [5, 6, 5, 7, 6];
        let types = group(Unit::Type, &[true, true, true, false, true], &ids, &[]);
        assert_eq!(types, vec![vec![0, 2], vec![1, 4]]);
        assert_eq!(group(Unit::Token, &[false, true, true], &ids, &[]), vec![vec![1], vec![2]]);
    }
}
