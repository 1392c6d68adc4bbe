//! Mixes of operations: each selected unit draws its own. BERT's 80/10/10 is one of them.

use std::str::FromStr;

use super::types::{Op, Replacement};
use crate::settings::{Kind, Setting, Value};

/// One operation's share of the selected units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixPart {
    pub op: Op,
    /// For `replace`: a replacement of its own instead of the one in the settings.
    pub replacement: Option<Replacement>,
    /// In [0, 1].
    pub share: f64,
}

/// Operations and their shares, which sum to 1. Text form: `replace:0.8,replace/uniform:0.1,keep:0.1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix(Vec<MixPart>);

/// Shares may miss 1 by this much, so that thirds can be typed.
const TOLERANCE: f64 = 1e-3;

impl Mix {
    pub fn new(parts: Vec<MixPart>) -> Result<Self, String> {
        if let Some(part) = parts.iter().find(|p| !(0.0..=1.0).contains(&p.share)) {
            return Err(format!("the share of {} is {}, not between 0 and 1", part.op, part.share));
        }
        let sum: f64 = parts.iter().map(|p| p.share).sum();
        if (sum - 1.0).abs() > TOLERANCE {
            return Err(format!("the shares of a mix sum to {sum}, not 1"));
        }
        Ok(Mix(parts))
    }

    /// BERT (arXiv 1810.04805): 80 % `[MASK]`, 10 % a random token, 10 % unchanged.
    pub fn bert() -> Self {
        let part = |op, replacement, share| MixPart { op, replacement, share };
        Mix(vec![
            part(Op::Replace, Some(Replacement::Mask), 0.8),
            part(Op::Replace, Some(Replacement::Uniform), 0.1),
            part(Op::Keep, None, 0.1),
        ])
    }

    pub fn parts(&self) -> &[MixPart] {
        &self.0
    }

    /// The part that a draw in [0, 1) falls to; parts with no share are never chosen.
    pub fn pick(&self, draw: f64) -> Option<&MixPart> {
        let mut upto = 0.0;
        let mut chosen = None;
        for part in self.0.iter().filter(|p| p.share > 0.0) {
            chosen = Some(part);
            upto += part.share;
            if draw < upto {
                break;
            }
        }
        chosen
    }
}

impl FromStr for Mix {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let part = |text: &str| -> Result<MixPart, String> {
            let (name, share) = text
                .split_once(':')
                .ok_or_else(|| format!("a part of a mix looks like replace:0.8, not {text:?}"))?;
            let (op, replacement) = match name.trim().split_once('/') {
                Some((op, replacement)) => (op, Some(replacement.parse()?)),
                None => (name.trim(), None),
            };
            let op: Op = op.parse()?;
            if replacement.is_some() && op != Op::Replace {
                return Err(format!("only replace takes a replacement, not {op}"));
            }
            let share = share.trim();
            let share = share.parse().map_err(|_| format!("the share of {op} is not a number: {share}"))?;
            Ok(MixPart { op, replacement, share })
        };
        Mix::new(s.split(',').map(|p| part(p.trim())).collect::<Result<_, _>>()?)
    }
}

/// Empty and `off` are no mix.
impl Setting for Option<Mix> {
    const KIND: Kind = Kind::Text;
    fn to_value(&self, _: &Kind) -> Value {
        Value::Text(self.as_ref().map(Mix::to_string).unwrap_or_default())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value.to_string_plain().trim() {
            "" | "off" => Ok(None),
            text => text.parse().map(Some),
        }
    }
}

impl serde::Serialize for Mix {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Mix {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match part.replacement {
                Some(r) => write!(f, "{comma}{}/{r}:{}", part.op, part.share)?,
                None => write!(f, "{comma}{}:{}", part.op, part.share)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_comes_back() {
        for text in
            ["replace:0.8,replace/uniform:0.1,keep:0.1", "drop:1", "replace:0.333,hide:0.333,keep:0.334"]
        {
            let mix: Mix = text.parse().unwrap();
            assert_eq!(mix.to_string(), text);
        }
        assert_eq!(Mix::bert().to_string(), "replace/mask:0.8,replace/uniform:0.1,keep:0.1");
    }

    #[test]
    fn what_is_no_mix_is_named() {
        for (text, why) in [
            ("replace:0.8", "sum to 0.8"),
            ("replace:1.5,keep:-0.5", "not between 0 and 1"),
            ("replace", "looks like"),
            ("erase:1", "unknown value"),
            ("keep/mean:1", "only replace"),
            ("keep:much", "not a number: much"),
            ("keep:NaN", "not between 0 and 1"),
        ] {
            let error = text.parse::<Mix>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn draws_pick_by_share() {
        let mix: Mix = "replace:0.5,hide:0,keep:0.5".parse().unwrap();
        let op = |draw| mix.pick(draw).unwrap().op;
        assert_eq!(
            [op(0.0), op(0.49), op(0.5), op(0.999_999)],
            [Op::Replace, Op::Replace, Op::Keep, Op::Keep]
        );
    }
}
