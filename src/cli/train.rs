//! `maskscope train`: a training run without a screen.

use std::path::PathBuf;

use super::flags::{FlagSet, ParameterFlags};
use super::output::JsonFlag;

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[
        ("model", "model.id"),
        ("revision", "model.revision"),
        ("device", "model.device"),
        ("offline", "hub.offline"),
        ("threads", "compute.threads_trainer"),
        ("steps", "train.steps"),
        ("batch-size", "train.batch_size"),
        ("accumulate", "train.accumulate"),
        ("context", "train.context"),
        ("learning-rate", "train.learning_rate"),
        ("min-lr-ratio", "train.min_lr_ratio"),
        ("lr-policy", "train.lr_policy"),
        ("warmup-steps", "train.warmup_steps"),
        ("weight-decay", "train.weight_decay"),
        ("beta1", "train.beta1"),
        ("beta2", "train.beta2"),
        ("eps", "train.eps"),
        ("clip", "train.clip"),
        ("seed", "train.seed"),
        ("eval-every", "train.eval_every"),
        ("checkpoint-every", "train.checkpoint_every"),
    ];
}

/// Train a model on text files
#[derive(Clone, Debug, clap::Args)]
pub struct TrainArgs {
    /// Text files to train on
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Start from random weights of this shape (a config.json) instead of a model
    #[arg(long, value_name = "CONFIG.JSON", conflicts_with = "model.id")]
    pub init: Option<PathBuf>,
    /// Folder for checkpoints
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}
