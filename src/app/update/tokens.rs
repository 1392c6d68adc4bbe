//! The token strip: which token is selected, and which are pinned.

use crate::app::actions::actions;
use crate::app::state::App;
use crate::app::strip;
use crate::mask::types::State;

actions! {
    Tokens {
        /// Select the token before
        TOKEN_PREVIOUS ["left"] "token" with [TOKEN_NEXT] => previous;
        /// Select the token after
        TOKEN_NEXT ["right"] => next;
        /// Select the token one row up
        TOKEN_UP ["up"] => |app| select_beside(app, false);
        /// Select the token one row down
        TOKEN_DOWN ["down"] => |app| select_beside(app, true);
        /// Select the first token
        TOKEN_FIRST ["home"] => |app| select_token(app, 0);
        /// Select the last token
        TOKEN_LAST ["end"] => |app| select_token(app, usize::MAX);
        /// Select the next masked token
        NEXT_MASKED ["n"] "next masked" => |app| next_masked(app, true);
        /// Select the previous masked token
        PREVIOUS_MASKED ["N"] => |app| next_masked(app, false);
        /// Pin the token, so that it is never masked, or unpin it
        PIN ["space"] "pin" => pin;
    }
}

pub(super) fn previous(app: &mut App) {
    select_token(app, app.view.key.saturating_sub(1));
}

pub(super) fn next(app: &mut App) {
    select_token(app, app.view.key + 1);
}

/// Selects a token: the key of the crosshair, with a query that can see it.
pub fn select_token(app: &mut App, token: usize) {
    app.view.placed = true;
    app.view.key = token.min(app.results.len().saturating_sub(1));
    app.view.query = app.view.query.max(app.view.key);
}

/// Selects the token one row further down, or up.
fn select_beside(app: &mut App, down: bool) {
    let columns = app.geometry().strip.map_or(78, |(columns, _)| columns);
    select_token(app, strip::beside(app.results.tokens(), columns, app.view.key, down));
}

/// Goes through the strip by rows.
pub fn scroll(app: &mut App, rows: i64) {
    for _ in 0..rows.unsigned_abs() {
        select_beside(app, rows > 0);
    }
}

fn next_masked(app: &mut App, forward: bool) {
    let Some(decision) = app.results.decision() else { return };
    let n = decision.positions.len();
    let masked = |i: &usize| decision.positions[*i].state == State::Masked;
    let step = |d: usize| if forward { (app.view.key + d) % n } else { (app.view.key + n - d % n) % n };
    let found = (1..=n).map(step).find(masked);
    match found {
        Some(i) => select_token(app, i),
        None => app.say("No token is masked"),
    }
}

pub(super) fn pin(app: &mut App) {
    let i = app.view.key;
    if i >= app.results.len() {
        return;
    }
    app.view.placed = true;
    app.doc.toggle_pin(i);
    let on = app.doc.mask.pinned.iter().any(|r| r.contains(&i));
    app.say(if on {
        format!("Token {i} pinned: never masked")
    } else {
        format!("Token {i} no longer pinned")
    });
}
