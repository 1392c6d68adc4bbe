//! How well labels were told: accuracy and macro-averaged F1. Pure.

/// Share of the labels that were said right; 0 of none.
pub fn accuracy(wanted: &[u32], said: &[u32]) -> f64 {
    let right = wanted.iter().zip(said).filter(|(a, b)| a == b).count();
    right as f64 / wanted.len().max(1) as f64
}

/// F1 of every class that occurs among the labels or among what was said, averaged with equal weight; a class that is never
/// said has 0, as scikit-learn's `f1_score(average="macro", zero_division=0)` counts it.
pub fn macro_f1(wanted: &[u32], said: &[u32]) -> f64 {
    let mut classes: Vec<u32> = wanted.iter().chain(said).copied().collect();
    classes.sort_unstable();
    classes.dedup();
    let f1 = |class: &u32| {
        let both = wanted.iter().zip(said).filter(|(a, b)| *a == class && *b == class).count();
        let either = wanted.iter().chain(said).filter(|c| *c == class).count();
        2.0 * both as f64 / either.max(1) as f64
    };
    classes.iter().map(f1).sum::<f64>() / classes.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_those_of_scikit_learn() {
        // tests/references/classification.py; nobody says class 3, and F1 averages it in.
        let wanted = [0, 0, 1, 1, 2, 2, 2, 0, 1, 3];
        let said = [0, 1, 1, 1, 2, 0, 2, 0, 2, 1];
        assert!((accuracy(&wanted, &said) - 0.6).abs() < 1e-12);
        assert!((macro_f1(&wanted, &said) - 0.476_190_476_190_476_16).abs() < 1e-12);
        assert_eq!((accuracy(&[], &[]), macro_f1(&[], &[])), (0.0, 0.0));
        assert_eq!(macro_f1(&[1, 2], &[1, 2]), 1.0);
    }
}
