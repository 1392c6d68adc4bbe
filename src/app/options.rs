//! What the program starts the screen with. Filled in by the command line from the settings; plain data.

use crate::app::keymap::KeyOverrides;
use crate::attention::types::{Reduction, ScoreSettings};
use crate::mask::types::{
    DropPositions, MaskSettings, Op, Polarity, Protect, Replacement, Scale, Scope, Unit,
};
use crate::named::named;

named! {
    /// How many colours the terminal has.
    Depth {
        True = "truecolor",
        Indexed = "256",
        Ansi = "16",
        /// `NO_COLOR`: glyphs, bold, dim, underline and reverse carry everything.
        None = "none",
    }
}

/// How the screen looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub dark: bool,
    pub depth: Depth,
    /// Nothing but ASCII reaches the terminal.
    pub ascii: bool,
}

impl Default for Look {
    fn default() -> Self {
        Look { dark: true, depth: Depth::True, ascii: false }
    }
}

/// A model the models list offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownModel {
    /// `demo`, a Hub id or a folder.
    pub spec: String,
    /// Size, parameters, where it is: whatever helps choosing.
    pub note: String,
}

/// Step sizes of the sliders, in units of the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SliderSteps {
    pub step: f64,
    pub fine: f64,
}

/// Everything the screen starts with.
#[derive(Clone, Debug)]
pub struct Options {
    pub text: String,
    pub mask: MaskSettings,
    pub score: ScoreSettings,
    pub look: Look,
    /// How many next-token candidates are asked for.
    pub top: usize,
    /// How many seeds the re-roll statistic uses.
    pub rerolls: usize,
    /// The Hub model to offer; `None` offers nothing.
    pub wanted: Option<String>,
    pub known: Vec<KnownModel>,
    pub keys: KeyOverrides,
    pub steps: SliderSteps,
    /// Whether the tour opens by itself.
    pub tour: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            text: String::new(),
            mask: MaskSettings {
                threshold: 0.7,
                probability: 0.5,
                seed: 1,
                polarity: Polarity::High,
                scale: Scale::Rank,
                op: Op::Replace,
                replacement: Replacement::Mean,
                drop_positions: DropPositions::Compact,
                protect: Protect::default(),
                scope: Scope::Whole,
                unit: Unit::Token,
                exact_k: false,
                pinned: Vec::new(),
            },
            score: ScoreSettings {
                reduction: Reduction::Null,
                contribution: true,
                window: 16,
                layers: Vec::new(),
                heads: Vec::new(),
            },
            look: Look::default(),
            top: 10,
            rerolls: 32,
            wanted: None,
            known: Vec::new(),
            keys: KeyOverrides::new(),
            steps: SliderSteps { step: 0.02, fine: 0.002 },
            tour: false,
        }
    }
}
