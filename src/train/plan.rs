//! What a run will cost, said before it starts: counts, memory, and one measured step on a copy of what it would
//! change. Neither the weights nor the draws move.

use std::time::Instant;

use candle_core::Var;

use super::TrainError;
use super::data::RowPacking;
use super::policy::JointPolicy;
use super::records::MachineGauge;
use super::report::{MemoryPlan, Plan};
use super::run::Run;
use super::spec::{Arm, RunSpec, ScoreFrom, Trained};
use super::trainee::Site;
use crate::model::Config;
use crate::support::units;
use crate::tensor::adamw::AdamW;
use crate::tensor::cross_entropy::tile_rows;
use crate::tensor::device::{self, Way};

/// Passes over the text from which a plan warns.
const MANY_PASSES: f64 = 10.0;
/// Passes below which scores of the last visit decide less than half of the masks.
const ATTENTIVE_PASSES: f64 = 2.0;
/// Share of the time from which a plan warns of evaluations.
const MUCH_MEASURING: f64 = 0.4;
/// Share of the free memory a run may take.
const USABLE: f64 = 0.9;

/// One measured step.
struct StepProbe {
    /// Its update included.
    seconds: f64,
    /// Seconds of its forward pass. An evaluation costs as much per batch.
    forward: f64,
    loss: f64,
}

impl Run {
    /// Measures and estimates.
    pub(super) fn estimate(&mut self) -> Result<Plan, TrainError> {
        let memory = self.fitting_memory()?;
        let StepProbe { seconds: step_seconds, forward, loss: probe_loss } = self.probe()?;
        let spec = &self.spec;
        let per_step = spec.sequences_per_step() as f64;
        let tokens_per_step = (per_step * self.visits.rows().mean_size()).round() as u64;
        let left = spec.steps - self.counters.step.min(spec.steps);
        // By the clock, no more steps than fit into it.
        let fit = spec.time_limit.map_or(f64::INFINITY, |limit| (limit / step_seconds.max(1e-9)).ceil());
        let left = left.min(fit.min(1e15) as usize);
        let train_tokens = self.train.tokens.len() as u64;
        let validation = self.validation.as_deref();
        let validation_tokens = validation.map_or(0, |v| v.tokens.len() as u64);
        // The last step is evaluated in any case, and so is the start of a fresh run.
        let every = if spec.eval_every == 0 { left.max(1) } else { spec.eval_every };
        let evaluations = left.div_ceil(every) + usize::from(self.counters.step == 0);
        let evaluation = forward * validation_tokens as f64 / tokens_per_step as f64;
        let text = spec.synthetic.map_or(1.0, |made_up| 1.0 - made_up.share);
        let visits = per_step * (self.counters.step + left) as f64;
        let epochs = text * visits / self.visits.rows().len() as f64;
        let measuring = evaluation * evaluations as f64;
        let expected = step_seconds * left as f64 + measuring;
        let notes = self.plan_notes(self.counters.step + left, epochs, measuring / expected);
        Ok(Plan {
            parameters: self.trainee.model.config.parameters() as u64,
            trainable: self.trainee.trainable() as u64,
            train_tokens,
            train_documents: self.train.documents,
            validation_tokens,
            validation_documents: validation.map_or(0, |v| v.documents),
            steps: self.counters.step + left,
            tokens_per_step,
            epochs,
            memory,
            step_seconds,
            probe_loss,
            expected_seconds: spec.time_limit.map_or(expected, |limit| expected.min(limit)),
            notes,
        })
    }

    /// The memory that the run takes.
    ///
    /// # Errors
    /// More than there is.
    pub(super) fn fitting_memory(&self) -> Result<MemoryPlan, TrainError> {
        let device = &self.trainee.model.device;
        let available = device::memory(device).map_or_else(MachineGauge::available, |m| m.free);
        let memory =
            MemoryPlan { resident: MachineGauge::default().resident(), ..self.memory_plan(available) };
        if memory.total as f64 > available as f64 * USABLE {
            return Err(too_large(&memory, if device.is_cpu() { "machine" } else { "GPU" }));
        }
        Ok(memory)
    }

    /// What the plan says besides its numbers; `evaluating` is the share of the time that evaluations take.
    fn plan_notes(&self, steps: usize, epochs: f64, evaluating: f64) -> Vec<String> {
        let mut notes = self.notes.clone();
        notes.extend(self.rows_note());
        if epochs > MANY_PASSES {
            notes.push(format!(
                "{epochs:.0} epochs will mostly memorise the text: take fewer steps or more text"
            ));
        }
        notes.extend(self.arms.score_cost().map(str::to_owned));
        notes.extend(self.undecided(epochs));
        let warmup = self.spec.learning_rate.warmup;
        if self.spec.learning_rate.warms_up() && warmup >= steps {
            notes.push(format!(
                "the learning rate is still warming up at the end: {warmup} warm-up steps, {steps} in all"
            ));
        }
        if evaluating > MUCH_MEASURING {
            notes.push(format!(
                "evaluations take about {:.0} % of the time: evaluate less often, or on less text",
                100.0 * evaluating
            ));
        }
        notes
    }

    /// How the documents stand in rows, where that is not simply one after the other.
    fn rows_note(&self) -> Option<String> {
        let (rows, context) = (self.visits.rows(), self.spec.context);
        match self.spec.packing {
            RowPacking::Packed => None,
            RowPacking::Isolated => Some(format!(
                "rows of {context} tokens, in which no document sees another and positions start at 0 in each"
            )),
            RowPacking::OnePerRow => Some(format!(
                "{} rows of one document each, {:.0} tokens on average and {context} at most",
                rows.len(),
                rows.mean_size()
            )),
        }
    }

    /// That attention decides too little in so few passes, and what would change that.
    fn undecided(&self, epochs: f64) -> Option<String> {
        let masking = &self.spec.masking;
        let by_attention = matches!(masking.arm, Arm::DynAttnHigh | Arm::DynAttnLow);
        if !by_attention || masking.score_from != ScoreFrom::LastVisit || epochs >= ATTENTIVE_PASSES {
            return None;
        }
        let share = 100.0 * (1.0 - 1.0 / epochs).max(0.0);
        Some(format!(
            "attention decides {share:.0} % of the masks of this run: in {epochs:.1} passes most visits are first ones; \
             scores from fresh (--score-from fresh) lets it decide from the first visit on"
        ))
    }

    fn memory_plan(&self, available: u64) -> MemoryPlan {
        let config = &self.trainee.model.config;
        let trainable = 4 * self.trainee.trainable() as u64;
        let data = self.train.tokens.len() + self.validation.as_ref().map_or(0, |v| v.tokens.len());
        let rows = wide(self.spec.batch_size) * wide(self.spec.context);
        let way = match device::way(&self.trainee.model.device) {
            // Soft thresholds are made of composed operators everywhere.
            Way::Host if matches!(self.joint, Some(JointPolicy::Soft(_))) => Way::Composed,
            way => way,
        };
        // With accumulation the sum so far and the new gradients are held together, where they are not added in place.
        let held = if self.spec.accumulate > 1 && way != Way::Host { 2 } else { 1 };
        let sites = self.trainee.sites();
        let rank = self.trainee.lora().map_or(0, |lora| lora.rank);
        let mut plan = MemoryPlan {
            weights: 4 * config.parameters() as u64,
            gradients: held * trainable,
            optimizer: 2 * trainable,
            activations: match way {
                Way::Host => host(config, rows, &self.spec, sites),
                other => {
                    let beyond = if other == Way::Fused { fused } else { composed };
                    let all = activations(config, rows, self.spec.dropout > 0.0)
                        .saturating_add(adapters(sites, rows, rank))
                        .saturating_add(beyond(config, rows, wide(self.spec.context)));
                    match self.spec.gradient_checkpointing {
                        // The rows between blocks, and all of the block that is on its way back.
                        true => bytes(wide(config.n_layer) * rows * wide(config.n_embd))
                            .saturating_add(all / config.n_layer.max(1) as u64),
                        false => all,
                    }
                }
            }
            // Inputs and targets of all the passes of a step.
            .saturating_add(bytes(2 * rows * wide(self.spec.accumulate))),
            data: 4 * data as u64,
            total: 0,
            available,
            resident: 0,
        };
        // Weights and data are in memory already; what is still to come has to fit. Fresh moments are zeros that the
        // system has promised and not yet given.
        let moments = if self.counters.step == 0 { plan.optimizer } else { 0 };
        plan.total = plan.activations.saturating_add(plan.gradients + moments);
        plan
    }

    /// Measures one step; runs it twice, since the first time pays for cold caches.
    fn probe(&mut self) -> Result<StepProbe, TrainError> {
        let before = self.visits.clone();
        let memory = self.arms.memory().clone();
        let policy = self.joint.as_ref().map(JointPolicy::state).transpose()?;
        let batches = self.next_batches();
        self.visits = before;
        let step = self.counters.step + 1;
        let (mut best, mut forward) = (f64::INFINITY, f64::INFINITY);
        let mut loss = f64::NAN;
        for _ in 0..2 {
            let started = Instant::now();
            let passes = self.passes(&batches, step, &|| false)?;
            loss = passes.loss;
            best = best.min(started.elapsed().as_secs_f64());
            forward = forward.min(passes.forward);
            self.arms.restore(memory.clone());
        }
        if let (Some(joint), Some(policy)) = (&mut self.joint, policy) {
            joint.restore(policy)?;
        }
        Ok(StepProbe { seconds: best + self.probe_update()?, forward, loss })
    }

    /// Seconds of an update of all variables, measured on a copy of the largest one.
    fn probe_update(&self) -> Result<f64, TrainError> {
        let largest = self.trainee.vars.iter().max_by_key(|(_, v)| v.as_tensor().elem_count());
        let Some((name, var)) = largest else { return Ok(0.0) };
        let copy = Var::from_tensor(&var.as_tensor().copy()?)?;
        let grads = copy.as_tensor().affine(1.0, 0.0)?.sum_all()?.backward()?;
        let mut optimizer = AdamW::new(vec![(name.clone(), copy.clone())], self.spec.adamw)?;
        optimizer.step(&grads, 1e-9, 0.0)?;
        let started = Instant::now();
        optimizer.step(&grads, 1e-9, 0.0)?;
        let share = self.trainee.trainable() as f64 / copy.as_tensor().elem_count() as f64;
        Ok(started.elapsed().as_secs_f64() * share)
    }
}

/// Bytes of what a forward pass on the CPU keeps for its backward over `rows` tokens, and of what the backward makes on its
/// way.
fn host(config: &Config, rows: u128, spec: &RunSpec, sites: &[Site]) -> u64 {
    let (d, inner, vocabulary) = (wide(config.n_embd), wide(config.n_inner), wide(config.vocab_size));
    // Per layer and row: residuals before and after attention, qkv, heads, and the MLP's inner row.
    let blocks = match spec.trained {
        Trained::LastBlocks(k) => k,
        _ => config.n_layer,
    };
    let block = 2 * d + 3 * d + d + inner;
    let kept = match spec.gradient_checkpointing {
        // The rows between blocks, and all of the block that is on its way back.
        true => rows * (wide(blocks) * d + block),
        false => rows * wide(blocks) * block,
    };
    // One block on its way back: its inner rows activated, their gradients before and after, and rows of the stream. A tile of
    // logits is gone by then.
    let passing = (rows * (3 * inner + 8 * d))
        .max(rows.min(wide(tile_rows(config.vocab_size, config.n_embd))) * vocabulary);
    // The output matrix's gradient where it has one, which is made in the forward pass; an adapter on it is composed: its
    // product, scaled, added, and the gradients of each.
    let head = match spec.trained {
        Trained::All => d * vocabulary,
        _ if sites.iter().any(|site| site.layer.is_none()) => 8 * d * vocabulary,
        _ => 0,
    };
    bytes(kept + passing + head)
}

/// A size that may be multiplied with others: a spec within its bounds can ask for more than 64 bits hold.
fn wide(size: usize) -> u128 {
    size as u128
}

/// Bytes of so many numbers of 4 bytes.
fn bytes(numbers: u128) -> u64 {
    u64::try_from(4 * numbers).unwrap_or(u64::MAX)
}

/// Bytes of what the forward pass of composed operators keeps for its backward over `rows` tokens, and of what the backward
/// makes on its way.
fn activations(config: &Config, rows: u128, dropout: bool) -> u64 {
    let (d, inner) = (wide(config.n_embd), wide(config.n_inner));
    // Per layer and row: two norms, qkv, heads, two branch outputs, two residuals (D each but qkv), and the MLP's two
    // inner rows; dropout keeps two more.
    let per_layer = d * (2 + 3 + 1 + 2 + 2 + if dropout { 2 } else { 0 }) + 2 * inner;
    // Gradients of one layer's rows live beside it, and the output keeps its rows' gradients.
    let kept = rows * (wide(config.n_layer) * per_layer + per_layer + 4 * d);
    // The output matrix's gradient, which is made in the forward pass.
    bytes(kept + d * wide(config.vocab_size))
}

/// Bytes that a GPU's operators keep beyond that: scores and weights of every layer, products before their bias, heads
/// in rows of their own, tiles of logits.
fn fused(config: &Config, rows: u128, context: u128) -> u64 {
    let layers = wide(config.n_layer);
    let maps = 2 * layers * wide(config.n_head) * rows * context;
    let products = layers * rows * wide(9 * config.n_embd + config.n_inner);
    let logits = 2 * rows.min(2048) * wide(config.vocab_size);
    bytes(maps + products + logits)
}

/// Bytes that composed operators keep beyond that: attention maps on their way from scores to weights, what layer norms
/// and activations pass through, tiles of logits.
fn composed(config: &Config, rows: u128, context: u128) -> u64 {
    let layers = wide(config.n_layer);
    // Scores, scaled, hidden, centred, exponential, weights.
    let maps = 6 * layers * wide(config.n_head) * rows * context;
    let norms = layers * rows * wide(12 * config.n_embd + 2 * config.n_inner);
    let logits = 4 * rows.min(2048) * wide(config.vocab_size);
    bytes(maps + norms + logits)
}

/// Bytes that adapters add to a forward pass: each keeps its inner rows, and its product before and after the scale
/// beside the sum that takes the plain product's place.
fn adapters(sites: &[Site], rows: u128, rank: usize) -> u64 {
    let per_site = |site: &Site| match site.layer {
        Some(_) => rows * wide(3 * site.sizes.1 + rank),
        None => wide(3 * site.sizes.0 * site.sizes.1),
    };
    bytes(sites.iter().map(per_site).sum())
}

fn too_large(memory: &MemoryPlan, who: &str) -> TrainError {
    let size = |bytes: u64| units::memory(bytes as f64);
    TrainError::Setup {
        problem: format!(
            "the run needs {} on top of what is loaded ({} of gradients, {} of activations), but the {who} has {} free",
            size(memory.total),
            size(memory.gradients),
            size(memory.activations),
            size(memory.available)
        ),
        hint: Some(
            "use a smaller batch with accumulation, a shorter context, or train less of the model".to_owned(),
        ),
    }
}
