//! The panes, one file each: `draw` puts the state into a rectangle, `subtitle` says at the frame what is shown. Pure;
//! nothing here changes the state.

pub mod bar;
pub mod cost;
pub mod effect;
pub mod hints;
pub mod list;
pub mod map;
pub mod mask;
pub mod overview;
pub mod plane;
pub mod scores;
pub mod status;
pub mod text;
pub mod tokens;
pub mod train;
pub mod why;
pub mod window;

use ratatui::layout::Rect;

use crate::app::state::{App, Pane};
use crate::app::update::text::EDIT_TEXT;
use crate::tui::canvas::Canvas;
use crate::tui::theme::Role;

/// A few words of a frame's title.
#[derive(Clone, Debug)]
pub struct Piece {
    pub text: String,
    pub role: Role,
}

impl Piece {
    pub fn new(text: impl Into<String>, role: Role) -> Self {
        Piece { text: text.into(), role }
    }
}

/// The name of a pane.
pub fn title(pane: Pane) -> &'static str {
    match pane {
        Pane::Text => "Text",
        Pane::Tokens => "Tokens",
        Pane::Map => "Attention",
        Pane::Effect => "Effect",
        Pane::Why => "Why",
        Pane::Cost => "Cost",
        Pane::Window => "Window",
        Pane::Mask => "Mask",
        Pane::Scores => "Scores",
        Pane::Plane => "τ×p",
        Pane::Setup => "Setup",
        Pane::Run => "Run",
        Pane::Runs => "Runs",
        Pane::Loss => "Loss",
        Pane::Rates => "Rates",
        Pane::Speed => "Speed",
        Pane::Twins => "Twins",
        Pane::Raster => "Raster",
        Pane::Batch => "Batch",
        Pane::Samples => "Samples",
        Pane::Log => "Log",
    }
}

/// What the pane shows right now, for its frame.
pub fn subtitle(app: &App, pane: Pane) -> Vec<Piece> {
    match pane {
        Pane::Text => text::subtitle(app),
        Pane::Tokens => tokens::subtitle(app),
        Pane::Map if app.view.overview => overview::subtitle(app),
        Pane::Map => map::subtitle(app),
        Pane::Effect => effect::subtitle(app),
        Pane::Why => why::subtitle(app),
        Pane::Cost => cost::subtitle(app),
        Pane::Window => window::subtitle(app),
        Pane::Mask => mask::subtitle(app),
        Pane::Scores => scores::subtitle(app),
        Pane::Plane => plane::subtitle(app),
        Pane::Setup => train::form::subtitle(app),
        Pane::Run => train::plan::subtitle(app),
        Pane::Runs => train::runs::subtitle(app),
        Pane::Loss => train::charts::loss_subtitle(app),
        Pane::Rates | Pane::Speed => Vec::new(),
        Pane::Twins => train::twins::subtitle(app),
        Pane::Raster => train::raster::subtitle(app),
        Pane::Batch => train::batch::subtitle(app),
        Pane::Samples => train::log::samples_subtitle(app),
        Pane::Log => train::log::log_subtitle(app),
    }
}

pub fn draw(c: &mut Canvas, app: &App, pane: Pane, area: Rect) {
    if area.is_empty() {
        return;
    }
    match pane {
        Pane::Text => text::draw(c, app, area),
        Pane::Tokens => tokens::draw(c, app, area),
        Pane::Map if app.view.overview => overview::draw(c, app, area),
        Pane::Map => map::draw(c, app, area),
        Pane::Effect => effect::draw(c, app, area),
        Pane::Why => why::draw(c, app, area),
        Pane::Cost => cost::draw(c, app, area),
        Pane::Window => window::draw(c, app, area),
        Pane::Mask => mask::draw(c, app, area),
        Pane::Scores => scores::draw(c, app, area),
        Pane::Plane => plane::draw(c, app, area),
        Pane::Setup => train::form::draw(c, app, area),
        Pane::Run => train::plan::draw(c, app, area),
        Pane::Runs => train::runs::draw(c, app, area),
        Pane::Loss => train::charts::loss(c, app, area),
        Pane::Rates => train::charts::rates(c, app, area),
        Pane::Speed => train::charts::speed(c, app, area),
        Pane::Twins => train::twins::draw(c, app, area),
        Pane::Raster => train::raster::draw(c, app, area),
        Pane::Batch => train::batch::draw(c, app, area),
        Pane::Samples => train::log::samples(c, app, area),
        Pane::Log => train::log::log(c, app, area),
    }
}

/// What an empty pane says: why it is empty and what to do.
pub fn empty_text(c: &mut Canvas, app: &App, area: Rect, what: &str) {
    let help = if app.doc.editor.text().is_empty() {
        format!("There is no text yet: press {} and type, or paste a file", app.key_label(&EDIT_TEXT))
    } else if let Some(failure) = &app.results.failure {
        failure.value.message.clone()
    } else if app.model.is_none() {
        "The model is being loaded".to_owned()
    } else if app.busy() {
        "Computing…".to_owned()
    } else {
        "Nothing to show for this text".to_owned()
    };
    let y = area.y + area.height.saturating_sub(3) / 4;
    let style = c.style(Role::Dim);
    let head = Rect::new(area.x, y, area.width, 1);
    c.label(head.x, head.y, what, style, head.width);
    let rest = Rect::new(area.x, y + 1, area.width, area.bottom().saturating_sub(y + 1));
    let faint = c.style(Role::Dim);
    c.paragraph(rest, &help, faint);
}

/// Probability as a percentage of four to five columns.
pub fn percent(p: f32) -> String {
    let x = p * 100.0;
    if !x.is_finite() {
        "–".to_owned()
    } else if x >= 99.95 {
        "100%".to_owned()
    } else if x >= 0.1 || x == 0.0 {
        format!("{x:.1}%")
    } else {
        "<0.1%".to_owned()
    }
}

/// A share as a percentage with one decimal and a space, for running text.
pub fn share(x: f64) -> String {
    if x.is_finite() { format!("{:.1} %", x * 100.0) } else { "–".to_owned() }
}

/// Signed, four decimals, with a true minus sign; a dash where there is nothing.
pub fn signed(x: Option<f32>) -> String {
    match x.filter(|v| v.is_finite()) {
        Some(v) if v.abs() < 5e-5 => "0.0000".to_owned(),
        Some(v) if v < 0.0 => format!("−{:.4}", -v),
        Some(v) => format!("+{v:.4}"),
        None => "–".to_owned(),
    }
}
