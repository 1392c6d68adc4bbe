//! The tour: a handful of stops, each about a real pane, in a strip of its own under the panes. Every key and every drag
//! works meanwhile; a stop asks for a few of them and passes on when they were done.

use std::time::Duration;

use ratatui::layout::Rect;

use crate::mask::types::{Op, State};
use crate::screen::actions::{Action, TOUR, actions};
use crate::screen::app::App;
use crate::screen::chrome::frames;
use crate::screen::document::Snapshot;
use crate::screen::explore::mask::settings;
use crate::screen::explore::text::wrap;
use crate::screen::explore::{
    background, cost, details, effect, map, mask, overview, plane, text, tokens, why, window,
};
use crate::screen::general;
use crate::screen::generate::{course, story};
use crate::screen::layout::Layout;
use crate::screen::pane::Pane;
use crate::screen::popups::{open, over};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// After everything was done, the tour goes on when nothing has been pressed for so long.
const REST: Duration = Duration::from_millis(2500);

/// Something that a stop asks for.
#[derive(Clone, Copy, Debug)]
pub struct TourTask {
    /// Each `{}` is the label of the next of `keys`.
    text: &'static str,
    keys: &'static [&'static Action],
    done: fn(&App, &StopStart) -> bool,
}

/// One stop.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// The pane it is about; it has the focus.
    pub pane: &'static Pane,
    pub title: &'static str,
    pub text: &'static str,
    pub keys: &'static [&'static Action],
    pub tasks: &'static [TourTask],
}

/// How things were when a stop began: what was done since is what differs.
#[derive(Clone, Debug)]
pub struct StopStart {
    doc: Snapshot,
    key: usize,
    effects: bool,
    costs: Option<u64>,
}

/// A tour in progress.
#[derive(Clone, Debug)]
pub struct Tour {
    pub step: usize,
    start: StopStart,
    /// When everything was done and something was pressed last.
    rested: Option<Duration>,
    /// The panes as they were: they are put back when the tour ends.
    panes: PanesBefore,
}

#[derive(Clone, Debug)]
struct PanesBefore {
    focus: &'static Pane,
    recent: Vec<&'static Pane>,
    enlarged: bool,
    overview: bool,
    effects: bool,
}

impl PanesBefore {
    fn of(app: &App) -> Self {
        let v = &app.view;
        PanesBefore {
            focus: v.focus,
            recent: v.recent.clone(),
            enlarged: v.enlarged,
            overview: v.overview,
            effects: v.effects,
        }
    }
}

/// The stops in order.
pub const STOPS: &[Stop] = &[
    Stop {
        pane: &text::PANE,
        title: "A text",
        text: "Type: the model runs again after every keystroke. {} makes letters keys again, {} writes again, {} undoes \
               anything.",
        keys: &[&text::LEAVE_TEXT, &text::EDIT_TEXT, &general::UNDO],
        tasks: &[TourTask {
            text: "type a word",
            keys: &[],
            done: |app, start| **app.doc.editor.text() != *start.doc.text,
        }],
    },
    Stop {
        pane: &tokens::PANE,
        title: "Its tokens",
        text: "What the model reads. The brighter a box and the higher the bar below it (▁▃▅█), the more the token \
               surprised the model. The mark: ◆ masked · ○ its score is high enough, its draw too high · · its score is \
               too low · ▪ protected, never masked.",
        keys: &[],
        tasks: &[
            TourTask {
                text: "{} {} or a click: another token",
                keys: &[&tokens::TOKEN_PREVIOUS, &tokens::TOKEN_NEXT],
                done: |app, start| app.view.key != start.key,
            },
            TourTask {
                text: "{}: pin it, so that it is never masked",
                keys: &[&tokens::PIN],
                done: |app, start| app.doc.mask.pinned != start.doc.mask.pinned,
            },
        ],
    },
    Stop {
        pane: &map::PANE,
        title: "Attention",
        text: "A row is a token that reads, a column the token that is read; the brighter, the more. The future is \
               hatched. {} shows all heads at once.",
        keys: &[&overview::OVERVIEW],
        tasks: &[
            TourTask {
                text: "{} or {}: another layer or head",
                keys: &[&overview::NEXT_LAYER, &overview::NEXT_HEAD],
                done: |app, start| app.doc.heads != start.doc.heads,
            },
            TourTask {
                text: "{}: without the mask, or the difference",
                keys: &[&map::MAP_KIND],
                done: |app, start| app.doc.map != start.doc.map,
            },
        ],
    },
    Stop {
        pane: &mask::PANE,
        title: "Two sliders",
        text: "A token is masked when its score exceeds τ and its draw falls below p. Arrows, the mouse or a typed number \
               change them; {} {} and {} {} do from anywhere.",
        keys: &[
            &settings::THRESHOLD_DOWN,
            &settings::THRESHOLD_UP,
            &settings::PROBABILITY_DOWN,
            &settings::PROBABILITY_UP,
        ],
        tasks: &[
            TourTask {
                text: "{} or drag the slider: another τ",
                keys: &[&settings::THRESHOLD_DOWN],
                done: |app, start| app.doc.mask.threshold != start.doc.mask.threshold,
            },
            TourTask {
                text: "{}: draw again",
                keys: &[&settings::REROLL],
                done: |app, start| app.doc.mask.seed != start.doc.mask.seed,
            },
        ],
    },
    Stop {
        pane: &plane::PANE,
        title: "One rate, two ways",
        text: "Along a curve the rate (1−τ)·p is the same: few sure candidates at one end, many unlikely ones at the \
               other.",
        keys: &[],
        tasks: &[TourTask {
            text: "drag the point, or move it with the arrows",
            keys: &[],
            done: |app, start| {
                let at = |m: &crate::mask::types::MaskSettings| (m.threshold, m.probability);
                at(&app.doc.mask) != at(&start.doc.mask)
            },
        }],
    },
    Stop {
        pane: &effect::PANE,
        title: "What it did",
        text: "The next token without and with the mask; the longer a bar, the more probable. KL says how far apart the \
               two are. {} draws many seeds and gives mean and spread.",
        keys: &[&background::REROLLS],
        tasks: &[TourTask {
            text: "{}: all operations side by side",
            keys: &[&details::EFFECTS],
            done: |app, start| app.view.effects != start.effects,
        }],
    },
    Stop {
        pane: &why::PANE,
        title: "Why this token",
        text: "Score against τ, draw against p, each with its numbers. The article's threshold of 0.9 is above every \
               attention there is, so nothing is selected under it, and the line at the bottom says so.",
        keys: &[],
        tasks: &[TourTask {
            text: "{}: the article's settings, and back",
            keys: &[&settings::PRESET],
            done: |app, start| app.doc.mask != start.doc.mask,
        }],
    },
    Stop {
        pane: &window::PANE,
        title: "Only the past",
        text: "Each line is a boundary, each mark a token that is kept, masked or gone. {} lists cache policies (H2O, \
               SnapKV, …), {} measures how much a mask reveals.",
        keys: &[&settings::PRESETS, &background::LEAK],
        tasks: &[TourTask {
            text: "{}: decide block by block, from the past only",
            keys: &[&settings::SCOPE],
            done: |app, start| app.doc.mask.scope != start.doc.mask.scope,
        }],
    },
    Stop {
        pane: &story::PANE,
        title: "Writing on",
        text: "The model continues your text: on the left without the mask, on the right with it. Both use the same random \
               draws, so they part only where the mask matters. {} strikes out a token, and what followed is written again.",
        keys: &[&story::STRIKE],
        tasks: &[TourTask {
            text: "{}: let it write",
            keys: &[&course::WRITE],
            done: |app, _| app.generate.written() > 0,
        }],
    },
    Stop {
        pane: &cost::PANE,
        title: "Does attention predict importance?",
        text: "What hiding each token really costs, and how well each score predicted it. That was the tour: {} explains \
               the marks and lists every key, {} finds any command, {} explains what is under the cursor.",
        keys: &[&general::HELP, &general::PALETTE, &general::EXPLAIN],
        tasks: &[TourTask {
            text: "{}: measure it",
            keys: &[&background::COST],
            done: |app, start| {
                app.results
                    .costs
                    .as_ref()
                    .is_some_and(|c| Some(c.generation) != start.costs || c.value.done > 0)
            },
        }],
    },
];

actions! {
    TOUR {
        /// Next stop of the tour; after the last it ends
        TOUR_NEXT ["enter" "pagedown"] "next stop" => next;
        /// Previous stop of the tour
        TOUR_BACK ["pageup"] "back" => |app| turn(app, -1);
        /// Leave the tour; in the text, make letters keys again first
        TOUR_LEAVE ["esc"] "leave the tour" => |app| {
            if app.view.focus == &text::PANE { (text::LEAVE_TEXT.run)(app) } else { end(app) }
        };
    }
}

/// Begins the tour.
pub fn start(app: &mut App) {
    app.popup = None;
    end(app);
    go_to(app, 0, PanesBefore::of(app));
}

/// Ends it, and puts the panes back.
pub fn end(app: &mut App) {
    let Some(tour) = app.tour.take() else { return };
    let PanesBefore { focus, recent, enlarged, overview, effects } = tour.panes;
    app.focus(focus);
    let v = &mut app.view;
    (v.recent, v.enlarged, v.overview, v.effects) = (recent, enlarged, overview, effects);
}

fn go_to(app: &mut App, step: usize, panes: PanesBefore) {
    app.view.enlarged = false;
    app.view.overview = false;
    app.focus(STOPS[step].pane);
    let start = StopStart {
        doc: app.doc.snapshot(),
        key: app.view.key,
        effects: app.view.effects,
        costs: app.results.costs.as_ref().map(|c| c.generation),
    };
    app.tour = Some(Tour { step, start, rested: None, panes });
}

fn turn(app: &mut App, by: isize) {
    let Some(tour) = &app.tour else { return };
    let step = tour.step.saturating_add_signed(by).min(STOPS.len() - 1);
    let panes = tour.panes.clone();
    if step != tour.step {
        go_to(app, step, panes);
    }
}

fn next(app: &mut App) {
    match &app.tour {
        Some(tour) if tour.step + 1 >= STOPS.len() => end(app),
        _ => turn(app, 1),
    }
}

/// Goes on when everything was done and the person has paused; `pressed` says whether this is about something done.
pub fn follow(app: &mut App, pressed: bool) {
    let Some(tour) = &app.tour else { return };
    let last = tour.step + 1 >= STOPS.len();
    let all = STOPS[tour.step].tasks.iter().all(|task| (task.done)(app, &tour.start));
    let rested = match tour.rested {
        _ if !all || last => None,
        Some(since) if !pressed => Some(since),
        _ => Some(app.now),
    };
    if let Some(tour) = &mut app.tour {
        tour.rested = rested;
    }
    if rested.is_some_and(|since| app.now.saturating_sub(since) >= REST) {
        turn(app, 1);
    }
}

/// When the tour goes on by itself, if nothing is pressed.
pub fn wake(app: &App) -> Option<Duration> {
    let since = app.tour.as_ref()?.rested?;
    Some((since + REST).saturating_sub(app.now))
}

/// Lines that the strip needs on a screen so wide.
pub fn height(app: &App, width: u16) -> u16 {
    let Some(tour) = &app.tour else { return 0 };
    let stop = &STOPS[tour.step];
    let columns = width.saturating_sub(4) as usize;
    let text = wrap::rows(&filled(app, stop.text, stop.keys), columns).len();
    let tasks = wrap::rows(&tasks(app, tour), columns).len();
    (text + tasks + 3) as u16
}

/// A text with the keys as they are bound now.
fn filled(app: &App, text: &str, keys: &[&'static Action]) -> String {
    let mut out = String::new();
    let mut keys = keys.iter();
    for (i, part) in text.split("{}").enumerate() {
        if i > 0 {
            out.push_str(&keys.next().map_or_else(String::new, |key| app.key_label(key)));
        }
        out.push_str(part);
    }
    if !app.look.ascii {
        return out;
    }
    // The marks as this terminal shows them.
    let theme = crate::screen::widgets::theme::Theme::new(app.look);
    out.replace('◆', theme.state_glyph(State::Masked, Some(Op::Replace)))
        .replace('○', theme.state_glyph(State::Draw, None))
        .replace(" · · ", " . . ")
        .replace('▪', theme.state_glyph(State::Protected, None))
        .replace("▁▃▅█", "0 to 7")
}

/// What the stop asks for, each with whether it was done.
fn tasks(app: &App, tour: &Tour) -> String {
    let (done, open) = if app.look.ascii { ("[x]", "[ ]") } else { ("✓", "☐") };
    let task = |task: &TourTask| {
        let mark = if (task.done)(app, &tour.start) { done } else { open };
        format!("{mark} {}", filled(app, task.text, task.keys))
    };
    STOPS[tour.step].tasks.iter().map(task).collect::<Vec<_>>().join("   ")
}

/// Draws the stop in its strip, and a mark around its pane.
pub fn draw(c: &mut Canvas, app: &App, layout: &Layout) {
    let (Some(tour), Some(area)) = (&app.tour, layout.tour) else { return };
    let stop = &STOPS[tour.step];
    if let Some(panel) = layout.panel(stop.pane) {
        let style = c.theme.bold(Role::Masked);
        frames::highlight(c, layout, panel.outer, style);
    }
    let inner = open(c, area, stop.title, &format!("stop {} of {}", tour.step + 1, STOPS.len()));
    let base = c.theme.popup();
    let (text, accent) = (over(base, c.style(Role::Text)), over(base, c.theme.bold(Role::Accent)));
    let used = c.paragraph(inner, &filled(app, stop.text, stop.keys), text);
    let rest = Rect { y: inner.y + used, height: inner.height.saturating_sub(used + 1), ..inner };
    c.paragraph(rest, &tasks(app, tour), accent);
    let (key, dim) = (over(base, c.theme.bold(Role::Accent)), over(base, c.style(Role::Dim)));
    let label = |action: &Action| app.key_label(action);
    let last = tour.step + 1 >= STOPS.len();
    let (next, back, leave) = (label(&TOUR_NEXT), label(&TOUR_BACK), label(&TOUR_LEAVE));
    let goes_on = if tour.rested.is_some() { "done: going on …   " } else { "" };
    let pieces = [
        (goes_on, key),
        (next.as_str(), key),
        (if last { " done   " } else { " next   " }, dim),
        (&back, key),
        (" back   ", dim),
        (&leave, key),
        (" leave", dim),
    ];
    c.spans(inner.x, inner.bottom().saturating_sub(1), &pieces, inner.right());
}

#[cfg(test)]
#[path = "tour_tests.rs"]
mod tests;
