//! What opens and what does not, as plain data: the reference is made of these rows, and tests hold them against the code
//! that decides (`config`, `names`, `pickle`, `adapter`, the families' folders).

use super::family::FAMILIES;

/// One row of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// What a person has.
    pub name: &'static str,
    pub opens: bool,
    /// How it opens, or why not.
    pub doc: &'static str,
}

pub(super) const fn opens(name: &'static str, doc: &'static str) -> Format {
    Format { name, opens: true, doc }
}

const fn refused(name: &'static str, doc: &'static str) -> Format {
    Format { name, opens: false, doc }
}

/// Kinds of models: those of every family, then what is the same in all.
pub fn models() -> Vec<Format> {
    let families = FAMILIES.iter().flat_map(|family| family.formats());
    families.chain(SHARED).copied().collect()
}

const SHARED: &[Format] = &[
    opens(
        "LoRA adapters of PEFT",
        "with their base from a folder, the cache or the Hub; also rsLoRA and `modules_to_save`",
    ),
    refused(
        "other networks",
        "GPT-1, GPT-J, GPT-Neo, Llama and other families, multi-query attention, custom code (`auto_map`), \
         encoder-decoders, pruned heads: the error names what it found",
    ),
    refused(
        "other adapters and quantised weights",
        "DoRA, IA3, GPTQ, bitsandbytes and the like: the error names what it found",
    ),
];

/// Forms of weights.
pub const WEIGHTS: &[Format] = &[
    opens(
        "safetensors, single or in shards",
        "f32, f16, bf16 or f64, under any one prefix (`transformer.`, `_orig_mod.`, `module.`, …)",
    ),
    opens(
        "`pytorch_model.bin`, single or in shards",
        "zip files and those from before PyTorch 1.6; nothing in them is executed",
    ),
    refused("TensorFlow, Flax, ONNX, GGUF, TorchScript", "convert them to safetensors in Python"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Config;
    use crate::model::load::find_weights;

    const SIZES: &str = r#""vocab_size": 9, "n_positions": 8, "n_embd": 4, "n_layer": 1, "n_head": 2"#;

    /// Configurations that a row of [`models`] speaks of, as far as a configuration decides.
    fn configurations(row: &str) -> Vec<String> {
        let with = |fields: &str| format!("{{{fields}, {SIZES}}}");
        match row {
            "GPT-2 and its fine-tunes" => vec![
                with(r#""model_type": "gpt2""#),
                with(r#""architectures": ["GPT2LMHeadModel"], "activation_function": "mish""#),
            ],
            "GPT2ForSequenceClassification, GPT2DoubleHeadsModel" => vec![
                with(r#""model_type": "gpt2", "architectures": ["GPT2ForSequenceClassification"]"#),
                with(r#""model_type": "gpt2", "architectures": ["GPT2DoubleHeadsModel"]"#),
            ],
            "other networks" => vec![
                with(r#""architectures": ["OpenAIGPTLMHeadModel"], "afn": "gelu""#),
                with(r#""model_type": "gptj""#),
                with(r#""model_type": "gpt_neo""#),
                with(r#""model_type": "llama""#),
                with(r#""model_type": "gpt2", "attention_head_type": "multiquery""#),
                with(r#""model_type": "aragpt2", "auto_map": {"AutoModel": "modeling.Model"}"#),
                with(r#""model_type": "vision-encoder-decoder""#),
                with(r#""model_type": "gpt2", "pruned_heads": {"0": [1]}"#),
            ],
            _ => Vec::new(),
        }
    }

    #[test]
    fn rows_about_configurations_are_what_the_reader_does() {
        let mut tried = 0;
        for row in models() {
            for config in configurations(row.name) {
                let read = Config::parse(config.as_bytes(), "config.json");
                assert_eq!(read.is_ok(), row.opens, "{}: {config}: {read:?}", row.name);
                tried += 1;
            }
        }
        assert_eq!(tried, 12, "a row was renamed: its examples no longer belong to it");
    }

    #[test]
    fn rows_about_weights_are_what_the_search_finds() {
        for (row, file) in [
            (&WEIGHTS[0], "model.safetensors"),
            (&WEIGHTS[1], "pytorch_model.bin"),
            (&WEIGHTS[2], "tf_model.h5"),
            (&WEIGHTS[2], "flax_model.msgpack"),
            (&WEIGHTS[2], "model.onnx"),
            (&WEIGHTS[2], "model.gguf"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(file), b"x").unwrap();
            assert_eq!(find_weights(folder.path()).is_ok(), row.opens, "{}: {file}", row.name);
        }
    }

    #[test]
    fn rows_fit_a_short_table() {
        assert!(models().len() + WEIGHTS.len() <= 9);
        for row in models().iter().chain(WEIGHTS) {
            assert!(
                !row.name.contains('|') && !row.doc.contains('|') && !row.doc.ends_with('.'),
                "{}",
                row.name
            );
        }
    }
}
