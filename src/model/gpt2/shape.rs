//! The published sizes of GPT-2, and those of the bundled model, for measurements without a download.

use serde_json::json;

use crate::model::config::Config;
use crate::model::error::ModelError;
use crate::settings::choice;

choice! {
    /// A published GPT-2 shape, or that of the bundled model.
    pub enum BenchShape {
        /// 6 layers, width 128, 4 heads, 4096 tokens: as the bundled model
        Bundled = "bundled",
        /// 4 layers, width 128, 4 heads
        Tiny = "tiny",
        /// 6 layers, width 768, 12 heads
        Distil = "distilgpt2",
        /// 12 layers, width 768, 12 heads
        Small = "gpt2",
        /// 24 layers, width 1024, 16 heads
        Medium = "gpt2-medium",
        /// 36 layers, width 1280, 20 heads
        Large = "gpt2-large",
        /// 48 layers, width 1600, 25 heads
        Xl = "gpt2-xl",
    }
}

impl BenchShape {
    /// Layers, width and heads.
    fn sizes(self) -> (usize, usize, usize) {
        match self {
            BenchShape::Bundled => (6, 128, 4),
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
        let vocabulary = if self == BenchShape::Bundled { 4096 } else { 50257 };
        let json = json!({
            "model_type": "gpt2", "vocab_size": vocabulary, "n_positions": 1024,
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
