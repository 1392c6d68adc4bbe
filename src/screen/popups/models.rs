//! The list of models: what is at hand, and whatever Hub id or folder is typed. Loading one, too.

use ratatui::layout::Rect;

use crate::engine::types::{Command, LoadProgress};
use crate::screen::app::{App, Request};
use crate::screen::chrome::bar::spinner;
use crate::screen::popups::list::{self, Entry, List};
use crate::screen::popups::{fuzzy, over};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// The known models that fit what was typed, and what was typed itself.
pub fn entries(app: &App, typed: &str) -> Vec<Entry> {
    let in_use = app.model.as_ref().map(|m| m.id.as_str());
    let mut known: Vec<(String, String)> =
        app.options.known.iter().map(|m| (m.spec.clone(), m.note.clone())).collect();
    if let Some(wanted) = app.options.wanted.clone().filter(|w| !known.iter().any(|(s, _)| s == w)) {
        known.insert(0, (wanted, "the model in your settings".to_owned()));
    }
    let fitting = fuzzy::rank(typed, known.iter().map(|(s, _)| s.as_str()));
    let entry = |i: usize| {
        let (spec, doc) = known[i].clone();
        let note = if in_use == Some(spec.as_str()) { "in use" } else { "" };
        Entry { value: spec, doc, note: note.to_owned() }
    };
    let mut out: Vec<Entry> = fitting.into_iter().map(entry).collect();
    // Anything may be typed; unless it is the exact name of a known model, it is offered as it stands.
    let typed = typed.trim();
    if !typed.is_empty() && !known.iter().any(|(s, _)| s == typed) {
        let doc = if typed.contains(['/', '.', '~']) { "Hub id or folder, as typed" } else { "as typed" };
        let own = Entry { value: typed.to_owned(), doc: doc.to_owned(), note: String::new() };
        let place = if out.is_empty() || typed.contains('/') { 0 } else { out.len() };
        out.insert(place, own);
    }
    out
}

/// Asks the engine for another model; the one in use stays until it is there.
pub fn load(app: &mut App, spec: String) {
    if app.model.as_ref().is_some_and(|m| m.id == spec) {
        return app.say(format!("{spec} is already in use"));
    }
    begins_to_load(app, &spec);
    app.emit(Request::Command(Command::LoadModel { spec }));
}

fn begins_to_load(app: &mut App, spec: &str) {
    app.cancelled = None;
    app.loading = Some(LoadProgress {
        id: spec.to_owned(),
        what: "looking it up".to_owned(),
        done: 0,
        total: None,
        rate: None,
    });
}

/// Fetches the newer version of the model in use, where one was found.
pub fn refresh(app: &mut App) {
    let Some(spec) = app.moved.clone() else {
        return app.say("No newer version of this model is known");
    };
    begins_to_load(app, &spec);
    app.emit(Request::Command(Command::RefreshModel { spec }));
}

/// Draws the list, and how far the model that is being loaded has come.
pub fn draw(c: &mut Canvas, app: &App, area: Rect, l: &List) {
    list::draw(c, app, area, l, "Models", "choose, or type a Hub id or a folder");
    if let Some(p) = &app.loading {
        let base = c.theme.popup();
        let (dim, accent) = (over(base, c.style(Role::Dim)), over(base, c.theme.bold(Role::Accent)));
        let y = area.bottom().saturating_sub(2);
        let done = match p.total.filter(|t| *t > 0) {
            Some(t) => format!("{:.0} %", p.done as f64 / t as f64 * 100.0),
            None => String::new(),
        };
        let pieces = [
            (spinner(app), accent),
            (" ", dim),
            (&p.id, accent),
            ("  ", dim),
            (&p.what, dim),
            ("  ", dim),
            (&done, accent),
        ];
        c.spans(area.x + 2, y, &pieces, area.right().saturating_sub(2));
    }
}

#[cfg(test)]
mod tests {

    use crate::engine::types::{Command, LoadProgress, Update};
    use crate::screen::general::REFRESH_MODEL;
    use crate::screen::testing::{Stage, model};

    #[test]
    fn a_newer_version_is_offered_until_it_is_taken() {
        let mut stage = Stage::new();
        let possible = |s: &Stage| REFRESH_MODEL.possible(&s.app);
        assert!(!possible(&stage));
        stage.press("f5");
        assert!(stage.app.loading.is_none(), "there is nothing to fetch");
        stage.update(Update::ModelMoved { spec: "owner/name".into() });
        assert!(possible(&stage));
        stage.press("f5");
        assert!(
            matches!(stage.port.commands.borrow().last(), Some(Command::RefreshModel { spec }) if spec == "owner/name")
        );
        assert!(stage.app.can_cancel() && !possible(&stage));
        let failed = Update::ModelFailed {
            id: "owner/name".into(),
            message: "the connection broke".into(),
            hint: None,
        };
        stage.update(failed);
        assert!(possible(&stage), "the offer stays where the fetch failed");
        stage.update(Update::ModelReady(model("owner/name", 2, 2)));
        assert!(!possible(&stage));
    }

    #[test]
    fn models_are_loaded_cancelled_and_switched_with_everything_kept() {
        let mut stage = Stage::new();
        stage.press("] ] i").types(" More").press("esc l l h");
        let before = stage.last();
        stage.press("M").types("gpt2").press("enter");
        assert!(
            matches!(stage.port.commands.borrow().last(), Some(Command::LoadModel { spec }) if spec == "openai-community/gpt2")
        );
        let progress = LoadProgress {
            id: "openai-community/gpt2".into(),
            what: "model.safetensors".into(),
            done: 5,
            total: Some(9),
            rate: None,
        };
        stage.update(Update::ModelLoading(progress));
        assert!(stage.app.can_cancel() && stage.app.wake().is_some());
        stage.press("]");
        assert_eq!(stage.last().mask.threshold, 0.76, "the model in use stays usable");
        stage.press("x");
        assert!(matches!(stage.port.commands.borrow().last(), Some(Command::CancelLoad)));
        stage.press("M").types("my/own-model").press("enter");
        assert!(
            matches!(stage.port.commands.borrow().last(), Some(Command::LoadModel { spec }) if spec == "my/own-model")
        );
        let asked = stage.asked();
        stage.update(Update::ModelReady(model("my/own-model", 1, 2)));
        assert_eq!(stage.asked(), asked + 1);
        let after = stage.last();
        assert_eq!((after.text, after.score), (before.text, before.score));
        assert_eq!(after.heads.layer, Some(0), "a layer the model does not have is brought back");
        assert!(stage.app.loading.is_none());
    }

    #[test]
    fn a_cancelled_load_stays_cancelled() {
        let mut stage = Stage::new();
        let progress =
            |done| LoadProgress { id: "my/model".into(), what: "x".into(), done, total: None, rate: None };
        stage.press("M").types("my/model").press("enter");
        stage.update(Update::ModelLoading(progress(1)));
        stage.press("x");
        stage.update(Update::ModelLoading(progress(2)));
        assert!(stage.app.loading.is_none());
        stage.press("M").types("my/model").press("enter");
        stage.update(Update::ModelLoading(progress(3)));
        assert!(stage.app.loading.is_some());
    }

    #[test]
    fn a_failed_load_becomes_a_card_with_retry() {
        let mut stage = Stage::new();
        stage.press("M").types("no/such").press("enter");
        stage.update(Update::ModelFailed {
            id: "no/such".into(),
            message: "not found".into(),
            hint: Some("check the id".into()),
        });
        assert_eq!(stage.app.cards.len(), 1);
        assert_eq!(stage.app.model.as_ref().unwrap().id, "demo");
        stage.press("ctrl-r");
        assert!(stage.app.cards.is_empty());
        assert!(
            matches!(stage.port.commands.borrow().last(), Some(Command::LoadModel { spec }) if spec == "no/such")
        );
        stage.update(Update::ModelFailed { id: "no/such".into(), message: "not found".into(), hint: None });
        stage.press("esc");
        assert!(stage.app.cards.is_empty());
    }
}
