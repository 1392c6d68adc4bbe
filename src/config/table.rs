//! The rows of the parameter table. Data only: how rows are looked up is in `parameters.rs`.
//! Names of choices repeat the names in `mask::types`, `attention::types` and `engine::types`, which this room may
//! not import; `tests/config.rs` keeps them equal.

use super::kind::Kind;
use super::parameters::{Invalidates, KEYS_SECTION, Parameter, Section};
use Invalidates::{All, Decision, Decode, Forward, Restart, View};

/// Largest whole number that JSON readers keep exact; seeds stay below so that any export can hold them.
const MAX_SEED: i64 = (1 << 53) - 1;
/// More layers or heads than any GPT-2-style checkpoint has.
const MAX_INDEX: i64 = 1023;
const MAX_STEPS: i64 = 1_000_000_000;

const UNIT: Kind = linear(0.0, 1.0, 0.02, 0.002);
const SEED: Kind = int(0, MAX_SEED);
const INDEX_OR_MEAN: Kind = Kind::IntOr { word: "mean", min: 0, max: MAX_INDEX, step: 1 };
const THREADS: Kind = Kind::IntOr { word: "auto", min: 1, max: 1024, step: 1 };
const INDICES: Kind = Kind::Ints { min: 0, max: MAX_INDEX };

const fn linear(min: f64, max: f64, step: f64, fine_step: f64) -> Kind {
    Kind::Float { min, max, step, fine_step, log: false }
}

/// Steps are tenths and hundredths of a decade.
const fn log(min: f64, max: f64) -> Kind {
    Kind::Float { min, max, step: 0.1, fine_step: 0.01, log: true }
}

const fn int(min: i64, max: i64) -> Kind {
    Kind::Int { min, max, step: 1 }
}

const fn int_by(step: i64, min: i64, max: i64) -> Kind {
    Kind::Int { min, max, step }
}

const fn row(
    key: &'static str,
    name: &'static str,
    kind: Kind,
    invalidates: Invalidates,
    doc: &'static str,
) -> Parameter {
    Parameter { key, name, doc, kind, unit: "", invalidates }
}

impl Parameter {
    const fn unit(self, unit: &'static str) -> Parameter {
        Parameter { unit, ..self }
    }
}

pub(super) const SECTIONS: &[Section] = &[
    Section { name: "model", doc: "What is loaded, and where it runs" },
    Section { name: "explore", doc: "What the explorer shows first" },
    Section { name: "mask", doc: "Which positions are masked, and what happens to them" },
    Section { name: "score", doc: "How attention becomes one number per token" },
    Section { name: "hub", doc: "Downloads; the access token is read from HF_TOKEN and never from a file" },
    Section { name: "ui", doc: "The look of the screen" },
    Section { name: "compute", doc: "Threads and number formats" },
    Section { name: "train", doc: "Defaults of a training run" },
    Section {
        name: KEYS_SECTION,
        doc: "Key bindings over the built-in ones: action = [\"key\", …]; an empty list unbinds",
    },
];

#[rustfmt::skip] // one row, one shape: key, name, kind, what it invalidates, doc
pub(super) const TABLE: &[Parameter] = &[
    row("model.id", "model", Kind::Text, All,
        "Model: demo (bundled), a folder, or a Hub id such as openai-community/gpt2"),
    row("model.revision", "revision", Kind::Text, All,
        "Branch, tag or commit of a Hub model"),
    row("model.hub_id", "Hub model", Kind::Text, View,
        "Hub model that the explorer offers beside the bundled one"),
    row("model.device", "device", Kind::Choice(&["auto", "cpu", "cuda"]), All,
        "Where the model runs; auto takes CUDA when there is one"),

    row("explore.text", "text", Kind::Text, Forward,
        "Text that is open at the start"),
    row("explore.layer", "layer", INDEX_OR_MEAN, View,
        "Layer on the heatmap, counted from 0, or mean over layers"),
    row("explore.head", "head", INDEX_OR_MEAN, View,
        "Head on the heatmap, counted from 0, or mean over heads"),
    row("explore.map", "map", Kind::Choice(&["masked", "baseline", "difference"]), View,
        "Run that the heatmap shows"),
    row("explore.top", "candidates", int(1, 100), Decode,
        "Next-token candidates listed"),
    row("explore.rerolls", "re-rolls", int(2, 10_000), View,
        "Seeds behind the mean and spread of an effect"),
    row("explore.color_scale", "color scale", Kind::Choice(&["linear", "sqrt", "log"]), View,
        "How an attention weight becomes a color; sqrt and log bring out weak cells"),

    row("mask.threshold", "threshold τ", UNIT, Decision,
        "Score above which a position may be masked (polarity high)"),
    row("mask.probability", "probability p", UNIT, Decision,
        "Draw below which such a position is masked"),
    row("mask.seed", "seed", SEED, Decision,
        "Seed of the draws"),
    row("mask.polarity", "polarity", Kind::Choice(&["high", "low", "random"]), Decision,
        "Mask what is read most, what is read least, or ignore the score"),
    row("mask.scale", "scale", Kind::Choice(&["rank", "calibrated", "raw"]), Decision,
        "How a score is brought to 0..1: rank in this text, rank in calibration texts, or literal attention"),
    row("mask.op", "operation", Kind::Choice(&["replace", "hide", "drop", "evict", "skip", "keep"]), Forward,
        "What happens to a masked position"),
    row("mask.replacement", "replacement", Kind::Choice(&["mean", "mask", "uniform", "unigram", "eot"]), Forward,
        "What a replaced token becomes: mean embedding, [MASK] row, any token, a token by its frequency, <|endoftext|>"),
    row("mask.drop_positions", "positions after drop", Kind::Choice(&["compact", "gap"]), Forward,
        "Whether dropped positions close up or leave a gap"),
    row("mask.protect", "protected",
        Kind::Terms { alone: &["default", "none"], terms: &["first", "last", "last:N", "sinks", "eot"] }, Decision,
        "What is never masked; default is first,last:1,sinks,eot"),
    row("mask.scope", "scope", Kind::Choice(&["whole", "block"]), Forward,
        "Decide with the whole text in view (look-ahead), or at window boundaries from the past only"),
    row("mask.unit", "unit", Kind::Choice(&["token", "word", "type"]), Decision,
        "What is masked together: a token, a word, or every copy of a token"),
    row("mask.exact_k", "exact count", Kind::Bool, Decision,
        "Mask exactly round(rate·n) positions instead of each by its own draw"),
    row("mask.window", "window", int_by(16, 1, 65_536), Forward,
        "Rolling window under scope block").unit("tokens"),
    row("mask.stride", "stride", int_by(16, 1, 65_536), Forward,
        "Distance between window boundaries").unit("tokens"),
    row("mask.decay", "decay ρ", UNIT, Forward,
        "Share of the history that is kept at each boundary"),
    row("mask.history", "history λ", linear(0.0, 10.0, 0.5, 0.1), Forward,
        "How strongly often-masked positions are spared; 0 is off"),
    row("mask.cool_down", "cool-down", int(0, 1000), Forward,
        "Boundaries for which a position that was masked stays unmasked").unit("boundaries"),
    row("mask.policy", "policy",
        Kind::Choice(&["threshold", "h2o", "snapkv", "tova", "streaming-llm", "dms-like", "recency", "random",
            "inverse", "snapkv-half"]), Forward,
        "Who decides at a boundary: τ, p and polarity, or a cache policy with its budget"),
    row("mask.budget", "budget", linear(0.01, 1.0, 0.05, 0.01), Forward,
        "Share of the tokens read so far that a cache policy keeps"),
    row("mask.per_head", "per head", Kind::Bool, Forward,
        "Whether every head keeps its own budget under a cache policy, instead of one token set for all"),
    row("mask.recent", "recent", int(0, 4096), Forward,
        "Newest tokens that a threshold may not mask at a boundary").unit("tokens"),
    row("mask.sticky", "sticky", Kind::Bool, Forward,
        "Once masked at a boundary, masked for good"),
    row("mask.initial", "initial pattern",
        Kind::Choice(&["none", "random", "words", "spans", "rare", "marked", "choice"]), Forward,
        "Pattern that masks before attention is known: the first window (block), or everything in place of the score"),
    row("mask.mix", "mix", Kind::Text, Decision,
        "Shares of operations, each selected unit drawing its own, e.g. replace:0.8,keep:0.2; empty uses mask.op alone"),

    row("score.reduction", "score",
        Kind::Choice(&["corrected", "null", "sum", "window", "last", "max-heads", "rollout", "plain"]), Decision,
        "How the attention a token receives becomes one number"),
    row("score.contribution", "contribution", Kind::Bool, Decision,
        "Weigh attention by the norm of what it carries, α·‖W_O v‖"),
    row("score.window", "score window", int(1, 4096), Decision,
        "Last queries that count for the reduction window").unit("queries"),
    row("score.layers", "layers", INDICES, Decision,
        "Layers that count, from 0"),
    row("score.heads", "heads", INDICES, Decision,
        "Heads that count, from 0"),

    row("hub.endpoint", "endpoint", Kind::Text, Restart,
        "Address of the Hub; empty is HF_ENDPOINT, else https://huggingface.co"),
    row("hub.cache", "cache", Kind::Path, Restart,
        "Cache folder; empty is HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub"),
    row("hub.offline", "offline", Kind::Bool, Restart,
        "Use only what is cached; HF_HUB_OFFLINE=1 does the same"),
    row("hub.refresh", "refresh", Kind::Bool, Restart,
        "Ask the Hub for a newer version of a cached model, and fetch it"),
    row("hub.stall_seconds", "stall limit", int_by(5, 1, 3600), Restart,
        "Silence after which a download is given up").unit("s"),

    row("ui.theme", "theme", Kind::Choice(&["dark", "light"]), View,
        "Colors for a dark or a light terminal"),
    row("ui.color", "colors", Kind::Choice(&["auto", "truecolor", "256", "16", "none"]), View,
        "How many colors to use; NO_COLOR means none"),
    row("ui.ascii", "ASCII only", Kind::Bool, View,
        "Draw with ASCII characters only"),
    row("ui.mouse", "mouse", Kind::Bool, Restart,
        "Take mouse clicks, drags and the wheel"),
    row("ui.tour", "tour", Kind::Bool, Restart,
        "Open the tour at the start"),
    row("ui.input_fps", "input frame rate", int_by(10, 1, 1000), View,
        "Most frames drawn per second while keys or the mouse arrive").unit("frames/s"),
    row("ui.background_fps", "background frame rate", int_by(5, 1, 1000), View,
        "Most frames drawn per second for results that arrive by themselves").unit("frames/s"),

    row("compute.threads_explorer", "explorer threads", THREADS, Restart,
        "Threads for the explorer's forward passes; auto takes every core"),
    row("compute.threads_trainer", "trainer threads", THREADS, Restart,
        "Threads for training; auto leaves one core to the screen"),
    row("compute.weights", "weights", Kind::Choice(&["f32", "bf16"]), Restart,
        "How the explorer keeps matrices on the CPU; bf16 rounds them and is faster when one token changes"),

    row("train.steps", "steps", int_by(10, 1, MAX_STEPS), Restart,
        "Optimizer steps").unit("steps"),
    row("train.batch_size", "batch size", int(1, 65_536), Restart,
        "Sequences per forward pass").unit("sequences"),
    row("train.accumulate", "accumulation", int(1, 65_536), Restart,
        "Forward passes per optimizer step"),
    row("train.context", "context", int_by(64, 2, 65_536), Restart,
        "Tokens per sequence").unit("tokens"),
    row("train.learning_rate", "learning rate", log(1e-8, 1.0), Restart,
        "Peak learning rate"),
    row("train.min_lr_ratio", "final rate", UNIT, Restart,
        "Last learning rate as a share of the peak"),
    row("train.lr_policy", "rate policy", Kind::Choice(&["wsd", "cosine", "linear", "constant", "plateau"]), Restart,
        "Course of the learning rate after the warm-up; wsd is warm-up, stable, decay; plateau cuts it when the clean validation loss stops falling"),
    row("train.lr_progress", "progress", Kind::Choice(&["steps", "visible"]), Restart,
        "What moves the learning rate on: steps, or visible tokens times layers (mask-aware)"),
    row("train.patience", "patience", int(1, 1000), Restart,
        "Evaluations without improvement before a plateau cuts the rate").unit("evaluations"),
    row("train.lr_factor", "cut", linear(0.01, 0.99, 0.1, 0.01), Restart,
        "What a plateau multiplies the rate with"),
    row("train.gap_target", "loss gap", linear(0.0, 10.0, 0.05, 0.01), Restart,
        "Masked minus clean validation loss that a controller holds by moving the mask rate; 0 is off").unit("nats"),
    row("train.gap_gain", "gap gain", linear(0.0, 10.0, 0.1, 0.01), Restart,
        "How strongly that controller reacts, per nat and evaluation"),
    row("train.warmup_steps", "warm-up", int_by(10, 0, MAX_STEPS), Restart,
        "Steps over which the learning rate rises from 0 to its peak").unit("steps"),
    row("train.weight_decay", "weight decay", linear(0.0, 10.0, 0.05, 0.01), Restart,
        "Decoupled weight decay, on matrices only"),
    row("train.beta1", "β₁", linear(0.0, 0.9999, 0.05, 0.0001), Restart,
        "AdamW: decay of the mean of gradients"),
    row("train.beta2", "β₂", linear(0.0, 0.99999, 0.01, 0.00001), Restart,
        "AdamW: decay of the mean of squared gradients"),
    row("train.eps", "ε", log(1e-16, 1.0), Restart,
        "AdamW: added to the root before dividing"),
    row("train.precision", "precision", Kind::Choice(&["f32", "bf16"]), Restart,
        "Number format of matrix products in training; weights stay f32; bf16 needs a GPU"),
    row("train.clip", "clipping", linear(0.0, 1000.0, 0.1, 0.01), Restart,
        "Largest global gradient norm; 0 is no clipping"),
    row("train.dropout", "dropout", linear(0.0, 0.95, 0.05, 0.01), Restart,
        "Share of embeddings, attention weights and residual branches dropped"),
    row("train.trained", "what is trained", Kind::Choice(&["all", "last-blocks", "layer-norms", "lora"]), Restart,
        "Which weights move"),
    row("train.blocks", "last blocks", int(1, MAX_INDEX), Restart,
        "Blocks that last-blocks trains, counted from the end"),
    row("train.lora_rank", "LoRA rank", int(1, 1024), Restart,
        "Rank of the adapters"),
    row("train.lora_alpha", "LoRA α", linear(0.1, 4096.0, 1.0, 0.1), Restart,
        "Adapters are scaled by α/rank"),
    row("train.lora_targets", "LoRA targets",
        Kind::Terms { alone: &["attention", "all"],
            terms: &["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj", "lm_head"] }, Restart,
        "Matrices that get an adapter; attention is attn.c_attn,attn.c_proj and all is every matrix of the blocks"),
    row("train.arm", "masking arm",
        Kind::Choice(&["none", "static-1", "static-10", "static-attn", "dyn-rand", "dyn-attn-high", "dyn-attn-low",
            "dyn-salient", "dyn-pair"]), Restart,
        "Who is masked in training, and when it is decided anew"),
    row("train.op", "masking operation", Kind::Choice(&["replace", "hide", "drop", "skip", "keep"]), Restart,
        "What happens to a masked position in training"),
    row("train.replacement", "training replacement", Kind::Choice(&["mask", "mean", "uniform", "unigram", "eot"]), Restart,
        "What a replaced token becomes in training; mask trains a new [MASK] row"),
    row("train.mask_rate", "mask rate", UNIT, Restart,
        "Share of the eligible positions masked, averaged over the run"),
    row("train.mask_schedule", "mask schedule", Kind::Choice(&["constant", "ramp-up", "decay", "triangle"]), Restart,
        "Course of the mask rate; the average over the run stays the same"),
    row("train.mask_cool_down", "clean cool-down", linear(0.0, 0.9, 0.1, 0.01), Restart,
        "Share of the steps, at the end, that run without masks"),
    row("train.score_from", "scores from", Kind::Choice(&["last-visit", "fresh"]), Restart,
        "Attention that arms score: of the sequence's last visit, or of a fresh pass (one more forward pass a step)"),
    row("train.joint", "learned policy", Kind::Choice(&["none", "soft-thresholds", "adversarial", "bandit"]), Restart,
        "Masking policy that is learned with the model"),
    row("train.joint_lambda", "λ", linear(0.0, 10.0, 0.01, 0.001), Restart,
        "Soft thresholds: weight of the mean gate in the loss"),
    row("train.joint_temperature", "gate temperature", log(1e-3, 10.0), Restart,
        "Soft thresholds: width of the gate"),
    row("train.joint_rate", "policy rate", log(1e-8, 1.0), Restart,
        "Learning rate of the policy's own parameters"),
    row("train.seed", "training seed", SEED, Restart,
        "Seed of initial weights, batches and dropout"),
    row("train.eval_every", "evaluation every", int_by(10, 1, MAX_STEPS), Restart,
        "Steps between validation losses").unit("steps"),
    row("train.checkpoint_every", "checkpoint every", int_by(100, 1, MAX_STEPS), Restart,
        "Steps between checkpoints").unit("steps"),
    row("train.keep_last", "checkpoints kept", int(1, 1000), Restart,
        "Newest checkpoints kept, besides the best one"),
    row("train.on_disk_full", "on a full disk", Kind::Choice(&["continue", "stop"]), Restart,
        "Whether a run goes on when a checkpoint does not fit; the last whole one is kept either way"),
    row("train.sample_every", "sample every", int_by(100, 0, MAX_STEPS), Restart,
        "Steps between samples of text; 0 takes none").unit("steps"),
    row("train.sample_prompt", "sample prompt", Kind::Text, Restart,
        "What samples continue"),
    row("train.twins", "twins", Kind::Text, Restart,
        "Two to four arms to compare on the same batches and draws, e.g. dyn-rand,dyn-attn-high:hide, the first against the others; empty makes one run"),
    row("train.twin_seeds", "seeds", int(1, 1000), Restart,
        "Seeds that twins are run under; verdicts rest on them, and five are the fewest that can decide").unit("seeds"),
];
