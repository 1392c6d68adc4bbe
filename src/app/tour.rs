//! The tour: a handful of steps, each pointing at a real pane. Plain data.

use crate::app::state::Pane;

/// One stop.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// The pane it points at.
    pub pane: Pane,
    pub title: &'static str,
    pub text: &'static str,
}

/// The stops in order.
pub const STOPS: &[Stop] = &[
    Stop {
        pane: Pane::Text,
        title: "A text",
        text: "Press i and type: the model reads along on every keystroke. Esc leaves the text, u undoes anything.",
    },
    Stop {
        pane: Pane::Tokens,
        title: "Its tokens",
        text: "What the model really reads. The brighter a box, the more the token surprised it; the mark \
               below says what the mask does to it. ← → walk, space pins a token so that it is never masked.",
    },
    Stop {
        pane: Pane::Map,
        title: "Attention",
        text: "Rows are queries, columns the keys they read; the future is hatched. l and h change layer and head, \
               o shows all heads, m switches masked run, baseline and difference.",
    },
    Stop {
        pane: Pane::Mask,
        title: "Two sliders",
        text: "A token is masked when its score exceeds τ and its draw falls below p. Arrows or the mouse \
               move them, [ ] and , . from anywhere; type a number and Enter. r re-rolls the draws.",
    },
    Stop {
        pane: Pane::Plane,
        title: "One rate, two ways",
        text: "Along a curve the rate (1−τ)·p is the same: few sure candidates on one end, many unlikely ones \
               on the other. Drag the point.",
    },
    Stop {
        pane: Pane::Effect,
        title: "What it did",
        text: "The next token before and after, and how far apart they are (KL). e compares all operations, R \
               re-rolls many seeds and gives mean and spread.",
    },
    Stop {
        pane: Pane::Why,
        title: "Why this token",
        text: "Score against τ, draw against p: the rule for the token under the cursor, with its numbers. Try it: \
               type Hello World alone and press a: the article's 0.9 is above every attention there is, so nothing is \
               selected, and the line below says why.",
    },
    Stop {
        pane: Pane::Window,
        title: "Only the past",
        text: "b decides block by block, from the past only: each line is a boundary, each mark a token kept, masked or \
               gone. A lists cache policies (H2O, SnapKV, …), k measures what a mask gives away.",
    },
    Stop {
        pane: Pane::Cost,
        title: "Is attention honest?",
        text: "f measures what hiding each token really costs and how well each score predicted it. \
               That was the tour: ? lists every key, ^P finds any command.",
    },
];
