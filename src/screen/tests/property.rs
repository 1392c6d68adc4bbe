//! Any size, any look, any actions: nothing panics and nothing unsafe reaches a cell.

use proptest::prelude::*;

use crate::engine::types::{LoadProgress, ModelInfo, Update};
use crate::mask::types::MaskSettings;
use crate::screen::actions::{self, Action};
use crate::screen::explore::mask::settings;
use crate::screen::explore::{map, overview, text as text_pane};
use crate::screen::general::QUIT;
use crate::screen::mouse::Mouse;
use crate::screen::options::{Depth, Look, Options};
use crate::screen::pane::{self, Pane};
use crate::screen::popups::list;
use crate::screen::testing::{Stage, options};
use crate::screen::tests::{picture, text};
use crate::screen::view::ColourScale;

/// Something a person may do.
#[derive(Clone, Debug)]
enum Deed {
    Do(&'static Action),
    Type(char),
    Paste(String),
    Focus(&'static Pane),
    Slide(f64),
    Point(f64, f64),
    Crosshair(usize, usize),
    Caret(usize),
    Pan(i64, i64),
    Head(usize, bool),
    Entry(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let stay: Vec<_> = actions::all().filter(|a| *a != &QUIT).collect();
    prop_oneof![
        8 => (0..stay.len()).prop_map(move |i| Deed::Do(stay[i])),
        2 => any::<char>().prop_filter("typed", |c| !c.is_control()).prop_map(Deed::Type),
        1 => "\\PC{0,40}".prop_map(Deed::Paste),
        2 => (0..pane::all().count()).prop_map(|i| Deed::Focus(pane::all().nth(i).unwrap())),
        1 => any::<f64>().prop_map(Deed::Slide),
        1 => (any::<f64>(), any::<f64>()).prop_map(|(tau, p)| Deed::Point(tau, p)),
        1 => (0usize..300, 0usize..300).prop_map(|(query, key)| Deed::Crosshair(query, key)),
        1 => (0usize..300).prop_map(Deed::Caret),
        1 => (-300i64..300, -300i64..300).prop_map(|(queries, keys)| Deed::Pan(queries, keys)),
        1 => (0usize..40, any::<bool>()).prop_map(|(place, open)| Deed::Head(place, open)),
        1 => (0usize..40).prop_map(Deed::Entry),
    ]
}

fn perform(stage: &mut Stage, deed: Deed) {
    stage.act(|app| match deed {
        Deed::Do(action) => (action.run)(app),
        Deed::Type(c) => app.type_char(c),
        Deed::Paste(text) => app.paste(&text),
        Deed::Focus(pane) => app.focus(pane),
        Deed::Slide(at) => settings::set_fraction(app, MaskSettings::threshold, at),
        Deed::Point(tau, p) => settings::set_point(app, tau, p),
        Deed::Crosshair(query, key) => map::crosshair(app, query, key),
        Deed::Caret(offset) => text_pane::place(app, offset, true),
        Deed::Pan(queries, keys) => map::pan(app, queries, keys),
        Deed::Head(place, open) => overview::choose(app, place, open),
        Deed::Entry(index) => list::take_entry(app, index),
    });
}

fn looks() -> impl Strategy<Value = Look> {
    (any::<bool>(), 0..Depth::ALL.len(), any::<bool>()).prop_map(|(dark, depth, ascii)| Look {
        dark,
        depth: Depth::ALL[depth],
        ascii,
    })
}

fn is_safe(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(
        look in looks(),
        sizes in proptest::collection::vec((1u16..=200, 1u16..=60), 1..4),
        deeds in proptest::collection::vec(deed(), 0..40),
        start in "\\PC{0,200}",
        clicks in proptest::collection::vec((0u16..200, 0u16..60), 0..6),
    ) {
        use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
        let mut stage = Stage::with(Options { look, text: start, ..options() });
        let mut mouse = Mouse::default();
        for (i, (w, h)) in sizes.iter().enumerate() {
            picture(&mut stage, *w, *h);
            for deed in deeds.iter().skip(i * 7) {
                perform(&mut stage, deed.clone());
            }
            stage.answering = i % 2 == 0;
            for (x, y) in &clicks {
                for kind in [MouseEventKind::Down(MouseButton::Left), MouseEventKind::Drag(MouseButton::Left), MouseEventKind::ScrollDown] {
                    let event = MouseEvent { kind, column: *x, row: *y, modifiers: KeyModifiers::NONE };
                    stage.mouse(&mut mouse, event);
                }
            }
            let buf = picture(&mut stage, *w, *h);
            for cell in &buf.content {
                prop_assert!(cell.symbol().chars().all(is_safe), "{:?}", cell.symbol());
                prop_assert!(!look.ascii || cell.symbol().is_ascii(), "{:?}", cell.symbol());
            }
            prop_assert!(stage.app.wake().is_none_or(|t| t <= crate::screen::app::OFFER));
        }
    }
}

#[test]
fn hostile_text_from_everywhere_is_made_visible() {
    let evil = "\x1b[2J\x1b]0;owned\x07\u{202e}\u{9b}31m\r\u{0}\u{200f}";
    let mut stage =
        Stage::with(Options { text: format!("a {evil} b"), wanted: Some(evil.into()), ..options() });
    stage.update(Update::ModelReady(ModelInfo {
        id: evil.into(),
        dtype: evil.into(),
        ..crate::screen::testing::model("x", 2, 2)
    }));
    let generation = stage.app.generation;
    stage.app.results.scores.as_mut().unwrap().value.formula = evil.to_owned();
    stage.app.results.decided.as_mut().unwrap().value.note = Some(evil.to_owned());
    for keys in ["", "M", "esc ctrl-p", "esc s", "esc tab", "f", "e", "o", "i", "esc z"] {
        stage.press(keys);
        for (w, h) in [(160, 50), (80, 24)] {
            let all = text(&picture(&mut stage, w, h));
            assert!(all.chars().all(|c| c == '\n' || is_safe(c)), "{keys}");
        }
    }
    stage.update(Update::ModelLoading(LoadProgress {
        id: evil.into(),
        what: evil.into(),
        done: 1,
        total: None,
        rate: None,
        file: None,
    }));
    stage.update(Update::Crashed { message: evil.into() });
    stage.update(Update::Failed { generation, message: evil.into(), hint: Some(evil.into()) });
    let all = text(&picture(&mut stage, 160, 50));
    assert!(all.chars().all(|c| c == '\n' || is_safe(c)));
    assert!(all.contains('␛'));
}

#[test]
fn one_strong_cell_among_a_million_is_seen() {
    use crate::engine::types::{HeadChoice, MapFrame, MapKind};
    let mut stage = Stage::with(Options { text: "word ".repeat(1023), ..options() });
    stage.focus(&map::PANE);
    let n = stage.app.results.len();
    assert!(n > 1000);
    let brightest = |stage: &mut Stage, q: usize, k: usize| {
        let mut values = vec![1e-4f32; n * n];
        values[q * n + k] = 0.9;
        let frame =
            MapFrame { kind: MapKind::Masked, heads: HeadChoice::default(), len: n, values: values.into() };
        let generation = stage.app.generation;
        stage.update(Update::Map { generation, frame });
        stage.app.view.colours = ColourScale::Linear;
        // Away from the cells in question: the crosshair brightens its row and column.
        stage.app.view.query = 600;
        stage.app.view.key = 600;
        let buf = picture(stage, 80, 24);
        let hot = crate::screen::widgets::colours::ramps(true).heat[255];
        let hot = ratatui::style::Color::Rgb(hot.0, hot.1, hot.2);
        buf.content.iter().filter(|c| c.fg == hot || c.bg == hot).count()
    };
    // The colour bar shows it once; the map must as well.
    for (q, k) in [(1000, 17), (517, 400), (800, 799), (1001, 0)] {
        assert!(brightest(&mut stage, q, k) >= 1, "{q} {k}");
    }
}

#[test]
fn a_move_of_the_threshold_shows_and_moving_back_restores_the_picture() {
    let mut stage = Stage::new();
    let before = picture(&mut stage, 160, 50);
    stage.press("[ [ [ [ [ [ [ [");
    let moved = picture(&mut stage, 160, 50);
    assert_ne!(before, moved);
    stage.press("] ] ] ] ] ] ] ]");
    stage.app.notice = None;
    let back = picture(&mut stage, 160, 50);
    // Undo has appeared in the hints; everything else is as it was.
    let rows = 160 * 49;
    assert_eq!(before.content[..rows], back.content[..rows]);
}
