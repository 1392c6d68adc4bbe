//! Which combinations of arm, operation, replacement and schedule make sense, and why the others do not. Pure.

use crate::mask::mix::Mix;
use crate::mask::types::{MaskSettings, Op, Polarity, Protect, Replacement, Scale, Scope, Unit};
use crate::model::Config;
use crate::train::spec::{Arm, Joint, MaskSchedule, MaskingSpec, RanksBy};

/// Why a masking policy is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MaskingRefusal {
    #[error("the mask rate must be between 0 and 1, not {0}")]
    Rate(f64),
    #[error("the cool-down must be at least 0 and below 1, not {0}")]
    CoolDown(f64),
    #[error(
        "schedule {schedule} at an average rate of {rate} needs a rate of {peak:.2} at its peak, above {limit}"
    )]
    Peak { schedule: &'static str, rate: f64, peak: f64, limit: f64 },
    #[error("the share of clean sequences must be at least 0 and below 1: {0}")]
    CleanShare(f64),
    #[error("{0} draws a rate for every sequence already, so the schedule per-sequence would draw twice")]
    PairRates(Arm),
    #[error("a learned policy {0} sets the rate of every sequence, so sequences cannot draw their own")]
    JointRates(Joint),
    #[error("evict removes entries from the key-value cache, which training does not have")]
    Evict,
    #[error("{0} masks query-key pairs; pairs can only be hidden or kept, so {1} is not possible")]
    PairOp(Arm, Op),
    #[error("{0} masks query-key pairs, which a mix of operations cannot do")]
    PairMix(Arm),
    #[error("scale {0} gives no fixed mask rate, and training needs one")]
    Scale(Scale),
    #[error(
        "{arm} with unit {unit} gives no fixed mask rate, because units differ in length, and training needs one"
    )]
    Unit { arm: Arm, unit: Unit },
    #[error("scope block decides from the past only, but a training mask is decided for the whole sequence")]
    Scope,
    #[error("pinned regions belong to one text, not to a corpus")]
    Pinned,
    #[error("at rate 1 and with nothing protected, every token would be dropped")]
    NothingLeft,
    #[error("skip bypasses the layers between the first and the last, and this model has {0}")]
    TooShallow(usize),
    #[error("replacing by the end of text needs a tokenizer with a token for it")]
    NoEndOfText,
    #[error("this run has no [MASK] row, which must be created when the run starts")]
    NoMaskRow,
    #[error("τ and p must be between 0 and 1, not {0}")]
    Slider(f64),
}

impl MaskingRefusal {
    /// What to choose instead.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            MaskingRefusal::Peak { .. } => "lower the rate or choose the schedule constant",
            MaskingRefusal::PairRates(_) => "choose the schedule constant",
            MaskingRefusal::JointRates(_) => "choose the schedule constant and a clean share of 0",
            MaskingRefusal::Evict => "choose hide: to later queries it is the same as evicting",
            MaskingRefusal::PairOp(..) | MaskingRefusal::PairMix(_) => "choose hide",
            MaskingRefusal::Scale(_) => "set the scale to rank (mask.scale = rank)",
            MaskingRefusal::Unit { .. } => "choose unit token, or a random arm",
            MaskingRefusal::Scope => "choose scope whole; losses under it are labelled look-ahead",
            MaskingRefusal::Pinned => "clear the pinned regions",
            MaskingRefusal::NothingLeft => "protect a token or lower the rate",
            MaskingRefusal::TooShallow(_) => "choose hide or drop",
            MaskingRefusal::NoEndOfText => "choose replacement mask or mean",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// Last tokens that training never masks; a quarter of short sequences, so that something is left to mask.
const LAST: usize = 16;

impl MaskingSpec {
    /// The settings that decisions are made with, at the average rate: the policy where there is one, else τ and p
    /// from the rate (p at least a half, so that attention decides more than chance does). Drop and skip then take
    /// exactly k units, so that the sequences of a batch have one length.
    pub fn settings(&self, context: usize) -> MaskSettings {
        let mut settings = match &self.policy {
            Some(policy) => policy.clone(),
            None => {
                let p = self.rate.clamp(0.5, 1.0);
                MaskSettings {
                    threshold: 1.0 - (self.rate / p).clamp(0.0, 1.0),
                    probability: p,
                    op: self.op,
                    replacement: self.replacement,
                    exact_k: matches!(self.op, Op::Drop | Op::Skip),
                    protect: Protect { last: LAST.min(context / 4), ..Protect::default() },
                    polarity: Polarity::High,
                    ..MaskSettings::default()
                }
            }
        };
        settings.polarity = match self.arm {
            Arm::None | Arm::Static1 | Arm::Static10 | Arm::DynRand | Arm::DynPair => Polarity::Random,
            Arm::DynAttnLow => Polarity::Low,
            Arm::DynAttnHigh | Arm::DynSalient => Polarity::High,
            Arm::StaticAttn => match settings.polarity {
                Polarity::Low => Polarity::Low,
                _ => Polarity::High,
            },
        };
        settings
    }

    /// The explorer's policy as a training policy: same τ, p, polarity, operation and score; what belongs to one text
    /// (pinned regions, scope `block`) is left behind, and training's protection of the last tokens is taken.
    pub fn from_explorer(mask: &MaskSettings, score: &crate::attention::types::ScoreSettings) -> Self {
        let arm = match mask.polarity {
            Polarity::High => Arm::DynAttnHigh,
            Polarity::Low => Arm::DynAttnLow,
            Polarity::Random => Arm::DynRand,
        };
        let op = if mask.op == Op::Evict { Op::Hide } else { mask.op };
        let mut policy = MaskSettings { op, scope: Scope::Whole, pinned: Vec::new(), ..mask.clone() };
        if policy.protect == Protect::default() {
            policy.protect.last = LAST;
        }
        MaskingSpec {
            arm,
            op,
            replacement: mask.replacement,
            rate: mask.nominal_rate(),
            policy: Some(policy),
            score: score.clone(),
            ..MaskingSpec::default()
        }
    }

    /// Whether the arm ranks tokens by a score.
    pub fn needs_scores(&self) -> bool {
        self.arm.needs_scores()
    }

    /// Whether sequences must keep their number from epoch to epoch.
    pub fn needs_fixed_cuts(&self) -> bool {
        self.arm != Arm::None
    }

    /// Whether the `[MASK]` row is used, and so trained.
    pub fn needs_mask_row(&self) -> bool {
        let settings = self.settings(usize::MAX);
        let replaces = |op: Op, r: Option<Replacement>| {
            op == Op::Replace && r.unwrap_or(settings.replacement) == Replacement::Mask
        };
        self.arm != Arm::None
            && match &settings.mix {
                Some(mix) => mix.parts().iter().any(|p| p.share > 0.0 && replaces(p.op, p.replacement)),
                None => replaces(settings.op, None),
            }
    }

    /// Checks the policy by itself.
    ///
    /// # Errors
    /// The first invalid setting, with its reason.
    pub fn check(&self) -> Result<(), MaskingRefusal> {
        if self.arm == Arm::None {
            return Ok(());
        }
        let settings = self.settings(usize::MAX);
        for slider in [settings.threshold, settings.probability] {
            if !(0.0..=1.0).contains(&slider) {
                return Err(MaskingRefusal::Slider(slider));
            }
        }
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(MaskingRefusal::Rate(self.rate));
        }
        if !(0.0..1.0).contains(&self.cool_down) {
            return Err(MaskingRefusal::CoolDown(self.cool_down));
        }
        if !(0.0..1.0).contains(&self.clean_share) {
            return Err(MaskingRefusal::CleanShare(self.clean_share));
        }
        let own_rates = self.schedule == MaskSchedule::PerSequence;
        if own_rates && self.arm == Arm::DynPair {
            return Err(MaskingRefusal::PairRates(self.arm));
        }
        let kind = self.joint.as_ref().map(|joint| joint.kind).filter(|kind| *kind != Joint::Bandit);
        if let Some(kind) = kind.filter(|_| own_rates || self.clean_share > 0.0) {
            return Err(MaskingRefusal::JointRates(kind));
        }
        self.check_ops(&settings)?;
        if settings.scope == Scope::Block {
            return Err(MaskingRefusal::Scope);
        }
        if !settings.pinned.is_empty() {
            return Err(MaskingRefusal::Pinned);
        }
        let ranks = self.arm.ranks_by() != RanksBy::Nothing;
        if ranks && settings.scale != Scale::Rank {
            return Err(MaskingRefusal::Scale(settings.scale));
        }
        if (ranks || settings.exact_k || self.arm == Arm::DynPair) && settings.unit != Unit::Token {
            return Err(MaskingRefusal::Unit { arm: self.arm, unit: settings.unit });
        }
        let rate = settings.nominal_rate();
        let peak = rate * self.schedule.peak() / (1.0 - self.cool_down) / (1.0 - self.clean_share);
        // Pairs draw their rate from U(0, 2·rate).
        let limit = if self.arm == Arm::DynPair { 0.5 } else { 1.0 };
        if peak > limit + 1e-9 {
            return Err(MaskingRefusal::Peak { schedule: self.schedule.name(), rate, peak, limit });
        }
        let drops = all_ops(&settings).iter().all(|op| *op == Op::Drop);
        if drops && peak > 1.0 - 1e-9 && settings.protect == Protect::NONE {
            return Err(MaskingRefusal::NothingLeft);
        }
        Ok(())
    }

    fn check_ops(&self, settings: &MaskSettings) -> Result<(), MaskingRefusal> {
        let ops = all_ops(settings);
        if ops.contains(&Op::Evict) {
            return Err(MaskingRefusal::Evict);
        }
        if self.arm == Arm::DynPair {
            if settings.mix.is_some() {
                return Err(MaskingRefusal::PairMix(self.arm));
            }
            if let Some(&op) = ops.iter().find(|op| !matches!(op, Op::Hide | Op::Keep)) {
                return Err(MaskingRefusal::PairOp(self.arm, op));
            }
        }
        Ok(())
    }

    /// Checks the policy against a model: [`check`](Self::check), and what depends on its shape and tokenizer.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_model(&self, config: &Config, eot: Option<u32>) -> Result<(), MaskingRefusal> {
        self.check()?;
        if self.arm == Arm::None {
            return Ok(());
        }
        let settings = self.settings(usize::MAX);
        if config.n_layer <= 2 && all_ops(&settings).contains(&Op::Skip) {
            return Err(MaskingRefusal::TooShallow(config.n_layer));
        }
        if eot.is_none() && replacements(&settings).contains(&Replacement::EndOfText) {
            return Err(MaskingRefusal::NoEndOfText);
        }
        Ok(())
    }
}

fn parts(mix: &Mix) -> impl Iterator<Item = &crate::mask::mix::MixPart> {
    mix.parts().iter().filter(|p| p.share > 0.0)
}

fn all_ops(settings: &MaskSettings) -> Vec<Op> {
    match &settings.mix {
        Some(mix) => parts(mix).map(|p| p.op).collect(),
        None => vec![settings.op],
    }
}

fn replacements(settings: &MaskSettings) -> Vec<Replacement> {
    let replacing = |p: &crate::mask::mix::MixPart| p.op == Op::Replace;
    match &settings.mix {
        Some(mix) => parts(mix)
            .filter(|p| replacing(p))
            .map(|p| p.replacement.unwrap_or(settings.replacement))
            .collect(),
        None if settings.op == Op::Replace => vec![settings.replacement],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(arm: Arm, op: Op) -> MaskingSpec {
        MaskingSpec { arm, op, rate: 0.2, ..MaskingSpec::default() }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        assert_eq!(spec(Arm::DynRand, Op::Evict).check(), Err(MaskingRefusal::Evict));
        assert_eq!(spec(Arm::DynPair, Op::Drop).check(), Err(MaskingRefusal::PairOp(Arm::DynPair, Op::Drop)));
        assert_eq!(spec(Arm::DynPair, Op::Hide).check(), Ok(()));
        let policy = |change: fn(&mut MaskSettings)| {
            let mut policy = MaskSettings::default();
            change(&mut policy);
            MaskingSpec { policy: Some(policy), ..spec(Arm::DynAttnHigh, Op::Replace) }.check()
        };
        assert_eq!(policy(|_| ()), Ok(()));
        assert_eq!(policy(|p| p.scale = Scale::Raw), Err(MaskingRefusal::Scale(Scale::Raw)));
        assert_eq!(policy(|p| p.scope = Scope::Block), Err(MaskingRefusal::Scope));
        assert_eq!(policy(|p| p.pinned.push(0..3)), Err(MaskingRefusal::Pinned));
        assert_eq!(policy(|p| p.threshold = 1.5), Err(MaskingRefusal::Slider(1.5)));
        assert!(matches!(policy(|p| p.unit = Unit::Word), Err(MaskingRefusal::Unit { .. })));
        let steep = MaskingSpec { rate: 0.6, schedule: MaskSchedule::RampUp, ..spec(Arm::DynRand, Op::Hide) };
        let refusal = steep.check().unwrap_err();
        assert!(refusal.to_string().contains("1.20") && refusal.hint().is_some(), "{refusal}");
        assert!(MaskingSpec { rate: 0.3, ..steep.clone() }.check().is_ok());
        let pairs = MaskingSpec { rate: 0.3, ..spec(Arm::DynPair, Op::Hide) };
        assert!(pairs.check().is_ok());
        assert!(matches!(MaskingSpec { rate: 0.6, ..pairs }.check(), Err(MaskingRefusal::Peak { .. })));
    }

    #[test]
    fn what_depends_on_the_model_is_refused_too() {
        let config = |layers| {
            let json = format!(
                r#"{{"vocab_size": 20, "n_positions": 8, "n_embd": 4, "n_head": 1, "n_layer": {layers}}}"#
            );
            Config::parse(json.as_bytes(), "config.json").unwrap()
        };
        let skip = spec(Arm::DynRand, Op::Skip);
        assert_eq!(skip.check_model(&config(2), None), Err(MaskingRefusal::TooShallow(2)));
        assert_eq!(skip.check_model(&config(3), None), Ok(()));
        let eot = MaskingSpec { replacement: Replacement::EndOfText, ..spec(Arm::Static1, Op::Replace) };
        assert_eq!(eot.check_model(&config(3), None), Err(MaskingRefusal::NoEndOfText));
        assert_eq!(eot.check_model(&config(3), Some(1)), Ok(()));
    }

    #[test]
    fn the_rate_alone_becomes_tau_and_p_and_the_explorers_policy_is_kept() {
        for rate in [0.0, 0.05, 0.15, 0.5, 0.8, 1.0] {
            let got = MaskingSpec { rate, ..spec(Arm::DynAttnHigh, Op::Replace) }.settings(256);
            assert!((got.nominal_rate() - rate).abs() < 1e-12);
        }
        assert_eq!(spec(Arm::DynRand, Op::Hide).settings(40).protect.last, 10);
        let mask = MaskSettings {
            threshold: 0.6,
            op: Op::Evict,
            polarity: Polarity::Low,
            ..MaskSettings::default()
        };
        let handed = MaskingSpec::from_explorer(&mask, &crate::attention::types::ScoreSettings::default());
        assert_eq!((handed.arm, handed.op, handed.check()), (Arm::DynAttnLow, Op::Hide, Ok(())));
        let settings = handed.settings(256);
        assert_eq!((settings.threshold, settings.probability, settings.protect.last), (0.6, 0.5, 16));
        assert!(handed.needs_scores() && !handed.needs_mask_row());
        assert!(spec(Arm::DynRand, Op::Replace).needs_mask_row());
    }
}
