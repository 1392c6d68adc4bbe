//! From `[train]`, `[mask]` and `[score]` to the spec of a run.

use std::path::PathBuf;

use super::convert;
use super::error::CliError;
use crate::config::Settings;
use crate::config::Train as TrainSettings;
use crate::mask::types::MaskSettings;
use crate::tensor::adamw::AdamWSettings;
use crate::train::checkpoint::SavedDtype;
use crate::train::schedule::{GapControl, RateSpec};
use crate::train::spec::{Arm, DataSpec, JointSpec, LoraSpec, LoraTarget, MaskingSpec, RunSpec, Trained};
use crate::train::twins::TwinSpec;

/// The setting that is shortened to the model's context unless somebody asked for it.
pub const CONTEXT: &str = "train.context";

fn parse<T: std::str::FromStr<Err = String>>(key: &str, name: &str) -> Result<T, CliError> {
    name.parse().map_err(|problem: String| CliError::usage(format!("train.{key}: {problem}")))
}

/// The run that the settings describe; `policy` is the explorer's, where the run uses it.
pub fn run_spec(
    settings: &Settings,
    (data, out): (DataSpec, PathBuf),
    policy: Option<MaskSettings>,
) -> Result<RunSpec, CliError> {
    let t = &settings.train;
    let masking = masking(settings, policy)?;
    Ok(RunSpec {
        model: convert::model_spec(settings),
        data,
        trained: trained(t)?,
        fixed_cuts: masking.arm != Arm::None,
        masking,
        steps: t.steps,
        time_limit: None,
        batch_size: t.batch_size,
        accumulate: t.accumulate,
        context: t.context,
        rate: RateSpec {
            policy: parse("lr_policy", &t.lr_policy)?,
            peak: t.learning_rate,
            min_ratio: t.min_lr_ratio,
            warmup: t.warmup_steps,
            progress: parse("lr_progress", &t.lr_progress)?,
            patience: t.patience,
            factor: t.lr_factor,
            gap: (t.gap_target > 0.0).then_some(GapControl { target: t.gap_target, gain: t.gap_gain }),
        },
        adamw: AdamWSettings { beta1: t.beta1, beta2: t.beta2, eps: t.eps, weight_decay: t.weight_decay },
        precision: parse("precision", &t.precision)?,
        clip: t.clip,
        dropout: t.dropout,
        seed: t.seed,
        eval_every: t.eval_every,
        checkpoint_every: t.checkpoint_every,
        sample_every: t.sample_every,
        sample_prompt: t.sample_prompt.clone(),
        keep_last: t.keep_last,
        on_disk_full: parse("on_disk_full", &t.on_disk_full)?,
        out,
        dtype: SavedDtype::F32,
        twins: twins(t)?,
    })
}

fn trained(t: &TrainSettings) -> Result<Trained, CliError> {
    Ok(match t.trained.as_str() {
        "last-blocks" => Trained::LastBlocks(t.blocks),
        "layer-norms" => Trained::LayerNorms,
        "lora" => Trained::Lora(LoraSpec {
            rank: t.lora_rank,
            alpha: t.lora_alpha,
            targets: targets(&t.lora_targets)?,
        }),
        _ => Trained::All,
    })
}

fn twins(t: &TrainSettings) -> Result<Option<TwinSpec>, CliError> {
    if t.twins.trim().is_empty() {
        return Ok(None);
    }
    let spec: TwinSpec = parse("twins", &t.twins)?;
    Ok(Some(TwinSpec { seeds: t.twin_seeds, ..spec }))
}

/// In the order of [`LoraTarget::ALL`], each once.
fn targets(text: &str) -> Result<Vec<LoraTarget>, CliError> {
    let named: Vec<LoraTarget> = match text {
        "attention" => vec![LoraTarget::CAttn, LoraTarget::AttnProj],
        "all" => LoraTarget::ALL.iter().copied().filter(|t| *t != LoraTarget::LmHead).collect(),
        list => list.split(',').map(|name| parse("lora_targets", name.trim())).collect::<Result<_, _>>()?,
    };
    Ok(LoraTarget::ALL.iter().copied().filter(|t| named.contains(t)).collect())
}

fn masking(settings: &Settings, policy: Option<MaskSettings>) -> Result<MaskingSpec, CliError> {
    let t = &settings.train;
    let joint = match t.joint.as_str() {
        "none" => None,
        kind => Some(JointSpec {
            kind: parse("joint", kind)?,
            lambda: t.joint_lambda,
            temperature: t.joint_temperature,
            rate: t.joint_rate,
        }),
    };
    let mut spec = MaskingSpec {
        arm: parse("arm", &t.arm)?,
        op: parse("op", &t.op)?,
        replacement: parse("replacement", &t.replacement)?,
        rate: t.mask_rate,
        schedule: parse("mask_schedule", &t.mask_schedule)?,
        cool_down: t.mask_cool_down,
        score_from: parse("score_from", &t.score_from)?,
        policy: None,
        score: convert::score_settings(settings)?,
        joint,
    };
    if let Some(policy) = policy {
        (spec.op, spec.replacement, spec.rate) = (policy.op, policy.replacement, policy.nominal_rate());
        spec.policy = Some(policy);
    }
    Ok(spec)
}
