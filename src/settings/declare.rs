//! How a struct declares its settings.

use super::choice::Choice;
use super::kind::Kind;

/// A setting as its struct declares it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// `table.key`, as in `config.toml`.
    pub path: &'static str,
    /// One line, no full stop.
    pub doc: &'static str,
    /// What else `config.toml` says about it.
    pub notes: &'static [&'static str],
    label: &'static str,
    /// The letter that formulas use; empty for most.
    pub symbol: &'static str,
    pub kind: Kind,
    /// Empty where the value is a pure number or a word.
    pub unit: &'static str,
    /// Whether it can be set in files and by flags only, and no screen lists it.
    pub hidden: bool,
    /// Earlier paths, still read.
    pub was: &'static [&'static str],
}

impl Row {
    pub const fn new(path: &'static str, doc: &'static str, kind: Kind) -> Row {
        let doc = doc.trim_ascii();
        Row { path, doc, notes: &[], label: "", symbol: "", kind, unit: "", hidden: false, was: &[] }
    }

    pub const fn notes(self, notes: &'static [&'static str]) -> Row {
        Row { notes, ..self }
    }

    /// How screens call it, where its key is not good enough.
    pub const fn label(self, label: &'static str) -> Row {
        Row { label, ..self }
    }

    pub const fn symbol(self, symbol: &'static str) -> Row {
        Row { symbol, ..self }
    }

    pub const fn unit(self, unit: &'static str) -> Row {
        Row { unit, ..self }
    }

    pub const fn hidden(self) -> Row {
        Row { hidden: true, ..self }
    }

    pub const fn was(self, was: &'static [&'static str]) -> Row {
        Row { was, ..self }
    }

    /// Bounds of a number, inclusive, with its step and fine step on a linear track.
    pub const fn range(self, min: f64, max: f64, step: f64, fine_step: f64) -> Row {
        assert!(matches!(self.kind, Kind::Float { .. }), "only a number has a range");
        Row { kind: Kind::Float { min, max, step, fine_step, log: false }, ..self }
    }

    /// Bounds of a number on a logarithmic track; steps are tenths and hundredths of a decade.
    pub const fn log(self, min: f64, max: f64) -> Row {
        assert!(matches!(self.kind, Kind::Float { .. }), "only a number has a track");
        Row { kind: Kind::Float { min, max, step: 0.1, fine_step: 0.01, log: true }, ..self }
    }

    /// Bounds of a whole number or of each one in a list, inclusive.
    pub const fn whole(self, min: i64, max: i64) -> Row {
        let kind = match self.kind {
            Kind::Int { step, .. } => Kind::Int { min, max, step },
            Kind::IntOr { word, step, .. } => Kind::IntOr { word, min, max, step },
            Kind::Ints { .. } => Kind::Ints { min, max },
            _ => panic!("only whole numbers have whole bounds"),
        };
        Row { kind, ..self }
    }

    /// Step of a whole number; its fine step is 1.
    pub const fn step(self, step: i64) -> Row {
        let Kind::Int { min, max, .. } = self.kind else { panic!("only a whole number has a whole step") };
        Row { kind: Kind::Int { min, max, step }, ..self }
    }

    /// The word that stands for no number.
    pub const fn word(self, word: &'static str) -> Row {
        let Kind::IntOr { min, max, step, .. } = self.kind else {
            panic!("only an optional number has a word")
        };
        Row { kind: Kind::IntOr { word, min, max, step }, ..self }
    }

    /// Some of a choice's names.
    pub const fn among(self, choices: &'static [Choice]) -> Row {
        assert!(matches!(self.kind, Kind::Choice(_)), "only a choice has names");
        Row { kind: Kind::Choice(choices), ..self }
    }

    /// A text that is a path: a leading `~/` is the home folder, and shells and forms complete it.
    pub const fn path(self) -> Row {
        assert!(matches!(self.kind, Kind::Text), "only a text is a path");
        Row { kind: Kind::Path, ..self }
    }

    /// How screens call it.
    pub fn name(&self) -> &'static str {
        if self.label.is_empty() { self.key() } else { self.label }
    }

    /// The part before the dot.
    pub fn table(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(table, _)| table)
    }

    /// The part after the dot.
    pub fn key(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, key)| key)
    }

    /// The environment variable that sets it: `MASKSCOPE_MASK__THRESHOLD`.
    pub fn variable(&self) -> String {
        format!("{}{}__{}", super::load::VARIABLE_PREFIX, self.table(), self.key()).to_uppercase()
    }

    /// The names it may take, or those of them that a screen offers, where these are few.
    pub fn choices(&self) -> &'static [Choice] {
        self.kind.choices()
    }
}

/// Declares a struct of settings: one field each, with its doc, type, default and what [`Row`]'s methods add. `=>` says
/// when it means something. Fields under `with` are no settings. Beside the struct come a constant per setting that holds
/// its path, `ROWS`, `Default`, serde and [`Section`](super::Section).
macro_rules! settings {
    (
        $(#[doc = $sdoc:literal])+
        $vis:vis struct $name:ident $(: $($derive:ident),+)? in $table:literal {
            $(
                #[doc = $doc:literal] $(#[doc = $more:literal])*
                $field:ident : $ty:ty = $default:expr $(, $attr:ident ( $($arg:expr),* ))* $(=> |$on:ident| $shown:expr)?;
            )*
        }
        $(with {
            $( $(#[doc = $edoc:literal])+ $efield:ident : $ety:ty = $edefault:expr; )*
        })?
    ) => {
        $(#[doc = $sdoc])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize $($(, $derive)+)?)]
        #[serde(default)]
        $vis struct $name {
            $( #[doc = $doc] $(#[doc = $more])* pub $field: $ty, )*
            $($( $(#[doc = $edoc])+ pub $efield: $ety, )*)?
        }

        #[allow(non_upper_case_globals, reason = "a path is called as its field is")]
        impl $name {
            $( pub const $field: &'static str = concat!($table, ".", stringify!($field)); )*
            pub const ROWS: &'static [$crate::settings::Row] = &[
                $( $crate::settings::Row::new(Self::$field, $doc, <$ty as $crate::settings::Setting>::KIND)
                    .notes(&[$($more),*]) $(.$attr($($arg),*))* ),*
            ];
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* $($($efield: $edefault,)*)? }
            }
        }

        impl $crate::settings::Section for $name {
            fn table(&self) -> &'static str {
                $table
            }
            fn doc(&self) -> &'static str {
                concat!($($sdoc, "\n"),+).trim_ascii().lines().next().unwrap_or_default()
            }
            fn rows(&self) -> &'static [$crate::settings::Row] {
                Self::ROWS
            }
            fn value(&self, row: &$crate::settings::Row) -> Option<$crate::settings::Value> {
                use $crate::settings::Setting;
                $( if row.path == Self::$field { return Some(self.$field.to_value(&row.kind)); } )*
                None
            }
            fn take(&mut self, path: &str, value: $crate::settings::Value) -> Result<(), String> {
                $( if path == Self::$field {
                    self.$field = $crate::settings::Setting::from_value(value)?;
                    return Ok(());
                } )*
                Err(format!("no setting {path}"))
            }
            fn shown(&self, path: &str) -> bool {
                $($( if path == Self::$field { let $on = self; return $shown; } )?)*
                let _ = path;
                true
            }
        }
    };
}
pub(crate) use settings;
