//! A bandit over (rate, polarity, operation) cells, paid by what the loss on the validation documents, *without* masks,
//! has gained since the evaluation before. Discounted UCB (Garivier and Moulines 2008, 0805.3415), because gains shrink
//! in the course of a run: old payments fade, and each is taken relative to the gains of its time.

use serde::{Deserialize, Serialize};

use super::PolicyLoss;
use super::watch::RateWatch;
use crate::mask::draw::{Draws, Stream};
use crate::mask::types::{Op, Polarity, Replacement};
use crate::model::Model;
use crate::train::TrainError;
use crate::train::arm::{Arms, At};
use crate::train::batch::Batch;

/// What a payment is worth after one more evaluation.
const DISCOUNT: f64 = 0.97;
/// Weight of what is not known yet, in spreads of the payments.
const CURIOSITY: f64 = 0.7;

/// What a bandit can choose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub rate: f64,
    pub polarity: Polarity,
    pub op: Op,
}

/// Discounted count and sum of a cell's payments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Paid {
    times: f64,
    sum: f64,
}

/// A bandit in training; it is its own state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandit {
    cells: Vec<Cell>,
    paid: Vec<Paid>,
    chosen: usize,
    seed: u64,
    evaluations: u32,
    last: Option<f64>,
    /// Of gains, discounted: what a payment is measured in.
    mean: f64,
    square: f64,
    weight: f64,
    pub(super) watch: RateWatch,
}

impl Bandit {
    /// # Errors
    /// No cell, or a cell with an impossible rate.
    pub fn new(cells: Vec<Cell>, seed: u64) -> Result<Self, TrainError> {
        if cells.is_empty() || cells.iter().any(|c| !(0.0..=1.0).contains(&c.rate)) {
            return Err(TrainError::setup("a bandit needs cells with rates between 0 and 1"));
        }
        let chosen = Draws::new(seed).below(Stream::Policy, 0, cells.len());
        Ok(Bandit {
            paid: vec![Paid::default(); cells.len()],
            cells,
            chosen,
            seed,
            evaluations: 0,
            last: None,
            mean: 0.0,
            square: 0.0,
            weight: 0.0,
            watch: RateWatch::default(),
        })
    }

    /// The arm's rate and half and double of it (up to a half), every polarity, replace and hide. Replacing needs the
    /// `[MASK]` row from the start where that is the replacement.
    pub fn usual_cells(arms: &Arms) -> Vec<Cell> {
        let rate = arms.settings().nominal_rate();
        let can_replace = arms.settings().replacement != Replacement::Mask || !arms.vars().is_empty();
        let mut cells = Vec::new();
        for rate in [rate / 2.0, rate, (2.0 * rate).min(0.5)] {
            for &polarity in Polarity::ALL {
                for op in [Op::Replace, Op::Hide] {
                    if op != Op::Replace || can_replace {
                        cells.push(Cell { rate, polarity, op });
                    }
                }
            }
        }
        cells
    }

    /// The cell in force.
    pub fn cell(&self) -> Cell {
        self.cells[self.chosen]
    }

    /// Cells with their discounted number of payments and mean payment (in spreads of the gains).
    #[cfg(test)]
    pub fn table(&self) -> Vec<(Cell, f64, Option<f64>)> {
        let mean = |p: &Paid| (p.times > 0.0).then(|| p.sum / p.times);
        self.cells.iter().zip(&self.paid).map(|(c, p)| (*c, p.times, mean(p))).collect()
    }

    /// Pays the cell in force for the loss on the validation documents and chooses the next one.
    pub fn evaluated(&mut self, clean_loss: f64) -> Cell {
        self.evaluations += 1;
        if let Some(last) = self.last.filter(|_| clean_loss.is_finite()) {
            self.pay(last - clean_loss);
        }
        if clean_loss.is_finite() {
            self.last = Some(clean_loss);
        }
        self.chosen = self.choose();
        self.cell()
    }

    fn pay(&mut self, gain: f64) {
        // The yardstick knows this gain as well: the first payment is 0, and none is without bound.
        self.weight = DISCOUNT * self.weight + 1.0;
        self.mean += (gain - self.mean) / self.weight;
        self.square += (gain * gain - self.square) / self.weight;
        let sd = (self.square - self.mean * self.mean).max(0.0).sqrt();
        let payment = if sd > 0.0 { ((gain - self.mean) / sd).clamp(-3.0, 3.0) } else { 0.0 };
        for paid in &mut self.paid {
            paid.times *= DISCOUNT;
            paid.sum *= DISCOUNT;
        }
        self.paid[self.chosen].times += 1.0;
        self.paid[self.chosen].sum += payment;
    }

    /// Cells never tried first, in an order of the seed; then the one with the highest upper bound.
    fn choose(&self) -> usize {
        let draws = Draws { seed: self.seed, pass: self.evaluations, ..Draws::default() };
        let fresh: Vec<usize> = (0..self.cells.len()).filter(|&i| self.paid[i].times == 0.0).collect();
        if !fresh.is_empty() {
            return fresh[draws.below(Stream::Policy, 1, fresh.len())];
        }
        let total: f64 = self.paid.iter().map(|p| p.times).sum();
        let bound = |p: &Paid| p.sum / p.times + CURIOSITY * (2.0 * total.max(1.0).ln() / p.times).sqrt();
        let best = |a: &usize, b: &usize| bound(&self.paid[*a]).total_cmp(&bound(&self.paid[*b]));
        (0..self.cells.len()).max_by(best).unwrap_or(0)
    }

    pub(super) fn loss(
        &mut self,
        arms: &mut Arms,
        model: &Model,
        batch: &Batch,
        at: At,
    ) -> Result<PolicyLoss, TrainError> {
        if self.evaluations == 0 {
            let cell = self.cell();
            arms.set_cell(cell.rate, cell.polarity, cell.op)?;
        }
        let masked = arms.prepare(model, batch, at)?;
        let loss = arms.masked_loss(model, &masked)?;
        self.watch.note(masked.realised.rate());
        Ok(PolicyLoss {
            loss: loss.loss,
            value: loss.value,
            masked_token_loss: loss.masked_token_loss,
            unmasked_token_loss: loss.unmasked_token_loss,
            realised: masked.realised,
            masked: Some(masked),
        })
    }

    pub(super) fn state(&self) -> &Bandit {
        self
    }

    pub(super) fn restore(&mut self, state: Bandit) {
        *self = state;
    }
}
