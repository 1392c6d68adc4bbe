//! Which arms stand side by side, and how often they are run. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ARMS;
use crate::mask::types::Op;
use crate::settings::{Kind, Setting, Value};
use crate::train::TrainError;
use crate::train::spec::{Arm, MaskingSpec, RunSpec};

/// One arm of twins: who masks, and what happens to what is masked where that is not the run's own operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwinArm {
    pub arm: Arm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
}

impl fmt::Display for TwinArm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            Some(op) => write!(f, "{}:{op}", self.arm),
            None => self.arm.fmt(f),
        }
    }
}

/// Arms that are trained side by side, from the same weights on the same batches, once per seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwinSpec {
    pub arms: Vec<TwinArm>,
    pub seeds: usize,
}

impl FromStr for TwinSpec {
    type Err = String;

    /// `ARM[:OP],ARM[:OP][,…]`, the first being what the others are compared with; one seed.
    fn from_str(text: &str) -> Result<Self, String> {
        let arm = |text: &str| -> Result<TwinArm, String> {
            let (arm, op) = text.split_once(':').map_or((text, None), |(arm, op)| (arm, Some(op)));
            Ok(TwinArm { arm: arm.trim().parse()?, op: op.map(|op| op.trim().parse()).transpose()? })
        };
        let arms: Vec<TwinArm> = text.split(',').map(arm).collect::<Result<_, _>>()?;
        if !ARMS.contains(&arms.len()) {
            return Err(format!("twins need {} to {} arms: {}", ARMS.start(), ARMS.end(), arms.len()));
        }
        Ok(TwinSpec { arms, seeds: 1 })
    }
}

/// Empty is a single run.
impl Setting for Option<TwinSpec> {
    const KIND: Kind = Kind::Text;
    fn to_value(&self, _: &Kind) -> Value {
        let arms = self.iter().flat_map(|spec| &spec.arms).map(ToString::to_string);
        Value::Text(arms.collect::<Vec<_>>().join(","))
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value.to_string_plain().trim() {
            "" => Ok(None),
            text => text.parse().map(Some),
        }
    }
}

impl TwinSpec {
    /// Names of the arms, numbered where one appears twice.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for arm in &self.arms {
            let name = arm.to_string();
            let again = names.iter().filter(|n| **n == name || n.starts_with(&format!("{name} ("))).count();
            names.push(if again == 0 { name } else { format!("{name} ({})", again + 1) });
        }
        names
    }

    /// # Errors
    /// A learned policy, which would make arms differ in more than their masks; no seeds.
    pub fn check(&self, masking: &MaskingSpec) -> Result<(), TrainError> {
        if self.seeds == 0 || !ARMS.contains(&self.arms.len()) {
            return Err(TrainError::setup("twins need two to four arms and at least one seed"));
        }
        if masking.joint.is_some() {
            return Err(TrainError::Setup {
                problem: "twins compare arms, and a learned policy is not an arm".to_owned(),
                hint: Some("leave the learned policy at none".to_owned()),
            });
        }
        Ok(())
    }

    /// The spec of arm `index` for seed number `seed`: all but arm and operation is the same for every arm. The clock
    /// is left out, since arms that end at different steps could not be compared.
    pub fn arm(&self, base: &RunSpec, index: usize, seed: usize) -> RunSpec {
        let arm = self.arms[index];
        let mut spec = base.clone();
        spec.twins = None;
        spec.time_limit = None;
        spec.fixed_cuts = true;
        spec.seed = base.seed.wrapping_add(seed as u64);
        spec.masking.arm = arm.arm;
        spec.masking.op = arm.op.unwrap_or(base.masking.op);
        spec.masking.policy = None;
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_are_read_named_and_refused() {
        let spec: TwinSpec = "none, dyn-rand:hide,dyn-rand:hide".parse().unwrap();
        assert_eq!(spec.names(), ["none", "dyn-rand:hide", "dyn-rand:hide (2)"]);
        assert_eq!(spec.arms[1], TwinArm { arm: Arm::DynRand, op: Some(Op::Hide) });
        for (text, part) in [
            ("dyn-rand", "2 to 4 arms: 1"),
            ("none,none,none,none,none", "2 to 4 arms: 5"),
            ("none,dyn", "dyn"),
            ("none,dyn-rand:melt", "melt"),
        ] {
            let problem = text.parse::<TwinSpec>().unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
