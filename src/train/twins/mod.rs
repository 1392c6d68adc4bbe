//! Twins: two to four arms side by side under common random numbers, and what can be concluded while they run.
//!
//! Arms of a pair see the same batches and the same draws, so that most of the noise cancels in their difference.
//! Losses of successive steps do not: they depend on each other through the weights, and a raw interval over steps
//! would be far too narrow. So nothing here is ever computed over steps. There are two units that are independent:
//!
//! * **Documents**, for two models that exist: clean losses on held-out documents, paired document by document
//!   ([`RunningDifference`]). It answers "which of these two models is better", and moves with every evaluation. An evaluation
//!   replaces the one before it, it does not add to it: the same documents seen again are no new evidence.
//! * **Seeds**, for the arms: a pair of runs gives *one* difference, that of its last evaluation. Two runs of the same
//!   arm under different seeds end in different models, which enough documents will always tell apart; only the
//!   spread over seeds says how much of a difference is luck. The verdict on arms rests on these alone
//!   ([`Twins::verdicts`]), and with too few seeds it is *undecided*.
//!
//! Every pair of arms is judged. All verdicts together are wrong with a chance of α at most: each interval is as wide as
//! α over the number of pairs asks for (Bonferroni; the step-wise rules of Holm gain nothing for intervals, since every
//! pair has a true difference that its interval may miss). A pair that was never masked differently is *not compared*,
//! and *equivalent* means that an interval, which needs [`fewest_seeds`], lies within ±ε.
//!
//! Both intervals are confidence *sequences* ([`sequence`](crate::eval::stats::sequence)): they may be looked at after every
//! document and every seed, and stopped at will. Documents are not normal; with tens of them the mean nearly is, and the
//! screen calls this one approximate.
//!
//! This file judges and is pure but for [`document_losses`], which runs a model without gradients on the caller's thread;
//! [`TwinRun`] trains.

pub mod differ;
mod drive;
mod plan;
pub mod record;
mod spec;
pub mod verdict;

pub use self::drive::TwinRun;
pub use self::record::SeedResult;
pub use self::spec::{TwinArm, TwinSpec};

use super::TrainError;
use super::data::Corpus;
use super::evaluate::Between;
use super::report::Compared;
use crate::eval::stats::sequence::{half_width, sequence, verdict};
use crate::eval::stats::{EPSILON, Interval, Judged};
use crate::model::Model;
use crate::tensor::cross_entropy::{IGNORE, cross_entropy};

/// Arms side by side.
pub const ARMS: std::ops::RangeInclusive<usize> = 2..=4;

/// How twins are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwinSettings {
    /// Nats per token below which a difference does not matter.
    pub epsilon: f64,
    /// Chance that any of the verdicts is ever wrong, in (0, 1).
    pub alpha: f64,
}

impl Default for TwinSettings {
    fn default() -> Self {
        TwinSettings { epsilon: EPSILON, alpha: 0.05 }
    }
}

/// The fewest seeds with which any pair of so many arms can be decided at level `alpha` for all of them together.
pub fn fewest_seeds(arms: usize, alpha: f64) -> usize {
    let alpha = alpha / pairs(arms).len().max(1) as f64;
    (2..).find(|&n| half_width(n, alpha).is_finite()).unwrap_or(usize::MAX)
}

/// Every pair of arms, the earlier one first: (0, 1), (0, 2), …, (1, 2), ….
pub fn pairs(arms: usize) -> Vec<(usize, usize)> {
    (0..arms).flat_map(|i| (i + 1..arms).map(move |j| (i, j))).collect()
}

/// What one held-out document cost one model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DocumentLoss {
    /// Sum of nats over the document's labels.
    pub nats: f64,
    pub labels: usize,
}

impl DocumentLoss {
    /// Nats per token.
    pub fn per_token(self) -> f64 {
        self.nats / self.labels.max(1) as f64
    }
}

/// One arm against an earlier one, for the models as they are now.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningDifference {
    pub step: usize,
    /// Nats per token over all documents, later arm minus earlier: every token counts the same.
    pub difference: f64,
    /// Of the mean over documents (every document counts the same); approximate, see the module.
    pub documents: Interval,
    /// The documents that the two models disagree on at all.
    pub differing: usize,
}

/// Arms side by side, seed after seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Twins {
    pub arms: Vec<String>,
    pub settings: TwinSettings,
    /// Finished seeds.
    pub seeds: Vec<SeedResult>,
    /// By pair of arms: evaluations of the seed that runs now.
    pub running: Vec<Vec<RunningDifference>>,
    /// Losses by arm of its last evaluation.
    last: Option<Vec<f64>>,
    /// By pair of arms: what the seed that runs now has compared so far.
    pub compared: Vec<Compared>,
}

impl Twins {
    /// # Errors
    /// Fewer than two arms or more than four.
    pub fn new(arms: Vec<String>, settings: TwinSettings) -> Result<Self, TrainError> {
        if !ARMS.contains(&arms.len()) {
            let problem = format!("twins need {} to {} arms: {}", ARMS.start(), ARMS.end(), arms.len());
            return Err(TrainError::setup(problem));
        }
        let pairs = pairs(arms.len()).len();
        let (running, compared) = (vec![Vec::new(); pairs], vec![Compared::default(); pairs]);
        Ok(Twins { arms, settings, seeds: Vec::new(), running, last: None, compared })
    }

    /// Every pair of arms, in the order of all lists by pair.
    pub fn pairs(&self) -> Vec<(usize, usize)> {
        pairs(self.arms.len())
    }

    /// α for one pair: all of them together keep the settings' α.
    fn alpha(&self) -> f64 {
        self.settings.alpha / self.compared.len() as f64
    }

    /// Notes an evaluation at `step`: per arm the losses of the same documents in the same order.
    ///
    /// # Errors
    /// Lists that do not belong together.
    pub fn evaluated(&mut self, step: usize, losses: &[Vec<DocumentLoss>]) -> Result<(), TrainError> {
        let count = losses.first().map_or(0, Vec::len);
        let paired = |of: &Vec<DocumentLoss>| {
            of.len() == count && of.iter().zip(&losses[0]).all(|(a, b)| a.labels == b.labels)
        };
        if losses.len() != self.arms.len() || count == 0 || !losses.iter().all(paired) {
            return Err(TrainError::setup("twins were evaluated on different documents"));
        }
        let alpha = self.alpha();
        let means: Vec<f64> = losses.iter().map(|of| mean_loss(of)).collect();
        for ((i, j), running) in pairs(self.arms.len()).into_iter().zip(&mut self.running) {
            let differences: Vec<f64> =
                losses[j].iter().zip(&losses[i]).map(|(a, b)| a.per_token() - b.per_token()).collect();
            running.push(RunningDifference {
                step,
                difference: means[j] - means[i],
                documents: sequence(&differences, alpha),
                differing: differences.iter().filter(|d| **d != 0.0).count(),
            });
        }
        self.last = Some(means);
        Ok(())
    }

    /// The runs of this seed are over: their last evaluation is the seed's result. The next evaluation belongs to the
    /// next seed. Without an evaluation nothing is noted.
    pub fn finish_seed(&mut self) {
        let compared = self.compared.clone();
        self.compared.fill(Compared::default());
        self.running.iter_mut().for_each(Vec::clear);
        self.seeds.extend(self.last.take().map(|losses| SeedResult { losses, compared }));
    }

    /// Differences per finished seed of a pair of arms, later minus earlier.
    pub fn differences(&self, (i, j): (usize, usize)) -> Vec<f64> {
        self.seeds.iter().map(|seed| seed.losses[j] - seed.losses[i]).collect()
    }

    /// What a pair has compared under the finished seeds.
    pub fn compared_by(&self, pair: usize) -> Compared {
        let mut all = Compared::default();
        self.seeds.iter().filter_map(|seed| seed.compared.get(pair)).for_each(|c| all.add(*c));
        all
    }

    /// Verdicts on every pair of arms, over finished seeds; valid however often they are asked for. no
    /// verdict where the two were never masked differently.
    ///
    /// Undecided without a number while fewer than two seeds say how much is luck. The interval's ends are infinite while
    /// it is too early.
    pub fn verdicts(&self) -> Vec<Judged> {
        let alpha = self.alpha();
        let judge = |(index, pair): (usize, (usize, usize))| {
            let differences = self.differences(pair);
            let interval = sequence(&differences, alpha);
            let differ = self.compared_by(index).differently > 0;
            let verdict = differ.then(|| verdict(&differences, interval, self.settings.epsilon, alpha));
            Judged { interval, verdict }
        };
        self.pairs().into_iter().enumerate().map(judge).collect()
    }
}

/// Nats per token over all documents: every token counts the same.
fn mean_loss(losses: &[DocumentLoss]) -> f64 {
    let labels: usize = losses.iter().map(|d| d.labels).sum();
    losses.iter().map(|d| d.nats).sum::<f64>() / labels.max(1) as f64
}

/// Clean losses of held-out documents, in the corpus' order; no gradient. Documents longer than the context are read in
/// pieces of it, each without the ones before, and at most `pieces` of them. `None` where `between` gave up.
///
/// # Errors
/// A pass that fails, or no document of two tokens; what `between` reports.
pub fn document_losses(
    model: &Model,
    corpus: &Corpus,
    context: usize,
    pieces: usize,
    between: Between,
) -> Result<Option<Vec<DocumentLoss>>, TrainError> {
    let model = super::arm::without_gradients(model)?;
    let mut out = Vec::new();
    for index in 0..corpus.documents {
        if !between(index, corpus.documents)? {
            return Ok(None);
        }
        let loss = document_loss(&model, (corpus, index), context.max(1), pieces)?;
        if loss.labels > 0 {
            out.push(loss);
        }
    }
    if out.is_empty() {
        return Err(TrainError::setup("there is no held-out document of two tokens or more"));
    }
    Ok(Some(out))
}

/// Pieces that run through the model together.
const TOGETHER: usize = 8;

/// Loss of one document of a corpus, over the tokens of it that count.
///
/// # Errors
/// A pass that fails.
pub fn document_loss(
    model: &Model,
    (corpus, index): (&Corpus, usize),
    context: usize,
    pieces: usize,
) -> Result<DocumentLoss, TrainError> {
    let (tokens, counted) = (corpus.document(index), corpus.document_counts(index));
    let mut loss = DocumentLoss::default();
    let labels = tokens.len().saturating_sub(1);
    let starts: Vec<usize> = (0..labels).step_by(context).take(pieces).collect();
    let mut at = 0;
    while at < starts.len() {
        // Whole pieces run together; the last one may be short, and runs alone.
        let whole = starts[at..].iter().take(TOGETHER).take_while(|s| **s + context <= labels).count();
        let count = whole.max(1);
        let (from, to) = (starts[at], (starts[at + count - 1] + context).min(labels));
        at += count;
        let counts = |label: usize| counted.is_none_or(|counted| counted[label]);
        let label = |at: usize| if counts(at) { tokens[at] } else { IGNORE };
        let targets: Vec<u32> = (from + 1..to + 1).map(label).collect();
        let labels = targets.iter().filter(|target| **target != IGNORE).count();
        if labels == 0 {
            continue;
        }
        let states = model.forward_batch(&model.embed_batch(&tokens[from..to], count)?, None, true)?;
        let rows = states.reshape(((), model.config.n_embd))?;
        let mean = cross_entropy(&rows, &model.lm_head.tensor()?, &targets, false)?;
        loss.nats += f64::from(mean.to_scalar::<f32>()?) * labels as f64;
        loss.labels += labels;
    }
    Ok(loss)
}

#[cfg(test)]
mod tests;
