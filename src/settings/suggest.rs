//! The nearest known word to a misspelt one.

/// The most similar of `known`, if any is similar enough to be worth offering.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Below about 0.7 Jaro–Winkler offers words that share little more than a letter.
    const ENOUGH: f64 = 0.7;
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn offers_the_near_and_only_the_near() {
        let keys = ["mask.threshold", "mask.probability", "train.steps"];
        assert_eq!(nearest("mask.treshold", keys), Some("mask.threshold"));
        assert_eq!(nearest("Mask.Probability", keys), Some("mask.probability"));
        assert_eq!(nearest("zzz", keys), None);
    }
}
