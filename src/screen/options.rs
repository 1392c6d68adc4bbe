//! What the program starts the screen with. Filled in by the command line from the settings; plain data.

use std::path::PathBuf;
use std::sync::Arc;

use crate::attention::types::ScoreSettings;
pub use crate::config::{ColourScale, Depth};
use crate::config::{PRESETS, Settings};
use crate::hub::ModelDetails;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::MaskSettings;

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

/// Everything the screen starts with.
#[derive(Clone, Debug)]
pub struct Options {
    pub text: String,
    pub mask: MaskSettings,
    pub score: ScoreSettings,
    /// How decisions roll along the text under scope `block`.
    pub rolling: RollingSettings,
    /// What the list of presets offers beside the settings above.
    pub presets: Vec<(&'static str, Settings)>,
    pub look: Look,
    /// The Hub model to offer; `None` offers nothing.
    pub wanted: Option<String>,
    /// The models at hand and those worth suggesting, as the Models screen first shows them.
    pub known: Vec<ModelDetails>,
    /// All settings as configured.
    pub settings: Arc<Settings>,
    /// Nobody chose the settings of the mask: a short text may start under others.
    pub free: bool,
    /// Folder whose runs are listed, and where new ones go.
    pub runs: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            text: String::new(),
            mask: MaskSettings::default(),
            score: ScoreSettings::default(),
            rolling: RollingSettings::default(),
            presets: presets(),
            look: Look::default(),
            wanted: None,
            known: Vec::new(),
            settings: Arc::new(crate::config::defaults().unwrap_or_default()),
            free: false,
            runs: PathBuf::from("runs"),
        }
    }
}

/// What every preset sets. One that the built-in file spoils is left out; a test excludes that.
pub fn presets() -> Vec<(&'static str, Settings)> {
    PRESETS.iter().filter_map(|preset| Some((preset.name, preset.settings().ok()?))).collect()
}
