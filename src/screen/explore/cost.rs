//! What hiding each token costs, and how well each score predicted it.

use ratatui::layout::Rect;

use crate::attention::types::ScoreSettings;
use crate::engine::types::CostRow;
use crate::screen::actions::{EXPLORER, actions};
use crate::screen::app::App;
use crate::screen::explore::background::COST;
use crate::screen::explore::details::PANEL;
use crate::screen::explore::explain;
use crate::screen::explore::mask::settings;
use crate::screen::pane::{BLANK, Pane, TitlePart, signed};
use crate::screen::results::Costs;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::settings::Value;

pub static PANE: Pane = Pane {
    name: "cost",
    title: "Cost",
    context: |_| PANEL,
    actions: &[ACTIONS],
    subtitle,
    draw,
    explain: explain::of_cost,
    ..BLANK
};

actions! {
    EXPLORER {
        /// Score by what foretold the measured cost best
        TAKE_BETTER_SCORE ["B"] "better score" if |app| app.results.costs.as_ref().is_some_and(|c| better(&c.value).is_some()) =>
            take_better;
    }
}

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
    let said = verdict(app, &slot.value).filter(|_| slot.value.done >= slot.value.of);
    let style = c.style(Role::Strong);
    let used = said.map_or(0, |said| c.paragraph(Rect { height: area.height.min(4), ..area }, &said, style));
    let area = Rect { y: area.y + used, height: area.height - used, ..area };
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

/// Without any relation, 95 % of coefficients over `n` tokens lie within this.
fn chance(n: usize) -> Option<f64> {
    (n > 3).then(|| 1.96 / ((n - 1) as f64).sqrt()).filter(|&c| c < 1.0)
}

/// The rows, the score in force first, then by how well they foretell.
fn ordered(costs: &Costs) -> Vec<&CostRow> {
    let (first, rest): (Vec<&CostRow>, Vec<&CostRow>) = costs.rows.iter().partition(|row| row.in_force);
    first.into_iter().chain(rest).collect()
}

/// The score that foretells the cost clearly better than the one in force, if one does.
fn better(costs: &Costs) -> Option<&CostRow> {
    let n = costs.rows.iter().map(|r| r.tokens).max()?;
    let now = costs.rows.iter().find(|row| row.in_force)?.rho.unwrap_or(0.0);
    let rho = |row: &CostRow| row.rho.unwrap_or(-1.0);
    let best = costs.rows.iter().max_by(|a, b| rho(a).total_cmp(&rho(b)))?;
    (rho(best) > now && rho(best) > chance(n)?).then_some(best)
}

fn signed_two(rho: f64) -> String {
    if rho < 0.0 { format!("−{:.2}", -rho) } else { format!("+{rho:.2}") }
}

/// What the numbers say of the score in force, in one sentence.
pub fn verdict(app: &App, costs: &Costs) -> Option<String> {
    let now = costs.rows.iter().find(|row| row.in_force)?;
    let chance = chance(now.tokens)?;
    let rho = now.rho?;
    let foretells = rho > chance;
    let does = if foretells { "foretells the cost here" } else { "does not foretell the cost here" };
    let mut out = format!("{} {does}: {}, chance ±{chance:.2}", now.score, signed_two(rho));
    match better(costs) {
        Some(best) => {
            let key = app.key_label(&TAKE_BETTER_SCORE);
            let how = if foretells { "does better" } else { "does" };
            out.push_str(&format!("; {} {how} ({}): {key} takes it", best.score, signed_two(best.rho?)));
        }
        None if !foretells => out.push_str("; no score does"),
        None => out.push_str("; no score does better"),
    }
    Some(out)
}

/// Scores by what foretold the cost better, or says why that is not possible.
fn take_better(app: &mut App) {
    let complete = app.results.costs.as_ref().filter(|c| c.value.done >= c.value.of);
    let Some(costs) = complete else {
        let key = app.key_label(&COST);
        return app.say(format!("Which score foretells the cost is not known yet: {key} measures it"));
    };
    let Some(best) = better(&costs.value).cloned() else {
        return app.say("No score foretells the cost better than the one in force");
    };
    app.history.close();
    let reduction =
        settings::set(app, ScoreSettings::reduction, Value::Text(best.reduction.name().to_owned()));
    let weighed = settings::set(app, ScoreSettings::contribution, Value::Bool(best.contribution));
    match reduction.and(weighed) {
        Ok(()) => app.say(format!("The score is {} now; measure again to see what it foretells", best.score)),
        Err(error) => app.say(error),
    }
}

/// ρ of every score, on a line from −1 to 1; the one in force is marked, and so is what chance alone would give.
fn correlations(c: &mut Canvas, costs: &Costs, area: Rect) {
    if area.height == 0 {
        return;
    }
    let dim = c.style(Role::Dim);
    let n = costs.rows.iter().map(|r| r.tokens).max().unwrap_or(0);
    let chance = chance(n);
    let (bound, mark) = if c.ascii() { (":", ">") } else { ("┊", "▸") };
    let title = match chance {
        Some(_) if area.width >= 56 => {
            format!("Spearman ρ, {n} tokens; values inside {bound} can be chance")
        }
        Some(_) => format!("ρ, {n} tokens; chance lies inside {bound}"),
        None => format!("Spearman ρ, {n} tokens"),
    };
    c.label(area.x, area.y, &title, dim, area.width);
    let name = 20.min(area.width * 3 / 5);
    for (i, row) in ordered(costs).into_iter().take(area.height.saturating_sub(1) as usize).enumerate() {
        let y = area.y + 1 + i as u16;
        let text = if row.in_force { c.theme.bold(Role::Accent) } else { c.style(Role::Text) };
        let short = row.score.replace(" × value norm", " × v");
        let label = if row.in_force { format!("{mark} {short}") } else { short };
        c.label(area.x, y, &label, text, name);
        let number = row.rho.map_or("  –".to_owned(), signed_two);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::testing::Stage;
    use crate::screen::tests::{picture, text};

    #[test]
    fn the_score_in_force_comes_first_with_a_verdict_and_a_key_takes_the_better_one() {
        let mut stage = Stage::new();
        stage.press("B");
        assert!(stage.app.notice.clone().unwrap().text.contains("f measures it"));
        stage.press("f");
        let costs = stage.app.results.costs.clone().unwrap().value;
        assert_eq!(ordered(&costs)[0].reduction.name(), "distance-null");
        let said = verdict(&stage.app, &costs).unwrap();
        assert_eq!(
            said,
            "distance-null does not foretell the cost here: −0.21, chance ±0.36; plain does (+0.71): B takes it"
        );
        let seen = text(&picture(&mut stage, 160, 50));
        let place = |what: &str| seen.find(what).unwrap_or_else(|| panic!("no {what} in {seen}"));
        assert!(place("does not foretell") < place("▸ distance-null"));
        assert!(place("▸ distance-null") < place("corrected "));
        stage.press("B");
        assert_eq!(stage.last().score.reduction.name(), "plain");
        stage.press("f");
        let said = verdict(&stage.app, &stage.app.results.costs.clone().unwrap().value).unwrap();
        assert!(
            said.starts_with("plain foretells the cost here: +0.71")
                && said.ends_with("no score does better"),
            "{said}"
        );
        stage.press("u");
        assert_eq!(stage.last().score.reduction.name(), "distance-null");
    }
}
