//! What values a setting may take: types, bounds, choices; checking and reading typed-in text.
//! Pure; must never know which setting it belongs to.

use super::choice::{Choice, Terms};
use super::suggest::nearest;
use super::value::{Value, shown};

/// The type of a setting's value, with its bounds. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A number. On a `log` slider `step` and `fine_step` count decades (powers of ten) and `min` is above 0.
    Float {
        min: f64,
        max: f64,
        step: f64,
        fine_step: f64,
        log: bool,
    },
    /// A whole number.
    Int {
        min: i64,
        max: i64,
        step: i64,
    },
    /// A whole number, or one word that stands for "no number" (`mean`, `auto`).
    IntOr {
        word: &'static str,
        min: i64,
        max: i64,
        step: i64,
    },
    Bool,
    /// One of a fixed set of names.
    Choice(&'static [Choice]),
    /// One of the words in `alone`, or a comma-separated list of `terms`; a term that ends in `:N` takes a
    /// whole number, a plain one does not.
    Terms {
        alone: &'static [&'static str],
        terms: Terms,
        /// What a screen offers.
        offers: &'static [Choice],
    },
    Text,
    /// A file or folder; a leading `~/` means the home folder. Empty means not set.
    Path,
    /// Whole numbers; in TOML an array, typed in as `0,3,5`; empty means all.
    Ints {
        min: i64,
        max: i64,
    },
    /// Texts; in TOML an array, typed in separated by commas or as a TOML array. Used for key bindings.
    Texts,
}

/// Why a value cannot be taken. The sentence follows the name of the setting.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ValueError {
    #[error("must be {expected}, not {found}")]
    WrongType { expected: &'static str, found: String, allowed: String },
    #[error("must be at least {min}, not {found}")]
    Below { min: String, found: String, allowed: String },
    #[error("must be at most {max}, not {found}")]
    Above { max: String, found: String, allowed: String },
    #[error("cannot be {found}")]
    NotAChoice { found: String, near: Option<&'static str>, allowed: String },
    /// What the type itself refuses: a mix whose shares do not sum to 1.
    #[error("is invalid: {why}")]
    Unusable { why: String, allowed: String },
}

impl ValueError {
    /// What would have been taken.
    pub fn hint(&self) -> Option<String> {
        match self {
            ValueError::NotAChoice { near: Some(near), allowed, .. } => {
                Some(format!("did you mean {near}? {allowed}"))
            }
            ValueError::WrongType { allowed, .. }
            | ValueError::Below { allowed, .. }
            | ValueError::Above { allowed, .. }
            | ValueError::NotAChoice { allowed, .. } => Some(allowed.clone()),
            // Any text is allowed, and the sentence says why not this one.
            ValueError::Unusable { allowed, .. } => (allowed != "text").then(|| allowed.clone()),
        }
    }
}

impl Kind {
    /// One of the words in `alone`, or a list of `terms`; see [`Kind::Terms`].
    pub const fn terms(
        alone: &'static [&'static str],
        terms: fn() -> Vec<&'static str>,
        offers: &'static [Choice],
    ) -> Self {
        Kind::Terms { alone, terms: Terms(terms), offers }
    }

    /// What may be written, for hints, help and the reference: `a number from 0 to 1`.
    pub fn describe(&self) -> String {
        match *self {
            Kind::Float { min, max, .. } => format!("a number from {} to {}", number(min), number(max)),
            Kind::Int { min, max, .. } => format!("a whole number from {min} to {max}"),
            Kind::IntOr { word, min, max, .. } => format!("{word}, or a whole number from {min} to {max}"),
            Kind::Bool => "true or false".to_owned(),
            Kind::Choice(choices) => format!("one of: {}", names(choices).join(", ")),
            Kind::Terms { alone, terms, .. } => {
                format!("{}, or a list of: {}", alone.join(", "), terms.list().join(", "))
            }
            Kind::Text => "text".to_owned(),
            Kind::Path => "a path".to_owned(),
            Kind::Ints { min, max } => format!("whole numbers from {min} to {max}; empty means all"),
            Kind::Texts => "a list of texts".to_owned(),
        }
    }

    fn expected(&self) -> &'static str {
        match self {
            Kind::Float { .. } => "a number",
            Kind::Int { .. } => "a whole number",
            Kind::IntOr { .. } => "a whole number or a word",
            Kind::Bool => "true or false",
            Kind::Choice(_) => "a choice in quotes",
            Kind::Terms { .. } | Kind::Text => "text in quotes",
            Kind::Path => "a path in quotes",
            Kind::Ints { .. } => "a list of whole numbers",
            Kind::Texts => "a list of texts",
        }
    }

    pub(super) fn wrong_type(&self, found: String) -> ValueError {
        ValueError::WrongType { expected: self.expected(), found, allowed: self.describe() }
    }

    /// Brings a value to this kind's type (a whole number where a float is wanted) and checks its bounds.
    pub fn check(&self, value: Value) -> Result<Value, ValueError> {
        match (*self, value) {
            (Kind::Float { .. }, Value::Int(n)) => self.check(Value::Float(n as f64)),
            (Kind::Float { min, max, .. }, Value::Float(x)) => {
                if x.is_nan() {
                    return Err(self.wrong_type(number(x)));
                }
                self.bounded(x, min, max, number).map(Value::Float)
            }
            (Kind::Int { min, max, .. } | Kind::IntOr { min, max, .. }, Value::Int(n)) => {
                self.bounded(n, min, max, |n| n.to_string()).map(Value::Int)
            }
            (Kind::IntOr { word, .. }, Value::Text(text)) => {
                if text == word {
                    Ok(Value::Text(text))
                } else {
                    Err(self.not_a_choice(&text, &[word]))
                }
            }
            (Kind::Bool, value @ Value::Bool(_)) => Ok(value),
            (Kind::Choice(choices), Value::Text(text)) => {
                let is = |c: &&Choice| c.name == text || c.was.contains(&text.as_str());
                let found = choices.iter().find(is).map(|choice| Value::Text(choice.name.to_owned()));
                found.ok_or_else(|| self.not_a_choice(&text, &names(choices)))
            }
            (Kind::Terms { alone, terms, .. }, Value::Text(text)) => {
                self.check_terms(&text, alone, &terms.list()).map(Value::Text)
            }
            (Kind::Text | Kind::Path, value @ Value::Text(_)) => Ok(value),
            (Kind::Ints { min, max }, Value::Ints(ns)) => {
                let checked: Result<Vec<_>, _> =
                    ns.into_iter().map(|n| self.bounded(n, min, max, |n| n.to_string())).collect();
                checked.map(Value::Ints)
            }
            // An empty TOML array has no element type of its own.
            (Kind::Ints { .. }, Value::Texts(texts)) if texts.is_empty() => Ok(Value::Ints(Vec::new())),
            (Kind::Texts, Value::Ints(ns)) if ns.is_empty() => Ok(Value::Texts(Vec::new())),
            (Kind::Texts, value @ Value::Texts(_)) => Ok(value),
            // One key is the commonest binding; asking for brackets around it would only annoy.
            (Kind::Texts, Value::Text(text)) => Ok(Value::Texts(vec![text])),
            (_, value) => Err(self.wrong_type(value.to_string())),
        }
    }

    /// Reads and checks a value typed in by a person (a flag, an environment variable, a field on screen).
    pub fn parse(&self, text: &str) -> Result<Value, ValueError> {
        self.read(text).and_then(|value| self.check(value))
    }

    /// Reads typed-in text as this kind's type; the bounds are left to [`Kind::check`].
    pub(super) fn read(&self, text: &str) -> Result<Value, ValueError> {
        let trimmed = text.trim();
        let value = match self {
            Kind::Float { .. } => parse_number(trimmed).map(Value::Float),
            Kind::Int { .. } => trimmed.parse().ok().map(Value::Int),
            Kind::IntOr { .. } => {
                Some(trimmed.parse().map_or_else(|_| Value::Text(trimmed.to_owned()), Value::Int))
            }
            Kind::Bool => parse_bool(trimmed).map(Value::Bool),
            Kind::Choice(_) | Kind::Terms { .. } => Some(Value::Text(trimmed.to_owned())),
            Kind::Text | Kind::Path => Some(Value::Text(text.to_owned())),
            Kind::Ints { max, .. } => parse_ints(trimmed, *max).map(Value::Ints),
            Kind::Texts => parse_texts(trimmed).map(Value::Texts),
        };
        // Whole numbers too long for 64 bits or with a fraction end here as well as letters do.
        value.ok_or_else(|| self.wrong_type(shown(trimmed)))
    }

    /// The names to choose from, where these are few.
    pub fn choices(&self) -> &'static [Choice] {
        match self {
            Kind::Choice(choices) | Kind::Terms { offers: choices, .. } => choices,
            _ => &[],
        }
    }

    /// A value as a person types it, and as screens show it.
    pub fn show(&self, value: &Value) -> String {
        match (self, value) {
            (_, Value::Bool(on)) => if *on { "on" } else { "off" }.to_owned(),
            (_, Value::Float(x)) => number(*x),
            (_, Value::Ints(list)) => show_ints(list),
            (_, value) => value.to_string_plain(),
        }
    }

    fn bounded<T: PartialOrd + Copy>(
        &self,
        x: T,
        min: T,
        max: T,
        show: impl Fn(T) -> String,
    ) -> Result<T, ValueError> {
        if x < min {
            Err(ValueError::Below { min: show(min), found: show(x), allowed: self.describe() })
        } else if x > max {
            Err(ValueError::Above { max: show(max), found: show(x), allowed: self.describe() })
        } else {
            Ok(x)
        }
    }

    fn not_a_choice(&self, found: &str, names: &[&'static str]) -> ValueError {
        ValueError::NotAChoice {
            found: shown(found),
            near: nearest(found, names.iter().copied()),
            allowed: self.describe(),
        }
    }

    fn check_terms(
        &self,
        text: &str,
        alone: &'static [&'static str],
        terms: &[&'static str],
    ) -> Result<String, ValueError> {
        if alone.contains(&text.trim()) {
            return Ok(text.trim().to_owned());
        }
        let mut parts = Vec::new();
        for part in text.split(',').map(str::trim) {
            let known = terms.iter().any(|term| match term.strip_suffix(":N") {
                Some(name) => part
                    .strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix(':'))
                    .is_some_and(|n| n.parse::<u32>().is_ok()),
                None => part == *term,
            });
            if !known {
                let names: Vec<_> = alone.iter().chain(terms).copied().collect();
                return Err(self.not_a_choice(part, &names));
            }
            parts.push(part);
        }
        Ok(parts.join(","))
    }
}

pub(super) fn names(choices: &[Choice]) -> Vec<&'static str> {
    choices.iter().map(|choice| choice.name).collect()
}

/// A number as a person would write it.
pub(super) fn number(x: f64) -> String {
    if x != 0.0 && x.is_finite() && (x.abs() < 1e-3 || x.abs() >= 1e7) {
        format!("{x:e}")
    } else {
        x.to_string()
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Some(true),
        "false" | "0" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// `12.5 %` is 0.125, and a comma is as good as a point.
fn parse_number(text: &str) -> Option<f64> {
    let (digits, percent) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits.trim_end(), 100.0));
    digits.replace(',', ".").parse::<f64>().ok().map(|x| x / percent)
}

/// `all`, or numbers and ranges: `0,3-5`. None beyond `max`, so that a range cannot fill the memory.
fn parse_ints(text: &str, max: i64) -> Option<Vec<i64>> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).trim();
    let mut out = Vec::new();
    for part in inner.split(',').map(str::trim).filter(|_| !matches!(inner, "" | "all")) {
        match part.split_once('-').filter(|(from, _)| !from.is_empty()) {
            Some((from, to)) => {
                let (from, to): (i64, i64) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
                if from > to || to > max {
                    return None;
                }
                out.extend(from..=to);
            }
            None => out.push(part.parse().ok()?),
        }
    }
    Some(out)
}

/// `all`, or ranges: `0,3-5`.
fn show_ints(list: &[i64]) -> String {
    if list.is_empty() {
        return "all".to_owned();
    }
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for &i in list {
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == i => *to = i,
            _ => ranges.push((i, i)),
        }
    }
    let range = |(a, b): (i64, i64)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    ranges.into_iter().map(range).collect::<Vec<_>>().join(",")
}

fn parse_texts(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') {
        // The comma is a key too, so a list that holds one has to be written as TOML.
        let array: toml_edit::Value = text.parse().ok()?;
        return array.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    }
    Some(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Kind = Kind::Float { min: 0.0, max: 1.0, step: 0.05, fine_step: 0.01, log: false };
    const PROTECT: Kind = Kind::terms(&["default", "none"], || vec!["first", "last", "last:N"], &[]);

    #[test]
    fn bounds_are_inclusive_and_named() {
        assert_eq!(UNIT.parse("1"), Ok(Value::Float(1.0)));
        for text in [" 0.25 ", "0,25", "25 %", "25%"] {
            assert_eq!(UNIT.parse(text), Ok(Value::Float(0.25)), "{text}");
        }
        let above = UNIT.parse("1.5").unwrap_err();
        assert_eq!(above.to_string(), "must be at most 1, not 1.5");
        assert_eq!(above.hint().as_deref(), Some("a number from 0 to 1"));
        assert_eq!(UNIT.parse("-0.1").unwrap_err().to_string(), "must be at least 0, not -0.1");
        assert_eq!(UNIT.parse("\u{1b}[2J").unwrap_err().to_string(), "must be a number, not \\u{1b}[2J");
    }

    #[test]
    fn nan_and_infinity_are_refused() {
        for text in ["nan", "NaN", "inf", "-inf"] {
            assert!(UNIT.parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_near_choice_is_offered() {
        const fn choice(name: &'static str) -> Choice {
            Choice { name, doc: "", was: &[] }
        }
        const OPS: &[Choice] =
            &[choice("replace"), choice("hide"), Choice { was: &["delete"], ..choice("drop") }];
        let kind = Kind::Choice(OPS);
        assert_eq!(kind.parse("delete"), Ok(Value::Text("drop".to_owned())));
        let error = kind.parse("relpace").unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("did you mean replace? one of: replace, hide, drop"));
        let far = kind.parse("xyzzy").unwrap_err();
        assert_eq!(far.hint().as_deref(), Some("one of: replace, hide, drop"));
    }

    #[test]
    fn terms_take_words_lists_and_numbers() {
        assert_eq!(PROTECT.parse("default"), Ok(Value::Text("default".into())));
        assert_eq!(PROTECT.parse("first, last:4"), Ok(Value::Text("first,last:4".into())));
        for bad in ["", "first,", "last:", "last:x", "first:2", "default,first", "frist"] {
            assert!(PROTECT.parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lists_of_numbers_and_texts() {
        let layers = Kind::Ints { min: 0, max: 99 };
        assert_eq!(layers.parse("0, 3,5"), Ok(Value::Ints(vec![0, 3, 5])));
        assert_eq!(layers.parse("[1]"), Ok(Value::Ints(vec![1])));
        assert_eq!(layers.parse("all"), Ok(Value::Ints(vec![])));
        assert_eq!(layers.parse("5,0-2"), Ok(Value::Ints(vec![5, 0, 1, 2])));
        for bad in ["0,x", "3-1", "-1", "0-100", "0-99999999999"] {
            assert!(layers.parse(bad).is_err(), "{bad}");
        }
        for (list, shown) in [(vec![], "all"), (vec![0, 1, 2, 5], "0-2,5"), (vec![7], "7")] {
            assert_eq!(layers.show(&Value::Ints(list.clone())), shown);
            assert_eq!(layers.parse(shown), Ok(Value::Ints(list)));
        }
        assert!(layers.parse("100").is_err());
        assert_eq!(Kind::Texts.parse("q, ctrl-c"), Ok(Value::Texts(vec!["q".into(), "ctrl-c".into()])));
        assert_eq!(Kind::Texts.parse(r#"[","]"#), Ok(Value::Texts(vec![",".into()])));
    }

    #[test]
    fn a_word_or_a_number() {
        let layer = Kind::IntOr { word: "mean", min: 0, max: 11, step: 1 };
        assert_eq!(layer.parse("mean"), Ok(Value::Text("mean".into())));
        assert_eq!(layer.parse("3"), Ok(Value::Int(3)));
        assert!(layer.parse("12").is_err());
        assert!(layer.parse("maen").unwrap_err().hint().is_some_and(|h| h.contains("mean")));
    }
}
