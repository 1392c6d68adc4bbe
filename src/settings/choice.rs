//! Enums whose variants have exactly one name, used in settings, flags, screens and files.

/// One of the names that a setting may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub name: &'static str,
    /// One line, no full stop.
    pub doc: &'static str,
    /// Earlier names, still read.
    pub was: &'static [&'static str],
}

/// `first` before `rest`; for lists made at compile time, so `N` must be one more than `rest` is long.
pub const fn with_first<const N: usize>(first: Choice, rest: &[Choice]) -> [Choice; N] {
    let mut out = [first; N];
    let mut i = 1;
    while i < N {
        out[i] = rest[i - 1];
        i += 1;
    }
    out
}

/// Declares an enum whose variants have one name each. The first line of a variant's doc is what a person reads beside
/// the name; `was "…"` adds a name that is still read.
macro_rules! choice {
    ($(#[$attr:meta])* $vis:vis enum $name:ident {
        $($(#[doc = $doc:literal] $(#[doc = $more:literal])*)? $variant:ident = $text:literal $(was $($old:literal)+)?),+ $(,)?
    }) => {
        $(#[$attr])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name { $($(#[doc = $doc] $(#[doc = $more])*)? $variant),+ }
        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            pub const NAMES: &'static [&'static str] = &[$($text),+];
            pub const CHOICES: &'static [$crate::settings::Choice] = &[$($name::$variant.choice()),+];

            /// Its name, its doc, and the names it had.
            pub const fn choice(self) -> $crate::settings::Choice {
                let (name, doc, was): (&str, &str, &[&str]) = match self {
                    $($name::$variant => ($text, concat!($($doc)?).trim_ascii(), &[$($($old),+)?])),+
                };
                $crate::settings::Choice { name, doc, was }
            }
            pub fn name(self) -> &'static str {
                self.choice().name
            }
            /// One line for a person.
            pub fn doc(self) -> &'static str {
                self.choice().doc
            }
            /// The next variant, wrapping around.
            pub fn next(self) -> Self {
                let i = Self::ALL.iter().position(|v| *v == self).unwrap_or(0);
                Self::ALL[(i + 1) % Self::ALL.len()]
            }
        }
        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(s: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().find(|v| v.name() == s || v.choice().was.contains(&s));
                found.copied().ok_or_else(|| format!("unknown value {s:?}; one of {}", Self::NAMES.join(", ")))
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.name())
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let s = <String as serde::Deserialize>::deserialize(d)?;
                s.parse().map_err(serde::de::Error::custom)
            }
        }
        impl $crate::settings::Setting for $name {
            const KIND: $crate::settings::Kind = $crate::settings::Kind::Choice(Self::CHOICES);
            fn to_value(&self, _: &$crate::settings::Kind) -> $crate::settings::Value {
                $crate::settings::Value::Text(self.name().to_owned())
            }
            fn from_value(value: $crate::settings::Value) -> Result<Self, String> {
                value.to_string_plain().parse()
            }
        }
    };
}
pub(crate) use choice;

/// Lets `Option<$ty>` be a setting: `$word` is `None`, the other names are those of the choice.
macro_rules! optional {
    ($ty:ty, $word:literal, $doc:literal) => {
        impl $crate::settings::Setting for Option<$ty> {
            const KIND: $crate::settings::Kind = $crate::settings::Kind::Choice({
                const LIST: [$crate::settings::Choice; <$ty>::CHOICES.len() + 1] =
                    $crate::settings::with_first(
                        $crate::settings::Choice { name: $word, doc: $doc, was: &[] },
                        <$ty>::CHOICES,
                    );
                &LIST
            });
            fn to_value(&self, _: &$crate::settings::Kind) -> $crate::settings::Value {
                $crate::settings::Value::Text(self.map_or($word, <$ty>::name).to_owned())
            }
            fn from_value(value: $crate::settings::Value) -> Result<Self, String> {
                match value.to_string_plain() {
                    word if word == $word => Ok(None),
                    name => name.parse().map(Some),
                }
            }
        }
    };
}
pub(crate) use optional;

/// Words of a list, put together when they are asked for: which there are may depend on what is built in.
#[derive(Clone, Copy, Debug)]
pub struct Terms(pub(super) fn() -> Vec<&'static str>);

impl Terms {
    /// The words.
    pub fn list(self) -> Vec<&'static str> {
        (self.0)()
    }
}

impl PartialEq for Terms {
    fn eq(&self, other: &Self) -> bool {
        self.list() == other.list()
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{Kind, Setting, Value};

    choice! {
        /// For these tests.
        enum Fruit {
            /// red or green
            /// (more, for readers of the code)
            Apple = "apple" was "pome" "pomme",
            Pear = "pear",
        }
    }
    optional!(Fruit, "nothing", "no fruit");

    #[test]
    fn names_docs_and_old_names() {
        assert_eq!(
            (Fruit::NAMES, Fruit::Apple.doc(), Fruit::Pear.doc()),
            (&["apple", "pear"][..], "red or green", "")
        );
        assert_eq!("pomme".parse(), Ok(Fruit::Apple));
        assert_eq!(serde_json::from_str::<Fruit>("\"pome\"").unwrap(), Fruit::Apple);
        assert_eq!(Fruit::Pear.next(), Fruit::Apple);
        assert_eq!("plum".parse::<Fruit>().unwrap_err(), "unknown value \"plum\"; one of apple, pear");
    }

    #[test]
    fn a_word_stands_for_none() {
        let Kind::Choice(choices) = <Option<Fruit> as Setting>::KIND else { panic!("no choice") };
        assert_eq!(choices.iter().map(|c| c.name).collect::<Vec<_>>(), ["nothing", "apple", "pear"]);
        for (value, name) in [(None, "nothing"), (Some(Fruit::Pear), "pear")] {
            let text = Value::Text(name.to_owned());
            assert_eq!(value.to_value(&<Option<Fruit>>::KIND), text);
            assert_eq!(<Option<Fruit>>::from_value(text), Ok(value));
        }
    }
}
