//! The hint bar: what is possible now, from the actions' own declarations. Pure.

use crate::app::actions::{self, Action, Context};
use crate::app::state::App;
use crate::app::update::general;

/// A key and what it does, for the bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub keys: String,
    pub text: &'static str,
    pub action: &'static Action,
}

/// What a lost person needs, the most urgent first.
const VITAL: [&Action; 4] = [&general::RETRY, &general::CANCEL, &general::HELP, &general::QUIT];

/// Hints for the active contexts: what the pane itself offers, what a lost person needs, then the rest.
pub fn hints(app: &App) -> Vec<Hint> {
    let contexts = app.contexts();
    let rank = |action: &Action| match VITAL.iter().position(|v| *v == action) {
        _ if action.context == contexts[0] => 0,
        Some(i) => 1 + i,
        None => 1 + VITAL.len(),
    };
    let offered = |a: &&Action| !a.hint.is_empty() && contexts.contains(&a.context) && a.possible(app);
    let mut actions: Vec<&'static Action> = actions::gathered().filter(offered).collect();
    actions.sort_by_key(|action| rank(action));
    let hint = |action: &'static Action| {
        Some(Hint { keys: keys(app, action, &contexts)?, text: action.hint, action })
    };
    actions.into_iter().filter_map(hint).collect()
}

/// The key to show; those that belong together are shown together.
fn keys(app: &App, action: &Action, contexts: &[Context]) -> Option<String> {
    let ascii = app.look.ascii;
    let mut shown = app.keymap.label(action, contexts, ascii)?;
    let long = ascii && shown.len() > 1;
    if long && action.with.len() > 1 {
        return Some(shown.replace("left", "arrows"));
    }
    let shifted = shown.starts_with('⇧');
    for other in action.with.iter().filter_map(|a| app.keymap.label(a, contexts, ascii)) {
        if long {
            shown.push('/');
        }
        let bare = if shifted { other.trim_start_matches('⇧') } else { &other };
        shown.push_str(if long { bare.trim_start_matches("shift-") } else { bare });
    }
    Some(shown)
}
