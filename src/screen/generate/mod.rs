//! The Generate screen: the model writes on from the explorer's text, with and without the mask, side by side; one file for
//! each pane, and where they stand. Everything asked of the engine goes out as a
//! [`Request`](crate::screen::app::Request).

pub mod candidates;
pub mod course;
pub mod news;
pub mod reads;
pub mod sampling;
pub mod state;
pub mod story;
pub mod timeline;
pub mod turn;

pub use state::GenerateState;

use ratatui::layout::Rect;

use crate::screen::layout::{Builder, SizeClass};
use crate::screen::pane::Pane;

/// The panes, in the order in which the focus goes round.
pub static PANES: &[&Pane] =
    &[&story::PANE, &candidates::PANE, &reads::PANE, &timeline::PANE, &sampling::PANE, &turn::PANE];

/// Columns of the panes beside the text.
const SIDE: u16 = 42;
/// Lines of the turn that a person types.
const TURN: u16 = 4;

/// Where the panes stand in the body of the screen: the text at the left with the turn below it, what is known of the token
/// under the cursor beside it.
pub fn arrange(build: &mut Builder, class: SizeClass, body: Rect) {
    if class == SizeClass::Small {
        let side = 36.min(body.width / 2);
        let left = Rect { width: body.width - side - 2, ..body };
        let right = Rect { x: body.right() - side, width: side, ..body };
        let above = (body.height / 2).max(6);
        build.add(&[&story::PANE], left);
        build.column(
            right,
            &[
                (&[&candidates::PANE, &reads::PANE], above),
                (&[&timeline::PANE, &sampling::PANE, &turn::PANE], 0),
            ],
        );
        return;
    }
    let sides = if class == SizeClass::Wide { 2 } else { 1 };
    let left = Rect { width: body.width - sides * SIDE, ..body };
    build.column(left, &[(&[&story::PANE], left.height - TURN), (&[&turn::PANE], 0)]);
    let first = Rect { x: left.right(), width: SIDE, ..body };
    if sides == 1 {
        build.column(
            first,
            &[
                (&[&candidates::PANE, &reads::PANE], first.height / 2),
                (&[&timeline::PANE, &sampling::PANE], 0),
            ],
        );
        return;
    }
    let second = Rect { x: first.right(), ..first };
    build.column(first, &[(&[&candidates::PANE], first.height / 2), (&[&reads::PANE], 0)]);
    build.column(second, &[(&[&timeline::PANE], 14), (&[&sampling::PANE], 0)]);
}

#[cfg(test)]
pub(crate) mod tests;
