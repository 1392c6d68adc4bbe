//! The published sizes of GPT-2, for measurements without a download.

use serde_json::json;

use crate::model::config::Config;
use crate::model::error::ModelError;
use crate::settings::choice;

choice! {
    /// A published GPT-2 shape.
    pub enum Shape {
        Tiny = "tiny",
        Distil = "distilgpt2",
        Small = "gpt2",
        Medium = "gpt2-medium",
        Large = "gpt2-large",
        Xl = "gpt2-xl",
    }
}

impl Shape {
    /// Layers, width and heads.
    fn sizes(self) -> (usize, usize, usize) {
        match self {
            Shape::Tiny => (4, 128, 4),
            Shape::Distil => (6, 768, 12),
            Shape::Small => (12, 768, 12),
            Shape::Medium => (24, 1024, 16),
            Shape::Large => (36, 1280, 20),
            Shape::Xl => (48, 1600, 25),
        }
    }

    /// Its configuration.
    ///
    /// # Errors
    /// None in practice.
    pub fn config(self) -> Result<Config, ModelError> {
        let (layers, width, heads) = self.sizes();
        let json = json!({
            "model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024,
            "n_embd": width, "n_layer": layers, "n_head": heads,
        });
        Config::parse(json.to_string().as_bytes(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_the_published_sizes() {
        let millions = |s: Shape| s.config().unwrap().parameters() / 1_000_000;
        assert_eq!([Shape::Distil, Shape::Small, Shape::Medium].map(millions), [81, 124, 354]);
        assert_eq!([Shape::Large, Shape::Xl].map(millions), [774, 1557]);
    }
}
