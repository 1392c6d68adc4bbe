//! The grid of patches: layers down, positions right; each cell is what the prediction becomes when that one place of the residual
//! stream comes from the other text.

use ratatui::layout::Rect;

use super::{PATCHES, add, measuring, stack};
use crate::engine::types::{Command, Intervention, PatchGrid, PositionSpan};
use crate::screen::actions::actions;
use crate::screen::app::{App, Request};
use crate::screen::pane::{Press, TitlePart};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

actions! {
    PATCHES {
        /// Go to the position before
        PATCH_LEFT ["left"] "choose" with [PATCH_UP PATCH_DOWN PATCH_RIGHT] => |app| go(app, 0, -1);
        /// Go to the position after
        PATCH_RIGHT ["right"] => |app| go(app, 0, 1);
        /// Go to the layer above
        PATCH_UP ["up"] => |app| go(app, -1, 0);
        /// Go to the layer below
        PATCH_DOWN ["down"] => |app| go(app, 1, 0);
        /// Go to the first position
        PATCH_FIRST ["home"] => |app| go(app, 0, isize::MIN);
        /// Go to the last position
        PATCH_LAST ["end"] => |app| go(app, 0, isize::MAX);
        /// Keep the patch: it becomes an intervention
        PATCH_KEEP ["enter" "space"] "keep the patch" => keep;
        /// Go to the strongest cell
        PATCH_PEAK ["s"] "strongest" => peak;
        /// Name another text
        PATCH_FROM ["n"] "other text" => |app| add::open(app, "from ");
        /// Back to the list of interventions
        PATCH_LIST ["p" "esc"] "list" => |app| app.view.patches = false;
    }
}

fn grid(app: &App) -> Option<&PatchGrid> {
    app.results.patches.as_ref().map(|slot| &*slot.value).filter(|grid| grid.positions <= app.results.len())
}

/// Shows the grid; has it measured, unless it is there already.
pub(super) fn open(app: &mut App) {
    if app.doc.interventions.other.is_none() {
        app.say("Name the text that patches come from, of as many tokens as this one");
        return add::open(app, "from ");
    }
    app.view.patches = true;
    let known = app
        .results
        .patches
        .as_ref()
        .is_some_and(|slot| slot.generation == app.generation && !slot.value.stopped);
    if !known {
        app.results.patches = None;
        app.emit(Request::Command(Command::PatchGrid { generation: app.generation }));
    }
}

fn go(app: &mut App, layers: isize, positions: isize) {
    let (layer, position) = app.view.patch;
    app.view.patch = (layer.saturating_add_signed(layers), position.saturating_add_signed(positions));
}

pub(super) fn settle(app: &mut App) {
    let Some((layers, positions)) = grid(app).map(|g| (g.layers, g.positions)) else { return };
    let (layer, position) = app.view.patch;
    app.view.patch = (layer.min(layers.saturating_sub(1)), position.min(positions.saturating_sub(1)));
}

fn keep(app: &mut App) {
    let (layer, position) = app.view.patch;
    if grid(app).is_none() {
        return app.say("There is no grid yet");
    }
    let what =
        Intervention::Patch { layer: Some(layer), head: None, positions: Some(PositionSpan::one(position)) };
    stack::add(app, what);
    app.say(stack::words(app, &what));
}

fn peak(app: &mut App) {
    let Some(grid) = grid(app) else { return };
    let strength = |at: &usize| grid.cells[*at].map_or(-1.0, |cell| cell.1.abs());
    let best = (0..grid.cells.len()).max_by(|a, b| strength(a).total_cmp(&strength(b)));
    if let Some(at) = best {
        app.view.patch = (at / grid.positions, at % grid.positions);
    }
}

pub(super) fn subtitle(app: &App) -> Vec<TitlePart> {
    let mut out = vec![TitlePart::new("patches", Role::Strong)];
    if let Some(grid) = grid(app).filter(|grid| grid.done() < grid.cells.len()) {
        let what = if grid.stopped { "stopped at" } else { "cell" };
        out.push(TitlePart::new(format!("{what} {} of {}", grid.done(), grid.cells.len()), Role::Dim));
    }
    out
}

/// Columns of a layer's name.
const LABEL: u16 = 4;

/// First layer and first position on screen, and how many of each.
fn window(app: &App, grid: &PatchGrid, area: Rect) -> ((usize, usize), (usize, usize)) {
    let lines = area.height.saturating_sub(3).max(1) as usize;
    let columns = area.width.saturating_sub(LABEL).max(1) as usize;
    let (layer, position) = app.view.patch;
    let first = |at: usize, room: usize, n: usize| (at + 1).saturating_sub(room).min(n.saturating_sub(room));
    let (rows, cells) = (lines.min(grid.layers), columns.min(grid.positions));
    ((first(layer, rows, grid.layers), first(position, cells, grid.positions)), (rows, cells))
}

pub(super) fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let (dim, text) = (c.style(Role::Dim), c.style(Role::Text));
    let Some(grid) = grid(app) else {
        let told = app.results.failure.as_ref().map(|f| f.value.message.clone());
        let told = told.unwrap_or_else(|| "Running both texts…".to_owned());
        c.paragraph(area, &told, dim);
        return;
    };
    let (this, other) = grid.ends;
    c.label(
        area.x,
        area.y,
        &format!("Δ {}: {this:.2} here, {other:.2} there", grid.measure),
        dim,
        area.width,
    );
    let most = grid.cells.iter().flatten().map(|cell| cell.1.abs()).fold(1e-9, f64::max);
    let ((top, left), (rows, cells)) = window(app, grid, area);
    for layer in top..top + rows {
        let y = area.y + 1 + (layer - top) as u16;
        c.label(area.x, y, &format!("L{layer}"), dim, LABEL - 1);
        for position in left..left + cells {
            let x = area.x + LABEL + (position - left) as u16;
            match grid.cells[layer * grid.positions + position] {
                None => c.put(x, y, if c.ascii() { "." } else { "·" }, dim),
                Some((_, change)) => {
                    let negative = change < 0.0;
                    let (glyph, style) =
                        (c.theme.shade(change.abs() / most, negative), c.theme.shade_style(negative));
                    c.put(x, y, glyph, style);
                }
            }
            if (layer, position) == app.view.patch {
                let style = c.theme.selected();
                c.restyle(Rect::new(x, y, 1, 1), style);
            }
        }
    }
    c.label(area.x, area.y + 1 + rows as u16, &cell_words(app, grid), text, area.width);
    if app.waiting() {
        c.fade(area);
    }
}

/// The cell under the cursor.
fn cell_words(app: &App, grid: &PatchGrid) -> String {
    let (layer, position) = app.view.patch;
    let token = app.results.tokens().get(position).map_or(String::new(), |t| t.display.clone());
    let numbers = match grid.cells.get(layer * grid.positions + position).copied().flatten() {
        Some((kl, change)) => format!("Δ {change:+.3} KL {kl:.4}").replace('-', "−"),
        None => "not measured yet".to_owned(),
    };
    format!("L{layer} {position} “{token}”  {numbers}")
}

pub(super) fn explain(app: &App) -> String {
    let Some(grid) = grid(app) else { return String::new() };
    let (this, other) = grid.ends;
    let going = if measuring(app) { " More cells are being measured." } else { "" };
    format!(
        "{}. Each cell runs this text with one row of the residual stream, at one position and going into one layer, taken from the \
         other text. The {} is {this:.3} here and {other:.3} there.{going}",
        cell_words(app, grid),
        grid.measure
    )
}

pub(super) fn press(app: &mut App, area: Rect, press: Press) {
    let Some(((top, left), (rows, cells))) = grid(app).map(|grid| window(app, grid, area)) else { return };
    let at = |x: u16, from: u16| x.checked_sub(from).map(usize::from);
    let (Some(row), Some(cell)) = (at(press.y, area.y + 1), at(press.x, area.x + LABEL)) else { return };
    if row < rows && cell < cells {
        app.act(|app| {
            app.view.patch = (top + row, left + cell);
            if press.double {
                keep(app);
            }
        });
    }
}
