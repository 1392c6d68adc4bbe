//! The form of a run: its values as text, how they are changed and checked, and the request that comes of them. Part of
//! the document, so that undo brings it back. Pure.

use std::path::Path;
use std::sync::Arc;

pub use super::table::Field;
use super::table::{EXPLORER, Entered};
use crate::attention::types::ScoreSettings;
use crate::config::{self, Settings, Value};
use crate::mask::types::MaskSettings;
use crate::train::data::{BUNDLED, forms};
use crate::train::twins::TwinSpec;

/// Values of all fields, by their place in [`Field::ALL`]; cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    values: Arc<[String]>,
}

/// What starting a run asks for. The port makes a spec of it: settings not named here are the configured ones.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRequest {
    /// Model id or folder.
    pub model: String,
    pub data: String,
    pub validation: String,
    pub column: String,
    /// Empty: a new folder among the runs.
    pub out: String,
    pub minutes: Option<f64>,
    /// Key of the parameter table and value as text.
    pub settings: Vec<(String, String)>,
    /// The explorer's exact policy, where the run is to mask by it.
    pub policy: Option<MaskSettings>,
    pub score: ScoreSettings,
}

impl Default for Form {
    fn default() -> Self {
        Form::new(config::defaults().ok().as_ref())
    }
}

impl Form {
    /// The form with the configured values.
    pub fn new(settings: Option<&Settings>) -> Self {
        let value = |field: &Field| match field.key() {
            Some(key) => settings.and_then(|s| s.get(&key)).map(plain).unwrap_or_default(),
            None => match field {
                Field::Data => BUNDLED.to_owned(),
                Field::Masking => {
                    let arm = settings.map_or("none", |s| s.train.arm.as_str());
                    if arm == "none" { EXPLORER.to_owned() } else { arm.to_owned() }
                }
                _ => String::new(),
            },
        };
        Form { values: Field::ALL.iter().map(value).collect() }
    }

    pub fn get(&self, field: Field) -> &str {
        self.values.get(field as usize).map_or("", String::as_str)
    }

    fn put(&mut self, field: Field, value: String) {
        if let Some(slot) = Arc::make_mut(&mut self.values).get_mut(field as usize) {
            *slot = value;
        }
    }

    /// Takes a typed value.
    ///
    /// # Errors
    /// A sentence that says why not; nothing changes then.
    pub fn set(&mut self, field: Field, typed: &str) -> Result<(), String> {
        let typed = typed.trim();
        let value = match field.entered() {
            Entered::Parameter(_) if field == Field::Twins && !typed.is_empty() => {
                typed.parse::<TwinSpec>()?;
                typed.to_owned()
            }
            Entered::Parameter(p) => {
                // Words of the table are typed as they are; bare text would need quotes in TOML.
                plain(p.parse(typed).map_err(|e| format!("{} {e}", field.label()))?)
            }
            Entered::Masking if field.choices().contains(&typed) => typed.to_owned(),
            Entered::Masking => return Err(format!("masking is one of {}", field.choices().join(", "))),
            Entered::Minutes if typed.is_empty() => String::new(),
            Entered::Minutes => match typed.replace(',', ".").parse::<f64>() {
                Ok(m) if m > 0.0 && m.is_finite() => typed.replace(',', "."),
                _ => return Err(format!("minutes must be a number above 0: {typed}")),
            },
            Entered::Path if field == Field::Data && typed.is_empty() => {
                return Err(format!("a run needs data; {BUNDLED} is the bundled text"));
            }
            Entered::Path | Entered::Text => typed.to_owned(),
        };
        self.put(field, value);
        Ok(())
    }

    /// One step up or down, or the next choice.
    pub fn nudge(&mut self, field: Field, by: i32, fine: bool) {
        let choices = field.choices();
        if !choices.is_empty() {
            let now = choices.iter().position(|c| *c == self.get(field)).unwrap_or(0) as i64;
            let next = (now + i64::from(by)).rem_euclid(choices.len() as i64) as usize;
            self.put(field, choices[next].to_owned());
            return;
        }
        let value = match field.entered() {
            Entered::Parameter(p) => {
                let now: f64 = self.get(field).parse().unwrap_or(0.0);
                let Some(next) = p.kind.nudge(now, by, fine) else { return };
                let whole = matches!(p.kind, config::Kind::Int { .. });
                let next = if whole { Value::Int(next as i64) } else { Value::Float(next) };
                plain(next)
            }
            Entered::Minutes => {
                let now: f64 = self.get(field).parse().unwrap_or(0.0);
                let next = (now + f64::from(by)).max(0.0);
                if next > 0.0 { next.to_string() } else { String::new() }
            }
            _ => return,
        };
        self.put(field, value);
    }

    /// Back to the configured value.
    pub fn reset(&mut self, field: Field, settings: Option<&Settings>) {
        let initial = Form::new(settings);
        self.put(field, initial.get(field).to_owned());
    }

    /// Where a number stands on its track, 0..1.
    pub fn fraction(&self, field: Field) -> Option<f64> {
        match field.entered() {
            Entered::Parameter(p) => p.kind.fraction(self.get(field).parse().ok()?),
            _ => None,
        }
    }

    /// Puts a number at a place on its track.
    pub fn set_fraction(&mut self, field: Field, place: f64) {
        if let Entered::Parameter(p) = field.entered()
            && let Some(x) = p.kind.at_fraction(place)
        {
            let whole = matches!(p.kind, config::Kind::Int { .. });
            self.put(field, plain(if whole { Value::Int(x as i64) } else { Value::Float(x) }));
        }
    }

    /// Whether the run masks by the explorer's policy.
    pub fn explorers_policy(&self) -> bool {
        self.get(Field::Masking) == EXPLORER
    }

    /// The fields that mean something under the others' values.
    pub fn shown(&self) -> Vec<Field> {
        let is = |field, value: &str| self.get(field) == value;
        let (explorer, none) = (self.explorers_policy(), is(Field::Masking, "none"));
        let joint = !is(Field::Joint, "none");
        // Twins bring arms of their own; what they share stands below.
        let twins = !self.get(Field::Twins).is_empty();
        let (explorer, none) = (explorer && !twins, none && !twins);
        let keep = |field: &Field| match field {
            Field::Column => {
                // A folder's name does not tell what lies in it.
                let data = self.get(Field::Data);
                let folder = forms::extension(Path::new(data)).is_empty() && data != BUNDLED;
                forms::has_columns(data) || folder
            }
            Field::TwinSeeds => twins,
            Field::Masking | Field::Joint if twins => false,
            Field::Blocks => is(Field::Trained, "last-blocks"),
            Field::LoraRank | Field::LoraAlpha | Field::LoraTargets => is(Field::Trained, "lora"),
            Field::Op | Field::MaskRate => !explorer && !none,
            Field::Replacement => !explorer && !none && is(Field::Op, "replace"),
            Field::MaskSchedule | Field::CoolDown | Field::Joint => !none,
            Field::ScoreFrom => {
                explorer || [Field::Masking, Field::Twins].iter().any(|f| self.get(*f).contains("attn"))
            }
            Field::JointLambda | Field::JointTemperature => !none && is(Field::Joint, "soft-thresholds"),
            Field::JointRate => !none && joint,
            Field::Patience | Field::LrFactor => is(Field::LrPolicy, "plateau"),
            Field::GapTarget => !none,
            Field::SamplePrompt => !is(Field::SampleEvery, "0"),
            _ => true,
        };
        Field::ALL.iter().copied().filter(keep).collect()
    }

    /// The request for a run of `model` under the explorer's settings.
    pub fn request(&self, model: &str, mask: &MaskSettings, score: &ScoreSettings) -> RunRequest {
        let mut settings: Vec<(String, String)> =
            Field::ALL.iter().filter_map(|f| f.key().map(|key| (key, self.get(*f).to_owned()))).collect();
        if !self.explorers_policy() {
            settings.push(("train.arm".to_owned(), self.get(Field::Masking).to_owned()));
        }
        RunRequest {
            model: model.to_owned(),
            data: self.get(Field::Data).to_owned(),
            validation: self.get(Field::Validation).to_owned(),
            column: self.get(Field::Column).to_owned(),
            out: self.get(Field::Out).to_owned(),
            minutes: self.get(Field::Minutes).parse().ok(),
            settings,
            // Twins bring their own arms; the explorer's policy is none of them.
            policy: (self.explorers_policy() && self.get(Field::Twins).is_empty()).then(|| mask.clone()),
            score: score.clone(),
        }
    }
}

/// A value as a person types it: text without TOML's quotes.
fn plain(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        // Exponents are easier to read than many zeros, and the other way round.
        Value::Float(x) if x != 0.0 && x.abs() < 1e-3 => format!("{x:e}"),
        Value::Float(x) => x.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_the_way_to_the_settings_and_back() {
        let form = Form::default();
        let mut settings = config::defaults().unwrap();
        let request = form.request("demo", &MaskSettings::default(), &ScoreSettings::default());
        for (key, value) in &request.settings {
            settings.set(key, value).unwrap_or_else(|e| panic!("{key} = {value}: {e:?}"));
        }
        assert_eq!(settings, config::defaults().unwrap());
        assert_eq!(request.data, "novels", "a first run needs no file");
    }

    #[test]
    fn bad_values_are_refused_in_a_sentence_and_change_nothing() {
        let mut form = Form::default();
        let before = form.clone();
        for (field, typed) in [
            (Field::Steps, "0"),
            (Field::Steps, "many"),
            (Field::LearningRate, "7"),
            (Field::Dropout, "1.5"),
            (Field::Masking, "dyn"),
            (Field::Minutes, "-1"),
            (Field::Data, ""),
            (Field::Trained, "some"),
            (Field::Twins, "dyn-rand"),
            (Field::Twins, "dyn-rand,n-rand"),
        ] {
            let problem = form.set(field, typed).unwrap_err();
            assert!(!problem.is_empty() && !problem.ends_with('.'), "{problem}");
        }
        assert_eq!(form, before);
    }

    #[test]
    fn the_fields_shown_follow_the_choices() {
        let mut form = Form::default();
        assert!(!form.shown().contains(&Field::LoraRank) && !form.shown().contains(&Field::MaskRate));
        form.set(Field::Trained, "lora").unwrap();
        form.set(Field::Masking, "static-1").unwrap();
        form.set(Field::LrPolicy, "plateau").unwrap();
        for field in [Field::LoraRank, Field::MaskRate, Field::Replacement, Field::Patience] {
            assert!(form.shown().contains(&field), "{field}");
        }
        form.nudge(Field::Masking, -1, false);
        assert_eq!(form.get(Field::Masking), "none");
        assert!(!form.shown().contains(&Field::Op));
        form.nudge(Field::LearningRate, 1, false);
        assert!(form.get(Field::LearningRate).parse::<f64>().unwrap() > 1e-3);
        form.nudge(Field::Steps, -1, false);
        assert_eq!(form.get(Field::Steps), "90");
    }
}
