//! The score in force as one line, for the screen and for every export.

use super::distance_null::KAPPA;
use super::types::{Reduction, ScoreSettings};

/// Words, then symbols. `in_force` differs from the reduction asked for while a model has no calibration.
pub fn formula(settings: &ScoreSettings, in_force: Reduction) -> String {
    let weighs = settings.contribution && in_force != Reduction::Rollout;
    let c = if weighs { "c[t,i]" } else { "α[t,i]" };
    let w = settings.window;
    let (words, symbols) = match in_force {
        Reduction::Corrected => (
            "attention received from later tokens, 1 = as under uniform attention".to_owned(),
            format!("A_i = Σ_(t>i) {c} / Σ_(t>i) 1/(t+1)"),
        ),
        Reduction::DistanceNull => (
            "attention received, 1 = as much as any token at these distances in this model".to_owned(),
            format!("ℓ_i = (Σ_(t>i) {c} + {KAPPA}·g0) / (Σ_(t>i) m_t·ḡ(t−i)/Ḡ_t + {KAPPA}·g0)"),
        ),
        Reduction::Sum => {
            ("attention received from all later tokens, summed".to_owned(), format!("A_i = Σ_(t>i) {c}"))
        }
        Reduction::Window => (
            format!("mean attention received from those of the last {w} tokens that come later"),
            format!("A_i = mean_(t>i, t≥T−{w}) {c}"),
        ),
        Reduction::Last => {
            ("attention received from the last token".to_owned(), format!("A_i = {}", c.replace('t', "T−1")))
        }
        Reduction::MaxHeads => (
            "attention received from later tokens in the head that reads most, 1 = as under uniform attention"
                .to_owned(),
            format!("A_i = max_(l,h) Σ_(t>i) {c} / Σ_(t>i) 1/(t+1)"),
        ),
        Reduction::Rollout => (
            "attention roll-out received from the last token".to_owned(),
            "A_i = [Π_l (½·I + ½·mean_h α_l)]_(T−1,i)".to_owned(),
        ),
        Reduction::Plain => (
            "mean attention received, the token itself included (the article)".to_owned(),
            format!("A_i = mean_(t≥i) {c}"),
        ),
    };
    let mut out = format!("{words}: {symbols}");
    if weighs {
        out.push_str(", c = α·‖W_O v‖");
    }
    let joined = match in_force {
        Reduction::MaxHeads | Reduction::Rollout => "over",
        _ => "mean over",
    };
    out.push_str(&format!(", {joined} {}", subset(settings)));
    if in_force != settings.reduction {
        let asked = settings.reduction;
        return format!("{in_force}, standing in for {asked}, which is not measured for this model: {out}");
    }
    out
}

fn subset(settings: &ScoreSettings) -> String {
    match (settings.layers.as_slice(), settings.heads.as_slice()) {
        ([], []) => "all layers and heads".to_owned(),
        (layers, heads) => format!("{} and {}", some("layer", layers), some("head", heads)),
    }
}

fn some(what: &str, list: &[usize]) -> String {
    let names: Vec<String> = list.iter().map(usize::to_string).collect();
    match list {
        [] => format!("all {what}s"),
        [one] => format!("{what} {one}"),
        _ => format!("{what}s {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_say_what_is_in_force_on_one_line() {
        let default = ScoreSettings::default();
        assert_eq!(
            formula(&default, Reduction::DistanceNull),
            "attention received, 1 = as much as any token at these distances in this model: \
             ℓ_i = (Σ_(t>i) c[t,i] + 8·g0) / (Σ_(t>i) m_t·ḡ(t−i)/Ḡ_t + 8·g0), c = α·‖W_O v‖, \
             mean over all layers and heads"
        );
        let stand_in = formula(&default, Reduction::Corrected);
        assert!(stand_in.starts_with("corrected, standing in for distance-null, which is not measured"));
        assert_eq!(
            formula(&ScoreSettings::article(), Reduction::Plain),
            "mean attention received, the token itself included (the article): A_i = mean_(t≥i) α[t,i], \
             mean over all layers and heads"
        );
        let one = ScoreSettings {
            reduction: Reduction::Last,
            layers: vec![3],
            heads: vec![0, 1],
            ..ScoreSettings::default()
        };
        assert!(
            formula(&one, Reduction::Last)
                .ends_with("A_i = c[T−1,i], c = α·‖W_O v‖, mean over layer 3 and heads 0, 1")
        );
        for &reduction in Reduction::ALL {
            for contribution in [false, true] {
                let settings = ScoreSettings { reduction, contribution, ..ScoreSettings::default() };
                let line = formula(&settings, reduction);
                assert!(
                    !line.contains('\n') && line.contains(": ") && !line.contains("standing in"),
                    "{line}"
                );
                let weighs = contribution && reduction != Reduction::Rollout;
                assert_eq!(line.contains("W_O"), weighs, "{line}");
            }
        }
    }
}
