//! What can be taken along, and in which forms.

use crate::settings::choice;

choice! {
    /// What is exported.
    pub enum ExportPart {
        /// the attention map: one value for every query and key
        Map = "map",
        /// every token: score, rank, draw, state, reason, surprisal with and without the mask
        Tokens = "tokens",
        /// the next token with and without the mask, KL and losses
        Effect = "effect",
        /// every head: sink, previous token, induction, entropy, mask mass
        Heads = "heads",
        /// the rolling window: how every token stands at every boundary
        Window = "window",
        /// text, model, settings and numbers: maskscope replay runs it again
        Session = "session",
        /// a picture of the pane
        Pane = "pane",
        /// a picture of the whole screen
        WholeScreen = "screen",
    }
}

choice! {
    /// The form of an exported file.
    pub enum ExportForm {
        /// numbers and what they belong to, for programs
        Json = "json",
        /// a table with a header, for spreadsheets and pandas
        Csv = "csv",
        /// tensors, for PyTorch and numpy
        Safetensors = "safetensors",
        /// a picture that scales
        Svg = "svg",
        /// one page for a browser, with the values on hover
        Html = "html",
        /// the session file
        Toml = "toml",
    }
}

impl ExportPart {
    /// The forms that it can be written in, the usual one first.
    pub fn forms(self) -> &'static [ExportForm] {
        use ExportForm::{Csv, Html, Json, Safetensors, Svg, Toml};
        match self {
            ExportPart::Map => &[Html, Svg, Json, Csv, Safetensors],
            ExportPart::Tokens | ExportPart::Effect | ExportPart::Heads | ExportPart::Window => {
                &[Json, Csv, Safetensors]
            }
            ExportPart::Session => &[Toml],
            ExportPart::Pane | ExportPart::WholeScreen => &[Svg],
        }
    }

    /// Whether a command prints the same.
    pub fn has_command(self) -> bool {
        !matches!(self, ExportPart::Pane | ExportPart::WholeScreen)
    }
}
