//! What the token under the cursor was written from: the attention of the token before it over the text, as mean over heads
//! or of a chosen layer and head.

use ratatui::layout::Rect;

use crate::engine::types::{HeadChoice, Outlook};
use crate::screen::actions::{Context, actions};
use crate::screen::app::App;
use crate::screen::explore::details;
use crate::screen::generate::story;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart, percent};
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// The attention of a token.
pub const CONTEXT: Context = Context("Attention of a token");

pub static PANE: Pane = Pane {
    name: "reads",
    title: "Read",
    screen: Screen::Generate,
    context: |_| CONTEXT,
    actions: &[ACTIONS],
    subtitle,
    draw,
    press,
    ..BLANK
};

actions! {
    CONTEXT {
        /// Scroll up
        READS_UP ["up"] "scroll" with [READS_DOWN] => |app| details::scroll(app, &PANE, -1);
        /// Scroll down
        READS_DOWN ["down"] => |app| details::scroll(app, &PANE, 1);
        /// Go to the token before
        READS_BACK ["left"] "token" with [READS_ON] => |app| story::go(app, app.generate.place().saturating_sub(1));
        /// Go to the token after
        READS_ON ["right"] => |app| story::go(app, app.generate.place() + 1);
    }
}

/// Attention over the places before a token, and whether it is what was asked for: of tokens written long ago only the
/// mean over all heads is kept.
fn weights(app: &App, outlook: &Outlook) -> (Vec<f32>, bool) {
    let n = outlook.position;
    let HeadChoice { layer, head } = app.generate.heads;
    let whole = layer.is_none() && head.is_none();
    let (Some(model), Some(all), false) = (&app.model, &outlook.by_head, whole) else {
        return (outlook.read.to_vec(), whole);
    };
    let mut out = vec![0f64; n];
    let mut count = 0;
    for (lh, row) in all.chunks_exact(n.max(1)).enumerate() {
        let (l, h) = (lh / model.n_head.max(1), lh % model.n_head.max(1));
        if layer.is_none_or(|x| x == l) && head.is_none_or(|x| x == h) {
            out.iter_mut().zip(row).for_each(|(sum, &w)| *sum += f64::from(w));
            count += 1;
        }
    }
    (out.into_iter().map(|sum| (sum / f64::from(count.max(1))) as f32).collect(), true)
}

/// Attention by place, 0..1, by its root so that weak attention stays visible.
pub fn levels(app: &App) -> Vec<f64> {
    let Some(outlook) = app.generate.outlook() else { return Vec::new() };
    let (weights, _) = weights(app, outlook);
    let top = weights.iter().copied().fold(0f32, f32::max).max(1e-9);
    weights.into_iter().map(|w| f64::from(w / top).sqrt()).collect()
}

fn subtitle(app: &App) -> Vec<TitlePart> {
    let HeadChoice { layer, head } = app.generate.heads;
    let name = match (layer, head) {
        (None, None) => "mean over heads".to_owned(),
        (Some(l), None) => format!("layer {l}"),
        (None, Some(h)) => format!("head {h}"),
        (Some(l), Some(h)) => format!("layer {l} head {h}"),
    };
    vec![TitlePart::new(name, Role::Dim)]
}

/// Places by attention, most first.
fn order(weights: &[f32]) -> Vec<usize> {
    let mut out: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] > 0.0).collect();
    out.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
    out
}

fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let dim = c.style(Role::Dim);
    let Some(outlook) = app.generate.outlook() else {
        c.paragraph(area, "What a token was written from appears here", dim);
        return;
    };
    let (weights, asked) = weights(app, outlook);
    let mut area = area;
    if !asked {
        let warn = c.style(Role::Warn);
        let used = c.paragraph(area, "written too long ago: only the mean over all heads is kept", warn);
        area = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
    }
    strip(c, &weights, Rect { height: 1.min(area.height), ..area });
    let list = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let order = order(&weights);
    let most = order.len().saturating_sub(list.height as usize);
    let skip = app.view.scrolled(&PANE).min(most);
    let top = order.first().map_or(1e-9, |&i| weights[i].max(1e-9));
    let (label, number) = ((list.width / 3).max(6), 6);
    let place = 5;
    for (y, &i) in (list.y..list.bottom()).zip(order.iter().skip(skip)) {
        let text = c.style(Role::Text);
        let name = app.generate.tokens().get(i).map_or("", |t| t.token.display.as_str());
        c.right(list.x, list.x + place - 1, y, &i.to_string(), dim);
        c.label(list.x + place, y, name, text, label);
        let x = list.x + place + label + 1;
        let style = c.style(Role::Accent);
        c.bar(x, y, list.right().saturating_sub(x + number), f64::from(weights[i] / top), style);
        c.right(x, list.right(), y, &percent(weights[i]), text);
    }
    crate::screen::widgets::list::more(c, list, (skip, list.height as usize, order.len()));
}

/// The whole past in one line: the highest attention of the places that a column stands for.
fn strip(c: &mut Canvas, weights: &[f32], area: Rect) {
    let (n, columns) = (weights.len(), area.width as usize);
    if n == 0 || columns == 0 || area.height == 0 {
        return;
    }
    let top = weights.iter().copied().fold(0f32, f32::max).max(1e-9);
    let style = c.style(Role::Accent);
    for x in 0..columns.min(n) {
        let (from, to) = (x * n / columns.min(n), (x + 1) * n / columns.min(n));
        let high = weights[from..to.max(from + 1)].iter().copied().fold(0f32, f32::max);
        let level = c.theme.level(f64::from(high / top).sqrt());
        c.put(area.x + x as u16, area.y, level, style);
    }
}

/// A click on a token of the list, or on its place in the strip, goes there.
fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let (weights, asked) = weights(app, app.generate.outlook()?);
    let row = press.y.checked_sub(area.y + u16::from(!asked))? as usize;
    let n = weights.len();
    let place = match row {
        0 => (press.x.checked_sub(area.x)? as usize * n) / (area.width as usize).min(n).max(1),
        row => *order(&weights).get(app.view.scrolled(&PANE) + row - 1)?,
    };
    app.act(|app| story::go(app, place.min(n.saturating_sub(1))));
    None
}
