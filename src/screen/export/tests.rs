//! The dialog as a person uses it, files read back, and hostile text that stays text.

use std::collections::BTreeMap;

use super::*;
use crate::config::ColourScale;
use crate::engine::types::{HeadChoice, MapFrame, MapKind, Update};
use crate::screen::Look;
use crate::screen::export::figure::MapFigure;
use crate::screen::export::numbers::{ColumnValues, NumberColumn};
use crate::screen::export::part::ExportForm;
use crate::screen::testing::Stage;
use crate::screen::tests::{picture, text};
use crate::screen::widgets::colours::step;
use crate::screen::widgets::theme::Theme;

const HASH: &str = "00112233445566778899aabbccddeeff";

/// What the stage was last asked to write.
fn parcel(stage: &Stage) -> Option<Parcel> {
    let emitted = stage.port.emitted.borrow();
    emitted.iter().rev().find_map(|r| if let Request::Export(p) = r { Some((**p).clone()) } else { None })
}

fn copied(stage: &Stage) -> Option<String> {
    let emitted = stage.port.emitted.borrow();
    emitted.iter().rev().find_map(|r| if let Request::Copy(text) = r { Some(text.clone()) } else { None })
}

fn dialog(stage: &Stage) -> ExportDialog {
    match &stage.app.popup {
        Some(Popup::Export(dialog)) => dialog.clone(),
        other => panic!("no dialog but {other:?}"),
    }
}

/// A map over tokens that try to break out of a file.
fn hostile() -> PaneNumbers {
    let tokens = [
        "</script><script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "\u{202e}evil\u{0}",
        "=1+1",
        "漢",
    ];
    let n = tokens.len();
    let values: Vec<f32> = (0..n * n)
        .map(|i| match (i / n, i % n) {
            (q, k) if k > q => 0.0,
            (3, 1) => f32::NAN,
            (q, k) => 0.1 / (1.0 + q as f32) + 0.013 * k as f32,
        })
        .collect();
    let shown = tokens.iter().map(|t| crate::support::visible::visible(t).into_owned()).collect();
    PaneNumbers {
        part: ExportPart::Map,
        command: "maskscope export map --text=$'</script>'".to_owned(),
        facts: vec![("model", "demo <b>".into()), ("score", "α & β".into())],
        columns: vec![
            NumberColumn { name: "position", values: ColumnValues::Whole((0..5).map(Some).collect()) },
            NumberColumn { name: "token", values: ColumnValues::Text(shown) },
        ],
        map: Some(MapFrame {
            kind: MapKind::Masked,
            heads: HeadChoice::default(),
            len: n,
            values: values.into(),
        }),
    }
}

#[test]
fn the_dialog_says_what_and_saves_it() {
    let mut stage = Stage::new();
    stage.focus(&map::PANE).press("E");
    assert_eq!((dialog(&stage).part, dialog(&stage).form), (ExportPart::Map, ExportForm::Html));
    for size in [(80, 24), (160, 50)] {
        let seen = text(&picture(&mut stage, size.0, size.1));
        for part in ["what", "map", "form", "html", "maskscope-map.html", "Save", "Copy the command", "close"]
        {
            assert!(seen.contains(part), "{part} is missing in\n{seen}");
        }
    }
    stage.press("down right right");
    assert_eq!((dialog(&stage).form, dialog(&stage).file.as_str()), (ExportForm::Json, "maskscope-map.json"));
    stage.press("down ctrl-u").types("/tmp/q y.csv").press("enter");
    let written = parcel(&stage).unwrap();
    assert_eq!(written.path, PathBuf::from("/tmp/q y.csv"));
    assert!(!written.replace && dialog(&stage).told == "Writing…");
    assert_eq!(dialog(&stage).form, ExportForm::Csv, "the ending says the form");
    let path = written.path;
    stage.update(Update::Exported(ExportOutcome::Exists { path: path.clone() }));
    assert_eq!(dialog(&stage).told, "/tmp/q y.csv exists: save again to replace it");
    stage.press("enter");
    assert!(parcel(&stage).unwrap().replace);
    let message = "/tmp/q y.csv cannot be written: the disk is full".to_owned();
    stage.update(Update::Exported(ExportOutcome::Failed { path: path.clone(), message: message.clone() }));
    assert_eq!(dialog(&stage).told, message);
    stage.update(Update::Exported(ExportOutcome::Written { path, bytes: 1200 }));
    assert!(stage.app.popup.is_none());
    assert_eq!(stage.app.notice.as_ref().unwrap().text, "Saved /tmp/q y.csv (1.2 kB)");
}

#[test]
fn another_name_is_asked_about_again_and_letters_are_typed_only_into_the_name() {
    let mut stage = Stage::new();
    stage.press("E");
    stage.update(Update::Exported(ExportOutcome::Exists { path: "x".into() }));
    assert!(dialog(&stage).replace);
    stage.press("down down").types("y");
    assert!(!dialog(&stage).replace && dialog(&stage).file.ends_with(".jsony"));
    stage.press("up y");
    assert!(copied(&stage).unwrap().starts_with("maskscope export tokens --model=demo --text='The captain"));
    assert!(dialog(&stage).told.starts_with("Command copied"));
    stage.press("esc");
    assert!(stage.app.popup.is_none());
}

#[test]
fn the_command_of_a_pane_names_what_was_changed() {
    let mut stage = Stage::new();
    stage.press("] d l m").focus(&map::PANE).press("C");
    let line = copied(&stage).unwrap();
    for part in ["export map ", "--threshold=0.72", "--op=hide", "--layer=0", "--map=baseline", "--seed=1"] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    assert!(!line.contains("--probability"), "{line}");
}

#[test]
fn parts_that_are_not_there_say_what_to_do() {
    let mut stage = Stage::new();
    stage.press("E");
    for (part, says) in [(ExportPart::Heads, "press o"), (ExportPart::Window, "no rolling window")] {
        stage.act(|app| {
            let mut wanted = ExportDialog::new(part);
            wanted.replace = false;
            app.popup = Some(Popup::Export(wanted));
        });
        stage.press("enter");
        assert!(dialog(&stage).told.contains(says), "{}", dialog(&stage).told);
    }
    stage.press("down down ctrl-u enter");
    assert_eq!(dialog(&stage).told, "Type the name of a file");
}

#[test]
fn pictures_show_what_is_on_screen() {
    let mut stage = Stage::new();
    let seen = picture(&mut stage, 100, 30);
    let svg = frame::svg(&stage.app, seen.area).unwrap();
    let theme = Theme::new(Look::default());
    // Every cell's background is a rectangle of that colour that covers it.
    let mut painted = BTreeMap::new();
    for line in svg.lines().filter(|l| l.starts_with("<rect x=")) {
        let value = |name: &str| line.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
        let number = |name: &str| value(name).parse::<f64>().unwrap();
        if number("height") != 16.0 {
            continue;
        }
        let (x, y) = (number("x") / 8.0, number("y") / 16.0);
        for column in 0..(number("width") / 8.0) as usize {
            painted.insert((x as usize + column, y as usize), value("fill").to_owned());
        }
    }
    for y in 0..30u16 {
        for x in 0..100u16 {
            let cell = &seen[(x, y)];
            let reversed = cell.modifier.contains(ratatui::style::Modifier::REVERSED);
            let shown = if reversed { cell.fg } else { cell.bg };
            if let (ratatui::style::Color::Rgb(r, g, b), false) = (shown, cell.symbol() == "█") {
                assert_eq!(painted[&(x as usize, y as usize)], frame::hex((r, g, b)), "{x} {y}");
            }
        }
    }
    assert!(svg.contains(&frame::hex(theme.background())) && svg.contains("captain"));
    stage.focus(&map::PANE).press("E");
    stage.act(|app| app.popup = Some(Popup::Export(ExportDialog::new(ExportPart::Pane))));
    stage.press("enter");
    let part = String::from_utf8(parcel(&stage).unwrap().contents.bytes().unwrap()).unwrap();
    assert!(
        part.len() < svg.len() && part.contains("Attention"),
        "the pane with its frame, without the dialog"
    );
}

#[test]
fn a_figure_has_every_cell_in_its_colour() {
    let numbers = hostile();
    let figure = MapFigure::new(&numbers, ColourScale::Sqrt, true).unwrap();
    let svg = figure::svg(&figure);
    let mut painted = BTreeMap::new();
    let cells = svg.split("<g shape-rendering").nth(1).unwrap().split("</g>").next().unwrap();
    for line in cells.lines().filter(|l| l.starts_with("<rect")) {
        let value =
            |name: &str| line.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap();
        let number = |name: &str| value(name).parse::<f64>().unwrap();
        let cell = number("height");
        let at = |v: f64, origin: f64| ((v - origin) / cell).round() as usize;
        for i in 0..(number("width") / cell).round() as usize {
            painted.insert((at(number("y"), 16.0), at(number("x"), 130.0) + i), value("fill").to_owned());
        }
    }
    let frame = numbers.map.as_ref().unwrap();
    let theme = Theme::new(Look::default());
    for q in 0..5 {
        for k in 0..=q {
            let v = frame.values[q * 5 + k];
            let expected = if v.is_finite() {
                // The palette step by hand: the square root of the share of the scale's end.
                theme.ramps.heat[step((f64::from(v) / f64::from(figure.scale.max)).sqrt().min(1.0))]
            } else {
                theme.dropped()
            };
            assert_eq!(painted[&(q, k)], frame::hex(expected), "{q} {k}");
        }
    }
    assert_eq!(painted.len(), 15, "the future is not painted");
    for raw in ["<script", "<img", "<b>", "\u{202e}", "\u{0}"] {
        assert!(!svg.contains(raw), "{raw:?} is raw in the figure");
    }
}

#[test]
fn the_page_holds_the_exact_values_and_nothing_raw() {
    let numbers = hostile();
    let figure = MapFigure::new(&numbers, ColourScale::Linear, false).unwrap();
    let page = web::html(&figure).unwrap();
    assert_eq!(page.matches("<script").count(), 2, "the data and the program");
    assert_eq!(page.matches("</script>").count(), 2);
    for raw in ["<img", "<b>", "\u{202e}", "\u{0}", "http://", "https://", "src="] {
        let allowed = raw == "src=" && page.matches("src=").count() == page.matches("src=x onerror").count();
        assert!(!page.contains(raw) || allowed, "{raw:?} is in the page");
    }
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let frame = numbers.map.as_ref().unwrap();
    for q in 0..5 {
        for k in 0..5 {
            let (read, value) = (&data["numbers"]["values"][q][k], frame.values[q * 5 + k]);
            match read.as_f64() {
                Some(read) => assert_eq!((read as f32).to_bits(), value.to_bits()),
                None => assert!(value.is_nan() && read.is_null()),
            }
        }
    }
    assert_eq!(data["numbers"]["rows"][0]["token"], "</script><script>alert(1)</script>");
}

#[test]
fn tables_read_back_and_no_token_becomes_a_formula() {
    let numbers = hostile();
    let csv = write::csv(&numbers).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<Vec<String>> =
        reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
    assert_eq!(rows.len(), 15);
    let frame = numbers.map.as_ref().unwrap();
    for row in &rows {
        let (q, k): (usize, usize) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        let value = frame.values[q * 5 + k];
        assert_eq!(row[4].parse::<f32>().ok().map(f32::to_bits), value.is_finite().then(|| value.to_bits()));
    }
    assert!(rows.iter().any(|row| row[2] == "'=1+1") && !csv.contains(['\u{202e}', '\u{0}']));
    let bytes = write::safetensors(&numbers).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let values = tensors.tensor("values").unwrap();
    assert_eq!(values.shape(), [5, 5]);
    let read: Vec<u8> = frame.values.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(values.data(), read);
    assert_eq!(tensors.tensor("position").unwrap().shape(), [5]);
    assert!(serde_json::from_str::<serde_json::Value>(&write::json(&numbers).unwrap()).is_ok());
}

#[test]
fn a_file_that_exists_stays_until_it_may_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/map.csv");
    let contents = ParcelContents::Numbers {
        numbers: Box::new(hostile()),
        form: ExportForm::Csv,
        colours: ColourScale::Sqrt,
        dark: true,
    };
    let mut parcel = Parcel { path: path.clone(), replace: false, contents };
    assert!(matches!(parcel.write(), ExportOutcome::Written { bytes, .. } if bytes > 100));
    let command = std::fs::read_to_string(parcel::command_file(&path)).unwrap();
    assert_eq!(command, "maskscope export map --text=$'</script>'\n");
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(parcel.write(), ExportOutcome::Exists { path: path.clone() });
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    parcel.replace = true;
    assert!(matches!(parcel.write(), ExportOutcome::Written { .. }));
    parcel.path = folder.path().to_owned();
    let ExportOutcome::Failed { message, .. } = parcel.write() else { panic!("a folder is no file") };
    assert!(message.contains("cannot be written: it is a folder"), "{message}");
}

/// A session of the stage, saved through the dialog.
fn saved(stage: &mut Stage) -> SavedSession {
    stage.act(|app| app.popup = Some(Popup::Export(ExportDialog::new(ExportPart::Session))));
    stage.press("enter");
    assert_eq!(dialog(stage).told, "Reading the weights…");
    assert!(matches!(stage.port.commands.borrow().last(), Some(Command::Fingerprint)));
    stage.update(Update::Fingerprint { model: "demo".to_owned(), hash: Ok(HASH.to_owned()) });
    let written = String::from_utf8(parcel(stage).unwrap().contents.bytes().unwrap()).unwrap();
    stage.press("esc");
    SavedSession::read(&written).unwrap()
}

#[test]
fn a_session_comes_back_and_every_change_is_named() {
    let mut stage = Stage::new();
    stage.press("] r S").focus(&map::PANE).press("right space");
    let session = saved(&mut stage);
    assert_eq!(session.first_difference(&session), None);
    let now = subject(&stage.app);
    let settings = session.settings_over(&Settings::default()).unwrap();
    assert_eq!(settings.mask, now.settings.mask, "pins too");
    assert_eq!((settings.score, settings.rolling), (now.settings.score, now.settings.rolling));
    assert_eq!(saved(&mut stage), session, "saved twice, it is the same");

    let differs = |change: &dyn Fn(&mut SavedSession)| {
        let mut changed = session.clone();
        change(&mut changed);
        (changed.first_difference(&session), session.first_difference(&changed))
    };
    let (file, now) = differs(&|s| s.model.weights.replace_range(0..4, "beef"));
    assert!(file.unwrap().contains("the weights of demo differ") && now.unwrap().contains("weights"));
    let (file, _) = differs(&|s| drop(s.settings.insert("mask.seed".to_owned(), "77".to_owned())));
    assert_eq!(file.unwrap(), "mask.seed was changed after the session was saved: it is 77 now");
    let (file, _) = differs(&|s| drop(s.settings.remove("mask.threshold")));
    assert_eq!(file.unwrap(), "mask.threshold was taken out after the session was saved");
    let (file, _) = differs(&|s| s.text.ids[3] += 1);
    assert!(file.unwrap().starts_with("token 3 differs"));
    let (_, now) = differs(&|s| s.recorded.kl_nats = s.recorded.kl_nats.map(|x| x + 0.01));
    assert!(now.unwrap().starts_with("KL was"));
    let (_, now) = differs(&|s| s.recorded.map_squared = s.recorded.map_squared.map(|x| x * 1.001));
    assert!(now.unwrap().starts_with("the map"));
    let (_, now) = differs(&|s| s.recorded.loss = s.recorded.loss.map(|x| x + 1e-5));
    assert_eq!(now, None, "rounding is no difference");
}

#[test]
fn a_damaged_session_is_refused_with_a_reason() {
    let mut stage = Stage::new();
    let session = saved(&mut stage);
    let written = session.written().unwrap();
    for (from, to, says) in [
        ("version = 1", "version = 9", "its version is 9"),
        ("[model]", "[modle]", "unknown field"),
        ("ids = [", "ids = [-1, ", "invalid value"),
    ] {
        let error = SavedSession::read(&written.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    let mut wrong = session;
    wrong.settings.insert("mask.threshold".to_owned(), "7".to_owned());
    assert!(wrong.settings_over(&Settings::default()).unwrap_err().contains("at most 1"));
    assert!(pins("5-3").unwrap_err().starts_with("5-3 is no position"));
    assert_eq!(pins_text(&pins("3, 5-7").unwrap()), "3,5-7");
}
