//! What a person may set about the screen: what it shows first, and how it looks.

use crate::engine::types::MapKind;
use crate::settings::{choice, optional, settings};

choice! {
    /// How an attention weight becomes a colour.
    pub enum ColourScale {
        /// by the square root: weak attention stays visible
        Sqrt = "sqrt" was "root",
        /// in proportion to attention
        Linear = "linear",
        /// by the logarithm, from 0.0001
        Log = "log",
        /// relative to the strongest cell of each row
        RowMax = "row-max" was "row max",
    }
}

choice! {
    /// How many colours the terminal has.
    pub enum Depth {
        /// 24-bit colors
        True = "truecolor",
        /// the 256-color table
        Indexed = "256",
        /// the terminal's own 16 colors
        Ansi = "16",
        /// none: glyphs, bold, dim, underline and reverse carry everything
        None = "none",
    }
}
optional!(Depth, "auto", "as many as the terminal says it has; none under NO_COLOR");

choice! {
    /// Which terminal the colours are for.
    pub enum ThemeName {
        /// a dark background
        Dark = "dark",
        /// a light background
        Light = "light",
    }
}

/// The bundled model's induction heads find the name that comes next, and lose it when the mask takes it away.
const FIRST_TEXT: &str = "Captain Ahab was in want of a wife, and Mr. Darcy was in want of a whale. Nothing could be done \
for Captain Ahab, and nothing for Mr.";

settings! {
    /// What the explorer shows first
    pub struct ExploreSettings in "explore" {
        /// Text that is open at the start
        text: String = FIRST_TEXT.to_owned();
        /// Layer on the heatmap, counted from 0, or mean over layers
        layer: Option<usize> = None, word("mean"), whole(0, 1023);
        /// Head on the heatmap, counted from 0, or mean over heads
        head: Option<usize> = None, word("mean"), whole(0, 1023);
        /// Run that the heatmap shows
        map: MapKind = MapKind::Masked;
        /// Next-token candidates listed
        top: usize = 10, label("candidates"), whole(1, 100);
        /// Seeds behind the mean and spread of an effect
        rerolls: usize = 32, label("re-rolls"), whole(2, 10_000);
        /// Random interventions that each intervention is compared with
        controls: usize = 20, label("controls"), whole(0, 1000);
        /// How an attention weight becomes a color
        color_scale: ColourScale = ColourScale::Sqrt, label("color scale");
    }
}

choice! {
    /// What takes the keyboard when the program opens.
    pub enum FirstFocus {
        /// the text: typing types, Esc leaves it for the keys
        Text = "text",
        /// the mask settings: letters are keys at once
        Mask = "mask",
    }
}

settings! {
    /// The look of the screen
    pub struct UiSettings in "ui" {
        /// Colors for a dark or a light terminal
        theme: ThemeName = ThemeName::Dark;
        /// How many colors to use
        color: Option<Depth> = None, label("colors");
        /// Draw with ASCII characters only
        ascii: bool = false, label("ASCII only");
        /// Take mouse clicks, drags and the wheel
        mouse: bool = true;
        /// What takes the keyboard at the start: the text, or the mask settings with their keys
        focus: FirstFocus = FirstFocus::Text;
        /// Open the tour at the start
        tour: bool = false;
    }
}
