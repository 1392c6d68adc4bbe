//! News from the engine: results, progress, failures.

use crate::engine::types::{FOLLOWED, HeadChoice, ModelInfo, Update};
use crate::mask::types::{Decision, State};
use crate::screen::app::{App, Card, Remedy};
use crate::screen::events::show_card;
use crate::screen::explore::text;
use crate::screen::generate::GenerateState;
use crate::screen::popups::models;

/// Takes in one update; says whether everything must be asked again (another model answers now).
pub fn take(app: &mut App, news: Update) -> bool {
    match news {
        Update::ModelLoading(progress) => {
            if app.cancelled.as_ref() != Some(&progress.id) {
                app.loading = Some(progress);
            }
            false
        }
        Update::ModelReady(info) => {
            app.measuring = None;
            model_ready(app, info);
            true
        }
        Update::Calibrating { done, of } => {
            app.measuring = Some((done, of));
            false
        }
        Update::CalibrationReady => {
            null_measured(app);
            true
        }
        Update::ModelMoved { spec } => {
            app.moved = Some(spec);
            app.offer();
            false
        }
        Update::Models(news) => {
            models::take(app, *news);
            false
        }
        Update::ModelFailed { id, message, hint } => {
            app.loading = None;
            let title = format!("{id} could not be loaded");
            show_card(app, Card { title, message, hint, remedy: Remedy::Load(id) });
            false
        }
        Update::Crashed { message } => {
            app.rerolling = false;
            app.costing = false;
            app.leaking = false;
            app.generate = GenerateState::default();
            show_card(
                app,
                Card {
                    title: "The engine crashed and was restarted".to_owned(),
                    message,
                    hint: Some("retry, or change the text or a setting".to_owned()),
                    remedy: Remedy::Ask,
                },
            );
            false
        }
        other => {
            take_result(app, other);
            false
        }
    }
}

/// The measured null takes the stand-in's place; what that changes is said when the new decision is there.
fn null_measured(app: &mut App) {
    app.measuring = None;
    if app.stand_in().is_some() {
        app.under_stand_in = app.results.decision().map(Decision::masked);
    }
    if let Some(model) = &mut app.model {
        model.calibrated = true;
    }
}

/// Says what the measured null has changed, once.
fn say_what_the_null_changed(app: &mut App) {
    let Some(before) = app.under_stand_in.take() else { return };
    let Some(now) = app.results.decision().map(Decision::masked) else { return };
    let both = now.iter().filter(|i| before.binary_search(i).is_ok()).count();
    let changed = before.len() + now.len() - 2 * both;
    let what = match changed {
        0 => "the mask is the same".to_owned(),
        1 => "one token of the mask changed".to_owned(),
        n => format!("{n} tokens of the mask changed"),
    };
    app.say(format!(
        "The distance null is measured and is the score now, here, by command and next time: {what}"
    ));
}

fn take_result(app: &mut App, news: Update) {
    let mut oldest = app.generation;
    match &news {
        Update::Rerolls { generation, done, of, .. }
            if *generation >= app.mask_since.max(app.position_since) =>
        {
            oldest = app.mask_since.max(app.position_since);
            app.rerolling = done < of;
        }
        Update::Leak { generation, done, of, .. } if *generation >= app.mask_since => {
            oldest = app.mask_since;
            app.leaking = done < of;
        }
        Update::Cost { generation, done, of, .. } if *generation >= app.text_since => {
            oldest = app.text_since;
            app.costing = done < of;
        }
        Update::Done { generation, .. } if *generation == app.generation => {
            app.cards.retain(|c| c.remedy != Remedy::Ask);
        }
        _ => {}
    }
    let tokens = matches!(news, Update::Tokens { .. });
    let decided = matches!(news, Update::Decided { .. });
    let before = app.results.len();
    if !app.results.take(news, oldest, app.generation) {
        return;
    }
    let typing = app.view.focus == &text::PANE && !app.untouched();
    if tokens && typing {
        follow_caret(app);
    } else if tokens && !app.view.placed && app.results.len() != before {
        app.view.query = app.results.len().saturating_sub(1);
    }
    if decided {
        say_what_the_null_changed(app);
    }
    if decided && !app.view.placed && !typing {
        // Until someone points elsewhere, explain a token that has something to explain.
        let masked =
            app.results.decision().and_then(|d| d.positions.iter().position(|p| p.state == State::Masked));
        if let Some(i) = masked {
            app.view.key = i;
        }
    }
}

/// While a person types, the token being typed is the selected one.
pub(crate) fn follow_caret(app: &mut App) {
    let caret = app.doc.editor.caret();
    let tokens = app.results.tokens();
    let at = tokens.iter().position(|t| t.span.0 < caret && caret <= t.span.1);
    if let Some(i) = at.or_else(|| tokens.len().checked_sub(1)) {
        app.view.position = Some(i);
        app.view.key = i;
        app.view.query = tokens.len() - 1;
    }
}

fn model_ready(app: &mut App, info: ModelInfo) {
    let followed = info.id.contains(FOLLOWED);
    if !followed {
        app.train.followed = None;
    }
    if !followed && app.model.as_ref().is_some_and(|m| m.id != info.id) {
        app.say(format!("Now using {}: text and settings kept", info.id));
    }
    if !followed {
        app.moved = None;
        if let Some(note) = &info.note {
            app.say(format!("{}: {note}", info.id));
        }
    }
    if app.model.is_none() {
        app.offer();
    }
    // A message about a failed load of this very model is overtaken.
    app.cards.retain(|c| c.remedy != Remedy::Load(info.id.clone()));
    app.loading = None;
    let heads = &mut app.doc.heads;
    heads.layer = heads.layer.map(|l| l.min(info.n_layer.saturating_sub(1)));
    heads.head = heads.head.map(|h| h.min(info.n_head.saturating_sub(1)));
    app.rerolling = false;
    app.costing = false;
    // Another model's numbers must not stand beside this one's.
    // Weights that are followed replace the picture only when theirs is there: it would flicker otherwise.
    if !followed {
        let (compare, heads) = (app.generate.compare, HeadChoice::default());
        app.generate = GenerateState { compare, heads, ..GenerateState::default() };
        let done = app.results.done;
        app.results = crate::screen::results::Results { done, ..Default::default() };
    }
    app.model = Some(info);
}
