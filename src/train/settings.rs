//! What a person may set about a run, and the spec that comes of it.

use std::path::PathBuf;

use super::checkpoint::SavedDtype;
use super::data::synthetic::{SyntheticSpec, SyntheticTask};
use super::data::{ChatTemplate, LossOn, RowPacking};
use super::schedule::{GapControl, LrPolicy, LrProgress, LrSpec};
use super::spec::{
    Arm, DataSpec, Joint, JointSpec, LoraSpec, LoraTargets, MaskSchedule, MaskingSpec, OnDiskFull, Precision,
    RunSpec, ScoreFrom, TRAINED_OPS, Trained, TrainedPart,
};
use super::twins::TwinSpec;
use crate::attention::types::{MAX_INDEX, ScoreSettings};
use crate::mask::types::{MAX_SEED, MaskSettings, Op, Replacement};
use crate::settings::settings;
use crate::tensor::adamw::AdamWSettings;

/// More steps than any run takes.
pub(super) const MAX_STEPS: i64 = 1_000_000_000;

settings! {
    /// Defaults of a training run
    pub struct TrainSettings in "train" {
        /// How prompts, instructions and conversations of the data become text
        chat_template: ChatTemplate = ChatTemplate::Tokenizer, label("chat template");
        /// Which tokens of prompts, instructions and conversations count in the loss; other text always counts whole
        loss_on: LossOn = LossOn::Answers, label("loss on");
        /// Which weights are trained
        trained: TrainedPart = TrainedPart::All;
        /// Blocks that last-blocks trains, counted from the end
        blocks: usize = 2, label("last blocks"), whole(1, MAX_INDEX) => |t| t.trained == TrainedPart::LastBlocks;
        /// Rank of the adapters
        lora_rank: usize = 8, label("LoRA rank"), whole(1, 1024) => |t| t.trained == TrainedPart::Lora;
        /// Adapters are scaled by α/rank
        lora_alpha: f64 = 16.0, label("LoRA α"), range(0.1, 4096.0, 1.0, 0.1) => |t| t.trained == TrainedPart::Lora;
        /// Share of an adapter's input that is dropped in training
        lora_dropout: f64 = 0.0, label("LoRA dropout"), range(0.0, 0.95, 0.05, 0.01)
            => |t| t.trained == TrainedPart::Lora;
        /// Matrices that get an adapter; attention is attn.c_attn,attn.c_proj and all is every matrix of the blocks
        /// A list of attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj, lm_head is read, too.
        lora_targets: LoraTargets = LoraTargets::attention(), label("LoRA targets")
            => |t| t.trained == TrainedPart::Lora;
        /// Which tokens training masks, and when that is decided
        arm: Arm = Arm::None, label("masking");
        /// What happens to a masked token in training
        op: Op = Op::Replace, label("operation"), among(TRAINED_OPS);
        /// What a replaced token becomes in training; mask trains a new [MASK] row
        replacement: Replacement = Replacement::Mask, label("replace with") => |t| t.op == Op::Replace;
        /// Share of the eligible positions masked, averaged over the run
        mask_rate: f64 = 0.15, label("mask rate"), range(0.0, 1.0, 0.02, 0.002);
        /// Schedule of the mask rate; the average over the run stays the same
        mask_schedule: MaskSchedule = MaskSchedule::Constant, label("mask schedule");
        /// Share of the steps, at the end, that run without masks
        mask_cool_down: f64 = 0.0, label("clean cool-down"), range(0.0, 0.9, 0.1, 0.01);
        /// Share of the sequences, drawn at every visit, that run without masks
        mask_clean_share: f64 = 0.0, label("clean sequences"), range(0.0, 0.9, 0.1, 0.01);
        /// Where an arm takes its attention scores from
        score_from: ScoreFrom = ScoreFrom::LastVisit, label("scores from");
        /// Masking policy that is learned with the model
        joint: Option<Joint> = None, label("learned policy");
        /// Soft thresholds: weight of the mean gate in the loss
        joint_lambda: f64 = 0.1, label("λ"), range(0.0, 10.0, 0.01, 0.001)
            => |t| t.joint == Some(Joint::SoftThresholds);
        /// Soft thresholds: width of the gate
        joint_temperature: f64 = 0.1, label("gate temperature"), log(1e-3, 10.0)
            => |t| t.joint == Some(Joint::SoftThresholds);
        /// Learning rate of the policy's own parameters
        joint_learning_rate: f64 = 1e-3, label("policy LR"), log(1e-8, 1.0), was(&["train.joint_rate"])
            => |t| t.joint.is_some();
        /// Two to four arms to compare on the same batches and draws, every pair of them; empty makes one run
        /// Each is ARM or ARM:OPERATION, e.g. "dyn-rand,dyn-attn-high:hide".
        twins: Option<TwinSpec> = None;
        /// Seeds that twins run under; a verdict needs at least 5 with two arms, 6 with three or four
        twin_seeds: usize = 6, label("seeds"), whole(1, 1000), unit("seeds") => |t| t.twins.is_some();
        /// Optimizer steps
        /// 100 are six epochs of the bundled text: a first run of a minute or two.
        steps: usize = 100, whole(1, MAX_STEPS), step(10), unit("steps") => |t| t.epochs == 0.0;
        /// Passes over the data; 0 leaves the length of a run to its steps
        epochs: f64 = 0.0, range(0.0, 100_000.0, 1.0, 0.1), unit("passes");
        /// Peak learning rate
        learning_rate: f64 = 1e-3, label("learning rate"), log(1e-8, 1.0);
        /// Schedule of the learning rate after the warm-up
        lr_policy: LrPolicy = LrPolicy::Wsd, label("LR policy");
        /// What the learning rate follows
        lr_progress: LrProgress = LrProgress::Steps, label("progress");
        /// Steps over which the learning rate rises from 0 to its peak
        warmup_steps: usize = 10, label("warm-up"), whole(0, MAX_STEPS), step(10), unit("steps")
            => |t| t.lr_policy != LrPolicy::OneCycle;
        /// Final learning rate as a fraction of the peak
        min_lr_ratio: f64 = 0.1, label("final LR"), range(0.0, 1.0, 0.02, 0.002)
            => |t| t.lr_policy != LrPolicy::OneCycle;
        /// How often a cosine with restarts comes down
        lr_cycles: usize = 2, label("cycles"), whole(1, 1000), unit("cycles")
            => |t| t.lr_policy == LrPolicy::CosineRestarts;
        /// Evaluations without improvement before a plateau cuts the learning rate
        patience: usize = 3, whole(1, 1000), unit("evaluations") => |t| t.lr_policy == LrPolicy::Plateau;
        /// What a plateau multiplies the learning rate by
        lr_factor: f64 = 0.5, label("cut"), range(0.01, 0.99, 0.1, 0.01) => |t| t.lr_policy == LrPolicy::Plateau;
        /// Masked minus clean validation loss that a controller keeps by changing the mask rate; 0 is off
        gap_target: f64 = 0.0, label("loss gap"), range(0.0, 10.0, 0.05, 0.01), unit("nats");
        /// How strongly that controller reacts, per nat and evaluation
        gap_gain: f64 = 1.0, label("gap gain"), range(0.0, 10.0, 0.1, 0.01), hidden();
        /// Sequences per forward pass
        batch_size: usize = 8, label("batch size"), whole(1, 65_536), unit("sequences");
        /// Gradient accumulation: forward passes per optimizer step
        accumulate: usize = 1, label("accumulation"), whole(1, 65_536);
        /// Tokens per sequence
        context: usize = 256, whole(2, 65_536), step(64), unit("tokens");
        /// How documents are put into sequences
        packing: RowPacking = RowPacking::Packed;
        /// Whether sequences of like length share a batch, so that less is padded
        group_by_length: bool = false, label("group by length") => |t| t.packing == RowPacking::OnePerRow;
        /// Share of the sequences that begin with the end-of-text token, as documents do
        marked: f64 = 0.0, label("begin with mark"), range(0.0, 1.0, 0.1, 0.01), hidden();
        /// Sequences made up among the text, whose loss counts only what can be copied or recalled
        synthetic: Option<SyntheticTask> = None, label("synthetic data");
        /// Share of the sequences that are made up; 1 trains on nothing else
        synthetic_share: f64 = 0.5, label("made up"), range(0.0, 1.0, 0.1, 0.01) => |t| t.synthetic.is_some();
        /// Made-up tokens are drawn from the ids below this; 0 is all of the vocabulary
        synthetic_ids: usize = 0, label("made-up ids"), whole(0, MAX_STEPS), step(64) => |t| t.synthetic.is_some();
        /// Smallest period of repeats, number of pairs, or distance of a fact
        synthetic_least: usize = 8, label("made-up from"), whole(1, 65_536) => |t| t.synthetic.is_some();
        /// Largest period of repeats, number of pairs, or distance of a fact
        synthetic_most: usize = 32, label("made-up to"), whole(1, 65_536) => |t| t.synthetic.is_some();
        /// Tokens of one made-up text; a sequence holds as many as fit, and 0 makes one as long as the sequence
        synthetic_context: usize = 0, label("made-up length"), whole(0, 65_536), step(64), unit("tokens")
            => |t| t.synthetic.is_some();
        /// Dropout probability for embeddings, attention weights and residual outputs
        dropout: f64 = 0.0, range(0.0, 0.95, 0.05, 0.01);
        /// Decoupled weight decay, on matrices only
        weight_decay: f64 = 0.1, label("weight decay"), range(0.0, 10.0, 0.05, 0.01);
        /// Gradients are clipped to this global norm; 0 is off
        clip: f64 = 1.0, label("clipping"), range(0.0, 1000.0, 0.1, 0.01);
        /// AdamW beta1, first moment
        beta1: f64 = 0.9, label("β₁"), range(0.0, 0.9999, 0.05, 0.0001), hidden();
        /// AdamW beta2, second moment
        beta2: f64 = 0.95, label("β₂"), range(0.0, 0.99999, 0.01, 0.00001), hidden();
        /// AdamW epsilon
        eps: f64 = 1e-8, label("ε"), log(1e-16, 1.0), hidden();
        /// Whether blocks are computed again on the way back instead of kept: less memory, about a third more time
        gradient_checkpointing: bool = false, label("grad checkpoints");
        /// Number format of matrix products in training; weights stay f32
        precision: Precision = Precision::F32, hidden();
        /// Seed of initial weights, batches, masks and dropout
        seed: u64 = 1, label("training seed"), whole(0, MAX_SEED);
        /// Steps between validation losses
        eval_every: usize = 20, label("evaluation every"), whole(1, MAX_STEPS), step(10), unit("steps");
        /// Held-out tokens that an evaluation reads; 0 takes what a tenth of the time is enough for, 20,000 at most
        validation_tokens: usize = 0, label("measured on"), whole(0, MAX_STEPS), step(10_000), unit("tokens");
        /// Evaluations without a lower validation loss after which a run ends; 0 never ends it
        stop_after: usize = 0, label("stop after"), whole(0, 1000), unit("evaluations");
        /// Steps between checkpoints; one is saved at every lowest validation loss, too
        checkpoint_every: usize = 50, label("checkpoint every"), whole(1, MAX_STEPS), step(100), unit("steps");
        /// Newest checkpoints kept, besides the best one
        keep_last: usize = 2, label("checkpoints kept"), whole(1, 1000);
        /// Checkpoints kept at steps that grow by a constant factor, such as 1, 10, 100; 0 keeps none for that
        keep_spaced: usize = 0, label("spaced, kept"), whole(0, 100);
        /// What a run does when a checkpoint does not fit; the last complete one is kept either way
        on_disk_full: OnDiskFull = OnDiskFull::Continue, label("disk full");
        /// Steps between looks at what every head reads on repeated random tokens; 0 takes none
        heads_every: usize = 0, label("heads every"), whole(0, MAX_STEPS), step(10), unit("steps")
            => |t| t.twins.is_none();
        /// Steps between samples of text; 0 takes none
        sample_every: usize = 0, label("sample every"), whole(0, MAX_STEPS), step(100), unit("steps");
        /// Prompt that samples continue
        sample_prompt: String = "The".to_owned(), label("sample prompt") => |t| t.sample_every > 0;
    }
}

impl TrainSettings {
    /// The run of `model` that they describe; `policy` is the explorer's, where the run uses it.
    pub fn spec(
        &self,
        model: String,
        (data, out): (DataSpec, PathBuf),
        policy: Option<MaskSettings>,
        score: &ScoreSettings,
    ) -> RunSpec {
        let masking = self.masking(policy, score);
        let data = DataSpec { chat_template: self.chat_template, loss_on: self.loss_on, ..data };
        RunSpec {
            model,
            init: None,
            data,
            trained: self.what_is_trained(),
            fixed_cuts: masking.arm != Arm::None,
            marked: self.marked,
            synthetic: self.synthetic_spec(),
            masking,
            steps: self.steps,
            epochs: self.epochs,
            time_limit: None,
            batch_size: self.batch_size,
            accumulate: self.accumulate,
            context: self.context,
            packing: self.packing,
            group_by_length: self.group_by_length && self.packing == RowPacking::OnePerRow,
            learning_rate: self.learning_rate_spec(),
            adamw: AdamWSettings {
                beta1: self.beta1,
                beta2: self.beta2,
                eps: self.eps,
                weight_decay: self.weight_decay,
            },
            precision: self.precision,
            gradient_checkpointing: self.gradient_checkpointing,
            clip: self.clip,
            dropout: self.dropout,
            seed: self.seed,
            eval_every: self.eval_every,
            checkpoint_every: self.checkpoint_every,
            heads_every: self.heads_every,
            sample_every: self.sample_every,
            sample_prompt: self.sample_prompt.clone(),
            validation_tokens: Some(self.validation_tokens),
            stop_after: self.stop_after,
            keep_spaced: self.keep_spaced,
            keep_last: self.keep_last,
            on_disk_full: self.on_disk_full,
            out,
            dtype: SavedDtype::F32,
            twins: self.twins.clone().map(|twins| TwinSpec { seeds: self.twin_seeds, ..twins }),
        }
    }

    fn learning_rate_spec(&self) -> LrSpec {
        let gap = GapControl { target: self.gap_target, gain: self.gap_gain };
        LrSpec {
            policy: self.lr_policy,
            peak: self.learning_rate,
            min_ratio: self.min_lr_ratio,
            warmup: self.warmup_steps,
            cycles: self.lr_cycles,
            progress: self.lr_progress,
            patience: self.patience,
            factor: self.lr_factor,
            gap: (gap.target > 0.0).then_some(gap),
        }
    }

    fn synthetic_spec(&self) -> Option<SyntheticSpec> {
        self.synthetic.map(|task| SyntheticSpec {
            task,
            share: self.synthetic_share,
            ids: self.synthetic_ids,
            least: self.synthetic_least,
            most: self.synthetic_most,
            context: self.synthetic_context,
        })
    }

    fn what_is_trained(&self) -> Trained {
        match self.trained {
            TrainedPart::All => Trained::All,
            TrainedPart::LastBlocks => Trained::LastBlocks(self.blocks),
            TrainedPart::LayerNorms => Trained::LayerNorms,
            TrainedPart::Lora => Trained::Lora(LoraSpec {
                rank: self.lora_rank,
                alpha: self.lora_alpha,
                dropout: self.lora_dropout,
                targets: self.lora_targets.clone(),
            }),
        }
    }

    fn masking(&self, policy: Option<MaskSettings>, score: &ScoreSettings) -> MaskingSpec {
        let joint = self.joint.map(|kind| JointSpec {
            kind,
            lambda: self.joint_lambda,
            temperature: self.joint_temperature,
            learning_rate: self.joint_learning_rate,
        });
        let mut spec = MaskingSpec {
            arm: self.arm,
            op: self.op,
            replacement: self.replacement,
            rate: self.mask_rate,
            schedule: self.mask_schedule,
            cool_down: self.mask_cool_down,
            clean_share: self.mask_clean_share,
            score_from: self.score_from,
            policy: None,
            score: score.clone(),
            joint,
        };
        if let Some(policy) = policy {
            (spec.op, spec.replacement, spec.rate) = (policy.op, policy.replacement, policy.nominal_rate());
            spec.policy = Some(policy);
        }
        spec
    }
}
