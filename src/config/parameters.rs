//! **The parameter table**: every setting with its name, one-line doc, type, bounds, unit and what a change of it
//! makes stale. Help, flags, validation, sliders, `config.toml` checks and the reference all read it.
//! Constant data; must never hold a default (those live in the repo's `config.toml` alone).

use super::kind::{Kind, ValueError};
use super::suggest::nearest;
use super::table::{SECTIONS, TABLE};
use super::value::Value;

/// What must be computed again after a change, least first. Each one includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invalidates {
    /// Only what is drawn: colours, zoom, the layer and head looked at.
    View,
    /// The decision, from cached scores; a forward follows only where the decision differs.
    Decision,
    /// What is read off cached logits.
    Decode,
    /// The forward pass, from the first position that differs.
    Forward,
    /// The model itself, and with it everything.
    All,
    /// Read once, when a thread, a connection or a run starts.
    Restart,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// `section.key`, as in `config.toml`.
    pub key: &'static str,
    /// How screens call it.
    pub name: &'static str,
    /// One line, no full stop.
    pub doc: &'static str,
    pub kind: Kind,
    /// Empty where the value is a pure number or a word.
    pub unit: &'static str,
    pub invalidates: Invalidates,
}

impl Parameter {
    /// The part before the dot.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// The part after the dot.
    pub fn field(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, field)| field)
    }

    /// Reads a value typed in by a person and checks its bounds.
    pub fn parse(&self, text: &str) -> Result<Value, ValueError> {
        self.kind.parse(text)
    }

    /// The environment variable that sets it: `MASKSCOPE_MASK__THRESHOLD`.
    pub fn variable(&self) -> String {
        format!("MASKSCOPE_{}__{}", self.section(), self.field()).to_uppercase()
    }
}

/// A section of `config.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    pub name: &'static str,
    /// One line, no full stop.
    pub doc: &'static str,
}

/// The section of key bindings. Its keys are names of actions, which this room does not know.
pub const KEYS_SECTION: &str = "keys";

/// All parameters, in the order of `config.toml`.
pub fn all() -> &'static [Parameter] {
    TABLE
}

/// All sections, in the order of `config.toml`; the last is [`KEYS_SECTION`].
pub fn sections() -> &'static [Section] {
    SECTIONS
}

/// The parameter with this key.
pub fn find(key: &str) -> Option<&'static Parameter> {
    TABLE.iter().find(|parameter| parameter.key == key)
}

/// The slider for τ under the raw scale, where attention is about 1/T and a linear one would be useless.
pub const RAW_THRESHOLD: Kind = Kind::Float { min: 1e-4, max: 1.0, step: 0.1, fine_step: 0.02, log: true };

/// The key or section a misspelt one most likely meant.
pub(super) fn nearest_key(key: &str) -> Option<&'static str> {
    // The same last part in another section is a better guess than a similar whole.
    let field = key.rsplit('.').next().unwrap_or(key);
    let same_field = TABLE.iter().find(|parameter| parameter.field() == field).map(|parameter| parameter.key);
    let section = key.split_once('.').map_or("", |(section, _)| section);
    if SECTIONS.iter().any(|known| known.name == section) {
        let inside = TABLE.iter().filter(|parameter| parameter.section() == section);
        let near = nearest(field, inside.clone().map(Parameter::field));
        let near = near.and_then(|near| inside.clone().find(|parameter| parameter.field() == near));
        return near.map(|parameter| parameter.key).or(same_field);
    }
    same_field.or_else(|| nearest(key, TABLE.iter().map(|parameter| parameter.key)))
}

/// The section a misspelt one most likely meant.
pub(super) fn nearest_section(name: &str) -> Option<&'static str> {
    nearest(name, SECTIONS.iter().map(|section| section.name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_unique_lower_case_and_in_a_known_section() {
        let mut seen = BTreeSet::new();
        for parameter in all() {
            assert!(seen.insert(parameter.key), "{} twice", parameter.key);
            assert!(sections().iter().any(|s| s.name == parameter.section()), "{}", parameter.key);
            assert_ne!(parameter.section(), KEYS_SECTION);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(
                !parameter.field().is_empty() && parameter.field().chars().all(plain),
                "{}",
                parameter.key
            );
        }
        for section in sections().iter().filter(|section| section.name != KEYS_SECTION) {
            assert!(all().iter().any(|p| p.section() == section.name), "[{}] is empty", section.name);
        }
    }

    #[test]
    fn sections_stand_together_in_their_order() {
        let mut order: Vec<_> = all().iter().map(Parameter::section).collect();
        order.dedup();
        let wanted: Vec<_> = sections().iter().map(|s| s.name).filter(|name| *name != KEYS_SECTION).collect();
        assert_eq!(order, wanted);
    }

    #[test]
    fn docs_are_one_line_without_a_full_stop() {
        let texts = all().iter().flat_map(|p| [p.name, p.doc]).chain(sections().iter().map(|s| s.doc));
        for text in texts {
            assert!(!text.is_empty() && !text.contains('\n') && !text.ends_with('.'), "{text:?}");
        }
    }

    #[test]
    fn bounds_and_steps_make_sense() {
        for Parameter { key, kind, .. } in all().iter().copied() {
            match kind {
                Kind::Float { min, max, step, fine_step, log } => {
                    assert!(min < max && fine_step > 0.0 && fine_step <= step, "{key}");
                    assert!(!log || min > 0.0, "{key}: a log slider cannot start at 0");
                }
                Kind::Int { min, max, step } | Kind::IntOr { min, max, step, .. } => {
                    assert!(min < max && step >= 1, "{key}");
                }
                Kind::Choice(names) => {
                    assert!(names.len() > 1, "{key}");
                    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{key}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_misspelt_key_finds_its_like() {
        assert_eq!(nearest_key("mask.treshold"), Some("mask.threshold"));
        assert_eq!(nearest_key("explore.threshold"), Some("mask.threshold"));
        assert_eq!(nearest_key("threshold"), Some("mask.threshold"));
        assert_eq!(nearest_key("trian.steps"), Some("train.steps"));
        assert_eq!(nearest_section("maks"), Some("mask"));
    }

    #[test]
    fn the_variable_is_the_key_in_capitals() {
        let parameter = find("train.batch_size").unwrap();
        assert_eq!(parameter.variable(), "MASKSCOPE_TRAIN__BATCH_SIZE");
    }
}
