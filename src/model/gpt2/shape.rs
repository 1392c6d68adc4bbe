//! The published sizes of GPT-2, for measurements without a download.

use serde_json::json;

use crate::model::config::Config;
use crate::model::error::ModelError;
use crate::settings::choice;

choice! {
    /// A published GPT-2 shape.
    pub enum BenchShape {
        Tiny = "tiny",
        Distil = "distilgpt2",
        Small = "gpt2",
        Medium = "gpt2-medium",
        Large = "gpt2-large",
        Xl = "gpt2-xl",
    }
}

impl BenchShape {
    /// Layers, width and heads.
    fn sizes(self) -> (usize, usize, usize) {
        match self {
            BenchShape::Tiny => (4, 128, 4),
            BenchShape::Distil => (6, 768, 12),
            BenchShape::Small => (12, 768, 12),
            BenchShape::Medium => (24, 1024, 16),
            BenchShape::Large => (36, 1280, 20),
            BenchShape::Xl => (48, 1600, 25),
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
        let millions = |s: BenchShape| s.config().unwrap().parameters() / 1_000_000;
        assert_eq!([BenchShape::Distil, BenchShape::Small, BenchShape::Medium].map(millions), [81, 124, 354]);
        assert_eq!([BenchShape::Large, BenchShape::Xl].map(millions), [774, 1557]);
    }
}
