//! Opening a model for a command: download with a progress bar on stderr where that is a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indicatif::ProgressBar;

use super::CommandContext;
use super::convert;
use super::error::{CliError, ExitKind};
use super::output::note as remark;
use super::source::{SourceArgs, TextOrIds};
use crate::engine::calibrate::{self, Calibrator};
use crate::engine::explorer::{Explorer, Reach};
use crate::engine::loaded::{CALIBRATION_TEXT, LoadedModel};
use crate::engine::loader::{LoadError, LoadOptions, Purpose, load};
use crate::engine::types::LoadProgress;
use crate::model::WeightType;
use crate::support::progress;
use crate::support::visible::{line, lines};

/// Loads the model that the settings name, to explore it.
///
/// # Errors
/// Exit code 3: the model or the device is not available; 1: its weights are not all numbers.
pub fn open(context: &CommandContext) -> Result<Arc<LoadedModel>, CliError> {
    open_named(context, &context.loaded.settings.model.spec())
}

/// Loads the model of this name to explore it, otherwise as the settings say.
///
/// # Errors
/// As [`open`].
pub fn open_named(context: &CommandContext, spec: &str) -> Result<Arc<LoadedModel>, CliError> {
    open_for(context, spec, Purpose::Explore(WeightType::F32)).map(Arc::new)
}

/// Loads the model of this name for `purpose`, otherwise as the settings say.
///
/// # Errors
/// As [`open`].
pub fn open_for(context: &CommandContext, spec: &str, purpose: Purpose) -> Result<LoadedModel, CliError> {
    let settings = &context.loaded.settings;
    let chosen = convert::device(settings)?;
    let options = LoadOptions {
        hub: convert::hub_options(context),
        device: chosen.device,
        device_name: chosen.name,
        purpose,
    };
    let bar = bar();
    let mut show = |p: LoadProgress| advance(&bar, &p);
    let result = load(spec, &options, &mut show, &AtomicBool::new(false));
    bar.finish_and_clear();
    let failed = |e: LoadError| {
        let kind = if e.unusable { ExitKind::Failed } else { ExitKind::Unavailable };
        CliError::new(kind, e.message).with_hint_if(e.hint)
    };
    let loaded = result.map_err(failed)?;
    for note in &loaded.notes {
        remark(&format!("note: {note}"));
    }
    Ok(loaded)
}

/// A bar for [`advance`].
pub(super) fn bar() -> ProgressBar {
    progress::bar(0, "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
}

pub(super) fn advance(bar: &ProgressBar, p: &LoadProgress) {
    if let Some(total) = p.total {
        bar.set_length(total);
        bar.set_position(p.done);
    }
    bar.set_message(line(&p.what));
}

/// A remark, above the bar where one is drawn.
pub(super) fn above(bar: &ProgressBar, text: &str) {
    if bar.is_hidden() { remark(text) } else { bar.println(lines(text)) }
}

/// Calibrates a model that has no distance null yet, from the cache where it has been done before.
///
/// # Errors
/// A model that fails on the calibration text.
pub fn calibrate(loaded: &Arc<LoadedModel>) -> Result<(), CliError> {
    if loaded.calibration().is_some() {
        return Ok(());
    }
    let failed = |e: calibrate::CalibrateError| CliError::failed(format!("calibration failed: {e}"));
    let mut calibrator = Calibrator::new(loaded.clone(), CALIBRATION_TEXT).map_err(failed)?;
    let folder = calibrate::cache_folder();
    if let Some(known) = folder.as_deref().and_then(|f| calibrate::read_cached(f, calibrator.source())) {
        loaded.set_calibration(known);
        return Ok(());
    }
    if std::io::stderr().is_terminal() {
        let windows = calibrator.progress().1;
        remark(&format!("note: calibrating {} once, on {windows} windows of text", loaded.id));
    }
    while !calibrator.step(None).map_err(failed)? {}
    let calibration = calibrator.finish().map_err(failed)?;
    if let Some(folder) = folder
        && let Err(error) = calibrate::write_cached(&folder, &calibration)
    {
        remark(&format!("note: calibration not cached in {}: {error}", folder.display()));
    }
    loaded.set_calibration(calibration);
    Ok(())
}

/// A model with a text on it, whole: commands never cut a text silently.
///
/// # Errors
/// A text that cannot be read, is empty or longer than `reach` allows.
pub fn explorer(loaded: Arc<LoadedModel>, source: &SourceArgs, reach: Reach) -> Result<Explorer, CliError> {
    let limit = reach.limit(loaded.model.config.n_positions);
    let source = source.read(limit)?;
    let mut explorer = Explorer::new(loaded);
    let set = match &source {
        TextOrIds::Text(text) => explorer.set_text(text, reach),
        TextOrIds::Ids(ids) => explorer.set_ids_within(ids, reach),
    };
    set?;
    if let Some(left_out) = explorer.truncated {
        let tokens = limit + left_out;
        return Err(CliError::failed(format!(
            "{tokens} tokens are more than {} of {limit}",
            if reach == Reach::Context { "the model's context" } else { "the longest text" }
        ))
        .with_hint("shorten the text or choose a model with a longer context"));
    }
    if explorer.ids.is_empty() {
        return Err(CliError::failed("the text is empty: nothing to run"));
    }
    Ok(explorer)
}
