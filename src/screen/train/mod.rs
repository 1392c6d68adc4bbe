//! The Train screen: one file or folder for each pane, and where they are. Everything asked of a run goes out as a
//! [`Request`](crate::screen::app::Request).

pub mod batch;
pub mod charts;
pub mod circuit;
pub mod empty;
pub mod feed;
pub mod log;
pub mod metrics;
pub mod news;
pub mod past;
pub mod raster;
pub mod run;
pub mod runs;
pub mod series;
pub mod setup;
pub mod state;
pub mod strip;
pub mod twins;

pub use setup::{RunForm, RunRequest, RunSettings};
pub use state::{RunView, TrainState};

use ratatui::layout::Rect;

use crate::screen::layout::{Builder, SizeClass};
use crate::screen::pane::Pane;

/// The panes, in the order in which the focus goes round.
pub static PANES: &[&Pane] = &[
    &setup::PANE,
    &run::PANE,
    &charts::LOSS,
    &charts::RATES,
    &charts::SPEED,
    &metrics::PANE,
    &twins::PANE,
    &raster::PANE,
    &batch::PANE,
    &circuit::PANE,
    &log::SAMPLES,
    &log::LOG,
    &runs::PANE,
];

/// Where the panes are in the body of the screen: settings and controls of a run at the left, its reports beside them.
pub fn arrange(build: &mut Builder, class: SizeClass, body: Rect) {
    if class == SizeClass::Small {
        let side = 36.min(body.width / 2);
        let left = Rect { width: body.width - side - 2, ..body };
        build.add(
            &[
                &charts::LOSS,
                &charts::RATES,
                &charts::SPEED,
                &metrics::PANE,
                &twins::PANE,
                &raster::PANE,
                &batch::PANE,
                &circuit::PANE,
                &log::SAMPLES,
                &log::LOG,
            ],
            left,
        );
        build.add(
            &[&setup::PANE, &run::PANE, &runs::PANE],
            Rect { x: body.right() - side, width: side, ..body },
        );
        return;
    }
    let side = if class == SizeClass::Wide { 46 } else { 42 };
    let left = Rect { width: side, ..body };
    let setup_lines = (body.height / 2).max(14);
    build.column(left, &[(&[&setup::PANE, &runs::PANE], setup_lines), (&[&run::PANE], 0)]);
    let rest = Rect { x: left.right(), width: body.width - side, ..body };
    if class == SizeClass::Medium {
        build.column(
            rest,
            &[
                (
                    &[&charts::LOSS, &charts::RATES, &charts::SPEED, &metrics::PANE, &twins::PANE],
                    rest.height / 2,
                ),
                (&[&raster::PANE, &batch::PANE, &circuit::PANE, &log::SAMPLES, &log::LOG], 0),
            ],
        );
        return;
    }
    let middle = Rect { width: rest.width * 11 / 20, ..rest };
    let feeds = Rect { x: middle.right(), width: rest.width - middle.width, ..rest };
    build.column(
        middle,
        &[
            (&[&charts::LOSS, &twins::PANE], middle.height * 9 / 20),
            (&[&charts::RATES, &charts::SPEED, &metrics::PANE], 0),
        ],
    );
    build.column(
        feeds,
        &[
            (&[&raster::PANE, &batch::PANE, &circuit::PANE], feeds.height * 11 / 20),
            (&[&log::LOG, &log::SAMPLES], 0),
        ],
    );
}

#[cfg(test)]
mod circuit_tests;
#[cfg(test)]
mod runs_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod twins_tests;
