//! The list from which an intervention is added: what suits the crosshair, or whatever is typed in the form that the command
//! `intervene` reads.

use std::sync::Arc;

use super::stack;
use crate::engine::types::{Intervention, WRITTEN};
use crate::screen::app::App;
use crate::screen::popups::list::{Entry, List};
use crate::screen::popups::{Popup, fuzzy};
use crate::support::visible::line;

/// Opens the list with something typed.
pub fn open(app: &mut App, typed: &str) {
    app.popup = Some(Popup::Intervene(List { typed: typed.to_owned(), selected: 0 }));
}

/// What a line means.
enum Wish {
    Add(Intervention),
    /// Take patches from this text; none is no text.
    From(Option<String>),
    Contrast(Option<(String, Option<String>)>),
}

/// Reads a line.
fn read(text: &str) -> Result<Wish, String> {
    let (first, rest) = text.trim_start().split_once(' ').unwrap_or((text.trim(), ""));
    match first {
        "from" => Ok(Wish::From((!rest.trim().is_empty()).then(|| rest.to_owned()))),
        "contrast" if rest.trim().is_empty() => Ok(Wish::Contrast(None)),
        "contrast" => {
            let (word, against) = match rest.split_once('|') {
                Some((word, against)) => (token(word), Some(token(against))),
                None => (token(rest), None),
            };
            Ok(Wish::Contrast(Some((word, against))))
        }
        _ => Intervention::parse(text).map(Wish::Add).map_err(|e| e.to_string()),
    }
}

/// A word stands in running text, after a space, unless it is in quotation marks.
fn token(text: &str) -> String {
    let text = text.trim();
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(exact) => exact.to_owned(),
        None => format!(" {text}"),
    }
}

/// What suits the crosshair and the head shown, each with what it does.
fn suggestions(app: &App) -> Vec<(String, String)> {
    let (query, key) = (app.view.query, app.view.key.min(app.view.query));
    let model = app.model.as_ref();
    let layer = app.doc.heads.layer.unwrap_or_else(|| model.map_or(0, |m| m.n_layer.saturating_sub(1)));
    let head = app.doc.heads.head.unwrap_or(0);
    let mut out = vec![
        format!("block {query}:{key}"),
        format!("block {query}:{key}@{layer}.{head}"),
        format!("block all:{key}"),
        format!("block {query}:all@{layer}"),
        format!("zero {layer}.{head}"),
        format!("mean {layer}.{head}"),
        format!("gate {layer}.{head}=0.5"),
    ];
    if app.doc.interventions.other.is_some() {
        out.push(format!("patch {query}@{layer}"));
        out.push(format!("patch all@{layer}.{head}"));
    }
    let words = |text: String| {
        let doc = Intervention::parse(&text).map_or_else(|e| e.to_string(), |what| stack::words(app, &what));
        (text, doc)
    };
    let mut out: Vec<(String, String)> = out.into_iter().map(words).collect();
    let other =
        app.doc.interventions.other.as_deref().map_or("the text that patches come from".to_owned(), line);
    out.push(("from ".to_owned(), other));
    let measured = match &app.doc.interventions.contrast {
        Some((word, Some(against))) => format!("{word} | {against}"),
        Some((word, None)) => word.clone(),
        None => "A | B: effects on the logit of A less that of B".to_owned(),
    };
    out.push(("contrast ".to_owned(), measured));
    out
}

/// The entries that fit what was typed; what was typed itself comes first with what it does, or last with what is wrong with it.
pub fn entries(app: &App, typed: &str) -> Vec<Entry> {
    let all = suggestions(app);
    let entry = |(value, doc): &(String, String)| Entry {
        value: value.clone(),
        doc: doc.clone(),
        note: String::new(),
    };
    let fitting = fuzzy::rank(typed, all.iter().map(|(value, _)| value.as_str()));
    let mut out: Vec<Entry> = fitting.into_iter().map(|i| entry(&all[i])).collect();
    if typed.trim().is_empty() || all.iter().any(|(value, _)| value.trim() == typed.trim()) {
        return out;
    }
    let (place, doc) = match read(typed) {
        Ok(Wish::Add(what)) => (0, stack::words(app, &what)),
        Ok(Wish::From(_)) => (0, "patches come from this text, of as many tokens".to_owned()),
        Ok(Wish::Contrast(_)) => (0, "effects are measured by the logits of these tokens".to_owned()),
        Err(problem) => (out.len(), problem),
    };
    out.insert(place, Entry { value: typed.to_owned(), doc, note: String::new() });
    out
}

/// Does what a line of the list says; what is not complete is typed on.
pub fn take(app: &mut App, value: &str) {
    let bare = |word: &str| value.trim_end() == word && value.ends_with(' ');
    if ["from", "contrast"].into_iter().any(bare) {
        return open(app, value);
    }
    match read(value) {
        Ok(Wish::Add(what)) if what.is_patch() && app.doc.interventions.other.is_none() => {
            app.say("Name the text that patches come from first: as many tokens as this one");
            open(app, "from ");
        }
        Ok(Wish::Add(what)) => {
            stack::add(app, what);
            app.say(stack::words(app, &what));
        }
        Ok(Wish::From(text)) => {
            let changed = Arc::make_mut(&mut app.doc.interventions);
            changed.other = text.map(Arc::from);
            app.focus(&super::PANE);
        }
        Ok(Wish::Contrast(contrast)) => Arc::make_mut(&mut app.doc.interventions).contrast = contrast,
        Err(problem) => {
            let forms: Vec<&str> = WRITTEN.iter().map(|(name, _)| *name).collect();
            let known = forms.iter().any(|name| value.trim_start().starts_with(name));
            app.say(if known { problem } else { format!("{problem}; from and contrast are read, too") });
            open(app, value);
        }
    }
}
