//! Multinomial naive Bayes over counts of tokens with Laplace smoothing: what word counts alone tell of a label. Pure.

/// A fitted classifier.
#[derive(Clone, Debug)]
pub struct NaiveBayes {
    /// ln of the share of each class; −∞ for one without texts.
    prior: Vec<f64>,
    /// `[classes][vocabulary]`: ln p(token | class).
    told: Vec<Vec<f64>>,
}

impl NaiveBayes {
    /// Fits texts of ids below `vocabulary` with labels below `classes`; one is added to every count.
    pub fn fit<'a>(texts: impl Iterator<Item = (&'a [u32], u32)>, vocabulary: usize, classes: usize) -> Self {
        let mut counts = vec![vec![1f64; vocabulary]; classes];
        let mut texts_of = vec![0f64; classes];
        for (ids, label) in texts {
            texts_of[label as usize] += 1.0;
            for &id in ids {
                counts[label as usize][id as usize] += 1.0;
            }
        }
        let all: f64 = texts_of.iter().sum();
        for of in &mut counts {
            let sum: f64 = of.iter().sum();
            of.iter_mut().for_each(|n| *n = (*n / sum).ln());
        }
        NaiveBayes { prior: texts_of.iter().map(|n| (n / all.max(1.0)).ln()).collect(), told: counts }
    }

    /// ln p(class, text) by class.
    pub fn joint(&self, ids: &[u32]) -> Vec<f64> {
        let one =
            |(prior, told): (&f64, &Vec<f64>)| prior + ids.iter().map(|&id| told[id as usize]).sum::<f64>();
        self.prior.iter().zip(&self.told).map(one).collect()
    }

    /// The likeliest class, the first of equal ones.
    pub fn say(&self, ids: &[u32]) -> u32 {
        let joint = self.joint(ids);
        let best = |best: usize, class: usize| if joint[class] > joint[best] { class } else { best };
        (0..joint.len()).reduce(best).unwrap_or(0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_scikit_learn() {
        // tests/references/classification.py
        let texts: [(&[u32], u32); 6] = [
            (&[0, 1, 1, 3], 0),
            (&[0, 0, 2], 0),
            (&[4, 4, 5, 2], 1),
            (&[5, 5, 1], 1),
            (&[4, 3], 1),
            (&[0, 5, 5, 5], 0),
        ];
        let fitted = NaiveBayes::fit(texts.into_iter(), 7, 2);
        for (ids, wanted) in [
            (&[0u32, 2, 6][..], [-7.061_677_36, -8.317_766_17]),
            (&[4, 5], [-5.087_596_34, -3.465_735_9]),
            (&[5, 5, 0], [-4.982_235_82, -6.238_324_63]),
        ] {
            let got = fitted.joint(ids);
            assert!(got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-8), "{got:?}");
            assert_eq!(fitted.say(ids), u32::from(wanted[1] > wanted[0]));
        }
    }
}
