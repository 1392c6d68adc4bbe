//! The explorer: one file or folder for each pane, and where they stand.

pub mod background;
pub mod cost;
pub mod details;
pub mod effect;
pub mod explain;
pub mod interventions;
pub mod map;
pub mod mask;
pub mod overview;
pub mod plane;
pub mod scores;
pub mod text;
pub mod tokens;
pub mod why;
pub mod window;

use ratatui::layout::Rect;

use crate::screen::layout::{Builder, SizeClass};
use crate::screen::pane::Pane;

/// The panes, in the order in which the focus goes round.
pub static PANES: &[&Pane] = &[
    &mask::PANE,
    &scores::PANE,
    &plane::PANE,
    &text::PANE,
    &tokens::PANE,
    &map::PANE,
    &effect::PANE,
    &why::PANE,
    &window::PANE,
    &cost::PANE,
    &interventions::PANE,
];

/// Panes that explain, side by side where there is room and behind each other where there is not.
const DETAILS: &[&Pane] = &[&why::PANE, &window::PANE, &cost::PANE, &interventions::PANE];
const ALL_BUT_MASK: &[&Pane] = &[
    &effect::PANE,
    &why::PANE,
    &scores::PANE,
    &plane::PANE,
    &window::PANE,
    &cost::PANE,
    &interventions::PANE,
];
const ALL: &[&Pane] = &[
    &mask::PANE,
    &effect::PANE,
    &why::PANE,
    &scores::PANE,
    &plane::PANE,
    &window::PANE,
    &cost::PANE,
    &interventions::PANE,
];

/// The same in two groups, where both fit only just.
const SLIDERS: &[&Pane] = &[&mask::PANE, &scores::PANE, &plane::PANE];
const PREDICTED: &[&Pane] = &[&effect::PANE, &why::PANE, &window::PANE, &cost::PANE, &interventions::PANE];

/// Where the panes stand in the body of the screen.
pub fn arrange(build: &mut Builder, class: SizeClass, body: Rect) {
    match class {
        SizeClass::Wide => wide(build, body),
        SizeClass::Medium => medium(build, body),
        SizeClass::Small | SizeClass::Tiny => small(build, body),
    }
}

/// Text and tokens over the full width; returns what is left below.
fn top(build: &mut Builder, body: Rect, text_lines: u16, token_lines: u16) -> Rect {
    build.add(&[&text::PANE], Rect { height: text_lines, ..body });
    build.add(&[&tokens::PANE], Rect { y: body.y + text_lines, height: token_lines, ..body });
    let used = text_lines + token_lines;
    Rect { y: body.y + used, height: body.height - used, ..body }
}

fn wide(build: &mut Builder, body: Rect) {
    let rest = top(build, body, 5, if body.height >= 44 { 6 } else { 4 });
    let (middle, right) = (40, 43);
    let map_columns = rest.width - middle - right;
    build.add(&[&map::PANE], Rect { width: map_columns, ..rest });
    let middle = Rect { x: rest.x + map_columns, width: middle, ..rest };
    let right = Rect { x: middle.right(), width: right, ..rest };
    if rest.height >= 30 {
        build.column(middle, &[(&[&effect::PANE], 20), (DETAILS, 0)]);
    } else {
        build.add(PREDICTED, middle);
    }
    if rest.height >= 34 {
        let scores_lines = 7 + (rest.height - 34) / 4;
        build.column(right, &[(&[&mask::PANE], 20), (&[&scores::PANE], scores_lines), (&[&plane::PANE], 0)]);
    } else {
        build.column(right, &[(&[&mask::PANE], rest.height - 11), (&[&scores::PANE, &plane::PANE], 0)]);
    }
}

fn medium(build: &mut Builder, body: Rect) {
    let rest = top(build, body, if body.height >= 34 { 5 } else { 4 }, if body.height >= 30 { 6 } else { 4 });
    let side = 44;
    build.add(&[&map::PANE], Rect { width: rest.width - side, ..rest });
    let right = Rect { x: rest.right() - side, width: side, ..rest };
    if rest.height >= 23 {
        let mask_lines = (rest.height - 14).min(20);
        build.column(right, &[(&[&mask::PANE], mask_lines), (ALL_BUT_MASK, 0)]);
    } else {
        build.add(ALL, right);
    }
}

fn small(build: &mut Builder, body: Rect) {
    let roomy = body.height >= 20;
    let rest = top(build, body, if roomy { 3 } else { 2 }, if roomy { 5 } else { 3 });
    let side = 36;
    let map_columns = rest.width.saturating_sub(side + 2);
    let right = Rect { x: rest.right() - side, width: side, ..rest };
    if map_columns >= 24 && rest.height >= 13 {
        // The sliders and what is predicted are in sight together.
        build.add(&[&map::PANE], Rect { width: map_columns, ..rest });
        build.column(right, &[(SLIDERS, 5), (PREDICTED, 0)]);
    } else if map_columns >= 24 {
        build.add(&[&map::PANE], Rect { width: map_columns, ..rest });
        build.add(ALL, right);
    } else {
        build.add(&[&[&map::PANE], ALL].concat(), rest);
    }
}
