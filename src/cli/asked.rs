//! Asking the engine as the screen asks it: the same worker, the same requests, the same answers.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use indicatif::ProgressBar;

use super::CommandContext;
use super::convert;
use super::error::CliError;
use super::open::{advance, bar};
use super::output::note;
use crate::attention::types::Reduction;
use crate::config::Settings;
use crate::engine::loader::{LoadOptions, Purpose};
use crate::engine::types::{Command, ExploreRequest, HeadChoice, Update};
use crate::engine::worker::Engine;
use crate::mask::decide::score_in_force;
use crate::screen::results::Results;

/// How long a model is given to begin to measure its distance null; one that cannot be measured never does.
const MEASURING_BEGINS: Duration = Duration::from_secs(20);
/// How long one window of that may take.
const MEASURING_STEP: Duration = Duration::from_secs(120);

/// What to ask.
pub struct ExplorerQuestion<'a> {
    pub settings: &'a Settings,
    pub text: &'a str,
    /// The token after which the next one is predicted; `None` is the last.
    pub position: Option<usize>,
    /// Whether the statistics of all heads are wanted.
    pub heads: bool,
}

/// What the engine said.
pub struct EngineAnswer {
    pub results: Results,
    engine: Engine,
    updates: Receiver<Update>,
}

/// Loads the model that the settings name and asks once.
///
/// # Errors
/// A model or device that is not available, a text that cannot be run or does not fit.
pub fn ask(context: &CommandContext, question: &ExplorerQuestion) -> Result<EngineAnswer, CliError> {
    let settings = question.settings;
    let chosen = convert::device(settings)?;
    let options = LoadOptions {
        hub: convert::hub_options(context),
        device: chosen.device,
        device_name: chosen.name,
        purpose: Purpose::Explore(settings.compute.weights),
    };
    let (send, updates) = unbounded();
    let engine = Engine::start(options, send)
        .map_err(|e| CliError::failed(format!("the engine cannot start: {e}")))?;
    engine.command(Command::LoadModel { spec: settings.model.spec() });
    let bar = bar();
    let answered = wait(&engine, &updates, question, &bar);
    bar.finish_and_clear();
    let results = answered?;
    if let Some(left_out) = results.truncated {
        let tokens = results.len() + left_out;
        return Err(CliError::failed(format!(
            "{tokens} tokens are more than the {} that fit",
            results.len()
        ))
        .with_hint("shorten the text or choose a model with a longer context"));
    }
    if results.is_empty() {
        return Err(CliError::failed("the text is empty: nothing to run"));
    }
    if let Some(position) = question.position.filter(|i| *i >= results.len()) {
        let last = results.len() - 1;
        return Err(CliError::usage(format!("position {position} is beyond the last token, {last}")));
    }
    Ok(EngineAnswer { results, engine, updates })
}

/// The request that the screen would send.
fn request(question: &ExplorerQuestion, generation: u64) -> ExploreRequest {
    let ExplorerQuestion { settings, text, position, heads } = *question;
    ExploreRequest {
        generation,
        text: text.into(),
        mask: settings.mask.clone(),
        score: settings.score.clone(),
        rolling: settings.rolling.clone().settled(),
        map: settings.explore.map,
        heads: HeadChoice { layer: settings.explore.layer, head: settings.explore.head },
        top: settings.explore.top,
        overview: heads,
        effects: false,
        position,
        // Exports are of the masked run; interventions are made on the plain pass.
        interventions: Arc::default(),
    }
}

/// Takes in what comes until the answer is whole, with the measured distance null where the score is that.
fn wait(
    engine: &Engine,
    updates: &Receiver<Update>,
    question: &ExplorerQuestion,
    bar: &ProgressBar,
) -> Result<Results, CliError> {
    let settings = question.settings;
    let wants_null =
        score_in_force(settings.mask.scale, &settings.score).reduction == Reduction::DistanceNull;
    let (mut results, mut generation, mut measuring) = (Results::default(), 1, false);
    // Whether the score is the one that was asked for, or no null is needed; unknown until there is a model.
    let mut exact = false;
    loop {
        let answered = results.done == generation;
        let patience = if measuring { MEASURING_STEP } else { MEASURING_BEGINS };
        let update = if answered {
            updates.recv_timeout(patience)
        } else {
            updates.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match update {
            Err(RecvTimeoutError::Timeout) => {
                note("note: the distance null of this model cannot be measured; another score stands in");
                break;
            }
            Err(RecvTimeoutError::Disconnected) => return Err(CliError::failed("the engine has stopped")),
            Ok(Update::ModelLoading(progress)) => advance(bar, &progress),
            Ok(Update::ModelReady(info)) => {
                engine.explore(request(question, generation));
                exact = info.calibrated || !wants_null;
            }
            Ok(Update::ModelFailed { message, hint, .. }) => {
                return Err(CliError::unavailable(message).with_hint_if(hint));
            }
            Ok(Update::Calibrating { .. }) => measuring = true,
            Ok(Update::CalibrationReady) => {
                exact = true;
                generation += 1;
                engine.explore(request(question, generation));
            }
            Ok(Update::Failed { message, hint, .. }) => {
                return Err(CliError::failed(message).with_hint_if(hint));
            }
            Ok(Update::Crashed { message }) => return Err(CliError::failed(message)),
            Ok(update) => {
                results.take(update, generation, generation);
            }
        }
        if exact && results.done == generation {
            break;
        }
    }
    Ok(results)
}

impl EngineAnswer {
    /// SHA-256 over the weights.
    ///
    /// # Errors
    /// Weights that cannot be read.
    pub fn fingerprint(&self) -> Result<String, CliError> {
        self.engine.command(Command::Fingerprint);
        loop {
            match self.updates.recv() {
                Ok(Update::Fingerprint { hash, .. }) => {
                    return hash
                        .map_err(|why| CliError::failed(format!("the weights cannot be read: {why}")));
                }
                Ok(_) => {}
                Err(_) => return Err(CliError::failed("the engine has stopped")),
            }
        }
    }
}
