//! Finds entries of a list by a few typed letters: they must occur in order; word starts and runs count more. Pure.

/// How well `needle` fits `text`; `None` when a letter is missing. Case does not matter; an empty needle fits all.
pub fn score(needle: &str, text: &str) -> Option<i32> {
    let hay: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let mut total = 0;
    let mut from = 0;
    let mut previous: Option<usize> = None;
    for c in needle.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase) {
        let starts = |i: &usize| *i == 0 || !hay[*i - 1].is_alphanumeric();
        let next = previous.map(|p| p + 1).filter(|i| hay.get(*i) == Some(&c));
        let word = (from..hay.len()).filter(starts).find(|i| hay[*i] == c);
        let any = (from..hay.len()).find(|i| hay[*i] == c);
        // Jumping ahead to a word start must not lose letters that come before it.
        let at = next.or(word.filter(|_| any.is_some())).or(any)?;
        total += if next.is_some() {
            8
        } else if word == Some(at) {
            6
        } else {
            1
        };
        total -= ((at - from) as i32).min(4);
        from = at + 1;
        previous = Some(at);
    }
    Some(total - (hay.len() as i32) / 16)
}

/// Indices of the entries that fit, best first; equals stay in their order.
pub fn rank<'a>(needle: &str, entries: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
    let mut found: Vec<(i32, usize)> =
        entries.into_iter().enumerate().filter_map(|(i, text)| best(needle, text).map(|s| (-s, i))).collect();
    if !needle.trim().is_empty() {
        found.sort_unstable();
    }
    found.into_iter().map(|(_, i)| i).collect()
}

/// Preferring word starts can run past letters that are needed; then plain substring order decides.
fn best(needle: &str, text: &str) -> Option<i32> {
    score(needle, text).or_else(|| {
        let mut hay = text.chars().flat_map(char::to_lowercase);
        let mut letters = needle.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase);
        letters.all(|c| hay.any(|h| h == c)).then_some(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_starts_and_runs_win() {
        let entries = ["next-head", "help", "threshold-up", "previous-head"];
        assert_eq!(rank("he", entries)[0], 1);
        assert_eq!(rank("tu", entries), [2]);
        assert_eq!(rank("nh", entries), [0]);
        assert_eq!(rank("", entries), [0, 1, 2, 3]);
        assert!(rank("xyz", entries).is_empty());
    }

    #[test]
    fn letters_before_a_word_start_are_still_found() {
        assert_eq!(rank("eadn", ["head next", "dance"]), [0]);
        assert_eq!(rank("aba", ["xa ab a"]), [0]);
    }
}
