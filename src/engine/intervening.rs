//! The worker's part in interventions: measures the stack of the newest request, and a grid of patches, pass by pass between requests.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::explorer::{ExploreError, Explorer};
use super::intervene::measure::{GridTask, StackTask};
use super::types::{ExploreRequest, Update};

/// What is being measured.
#[derive(Default)]
pub struct Intervening {
    /// Of the newest request.
    generation: u64,
    stack: Option<StackTask>,
    /// With what it was asked for.
    grid: Option<(GridTask, ExploreRequest)>,
}

impl Intervening {
    /// Whether there is a pass to do.
    pub fn busy(&self) -> bool {
        self.stack.as_ref().is_some_and(|task| !task.is_over())
            || self.grid.as_ref().is_some_and(|(task, _)| !task.is_over())
    }

    /// Takes a new request in, which was answered: what is known of the same interventions stays.
    pub fn look(&mut self, explorer: &Explorer, request: &ExploreRequest) -> Vec<Update> {
        self.generation = request.generation;
        let old = self.stack.take();
        if !request.interventions.list.is_empty() && !explorer.ids.is_empty() {
            let asked = request.interventions.clone();
            self.stack = Some(StackTask::new(explorer, asked, request.top, old));
        }
        let same = |old: &ExploreRequest| {
            let of = |r: &ExploreRequest| (r.interventions.other.clone(), r.interventions.contrast.clone());
            old.text == request.text && old.position == request.position && of(old) == of(request)
        };
        self.grid = self.grid.take().filter(|(_, asked)| same(asked));
        self.told()
    }

    /// Begins a grid for a request.
    ///
    /// # Errors
    /// As [`GridTask::new`].
    pub fn begin_grid(
        &mut self,
        explorer: &mut Explorer,
        request: &ExploreRequest,
    ) -> Result<Vec<Update>, ExploreError> {
        self.grid = None;
        self.grid = Some((GridTask::new(explorer, &request.interventions, None)?, request.clone()));
        Ok(self.told())
    }

    /// Another model answers now.
    pub fn forget(&mut self) {
        *self = Intervening::default();
    }

    /// Nothing more is measured; what is known stays.
    pub fn cancel(&mut self) -> Vec<Update> {
        if let Some(stack) = &mut self.stack {
            stack.give_up();
        }
        if let Some((grid, _)) = &mut self.grid {
            grid.stop();
        }
        self.told()
    }

    /// One pass: of the stack, then of the grid.
    ///
    /// # Errors
    /// Of the model; when cancelled.
    pub fn work(
        &mut self,
        explorer: &mut Explorer,
        cancel: &AtomicBool,
    ) -> Result<Vec<Update>, ExploreError> {
        match (&mut self.stack, &mut self.grid) {
            (Some(task), _) if !task.is_over() => task.step(explorer, Some(cancel))?,
            (_, Some((task, _))) if !task.is_over() => {
                if let Err(e) = task.step(explorer, Some(cancel)) {
                    if !e.is_cancelled() {
                        self.grid = None;
                    }
                    return Err(e);
                }
            }
            _ => {}
        }
        Ok(self.told())
    }

    fn told(&self) -> Vec<Update> {
        let generation = self.generation;
        let stack = self.stack.as_ref();
        let stack = stack.map(|task| Update::Intervened { generation, report: Arc::new(task.report()) });
        let grid = self.grid.as_ref();
        let grid =
            grid.map(|(task, _)| Update::PatchGrid { generation, grid: Arc::new(task.grid().clone()) });
        stack.into_iter().chain(grid).collect()
    }
}
