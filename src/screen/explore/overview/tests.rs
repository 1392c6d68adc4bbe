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
