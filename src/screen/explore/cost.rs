//! What hiding each token costs, and how well each score predicted it.

use ratatui::layout::Rect;

use crate::screen::app::App;
use crate::screen::explore::background::COST;
use crate::screen::explore::details::PANEL;
use crate::screen::pane::{BLANK, Pane, TitlePart, signed};
use crate::screen::results::Costs;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

pub static PANE: Pane = Pane { name: "cost", title: "Cost", context: |_| PANEL, subtitle, draw, ..BLANK };

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    match &app.results.costs {
        Some(s) if s.value.done < s.value.of => {
            vec![TitlePart::new(format!("{} of {} tokens hidden", s.value.done, s.value.of), Role::Accent)]
        }
        Some(s) if s.generation < app.text_since => {
            vec![TitlePart::new("for an earlier text", Role::Warn)]
        }
        Some(_) => vec![TitlePart::new("of each token", Role::Dim)],
        None => Vec::new(),
    }
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let Some(slot) = &app.results.costs else {
        let key = app.key_label(&COST);
        let style = c.style(Role::Dim);
        let text = if app.costing {
            "Hiding one token after the other…".to_owned()
        } else {
            format!(
                "Does attention tell what matters? {key} hides one token after the other, measures how much the loss of the rest really grows, and compares that with every score"
            )
        };
        c.paragraph(area, &text, style);
        return;
    };
    let rows = slot.value.rows.len() as u16;
    let meter = (rows + 1).min(area.height * 2 / 3);
    let area = if area.width >= 76 {
        wide(c, app, &slot.value, area)
    } else {
        stacked(c, app, &slot.value, area, meter)
    };
    if slot.generation < app.text_since {
        c.fade(area);
    }
}

fn wide(c: &mut Canvas, app: &App, costs: &Costs, area: Rect) -> Rect {
    let left = Rect { width: 36, ..area };
    correlations(c, costs, left);
    tokens(c, app, costs, Rect { x: area.x + 39, width: area.width - 39, ..area });
    area
}

fn stacked(c: &mut Canvas, app: &App, costs: &Costs, area: Rect, meter: u16) -> Rect {
    correlations(c, costs, Rect { height: meter, ..area });
    tokens(c, app, costs, Rect { y: area.y + meter, height: area.height - meter, ..area });
    area
}

/// ρ of every score, on a line from −1 to 1; the one in force is marked, and so is what chance alone would give.
fn correlations(c: &mut Canvas, costs: &Costs, area: Rect) {
    if area.height == 0 {
        return;
    }
    let dim = c.style(Role::Dim);
    let n = costs.rows.iter().map(|r| r.tokens).max().unwrap_or(0);
    // Without any relation, 95 % of coefficients over n tokens lie within this.
    let chance = (n > 3).then(|| 1.96 / ((n - 1) as f64).sqrt()).filter(|&c| c < 1.0);
    let (bound, mark) = if c.ascii() { (":", ">") } else { ("┊", "▸") };
    let title = match chance {
        Some(_) if area.width >= 56 => {
            format!("Spearman ρ, {n} tokens; values inside {bound} can be chance")
        }
        Some(_) => format!("ρ, {n} tokens; chance lies inside {bound}"),
        None => format!("Spearman ρ, {n} tokens"),
    };
    c.label(area.x, area.y, &title, dim, area.width);
    let name = 14.min(area.width / 2);
    for (i, row) in costs.rows.iter().take(area.height.saturating_sub(1) as usize).enumerate() {
        let y = area.y + 1 + i as u16;
        let text = if row.in_force { c.theme.bold(Role::Accent) } else { c.style(Role::Text) };
        let label = if row.in_force { format!("{mark} {}", row.score) } else { row.score.clone() };
        c.label(area.x, y, &label, text, name);
        let number = row
            .rho
            .map_or("  –".to_owned(), |r| if r < 0.0 { format!("−{:.2}", -r) } else { format!("+{r:.2}") });
        let strong = c.theme.bold(Role::Strong);
        let x = area.x + name + 1;
        c.text(x, y, &number, strong, 5);
        let (start, width) = (x + 6, area.right().saturating_sub(x + 7));
        let Some(rho) = row.rho.filter(|r| r.is_finite() && width > 4) else { continue };
        let faint = c.style(Role::Border);
        c.line(start, y, "─", width, faint);
        let middle = width / 2;
        let at = |rho: f64| ((rho.clamp(-1.0, 1.0) + 1.0) / 2.0 * f64::from(width - 1)).round() as u16;
        let tip = at(rho);
        let style = c.style(if rho < 0.0 { Role::Protected } else { Role::Good });
        let (from, to) = (middle.min(tip), middle.max(tip));
        c.line(start + from, y, if c.ascii() { "=" } else { "━" }, to - from + 1, style);
        c.put(start + middle, y, "┼", faint);
        for edge in chance.iter().flat_map(|&c| [-c, c]) {
            c.put(start + at(edge), y, bound, faint);
        }
    }
}

/// A bar per token, in reading order, scrolled so that the selected one is in view.
fn tokens(c: &mut Canvas, app: &App, costs: &Costs, area: Rect) {
    if area.height < 2 {
        return;
    }
    let most = costs.costs.iter().flatten().filter(|v| v.is_finite()).fold(0f32, |m, v| m.max(v.abs()));
    let dim = c.style(Role::Dim);
    c.label(area.x, area.y, "rise of unmasked-token loss, nats", dim, area.width);
    let height = area.height as usize - 1;
    let n = costs.costs.len();
    let focused = app.view.focus == &PANE;
    let wanted = if focused { app.view.scrolled(&PANE) } else { 0 };
    let follow = (app.view.key + 1).saturating_sub(height);
    let top = wanted.max(follow).min(n.saturating_sub(height)).min(app.view.key);
    for i in top..n.min(top + height) {
        let y = area.y + 1 + (i - top) as u16;
        let here = i == app.view.key;
        let text = if here { c.theme.bold(Role::Accent) } else { c.style(Role::Text) };
        let label = app.results.tokens().get(i).map_or("", |t| t.display.as_str());
        c.label(area.x, y, label, text, 11);
        let Some(cost) = costs.costs[i] else {
            c.text(area.x + 12, y, "–", dim, 1);
            continue;
        };
        let number = signed(Some(cost));
        c.right(area.x + 11, area.x + 20, y, &number, text);
        let role = if cost < 0.0 { Role::Protected } else { Role::Masked };
        let style = c.style(role);
        c.bar(area.x + 21, y, area.width.saturating_sub(22), f64::from(cost.abs() / most.max(1e-9)), style);
    }
}
