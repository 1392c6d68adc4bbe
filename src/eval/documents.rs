//! Two models on the same documents: losses weighed by tokens, intervals by resampling whole documents. Tokens of one
//! document hang together, so that an interval over tokens would be far too narrow. Pure.

use super::stats::{Bootstrap, Interval, t_interval};

/// What one document cost before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DocumentPair {
    /// Labels, the same for both.
    pub labels: usize,
    /// Sums of nats over the labels.
    pub before: f64,
    pub after: f64,
}

impl DocumentPair {
    /// Nats per token.
    pub fn per_token(&self) -> (f64, f64) {
        let n = self.labels.max(1) as f64;
        (self.before / n, self.after / n)
    }
}

/// Both models over all documents, in nats per token; every token counts the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    pub before: Interval,
    pub after: Interval,
    /// After minus before, document by document.
    pub difference: Interval,
    /// The same with every document counting the same, by Student's t; `None` under two documents.
    pub by_document: Option<Interval>,
}

/// Compares; `None` without labels.
pub fn compare(documents: &[DocumentPair], bootstrap: &Bootstrap) -> Option<Comparison> {
    if documents.iter().all(|d| d.labels == 0) {
        return None;
    }
    // A ratio of sums: a resample with more long documents also has more tokens to divide by.
    let ratio = |of: fn(&DocumentPair) -> f64| {
        bootstrap.interval(documents.len(), |picked| {
            let labels: usize = picked.iter().map(|&i| documents[i].labels).sum();
            picked.iter().map(|&i| of(&documents[i])).sum::<f64>() / labels.max(1) as f64
        })
    };
    let means: Vec<f64> = documents
        .iter()
        .filter(|d| d.labels > 0)
        .map(|d| {
            let (before, after) = d.per_token();
            after - before
        })
        .collect();
    Some(Comparison {
        before: ratio(|d| d.before)?,
        after: ratio(|d| d.after)?,
        difference: ratio(|d| d.after - d.before)?,
        by_document: t_interval(&means, bootstrap.level),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_weigh_and_documents_are_resampled() {
        // A long document that fell by 1 and a short one that rose by 1.
        let two = [
            DocumentPair { labels: 90, before: 450.0, after: 360.0 },
            DocumentPair { labels: 10, before: 50.0, after: 60.0 },
        ];
        let got = compare(&two, &Bootstrap::default()).unwrap();
        assert!((got.difference.value + 0.8).abs() < 1e-12, "{got:?}");
        assert!((got.before.value - 5.0).abs() < 1e-12 && (got.after.value - 4.2).abs() < 1e-12);
        assert!(got.by_document.unwrap().value.abs() < 1e-12);
        assert_eq!((got.difference.low, got.difference.high), (-1.0, 1.0), "either document alone");
        assert_eq!(compare(&[DocumentPair::default()], &Bootstrap::default()), None);
    }

    #[test]
    fn pairing_takes_out_how_hard_documents_are() {
        let many: Vec<DocumentPair> = (0..40)
            .map(|i| {
                let hard = 400.0 + 10.0 * f64::from(i % 7);
                DocumentPair { labels: 100, before: hard, after: hard - 30.0 - f64::from(i % 3) }
            })
            .collect();
        let got = compare(&many, &Bootstrap::default()).unwrap();
        let width = |i: Interval| i.high - i.low;
        assert!(width(got.difference) < 0.05 * width(got.before), "{got:?}");
        assert!(got.difference.high < -0.3 && got.difference.low > -0.33);
    }
}
