//! What opens and what does not, as plain data: the reference is made of these rows, and tests hold them against the code
//! that decides (`config_json`, `names`, `pickle`, `adapter`, `nanogpt`).

/// One row of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// What a person has.
    pub name: &'static str,
    pub opens: bool,
    /// How it opens, or why not.
    pub doc: &'static str,
}

const fn opens(name: &'static str, doc: &'static str) -> Format {
    Format { name, opens: true, doc }
}

const fn refused(name: &'static str, doc: &'static str) -> Format {
    Format { name, opens: false, doc }
}

/// Kinds of models.
pub const MODELS: &[Format] = &[
    opens(
        "GPT-2 and its fine-tunes",
        "`model_type` `gpt2`, or none where `architectures` or the names of the sizes say so; every activation of \
         transformers without parameters of its own",
    ),
    opens(
        "GPT2ForSequenceClassification, GPT2DoubleHeadsModel",
        "the trunk with its embeddings as the output matrix; the other head is left out, and a note says so",
    ),
    opens(
        "LoRA adapters of PEFT",
        "with their base from a folder, the cache or the Hub; also rsLoRA and `modules_to_save`",
    ),
    opens("nanoGPT's `ckpt.pt`", "by its `model_args`; ids alone, unless a tokenizer lies beside it"),
    refused(
        "other networks",
        "GPT-1, GPT-J, GPT-Neo, Llama and other families, multi-query attention, code of their own (`auto_map`), \
         encoder-decoders, pruned heads: each is named",
    ),
    refused(
        "other adapters and quantised weights",
        "DoRA, IA3, GPTQ, bitsandbytes and the like: each is named",
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

    #[test]
    fn rows_fit_a_short_table() {
        assert!(MODELS.len() + WEIGHTS.len() <= 9);
        for row in MODELS.iter().chain(WEIGHTS) {
            assert!(
                !row.name.contains('|') && !row.doc.contains('|') && !row.doc.ends_with('.'),
                "{}",
                row.name
            );
        }
    }
}
