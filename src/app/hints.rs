//! The hint bar: what is possible now, from the action table. Pure.

use crate::app::actions::{ACTIONS, Context, Verb};
use crate::app::state::{App, Pane};
use crate::app::train::update as train;
use crate::attention::types::Reduction;
use crate::engine::types::MapKind;
use crate::mask::types::Op;

/// A key and what it does, for the bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub keys: String,
    pub text: &'static str,
    pub verb: Verb,
}

/// Hints for the active contexts, innermost first, in the order of the table.
pub fn hints(app: &App) -> Vec<Hint> {
    let contexts = app.contexts();
    let mut out: Vec<Hint> = Vec::new();
    for context in &contexts {
        for spec in ACTIONS.iter().filter(|s| s.context == *context && !s.hint.is_empty()) {
            if !possible(app, spec.verb) || !train::belongs(app, spec.verb) {
                continue;
            }
            if let Some(keys) = keys(app, spec.verb, &contexts) {
                out.push(Hint { keys, text: spec.hint, verb: spec.verb });
            }
        }
    }
    // The two that a lost person needs come right after what the pane itself offers.
    let inner = out.iter().take_while(|h| h.verb.spec().context == contexts[0]).count();
    let (mut vital, rest): (Vec<Hint>, Vec<Hint>) = out
        .drain(inner..)
        .partition(|h| matches!(h.verb, Verb::Help | Verb::Quit | Verb::Cancel | Verb::Retry));
    vital.sort_by_key(|h| (h.verb == Verb::Help || h.verb == Verb::Quit, h.verb == Verb::Quit));
    out.extend(vital);
    out.extend(rest);
    out
}

/// Whether an action would do anything now.
pub fn possible(app: &App, verb: Verb) -> bool {
    match verb {
        Verb::Undo => app.can_undo(),
        Verb::Redo => app.can_redo(),
        Verb::Cancel => app.can_cancel(),
        Verb::Retry => !app.cards.is_empty() || app.results.failure.is_some(),
        Verb::Dismiss => !app.cards.is_empty() || app.view.enlarged,
        Verb::Replacement => app.doc.mask.op == Op::Replace,
        Verb::Copy | Verb::Cut => app.doc.editor.selection().is_some(),
        Verb::PageNext | Verb::PageBack => matches!(app.popup, Some(crate::app::state::Popup::Tour { .. })),
        Verb::MapPeak => app.results.map.is_some() && app.doc.map != MapKind::Difference,
        Verb::EditText => app.view.focus != Pane::Text,
        Verb::Refresh => app.moved.is_some() && app.loading.is_none(),
        // Offered while a score falls back for want of it.
        Verb::UseCalibration => {
            app.doc.score.reduction == Reduction::Null
                && app.null_ready
                && app.model.as_ref().is_some_and(|m| !m.calibrated)
        }
        _ => train::possible(app, verb),
    }
}

/// The key to show; pairs that belong together are shown together.
fn keys(app: &App, verb: Verb, contexts: &[Context]) -> Option<String> {
    let ascii = app.look.ascii;
    let label = |v: Verb| app.keymap.label(v, contexts, ascii);
    let partner = match verb {
        Verb::ThresholdDown => Some(Verb::ThresholdUp),
        Verb::ProbabilityDown => Some(Verb::ProbabilityUp),
        Verb::TokenPrevious => Some(Verb::TokenNext),
        Verb::PanelTokenPrevious => Some(Verb::PanelTokenNext),
        Verb::ItemUp => Some(Verb::ItemDown),
        Verb::ValueDown => Some(Verb::ValueUp),
        Verb::ValueFineDown => Some(Verb::ValueFineUp),
        Verb::ScrollUp => Some(Verb::ScrollDown),
        Verb::ZoomIn => Some(Verb::ZoomOut),
        Verb::RateDown => Some(Verb::RateUp),
        Verb::FieldUp => Some(Verb::FieldDown),
        Verb::FieldLess => Some(Verb::FieldMore),
        Verb::CursorLeft => Some(Verb::CursorRight),
        Verb::RunsUp => Some(Verb::RunsDown),
        Verb::FeedUp => Some(Verb::FeedDown),
        Verb::FeedPrevious => Some(Verb::FeedNext),
        Verb::AlongLess => Some(Verb::AlongMore),
        _ => None,
    };
    let arrows = match verb {
        Verb::MapLeft | Verb::PlaneLeft | Verb::HeadLeft => Some("←↑↓→"),
        Verb::PanLeft => Some("⇧←↑↓→"),
        _ => None,
    };
    let first = label(verb)?;
    if let Some(arrows) = arrows.filter(|_| first.ends_with('←')) {
        return Some(arrows.to_owned());
    }
    if ascii && arrows.is_some() {
        return Some(first.replace("left", "arrows"));
    }
    Some(match partner.and_then(label) {
        Some(second) if ascii && first.len() > 1 => {
            format!("{first}/{}", second.trim_start_matches("shift-"))
        }
        Some(second) if first.starts_with('⇧') && second.starts_with('⇧') => {
            format!("{first}{}", second.trim_start_matches('⇧'))
        }
        Some(second) => format!("{first}{second}"),
        None => first,
    })
}
