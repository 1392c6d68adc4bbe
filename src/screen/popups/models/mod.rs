//! The Models screen: what is at hand, what the Hub has, and whatever id or folder is typed; opening a model, downloading
//! one without opening it, fetching its newer version, removing it.

mod draw;
mod state;

use ratatui::layout::Rect;

pub use draw::{draw, lines_around, size};
pub use state::{ModelShelf, take};

use crate::engine::types::{Command, LoadProgress, ModelsCommand};
use crate::hub::{ModelDetails, ModelPlace};
use crate::screen::actions::{MODEL_LIST, actions};
use crate::screen::app::{App, Request};
use crate::screen::popups::ask::Question;
use crate::screen::popups::list::{self, Entry, List};
use crate::screen::popups::{Popup, fuzzy};

actions! {
    MODEL_LIST {
        /// Complete a typed folder; otherwise go to the next model
        MODELS_COMPLETE ["tab"] "complete a folder" if types_folder => complete;
        /// Download the model without opening it; a broken download continues where it stopped
        MODELS_PULL ["ctrl-d"] "download" if can_pull => |app| pull(app, false);
        /// Fetch the newest version of a cached model
        MODELS_REFRESH ["f5"] "refresh" if is_cached => |app| pull(app, true);
        /// Remove the model from the cache
        MODELS_REMOVE ["delete" "ctrl-x"] "remove" if is_in_cache => ask_removal;
        /// Close the message on screen, or the models
        MODELS_CLOSE ["esc"] "close" => close;
    }
}

/// Opens the screen and has the cache listed.
pub fn open(app: &mut App) {
    app.popup = Some(Popup::Models(List::default()));
    app.models.asked = None;
    app.emit(Request::Models(ModelsCommand::List));
}

fn close(app: &mut App) {
    if app.cards.pop().is_none() {
        app.popup = None;
    }
}

/// The models that are listed, the one in the settings among them.
fn offered(app: &App) -> Vec<ModelDetails> {
    let mut models = app.models.listed.clone();
    if let Some(wanted) = app.options.wanted.as_ref().filter(|w| !models.iter().any(|m| m.id == **w)) {
        let doc = "the model in your settings".to_owned();
        models.insert(0, ModelDetails { doc, ..ModelDetails::new(wanted, ModelPlace::Hub) });
    }
    models
}

/// The models that fit what was typed, and what was typed itself.
pub fn entries(app: &App, typed: &str) -> Vec<Entry> {
    let models = offered(app);
    let fitting = fuzzy::rank(typed, models.iter().map(|m| m.id.as_str()));
    let entry = |value: &str| Entry { value: value.to_owned(), doc: String::new(), note: String::new() };
    let mut out: Vec<Entry> = fitting.into_iter().map(|i| entry(&models[i].id)).collect();
    // Anything may be typed; unless it is the exact name of a known model, it is offered as it stands.
    let typed = typed.trim();
    if !typed.is_empty() && !models.iter().any(|m| m.id == typed) {
        let place = if out.is_empty() || typed.contains('/') { 0 } else { out.len() };
        out.insert(place, entry(typed));
    }
    out
}

/// The name of the selected model.
pub fn selected(app: &App) -> Option<String> {
    let Some(Popup::Models(list)) = &app.popup else { return None };
    entries(app, &list.typed).into_iter().nth(list.selected).map(|entry| entry.value)
}

/// Asks about the selected model, and for continuations of a typed path, where they are not known yet. To be called after
/// whatever may have changed them.
pub fn look(app: &mut App) {
    let Some(Popup::Models(list)) = &app.popup else { return };
    if list.typed != app.models.typed {
        app.models.typed.clone_from(&list.typed);
        app.models.offers.clear();
        if types_folder(app) {
            app.emit(Request::Models(ModelsCommand::Complete(app.models.typed.clone())));
        }
    }
    let Some(spec) = selected(app).filter(|spec| app.models.asked.as_ref() != Some(spec)) else { return };
    app.models.asked = Some(spec.clone());
    let bundled = app.models.details(&spec).is_some_and(|m| m.place == ModelPlace::Bundled);
    if !bundled && !matches!(app.models.described.get(&spec), Some(Ok(_))) {
        app.emit(Request::Models(ModelsCommand::Describe(spec)));
    }
}

/// Whether what is typed is the beginning of a path.
fn types_folder(app: &App) -> bool {
    let typed = app.popup.as_ref().and_then(Popup::list).map_or("", |list| list.typed.as_str());
    ["/", "./", "../", "~/"].iter().any(|start| typed.starts_with(start))
}

/// Completes a path as far as all offers agree; a single one is taken whole.
fn complete(app: &mut App) {
    if !types_folder(app) {
        return (list::LIST_DOWN.run)(app);
    }
    let common = app.models.offers.iter().cloned().reduce(|common, offer| {
        common.chars().zip(offer.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    });
    if let Some(common) = common {
        list::edit_list(app, |typed| {
            if common.len() > typed.len() {
                typed.clone_from(&common);
            }
        });
    }
}

fn is(app: &App, holds: impl Fn(&ModelDetails) -> bool) -> bool {
    selected(app).is_some_and(|spec| app.models.details(&spec).is_some_and(holds))
}

fn is_cached(app: &App) -> bool {
    is(app, |m| m.place == ModelPlace::Cached)
}

fn is_in_cache(app: &App) -> bool {
    is(app, ModelDetails::is_in_cache)
}

fn can_pull(app: &App) -> bool {
    is(app, |m| matches!(m.place, ModelPlace::Hub | ModelPlace::Partial))
}

/// Downloads the selected model without opening it.
fn pull(app: &mut App, refresh: bool) {
    let Some(spec) = selected(app) else { return };
    let place = app.models.details(&spec).map(|m| m.place);
    match place {
        Some(ModelPlace::Bundled | ModelPlace::Folder) => {
            return app.say(format!("{spec} is on this machine: there is nothing to download"));
        }
        Some(ModelPlace::Cached) if !refresh => return app.say(format!("{spec} is in the cache")),
        _ if types_folder(app) => return app.say(format!("{spec} is no model of the Hub")),
        _ => {}
    }
    if let Some(busy) = &app.models.pulling {
        return app.say(format!("{} is being downloaded: one download at a time", busy.id));
    }
    start(app, ModelsCommand::Pull { spec, refresh });
}

/// Sends a command; a download is shown at once.
pub fn start(app: &mut App, command: ModelsCommand) {
    if let ModelsCommand::Pull { spec, .. } = &command {
        app.models.cancelled = None;
        app.models.pulling = Some(LoadProgress::new(spec, "looking it up"));
    }
    app.emit(Request::Models(command));
}

/// Cancels the download that opens nothing; what has arrived is kept.
pub fn cancel_pull(app: &mut App) {
    if let Some(pulling) = app.models.pulling.take() {
        app.say(format!("Download of {} cancelled: the next one continues from there", pulling.id));
        app.models.cancelled = Some(pulling.id);
        app.emit(Request::Models(ModelsCommand::CancelPull));
    }
}

fn ask_removal(app: &mut App) {
    let (Some(spec), Some(Popup::Models(list))) = (selected(app), app.popup.clone()) else { return };
    match app.models.details(&spec).filter(|m| m.is_in_cache()) {
        Some(model) => {
            let bytes = model.size_bytes.unwrap_or(0);
            app.popup = Some(Popup::Ask(Question::RemoveModel { spec, bytes, list }));
        }
        None => app.say(format!("{spec} is not in the cache")),
    }
}

/// A click selects a model; on the selected one it opens it.
pub fn press(app: &mut App, area: Rect, y: u16) {
    let Some(index) = list::index_at(app, area, y) else { return };
    let again = app.popup.as_ref().and_then(Popup::list).is_some_and(|list| list.selected == index);
    app.act(|app| match again {
        true => list::take_entry(app, index),
        false => list::select(app, index),
    });
}

/// Asks the engine for another model; the one in use stays until it is there.
pub fn load(app: &mut App, spec: String) {
    // What lies in a folder may have changed since it was read.
    let in_folder = app.models.details(&spec).is_some_and(|m| m.place == ModelPlace::Folder);
    if !in_folder && app.model.as_ref().is_some_and(|m| m.id == spec) {
        return app.say(format!("{spec} is already in use"));
    }
    begins_to_load(app, &spec);
    app.emit(Request::Command(Command::LoadModel { spec }));
}

fn begins_to_load(app: &mut App, spec: &str) {
    app.cancelled = None;
    app.loading = Some(LoadProgress::new(spec, "looking it up"));
}

/// Fetches the newer version of the model in use, where one was found.
pub fn refresh(app: &mut App) {
    let Some(spec) = app.moved.clone() else {
        return app.say("No newer version of this model is known");
    };
    begins_to_load(app, &spec);
    app.emit(Request::Command(Command::RefreshModel { spec }));
}

#[cfg(test)]
mod tests;
