//! What opens as a GPT-2, for the reference.

use crate::model::formats::{Format, opens};

pub const MODELS: &[Format] = &[
    opens(
        "GPT-2 and its fine-tunes",
        "`model_type` `gpt2`, or missing, if `architectures` or GPT-2's size fields identify it; every activation \
         function of transformers without trained parameters",
    ),
    opens(
        "GPT2ForSequenceClassification, GPT2DoubleHeadsModel",
        "the trunk with its embeddings as the output matrix; the other head is left out, and a note says so",
    ),
    opens(
        "nanoGPT's `ckpt.pt`",
        "by its `model_args`; token ids only, unless there is a tokenizer in the same folder",
    ),
];
