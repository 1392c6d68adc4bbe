//! What keys and the mouse do here, by whole events.

use crate::screen::testing::Stage;

#[test]
fn layers_and_heads_run_through_the_mean() {
    let mut stage = Stage::new();
    let layers: Vec<Option<usize>> = (0..6)
        .map(|_| {
            stage.press("l");
            stage.last().heads.layer
        })
        .collect();
    assert_eq!(layers, [Some(0), Some(1), Some(2), Some(3), None, Some(0)]);
    stage.press("L H");
    assert_eq!((stage.last().heads.layer, stage.last().heads.head), (None, Some(3)));
}

#[test]
fn the_overview_asks_once_and_opens_a_head() {
    let mut stage = Stage::new();
    stage.press("o");
    assert!(stage.last().overview);
    let asked = stage.asked();
    stage.press("o");
    assert_eq!(stage.asked(), asked, "closing it needs nothing new");
    stage.press("o right down k home right enter");
    assert!(!stage.app.view.overview);
    let heads = &stage.app.results.overview.as_ref().unwrap().value;
    let best = crate::screen::explore::overview::order::order(
        heads,
        crate::screen::explore::overview::order::Sort::Sink,
    )[1];
    assert_eq!(stage.last().heads.layer, Some(heads[best].layer));
    assert_eq!(stage.last().heads.head, Some(heads[best].head));
}

#[test]
fn all_heads_are_one_grid_with_a_layer_per_row_and_what_is_cut_is_said() {
    use crate::engine::types::Update;
    use crate::screen::testing::model;
    use crate::screen::tests::{picture, text};
    let mut stage = Stage::new();
    stage.press("o");
    let heads = stage.app.results.overview.clone().unwrap().value;
    // 12 × 12 heads.
    stage.update(Update::ModelReady(model("large", 12, 12)));
    let many: Vec<_> = (0..144)
        .map(|i| crate::engine::types::HeadSummary {
            layer: i / 12,
            head: i % 12,
            sink: 1.0,
            ..heads[0].clone()
        })
        .collect();
    let generation = stage.app.generation;
    stage.update(Update::Overview { generation, heads: many.into() });
    let seen = text(&picture(&mut stage, 160, 50));
    for name in ["L0", "L11", "H0", "H11"] {
        assert!(seen.contains(name), "{name}: {seen}");
    }
    assert!(!seen.contains("layers 1–"), "all of it is there: {seen}");
    let seen = text(&picture(&mut stage, 80, 24));
    assert!(seen.contains("layers 1–"), "{seen}");
    stage.press("end");
    assert!(text(&picture(&mut stage, 80, 24)).contains("of 12"));
    // In another order each says which it is, and no number is cut.
    stage.press("k");
    for (w, h) in [(160, 50), (80, 24)] {
        let seen = text(&picture(&mut stage, w, h));
        assert!(seen.contains("1.0") && !seen.contains("1.…") && !seen.contains(".…"), "{seen}");
        assert!(seen.contains("rows 1–"), "{seen}");
    }
}
