//! What twins will cost, said before they start, and what their comparison can come to.

use super::drive::TwinRun;
use super::fewest_seeds;
use crate::train::TrainError;
use crate::train::report::Plan;
use crate::train::run::Learner;

impl TwinRun {
    /// Measures a step of every arm and adds up what all of them cost.
    pub(super) fn estimate(&mut self) -> Result<Plan, TrainError> {
        let mut plans = Vec::new();
        for index in 0..self.runs.len() {
            let plan = self.runs[index].plan().map_err(|e| self.of_arm(index, e))?;
            plans.push(plan);
        }
        let mut all = plans[0].clone();
        all.step_seconds = plans.iter().map(|p| p.step_seconds).sum();
        let evaluation = self.evaluation_share() * all.step_seconds / 3.0;
        let spec = &self.setup.spec;
        let every = if spec.eval_every == 0 { spec.steps } else { spec.eval_every };
        let evaluations = spec.steps.div_ceil(every) as f64;
        let seed = all.step_seconds * spec.steps as f64 + evaluation * evaluations;
        // The start is evaluated once: it is the same for every seed.
        let seeds = self.spec.seeds - self.twins.seeds.len();
        let whole = seed * seeds as f64 + evaluation;
        all.expected_seconds = spec.time_limit.map_or(whole, |limit| whole.min(limit));
        // Weights and moments of every arm are held at once, gradients and activations of one at a time.
        all.memory.weights = plans.iter().map(|p| p.memory.weights).sum();
        all.memory.optimizer = plans.iter().map(|p| p.memory.optimizer).sum();
        all.memory.activations = plans.iter().map(|p| p.memory.activations).max().unwrap_or(0);
        all.memory.total = plans.iter().map(|p| p.memory.total).max().unwrap_or(0);
        let mut notes: Vec<String> = plans.iter().flat_map(|p| p.notes.clone()).collect();
        notes.sort();
        notes.dedup();
        all.notes = self.notes();
        all.notes.extend(notes);
        Ok(all)
    }

    /// What is compared, from when on the arms differ, and whether so many seeds can decide.
    fn notes(&self) -> Vec<String> {
        let (arms, finished) = (&self.twins.arms, self.twins.seeds.len());
        let added = if finished > 0 { format!(" ({finished} of them finished)") } else { String::new() };
        let mut notes = vec![format!(
            "twins: {}; {} seeds one after the other{added}; weights are not kept",
            arms.join(", "),
            self.spec.seeds,
        )];
        let masking = |index: usize| self.spec.arm(&self.setup.spec, index, 0).masking;
        for (i, j) in self.twins.pairs() {
            let share = self.course().share(&masking(i), &masking(j));
            if share < 1.0 {
                notes.push(format!(
                    "{} and {} follow different rules in {:.0} % of the visits to a text",
                    arms[i],
                    arms[j],
                    100.0 * share
                ));
            }
        }
        let fewest = fewest_seeds(arms.len(), self.twins.settings.alpha);
        if self.spec.seeds < fewest {
            notes.push(format!(
                "{} seeds cannot decide: with {} arms a verdict needs {fewest} at least",
                self.spec.seeds,
                arms.len()
            ));
        }
        notes
    }
}
