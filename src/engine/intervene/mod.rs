//! Interventions on the plain pass over the explorer's text: what each does to the prediction at one position, beside the same
//! number of random ones of its kind. Without threads; the worker ([`measure`]) and the command `intervene` are thin layers over it.

pub mod controls;
pub mod measure;
pub mod plan;
mod reason;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::explorer::{ExploreError, Explorer};
use super::loaded::LoadedModel;
use super::pass::{Pass, PassRequest};
use super::types::{Candidate, Intervention, Interventions};
use crate::model::forward::Reuse;
use crate::model::hooks::Hooks;
use crate::model::{Input, ModelError, Trace, logits};
use controls::ControlSpace;

/// Under these, KL in nats and a change of a logit are the rounding of f32.
const NO_KL: f64 = 1e-8;
const NO_CHANGE: f64 = 1e-4;

/// What is predicted at the position asked for.
#[derive(Clone, Debug)]
pub struct NextLogits {
    /// `[V]`.
    pub logits: Vec<f32>,
    /// `[V]`, nats.
    pub log_p: Vec<f32>,
}

/// The logit of a token, less that of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogitMeasure {
    pub token: u32,
    pub against: Option<u32>,
    /// In words.
    pub name: String,
}

impl LogitMeasure {
    pub fn of(&self, reading: &NextLogits) -> f64 {
        let logit = |id: u32| f64::from(reading.logits[id as usize]);
        logit(self.token) - self.against.map_or(0.0, logit)
    }
}

/// One text, its plain pass, and what effects are measured by.
pub struct Lab {
    pub baseline: Arc<Pass>,
    /// What is predicted without interventions.
    pub reading: NextLogits,
    /// The token after which the next one is predicted.
    pub position: usize,
    pub measure: LogitMeasure,
    /// The pass over the other text, with its heads.
    pub other: Option<Arc<Trace>>,
    /// Why there is none although one was asked for, and what to do about it.
    pub other_problem: Option<Complaint>,
}

/// What went wrong, and what to do about it.
pub type Complaint = (String, Option<String>);

fn complaint(e: &ExploreError) -> Complaint {
    (e.to_string(), e.hint())
}

impl Lab {
    /// Runs the text, and the other one where there is one.
    ///
    /// # Errors
    /// A text longer than the context; words of the contrast that are not one token.
    pub fn new(
        explorer: &mut Explorer,
        asked: &Interventions,
        cancel: Option<&AtomicBool>,
    ) -> Result<Self, ExploreError> {
        let baseline = explorer.baseline(cancel)?;
        if baseline.kept.is_some() {
            let context = explorer.loaded.model.config.n_positions;
            let problem =
                format!("interventions need a text that fits into the model's context of {context} tokens");
            return Err(ModelError::input(problem).with_hint("shorten the text").into());
        }
        let last = explorer.ids.len().saturating_sub(1);
        let position = explorer.position.unwrap_or(last).min(last);
        let reading = read(&explorer.loaded, &baseline.trace, position)?;
        let measure = measure_of(&explorer.loaded, asked, (&explorer.ids, position), &reading)?;
        let (other, other_problem) = match other_pass(explorer, asked, cancel) {
            Err(e) if !e.is_cancelled() => (None, Some(complaint(&e))),
            trace => (trace?.map(Arc::new), None),
        };
        Ok(Lab { baseline, reading, position, measure, other, other_problem })
    }

    /// Carries interventions out together: what is predicted then.
    ///
    /// # Errors
    /// Interventions that cannot be carried out.
    pub fn read_with(
        &self,
        explorer: &mut Explorer,
        all: &[Intervention],
        cancel: Option<&AtomicBool>,
    ) -> Result<NextLogits, ExploreError> {
        let hooks = self.hooks(all)?;
        let input = Input { hooks, ..Input::plain(explorer.ids.clone()) };
        if input.hooks.is_empty() {
            return Ok(self.reading.clone());
        }
        let reuse = Reuse { traces: &[&self.baseline.trace], cancel };
        let trace = explorer.loaded.model.run(Arc::new(input), reuse)?;
        explorer.count(&trace);
        Ok(read(&explorer.loaded, &trace, self.position)?)
    }

    fn hooks(&self, all: &[Intervention]) -> Result<Hooks, ModelError> {
        if let (Some((problem, hint)), true) = (&self.other_problem, all.iter().any(Intervention::is_patch)) {
            let error = ModelError::input(problem.clone());
            return Err(match hint {
                Some(hint) => error.with_hint(hint.clone()),
                None => error,
            });
        }
        plan::hooks(all, self.baseline.trace.len(), self.other.as_deref())
    }

    /// KL(without ‖ with) in nats, and the change of the measure.
    pub fn effect(&self, with: &NextLogits) -> (f64, f64) {
        let kl = logits::kl(&self.reading.log_p, &with.log_p);
        (kl, self.measure.of(with) - self.measure.of(&self.reading))
    }

    /// Why an intervention without an effect has none; `None` where it has one.
    pub fn why_nothing(&self, what: &Intervention, (kl, change): (f64, f64)) -> Option<String> {
        let nothing = kl < NO_KL && change.abs() < NO_CHANGE;
        nothing.then(|| format!("no effect: {}", reason::of(self, what)))
    }

    /// What random interventions are drawn from.
    pub fn space(&self) -> ControlSpace {
        let config = &self.baseline.trace.config;
        let ids = &self.baseline.trace.input.ids;
        let same = |other: &Arc<Trace>| other.input.ids.iter().zip(ids).take_while(|(a, b)| a == b).count();
        let differs = self.other.as_ref().map_or(0, same);
        ControlSpace { n_layer: config.n_layer, n_head: config.n_head, position: self.position, differs }
    }

    /// The most probable next tokens of a reading.
    pub fn candidates(&self, loaded: &LoadedModel, reading: &NextLogits, top: usize) -> Vec<Candidate> {
        let candidate = |(id, p): (u32, f32)| Candidate { id, display: loaded.token(id).display, p };
        logits::top(&reading.log_p, top).into_iter().map(candidate).collect()
    }
}

/// What is predicted after a row.
fn read(loaded: &LoadedModel, trace: &Trace, row: usize) -> Result<NextLogits, ModelError> {
    let logits = loaded.model.logits(&trace.hidden, row, 1)?;
    Ok(NextLogits { log_p: logits::log_softmax(&logits), logits })
}

/// The token that truly follows, or the most probable one at the end of the text, unless the person named one.
fn measure_of(
    loaded: &LoadedModel,
    asked: &Interventions,
    (ids, position): (&[u32], usize),
    reading: &NextLogits,
) -> Result<LogitMeasure, ModelError> {
    let named = |id: u32| format!("logit of “{}”", loaded.token(id).display);
    let Some((word, against)) = &asked.contrast else {
        let token = match ids.get(position + 1) {
            Some(next) => *next,
            None => logits::top(&reading.log_p, 1).first().map_or(0, |(id, _)| *id),
        };
        return Ok(LogitMeasure { token, against: None, name: named(token) });
    };
    let token = one_token(loaded, word)?;
    let against = against.as_ref().map(|word| one_token(loaded, word)).transpose()?;
    let name = match against {
        Some(against) => format!("{} − {}", named(token), named(against)),
        None => named(token),
    };
    Ok(LogitMeasure { token, against, name })
}

fn one_token(loaded: &LoadedModel, word: &str) -> Result<u32, ModelError> {
    match &loaded.tokens_of(word)?[..] {
        [token] => Ok(token.id),
        tokens => {
            let parts: Vec<String> = tokens.iter().map(|t| format!("“{}”", t.display)).collect();
            Err(ModelError::input(format!(
                "{word:?} is {} tokens of this model, not one: {}",
                tokens.len(),
                parts.join(" ")
            ))
            .with_hint("name a single token; most words are one with the space before them"))
        }
    }
}

/// The pass over the other text, where there is one.
fn other_pass(
    explorer: &mut Explorer,
    asked: &Interventions,
    cancel: Option<&AtomicBool>,
) -> Result<Option<Trace>, ExploreError> {
    let loaded = explorer.loaded.clone();
    let ids: Vec<u32> = match (&asked.other, &asked.other_ids) {
        (_, Some(ids)) => ids.clone(),
        (Some(text), None) => loaded.tokens_of(text)?.iter().map(|t| t.id).collect(),
        (None, None) => return Ok(None),
    };
    let (ours, theirs) = (explorer.ids.len(), ids.len());
    if ours != theirs {
        return Err(ModelError::input(format!("the other text has {theirs} tokens, this one {ours}"))
            .with_hint("patches go from position to position: change words for others of as many tokens")
            .into());
    }
    let hooks = Hooks { keep_heads: true, ..Hooks::default() };
    let input = Arc::new(Input { hooks, ..Input::plain(ids) });
    let trace = loaded.model.run(input, Reuse { traces: &[], cancel })?;
    explorer.count(&trace);
    Ok(Some(trace))
}

/// Masked runs beside which intervened ones are kept.
const KEPT: usize = 8;

impl Explorer {
    /// The pass under all interventions that are on; the plain one where none is. An equal one from before is given back as it is.
    ///
    /// # Errors
    /// Interventions that cannot be carried out.
    pub fn intervened(
        &mut self,
        asked: &Interventions,
        cancel: Option<&AtomicBool>,
    ) -> Result<Arc<Pass>, ExploreError> {
        let on: Vec<Intervention> = asked.list.iter().filter(|item| item.on).map(|item| item.what).collect();
        let baseline = self.baseline(cancel)?;
        if on.is_empty() {
            return Ok(baseline);
        }
        let other =
            if on.iter().any(Intervention::is_patch) { other_pass(self, asked, cancel)? } else { None };
        let hooks = plan::hooks(&on, self.ids.len(), other.as_ref())?;
        let input = Input { hooks, ..Input::plain(self.ids.clone()) };
        if input == *baseline.trace.input {
            return Ok(baseline);
        }
        if let Some(known) = self.runs.iter().find(|run| *run.trace.input == input && run.kept.is_none()) {
            return Ok(known.clone());
        }
        let request = PassRequest {
            input: Arc::new(input),
            kept: None,
            full_ids: &self.ids,
            earlier: &[&*baseline],
            cancel,
        };
        let run = Arc::new(Pass::new(&self.loaded.model, &request)?);
        self.count(&run.trace);
        self.runs.push_front(run.clone());
        self.runs.truncate(KEPT);
        Ok(run)
    }
}
