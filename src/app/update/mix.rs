//! The mix editor: shares of operations, each masked token drawing its own.

use crate::app::actions::actions;
use crate::app::mixing;
use crate::app::state::{App, Popup};
use crate::mask::types::MaskSettings;

actions! {
    Mix {
        /// Operation above
        MIX_UP ["up" "shift-tab"] "operation" => |app| step(app, mixing::ROWS.len() - 1);
        /// Operation below
        MIX_DOWN ["down" "tab"] => |app| step(app, 1);
        /// Give it five percent less; the others fill up in proportion
        MIX_LESS ["left"] "share" => |app| give(app, -5);
        /// Give it five percent more; the others make room in proportion
        MIX_MORE ["right"] => |app| give(app, 5);
        /// One percent less
        MIX_FINE_LESS ["shift-left"] => |app| give(app, -1);
        /// One percent more
        MIX_FINE_MORE ["shift-right"] => |app| give(app, 1);
        /// Take its whole share away
        MIX_NONE ["home" "backspace" "delete"] => |app| give(app, -100);
        /// Give it everything: no mix any more
        MIX_ALL ["end"] "all of it" => |app| give(app, 100);
        /// BERT's mix: 80 % replaced, 10 % a random token, 10 % kept
        MIX_BERT ["b"] "BERT" => bert;
        /// Close the editor; undo takes changes back
        MIX_CLOSE ["enter" "esc" "q" "O"] "close" => close;
    }
}

/// The row that is being changed, while the editor is open.
fn row(app: &App) -> Option<usize> {
    match app.popup {
        Some(Popup::Mix { row }) => Some(row),
        _ => None,
    }
}

/// Opens the editor at the largest share.
pub fn open(app: &mut App) {
    let shares = mixing::shares(&app.doc.mask);
    let row = (0..shares.len()).max_by_key(|i| (shares[*i], usize::MAX - i)).unwrap_or(0);
    app.popup = Some(Popup::Mix { row });
}

fn close(app: &mut App) {
    if row(app).is_some() {
        app.popup = None;
    }
}

/// Goes down by rows, round and round.
fn step(app: &mut App, rows: usize) {
    if let Some(Popup::Mix { row }) = &mut app.popup {
        *row = (*row + rows) % mixing::ROWS.len();
    }
}

fn give(app: &mut App, percent: i32) {
    let Some(row) = row(app) else { return };
    let shares = mixing::shares(&app.doc.mask);
    let share = shares[row].saturating_add_signed(percent);
    take(app, mixing::with_share(shares, row, share));
}

/// Gives an operation its share of the mix, in percent.
pub fn set_share(app: &mut App, row: usize, percent: u32) {
    app.popup = Some(Popup::Mix { row });
    let shares = mixing::shares(&app.doc.mask);
    take(app, mixing::with_share(shares, row, percent));
}

fn take(app: &mut App, shares: mixing::Shares) {
    app.history.touches(MaskSettings::mix);
    mixing::apply(&mut app.doc.mask, shares);
}

fn bert(app: &mut App) {
    if row(app).is_none() {
        return;
    }
    let mask_row = app.model.as_ref().is_some_and(|m| m.has_mask_row);
    let mut shares = mixing::Shares::default();
    // Without a trained [MASK] row, what the setting `with` says takes its place.
    shares[if mask_row { 2 } else { 0 }] = 80;
    (shares[3], shares[mixing::ROWS.len() - 1]) = (10, 10);
    take(app, shares);
}
