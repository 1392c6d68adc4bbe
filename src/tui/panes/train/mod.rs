//! The panes of the Train screen, one file each. Pure; nothing here changes the state.

pub mod batch;
pub mod charts;
pub mod form;
pub mod log;
pub mod plan;
pub mod plot;
pub mod raster;
pub mod runs;
pub mod twins;

use ratatui::layout::Rect;

use crate::app::state::App;
use crate::app::train::update::course::RUN;
use crate::tui::canvas::Canvas;
use crate::tui::theme::Role;

/// What an empty pane says: what will stand here, and the key that brings it.
pub fn empty(c: &mut Canvas, app: &App, area: Rect, what: &str) {
    let key = app.key_label(&RUN);
    let text = match app.train.state() {
        None => format!("{what}\n{key} plans a run"),
        Some(state) if state.is_over() => format!("{what}\nThis run has not reported any"),
        Some(_) => format!("{what}\nNothing has come yet"),
    };
    let style = c.style(Role::Dim);
    let area = Rect { y: area.y + area.height / 4, height: area.height - area.height / 4, ..area };
    c.paragraph(area, &text, style);
}

/// `1:02:03`, `4:05`, `12 s`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02}", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02}", s / 3600, s % 3600 / 60, s % 60),
    }
}

/// Bytes in binary units.
pub fn bytes(n: f64) -> String {
    let mib = n / f64::from(1 << 20);
    if mib < 10.0 {
        format!("{mib:.1} MiB")
    } else if mib < 10_000.0 {
        format!("{mib:.0} MiB")
    } else {
        format!("{:.1} GiB", mib / 1024.0)
    }
}

/// A number of unknown size in at most seven columns.
pub fn short(x: f64) -> String {
    let a = x.abs();
    if !x.is_finite() {
        "–".to_owned()
    } else if a == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e5).contains(&a) {
        format!("{x:.1e}")
    } else if a >= 100.0 {
        format!("{x:.0}")
    } else if a >= 1.0 {
        format!("{x:.2}")
    } else {
        format!("{x:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_short() {
        assert_eq!([12.4, 245.0, 3723.0].map(duration), ["12 s", "4:05", "1:02:03"]);
        assert_eq!(duration(f64::NAN), "–");
        assert_eq!([3e6, 5e8, 5e10].map(bytes), ["2.9 MiB", "477 MiB", "46.6 GiB"]);
        assert_eq!(
            [0.0, 3e-4, 0.25, 4.126, 812.3, 2e6].map(short),
            ["0", "3.0e-4", "0.250", "4.13", "812", "2.0e6"]
        );
    }
}
