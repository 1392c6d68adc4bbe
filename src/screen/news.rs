//! News from the engine: results, progress, failures.

use crate::engine::types::{FOLLOWED, ModelInfo, Update};
use crate::mask::types::State;
use crate::screen::app::{App, Card, Remedy};
use crate::screen::events::show_card;
use crate::screen::explore::background::USE_CALIBRATION;
use crate::screen::explore::text;

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
            app.null_ready = false;
            model_ready(app, info);
            true
        }
        Update::CalibrationReady => {
            app.null_ready = true;
            let key = app.key_label(&USE_CALIBRATION);
            app.say(format!("Distance baseline ready: press {key} to use it"));
            false
        }
        Update::ModelMoved { spec } => {
            app.moved = Some(spec);
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

fn take_result(app: &mut App, news: Update) {
    let mut oldest = app.generation;
    match &news {
        Update::Rerolls { generation, done, of, .. } if *generation >= app.mask_since => {
            oldest = app.mask_since;
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
    if tokens && app.view.focus == &text::PANE {
        follow_caret(app);
    } else if tokens && !app.view.placed && app.results.len() != before {
        app.view.query = app.results.len().saturating_sub(1);
    }
    if decided && !app.view.placed && app.view.focus != &text::PANE {
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
        let done = app.results.done;
        app.results = crate::screen::results::Results { done, ..Default::default() };
    }
    app.model = Some(info);
}
