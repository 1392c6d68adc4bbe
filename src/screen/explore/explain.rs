//! One key explains what is under the cursor, in a sentence or two with the numbers of this moment: the row of a setting,
//! a token, a row and column of the map, a head, the figures of a pane.

use crate::mask::reason::reason;
use crate::mask::types::{MaskSettings, Polarity, State};
use crate::screen::app::App;
use crate::screen::explore::map::{heads_name, kind_name};
use crate::screen::explore::mask::rates;
use crate::screen::explore::overview::order::order;
use crate::screen::pane::{share, signed};
use crate::screen::params;
use crate::screen::popups::Popup;

/// Opens the explanation of what is under the cursor.
pub fn open(app: &mut App) {
    let pane = app.view.focus;
    let text = (pane.explain)(app);
    match text.is_empty() {
        true => app.say(format!("There is nothing under the cursor of {} to explain", pane.title)),
        false => app.popup = Some(Popup::Explain { title: pane.title, text }),
    }
}

fn token(app: &App, i: usize) -> String {
    app.results.tokens().get(i).map_or(String::new(), |t| t.display.clone())
}

/// The selected setting: what it is, its value, what that amounts to here.
pub fn setting(app: &App) -> String {
    let path = app.view.item;
    let row = params::row(path);
    let value = params::text(&app.doc, &app.options, path);
    let mut out = format!("{} is {value}. {}.", row.name(), row.doc);
    if let Some(choice) = row.choices().iter().find(|c| c.name == value) {
        out.push_str(&format!(" {value}: {}.", choice.doc));
    }
    if let Some(inert) = params::inert(&app.doc, path) {
        return format!("{out} {}.", inert.why);
    }
    let Some(d) = app.results.decision() else { return out };
    let of = |state: State| d.positions.iter().filter(|p| p.state == state).count();
    let (masked, spared) = (of(State::Masked), of(State::Draw));
    let here = match path {
        MaskSettings::threshold if app.doc.mask.polarity != Polarity::Random => {
            format!(" Here {} of {} eligible scores are on its masked side.", masked + spared, d.eligible)
        }
        MaskSettings::probability | MaskSettings::seed => {
            format!(" Here {masked} of {} candidates have a draw below p.", masked + spared)
        }
        MaskSettings::protect => {
            format!(" Here {} of {} tokens are protected.", of(State::Protected), d.positions.len())
        }
        MaskSettings::op | MaskSettings::replacement => format!(" Here it happens to {masked} tokens."),
        _ => String::new(),
    };
    out + &here
}

/// The selected token: its state and why, its surprisal.
pub fn of_token(app: &App) -> String {
    let i = app.view.key;
    let Some(d) = app.results.decision().filter(|d| i < d.positions.len()) else { return String::new() };
    let mut out = format!("{} is token {i}: {}.", token(app, i), reason(&app.doc.mask, d, i));
    if let Some(rank) = d.positions[i].rank {
        out.push_str(&format!(" Its score is number {rank} of {} from the top.", d.units));
    }
    if let Some(s) = app.results.prediction().and_then(|p| p.surprisal.get(i).copied().flatten()) {
        let p = f64::from(-s).exp();
        out.push_str(&format!(" The model gave it {} beforehand: a surprisal of {s:.2} nats.", share(p)));
    }
    out
}

/// The row and the column of the crosshair, or the chosen head.
pub fn of_map(app: &App) -> String {
    if app.view.overview {
        return head(app);
    }
    let Some(map) = app.results.map.as_ref().map(|m| &m.value.frame) else { return String::new() };
    let (q, k, n) = (app.view.query, app.view.key, map.len);
    if q >= n || map.values.len() < n * n {
        return String::new();
    }
    let (query, key) = (token(app, q), token(app, k));
    let which = format!("{}, {}", kind_name(map.kind), heads_name(app, map.heads));
    if k > q {
        return format!(
            "Row {query} ({q}), column {key} ({k}): {key} comes later, so {query} cannot read it."
        );
    }
    let v = map.values[q * n + k];
    if !v.is_finite() {
        return format!("Row {query} ({q}), column {key} ({k}): one of the two was dropped from the input.");
    }
    let row = &map.values[q * n..q * n + q + 1];
    let rank = 1 + row.iter().filter(|x| x.abs() > v.abs()).count();
    if map.kind == crate::engine::types::MapKind::Difference {
        return format!(
            "Row {query} ({q}), column {key} ({k}): under the mask {query} gives {key} {} more of its attention than \
             without ({which}); number {rank} of {} changes in its row.",
            share(f64::from(v)),
            q + 1
        );
    }
    let column: Vec<f32> = (k..n).map(|t| map.values[t * n + k]).filter(|v| v.is_finite()).collect();
    let mean = column.iter().sum::<f32>() / column.len().max(1) as f32;
    format!(
        "Row {query} ({q}) reads column {key} ({k}) with {} of its attention ({which}): number {rank} of {} from the top in \
         its row, where each would have {} if all were read alike. The column as a whole: {} tokens read {key}, with {} on \
         average.",
        share(f64::from(v)),
        q + 1,
        share(1.0 / (q + 1) as f64),
        column.len(),
        share(f64::from(mean))
    )
}

fn head(app: &App) -> String {
    let Some(heads) = app.results.overview.as_ref().map(|o| &o.value) else { return String::new() };
    let Some(h) = order(heads, app.view.sort).get(app.view.head).and_then(|i| heads.get(*i)) else {
        return String::new();
    };
    let induction = h.induction.map_or("no token repeats, so induction cannot be told".to_owned(), |x| {
        format!(
            "{} go to the token after an earlier copy (an induction head has most of it there)",
            share(f64::from(x))
        )
    });
    format!(
        "Layer {}, head {}: {} of its attention go to the first token (a sink has most of it there), {} to the token before, \
         {} to masked tokens; {induction}. Its rows spread over about {:.0} tokens (entropy {:.2} nats).",
        h.layer,
        h.head,
        share(f64::from(h.sink)),
        share(f64::from(h.previous)),
        share(f64::from(h.mask_mass)),
        h.entropy.exp(),
        h.entropy
    )
}

/// The figures of the effect.
pub fn of_effect(app: &App) -> String {
    let (Some(effect), Some(base)) =
        (app.results.masked.as_ref().map(|m| &m.value), app.results.prediction())
    else {
        return String::new();
    };
    let first = |p: &crate::engine::types::Prediction| {
        p.next.first().map_or(String::new(), |c| format!("{} with {}", c.display, share(f64::from(c.p))))
    };
    let w = effect.work;
    format!(
        "After {}, the model expects {} without the mask and {} with it. KL {:.4} nats: how much is lost by taking the second \
         for the first; 0 means the same. Δ masked {}: the change of ln p at masked tokens, in nats per token; Δ unmasked \
         {}: at all others. Of {} rows (tokens × layers), {} were computed, {} taken from earlier passes, {} saved by the \
         operation.",
        crate::screen::explore::effect::after(app),
        first(base),
        first(&effect.prediction),
        effect.kl,
        signed(effect.delta_masked),
        signed(effect.delta_unmasked),
        w.computed + w.reused + w.saved,
        w.computed,
        w.reused,
        w.saved
    )
}

/// The distribution of the score.
pub fn of_scores(app: &App) -> String {
    let (Some(s), Some(d)) = (&app.results.scores, app.results.decision()) else { return String::new() };
    let eligible = s.value.values.iter().zip(&d.positions).filter(|(_, p)| p.score.is_some());
    let values: Vec<f64> = eligible.filter_map(|(v, _)| *v).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.is_empty() {
        return String::new();
    }
    let beyond = rates::share(app.doc.mask.polarity, app.doc.mask.threshold, d);
    format!(
        "Every mark is a token, at the place of its score, from {low:.3} to {high:.3}. The score is {}. The line is τ: {} of \
         the {} eligible tokens lie on its masked side.",
        s.value.formula,
        share(beyond),
        d.eligible
    )
}

/// The point of the plane.
pub fn of_plane(app: &App) -> String {
    if let Some(inert) = params::inert(&app.doc, MaskSettings::threshold) {
        return format!("{}.", inert.why);
    }
    let d = app.results.decision();
    format!(
        "Across is τ, up is p; along a curve the expected rate is the same. At τ {:.3} and p {:.3} it is {}; this seed masks \
         {}.",
        app.doc.mask.threshold,
        app.doc.mask.probability,
        share(rates::expected(&app.doc.mask, d)),
        d.map_or("–".to_owned(), |d| share(d.rate()))
    )
}

/// How the text is read.
pub fn of_text(app: &App) -> String {
    let (chars, tokens) = (app.doc.editor.text().chars().count(), app.results.len());
    let loss = app.results.prediction().and_then(|p| p.loss);
    let loss = loss.map_or(String::new(), |l| format!(" On average a token surprises it by {l:.2} nats."));
    format!("The text has {chars} characters; the model reads {tokens} tokens of it.{loss}")
}

/// How the window rolls.
pub fn of_window(app: &App) -> String {
    let window = app.results.decided.as_ref().and_then(|d| d.value.window.as_deref());
    window.map_or(String::new(), |w| {
        format!(
            "Each line is a boundary: after so many tokens it was decided, from what was read by then, which of them stay \
             readable. {} boundaries; at the end {} of all keys and values are in the cache.",
            w.rows.len(),
            share(w.cache_share)
        )
    })
}

/// How well scores foretell the cost.
pub fn of_cost(app: &App) -> String {
    app.results.costs.as_ref().map_or(String::new(), |c| {
        format!(
            "For each of {} tokens: how much the loss of later tokens grows when it is hidden. Spearman's ρ compares the \
             order of these costs with the order of each score: +1 is the same order, 0 none, −1 the opposite.",
            c.value.done
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::mask::types::MaskSettings;
    use crate::screen::explore::{PANES, map, mask, tokens, window};
    use crate::screen::popups::Popup;
    use crate::screen::testing::Stage;
    use crate::screen::tests::{picture, text};

    fn said(stage: &mut Stage) -> String {
        stage.press("f3");
        let Some(Popup::Explain { text, .. }) = stage.app.popup.clone() else { return String::new() };
        stage.press("esc");
        assert!(stage.app.popup.is_none());
        text
    }

    #[test]
    fn one_key_explains_any_row_label_or_column_with_its_numbers() {
        let mut stage = Stage::new();
        let text = said(&mut stage);
        assert!(
            text.contains("threshold is 0.700") && text.contains("eligible scores are on its masked side"),
            "{text}"
        );
        stage.app.view.item = MaskSettings::op;
        assert!(said(&mut stage).contains("replace: the input embedding is swapped"));
        stage.focus(&tokens::PANE);
        assert!(said(&mut stage).contains("from the top"));
        stage.focus(&map::PANE).act(|app| map::crosshair(app, 20, 19));
        let text = said(&mut stage);
        assert!(text.contains("Row ·sailor (20)") || text.contains("(20) reads column"), "{text}");
        stage.press("o");
        assert!(said(&mut stage).contains("Layer 0, head 0"));
        stage.press("b f R");
        for pane in PANES {
            stage.focus(pane);
            assert!(!said(&mut stage).is_empty(), "{}", pane.name);
        }
        stage.focus(&mask::PANE).press("K");
        let seen = text_of(&mut stage);
        assert!(seen.contains("Mask") && seen.contains("Esc closes"), "{seen}");
        stage.press("esc b").focus(&window::PANE).press("K");
        assert!(
            stage.app.popup.is_none() && stage.app.notice.is_some(),
            "where there is nothing, that is said"
        );
    }

    fn text_of(stage: &mut Stage) -> String {
        text(&picture(stage, 80, 24))
    }
}
