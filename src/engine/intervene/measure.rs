//! Measures a stack of interventions pass by pass: first each of them, then all at once, then the random ones that each is compared
//! with. And a grid of patches, cell by cell.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::controls::{controls, range};
use super::{Complaint, Lab, complaint};
use crate::engine::explorer::{ExploreError, Explorer};
use crate::engine::loaded::LoadedModel;
use crate::engine::types::{
    Candidate, Intervention, InterventionEffect, InterventionReport, Interventions, PatchGrid, PositionSpan,
};

/// One intervention and what is known of it.
#[derive(Clone, Debug)]
struct StackRow {
    what: Intervention,
    on: bool,
    effect: Option<(f64, f64)>,
    note: Option<String>,
    problem: Option<Complaint>,
    controls: Vec<Intervention>,
    /// KL and change of each control that was measured.
    values: Vec<(f64, f64)>,
}

impl StackRow {
    fn new(what: Intervention, on: bool) -> Self {
        let (effect, note, problem) = (None, None, None);
        StackRow { what, on, effect, note, problem, controls: Vec::new(), values: Vec::new() }
    }

    fn is_tried(&self) -> bool {
        self.effect.is_some() || self.problem.is_some()
    }

    fn shown(&self) -> InterventionEffect {
        let (kl, change) = self.effect.unwrap_or((f64::NAN, f64::NAN));
        let all = |of: fn(&(f64, f64)) -> f64| range(&self.values.iter().map(of).collect::<Vec<f64>>());
        let ranges = all(|v| v.0).zip(all(|v| v.1.abs()));
        InterventionEffect {
            what: self.what,
            on: self.on,
            kl,
            change,
            controls: ranges.map(|(kl, change)| [kl, change]),
            done: self.values.len(),
            of: self.controls.len(),
            note: self.note.clone(),
            problem: self.problem.clone(),
        }
    }
}

/// KL and change of a whole stack, and what is predicted under it.
type Together = (f64, f64, Vec<Candidate>);

/// A stack that is being measured.
pub struct StackTask {
    asked: Arc<Interventions>,
    /// What numbers hold for, beside the stack itself.
    base: (Vec<u32>, Option<usize>, Arc<LoadedModel>),
    /// Next tokens that are listed.
    top: usize,
    lab: Option<Lab>,
    rows: Vec<StackRow>,
    together: Option<Result<Together, Complaint>>,
    /// What keeps all of it from being measured.
    problem: Option<Complaint>,
}

impl StackTask {
    /// Takes over what an older task knows of the same interventions on the same text.
    pub fn new(explorer: &Explorer, asked: Arc<Interventions>, top: usize, old: Option<StackTask>) -> Self {
        let base = (explorer.ids.clone(), explorer.position, explorer.loaded.clone());
        let same = |old: &StackTask| {
            let model = Arc::ptr_eq(&old.base.2, &base.2);
            let measured = |i: &Interventions| {
                (i.other.clone(), i.other_ids.clone(), i.contrast.clone(), i.controls, i.seed)
            };
            model
                && (&old.base.0, old.base.1) == (&base.0, base.1)
                && measured(&old.asked) == measured(&asked)
        };
        let old = old.filter(same);
        let known = |what: &Intervention| old.as_ref()?.rows.iter().find(|row| row.what == *what).cloned();
        let row = |item: &crate::engine::types::StackItem| StackRow {
            on: item.on,
            ..known(&item.what).unwrap_or_else(|| StackRow::new(item.what, item.on))
        };
        let rows = asked.list.iter().map(row).collect();
        let together = old.as_ref().filter(|old| old.on() == on(&asked)).and_then(|old| old.together.clone());
        let (lab, problem) = old.map_or((None, None), |old| (old.lab, old.problem));
        StackTask { asked, base, top, lab, rows, together, problem }
    }

    fn on(&self) -> Vec<Intervention> {
        on(&self.asked)
    }

    /// Whether nothing is left to measure.
    pub fn is_over(&self) -> bool {
        self.problem.is_some()
            || (self.together.is_some() && self.rows.iter().all(StackRow::is_tried) && self.left() == 0)
    }

    /// Controls still to be measured.
    fn left(&self) -> usize {
        self.rows.iter().map(|row| row.controls.len() - row.values.len()).sum()
    }

    /// One more pass.
    ///
    /// # Errors
    /// When cancelled: the same pass comes next time. What cannot be carried out is part of the report.
    pub fn step(&mut self, explorer: &mut Explorer, cancel: Option<&AtomicBool>) -> Result<(), ExploreError> {
        let lab = match self.lab.take() {
            Some(lab) => lab,
            None => match Lab::new(explorer, &self.asked, cancel) {
                Ok(lab) => lab,
                Err(e) if e.is_cancelled() => return Err(e),
                Err(e) => {
                    self.problem = Some(complaint(&e));
                    return Ok(());
                }
            },
        };
        let done = self.step_with(&lab, explorer, cancel);
        self.lab = Some(lab);
        done
    }

    fn step_with(
        &mut self,
        lab: &Lab,
        explorer: &mut Explorer,
        cancel: Option<&AtomicBool>,
    ) -> Result<(), ExploreError> {
        let (n, seed) = (self.asked.controls, self.asked.seed);
        if let Some(row) = self.rows.iter_mut().find(|row| !row.is_tried()) {
            match lab.read_with(explorer, &[row.what], cancel) {
                Ok(with) => {
                    let effect = lab.effect(&with);
                    row.note = lab.why_nothing(&row.what, effect);
                    row.effect = Some(effect);
                    row.controls = controls(&row.what, lab.space(), n, seed);
                    if row.controls.is_empty() && n > 0 && row.note.is_none() {
                        row.note = Some("there is no other of its kind to compare it with".to_owned());
                    }
                }
                Err(e) if e.is_cancelled() => return Err(e),
                Err(e) => row.problem = Some(complaint(&e)),
            }
            return Ok(());
        }
        if self.together.is_none() {
            // What cannot be carried out alone has been said so.
            let on: Vec<Intervention> =
                self.rows.iter().filter(|row| row.on && row.problem.is_none()).map(|row| row.what).collect();
            self.together = Some(match lab.read_with(explorer, &on, cancel) {
                Ok(with) => {
                    let (kl, change) = lab.effect(&with);
                    Ok((kl, change, lab.candidates(&explorer.loaded, &with, self.top)))
                }
                Err(e) if e.is_cancelled() => return Err(e),
                Err(e) => Err(complaint(&e)),
            });
            return Ok(());
        }
        let Some(row) = self.rows.iter_mut().find(|row| row.values.len() < row.controls.len()) else {
            return Ok(());
        };
        match lab.read_with(explorer, &[row.controls[row.values.len()]], cancel) {
            Ok(with) => row.values.push(lab.effect(&with)),
            Err(e) if e.is_cancelled() => return Err(e),
            // It would leave a query nothing to read: no intervention that could be made.
            Err(_) => {
                row.controls.remove(row.values.len());
            }
        }
        Ok(())
    }

    /// What is known by now.
    pub fn report(&self) -> InterventionReport {
        let effects: Vec<InterventionEffect> = self.rows.iter().map(StackRow::shown).collect();
        let tried =
            self.rows.iter().filter(|row| row.is_tried()).count() + usize::from(self.together.is_some());
        let done = tried + self.rows.iter().map(|row| row.values.len()).sum::<usize>();
        let wanted = |row: &StackRow| if row.is_tried() { row.controls.len() } else { self.asked.controls };
        let of = 1 + self.rows.iter().map(|row| 1 + wanted(row)).sum::<usize>();
        let together = self.together.as_ref();
        InterventionReport {
            effects,
            together: together.and_then(|t| t.as_ref().ok().cloned()),
            problem: self.problem.clone().or_else(|| together.and_then(|t| t.as_ref().err().cloned())),
            measure: self.lab.as_ref().map_or_else(String::new, |lab| lab.measure.name.clone()),
            position: self.lab.as_ref().map_or(0, |lab| lab.position),
            done: if self.problem.is_some() { of } else { done },
            of,
        }
    }

    /// Everything else than what was measured is given up.
    pub fn give_up(&mut self) {
        self.rows.iter_mut().for_each(|row| row.controls.truncate(row.values.len()));
    }
}

fn on(asked: &Interventions) -> Vec<Intervention> {
    asked.list.iter().filter(|item| item.on).map(|item| item.what).collect()
}

/// Every layer and position up to the one asked for, patched from the other text one at a time.
pub struct GridTask {
    lab: Lab,
    grid: PatchGrid,
}

impl GridTask {
    /// Runs both texts.
    ///
    /// # Errors
    /// No other text, or one that does not fit; those of [`Lab::new`].
    pub fn new(
        explorer: &mut Explorer,
        asked: &Interventions,
        cancel: Option<&AtomicBool>,
    ) -> Result<Self, ExploreError> {
        let lab = Lab::new(explorer, asked, cancel)?;
        let probe = Intervention::Patch { layer: None, head: None, positions: None };
        let other = lab.read_with(explorer, &[probe], cancel)?;
        let (layers, positions) = (lab.space().n_layer, lab.position + 1);
        let measure = lab.measure.name.clone();
        let ends = (lab.measure.of(&lab.reading), lab.measure.of(&other));
        // Nothing is patched where both texts begin alike: those cells are known.
        let same = lab.space().differs.min(positions);
        let cell = |at: usize| (at % positions < same).then_some((0.0, 0.0));
        let cells = (0..layers * positions).map(cell).collect();
        Ok(GridTask { lab, grid: PatchGrid { layers, positions, cells, measure, ends, stopped: false } })
    }

    pub fn grid(&self) -> &PatchGrid {
        &self.grid
    }

    pub fn is_over(&self) -> bool {
        self.grid.stopped || self.grid.done() == self.grid.cells.len()
    }

    /// What is not measured by now is given up.
    pub fn stop(&mut self) {
        self.grid.stopped = true;
    }

    /// One more cell, the latest position and the last layer first: there is least to compute.
    ///
    /// # Errors
    /// When cancelled; of the model.
    pub fn step(&mut self, explorer: &mut Explorer, cancel: Option<&AtomicBool>) -> Result<(), ExploreError> {
        let (layers, positions) = (self.grid.layers, self.grid.positions);
        let order = (0..positions).rev().flat_map(|t| (0..layers).rev().map(move |l| (l, t)));
        let Some((layer, t)) = order.into_iter().find(|(l, t)| self.grid.cells[l * positions + t].is_none())
        else {
            return Ok(());
        };
        let what =
            Intervention::Patch { layer: Some(layer), head: None, positions: Some(PositionSpan::one(t)) };
        let with = self.lab.read_with(explorer, &[what], cancel)?;
        self.grid.cells[layer * positions + t] = Some(self.lab.effect(&with));
        Ok(())
    }
}
